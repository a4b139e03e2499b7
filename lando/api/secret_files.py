"""Secrets that settings name by a file: read at each use, so that they can be changed while the server runs."""

from __future__ import annotations

from pathlib import Path

from lando.api.settings import Settings
from lando.errors import ConfigError

_SETTINGS = ("oauth_client_secret_file", "smtp_password_file", "webhook_secret_file")


def read_secret(path: str, setting: str) -> bytes:
    """What the file holds, without white space around it; raises ConfigError."""
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} can't be read: {error.strerror}.") from error
    if not secret:
        raise ConfigError(f"{setting}: {path} is empty.")
    return secret


def check(settings: Settings) -> None:
    """A server that could use none of them later does not start; raises ConfigError."""
    for name in _SETTINGS:
        if path := getattr(settings, name):
            read_secret(path, name)
