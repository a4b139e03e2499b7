"""Jobs wait to be kept while a cluster or an archive is away, in an order and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.archive import Archive, JobArchive
from lando.config import ClusterSettings
from lando.definitions import JobManager
from lando.definitions.gathering import LOGS_S, gather
from lando.definitions.served import service, to_keep
from lando.definitions.served.keeping import SILENCE_S, Keeper
from lando.definitions.served.service import ServedJobs
from lando.definitions.served.to_keep import BACKOFF_S, ToKeep
from lando.definitions.server import create_app
from lando.k8s.cluster import KubernetesCluster
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job
from tests.unit.definitions.kept_jobs import (
    LIMIT_S,
    Clock,
    at_work,
    away,
    idle_view,
    pod,
    running,
    until,
    work,
)
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError


def test_what_a_silent_cluster_does_not_tell_of_a_job_that_is_gone_is_not_asked_for_ever(
    core: FakeCore, manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(call: str) -> None:
        if call == "pods":
            raise ApiException(status=500, reason="overloaded")

    core.failing = refuse
    monkeypatch.setattr(to_keep, "BACKOFF_S", (0.0, 0.0))
    stored = threading.Event()
    store = archive.store
    monkeypatch.setattr(archive, "store", lambda *what: (store(*what), stored.set()))
    keeper = Keeper(manager, archive)
    keeper.gone(at_work(), True)

    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    assert stored.wait(LIMIT_S)
    keeper.stop()
    thread.join(LIMIT_S)

    kept = keeper.kept("one")
    assert kept is not None
    assert kept.lost[0] == "What was left of it is not known: the cluster answered 500: overloaded."
    assert core.calls == ["pods"] * 3


def test_a_job_that_waits_for_the_archive_is_known_all_the_same_and_kept_when_that_is_there(
    core: FakeCore, manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"
    refused, stored = threading.Event(), threading.Event()
    store = archive.store
    keeper = Keeper(manager, archive)
    server = TestClient(create_app(ServedJobs(manager, idle_view(), keeper), lambda request: None))
    monkeypatch.setattr(archive, "store", lambda *_: (refused.set(), away()))
    monkeypatch.setattr(to_keep, "BACKOFF_S", (0.01, 0.01))
    keeper.gone(at_work(), True)
    assert server.get("/jobs/one").json()["cause"]["sentence"] == "Job one was deleted before it had ended."

    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    assert refused.wait(LIMIT_S)
    core.pods = []
    gone = server.get("/jobs/one").json()
    assert (gone["state"], gone["lost"]) == ("Failed", "It is still being kept; more may be known soon.")
    monkeypatch.setattr(archive, "store", lambda *what: (store(*what), stored.set()))
    assert stored.wait(LIMIT_S)
    keeper.stop()
    thread.join(LIMIT_S)

    assert server.get("/jobs/one/logs").json() == {"one-x": {"main": ["so far", ""]}}
    assert server.get("/jobs/one").json()["lost"] is None


def test_a_node_that_does_not_answer_holds_neither_the_job_nor_the_logs_of_others_for_long(
    core: FakeCore, manager: JobManager
) -> None:
    clock = Clock()
    core.pods = [pod(f"one-{number}", number=number) for number in (1, 2, 3)]
    core.logs = {("one-2", "main"): b"text", ("one-1", "main"): b"text"}

    def silent(call: str) -> None:
        if call == "log":
            clock.now += LOGS_S * 0.6
            if core.calls.count("log") == 1:
                raise ReadTimeoutError(HTTPConnectionPool("api"), "/", "nothing came")

    core.failing = silent

    found = gather(manager, job("one", condition="Failed"), clock=clock)

    assert found.logs["one-3"]["main"].startswith("[There is no log: the cluster can't be reached: ")
    assert found.logs["one-2"]["main"] == "text"
    assert found.logs["one-1"]["main"] == "[There is no log: the others took longer than 60 s.]"
    assert not found.is_settled


def test_more_jobs_than_can_wait_are_not_kept_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(to_keep, "GONE", 2)
    waiting = ToKeep(Clock())
    for name in "abc":
        waiting.add_gone(job(name), is_seen=True)

    assert [waiting.gone(name) is not None for name in "abc"] == [True, True, False]
    assert "Job c is gone and is not kept: 2 others wait" in caplog.text


def test_no_more_logs_wait_for_the_archive_than_memory_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_keep, "HELD", 15)
    waiting = ToKeep(Clock())
    held = []
    for name in "ab":
        waiting.add_gone(job(name), is_seen=True)
        task = waiting.take()
        assert task is not None
        waiting.wait_for_archive(task, to_keep.Gathered(logs={"x": {"main": "0" * 10}}, terminations={}, events=[]))
        held.append(task.held)

    assert [found.size for found in held if found is not None] == [10, 0]
    assert held[1] is not None
    assert held[1].lost == ("The archive was away, and too many logs waited for it.",)


def test_what_may_go_comes_first_and_does_not_wait_for_the_archive() -> None:
    clock = Clock()
    waiting = ToKeep(clock)
    for name in "ab":
        waiting.add(job(name), is_pressing=False)
    first = waiting.take()
    assert first is not None
    assert first.job.metadata.name == "a"
    waiting.wait_for_archive(first, None)

    waiting.add_gone(job("gone"), is_seen=True)
    task = waiting.take()
    assert task is not None
    assert task.is_gone
    waiting.wait_for_archive(task, to_keep.NOTHING)
    clock.now = BACKOFF_S[1]
    order = []
    for _ in range(3):
        found = waiting.take()
        assert found is not None
        order.append(found.job.metadata.name)
        waiting.done(found)
    assert order == ["gone", "a", "b"]


def test_one_job_that_can_t_be_kept_lets_the_others_go_before_it() -> None:
    clock = Clock()
    waiting = ToKeep(clock)
    for name in "ab":
        waiting.add(job(name), is_pressing=True)
    bad = waiting.take()
    assert bad is not None
    pauses = []
    for _ in range(9):
        waiting.fail(bad)
        pauses.append(bad.not_before - clock.now)
    other = waiting.take()
    assert other is not None
    assert other.job.metadata.name == "b"
    assert all(0.5 * 2**tried <= pause <= 2**tried for tried, pause in enumerate(pauses[:6]))
    assert max(pauses) <= BACKOFF_S[1]


def test_one_job_that_the_archive_refuses_lets_the_others_go_before_it() -> None:
    clock = Clock()
    waiting = ToKeep(clock)
    for name in "ab":
        waiting.add(job(name), is_pressing=False)
    refused = waiting.take()
    assert refused is not None
    waiting.wait_for_archive(refused, None)

    clock.now = BACKOFF_S[0]  # when the archive is asked again
    other = waiting.take()
    assert other is not None
    assert (refused.job.metadata.name, other.job.metadata.name) == ("a", "b")


def test_a_job_that_is_gone_and_can_never_be_kept_is_given_up(
    manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(to_keep, "BACKOFF_S", (0.0, 0.0))
    monkeypatch.setattr(archive, "store", broken)
    keeper = Keeper(manager, archive)
    keeper.gone(at_work(), True)

    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    until(lambda: keeper.waiting() == (0, False))
    keeper.stop()
    thread.join(LIMIT_S)

    assert "Job one is gone and is not kept" in caplog.text


def test_at_the_end_only_what_would_be_lost_is_kept(keeper: Keeper, archive: JobArchive) -> None:
    keeper.changed(job("ended", condition="Complete"))
    keeper.gone(at_work("gone"), True)
    work(keeper)

    assert (archive.document("ended"), archive.document("gone") is not None) == (None, True)


def test_an_archive_that_is_away_does_not_hold_up_the_end(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        keeper.gone(at_work(name), True)
    monkeypatch.setattr(JobArchive, "store", away)

    work(keeper)


def test_an_archive_that_is_silent_counts_as_away(
    manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, let_go, clock = threading.Event(), threading.Event(), Clock()

    def silent(name: str) -> None:
        inside.set()
        let_go.wait(LIMIT_S)

    monkeypatch.setattr(archive, "document", silent)
    keeper = Keeper(manager, archive, clock=clock)
    keeper.changed(job("one", condition="Complete"))
    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    assert inside.wait(LIMIT_S)

    assert keeper.waiting() == (1, False)
    clock.now += 2 * SILENCE_S
    assert keeper.waiting() == (1, True)
    let_go.set()
    until(lambda: keeper.waiting() == (0, False))
    keeper.stop()
    thread.join(LIMIT_S)


def test_pods_that_never_end_are_not_waited_for_for_ever(
    core: FakeCore, manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_keep, "BACKOFF_S", (0.0, 0.0))
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"first\n"
    keeper = Keeper(manager, archive)
    keeper.keep(job("one", condition="Failed"), by="a test")
    assert not keeper.is_whole("uid-one")
    keeper.changed(job("one", condition="Failed"))

    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    until(lambda: keeper.is_whole("uid-one"))
    keeper.stop()
    thread.join(LIMIT_S)


def test_a_server_ends_though_its_archive_is_silent(
    batch: FakeBatch, core: FakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, let_go = threading.Event(), threading.Event()

    def silent(*_: Any) -> None:
        inside.set()
        let_go.wait(LIMIT_S)

    monkeypatch.setattr(JobArchive, "document", silent)
    monkeypatch.setattr(service, "STOP_S", 0.2)
    monkeypatch.setattr(service, "JobsView", lambda *_, on_change, **__: FollowedOnce(on_change))
    (tmp_path / "definitions").write_text("[]")
    cluster = KubernetesCluster(ClusterSettings(namespace="batch", host="https://127.0.0.1:1"))
    server = service.Service(
        cluster,
        str(tmp_path / "definitions"),
        signature="ours",
        retention_s=60,
        kept_s=60,
        archive=Archive(str(tmp_path / "archive")),
    )

    with server:
        assert inside.wait(LIMIT_S)

    assert not let_go.is_set()
    let_go.set()


class FollowedOnce:
    """A view that tells of one Job, which has ended."""

    def __init__(self, on_change: Callable[[Any], None]) -> None:
        self._on_change = on_change

    def run(self) -> None:
        self._on_change(job("one", condition="Complete"))

    def stop(self) -> None:
        pass
