"""lando-jobs contract, 4.2: event × state × step × what the cluster holds → act or ignore."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from lando.bespin import letters
from lando.decide import (
    Create,
    Delete,
    JobPhase,
    NoteFailure,
    Nothing,
    RecordAttempts,
    ReportError,
    SetCondition,
    StepRecord,
    StoreOutput,
    Write,
    decide,
    intent_of,
)
from lando.messages import Command, Condition, Evidence, Message
from lando.runs import Intent, RunState, StepState

STATES = list(letters.STATES.values())
LETTERS = ["", *letters.STEPS.values()]
JOB_STEPS = [name for name in letters.STEPS if name != "create_volume"]
BY_LETTER = {letter: name for name, letter in letters.STEPS.items()}


def message(command: Command, step: str | None = None, condition: Condition = Condition.COMPLETE) -> Message:
    evidence = Evidence(step=step, condition=condition) if step else None
    return Message(command=command, run_id=42, evidence=evidence)


def written(actions: list[Any]) -> list[str]:
    """The letters of each write, ``state/step``, with ``-`` for what is not written."""
    return [
        f"{letters.STATES[action.state] if action.state else '-'}/"
        f"{letters.letter_of(action.steps) if action.steps is not None else '-'}"
        for action in actions
        if isinstance(action, Write)
    ]


def created(actions: list[Any]) -> list[str]:
    return [action.step for action in actions if isinstance(action, Create)]


def deleted(actions: list[Any]) -> set[str]:
    return {f"{ref.kind} {ref.name}" for action in actions if isinstance(action, Delete) for ref in action.refs}


def act(make: Any, command: Command, state: str, letter: str, observed: Any, step: str | None = None) -> list[Any]:
    run = make.run(state, letter)
    return decide(make.plan(), run, observed, intent_of(message(command, step), run))


def ignored(actions: list[Any]) -> bool:
    return all(isinstance(action, Nothing) for action in actions)


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("SA", LETTERS)])
def test_start_acts_in_s_and_a_at_any_step(make: Any, state: str, letter: str) -> None:
    run = make.run(state, letter)
    assert intent_of(message(Command.START), run) is Intent.START


@pytest.mark.parametrize("state", ["S", "A"])
def test_start_writes_r_then_v_then_s_around_the_volume(make: Any, state: str) -> None:
    actions = act(make, Command.START, state, "", make.observed(volumes=(), record=False))
    assert written(actions) == ["R/-", "-/V", "-/S"]
    assert created(actions) == ["create_volume", "stage_data"]
    assert actions.index(Create(step="create_volume")) < actions.index(
        next(action for action in actions if isinstance(action, Write) and written([action]) == ["-/S"])
    )


@pytest.mark.parametrize("letter", ["", "V"])
def test_start_resumes_an_interrupted_start(make: Any, letter: str) -> None:
    actions = act(make, Command.START, "R", letter, make.observed(volumes=()))
    assert created(actions) == ["create_volume", "stage_data"]
    assert written(actions)[-1] == "-/S"


@pytest.mark.parametrize("letter", ["S", "R", "o", "O", "P"])
def test_start_of_a_running_run_is_ignored(make: Any, letter: str) -> None:
    step = BY_LETTER[letter]
    assert ignored(act(make, Command.START, "R", letter, make.observed({step: make.job(step)})))


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("rcCFEDN", LETTERS)])
def test_start_is_ignored_in_every_other_state(make: Any, state: str, letter: str) -> None:
    assert ignored(act(make, Command.START, state, letter, make.observed(objects=frozenset(), record=False)))


@pytest.mark.parametrize("step", JOB_STEPS[:-1])
def test_a_complete_step_is_followed_by_the_next(make: Any, step: str) -> None:
    letter = letters.STEPS[step]
    following = JOB_STEPS[JOB_STEPS.index(step) + 1]
    observed = make.observed({step: make.job(step, JobPhase.COMPLETE)})
    actions = act(make, Command.STEP_CHANGED, "R", letter, observed, step)
    assert written(actions) == [f"-/{letters.STEPS[following]}"]
    assert created(actions) == [following]
    assert f"Job {step}" in deleted(actions)
    kinds = [type(action) for action in actions]
    assert kinds.index(Write) < kinds.index(Create) < kinds.index(Delete)


@pytest.mark.parametrize(
    ("step", "gone"),
    [
        ("stage_data", {"Job stage_data", "ConfigMap stage_data"}),
        ("run_workflow", {"Job run_workflow"}),
        ("organize_output", {"Job organize_output", "ConfigMap organize_output"}),
        ("save_output", {"Job save_output", "ConfigMap save_output", "PersistentVolumeClaim job-data"}),
    ],
)
def test_what_a_complete_step_leaves_is_removed(make: Any, step: str, gone: set[str]) -> None:
    observed = make.observed({step: make.job(step, JobPhase.COMPLETE)})
    assert deleted(act(make, Command.STEP_CHANGED, "R", letters.STEPS[step], observed, step)) == gone


def test_a_complete_record_step_stores_the_ids_and_finishes_in_one_write(make: Any) -> None:
    ids = {"project_id": "p", "readme_file_id": "r"}
    step = "record_output_project"
    observed = make.observed({step: make.job(step, JobPhase.COMPLETE, ids=ids)})
    actions = act(make, Command.STEP_CHANGED, "R", "P", observed, step)
    assert actions[0] == StoreOutput(ids=ids)
    assert written(actions) == ["F/"]
    assert deleted(actions) == {f"Job {step}", "PersistentVolumeClaim output-data"}


def test_the_record_step_s_letter_is_written_but_no_job_made_when_save_output_reported_the_ids(make: Any) -> None:
    ids = {"project_id": "p", "readme_file_id": "r"}
    observed = make.observed({"save_output": make.job("save_output", JobPhase.COMPLETE, ids=ids)})
    actions = act(make, Command.STEP_CHANGED, "R", "O", observed, "save_output")
    assert written(actions) == ["-/P", "F/"]
    assert created(actions) == []
    assert StoreOutput(ids=ids) in actions


@pytest.mark.parametrize("step", JOB_STEPS[:-1])
def test_a_transition_interrupted_before_the_next_job_is_resumed(make: Any, step: str) -> None:
    following = JOB_STEPS[JOB_STEPS.index(step) + 1]
    observed = make.observed({step: make.job(step, JobPhase.COMPLETE)})
    actions = act(make, Command.STEP_CHANGED, "R", letters.STEPS[following], observed, step)
    assert created(actions) == [following]
    assert f"Job {step}" in deleted(actions)
    assert written(actions) == []


@pytest.mark.parametrize(("step", "condition"), [*itertools.product(JOB_STEPS, [Condition.COMPLETE, Condition.FAILED])])
def test_a_report_is_ignored_while_the_cluster_s_job_is_at_work(make: Any, step: str, condition: Condition) -> None:
    run = make.run("R", letters.STEPS[step])
    observed = make.observed({step: make.job(step)})
    assert ignored(decide(make.plan(), run, observed, intent_of(message(Command.STEP_CHANGED, step, condition), run)))


@pytest.mark.parametrize(("reported", "at"), [*itertools.permutations(JOB_STEPS, 2)])
def test_a_late_report_of_another_step_is_ignored(make: Any, reported: str, at: str) -> None:
    observed = make.observed({at: make.job(at)})
    assert ignored(act(make, Command.STEP_CHANGED, "R", letters.STEPS[at], observed, reported))


@pytest.mark.parametrize(("state", "letter"), [*itertools.product([s for s in STATES if s != "R"], LETTERS)])
def test_a_report_is_ignored_in_every_other_state(make: Any, state: str, letter: str) -> None:
    observed = make.observed(objects=frozenset(), record=False)
    assert ignored(act(make, Command.STEP_CHANGED, state, letter, observed, "run_workflow"))


@pytest.mark.parametrize("step", JOB_STEPS)
def test_a_failed_step_ends_the_run_in_error_and_keeps_everything(make: Any, step: str) -> None:
    observed = make.observed({step: make.job(step, JobPhase.FAILED)})
    actions = act(make, Command.STEP_CHANGED, "R", letters.STEPS[step], observed, step)
    assert written(actions) == [f"E/{letters.STEPS[step]}"]
    assert deleted(actions) == set()
    reports = [action for action in actions if isinstance(action, ReportError)]
    assert [report.failure.step for report in reports] == [step]
    kinds = [type(action) for action in actions]
    assert kinds.index(NoteFailure) < kinds.index(Write) < kinds.index(ReportError)


@pytest.mark.parametrize("step", JOB_STEPS)
def test_a_job_that_vanished_for_the_last_time_ends_the_run_in_error(make: Any, step: str) -> None:
    observed = make.observed(recorded={step: StepRecord(attempt=3, uid="uid-gone", retries=2)})
    actions = act(make, Command.STEP_CHANGED, "R", letters.STEPS[step], observed, step)
    assert written(actions) == [f"E/{letters.STEPS[step]}"]


def test_a_step_that_can_t_be_done_again_ends_the_run_without_a_promise_to_do_it_again(make: Any) -> None:
    vanished = StepRecord(attempt=1, uid="uid-gone")
    observed = make.observed(recorded={"run_workflow": vanished})
    observed = replace(observed, objects=frozenset())  # its volume went with its Job
    actions = act(make, Command.STEP_CHANGED, "R", "R", observed, "run_workflow")
    assert written(actions) == ["E/R"]
    assert not [action for action in actions if isinstance(action, SetCondition)]


def test_a_run_whose_record_was_deleted_with_all_that_it_had_is_told_so(make: Any) -> None:
    actions = act(make, Command.STEP_CHANGED, "R", "R", make.observed(volumes=(), record=False), "run_workflow")
    assert written(actions) == ["E/R"]
    assert "there is no ConfigMap lando-run-42, whose deletion takes all of a run with it." in repr(actions)


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("SRrEANc", LETTERS)])
def test_cancel_acts_in_every_state_that_has_not_ended(make: Any, state: str, letter: str) -> None:
    step = BY_LETTER.get(letter)
    jobs = {step: make.job(step)} if step in JOB_STEPS else {}
    actions = act(make, Command.CANCEL, state, letter, make.observed(jobs))
    assert written(actions) == ["C/"]
    assert "PersistentVolumeClaim output-data" in deleted(actions)
    assert all(f"Job {step}" in deleted(actions) for step in jobs)
    assert created(actions) == []


def test_cancel_of_a_canceled_run_only_repeats_the_cleanup(make: Any) -> None:
    actions = act(make, Command.CANCEL, "C", "", make.observed())
    assert written(actions) == []
    assert deleted(actions) == {"PersistentVolumeClaim job-data", "PersistentVolumeClaim output-data"}


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("FD", LETTERS)])
def test_cancel_is_ignored_when_finished_or_deleted(make: Any, state: str, letter: str) -> None:
    assert ignored(act(make, Command.CANCEL, state, letter, make.observed(objects=frozenset(), record=False)))


@pytest.mark.parametrize(("state", "step"), [*itertools.product("rE", JOB_STEPS)])
def test_restart_begins_again_at_the_step_where_the_run_stopped(make: Any, state: str, step: str) -> None:
    observed = make.observed({step: make.job(step, JobPhase.FAILED)})
    actions = act(make, Command.RESTART, state, letters.STEPS[step], observed)
    assert written(actions)[0] == f"R/{letters.STEPS[step]}"
    assert created(actions) == [step]
    assert [action.attempt for action in actions if isinstance(action, Create)] == [2]
    assert deleted(actions) == {f"Job {step}"}


@pytest.mark.parametrize("phase", [JobPhase.RUNNING, JobPhase.WAITING, JobPhase.COMPLETE])
def test_restart_of_a_run_that_lando_gave_up_goes_on_with_a_step_that_has_not_failed(
    make: Any, phase: JobPhase
) -> None:
    observed = make.observed({"run_workflow": make.job("run_workflow", phase)})
    actions = act(make, Command.RESTART, "r", "R", observed)
    assert written(actions)[0] == "R/R"
    assert created(actions) == (["organize_output"] if phase is JobPhase.COMPLETE else [])
    assert "Job run_workflow" not in (set() if phase is JobPhase.COMPLETE else deleted(actions))
    assert not [action for action in actions if isinstance(action, RecordAttempts) and "run_workflow" in action.steps]


def test_restart_does_a_step_again_that_succeeded_without_the_report_it_was_made_for(make: Any) -> None:
    observed = make.observed({"save_output": make.job("save_output", JobPhase.COMPLETE)})
    actions = act(make, Command.RESTART, "r", "O", observed)
    assert created(actions) == ["save_output"]
    assert [action.attempt for action in actions if isinstance(action, Create)] == [2]


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("rE", ["", "V"]), ("C", "")])
def test_restart_without_a_step_begins_from_the_very_beginning(make: Any, state: str, letter: str) -> None:
    actions = act(make, Command.RESTART, state, letter, make.observed())
    assert [text.split("/")[0] for text in written(actions)] == ["R", "-", "-"]
    assert created(actions) == ["create_volume", "stage_data"]
    assert deleted(actions) == {"PersistentVolumeClaim job-data", "PersistentVolumeClaim output-data"}


def test_restart_at_the_run_step_makes_the_missing_output_volume_first(make: Any) -> None:
    data = make.plan().steps[0].makes
    observed = make.observed(volumes=data, recorded={})
    actions = act(make, Command.RESTART, "r", "R", observed)
    assert created(actions) == ["run_workflow"]


@pytest.mark.parametrize("step", ["run_workflow", "organize_output", "save_output", "record_output_project"])
def test_restart_without_the_volumes_that_the_step_reads_begins_from_the_very_beginning(make: Any, step: str) -> None:
    actions = act(make, Command.RESTART, "E", letters.STEPS[step], make.observed(volumes=()))
    assert created(actions) == ["create_volume", "stage_data"]
    assert written(actions) == ["R/", "-/V", "-/S"]


@pytest.mark.parametrize(("state", "letter"), [*itertools.product("ScANFD", LETTERS)])
def test_restart_is_ignored_in_every_other_state(make: Any, state: str, letter: str) -> None:
    assert ignored(act(make, Command.RESTART, state, letter, make.observed(objects=frozenset(), record=False)))


@pytest.mark.parametrize("letter", ["S", "R", "o", "O", "P"])
def test_restart_of_a_running_run_is_ignored(make: Any, letter: str) -> None:
    step = BY_LETTER[letter]
    assert ignored(act(make, Command.RESTART, "R", letter, make.observed({step: make.job(step)})))


@pytest.mark.parametrize("state", list(RunState))
def test_debug_commands_are_never_more_than_a_look(make: Any, state: RunState) -> None:
    assert intent_of(message(Command.DEBUG), make.run(letters.STATES[state], "")) is Intent.NONE


@pytest.mark.parametrize(("command", "state"), [(Command.START, "S"), (Command.RESTART, "r"), (Command.START, "A")])
@pytest.mark.parametrize("generation", [None, 3])
def test_no_message_begins_a_run_that_waits_for_its_turn(
    make: Any, command: Command, state: str, generation: int | None
) -> None:
    run = replace(make.run(state, ""), held=True, generation=generation)
    stray = replace(message(command), generation=generation)
    assert intent_of(stray, run) is Intent.NONE
    assert run.intent is Intent.NONE
    assert ignored(decide(make.plan(), run, make.observed(), Intent.NONE))
    assert intent_of(message(Command.CANCEL), run) is Intent.CANCEL


def test_a_command_of_an_earlier_generation_is_history(make: Any) -> None:
    run = replace(make.run("E", "R"), generation=3)
    old = Message(command=Command.RESTART, run_id=42, generation=2)
    assert intent_of(old, run) is Intent.NONE
    assert intent_of(replace(old, generation=3), replace(run, state=RunState.RESTARTING)) is Intent.RESTART


def test_a_restart_that_comes_twice_does_not_restart_the_run_that_failed_again_since(make: Any) -> None:
    run = replace(make.run("r", "R"), generation=3)
    restart = Message(command=Command.RESTART, run_id=42, generation=3)
    assert intent_of(restart, run) is Intent.RESTART
    for state in ("R", "E", "C"):
        assert intent_of(restart, replace(make.run(state, "R"), generation=3)) is Intent.NONE


@pytest.mark.parametrize(
    ("command", "intent", "wanted"),
    [
        (Command.CANCEL, Intent.CANCEL, "cC"),
        (Command.RESTART, Intent.RESTART, "r"),
        (Command.START, Intent.START, "SA"),
    ],
)
@pytest.mark.parametrize("state", STATES)
def test_a_command_that_may_have_been_carried_out_acts_only_where_the_run_still_waits_for_it(
    make: Any, command: Command, intent: Intent, wanted: str, state: str
) -> None:
    run = make.run(state, "")
    again = Message(command=command, run_id=42, was_tried=True)
    assert intent_of(again, run) is (intent if state in wanted else Intent.NONE)
    for was_tried in (False, True):
        known = Message(command=command, run_id=42, was_tried=was_tried, generation=3)
        assert intent_of(known, replace(run, generation=3)) is intent_of(again, run)


def test_letters_and_steps_are_projections_of_each_other() -> None:
    for letter in LETTERS[1:]:
        assert letters.letter_of(letters.steps_of(RunState.RUNNING, letter)) == letter
    assert letters.letter_of(letters.steps_of(RunState.FINISHED, "")) == ""
    assert set(letters.steps_of(RunState.RUNNING, "T").values()) == {StepState.PENDING}
