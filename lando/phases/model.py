"""The model of a phased run as plain data: settings, phases, entries, and the Jobs that the entries stand for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lando.runs import OnFailure

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The section ``jobernetes_config`` (phases contract, 2), with its defaults."""

    cleanup: bool = False
    """Delete this model's Jobs after the last phase."""
    kubernetes_namespace: str = "default"
    ssl_insecure_warnings: bool = True
    """False only silences warnings about unverified TLS."""
    refresh_time: float = 5.0
    """Seconds between checks where the cluster can't be watched."""
    parallelization: int = 0
    """Most Jobs at once; 0: no limit."""
    incluster: bool | None = None
    """True: the pod's own account; False: the kubeconfig; None: whichever there is."""
    on_failure: OnFailure = OnFailure.STOP
    resources: tuple[str, ...] = ()
    """Files, or folders of files, of ConfigMaps, Secrets and claims that are applied first."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """One Job of an entry, as its file has it."""

    path: str
    """As the model names it, or the directory and what lies in it."""
    manifest: Manifest
    entry: str
    phase: int
    """Index of its phase, from 0."""
    exploded: bool = False
    """Whether it comes from a directory."""

    @property
    def name(self) -> str:
        """Of the Kubernetes Job; unique in a model, so that it also names the step."""
        return str(self.manifest["metadata"]["name"])

    @property
    def digest(self) -> str:
        """Differs when what the file says differs; spelling, order of keys and comments apart."""
        text = json.dumps(self.manifest, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of a phase's ``jobs``."""

    name: str
    job_path: str
    depends_on: tuple[str, ...] = ()
    """Names of entries of the same phase."""
    retries: int = 0
    """How often a Job of it that failed is made again."""
    deadline_s: int | None = None
    """How long a Job of it may take, in seconds; what its manifest says is kept where it is less."""
    jobs: tuple[JobFile, ...] = ()
    """One, or those of a directory, sorted by path."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What runs before the next phase begins."""

    index: int
    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One object that the Jobs need besides."""

    path: str
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Model:
    """A whole model that has passed all checks that need no cluster."""

    path: str
    settings: Settings
    phases: tuple[Phase, ...]
    resources: tuple[Resource, ...] = ()

    def jobs(self) -> Iterator[JobFile]:
        """Every Job, phase by phase, in the order of the file."""
        for phase in self.phases:
            for entry in phase.entries:
                yield from entry.jobs


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a model, or with what its files say."""

    reason: str
    """What is wrong and what to do, one sentence."""
    is_error: bool = True
    """Otherwise a warning."""
    file: str = ""
    """The model or a manifest."""
    line: int | None = None
    """From 1, where the text is YAML or JSON that could be read so far."""
    phase: str = ""
    entry: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        about = [f"phase {self.phase}" if self.phase else "", f"entry {self.entry}" if self.entry else ""]
        return ": ".join(part for part in (place, ", ".join(one for one in about if one), self.reason) if part)
