"""How the Jobs of a model stand, read off the cluster without a run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.direct import lease_record
from lando.direct.holder import Holder
from lando.direct.lease_record import Completion
from lando.direct.standing import JobStanding, of_model, of_namespace
from lando.errors import Unavailable
from lando.k8s.cluster import Manifest
from lando.phases.labels import job_labels
from lando.phases.model import Model
from tests.unit.direct.running import World, entry, manifest, model

MODEL = model([entry("schema")], [entry("fetch", "fetch-a", "fetch-b", phase=1), entry("merge", phase=1)])
OTHER = model([entry("report")])


def later(seconds: float = 0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def make(world: World, of: Model, *jobs: str) -> None:
    """Create these Jobs as a run does."""
    for job in of.jobs():
        if job.name in jobs:
            labelled = {"metadata": {"name": job.name, "labels": job_labels(job)}}
            world.create({**job.manifest, **labelled})


def states(standing: Any) -> dict[str, str]:
    return {job.job: job.state for job in standing.jobs}


def lease(
    world: World, of: Model, *, holder: str = "", renewed_at: datetime | None = None, **complete: Completion
) -> None:
    """The Lease of a run."""
    names = [job.name for job in of.jobs()]
    spec = lease_record.held(holder, renewed_at or later())
    made: Manifest = lease_record.manifest(lease_record.lease_name(names), lease_record.digests(names), spec)
    if complete:
        made["metadata"]["annotations"][lease_record.COMPLETE] = lease_record.packed(
            {name.replace("_", "-"): one for name, one in complete.items()}
        )
    world.create(made)


def test_each_job_of_the_model_has_its_state_in_the_order_of_the_model(world: World) -> None:
    make(world, MODEL, "schema", "fetch-a", "fetch-b")
    make(world, OTHER, "report")
    world.finish("schema", 0)
    world.finish("fetch-b", 3)
    standing = of_model(MODEL, world, later(60))
    assert list(states(standing).items()) == [
        ("schema", "complete"),
        ("fetch-a", "running"),
        ("fetch-b", "failed"),
        ("merge", "absent"),
    ]
    by_name = {job.job: job for job in standing.jobs}
    failed = by_name["fetch-b"]
    assert failed.cause is not None
    assert "exit code 3" in failed.cause.sentence
    assert (failed.entry, failed.phase) == ("fetch", "1")
    assert by_name["fetch-a"].duration_s is not None
    assert by_name["fetch-a"].duration_s >= 59
    assert by_name["merge"] == JobStanding(job="merge", entry="merge", phase="1", state="absent")


def test_a_job_of_somebody_else_is_told_apart(world: World) -> None:
    world.create(manifest("schema"))
    assert states(of_model(MODEL, world, later()))["schema"] == "foreign"
    labelled = {"metadata": {"name": "merge", "labels": {"jobernetes_job_name": "other"}}}
    world.create({**manifest("merge"), **labelled})
    assert states(of_model(MODEL, world, later()))["merge"] == "foreign"


def test_what_was_complete_before_it_vanished_is_complete(world: World) -> None:
    lease(world, MODEL, schema=Completion(uid="u", digest="d", duration_s=7.0))
    first = of_model(MODEL, world, later()).jobs[0]
    assert (first.job, first.state, first.duration_s) == ("schema", "complete, gone", 7.0)


def test_a_namespace_shows_the_jobs_of_every_model(world: World) -> None:
    make(world, MODEL, "schema", "fetch-a")
    make(world, OTHER, "report")
    world.create(manifest("unlabelled"))
    assert list(states(of_namespace(world, later()))) == ["report", "schema", "fetch-a"]


def test_who_runs_it_is_told_and_for_how_long_nothing_was_heard(world: World) -> None:
    now = later()
    lease(world, MODEL, holder="ada@host", renewed_at=now - timedelta(seconds=5))
    lease(world, OTHER, holder="bob@host", renewed_at=now)
    (run,) = of_model(MODEL, world, now).runs
    assert re.fullmatch(r"Run by ada@host since \S+ \S+ UTC\.", run)
    assert len(of_namespace(world, now).runs) == 2
    (silent,) = of_model(MODEL, world, now + timedelta(seconds=100)).runs
    assert silent.endswith(", without a sign of life for 105 s.")


def test_a_run_whose_process_is_gone_is_told_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = later()
    lease(world, MODEL, holder=str(Holder.here()), renewed_at=now)
    assert of_model(MODEL, world, now).runs[0].endswith(" UTC.")
    monkeypatch.setattr(Holder, "is_gone", lambda self: True)
    assert of_model(MODEL, world, now).runs[0].endswith(" UTC, which is gone: the next run goes on.")


def test_nobody_runs_what_was_let_go(world: World) -> None:
    lease(world, MODEL)
    assert of_model(MODEL, world, later()).runs == ()


def test_what_may_not_be_read_is_not_told(world: World) -> None:
    make(world, MODEL, "schema")
    world.finish("schema", 3)

    def refuse(call: str) -> None:
        if call != "list Job":
            raise Unavailable("cluster", "forbidden", status=403)

    world.before = refuse
    standing = of_model(MODEL, world, later())
    assert states(standing)["schema"] == "failed"
    assert standing.runs == ()


def test_it_takes_as_few_calls_as_there_are_kinds(world: World) -> None:
    make(world, MODEL, "schema", "fetch-a", "fetch-b", "merge")
    world.calls.clear()
    of_model(MODEL, world, later())
    assert world.calls == ["list Job", "list Pod", "list Event", "list Lease"]
