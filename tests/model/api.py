"""The API of the model: what :mod:`lando.api.jobs`, the admin routes and the outbox do, over dictionaries.

The real one takes ten times as long; the daemons meet it in ``tests/crash_points``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lando.errors import Conflict, NotFound, Rejected
from lando.messages import Command, Message, codec
from lando.queues import Publisher
from lando.sources.http import Answer
from tests.model.clock import Clock

QUEUE = "lando"
STEP_TYPES = ("stage_data", "run_workflow", "organize_output", "save_output")
RECORD_STEP = "record_output_project"


class RefusedError(Exception):
    """The API says no to its user."""


@dataclass(kw_only=True)
class Job:
    """One job's row, and what belongs to it."""

    id: int
    owner: str
    has_record_step: bool
    created: datetime
    last_updated: datetime
    state: str = "A"
    step: str = ""
    generation: int = 0
    version: int = 1
    project: dict[str, str] = field(default_factory=lambda: {"project_id": "", "readme_file_id": ""})
    errors: list[dict[str, Any]] = field(default_factory=list)
    condition: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A row of the outbox."""

    job_id: int
    command: Command
    generation: int
    message_id: str


class ModelApi:
    """Jobs, their users' commands, the daemons' requests and the outbox."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.jobs: dict[int, Job] = {}
        self.outbox: list[Pending] = []
        self.held: list[Pending] = []
        """Starts and restarts that wait for their turn."""
        self.places: int | None = None
        """How many runs may be at work at a time."""
        self.never_begun: set[int] = set()
        """Runs that were canceled while their start was held."""
        self.on_change: Callable[[Job], None] = lambda job: None
        """Told of each change of a job's state or step."""
        self._commands = 0

    # -- users --------------------------------------------------------------------------------------------------------

    def order(self, owner: str, *, has_record_step: bool = False) -> Job:
        """A new job, authorized."""
        now = self._clock.now()
        job = Job(id=len(self.jobs) + 1, owner=owner, has_record_step=has_record_step, created=now, last_updated=now)
        self.jobs[job.id] = job
        return job

    def start(self, job: Job) -> None:
        self._command(job, "A", "S", Command.START)

    def restart(self, job: Job) -> None:
        self._command(job, "EC", "r", Command.RESTART)

    def cancel(self, job: Job) -> None:
        if job.state == "A":
            self._move(job, {"state": "C", "step": ""})
            return
        if self.is_held(job):
            self._drop_held(job)
            if job.state == "S":
                self.never_begun.add(job.id)
                self._move(job, {"state": "C", "step": ""})
                return
        self._command(job, "SRrcE", "c", Command.CANCEL)

    def remove(self, job: Job) -> None:
        """Hide a job that has ended."""
        if job.state not in "CEF":
            raise RefusedError(f"job {job.id} is in state {job.state}")
        self._move(job, {"state": "D"})

    def _command(self, job: Job, expected: str, state: str, command: Command) -> None:
        if job.state not in expected:
            raise RefusedError(f"job {job.id} is in state {job.state}")
        job.generation += 1
        self._commands += 1
        pending = Pending(
            job_id=job.id, command=command, generation=job.generation, message_id=f"command-{self._commands}"
        )
        (self.outbox if command is Command.CANCEL or self.places is None else self.held).append(pending)
        self._move(job, {"state": state})

    def _move(self, job: Job, changes: Mapping[str, str]) -> None:
        for key, value in changes.items():
            setattr(job, key, value)
        job.version += 1
        job.last_updated = self._clock.now()
        job.condition = None
        self.on_change(job)
        if job.state not in "Sr":
            self._drop_held(job)
        self.release()

    def _drop_held(self, job: Job) -> None:
        self.held = [pending for pending in self.held if pending.job_id != job.id]

    def is_held(self, job: Job) -> bool:
        """Whether the run waits for its turn."""
        return any(pending.job_id == job.id for pending in self.held)

    def release(self) -> None:
        """Let those begin for whom there is a place."""
        while self.held:
            at_work = [job for job in self.jobs.values() if job.state in "SRrc" and not self.is_held(job)]
            if self.places is not None and len(at_work) >= self.places:
                return
            self.outbox.append(self.held.pop(0))

    # -- the outbox ---------------------------------------------------------------------------------------------------

    def publish_next(self, publisher: Publisher) -> tuple[Pending, bytes]:
        """Publish the oldest command, which stays until :meth:`published`; the row and the message."""
        pending = self.outbox[0]
        message = Message(
            command=pending.command,
            run_id=pending.job_id,
            generation=pending.generation,
            id=pending.message_id,
            sent=self._clock.now(),
        )
        body = codec.encode(message, "json")
        publisher.publish(
            QUEUE, body, content_type=codec.content_type("json"), message_id=codec.message_id(message, "json")
        ).result(0)
        return pending, body

    def published(self, pending: Pending) -> None:
        """The broker has confirmed it."""
        self.outbox.remove(pending)

    # -- daemons ------------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        """As :meth:`lando.sources.http.JsonApi.request`, below ``admin/`` and below ``/api/lando/v1``."""
        resource, _, rest = path.partition("/")
        number, _, part = rest.strip("/").partition("/")
        match method, resource:
            case "GET", "jobs" if not number:
                asked = set(query or [])
                jobs = [job for job in self.jobs.values() if {("state", job.state), ("id", str(job.id))} & asked]
                return Answer(document=[_document(job, self.is_held(job)) for job in jobs])
            case "GET", "jobs":
                job = self._job(number)
                return _answer(job, self.is_held(job))
            case "PUT", "jobs":
                return self._write(self._job(number), body or {}, if_match)
            case "GET", "job-file-stage-groups":
                return Answer(document={"id": int(number), "dds_files": [], "url_files": []})
            case "GET", "share-groups":
                return Answer(document={"id": int(number), "users": []})
            case "GET", "job-errors":
                wanted = int(dict(query or [])["job"])
                job = self.jobs.get(wanted)
                return Answer(document=copy.deepcopy(job.errors) if job else [])
            case "POST", "job-errors":
                return self._record_error(body or {})
            case "PUT", "job-dds-output-projects":
                job = self._job(number)
                job.project = {key: str((body or {})[key]) for key in job.project}
                return Answer(document={"id": job.id, "job": job.id, **job.project})
            case "PUT", "runs" if part == "condition":
                job = self._job(number)
                if "sentence" in (body or {}):
                    job.condition = (body or {})["sentence"] or None
                return Answer(document={})
        return Answer(document={})

    def _job(self, number: str) -> Job:
        job = self.jobs.get(int(number))
        if job is None:
            raise NotFound("Bespin API", f"there is no job {number}", status=404)
        return job

    def _write(self, job: Job, body: Mapping[str, Any], if_match: str | None) -> Answer:
        if if_match is not None and if_match != f'"{job.version}"':
            raise Conflict("Bespin API", "the job has changed since it was read", status=412)
        changes = {key: body[key] for key in ("state", "step") if key in body and body[key] != getattr(job, key)}
        if changes:
            self._move(job, changes)
        return _answer(job, self.is_held(job))

    def _record_error(self, body: Mapping[str, Any]) -> Answer:
        if not str(body.get("content", "")).strip() or not body.get("job_step"):
            raise Rejected("Bespin API", "an error without content or step", status=400)
        job = self._job(str(body["job"]))
        for known in job.errors:
            if all(known[key] == body.get(key) for key in ("generation", "job_step", "content")):
                return Answer(document=dict(known))
        error = {
            "id": sum(len(other.errors) for other in self.jobs.values()) + 1,
            "job": job.id,
            "content": body["content"],
            "job_step": body["job_step"],
            "created": _stamp(self._clock.now()),
            "category": body.get("category"),
            "generation": body.get("generation", job.generation),
            "state": job.state,
        }
        job.errors.append(error)
        return Answer(document=dict(error))


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _answer(job: Job, is_held: bool) -> Answer:
    return Answer(document=_document(job, is_held), etag=f'"{job.version}"')


def _document(job: Job, is_held: bool) -> dict[str, Any]:
    return {
        "id": job.id,
        "workflow_version": {
            "id": 7,
            "name": "Exome analysis",
            "type": "packed",
            "workflow_path": "#main",
            "url": "https://files.example.org/flows/exome-packed.cwl",
            "version": "4.1.0",
            "methods_document": None,
        },
        "user": {"id": 11, "username": f"{job.owner}@example.org"},
        "name": f"batch {job.id}",
        "created": _stamp(job.created),
        "state": job.state,
        "step": job.step,
        "last_updated": _stamp(job.last_updated),
        "generation": job.generation,
        "held": is_held,
        "job_settings": {
            "id": 2,
            "job_runtime_k8s": {
                "id": 1,
                "steps": [
                    _runtime_step(step) for step in (*STEP_TYPES, *([RECORD_STEP] if job.has_record_step else []))
                ],
            },
        },
        "job_flavor": {"id": 4, "name": "m.large", "cpus": 8, "memory": "16Gi"},
        "job_order": '{"threads": 4}',
        "output_project": {"id": job.id, "job": job.id, **job.project},
        "stage_group": 20 + job.id,
        "volume_size": 107,
        "share_group": 6,
    }


def _runtime_step(step: str) -> dict[str, Any]:
    return {
        "id": 1,
        "flavor": {"id": 1, "name": "small", "cpus": 1, "memory": "1Gi"},
        "step_type": step,
        "image_name": "lando-steps:local",
        "base_command": ["python", "-m", f"lando.steps.{step}"],
    }
