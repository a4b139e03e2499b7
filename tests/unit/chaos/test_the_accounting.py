"""The harness can fail: every breach of the promise that it looks for is found in books that hold it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.chaos import journal
from tests.chaos.accounting import Change, Disturbance, Facts, JobFacts, violations
from tests.chaos.load import Fate, Plan, make_plans
from tests.chaos.report import report, table
from tests.chaos.schedule import Struck, make_schedule

STEPS = {"S": "stage_data", "R": "run_workflow", "o": "organize_output", "O": "save_output"}
BEGINS = {"S": 3.0, "R": 5.0, "o": 7.0, "O": 9.0}


def line(at: float, step: str, pod: str, word: str) -> str:
    return f"{at} 1 {STEPS[step]} {pod} {word}"


def good() -> Facts:
    """One job that finished: each step began when its letter was written, and ended a second later."""
    history = [Change("S", "", 1.0), Change("R", "", 1.5), Change("R", "V", 2.0)]
    lines = []
    for letter, at in BEGINS.items():
        history.append(Change("R", letter, at - 0.5))
        lines += [line(at, letter, f"{letter}-pod", "begin"), line(at + 1, letter, f"{letter}-pod", "success")]
    history += [Change("R", "P", 10.5), Change("F", "", 11.0)]
    plan = Plan(Fate.FINISHES, job=1, accepted=Counter(start=1), settled=True)
    return Facts(plans=[plan], jobs={1: JobFacts("F", "", history)}, journal=journal.read(lines))


def with_lines(facts: Facts, *lines: str) -> Facts:
    kept = [
        text
        for attempts in facts.journal.attempts.values()
        for one in attempts
        for text in (
            f"{one.began} {one.job} {one.step} {one.pod} begin",
            f"{one.ended} {one.job} {one.step} {one.pod} {one.outcome}",
        )
    ]
    facts.journal = journal.read([*kept, *lines])
    return facts


def failed() -> Facts:
    """One job whose workflow ended with code 3, as it was meant to."""
    facts = good()
    facts.plans = [Plan(Fate.FAILS, fails_in="run_workflow", code=3, job=1, accepted=Counter(start=1), settled=True)]
    history = [change for change in facts.jobs[1].history if change.at < 6] + [Change("E", "R", 6.5)]
    error = ("user", "R", "The program ended with exit code 3.\\nlog")
    facts.jobs = {1: JobFacts("E", "R", history, [error])}
    lines = [line(3, "S", "s", "begin"), line(4, "S", "s", "success"), line(5, "R", "r", "begin")]
    facts.journal = journal.read([*lines, line(6, "R", "r", "exit-3")])
    return facts


def canceled() -> Facts:
    facts = good()
    facts.plans = [Plan(Fate.CANCELED, canceled_in="R", job=1, accepted=Counter(start=1, cancel=1), settled=True)]
    history = [change for change in facts.jobs[1].history if change.at < 6]
    facts.jobs = {1: JobFacts("C", "", [*history, Change("c", "R", 5.5), Change("C", "", 7.0)])}
    facts.journal = journal.read([line(3, "S", "s", "begin"), line(4, "S", "s", "success"), line(5, "R", "r", "begin")])
    return facts


@pytest.mark.parametrize("facts", [good, failed, canceled])
def test_books_in_order_hold_no_breach(facts: Callable[[], Facts]) -> None:
    assert violations(facts()) == []


def lose_the_job(facts: Facts) -> None:
    facts.jobs = {}


def leave_it_running(facts: Facts) -> None:
    facts.jobs = {1: replace(facts.jobs[1], state="R", step="O")}


def forget_a_command(facts: Facts) -> None:
    facts.plans[0].accepted["cancel"] = 1


def tell_an_error(facts: Facts) -> None:
    facts.jobs = {1: replace(facts.jobs[1], errors=[("infrastructure", "R", "The node was lost.")])}


def go_back(facts: Facts) -> None:
    history = [*facts.jobs[1].history[:-1], Change("R", "R", 10.8), facts.jobs[1].history[-1]]
    facts.jobs = {1: replace(facts.jobs[1], history=history)}


def say_it_twice(facts: Facts) -> None:
    history = [*facts.jobs[1].history, Change("F", "", 12.0)]
    facts.jobs = {1: replace(facts.jobs[1], history=history)}


def repeat_a_success(facts: Facts) -> None:
    with_lines(facts, line(6.2, "R", "again", "begin"), line(6.4, "R", "again", "success"))


def run_two_at_once(facts: Facts) -> None:
    with_lines(facts, line(5.2, "R", "twin", "overlap"), line(5.2, "R", "twin", "begin"))


def run_a_complete_step(facts: Facts) -> None:
    facts.disturbances = [Disturbance(5.0, 20.0, None, "everything was down")]
    with_lines(facts, line(7.2, "R", "again", "begin"), line(7.4, "R", "again", "success"))


def lose_data(facts: Facts) -> None:
    facts.disturbances = [Disturbance(5.0, 20.0, None, "everything was down")]
    with_lines(facts, line(6.2, "R", "again", "begin"), line(6.4, "R", "again", "lost-data"))


def end_an_attempt(facts: Facts) -> None:
    facts.journal.attempts[1, "save_output"][0].outcome = "stopped"


def leave_an_object(facts: Facts) -> None:
    facts.objects = [("configmaps", "lando-run-1", 1)]


def leave_a_command(facts: Facts) -> None:
    facts.commands_left = 1


def leave_a_message(facts: Facts) -> None:
    facts.messages_left = {"lando.delay.5s": 1}


def put_a_good_message_aside(facts: Facts) -> None:
    facts.dead = [b"good"]


def lose_a_garbage_message(facts: Facts) -> None:
    facts.garbage = [b"bad"]


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (lose_the_job, "is lost"),
        (leave_it_running, "is R/O in the end, not F"),
        (forget_a_command, "took 1 times cancel, its history knows 0"),
        (tell_an_error, "1 errors were told, not 0"),
        (go_back, "goes back to R from P"),
        (say_it_twice, "says F/ twice in a row"),
        (repeat_a_success, "ran again (again) though nothing befell"),
        (run_two_at_once, "two attempts of run_workflow ran at once"),
        (run_a_complete_step, "began while the job was R/o"),
        (lose_data, "did not find what the step before it wrote"),
        (end_an_attempt, "was ended, though nothing had happened to it"),
        (leave_an_object, "configmaps lando-run-1 is left of job 1"),
        (leave_a_command, "1 commands were never published"),
        (leave_a_message, "1 messages are left in the queue lando.delay.5s"),
        (put_a_good_message_aside, "no garbage was put aside"),
        (lose_a_garbage_message, "garbage message was not put aside"),
    ],
)
def test_each_breach_is_found(breach: Callable[[Facts], None], words: str) -> None:
    facts = good()
    breach(facts)
    assert any(words in sentence for sentence in violations(facts))


def test_an_error_has_to_be_the_true_one() -> None:
    facts = failed()
    facts.jobs = {1: replace(facts.jobs[1], errors=[("user", "R", "The program ended with exit code 4.")])}
    assert any("is not the true one" in sentence for sentence in violations(facts))


def test_the_same_seed_makes_the_same_schedule_with_every_fault_in_each_round() -> None:
    one, other = (make_schedule(2, random.Random(7)) for _ in range(2))
    assert one == other
    assert set(Counter(planned.name for planned in one).values()) == {2}
    assert make_schedule(2, random.Random(8)) != one


def test_few_jobs_already_meet_every_fate() -> None:
    assert {plan.fate for plan in make_plans(len(Fate), random.Random(1))} == set(Fate)


def test_recovery_is_counted_from_the_end_of_a_fault() -> None:
    facts = good()
    struck = [Struck("kill lando", "lando", 5.0, 5.5), Struck("kill lando", "lando", 20.0, 21.0)]
    figures = report(7, facts, struck, 12.0, 3, [])
    assert figures.recovery_longest_s == 1.0
    assert "1 Finished" in table(figures)
