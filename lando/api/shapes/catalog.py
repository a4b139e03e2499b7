"""What can be run, and what with: workflows, their settings, clusters and data services."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


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
