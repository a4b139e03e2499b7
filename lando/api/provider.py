"""Sign-in at another service: OAuth 2's authorization code flow with state and PKCE (RFC 6749, RFC 7636).

The browser is sent to the provider and comes back with a code, which the server exchanges for an access token; with
that it asks the provider's userinfo endpoint who it is (OpenID Connect Core, section 5.3).
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from requests.adapters import BaseAdapter
from requests_oauthlib import OAuth2Session

from lando.api.keys import NotSigned, ServerKey
from lando.api.secret_files import read_secret
from lando.api.settings import Settings
from lando.errors import ConfigError, LandoError, Unavailable

logger = logging.getLogger(__name__)

CALLBACK = "/auth/code_callback/"
TIME_S = 600
"""How long people may take at the provider, in seconds."""
TIMEOUT_S = 10.0
PATIENCE_S = 1.0
"""How long others wait while one asks the provider for its endpoints, in seconds."""
_PURPOSE = "sign-in at the provider"
_ENDPOINTS = ("authorize", "token", "userinfo")


class NotSignedIn(LandoError):
    """The provider, or what it says of somebody, does not sign them in; the sentence is for that person."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What the provider says of who has signed in there."""

    subject: str | None
    """Who this is there, for ever: the issuer and its ``sub``; None where it tells none."""
    username: str
    first_name: str
    last_name: str
    email: str
    access_token: str = field(repr=False)
    """For other services that trust the provider."""


class Provider:
    """The one that the settings name. ``adapter`` carries its requests instead of the network."""

    def __init__(self, settings: Settings, key: ServerKey, adapter: BaseAdapter | None = None) -> None:
        self._settings = settings
        self._key = key
        self._adapter = adapter
        self._redirect_uri = settings.base_url + CALLBACK
        self._endpoints: dict[str, str] = {}
        self._asking = threading.Lock()

    def begin(self, then: str) -> tuple[str, str]:
        """Where to send the browser, and what it has to bring back as a cookie; ``then`` is where it wants to go."""
        client = WebApplicationClient(self._settings.oauth_client_id)
        state, verifier = secrets.token_urlsafe(32), client.create_code_verifier(64)
        address, _ = self._session(client).authorization_url(
            self._endpoint("authorize"),
            state=state,
            code_challenge=client.create_code_challenge(verifier, "S256"),
            code_challenge_method="S256",
        )
        claims = {"state": state, "verifier": verifier, "then": then, "exp": int(time.time()) + TIME_S}
        return str(address), self._key.sign(_PURPOSE, claims)

    def finish(self, cookie: str, query: Mapping[str, str]) -> tuple[Person, str]:
        """Who has signed in there, and where they want to go; raises NotSignedIn, Unavailable."""
        try:
            begun = self._key.claims(_PURPOSE, cookie)
        except NotSigned as error:
            raise NotSignedIn("This sign-in took too long, or began in another browser; begin again.") from error
        if not hmac.compare_digest(begun["state"].encode(), query.get("state", "").encode()):
            raise NotSignedIn("This is not the sign-in that was begun in this browser; begin again.")
        if "code" not in query:
            reason = query.get("error_description") or query.get("error") or "it gave no reason"
            raise NotSignedIn(f"The provider did not sign you in: {reason[:200]}.")
        return self._person(*self._claims(query["code"], begun["verifier"])), begun["then"]

    def _claims(self, code: str, verifier: str) -> tuple[dict[str, Any], str]:
        # Without a scope: the provider may well have granted another than was asked for.
        session = OAuth2Session(self._settings.oauth_client_id, redirect_uri=self._redirect_uri)
        session.register_compliance_hook("access_token_response", _not_failed)
        self._route(session)
        try:
            session.fetch_token(
                self._endpoint("token"),
                code=code,
                code_verifier=verifier,
                client_secret=self._secret(),
                timeout=TIMEOUT_S,
            )
            answer = session.get(self._endpoint("userinfo"), timeout=TIMEOUT_S)
            answer.raise_for_status()
            claims = answer.json()
        except OAuth2Error as error:
            logger.warning("The sign-in provider refused a code: %s", error.error)
            raise NotSignedIn("The provider did not confirm this sign-in; begin again.") from error
        except (requests.RequestException, ValueError) as error:
            raise Unavailable("sign-in provider", f"it can't be asked who has signed in: {error}") from error
        if not isinstance(claims, dict):
            raise Unavailable("sign-in provider", "its userinfo endpoint answers no JSON object")
        return claims, str(session.token.get("access_token", ""))

    def _person(self, claims: Mapping[str, Any], access_token: str) -> Person:
        group, groups = self._settings.oauth_required_group, claims.get(self._settings.oauth_groups_claim)
        if group is not None and group not in (groups if isinstance(groups, list) else [groups]):
            raise NotSignedIn(f"Only members of the group {group} may use this service.")
        username = claims.get(self._settings.oauth_username_claim)
        if not isinstance(username, str) or not username.strip():
            logger.warning("The sign-in provider gives no %s", self._settings.oauth_username_claim)
            raise NotSignedIn("The provider does not say what your user name is; ask this service's staff.")
        subject = _text(claims.get("sub"), 255)
        issuer = (self._settings.oauth_issuer or self._settings.oauth_userinfo_url or "").rstrip("/")
        return Person(
            subject=f"{issuer} {subject}"[:512] if subject else None,
            username=username.strip(),
            first_name=_text(claims.get("given_name"), 150),
            last_name=_text(claims.get("family_name"), 150),
            email=_text(claims.get("email"), 254),
            access_token=access_token,
        )

    def _endpoint(self, name: str) -> str:
        """A URL of the provider's: from the settings, else from its issuer (OpenID Connect Discovery)."""
        if not self._endpoints:
            # One asks: anybody may begin a sign-in, and all of them waiting would take every thread of the server's.
            if not self._asking.acquire(timeout=PATIENCE_S):
                raise Unavailable("sign-in provider", "it has not told its endpoints yet")
            try:
                given = {one: url for one in _ENDPOINTS if (url := getattr(self._settings, f"oauth_{one}_url"))}
                whole = self._endpoints or given
                self._endpoints = whole if len(whole) == len(_ENDPOINTS) else self._discovered() | given
            finally:
                self._asking.release()
        return self._endpoints[name]

    def _discovered(self) -> dict[str, str]:
        issuer = (self._settings.oauth_issuer or "").rstrip("/")
        session = requests.Session()
        self._route(session)
        try:
            with session:
                answer = session.get(f"{issuer}/.well-known/openid-configuration", timeout=TIMEOUT_S)
            answer.raise_for_status()
            document = answer.json()
            if document["issuer"].rstrip("/") != issuer:
                raise ValueError(f"it calls itself {document['issuer']}")
            keys = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
            return {name: str(document[key]) for name, key in zip(_ENDPOINTS, keys, strict=True)}
        except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unavailable("sign-in provider", f"{issuer} does not tell its endpoints: {error}") from error

    def _session(self, client: WebApplicationClient) -> OAuth2Session:
        return OAuth2Session(client=client, redirect_uri=self._redirect_uri, scope=self._settings.oauth_scope.split())

    def _route(self, session: requests.Session) -> None:
        if self._adapter is not None:
            session.mount("https://", self._adapter)

    def _secret(self) -> str:
        """Read each time, so that it can be changed while the server runs."""
        path = self._settings.oauth_client_secret_file
        if path is None:
            return ""
        try:
            return read_secret(path, "oauth_client_secret_file").decode()
        except (ConfigError, UnicodeDecodeError) as error:
            raise Unavailable("sign-in provider", str(error)) from error


def _not_failed(response: requests.Response) -> requests.Response:
    if response.status_code >= 500:
        response.raise_for_status()
    return response


def _text(value: Any, longest: int) -> str:
    return value.replace("\0", "").strip()[:longest] if isinstance(value, str) else ""
