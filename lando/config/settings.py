"""The settings as dataclasses: the one place that says which keys the configuration file knows.

A field without a default is required; the text under a field gives its meaning, unit and why the default is what
it is; its ``metadata`` says what a value must hold besides its type. docs/configuration.md is made from this
module (:mod:`lando.config.reference`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

STEP_TYPES = ("stage_data", "run_workflow", "organize_output", "save_output", "record_output_project")
"""The step types of a cwl run (contract: Bespin's runtimes), in their order."""

SECRET: Mapping[str, Any] = {"secret": True}
"""Metadata of a field that may also be given as ``<key>_file`` or ``LANDO_<SECTION>_<KEY>``, and is never shown."""


def one_of(*choices: str) -> Mapping[str, Any]:
    """Metadata of a field that holds one of ``choices``."""
    return {"choices": choices}


def at_least(minimum: float, maximum: float | None = None) -> Mapping[str, Any]:
    """Metadata of a number from ``minimum`` to ``maximum``, both included."""
    return {"minimum": minimum, "maximum": maximum}


def begins_with(*schemes: str) -> Mapping[str, Any]:
    """Metadata of a URL of one of ``schemes``."""
    return {"schemes": schemes}


def ends_in(suffix: str) -> Mapping[str, Any]:
    """Metadata of an http(s) URL whose path ends in ``suffix``."""
    return {"url_suffix": suffix}


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """TLS towards the broker; verified always."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class WorkQueueSettings:
    """Where commands come from; either ``url`` or host and login."""

    listen_queue: str
    host: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False, metadata=SECRET)
    worker_username: str | None = None
    """Only the VM variant of the original used it; accepted and ignored."""
    worker_password: str | None = field(default=None, repr=False, metadata=SECRET)
    port: int | None = field(default=None, metadata=at_least(1, 65535))
    """5672, or 5671 with TLS, when not given."""
    virtual_host: str = "/"
    hosts: list[str] = field(default_factory=list)
    """Several brokers of one cluster, tried in turn; ``host:port`` is allowed."""
    url: str | None = field(default=None, repr=False, metadata={**SECRET, **begins_with("amqp", "amqps", "memory")})
    """``amqp://…``, ``amqps://…`` or ``memory://NAME``; instead of the keys above."""
    tls: TlsSettings | None = None
    message_format: str = field(default="json", metadata=one_of("json", "pickle"))
    """What the watcher writes: ``json``, or ``pickle`` where Duke's lando still reads."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """The Kubernetes API: host and token, or a kubeconfig, or the pod's own account."""

    namespace: str
    """All objects of all runs live in this one namespace."""
    host: str | None = field(default=None, metadata=begins_with("https", "http"))
    """Base URL of the cluster's API."""
    token: str | None = field(default=None, repr=False, metadata=SECRET)
    """Bearer token of Lando's service account."""
    verify_ssl: bool = True
    """Check the cluster's certificate; off lets anyone on the way read the token, so that a warning says so."""
    ssl_ca_cert: str | None = None
    """Path of the CA certificate (PEM) when it is none of the system's."""
    kubeconfig: str | None = None
    """Path of a kubeconfig file; its current context is used."""
    in_cluster: bool = False
    """Use the service account of the pod that the daemon runs in."""


@dataclass(frozen=True, kw_only=True)
class BespinApiSettings:
    """The admin REST API of Bespin, ours or a real bespin-api."""

    url: str = field(metadata=ends_in("/api/v2"))
    """Ends in ``/api/v2``."""
    token: str = field(repr=False, metadata=SECRET)


@dataclass(frozen=True, kw_only=True)
class LandoApiSettings:
    """Our own API, for runs beyond cwl and for what a run waits for; ``url`` ends in ``/api/lando/v1``."""

    url: str = field(metadata=ends_in("/api/lando/v1"))
    token: str = field(repr=False, metadata=SECRET)


@dataclass(frozen=True, kw_only=True)
class DataStoreSettings:
    """Where save_output puts results."""

    secret_name: str | None = None
    """Existing Secret with the credential under the key ``config``; mounted only by the steps that need it."""
    url: str | None = None
    """``file:///…``, ``gs://…``, ``s3://…`` or ``dds:``; None leaves it to the step's image, as the original did."""


@dataclass(frozen=True, kw_only=True)
class SystemDataVolume:
    """An existing claim with reference data, mounted read-only by the run step."""

    volume_claim_name: str
    mount_path: str


@dataclass(frozen=True, kw_only=True)
class RunWorkflowSettings:
    """Settings of the run step."""

    system_data_volume: SystemDataVolume | None = None


@dataclass(frozen=True, kw_only=True)
class RecordOutputProjectSettings:
    """Settings of the record step, which only runtimes of the original define."""

    service_account_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class StagingSettings:
    """What stage_data may fetch."""

    schemes: list[str] = field(default_factory=lambda: ["http", "https", "gs", "s3", "dds"])
    file_roots: list[str] = field(default_factory=list)
    """Folders below which ``file:`` sources may lie; none by default."""
    allow_local_addresses: bool = False
    """Also fetch from loopback and link-local addresses; only embedded mode sets it."""
    max_bytes: int | None = field(default=None, metadata=at_least(1))
    """Largest single file, in bytes; None is no limit."""
    timeout_s: float = field(default=60.0, metadata=at_least(1))
    """Seconds of silence after which a download is tried again."""


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """Where logs and termination messages are kept before Jobs are deleted."""

    url: str | None = None
    """Any fsspec URL; None keeps none (with a warning at start)."""
    max_bytes_per_container: int = field(default=10 * 1024 * 1024, metadata=at_least(0))
    """Bytes of one container's log that are kept; the middle of a longer one is left out."""


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """An overlay on every step's pod."""

    security: str = field(default="restricted", metadata=one_of("restricted", "openshift", "legacy"))
    """``restricted`` (uid, gid and fsGroup 1000, no capabilities), ``openshift`` (the SCC assigns ids) or ``legacy``
    (as the image says, for images that need root)."""
    access_mode: str = field(
        default="ReadWriteMany", metadata=one_of("ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    )
    """Access mode of both volumes; ``ReadWriteOnce`` where all pods of a run land on one node."""
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    priority_class: str | None = None
    image_pull_secrets: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    """Variables for every step, e.g. a proxy's."""
    limits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """What one step type gets besides its runtime."""

    deadline_s: int | None = field(default=None, metadata=at_least(1))
    """activeDeadlineSeconds of its Job; None is none."""
    limits: dict[str, str] = field(default_factory=dict)
    image_pull_policy: str | None = field(default=None, metadata=one_of("Always", "IfNotPresent", "Never"))


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """Seconds that volumes and objects of ended runs are kept."""

    finished_s: int = field(default=0, metadata=at_least(0))
    failed_s: int = field(default=7 * 24 * 3600, metadata=at_least(0))
    """Long enough to look at a failure, or restart it, after a weekend."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole file."""

    work_queue: WorkQueueSettings
    cluster_api_settings: ClusterSettings
    bespin_api: BespinApiSettings
    data_store_settings: DataStoreSettings = field(default_factory=DataStoreSettings)
    run_workflow_settings: RunWorkflowSettings = field(default_factory=RunWorkflowSettings)
    record_output_project_settings: RecordOutputProjectSettings = field(default_factory=RecordOutputProjectSettings)
    storage_class_name: str | None = None
    base_stage_data_volume_size_in_g: int = field(default=1, metadata=at_least(0))
    """GiB added to the size of the inputs."""
    log_level: str | int = field(default="WARNING", metadata={"log_level": True})
    """A name (``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``, ``CRITICAL``) or a number of Python's logging."""
    lando_api: LandoApiSettings | None = None
    staging: StagingSettings = field(default_factory=StagingSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    pods: PodSettings = field(default_factory=PodSettings)
    steps: dict[str, StepSettings] = field(default_factory=dict, metadata={"keys": STEP_TYPES})
    """By step type: ``stage_data``, ``run_workflow``, ``organize_output``, ``save_output`` or
    ``record_output_project``."""
    infrastructure_retries: int = field(default=2, metadata=at_least(0))
    """New attempts of a step after node loss, eviction and the like."""
    patience_s: int = field(default=600, metadata=at_least(0))
    """How long a pod may wait (image, scheduling, volume, quota) before that is a failure, in seconds."""
    resync_s: int = field(default=300, metadata=at_least(1))
    """Seconds between two looks at every unfinished run, for messages that were lost."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    workers: int = field(default=4, metadata=at_least(1, 64))
    """Runs handled side by side by the lando daemon; prefetch is four times that."""
    metrics_port: int | None = field(default=None, metadata=at_least(1, 65535))
    """Port of ``/metrics`` and ``/healthz``, on all interfaces of the pod; None is off."""
    log_format: str = field(default="console", metadata=one_of("console", "json"))
    """``console`` or ``json``."""


def secret_values(settings: Any) -> Iterator[str]:
    """Every secret that ``settings`` (a dataclass of this module) and what it contains hold, for masking."""
    for spec in fields(settings):
        value = getattr(settings, spec.name)
        if spec.metadata.get("secret"):
            if value:
                yield value
        elif is_dataclass(value):
            yield from secret_values(value)
