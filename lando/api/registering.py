"""Registering a workflow: a version per content, and one configuration where there is none yet.

Users' workflows are private; staff may make public ones. What was checked is what runs: the server keeps the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from lando.api import checking
from lando.api.answers import NON_FIELD, Refusal, detail, invalid
from lando.api.auth import Caller
from lando.api.bodies import AnyText, Body, JsonObject, LongName, Name, Tag, Url
from lando.api.checking import Checked, Source
from lando.api.files import FileUrls, Stored, safe_name
from lando.api.models import (
    JobStrategy,
    ShareGroup,
    UploadedFile,
    User,
    Workflow,
    WorkflowConfiguration,
    WorkflowVersion,
)
from lando.api.site import Site
from lando.cwl_inputs import main_process
from lando.errors import InputError

CONFIGURATION = "default"


class NewWorkflow(Body):
    """A workflow: as one document (``packed``), as an uploaded ``file`` (its id or URL), or at a ``url``."""

    name: Name | None = None
    """The document's label or the file's name when left out."""
    version: Tag | None = None
    """Counted up when left out."""
    packed: JsonObject | None = None
    file: LongName | None = None
    url: Url | None = None
    type: Literal["packed", "zipped"] | None = None
    """``zipped`` when left out and the file's name ends in ``.zip``."""
    workflow_path: AnyText | None = None
    """Of an archive, the path of its workflow; found when left out."""
    checked: bool = False
    """The client has had cwltool check what is ``packed``; the server then does not do so again."""
    public: bool = False
    """For everybody; staff only."""
    tag: Annotated[Tag, Field(max_length=200)] | None = None
    """Of a public workflow; made of its name when left out."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """The file of a version: one of ours, or one that is still to be kept."""

    name: str
    type: Literal["packed", "zipped"]
    sha256: str
    stored: UploadedFile | None = None
    path: Path | None = None
    data: bytes | None = None


def register(site: Site, caller: Caller, new: NewWorkflow) -> tuple[int, bool]:
    """The id of the version that holds the workflow, and whether cwltool has checked it just now.

    The same content of the same name is registered once. Raises the 400 for what can't be run, and for a version that
    exists with other content.
    """
    if new.public and not caller.is_staff:
        raise detail(403, "Only staff may register public workflows.")
    if new.tag is not None and not new.public:
        raise invalid("tag", "Only public workflows have a tag of one's choice; leave it out, or make it public.")
    given = sum(part is not None for part in (new.packed, new.file, new.url))
    if given != 1:
        raise invalid(NON_FIELD if given else "packed", "Give one of packed, file and url.")
    with _examined(site, caller, new) as (process, file):
        copy = _copied(site, file) if file.stored is None else None
        try:
            version_id, is_new = _registered(site, caller, new, process, file, copy)
        except Refusal:
            _forget(site, copy)
            raise
        if not is_new:
            _forget(site, copy)
        return version_id, process.with_cwltool


def _registered(
    site: Site, caller: Caller, new: NewWorkflow, process: Checked, file: _File, copy: Stored | None
) -> tuple[int, bool]:
    """The id of the version, and whether it was made just now."""
    name = new.name or process.label or Path(file.name).stem
    with site.database.write() as session:
        # One after the other for each user: the same workflow sent twice at once is registered once.
        session.execute(select(User.id).where(User.id == caller.id).with_for_update())
        workflow = _workflow(session, None if new.public else caller, name, _tag_base(caller, new, name))
        version = _known(session, workflow, new.version, file.sha256)
        is_new = version is None
        if version is None:
            version = _version(site, session, caller, workflow, new, process, file, copy)
        _configuration(session, workflow)
        return version.id, is_new


@contextmanager
def _examined(site: Site, caller: Caller, new: NewWorkflow) -> Iterator[tuple[Checked, _File]]:
    """What the workflow is, and its file; before any transaction begins, because it takes long."""
    if new.packed is not None:
        data = json.dumps(new.packed, ensure_ascii=False, indent=1).encode()
        digest = hashlib.sha256(data).hexdigest()
        process = _read(new.packed)
        file = _File(name=f"{slug(new.name or process.label)}.cwl", type="packed", sha256=digest, data=data)
        if site.settings.check_workflows and not new.checked and not _is_registered(site, caller, digest):
            with checking.checked(site.settings, Source(field="packed", name=file.name, data=data)) as (process, _):
                yield process, file
            return
        yield process, file
        return
    source, stored = _source(site, caller, new)
    with checking.checked(site.settings, source) as (process, path):
        sha256 = stored.sha256 if stored is not None else _sha256(path)
        yield process, _File(name=source.name, type=source.type, sha256=sha256, stored=stored, path=path)


def _read(packed: dict[str, Any]) -> Checked:
    """What is packed, as far as it is told without cwltool."""
    try:
        process = main_process(packed)
    except InputError as error:
        raise invalid(error.field or "packed", str(error)) from error
    return Checked(
        workflow_path=process.path,
        fields=process.fields,
        description=process.description,
        label=process.label,
        with_cwltool=False,
    ).keepable("packed")


def _source(site: Site, caller: Caller, new: NewWorkflow) -> tuple[Source, UploadedFile | None]:
    """Where the workflow's file is, and the upload that it is, if it is one of the caller's."""
    field, text = ("url", str(new.url)) if new.file is None else ("file", new.file)
    is_ours = field == "file" or site.urls.file_id(site.urls.to_store(text)) is not None
    stored = _own_file(site, caller, text, field) if is_ours else None
    name = safe_name(checking.file_name(text)) if stored is None else stored.name
    source = Source(
        field=field,
        name=name,
        type=new.type or ("zipped" if name.lower().endswith(".zip") else "packed"),
        workflow_path=new.workflow_path or None,
        file=None if stored is None else site.files.path(stored.id),
        url=text if stored is None else None,
    )
    return source, stored


def _own_file(site: Site, caller: Caller, text: str, field: str) -> UploadedFile:
    file_id = site.urls.file_id(site.urls.to_store(text)) or text
    with site.database.read() as session:
        file = session.get(UploadedFile, file_id) if file_id.isalnum() else None
    if file is None or file.owner_id != caller.id:
        raise invalid(field, "You have no such uploaded file.")
    if file.size > checking.MAX_BYTES:
        raise invalid(field, f"A workflow's file may have at most {checking.MAX_BYTES} bytes.")
    return file


def derived(site: Site, caller: Caller, new: NewWorkflow) -> Checked:
    """What the workflow at a URL is, which may be an uploaded file of the caller's; raises the 400."""
    source, _ = _source(site, caller, new)
    with checking.checked(site.settings, source) as (process, _):
        return process


def _is_registered(site: Site, caller: Caller, digest: str) -> bool:
    """Whether the caller has registered, and so had checked, the same content before."""
    own = select(WorkflowVersion.id).join(Workflow).where(Workflow.owner_id == caller.id)
    with site.database.read() as session:
        return session.scalars(own.where(WorkflowVersion.sha256 == digest).limit(1)).first() is not None


def _known(session: Session, workflow: Workflow, wanted: str | None, digest: str) -> WorkflowVersion | None:
    same = select(WorkflowVersion).where(WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.sha256 == digest)
    if wanted is not None:
        same = same.where(WorkflowVersion.version == wanted)
    return session.scalars(same.order_by(WorkflowVersion.id)).first()


def _version(
    site: Site,
    session: Session,
    caller: Caller,
    workflow: Workflow,
    new: NewWorkflow,
    process: Checked,
    file: _File,
    copy: Stored | None,
) -> WorkflowVersion:
    chosen = _free_version(session, workflow, new.version)
    row = WorkflowVersion(
        workflow=workflow,
        version=chosen,
        description=process.description,
        type=file.type,
        workflow_path=process.workflow_path,
        url=_kept(site, session, caller, file, copy),
        fields=process.fields,
        enable_ui=True,
        sha256=file.sha256,
    )
    session.add(row)
    session.flush()
    return row


def _copied(site: Site, file: _File) -> Stored:
    """A copy of ``file`` below the server's files, which is nobody's yet; one that stays so is swept away some day.

    Before any transaction begins: the file may be large, and nobody else could write meanwhile.
    """
    if file.path is None:
        return site.files.save(file.data or b"")
    with site.files.begin(checking.MAX_BYTES) as upload, open(file.path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            upload.write(chunk)
        return upload.finish()


def _forget(site: Site, copy: Stored | None) -> None:
    if copy is not None:
        site.files.remove(copy.id)


def _kept(site: Site, session: Session, caller: Caller, file: _File, copy: Stored | None) -> str:
    """What to store as the URL of ``file``, which is a file of the server's from now on: an upload, or ``copy``."""
    if file.stored is not None:
        return stored_url(site, session, caller, FileUrls.stored(file.stored.id, file.stored.name))
    if copy is None:
        raise TypeError("a file that is no upload needs a copy")
    session.add(UploadedFile(id=copy.id, owner_id=caller.id, name=file.name, size=copy.size, sha256=copy.sha256))
    return FileUrls.stored(copy.id, file.name)


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _tag_base(caller: Caller, new: NewWorkflow, name: str) -> str:
    if new.public:
        return new.tag or slug(name)
    return f"{slug(caller.username.partition('@')[0])}-{slug(name)}"


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


def _workflow(session: Session, owner: Caller | None, name: str, base: str) -> Workflow:
    """The owner's workflow of that name, or the public one of the tag ``base``; made when there is none."""
    if owner is None:
        same = select(Workflow).where(Workflow.owner_id.is_(None), Workflow.tag == base)
    else:
        same = select(Workflow).where(Workflow.owner_id == owner.id, Workflow.name == name)
    if (known := session.scalars(same).first()) is not None:
        return known
    taken = set(session.scalars(select(Workflow.tag).where(Workflow.tag.startswith(base, autoescape=True))))
    if owner is None and base in taken:
        raise invalid("tag", f"A workflow of somebody's own has the tag {base!r} already; choose another.")
    tag, number = base, 1
    while tag in taken:
        number += 1
        tag = f"{base}-{number}"
    workflow = Workflow(name=name, tag=tag, owner_id=owner.id if owner is not None else None)
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
