"""Signing in and out with a browser: a small page of our own, and by way of the site's sign-in provider."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader
from sqlalchemy import select
from sqlalchemy.orm import Session

from lando.api import auth, sessions, setup
from lando.api import models as m
from lando.api.answers import Refusal, detail
from lando.api.provider import CALLBACK, TIME_S, NotSignedIn, Person
from lando.api.sessions import LOGIN, LOGOUT
from lando.api.site import Site, TheSite
from lando.errors import InputError, Unavailable

logger = logging.getLogger(__name__)

router = APIRouter(tags=["sign-in"])

_BEGUN = "signin"
"""Cookie of a sign-in that is under way at the provider."""
_TOKEN = re.compile("[0-9a-f]{64}")
_NO_PROVIDER = "This site has no sign-in provider; sign in at /api-auth/login/."
_PAGES = Environment(loader=PackageLoader("lando.api", "pages"), autoescape=True)

Next = Annotated[str, Query(alias="next", max_length=2000)]
_A_PAGE: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}


def _fields(*names: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


async def _form(request: Request) -> dict[str, str]:
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise detail(400, "The body is no form.") from error
    return {name: values[-1] for name, values in fields.items()}


Form = Annotated[dict[str, str], Depends(_form)]


@router.get(LOGIN, response_class=HTMLResponse)
def sign_in_page(request: Request, site: TheSite, then: Next = "") -> Response:
    """Who is signed in with this browser, or the form to sign in."""
    return _page(request, site, then)


@router.post(
    LOGIN,
    response_class=RedirectResponse,
    status_code=303,
    responses=dict.fromkeys((400, 403, 429), _A_PAGE),
    openapi_extra=_fields("username", "password", "next", "csrfmiddlewaretoken"),
)
def sign_in(request: Request, site: TheSite, form: Form) -> Response:
    """Sign in with the form's user name and password."""
    then, shown = form.get("next", ""), form.get("csrfmiddlewaretoken", "")
    if not shown or not hmac.compare_digest(shown.encode(), request.cookies.get(sessions.CSRF_COOKIE, "").encode()):
        return _page(request, site, then, 403, "The form was too old, or cookies are switched off; try again.")
    try:
        user = auth.sign_in(site, request, form.get("username", ""), form.get("password", ""))
    except Refusal as refusal:
        response = _page(request, site, then, refusal.status, refusal.body["detail"])
        response.headers.update(refusal.headers)
        return response
    if user is None:
        return _page(request, site, then, 400, "User name and password do not match.")
    return _welcome(site, user, sessions.safe_next(site.settings, then, LOGIN + "/"))


@router.get(LOGOUT, response_class=HTMLResponse)
def sign_out_page(request: Request, site: TheSite, then: Next = "") -> Response:
    """The page with the button to sign out; a link alone signs nobody out."""
    return _page(request, site, then)


@router.post(
    LOGOUT,
    response_class=RedirectResponse,
    status_code=303,
    responses={403: {}},
    openapi_extra=_fields("next", "csrfmiddlewaretoken"),
)
def sign_out(request: Request, site: TheSite, form: Form) -> Response:
    """Sign this browser out."""
    if sessions.csrf_token(site.key, request) is not None:  # else it has ended by itself
        sessions.check_csrf(site.settings, site.key, request, form.get("csrfmiddlewaretoken", ""))
    then = sessions.safe_next(site.settings, form.get("next", ""), LOGIN + "/")
    response = RedirectResponse(then, 303)
    sessions.end(response)
    return response


@router.get("/auth/authorize", response_class=RedirectResponse, status_code=302, responses={404: {}, 503: _A_PAGE})
def authorize(request: Request, site: TheSite, then: Next = "") -> Response:
    """To the sign-in provider, and from there back to ``next``, on this site or at a known front end."""
    if site.provider is None:
        raise detail(404, _NO_PROVIDER)
    try:
        address, cookie = site.provider.begin(sessions.safe_next(site.settings, then, LOGIN + "/"))
    except Unavailable as error:
        return _away(request, site, error)
    response = RedirectResponse(address, 302)
    sessions.put_cookie(response, site.settings, _BEGUN, cookie, TIME_S)
    return response


@router.get(
    CALLBACK.rstrip("/"),
    response_class=RedirectResponse,
    status_code=303,
    responses={403: _A_PAGE, 404: {}, 503: _A_PAGE},
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
            for name in ("code", "state", "error", "error_description")
        ]
    },
)
def code_callback(request: Request, site: TheSite) -> Response:
    """Where the provider sends the browser back to; signs its user in, who is made when new."""
    if site.provider is None:
        raise detail(404, _NO_PROVIDER)
    try:
        person, then = site.provider.finish(request.cookies.get(_BEGUN, ""), request.query_params)
        response = _welcome(site, _user(site, person), then)
    except NotSignedIn as error:
        response = _page(request, site, "", 403, str(error))
    except Unavailable as error:
        response = _away(request, site, error)
    response.delete_cookie(_BEGUN, path="/")
    return response


def _user(site: Site, person: Person) -> m.User:
    with site.database.write() as session:
        user = _known(session, person)
        if user is None:
            try:
                user = setup.create_user(session, person.username)
            except InputError as error:
                raise NotSignedIn(f"The provider's user name can't be one here: {error}") from error
        if not user.is_active:
            raise NotSignedIn("This account is disabled; ask the service's staff.")
        if user.is_staff and not site.settings.oauth_staff:
            raise NotSignedIn("Staff do not sign in through the provider here; use your password.")
        user.provider_subject = person.subject or user.provider_subject
        user.first_name, user.last_name = person.first_name, person.last_name
        user.email = person.email
        user.provider_token = person.access_token if site.rights is not None else None
    logger.info("%s signed in through the provider", user.username)
    return user


def _known(session: Session, person: Person) -> m.User | None:
    """Whoever signed in before is known again by their subject, also by another name; at first by their name."""
    if person.subject is not None:
        known = session.scalars(select(m.User).where(m.User.provider_subject == person.subject)).first()
        if known is not None:
            return known
    user = session.scalars(select(m.User).where(m.User.username == person.username)).first()
    if user is not None and user.provider_subject is not None:
        raise NotSignedIn("Somebody else has signed in by this user name before; ask the service's staff.")
    return user


def _welcome(site: Site, user: m.User, then: str) -> Response:
    response = RedirectResponse(then, 303)
    sessions.begin(response, site.settings, site.key, user)
    return response


def _away(request: Request, site: Site, error: Unavailable) -> Response:
    logger.warning("%s", error)
    return _page(request, site, "", 503, "The sign-in provider does not answer as it should; try again later.")


def _page(request: Request, site: Site, then: str, status: int = 200, problem: str = "") -> Response:
    with site.database.read() as session:
        user = sessions.user_of(session, site.key, request)
    given = request.cookies.get(sessions.CSRF_COOKIE, "")
    token = sessions.csrf_token(site.key, request) if user else None
    if token is None:  # forms that are open in other tabs stay good
        token = given if _TOKEN.fullmatch(given) else secrets.token_hex(32)
    text = _PAGES.get_template("sign_in.html.jinja").render(
        title="Signed in" if user else "Sign in",
        problem=problem,
        username=user.username if user else None,
        provider=site.provider is not None,
        token=token,
        next=sessions.safe_next(site.settings, then, ""),
    )
    policy = " ".join(["form-action 'self'", *site.settings.web_origins])
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; {policy}",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    response = HTMLResponse(text, status, headers)
    if user is None:
        sessions.put_cookie(response, site.settings, sessions.CSRF_COOKIE, token, TIME_S, for_scripts=True)
    return response
