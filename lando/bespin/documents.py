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

from dataclasses_json import DataClassJsonMixin, Undefined, dataclass_json

from lando.errors import Rejected

T = TypeVar("T", bound=DataClassJsonMixin)


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class WorkflowVersion(DataClassJsonMixin):
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


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class User(DataClassJsonMixin):
    """Whom a job runs for."""

    username: str


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class Flavor(DataClassJsonMixin):
    """What a container may take."""

    cpus: int
    memory: str
    """A Kubernetes quantity."""


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class RuntimeStep(DataClassJsonMixin):
    """Image and command of one step type."""

    step_type: str
    image_name: str
    flavor: Flavor
    base_command: list[str] = field(default_factory=list)


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class Runtime(DataClassJsonMixin):
    """The step types that a site can run; a later one of the same type wins."""

    steps: list[RuntimeStep] = field(default_factory=list)


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class JobSettings(DataClassJsonMixin):
    """Where a job runs."""

    job_runtime_k8s: Runtime | None = None


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class OutputProject(DataClassJsonMixin):
    """Where the results of a job are."""

    id: int
    project_id: str | None = ""
    readme_file_id: str | None = ""


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class BespinJob(DataClassJsonMixin):
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

    @property
    def runtime_steps(self) -> dict[str, RuntimeStep]:
        """The runtime's steps by step type."""
        runtime = self.job_settings.job_runtime_k8s if self.job_settings else None
        return {step.step_type: step for step in runtime.steps} if runtime else {}

    @property
    def changed(self) -> datetime | None:
        """When the job last changed, if the API said so in a way that can be read."""
        try:
            changed = datetime.fromisoformat(self.last_updated or "")
        except ValueError:
            return None
        return changed if changed.tzinfo else changed.replace(tzinfo=UTC)


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class DdsFile(DataClassJsonMixin):
    """An input file of the data service."""

    file_id: str
    destination_path: str
    size: int = 0
    """Bytes."""


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class UrlFile(DataClassJsonMixin):
    """An input file behind a URL."""

    url: str
    destination_path: str
    size: int = 0
    """Bytes; 0 when unknown."""


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class StageGroup(DataClassJsonMixin):
    """A3, the input files of a job."""

    dds_files: list[DdsFile] = field(default_factory=list)
    url_files: list[UrlFile] = field(default_factory=list)


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class MethodsDocument(DataClassJsonMixin):
    """A4, the methods text of a workflow version."""

    content: str | None = None


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class ShareUser(DataClassJsonMixin):
    """One person results are shared with."""

    dds_id: str


@dataclass_json(undefined=Undefined.EXCLUDE)
@dataclass(frozen=True, kw_only=True)
class ShareGroup(DataClassJsonMixin):
    """A5, whom to share the results with."""

    users: list[ShareUser] = field(default_factory=list)


def read(kind: type[T], document: Any) -> T:
    """``document`` as a ``kind``; :class:`lando.errors.Rejected` names what is missing or of the wrong type."""
    wrong = _misfit(kind, document, "")
    if wrong is not None:
        raise Rejected("Bespin API", f"answered a {kind.__name__} that can't be read: {wrong}")
    return kind.from_dict(dict(document))


def _misfit(hint: Any, value: Any, path: str) -> str | None:
    """What of ``value`` does not fit the type ``hint``, by its path; dataclasses-json itself checks no types."""
    here = path or "it"
    if get_origin(hint) is UnionType:
        return None if value is None else _misfit(get_args(hint)[0], value, path)
    if get_origin(hint) is list:
        if not isinstance(value, list):
            return f"{here} is no array"
        found = (_misfit(get_args(hint)[0], item, f"{path}[{number}]") for number, item in enumerate(value))
        return next((wrong for wrong in found if wrong), None)
    if not is_dataclass(hint):
        fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
        return None if fits else f"{here} is no {hint.__name__}"
    if not isinstance(value, Mapping):
        return f"{here} is no object"
    cls: Any = hint  # is_dataclass has narrowed it to more than a class
    hints = _hints(cls)
    for spec in fields(cls):
        inner = f"{path}.{spec.name}".lstrip(".")
        if spec.name not in value:
            if spec.default is MISSING and spec.default_factory is MISSING:
                return f"{inner} is missing"
            continue
        if wrong := _misfit(hints[spec.name], value[spec.name], inner):
            return wrong
    return None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
