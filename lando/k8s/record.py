"""The run record, ConfigMap ``lando-run-<id>``: made first, removed last, the memory of a run's attempts.

It carries only Lando's own label, so that nobody's delete-by-label of a job takes it along. Each step is one key with a
small JSON object, so that one step is changed by a merge patch without reading the rest.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lando import labels
from lando.decide import Failure, ObjectRef, RunRecord, StepRecord
from lando.k8s.cluster import Manifest
from lando.runs import Category, Cause, cut_middle

FAILURE = "failure"
QUOTA_SINCE = "quota-since"
_STEP_PREFIX = "step."

log = logging.getLogger(__name__)


def manifest(ref: ObjectRef, run_id: int) -> Manifest:
    """An empty record."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": ref.name, "labels": {labels.RUN_RECORD: str(run_id)}},
        "data": {},
    }


def read(config_map: Mapping[str, Any]) -> RunRecord:
    """The record that ``config_map`` holds; a key that can't be read is left out, with a warning."""
    steps: dict[str, StepRecord] = {}
    failure: Failure | None = None
    quota_since: datetime | None = None
    metadata = config_map["metadata"]
    name = metadata["name"]
    for key, text in (config_map.get("data") or {}).items():
        try:
            if key.startswith(_STEP_PREFIX):
                steps[key.removeprefix(_STEP_PREFIX)] = _step(json.loads(text))
            elif key == FAILURE:
                failure = _failure(json.loads(text))
            elif key == QUOTA_SINCE:
                quota_since = datetime.fromisoformat(text)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("The run record %s has a key %s that can't be read: %r", name, key, error)
    return RunRecord(
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        steps=steps,
        failure=failure,
        quota_since=quota_since,
    )


def steps_patch(steps: Mapping[str, StepRecord], *, quota_ended: bool = False) -> Manifest:
    """A merge patch that sets the records of ``steps``."""
    data: dict[str, str | None] = {
        f"{_STEP_PREFIX}{name}": json.dumps(_step_document(step), ensure_ascii=False) for name, step in steps.items()
    }
    if quota_ended:
        data[QUOTA_SINCE] = None
    return {"data": data}


def failure_patch(failure: Failure | None) -> Manifest:
    """A merge patch that keeps or forgets a failure."""
    if failure is None:
        return {"data": {FAILURE: None}}
    document = {"step": failure.step, **_cause_document(failure.cause)}
    return {"data": {FAILURE: json.dumps(document, ensure_ascii=False)}}


def quota_patch(since: datetime) -> Manifest:
    """A merge patch that notes since when a quota has been waited for."""
    return {"data": {QUOTA_SINCE: since.isoformat()}}


def _step_document(step: StepRecord) -> dict[str, Any]:
    document: dict[str, Any] = {
        "attempt": step.attempt,
        "uid": step.uid,
        "retries": step.retries,
        "interruptions": step.interruptions,
    }
    if step.own_retries:
        document["own_retries"] = step.own_retries
    if step.failed and step.cause is not None:
        document |= {"failed": step.failed, "cause": _cause_document(step.cause)}
    return document


def _step(document: Mapping[str, Any]) -> StepRecord:
    uid = document["uid"]
    return StepRecord(
        attempt=int(document["attempt"]),
        uid=None if uid is None else str(uid),
        retries=int(document.get("retries", 0)),
        interruptions=int(document.get("interruptions", 0)),
        own_retries=int(document.get("own_retries", 0)),
        failed=int(document.get("failed", 0)),
        cause=_cause(document["cause"]) if "cause" in document else None,
    )


def _failure(document: Mapping[str, Any]) -> Failure:
    return Failure(step=document.get("step"), cause=_cause(document))


def _cause_document(cause: Cause) -> dict[str, Any]:
    return {
        "category": cause.category.value,
        "sentence": cause.sentence,
        "advice": cause.advice,
        "exit_code": cause.exit_code,
        "log_tail": cut_middle(cause.log_tail),  # whole, so that it is recognised where it was told already
    }


def _cause(document: Mapping[str, Any]) -> Cause:
    known = {category.value: category for category in Category}
    return Cause(
        category=known.get(document["category"], Category.INFRASTRUCTURE),  # a newer lando may know more
        sentence=str(document["sentence"]),
        advice=str(document.get("advice", "")),
        exit_code=document.get("exit_code"),
        log_tail=str(document.get("log_tail", "")),
    )
