"""``lando phases status``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import typer

from lando.cli.phases import in_sentences, quiet, refusal
from lando.cli.rendering import table
from lando.direct.connecting import connect
from lando.direct.standing import JobStanding, Standing, of_model, of_namespace
from lando.jobernetes.lines import words
from lando.jobernetes.running import read_here
from lando.phases.model import Settings
from lando.units import clock_time


def status(path: str, namespace: str | None, kubeconfig: Path | None, context: str | None, *, as_json: bool) -> int:
    """Print how the Jobs of a model, or of all models of a namespace, stand; returns the exit code."""
    quiet()
    model, findings = read_here(path) if namespace is None else (None, [])
    if model is None and namespace is None:
        return refusal(path, findings)
    settings = model.settings if model is not None else Settings(kubernetes_namespace=namespace or "")
    with in_sentences(), connect(settings, kubeconfig=kubeconfig, context=context) as cluster:
        now = cluster.now()
        found = of_model(model, cluster, now) if model is not None else of_namespace(cluster, now)
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
        return 0
    if found.jobs:
        for line in table(("PHASE", "ENTRY", "JOB", "STATE", "TIME", "WHY"), [_row(job) for job in found.jobs]):
            typer.echo(line)
    else:
        typer.echo(f"There are no Jobs of any model in namespace {found.namespace}.")
    for sentence in found.runs:
        typer.echo(sentence)
    return 0


def _row(job: JobStanding) -> tuple[str, ...]:
    spent = clock_time(job.duration_s) if job.duration_s is not None else ""
    return job.phase, job.entry, job.job, job.state, spent, words(job.cause) if job.cause else ""


def _document(standing: Standing) -> dict[str, object]:
    jobs = [
        {
            **asdict(job),
            "phase": int(job.phase) if job.phase.isdecimal() else None,
            "began": _iso(job.began),
            "cause": _why(job),
        }
        for job in standing.jobs
    ]
    return {"namespace": standing.namespace, "runs": list(standing.runs), "jobs": jobs}


def _why(job: JobStanding) -> dict[str, object] | None:
    if job.cause is None:
        return None
    return {"category": job.cause.category.value, "sentence": job.cause.sentence, "advice": job.cause.advice}


def _iso(time: datetime | None) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time is not None else None
