"""Prepare a submission (nothing leaves this machine), then send it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lando import cwl
from lando.errors import InputError
from lando.steps import engines
from lando.submission import files, joborder, workflow
from lando.units import decimal_size

if TYPE_CHECKING:
    from lando.client import LandoClient

UPLOADS_AT_A_TIME = 4
"""Enough to hide the waiting between small files; more would only share the line among large ones."""

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


def send(
    client: LandoClient, submission: Submission, *, priority: int = 0, progress: Progress = lambda line: None
) -> int:
    """Upload workflow and inputs, make the job and start it; returns the job's id.

    ``priority`` is its place among the jobs that wait for their turn, if the site lets them.

    Nothing is started before everything is there, and an upload that fails for good ends the others.
    """
    tag = client.add_workflow(submission.workflow.name, submission.workflow.document)
    group = client.create_stage_group()
    local = submission.inputs.local
    urls = _upload(client, local, progress)
    for number, file in enumerate(local):
        client.add_input_file(group, urls[file.source], file.destination, size=file.size, sequence=number)
    for number, remote in enumerate(submission.inputs.remote, start=len(local)):
        client.add_input_file(group, remote.url, remote.destination, sequence=number)
    job_order = submission.inputs.job_order
    run_id = client.create_job(tag=tag, name=submission.name, job_order=job_order, stage_group=group)
    if priority:
        client.set_priority(run_id, priority)
    client.start(run_id)
    return run_id


def _upload(client: LandoClient, local: Sequence[files.LocalFile], progress: Progress) -> dict[Path, str]:
    """Send each file once, a few at a time; returns where each lies then."""
    sources = list({file.source: file.size for file in local}.items())
    urls: dict[Path, str] = {}
    with ThreadPoolExecutor(max_workers=UPLOADS_AT_A_TIME) as pool:
        uploads = {pool.submit(client.upload, source): (source, size) for source, size in sources}
        try:
            for upload in as_completed(uploads):
                source, size = uploads[upload]
                urls[source] = upload.result().url
                progress(f"uploaded {source.name}, {decimal_size(size)} ({len(urls)} of {len(sources)})")
        except BaseException:  # Ctrl-C too: what is under way would otherwise be waited for
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
            raise
    return urls
