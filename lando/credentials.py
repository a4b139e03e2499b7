"""The storage credential that a Secret brings into a pod, handed to the library that can read it.

The Secret's key ``config`` is mounted as one file, named by ``DDSCLIENT_CONF`` as in the original. What it holds tells
whose it is: a Google key or workload identity configuration (JSON), an AWS shared credentials file, or the YAML of the
Duke Data Service, which :mod:`lando.stores.dukeds_api` reads itself. What the environment says already goes first.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTED = "DDSCLIENT_CONF"
_READ_BY = {"{": "GOOGLE_APPLICATION_CREDENTIALS", "[": "AWS_SHARED_CREDENTIALS_FILE"}


def use_mounted_credential() -> None:
    """Name the mounted file to the library it is for, by the variable that this one looks at."""
    path = Path(os.environ.get(MOUNTED) or "/nonexistent")
    try:
        begin = path.read_text(encoding="utf-8", errors="replace").lstrip()[:1]
    except OSError:
        return
    if begin in _READ_BY:
        os.environ.setdefault(_READ_BY[begin], str(path))
