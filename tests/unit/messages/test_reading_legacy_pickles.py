from __future__ import annotations

import os
import pickle
import pickletools
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.errors import (
    MessageError,
    UnknownCommand,
    UnreadableMessage,
    UnsafeMessage,
    UnsupportedVersion,
)
from lando.messages import Command, Condition
from lando.messages.codec import SIZE_LIMIT, decode
from lando.messages.pickle_reader import read_request
from lando.messages.pickle_writer import write_request
from lando.runs import CAUSE_TEXT_LIMIT
from tests.services.vectors import BAD, GOOD

STEP_COMMANDS = {
    "stage_job": "stage_data",
    "run_job": "run_workflow",
    "organize_output": "organize_output",
    "store_job_output": "save_output",
    "record_output_project": "record_output_project",
}


@pytest.fixture(autouse=True)
def _nothing_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def called() -> str:
        raise AssertionError("a message called os.getcwd")

    monkeypatch.setattr(os, "getcwd", called)


@pytest.mark.parametrize(
    ("vector", "command", "run_id"),
    [
        ("V1", Command.START, 42),
        ("V2", Command.START, 42),
        ("V3", Command.CANCEL, 42),
        ("V4", Command.RESTART, 42),
        ("V5", Command.STEP_CHANGED, 42),
        ("V6", Command.STEP_CHANGED, 42),
        ("V7", Command.STEP_CHANGED, 42),
        ("V8", Command.STEP_CHANGED, 42),
        ("V9", Command.DEBUG, 42),
        ("V10", Command.DEBUG, 42),
        ("V11", Command.START, 300),
        ("V12", Command.START, 70000),
        ("V13", Command.START, 2**40),
        ("V14", Command.START, 1),
        ("V15", Command.START, 42),
    ],
)
def test_every_good_vector_is_read(vector: str, command: Command, run_id: int) -> None:
    message = decode(GOOD[vector])
    assert (message.command, message.run_id, message.kind, message.generation) == (command, run_id, "cwl", None)


def test_the_vectors_are_complete() -> None:
    assert list(GOOD) == [f"V{number}" for number in range(1, 16)]
    assert list(BAD) == [f"N{number}" for number in range(1, 13)]


@pytest.mark.parametrize(
    ("vector", "step", "condition", "log"),
    [
        ("V5", "stage_data", Condition.COMPLETE, ""),
        ("V6", "save_output", Condition.COMPLETE, ""),
        ("V7", "run_workflow", Condition.FAILED, "Traceback: tool failed\nexit status 1 — ü"),
        ("V8", "record_output_project", Condition.COMPLETE, ""),
    ],
)
def test_a_watchers_report_becomes_evidence(vector: str, step: str, condition: Condition, log: str) -> None:
    evidence = decode(GOOD[vector]).evidence
    assert evidence is not None
    assert (evidence.step, evidence.condition, evidence.log_tail, evidence.uid) == (step, condition, log, None)


@pytest.mark.parametrize("stem", STEP_COMMANDS)
@pytest.mark.parametrize(("end", "condition"), [("complete", Condition.COMPLETE), ("error", Condition.FAILED)])
def test_every_step_command_is_known(stem: str, end: str, condition: Condition) -> None:
    payload = {"job_id": 7, "vm_instance_name": None, "message": "why"}
    evidence = decode(write_request(f"{stem}_{end}", "JobStepErrorPayload", payload)).evidence
    assert evidence is not None
    assert (evidence.step, evidence.condition) == (STEP_COMMANDS[stem], condition)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ("N1", UnsupportedVersion),
        ("N2", UnknownCommand),
        ("N3", UnsafeMessage),
        ("N4", UnsafeMessage),
        ("N5", UnsafeMessage),
        ("N6", UnsafeMessage),
        ("N7", UnreadableMessage),
        ("N8", UnreadableMessage),
        ("N9", UnreadableMessage),
        ("N10", UnsupportedVersion),
        ("N12", UnsupportedVersion),
    ],
)
def test_every_bad_vector_is_refused_for_its_reason(vector: str, error: type[MessageError]) -> None:
    with pytest.raises(MessageError) as caught:
        decode(BAD[vector])
    assert type(caught.value) is error


def test_a_payload_class_of_another_command_will_do_when_it_has_the_attributes() -> None:
    assert (decode(BAD["N11"]).command, decode(BAD["N11"]).run_id) == (Command.START, 42)


def test_an_error_without_its_text_is_refused() -> None:
    with pytest.raises(UnreadableMessage, match="'message'"):
        decode(write_request("run_job_error", "JobStepCompletePayload", {"job_id": "1", "vm_instance_name": None}))


@pytest.mark.parametrize(
    "command", ["worker_started", "stage_job", "run_job", "organize_output", "store_job_output", ""]
)
def test_commands_of_the_vm_variant_are_unknown(command: str) -> None:
    with pytest.raises(UnknownCommand):
        decode(write_request(command, "StartJobPayload", {"job_id": "1"}))


@pytest.mark.parametrize("job_id", ["", "-1", "+1", "1.0", " 1", "1\n", "٤٢", "²", "0x1", "1" * 5000, None, -1, 2**63])
def test_a_job_id_has_to_be_a_whole_number(job_id: str | int | None) -> None:
    with pytest.raises(UnreadableMessage, match="job id"):
        decode(write_request("start_job", "StartJobPayload", {"job_id": job_id}))


@pytest.mark.parametrize("job_id", ["0", "00042", 0, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**63 - 1])
def test_a_job_id_may_be_any_whole_number_that_a_database_holds(job_id: str | int) -> None:
    assert decode(write_request("start_job", "StartJobPayload", {"job_id": job_id})).run_id == int(job_id)


@pytest.mark.parametrize("version", ["2", "2.99.1", "2.", "2.0.0rc1"])
def test_every_version_with_our_major_number_is_read(version: str) -> None:
    assert decode(write_request("start_job", "StartJobPayload", {"job_id": 1}, version)).run_id == 1


@pytest.mark.parametrize("version", ["", "3.0.0", "20.1", "2x", " 2.0", "v2.0"])
def test_another_version_names_command_and_job_in_its_sentence(version: str) -> None:
    with pytest.raises(UnsupportedVersion, match=r"start_job.*'77'"):
        decode(write_request("start_job", "StartJobPayload", {"job_id": "77"}, version))


def test_a_text_with_half_a_surrogate_pair_is_mended() -> None:
    message = decode(write_request("run_job_error", "JobStepErrorPayload", {"job_id": 1, "message": "a\udc80b"}))
    assert message.evidence is not None
    assert message.evidence.log_tail == "a\N{REPLACEMENT CHARACTER}b"


def test_of_a_long_error_text_beginning_and_end_are_kept() -> None:
    text = f"first{'ü' * 1_000_000}last"
    message = decode(write_request("run_job_error", "JobStepErrorPayload", {"job_id": 1, "message": text}))
    assert message.evidence is not None
    log = message.evidence.log_tail
    assert (log[:5], log[-4:], "left out" in log) == ("first", "last", True)
    assert len(log.encode()) <= CAUSE_TEXT_LIMIT


def test_a_body_over_the_limit_is_not_looked_at() -> None:
    with pytest.raises(UnreadableMessage, match="bytes"):
        decode(b"\x80" + b"\0" * SIZE_LIMIT)


BEGIN = b"\x80\x02clando_messaging.workqueue\nWorkRequest\n"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(BEGIN + b")R.", UnsafeMessage, id="a call of an allowed class"),
        pytest.param(b"\x80\x02cos\nsystem\n(X\x02\0\0\0idtR.", UnsafeMessage, id="a shell command"),
        pytest.param(b"\x80\x02(X\x02\0\0\0idios\nsystem\n.", UnsafeMessage, id="INST"),
        pytest.param(b"\x80\x02(cos\nsystem\nX\x02\0\0\0ido.", UnsafeMessage, id="OBJ"),
        pytest.param(b"\x80\x02X\x01\0\0\0aQ.", UnsafeMessage, id="a persistent id"),
        pytest.param(b"\x80\x02Pabc\n.", UnsafeMessage, id="a persistent id as text"),
        pytest.param(b"\x80\x02\x82\x01.", UnsafeMessage, id="an extension code"),
        pytest.param(b"\x80\x02clando_messaging.workqueue\nos.system\n.", UnsafeMessage, id="a dotted name"),
        pytest.param(b"\x80\x02clando_messaging.messaging\nWorkRequest\n.", UnsafeMessage, id="the other module"),
        pytest.param(b"\x80\x02cbuiltins\neval\n.", UnsafeMessage, id="eval"),
        pytest.param(BEGIN + b"}\x81.", UnsafeMessage, id="arguments that are no tuple"),
        pytest.param(BEGIN + b"N\x85\x81.", UnreadableMessage, id="one argument"),
        pytest.param(b"\x80\x02N)\x81.", UnsafeMessage, id="an object of None"),
        pytest.param(b"\x80\x02X\x01\0\0\0a}b.", UnsafeMessage, id="state for a text"),
        pytest.param(BEGIN + b"}b.", UnsafeMessage, id="state for a class"),
        pytest.param(BEGIN + b")\x81Nb.", UnsafeMessage, id="state that is no dictionary"),
        pytest.param(BEGIN + b")\x81}b}b.", UnsafeMessage, id="state given twice"),
        pytest.param(BEGIN + b")\x81.", UnreadableMessage, id="a request without state"),
        pytest.param(BEGIN + b".", UnreadableMessage, id="a class alone"),
        pytest.param(b"\x80\x02.", UnreadableMessage, id="nothing"),
        pytest.param(b"\x80\x02NN.", UnreadableMessage, id="two objects"),
        pytest.param(b"\x80\x02(.", UnreadableMessage, id="a mark alone"),
        pytest.param(b"\x80\x02N0.", UnreadableMessage, id="POP"),
        pytest.param(b"\x80\x02]q\0h\0a.", UnreadableMessage, id="a list in itself"),
        pytest.param(b"\x80\x02}q\0h\0.", UnreadableMessage, id="a memo entry that is no text"),
        pytest.param(b"\x80\x02h\x07.", UnreadableMessage, id="a memo entry that is not there"),
        pytest.param(b"\x80\x02q\0.", UnreadableMessage, id="a memo entry of nothing"),
        pytest.param(b"\x80\x02(q\0.", UnreadableMessage, id="a memo entry of a mark"),
        pytest.param(b"\x80\x02}u.", UnreadableMessage, id="items without a mark"),
        pytest.param(b"\x80\x02}(Nu.", UnreadableMessage, id="half an item"),
        pytest.param(b"\x80\x02}NNs.", UnreadableMessage, id="a key that is no text"),
        pytest.param(b"\x80\x02}X\x01\0\0\0a}s.", UnreadableMessage, id="a dictionary in a dictionary"),
        pytest.param(b"\x80\x02X\xff\xff\xff\xffabc.", UnreadableMessage, id="a text of 4 GiB"),
        pytest.param(b"\x80\x02T\xff\xff\xff\xffabc.", UnreadableMessage, id="a text of negative length"),
        pytest.param(b"\x80\x02\x8a\xffab.", UnreadableMessage, id="a cut number"),
        pytest.param(b"\x80\x02X\x01\0\0\0\xff.", UnreadableMessage, id="a text that is not UTF-8"),
        pytest.param(b"\x80\x02U\x01\xe9.", UnreadableMessage, id="an old text that is not ASCII"),
        pytest.param(b"\x80\x02" + b"N" * 1000 + b".", UnreadableMessage, id="too many opcodes"),
        pytest.param(b"\x80\x02c" + b"a" * 1000, UnreadableMessage, id="a name without end"),
        pytest.param(b"\x80\x03N.", UnreadableMessage, id="protocol 3"),
        pytest.param(b"\x80", UnreadableMessage, id="one byte"),
        pytest.param(b"", UnreadableMessage, id="no byte"),
        pytest.param(b"(dp0\n.", UnreadableMessage, id="protocol 0"),
        pytest.param(GOOD["V1"] + b"\n", UnreadableMessage, id="bytes after the end"),
        pytest.param(GOOD["V1"] + GOOD["V1"], UnreadableMessage, id="two messages"),
    ],
)
def test_what_no_sender_writes_is_refused(body: bytes, error: type[MessageError]) -> None:
    with pytest.raises(MessageError) as caught:
        decode(body)
    assert type(caught.value) is error


def _nested(inner: bytes) -> bytes:
    """A request whose payload is what ``inner`` leaves on the stack."""
    return BEGIN + b")\x81}X\x07\0\0\0payload" + inner + b"sb."


PAYLOAD = b"clando_messaging.messaging\nStartJobPayload\n)\x81"


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(BEGIN[2:] + b")\x81}b", id="a request in a request"),
        pytest.param(PAYLOAD, id="a payload without state"),
        pytest.param(PAYLOAD + b"}X\x06\0\0\0job_id" + PAYLOAD + b"}bsb", id="a payload in a payload"),
    ],
)
def test_objects_nest_only_as_payloads_in_requests(inner: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="nests"):
        decode(_nested(inner))


def test_an_object_in_another_attribute_is_refused() -> None:
    body = BEGIN + b")\x81}X\x07\0\0\0command" + PAYLOAD + b"}bsb."
    with pytest.raises(UnreadableMessage, match="nests"):
        decode(body)


def test_a_request_without_payload_is_refused() -> None:
    body = GOOD["V1"].replace(b"payload", b"payl0ad")
    with pytest.raises(UnreadableMessage):
        decode(body)


def test_the_memo_may_be_left_out_or_reused() -> None:
    without_memo = pickletools.optimize(GOOD["V7"])
    assert decode(without_memo).evidence == decode(GOOD["V7"]).evidence
    body = write_request("start_job", "StartJobPayload", {"job_id": "2.1.0"})
    reused = body.replace(b"X\x05\0\0\x002.1.0q\x0cub.", b"h\x0aub.")
    assert reused != body
    assert read_request(reused).version == "2.1.0"


def test_unknown_attributes_are_ignored() -> None:
    payload = {"job_id": "5", "added_in_2_2": "x", "__class__": "os.system"}
    assert decode(write_request("start_job", "StartJobPayload", payload)).run_id == 5


def test_pythons_own_pickles_of_anything_else_are_refused() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in ({"send_email": 17}, [1, 2], 1.5, "text", os.path.join, Exception("x")):
            with pytest.raises(MessageError):
                decode(pickle.dumps(value, protocol))


@given(
    st.sampled_from([*GOOD.values(), *BAD.values()]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255), st.sampled_from("=-+")), max_size=8),
)
def test_mutated_messages_raise_nothing_but_message_errors(body: bytes, changes: list[tuple[int, int, str]]) -> None:
    mutated = bytearray(body)
    for position, byte, kind in changes:
        at = position % (len(mutated) or 1)
        mutated[at : at + (kind != "+")] = b"" if kind == "-" else bytes((byte,))
    _survives(bytes(mutated))


_PIECES = st.sampled_from(
    [
        b"clando_messaging.workqueue\nWorkRequest\n",
        b"clando_messaging.messaging\nStartJobPayload\n",
        b"cos\ngetcwd\n",
        b")\x81",
        b")R",
        b"}",
        b"(",
        b"X\x06\0\0\0job_id",
        b"X\x07\0\0\0payload",
        b"U\x01a",
        b"N",
        b"K\x01",
        b"\x8a\x01\xff",
        b"s",
        b"u",
        b"b",
        b"q\0",
        b"h\0",
        b"r\0\0\0\0",
        b"j\0\0\0\0",
        b"0",
        b"\x93",
        b".",
    ]
)


@given(st.lists(_PIECES, max_size=30))
def test_programs_of_known_opcodes_raise_nothing_but_message_errors(pieces: list[bytes]) -> None:
    _survives(b"\x80\x02" + b"".join(pieces) + b".")


@given(st.sampled_from([b"", b"\x80", b"\x80\x02", b"\x80\x04\x95", b"{"]), st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_message_errors(start: bytes, rest: bytes) -> None:
    _survives(start + rest)


def _survives(body: bytes) -> None:
    modules = set(sys.modules)
    try:
        told = decode(body).command.value
    except MessageError as error:
        told = str(error)
    assert told
    assert {name for name in set(sys.modules) - modules if "encodings" not in name} == set()


def test_lengths_are_checked_before_memory_is_reserved() -> None:
    import tracemalloc

    body = b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"abc."
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableMessage):
            decode(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
