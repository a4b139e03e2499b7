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


PROXY: Mapping[str, Any] = {**SECRET, **begins_with("http", "https")}
"""Metadata of a proxy's URL, which may hold its login."""


def ends_in(suffix: str) -> Mapping[str, Any]:
    """Metadata of an http(s) URL whose path ends in ``suffix``."""
    return {"url_suffix": suffix}


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """TLS towards the broker, always verified; on when this block stands or the URL is ``amqps``."""

    ca_file: str | None = None
    """Path of the CA certificate (PEM) that signed the broker's; the system's CAs when not given."""
    cert_file: str | None = None
    """Path of a client certificate (PEM), where the broker wants one."""
    key_file: str | None = None
    """Path of its key."""


@dataclass(frozen=True, kw_only=True)
class WorkQueueSettings:
    """Where commands come from; either ``url`` or host and login."""

    listen_queue: str
    """Name of the queue of commands; the original calls it ``lando``."""
    host: str | None = None
    """Name or address of the broker."""
    username: str | None = None
    """Login at the broker."""
    password: str | None = field(default=None, repr=False, metadata=SECRET)
    """Its password."""
    worker_username: str | None = None
    """Only the VM variant of the original used it; accepted and ignored."""
    worker_password: str | None = field(default=None, repr=False, metadata=SECRET)
    """Accepted and ignored, as ``worker_username``."""
    port: int | None = field(default=None, metadata=at_least(1, 65535))
    """5672, or 5671 with TLS, when not given."""
    virtual_host: str = "/"
    """Virtual host of the broker."""
    hosts: list[str] = field(default_factory=list)
    """Several brokers of one cluster, tried in turn; ``host:port`` is allowed."""
    url: str | None = field(default=None, repr=False, metadata={**SECRET, **begins_with("amqp", "amqps", "memory")})
    """``amqp://…``, ``amqps://…`` or ``memory://NAME``; instead of the keys above."""
    tls: TlsSettings | None = None
    heartbeat_s: int = field(default=3, metadata=at_least(1, 600))
    """Seconds. Either side gives the other up after two to three of these in silence: so soon after the active lando's
    machine or network died does a standby begin."""
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
    """Path of a kubeconfig file, instead of host and token."""
    context: str | None = None
    """Which of its contexts; the current one when not given."""
    in_cluster: bool = False
    """Use the service account of the pod that the daemon runs in."""
    proxy: str | None = field(default=None, repr=False, metadata=PROXY)
    """HTTP proxy on the way there, ``http://USER:PASSWORD@HOST:PORT``; when not given, the kubeconfig's, else that of
    ``HTTPS_PROXY``, unless ``NO_PROXY`` names the host."""


@dataclass(frozen=True, kw_only=True)
class BespinApiSettings:
    """The admin REST API of Bespin, ours or a real bespin-api."""

    url: str = field(metadata=ends_in("/api/v2"))
    """Its base; ends in ``/api/v2``."""
    token: str = field(repr=False, metadata=SECRET)
    """Token of a staff user."""
    ssl_ca_cert: str | None = None
    """Path of the CA certificate (PEM) when it is none of the usual ones."""
    proxy: str | None = field(default=None, repr=False, metadata=PROXY)
    """HTTP proxy on the way there; when not given, that of ``HTTPS_PROXY``, unless ``NO_PROXY`` names the host."""
    lando_connection: int | None = field(default=None, metadata=at_least(1))
    """Number of the lando connection (broker and queue) that this lando serves, by which the resync knows its own runs.
    Needed only where several landos share one API: without it, those are its runs that have the number of runs with
    objects in its namespace, and others are left to their messages."""


@dataclass(frozen=True, kw_only=True)
class LandoApiSettings:
    """Our own API, for runs beyond cwl and for telling what a run waits for."""

    url: str = field(metadata=ends_in("/api/lando/v1"))
    """Its base; ends in ``/api/lando/v1``."""
    token: str = field(repr=False, metadata=SECRET)
    """Token of a staff user."""
    ssl_ca_cert: str | None = None
    """As of ``bespin_api``."""
    proxy: str | None = field(default=None, repr=False, metadata=PROXY)
    """As of ``bespin_api``."""


@dataclass(frozen=True, kw_only=True)
class DataStoreSettings:
    """Where save_output puts results."""

    secret_name: str | None = None
    """Existing Secret with the credential under the key ``config``: a Google key (JSON), an AWS credentials file, or
    the YAML of the Duke Data Service; mounted only by the steps that need it. Pods with an account of their own need
    none."""
    url: str | None = None
    """``file:///…``, ``gs://…``, ``s3://…`` or ``dds:`` (the Duke Data Service); not given, it is left to the step's
    image, as in the original."""


@dataclass(frozen=True, kw_only=True)
class SystemDataVolume:
    """An existing claim with reference data, mounted read-only by the run step."""

    volume_claim_name: str
    """Name of the claim; it must exist."""
    mount_path: str
    """Where the run step sees it."""


@dataclass(frozen=True, kw_only=True)
class RunWorkflowSettings:
    """Settings of the run step."""

    system_data_volume: SystemDataVolume | None = None
    """Reference data."""


@dataclass(frozen=True, kw_only=True)
class RecordOutputProjectSettings:
    """Settings of the record step, which only runtimes of the original define."""

    service_account_name: str | None = None
    """Account of the record step's pod; the namespace's default account when not given."""


@dataclass(frozen=True, kw_only=True)
class StagingSettings:
    """What stage_data may fetch."""

    schemes: list[str] = field(default_factory=lambda: ["http", "https", "gs", "s3", "dds"])
    """URL schemes that may be fetched."""
    file_roots: list[str] = field(default_factory=list)
    """Folders below which ``file:`` sources may lie; none by default."""
    store_roots: list[str] = field(default_factory=list)
    """URLs below which sources in a store (``gs://``, ``s3://``) may lie, e.g. ``gs://bucket/shared``; none by default,
    because the pods' credential may also read what is not everybody's."""
    allow_local_addresses: bool = False
    """Also fetch from loopback and link-local addresses; only embedded mode sets it."""
    max_bytes: int | None = field(default=None, metadata=at_least(1))
    """Largest single file, in bytes; no limit when not given."""
    timeout_s: float = field(default=60.0, metadata=at_least(1))
    """Seconds of silence after which a download is tried again."""


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """Where logs and termination messages are kept before Jobs are deleted."""

    url: str | None = None
    """Any fsspec URL; nothing is kept when not given (a warning at start says so)."""
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
    """Labels that a node must have."""
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    """Taints that the pods bear, as in a pod's manifest."""
    priority_class: str | None = None
    """Name of a PriorityClass."""
    image_pull_secrets: list[str] = field(default_factory=list)
    """Names of Secrets to pull images with."""
    env: dict[str, str] = field(default_factory=dict)
    """Variables for every step, e.g. a proxy's."""
    limits: dict[str, str] = field(default_factory=dict)
    """Limits of every step's container, by resource; none by default, as in the original."""


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """What one step type gets besides its runtime."""

    deadline_s: int | None = field(default=None, metadata=at_least(1))
    """Seconds after which its Job is ended as failed (activeDeadlineSeconds); never when not given."""
    limits: dict[str, str] = field(default_factory=dict)
    """Limits of its container, by resource; win over those of ``pods``."""
    image_pull_policy: str | None = field(default=None, metadata=one_of("Always", "IfNotPresent", "Never"))
    """When its image is pulled; Kubernetes' own rule when not given."""


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """Seconds that volumes, objects and logs of ended runs are kept."""

    finished_s: int = field(default=0, metadata=at_least(0))
    """Of runs that finished: their results are saved, so nothing is kept."""
    failed_s: int = field(default=7 * 24 * 3600, metadata=at_least(0))
    """Of runs that failed: long enough to look at a failure, or restart it, after a weekend."""
    archive_s: int = field(default=365 * 24 * 3600, metadata=at_least(0))
    """How long `lando prune` leaves the archived logs and evidence of an ended run; nothing else removes them."""


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
    """Storage class of both volumes; the cluster's default when not given."""
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
    """Seconds between two comparisons of all runs with all objects, for messages that were lost."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    workers: int = field(default=4, metadata=at_least(1, 64))
    """Runs handled side by side by the lando daemon; prefetch is four times that."""
    metrics_port: int | None = field(default=None, metadata=at_least(1, 65535))
    """Port of ``/metrics``, ``/healthz`` and ``/readyz``; off when not given."""
    metrics_host: str = "0.0.0.0"  # noqa: S104
    """Address they are served on; all, because the kubelet and Prometheus reach a pod by its own."""
    log_format: str = field(default="console", metadata=one_of("console", "json"))
    """For people or for programs."""


def secret_values(settings: Any) -> Iterator[str]:
    """Every secret that ``settings`` (a dataclass of this module) and what it contains hold, for masking."""
    for spec in fields(settings):
        value = getattr(settings, spec.name)
        if spec.metadata.get("secret"):
            if value:
                yield value
        elif is_dataclass(value):
            yield from secret_values(value)
