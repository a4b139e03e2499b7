"""Lives of pods: phases, container statuses, conditions, termination messages, restarts, logs, deletion."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import TERMINATION_LOG, container, notes, pod

Manifest = dict[str, Any]
PATIENCE_S = 40.0


@pytest.fixture(autouse=True)
def service_account(api: KubernetesApi) -> None:
    """Pods are taken once their account is there."""
    wait_until(lambda: api.get("serviceaccounts", "default").code == 200, what="the service account")


def phase(api: KubernetesApi, name: str = "p") -> str:
    return str(api.get("pods", name).body.get("status", {}).get("phase"))


def reached(api: KubernetesApi, *phases: str, name: str = "p") -> Manifest:
    """The pod once it is in one of ``phases``."""
    wait_until(lambda: phase(api, name) in phases, PATIENCE_S, what=" or ".join(phases))
    return dict(api.get("pods", name).body)


def terminated(manifest: Manifest, at: int = 0) -> Manifest:
    return dict(manifest["status"]["containerStatuses"][at]["state"]["terminated"])


def conditions(manifest: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in manifest["status"]["conditions"]}


def test_a_program_that_ends_well_has_succeeded(api: KubernetesApi) -> None:
    created = api.create("pods", pod("p", "true", notes())).body
    assert created["status"]["phase"] == "Pending"
    done = reached(api, "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded"
    assert done["spec"]["nodeName"]
    assert terminated(done)["exitCode"] == 0
    assert terminated(done)["reason"] == "Completed"
    assert terminated(done)["startedAt"] <= terminated(done)["finishedAt"]
    (status,) = done["status"]["containerStatuses"]
    assert (status["name"], status["ready"], status["restartCount"]) == ("main", False, 0)
    assert conditions(done)["Initialized"] == "True"
    assert conditions(done)["Ready"] == conditions(done)["ContainersReady"] == "False"


@pytest.mark.parametrize("code", [1, 7, 127, 255])
def test_an_exit_code_is_told(api: KubernetesApi, code: int) -> None:
    api.create("pods", pod("p", f"exit {code}", notes(f"Failed:{code}")))
    done = reached(api, "Succeeded", "Failed")
    assert done["status"]["phase"] == "Failed"
    assert (terminated(done)["exitCode"], terminated(done)["reason"]) == (code, "Error")


def test_a_program_that_was_killed_has_the_exit_code_of_its_signal(api: KubernetesApi) -> None:
    # Of a command, $$ becomes a single $, as it stands for one that begins no $(VARIABLE).
    api.create("pods", pod("p", "kill -9 $$$$", notes("Failed:137")))
    done = reached(api, "Succeeded", "Failed")
    assert (done["status"]["phase"], terminated(done)["exitCode"]) == ("Failed", 137)


def test_an_image_that_can_not_be_pulled_is_waited_for(api: KubernetesApi) -> None:
    nowhere = [{"name": "main", "image": "no-such-host.invalid/nothing:1"}]
    api.create("pods", pod("p", "", notes("ImagePullBackOff"), containers=nowhere))

    def waiting() -> Manifest:
        (status,) = api.get("pods", "p").body["status"].get("containerStatuses") or [{}]
        return dict(status.get("state", {}).get("waiting", {}))

    wait_until(lambda: waiting().get("reason") in ("ErrImagePull", "ImagePullBackOff"), PATIENCE_S, what="the reason")
    assert waiting()["message"]
    assert phase(api) == "Pending"
    (status,) = api.get("pods", "p").body["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (False, 0)


def test_a_running_pod_is_ready(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "sleep 300", notes("Running")))
    running = reached(api, "Running")
    wait_until(lambda: conditions(api.get("pods", "p").body).get("Ready") == "True", what="readiness")
    (status,) = api.get("pods", "p").body["status"]["containerStatuses"]
    assert status["ready"] is True
    assert status["state"]["running"]["startedAt"]
    assert running["status"]["startTime"]


@pytest.mark.parametrize(("code", "outcome"), [(0, "Succeeded"), (4, "Failed:4")])
def test_the_last_words_of_a_program_are_its_termination_message(api: KubernetesApi, code: int, outcome: str) -> None:
    words = '{"project_id": "17"}'
    script = f"printf '%s' '{words}' > {TERMINATION_LOG}; exit {code}"
    api.create("pods", pod("p", script, notes(outcome, message=words)))
    assert terminated(reached(api, "Succeeded", "Failed"))["message"] == words


def test_init_containers_run_first_and_are_reported_apart(api: KubernetesApi) -> None:
    init = [container("true", "first"), container("true", "second")]
    api.create("pods", pod("p", "true", notes(), initContainers=init))
    done = reached(api, "Succeeded", "Failed")
    assert [each["name"] for each in done["status"]["initContainerStatuses"]] == ["first", "second"]
    for each in done["status"]["initContainerStatuses"]:
        assert each["state"]["terminated"]["reason"] == "Completed"
    assert [each["name"] for each in done["status"]["containerStatuses"]] == ["main"]


def test_containers_of_a_pod_end_one_by_one(api: KubernetesApi) -> None:
    both = [container("exit 3", "bad"), container("true", "good")]
    api.create("pods", pod("p", "", notes("Failed:3"), containers=both))
    done = reached(api, "Succeeded", "Failed")
    assert done["status"]["phase"] == "Failed"
    codes = {each["name"]: each["state"]["terminated"]["exitCode"] for each in done["status"]["containerStatuses"]}
    assert codes == {"bad": 3, "good": 0}


def test_a_container_is_restarted_where_the_policy_says_so(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "exit 5", notes("Failed:5"), restartPolicy="OnFailure"))

    def restarting() -> bool:
        (status,) = api.get("pods", "p").body["status"].get("containerStatuses") or [{}]
        return bool(status.get("lastState", {}).get("terminated"))

    wait_until(restarting, PATIENCE_S, what="the end of the first incarnation")
    (status,) = api.get("pods", "p").body["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["exitCode"] == 5
    assert phase(api) == "Running"


def test_a_container_that_ended_well_is_not_restarted_on_failure(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "true", notes(), restartPolicy="OnFailure"))
    (status,) = reached(api, "Succeeded", "Failed")["status"]["containerStatuses"]
    assert (status["restartCount"], phase(api)) == (0, "Succeeded")


def test_what_a_program_writes_is_its_log(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "printf 'one\\ntwo\\n'", notes(log="one\ntwo\n")))
    reached(api, "Succeeded")
    assert api.get("pods", "p", "log").body == "one\ntwo\n"
    assert api.get("pods", "p", "log", tailLines=1).body == "two\n"


def test_the_log_of_a_container_that_is_not_there_is_a_bad_request(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "true", notes()))
    reached(api, "Succeeded")
    refused = api.get("pods", "p", "log", container="nobody")
    assert (refused.code, refused.body["reason"]) == (400, "BadRequest")
    assert refused.body["message"] == "container nobody is not valid for pod p"


def test_of_several_containers_one_has_to_be_named(api: KubernetesApi) -> None:
    spec = {"containers": [container("true", "a"), container("true", "b")], "initContainers": [container("true", "i")]}
    api.create("pods", pod("p", "", notes(), **spec))
    refused = api.get("pods", "p", "log")
    assert refused.code == 400
    assert refused.body["message"] == "a container name must be specified for pod p, choose one of: [i a b]"


def test_a_pod_that_no_node_has_goes_at_once(api: KubernetesApi) -> None:
    unplaced = {"schedulerName": "nobody", "nodeSelector": {"no-such": "node"}}
    api.create("pods", pod("p", "true", notes("Pending"), **unplaced))
    assert phase(api) == "Pending"
    assert "nodeName" not in api.get("pods", "p").body["spec"]
    deleted = api.delete("pods", "p").body
    assert (deleted["kind"], deleted["metadata"]["name"]) == ("Pod", "p")
    assert api.get("pods", "p").code == 404


def test_a_running_pod_is_given_time_to_end(api: KubernetesApi) -> None:
    script = 'trap "sleep 0.3; exit 0" TERM; while :; do sleep 0.1; done'
    api.create("pods", pod("p", script, notes("Running"), terminationGracePeriodSeconds=20))
    reached(api, "Running")
    deleting = api.delete("pods", "p").body
    assert deleting["metadata"]["deletionGracePeriodSeconds"] == 20
    assert deleting["metadata"]["deletionTimestamp"]
    wait_until(lambda: api.get("pods", "p").code == 404, PATIENCE_S, what="the pod's removal")


def test_a_grace_period_can_be_made_shorter(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "sleep 300", notes("Running")))
    api.patch("pods", "p", {"metadata": {"finalizers": ["test.lando/hold"]}})
    reached(api, "Running")
    api.delete("pods", "p", gracePeriodSeconds=100)
    shorter = api.delete("pods", "p", gracePeriodSeconds=0).body
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 0
    api.patch("pods", "p", {"metadata": {"finalizers": None}})
    wait_until(lambda: api.get("pods", "p").code == 404, PATIENCE_S, what="the pod's removal")


def test_a_pod_that_has_ended_goes_at_once(api: KubernetesApi) -> None:
    api.create("pods", pod("p", "true", notes()))
    reached(api, "Succeeded")
    api.delete("pods", "p")
    wait_until(lambda: api.get("pods", "p").code == 404, what="the pod's removal")


def test_a_pod_leaves_a_watch_for_what_has_not_ended(api: KubernetesApi) -> None:
    start = api.list("pods").body["metadata"]["resourceVersion"]
    api.create("pods", pod("p", "true", notes()))
    selector = "status.phase!=Succeeded"
    types = []
    with api.watch("pods", resourceVersion=start, fieldSelector=selector, timeoutSeconds=30) as events:
        for event in events:
            types.append(event["type"])
            if event["type"] == "DELETED":
                break
    assert types[0] == "ADDED"
    assert set(types[1:-1]) <= {"MODIFIED"}
    assert api.get("pods", "p").code == 200


def test_a_claim_is_bound_to_a_volume(api: KubernetesApi) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": spec})

    def claim() -> Manifest:
        return dict(api.get("persistentvolumeclaims", "data").body)

    wait_until(lambda: claim()["status"]["phase"] == "Bound", PATIENCE_S, what="the binding")
    assert claim()["spec"]["volumeName"]
    assert claim()["status"]["capacity"]["storage"] == "1Gi"
    assert claim()["status"]["accessModes"] == ["ReadWriteMany"]


def test_a_claim_in_use_is_kept_until_its_pod_has_gone(api: KubernetesApi) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    api.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": claim})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounting = [container("sleep 300", volumeMounts=[{"name": "data", "mountPath": "/data"}])]
    spec = {"volumes": volumes, "containers": mounting, "terminationGracePeriodSeconds": 1}
    api.create("pods", pod("p", "", notes("Running"), **spec))
    reached(api, "Running")
    held = api.delete("persistentvolumeclaims", "data").body
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert "deletionTimestamp" in api.get("persistentvolumeclaims", "data").body["metadata"]
    api.delete("pods", "p")
    wait_until(lambda: api.get("persistentvolumeclaims", "data").code == 404, PATIENCE_S, what="the claim's removal")
    assert api.get("pods", "p").code == 404
