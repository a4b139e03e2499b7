"""kubectl on the embedded cluster: what people type, and what they see."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lando.local.cluster import LocalCluster
from lando.local.credentials import User
from tests.services.kubectl import TIMEOUT_S, Kubectl, find_kubectl
from tests.services.providing import wait_until

pytestmark = pytest.mark.service("kubectl")
NUMBERS = itertools.count(1)
DATA_TABLE = ["NAME", "DATA", "AGE"]


@pytest.fixture(scope="module")
def program() -> str:
    return find_kubectl()


@pytest.fixture(scope="module")
def cluster(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    users = (User(name="ada", namespaces=frozenset({"team-a"})),)
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute", users=users) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def kubectl(cluster: LocalCluster, program: str, home: Path) -> Iterator[Kubectl]:
    """The administrator, in a namespace of the test's own."""
    namespace = f"test-{next(NUMBERS)}"
    runner = Kubectl(program=program, kubeconfig=cluster.kubeconfig_file, home=home, namespace=namespace)
    runner("create", "namespace", namespace)
    yield runner
    runner.end_all()
    runner("delete", "pods,jobs", "--all", "--grace-period=0", "--force", "--wait=false")


def pod(name: str, script: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "none", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, script)["spec"]}
    metadata = {"name": name, "labels": {"app": name}}
    body = {"backoffLimit": 0, "template": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def table(text: str) -> list[list[str]]:
    """Lines, cut where columns are."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]


def complete(kubectl: Kubectl, name: str) -> None:
    kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=30s")


def running(kubectl: Kubectl, name: str, phase: str = "Running") -> None:
    wait_until(
        lambda: kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}") == phase,
        TIMEOUT_S,
        what=f"{name} {phase}",
    )


# -- looking ----------------------------------------------------------------------------------------------------------


def test_get_shows_tables_and_more_of_them_when_wide(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=job("hello", "echo hi"))
    complete(kubectl, "hello")
    heads, cells = table(kubectl("get", "jobs"))
    assert heads == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert cells[:3] == ["hello", "Complete", "1/1"]
    heads, cells = table(kubectl("get", "jobs", "-o", "wide"))
    assert heads[5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert cells[5:7] == ["main", "none"]
    heads, cells = table(kubectl("get", "pods", "-o", "wide"))
    assert heads == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert cells[1:4] == ["0/1", "Completed", "0"]
    assert cells[6:] == ["lando-local", "<none>", "<none>"]
    everything = kubectl("get", "all")
    assert "job.batch/hello" in everything
    assert "pod/hello-" in everything


def test_get_prints_in_every_format(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=config("c", a="1"))
    assert kubectl("get", "cm", "c", "-o", "name") == "configmap/c\n"
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "1"
    assert "\ndata:\n" in "\n" + kubectl("get", "cm", "c", "-o", "yaml")
    assert kubectl.json("get", "cm", "c")["kind"] == "ConfigMap"
    assert kubectl.json("get", "cm")["items"][0]["kind"] == "ConfigMap"
    assert table(kubectl("get", "cm", "c", "-o", "custom-columns=N:.metadata.name,A:.data.a")) == [
        ["N", "A"],
        ["c", "1"],
    ]
    assert table(kubectl("get", "cm", "--sort-by=.metadata.name"))[1][:2] == ["c", "1"]


def test_get_selects_by_label_field_and_namespace(kubectl: Kubectl) -> None:
    for name, labels in (("one", "app=x"), ("two", "app=y")):
        kubectl("create", "-f", "-", document=config(name))
        kubectl("label", "cm", name, labels)
    assert kubectl("get", "cm", "-l", "app=x", "-o", "name") == "configmap/one\n"
    assert kubectl("get", "cm", "-l", "app in (x,y)", "-o", "name") == "configmap/one\nconfigmap/two\n"
    assert kubectl("get", "cm", "--field-selector", "metadata.name=two", "-o", "name") == "configmap/two\n"
    assert table(kubectl("get", "cm", "-L", "app"))[0] == [*DATA_TABLE, "APP"]
    everywhere = table(kubectl("get", "cm", "-A", "--show-labels"))
    assert everywhere[0] == ["NAMESPACE", *DATA_TABLE, "LABELS"]
    assert [kubectl.namespace, "one"] in [line[:2] for line in everywhere]
    assert "not found" in kubectl.refused("get", "cm", "three")
    assert kubectl("get", "cm", "three", "--ignore-not-found") == ""


@pytest.mark.parametrize("output", [(), ("-o", "name")])
def test_get_watches(kubectl: Kubectl, output: tuple[str, ...]) -> None:
    kubectl("create", "-f", "-", document=config("seen"))
    kubectl("label", "cm", "seen", "seen=yes")
    watching = kubectl.start("get", "cm", "-w", "-l", "seen=yes", *output)
    assert watching.stdout is not None
    lines = iter(watching.stdout.readline, "")
    shown = [next(lines) for _ in range(1 if output else 2)]  # what is there, and before it the columns' names
    kubectl("patch", "cm", "seen", "--type=merge", "-p", '{"data":{"a":"1"}}')
    shown.append(next(lines))
    kubectl("label", "cm", "seen", "seen-")
    shown.append(next(lines))
    if output:
        assert shown == ["configmap/seen\n"] * 3
    else:
        assert [line.split()[:2] for line in shown] == [["NAME", "DATA"], ["seen", "0"], ["seen", "1"], ["seen", "1"]]


def test_get_watches_objects(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=config("seen"))
    watching = kubectl.start("get", "cm", "-w", "-o", 'jsonpath={.kind}/{.metadata.name}{"\\n"}')
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("ConfigMap/")


def test_describe_tells_about_jobs_pods_claims_and_data_with_their_events(kubectl: Kubectl) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    kubectl("create", "-f", "-", document=claim)
    kubectl("create", "-f", "-", document=config("c", greeting="hello there"))
    kubectl("create", "-f", "-", document=job("told", "echo hi"))
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    kubectl("create", "-f", "-", document=pod("user", "true", volumes=volumes))
    complete(kubectl, "told")
    running(kubectl, "user", "Succeeded")
    text = kubectl("describe", "job", "told")
    assert re.search(r"1 Succeeded", text)
    assert re.search(r"Normal\s+SuccessfulCreate\s+.*job-controller\s+Created pod: told-", text)
    text = kubectl("describe", "pod", "user")
    assert re.search(r"Status:\s+Succeeded", text)
    assert re.search(r"ClaimName:\s+data", text)
    assert re.search(r"Normal\s+Started\s+", text)
    assert re.search(r"Status:\s+Bound", kubectl("describe", "pvc", "data"))
    assert "hello there" in kubectl("describe", "cm", "c")
    assert "SuccessfulCreate" in kubectl("get", "events")
    assert table(kubectl("get", "pvc"))[1][1] == "Bound"


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_of_a_pod_and_of_a_job_in_part_and_with_times(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=job("talk", "echo one; echo two; echo three"))
    complete(kubectl, "talk")
    assert kubectl("logs", "job/talk") == "one\ntwo\nthree\n"
    assert kubectl("logs", "job/talk", "--tail=1") == "three\n"
    assert kubectl("logs", "-l", "app=talk", "--tail=-1") == "one\ntwo\nthree\n"
    assert kubectl("logs", "job/talk", "--since=1h") == "one\ntwo\nthree\n"
    assert kubectl("logs", "job/talk", "--since-time=2999-01-01T00:00:00Z") == ""
    assert kubectl("logs", "job/talk", "--limit-bytes=3") == "one"
    first = kubectl("logs", "job/talk", "--timestamps").splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z one", first)
    assert "previous terminated container" in kubectl.refused("logs", "job/talk", "--previous")


def test_logs_are_followed_to_the_end(kubectl: Kubectl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo first; while ! test -e '{gate}'; do sleep 0.05; done; echo last"
    kubectl("create", "-f", "-", document=pod("slow", script))
    running(kubectl, "slow")
    following = kubectl.start("logs", "-f", "slow")
    assert following.stdout is not None
    assert following.stdout.readline() == "first\n"
    gate.touch()
    assert following.stdout.read() == "last\n"
    assert following.wait(TIMEOUT_S) == 0


def test_logs_of_several_containers_and_of_the_life_before(kubectl: Kubectl, tmp_path: Path) -> None:
    once = tmp_path / "once"
    script = f"test -e '{once}' && echo again && sleep 60; touch '{once}'; echo before; exit 1"
    restarting = pod("twice", script, restartPolicy="OnFailure")
    side = {"name": "side", "image": "none", "command": ["sh", "-c", "echo beside; sleep 60"]}
    restarting["spec"]["containers"].append(side)
    kubectl("create", "-f", "-", document=restarting)
    wait_until(
        lambda: kubectl.run("logs", "twice", "-c", "main", "--previous").stdout == "before\n",
        TIMEOUT_S,
        what="a restart",
    )
    wait_until(lambda: "again" in kubectl("logs", "twice", "-c", "main"), TIMEOUT_S, what="the second life")
    both = kubectl("logs", "twice", "--all-containers")
    assert "again" in both
    assert "beside" in both


# -- changing ---------------------------------------------------------------------------------------------------------


def test_apply_creates_updates_and_prunes_fields(kubectl: Kubectl) -> None:
    assert "configmap/c created" in kubectl("apply", "-f", "-", document=config("c", a="1", b="2"))
    assert "configmap/c unchanged" in kubectl("apply", "-f", "-", document=config("c", a="1", b="2"))
    assert "configmap/c configured" in kubectl("apply", "-f", "-", document=config("c", a="3"))
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "3"}
    dry = kubectl("apply", "--dry-run=server", "-f", "-", document=config("c", a="4"))
    assert "configured (server dry run)" in dry
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "3"}
    kubectl("apply", "-f", "-", document=job("j", "echo hi"))
    changed = job("j", "echo hi", suspend=False)
    changed["metadata"]["labels"]["more"] = "yes"
    assert "job.batch/j configured" in kubectl("apply", "-f", "-", document=changed)
    assert "field is immutable" in kubectl.refused("apply", "-f", "-", document=job("j", "echo ho"))


def test_apply_merges_lists_by_their_keys(kubectl: Kubectl) -> None:
    document = pod("many", "sleep 60")
    document["metadata"]["finalizers"] = ["example.com/one"]
    kubectl("apply", "-f", "-", document=document)
    extra = '{"metadata":{"finalizers":["example.com/two"]}}'
    kubectl("patch", "pod", "many", "-p", extra)
    document["spec"]["containers"][0]["image"] = "other"
    kubectl("apply", "-f", "-", document=document)
    found = kubectl.json("get", "pod", "many")
    assert [each["image"] for each in found["spec"]["containers"]] == ["other"]
    assert found["metadata"]["finalizers"] == ["example.com/one", "example.com/two"]
    kubectl("patch", "pod", "many", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_server_side_apply_is_refused_with_advice(kubectl: Kubectl) -> None:
    refused = kubectl.refused("apply", "--server-side", "-f", "-", document=config("c"))
    assert "the embedded cluster has no server-side apply: apply without --server-side" in refused


def test_create_makes_what_it_can_make_by_itself(kubectl: Kubectl) -> None:
    assert "(server dry run)" in kubectl("create", "job", "made", "--image=none", "--dry-run=server", "--", "true")
    assert "NotFound" in kubectl.refused("get", "job", "made")
    kubectl("create", "job", "made", "--image=none", "--", "sh", "-c", "echo made")
    complete(kubectl, "made")
    assert kubectl("logs", "job/made") == "made\n"
    kubectl("create", "configmap", "c", "--from-literal=a=b", "--from-literal=x=y z")
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "b", "x": "y z"}
    kubectl("create", "secret", "generic", "s", "--from-literal=p=q")
    assert kubectl.json("get", "secret", "s")["data"] == {"p": "cQ=="}
    kubectl("create", "serviceaccount", "bot")
    assert "already exists" in kubectl.refused("create", "configmap", "c")
    assert "oops" in kubectl.refused("create", "-f", "-", document=pod("p", "true", oops=1))


def test_patch_in_all_three_ways_label_and_annotate(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=config("c", a="1", b="2"))
    kubectl("patch", "cm", "c", "-p", '{"data":{"a":"strategic"}}')
    kubectl("patch", "cm", "c", "--type=merge", "-p", '{"data":{"b":null}}')
    kubectl("patch", "cm", "c", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"json"}]')
    kubectl("label", "cm", "c", "app=x")
    assert "overwrite" in kubectl.refused("label", "cm", "c", "app=y")
    kubectl("label", "cm", "c", "app=y", "--overwrite")
    kubectl("annotate", "cm", "c", "note=a b")
    found = kubectl.json("get", "cm", "c")
    assert found["data"] == {"a": "strategic", "c": "json"}
    assert (found["metadata"]["labels"], found["metadata"]["annotations"]) == ({"app": "y"}, {"note": "a b"})
    kubectl("label", "cm", "c", "app-")
    assert "labels" not in kubectl.json("get", "cm", "c")["metadata"]


def test_edit_writes_what_the_editor_leaves(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=config("c", a="before"))
    kubectl("edit", "cm", "c", env={"KUBE_EDITOR": "sed -i s/before/after/"})
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "after"}


def test_leases_are_made_shown_described_taken_over_and_deleted(kubectl: Kubectl) -> None:
    moment = "2026-01-01T00:00:00.000000Z"
    spec = {"holderIdentity": "one", "leaseDurationSeconds": 15, "acquireTime": moment, "renewTime": moment}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"}, "spec": spec}
    assert "(server dry run)" in kubectl("create", "-f", "-", "--dry-run=server", document=lease)
    assert "not found" in kubectl.refused("get", "lease", "lock")
    kubectl("apply", "-f", "-", document=lease)
    assert table(kubectl("get", "leases"))[0] == ["NAME", "HOLDER", "AGE"]
    assert table(kubectl("get", "leases"))[1][:2] == ["lock", "one"]
    assert re.search(r"Lease Duration Seconds: +15", kubectl("describe", "lease", "lock"))
    kubectl("apply", "-f", "-", document={**lease, "spec": {**spec, "holderIdentity": "two"}})
    assert kubectl("get", "lease/lock", "-o", "jsonpath={.spec.holderIdentity}") == "two"
    assert "must be greater than 0" in kubectl.refused(
        "patch", "lease", "lock", "--type=merge", "-p", '{"spec": {"leaseDurationSeconds": 0}}'
    )
    kubectl("delete", "lease", "lock")
    assert "not found" in kubectl.refused("get", "lease", "lock")


def test_delete_by_name_by_label_and_with_its_pods_or_without(kubectl: Kubectl) -> None:
    for name in ("back", "fore", "orphan"):
        kubectl("create", "-f", "-", document=job(name, "sleep 60"))
        wait_until(lambda: kubectl("get", "pod", "-o", "name", "-l", f"app={name}") != "", what="the Job's pod")  # noqa: B023
    kubectl("delete", "job", "fore", "--cascade=foreground", "--timeout=45s")
    assert kubectl("get", "pods", "-l", "app=fore", "-o", "name") == ""
    kubectl("delete", "job", "orphan", "--cascade=orphan")
    assert kubectl("get", "pods", "-l", "app=orphan", "-o", "name").startswith("pod/orphan-")
    assert kubectl("delete", "job", "-l", "app=back", "--wait=false").startswith('job.batch "back" deleted')
    wait_until(lambda: kubectl("get", "pods", "-l", "app=back", "-o", "name") == "", TIMEOUT_S, what="the pod's end")
    kubectl("delete", "pods", "--all", "--grace-period=1")
    assert kubectl("get", "pods", "-o", "name") == ""
    assert "NotFound" in kubectl.refused("delete", "job", "fore")


def test_wait_for_completion_and_for_deletion(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=job("quick", "true"))
    assert (
        kubectl("wait", "--for=condition=complete", "job/quick", "--timeout=30s") == "job.batch/quick condition met\n"
    )
    kubectl("create", "-f", "-", document=pod("long", "trap '' TERM; while :; do sleep 0.1; done"))
    kubectl("wait", "--for=condition=Ready", "pod/long", "--timeout=30s")
    assert "timed out" in kubectl.refused("wait", "--for=delete", "pod/long", "--timeout=1s")
    kubectl("delete", "pod", "long", "--grace-period=3", "--wait=false")
    kubectl("wait", "--for=delete", "pod/long", "--timeout=30s")


# -- what there is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("exec", "p", "--", "ls"), "programs can't be started in containers"),
        (("cp", "p:/etc/hosts", "copied"), "programs can't be started in containers"),
        (("attach", "p"), "nothing can be attached to containers"),
        (("port-forward", "p", ":8080"), "pods have no network of their own"),
    ],
)
def test_what_needs_a_connection_into_a_pod_is_refused_with_the_reason(
    kubectl: Kubectl, command: tuple[str, ...], words: str
) -> None:
    kubectl("create", "-f", "-", document=pod("p", "sleep 60"))
    running(kubectl, "p")
    refused = kubectl.refused(*command)
    assert f"not in the embedded cluster: {words}" in refused


def test_scale_and_top_are_refused(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=job("j", "true"))
    assert kubectl.refused("scale", "job/j", "--replicas=2")
    assert "etrics" in kubectl.refused("top", "pods")


# -- the server -------------------------------------------------------------------------------------------------------


def test_can_i_tells_everybody_their_rights(kubectl: Kubectl, cluster: LocalCluster) -> None:
    assert kubectl("auth", "can-i", "delete", "jobs", "-A").strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    kubeconfig = cluster.home / "users" / "ada" / "kubeconfig"
    ada = Kubectl(program=kubectl.program, kubeconfig=kubeconfig, home=kubectl.home, namespace="team-a")
    assert ada("auth", "can-i", "create", "jobs").strip() == "yes"
    assert ada.run("auth", "can-i", "list", "pods", "-n", kubectl.namespace).stdout.strip() == "no"
    ada("create", "configmap", "mine", "--from-literal=a=b")
    refused = ada.refused("get", "pods", "-n", kubectl.namespace)
    assert (
        f'pods is forbidden: User "ada" cannot list resource "pods" in API group "" in the namespace '
        f'"{kubectl.namespace}"' in refused
    )


def test_the_api_is_explained(kubectl: Kubectl, cluster: LocalCluster) -> None:
    rows = [line.split() for line in kubectl("api-resources").splitlines()]
    assert ["jobs", "batch/v1", "true", "Job"] in rows
    assert ["configmaps", "cm", "v1", "true", "ConfigMap"] in rows
    assert kubectl("api-versions").splitlines() == [
        "authentication.k8s.io/v1",
        "authorization.k8s.io/v1",
        "batch/v1",
        "coordination.k8s.io/v1",
        "v1",
    ]
    assert re.search(r"KIND:\s+Job", kubectl("explain", "job"))
    assert "backoffLimit" in kubectl("explain", "job.spec")
    assert re.search(r"FIELD:\s+image <string>", kubectl("explain", "job.spec.template.spec.containers.image"))
    assert "field" in kubectl.refused("explain", "job.spec.nothing")
    assert f"is running at {cluster.url}" in re.sub("\x1b\\[[0-9;]*m", "", kubectl("cluster-info"))
    assert "+lando-" in kubectl("version")
    assert cluster.token not in kubectl("config", "view")
