"""Bespin's admin JSON as typed dataclasses (bespin-admin-api contract, 3 to 6).

Only what Lando reads is declared; other keys are ignored. Parts that may be null are optional here, so that a job with
a missing part can still be canceled; the plan says which part is missing when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from lando.errors import Rejected

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class WorkflowVersion:
    """The version of a workflow that a job runs."""

    url: str
    type: str
    """``packed`` (one document) or ``zipped`` (an archive)."""
    name: str
    """The workflow's name."""
    version: str
    workflow_path: str = ""
    """Packed: appended to the local path (``#main``); zipped: path inside the archive."""
    methods_document: int | None = None


@dataclass(frozen=True, kw_only=True)
class User:
    """Whom a job runs for."""

    username: str


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """What a container may take."""

    cpus: int
    memory: str
    """A Kubernetes quantity."""


@dataclass(frozen=True, kw_only=True)
class RuntimeStep:
    """Image and command of one step type."""

    step_type: str
    image_name: str
    flavor: Flavor
    base_command: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The step types that a site can run; a later one of the same type wins."""

    steps: list[RuntimeStep] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Where a job runs."""

    job_runtime_k8s: Runtime | None = None
    lando_connection: int | None = None
    """Number of the broker and queue that the job's commands go to."""


@dataclass(frozen=True, kw_only=True)
class OutputProject:
    """Where the results of a job are."""

    id: int
    project_id: str | None = ""
    readme_file_id: str | None = ""


@dataclass(frozen=True, kw_only=True)
class BespinJob:
    """A1, the admin job."""

    id: int
    user: User
    name: str
    created: str
    """UTC, ISO 8601 with ``Z``."""
    state: str
    step: str
    job_order: str
    volume_size: int
    """GiB of the output volume."""
    workflow_version: WorkflowVersion | None = None
    job_settings: JobSettings | None = None
    job_flavor: Flavor | None = None
    output_project: OutputProject | None = None
    stage_group: int | None = None
    share_group: int | None = None
    last_updated: str | None = None
    generation: int | None = None
    """Ours only: counted up at each start, restart and cancel."""
    held: bool = False
    """Ours only: its start or restart waits for its turn, and no command has been sent."""

    @property
    def runtime_steps(self) -> dict[str, RuntimeStep]:
        """The runtime's steps by step type."""
        runtime = self.job_settings.job_runtime_k8s if self.job_settings else None
        return {step.step_type: step for step in runtime.steps} if runtime else {}

    @property
    def changed(self) -> datetime | None:
        """When the job last changed, if the API said so in a way that can be read."""
        return moment(self.last_updated)


@dataclass(frozen=True, kw_only=True)
class DdsFile:
    """An input file of the data service."""

    file_id: str
    destination_path: str
    size: int = 0
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class UrlFile:
    """An input file behind a URL."""

    url: str
    destination_path: str
    size: int = 0
    """Bytes; 0 when unknown."""


@dataclass(frozen=True, kw_only=True)
class StageGroup:
    """A3, the input files of a job."""

    dds_files: list[DdsFile] = field(default_factory=list)
    url_files: list[UrlFile] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class MethodsDocument:
    """A4, the methods text of a workflow version."""

    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShareUser:
    """One person results are shared with."""

    dds_id: str


@dataclass(frozen=True, kw_only=True)
class ShareGroup:
    """A5, whom to share the results with."""

    users: list[ShareUser] = field(default_factory=list)


def read(kind: type[T], document: Any) -> T:
    """``document`` as a ``kind``; :class:`lando.errors.Rejected` names what is missing or of the wrong type.

    One pass checks and builds: a job is read twice in each transition, and may have ten thousand input files.
    """
    try:
        built: T = _built(kind, document, "")
    except _MisfitError as misfit:
        raise Rejected("Bespin API", f"answered a {kind.__name__} that can't be read: {misfit}") from None
    return built


class _MisfitError(Exception):
    """A part of a document is not as declared."""


def _built(hint: Any, value: Any, path: str) -> Any:
    """``value`` as the type ``hint``; ``path`` says where it stands."""
    if get_origin(hint) is UnionType:
        return None if value is None else _built(get_args(hint)[0], value, path)
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise _MisfitError(f"{path or 'it'} is no array")
        (inner,) = get_args(hint)
        return [_built(inner, item, f"{path}[{number}]") for number, item in enumerate(value)]
    if not is_dataclass(hint):
        if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
            raise _MisfitError(f"{path or 'it'} is no {hint.__name__}")
        return value
    if not isinstance(value, Mapping):
        raise _MisfitError(f"{path or 'it'} is no object")
    kind: Any = hint  # is_dataclass has narrowed it to more than a class
    given = {}
    for name, part, is_required in _parts(kind):
        inner_path = f"{path}.{name}" if path else name
        if name in value:
            given[name] = _built(part, value[name], inner_path)
        elif is_required:
            raise _MisfitError(f"{inner_path} is missing")
    return kind(**given)


@cache
def _parts(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Name and type of each field, and whether it must be given."""
    hints = get_type_hints(kind)
    return tuple(
        (spec.name, hints[spec.name], spec.default is MISSING and spec.default_factory is MISSING)
        for spec in fields(kind)
    )


def moment(text: object) -> datetime | None:
    """The point in time that a timestamp of the API names; None when it can't be read."""
    try:
        named = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return named if named.tzinfo else named.replace(tzinfo=UTC)
