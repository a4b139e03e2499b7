"""An API server in the process as tests use it, and a broker that notes what it is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI
from lando.api import setup
from lando.api.outbox import Connection
from lando.api.site import Site
from lando.errors import Unavailable
from lando.messages import Message, codec

PACKED = {
    "cwlVersion": "v1.2",
    "$graph": [
        {
            "class": "Workflow",
            "id": "#main",
            "doc": "Counts reads",
            "inputs": [
                {"id": "#main/threads", "type": "int"},
                {"id": "#main/reads", "type": {"type": "array", "items": "File"}},
                {"id": "#main/label", "type": ["null", "string"]},
            ],
            "outputs": [],
            "steps": [],
        }
    ],
}


SIGN_IN = {
    "/api-auth-token",
    "/api-auth/login",
    "/api-auth/logout",
    "/auth/api-token-auth",
    "/auth/api-token-refresh",
    "/auth/api-token-verify",
    "/auth/authorize",
    "/auth/code_callback",
}
"""Routes by which people sign in, so that they ask for no sign-in themselves."""


@dataclass
class FakeBroker:
    """Notes what is published; ``away`` makes every publication fail."""

    bodies: list[bytes] = field(default_factory=list)
    properties: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    away: bool = False
    blocked: str | None = None
    trouble: str | None = None

    def wrong(self) -> str | None:
        return self.trouble

    def __call__(self, connection: Connection) -> FakeBroker:
        return self

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        future: Future[None] = Future()
        if self.away:
            future.set_exception(Unavailable("broker", "connection refused"))
        else:
            self.bodies.append(body)
            self.properties.append((queue, content_type, message_id))
            future.set_result(None)
        return future

    def notify(self, body: bytes) -> None:
        raise AssertionError("the API sends no progress notices")

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing to close."""

    @property
    def messages(self) -> list[Message]:
        return [codec.decode(body) for body in self.bodies]


@dataclass
class Api:
    """One server and the clients of its users."""

    app: FastAPI
    client: httpx2.Client
    broker: FakeBroker
    tokens: dict[str, str]

    @property
    def site(self) -> Site:
        site: Site = self.app.state.site
        return site

    def as_user(self, username: str) -> dict[str, str]:
        """Headers that sign ``username`` in, who is made when new."""
        if username not in self.tokens:
            with self.site.database.write() as session:
                setup.create_user(session, username)
                self.tokens[username] = setup.issue_token(session, self.site.key, username)
        return {"Authorization": f"Token {self.tokens[username]}"}

    def call(self, method: str, path: str, body: Any = None, user: str = "ada", **options: Any) -> httpx2.Response:
        headers = {**self.as_user(user), **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, user: str = "ada", **options: Any) -> httpx2.Response:
        return self.call("GET", path, user=user, **options)

    def post(self, path: str, body: Any = None, user: str = "ada") -> httpx2.Response:
        return self.call("POST", path, body, user=user)

    def put(self, path: str, body: Any, user: str = "lando", **headers: str) -> httpx2.Response:
        return self.call("PUT", path, body, user=user, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def register(self, user: str = "ada", name: str = "Read counts", **more: Any) -> str:
        """A workflow of the user's; its tag."""
        answer = self.post("/api/lando/v1/workflows", {"name": name, "packed": PACKED, "checked": True, **more}, user)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["tag"])

    def stage_group(self, user: str = "ada") -> int:
        return int(self.post("/api/v2/job-file-stage-groups/", {}, user).json()["id"])

    def form(self, user: str = "ada", **changes: Any) -> dict[str, Any]:
        """A filled-in template that makes a job."""
        form = {
            "tag": self.register(user),
            "name": "batch 17",
            "fund_code": "F-100",
            "stage_group": self.stage_group(user),
            "job_order": {"threads": 4, "reads": [{"class": "File", "path": "a.fastq"}]},
        }
        return {**form, **changes}

    def new_job(self, user: str = "ada", **changes: Any) -> int:
        answer = self.post("/api/v2/job-templates/create-job", self.form(user, **changes), user)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["job"])

    def write(self, job: int, *letters: str) -> None:
        """Let the daemon write ``R/S`` and the like, one after the other."""
        for pair in letters:
            state, _, step = pair.partition("/")
            assert self.put(f"/api/v2/admin/jobs/{job}/", {"state": state, "step": step}).status_code == 200

    def state(self, job: int, user: str = "ada") -> str:
        return str(self.get(f"/api/v2/jobs/{job}/", user).json()["state"])

    def published(self) -> list[tuple[str, int]]:
        """Commands that reached the broker, after everything that is due has been sent."""
        self.site.outbox.drain()
        return [(message.command.value, message.run_id) for message in self.broker.messages]


def described(api: Api) -> list[tuple[str, str, list[str]]]:
    """Method, path (ids filled in) and body fields of every route."""
    document = api.app.openapi()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            references = re.findall(r"#/components/schemas/(\w+)", json.dumps(body))
            fields = [
                name
                for reference in references
                for name in document["components"]["schemas"][reference].get("properties", {})
            ]
            found.append((method.upper(), re.sub(r"\{[^}]*\}", "1", path), fields))
    return found


Serve = Callable[..., Api]
"""Starts a server; keywords change its settings."""
