"""What a request is about, and which options come with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from lando.local.http.options import DeleteOptions, ListOptions, LogOptions
from lando.local.http.routing import RequestInfo, parse_request
from lando.local.rules.status import ApiError


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/n/pods", {}, ("list", "", "pods", "n", "", "")),
        ("GET", "/api/v1/namespaces/n/pods", {"watch": "1"}, ("watch", "", "pods", "n", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p/log", {}, ("get", "", "pods", "n", "p", "log")),
        ("POST", "/apis/batch/v1/namespaces/n/jobs", {}, ("create", "batch", "jobs", "n", "", "")),
        ("DELETE", "/apis/batch/v1/namespaces/n/jobs", {}, ("deletecollection", "batch", "jobs", "n", "", "")),
        ("PATCH", "/apis/batch/v1/namespaces/n/jobs/j/status", {}, ("patch", "batch", "jobs", "n", "j", "status")),
        ("GET", "/api/v1/namespaces", {"watch": "false"}, ("list", "", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/n", {}, ("get", "", "namespaces", "n", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", {}, ("update", "", "namespaces", "n", "n", "finalize")),
    ],
)
def test_paths_of_resources(
    method: str, path: str, query: dict[str, str], expected: tuple[str, str, str, str, str, str]
) -> None:
    info = parse_request(method, path, query)
    assert (info.verb, info.group, info.resource, info.namespace, info.name, info.subresource) == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis/batch", "/apis/batch/v1", "/healthz", "/api/v1/a/b/c/d"]
)
def test_other_paths_name_no_resource(path: str) -> None:
    info = parse_request("GET", path + "/", {})
    assert info == RequestInfo(path=path, verb="get")


def test_delete_options_come_from_the_body_or_else_the_query() -> None:
    query = {"propagationPolicy": "Orphan", "gracePeriodSeconds": "7", "dryRun": "All"}
    from_query = DeleteOptions.read(query, {})
    assert (from_query.propagation, from_query.grace_period_s, from_query.dry_run) == ("Orphan", 7, True)
    body = {"propagationPolicy": "Foreground", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}
    from_body = DeleteOptions.read(query, body)
    assert (from_body.propagation, from_body.grace_period_s, from_body.uid) == ("Foreground", 0, "u")
    assert DeleteOptions.read({}, {"orphanDependents": False}).propagation == "Background"
    assert DeleteOptions.read({}, {}).propagation is None


@pytest.mark.parametrize(
    ("query", "watching", "code"),
    [
        ({"resourceVersionMatch": "Exact"}, False, 422),
        ({"resourceVersionMatch": "Nearly", "resourceVersion": "1"}, False, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, False, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "5"}, True, 422),
        ({"sendInitialEvents": "true"}, True, 422),
        ({"sendInitialEvents": "true"}, False, 422),
        ({"continue": "x", "resourceVersion": "5"}, False, 400),
        ({"resourceVersion": "soon"}, False, 400),
        ({"limit": "few"}, False, 400),
    ],
)
def test_list_options_that_make_no_sense_are_refused(query: dict[str, str], watching: bool, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        ListOptions.read(query, watching=watching)
    assert caught.value.code == code


def test_log_options_know_since_when() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert LogOptions.read({"sinceSeconds": "60"}, "p", now=now).since_time == now - timedelta(seconds=60)
    assert LogOptions.read({"sinceTime": "2030-01-01T00:00:00Z"}, "p").since_time == now
    assert LogOptions.read({"follow": "true", "tailLines": "0"}, "p").tail_lines == 0


@pytest.mark.parametrize(
    "query",
    [{"tailLines": "-1"}, {"limitBytes": "0"}, {"sinceSeconds": "0"}, {"sinceTime": "then"}, {"tailLines": "all"}],
)
def test_log_options_that_make_no_sense_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        LogOptions.read(query, "p")
    assert caught.value.code in (400, 422)
