"""Registering a packed workflow for its owner: a private workflow, a version per content, one configuration."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lando.api.answers import detail, invalid
from lando.api.auth import Caller
from lando.api.files import FileStore, FileUrls
from lando.api.models import (
    JobStrategy,
    ShareGroup,
    UploadedFile,
    Workflow,
    WorkflowConfiguration,
    WorkflowVersion,
)
from lando.api.site import Site
from lando.cwl_inputs import main_process
from lando.errors import InputError

CONFIGURATION = "default"


def register(
    session: Session, files: FileStore, caller: Caller, name: str, version: str | None, packed: dict[str, Any]
) -> tuple[WorkflowVersion, WorkflowConfiguration]:
    """The version that holds ``packed``; the same content of the same name is registered once.

    Raises the 400 for a document that can't be run and for a version that exists with other content.
    """
    try:
        process = main_process(packed)
    except InputError as error:
        raise invalid(error.field or "packed", str(error)) from error
    data = json.dumps(packed, ensure_ascii=False, indent=1).encode()
    digest = hashlib.sha256(data).hexdigest()
    workflow = _workflow(session, caller, name)
    known = session.scalars(
        select(WorkflowVersion).where(WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.sha256 == digest)
    ).first()
    if known is not None and version in (None, known.version):
        return known, _configuration(session, workflow)
    chosen = _free_version(session, workflow, version)
    file_name = f"{slug(name)}.cwl"
    stored = files.save(data)
    session.add(UploadedFile(id=stored.id, owner_id=caller.id, name=file_name, size=stored.size, sha256=stored.sha256))
    row = WorkflowVersion(
        workflow=workflow,
        version=chosen,
        description=process.description,
        type="packed",
        workflow_path=process.path,
        url=FileUrls.stored(stored.id, file_name),
        fields=process.fields,
        enable_ui=True,
        sha256=digest,
    )
    session.add(row)
    session.flush()
    return row, _configuration(session, workflow)


def stored_url(site: Site, session: Session, caller: Caller, url: str, *, known: str | None = None) -> str:
    """What to store for a ``url`` that the caller gave; raises the 400 for a file of this server that is not theirs.

    Daemons get a signed URL of such a file: nobody may have one signed that is not theirs. ``known`` is what is stored
    now, and stays. The file's row is locked, so that it is not just now swept away as unused.
    """
    stored = site.urls.to_store(url)
    if stored == known or (file_id := site.urls.file_id(stored)) is None:
        return stored
    file = session.get(UploadedFile, file_id, with_for_update={"read": True})
    if file is None or file.owner_id != caller.id:
        raise invalid("url", "You have no such uploaded file.")
    return site.urls.stored(file.id, file.name)


def slug(name: str) -> str:
    """``name`` as part of a tag or a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "workflow"


def _workflow(session: Session, caller: Caller, name: str) -> Workflow:
    own = select(Workflow).where(Workflow.owner_id == caller.id, Workflow.name == name)
    if (known := session.scalars(own).first()) is not None:
        return known
    base = f"{slug(caller.username.partition('@')[0])}-{slug(name)}"
    taken = set(session.scalars(select(Workflow.tag).where(Workflow.tag.startswith(base, autoescape=True))))
    tag, number = base, 1
    while tag in taken:
        number += 1
        tag = f"{base}-{number}"
    workflow = Workflow(name=name, tag=tag, owner_id=caller.id)
    session.add(workflow)
    session.flush()
    return workflow


def _free_version(session: Session, workflow: Workflow, wanted: str | None) -> str:
    taken = set(session.scalars(select(WorkflowVersion.version).where(WorkflowVersion.workflow_id == workflow.id)))
    if wanted is not None:
        if wanted in taken:
            raise invalid("version", f"Version {wanted} exists already with other content; choose another.")
        return wanted
    number = len(taken) + 1
    while str(number) in taken:
        number += 1
    return str(number)


def _configuration(session: Session, workflow: Workflow) -> WorkflowConfiguration:
    known = session.scalars(
        select(WorkflowConfiguration).where(
            WorkflowConfiguration.workflow_id == workflow.id, WorkflowConfiguration.tag == CONFIGURATION
        )
    ).first()
    if known is not None:
        return known
    by_name = select(JobStrategy).order_by((JobStrategy.name != CONFIGURATION), JobStrategy.id).limit(1)
    strategy = session.scalars(by_name).first()
    group = session.scalars(
        select(ShareGroup).order_by((ShareGroup.name != CONFIGURATION), ShareGroup.id).limit(1)
    ).first()
    if strategy is None or group is None:
        raise detail(400, "The site has no job strategy or no share group yet; ask its staff to set them up.")
    configuration = WorkflowConfiguration(
        tag=CONFIGURATION,
        workflow_id=workflow.id,
        system_job_order={},
        default_job_strategy_id=strategy.id,
        share_group_id=group.id,
    )
    session.add(configuration)
    session.flush()
    return configuration
