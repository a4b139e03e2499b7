"""One Job for a request that comes again: its name follows from the request's key, so that the cluster itself refuses
a second one, whoever asks at the same time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from lando.definitions.exceptions import ArgumentError, IdempotencyError
from lando.definitions.spec import Job, JobGenerator, V1Job, rename

ANNOTATION = "lando.arguments"
"""On a Job that was made with a key: a digest of the arguments that it was made with."""
MAX_KEY = 255  # characters


def mark(job: Job, scope: tuple[str, ...], definition: str, key: str, arguments: Mapping[str, Any] | None) -> str:
    """Give ``job`` the name that follows from the next three; the digest of ``arguments`` that it carries from now on.

    The manifest's own name has no part in it: that may hold an argument.
    """
    if not 1 <= len(key) <= MAX_KEY:
        raise ArgumentError(f"an idempotency key has 1 to {MAX_KEY} characters, this one has {len(key)}")
    rename(job, name_of(scope, definition, key))
    digest = _digest(dict(arguments or {}))
    if isinstance(job, Mapping):
        job["metadata"]["annotations"] = {**(job["metadata"].get("annotations") or {}), ANNOTATION: digest}
    else:
        job.metadata.annotations = {**(job.metadata.annotations or {}), ANNOTATION: digest}
    return digest


def name_of(scope: tuple[str, ...], definition: str, key: str) -> str:
    """Of the Job that the key makes."""
    suffix = _digest([scope[0], definition, key, *scope[1:]])[: 2 * JobGenerator.SUFFIX_BYTES]
    base = re.sub(r"[^a-z0-9]+", "-", definition.lower())[: JobGenerator.MAX_LEN].strip("-")
    return f"{base}-{suffix}"


def check(job: V1Job, digest: str) -> None:
    """Raises IdempotencyError unless ``job`` was made with the arguments of ``digest``, and is to stay."""
    if (job.metadata.annotations or {}).get(ANNOTATION) != digest:
        raise IdempotencyError(
            f"this idempotency key was used before, with other arguments, for the Job {job.metadata.name}"
        )
    if job.metadata.deletion_timestamp is not None:
        raise IdempotencyError(
            f"the Job {job.metadata.name}, which this idempotency key made, is being deleted; ask again when it is gone"
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
