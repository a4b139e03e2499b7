"""Letting the service read what a job's owner has in the data service, before the job starts.

Steps stage inputs with a service credential. Where that can't read a project, its download right is granted by the
owner's own sign-in at the data service: their credential there, else what the sign-in provider gave out for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

import requests
from requests.adapters import BaseAdapter
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from lando.api.answers import Refusal, detail
from lando.api.auth import Caller
from lando.api.models import DdsInputFile, Job, StorageCredential, User
from lando.errors import Unavailable

PEER = "data service"
TIMEOUT_S = (5.0, 20.0)  # for a connection; of silence
LONGEST_S = 60.0
"""After so many seconds no other project is begun; the next start goes on, as what was granted stays."""
READERS = frozenset({"file_downloader", "file_editor", "project_admin"})
"""Roles at the Duke Data Service that may download."""
DOWNLOADER = "file_downloader"


@dataclass(frozen=True, kw_only=True)
class Credential:
    """One user's login at a data service."""

    api_root: str
    agent_key: str = field(repr=False)
    user_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Need:
    """A project that a service credential has to be able to read."""

    project_id: str
    service: Credential
    service_id: str
    """Of the credential's user at the data service."""
    owner: Credential | None
    """The job owner's own login there, if the site knows one."""
    owner_token: str | None = field(repr=False)
    """Else what the sign-in provider gave out for them."""


class StorageRights(Protocol):
    """Grants what is needed."""

    def grant(self, needs: Collection[Need]) -> None:
        """Make each project readable; raises the refusal with the data service's status, and Unavailable."""


def is_offered(caller: Caller) -> ColumnElement[bool]:
    """Whether a credential may fetch inputs of the caller's: the site's, which staff hold, and the caller's own.

    The first of all is the site's whoever holds it: results are written with it.
    """
    return or_(
        StorageCredential.user_id == caller.id,
        StorageCredential.user_id.in_(select(User.id).where(User.is_staff)),
        StorageCredential.id == select(func.min(StorageCredential.id)).scalar_subquery(),
    )


def needed(session: Session, caller: Caller, job: Job) -> list[Need]:
    """Each project among the inputs of the caller's ``job``, once for each credential."""
    files = select(DdsInputFile.project_id, DdsInputFile.dds_user_credentials_id).where(
        DdsInputFile.stage_group_id == job.stage_group_id
    )
    token = session.scalars(select(User.provider_token).where(User.id == caller.id)).one()
    needs = []
    for project_id, credential_id in session.execute(files.distinct().order_by(*files.selected_columns)):
        service = session.get_one(StorageCredential, credential_id)
        if not service.endpoint.api_root:
            continue  # no data service that could be asked
        own = select(StorageCredential).where(
            StorageCredential.user_id == caller.id,
            StorageCredential.endpoint_id == service.endpoint_id,
            StorageCredential.id != service.id,
        )
        mine = session.scalars(own.order_by(StorageCredential.id)).first()
        needs.append(
            Need(
                project_id=project_id,
                service=_login(service),
                service_id=service.dds_id,
                owner=_login(mine) if mine is not None else None,
                owner_token=token,
            )
        )
    return needs


def _login(row: StorageCredential) -> Credential:
    root = row.endpoint.api_root.rstrip("/")
    return Credential(api_root=root, agent_key=row.endpoint.agent_key, user_key=row.token)


class DukeDsRights:
    """By the REST API of the Duke Data Service; ``adapter`` carries its requests instead of the network."""

    def __init__(self, adapter: BaseAdapter | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._adapter = adapter
        self._clock = clock

    def grant(self, needs: Collection[Need]) -> None:
        """See :class:`StorageRights`."""
        with requests.Session() as session:
            if self._adapter is not None:
                session.mount("https://", self._adapter)
            until = self._clock() + LONGEST_S
            for need in needs:
                if self._clock() >= until:
                    raise Unavailable(PEER, f"not all inputs could be shared within {LONGEST_S:g} s")
                _grant(session, need)


def _grant(session: requests.Session, need: Need) -> None:
    root = need.service.api_root
    service = _token(session, need.service)
    user_id = need.service_id or _told(_call(session, "GET", f"{root}/current_user", service), "id")
    permission = f"{root}/projects/{quote(need.project_id, safe='')}/permissions/{quote(user_id, safe='')}"
    answer = _call(session, "GET", permission, service, missing_is_fine=True)
    if answer.status_code == 200 and _told(answer, "auth_role", "id") in READERS:
        return
    _call(session, "PUT", permission, _owner_token(session, need), data={"auth_role[id]": DOWNLOADER})


def _owner_token(session: requests.Session, need: Need) -> str:
    if need.owner is not None:
        return _token(session, need.owner)
    if need.owner_token is None:
        text = (
            f"The site may not read project {need.project_id} yet: sign in with your browser, then start the job again."
        )
        raise detail(403, text)
    url = f"{need.service.api_root}/user/api_token"
    answer = _call(session, "GET", url, None, params={"access_token": need.owner_token})
    return _told(answer, "api_token")


def _token(session: requests.Session, login: Credential) -> str:
    keys = {"agent_key": login.agent_key, "user_key": login.user_key}
    answer = _call(session, "POST", f"{login.api_root}/software_agents/api_token", None, json=keys)
    return _told(answer, "api_token")


def _told(answer: requests.Response, *keys: str) -> str:
    """What stands under ``keys`` in a JSON answer; raises Unavailable: whatever answers so is no data service."""
    try:
        found = answer.json()
        for key in keys:
            found = found[key]
    except (ValueError, LookupError, TypeError) as error:
        raise Unavailable(PEER, f"its answer does not tell the {' of the '.join(reversed(keys))}") from error
    return str(found)


def _call(
    session: requests.Session, method: str, url: str, token: str | None, *, missing_is_fine: bool = False, **how: Any
) -> requests.Response:
    headers = {"Authorization": token} if token is not None else {}
    try:
        answer = session.request(method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **how)
    except (requests.RequestException, ValueError) as error:
        # Only the kind: the sentence would show the URL with the owner's token in it.
        raise Unavailable(PEER, f"{method} of a storage right failed: {type(error).__name__}") from None
    if answer.status_code in (200, 201) or (missing_is_fine and answer.status_code == 404):
        return answer
    if not 400 <= answer.status_code < 500:
        raise Unavailable(PEER, f"{method} of a storage right was answered {answer.status_code}")
    raise Refusal(
        answer.status_code, {"detail": f"The data service refused to share the job's inputs: {_why(answer)}."}
    )


def _why(answer: requests.Response) -> str:
    try:
        return str(answer.json()["reason"])[:200].rstrip(".")
    except (ValueError, LookupError, TypeError):
        return f"it answered {answer.status_code}"
