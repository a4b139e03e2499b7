"""What is kept of Jobs however they go, and what is said of what could not be."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.archive import JobArchive
from lando.definitions import JobDeleter, JobManager
from lando.definitions.served import to_keep
from lando.definitions.served.keeping import Keeper
from lando.definitions.served.service import ServedJobs
from lando.definitions.server import create_app
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job, models
from tests.unit.definitions.kept_jobs import (
    LIMIT_S,
    at_work,
    idle_view,
    running,
    until,
    work,
)


@pytest.fixture
def server(manager: JobManager, keeper: Keeper) -> TestClient:
    return TestClient(create_app(ServedJobs(manager, idle_view(), keeper), lambda request: None))


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
    assert (
        gone["cause"]["advice"] == "This server did not do it; the cluster's audit log, if it has one, tells who did."
    )
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


def test_a_job_that_counts_no_pods_any_more_is_not_said_to_have_lost_nothing(
    core: FakeCore, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = job("one")
    begun.status.start_time = datetime(2024, 1, 1, tzinfo=UTC)
    keeper.gone(begun, True)
    work(keeper)
    assert keeper.kept("one").lost == ("There was no pod of it whose log could be read.",)  # type: ignore[union-attr]

    events = SimpleNamespace(data=b'{"items": [{"reason": "SuccessfulCreate"}]}')
    monkeypatch.setattr(core, "list_namespaced_event", lambda *_, **__: events)
    keeper.gone(job("two"), True)
    work(keeper)
    assert keeper.kept("two").lost == ("Its pods were gone before their logs could be read.",)  # type: ignore[union-attr]


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


def test_what_another_server_on_the_same_archive_deleted_is_told_as_that(
    core: FakeCore, manager: JobManager, archive: JobArchive, keeper: Keeper
) -> None:
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"
    other = Keeper(manager, archive)
    other.keep(at_work(), by="a request to this server")
    core.pods = []

    for one in (keeper, other):
        one.gone(at_work(), True)
        work(one)

    found = keeper.kept("one")
    assert found is not None
    assert found.cause is not None
    assert found.cause.sentence.endswith("by a request to this server.")
    assert keeper.logs("one") == {"one-x": {"main": "so far\n"}}


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


def test_the_cleanup_says_why_it_deletes_a_job_at_work(keeper: Keeper) -> None:
    keeper.keep(at_work(), by=f"its annotation {JobDeleter.JOB_DELETION_TIME_ANNOTATION}")

    kept = keeper.kept("one")

    assert kept is not None
    assert kept.cause is not None
    assert kept.cause.sentence.endswith("before it had ended, by its annotation job_deletion_time_unix_sec.")
