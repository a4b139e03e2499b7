"""A run as lines of a log, by the loggers of the original (phases contract, 10)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from lando.direct import events
from lando.logs import plain
from lando.phases.model import Finding, Model
from lando.runs import Cause
from lando.units import clock_time

jobmodel = logging.getLogger("jobernetes.jobmodel")
jobconfig = logging.getLogger("jobernetes.jobconfig")
jobexecutor = logging.getLogger("jobernetes.jobexecutor")


def loaded(model: Model) -> None:
    """What is going to be run, and how."""
    settings = model.settings
    jobmodel.info("Loaded %s: %d phases, %d Jobs", model.path, len(model.phases), sum(1 for _ in model.jobs()))
    jobconfig.info(
        "Namespace %s, %s, after a failure: %s%s",
        settings.kubernetes_namespace,
        f"at most {settings.parallelization} Jobs at once" if settings.parallelization else "no limit of Jobs at once",
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


def refusal(path: str, errors: int) -> str:
    """Why nothing was begun, in a sentence."""
    return f"{path} can't be run: {errors} {'problem' if errors == 1 else 'problems'}; nothing was created."


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


class Lines:
    """Logs what a run tells."""

    def tell(self, event: events.Event) -> None:
        match event:
            case events.Problem(finding=finding):
                jobexecutor.warning("%s", plain(finding))
            case events.Began(namespace=namespace, jobs=jobs, complete=complete):
                jobexecutor.info("Running %d Jobs in namespace %s, %d are complete", jobs, namespace, complete)
            case events.PhaseBegan(index=index, name=name):
                jobexecutor.info("Phase %d (%s) begins", index, name)
            case events.JobFound():
                state = "is complete already" if event.complete else "runs already"
                changed = "; its file says something else since" if event.changed else ""
                jobexecutor.info("Job %s %s%s", event.job, state, changed)
            case events.JobCreated():
                attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
                after = f": its dependencies are done ({', '.join(event.after)})" if event.after else ""
                jobexecutor.info("Created Job %s%s%s", event.job, attempt, after)
            case events.JobWaits(job=job, cause=None):
                jobexecutor.info("Job %s waits no longer", job)
            case events.JobWaits(job=job, cause=Cause() as cause):
                jobexecutor.warning("Job %s waits: %s", job, words(cause))
            case events.JobCompleted(job=job, duration_s=duration_s):
                jobexecutor.info("Job %s completed after %s", job, clock_time(duration_s))
            case events.JobFailed(job=job, cause=cause, again=again):
                jobexecutor.error("Job %s failed: %s%s", job, words(cause), " It is made again." if again else "")
                for line in cause.log_tail.rstrip().splitlines():
                    jobexecutor.error("Job %s:   | %s", job, plain(line))
            case events.JobRemoved(job=job, why=why):
                jobexecutor.info("Removed Job %s (%s)", job, why)
            case events.ResourceApplied(kind=kind, name=name):
                jobexecutor.info("Applied %s %s", kind, name)
            case events.LimitReached(limit=limit):
                jobexecutor.info("The limit of %d Jobs at once is reached", limit)
            case events.Trouble(sentence=sentence):
                jobexecutor.warning("%s", plain(sentence))
            case events.Ended(outcome=outcome, sentence=sentence, jobs=jobs):
                level = logging.INFO if outcome is events.Outcome.COMPLETE else logging.ERROR
                jobexecutor.log(level, "%s", plain(sentence))
                for line in report(jobs):
                    jobexecutor.info("%s", line)
