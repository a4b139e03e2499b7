"""Signing in: passwords for tokens and web tokens, own tokens, who am I."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from pydantic import ConfigDict

from lando.api import auth, documents, sessions, web_tokens
from lando.api import models as m
from lando.api.answers import NON_FIELD, Json, detail, invalid, not_found, unauthorized
from lando.api.auth import SignedIn
from lando.api.bodies import AnyText, Body, Empty, LongName
from lando.api.keys import NotSigned
from lando.api.routes import BESPIN_V1
from lando.api.shapes import people as shapes
from lando.api.site import Site, TheSite

router = APIRouter(tags=["sign-in"])
v1_router = APIRouter(prefix=BESPIN_V1, tags=["sign-in"])


class Login(Body):
    """A user's name and password; a password's blanks count, so it is not trimmed."""

    username: LongName
    password: str = ""

    model_config = ConfigDict(str_strip_whitespace=False)


class WebToken(Body):
    """A JSON web token."""

    token: AnyText


@router.post("/api-auth-token", responses={429: {}})
def password_to_token(login: Login, request: Request, site: TheSite) -> shapes.SignInToken:
    """The user's token for the user's password; made on first use, the same later.

    Whoever fails often has to wait longer and longer, also with the right password.
    """
    user = _signed_in(login, request, site)
    with site.database.write() as session:
        token, _ = auth.issue_token(session, site.key, user.id)
    return {"token": token}


@router.post("/auth/api-token-auth", responses={429: {}})
def password_to_web_token(login: Login, request: Request, site: TheSite) -> shapes.SignInToken:
    """A JSON web token, good for two hours, for the user's password; tries are counted as for ``/api-auth-token/``."""
    return {"token": web_tokens.issue(site.key, _signed_in(login, request, site), time.time())}


@router.post("/auth/api-token-refresh")
def refresh_web_token(body: WebToken, site: TheSite) -> shapes.SignInToken:
    """Another one for one that is still good, until seven days after the sign-in."""
    claims, user = _holder(body, site)
    now = time.time()
    if now > claims["orig_iat"] + web_tokens.REFRESHABLE_S:
        raise invalid(NON_FIELD, "Refresh has expired.")
    return {"token": web_tokens.issue(site.key, user, now, signed_in_at=claims["orig_iat"])}


@router.post("/auth/api-token-verify")
def verify_web_token(body: WebToken, site: TheSite) -> shapes.SignInToken:
    """The same one, if it is good."""
    _holder(body, site)
    return {"token": body.token}


@router.post("/auth/api-token-session", responses={401: {}, 403: {}})
def session_to_web_token(request: Request, site: TheSite, _body: Empty | None = None) -> shapes.SignInToken:
    """A JSON web token for a browser that is signed in."""
    with site.database.read() as session:
        user = sessions.user_of(session, site.key, request)
    if user is None:
        raise unauthorized()
    sessions.check_csrf(site.settings, site.key, request)
    return {"token": web_tokens.issue(site.key, user, time.time())}


def _signed_in(login: Login, request: Request, site: Site) -> m.User:
    user = auth.sign_in(site, request, login.username, login.password)
    if user is None:
        raise invalid(NON_FIELD, "Unable to log in with provided credentials.")
    return user


def _holder(body: WebToken, site: Site) -> tuple[Json, m.User]:
    try:
        with site.database.read() as session:
            claims, user = web_tokens.holder(session, site.key, body.token)
    except NotSigned as error:
        raise invalid(NON_FIELD, str(error)) from error
    if user is None or not user.is_active:
        raise invalid(NON_FIELD, "User account is disabled.")
    return claims, user


@v1_router.get("/users/current-user")
def current_user(site: TheSite, caller: SignedIn) -> shapes.User:
    """Who the request is signed in as."""
    with site.database.read() as session:
        user = session.get(m.User, caller.id)
        if user is None:
            raise not_found()
        return documents.user(user)


@v1_router.get("/tokens")
def list_tokens(site: TheSite, caller: SignedIn) -> list[shapes.OwnToken]:
    """The caller's token, if there is one."""
    with site.database.read() as session:
        row = auth.current_token(session, caller.id)
        return [] if row is None or row.serial is None else [_shown(site.key.token(caller.id, row.serial), row)]


@v1_router.post("/tokens", status_code=201)
def make_token(site: TheSite, caller: SignedIn, _body: Empty | None = None) -> shapes.OwnToken:
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


def _shown(token: str, row: m.Token) -> shapes.OwnToken:
    return {"id": token, "created": documents.timestamp(row.created)}
