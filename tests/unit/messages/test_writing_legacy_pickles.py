from __future__ import annotations

import pickletools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.messages import Command, Condition, Evidence, Message
from lando.messages.codec import can_encode, content_type, decode, encode, message_id
from lando.messages.pickle_reader import read_request
from lando.messages.pickle_writer import write_request
from lando.runs import Category
from tests.services.vectors import GOOD


def _changed(condition: Condition, step: str = "run_workflow", run_id: int = 42, **more: Any) -> Message:
    evidence = Evidence(step=step, condition=condition, **more)
    return Message(command=Command.STEP_CHANGED, run_id=run_id, evidence=evidence)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ("V1", Message(command=Command.START, run_id=42)),
        ("V3", Message(command=Command.CANCEL, run_id=42)),
        ("V4", Message(command=Command.RESTART, run_id=42)),
        ("V5", _changed(Condition.COMPLETE, "stage_data")),
        ("V6", _changed(Condition.COMPLETE, "save_output")),
        ("V7", _changed(Condition.FAILED, log_tail="Traceback: tool failed\nexit status 1 — ü")),
        ("V8", _changed(Condition.COMPLETE, "record_output_project")),
    ],
)
def test_a_message_is_written_byte_for_byte_as_the_original_clients_do(vector: str, message: Message) -> None:
    assert encode(message, "pickle") == GOOD[vector]


@pytest.mark.parametrize(
    ("vector", "command", "payload_class", "payload"),
    [
        ("V2", "start_job", "StartJobPayload", {"job_id": 42}),
        ("V9", "start_debug", "StartDebugPayload", {"job_id": "42"}),
        ("V10", "cancel_debug", "CancelDebugPayload", {"job_id": "42"}),
        ("V11", "start_job", "StartJobPayload", {"job_id": 300}),
        ("V12", "start_job", "StartJobPayload", {"job_id": 70000}),
        ("V13", "start_job", "StartJobPayload", {"job_id": 2**40}),
    ],
)
def test_every_kind_of_value_is_written_as_the_original_clients_do(
    vector: str, command: str, payload_class: str, payload: dict[str, Any]
) -> None:
    assert write_request(command, payload_class, payload) == GOOD[vector]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_changed(Condition.WAITING), id="waiting"),
        pytest.param(_changed(Condition.GONE), id="gone"),
        pytest.param(_changed(Condition.COMPLETE, step="phase-1"), id="a step of another plan"),
        pytest.param(Message(command=Command.STEP_CHANGED, run_id=1), id="no evidence"),
        pytest.param(Message(command=Command.START, run_id=1, kind="batch"), id="another kind"),
        pytest.param(Message(command=Command.DEBUG, run_id=1), id="debug"),
    ],
)
def test_what_the_legacy_form_has_no_words_for_is_not_written(message: Message) -> None:
    assert not can_encode(message, "pickle")
    with pytest.raises(ValueError, match="can't be told"):
        encode(message, "pickle")


def test_a_failure_tells_its_cause_before_the_log() -> None:
    message = _changed(
        Condition.FAILED, category=Category.RESOURCES, cause="Out of memory.", exit_code=137, log_tail="last line\n"
    )
    assert read_request(encode(message, "pickle")).payload == {
        "job_id": "42",
        "vm_instance_name": None,
        "message": "Out of memory.\n\nlast line",
    }


def test_a_failure_without_any_text_still_says_something() -> None:
    payload = read_request(encode(_changed(Condition.FAILED), "pickle")).payload
    assert payload is not None
    assert payload["message"]


def test_a_pickle_is_published_without_content_type_and_id() -> None:
    message = Message(command=Command.START, run_id=1)
    assert (content_type("pickle"), message_id(message, "pickle")) == (None, None)


COMMANDS = st.sampled_from([Command.START, Command.RESTART, Command.CANCEL])
STEPS = st.sampled_from(["stage_data", "run_workflow", "organize_output", "save_output", "record_output_project"])
IDS = st.integers(0, 2**63 - 1)


@given(COMMANDS, IDS)
def test_a_command_survives_writing_and_reading(command: Command, run_id: int) -> None:
    read = decode(encode(Message(command=command, run_id=run_id), "pickle"))
    assert (read.command, read.run_id, read.evidence) == (command, run_id, None)


@given(STEPS, IDS, st.text(min_size=1).filter(str.strip))
def test_a_failure_survives_writing_and_reading(step: str, run_id: int, text: str) -> None:
    evidence = Evidence(step=step, condition=Condition.FAILED, log_tail=text)
    body = encode(Message(command=Command.STEP_CHANGED, run_id=run_id, evidence=evidence), "pickle")
    assert decode(body).evidence == evidence


@given(st.integers(-(2**70), 2**70), st.text(), st.none() | st.text())
def test_what_is_written_is_a_pickle_to_pythons_own_tools(number: int, text: str, other: str | None) -> None:
    payload: dict[str, str | int | None] = {"job_id": number, "message": text, "other": other}
    body = write_request("run_job_error", "JobStepErrorPayload", payload)
    assert [opcode.name for opcode, _, _ in pickletools.genops(body)][-1] == "STOP"
    assert read_request(body).payload == payload
