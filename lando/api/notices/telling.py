"""What there is to tell of a job's new state: rows, made in the transaction that wrote the state, and their words."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api.answers import Json
from lando.api.database import time_of
from lando.api.documents import timestamp
from lando.api.mail_addresses import is_address
from lando.api.notices import wording
from lando.api.notices.wording import Wording
from lando.api.usage import STATE_WORDS, STEP_LETTERS
from lando.errors import InputError

logger = logging.getLogger(__name__)

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "R": ("job-running-user",),
    "C": ("job-cancel-user",),
    "F": ("job-finished-user", "job-finished-sharegroup"),
    "E": ("job-error-user",),
}
"""By the letter of the state that is told: names of Bespin's templates."""
CAUSE_S = 30.0
"""How long the notice of a failure waits for its cause, which a daemon writes after the state."""
WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """By which ways a site tells of jobs, and of what."""

    webhook: bool
    mail: str | None
    """``mail`` or ``exchange``; None: mails are only kept."""
    letters: frozenset[str]
    """Of the states that a webhook is told of, and that our own wording is mailed about."""
    sender: str
    base_url: str


def note(session: Session, job: m.Job, channels: Channels) -> None:
    """Add what there is to tell of the job's new state to the transaction. Never raises: the state comes first."""
    if job.state not in TEMPLATES:
        return
    try:
        with session.begin_nested():
            for notice in _notices(session, job, channels):
                session.add(notice)
            session.flush()
    except Exception:
        logger.exception("Job %d: nobody is told that it is %s", job.id, STATE_WORDS[job.state])


def hurry(session: Session, job_id: int) -> None:
    """The cause of a failure is there: tell of it now."""
    session.execute(
        update(m.Notice)
        .where(m.Notice.job_id == job_id, m.Notice.job_state == "E", m.Notice.state == WAITING, m.Notice.attempts == 0)
        .values(due=time_of(session)),
        execution_options={"synchronize_session": False},
    )


def _notices(session: Session, job: m.Job, channels: Channels) -> Iterator[m.Notice]:
    common = {"job_id": job.id, "job_state": job.state, "generation": job.generation}
    if job.state == "E":
        common["due"] = time_of(session) + timedelta(seconds=CAUSE_S)
    if channels.webhook and job.state in channels.letters:
        yield m.Notice(channel="webhook", **common)
    for name in TEMPLATES[job.state]:
        message = _mail(session, job, name, channels)
        if message is None:
            continue
        session.add(message)
        session.flush()
        if channels.mail is not None:
            yield m.Notice(channel=channels.mail, email_message_id=message.id, template=name, **common)


def _mail(session: Session, job: m.Job, name: str, channels: Channels) -> m.EmailMessage | None:
    texts = _wording(session, name)
    if texts is None and channels.mail is not None and job.state in channels.letters:
        texts = wording.BUILT_IN.get(name)
    if texts is None:
        return None
    is_for_group = name.endswith("-sharegroup")
    recipient = session.get_one(m.ShareGroup, job.share_group_id).email if is_for_group else job.user.email
    if not is_address(recipient):
        return None
    errors = ""
    try:
        filled = wording.render(texts, variables(session, job, job.state, channels.base_url))
    except InputError as error:
        filled, errors = Wording(subject=f"Run {job.id} is {STATE_WORDS[job.state]}", body=""), f"{name}: {error}"
        logger.warning("The template %s: %s", name, error)
    return m.EmailMessage(
        subject=filled.subject,
        body=filled.body,
        sender_email=channels.sender,
        to_email=recipient,
        bcc_email="",
        errors=errors,
    )


def _wording(session: Session, name: str) -> Wording | None:
    row = session.scalars(select(m.EmailTemplate).where(m.EmailTemplate.name == name)).first()
    return Wording(subject=row.subject_template, body=row.body_template) if row else None


def word(session: Session, notice: m.Notice, channels: Channels) -> None:
    """Word a notice before its first try: by now the cause of a failure is known, or will not come."""
    if notice.channel == "webhook":
        if notice.body is None:
            notice.body = json.dumps(document(session, notice, channels.base_url), ensure_ascii=False)
    elif notice.job_state == "E" and notice.attempts == 0 and notice.message and notice.message.state == "N":
        texts = _wording(session, notice.template) or wording.BUILT_IN.get(notice.template)
        try:
            if texts is not None:
                filled = wording.render(
                    texts, variables(session, notice.job, "E", channels.base_url, notice.generation)
                )
                notice.message.subject, notice.message.body = filled.subject, filled.body
        except InputError as error:
            logger.warning("The template %s: %s", notice.template, error)


def document(session: Session, notice: m.Notice, base_url: str) -> Json:
    """What a webhook is sent."""
    job = notice.job
    words = variables(session, job, notice.job_state, base_url, notice.generation)
    state = STATE_WORDS[notice.job_state]
    return {
        "id": notice.notice_id,
        "event": f"run.{state.lower()}",
        "created": timestamp(notice.created),
        "run": {
            "id": job.id,
            "name": job.name,
            "owner": job.user.username,
            "workflow": words["workflow"] or None,
            "state": state,
            "step": words["step"].replace(" ", "_") or None,
            "cause": {"sentence": words["cause"], "text": words["details"]} if words["cause"] else None,
            "outputs": words["results"] or None,
            "url": words["url"],
        },
    }


def variables(
    session: Session, job: m.Job, letter: str, base_url: str, generation: int | None = None
) -> Mapping[str, str]:
    """What a template may name; ``id`` and ``name`` are Bespin's."""
    cause = _cause(session, job, job.generation if generation is None else generation) if letter == "E" else None
    sentence, _, details = cause.content.partition("\n") if cause else ("", "", "")
    failed_at = cause.job_step if cause else job.step if letter == "E" else ""
    step = next((name for name, known in STEP_LETTERS.items() if known == failed_at), "")
    project = job.output_project if letter == "F" else None
    return {
        "id": str(job.id),
        "name": job.name,
        "state": STATE_WORDS[letter],
        "owner": job.user.username,
        "workflow": job.workflow_version.tag if job.workflow_version else "",
        "step": step.replace("_", " "),
        "cause": sentence.strip(),
        "details": details.strip("\n"),
        "results": project.project_id if project else "",
        "url": f"{base_url}/api/lando/v1/runs/{job.id}",
    }


def _cause(session: Session, job: m.Job, generation: int) -> m.JobError | None:
    """The newest error of that life of the job."""
    errors = select(m.JobError).where(m.JobError.job_id == job.id, m.JobError.generation == generation)
    return session.scalars(errors.order_by(m.JobError.id.desc()).limit(1)).first()
