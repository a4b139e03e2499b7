"""The description of the server's routes says what they take and answer, with examples that are right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from lando.definitions import JobManager, JobSigner, StaticJobDefinitionsRegister
from lando.definitions.server import create_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    manager = JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister())
    found: dict[str, Any] = TestClient(create_app(manager, lambda request: None)).get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_each_parameter_is_described(document: dict[str, Any]) -> None:
    found = {
        (name, parameter["name"]): parameter.get("description")
        for name, operation in operations(document)
        for parameter in operation.get("parameters", ())
    }
    assert len(found) > 10
    assert [where for where, description in found.items() if not description] == []


def test_each_error_that_a_route_answers_has_its_meaning_and_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        answered = {status for status in operation["responses"] if status.isdigit() and status != "200"}
        assert answered >= ({"401", "403", "404", "503"} if name != "get /healthcheck" else set()), name
        for status in answered:
            response = operation["responses"][status]
            assert response["description"]
            assert response["content"]["application/json"]["example"].keys() == {"error", "message"}
    post = document["paths"]["/jobs"]["post"]["responses"]
    assert {"400", "409", "413", "422"} <= post.keys()


def test_the_examples_are_valid(document: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(document):
        media = [*operation.get("requestBody", {}).get("content", {}).values()]
        for response in operation["responses"].values():
            media += response.get("content", {}).values()
        for content in media:
            schema = content["schema"]
            for example in (content.get("example"), schema.get("example")):
                if example is not None:
                    assert not list(Draft202012Validator(schema).iter_errors(example)), (name, example)
                    checked += 1
    assert checked > 30
