"""The server's secret key and what derives from it: API tokens, signatures of download URLs, signed claims.

One key file, made at the first start and readable by its owner only. Whoever has it can sign in as anybody.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from lando.errors import ConfigError

KEY_BYTES = 32
SIGNING_PERIOD_S = 24 * 3600
"""Expiry times are rounded up to this, so that the same URL is given for a day and what holds it stays the same."""
_ALGORITHM = "HS256"


class NotSigned(Exception):
    """A signed text that is not ours, is for something else, or whose time is over; the message says which."""


class ServerKey:
    """Derives tokens and signatures; holds the key, never shows it."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = _derived(secret, b"lando api tokens")
        self._urls = _derived(secret, b"lando signed urls")
        self._claims = _derived(secret, b"lando signed claims")

    def token(self, user_id: int, serial: str) -> str:
        """The API token (40 hex digits) of a user's ``serial``."""
        return hmac.new(self._tokens, f"{user_id}:{serial}".encode(), hashlib.sha256).hexdigest()[:40]

    def expiry(self, now: float, ttl_s: float) -> int:
        """The expiry (Unix seconds) to sign at ``now`` (Unix seconds): at least ``ttl_s`` ahead, the same for a day."""
        return math.ceil((now + ttl_s) / SIGNING_PERIOD_S) * SIGNING_PERIOD_S

    def signature(self, path: str, expires: int) -> str:
        """The signature that lets anybody read ``path`` until ``expires`` (Unix seconds)."""
        return hmac.new(self._urls, f"{expires}:{path}".encode(), hashlib.sha256).hexdigest()

    def is_signed(self, path: str, expires: str, signature: str, now: float) -> bool:
        """Whether ``signature`` is ours for ``path`` and ``expires``, and that moment is still to come."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return False
        expected = self.signature(path, int(expires))
        return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")) and int(expires) > now

    def sign(self, purpose: str, claims: Mapping[str, Any]) -> str:
        """``claims`` as a JSON web token that :meth:`claims` takes for the same ``purpose``, until its ``exp``."""
        return jwt.encode(dict(claims), _derived(self._claims, purpose.encode()), _ALGORITHM)

    def claims(self, purpose: str, text: str) -> dict[str, Any]:
        """What was signed for ``purpose`` and is still good; raises NotSigned."""
        key = _derived(self._claims, purpose.encode())
        try:
            found: dict[str, Any] = jwt.decode(text, key, algorithms=[_ALGORITHM], options={"require": ["exp"]})
        except jwt.ExpiredSignatureError as error:
            raise NotSigned("Signature has expired.") from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise NotSigned("Error decoding signature.") from error
        return found

    def mac(self, purpose: str, text: str) -> str:
        """A text that only this server can make of ``text``, for one purpose."""
        return hmac.new(_derived(self._claims, purpose.encode()), text.encode(), hashlib.sha256).hexdigest()


def token_hash(token: str) -> str:
    """What the database keeps of a token; a token is random enough to need no salt."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def load_or_create(path: str | os.PathLike[str]) -> ServerKey:
    """The key of the file ``path``, which is made (mode 0600) when it is not there; raises ConfigError."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = file.read_text("ascii")
        except FileNotFoundError:
            text = _create(file)
        secret = bytes.fromhex(text.strip())
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold a key"
        raise ConfigError(f"The server's key file {file} can't be used: {reason}.") from error
    if len(secret) < KEY_BYTES:
        raise ConfigError(f"The server's key file {file} can't be used: it must hold {KEY_BYTES} bytes in hex.")
    return ServerKey(secret)


def _create(file: Path) -> str:
    # Written aside and linked into place: of two servers that start at once, both end up with the same whole key.
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(aside, file)
        except FileExistsError:
            return file.read_text("ascii")
    finally:
        aside.unlink()
    return file.read_text("ascii")


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, purpose, hashlib.sha256).digest()
