"""What is kept of Jobs however they go, and what is said of what could not be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.archive import Archive, JobArchive
from lando.config import ClusterSettings
from lando.definitions import JobDeleter, JobManager, JobSigner, StaticJobDefinitionsRegister, service, to_keep
from lando.definitions.gathering import LOGS_S, gather
from lando.definitions.keeping import PLACES, SILENCE_S, Keeper
from lando.definitions.server import create_app
from lando.definitions.service import ServedJobs
from lando.definitions.to_keep import BACKOFF_S, ToKeep
from lando.definitions.view import JobsView
from lando.errors import Expired, Unavailable
from lando.k8s.cluster import KubernetesCluster, Page
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job, models
from tests.unit.definitions.test_served import OneWatch, idle_view, pod
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError

LIMIT_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive/jobs/batch/ours"


@pytest.fixture
def archive(tmp_path: Path) -> JobArchive:
    return Archive(str(tmp_path / "archive")).jobs("batch", "ours")


@pytest.fixture
def manager(batch: FakeBatch, core: FakeCore) -> JobManager:
    return JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keeper(manager: JobManager, archive: JobArchive) -> Keeper:
    return Keeper(manager, archive, clock=Clock())


@pytest.fixture
def server(manager: JobManager, keeper: Keeper) -> TestClient:
    return TestClient(create_app(ServedJobs(manager, idle_view(), keeper), lambda request: None))


def at_work(name: str = "one", *, created: int = 1, **metadata: Any) -> Any:
    """A Job with a pod that runs."""
    found = job(name, creation_timestamp=datetime(2024, 1, created, tzinfo=UTC), **metadata)
    found.status.active = 1
    return found


def running(name: str, owner: str | None = None) -> Any:
    found = pod(name)
    found.status.phase = "Running"
    state = models.V1ContainerState(running=models.V1ContainerStateRunning())
    found.status.container_statuses[0].state = state
    if owner is not None:
        reference = models.V1OwnerReference(api_version="batch/v1", kind="Job", name="one", uid=owner, controller=True)
        found.metadata.owner_references = [reference]
    return found


def work(keeper: Keeper) -> None:
    """Keep what is gone, and end."""
    keeper.stop()
    keeper.run()


def away(*_: Any, **__: Any) -> Any:
    raise Unavailable("archive", "away")


def test_a_job_that_somebody_deletes_at_work_is_kept_with_what_its_pods_said(
    core: FakeCore, keeper: Keeper, server: TestClient
) -> None:
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"

    keeper.gone(at_work(), True)
    work(keeper)
    core.pods = []

    gone = server.get("/jobs/one").json()
    assert (gone["state"], gone["lost"]) == ("Failed", None)
    assert gone["kept"]
    assert gone["cause"]["sentence"] == "Job one was deleted before it had ended."
    assert gone["cause"]["advice"] == "Not by this server, and the cluster does not tell by whom."
    (condition,) = gone["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Failed", "Deleted")
    assert gone["status"]["active"] is None
    assert server.get("/jobs/one/logs").json() == {"one-x": {"main": ["so far", ""]}}


def test_a_job_whose_pods_are_gone_too_is_kept_and_says_that_its_logs_are_lost(
    keeper: Keeper, server: TestClient
) -> None:
    keeper.gone(at_work(), True)
    work(keeper)

    gone = server.get("/jobs/one").json()
    assert gone["lost"] == "Its pods were gone before their logs could be read."
    assert gone["cause"]["sentence"] == "Job one was deleted before it had ended."
    assert server.get("/jobs/one/logs").json() == {}


@pytest.mark.parametrize(
    ("failed_at", "ttl_s", "says"),
    [
        (11, None, "was deleted before it had ended"),
        (10, None, "was deleted before it had ended"),
        (10, 0, "failed (Job has reached the specified backoff limit)"),
        (9, None, "failed (Job has reached the specified backoff limit)"),
    ],
)
def test_a_job_that_failed_because_it_was_being_deleted_says_so(
    keeper: Keeper, failed_at: int, ttl_s: int | None, says: str
) -> None:
    found = job("one", condition="Failed", deletion_timestamp=datetime(2024, 1, 1, 0, 0, 10, tzinfo=UTC))
    (condition,) = found.status.conditions
    condition.message = "Job has reached the specified backoff limit"
    condition.last_transition_time = datetime(2024, 1, 1, 0, 0, failed_at, tzinfo=UTC)
    found.spec = models.V1JobSpec(template=models.V1PodTemplateSpec(), ttl_seconds_after_finished=ttl_s)

    keeper.gone(found, True)
    work(keeper)

    kept = keeper.kept("one")
    assert kept is not None
    assert kept.cause is not None
    assert says in kept.cause.sentence


def test_a_job_that_never_had_a_pod_has_lost_nothing(keeper: Keeper, server: TestClient) -> None:
    keeper.gone(job("one"), True)
    work(keeper)

    assert server.get("/jobs/one").json()["lost"] is None


def test_a_job_that_this_server_deletes_at_work_says_so_and_has_what_it_said_before(
    batch: FakeBatch, core: FakeCore, manager: JobManager, keeper: Keeper, server: TestClient
) -> None:
    batch.jobs["one"] = at_work()
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"

    assert server.delete("/jobs/one").status_code == 200
    core.pods = []

    for _ in range(2):  # before the watch tells that it is gone, which a server that ends now never hears, and after
        gone = server.get("/jobs/one").json()
        assert gone["state"] == "Failed"
        sentence = "Job one was deleted before it had ended, by a request to this server."
        assert gone["cause"]["sentence"] == sentence
        assert server.get("/jobs/one/logs").json() == {"one-x": {"main": ["so far", ""]}}
        keeper.gone(at_work(), True)
        work(keeper)


def test_a_job_that_went_while_nothing_was_heard_of_the_cluster_does_not_pretend_to_know(
    keeper: Keeper, server: TestClient
) -> None:
    keeper.gone(at_work(), False)
    work(keeper)

    cause = server.get("/jobs/one").json()["cause"]
    assert cause["sentence"] == "Job one is gone, and had not ended when it was last seen."
    assert "while this server did not follow the cluster" in cause["advice"]


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_job_that_only_seems_to_be_gone_as_its_label_is_another_now_is_not_kept_as_that(
    batch: FakeBatch, archive: JobArchive, keeper: Keeper, is_seen: bool
) -> None:
    batch.jobs["one"] = at_work(labels={"app.kubernetes.io/managed-by": "others"})

    keeper.gone(at_work(), is_seen)
    work(keeper)

    assert archive.document("one") is None


def test_a_job_that_went_with_its_pods_as_soon_as_it_had_failed_says_what_is_known(
    keeper: Keeper, server: TestClient
) -> None:
    ended = job("one", condition="Failed")
    ended.status.failed = 1
    ended.status.conditions[0].message = "Job has reached the specified backoff limit."
    ended.spec = models.V1JobSpec(template=models.V1PodTemplateSpec(), ttl_seconds_after_finished=0)

    keeper.gone(ended, True)
    work(keeper)

    gone = server.get("/jobs/one").json()
    said = "Job one failed (Job has reached the specified backoff limit), and its pods were gone before"
    assert gone["cause"]["sentence"].startswith(said)
    assert "ttlSecondsAfterFinished" in gone["cause"]["advice"]
    assert gone["lost"] == "Its pods were gone before their logs could be read."


def test_of_many_pods_the_newest_are_kept_and_that_is_told(core: FakeCore, keeper: Keeper) -> None:
    for number in range(300):
        core.pods.append(running(f"one-{number}"))
        core.pods[-1].metadata.creation_timestamp = datetime(2024, 1, 1, number // 60, number % 60, tzinfo=UTC)
        core.logs[f"one-{number}", "main"] = b"text"

    keeper.keep(at_work(), by="a test")

    assert list(keeper.logs("one")) == [f"one-{number}" for number in reversed(range(280, 300))]
    kept = keeper.kept("one")
    assert kept is not None
    assert kept.lost == ("Of its 300 pods only the newest 20 are kept.",)


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


def test_what_a_deleted_job_had_waited_for_is_told(core: FakeCore, keeper: Keeper) -> None:
    waiting = running("one-x")
    waiting.status.phase, waiting.spec.containers[0].image = "Pending", "thumbs:latest!"
    state = models.V1ContainerState(waiting=models.V1ContainerStateWaiting(reason="InvalidImageName"))
    waiting.status.container_statuses[0].state = state
    core.pods, core.logs["one-x", "main"] = [waiting], ApiException(status=400)

    keeper.gone(at_work(), True)
    work(keeper)

    kept = keeper.kept("one")
    assert kept is not None
    assert kept.cause is not None
    assert "It had been waiting: thumbs:latest! is no valid image name." in kept.cause.advice


def test_a_job_does_not_replace_a_later_one_of_its_name(keeper: Keeper) -> None:
    later = job("one", condition="Complete", uid="later", creation_timestamp=datetime(2024, 2, 1, tzinfo=UTC))
    keeper.keep(later, by="a test")

    keeper.gone(at_work(uid="sooner"), True)
    work(keeper)

    kept = keeper.kept("one")
    assert kept is not None
    assert kept.uid == "later"


def test_pods_of_a_job_that_had_the_name_before_are_not_its_own(
    batch: FakeBatch, core: FakeCore, manager: JobManager, keeper: Keeper
) -> None:
    core.pods = [running("one-old", owner="uid-before"), running("one-new", owner="uid-one")]
    core.logs |= {("one-old", "main"): b"old", ("one-new", "main"): b"new"}
    batch.jobs["one"] = at_work()

    keeper.keep(batch.jobs["one"], by="a test")

    assert keeper.logs("one") == {"one-new": {"main": "new"}}
    assert manager.job_logs("one") == {"one-new": {"main": ["new"]}}


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


@pytest.fixture
def kept_whole(batch: FakeBatch, core: FakeCore, keeper: Keeper) -> Any:
    """A Job that has failed, and is kept."""
    failed = job("one", condition="Failed")
    containers = [models.V1Container(name="main")]
    failed.spec = models.V1JobSpec(template=models.V1PodTemplateSpec(spec=models.V1PodSpec(containers=containers)))
    batch.jobs["one"] = failed
    core.pods, core.logs["one-x", "main"] = [pod("one-x")], b"first\nlast\n"
    keeper.keep(failed, by="a test")
    assert core.calls == ["pods", "log", "events", "events"]
    core.calls.clear()
    return failed


class OneView(JobsView):
    """Current, of one Job."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def is_current(self) -> bool:
        return True

    def get(self, name: str) -> Any:
        return self._found if name == self._found.metadata.name else None


def test_a_job_that_is_kept_whole_costs_the_cluster_no_call(
    batch: FakeBatch, core: FakeCore, manager: JobManager, keeper: Keeper, kept_whole: Any
) -> None:
    server = TestClient(create_app(ServedJobs(manager, OneView(kept_whole), keeper), lambda request: None))

    found = server.get("/jobs/one").json()
    assert found["cause"]["sentence"] == "The program of container main ended with exit code 3."
    assert found["cause"]["log_tail"] == "first\nlast\n"
    assert found["kept"] is None  # it is there still
    assert server.get("/jobs/one/events").json()["terminations"] == {"one-x": {"main": "out of cheese"}}
    assert (batch.calls, core.calls) == ([], [])


def test_a_job_that_is_complete_has_no_cause_to_look_for(core: FakeCore, batch: FakeBatch, manager: JobManager) -> None:
    batch.jobs["one"] = job("one", condition="Complete")

    assert ServedJobs(manager, idle_view(), None).job_cause("one") is None
    assert core.calls == []


def test_logs_of_pods_that_went_before_their_job_are_read_from_the_archive(
    core: FakeCore, manager: JobManager, keeper: Keeper, kept_whole: Any
) -> None:
    later = pod("one-y", number=2)
    core.pods, core.logs["one-y", "main"] = [later], b"again"
    served = ServedJobs(manager, OneView(kept_whole), keeper)

    assert served.job_logs("one") == {"one-y": {"main": ["again"]}, "one-x": {"main": ["first", "last", ""]}}
    assert core.calls == ["pods", "log"]


def test_a_job_that_stays_longer_than_what_is_kept_of_it_is_kept_anew_before_it_goes(
    archive: JobArchive, keeper: Keeper, kept_whole: Any
) -> None:
    assert archive.remove(datetime.now(UTC) + timedelta(hours=1)).files == 2

    keeper.keep(kept_whole, by="a test")

    assert keeper.logs("one") == {"one-x": {"main": "first\nlast\n"}}


def test_logs_that_are_damaged_say_so(folder: Path, keeper: Keeper, kept_whole: Any) -> None:
    (folder / "one.logs.gz").write_bytes(b"no gzip")

    assert keeper.logs("one") == {"one-x": {"main": "[There is no log: what was kept of it is damaged.]"}}


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


def test_what_pods_say_after_the_end_of_their_job_is_kept_too(
    core: FakeCore, manager: JobManager, archive: JobArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_keep, "BACKOFF_S", (0.0, 0.0))
    last = running("one-x")
    core.pods, core.logs["one-x", "main"] = [last], b"first\n"
    store = archive.store

    def stored(*what: Any) -> None:
        store(*what)
        last.status.phase, core.logs["one-x", "main"] = "Failed", b"first\nlast\n"

    monkeypatch.setattr(archive, "store", stored)
    keeper = Keeper(manager, archive)
    ended = job("one", condition="Failed")
    ended.spec = models.V1JobSpec(
        template=models.V1PodTemplateSpec(spec=models.V1PodSpec(containers=[models.V1Container(name="main")]))
    )
    keeper.changed(ended)

    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    until(lambda: keeper.is_whole("uid-one"))
    keeper.stop()
    thread.join(LIMIT_S)

    assert keeper.logs("one") == {"one-x": {"main": "first\nlast\n"}}


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


@pytest.mark.parametrize("what", ["away", "damaged"])
def test_where_the_archive_does_not_tell_the_cluster_is_asked(
    what: str,
    folder: Path,
    core: FakeCore,
    manager: JobManager,
    archive: JobArchive,
    keeper: Keeper,
    kept_whole: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if what == "away":
        monkeypatch.setattr(archive, "document", away)
    else:
        archive.store("one", {"job": {}}, {})

    cause = ServedJobs(manager, OneView(kept_whole), keeper).job_cause("one")

    assert cause is not None
    assert cause.exit_code == 3
    assert "pods" in core.calls


def test_a_silent_archive_holds_few_and_the_cluster_is_asked_instead(
    core: FakeCore,
    manager: JobManager,
    archive: JobArchive,
    keeper: Keeper,
    kept_whole: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()
    inside = threading.Semaphore(0)

    def silent(name: str) -> None:
        inside.release()
        let_go.wait(LIMIT_S)

    monkeypatch.setattr(archive, "document", silent)
    threads = [threading.Thread(target=keeper.kept, args=("other",), daemon=True) for _ in range(PLACES)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=LIMIT_S)

    cause = ServedJobs(manager, OneView(kept_whole), keeper).job_cause("one")

    assert cause is not None
    assert cause.exit_code == 3
    with pytest.raises(Unavailable, match="too many calls"):
        keeper.kept("one", patience_s=0)
    let_go.set()
    for thread in threads:
        thread.join(LIMIT_S)


def test_a_job_that_is_kept_whole_can_be_deleted_while_the_archive_is_away(
    batch: FakeBatch, manager: JobManager, keeper: Keeper, kept_whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("document", "logs", "store"):
        monkeypatch.setattr(JobArchive, call, away)

    ServedJobs(manager, idle_view(), keeper).delete_job(kept_whole)

    assert batch.jobs == {}


class Scripted:
    """A cluster whose lists and watches are these, then silent."""

    def __init__(self, lists: list[list[Any]], watches: list[list[Any]]) -> None:
        self._lists, self._watches = lists, watches

    def list_page(self, *_: Any, **__: Any) -> Page:
        version = str(10 * (4 - len(self._lists)))
        items = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        return Page(items=items, resource_version=version, continue_token=None)

    def watch(self, *_: Any, **__: Any) -> Any:
        return Told(self._watches.pop(0)) if self._watches else OneWatch()


class Told:
    """A watch with these events, whose position then has expired."""

    def __init__(self, events: list[Any]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Any]:
        yield from self._events
        raise Expired("cluster", "the position has expired")

    def close(self) -> None:
        pass


def manifest(name: str, version: int, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"app.kubernetes.io/managed-by": "ours"},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"}}},
        "status": status,
    }


@pytest.fixture
def follow(keeper: Keeper) -> Iterator[Callable[[Any], None]]:
    """Has the keeper told of what the cluster shows."""
    running: list[Any] = []

    def followed(cluster: Any) -> None:
        view = JobsView(cluster, "", on_change=keeper.changed, on_gone=keeper.gone)
        for part in (view, keeper):
            thread = threading.Thread(target=part.run, daemon=True)
            thread.start()
            running.append((part, thread))

    yield followed
    for part, thread in running:
        part.stop()
        thread.join(LIMIT_S)


def until(condition: Callable[[], Any]) -> None:
    waited = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError


def test_a_job_that_ended_while_the_server_was_down_is_kept_when_it_starts(
    keeper: Keeper, follow: Callable[[Any], None]
) -> None:
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}

    follow(Scripted([[manifest("one", 1, **complete)]], []))

    until(lambda: keeper.is_whole("uid-one"))
    assert keeper.kept("one") is not None


def test_jobs_that_go_are_kept_as_the_watch_or_only_a_list_tells(
    keeper: Keeper, archive: JobArchive, follow: Callable[[Any], None]
) -> None:
    jobs = [manifest("seen", 1, active=1), manifest("missed", 2, active=1)]
    cluster = Scripted([jobs, []], [[{"type": "DELETED", "object": manifest("seen", 31, active=1)}]])

    follow(cluster)

    until(lambda: archive.document("seen") and archive.document("missed"))
    sentences = {}
    for name in ("seen", "missed"):
        kept = keeper.kept(name)
        assert kept is not None
        assert kept.cause is not None
        sentences[name] = kept.cause.sentence
    assert sentences == {
        "seen": "Job seen was deleted before it had ended.",
        "missed": "Job missed is gone, and had not ended when it was last seen.",
    }


def test_a_job_that_came_and_went_while_nothing_was_heard_of_the_cluster_is_told_of() -> None:
    told: list[tuple[str, bool]] = []
    cluster: Any = Scripted([[]], [])
    view = JobsView(cluster, "", on_gone=lambda one, is_seen: told.append((one.metadata.name, is_seen)))
    view.made(at_work(resource_version="1"))
    thread = threading.Thread(target=view.run, daemon=True)
    thread.start()

    until(lambda: view.jobs() == [])
    assert told == [("one", False)]
    view.stop()
    thread.join(LIMIT_S)


def test_a_job_that_is_being_deleted_is_kept_while_its_pods_are_there(
    core: FakeCore, keeper: Keeper, archive: JobArchive, follow: Callable[[Any], None]
) -> None:
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"
    going = manifest("one", 1, active=1)
    going["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"

    follow(Scripted([[going]], []))

    until(lambda: archive.document("one"))
    core.pods = []
    keeper.gone(at_work(), True)
    until(lambda: (archive.document("one") or {}).get("is_over"))
    assert keeper.logs("one") == {"one-x": {"main": "so far\n"}}
    kept = keeper.kept("one")
    assert kept is not None
    assert kept.lost == ()


def test_the_cleanup_says_why_it_deletes_a_job_at_work(keeper: Keeper) -> None:
    keeper.keep(at_work(), by=f"its annotation {JobDeleter.JOB_DELETION_TIME_ANNOTATION}")

    kept = keeper.kept("one")

    assert kept is not None
    assert kept.cause is not None
    assert kept.cause.sentence.endswith("before it had ended, by its annotation job_deletion_time_unix_sec.")


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
