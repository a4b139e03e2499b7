"""What was written through a server is read from it at once, however late its watch is."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.client.exceptions import ApiException
from lando.definitions import (
    JobGenerator,
    JobManager,
    JobSigner,
    NotFoundException,
    StaticJobDefinitionsRegister,
    StaticSpecSource,
)
from lando.definitions.exceptions import IdempotencyError
from lando.definitions.served import view
from lando.definitions.served.service import ServedJobs
from lando.definitions.served.view import JobsView
from lando.errors import Expired
from lando.k8s.cluster import Page
from tests.unit.definitions.conftest import models

LIMIT_S = 30.0
SIGNED = {"app.kubernetes.io/managed-by": "ours"}
_api = models.ApiClient()


class LateCluster:
    """A cluster that answers the official client at once, and its watch only what :meth:`tell` lets through."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.calls: list[str] = []
        self._versions = itertools.count(2)
        self._uids = itertools.count(1)
        self._untold: list[dict[str, Any]] = []
        self._events: queue.Queue[Any] = queue.Queue()
        self._idle = threading.Condition()
        self._asked = 0
        self._told = 0

    # -- for the official client ----------------------------------------------------------------------------------

    def create_namespaced_job(self, *, namespace: str, body: Any, **more: Any) -> Any:
        self.calls.append("create")
        metadata = (body if isinstance(body, dict) else body.to_dict())["metadata"]
        if metadata["name"] in self.jobs:
            raise ApiException(status=409)
        if "dry_run" in more:
            return self._new(metadata, "0")
        made = self._new(metadata, str(next(self._versions)))
        self.jobs[made.metadata.name] = made
        self._happened("ADDED", made)
        return self._copy(made)

    def read_namespaced_job_status(self, *, name: str, namespace: str) -> Any:
        self.calls.append("read")
        if name not in self.jobs:
            raise ApiException(status=404)
        return self._copy(self.jobs[name])

    def list_namespaced_job(self, **_: Any) -> Any:
        self.calls.append("list")
        return models.V1JobList(items=[self._copy(one) for one in self.jobs.values()], metadata=models.V1ListMeta())

    def delete_namespaced_job(self, *, name: str, namespace: str, body: Any) -> None:
        self.calls.append("delete")
        self.change(name, deletion_timestamp=datetime.now(UTC))

    # -- for whoever else there is --------------------------------------------------------------------------------

    def change(self, name: str, **changes: Any) -> None:
        """Something about the Job is another from now on."""
        metadata = self.jobs[name].metadata
        metadata.resource_version = str(next(self._versions))
        for key, value in changes.items():
            setattr(metadata, key, getattr(metadata, key) or value)
        self._happened("MODIFIED", self.jobs[name])

    def remove(self, name: str) -> None:
        """The Job's pods are gone, and it is."""
        gone = self.jobs.pop(name)
        gone.metadata.resource_version = str(next(self._versions))
        self._happened("DELETED", gone)

    # -- for the view ---------------------------------------------------------------------------------------------

    def list_page(self, *_: Any, **__: Any) -> Page:
        self._untold.clear()
        while not self._events.empty():
            self._events.get_nowait()
        version = str(next(self._versions))  # before the rest: Jobs are made meanwhile
        items = [_api.sanitize_for_serialization(one) for one in list(self.jobs.values())]
        return Page(items=items, resource_version=version, continue_token=None)

    def watch(self, *_: Any, **__: Any) -> LateCluster:
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._idle:
            self._asked += 1
            self._idle.notify()
        event = self._events.get(timeout=LIMIT_S)
        if event is StopIteration:
            raise StopIteration
        if isinstance(event, Exception):
            raise event
        return event

    def close(self) -> None:
        self._events.put(StopIteration)

    def tell(self, count: int) -> None:
        """Let the watch bring the next ``count`` of what has happened; returns when the view has them."""
        for _ in range(min(count, len(self._untold))):
            self._bring(self._untold.pop(0))

    def expire(self) -> None:
        """End the watch, so that the view is listed anew; returns when it is followed again."""
        self._bring(Expired("cluster", "the watch is too old"))

    def tell_all(self) -> None:
        self.tell(len(self._untold))

    def wait(self) -> None:
        """Until the watch asks for more."""
        with self._idle:
            assert self._idle.wait_for(lambda: self._asked > self._told, LIMIT_S)

    def _bring(self, event: Any) -> None:
        self.wait()
        self._told = self._asked
        self._events.put(event)
        self.wait()

    def _happened(self, kind: str, job: Any) -> None:
        self._untold.append({"type": kind, "object": _api.sanitize_for_serialization(job)})

    def _new(self, metadata: dict[str, Any], version: str) -> Any:
        made = models.V1ObjectMeta(
            name=metadata["name"],
            uid=f"uid-{next(self._uids)}",
            resource_version=version,
            labels=metadata.get("labels"),
            annotations=metadata.get("annotations"),
        )
        return models.V1Job(metadata=made, status=models.V1JobStatus())

    def _copy(self, job: Any) -> Any:
        metadata = models.V1ObjectMeta(**{**job.metadata.__dict__})
        return models.V1Job(metadata=metadata, status=job.status)


@contextmanager
def following(cluster: LateCluster) -> Iterator[ServedJobs]:
    """A server's Jobs, with a view that has its first list, which is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes.client.BatchV1Api", lambda connected: cluster)
        register = StaticJobDefinitionsRegister({"one": JobGenerator(StaticSpecSource({"metadata": {"name": "one"}}))})
        jobs = JobsView(cluster, "")  # type: ignore[arg-type]
        thread = threading.Thread(target=jobs.run, daemon=True)
        thread.start()
        cluster.wait()
        try:
            yield ServedJobs(JobManager("batch", JobSigner("ours"), register), jobs, None)
        finally:
            jobs.stop()
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def state(job: Any) -> tuple[str, str, bool]:
    return job.metadata.uid, job.metadata.resource_version, job.metadata.deletion_timestamp is not None


def untouched(served: ServedJobs) -> set[str]:
    return {one.metadata.name for one in served.list_jobs() if one.metadata.deletion_timestamp is None}


def test_a_new_job_is_there_before_the_watch_tells_of_it() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        name = served.create_job("one")
        cluster.calls.clear()

        assert untouched(served) == {name}
        assert [one.metadata.name for one in served.list_page(limit=5)[0]] == [name]
        assert served.read_job(name).metadata.name == name
        assert cluster.calls == []


def test_a_job_that_a_key_had_made_elsewhere_is_there_too() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        manager = JobManager("batch", JobSigner("ours"), served.register)
        name = manager.create_job("one", idempotency_key="k")
        assert untouched(served) == set()

        assert served.create_job("one", idempotency_key="k") == name
        assert untouched(served) == {name}


def test_the_key_of_a_job_that_is_being_deleted_is_refused_until_it_is_gone() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        first = served.obtain_job("one", idempotency_key="k")
        served.delete_job(first)
        with pytest.raises(IdempotencyError, match="is being deleted; ask again"):
            served.create_job("one", idempotency_key="k")

        cluster.remove(first.metadata.name)
        second = served.obtain_job("one", idempotency_key="k")
        assert (second.metadata.name, served.read_job(first.metadata.name)) == (first.metadata.name, second)


def test_a_dry_run_leaves_nothing() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        served.create_job("one", dry_run=True)

        assert served.list_jobs() == []


def test_a_deleted_job_is_seen_to_be_going_and_then_it_is_gone() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        told, untold = served.create_job("one"), served.create_job("one")
        cluster.tell(1)
        for name in (told, untold):
            served.delete_job(served.read_job(name))

        for late in (0, 1, 1, 1):  # untold is made, told and then untold are to go
            cluster.tell(late)
            assert untouched(served) == set()
            assert {one.metadata.name for one in served.list_jobs()} == {told, untold}
            assert served.read_job(untold).metadata.deletion_timestamp is not None
        cluster.remove(told)
        cluster.remove(untold)
        cluster.tell_all()
        assert served.list_jobs() == []


def test_a_job_that_somebody_else_made_and_deleted_is_going_too_for_who_deletes_it_again() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        elsewhere = JobManager("batch", JobSigner("ours"), served.register)
        name = elsewhere.create_job("one")
        elsewhere.delete_job(elsewhere.read_job(name))

        served.delete_job(served.read_job(name))
        cluster.tell(1)

        assert untouched(served) == set()


def test_a_job_that_was_gone_before_its_deletion_is_not_shown_as_untouched() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        name = served.create_job("one")
        cluster.tell_all()
        cluster.remove(name)

        with pytest.raises(NotFoundException):
            served.delete_job(served.read_job(name))
        assert untouched(served) == set()


def test_a_job_that_came_and_went_while_its_answer_was_on_the_way_leaves_nothing() -> None:
    cluster = LateCluster()
    with following(cluster) as served:
        create = cluster.create_namespaced_job

        def slow(**arguments: Any) -> Any:
            made = create(**arguments)
            cluster.remove(made.metadata.name)
            cluster.tell_all()
            return made

        cluster.create_namespaced_job = slow  # type: ignore[method-assign]
        served.create_job("one")

        assert served.list_jobs() == []


def test_more_writes_than_are_remembered_make_the_view_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MAX_WRITTEN", 3)
    cluster = LateCluster()
    with following(cluster) as served:
        names = set()
        for _ in range(10):
            names.add(served.create_job("one"))
            assert untouched(served) == names


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from("pPdDxcte"), st.integers(0, 5)), min_size=3, max_size=25))
def test_own_writes_are_read_in_any_order_of_events(steps: list[tuple[str, int]]) -> None:
    cluster = LateCluster()
    with following(cluster) as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "MAX_WRITTEN", 4)
        elsewhere = JobManager("batch", JobSigner("ours"), served.register)
        mine: dict[str, Any] = {}
        deleted: set[str] = set()
        for step, number in steps:
            there = sorted(cluster.jobs)
            name = there[number % len(there)] if there else None
            match step:
                case "p":
                    with contextlib.suppress(IdempotencyError):  # it is being deleted
                        made = served.obtain_job("one", idempotency_key=f"k{number}")
                        mine[made.metadata.name] = made.metadata.uid
                case "P":
                    with contextlib.suppress(IdempotencyError):
                        elsewhere.create_job("one", idempotency_key=f"k{number}")
                case "d" if name:
                    served.delete_job(served.read_job(name))
                    deleted.add(cluster.jobs[name].metadata.uid)
                case "D" if name:
                    elsewhere.delete_job(elsewhere.read_job(name))
                case "x" if name and cluster.jobs[name].metadata.deletion_timestamp:
                    cluster.remove(name)
                case "c" if name:
                    cluster.change(name)
                case "t":
                    cluster.tell(number)
                case "e":
                    cluster.expire()
            seen = {one.metadata.name: one for one in served.list_jobs()}
            for name, uid in mine.items():
                if name in cluster.jobs and cluster.jobs[name].metadata.uid == uid:
                    assert seen[name].metadata.uid == served.read_job(name).metadata.uid == uid
            assert not deleted & {one.metadata.uid for one in seen.values() if not one.metadata.deletion_timestamp}
        cluster.tell_all()
        assert {state(one) for one in served.list_jobs()} == {state(one) for one in cluster.jobs.values()}
