"""Each thing that can be wrong with a cluster, in turn, and the line that says so."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.config import ClusterSettings, Config, DataStoreSettings, PodSettings, RecordOutputProjectSettings
from lando.config.secrets import FileSecret
from lando.config.settings import RunWorkflowSettings, SystemDataVolume
from lando.doctor import cluster, cluster_answers
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, Level
from tests.services.providing import free_port
from tests.unit.doctor.conftest import CLASSES, JOBS, NAMESPACE, REVIEWS, WHO, Peer, Reply, status

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def findings(config: Config, processes: Sequence[str] = ("watcher",), **options: Any) -> dict[str, Finding]:
    return {
        one.check: one for one in cluster.examine(config, processes=processes, **options) if not isinstance(one, Asking)
    }


def test_a_cluster_as_it_should_be_has_nothing_but_good_lines(config: Config, peer: Peer) -> None:
    found = findings(config, processes=("lando", "watcher"))
    assert {check: one.seen for check, one in found.items() if one.level is not Level.OK} == {}
    assert found["permissions of lando"].seen == "all 21 that it needs in jobs"
    created = [query for route, query in peer.asked if route.startswith("POST") and "selfsubject" not in route]
    assert created == ["dryRun=All"] * 3, "nothing may be made for good"


def no_access(missing: set[tuple[str, str]]) -> Any:
    def review(question: Any) -> Reply:
        asked = question["spec"]["resourceAttributes"]
        return 201, {"status": {"allowed": (asked["verb"], asked["resource"]) not in missing}}

    return review


BROKEN: list[tuple[dict[str, Any], str, Level, str]] = [
    ({"/version": status(401)}, "token", Level.FAILED, "does not take it → make a new one"),
    ({"/version": (503, "no")}, "reach", Level.FAILED, "answered 503 without a Kubernetes Status"),
    ({"/version": (200, {"major": "1", "minor": "20+", "gitVersion": "v1.20.2"})}, "version", Level.WARNING, "v1.20.2"),
    ({WHO: status(401)}, "token", Level.FAILED, "the cluster does not take it → make a new one"),
    (
        {REVIEWS: no_access({("delete", "jobs"), ("create", "jobs"), ("list", "events")})},
        "permissions of lando",
        Level.FAILED,
        "may not list events, create or delete jobs in jobs → kubectl -n jobs apply -k openshift/runs",
    ),
    ({REVIEWS: no_access({("patch", "jobs")})}, "permissions of watcher", Level.FAILED, "may not patch jobs in jobs"),
    ({REVIEWS: status(403)}, "permissions of lando", Level.UNKNOWN, "auth can-i --list"),
    (
        {f"{NAMESPACE}/configmaps": status(404, 'namespaces "jobs" not found'), NAMESPACE: status(404)},
        "namespace",
        Level.FAILED,
        "there is no namespace jobs → kubectl create namespace jobs",
    ),
    ({NAMESPACE: (200, {"metadata": {"deletionTimestamp": "now"}})}, "namespace", Level.FAILED, "is being deleted"),
    ({CLASSES: (200, {"items": []})}, "storage class", Level.FAILED, "none is the default; there is none at all"),
    ({CLASSES: status(403)}, "storage class", Level.UNKNOWN, "this account may not read it"),
    (
        {CLASSES: (200, {"items": [{"metadata": {"name": "slow"}, "provisioner": "x"}]})},
        "storage class",
        Level.FAILED,
        "none is the default; there are slow → set storage_class_name",
    ),
    (
        {f"{NAMESPACE}/persistentvolumeclaims": status(403, "forbidden: maximum storage usage is 1Gi")},
        "volumes",
        Level.FAILED,
        "is refused (dry run): forbidden: maximum storage usage is 1Gi",
    ),
    (
        {JOBS: status(403, 'jobs.batch is forbidden: User "x" cannot create resource "jobs"')},
        "step jobs",
        Level.UNKNOWN,
        "this account may not create it",
    ),
    ({f"{NAMESPACE}/resourcequotas": status(403)}, "quota", Level.UNKNOWN, "this account may not read it"),
    (
        {f"{NAMESPACE}/limitranges": (200, {"items": [
            {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "4"}}]}}
        ]})},
        "limit range",
        Level.FAILED,
        "small allows a Container 4 of cpu, flavor large asks for 8",
    ),
    ({f"{NAMESPACE}/serviceaccounts/default": status(404)}, "service account", Level.FAILED, "no account default"),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "check", "level", "words"), BROKEN, ids=lambda value: str(value)[:40])
def test_each_thing_that_is_broken_has_its_line(
    config: Config, peer: Peer, answers: dict[str, Any], check: str, level: Level, words: str
) -> None:
    peer.answers |= answers
    found = findings(config, processes=("lando" if "of lando" in check else "watcher",))
    assert found[check].level is level, found[check]
    assert words in f"{found[check].seen} → {found[check].advice}"


def test_a_peer_that_is_not_there_ends_the_part(config: Config) -> None:
    nobody = ClusterSettings(namespace="jobs", host=f"http://127.0.0.1:{free_port()}", token="t0ken")
    found = findings(replace(config, cluster_api_settings=nobody))
    assert list(found) == ["reach"]
    assert found["reach"].level is Level.FAILED
    assert "Connection refused → check cluster_api_settings.host" in f"{found['reach'].seen} → {found['reach'].advice}"


@pytest.mark.parametrize(
    ("used", "flavor_words", "level"),
    [
        ({"pods": "3", "requests.cpu": "2"}, "q: 3 of 10 pods, 2 of 16 requests.cpu", Level.OK),
        ({"pods": "10", "requests.cpu": "2"}, "not enough left of pods for one more run", Level.WARNING),
    ],
)
def test_a_quota_says_what_it_leaves(
    config: Config, peer: Peer, used: dict[str, str], flavor_words: str, level: Level
) -> None:
    hard = {"pods": "10", "requests.cpu": "16"}
    quota = {"metadata": {"name": "q"}, "spec": {}, "status": {"hard": hard, "used": used}}
    peer.answers[f"{NAMESPACE}/resourcequotas"] = (200, {"items": [quota]})
    found = findings(config)["quota"]
    assert (flavor_words in found.seen, found.level) == (True, level), found


def test_a_quota_that_no_flavor_fits_into_and_one_that_wants_limits(config: Config, peer: Peer) -> None:
    def quota(**hard: str) -> Reply:
        return 200, {"items": [{"metadata": {"name": "q"}, "status": {"hard": hard, "used": {}}}]}

    peer.answers[f"{NAMESPACE}/resourcequotas"] = quota(**{"requests.memory": "8Gi"})
    found = findings(config)["quota"]
    assert "flavor large asks for 16Gi of requests.memory" in found.seen
    assert found.level is Level.FAILED
    peer.answers[f"{NAMESPACE}/resourcequotas"] = quota(**{"limits.cpu": "8"})
    assert "set pods.limits" in findings(config)["quota"].advice
    with_limits = replace(config, pods=PodSettings(limits={"cpu": "4"}))
    assert findings(with_limits)["quota"].level is Level.OK


def test_a_provisioner_of_disks_is_warned_of_where_all_nodes_are_to_write(config: Config, peer: Peer) -> None:
    disks = {"metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com"}
    peer.answers[CLASSES] = (200, {"items": [disks]})
    config = replace(config, storage_class_name="gp3")
    found = findings(config)["access mode"]
    assert found.level is Level.WARNING
    assert "ReadWriteMany, which ebs.csi.aws.com is not known to do" in found.seen
    on_one_node = replace(config, pods=PodSettings(access_mode="ReadWriteOnce"))
    assert findings(on_one_node)["access mode"].level is Level.OK
    unknown = findings(replace(config, storage_class_name="glusterfs"))["storage class"]
    assert unknown.seen == "there is no class glusterfs; there are gp3"


def test_legacy_pods_are_not_for_a_namespace_that_enforces_the_restricted_standard(config: Config, peer: Peer) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    peer.answers[NAMESPACE] = (200, {"metadata": {"name": "jobs", "labels": labels}})
    assert "pod security" not in findings(config)
    legacy = findings(replace(config, pods=PodSettings(security="legacy")))["pod security"]
    assert legacy.level is Level.FAILED


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ((200, {"data": {"config": "e30="}}), Level.OK, "agent is there, with its key config"),
        ((200, {"data": {"key.json": "e30="}}), Level.FAILED, "agent has no key config, only key.json"),
        (status(404), Level.FAILED, "there is no Secret agent in jobs"),
        (status(403), Level.UNKNOWN, "agent: this account may not read it, as it should be"),
    ],
)
def test_the_secret_of_the_data_store(config: Config, peer: Peer, answer: Reply, level: Level, words: str) -> None:
    peer.answers[f"{NAMESPACE}/secrets/agent"] = answer
    found = findings(replace(config, data_store_settings=DataStoreSettings(secret_name="agent")))["data store secret"]
    assert (found.level, found.seen) == (level, words)


@pytest.fixture
def administrator(peer: Peer, tmp_path: Path) -> str:
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"{peer.url}/admin"}}],
                "users": [{"name": "u", "user": {"token": "root"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return str(file)


def test_secrets_are_read_with_the_administrators_kubeconfig_where_one_is_lent(
    config: Config, peer: Peer, administrator: str
) -> None:
    peer.answers[f"/admin{NAMESPACE}/secrets/pull"] = (200, {"data": {".dockerconfigjson": "e30="}})
    config = replace(config, pods=PodSettings(image_pull_secrets=["pull"]))
    assert findings(config, admin_kubeconfig=administrator)["image pull secret"].level is Level.OK


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ((200, {"spec": {"accessModes": ["ReadOnlyMany"]}, "status": {"phase": "Bound"}}), Level.OK, "is Bound"),
        ((200, {"status": {"phase": "Pending"}}), Level.WARNING, "genomes is Pending, not Bound"),
        (
            (200, {"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}}),
            Level.WARNING,
            "only ReadWriteOnce: run steps on other nodes wait",
        ),
        (status(404), Level.FAILED, "there is no claim genomes in jobs"),
    ],
)
def test_the_claim_of_reference_data(config: Config, peer: Peer, answer: Reply, level: Level, words: str) -> None:
    peer.answers[f"{NAMESPACE}/persistentvolumeclaims/genomes"] = answer
    volume = SystemDataVolume(volume_claim_name="genomes", mount_path="/data")
    found = findings(replace(config, run_workflow_settings=RunWorkflowSettings(system_data_volume=volume)))
    assert found["system data"].level is level
    assert words in found["system data"].seen


def test_the_account_of_a_record_step_is_asked_for_by_the_administrator(
    config: Config, peer: Peer, administrator: str
) -> None:
    reviews = "/admin/apis/authorization.k8s.io/v1/namespaces/jobs/localsubjectaccessreviews"
    asked = []

    def review(question: Any) -> Reply:
        asked.append(question["spec"]["user"])
        return 201, {"status": {"allowed": question["spec"]["resourceAttributes"]["verb"] == "get"}}

    peer.answers[reviews] = review
    config = replace(config, record_output_project_settings=RecordOutputProjectSettings(service_account_name="writer"))
    found = findings(config, admin_kubeconfig=administrator)["permissions of writer"]
    assert (found.level, found.seen) == (Level.FAILED, "the account may not patch pods in jobs")
    assert set(asked) == {"system:serviceaccount:jobs:writer"}


def jwt(**claims: Any) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("left", "from_file", "level", "words"),
    [
        (timedelta(days=300), False, Level.OK, "is valid until 2026-12-29 12:00 UTC, for lando"),
        (timedelta(days=3), False, Level.WARNING, "ends at 2026-03-07 12:00 UTC, for lando, and nobody renews it"),
        (timedelta(hours=1), True, Level.OK, "is valid until 2026-03-04 13:00 UTC, for lando, and read again from"),
    ],
)
def test_the_end_of_a_token_is_told_unless_somebody_renews_it(
    left: timedelta, from_file: bool, level: Level, words: str
) -> None:
    value = jwt(sub="lando", exp=(NOW + left).timestamp())
    setting = FileSecret(value, "/run/token") if from_file else value
    (found,) = cluster_answers.token("lando", value, setting, NOW)
    assert found.level is level
    assert words in found.seen


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "e30.bnVsbA.x", jwt(exp="soon"), jwt(exp=1e300)])
def test_a_token_that_is_no_web_token_has_no_end(text: str) -> None:
    (found,) = cluster_answers.token("lando", text, text, NOW)
    assert (found.level, found.seen) == (Level.OK, "is valid, for lando")
