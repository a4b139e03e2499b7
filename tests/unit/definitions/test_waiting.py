"""Jobs whose end is waited for: by library users, by requests, with a view and without."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.definitions import JobManager, JobSigner, NotFoundException, StaticJobDefinitionsRegister
from lando.definitions import manager as managing
from lando.definitions.http import patient
from lando.definitions.http.sharing import Places
from lando.definitions.served import service
from lando.definitions.served.service import ServedJobs
from lando.definitions.served.view import JobsView
from lando.definitions.server import create_app
from lando.definitions.signing import UserSigner
from lando.k8s.reflector import Change, ChangeType
from tests.unit.definitions.conftest import FakeBatch, job

LIMIT_S = 30.0
FOREVER_S = 3600.0


@pytest.fixture
def manager(batch: FakeBatch, core: Any, monkeypatch: pytest.MonkeyPatch) -> JobManager:
    monkeypatch.setattr(managing, "LOOK_S", 0.0)
    return JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister())


def at_read(batch: FakeBatch, steps: dict[int, Callable[[], None]]) -> None:
    """Do at the n-th read what ``steps`` say."""
    reads = 0

    def counted(call: str, _: Any) -> None:
        nonlocal reads
        reads += call == "read"
        steps.get(reads, lambda: None)()

    batch.failing = counted


def refuse(status: int) -> Callable[[], None]:
    def refused() -> None:
        raise ApiException(status=status)

    return refused


def test_the_end_of_a_job_is_waited_for_also_while_the_cluster_is_away(manager: JobManager, batch: FakeBatch) -> None:
    batch.jobs["one"] = job("one")
    at_read(batch, {2: refuse(503), 3: refuse(429), 4: lambda: batch.jobs.update(one=job("one", condition="Failed"))})

    assert manager.job_status(manager.wait_for_job("one")) is JobManager.JobStatus.FAILED


def test_a_job_that_goes_on_is_given_as_it_is_at_the_time_out(manager: JobManager, batch: FakeBatch) -> None:
    batch.jobs["one"] = job("one")

    assert manager.job_status(manager.wait_for_job("one", 0)) is JobManager.JobStatus.RUNNING
    assert manager.job_status(manager.wait_for_job("one", 0.01)) is JobManager.JobStatus.RUNNING


@pytest.mark.parametrize(("status", "raised"), [(403, ApiException), (404, NotFoundException)])
def test_what_waiting_does_not_mend_is_raised(
    manager: JobManager, batch: FakeBatch, status: int, raised: type[Exception]
) -> None:
    batch.jobs["one"] = job("one")
    at_read(batch, {2: refuse(status)})

    with pytest.raises(raised):
        manager.wait_for_job("one")


def document(name: str, version: int, *, ended: bool) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"app.kubernetes.io/managed-by": "ours"},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"}}},
        "status": {"conditions": [{"type": "Complete", "status": "True"}] if ended else []},
    }


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> JobsView:
    """One that is current, and is told nothing but what the test tells it."""
    view = JobsView(None, "")  # type: ignore[arg-type]
    monkeypatch.setattr(view, "is_current", lambda: True)
    monkeypatch.setattr(service, "CURRENT_S", FOREVER_S)
    view._changed(Change(type=ChangeType.ADDED, object=document("one", 1, ended=False)))
    return view


def test_a_view_tells_of_the_end_without_a_call(manager: JobManager, batch: FakeBatch, view: JobsView) -> None:
    served, ends = ServedJobs(manager, view, None), []
    waiting = threading.Thread(target=lambda: ends.append(served.wait_for_job("one", FOREVER_S)), daemon=True)
    waiting.start()

    view._changed(Change(type=ChangeType.MODIFIED, object=document("one", 2, ended=False)))
    view._changed(Change(type=ChangeType.MODIFIED, object=document("one", 3, ended=True)))

    waiting.join(LIMIT_S)
    assert [served.job_status(one) for one in ends] == [JobManager.JobStatus.COMPLETE]
    assert batch.calls == []


def test_a_job_that_is_gone_is_not_waited_for(manager: JobManager, view: JobsView) -> None:
    served, told = ServedJobs(manager, view, None), []

    def wait() -> None:
        with pytest.raises(NotFoundException):
            served.wait_for_job("one")
        told.append("gone")

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()

    view._changed(Change(type=ChangeType.DELETED, object=document("one", 2, ended=False)))

    waiting.join(LIMIT_S)
    assert told == ["gone"]


def test_nobody_waits_on_a_view_that_has_ended(view: JobsView) -> None:
    seen = view.get("one")
    waiting = threading.Thread(target=view.await_change, args=("one", seen, FOREVER_S), daemon=True)
    waiting.start()

    view.stop()

    waiting.join(LIMIT_S)
    assert not waiting.is_alive()


@pytest.mark.parametrize("rest", ["", "/status"])
def test_a_request_is_answered_when_the_job_has_ended(manager: JobManager, batch: FakeBatch, rest: str) -> None:
    client = TestClient(create_app(manager, lambda request: None))
    batch.jobs["one"] = job("one")
    at_read(batch, {3: lambda: batch.jobs.update(one=job("one", condition="Complete"))})

    answer = client.get(f"/jobs/one{rest}?wait_s=60").json()

    assert answer.get("status", answer)["conditions"][0]["type"] == "Complete"
    assert client.get("/jobs/one?wait_s=61").status_code == 400
    assert client.get("/jobs/other?wait_s=60").status_code == 404
    assert patient._waiting.taken() == 0


def test_who_finds_no_place_to_wait_in_is_answered_at_once(
    manager: JobManager, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "_waiting", Places(1, 1))
    monkeypatch.setattr(manager, "wait_for_job", lambda *_: pytest.fail("it waits"))
    batch.jobs["one"] = job("one")
    assert patient._waiting.take(manager.signer)

    answer = TestClient(create_app(manager, lambda request: None)).get("/jobs/one/status?wait_s=60")

    assert (answer.status_code, answer.json()["conditions"]) == (200, None)


def test_no_user_takes_all_places_and_staff_may() -> None:
    places = Places(4, 2)
    ada, bob, staff = (UserSigner("ours", user, knows_all=user == "3") for user in "123")

    assert [places.take(ada) for _ in range(3)] == [True, True, False]
    assert [places.take(bob), places.take(staff), places.take(staff)] == [True, True, False]
    places.give_back(ada)
    assert [places.take(ada), places.take(bob)] == [True, False]
    assert Places(4, 2).take(JobSigner("ours"))


def test_whoever_waits_is_answered_when_the_server_stops(
    manager: JobManager, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "STOP_LOOK_S", 0.001)
    stopping, may_end = threading.Event(), threading.Event()

    def wait(name: str, timeout_s: float) -> Any:
        stopping.set()
        assert may_end.wait(LIMIT_S)
        return job("one")

    monkeypatch.setattr(manager, "wait_for_job", wait)
    batch.jobs["one"] = job("one")
    app = create_app(manager, lambda request: None, is_stopping=stopping.is_set)

    # Whoever waited is not there any more, so its thread may go on only after the answer.
    with TestClient(app) as client:
        answer = client.get("/jobs/one/status?wait_s=60")
        may_end.set()

    assert (answer.status_code, answer.json()["conditions"]) == (200, None)
