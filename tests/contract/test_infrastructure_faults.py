"""What befalls a step's pod or Job from outside: on every cluster the same cause, and the same decision to do it again.

The pods are bound to a node that nobody plays, so that the test says of them what a node or a controller would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.decide import (
    Action,
    AwaitGone,
    Create,
    Delete,
    EndAttempt,
    ObjectRef,
    Plan,
    PlannedStep,
    ReportError,
    StepRecord,
    decide,
)
from lando.k8s import record
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.observe import observe, read
from lando.runs import Category, Cause, Intent, Run, RunState, StepState
from tests.contract.known_differences import since
from tests.services.kubernetes_api import MERGE, KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

Manifest = dict[str, Any]
PATIENCE_S = 30.0
STEP = "run_workflow"
JOB = ObjectRef("Job", "work")
RECORD = ObjectRef("ConfigMap", "lando-run-42")
LABELS = {"bespin-job": "true", "bespin-job-id": "42", "bespin-job-step": STEP}
PLAN = Plan(steps=(PlannedStep(name=STEP, job=JOB),), record=RECORD, infrastructure_retries=1)
RUN = Run(id=42, kind="cwl", owner="ada", name="n", state=RunState.RUNNING, steps={STEP: StepState.RUNNING})


@dataclass
class Site:
    """One running step, as lando knows it."""

    api: KubernetesApi
    cluster: KubernetesCluster
    pool: ThreadPoolExecutor

    def begin(self) -> None:
        """The Job with a pod at work on a node that nobody plays, and the run's record of it."""
        made = job("work", "sleep 300", notes("Running"), pod={"nodeName": "elsewhere"})
        made["metadata"]["labels"] = made["spec"]["template"]["metadata"]["labels"] = LABELS
        self.cluster.create(record.manifest(RECORD, RUN.id))
        wait_until(lambda: self.api.get("serviceaccounts", "default").code == 200, what="the service account")
        uid = self.api.create("jobs", made).body["metadata"]["uid"]
        noted = {STEP: StepRecord(attempt=1, uid=uid)}
        self.cluster.patch("ConfigMap", RECORD.name, record.steps_patch(noted, quota_ended=False))
        wait_until(lambda: len(self.pods()) == 1, PATIENCE_S, what="the pod")
        state = {"running": {"startedAt": now()}}
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": now()}]
        self.say("Running", state, conditions=ready)
        wait_until(lambda: self.status().get("phase") == "Running", PATIENCE_S, what="the pod at work")

    def pods(self) -> list[Manifest]:
        return list(self.api.list("pods").body["items"])

    def status(self) -> Manifest:
        return dict(self.pods()[0]["status"])

    def say(self, phase: str, state: Manifest, **more: Any) -> None:
        """Write the pod's status, as its node or a controller does."""
        (pod,) = self.pods()
        said = {
            "phase": phase,
            "startTime": now(),
            "containerStatuses": [
                {"name": "main", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state}
            ],
            **more,
        }
        name = pod["metadata"]["name"]
        answer = self.api.call("PATCH", self.api.path("pods", name, "status"), {"status": said}, content_type=MERGE)
        assert answer.code == 200, answer.body

    def fail(self, **more: Any) -> None:
        """The pod has failed, and what else is said of it."""
        self.say("Failed", {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now()}}, **more)

    def delete_pod(self, *, at_once: bool) -> None:
        options = {"gracePeriodSeconds": 0} if at_once else {}
        self.api.delete("pods", self.pods()[0]["metadata"]["name"], **options)

    def decided(self, *, late: bool = False) -> list[Action]:
        """What lando would do now, or when patience has ended."""
        reading = read(self.cluster, "bespin-job=true,bespin-job-id=42", RECORD, self.pool)
        moment = datetime.now(UTC) + timedelta(minutes=20 if late else 0)
        found = observe(self.cluster, PLAN, reading, now=moment, patience=timedelta(minutes=10))
        return decide(PLAN, RUN, found.observed, Intent.NONE)

    def is_done_again(self, *, late: bool = False) -> Cause:
        """Why the first attempt ended, as soon as lando decides on a second one."""
        ended: list[EndAttempt] = []

        def is_decided() -> bool:
            actions = self.decided(late=late)
            ended[:] = [action for action in actions if isinstance(action, EndAttempt)]
            again = [action for action in actions if isinstance(action, Create)]
            assert not any(isinstance(action, ReportError) for action in actions), actions
            return again == [Create(step=STEP, attempt=2, retries=1)]

        wait_until(is_decided, PATIENCE_S, what="the decision to do the step again")
        (end,) = ended
        assert end.cause.category is Category.INFRASTRUCTURE
        return end.cause


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture
def site(api: KubernetesApi) -> Iterator[Site]:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    settings = ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    with KubernetesCluster(settings) as cluster, ThreadPoolExecutor(4) as pool:
        made = Site(api, cluster, pool)
        made.begin()
        yield made
        for pod in made.pods():
            api.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=0)


def disrupted(reason: str, message: str) -> Manifest:
    entry = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return {"conditions": [{**entry, "lastTransitionTime": now()}]}


@pytest.mark.parametrize(
    ("befalls", "words"),
    [
        (
            lambda: {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "was evicted because its node ran out of memory: The node was low on resource: memory.",
        ),
        (
            lambda: disrupted(
                "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"
            ),
            "was preempted by a pod of higher priority",
        ),
        (
            lambda: {"reason": "Preempting", "message": "Preempted in order to admit critical pod"},
            "was preempted on its node by a more important pod",
        ),
        (
            lambda: disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
            "had to leave its node, which is lost or being emptied",
        ),
        (
            lambda: disrupted("DeletionByPodGC", "PodGC: node no longer exists"),
            "was removed because its node no longer exists",
        ),
        (
            lambda: {"reason": "NodeLost", "message": "Node elsewhere which was running pod is unresponsive"},
            "is on a node that no longer answers",
        ),
    ],
    ids=["evicted", "preempted", "preempted by the node", "node tainted", "node gone", "node lost"],
)
def test_a_pod_that_the_cluster_ended_is_made_again(site: Site, befalls: Callable[[], Manifest], words: str) -> None:
    site.fail(**befalls())
    assert words in site.is_done_again().sentence


def test_a_pod_that_was_deleted_for_good_is_made_again(site: Site) -> None:
    since(site.api, "pods that are deleted count as failed")
    site.delete_pod(at_once=True)
    assert "is gone, so it was probably deleted from outside" in site.is_done_again().sentence


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "was deleted from outside while its step ran"),
        ({"reason": "NodeLost"}, "is on a node that no longer answers"),
    ],
    ids=["by somebody", "by the node controller"],
)
def test_a_pod_whose_deletion_no_node_confirms_is_made_again_in_the_end(site: Site, said: Manifest, words: str) -> None:
    since(site.api, "pods that are deleted count as failed")
    site.delete_pod(at_once=False)
    site.say("Running", {"running": {"startedAt": now()}}, **said)
    assert words in site.is_done_again(late=True).sentence
    assert AwaitGone(refs=(JOB,)) in site.decided(late=True)


def test_a_pod_whose_node_is_not_heard_of_is_waited_for_and_then_made_again(site: Site) -> None:
    unheard = [{"type": "Ready", "status": "False", "reason": "NodeStatusNeverUpdated", "lastTransitionTime": now()}]
    site.say("Running", {"running": {"startedAt": now()}}, conditions=unheard)
    assert not any(isinstance(action, Create) for action in site.decided())
    assert "is not heard of any more" in site.is_done_again(late=True).sentence


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_a_job_that_somebody_deleted_is_made_again_once_its_pod_is_gone(site: Site, policy: str) -> None:
    pod = site.pods()[0]["metadata"]["name"]
    site.api.delete("jobs", "work", propagationPolicy=policy)
    cause = site.is_done_again()
    assert "deleted" in cause.sentence
    if policy == "Foreground":
        return  # the Job itself is there as long as its pod

    def is_settled() -> bool:
        """The Job is gone, and the garbage collector has done with its pod what was asked for."""
        metadata = site.pods()[0]["metadata"]
        owned = "ownerReferences" in metadata
        return site.api.get("jobs", "work").code == 404 and (not owned if policy == "Orphan" else owned)

    wait_until(is_settled, PATIENCE_S, what="the Job's end")
    actions = site.decided()
    order = [action for action in actions if isinstance(action, Delete | AwaitGone | Create)]
    assert isinstance(order[-1], Create)
    assert AwaitGone(refs=(JOB,)) in order
    swept = [ref for action in order if isinstance(action, Delete) for ref in action.refs]
    assert swept == ([ObjectRef("Pod", pod)] if policy == "Orphan" else [])


def test_the_program_s_own_failure_is_not_made_again(site: Site) -> None:
    site.say("Failed", {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": now()}})

    def is_decided() -> bool:
        actions = site.decided()
        assert not any(isinstance(action, Create) for action in actions)
        return any(isinstance(action, ReportError) for action in actions)

    wait_until(is_decided, PATIENCE_S, what="the failure")
