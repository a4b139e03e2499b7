"""How the Jobs of a model are labelled and known again (phases contract, 6 and 8)."""

from __future__ import annotations

from collections.abc import Mapping

from lando.phases.model import JobFile

ENTRY = "jobernetes_job_name"
PHASE = "jobernetes_phase"
EXPLODED = "jobernetes_exploded"
RUN = "lando.run"
"""An annotation of Jobs and of the Lease: which direct run made them, however often it was killed and started again."""
DIGEST = "lando.manifest"
"""An annotation: the digest of the file that a Job was made from."""


def job_labels(job: JobFile) -> dict[str, str]:
    """The three labels of the original."""
    return {ENTRY: job.entry, PHASE: str(job.phase), EXPLODED: str(job.exploded)}


def is_of(labels: Mapping[str, str], job: JobFile) -> bool:
    """Whether a Job of the same name is this entry's; a phase that was inserted since makes no difference."""
    return labels.get(ENTRY) == job.entry
