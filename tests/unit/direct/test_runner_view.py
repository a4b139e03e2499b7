"""What was just created or deleted counts before a watch tells of it, and what a watch never tells is found out."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from lando.direct.view import View
from lando.direct.waiting import Calls, Waiting
from lando.errors import NotFound
from lando.k8s.cluster import Manifest
from lando.k8s.reflector import Change, ChangeType
from lando.phases.labels import job_labels
from tests.unit.direct.running import entry, manifest, model

MODEL = model([entry("a")])
OLD = "2026-03-03T00:00:00Z"
ENDED = {"terminated": {"exitCode": 137, "finishedAt": "2026-03-03T23:59:58Z"}}


class Clock(Waiting):
    def __init__(self) -> None:
        super().__init__(threading.Event())
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


class Asked:
    """A cluster that is asked for single Jobs only."""

    namespace = "lando"

    def __init__(self) -> None:
        self.jobs: dict[str, Manifest] = {}
        self.calls = 0

    def get(self, kind: str, name: str) -> Manifest:
        self.calls += 1
        if name not in self.jobs:
            raise NotFound("cluster", f"get {kind} {name}: not found", status=404)
        return self.jobs[name]

    def pod_log(self, *_: Any, **__: Any) -> str:
        raise NotFound("cluster", "no container was started", status=404)


def job(uid: str, *, condition: str = "", **metadata: Any) -> Manifest:
    made = manifest("a")
    made["metadata"] |= {"uid": uid, "labels": job_labels(next(MODEL.jobs())), "resourceVersion": "1", **metadata}
    if condition:
        made["status"] = {"conditions": [{"type": condition, "status": "True"}]}
    return made


def change(type_: ChangeType, item: Manifest) -> Change:
    return Change(type=type_, object=copy.deepcopy(item))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> Asked:
    return Asked()


@pytest.fixture
def view(clock: Clock, cluster: Asked) -> Iterator[View]:
    calls = Calls(clock)
    now = lambda: datetime(2026, 3, 4, tzinfo=UTC)  # noqa: E731
    yield View(MODEL, cluster, calls=calls, waiting=clock, now=now)  # type: ignore[arg-type]
    calls.close()


def uids(view: View) -> dict[str, str]:
    view.refresh()
    return {name: seen.uid for name, seen in view.seen().items()}


def test_a_job_counts_from_the_answer_to_its_creation(view: View) -> None:
    view.made(job("one"))
    assert uids(view) == {"a": "one"}


def test_an_answer_that_comes_after_the_watch_has_told_more_changes_nothing(view: View) -> None:
    view.on_job(change(ChangeType.ADDED, job("one", condition="Complete")))
    view.made(job("one"))
    view.refresh()
    assert view.seen()["a"].job.ended


def test_a_job_that_was_deleted_is_going_and_holds_its_name_until_it_is_gone(view: View) -> None:
    view.on_job(change(ChangeType.ADDED, job("one")))
    view.removed("one")
    view.refresh()
    assert view.seen()["a"].job.deleting
    assert view.held() == {"a"}
    view.on_job(change(ChangeType.DELETED, job("one")))
    assert uids(view) == {}
    assert view.held() == set()


def test_late_news_of_a_former_job_do_not_hide_the_present_one(view: View) -> None:
    view.on_job(change(ChangeType.ADDED, job("one")))
    view.made(job("two"))
    view.on_job(change(ChangeType.MODIFIED, job("one", condition="Failed")))
    view.on_job(change(ChangeType.DELETED, job("one", condition="Failed")))
    assert uids(view) == {"a": "two"}


def test_a_job_that_no_watch_tells_of_is_asked_for_now_and_then(view: View, clock: Clock, cluster: Asked) -> None:
    view.made(job("one"))
    cluster.jobs["a"] = job("one", condition="Complete", resourceVersion="2")
    view.refresh()
    assert not view.seen()["a"].job.ended
    clock.seconds = 30.0
    view.refresh()
    assert view.seen()["a"].job.ended
    view.refresh()
    assert cluster.calls == 1


def test_one_that_went_before_a_watch_could_tell_of_it_is_gone(view: View, clock: Clock) -> None:
    view.made(job("one"))
    clock.seconds = 30.0
    assert uids(view) == {}
    assert view.next_look_s() is None


def test_jobs_of_other_models_and_entries_are_not_in_the_view(view: View) -> None:
    other = job("other")
    other["metadata"]["name"] = "their-job"
    view.on_job(change(ChangeType.ADDED, other))
    stranger = job("stranger", labels={"jobernetes_job_name": "another"})
    view.on_job(change(ChangeType.ADDED, stranger))
    assert uids(view) == {}
    assert view.foreign() == ["a"]
    view.on_job(change(ChangeType.DELETED, stranger))
    assert view.foreign() == []


def test_what_a_job_waited_for_when_its_deadline_ended_it_is_told(view: View) -> None:
    def pod(phase: str, **metadata: Any) -> Manifest:
        state = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}} if phase == "Pending" else ENDED
        owner = [{"kind": "Job", "name": "a", "uid": "1", "controller": True}]
        meta = {"name": "a-x", "uid": "p", "creationTimestamp": OLD, "labels": {"job-name": "a"}, **metadata}
        meta["ownerReferences"] = owner
        status = {"phase": phase, "containerStatuses": [{"name": "main", "image": "x:1", "state": state}]}
        spec = {"nodeName": "n", "containers": [{"name": "main", "image": "x:1"}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}

    def judged() -> Any:
        view.refresh()
        return view.seen()["a"]

    view.on_job(change(ChangeType.ADDED, job("1", creationTimestamp=OLD)))
    view.on_pod(change(ChangeType.ADDED, pod("Pending")))
    waits = judged().waits
    assert waits is not None
    assert "can't be pulled" in waits.sentence
    view.on_pod(change(ChangeType.MODIFIED, pod("Failed", deletionTimestamp=OLD)))
    assert judged().waits == waits  # not that it waits no longer
    failed = job("1", creationTimestamp=OLD)
    failed["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}
    view.on_job(change(ChangeType.MODIFIED, failed))
    cause = judged().job.cause
    assert "before it could start" in cause.sentence
    assert waits.sentence in cause.sentence
