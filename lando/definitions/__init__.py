"""Kubernetes Jobs from named, templated definitions: a library and a server (job-definitions contract).

The names of the submodules ``config``, ``exceptions``, ``file_reloader``, ``manager`` and ``spec`` are here, too. They
are imported when they are first asked for: with them comes the kubernetes client.

What is where, from a definition to what is left of its Job:

- definitions: ``definitions_file`` reads them, ``config`` keeps the last good version in force, by ``file_reloader``;
  ``checks`` says what is wrong with them and would be with their Jobs
- a manifest: ``spec`` has the template, which ``templating`` renders and fills
- a Job: ``manager`` makes, reads and deletes it, over a ``connection``, under what ``signing`` puts on it, once for
  each key of ``idempotency``; ``causes`` says why it failed, ``pod_logs`` what it said, ``gathering`` all of that at
  once; ``deleting`` removes it when its time has come
- over HTTP: ``router``, whose requests and answers are in ``http``; ``server`` alone, ``served`` as a part of
  Lando's own
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lando.definitions.config import JobDefinition, JobManagerFactory, ReloadingJobDefinitionsRegister
    from lando.definitions.exceptions import NotFoundException, remaps_exception
    from lando.definitions.file_reloader import FileReloader
    from lando.definitions.manager import (
        JobDefinitionsRegister,
        JobDeleter,
        JobManager,
        JobSigner,
        StaticJobDefinitionsRegister,
        is_kubernetes_not_found_exception,
    )
    from lando.definitions.spec import (
        ConfigMapSpecSource,
        JobGenerator,
        JobSpecSource,
        StaticSpecSource,
        YamlFileSpecSource,
        YamlStringSpecSource,
    )

__all__ = [
    "ConfigMapSpecSource",
    "FileReloader",
    "JobDefinition",
    "JobDefinitionsRegister",
    "JobDeleter",
    "JobGenerator",
    "JobManager",
    "JobManagerFactory",
    "JobSigner",
    "JobSpecSource",
    "NotFoundException",
    "ReloadingJobDefinitionsRegister",
    "StaticJobDefinitionsRegister",
    "StaticSpecSource",
    "YamlFileSpecSource",
    "YamlStringSpecSource",
    "is_kubernetes_not_found_exception",
    "remaps_exception",
]

_MODULES = ("config", "exceptions", "file_reloader", "manager", "spec")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in map(importlib.import_module, (f"{__name__}.{module}" for module in _MODULES)):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
