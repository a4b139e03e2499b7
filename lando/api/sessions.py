"""A browser's sign-in: a signed cookie, and the token that a page has to show to write with it.

Nothing is stored, so that each of several servers knows a session; it ends by its time, at a sign-out in that browser,
with another password, and with the user's account.
"""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection
from starlette.responses import Response

from lando.api.answers import detail
from lando.api.keys import NotSigned, ServerKey
from lando.api.models import User
from lando.api.settings import Settings

LOGIN, LOGOUT = "/api-auth/login", "/api-auth/logout"
"""The pages; they take forms."""
COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "X-CSRFToken"
"""Names as the original's pages and front ends know them."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SESSION, _CSRF = "session", "csrf"


def begin(response: Response, settings: Settings, key: ServerKey, user: User) -> None:
    """Sign ``user`` in at the browser that gets ``response``."""
    name = secrets.token_hex(16)
    claims = {
        "user_id": user.id,
        "id": name,
        "password": password_mark(key, user),
        "exp": int(time.time()) + settings.session_ttl_s,
    }
    put_cookie(response, settings, COOKIE, key.sign(_SESSION, claims), settings.session_ttl_s)
    token = key.mac(_CSRF, name)
    put_cookie(response, settings, CSRF_COOKIE, token, settings.session_ttl_s, for_scripts=True)


def end(response: Response) -> None:
    """Sign the browser out."""
    for name in (COOKIE, CSRF_COOKIE):
        response.delete_cookie(name, path="/")


def put_cookie(
    response: Response, settings: Settings, name: str, value: str, ttl_s: int, *, for_scripts: bool = False
) -> None:
    """A cookie for this site only; ``for_scripts`` lets its own pages' scripts read it."""
    response.set_cookie(
        name,
        value,
        max_age=ttl_s,
        path="/",
        httponly=not for_scripts,
        samesite="lax",
        secure=settings.base_url.startswith("https://"),
    )


def user_of(session: Session, key: ServerKey, connection: HTTPConnection) -> User | None:
    """Whose browser sent the request; None where there is no session that counts."""
    claims = _claims(key, connection)
    user = session.get(User, claims["user_id"]) if claims else None
    if claims is None or user is None or not user.is_active or claims["password"] != password_mark(key, user):
        return None
    return user


def check_csrf(settings: Settings, key: ServerKey, connection: HTTPConnection, shown: str | None = None) -> None:
    """Refuse what another site's page may have made the browser send; ``shown`` by default is the header's token.

    The origin of a front end that the settings name needs no token: browsers tell it truly, and it can't read cookies.
    """
    if connection.headers.get("origin", "").rstrip("/") in settings.web_origins:
        return
    claims = _claims(key, connection)
    given = shown if shown is not None else connection.headers.get(CSRF_HEADER, "")
    if claims is None or not hmac.compare_digest(
        key.mac(_CSRF, claims["id"]).encode(), given.encode("utf-8", "replace")
    ):
        raise detail(403, f"CSRF Failed: send the cookie {CSRF_COOKIE} also as the header {CSRF_HEADER}.")


def csrf_token(key: ServerKey, connection: HTTPConnection) -> str | None:
    """What a page of this session has to show."""
    claims = _claims(key, connection)
    return key.mac(_CSRF, claims["id"]) if claims else None


def safe_next(settings: Settings, address: str, default: str) -> str:
    """``address``, where it is on this site or that of a known front end, else ``default``: nobody is led astray."""
    if any(ord(character) <= 32 or character == "\\" for character in address):
        return default
    try:
        parts = urlsplit(address)
    except ValueError:
        return default
    if not parts.scheme and not parts.netloc:
        return address if address.startswith("/") and not address.startswith("//") else default
    known = (settings.base_url, *settings.web_origins)
    return address if f"{parts.scheme}://{parts.netloc}" in {_origin(one) for one in known} else default


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _claims(key: ServerKey, connection: HTTPConnection) -> dict[str, Any] | None:
    text = connection.cookies.get(COOKIE)
    if not text:
        return None
    try:
        return key.claims(_SESSION, text)
    except NotSigned:
        return None


def password_mark(key: ServerKey, user: User) -> str:
    """Differs with the password: a new one ends all sessions and web tokens."""
    return key.mac("password", user.password_hash or "")[:16]
