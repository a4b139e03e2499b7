"""``admin/email-templates`` and ``admin/email-messages``: how mails about jobs are worded, and those there were."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from lando.api import models as m
from lando.api.answers import Json, Refusal, detail, not_found
from lando.api.auth import Caller, Staff
from lando.api.bodies import AnyText, Body, Empty, LongName, Name, id_of
from lando.api.mail_addresses import is_address
from lando.api.notices import wording
from lando.api.resource import Plain, Resource, add_routes, plain
from lando.api.routes import BESPIN
from lando.api.site import Site, TheSite
from lando.errors import Conflict, InputError, LandoError, NotFound

router = APIRouter(prefix=f"{BESPIN}/admin", tags=["mail"])


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


_SHOW_MESSAGE = Plain(
    {key: key for key in ("body", "subject", "sender_email", "to_email", "bcc_email", "state", "errors")}
)
_SHAPE: Any = _SHOW_MESSAGE.shape("EmailMessageRow", m.EmailMessage)


def _fill_message(_site: Site, _session: Session, _caller: Caller, row: m.EmailMessage, changes: Json) -> None:
    for key, value in changes.items():
        setattr(row, key, value or "")


add_routes(
    router,
    Resource(
        path="email-templates",
        model=m.EmailTemplate,
        show=plain(EmailTemplateBody, {}),
        staff_only=True,
        body=EmailTemplateBody,
        unique=(("name",),),
        filters={"name": m.EmailTemplate.name},
    ),
)
add_routes(
    router,
    Resource(
        path="email-messages",
        model=m.EmailMessage,
        show=_SHOW_MESSAGE,
        staff_only=True,
        body=EmailMessageBody,
        fill=_fill_message,
        at_most=10_000,
    ),
)


@router.post("/email-messages/{message_id}/send", status_code=201, response_model=_SHAPE)
def send_message(message_id: str, site: TheSite, _staff: Staff, _body: Empty | None = None) -> Json:
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
        return _SHOW_MESSAGE(site, session.get_one(m.EmailMessage, number))


def _unsent(error: LandoError) -> Refusal:
    return detail(503, f"The mail was not sent: {error}")
