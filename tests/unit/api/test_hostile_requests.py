"""Whatever is sent to whatever route, the answer is never a failure of the server."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from tests.unit.api.serving import Api, described

ODD_VALUES: list[Any] = [
    *(None, True, -1, 2**40, 2**70, "\0", "x" * 70_000, "ü\U0001f9ec", "R", [[]], {"a": 1}, {"a": "\0"}),
    "'; DROP TABLE jobs; --",
]
RAW_BODIES = [b"", b"null", b"[]", b'"x"', b"NaN", b'{"name": NaN}', b'{"name": "\\ud800"}', b"\xff", b"{" * 3000]
ODD_IDS = ["%00", "99999999999999999999", "%2e%2e", "%ff", "٣"]
ODD_QUERIES = [
    "?state=%00&job=%00&job=x&tag=%00&workflow=x&step=%00&name=%00",
    "?state=' OR 1=1 --&job=-1&workflow=999999999999999999999999&tag='&workflow__tag=%F0%9F%A7%AC&version=%25&email=",
]


@pytest.mark.parametrize("turn", range(3))
def test_odd_values_in_every_field_are_answered(api: Api, turn: int) -> None:
    """Each value in all fields of a body at once; of the pairs of value and field, each third."""
    api.new_job("operator")
    seen = set()
    turns = itertools.count(turn)
    for method, path, fields in described(api):
        if method == "GET" or not fields or (method == "PUT" and tuple(fields) in seen):
            continue  # the same body as a POST's
        seen.add(tuple(fields))
        bodies = [dict.fromkeys(fields, value) for value in ODD_VALUES[turn::3]]
        bodies += [{field: value} for value in ODD_VALUES for field in fields if next(turns) % 9 == 0]
        for body in bodies:
            answer = api.call(method, path, body, "operator")
            assert answer.status_code < 500, (method, path, body, answer.text)
            if answer.status_code >= 400:
                assert isinstance(answer.json(), (dict, list))


def test_bodies_that_are_no_object_are_answered(api: Api) -> None:
    api.new_job("operator")
    headers = {"Content-Type": "application/json"}
    for number, (method, path, _) in enumerate(described(api)):
        for body in RAW_BODIES[number % 3 :: 3] if method != "GET" else []:
            answer = api.call(method, path, user="operator", content=body, headers=headers)
            assert answer.status_code < 500, (method, path, body, answer.text)


def test_odd_ids_and_queries_are_answered(api: Api) -> None:
    api.new_job("operator")
    paths = api.app.openapi()["paths"]
    for number, path in enumerate(paths):
        for text in ODD_IDS[number % 2 :: 2] if "{" in path else []:
            filled = re.sub(r"\{[^}]*\}", text, path)
            answer = api.get(filled, "operator")
            assert answer.status_code < 500, (filled, answer.text)
        for query in ODD_QUERIES:
            answer = api.get(re.sub(r"\{[^}]*\}", "1", path) + query, "operator")
            assert answer.status_code < 500, (path, query, answer.text)
    assert api.get("/api/v2/jobs/?state=' OR 1=1 --").json() == []


def test_odd_ids_and_texts_are_answers_not_failures(api: Api) -> None:
    job = api.new_job()
    for odd in ("99999999999999999999", "2147483648", "-1", "%00"):
        assert api.get(f"/api/v2/admin/jobs/{odd}/", "lando").status_code == 404
    assert api.get("/api/v2/admin/jobs/?state=%00", "lando").json() == []
    assert api.get("/api/v2/workflows/?tag=%00x").json() == []
    assert api.get("/api/v2/job-strategies/?name=%00x").json() == []
    assert api.get("/api/job-errors/?job=99999999999").json() == []
    error = {"job": str(job), "job_step": "", "content": "a\0 ü \U0001f9ec"}
    assert api.post("/api/v2/admin/job-errors/", error, "lando").status_code == 201
    body = {"job": 2**31, "job_step": "S", "content": "x"}
    assert api.post("/api/v2/admin/job-errors/", body, "lando").status_code == 400
    assert api.put("/api/v2/admin/jobs/1/", {"name": "x" * 256}).status_code == 400


def test_a_workflow_with_odd_texts_is_kept(api: Api) -> None:
    packed = {"cwlVersion": "v1.2", "class": "CommandLineTool", "doc": "a\0b", "inputs": {"n\0": "int", "'": "File?"}}
    answer = api.post("/api/lando/v1/workflows", {"name": "\U0001f9ec '; --", "packed": packed})
    assert answer.status_code == 201, answer.text
    assert api.post("/api/v2/job-templates/init", {"tag": answer.json()["tag"]}).status_code == 201
