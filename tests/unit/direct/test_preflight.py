"""What the checks against the cluster find before a model is run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.direct import rights
from lando.direct.preflight import check
from lando.errors import Rejected, Unavailable
from lando.k8s.permissions import Permission, permissions
from lando.k8s.side_by_side import AT_A_TIME, together
from lando.phases.labels import DIGEST, ENTRY
from lando.phases.model import Finding, Model, Resource
from tests.unit.direct.running import World, entry, manifest, model

RBAC = Path("examples/phases/rbac.yaml")


def with_resources(of: Model, *manifests: Any) -> Model:
    return replace(
        of, resources=tuple(Resource(path=f"{one['metadata']['name']}.yaml", manifest=one) for one in manifests)
    )


def config_map(name: str, **keys: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **keys}


def reasons(found: Sequence[Finding], *, is_error: bool = True) -> list[str]:
    return [str(one) for one in found if one.is_error is is_error]


def set_quota(world: World, **hard: str) -> None:
    world.set_quota(**{key.replace("__", "."): value for key, value in hard.items()})


def test_a_model_that_can_run_has_no_findings_and_leaves_nothing(world: World) -> None:
    assert check(model([entry("a"), entry("b")], [entry("c", "c1", "c2")]), world) == []

    assert world.list("Job") == []
    assert sum(call.startswith("create Job") for call in world.calls) == 4


# -- rights ------------------------------------------------------------------------------------------------------------


def test_missing_rights_are_named_in_the_words_of_a_role(world: World) -> None:
    world.denied = {*permissions("batch", "jobs", "create", "delete"), Permission("", "pods/log", "get")}

    found = check(model([entry("a")]), world)

    assert reasons(found) == [
        "jobermodel.yaml: this account may not create or delete jobs in namespace lando: give it a Role with "
        'apiGroups: ["batch"], resources: ["jobs"], verbs: [create, delete], as in examples/phases/rbac.yaml.'
    ]
    (warning,) = reasons(found, is_error=False)
    assert "may not get pods/log" in warning
    assert "no log of a failed Job is shown" in warning
    assert "create Job a" not in world.calls  # what is known to be refused is not tried


def test_who_may_not_list_is_not_told_of_watching(world: World) -> None:
    world.denied = {*permissions("", "pods", "list", "watch"), Permission("", "events", "watch")}

    pods, events = check(model([entry("a")]), world)

    assert "may not list or watch pods in namespace lando: less is known of why" in pods.reason
    assert "may not watch events in namespace lando: events are listed every refresh_time seconds" in events.reason


def test_without_the_right_to_leases_resources_are_an_error_and_all_else_a_warning(world: World) -> None:
    world.denied = set(permissions("coordination.k8s.io", "leases", "create", "get", "list", "patch", "delete"))
    plain = model([entry("a")])

    (warned,) = check(plain, world)
    (refused,) = check(with_resources(plain, config_map("settings")), world)

    assert not warned.is_error
    assert "nothing keeps a second run of these Jobs away" in warned.reason
    assert refused.is_error
    assert "a Lease owns the run's resources" in refused.reason


def test_of_resources_the_rights_to_their_kinds_are_needed(world: World) -> None:
    world.denied = {Permission("", "configmaps", "patch"), Permission("", "secrets", "create")}

    (found,) = check(with_resources(model([entry("a")]), config_map("settings")), world)

    assert "may not patch configmaps" in found.reason


def test_a_right_that_only_lets_more_be_foreseen_is_not_missed(world: World) -> None:
    def may_not(call: str) -> None:
        if call in ("list ResourceQuota", "list LimitRange", "get ServiceAccount robot"):
            raise Unavailable("cluster", "cannot list", status=403)

    world.before = may_not
    one = entry("a")
    one.jobs[0].manifest["spec"]["template"]["spec"]["serviceAccountName"] = "robot"

    assert check(model([one]), world) == []


def test_the_example_role_gives_what_runs_ask_for_and_no_more() -> None:
    documents = {one["kind"]: one for one in yaml.safe_load_all(RBAC.read_text())}
    given = frozenset[Permission]()
    for rule in documents["ClusterRole"]["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                given |= permissions(group, resource, *rule["verbs"])

    assert given == rights.EVERY | rights.INSPECTION
    assert {one["metadata"]["name"] for one in documents.values()} == {"jobernetes"}
    assert documents["RoleBinding"]["apiVersion"] == "rbac.authorization.k8s.io/v1"
    assert documents["RoleBinding"]["subjects"][0]["kind"] == "ServiceAccount"
    asked = with_resources(
        model([entry("a")]), *({"kind": kind, "metadata": {"name": "x"}} for kind in rights.RESOURCES)
    )
    assert {one.permission for one in rights.wanted(asked)} | rights.LOOKS == rights.EVERY


# -- the namespace -----------------------------------------------------------------------------------------------------


def test_a_namespace_that_is_not_there_is_one_finding(world: World) -> None:
    world.namespace = "nowhere"

    found = check(model([entry(f"job-{number}") for number in range(20)]), world)

    assert reasons(found) == [
        "jobermodel.yaml: there is no namespace nowhere: create it, or change kubernetes_namespace."
    ]
    assert sum(call.startswith("create") for call in world.calls) == 1


def test_a_namespace_that_is_being_deleted_is_one_finding(world: World) -> None:
    world.store.delete("namespaces", "", world.namespace)

    found = check(model([entry("a"), entry("b")]), world)

    assert reasons(found) == ["jobermodel.yaml: the namespace lando is being deleted."]


# -- Jobs --------------------------------------------------------------------------------------------------------------


def test_what_the_cluster_refuses_is_told_in_its_words_in_the_order_of_the_model(world: World) -> None:
    wrong = entry("wrong", "first", "second", phase=1)
    wrong.jobs[0].manifest["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    del wrong.jobs[1].manifest["spec"]["template"]["spec"]["containers"][0]["image"]

    found = check(model([entry("good")], [wrong]), world)

    assert [(one.file, one.phase, one.entry, one.is_error) for one in found] == [
        ("first.yaml", "phase-1", "wrong", True),
        ("second.yaml", "phase-1", "wrong", True),
    ]
    assert "the cluster refuses the Job first: Job.batch" in found[0].reason
    assert "spec.template.spec.restartPolicy" in found[0].reason
    assert "spec.template.spec.containers[0].image: Required value" in found[1].reason


def test_a_webhook_that_knows_no_dry_runs_forbids_nothing(world: World) -> None:
    def unasked(call: str) -> None:
        if call == "create Job a":
            said = 'admission webhook "policy.test" does not support dry run'
            raise Rejected("cluster", f"create Job a: {said}", status=400)

    world.before = unasked
    (found,) = check(model([entry("a")]), world)

    assert not found.is_error
    assert found.reason.startswith("the Job a can't be checked before it is made: admission webhook")


@pytest.mark.parametrize("labels", [{}, {ENTRY: "other"}])
def test_a_job_of_somebody_else_is_named_and_left_alone(world: World, labels: dict[str, str]) -> None:
    there = manifest("a")
    there["metadata"]["labels"] = labels
    made = world.create(there)

    (found,) = check(model([entry("a")]), world)

    assert found.is_error
    assert found.entry == "a"
    assert ("labelled jobernetes_job_name: other" if labels else "no label jobernetes_job_name") in found.reason
    assert world.get("Job", "a")["metadata"]["uid"] == made["metadata"]["uid"]


def test_what_is_there_of_ours_is_asked_about_only_if_it_is_made_again(world: World) -> None:
    jobs = [entry(name) for name in ("running", "failed", "changed")]
    for one in jobs:
        there = manifest(one.name)
        there["metadata"] |= {"labels": {ENTRY: one.name}, "annotations": {DIGEST: one.jobs[0].digest}}
        if one.name == "changed":
            there["metadata"]["annotations"][DIGEST] = "0" * 64
        world.create(there)
    world.finish("failed", 1)

    def asked(**options: bool) -> list[str]:
        world.calls.clear()
        assert check(model(jobs), world, **options) == []
        return sorted(call for call in world.calls if call.startswith("create Job"))

    assert asked() == ["create Job failed"]
    assert asked(changed=True) == ["create Job changed", "create Job failed"]


def test_a_service_account_that_is_not_there_is_named(world: World) -> None:
    one = entry("a")
    one.jobs[0].manifest["spec"]["template"]["spec"]["serviceAccountName"] = "robot"

    (found,) = check(model([one]), world)

    assert str(found) == "a.yaml: phase phase-0, entry a: there is no ServiceAccount robot for its pods."


def test_an_outage_is_raised(world: World) -> None:
    def away(call: str) -> None:
        if call == "create Job b":
            raise Unavailable("cluster", "no answer in time")

    world.before = away
    with pytest.raises(Unavailable, match="no answer in time"):
        check(model([entry("a"), entry("b"), entry("c")]), world)


# -- quotas ------------------------------------------------------------------------------------------------------------


def limited(name: str, requests: dict[str, str]) -> Any:
    one = entry(name)
    one.jobs[0].manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": requests}
    return one


def test_a_pod_that_never_fits_a_quota_is_an_error_and_one_that_fits_is_none(world: World) -> None:
    set_quota(world, requests__memory="4Gi")

    found = check(model([limited("large", {"memory": "8Gi"}), limited("small", {"memory": "1Gi"})]), world)

    (one,) = reasons(found)
    assert one == (
        "large.yaml: phase phase-0, entry large: "
        "its pods never fit the quota limit: requests.memory 8Gi of at most 4Gi."
    )


def test_a_quota_that_wants_requests_is_told_unless_a_limit_range_gives_them(world: World) -> None:
    set_quota(world, limits__cpu="4")
    (found,) = check(model([entry("a")]), world)
    assert "the quota limit forbids pods that do not say how much they need" in found.reason
    assert "limits.cpu for: main" in found.reason

    defaults = {"type": "Container", "default": {"cpu": "1"}}
    world.store.create("limitranges", world.namespace, {"metadata": {"name": "d"}, "spec": {"limits": [defaults]}})
    assert check(model([entry("a")]), world) == []


def test_a_limit_range_that_forbids_its_pods_is_told(world: World) -> None:
    most = {"type": "Container", "max": {"memory": "1Gi"}}
    world.store.create("limitranges", world.namespace, {"metadata": {"name": "m"}, "spec": {"limits": [most]}})

    (found,) = check(model([limited("large", {"memory": "2Gi"})]), world)

    assert "maximum memory usage per Container is 1Gi" in found.reason


def test_more_jobs_than_a_quota_ever_allows_are_an_error_unless_they_vanish(world: World) -> None:
    world.set_quota(**{"count_jobs.batch": "2"})
    three = [entry(name) for name in "abc"]

    (found,) = check(model(three), world)
    assert found.is_error
    assert "allows 2 Jobs (count/jobs.batch), but 3 of this model stay" in found.reason
    assert check(model([entry(name, ttlSecondsAfterFinished=5) for name in "abc"]), world) == []


def test_a_quota_that_others_use_up_is_a_warning(world: World) -> None:
    world.create(manifest("other"))
    world.set_quota(**{"count_jobs.batch": "1"})

    found = check(model([entry("a")]), world)

    assert reasons(found) == []
    waits, later = reasons(found, is_error=False)
    assert "no room for the Job a now, and it has to wait: " in waits
    assert "exceeded quota: limit" in waits
    assert "of which others use 1" in later


# -- resources ---------------------------------------------------------------------------------------------------------


def test_a_resource_of_somebody_else_and_one_that_is_refused_are_told(world: World) -> None:
    world.create(config_map("theirs"))
    resources = (config_map("theirs"), config_map("wrong", data={"a b": "c"}), config_map("good"))

    found = check(with_resources(model([entry("a")]), *resources), world)

    assert [one.file for one in found] == ["theirs.yaml", "wrong.yaml"]
    assert "ConfigMap theirs is there already, and not this run's" in found[0].reason
    assert "data[a b]" in found[1].reason
    assert world.list("ConfigMap")[0].get("data") is None


def test_what_a_secret_holds_is_in_no_finding(world: World) -> None:
    value = base64.b64encode(b"hunter22").decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login"},
        "data": {"p": value},
        "stringData": {"user": "swordfish"},
    }

    def quotes(call: str) -> None:
        if call == "create Secret login":
            raise Rejected("cluster", f"create Secret login: a webhook says no to {value}, hunter22 and swordfish")

    world.before = quotes
    (found,) = check(with_resources(model([entry("a")]), secret), world)

    assert found.reason == "the cluster refuses the Secret login: a webhook says no to ****, **** and ****"


def test_calls_go_side_by_side_and_the_first_error_ends_them() -> None:
    assert together([lambda at=at: at for at in range(50)]) == list(range(50))  # type: ignore[misc]
    begun: list[int] = []

    def fail(at: int) -> None:
        begun.append(at)
        raise KeyError(at)

    with pytest.raises(KeyError):
        together([lambda at=at: fail(at) for at in range(500)])  # type: ignore[misc]
    assert len(begun) <= AT_A_TIME
