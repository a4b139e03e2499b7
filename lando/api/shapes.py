"""The JSON documents that routes answer, each with its keys and their types: what the OpenAPI document shows, what
FastAPI lets out, and what mypy holds :mod:`lando.api.documents` and its like to.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12


class Detail(TypedDict):
    """What is wrong, in a sentence."""

    detail: str


# --- people and sign-ins ---------------------------------------------------------------------------------------------


class User(TypedDict):
    """Somebody who signs in."""

    id: int
    username: str
    first_name: str
    last_name: str
    email: str


class SignInToken(TypedDict):
    """An API token, or a JSON web token."""

    token: str


class OwnToken(TypedDict):
    """The caller's API token."""

    id: str
    created: str


# --- what can be run -------------------------------------------------------------------------------------------------


class Flavor(TypedDict):
    """An amount of CPU and memory."""

    id: int
    name: str
    cpus: int
    memory: str


class Workflow(TypedDict):
    """A workflow and the ids of its versions."""

    id: int
    name: str
    versions: list[int]
    tag: str
    state: str


class OwnedWorkflow(TypedDict):
    """A workflow as staff write it; ``owner`` is null for a public one."""

    id: int
    name: str
    tag: str
    state: str
    owner: int | None


class Version(TypedDict):
    """A version of a workflow."""

    id: int
    workflow: int
    name: str
    description: str
    type: str
    workflow_path: str
    created: str
    url: str
    version: str
    version_info_url: str | None
    methods_document: int | None
    fields: list[dict[str, Any]]
    tag: str
    enable_ui: bool
    tool_details: int | None


class AdminVersion(TypedDict):
    """A version as staff write it."""

    id: int
    workflow: int
    description: str
    type: str
    workflow_path: str
    created: str
    version: str
    version_info_url: str | None
    url: str
    fields: list[dict[str, Any]]
    enable_ui: bool
    tool_details: int | None


class Configuration(TypedDict):
    """What the site fixes for the jobs of a workflow."""

    id: int
    tag: str
    system_job_order: dict[str, Any]
    workflow: int
    default_job_strategy: int
    share_group: int


class Strategy(TypedDict):
    """Settings, flavor and volume that jobs get."""

    id: int
    job_flavor: Flavor
    name: str
    volume_size_base: int
    volume_size_factor: int
    volume_mounts: str
    job_settings: int


class ShareGroup(TypedDict):
    """Whom results are shared with, by id."""

    id: int
    name: str
    email: str
    users: list[int]


class StorageUser(TypedDict):
    """A person as the data store knows them."""

    id: int
    name: str
    dds_id: str


class AdminShareGroup(TypedDict):
    """Whom results are shared with, as the store knows them."""

    id: int
    users: list[StorageUser]
    name: str
    email: str


class MethodsDocument(TypedDict):
    """The methods text of a version."""

    id: int
    workflow_version: int
    content: str


class Credential(TypedDict):
    """A service credential, without its secrets."""

    id: int
    user: int
    endpoint: int
    dds_id: str


class Endpoint(TypedDict):
    """A data service."""

    id: int
    name: str
    api_root: str


class AdminCredential(TypedDict):
    """A service credential with its endpoint, without its secrets."""

    id: int
    user: int
    endpoint: Endpoint
    dds_id: str


class Connection(TypedDict):
    """How a lando daemon is reached; ``broker`` is where, without its secrets."""

    id: int
    cluster_type: str
    host: str
    username: str
    queue_name: str
    message_format: str
    broker: str


class RuntimeStep(TypedDict):
    """What one step of a runtime consists of."""

    id: int
    flavor: Flavor
    step_type: str
    image_name: str
    base_command: list[str]


class Runtime(TypedDict):
    """The steps of a cluster's jobs."""

    id: int
    steps: list[RuntimeStep]


class NamedRuntime(Runtime):
    """The same as staff write it."""

    name: str


class Settings(TypedDict):
    """A runtime and the daemon that serves it."""

    id: int
    job_runtime_openstack: None
    job_runtime_k8s: Runtime | None
    name: str
    lando_connection: int


class PlainSettings(TypedDict):
    """The same, all by id."""

    id: int
    name: str
    lando_connection: int
    job_runtime_openstack: None
    job_runtime_k8s: int | None


class Registered(TypedDict):
    """A version that was registered; jobs are ordered by its ``tag``. ``checked`` tells whether cwltool has read it."""

    tag: str
    workflow: int
    workflow_version: int
    workflow_configuration: int
    type: str
    workflow_path: str
    url: str
    fields: list[dict[str, Any]]
    checked: bool


# --- inputs and jobs -------------------------------------------------------------------------------------------------


class UploadedFile(TypedDict):
    """A file that the server keeps; inputs name it by its ``url``."""

    id: str
    url: str
    size: int
    sha256: str


class DdsFile(TypedDict):
    """An input in the data store."""

    id: int
    project_id: str
    file_id: str
    destination_path: str
    size: int
    sequence_group: int | None
    sequence: int | None
    stage_group: int
    dds_user_credentials: int


class UrlFile(TypedDict):
    """An input at a URL."""

    id: int
    url: str
    destination_path: str
    size: int
    sequence_group: int | None
    sequence: int | None
    stage_group: int


class StageGroup(TypedDict):
    """The inputs of a job."""

    id: int
    user: int
    dds_files: list[DdsFile]
    url_files: list[UrlFile]


class JobForm(TypedDict):
    """A form to fill in, or filled in."""

    tag: str
    name: str
    fund_code: str
    job_order: dict[str, Any]


class JobOrdered(JobForm):
    """A filled-in form and the job that came of it."""

    stage_group: int
    job_strategy: int | None
    job: int


class OutputProject(TypedDict):
    """Where results are."""

    id: int
    job: int
    project_id: str
    dds_user_credentials: int


class RecordedProject(OutputProject):
    """The same with the readme's id."""

    readme_file_id: str


class JobError(TypedDict):
    """Why a job failed."""

    id: int
    content: str
    job_step: str
    created: str
    job: int


class JobActivity(TypedDict):
    """One change of a job's state or step."""

    id: int
    created: str
    state: str
    step: str
    job: int


class JobToken(TypedDict):
    """A job token and the job that used it."""

    id: int
    token: str
    job: int | None


class Usage(TypedDict):
    """Hours of machine and CPU."""

    vm_hours: float
    cpu_hours: float


class Job(TypedDict):
    """A job as its owner sees it."""

    id: int
    workflow_version: int | None
    user: int
    name: str
    created: str
    state: str
    step: str
    last_updated: str
    job_settings: int
    vm_instance_name: str
    vm_volume_name: str
    job_order: str
    output_project: OutputProject | None
    job_errors: list[JobError]
    stage_group: int | None
    volume_size: int
    fund_code: str
    share_group: int
    run_token: str | None
    usage: Usage | None


class JobAfterAction(Job):
    """The same with both names of its settings."""

    vm_settings: int


class Permitted(TypedDict):
    """A job that may run, and the job token that permits it."""

    token: str | None
    job: JobAfterAction


class AdminJob(TypedDict):
    """A job as the daemon reads it."""

    id: int
    workflow_version: Version | None
    user: User
    name: str
    created: str
    state: str
    step: str
    last_updated: str
    job_settings: Settings
    job_flavor: Flavor
    vm_instance_name: str
    vm_volume_name: str
    vm_volume_mounts: str
    job_order: str
    output_project: RecordedProject | None
    stage_group: int | None
    volume_size: int
    share_group: int
    cleanup_vm: bool
    fund_code: str
    generation: int
    held: bool


# --- runs ------------------------------------------------------------------------------------------------------------


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


# --- upkeep ----------------------------------------------------------------------------------------------------------


class DeadLetter(TypedDict):
    """A message that a daemon put aside."""

    id: str
    time: str | None
    run: int | None
    command: str | None
    reason: str
    failures: int
    tried_again: int
    size: int


class WholeDeadLetter(DeadLetter):
    """The same with its message, its history, and the beginning of its body."""

    first_reason: str | None
    history: list[dict[str, Any]]
    content_type: str | None
    message_id: str | None
    form: str | None
    message: dict[str, Any] | None
    body_base64: str
    body_is_cut: bool
    connection: int
    queue: str


class DeadLetterQueue(TypedDict):
    """The letters of one queue; with ``trouble``, a sentence, where its broker can't be asked."""

    connection: int
    queue: str
    trouble: str | None
    count: int | None
    looked_at: int
    letters: list[DeadLetter]


class DeadLetters(TypedDict):
    """The letters of all queues."""

    queues: list[DeadLetterQueue]


class Settled(TypedDict):
    """The ids of the letters that something was done with, and of those that were not there."""

    done: list[str]
    missing: list[str]


class Finding(TypedDict):
    """What does not fit between a run and its objects."""

    run: int | None
    state: str | None
    trouble: str
    wrong: str
    remedy: str
    mended_by_a_look: bool


class Findings(TypedDict):
    """What does not fit between runs and objects."""

    findings: list[Finding]


class Prunable(TypedDict):
    """What an ended run holds longer than it needs to."""

    run: int
    state: str | None
    ended: str | None
    where: str
    what: str
    bytes: int | None


class AllPrunable(TypedDict):
    """What ended runs hold longer than they need to."""

    prunable: list[Prunable]
