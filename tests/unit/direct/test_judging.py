"""Causes in a direct run speak of Jobs and manifests, never of the service's steps and settings."""

from __future__ import annotations

import re

import pytest
from lando.direct.judging import reworded
from lando.k8s.diagnosis.rules import Rule
from lando.k8s.diagnosis.table import RULES

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
