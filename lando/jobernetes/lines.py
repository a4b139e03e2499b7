"""A run as lines of a log, by the loggers of the original (phases contract, 10)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from logging import ERROR, INFO, WARNING

from lando.direct import events
from lando.logs import plain
from lando.phases.model import Finding, Model
from lando.runs import Cause
from lando.units import clock_time, count

_LEVELS = {
    events.Outcome.COMPLETE: INFO,
    events.Outcome.INTERRUPTED: WARNING,
    events.Outcome.TERMINATED: WARNING,
}

_WITH_REPORT = (events.Outcome.COMPLETE, events.Outcome.FAILED)
"""Elsewhere the run times are told only where there is one."""

jobmodel = logging.getLogger("jobernetes.jobmodel")
jobconfig = logging.getLogger("jobernetes.jobconfig")
jobexecutor = logging.getLogger("jobernetes.jobexecutor")


def loaded(model: Model) -> None:
    """What is going to be run, and how."""
    settings = model.settings
    jobs = sum(1 for _ in model.jobs())
    jobmodel.info("Loaded %s: %s, %s", model.path, count(len(model.phases), "phase"), count(jobs, "Job"))
    jobconfig.info(
        "Namespace %s, %s, after a failure: %s%s",
        settings.kubernetes_namespace,
        f"at most {count(settings.parallelization, 'Job')} at once" if settings.parallelization else "no limit of Jobs",
        settings.on_failure.value,
        ", cleanup after the last phase" if settings.cleanup else "",
    )


def problems(path: str, findings: Iterable[Finding]) -> None:
    """What is wrong with a model, one line each, and how much of it."""
    errors = 0
    for finding in findings:
        jobmodel.warning("%s", plain(finding))
        errors += finding.is_error
    if errors:
        jobmodel.error("%s", refusal(path, errors))


def refusal(path: str, errors: int, *, left: str = "created") -> str:
    """Why nothing was begun, in a sentence; ``left`` is what the command would have done."""
    return f"{path} can't be {'run' if left == 'created' else 'used'}: {count(errors, 'problem')}; nothing was {left}."


def words(cause: Cause) -> str:
    """A cause on one line, without the log."""
    return plain(" ".join(part for part in (cause.sentence.strip(), cause.advice.strip()) if part))


def report(jobs: Iterable[events.JobReport]) -> list[str]:
    """The run time of each Job, and of all of them together."""
    lines, total = [], 0.0
    for job in jobs:
        lines.append(f"{job.job}: {'-' if job.duration_s is None else clock_time(job.duration_s)}")
        total += job.duration_s or 0.0
    return [*lines, f"Total: {clock_time(total)}"] if lines else []


def _log(job: str, tail: str) -> Iterator[str]:
    return (f"Job {job}:   | {plain(line)}" for line in tail.rstrip().splitlines())


class Lines:
    """Logs what a run tells; the report once, before a cleanup (phases contract, 9)."""

    def __init__(self) -> None:
        self._has_reported = False

    def tell(self, event: events.Event) -> None:
        """As of :class:`lando.direct.events.Listener`."""
        if isinstance(event, events.Ended) and self._has_reported:
            event = replace(event, jobs=())
        self._has_reported |= isinstance(event, events.CleanupBegan)
        for level, line in said(event):
            jobexecutor.log(level, "%s", line)


def said(event: events.Event) -> Iterator[tuple[int, str]]:
    """What ``event`` means, with the level of each line."""
    match event:
        case events.Problem(finding=finding):
            yield WARNING, plain(finding)
        case events.Began(namespace=namespace, jobs=jobs, complete=complete):
            yield INFO, f"Running {count(jobs, 'Job')} in namespace {namespace}; complete already: {complete}"
        case events.PhaseBegan(index=index, name=name):
            yield INFO, f"Phase {index} ({name}) begins"
        case events.JobFound():
            state = "is complete already" if event.complete else "runs already"
            changed = "; its file says something else since: `lando phases run --changed` runs it again"
            yield INFO, f"Job {event.job} {state}{changed if event.changed else ''}"
        case events.JobCreated():
            attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
            after = f": its dependencies are done ({', '.join(event.after)})" if event.after else ""
            yield INFO, f"Created Job {event.job}{attempt}{after}"
        case events.JobWaits(job=job, cause=None):
            yield INFO, f"Job {job} waits no longer"
        case events.JobWaits(job=job, cause=Cause() as cause):
            yield WARNING, f"Job {job} waits: {words(cause)}"
        case events.JobCompleted(job=job, duration_s=duration_s):
            yield INFO, f"Job {job} completed after {clock_time(duration_s)}"
        case events.JobFailed(job=job, cause=cause, again=again):
            yield ERROR, f"Job {job} failed: {words(cause)}{' It is made again.' if again else ''}"
            yield from ((ERROR, line) for line in _log(job, cause.log_tail))
        case events.JobLog(job=job, log_tail=log_tail):
            yield INFO, f"The log of Job {job}, which is reverted:"
            yield from ((INFO, line) for line in _log(job, log_tail))
        case events.JobRemoved(job=job, why=why):
            yield INFO, f"Removed Job {job} ({why})"
        case events.ResourceApplied(kind=kind, name=name):
            yield INFO, f"Applied {kind} {name}"
        case events.LimitReached(limit=limit):
            yield INFO, f"The limit of {count(limit, 'Job')} at once is reached"
        case events.Trouble(sentence=sentence):
            yield WARNING, plain(sentence)
        case events.CleanupBegan(jobs=jobs):
            yield INFO, "Everything is finished; the Jobs are removed"
            yield from ((INFO, line) for line in report(jobs))
        case events.Ended(outcome=outcome, sentence=sentence, jobs=jobs):
            yield _LEVELS.get(outcome, ERROR), plain(sentence)
            if outcome in _WITH_REPORT or any(job.duration_s is not None for job in jobs):
                yield from ((INFO, line) for line in report(jobs))
