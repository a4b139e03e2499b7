"""Who asks: API tokens, web tokens, passwords, sessions, and the dependencies by which routes demand a sign-in."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lando.api import sessions, web_tokens
from lando.api.answers import Refusal, detail, unauthorized
from lando.api.keys import NotSigned, ServerKey, token_hash
from lando.api.models import Token, User
from lando.api.site import Site, site_of

_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1  # 16 MiB, some 50 ms
_places = threading.BoundedSemaphore(4)
"""For passwords being hashed at a time: however many try to sign in, they take no more memory than this allows."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The signed-in user of one request."""

    id: int
    username: str
    is_staff: bool


def hash_password(password: str) -> str:
    """What the database keeps of a password: ``scrypt$n$r$p$salt$hash``."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", str(_SCRYPT_N), str(_SCRYPT_R), str(_SCRYPT_P), *parts))


def is_password(password: str, stored: str | None) -> bool:
    """Whether ``password`` is the one that ``stored`` was made of; takes as long when there is none."""
    if stored is None:
        _scrypt(password, b"0" * 16, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
        return False
    if stored.startswith("pbkdf2_sha256$"):  # taken over from an original bespin-api
        _, rounds, text, digest = stored.split("$")
        made = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "replace"), text.encode(), int(rounds))
        return hmac.compare_digest(made, base64.b64decode(digest))
    _, n, r, p, salt, digest = stored.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _places:
        return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, n=n, r=r, p=p, maxmem=64 * 1024 * 1024)


def current_token(session: Session, user_id: int) -> Token | None:
    """The user's own token; not one that an operator brought along."""
    return session.scalars(select(Token).where(Token.user_id == user_id, Token.serial.is_not(None))).first()


def issue_token(session: Session, key: ServerKey, user_id: int) -> tuple[str, Token]:
    """The user's token, made when there is none yet."""
    session.execute(select(User.id).where(User.id == user_id).with_for_update())  # one at a time: there is one token
    row = current_token(session, user_id)
    if row is not None and row.serial is not None:
        return key.token(user_id, row.serial), row
    serial = secrets.token_hex(16)
    token = key.token(user_id, serial)
    row = Token(user_id=user_id, serial=serial, hash=token_hash(token))
    session.add(row)
    session.flush()
    return token, row


def revoke_token(session: Session, user_id: int, token: str) -> bool:
    """Whether ``token`` was the user's; it no longer works."""
    found = session.scalars(select(Token).where(Token.user_id == user_id, Token.hash == token_hash(token))).first()
    if found is None:
        return False
    session.execute(delete(Token).where(Token.id == found.id))
    return True


def sign_in(site: Site, request: Request, username: str, password: str) -> User | None:
    """The user whose password it is; None for whoever else tries, who has to wait longer and longer (429)."""
    username = username.replace("\0", "").encode("utf-8", "replace").decode().strip()  # as a database can be asked
    key = site.throttle.key(username, request.client.host if request.client else "")
    if pause_s := site.throttle.pause_s(key):
        raise detail(429, f"Too many failed sign-ins; try again in {pause_s} s.", {"Retry-After": str(pause_s)})
    with site.database.read() as session:
        user = session.scalars(select(User).where(User.username == username)).first()
    if not is_password(password, user.password_hash if user else None) or user is None or not user.is_active:
        site.throttle.failed(key)
        return None
    site.throttle.succeeded(key)
    return user


def caller_of(site: Site, request: Request) -> Caller:
    """Who sent the request, by its header ``Authorization: Token <40 hex>`` or ``JWT <web token>``, without that header
    by its browser's session; raises the 401, and the 403 of a write that the browser's page has not vouched for.
    """
    header = request.headers.get("authorization")
    with site.database.read() as session:
        if header is None:
            user = sessions.user_of(session, site.key, request)
            if user is not None and request.method not in sessions.READING:
                sessions.check_csrf(site.settings, site.key, request)
        else:
            scheme, _, credential = header.partition(" ")
            user = _user_by(session, site.key, scheme.lower(), credential.strip())
    if user is None or not user.is_active:
        raise unauthorized()
    return Caller(id=user.id, username=user.username, is_staff=user.is_staff)


def is_signed_in(site: Site, request: Request) -> bool:
    """Whether :func:`caller_of` knows who sent it; raises Unavailable."""
    try:
        caller_of(site, request)
    except Refusal:
        return False
    return True


def _user_by(session: Session, key: ServerKey, scheme: str, credential: str) -> User | None:
    if scheme == "token" and credential:
        return session.scalars(
            select(User).join(Token, Token.user_id == User.id).where(Token.hash == token_hash(credential))
        ).first()
    if scheme == "jwt":
        with contextlib.suppress(NotSigned):
            return web_tokens.holder(session, key, credential)[1]
    return None


WAYS = (
    APIKeyHeader(
        name="Authorization", scheme_name="token", auto_error=False, description="`Token ` and 40 hexadecimal digits."
    ),
    APIKeyHeader(
        name="Authorization", scheme_name="webToken", auto_error=False, description="`JWT ` and a JSON web token."
    ),
    APIKeyCookie(
        name=sessions.COOKIE,
        scheme_name="session",
        auto_error=False,
        description=f"A browser's session; writes also need the header `{sessions.CSRF_HEADER}`, with the value of the "
        f"cookie `{sessions.CSRF_COOKIE}`.",
    ),
)
"""How a request may be signed in, for the OpenAPI document; :func:`caller_of` looks."""


def _caller(
    request: Request,
    site: Annotated[Site, Depends(site_of)],
    _token: Annotated[str | None, Security(WAYS[0])],
    _web_token: Annotated[str | None, Security(WAYS[1])],
    _session: Annotated[str | None, Security(WAYS[2])],
) -> Caller:
    return caller_of(site, request)


def _staff(caller: Annotated[Caller, Security(_caller, scopes=["staff"])]) -> Caller:
    if not caller.is_staff:
        raise detail(403, "Only staff may do this.")
    return caller


SignedIn = Annotated[Caller, Depends(_caller)]
"""A route's parameter: any signed-in user."""
Staff = Annotated[Caller, Depends(_staff)]
"""A route's parameter: a signed-in member of the staff."""
