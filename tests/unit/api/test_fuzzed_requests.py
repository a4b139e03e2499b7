"""A random walk over all routes: whatever is sent in whatever order, the server answers in its shapes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.serving import Api, described

WORDS = st.sampled_from(
    ["S", "R", "A", "V", "", "x", "stage_data", "operator", "https://x.org/a", "a/b/c", "1", "-1", "null"]
)
TEXTS = WORDS | st.text(max_size=20)
NUMBERS = st.integers(-2, 3) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
PLAUSIBLE = {
    "stage_group": st.integers(0, 3),
    "job": st.integers(0, 3) | st.just("1"),
    "sequence": st.none() | st.integers(0, 2),
    "sequence_group": st.none() | st.integers(0, 2),
    "destination_path": TEXTS,
    "dds_user_credentials": st.just(1),
    "name": st.text("abc", min_size=1),
    "state": st.sampled_from(list("NASRFEcCrD")),
    "step": st.sampled_from(list("VSRoOPT")),
}
"""Values by which bodies get past the first check now and then."""
REFUSALS = {400, 401, 403, 404, 405, 412, 415, 429}


def bodies(fields: list[str]) -> st.SearchStrategy[Any]:
    named = {name: VALUES | PLAUSIBLE.get(name, VALUES) for name in fields}
    return st.fixed_dictionaries({}, optional=named) | VALUES


@pytest.fixture
def walk(api: Api) -> Any:
    """Somewhere to walk: a job of each kind of state, with inputs, and every route there is."""
    for state in ("", "R/S", "E/S"):
        job = api.new_job("operator")
        if state:
            api.write(job, state)
    return api, [(method, path, fields) for method, path, fields in described(api) if "/logs" not in path]


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_request_makes_the_server_fail(walk: Any, data: st.DataObject) -> None:
    api, routes = walk
    for _ in range(8):
        method, path, fields = data.draw(st.sampled_from(routes))
        if method == "DELETE" and "token" in path:
            continue  # or the walk ends at the sign-in
        number = str(data.draw(st.sampled_from([1, 1, 1, 2, 3, 99])))
        path = re.sub(r"(?<=/)1(?=/|$)", number, path)
        query = data.draw(st.dictionaries(st.sampled_from(["state", "job", "tag", "after", "name"]), TEXTS, max_size=2))
        options: dict[str, Any] = {"params": query}
        if method not in ("GET", "DELETE"):
            body = data.draw(bodies(fields))
            options |= {"content": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}}
        answer = api.call(method, path, user="operator", **options)
        assert answer.status_code < 500, (method, path, options, answer.text)
        if answer.status_code >= 400:
            assert answer.status_code in REFUSALS, (method, path, answer.status_code)
            shape = (dict, list) if answer.status_code == 400 else dict
            assert isinstance(answer.json(), shape), (method, path, answer.text)
        elif answer.status_code != 204 and "json" in answer.headers["content-type"]:
            answer.json()
