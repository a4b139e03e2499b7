"""A small OAuth 2 provider: it is where requests to https://id.example.org go, without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from requests.adapters import BaseAdapter

ISSUER = "https://id.example.org"
CLIENT, SECRET = "lando", "client s3cret"


@dataclass
class FakeProvider(BaseAdapter):
    """Signs everybody in as :attr:`person`; refuses what a real provider has to refuse."""

    person: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "grace"})
    granted: dict[str, dict[str, str]] = field(default_factory=dict)
    broken: bool = False
    issuer: str = ISSUER
    asked: list[str] = field(default_factory=list)

    def visit(self, address: str) -> str:
        """Somebody's browser comes from ``authorize`` and signs in here; where it is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{ISSUER}/authorize?"), address
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert (query["code_challenge_method"], query["scope"]) == ("S256", "openid profile email")
        code = f"code-{len(self.granted)}"
        self.granted[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        assert options["timeout"] is not None
        path = urlsplit(str(request.url)).path
        self.asked.append(path)
        if self.broken:
            return self._answer(request, 500, "<html>oops")
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "me"}
            document = {key: f"{ISSUER}/{name}" for key, name in names.items()}
            return self._answer(request, 200, {"issuer": self.issuer, **document})
        if path == "/token":
            return self._answer(request, *self._token(request))
        if path == "/me" and request.headers["Authorization"] == "Bearer for-grace":
            return self._answer(request, 200, self.person)
        return self._answer(request, 401, {})

    def close(self) -> None:
        """Nothing to close."""

    def _token(self, request: requests.PreparedRequest) -> tuple[int, Any]:
        form = {name: values[0] for name, values in parse_qs(str(request.body)).items()}
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        granted = self.granted.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if request.headers["Authorization"] != f"Basic {login}":
            return 401, {"error": "invalid_client"}
        if granted is None or granted["code_challenge"] != challenge or granted["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "for-grace", "token_type": "Bearer", "scope": "openid email groups"}

    def _answer(self, request: requests.PreparedRequest, status: int, body: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = status
        response.raw = BytesIO((body if isinstance(body, str) else json.dumps(body)).encode())
        response.request = request
        response.url = str(request.url)
        return response
