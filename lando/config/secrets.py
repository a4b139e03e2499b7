"""Secrets that come from files: a mounted Secret is replaced while a daemon runs when its token rotates."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Self

from lando import logs

log = logging.getLogger(__name__)


class FileSecret(str):
    """A secret as its file held it when the configuration was read."""

    __slots__ = ("path",)

    path: str

    def __new__(cls, value: str, path: str) -> Self:
        secret = super().__new__(cls, value)
        secret.path = path
        return secret

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:  # pika copies what it is given
        return type(self), (str(self), self.path)


def current(secret: str) -> str:
    """The secret as its file holds it now.

    The same where it came from elsewhere, or when the file can't be read or is empty just now.
    """
    if not isinstance(secret, FileSecret):
        return secret
    try:
        content = Path(secret.path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        log.warning("%s can't be read again: %s", secret.path, getattr(error, "strerror", None) or "no UTF-8 text")
        return secret
    if not content or content == secret:
        return secret
    logs.mask_also(content)
    return FileSecret(content, secret.path)


class Credential:
    """A secret in use, read again from its file when a peer refuses it. Safe to use from several threads."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._lock = threading.Lock()

    @property
    def value(self) -> str:
        """What to show to the peer now."""
        return self._secret

    def renewed(self, refused: str) -> bool:
        """Whether there is another value by now than the one that was refused."""
        with self._lock:
            if self._secret == refused:
                self._secret = current(self._secret)
                if self._secret != refused:
                    log.info("a credential was refused; its file holds a new one")
            return self._secret != refused
