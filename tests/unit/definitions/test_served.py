"""Jobs inside a server: read from the view without a call, and from the archive when the cluster has them no more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.archive import JobArchive
from lando.definitions import JobManager, NotFoundException, gathering
from lando.definitions.served import view
from lando.definitions.served.keeping import Keeper
from lando.definitions.served.service import ServedJobs
from lando.definitions.served.view import JobsView
from lando.definitions.server import create_app
from lando.definitions.signing import UserSigner
from lando.errors import Unavailable
from lando.k8s.cluster import Page
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job
from tests.unit.definitions.kept_jobs import LIMIT_S, OneWatch, idle_view, pod

SELECTOR = "app.kubernetes.io/managed-by=ours"


class ListedCluster:
    """What the view follows: these Jobs."""

    def __init__(self, names: list[str]) -> None:
        labels = {"app.kubernetes.io/managed-by": "ours", "job_definition_name": "thumbs"}
        self._items = [
            {
                "metadata": {
                    "name": name,
                    "uid": f"uid-{name}",
                    "resourceVersion": "1",
                    "labels": labels | {"lando-user": name[-1]},
                },
                "spec": {"template": {"spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"}}},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]},
            }
            for name in names
        ]

    def list_page(self, kind: str, label_selector: str, **more: Any) -> Page:
        assert (kind, label_selector) == ("Job", SELECTOR)
        return Page(items=self._items, resource_version="1", continue_token=None)

    def watch(self, *arguments: Any, **more: Any) -> OneWatch:
        return OneWatch()


class UnwatchableCluster(ListedCluster):
    """Whose account has not the right to watch."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.listed_thrice = threading.Event()
        self._lists = 0

    def list_page(self, kind: str, label_selector: str, **more: Any) -> Page:
        self._lists += 1
        if self._lists == 3:
            self.listed_thrice.set()
        return super().list_page(kind, label_selector, **more)

    def watch(self, *arguments: Any, **more: Any) -> OneWatch:
        raise Unavailable("cluster", "forbidden", status=403)


@pytest.fixture
def followed() -> Iterator[JobsView]:
    """A view that is current, of 1,000 Jobs."""
    names = [f"job-{number:04}" for number in range(1000)]
    is_full = threading.Event()
    view = JobsView(
        ListedCluster(names),  # type: ignore[arg-type]
        SELECTOR,
        on_change=lambda one: is_full.set() if one.metadata.name == names[-1] else None,
    )
    thread = threading.Thread(target=view.run, daemon=True)
    thread.start()
    assert is_full.wait(LIMIT_S)
    while not view.is_current():
        thread.join(0.01)
    yield view
    view.stop()
    thread.join(LIMIT_S)


def test_a_list_of_a_thousand_jobs_and_each_of_them_cost_no_call(
    manager: JobManager, batch: FakeBatch, followed: JobsView
) -> None:
    served = ServedJobs(manager, followed, None)

    assert len(served.list_jobs()) == len(served.list_jobs("thumbs")) == 1000
    assert served.list_jobs("others") == []
    assert served.job_status("job-0500") is JobManager.JobStatus.COMPLETE
    assert batch.calls == []


def test_pages_of_the_view_are_whole_and_do_not_overlap(
    manager: JobManager, batch: FakeBatch, followed: JobsView
) -> None:
    served, token, names = ServedJobs(manager, followed, None), None, []
    while True:
        page, token = served.list_page(limit=300, token=token)
        names += [one.metadata.name for one in page]
        if token is None:
            break

    assert names == [f"job-{number:04}" for number in range(1000)]
    assert batch.calls == []


def test_a_user_sees_a_tenth_of_the_view_and_no_more(manager: JobManager, batch: FakeBatch, followed: JobsView) -> None:
    mine = ServedJobs(JobManager("batch", UserSigner("ours", "7"), manager.register), followed, None)
    all_of_them = JobManager("batch", UserSigner("ours", "7", knows_all=True), manager.register)

    names = [one.metadata.name for one in mine.list_jobs()]

    assert names == [f"job-{number:04}" for number in range(7, 1000, 10)]
    assert [one.metadata.name for one in mine.list_page(limit=1000)[0]] == names
    assert mine.read_job("job-0007").metadata.name == "job-0007"
    for name in ("job-0008", "job-1007"):
        with pytest.raises(NotFoundException, match=f"^there is no Job '{name}'$"):
            mine.read_job(name)
    assert len(ServedJobs(all_of_them, followed, None).list_jobs()) == 1000


def test_a_page_begins_with_the_newest(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    view = idle_view()
    times = {"a": 1, "b": 3, "c": 2}
    jobs = [job(name, creation_timestamp=datetime(2024, 1, day, tzinfo=UTC)) for name, day in times.items()]
    monkeypatch.setattr(view, "is_current", lambda: True)
    monkeypatch.setattr(view, "jobs", lambda: jobs)
    served = ServedJobs(manager, view, None)

    first, token = served.list_page(limit=2)
    second, end = served.list_page(limit=2, token=token)

    assert [one.metadata.name for one in first + second] == ["b", "c", "a"]
    assert end is None


def test_a_view_that_is_not_current_is_not_asked(manager: JobManager, batch: FakeBatch) -> None:
    batch.jobs["there"] = job("there")

    served = ServedJobs(manager, idle_view(), None)

    assert [one.metadata.name for one in served.list_jobs()] == ["there"]
    assert [one.metadata.name for one in served.list_page()[0]] == ["there"]


def test_an_account_that_may_not_watch_is_listed_for_each_list_and_told_of_ends_all_the_same(
    manager: JobManager, batch: FakeBatch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "RELIST_S", 0.001)
    caplog.set_level(logging.WARNING, "lando.k8s.reflector")  # which `lando phases run` silences in its process
    cluster = UnwatchableCluster(["a", "b"])
    batch.jobs["c"] = job("c")
    told: list[str] = []
    jobs = JobsView(cluster, SELECTOR, on_change=lambda one: told.append(one.metadata.name))  # type: ignore[arg-type]
    thread = threading.Thread(target=jobs.run, daemon=True)
    thread.start()

    assert cluster.listed_thrice.wait(LIMIT_S)
    assert [one.metadata.name for one in ServedJobs(manager, jobs, None).list_jobs()] == ["c"]
    jobs.stop()
    thread.join(LIMIT_S)

    assert sorted(told) == ["a", "b"]
    assert [one.message for one in caplog.records] == ["Job: no right to watch, listing every 0.001 s instead"]


@pytest.fixture
def failed(manager: JobManager, batch: FakeBatch, core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Job that has failed, with a pod."""
    batch.jobs["one"] = job("one", condition="Failed")
    core.pods = [pod("one-x")]
    core.logs["one-x", "main"] = b"first\nlast\n"
    monkeypatch.setattr(JobManager, "job_cause", lambda self, one: None)
    return batch.jobs["one"]


def test_what_a_job_said_outlives_its_deletion(
    manager: JobManager, batch: FakeBatch, core: FakeCore, archive: JobArchive, failed: Any
) -> None:
    keeper = Keeper(manager, archive)
    served = ServedJobs(manager, idle_view(), keeper)

    served.delete_job(failed)
    core.pods = []

    assert batch.jobs == {}
    gone = served.read_job("one")
    assert served.job_status(gone) is JobManager.JobStatus.FAILED
    assert "lando.kept" in gone.metadata.annotations
    assert served.job_logs("one", 2) == {"one-x": {"main": ["last", ""]}}
    kept = keeper.kept("one")
    assert kept is not None
    assert kept.terminations == {"one-x": {"main": "out of cheese"}}
    with pytest.raises(NotFoundException):
        served.delete_job(gone)
    assert served.job_logs("one")["one-x"]["main"] == ["first", "last", ""]


def test_the_log_of_a_job_that_is_gone_can_be_asked_for_as_text(
    manager: JobManager, core: FakeCore, archive: JobArchive, failed: Any
) -> None:
    served = ServedJobs(manager, idle_view(), Keeper(manager, archive))
    served.delete_job(failed)
    core.pods = []
    client = TestClient(create_app(served, lambda request: None))

    assert client.get("/jobs/one/logs?follow=true").text == "first\nlast\n"
    assert client.get("/jobs/one/logs?follow=true&container=other").status_code == 404
    assert client.get("/jobs/one").json()["kept"]
    history = client.get("/jobs/one/events").json()
    assert history["terminations"] == {"one-x": {"main": "out of cheese"}}
    assert [(event["time"], event["object"], event["reason"]) for event in history["events"]] == [
        ("2024-01-01T00:00:00Z", "Pod one-x", "Started")
    ]
    assert client.delete("/jobs/one").status_code == 404


def test_no_job_is_deleted_that_could_not_be_kept(
    manager: JobManager, batch: FakeBatch, archive: JobArchive, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("archive", "away")

    monkeypatch.setattr(archive, "store", away)

    with pytest.raises(Unavailable):
        ServedJobs(manager, idle_view(), Keeper(manager, archive)).delete_job(failed)

    assert "one" in batch.jobs


def test_a_log_that_is_lost_does_not_hold_its_job(
    manager: JobManager, core: FakeCore, archive: JobArchive, failed: Any
) -> None:
    core.logs["one-x", "main"] = ApiException(status=500, reason="the node is gone")
    keeper = Keeper(manager, archive)

    keeper.keep(failed, by="a test")

    assert keeper.logs("one") == {"one-x": {"main": "[There is no log: the cluster answered 500: the node is gone.]"}}


def test_no_more_is_kept_of_a_job_than_memory_can_hold(
    manager: JobManager, core: FakeCore, archive: JobArchive, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "BYTES", 10)
    core.pods = [pod("one-x", number=1), pod("one-y", number=2)]
    core.logs["one-y", "main"] = b"long ago\nat the end"
    keeper = Keeper(manager, archive)

    keeper.keep(failed, by="a test")

    logs = keeper.logs("one")
    assert logs["one-y"] == {"main": "at the end"}
    assert logs["one-x"]["main"].startswith("[There is no log: only 10 bytes")
    assert len(core.asked) == 1


def test_what_is_kept_whole_is_not_overwritten_by_less(
    manager: JobManager, core: FakeCore, archive: JobArchive, failed: Any
) -> None:
    keeper = Keeper(manager, archive)
    keeper.keep(failed, by="a test")
    core.pods = []

    keeper.keep(failed, by="a test")

    assert keeper.logs("one") == {"one-x": {"main": "first\nlast\n"}}


def test_a_job_that_ends_is_kept_before_anybody_deletes_it(
    manager: JobManager, archive: JobArchive, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = threading.Event()
    store = archive.store

    def noted(*arguments: Any) -> None:
        store(*arguments)
        stored.set()

    monkeypatch.setattr(archive, "store", noted)
    keeper = Keeper(manager, archive)
    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()

    keeper.changed(failed)

    assert stored.wait(LIMIT_S)
    keeper.stop()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert keeper.kept("one") is not None
