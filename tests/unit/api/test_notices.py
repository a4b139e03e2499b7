"""Notices of a job's end: written with the state, delivered out of its way, signed, and tried again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.api import models as m
from lando.api.notices import courier, telling
from lando.api.notices.courier import TRIES, Courier
from lando.api.settings import Settings
from lando.errors import ConfigError
from sqlalchemy import update
from tests.unit.api.receivers import Hook, webhook
from tests.unit.api.serving import Api, Serve

ROOT = Path(__file__).parents[3]
NOTICES = "/api/lando/v1/notices"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "webhook.secret"
    path.write_text("open sesame\n")
    return str(path)


@pytest.fixture
def api(serve: Serve, hook: Hook, secret: str) -> Api:
    return serve(webhook_url=hook.url, webhook_secret_file=secret)


def a_courier(api: Api) -> Courier:
    (only,) = api.site.notices.couriers
    return only


def ended(api: Api, end: str = "F/") -> int:
    """A job that the daemon has taken to its end."""
    job = api.new_job()
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/R", end)
    return job


def fail_with_cause(api: Api) -> int:
    job = ended(api, "E/R")
    error = {"job": job, "job_step": "R", "content": "It was out of memory. Ask for more.\n\nlast line"}
    assert api.post("/api/v2/admin/job-errors/", error, "lando").status_code == 201
    return job


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"{NOTICES}{query}", "operator")
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def make_due(api: Api) -> None:
    with api.site.database.write() as session:
        session.execute(update(m.Notice).values(due=m.now() - timedelta(seconds=1)))


def test_a_finished_run_is_told_once_with_what_it_is_and_where(api: Api, hook: Hook) -> None:
    job = ended(api)
    assert hook.requests == []  # not by the request that wrote the state
    assert a_courier(api).deliver_due()
    assert a_courier(api).deliver_due()
    ((path, headers, body),) = hook.requests
    told = json.loads(body)
    assert path == "/hook?key=s3cret"
    assert headers["Content-Type"] == "application/json"
    assert told["event"] == "run.finished"
    assert told["id"] == headers["Lando-Id"]
    assert told["run"] | {"workflow": ""} == {
        "id": job,
        "name": "batch 17",
        "owner": "ada",
        "workflow": "",
        "state": "Finished",
        "step": None,
        "cause": None,
        "outputs": None,
        "url": f"http://testserver/api/lando/v1/runs/{job}",
    }
    (row,) = listed(api)
    assert (row["state"], row["run"], row["attempts"]) == ("delivered", job, 0)


def test_the_pages_six_lines_verify_a_webhook_and_refuse_a_forged_one(api: Api, hook: Hook) -> None:
    ended(api)
    a_courier(api).deliver_due()
    ((_, headers, body),) = hook.requests
    page = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippet.strip().splitlines()) <= 8
    names: dict[str, Any] = {}
    exec(snippet, names)
    secret, moment = b"open sesame", int(headers["Lando-Timestamp"])
    is_genuine = names["is_genuine"]
    assert is_genuine(secret, headers, body, now=moment + 1)
    assert not is_genuine(b"another", headers, body, now=moment)
    assert not is_genuine(secret, headers, body + b" ", now=moment)
    assert not is_genuine(secret, headers | {"Lando-Timestamp": str(moment + 9)}, body, now=moment)
    assert not is_genuine(secret, headers, body, now=moment + 3600)  # caught and sent again


def test_a_failure_is_told_with_its_cause_which_comes_after_the_state(api: Api, hook: Hook) -> None:
    job = ended(api, "E/R")
    a_courier(api).deliver_due()
    assert hook.requests == []
    error = {"job": job, "job_step": "R", "content": "It was out of memory. Ask for more.\n\nlast line"}
    api.post("/api/v2/admin/job-errors/", error, "lando")
    a_courier(api).deliver_due()
    told = json.loads(hook.requests[0][2])
    assert told["event"] == "run.error"
    assert told["run"]["step"] == "run_workflow"
    assert told["run"]["cause"] == {"sentence": "It was out of memory. Ask for more.", "text": "last line"}


def test_a_failure_whose_cause_never_comes_is_told_without(api: Api, hook: Hook) -> None:
    ended(api, "E/R")
    make_due(api)  # the time is over
    a_courier(api).deliver_due()
    assert json.loads(hook.requests[0][2])["run"]["cause"] is None


def test_a_failure_is_told_as_it_was_although_the_run_goes_on(api: Api, hook: Hook) -> None:
    job = fail_with_cause(api)
    api.post(f"/api/v2/jobs/{job}/restart/")
    api.write(job, "R/R")
    a_courier(api).deliver_due()
    told = json.loads(hook.requests[0][2])["run"]
    assert (told["state"], told["cause"]["text"]) == ("Error", "last line")


def test_each_end_is_told_and_only_ends_unless_settings_say_so(serve: Serve, hook: Hook, secret: str) -> None:
    api = serve(webhook_url=hook.url, webhook_secret_file=secret, notify_states=["Running", "Canceled"])
    ended(api)
    canceled = ended(api, "C/")
    never_ran = api.new_job()
    api.post(f"/api/v2/jobs/{never_ran}/cancel/")
    a_courier(api).deliver_due()
    told = [json.loads(body) for _, _, body in hook.requests]
    assert [one["event"] for one in told] == ["run.running", "run.running", "run.canceled", "run.canceled"]
    assert [one["run"]["id"] for one in told][2:] == [canceled, never_ran]


def test_the_same_state_written_twice_is_told_once(api: Api) -> None:
    job = ended(api)
    api.write(job, "F/")
    assert len(listed(api)) == 1


@pytest.mark.parametrize(("status", "words"), [(302, "redirects (302)"), (500, "answers 500"), (404, "answers 404")])
def test_what_a_receiver_does_not_take_is_tried_again_with_the_same_id_and_body(
    api: Api, hook: Hook, status: int, words: str
) -> None:
    ended(api)
    hook.status, hook.headers = status, {"Location": "/elsewhere"}
    assert not a_courier(api).deliver_due()
    (row,) = listed(api, "?state=waiting")
    assert words in row["last_error"]
    assert row["attempts"] == 1
    assert "s3cret" not in json.dumps(row)
    assert a_courier(api).deliver_due()  # not due yet
    assert len(hook.requests) == 1
    make_due(api)
    hook.status = 204
    assert a_courier(api).deliver_due()
    (first_path, first, one), (path, second, two) = hook.requests
    assert (first_path, first["Lando-Id"], one) == (path, second["Lando-Id"], two)
    assert listed(api)[0]["state"] == "delivered"


def test_a_receiver_that_is_away_fails_no_request_and_is_given_up_in_the_end(serve: Serve, secret: str) -> None:
    api = serve(webhook_url="http://127.0.0.1:9/x?key=s3cret", webhook_secret_file=secret)
    ended(api)
    for _ in range(2):
        make_due(api)
        assert not a_courier(api).deliver_due()
    assert listed(api)[0]["last_error"] == "webhook: 127.0.0.1 can't be reached (no connection)"
    with api.site.database.write() as session:
        session.execute(update(m.Notice).values(attempts=TRIES - 1))
    make_due(api)
    a_courier(api).deliver_due()
    (row,) = listed(api, "?state=failed")
    assert row["settled"]
    figures = api.client.get("/metrics").text
    assert 'lando_api_notices{channel="webhook",state="failed"} 1.0' in figures
    assert 'lando_api_notice_failures_total{channel="webhook"} 3.0' in figures
    assert api.post(f"{NOTICES}/{row['id']}/retry", user="operator").json()["state"] == "waiting"
    assert api.post(f"{NOTICES}/{row['id']}/retry").status_code == 403
    assert api.get(NOTICES).status_code == 403
    assert api.get(f"{NOTICES}?state=lost", "operator").status_code == 400


def test_a_missing_secret_keeps_notices_until_it_is_there(api: Api, hook: Hook, secret: str) -> None:
    ended(api)
    Path(secret).rename(f"{secret}.away")
    a_courier(api).deliver_due()
    assert "webhook_secret_file" in listed(api)[0]["last_error"]
    Path(f"{secret}.away").rename(secret)
    make_due(api)
    a_courier(api).deliver_due()
    assert len(hook.requests) == 1


def test_two_servers_deliver_a_notice_once(serve: Serve, hook: Hook, secret: str) -> None:
    first = serve(webhook_url=hook.url, webhook_secret_file=secret)
    second = serve(webhook_url=hook.url, webhook_secret_file=secret)
    ended(first)
    parcel = a_courier(first)._claim()
    assert parcel is not None
    assert a_courier(second).deliver_due()
    assert hook.requests == []


def test_what_goes_wrong_with_a_notice_fails_no_state(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Iterator[m.Notice]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(telling, "_notices", fail)
    job = ended(api)
    assert api.state(job) == "F"
    assert listed(api) == []


def test_a_notice_that_can_not_be_worded_holds_up_no_other(
    api: Api, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    wordless, told = ended(api), ended(api)
    document = telling.document

    def fail(session: Any, notice: m.Notice, base_url: str) -> Any:
        if notice.job_id == wordless:
            raise RuntimeError("a defect")
        return document(session, notice, base_url)

    monkeypatch.setattr(telling, "document", fail)
    assert a_courier(api).deliver_due()
    assert [json.loads(body)["run"]["id"] for _, _, body in hook.requests] == [told]
    (row,) = listed(api, "?state=waiting")
    assert (row["run"], row["attempts"]) == (wordless, 1)
    assert "can't be worded" in row["last_error"]


def test_the_thread_delivers_by_itself_and_is_answered_for(api: Api, hook: Hook) -> None:
    one = a_courier(api)
    one.start()
    ended(api)
    assert hook.arrived.wait(30)
    assert one.wrong() is None
    one.stop()


def test_pauses_grow_to_an_hour_and_differ() -> None:
    assert all(2.5 <= courier.pause_s(1) <= 5 for _ in range(20))
    assert all(1800 <= courier.pause_s(attempts) <= 3600 for attempts in (12, 59, 10_000))
    assert len({courier.pause_s(9) for _ in range(9)}) > 1


def test_settled_notices_are_forgotten_after_a_month(api: Api) -> None:
    ended(api)
    a_courier(api).deliver_due()
    with api.site.database.write() as session:
        session.execute(update(m.Notice).values(settled=m.now() - timedelta(days=31)))
    a_courier(api)._forget(0.0)
    assert listed(api) == []


def test_without_settings_nothing_is_kept_to_be_told(serve: Serve) -> None:
    api = serve()
    fail_with_cause(api)
    assert listed(api) == []
    assert api.site.notices.couriers == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"webhook_url": "https://x.org"}, "webhook_secret_file must name"),
        ({"webhook_url": "ftp://x.org", "webhook_secret_file": "s"}, "webhook_url must begin"),
        ({"notify_states": ["Ended"]}, "notify_states may hold"),
        ({"smtp_host": "mx"}, "mail_from must be"),
        ({"smtp_security": "ssl"}, "smtp_security must be one of"),
        ({"smtp_username": "u"}, "only of use together"),
        ({"smtp_username": "u", "smtp_password_file": "f", "smtp_security": "none"}, "in clear"),
    ],
)
def test_settings_that_can_not_work_are_refused(settings: Settings, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings(database_url="sqlite:////x.db", key_file="k", files_dir="f", **changes)
