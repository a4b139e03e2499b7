"""What is kept of a step is read as it was written, also by a lando that knows more or less of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from lando.decide import (
    Failure,
    JobPhase,
    ObjectRef,
    Observed,
    ObservedJob,
    Plan,
    PlannedStep,
    RecordAttempts,
    StepRecord,
    decide,
)
from lando.k8s import record
from lando.runs import Category, Cause, Intent, OnFailure, Run, RunState, StepState

CAUSE = Cause(category=Category.RESOURCES, sentence="It ran out of memory.", advice="Ask for more.", exit_code=137)


def read(data: dict[str, Any]) -> StepRecord:
    return record.read({"metadata": {"name": "r", "uid": "u"}, "data": data}).steps["a"]


@pytest.mark.parametrize(
    "step",
    [
        StepRecord(attempt=1),
        StepRecord(attempt=2, uid="uid", retries=1, interruptions=3, own_retries=2),
        StepRecord(attempt=2, uid="uid", failed=4, cause=CAUSE),
    ],
)
def test_a_step_is_read_as_it_was_written(step: StepRecord) -> None:
    assert read(record.steps_patch({"a": step})["data"]) == step


@pytest.mark.parametrize("character", ["a", '"', "\x01", "é", "\N{MUSICAL SYMBOL G CLEF}"])
def test_a_record_has_room_for_the_causes_of_1000_steps_whatever_their_programs_say(character: str) -> None:
    names = [f"{number:03}-{'x' * 59}" for number in range(1000)]
    causes = [Cause(category=Category.USER, sentence=character * 9000, exit_code=139)] * len(names)
    plan = Plan(
        steps=tuple(PlannedStep(name=name, job=ObjectRef("Job", name)) for name in names),
        record=ObjectRef("ConfigMap", "r"),
        on_failure=OnFailure.CONTINUE,
    )
    run = Run(
        id=1,
        kind="phases",
        owner="ada",
        name="n",
        state=RunState.RUNNING,
        steps=dict.fromkeys(names, StepState.RUNNING),
    )
    jobs = {
        name: ObservedJob(uid="u" * 36, phase=JobPhase.FAILED, cause=cause)
        for name, cause in zip(names, causes, strict=True)
    }

    noted = [one for one in decide(plan, run, Observed(jobs=jobs), Intent.NONE) if isinstance(one, RecordAttempts)]

    data: dict[str, str] = {}
    for one in noted:
        data |= record.steps_patch(one.steps)["data"]
    assert len(data) == len(names)
    whole = record.failure_patch(Failure(step=names[0], cause=replace(causes[0], log_tail=character * 100_000)))
    data |= whole["data"]
    assert sum(len(key) + len(text.encode()) for key, text in data.items()) < 2**20


def test_what_an_older_lando_did_not_write_is_nothing() -> None:
    older = json.dumps({"attempt": 3, "uid": "uid", "retries": 1, "interruptions": 0})
    assert read({"step.a": older}) == StepRecord(attempt=3, uid="uid", retries=1)


def test_a_step_that_never_failed_by_itself_is_written_as_an_older_lando_does() -> None:
    data = record.steps_patch({"a": StepRecord(attempt=1, uid="uid")})["data"]
    assert json.loads(data["step.a"]) == {"attempt": 1, "uid": "uid", "retries": 0, "interruptions": 0}
