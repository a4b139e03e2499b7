"""What stands in for the images of Duke's lando: programs that take its command lines and files, and no others.

Nothing of Lando is imported here. Where a step of the original would speak to the Duke Data Service, these use the
folder that the credential's ``url`` names. Each fails at whatever the original's programs would not know.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

PROJECT_ID, README_ID = "c0ffee00-0000-4000-8000-000000000001", "c0ffee00-0000-4000-8000-000000000002"
"""What the data service calls the project and the report that are saved."""

Document = dict[str, Any]


def exactly(document: Document, keys: set[str], optional: frozenset[str] = frozenset()) -> Document:
    """``document``, which has these keys and no others."""
    found = set(document)
    if not keys <= found or found - keys - optional:
        sys.exit(f"keys are {sorted(found)}, not {sorted(keys)}")
    return document


def command_file(name: str) -> Document:
    """The command file among the arguments, where the original's lando mounts it."""
    path = Path(sys.argv[1])
    if not str(path).endswith(f"/{name}"):
        sys.exit(f"the command file is {path}, not {name}")
    document: Document = json.loads(path.read_text())
    return document


def storage() -> Path:
    """The folder that stands for the data service, by the mounted credential."""
    lines = dict(line.split(": ", 1) for line in Path(os.environ["DDSCLIENT_CONF"]).read_text().splitlines())
    exactly(lines, {"url", "agent_key", "user_key"})
    return Path(lines["url"].removeprefix("file://"))
