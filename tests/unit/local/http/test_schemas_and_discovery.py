"""What clients learn from the server before they ask for objects, and the forms in which they send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.local.http import discovery, openapi
from lando.local.http.protobuf import field, fields, read
from lando.local.http.protobuf_objects import decode
from lando.local.rules.kinds import KINDS
from lando.local.rules.status import ApiError
from tests.services.kubernetes_api import KubernetesApi

GVK = "x-kubernetes-group-version-kind"


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    node: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        node = node[part]
    return dict(node)


def inner(message: bytes) -> dict[int, bytes]:
    return {number: value for number, value in read(message) if isinstance(value, bytes)}


def test_the_schema_of_a_job_leads_down_to_its_containers() -> None:
    document = json.loads(openapi.v3("apis/batch/v1") or b"")
    schemas = document["components"]["schemas"].values()
    job = next(each for each in schemas if {"group": "batch", "kind": "Job", "version": "v1"} in each.get(GVK, []))
    spec = resolve(document, job["properties"]["spec"])
    assert spec["required"] == ["template"]
    assert spec["properties"]["backoffLimit"]["type"] == "integer"
    pod = resolve(document, resolve(document, spec["properties"]["template"])["properties"]["spec"])
    containers = pod["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "Container image name" in resolve(document, containers["items"])["properties"]["image"]["description"]


def test_every_reference_in_the_schemas_leads_somewhere() -> None:
    for raw in (openapi.v2(), openapi.v3("api/v1"), openapi.v3("apis/batch/v1")):
        document = json.loads(raw or b"")
        text = json.dumps(document)
        for reference in {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}:
            assert resolve(document, {"$ref": reference})


@pytest.mark.parametrize("parameter", ["dryRun", "fieldValidation"])
def test_every_kind_says_that_a_patch_may_be_a_dry_run_and_strict(parameter: str) -> None:
    patches = [item["patch"] for item in json.loads(openapi.v2())["paths"].values() if "patch" in item]
    assert [patch[GVK]["kind"] for patch in patches] == [kind.kind for kind in KINDS]
    assert all(parameter in [each["name"] for each in patch["parameters"]] for patch in patches)


def test_the_schema_as_protocol_buffers_says_the_same() -> None:
    document = inner(openapi.v2_protobuf())
    assert document[1] == b"2.0"
    named = [inner(entry) for _, entry in read(document[9]) if isinstance(entry, bytes)]
    definitions = json.loads(openapi.v2())["definitions"]
    assert [entry[1] for entry in named] == [name.encode() for name in definitions]
    meta = next(inner(entry[2]) for entry in named if entry[1] == b"io.k8s.v1.ObjectMeta")
    assert meta[4] == definitions["io.k8s.v1.ObjectMeta"]["description"].encode()
    members = [inner(entry)[1] for _, entry in read(meta[25]) if isinstance(entry, bytes)]
    assert members == [name.encode() for name in definitions["io.k8s.v1.ObjectMeta"]["properties"]]


def test_documents_are_served_in_the_form_that_was_asked_for(api: KubernetesApi) -> None:
    def get(path: str, accept: str) -> Any:
        return api.session.get(api.url + path, headers={"Accept": accept}, timeout=30)

    protobuf = get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert protobuf.headers["content-type"].endswith("+protobuf")
    assert protobuf.content == openapi.v2_protobuf()
    assert get("/openapi/v2", "application/json").json()["swagger"] == "2.0"
    place = get("/openapi/v3", "application/json").json()["paths"]["apis/batch/v1"]["serverRelativeURL"]
    assert get(place, "application/json").json()["openapi"] == "3.0.0"
    assert get("/openapi/v3/apis/apps/v1", "application/json").status_code == 404


def test_discovery_in_one_answer_names_what_the_single_ones_name(api: KubernetesApi) -> None:
    for path in ("/api", "/apis"):
        answer = api.session.get(api.url + path, headers={"Accept": f"{discovery.AGGREGATED},*/*"}, timeout=10)
        assert answer.headers["content-type"] == discovery.AGGREGATED
        for group in answer.json()["items"]:
            name, version = group["metadata"].get("name", ""), group["versions"][0]
            plain = api.call("GET", f"/apis/{name}/v1" if name else "/api/v1").body["resources"]
            found = []
            for each in version["resources"]:
                found += [each["resource"]]
                found += [f"{each['resource']}/{sub['subresource']}" for sub in each.get("subresources", [])]
            assert found == [each["name"] for each in plain]


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "ephemeralcontainers", "eviction"])
def test_what_the_embedded_cluster_can_not_do_to_pods_is_refused_with_the_reason(
    api: KubernetesApi, subresource: str
) -> None:
    refused = api.call("POST", api.path("pods", "p", subresource))
    assert (refused.code, refused.body["reason"]) == (405, "MethodNotAllowed")
    assert refused.body["message"].startswith("not in the embedded cluster: ")


def test_server_side_apply_is_refused_with_advice(api: KubernetesApi) -> None:
    url, headers = api.url + api.path("configmaps", "a"), {"Content-Type": "application/apply-patch+yaml"}
    answer = api.session.patch(url, data="{}", headers=headers, timeout=10)
    assert answer.status_code == 415
    assert answer.json()["message"].endswith("apply without --server-side")


def test_there_are_no_services_and_none_can_be_made(api: KubernetesApi) -> None:
    assert api.call("GET", "/api/v1/namespaces/kube-system/services").body["items"] == []
    refused = api.call("POST", "/api/v1/namespaces/ns/services", {})
    assert (refused.code, "pods listen on this machine" in refused.body["message"]) == (405, True)


def envelope(kind: str, body: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, "v1") + field(2, kind)) + field(2, body)


def test_what_kubectl_creates_is_read_from_protocol_buffers(api: KubernetesApi) -> None:
    pair = field(1, "key") + field(2, "value")
    body = envelope("ConfigMap", field(1, field(1, "made") + field(8, b"")) + field(2, pair))
    assert decode(body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "made"},
        "data": {"key": "value"},
    }
    url, headers = api.url + api.path("configmaps"), {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert api.session.post(url, data=body, headers=headers, timeout=10).status_code == 201


def test_a_jobs_commands_keep_their_order_and_secrets_are_base64() -> None:
    container = field(1, "main") + fields(3, ["sh", "-c", "true"])
    job = field(2, field(6, field(2, field(2, container) + field(3, "Never"))))
    spec = decode(envelope("Job", job))["spec"]["template"]["spec"]
    assert spec == {"containers": [{"name": "main", "command": ["sh", "-c", "true"]}], "restartPolicy": "Never"}
    assert decode(envelope("Secret", field(2, field(1, "k") + field(2, b"\xff"))))["data"] == {"k": "/w=="}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00\xff", 400),
        (b"k8s\x00" + field(2, b"")[:1], 400),
        (envelope("Deployment", b""), 415),
        (envelope("ConfigMap", field(1, field(7, "generation?"))), 415),
        (envelope("ConfigMap", b"\x08\x01"), 400),
    ],
)
def test_what_is_not_understood_is_refused_and_never_lost(body: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.code == code
