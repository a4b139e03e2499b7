"""Causes of Jobs that somebody wrote speak of Jobs and manifests, never of a workflow's steps and settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.k8s.diagnosis import deleted, diagnose
from lando.k8s.diagnosis.rules import Rule
from lando.k8s.diagnosis.table import RULES
from lando.k8s.diagnosis.wording import reworded

NOW, PATIENCE = datetime(2026, 3, 4, 10, 1, tzinfo=UTC), timedelta(minutes=15)
_OF_THE_SERVICE = re.compile(
    r"\bsteps?\b|\bsteps\.|pods\.|runtime'|flavor|configuration|workflow|base command|_name|_key"
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_cause_speaks_of_what_only_the_service_has(rule: Rule) -> None:
    for text in (rule.sentence, rule.advice):
        written = reworded(text.replace("{limit_key}", "its memory limit"))
        assert not _OF_THE_SERVICE.search(re.sub(r"\{\w+\}", "", written)), written


def test_the_name_of_a_step_s_setting_becomes_that_of_the_job() -> None:
    told = "Raise steps.run_workflow.deadline_s if the step really needs longer."
    assert reworded(told) == "Raise its deadline if the Job really needs longer."
    assert reworded("Raise steps.load-a.1.limits.memory, or wait.") == "Raise its memory limit, or wait."


def test_what_became_of_a_phased_run_s_job_is_told_in_its_owner_s_words(job: Any, pod: Any, ended: Any) -> None:
    def advice(labels: dict[str, str]) -> str:
        failed = job({"type": "Failed", "reason": "BackoffLimitExceeded"})
        failed["metadata"]["labels"] = labels
        found = diagnose(failed, [pod("Failed", ended(127))], [], now=NOW, patience=PATIENCE, log_tail="no such file")
        assert found.cause is not None
        assert found.cause.log_tail == "no such file"
        assert "Job" in deleted(failed).sentence
        return found.cause.advice

    of_a_step = {"bespin-job": "true", "bespin-job-id": "7", "bespin-job-step": "run_workflow"}
    of_a_job = {"lando-run-id": "7", "lando-run-kind": "phases", "lando-run-step": "merge"}
    assert "the runtime's step" in advice(of_a_step)
    assert "the runtime's step" not in advice(of_a_job)
    assert "the manifest" in advice(of_a_job)
