"""A small cwl-like plan and what a cluster holds of it, in the words of the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from lando.bespin import letters
from lando.decide import JobPhase, ObjectRef, Observed, ObservedJob, Plan, PlannedStep, RunRecord, StepRecord
from lando.runs import Category, Cause, Run

PVC = "PersistentVolumeClaim"
JOB_DATA, OUTPUT_DATA = ObjectRef(PVC, "job-data"), ObjectRef(PVC, "output-data")
NAMES = list(letters.STEPS)
IDS = {"project_id": "p", "readme_file_id": "r"}
USER_CAUSE = Cause(category=Category.USER, sentence="The tool exited with code 3.")
LOST_CAUSE = Cause(category=Category.INFRASTRUCTURE, sentence="The node was lost.")
NO_RECORD_STEP = Cause(category=Category.USER, sentence="No record step.")


def job_ref(step: str) -> ObjectRef:
    return ObjectRef("Job", step)


def map_ref(step: str) -> ObjectRef:
    return ObjectRef("ConfigMap", step)


def make_plan(*, record_step: bool = True, retries: int = 2, **changes: Any) -> Plan:
    own = {"stage_data", "organize_output", "save_output"}
    makes = {"create_volume": (JOB_DATA,), "stage_data": (JOB_DATA,), "run_workflow": (OUTPUT_DATA,)}
    reads = {
        "run_workflow": (JOB_DATA,),
        "organize_output": (JOB_DATA, OUTPUT_DATA),
        "save_output": (JOB_DATA, OUTPUT_DATA),
        "record_output_project": (OUTPUT_DATA,),
    }
    last = "record_output_project"
    steps = tuple(
        PlannedStep(
            name=name,
            needs=(NAMES[number - 1],) if number else (),
            job=None if name == "create_volume" else job_ref(name),
            own=(map_ref(name),) if name in own else (),
            makes=makes.get(name, ()),
            reads=reads.get(name, ()),
            spared_by="save_output" if name == last else None,
            problem=NO_RECORD_STEP if name == last and not record_step else None,
        )
        for number, name in enumerate(NAMES)
    )
    plan = Plan(
        steps=steps,
        record=ObjectRef("ConfigMap", "lando-run-42"),
        output_from=(last, "save_output"),
        infrastructure_retries=retries,
    )
    return replace(plan, **changes)


def make_run(state: str, letter: str) -> Run:
    run_state = letters.state_of(state)
    return Run(id=42, kind="cwl", owner="ada", name="batch", state=run_state, steps=letters.steps_of(run_state, letter))


def make_job(step: str, phase: JobPhase = JobPhase.RUNNING, **fields: Any) -> ObservedJob:
    if phase is JobPhase.FAILED:
        fields.setdefault("cause", USER_CAUSE)
    return ObservedJob(uid=fields.pop("uid", f"uid-{step}"), phase=phase, **fields)


def make_observed(
    jobs: Mapping[str, ObservedJob] | None = None,
    *,
    volumes: tuple[ObjectRef, ...] | None = None,
    recorded: Mapping[str, StepRecord] | None = None,
    record: bool = True,
    **fields: Any,
) -> Observed:
    """``jobs`` with their ConfigMaps and the volumes, as a run in the middle of things has them."""
    jobs = jobs or {}
    if volumes is None:
        volumes = (OUTPUT_DATA,) if set(jobs) == {NAMES[-1]} else (JOB_DATA, OUTPUT_DATA)
    with_map = {"stage_data", "organize_output", "save_output"}
    live = {job_ref(step) for step, job in jobs.items() if not job.deleting}
    objects = frozenset({*volumes, *live, *(map_ref(step) for step in jobs if step in with_map)})
    if recorded is None:
        recorded = {step: StepRecord(attempt=job.attempt, uid=job.uid) for step, job in jobs.items()}
    return Observed(
        record=RunRecord(uid="uid-record", steps=recorded) if record else None,
        jobs=jobs,
        objects=fields.pop("objects", objects),
        dying=fields.pop("dying", frozenset(job_ref(step) for step, job in jobs.items() if job.deleting)),
        **fields,
    )


@pytest.fixture
def plan() -> Plan:
    return make_plan()


@pytest.fixture
def make() -> Any:
    """The builders above as one namespace, since test folders are no packages."""

    class Make:
        plan: Callable[..., Plan] = staticmethod(make_plan)
        run: Callable[..., Run] = staticmethod(make_run)
        job: Callable[..., ObservedJob] = staticmethod(make_job)
        observed: Callable[..., Observed] = staticmethod(make_observed)
        job_ref = staticmethod(job_ref)
        map_ref = staticmethod(map_ref)

    return Make
