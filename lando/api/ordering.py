"""Making a job of a filled-in template: what the tag names, what is checked, and all rows in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from lando.api import jobs, templates
from lando.api.answers import detail, invalid, invalid_fields
from lando.api.auth import Caller
from lando.api.models import (
    DdsInputFile,
    Job,
    JobStrategy,
    OutputProject,
    StageGroup,
    StorageCredential,
    UrlInputFile,
    Workflow,
    WorkflowConfiguration,
    WorkflowVersion,
)
from lando.api.settings import Settings

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """What a tag ``<workflow>/<version>/<configuration>`` names."""

    version: WorkflowVersion
    configuration: WorkflowConfiguration

    @property
    def user_fields(self) -> list[Mapping[str, Any]]:
        """The inputs that the user has to give."""
        return templates.user_fields(self.version.fields, self.configuration.system_job_order)


def visible(caller: Caller) -> ColumnElement[bool]:
    """Which workflows the caller may see: public ones and their own."""
    return or_(Workflow.owner_id.is_(None), Workflow.owner_id == caller.id)


def find(session: Session, caller: Caller, tag: str) -> Ordered:
    """What ``tag`` names; raises the 400."""
    parts = tag.split("/")
    if len(parts) != 3:
        raise detail(400, "A tag has three parts: <workflow>/<version>/<configuration>.")
    workflow = session.scalars(select(Workflow).where(Workflow.tag == parts[0], visible(caller))).first()
    if workflow is None:
        raise invalid("tag", f"There is no workflow {parts[0]!r}.")
    version = session.scalars(
        select(WorkflowVersion).where(WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.version == parts[1])
    ).first()
    if version is None:
        raise invalid("tag", f"The workflow {parts[0]!r} has no version {parts[1]!r}.")
    configuration = session.scalars(
        select(WorkflowConfiguration).where(
            WorkflowConfiguration.workflow_id == workflow.id, WorkflowConfiguration.tag == parts[2]
        )
    ).first()
    if configuration is None:
        raise invalid("tag", f"The workflow {parts[0]!r} has no configuration {parts[2]!r}.")
    return Ordered(version=version, configuration=configuration)


def check(
    ordered: Ordered, settings: Settings, name: str | None, fund_code: str | None, job_order: dict[str, Any] | None
) -> None:
    """Raise the 400 with everything that is wrong with a filled-in template."""
    found = templates.findings(name, fund_code, job_order, ordered.user_fields, check_types=settings.check_types)
    if not settings.allow_system_overrides:
        fixed = set(ordered.configuration.system_job_order) - set(ordered.configuration.overridable)
        for key in sorted(fixed & set(job_order or {})):
            found[f"job_order.{key}"] = ["The site fixes this value; leave it out."]
    if found:
        raise invalid_fields(found)


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A filled-in template with its inputs."""

    name: str
    fund_code: str
    job_order: dict[str, Any]
    stage_group: int
    job_strategy: int | None


def create(session: Session, caller: Caller, settings: Settings, ordered: Ordered, new: NewJob) -> Job:
    """The job and its output project; raises the 400 that names the field, and then nothing is made."""
    group = usable_stage_group(session, caller, new.stage_group)
    strategy = chosen_strategy(session, new.job_strategy) or ordered.configuration.default_job_strategy
    credential = session.scalars(select(StorageCredential).order_by(StorageCredential.id).limit(1)).first()
    if credential is None:
        raise detail(400, "The site has no storage credential for output projects; ask its staff.")
    state = "N" if settings.require_job_tokens else "A"
    job = Job(
        user_id=caller.id,
        workflow_version_id=ordered.version.id,
        name=new.name,
        fund_code=new.fund_code,
        state=state,
        authorized=state == "A",
        job_order=json.dumps({**ordered.configuration.system_job_order, **new.job_order}, ensure_ascii=False),
        job_settings_id=strategy.job_settings_id,
        job_flavor_id=strategy.job_flavor_id,
        share_group_id=ordered.configuration.share_group_id,
        stage_group_id=group.id,
        vm_volume_mounts=strategy.volume_mounts,
        volume_size=volume_size(strategy.volume_size_base, strategy.volume_size_factor, input_bytes(session, group.id)),
    )
    session.add(job)
    session.flush()
    session.add(OutputProject(job_id=job.id, dds_user_credentials_id=credential.id))
    jobs.note_activity(session, job)
    return job


def usable_stage_group(session: Session, caller: Caller, group_id: int) -> StageGroup:
    """The caller's stage group that no job has used yet, held until the end of the transaction; raises the 400."""
    group = session.get(StageGroup, group_id, with_for_update=True)
    if group is None or group.user_id != caller.id:
        raise invalid("stage_group", f'Invalid id "{group_id}": you have no such stage group.')
    if session.scalars(select(Job.id).where(Job.stage_group_id == group.id)).first() is not None:
        raise invalid("stage_group", "Another job uses this stage group; each job needs its own.")
    return group


def chosen_strategy(session: Session, strategy_id: int | None) -> JobStrategy | None:
    """The strategy that the user chose, None for none; raises the 400."""
    if strategy_id is None:
        return None
    strategy = session.get(JobStrategy, strategy_id)
    if strategy is None:
        raise invalid("job_strategy", f'Invalid id "{strategy_id}": there is no such strategy.')
    return strategy


def input_bytes(session: Session, group_id: int) -> int:
    """Bytes of all inputs of a stage group."""
    dds = select(func.sum(DdsInputFile.size)).where(DdsInputFile.stage_group_id == group_id)
    url = select(func.sum(UrlInputFile.size)).where(UrlInputFile.stage_group_id == group_id)
    return sum(int(session.execute(query).scalar() or 0) for query in (dds, url))


def volume_size(base: int, factor: int, total_bytes: int) -> int:
    """GiB of the output volume; exact whatever the sizes."""
    return base + -(-factor * total_bytes // GIB)
