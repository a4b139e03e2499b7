"""Requests that schemathesis makes up from the OpenAPI document, sent to the server in this process, as staff, as a
user and as nobody: each answer has to be one that the document tells of.
"""

from __future__ import annotations

import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import kubernetes.client
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from lando.api import setup
from lando.api.bodies import REFERENCE_SCHEMA
from lando.api.media_types import JSON, ROOT_OBJECT, has_resources
from lando.api.models import Token, User
from lando.api.site import MAX_PATIENT
from lando.archive import Archive
from lando.config import ClusterSettings
from lando.definitions.served.service import Service
from lando.k8s.cluster import KubernetesCluster
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import delete, select
from tests.unit.api.serving import PACKED, Api
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job
from tests.unit.definitions.test_served import pod

STAFF, USER, NOBODY = "fuzz-staff", "fuzz-user", "nobody"
PASSWORD = "s3cret"
ROLES = (STAFF, USER, NOBODY)
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
JOBS = ("done", "failed", "others")
"""Of definitions; the first two are the user's."""
LIKELY: dict[str, list[Any]] = {
    "destination_path": ["a", "b", "c/d"],
    "details": [[]],
    "fields": [[], [{"name": "reads", "type": "File[]"}]],
    "job_order": [{"threads": 4, "reads": []}],
    "memory": ["1Gi"],
    "packed": [PACKED],
    "password": [PASSWORD],
    "tag": [f"{USER}-read-counts/1/default", "some-tag"],
    "token": ["T-1"],
    "url": ["https://x.org/a"],
    "username": [USER],
    "version": ["1", "2.0"],
    "version_info_url": ["https://x.org/v", None],
    "volume_mounts": ["{}"],
}
"""Values that get a body past the first checks, by its keys."""
DEFINITIONS = """
- {name: greet, spec: "metadata: {name: greet}"}
- {name: by-map, spec_config_map_name: by-map, spec_config_map_namespace: jobs}
- {name: odd, spec: "metadata: {name: '{{ name }}'}"}
"""
_FIRST = "/api/lando/v1/dead-letters"
"""Before there are connections to brokers that nobody has."""


@dataclass
class Report:
    """What was sent and what came of it."""

    operations: int = 0
    requests: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    done: set[str] = field(default_factory=set)
    """Operations that did what they were asked for at least once."""
    findings: dict[str, str] = field(default_factory=dict)
    """By method, path, role and what is wrong: the first such request and its answer."""

    def __str__(self) -> str:
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.answers.items()))
        operations = f"{self.operations} operations, of which {len(self.done)} succeeded"
        return f"{operations}, {self.requests} requests, {len(self.findings)} findings ({answers})"


def fuzz(api: Api, *, examples: int, seed: int, only: str = "") -> Report:
    """Send ``examples`` requests for each operation (its path holds ``only``) by whom it is for, and one by others."""
    report = Report()
    _populate(api)
    schema = schemathesis.openapi.from_dict(_with_ids(api.app.openapi()))
    operations = [result.ok() for result in schema.get_all_operations()]
    with _no_waiting(api), _no_network(), _definitions(api):
        for operation in sorted(operations, key=lambda one: (not one.path.startswith(_FIRST), one.method == "delete")):
            if only in operation.path:
                report.operations += 1
                _try(api, operation, report, examples=examples, seed=seed)
    return report


@contextmanager
def _definitions(api: Api) -> Iterator[None]:
    """Have definitions, and a cluster with some Jobs of theirs, all ended: nobody is to wait for one."""
    with api.site.database.read() as session:
        user = session.scalars(select(User.id).where(User.username == USER)).one()
    batch, core = FakeBatch(), FakeCore()
    for name, condition, owner in zip(JOBS, ("Complete", "Failed", "Complete"), (user, user, user + 1), strict=True):
        labels = {"app.kubernetes.io/managed-by": "ours", "lando-user": str(owner)}
        batch.jobs[name] = job(name, condition=condition, labels=labels)
    core.pods = [pod("done-x")]
    core.logs["done-x", "main"] = b"hello\n"
    core.config_maps["jobs", "by-map"] = {"by-map": "metadata: {name: mapped}"}
    settings = ClusterSettings(namespace="jobs", host="https://127.0.0.1:1")
    with (
        tempfile.TemporaryDirectory() as folder,
        KubernetesCluster(settings) as cluster,
        mock.patch.object(kubernetes.client, "BatchV1Api", return_value=batch),
        mock.patch.object(kubernetes.client, "CoreV1Api", return_value=core),
    ):
        file = Path(folder) / "definitions.yaml"
        file.write_text(DEFINITIONS)
        archive = Archive(f"{folder}/archive")
        api.site.settings = replace(api.site.settings, definitions_for="users")
        api.site.definitions = Service(cluster, str(file), signature="ours", retention_s=60, kept_s=60, archive=archive)
        yield


def _try(api: Api, operation: Any, report: Report, *, examples: int, seed: int) -> None:
    modes = schemathesis.GenerationMode
    cases = operation.as_strategy(generation_mode=modes.POSITIVE) | operation.as_strategy(
        generation_mode=modes.NEGATIVE
    )
    roles = _who_gets_further(operation)
    strangers = [role for role in ROLES if role not in roles] if examples > 1 else []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, wraps=st.booleans())
    def send(case: Any, wraps: bool) -> None:
        for role in (*roles, *strangers):
            _send(api, case, role, ROOT_OBJECT if wraps else JSON, report)
        strangers.clear()  # to them, all has been said

    send()
    if "user" in operation.path or "token" in operation.path:
        _sign_in(api)


def _who_gets_further(operation: Any) -> list[str]:
    """The roles that an operation may do something for; it refuses all others alike."""
    ways = operation.definition.raw.get("security")
    if not ways:
        return list(ROLES)
    return [STAFF] if all("staff" in names for way in ways for names in way.values()) else [STAFF, USER]


def _send(api: Api, case: Any, role: str, accept: str, report: Report) -> None:
    request = case.as_transport_kwargs(base_url="http://testserver")
    headers = {str(key): str(value) for key, value in (request.pop("headers", None) or {}).items()}
    headers = {key: value for key, value in headers.items() if key.lower() not in ("authorization", "cookie")}
    if role in api.tokens:
        headers["Authorization"] = f"Token {api.tokens[role]}"
    if has_resources(case.path):
        headers["Accept"] = accept
    request.pop("cookies", None)
    api.client.cookies.clear()
    answer = api.client.request(
        request.pop("method"),
        request.pop("url"),
        headers=_sendable(headers),
        follow_redirects=False,
        **{
            "content" if key == "data" and isinstance(value, bytes | str) else key: value
            for key, value in request.items()
        },
    )
    report.requests += 1
    report.answers[answer.status_code] += 1
    if answer.status_code < 400:
        report.done.add(f"{case.method} {case.path}")
    problems = [f"a failure of the server: {answer.text[:500]}"] if answer.status_code >= 500 else []
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as group:
        problems += [f"{failure.title}: {failure.message}" for failure in group.exceptions]
    for problem in problems:
        place = f"{case.method} {case.path} as {role}: {problem.splitlines()[0][:120]} [{answer.status_code}]"
        shown = case.as_curl_command(headers={"Authorization": role})
        report.findings.setdefault(place, f"{shown}\n{problem}\n{answer.text[:300]}")


def _sendable(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {key.encode("latin-1", "replace"): value.encode("latin-1", "replace") for key, value in headers.items()}


def _with_ids(document: dict[str, Any]) -> dict[str, Any]:
    """The document with ids that there are, most of the time, so that more than 400 and 404 is answered."""
    document = _replaced(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"].endswith("_id"):
                    parameter["schema"] = {"enum": ["1", "2", "3", "99", "x"]}
                if parameter["name"] == "job_name":
                    parameter["schema"] = {"enum": [*JOBS, "never"]}
    made = document["paths"]["/k8s-jobs/jobs"]["post"]["requestBody"]["content"][JSON]["schema"]
    made["properties"]["job_definition_name"] = {
        "enum": ["greet", "by-map", "odd"]
    }  # others come as what is not allowed
    return document


def _replaced(part: Any) -> Any:
    if isinstance(part, list):
        return [_replaced(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("anyOf") == REFERENCE_SCHEMA["anyOf"]:
        return {"enum": [1, 2, "1", 99]}
    changed = {key: _replaced(value) for key, value in part.items()}
    if isinstance(properties := changed.get("properties"), dict):
        for name in properties.keys() & LIKELY.keys():
            properties[name] = {"anyOf": [{"enum": LIKELY[name]}, properties[name]]}
    return changed


def _populate(api: Api) -> None:
    """One row of every kind, of id 1, of the ordinary user."""
    _sign_in(api)
    job = api.new_job(USER)
    stage = {"stage_group": 1, "destination_path": "a", "sequence_group": 0, "sequence": 0}
    assert api.post("/api/v2/url-job-input-files/", {**stage, "url": "https://x.org/a"}, USER).is_success
    store = {"project_id": "p", "file_id": "f", "dds_user_credentials": 1, "destination_path": "b"}
    assert api.post("/api/v2/dds-job-input-files/", {**stage, **store}, USER).is_success
    assert api.post(f"/api/v2/jobs/{job}/start/", user=USER).is_success
    api.write(job, "R/S", "E/S")
    error = {"job": job, "job_step": "S", "content": "x"}
    assert api.post("/api/v2/admin/job-errors/", error, "lando").is_success
    assert api.post("/api/admin/job-tokens/", {"token": "T-1"}, "lando").is_success


def _sign_in(api: Api) -> None:
    """Give both tokens that work, whatever was done to users and tokens before."""
    with api.site.database.write() as session:
        for name in (STAFF, USER):
            user = session.scalars(select(User).where(User.username == name)).first()
            if user is None:
                user = setup.create_user(session, name, password=PASSWORD)
            user.is_active, user.is_staff = True, name == STAFF
            session.execute(delete(Token).where(Token.user_id == user.id))
            api.tokens[name] = setup.issue_token(session, api.site.key, name)


@contextmanager
def _no_waiting(api: Api) -> Iterator[None]:
    """Nobody may wait for something to happen: all places are taken."""
    for _ in range(MAX_PATIENT):
        api.site.patience.acquire()
    try:
        yield
    finally:
        for _ in range(MAX_PATIENT):
            api.site.patience.release()


@contextmanager
def _no_network() -> Iterator[None]:
    with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror("there is no network here")):
        yield
