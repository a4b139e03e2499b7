"""One test for each rule, on what clusters show for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from lando.k8s.diagnosis import Diagnosis, Verdict, deleted, diagnose
from lando.k8s.diagnosis.rules import Place, Rule, Wait
from lando.k8s.diagnosis.table import RULES
from lando.runs import Category
from tests.unit.diagnose.recorded import (
    CASES,
    OF_CLAIM,
    START,
    STEP,
    Shown,
    container_waits,
    ended,
    event,
    failed,
    job,
    of_end,
    of_pod,
    pod,
    unscheduled,
    waits,
)

PATIENCE = timedelta(minutes=10)
ELSEWHERE = {"job-deleted"}
"""Spoken by the watcher, when the Job itself is gone."""


def judged(shown: Shown, *, after: float) -> Diagnosis:
    return diagnose(
        shown.job,
        shown.pods,
        shown.events,
        now=START + timedelta(seconds=after),
        patience=PATIENCE,
        log_tail=shown.log,
    )


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name not in ELSEWHERE], ids=lambda rule: rule.name)
def test_a_rule_speaks_and_says_whose_move_it_is(rule: Rule) -> None:
    case = CASES[rule.name]
    for shown in case.shown:
        late = judged(shown, after=900)
        assert late.finding is not None, shown
        assert late.finding.rule == rule.name
        assert late.cause is not None
        assert case.says in late.cause.sentence
        assert late.cause.sentence.endswith(".")
        assert not late.cause.sentence.endswith("..")
        assert "rpc error" not in late.cause.sentence
        assert late.cause.advice or rule.category in (None, Category.USER)
        if rule.category is not None:
            assert late.cause.category is rule.category
        assert late.verdict is (Verdict.WAITING if rule.wait is Wait.ENDLESS else Verdict.FAILED)


@pytest.mark.parametrize(
    "rule",
    [rule for rule in RULES if rule.wait is not Wait.ENDLESS and rule.name not in ELSEWHERE],
    ids=lambda r: r.name,
)
def test_a_rule_has_patience_or_none(rule: Rule) -> None:
    for shown in CASES[rule.name].shown:
        if shown.job["status"]["conditions"]:
            continue  # the Job itself has ended
        early = judged(shown, after=60.5)
        assert early.verdict is (Verdict.FAILED if rule.wait is Wait.NONE else Verdict.WAITING)


def test_what_is_missing_is_a_failure_for_good_also_when_the_deadline_ends_the_wait() -> None:
    shown = CASES["secret-missing"].shown[0]
    late = judged(shown, after=900).cause
    assert late is not None
    assert late.lasting
    over = replace(shown, job=failed("DeadlineExceeded", deadline=60))
    ended = judged(over, after=60).cause
    assert ended is not None
    assert "deadline of 60 s passed before it could start" in ended.sentence
    assert (ended.category, ended.lasting) == (Category.INFRASTRUCTURE, True)


def test_every_rule_has_exactly_one_case_and_every_name_is_its_own() -> None:
    names = [rule.name for rule in RULES]

    assert len(names) == len(set(names))
    assert set(names) == set(CASES) | ELSEWHERE


def test_a_job_deleted_by_hand_is_infrastructure() -> None:
    cause = deleted(job())

    assert (cause.category, cause.sentence) == (
        Category.INFRASTRUCTURE,
        f"Job {STEP} was deleted before it had ended.",
    )


@pytest.mark.parametrize("code", range(1, 256))
def test_any_exit_code_is_told_with_its_signal_if_it_has_one(code: int) -> None:
    found = judged(of_end(pod("Failed", ended(code))), after=60)

    assert found.finding is not None
    assert found.cause is not None
    assert found.cause.exit_code == code
    assert f"exit code {code}" in found.cause.sentence
    named = {
        129: "SIGHUP",
        130: "SIGINT",
        132: "SIGILL",
        134: "SIGABRT",
        135: "SIGBUS",
        136: "SIGFPE",
        137: "SIGKILL",
        139: "SIGSEGV",
        141: "SIGPIPE",
        143: "SIGTERM",
        152: "SIGXCPU",
        153: "SIGXFSZ",
    }
    if code in named:
        assert named[code] in found.cause.sentence
    if code <= 128 or code > 192:
        assert "SIG" not in found.cause.sentence
    images, killed = {126, 127}, {137}
    expected = Category.IMAGE if code in images else Category.RESOURCES if code in killed else Category.USER
    assert found.cause.category is expected


def test_a_claim_that_waits_for_its_first_consumer_is_no_trouble() -> None:
    shown = of_pod(
        pod("Pending", waits("ContainerCreating")),
        event(
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
            OF_CLAIM,
            kind="Normal",
        ),
    )

    assert judged(shown, after=900).verdict is Verdict.RUNNING


def test_the_claims_of_other_pods_are_not_asked() -> None:
    foreign = {**OF_CLAIM, "name": "job-data-43-bob"}
    shown = unscheduled(
        "0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims.",
        event("ProvisioningFailed", "no capacity", foreign),
    )

    found = judged(shown, after=60)
    assert found.finding is not None
    assert found.finding.rule == "claim-unbound"


def test_old_trouble_of_a_claim_is_not_told_when_nodes_are_short_of_memory() -> None:
    shown = unscheduled(
        "0/3 nodes are available: 3 Insufficient memory.", event("ProvisioningFailed", "backend down", OF_CLAIM)
    )

    found = judged(shown, after=60)
    assert found.finding is not None
    assert found.finding.rule == "no-memory"


@pytest.mark.parametrize("place", Place)
def test_every_place_has_a_rule(place: Place) -> None:
    assert any(place in rule.places for rule in RULES)


def test_a_finding_says_what_its_rule_saw() -> None:
    found = judged(container_waits("CreateContainerConfigError", 'secret "dds" not found'), after=60)

    assert found.finding is not None
    assert found.finding.sign == 'waiting container CreateContainerConfigError: secret "dds" not found'
