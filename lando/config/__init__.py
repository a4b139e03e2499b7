"""The daemons' configuration: one YAML file for ``lando`` and ``watcher`` (contract: Duke's lando 0.11.3, plus ours).

What may stand in it: :mod:`lando.config.settings`. How it is read and judged: :mod:`lando.config.reading`.
"""

from __future__ import annotations

from lando.config.reading import Finding, Reading, load, log_as_told, read
from lando.config.settings import (
    STEP_TYPES,
    ArchiveSettings,
    BespinApiSettings,
    ClusterSettings,
    Config,
    DataStoreSettings,
    LandoApiSettings,
    PodSettings,
    RecordOutputProjectSettings,
    RetentionSettings,
    RunWorkflowSettings,
    StagingSettings,
    StepSettings,
    SystemDataVolume,
    TlsSettings,
    WorkQueueSettings,
    secret_values,
)

__all__ = [
    "STEP_TYPES",
    "ArchiveSettings",
    "BespinApiSettings",
    "ClusterSettings",
    "Config",
    "DataStoreSettings",
    "Finding",
    "LandoApiSettings",
    "PodSettings",
    "Reading",
    "RecordOutputProjectSettings",
    "RetentionSettings",
    "RunWorkflowSettings",
    "StagingSettings",
    "StepSettings",
    "SystemDataVolume",
    "TlsSettings",
    "WorkQueueSettings",
    "load",
    "log_as_told",
    "read",
    "secret_values",
]
