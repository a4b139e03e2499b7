"""The causes that the decision finds by itself; what the cluster shows is judged in :mod:`lando.k8s.diagnosis`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from lando.decide.model import ObjectRef, Plan
from lando.runs import Category, Cause, cut_middle

BYTES_KEPT = 400  # of a cause's sentence as JSON; a ConfigMap holds 1 MiB, and a run may have 1,000 steps
NAMES_TOLD = 10  # of steps that failed, in the summary of a run
_AGAIN = "Restart the run to do the step again."
_KINDS = {"PersistentVolumeClaim": "volume"}
"""What kinds of objects are called towards a run's owner, where their names say too little."""


def gone(step: str, job: ObjectRef) -> Cause:
    """A Job that is on record is not there."""
    sentence = f"The Job {job.name} of step {step} is gone: somebody else deleted it."
    return Cause(category=Category.INFRASTRUCTURE, sentence=sentence, advice=_AGAIN)


def being_deleted(step: str) -> Cause:
    """A Job at work is going."""
    sentence = f"The Job of step {step} was deleted by somebody other than Lando while it was at work."
    return Cause(category=Category.INFRASTRUCTURE, sentence=sentence, advice=_AGAIN)


def report_lost(step: str, how: str) -> Cause:
    """A step has made the output, and nobody knows where."""
    sentence = f"Step {step} ended well, but {how} before Lando could read where the output is."
    return Cause(category=Category.INFRASTRUCTURE, sentence=sentence, advice=_AGAIN)


def unexplained(step: str) -> Cause:
    """A Job failed, and the cluster does not show why."""
    return Cause(
        category=Category.USER,
        sentence=f"The Job of step {step} failed and left no reason.",
        advice="Look at the log of the step.",
    )


def unreported(steps: Sequence[str]) -> Cause:
    """All is complete, and none of ``steps`` said where the output is."""
    return Cause(
        category=Category.USER,
        sentence=f"Neither of the steps {' and '.join(steps)} reported where the output is.",
        advice="The step's image has to report project_id and readme_file_id.",
    )


def missing(plan: Plan, step: str, refs: Sequence[ObjectRef], *, has_record: bool) -> Cause:
    """What the step reads is not there."""
    named = " and ".join(f"{_KINDS.get(ref.kind, ref.kind)} {ref.name}" for ref in refs)
    sentence = f"The {named} that step {step} reads {'is' if len(refs) == 1 else 'are'} gone"
    if not has_record:
        record = plan.record
        sentence += f", and there is no {record.kind} {record.name}, whose deletion takes all of a run with it"
    return Cause(
        category=Category.INFRASTRUCTURE,
        sentence=f"{sentence}.",
        advice="Restart the run: it begins again with its first step."
        if plan.fills_volumes
        else "Restart the run: it makes what is missing.",
    )


def summary(failed: Sequence[str], cause: Cause | None) -> Cause:
    """Why a run failed whose steps ``failed`` did, the first of them of ``cause``."""
    first, *more = failed
    why = f": {cause.sentence}" if cause else "."
    told = more[:NAMES_TOLD]
    others = ", ".join(told) + (f" and {len(more) - len(told)} more" if more[NAMES_TOLD:] else "")
    return Cause(
        category=cause.category if cause else Category.USER,
        sentence=f"{len(failed)} steps failed, {first} first{why}" if more else f"Step {first} failed{why}",
        advice=(f"After it failed: {others}. " if more else "")
        + "Start the run again to do what failed and what was not begun.",
        exit_code=cause.exit_code if cause else None,
    )


def in_short(cause: Cause) -> Cause:
    """What a record of many steps has room for."""
    sentence, limit = cut_middle(cause.sentence, BYTES_KEPT), BYTES_KEPT
    while len(json.dumps(sentence, ensure_ascii=False).encode()) > BYTES_KEPT and limit > 1:
        limit //= 2  # what a program says may be of characters that JSON writes with six
        sentence = cut_middle(cause.sentence, limit)
    return replace(cause, sentence=sentence, advice="", log_tail="")
