"""The reference of the API server's settings: ``python -m lando.api.reference > docs/server.md`` renews the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lando.api.settings import Settings
from lando.config import reference

_INTRODUCTION = """\
# The API server's settings

<!-- Written by `python -m lando.api.reference`; change lando/api/settings.py instead. -->

`lando serve [FILE]` and `lando admin … --config FILE` take each setting from the YAML file, then from the environment
as `LANDO_API_<KEY>`, then from options; the later wins. Lists stand in the environment with commas between. An unknown
key or variable is refused. What is called required lies below `LANDO_HOME` where it is not given: the database in
SQLite as `lando.db`, then `server.key` and `files/`.
"""


def page() -> Iterator[str]:
    """The lines of the page."""
    yield from _INTRODUCTION.splitlines()
    yield ""
    yield from reference.table(Settings)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page())
