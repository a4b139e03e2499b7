"""Prepare a submission (nothing leaves this machine), then send it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lando import cwl
from lando.errors import InputError
from lando.steps import engines
from lando.submission import files, joborder, workflow

if TYPE_CHECKING:
    from lando.client import LandoClient

Progress = Callable[[str], None]
"""Takes one line about what is being done."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A workflow and its inputs, checked and ready to go."""

    name: str
    """What the job will be called."""
    workflow: workflow.PackedWorkflow
    inputs: files.InputFiles


def prepare(workflow_path: Path, order_path: Path, *, name: str | None = None, runs_here: bool = False) -> Submission:
    """Pack, check and collect; with ``runs_here`` also check that this machine has what the workflow's tools need.

    Raises:
        InputError: naming every field of the job order at fault, or the file and line of the workflow.
    """
    packed = workflow.pack(workflow_path)
    order = joborder.load(order_path)
    faults = joborder.check(order, packed)
    if faults:
        raise InputError("\n".join(f"{order_path.name}: {fault}" for fault in faults), field=faults[0].field)
    if runs_here:
        _check_engine(packed)
    try:
        inputs = files.collect(order, packed, order_path.resolve().parent)
    except InputError as error:
        raise InputError(f"{order_path.name}: {error}", field=error.field) from error
    return Submission(name=name or packed.name, workflow=packed, inputs=inputs)


def _check_engine(packed: workflow.PackedWorkflow) -> None:
    """Refuse a workflow that requires containers where no engine is."""
    refusal = cwl.refusal_without_engine(cwl.check_container_requirements(packed.document))
    if refusal is not None and engines.find_engine() is None:
        raise InputError(f"{refusal} Install one of them, or make the requirement a hint.", field="workflow")


def send(client: LandoClient, submission: Submission, *, progress: Progress = lambda line: None) -> int:
    """Upload workflow and inputs, make the job and start it; returns the job's id."""
    tag = client.add_workflow(submission.workflow.name, submission.workflow.document)
    group = client.create_stage_group()
    local = submission.inputs.local
    urls: dict[Path, str] = {}
    for number, file in enumerate(local):
        if file.source not in urls:
            progress(f"uploading {file.source.name} ({number + 1} of {len(local)})")
            urls[file.source] = client.upload(file.source).url
        client.add_input_file(group, urls[file.source], file.destination, size=file.size, sequence=number)
    for number, remote in enumerate(submission.inputs.remote, start=len(local)):
        client.add_input_file(group, remote.url, remote.destination, sequence=number)
    job_order = submission.inputs.job_order
    run_id = client.create_job(tag=tag, name=submission.name, job_order=job_order, stage_group=group)
    client.start(run_id)
    return run_id
