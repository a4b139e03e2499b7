"""Marks of deletion, and the cleanup that follows them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from kubernetes.client.exceptions import ApiException
from lando.definitions.manager import JobDeleter, JobManager, JobSigner, StaticJobDefinitionsRegister
from tests.unit.definitions.conftest import FakeBatch, job

KEY = JobDeleter.JOB_DELETION_TIME_ANNOTATION
NOW = 1_700_000_000.5
WAIT_S = 30


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lando.definitions.deleting.time.time", lambda: NOW)


@pytest.fixture
def deleter(batch: FakeBatch) -> JobDeleter:
    return JobDeleter(JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister()))


def due(name: str, noted: Any = "1", **more: Any) -> Any:
    return job(name, annotations={KEY: noted}, **more)


def put(batch: FakeBatch, *jobs: Any) -> None:
    batch.jobs |= {one.metadata.name: one for one in jobs}


def calls(batch: FakeBatch, call: str) -> list[dict[str, Any]]:
    return [arguments for made, arguments in batch.calls if made == call]


def test_a_mark_is_the_annotation_alone(batch: FakeBatch, deleter: JobDeleter) -> None:
    put(batch, job("a"))
    one = job("a", annotations={"owner": "ops"})

    deleter.mark_deletion_time(one, 3600)

    assert one.metadata.annotations == {"owner": "ops", KEY: "1700003600"}
    assert calls(batch, "patch")[0]["body"] == {
        "metadata": {"annotations": {KEY: "1700003600"}, "uid": "uid-a", "resourceVersion": "1"}
    }


def test_a_mark_that_is_there_is_never_changed(batch: FakeBatch, deleter: JobDeleter) -> None:
    deleter.mark_deletion_time(due("a"), 3600)
    assert batch.calls == []

    # The user set it after the Job was listed.
    put(batch, due("b", "9999999999", resource_version="2"))
    deleter.mark_deletion_time(job("b"), 3600)
    assert batch.jobs["b"].metadata.annotations[KEY] == "9999999999"


def test_a_job_that_changed_meanwhile_is_marked_all_the_same(batch: FakeBatch, deleter: JobDeleter) -> None:
    put(batch, job("a", resource_version="2"))

    deleter.mark_deletion_time(job("a"), 0.0)

    assert batch.jobs["a"].metadata.annotations == {KEY: "1700000000"}


@pytest.mark.parametrize(
    ("noted", "is_due"),
    [
        ("1700000000", True),
        ("1700000000.4", True),
        ("1700000001", False),
        ("soon", False),
        ("nan", False),
        ("", False),
    ],
)
def test_the_time_that_is_noted_decides(deleter: JobDeleter, noted: Any, is_due: bool) -> None:
    one = job("a")
    one.metadata.annotations = {KEY: noted}
    assert deleter.is_candidate_for_deletion(one) == is_due
    assert not deleter.is_candidate_for_deletion(job("a", condition="Complete"))


def test_a_pass_marks_what_has_ended_and_deletes_what_is_due_with_one_list(
    batch: FakeBatch, deleter: JobDeleter
) -> None:
    put(batch, job("running"), job("ended", condition="Failed"), due("due"), due("later", "9999999999"))
    put(batch, due("foreign", labels={}))
    told: list[str] = []

    deleter.mark_and_delete_old_jobs(
        retention_period_sec=60, delete_callback=lambda one: told.append(one.metadata.name)
    )

    assert told == ["due"]
    assert batch.jobs.keys() == {"running", "ended", "later", "foreign"}
    assert batch.jobs["ended"].metadata.annotations == {KEY: "1700000060"}
    assert len(calls(batch, "list")) == 1


def test_one_bad_job_never_stops_the_rest(
    batch: FakeBatch, deleter: JobDeleter, caplog: pytest.LogCaptureFixture
) -> None:
    put(batch, *(job(f"ended-{n}", condition="Complete") for n in range(3)))
    put(batch, due("bad", "soon"), *(due(f"due-{n}") for n in range(4)))

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if arguments.get("name") in ("ended-1", "due-1"):
            raise ApiException(status=500)
        if arguments.get("name") in ("ended-2", "due-2"):  # vanished since it was listed
            raise ApiException(status=404)

    def callback(one: Any) -> None:
        if one.metadata.name == "due-3":
            raise RuntimeError("no")

    batch.failing = fail
    with caplog.at_level(logging.WARNING):
        deleter.mark_and_delete_old_jobs(retention_period_sec=60, delete_callback=callback)

    assert batch.jobs["ended-0"].metadata.annotations
    assert batch.jobs.keys() == {"ended-0", "ended-1", "ended-2", "bad", "due-1", "due-2", "due-3"}
    assert sorted(message.split()[1] for message in caplog.messages) == ["bad", "due-1", "due-3", "ended-1"]


def test_a_failing_list_does_not_skip_the_deletions(batch: FakeBatch, deleter: JobDeleter) -> None:
    put(batch, due("due"))
    failures = iter([ApiException(status=500)])

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if call == "list" and (error := next(failures, None)):
            raise error

    batch.failing = fail
    deleter.mark_and_delete_old_jobs(retention_period_sec=60)
    assert batch.jobs == {}


def test_a_cluster_that_is_away_is_a_line_of_the_log_and_no_traceback(
    batch: FakeBatch, deleter: JobDeleter, caplog: pytest.LogCaptureFixture
) -> None:
    put(batch, due("a"), due("b"))
    pool = urllib3.HTTPConnectionPool("127.0.0.1")
    refused = urllib3.exceptions.MaxRetryError(pool, "/apis/batch", ConnectionRefusedError(111, "refused"))
    errors = {"a": refused, "b": ApiException(status=500, reason="Broken")}

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if call == "delete":
            raise errors[arguments["name"]]

    batch.failing = fail
    deleter.cleanup_jobs()

    assert [record.exc_info for record in caplog.records] == [None, None]
    assert caplog.messages == [
        "Job a could not be deleted: the cluster can't be reached: [Errno 111] refused",
        "Job b could not be deleted: the cluster answered 500: Broken",
    ]


def test_the_halves_can_be_had_alone(batch: FakeBatch, deleter: JobDeleter) -> None:
    put(batch, job("ended", condition="Complete"), due("due"))
    deleter.cleanup_jobs()
    assert batch.jobs.keys() == {"ended"}
    deleter.mark_jobs_for_deletion()
    assert batch.jobs["ended"].metadata.annotations == {KEY: "1700003600"}


def test_the_background_goes_on_after_an_error_and_stops_at_once(
    batch: FakeBatch, deleter: JobDeleter, caplog: pytest.LogCaptureFixture
) -> None:
    put(batch, due("first"))
    done = threading.Event()
    failures = iter([ApiException(status=500), ApiException(status=500)])

    def fail(call: str, arguments: dict[str, Any]) -> None:
        if call == "list" and (error := next(failures, None)):
            raise error

    batch.failing = fail
    stop = deleter.run_background_cleanup(0, delete_callback=lambda one: done.set())
    assert done.wait(WAIT_S)
    stop()
    stop()
    assert [thread for thread in threading.enumerate() if thread.name == "definitions-cleanup"] == []

    began = threading.Event()
    batch.failing = lambda call, arguments: began.set()
    stop = deleter.run_background_cleanup(interval_sec=1e6)
    assert began.wait(WAIT_S)
    stop()  # returns long before the interval is over


def test_the_background_ends_after_the_job_in_hand_and_holds_up_no_exit(batch: FakeBatch, deleter: JobDeleter) -> None:
    put(batch, *(due(f"job-{number}") for number in range(3)), job("ended", condition="Complete"))
    may_go = threading.Event()
    ends: list[Callable[[], None]] = []

    def stop_at_once(one: Any) -> None:
        assert may_go.wait(WAIT_S)
        ends[0]()

    ends.append(deleter.run_background_cleanup(delete_callback=stop_at_once))
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "definitions-cleanup"]
    assert thread.daemon
    may_go.set()
    thread.join(WAIT_S)

    assert not thread.is_alive()
    assert batch.jobs.keys() == {"job-1", "job-2", "ended"}
    assert len(calls(batch, "patch")) == 1


def test_unknown_settings_of_the_background_are_refused_at_once(deleter: JobDeleter) -> None:
    with pytest.raises(TypeError):
        deleter.run_background_cleanup(60, retention=5)
