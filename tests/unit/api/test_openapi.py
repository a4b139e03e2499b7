"""The OpenAPI document tells everything: each route with what it takes and every answer that it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from lando.api import media_types
from lando.api.media_types import JSON, ROOT_OBJECT
from lando.api.openapi import TAGS
from tests.unit.api.serving import Api

Operation = dict[str, Any]


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    answer = api.client.get("/api/lando/v1/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_route_has_a_summary_a_tag_and_a_name_of_its_own(document: dict[str, Any]) -> None:
    names, tags = [], {name for name, _ in TAGS}
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert set(operation.get("tags", ())) <= tags, (method, path, operation.get("tags"))
        assert operation["tags"], (method, path)
        names.append(operation["operationId"])
    assert len(set(names)) == len(names) > 100


def test_every_answer_has_a_description_and_a_schema(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        successes = [status for status in operation["responses"] if status[0] in "23"]
        assert successes, (method, path)
        for status, response in operation["responses"].items():
            where = (method, path, status)
            assert response["description"], where
            if status in ("204", "302", "303"):
                continue
            assert response["content"], where
            for media in response["content"].values():
                assert media["schema"], where
                is_loose = media["schema"].get("additionalProperties") is True and "properties" not in media["schema"]
                assert not is_loose, (*where, "any object at all is no schema")


def test_every_write_says_what_it_takes(document: dict[str, Any]) -> None:
    without = {("post", "/api/lando/v1/resync"), ("post", "/api/lando/v1/prune")}
    for method, path, operation in operations(document):
        if method in ("post", "put", "patch") and (method, path) not in without:
            content = operation["requestBody"]["content"]
            assert content, (method, path)
            assert all(media["schema"] for media in content.values()), (method, path)


def test_every_route_says_who_may_ask_and_what_others_are_told(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"token", "webToken", "session"}
    for method, path, operation in operations(document):
        ways = operation.get("security", [])
        assert bool(ways) == ("401" in operation["responses"]) or path.startswith(
            ("/auth/api-token-session", "/api/lando/v1/files/")
        ), (method, path)
        if ways:
            assert {name for way in ways for name in way} == set(schemes), (method, path)
        if "/admin/" in path and "workflow-methods-documents" not in path:
            assert all(roles == ["staff"] for way in ways for roles in way.values()), (method, path)


def test_bespins_routes_show_both_media_types(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            assert (ROOT_OBJECT in content) == (JSON in content and media_types.has_resources(path)), (path, status)
        taken = operation.get("requestBody", {}).get("content", {})
        if media_types.has_resources(path) and taken:
            name = media_types.resource_of(path)
            assert (ROOT_OBJECT in taken) == (name is not None), (method, path)
            if name is not None:
                assert list(taken[ROOT_OBJECT]["schema"]["properties"]) == [name]


def test_every_reference_leads_somewhere_and_no_schema_is_left_over(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert names == set(document["components"]["schemas"])
    assert not [name for name in names if not name.isalnum()], "two schemas of one name"
    assert "HTTPValidationError" not in names


def test_what_is_not_said_of_an_answer_does_not_leave_the_server(api: Api) -> None:
    """FastAPI lets out what the document shows; the shapes have to be whole, or clients lose keys."""
    job = api.new_job()
    schemas = api.app.openapi()["components"]["schemas"]
    for path, name in ((f"/api/v2/jobs/{job}/", "Job"), (f"/api/lando/v1/runs/{job}", "Run")):
        assert list(api.get(path).json()) == list(schemas[name]["properties"])
    admin = api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()
    assert list(admin) == list(schemas["AdminJob"]["properties"])
    assert list(admin["workflow_version"]) == list(schemas["Version"]["properties"])
