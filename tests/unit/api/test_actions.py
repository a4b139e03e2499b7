"""Start, restart, cancel, authorize, delete: what each state allows, and what is published."""

from __future__ import annotations

import threading

import pytest
from lando.api import setup
from lando.api.models import Job, LandoConnection, PendingCommand
from sqlalchemy import select, update
from tests.unit.api.serving import Api, Serve

ACTIONS = {
    "start": {"A": "S"},
    "restart": {"E": "r", "C": "r"},
    "cancel": {"N": "C", "A": "C", "S": "c", "R": "c", "r": "c", "c": "c", "E": "c"},
}
PUBLISHING = {"start", "restart", "cancel"}


def put_into(api: Api, job: int, state: str, step: str = "", *, authorized: bool = True) -> None:
    with api.site.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(state=state, step=step, authorized=authorized))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", "NASRFEcCr")
def test_each_action_is_allowed_in_its_states_only(api: Api, action: str, state: str) -> None:
    job = api.new_job()
    put_into(api, job, state)
    answer = api.post(f"/api/v2/jobs/{job}/{action}/", {})
    after = ACTIONS[action].get(state)
    if after is None:
        assert answer.status_code == 400
        assert isinstance(answer.json(), list) == (action != "cancel")
        assert api.state(job) == state
        assert api.published() == []
        return
    assert answer.status_code == 200
    assert answer.json()["state"] == after
    assert answer.json()["vm_settings"] == answer.json()["job_settings"]
    assert api.published() == ([] if state in "NA" and action == "cancel" else [(action, job)])


def test_each_command_counts_the_generation_up_and_carries_it(api: Api) -> None:
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.post(f"/api/v2/jobs/{job}/cancel/")
    api.post(f"/api/v2/jobs/{job}/cancel/")
    assert api.published() == [("start", job), ("cancel", job), ("cancel", job)]
    assert [message.generation for message in api.broker.messages] == [1, 2, 3]
    assert api.get(f"/api/v2/admin/jobs/{job}", "lando").json()["generation"] == 3


def test_of_simultaneous_starts_exactly_one_wins_and_publishes_once(api: Api) -> None:
    job = api.new_job()
    gate = threading.Barrier(8)
    codes: list[int] = []

    def start() -> None:
        gate.wait()
        codes.append(api.post(f"/api/v2/jobs/{job}/start/").status_code)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [400] * 7
    assert api.published() == [("start", job)]


@pytest.mark.parametrize("action", ["start", "restart", "cancel", "authorize", "live-usage"])
def test_other_peoples_jobs_do_not_exist(api: Api, action: str) -> None:
    job = api.new_job("ada")
    assert api.post(f"/api/v2/jobs/{job}/{action}/", {"token": "T"}, "eve").status_code == 404
    assert api.post(f"/api/v2/jobs/999/{action}/", {}, "eve").status_code == 404
    assert api.post(f"/api/v2/jobs/x1/{action}/", {}, "eve").status_code == 404
    assert api.get(f"/api/v2/jobs/{job}/", "eve").status_code == 404
    assert api.call("DELETE", f"/api/v2/jobs/{job}", user="eve").status_code == 404
    assert api.state(job) == "A"


def test_a_job_token_serves_one_new_job(serve: Serve) -> None:
    api = serve(require_job_tokens=True)
    first, second = api.new_job(), api.new_job()
    assert api.state(first) == "N"
    assert api.post(f"/api/v2/jobs/{first}/start/").status_code == 400
    made = api.post("/api/admin/job-tokens/", {"token": "T-1"}, "operator")
    assert (made.status_code, made.json()) == (201, {"id": 1, "token": "T-1", "job": None})
    assert "token" in api.post("/api/admin/job-tokens/", {"token": "T-1"}, "operator").json()

    def authorize(job: int, body: object) -> tuple[int, object]:
        answer = api.post(f"/api/v2/jobs/{job}/authorize/", body)
        return answer.status_code, answer.json()

    for refused in ({}, {"token": None}, {"token": "unknown"}):
        code, body = authorize(first, refused)
        assert code == 400
        assert isinstance(body, dict)
        assert list(body) == ["detail"]
    code, body = authorize(first, {"token": "T-1"})
    assert code == 200
    assert isinstance(body, dict)
    assert (body["token"], body["job"]["state"], body["job"]["run_token"]) == ("T-1", "A", "T-1")
    assert authorize(second, {"token": "T-1"})[0] == 400
    assert authorize(first, {"token": "T-1"})[0] == 400
    assert api.get("/api/admin/job-tokens/1", "operator").json()["job"] == first


def test_a_job_that_was_never_authorized_can_not_run_by_way_of_cancel_and_restart(serve: Serve) -> None:
    api = serve(require_job_tokens=True)
    job = api.new_job()
    assert api.post(f"/api/v2/jobs/{job}/cancel/").json()["state"] == "C"
    assert api.post(f"/api/v2/jobs/{job}/restart/").status_code == 400
    assert api.state(job) == "C"
    assert api.published() == []


def test_restart_at_the_recording_step_is_refused_only_where_the_original_daemon_reads(api: Api) -> None:
    job = api.new_job()
    put_into(api, job, "E", "P")
    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(message_format="pickle"))
    assert api.post(f"/api/v2/jobs/{job}/restart/").status_code == 400
    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(message_format="json"))
    assert api.post(f"/api/v2/jobs/{job}/restart/").status_code == 200


def test_deleting_a_job_that_never_ran_frees_its_inputs_and_token(serve: Serve) -> None:
    api = serve(require_job_tokens=True)
    group = api.stage_group()
    job = api.new_job(stage_group=group)
    with api.site.database.write() as session:
        setup.create_job_token(session, "T-1")
    api.post(f"/api/v2/jobs/{job}/authorize/", {"token": "T-1"})
    assert api.call("DELETE", f"/api/v2/jobs/{job}/").status_code == 204
    assert api.get(f"/api/v2/admin/jobs/{job}/", "lando").status_code == 404
    again = api.new_job(stage_group=group)
    assert again > job
    assert api.post(f"/api/v2/jobs/{again}/authorize/", {"token": "T-1"}).status_code == 200


@pytest.mark.parametrize("state", "CEF")
def test_deleting_an_ended_job_hides_it_from_its_owner_only(api: Api, state: str) -> None:
    job = api.new_job()
    put_into(api, job, state)
    assert api.call("DELETE", f"/api/v2/jobs/{job}").status_code == 204
    assert api.get(f"/api/v2/jobs/{job}/").status_code == 404
    assert api.get("/api/v2/jobs/").json() == []
    assert api.get(f"/api/v2/admin/jobs/{job}/", "lando").json()["state"] == "D"


@pytest.mark.parametrize("state", "SRrc")
def test_a_job_at_work_is_not_deleted(api: Api, state: str) -> None:
    job = api.new_job()
    put_into(api, job, state)
    answer = api.call("DELETE", f"/api/v2/jobs/{job}/")
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    assert api.state(job) == state


def test_a_broker_that_is_away_fails_no_request_and_loses_no_command(api: Api) -> None:
    job = api.new_job()
    api.broker.away = True
    assert api.post(f"/api/v2/jobs/{job}/start/").json()["state"] == "S"
    assert api.published() == []
    with api.site.database.read() as session:
        waiting = session.scalars(select(PendingCommand)).one()
        assert (waiting.attempts, waiting.command) == (1, "start")
        assert "connection refused" in waiting.last_error
    api.broker.away = False
    with api.site.database.write() as session:
        session.execute(update(PendingCommand).values(due=waiting.created))
    assert api.published() == [("start", job)]
    assert api.site.outbox.waiting() == (0, 0.0)
