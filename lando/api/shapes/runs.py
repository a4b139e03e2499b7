"""Runs of every kind, as their owners, the daemons and staff see them."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from lando.api.shapes import Detail


class RunStep(TypedDict):
    """How one step of a run went; of a phased run, with its phase and entry, and why it failed."""

    name: str
    label: str
    state: str
    started: str | None
    ended: str | None
    attempt: int | None
    phase: str | None
    entry: str | None
    sentence: str | None


class RunCause(TypedDict):
    """Why a run failed."""

    step: str | None
    category: str | None
    sentence: str
    text: str
    created: str


class RunCondition(TypedDict):
    """What a run waits for."""

    step: str | None
    sentence: str
    since: str | None


class RunEvent(TypedDict):
    """One change of a run, or one attempt that Lando made by itself."""

    state: str
    step: str
    created: str
    attempt: int | None
    job: str | None
    uid: str | None
    category: str | None
    sentence: str | None


class VolumeUse(TypedDict):
    """How full a run's output volume was; both in bytes."""

    used: int
    size: int


class RunAttempt(TypedDict):
    """One Job that a step of a run was given to."""

    step: str
    attempt: int
    state: str
    job: str
    uid: str
    began: str
    ended: str | None
    category: str | None
    sentence: str | None
    exit_code: int | None
    volume: VolumeUse | None


class RunBrief(TypedDict):
    """What a list of runs says of each; of a phased run's steps a list has those that are at work or failed.
    ``progress`` counts all steps by their state."""

    id: int
    kind: str
    name: str
    owner: str
    workflow: str | None
    state: str
    step: str | None
    created: str
    ended: str | None
    last_updated: str
    steps: list[RunStep]
    progress: dict[str, int]
    cause: RunCause | None
    condition: RunCondition | None
    warnings: list[str]
    priority: int


class Run(RunBrief):
    """Everything there is to say of one run."""

    version: int
    activities: list[RunEvent]
    attempts: list[RunAttempt]
    errors: list[RunCause]
    volume: VolumeUse | None
    outputs: str | None
    readme: str | None


class ModelFinding(TypedDict):
    """One thing that is wrong with a model, or (a warning) should be known about it."""

    reason: str
    is_error: bool
    file: str
    line: int | None
    phase: str
    entry: str


class BundleRefused(Detail):
    """All that is wrong with a model and its files."""

    findings: list[ModelFinding]


class DaemonRun(TypedDict):
    """A run of a kind besides cwl, as the daemons list it; ``steps`` are states by name, in the plan's order."""

    id: int
    kind: str
    state: str
    generation: int
    held: bool
    last_updated: str
    lando_connection: int
    steps: dict[str, str]


class WholeDaemonRun(DaemonRun):
    """The same with what one run's plan needs besides its document, which never changes."""

    owner: str
    name: str
    created: str
    document_digest: str


class RunDocument(TypedDict):
    """What a phased run was handed in as: the path of its model, and every file by its path; and whether its pods are
    to be held to what can't reach beyond them."""

    model: str
    files: dict[str, str]
    restricted: bool


class DaemonRunError(TypedDict):
    """Why a step of a run failed, or the run as a whole."""

    id: int
    step: str | None
    category: str | None
    content: str


class Notice(TypedDict):
    """Something that was to be told of a job's new state."""

    id: int
    notice_id: str
    run: int
    run_state: str
    channel: str
    email_message: int | None
    state: str
    attempts: int
    due: str | None
    last_error: str
    created: str | None
    settled: str | None


class RunPriority(TypedDict):
    """Whose turn comes first: the highest number's."""

    id: int
    priority: int


class ConditionWritten(TypedDict):
    """What a run is now said to wait for, and its warnings."""

    condition: RunCondition | None
    warnings: list[str]


class AttemptsWritten(TypedDict):
    """Every attempt of a run that was told of."""

    attempts: list[RunAttempt]


class Evidence(TypedDict):
    """What the sentences about a run's failures and waits were read from; ``kept`` is false without an archive."""

    kept: bool
    evidence: list[dict[str, Any]]


class OutputFile(TypedDict):
    """One file of a run's results; ``size`` in bytes."""

    path: str
    size: int


class Outputs(TypedDict):
    """The results of a run; ``complete`` is false where there are more files."""

    url: str | None
    files: list[OutputFile]
    complete: bool
