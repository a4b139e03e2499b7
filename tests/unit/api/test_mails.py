"""Mails about jobs: by Bespin's templates and ours, over a small mail server or told to a site's own mailer."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.api import models as m
from lando.api.mail_addresses import is_address
from lando.api.notices import wording
from lando.api.notices.wording import Wording
from lando.errors import InputError, Unavailable
from lando.messages.pickle_writer import write_mail_notice
from sqlalchemy import select, update
from tests.services import certificates
from tests.services.certificates import Certificates
from tests.unit.api.receivers import Mailbox, mail_server
from tests.unit.api.serving import Api, Serve

ADMIN = "/api/v2/admin"
ADDRESSES = {"ada": "ada@example.org", "operator": "op@example.org"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tls: Certificates) -> Iterator[Mailbox]:
    with mail_server(tls, login=True) as box:
        yield box


@pytest.fixture
def box(server: Mailbox) -> Mailbox:
    for noted in (server.mails, server.logins, server.refusal):
        noted.clear()
    return server


@pytest.fixture
def smtp(box: Mailbox, tls: Certificates, tmp_path: Path) -> dict[str, Any]:
    password = tmp_path / "smtp.password"
    password.write_text("pass word\n")
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": box.port,
        "smtp_username": "lando",
        "smtp_password_file": str(password),
        "smtp_ca_file": str(tls.ca),
        "mail_from": "lando@example.org",
    }


@pytest.fixture
def api(serve: Serve, smtp: dict[str, Any]) -> Api:
    return with_addresses(serve(**smtp))


def with_addresses(api: Api) -> Api:
    api.as_user("ada")
    with api.site.database.write() as session:
        for name, address in ADDRESSES.items():
            session.execute(update(m.User).where(m.User.username == name).values(email=address))
    return api


def ended(api: Api, end: str = "F/", **changes: Any) -> int:
    job = api.new_job(**changes)
    api.post(f"/api/v2/jobs/{job}/start/")
    api.write(job, "R/R", end)
    return job


def deliver(api: Api) -> bool:
    (only,) = api.site.notices.couriers
    with api.site.database.write() as session:
        session.execute(update(m.Notice).values(due=m.now() - timedelta(seconds=1)))
    return only.deliver_due()


def template(api: Api, name: str, subject: str = "{{ name }}", body: str = "Job {{ id }}: {{ name }}") -> Any:
    form = {"name": name, "subject_template": subject, "body_template": body}
    return api.post(f"{ADMIN}/email-templates/", form, "operator")


def messages(api: Api) -> list[dict[str, Any]]:
    return list(api.get(f"{ADMIN}/email-messages/", "operator").json())


def a_message(api: Api, **changes: str) -> int:
    form = {"subject": "Hello", "body": "Text", "sender_email": "a@example.org", "to_email": "b@example.org", **changes}
    answer = api.post(f"{ADMIN}/email-messages/", form, "operator")
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def send(api: Api, message: int) -> Any:
    return api.post(f"{ADMIN}/email-messages/{message}/send/", user="operator")


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_a_finished_run_is_mailed_to_its_owner_over_verified_tls_after_a_login(api: Api, box: Mailbox) -> None:
    job = ended(api)
    assert box.mails == []
    assert [one["state"] for one in messages(api)] == ["N"]
    assert deliver(api)
    ((sender, recipients, mail),) = box.mails
    assert (sender, recipients) == ("lando@example.org", ["ada@example.org"])
    assert mail["Subject"] == f"Run {job} “batch 17” is finished"
    assert mail["To"] == "ada@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"lando outputs {job}" in mail.get_content()
    assert box.logins == [(b"lando", b"pass word")]
    assert [one["state"] for one in messages(api)] == ["S"]
    assert deliver(api)
    assert len(box.mails) == 1


def test_a_failure_is_mailed_with_its_cause_and_what_to_do(api: Api, box: Mailbox) -> None:
    job = ended(api, "E/R")
    error = {"job": job, "job_step": "R", "content": "It was out of memory. Ask for more.\n\nlast line"}
    api.post(f"{ADMIN}/job-errors/", error, "lando")
    assert deliver(api)
    text = box.mails[0][2].get_content()
    for part in ("at the step run workflow", "It was out of memory. Ask for more.", "last line", f"restart {job}'"):
        assert part in text


def test_a_failure_is_mailed_with_its_cause_although_the_run_goes_on(api: Api, box: Mailbox) -> None:
    job = ended(api, "E/R")
    api.post(f"{ADMIN}/job-errors/", {"job": job, "job_step": "R", "content": "It was out of memory."}, "lando")
    api.post(f"/api/v2/jobs/{job}/restart/")
    assert deliver(api)
    assert "It was out of memory." in box.mails[0][2].get_content()


def test_a_run_s_name_can_not_add_a_header(api: Api, box: Mailbox) -> None:
    ended(api, name="x\r\nBcc: eve@example.org\n\nbody")
    assert deliver(api)
    ((_, recipients, mail),) = box.mails
    assert recipients == ["ada@example.org"]
    assert mail["Bcc"] is None
    assert "Bcc: eve@example.org" in mail["Subject"]


@pytest.mark.parametrize("address", ["", "ada", "a@x.org, eve@x.org", "a@x.org\nBcc: e@x.org", "@x.org", "<a@x.org>"])
def test_who_has_no_proper_address_gets_no_mail(api: Api, address: str) -> None:
    assert not is_address(address)
    with api.site.database.write() as session:
        session.execute(update(m.User).where(m.User.username == "ada").values(email=address))
    ended(api)
    assert messages(api) == []


def test_a_server_with_an_unknown_certificate_gets_neither_password_nor_mail(
    serve: Serve, smtp: dict[str, Any], box: Mailbox
) -> None:
    api = with_addresses(serve(**{**smtp, "smtp_ca_file": None}))
    ended(api)
    assert not deliver(api)
    assert (box.mails, box.logins) == ([], [])
    assert "TLS failed" in messages(api)[0]["errors"]


@pytest.mark.parametrize(
    ("command", "answer", "state"),
    [
        ("RCPT", "550 no such user", "failed"),
        ("RCPT", "450 try later", "waiting"),
        ("DATA", "554 spam", "failed"),
        ("DATA", "451 try later", "waiting"),
    ],
)
def test_what_the_server_refuses_for_good_is_given_up_and_the_rest_tried_again(
    api: Api, box: Mailbox, command: str, answer: str, state: str
) -> None:
    ended(api)
    box.refusal[command] = answer
    deliver(api)
    (notice,) = api.get("/api/lando/v1/notices", "operator").json()
    assert notice["state"] == state
    assert answer[:3] in notice["last_error"]
    assert messages(api)[0]["state"] == "E"
    box.refusal.clear()
    deliver(api)
    assert len(box.mails) == (state == "waiting")


# -- templates --------------------------------------------------------------------------------------------------------


def test_a_site_s_templates_are_used_and_make_rows_also_without_a_mail_server(serve: Serve) -> None:
    api = with_addresses(serve())
    for name in ("job-running-user", "job-finished-user", "job-finished-sharegroup"):
        assert template(api, name).status_code == 201
    with api.site.database.write() as session:
        session.execute(update(m.ShareGroup).values(email="group@example.org"))
    job = ended(api)
    assert [(one["subject"], one["body"], one["to_email"], one["state"]) for one in messages(api)] == [
        ("batch 17", f"Job {job}: batch 17", "ada@example.org", "N"),
        ("batch 17", f"Job {job}: batch 17", "ada@example.org", "N"),
        ("batch 17", f"Job {job}: batch 17", "group@example.org", "N"),
    ]


def test_a_template_that_a_migration_brought_and_that_can_not_be_filled_in_fails_no_state(api: Api) -> None:
    with api.site.database.write() as session:
        session.add(m.EmailTemplate(name="job-finished-user", subject_template="{{", body_template="{% for %}"))
    job = ended(api)
    assert api.state(job) == "F"
    (row,) = messages(api)
    assert "Line 1 is no template" in row["errors"]
    assert row["subject"] == f"Run {job} is Finished"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(9) %}x{% endfor %}",
        "{{ 'x' * 999999999 }}",
        "{{ name|center(999999999) }}",
        "{{ lipsum() }}",
        "{% include 'x' %}",
        "{% set x = 1 %}",
        "{{ name[0] }}",
        "{{ name",
        "{% if name %}" * 110 + "{% endif %}" * 110,
        "{{ " + "not " * 5000 + "name }}",
        "{{ " + "9" * 5000 + " }}",
        "",
    ],
)
def test_what_a_template_may_not_hold_is_refused_with_a_sentence(api: Api, text: str) -> None:
    answer = template(api, "job-finished-user", body=text)
    assert answer.status_code == 400
    assert list(answer.json()) == ["body_template"]


@pytest.mark.parametrize("text", ["{{ name < 1 }}", "{{ name|truncate('x') }}"])
def test_a_template_that_fails_only_when_it_is_filled_in_keeps_no_other_notice(serve: Serve, text: str) -> None:
    api = serve(webhook_url="https://x.org/", webhook_secret_file="/dev/null")
    api.as_user("ada")
    with api.site.database.write() as session:
        session.add(m.EmailTemplate(name="job-finished-user", subject_template="s", body_template=text))
        session.execute(update(m.User).values(email="ada@example.org"))
    job = ended(api)
    (row,) = messages(api)
    assert "can't be filled in" in row["errors"]
    (notice,) = api.get("/api/lando/v1/notices", "operator").json()
    assert (notice["run"], notice["channel"]) == (job, "webhook")


def test_conditions_and_filters_of_both_languages_are_understood() -> None:
    texts = Wording(
        subject="{{ name|upper }}\n{{ nothing }}", body="{% if cause %}{{ cause }}{% else %}fine{% endif %}"
    )
    assert wording.render(texts, {"name": "a"}) == Wording(subject="A", body="fine")
    with pytest.raises(InputError):
        wording.check("{{ name|attr('x') }}")


def test_our_own_wordings_hold_only_what_a_template_may() -> None:
    for texts in wording.BUILT_IN.values():
        wording.check(texts.subject)
        wording.check(texts.body)


# -- the routes -------------------------------------------------------------------------------------------------------


def test_templates_are_made_read_changed_and_removed_by_staff_only(api: Api) -> None:
    row = template(api, "job-error-user").json()
    assert row == {
        "id": 1,
        "name": "job-error-user",
        "body_template": "Job {{ id }}: {{ name }}",
        "subject_template": "{{ name }}",
    }
    assert template(api, "job-error-user").status_code == 400
    one = f"{ADMIN}/email-templates/1/"
    assert api.call("PATCH", one, {"name": "job-cancel-user"}, "operator").json()["name"] == "job-cancel-user"
    for method, path in (("GET", one), ("PUT", one), ("DELETE", one), ("POST", f"{ADMIN}/email-messages/1/send/")):
        assert api.call(method, path, {} if method == "PUT" else None).status_code == 403
    assert api.call("DELETE", one, user="operator").status_code == 204
    assert api.get(f"{ADMIN}/email-templates/", "operator").json() == []


def test_a_message_is_sent_once(api: Api, box: Mailbox) -> None:
    message = a_message(api, bcc_email="c@example.org")
    answer = send(api, message)
    assert answer.status_code == 201
    assert answer.json() == {
        "id": message,
        "body": "Text",
        "subject": "Hello",
        "sender_email": "a@example.org",
        "to_email": "b@example.org",
        "bcc_email": "c@example.org",
        "state": "S",
        "errors": "",
    }
    ((sender, recipients, mail),) = box.mails
    assert (sender, recipients, mail["Bcc"]) == ("a@example.org", ["b@example.org", "c@example.org"], None)
    assert send(api, message).status_code == 400
    assert send(api, 999).status_code == 404
    assert len(box.mails) == 1


def test_a_message_that_can_not_be_sent_now_is_503_and_may_be_sent_later(api: Api, box: Mailbox) -> None:
    message = a_message(api)
    box.refusal["DATA"] = "451 later"
    assert send(api, message).status_code == 503
    row = api.get(f"{ADMIN}/email-messages/{message}/", "operator").json()
    assert row["state"] == "E"
    assert "451 later" in row["errors"]
    box.refusal.clear()
    assert send(api, message).json()["state"] == "S"


def test_without_a_mail_server_sending_says_which_setting_is_missing(serve: Serve) -> None:
    answer = send(api := serve(), a_message(api))
    assert answer.status_code == 503
    assert "smtp_host" in answer.json()["detail"]


def test_a_message_that_somebody_is_sending_is_not_sent_twice(api: Api, box: Mailbox) -> None:
    message = a_message(api)
    with api.site.database.write() as session:
        session.execute(update(m.EmailMessage).values(sending_until=m.now() + timedelta(minutes=1)))
    assert send(api, message).status_code == 400
    with api.site.database.write() as session:  # and is, when whoever was sending it has died
        session.execute(update(m.EmailMessage).values(sending_until=m.now() - timedelta(minutes=1)))
    assert send(api, message).status_code == 201


@pytest.mark.parametrize("to", ["", "x", "a@x.org\r\nBcc: b@x.org", "a@x.org,b@x.org"])
def test_a_message_to_no_proper_address_is_refused(api: Api, to: str) -> None:
    form = {"subject": "s", "body": "b", "sender_email": "a@example.org", "to_email": to}
    answer = api.post(f"{ADMIN}/email-messages/", form, "operator")
    assert (answer.status_code, list(answer.json())) == (400, ["to_email"])


def test_a_mail_that_staff_sent_by_hand_is_not_sent_again(api: Api, box: Mailbox) -> None:
    ended(api)
    assert send(api, messages(api)[0]["id"]).status_code == 201
    assert deliver(api)
    assert len(box.mails) == 1
    assert api.get("/api/lando/v1/notices", "operator").json()[0]["state"] == "delivered"


# -- a site's own mailer ----------------------------------------------------------------------------------------------


def test_a_site_s_own_mailer_is_told_of_each_mail_on_its_exchange(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = with_addresses(serve(mail_by_exchange=True, mail_from="lando@example.org"))
    told: list[tuple[str, str, bytes]] = []
    trouble: list[Exception] = [Unavailable("broker", "no exchange EmailExchange")]

    def announce(exchange: str, routing_key: str, body: bytes) -> Future[None]:
        future: Future[None] = Future()
        if trouble:
            future.set_exception(trouble.pop())
        else:
            told.append((exchange, routing_key, body))
            future.set_result(None)
        return future

    monkeypatch.setattr(api.broker, "announce", announce, raising=False)
    job = ended(api)
    assert api.state(job) == "F"
    assert not deliver(api)
    assert deliver(api)
    (message,) = messages(api)
    assert told == [("EmailExchange", "SendEmail", pickle.dumps({"send_email": message["id"]}, 3))]
    assert message["state"] == "N"  # until the mailer asks for it


@pytest.mark.parametrize("number", [0, 17, 255, 256, 65535, 65536, 2**31 - 1])
def test_the_mailer_s_notice_is_what_python_s_pickler_writes(number: int) -> None:
    assert write_mail_notice(number) == pickle.dumps({"send_email": number}, 3)


def test_each_try_of_a_mail_has_the_same_message_id(api: Api, box: Mailbox) -> None:
    ended(api)
    with api.site.database.read() as session:
        identity = session.scalars(select(m.EmailMessage.message_id)).one()
    deliver(api)
    assert box.mails[0][2]["Message-ID"] == f"<{identity}@example.org>"


def test_mails_are_forgotten_in_time_but_for_those_still_to_be_sent(api: Api) -> None:
    job = ended(api)
    form = {"subject": "s", "body": "b", "sender_email": "", "to_email": "a@x.org"}
    for _ in range(3):
        assert api.post(f"{ADMIN}/email-messages/", form, "operator").status_code == 201
    waiting, sent, failed, young = [message["id"] for message in messages(api)]
    day = timedelta(days=1)
    with api.site.database.write() as session:
        assert session.scalars(select(m.Notice.email_message_id).where(m.Notice.job_id == job)).one() == waiting
        session.execute(update(m.EmailMessage).values(created=m.now() - 91 * day))
        session.execute(update(m.EmailMessage).filter_by(id=young).values(created=m.now() - 89 * day))
        session.execute(update(m.EmailMessage).filter_by(id=sent).values(state="S"))
        session.execute(update(m.EmailMessage).filter_by(id=failed).values(state="E"))
    api.site.unused._also()
    assert [message["id"] for message in messages(api)] == [waiting, young]
    assert api.site.notices.forget() == 0


def test_the_newest_mails_are_listed(api: Api) -> None:
    form = {"subject": "s", "body": "b", "sender_email": "", "to_email": "a@x.org"}
    made = [api.post(f"{ADMIN}/email-messages/", form, "operator").json()["id"] for _ in range(3)]
    listed = api.get(f"{ADMIN}/email-messages/?limit=2", "operator").json()
    assert [row["id"] for row in listed] == made[1:]
    for wrong in ("0", "x", "10001", "-1", ""):
        refused = api.get(f"{ADMIN}/email-messages/?limit={wrong}", "operator")
        assert (refused.status_code, list(refused.json())) == (400, ["limit"])
