"""Limits of running jobs: whose turn it is, what the others are told, and that nothing but a free place begins them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.api import fair_use
from lando.api.fair_use import Limits, Waiting, turns
from lando.api.models import Job, JobSettings, LandoConnection, PendingCommand
from lando.api.settings import Settings
from lando.errors import ConfigError
from sqlalchemy import event, select, update
from sqlalchemy.orm import ORMExecuteState, Session
from tests.unit.api.serving import Api, Serve

ADA, BOB, EVE = 1, 2, 3


def waiting(*users: int, priorities: dict[int, int] | None = None) -> list[Waiting]:
    """Jobs of these users in the order in which they were asked for, numbered from 1."""
    return [
        Waiting(command_id=number, job_id=number, user_id=user, priority=(priorities or {}).get(number, 0), why="")
        for number, user in enumerate(users, start=1)
    ]


def begun(jobs: list[Waiting], at_work: dict[int, int], **limits: int) -> list[int]:
    return [one.job_id for one in turns(jobs, at_work, Limits(**limits)).now]


def told(jobs: list[Waiting], at_work: dict[int, int], **limits: int) -> dict[int, str]:
    return {one.job_id: why for one, why in turns(jobs, at_work, Limits(**limits)).later}


def test_free_places_go_to_the_user_with_the_fewest_running_jobs() -> None:
    assert begun(waiting(ADA, ADA, ADA, BOB, EVE), {ADA: 1, BOB: 1}, running=5) == [5, 1, 4]
    assert begun(waiting(ADA, ADA, BOB), {}, running=2) == [1, 3]


def test_a_higher_priority_goes_before_fairness_and_time() -> None:
    assert begun(waiting(ADA, BOB, ADA, priorities={3: 1, 2: -1}), {ADA: 2}, running=4) == [3, 1]


def test_a_users_own_limit_lets_others_pass() -> None:
    assert begun(waiting(ADA, ADA, BOB), {ADA: 1}, per_user=2) == [3, 1]
    assert begun(waiting(ADA, BOB, priorities={1: 9}), {ADA: 2}, per_user=2, running=9) == [2]


def test_without_limits_everybody_begins() -> None:
    assert begun(waiting(ADA, ADA, ADA), {ADA: 100}) == [1, 2, 3]


@pytest.mark.parametrize(
    ("jobs", "running", "limits", "sentences"),
    [
        (
            waiting(ADA, ADA, ADA, BOB),
            {ADA: 1, BOB: 1},
            {"running": 2},
            {
                1: "Yours is next: each of the 2 places for running jobs is taken.",
                4: "1 job is ahead of yours.",
                2: "2 jobs are ahead of yours.",
                3: "3 jobs are ahead of yours.",
            },
        ),
        (
            waiting(ADA, ADA, BOB),
            {ADA: 4, BOB: 4},
            {"per_user": 4, "running": 20},
            {
                1: "Your 4 running jobs are as many as you may run at a time.",
                2: "1 job is ahead of yours.",
                3: "Your 4 running jobs are as many as you may run at a time.",
            },
        ),
        (waiting(ADA), {ADA: 1}, {"per_user": 1}, {1: "Your running job is the only one that you may run at a time."}),
        (
            waiting(ADA),
            {ADA: 6},
            {"per_user": 4},
            {1: "Your 6 running jobs are more than the 4 that you may run at a time."},
        ),
        (waiting(ADA), {}, {"running": 0}, {1: "No job is begun at present: the site has paused them."}),
        # One of ada's own jobs has to end, but its place would go to bob first.
        (
            waiting(ADA, BOB),
            {ADA: 2},
            {"per_user": 2, "running": 2},
            {
                2: "Yours is next: each of the 2 places for running jobs is taken.",
                1: "1 job is ahead of yours.",
            },
        ),
    ],
)
def test_who_waits_is_told_how_many_are_ahead_and_at_last_why(
    jobs: list[Waiting], running: dict[int, int], limits: dict[str, int], sentences: dict[int, str]
) -> None:
    assert told(jobs, running, **limits) == sentences


@given(
    users=st.lists(st.tuples(st.integers(1, 4), st.integers(-2, 2)), max_size=25),
    running=st.dictionaries(st.integers(1, 4), st.integers(0, 5)),
    limit=st.none() | st.integers(0, 12),
    per_user=st.none() | st.integers(0, 4),
)
def test_limits_are_kept_used_up_and_nobody_is_forgotten(
    users: list[tuple[int, int]], running: dict[int, int], limit: int | None, per_user: int | None
) -> None:
    jobs = waiting(*(user for user, _ in users), priorities={n: p for n, (_, p) in enumerate(users, start=1)})
    found = turns(jobs, running, Limits(running=limit, per_user=per_user))
    assert sorted([one.job_id for one in found.now] + [one.job_id for one, _ in found.later]) == [
        one.job_id for one in jobs
    ]
    after = dict(running)
    for one in found.now:
        after[one.user_id] = after.get(one.user_id, 0) + 1
        assert per_user is None or after[one.user_id] <= per_user
    if found.now and limit is not None:
        assert sum(after.values()) <= limit
    if limit is None or sum(after.values()) < limit:
        for one, _ in found.later:  # a free place is left only where nobody may take it
            assert per_user is not None
            assert after.get(one.user_id, 0) >= per_user
    turn: dict[tuple[int, int], int] = {}
    for one in found.now:
        assert turn.get((one.user_id, one.priority), 0) < one.job_id  # of like jobs the one asked for first
        turn[one.user_id, one.priority] = one.job_id


# -- on the server ----------------------------------------------------------------------------------------------------


def started(api: Api, user: str = "ada") -> int:
    job = api.new_job(user)
    assert api.post(f"/api/v2/jobs/{job}/start/", user=user).json()["state"] == "S"
    return job


def waits_for(api: Api, job: int, user: str = "ada") -> Any:
    condition = api.get(f"/api/lando/v1/runs/{job}", user).json()["condition"]
    return condition and condition["sentence"]


def is_held(api: Api, job: int) -> bool:
    return bool(api.get(f"/api/v2/admin/jobs/{job}", "lando").json()["held"])


def test_a_job_over_the_limit_is_started_when_another_ends(serve: Serve) -> None:
    api = serve(max_running=1)
    first, second, third = started(api), started(api), started(api)
    assert api.published() == [("start", first)]
    assert [is_held(api, job) for job in (first, second, third)] == [False, True, True]
    assert api.state(second) == "S"
    assert waits_for(api, second) == "Yours is next: the only place for running jobs is taken."
    assert waits_for(api, third) == "1 job is ahead of yours."
    listed = api.get("/api/lando/v1/runs").json()
    assert [run["condition"] and run["condition"]["sentence"] for run in listed][2] == "1 job is ahead of yours."
    api.write(first, "R/R", "F/")
    assert api.published() == [("start", first), ("start", second)]
    assert waits_for(api, second) is None
    assert waits_for(api, third) == "Yours is next: the only place for running jobs is taken."


@pytest.mark.parametrize("end", ["F/", "E/R", "C/"])
def test_every_end_frees_a_place(serve: Serve, end: str) -> None:
    api = serve(max_running_per_user=1)
    first, second = started(api), started(api)
    bobs = started(api, "bob")
    assert api.published() == [("start", first), ("start", bobs)]
    api.write(first, "R/R")
    api.write(first, end)
    assert api.published()[2:] == [("start", second)]


def test_a_restart_waits_for_its_turn_too_and_counts_when_it_has_come(serve: Serve) -> None:
    api = serve(max_running=1)
    failed = started(api)
    api.published()
    api.write(failed, "R/R", "E/R")
    other = started(api)
    api.published()
    assert api.post(f"/api/v2/jobs/{failed}/restart/").json()["state"] == "r"
    assert api.published() == [("start", failed), ("start", other)]
    api.write(other, "R/R", "F/")
    third = started(api)
    assert api.published()[2:] == [("restart", failed)]
    assert is_held(api, third)


def test_a_held_job_that_is_canceled_ends_at_once_and_is_never_sent(serve: Serve) -> None:
    api = serve(max_running=0)
    job = started(api)
    assert api.post(f"/api/v2/jobs/{job}/cancel/").json()["state"] == "C"
    api.site.outbox.drain()
    with api.site.database.read() as session:
        assert session.scalars(select(PendingCommand)).all() == []
    assert api.published() == []


def test_a_held_restart_that_is_canceled_has_what_the_failure_left_removed(serve: Serve) -> None:
    api = serve(max_running=1)
    failed = started(api)
    api.published()
    api.write(failed, "R/R", "E/R")
    started(api)
    api.post(f"/api/v2/jobs/{failed}/restart/")
    assert api.post(f"/api/v2/jobs/{failed}/cancel/").json()["state"] == "c"
    assert ("cancel", failed) in api.published()
    assert ("restart", failed) not in api.published()


def test_a_daemon_that_writes_another_state_drops_the_held_command(serve: Serve) -> None:
    api = serve(max_running=0)
    job = started(api)
    api.write(job, "C/")
    assert not is_held(api, job)
    api.post(f"/api/v2/jobs/{job}/restart/")
    with api.site.database.read() as session:
        assert session.scalars(select(PendingCommand.command)).all() == ["restart"]


def test_other_settings_at_the_next_start_let_the_held_jobs_go(serve: Serve) -> None:
    held = serve(max_running=0)
    job = started(held)
    assert held.published() == []
    assert serve().published() == [("start", job)]


def test_limits_count_for_each_lando_connection(serve: Serve) -> None:
    api = serve(max_running=1)
    first, second, third = started(api), started(api), api.new_job()
    with api.site.database.write() as session:
        session.add(elsewhere := LandoConnection(queue_name="elsewhere", url="memory://elsewhere"))
        session.flush()
        session.add(settings := JobSettings(name="elsewhere", lando_connection_id=elsewhere.id))
        session.flush()
        session.execute(update(Job).where(Job.id == third).values(job_settings_id=settings.id))
    api.post(f"/api/v2/jobs/{third}/start/")
    assert api.published() == [("start", first), ("start", third)]
    assert waits_for(api, second).startswith("Yours is next")


def test_priority_decides_and_all_but_staff_may_only_lower_their_own(serve: Serve) -> None:
    api = serve(max_running=1)
    first, second, third = started(api), started(api), started(api, "bob")
    route = "/api/lando/v1/runs/{}/priority"
    assert api.put(route.format(second), {"priority": 1}, "ada").status_code == 400
    assert api.put(route.format(second), {"priority": -1}, "bob").status_code == 404
    assert api.put(route.format(second), {"priority": 1001}, "operator").status_code == 400
    assert api.put(route.format(third), {"priority": -1}, "bob").json() == {"id": third, "priority": -1}
    assert api.put(route.format(third), {"priority": 0}, "bob").status_code == 400
    api.published()
    assert waits_for(api, third, "bob") == "1 job is ahead of yours."
    assert api.put(route.format(third), {"priority": 5}, "operator").status_code == 200
    api.published()
    assert waits_for(api, second) == "1 job is ahead of yours."
    assert api.get(f"/api/lando/v1/runs/{third}", "bob").json()["priority"] == 5
    api.write(first, "R/R", "F/")
    assert api.published() == [("start", first), ("start", third)]


def test_who_follows_a_held_job_is_woken_when_it_moves_up(serve: Serve) -> None:
    api = serve(max_running=1)
    first, second, third = started(api), started(api), started(api)
    api.published()
    version = api.get(f"/api/lando/v1/runs/{third}").json()["version"]
    api.post(f"/api/v2/jobs/{second}/cancel/")
    api.published()
    followed = api.get(f"/api/lando/v1/runs/{third}?after={version}&wait_s=30").json()
    assert followed["version"] > version
    assert followed["condition"]["sentence"].startswith("Yours is next")
    assert first != second


def test_held_jobs_are_counted_and_do_not_count_as_waiting_for_the_broker(serve: Serve) -> None:
    api = serve(max_running=0)
    started(api)
    api.published()
    figures = api.client.get("/metrics").text
    assert "lando_api_jobs_held 1.0" in figures
    assert "lando_api_commands_waiting 0.0" in figures
    assert api.client.get("/readyz").json()["status"] == "ok"


def test_a_failing_release_holds_up_no_command_that_may_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(api.site.outbox, "_release", fail)
    job = started(api)
    assert api.published() == [("start", job)]


def test_a_release_notes_nothing_when_nothing_has_changed(serve: Serve) -> None:
    api = serve(max_running=0)
    started(api)
    assert fair_use.release(api.site.database, Limits(running=0)) is True
    assert fair_use.release(api.site.database, Limits(running=0)) is False


def test_negative_limits_are_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="max_running must be 0 or more"):
        Settings(database_url="sqlite:////x.db", key_file="k", files_dir="f", max_running=-1)


def test_a_command_that_is_held_only_while_others_are_released_has_its_turn_the_next_time(serve: Serve) -> None:
    api = serve(max_running=0)
    first, second = started(api), started(api)

    def hold(session: Session, job: int, why: str | None) -> None:
        session.execute(update(PendingCommand).where(PendingCommand.job_id == job).values(held=why))

    def held() -> list[int]:
        with api.site.database.read() as session:
            return list(session.scalars(select(PendingCommand.job_id).where(PendingCommand.held.is_not(None))))

    with api.site.database.write() as session:
        hold(session, second, None)
    with api.site.database.write() as session:

        def look(state: ORMExecuteState) -> None:
            if "priority" in str(state.statement):  # the jobs are locked, and now their commands are read
                hold(session, second, "It waits for its turn.")

        event.listen(session, "do_orm_execute", look)
        assert fair_use._release(session, 1, Limits(running=5))
    assert held() == [second]
    assert fair_use.release(api.site.database, Limits(running=5))
    assert held() == []
    assert api.published() == [("start", first), ("start", second)]
