"""Creating, reading, changing and refusing objects: the embedded cluster answers as a real one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi

JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def config(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def job(name: str = "work", template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "alpine:3"}], **(template or {})}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


def causes(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {(cause["field"], cause["reason"]) for cause in body["details"]["causes"]}


def test_a_created_object_has_what_the_server_adds(api: KubernetesApi) -> None:
    created = api.create("configmaps", config(colour="red"))
    assert created.code == 201
    assert created.body["kind"] == "ConfigMap"
    assert created.body["apiVersion"] == "v1"
    metadata = created.body["metadata"]
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["namespace"] == api.namespace
    read = api.get("configmaps", "settings")
    assert read.body["data"] == {"colour": "red"}
    assert read.version == created.version


def test_a_taken_name_is_already_exists(api: KubernetesApi) -> None:
    api.create("configmaps", config())
    refused = api.create("configmaps", config())
    assert refused.code == 409
    assert refused.body["reason"] == "AlreadyExists"
    assert refused.body["message"] == 'configmaps "settings" already exists'
    assert refused.body["details"] == {"name": "settings", "kind": "configmaps"}


def test_what_is_not_there_is_not_found_with_its_group(api: KubernetesApi) -> None:
    missing = api.get("jobs", "nothing")
    assert (missing.code, missing.body["reason"]) == (404, "NotFound")
    assert missing.body["message"] == 'jobs.batch "nothing" not found'
    assert missing.body["details"] == {"name": "nothing", "group": "batch", "kind": "jobs"}


def test_a_namespace_that_is_not_there_is_named(api: KubernetesApi) -> None:
    refused = api.call("POST", "/api/v1/namespaces/no-such-one/configmaps", config())
    assert refused.code == 404
    assert refused.body["message"] == 'namespaces "no-such-one" not found'


def test_generate_name_adds_five_characters(api: KubernetesApi) -> None:
    created = api.create("configmaps", {"metadata": {"generateName": "run-"}})
    assert created.name.startswith("run-")
    assert len(created.name) == len("run-") + 5


def test_dry_run_answers_but_stores_nothing(api: KubernetesApi) -> None:
    assert api.create("configmaps", config(), dryRun="All").code == 201
    assert api.get("configmaps", "settings").code == 404


def test_writing_an_old_version_is_a_conflict(api: KubernetesApi) -> None:
    created = api.create("configmaps", config(a="1")).body
    api.patch("configmaps", "settings", {"data": {"a": "2"}})
    refused = api.replace("configmaps", {**created, "data": {"a": "3"}})
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refused.body["message"]


def test_writing_without_a_version_is_unconditional(api: KubernetesApi) -> None:
    api.create("configmaps", config(a="1"))
    assert api.replace("configmaps", config(a="2")).body["data"] == {"a": "2"}


def test_a_write_that_changes_nothing_keeps_the_version(api: KubernetesApi) -> None:
    created = api.create("configmaps", config(a="1"))
    assert api.patch("configmaps", "settings", {"data": {"a": "1"}}).version == created.version


@pytest.mark.parametrize(
    ("content_type", "patch", "expected"),
    [
        ("application/merge-patch+json", {"data": {"a": None, "b": "2"}}, {"b": "2", "keep": "x"}),
        (STRATEGIC, {"data": {"b": "2"}}, {"a": "1", "b": "2", "keep": "x"}),
        (JSON_PATCH, [{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "keep": "x"}),
    ],
)
def test_each_kind_of_patch_is_applied(
    api: KubernetesApi, content_type: str, patch: Any, expected: dict[str, str]
) -> None:
    api.create("configmaps", config(a="1", keep="x"))
    assert api.patch("configmaps", "settings", patch, content_type).body["data"] == expected


def test_a_json_patch_whose_test_fails_changes_nothing(api: KubernetesApi) -> None:
    api.create("configmaps", config(a="1"))
    patch = [{"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/a"}]
    refused = api.patch("configmaps", "settings", patch, JSON_PATCH)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert api.get("configmaps", "settings").body["data"] == {"a": "1"}


def test_a_patch_of_no_known_type_is_unsupported(api: KubernetesApi) -> None:
    api.create("configmaps", config())
    refused = api.patch("configmaps", "settings", {}, "application/json")
    assert (refused.code, refused.body["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    ("manifest", "field", "reason"),
    [
        ({"metadata": {}}, "metadata.name", "FieldValueRequired"),
        ({"metadata": {"name": "Not_A_Name"}}, "metadata.name", "FieldValueInvalid"),
        ({"metadata": {"name": "x", "labels": {"a": "b c"}}}, "metadata.labels", "FieldValueInvalid"),
        ({"metadata": {"name": "x"}, "data": {"a b": ""}}, "data[a b]", "FieldValueInvalid"),
        ({"metadata": {"name": "x"}, "data": {"a": "b" * (1 << 20) + "b"}}, "[]", "FieldValueTooLong"),
    ],
)
def test_an_invalid_config_map_is_refused_by_field(
    api: KubernetesApi, manifest: dict[str, Any], field: str, reason: str
) -> None:
    refused = api.create("configmaps", manifest)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert causes(refused.body) == {(field, reason)}
    assert refused.body["details"]["kind"] == "ConfigMap"


def test_values_of_the_wrong_type_are_a_bad_request(api: KubernetesApi) -> None:
    for manifest in (
        {"metadata": {"name": "x"}, "data": {"a": 1}},
        {"metadata": {"name": "x"}, "binaryData": {"a": "!"}},
    ):
        refused = api.create("configmaps", manifest)
        assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
        assert "cannot be handled as a ConfigMap" in refused.body["message"]


def test_a_body_over_the_limit_is_too_large(api: KubernetesApi) -> None:
    refused = api.create("configmaps", config(a="b" * (3 << 20)))
    assert (refused.code, refused.body["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (job(template={"restartPolicy": "Always"}), {("spec.template.spec.restartPolicy", "FieldValueRequired")}),
        (job(parallelism=-1), {("spec.parallelism", "FieldValueInvalid")}),
        (job(template={"containers": []}), {("spec.template.spec.containers", "FieldValueRequired")}),
        (job(name="a" * 64), {("spec.template.labels", "FieldValueInvalid")}),
        (
            job(template={"containers": [{"name": "c" * 64, "image": "x"}, {"name": "B", "image": ""}]}),
            {
                ("spec.template.spec.containers[0].name", "FieldValueInvalid"),
                ("spec.template.spec.containers[1].name", "FieldValueInvalid"),
                ("spec.template.spec.containers[1].image", "FieldValueRequired"),
            },
        ),
        (
            job(
                template={
                    "containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
                }
            ),
            {("spec.template.spec.containers[0].volumeMounts[0].name", "FieldValueNotFound")},
        ),
    ],
)
def test_an_invalid_job_is_refused_by_field(
    api: KubernetesApi, manifest: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    refused = api.create("jobs", manifest)
    assert (refused.code, refused.body["reason"]) == (422, "Invalid")
    assert causes(refused.body) == expected


def test_a_job_gets_defaults_selector_and_labels(api: KubernetesApi) -> None:
    created = api.create("jobs", job()).body
    spec, uid = created["spec"], created["metadata"]["uid"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert set(spec["selector"]["matchLabels"].values()) == {uid}
    labels = spec["template"]["metadata"]["labels"]
    assert labels["controller-uid"] == uid
    assert labels["job-name"] == "work"
    container = spec["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"


def test_a_jobs_template_is_immutable_but_its_parallelism_is_not(api: KubernetesApi) -> None:
    api.create("jobs", job())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "other"}]}}}}
    refused = api.patch("jobs", "work", patch, STRATEGIC)
    assert refused.code == 422
    assert causes(refused.body) == {("spec.template", "FieldValueInvalid")}
    assert api.patch("jobs", "work", {"spec": {"parallelism": 0}}).code == 200


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, {"spec.accessModes", "spec.resources[storage]"}),
        ({"accessModes": ["Sometimes"], "resources": {"requests": {"storage": "1Gi"}}}, {"spec.accessModes"}),
        ({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "0"}}}, {"spec.resources[storage]"}),
    ],
)
def test_an_invalid_claim_is_refused_by_field(api: KubernetesApi, spec: dict[str, Any], fields: set[str]) -> None:
    refused = api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": spec})
    assert refused.code == 422
    assert {field for field, _ in causes(refused.body)} == fields


def test_a_claim_is_protected_and_its_spec_stays(api: KubernetesApi) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    created = api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": spec}).body
    assert created["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert created["status"]["phase"] == "Pending"
    refused = api.patch("persistentvolumeclaims", "data", {"spec": {"accessModes": ["ReadOnlyMany"]}})
    assert causes(refused.body) == {("spec", "FieldValueForbidden")}


def test_string_data_of_a_secret_is_folded_in(api: KubernetesApi) -> None:
    created = api.create("secrets", {"metadata": {"name": "key"}, "stringData": {"a": "b"}}).body
    assert created["data"] == {"a": "Yg=="}
    assert created["type"] == "Opaque"
    assert "stringData" not in created


def test_an_event_lies_where_its_object_does(api: KubernetesApi) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "elsewhere"}
    refused = api.create("events", {"metadata": {"name": "e"}, "involvedObject": about})
    assert causes(refused.body) == {("involvedObject.namespace", "FieldValueInvalid")}


def test_a_pod_needs_a_service_account_that_is_there(api: KubernetesApi) -> None:
    spec = {"serviceAccountName": "nobody", "containers": [{"name": "c", "image": "x"}]}
    refused = api.create("pods", {"metadata": {"name": "p"}, "spec": spec})
    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert 'serviceaccount "nobody" not found' in refused.body["message"]


def test_status_is_written_only_through_its_subresource(api: KubernetesApi) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": claim})
    condition = {"type": "Tested", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}
    patch = {"status": {"conditions": [condition]}}
    ignored = api.patch("persistentvolumeclaims", "data", patch)
    assert ignored.code == 200
    assert "conditions" not in ignored.body["status"]
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    path = api.path("persistentvolumeclaims", "data", "status")
    written = api.call("PATCH", path, {**patch, **larger}, content_type="application/merge-patch+json").body
    assert written["status"]["conditions"][0]["type"] == "Tested"
    assert written["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_unknown_paths_and_methods_are_said_to_be_so(api: KubernetesApi) -> None:
    assert api.call("GET", api.path("gadgets")).body["message"] == "the server could not find the requested resource"
    refused = api.call("PUT", api.path("configmaps"), {})
    assert (refused.code, refused.body["reason"]) == (405, "MethodNotAllowed")


def test_the_name_in_the_body_is_the_name_on_the_url(api: KubernetesApi) -> None:
    api.create("configmaps", config())
    refused = api.call("PUT", api.path("configmaps", "settings"), config("other"))
    assert refused.code == 400
    assert refused.body["message"] == ("the name of the object (other) does not match the name on the URL (settings)")


def test_discovery_names_the_kinds(api: KubernetesApi) -> None:
    core = {entry["name"] for entry in api.call("GET", "/api/v1").body["resources"]}
    assert {"pods", "pods/log", "pods/status", "configmaps", "persistentvolumeclaims", "events", "secrets"} <= core
    batch = {entry["name"] for entry in api.call("GET", "/apis/batch/v1").body["resources"]}
    assert {"jobs", "jobs/status"} <= batch
    assert api.call("GET", "/version").body["major"] == "1"
    assert "batch" in {group["name"] for group in api.call("GET", "/apis").body["groups"]}
    assert api.call("GET", "/readyz").body == "ok"


def test_the_administrator_may_do_everything(api: KubernetesApi) -> None:
    wish = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": api.namespace}}}
    answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", wish)
    assert answer.body["status"]["allowed"] is True


def test_times_are_kept_in_utc_and_whole_seconds(api: KubernetesApi) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": api.namespace}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "firstTimestamp": "2026-01-01T02:00:00.5+02:00"}
    assert api.create("events", event).body["firstTimestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("moment", ["soon", "2026-01-01", "2026-13-01T00:00:00Z", 5])
def test_what_is_no_time_is_a_bad_request(api: KubernetesApi, moment: Any) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": api.namespace}
    refused = api.create("events", {"metadata": {"name": "e"}, "involvedObject": about, "firstTimestamp": moment})
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
