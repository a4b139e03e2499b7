"""Every way in which the API refuses, as the whole Status object that clients read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.known_differences import since
from tests.services.kubernetes_api import KubernetesApi, Reply
from tests.services.workloads import job, notes

ANOTHER = "00000000-0000-4000-8000-000000000000"
Ask = Callable[[KubernetesApi], Reply]


@pytest.fixture
def filled(api: KubernetesApi) -> KubernetesApi:
    """A ConfigMap ``a``, and a Job ``work`` that wants no pods."""
    assert api.create("configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}}).code == 201
    assert api.create("jobs", job("work", "true", notes(), parallelism=0)).code == 201
    return api


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return {**body, "details": details} if details else body


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
EXACT: dict[str, tuple[Ask, dict[str, Any]]] = {
    "reading what is not there": (
        lambda api: api.get("configmaps", "nothing"),
        status(404, "NotFound", 'configmaps "nothing" not found', name="nothing", kind="configmaps"),
    ),
    "deleting what is not there": (
        lambda api: api.delete("jobs", "nothing"),
        status(404, "NotFound", 'jobs.batch "nothing" not found', name="nothing", group="batch", kind="jobs"),
    ),
    "replacing what is not there": (
        lambda api: api.replace("configmaps", {"metadata": {"name": "nothing"}}),
        status(404, "NotFound", 'configmaps "nothing" not found', name="nothing", kind="configmaps"),
    ),
    "creating what is there": (
        lambda api: api.create("jobs", job("work", "true", notes())),
        status(409, "AlreadyExists", 'jobs.batch "work" already exists', name="work", group="batch", kind="jobs"),
    ),
    "creating what is there, only to see": (
        lambda api: api.create("configmaps", {"metadata": {"name": "a"}}, dryRun="All"),
        status(409, "AlreadyExists", 'configmaps "a" already exists', name="a", kind="configmaps"),
    ),
    "replacing an older version": (
        lambda api: api.replace("configmaps", {"metadata": {"name": "a", "resourceVersion": "1"}}),
        status(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on configmaps "a": {MODIFIED}',
            name="a",
            kind="configmaps",
        ),
    ),
    "patching an older version": (
        lambda api: api.patch("jobs", "work", {"metadata": {"resourceVersion": "1"}}),
        status(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on jobs.batch "work": {MODIFIED}',
            name="work",
            group="batch",
            kind="jobs",
        ),
    ),
    "a propagation policy that there is not": (
        lambda api: api.delete("configmaps", "a", propagationPolicy="Sideways"),
        status(
            422,
            "Invalid",
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": '
            'supported values: "Foreground", "Background", "Orphan", "nil"',
            group="meta.k8s.io",
            kind="DeleteOptions",
            causes=[
                {
                    "reason": "FieldValueNotSupported",
                    "message": 'Unsupported value: "Sideways": '
                    'supported values: "Foreground", "Background", "Orphan", "nil"',
                    "field": "propagationPolicy",
                }
            ],
        ),
    ),
    "another namespace in the body": (
        lambda api: api.create("configmaps", {"metadata": {"name": "b", "namespace": "other"}}),
        status(
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ),
    "a body without a name": (
        lambda api: api.create("configmaps", {"metadata": {}}),
        status(
            422,
            "Invalid",
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            kind="ConfigMap",
            causes=[
                {
                    "reason": "FieldValueRequired",
                    "message": "Required value: name or generateName is required",
                    "field": "metadata.name",
                }
            ],
        ),
    ),
    "a namespace that is not there": (
        lambda api: api.call("POST", "/api/v1/namespaces/no-such/configmaps", {"metadata": {"name": "a"}}),
        status(404, "NotFound", 'namespaces "no-such" not found', name="no-such", kind="namespaces"),
    ),
    "deleting a namespace that every cluster has": (
        lambda api: api.delete("namespaces", "default"),
        status(
            403,
            "Forbidden",
            'namespaces "default" is forbidden: this namespace may not be deleted',
            name="default",
            kind="namespaces",
        ),
    ),
    "a method that a collection has not": (
        lambda api: api.call("PUT", api.path("configmaps"), {"metadata": {"name": "a"}}),
        {
            **status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
            "details": {},
        },
    ),
    "a resource that there is not": (
        lambda api: api.call("GET", api.path("gadgets")),
        {**status(404, "NotFound", "the server could not find the requested resource"), "details": {}},
    ),
    "a subresource that there is not": (
        lambda api: api.call("GET", api.path("configmaps", "a", "status")),
        {**status(404, "NotFound", "the server could not find the requested resource"), "details": {}},
    ),
    "a match without a version": (
        lambda api: api.list("configmaps", resourceVersionMatch="Exact"),
        status(
            422,
            "Invalid",
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden '
            "unless resourceVersion is provided",
            group="meta.k8s.io",
            kind="ListOptions",
            causes=[
                {
                    "reason": "FieldValueForbidden",
                    "message": "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                    "field": "resourceVersionMatch",
                }
            ],
        ),
    ),
    "an unknown match": (
        lambda api: api.list("configmaps", resourceVersionMatch="Odd", resourceVersion="1"),
        status(
            422,
            "Invalid",
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Odd": '
            'supported values: "Exact", "NotOlderThan", ""',
            group="meta.k8s.io",
            kind="ListOptions",
            causes=[
                {
                    "reason": "FieldValueNotSupported",
                    "message": 'Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", ""',
                    "field": "resourceVersionMatch",
                }
            ],
        ),
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_a_refusal_is_the_same_word_for_word(filled: KubernetesApi, case: str) -> None:
    ask, expected = EXACT[case]
    answer = ask(filled)
    assert answer.body == expected
    assert answer.code == expected["code"]


ESSENCE: dict[str, tuple[Ask, int, str, dict[str, Any]]] = {
    "deleting another object of that name": (
        lambda api: api.delete("jobs", "work", preconditions={"uid": ANOTHER}),
        409,
        "Conflict",
        {"name": "work", "group": "batch", "kind": "Job"},
    ),
    "deleting another version": (
        lambda api: api.delete("configmaps", "a", preconditions={"resourceVersion": "1"}),
        409,
        "Conflict",
        {"name": "a", "kind": "ConfigMap"},
    ),
    "replacing another object of that name": (
        lambda api: api.replace("configmaps", {"metadata": {"name": "a", "uid": ANOTHER}}),
        409,
        "Conflict",
        {"name": "a", "kind": "configmaps"},
    ),
    "replacing a certain object that is gone": (
        lambda api: api.replace("configmaps", {"metadata": {"name": "gone", "uid": ANOTHER}}),
        409,
        "Conflict",
        {"name": "gone", "kind": "configmaps"},
    ),
}


@pytest.mark.parametrize("case", ESSENCE)
def test_a_refusal_names_what_it_is_about(filled: KubernetesApi, case: str) -> None:
    ask, code, reason, details = ESSENCE[case]
    answer = ask(filled)
    assert (answer.code, answer.body["code"], answer.body["reason"]) == (code, code, reason)
    assert answer.body["details"] == details
    assert answer.body["message"].startswith("Operation cannot be fulfilled on ")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"labelSelector": "a in b"}, 400),
        ({"labelSelector": "a b"}, 400),
        ({"fieldSelector": "metadata.name"}, 400),
        ({"timeoutSeconds": "x"}, 400),
        ({"continue": "garbage"}, 400),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "4", "continue": "x"}, 422),
        ({"watch": "true", "labelSelector": "a==b==c"}, 400),
        ({"watch": "true", "fieldSelector": "spec.colour=red"}, 400),
        ({"watch": "true", "resourceVersionMatch": "Exact", "resourceVersion": "1"}, 422),
    ],
)
def test_parameters_that_make_no_sense_are_refused(api: KubernetesApi, query: dict[str, str], code: int) -> None:
    refused = api.list("configmaps", **query)
    assert refused.code == code
    assert refused.body["reason"] == {400: "BadRequest", 422: "Invalid"}[code]


@pytest.mark.parametrize(
    "query",
    [
        {"sendInitialEvents": "true"},
        {"watch": "true", "sendInitialEvents": "true"},
        {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
    ],
)
def test_initial_events_are_asked_for_properly(api: KubernetesApi, query: dict[str, str]) -> None:
    since(api, "sendInitialEvents without resourceVersionMatch, or on a list")
    refused = api.list("configmaps", **query)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_a_dry_run_is_of_all_stages(filled: KubernetesApi, verb: str) -> None:
    if verb == "create":
        refused = filled.create("configmaps", {"metadata": {"name": "b"}}, dryRun="Some")
    else:
        refused = filled.delete("configmaps", "a", dryRun=["Some"])
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert refused.body["details"]["causes"][0]["field"] == "dryRun"
    assert filled.get("configmaps", "a").code == 200
    assert filled.get("configmaps", "b").code == 404


def test_a_dry_run_deletes_nothing(filled: KubernetesApi) -> None:
    assert filled.delete("configmaps", "a", dryRun=["All"]).code == 200
    assert filled.call("DELETE", filled.path("configmaps"), dryRun="All").code == 200
    assert filled.get("configmaps", "a").code == 200


def test_a_generated_name_is_cut_to_what_a_label_may_be(api: KubernetesApi) -> None:
    made = api.create("configmaps", {"metadata": {"generateName": "a" * 70}})
    assert made.name.startswith("a" * 58)
    assert len(made.name) == 63


def test_a_prefix_of_generated_names_has_to_be_fit_for_a_name(api: KubernetesApi) -> None:
    refused = api.create("configmaps", {"metadata": {"generateName": "A_"}})
    assert refused.code == 422
    assert [cause["field"] for cause in refused.body["details"]["causes"]] == ["metadata.generateName", "metadata.name"]


def test_unknown_fields_are_dropped_or_refused_as_asked(api: KubernetesApi) -> None:
    manifest = {"metadata": {"name": "a"}, "colour": "red"}
    assert "colour" not in api.create("configmaps", manifest, dryRun="All").body
    since(api, "fieldValidation")
    refused = api.create("configmaps", manifest, fieldValidation="Strict")
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
    assert 'unknown field "colour"' in refused.body["message"]
