"""Whatever is sent to whatever route, the answer is never a failure of the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.api.serving import Api, described

ODD_VALUES: list[Any] = [None, True, -1, 2**70, "\0", "x" * 300, "ü\U0001f9ec", "R", [[]], {"a": 1}]
RAW_BODIES = [b"", b"null", b"[]", b'"x"', b"NaN", b'{"name": NaN}', b'{"name": "\\ud800"}', b"\xff", b"{" * 3000]
ODD_IDS = ["%00", "99999999999999999999", "%2e%2e", "%ff", "٣"]
ODD_QUERY = "?state=%00&job=%00&job=x&tag=%00&workflow=x&step=%00&name=%00"


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_odd_values_in_every_field_are_answered(api: Api, value: Any) -> None:
    api.new_job("operator")
    seen = set()
    for method, path, fields in described(api):
        if method == "GET" or not fields or (method == "PUT" and tuple(fields) in seen):
            continue  # the same body as a POST's
        seen.add(tuple(fields))
        for body in [dict.fromkeys(fields, value), *({field: value} for field in fields)]:
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
        answer = api.get(re.sub(r"\{[^}]*\}", "1", path) + ODD_QUERY, "operator")
        assert answer.status_code < 500, (path, answer.text)
