"""What is kept of a step is read as it was written, also by a lando that knows more or less of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lando.decide import StepRecord
from lando.k8s import record
from lando.runs import Category, Cause

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


def test_what_an_older_lando_did_not_write_is_nothing() -> None:
    older = json.dumps({"attempt": 3, "uid": "uid", "retries": 1, "interruptions": 0})
    assert read({"step.a": older}) == StepRecord(attempt=3, uid="uid", retries=1)


def test_a_step_that_never_failed_by_itself_is_written_as_an_older_lando_does() -> None:
    data = record.steps_patch({"a": StepRecord(attempt=1, uid="uid")})["data"]
    assert json.loads(data["step.a"]) == {"attempt": 1, "uid": "uid", "retries": 0, "interruptions": 0}
