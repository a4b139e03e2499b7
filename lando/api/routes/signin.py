"""Signing in: passwords for tokens, own tokens, who am I."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ConfigDict
from sqlalchemy import select

from lando.api import auth, documents
from lando.api import models as m
from lando.api.answers import NON_FIELD, Json, detail, invalid, not_found
from lando.api.auth import SignedIn
from lando.api.bodies import Body, LongName
from lando.api.site import TheSite

router = APIRouter(tags=["sign-in"])
"""At the root."""
v1_router = APIRouter(tags=["sign-in"])
"""Under ``/api``."""


class Login(Body):
    """A user's name and password; a password's blanks count, so it is not trimmed."""

    username: LongName
    password: str = ""

    model_config = ConfigDict(str_strip_whitespace=False)


class NewToken(Body):
    """Nothing is needed."""


@router.post("/api-auth-token")
def password_to_token(login: Login, request: Request, site: TheSite) -> Json:
    """The user's token for the user's password; made on first use, the same later.

    Whoever fails often has to wait longer and longer, also with the right password.
    """
    key = site.throttle.key(login.username.strip(), request.client.host if request.client else "")
    if pause_s := site.throttle.pause_s(key):
        raise detail(429, f"Too many failed sign-ins; try again in {pause_s} s.", {"Retry-After": str(pause_s)})
    with site.database.read() as session:
        user = session.scalars(select(m.User).where(m.User.username == login.username.strip())).first()
    if not auth.is_password(login.password, user.password_hash if user else None) or user is None or not user.is_active:
        site.throttle.failed(key)
        raise invalid(NON_FIELD, "Unable to log in with provided credentials.")
    site.throttle.succeeded(key)
    with site.database.write() as session:
        token, _ = auth.issue_token(session, site.key, user.id)
    return {"token": token}


@v1_router.get("/users/current-user")
def current_user(site: TheSite, caller: SignedIn) -> Json:
    """Who the request is signed in as."""
    with site.database.read() as session:
        user = session.get(m.User, caller.id)
        if user is None:
            raise not_found()
        return documents.user(user)


@v1_router.get("/tokens")
def list_tokens(site: TheSite, caller: SignedIn) -> list[Json]:
    """The caller's token, if there is one."""
    with site.database.read() as session:
        row = auth.current_token(session, caller.id)
        return [] if row is None or row.serial is None else [_shown(site.key.token(caller.id, row.serial), row)]


@v1_router.post("/tokens", status_code=201)
def make_token(site: TheSite, caller: SignedIn, _body: NewToken | None = None) -> Json:
    """Make the caller's token; there is one at most."""
    with site.database.write() as session:
        if auth.current_token(session, caller.id) is not None:
            raise detail(400, "You have a token already; delete it first.")
        return _shown(*auth.issue_token(session, site.key, caller.id))


@v1_router.delete("/tokens/{token}", status_code=204)
def delete_token(token: str, site: TheSite, caller: SignedIn) -> None:
    """End one of the caller's tokens; it never works again."""
    with site.database.write() as session:
        if not auth.revoke_token(session, caller.id, token):
            raise not_found()


def _shown(token: str, row: m.Token) -> Json:
    return {"id": token, "created": documents.timestamp(row.created)}
