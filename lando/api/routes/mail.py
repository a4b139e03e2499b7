"""``admin/email-templates`` and ``admin/email-messages``: how mails about jobs are worded, and those there were."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api.answers import Json, Refusal, detail, invalid, not_found
from lando.api.auth import Caller, Staff
from lando.api.bodies import AnyText, Body, LongName, Name, id_of
from lando.api.mail_addresses import is_address
from lando.api.notices import wording
from lando.api.resource import Resource, add_routes
from lando.api.site import Site, TheSite
from lando.errors import Conflict, InputError, LandoError, NotFound

router = APIRouter(prefix="/admin", tags=["mail"])


def _template(text: str) -> str:
    try:
        wording.check(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _address(text: str) -> str:
    if text and not is_address(text):
        raise ValueError("Enter a valid email address.")
    return text


TemplateText = Annotated[LongName, Field(max_length=wording.BODY_BYTES), AfterValidator(_template)]
Address = Annotated[AnyText, Field(max_length=254), AfterValidator(_address)]


class EmailTemplateBody(Body):
    """How the mails of a name are worded."""

    name: Name
    body_template: TemplateText
    subject_template: TemplateText


class EmailMessageBody(Body):
    """A mail; whether it has been sent is not written here."""

    body: AnyText
    subject: AnyText
    sender_email: Address
    to_email: Annotated[Address, Field(min_length=1)]
    bcc_email: Address | None = None


def show_template(row: m.EmailTemplate) -> Json:
    """A template's row."""
    return {
        "id": row.id,
        "name": row.name,
        "body_template": row.body_template,
        "subject_template": row.subject_template,
    }


def show_message(row: m.EmailMessage) -> Json:
    """A mail's row."""
    return {
        "id": row.id,
        "body": row.body,
        "subject": row.subject,
        "sender_email": row.sender_email,
        "to_email": row.to_email,
        "bcc_email": row.bcc_email,
        "state": row.state,
        "errors": row.errors,
    }


def _fill_template(_site: Site, session: Session, _caller: Caller, row: m.EmailTemplate, changes: Json) -> None:
    if "name" in changes and changes["name"] != row.name:
        taken = select(m.EmailTemplate.id).where(m.EmailTemplate.name == changes["name"])
        if session.scalars(taken).first() is not None:
            raise invalid("name", "There is such a template already.")
    for key, value in changes.items():
        setattr(row, key, value)


def _fill_message(_site: Site, _session: Session, _caller: Caller, row: m.EmailMessage, changes: Json) -> None:
    for key, value in changes.items():
        setattr(row, key, value or "")


add_routes(
    router,
    Resource(
        path="email-templates",
        model=m.EmailTemplate,
        show=lambda _site, row: show_template(row),
        staff_only=True,
        body=EmailTemplateBody,
        fill=_fill_template,
        filters={"name": m.EmailTemplate.name},
    ),
)
add_routes(
    router,
    Resource(
        path="email-messages",
        model=m.EmailMessage,
        show=lambda _site, row: show_message(row),
        staff_only=True,
        body=EmailMessageBody,
        fill=_fill_message,
    ),
)


@router.post("/email-messages/{message_id}/send", status_code=201)
def send_message(message_id: str, site: TheSite, _staff: Staff) -> Json:
    """Send a mail now: 400 for one that has been sent, 503 where that fails, which is noted."""
    number = id_of(message_id)
    try:
        site.notices.send_mail(number)
    except NotFound as error:
        raise not_found() from error
    except Conflict as error:
        raise detail(400, str(error).removeprefix("database: ")) from error
    except LandoError as error:
        raise _unsent(error) from error
    with site.database.read() as session:
        return show_message(session.get_one(m.EmailMessage, number))


def _unsent(error: LandoError) -> Refusal:
    return detail(503, f"The mail was not sent: {error}")
