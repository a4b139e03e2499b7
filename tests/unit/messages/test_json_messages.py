from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.errors import MessageError, UnknownCommand, UnreadableMessage, UnsupportedVersion
from lando.messages import Command, Condition, Evidence, Message
from lando.messages.codec import can_encode, content_type, decode, encode, message_id, progress_notice
from lando.messages.json_form import SIZE_LIMIT
from lando.runs import CAUSE_TEXT_LIMIT, Category

EXAMPLE: dict[str, Any] = {
    "v": 1,
    "id": "7d3f6c1e-8a53-4e0e-9f5e-0c5a0f1f7b11",
    "command": "step_changed",
    "kind": "cwl",
    "job_id": 42,
    "generation": 3,
    "sent": "2026-03-04T10:11:12.345Z",
    "evidence": {
        "step": "run_workflow",
        "job": "run-workflow-42-ada",
        "uid": "2b1e",
        "condition": "Failed",
        "category": "resources",
        "cause": "The container was ended for using more memory than its limit of 2Gi.",
        "exit_code": 137,
        "log_tail": "last line",
        "termination_message": {"cause": {"category": "resources"}},
    },
}
READ = Message(
    command=Command.STEP_CHANGED,
    run_id=42,
    kind="cwl",
    generation=3,
    id="7d3f6c1e-8a53-4e0e-9f5e-0c5a0f1f7b11",
    sent=datetime(2026, 3, 4, 10, 11, 12, 345000, tzinfo=UTC),
    evidence=Evidence(
        step="run_workflow",
        job="run-workflow-42-ada",
        uid="2b1e",
        condition=Condition.FAILED,
        category=Category.RESOURCES,
        cause="The container was ended for using more memory than its limit of 2Gi.",
        exit_code=137,
        log_tail="last line",
        termination_message={"cause": {"category": "resources"}},
    ),
)


def _body(**changes: Any) -> bytes:
    document = {**EXAMPLE, **changes}
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def _evidence(**changes: Any) -> bytes:
    evidence = {**EXAMPLE["evidence"], **changes}
    return _body(evidence={key: value for key, value in evidence.items() if value is not ...})


def test_the_contracts_example_is_read() -> None:
    assert decode(_body()) == READ


def test_the_contracts_example_is_written() -> None:
    written = json.loads(encode(READ, "json"))
    assert written == {**EXAMPLE, "sent": "2026-03-04T10:11:12.345000Z"}


def test_a_start_is_written_with_no_more_than_it_needs() -> None:
    message = Message(command=Command.START, run_id=7)
    document = json.loads(encode(message, "json"))
    assert list(document) == ["v", "id", "command", "kind", "job_id", "sent"]
    assert (content_type("json"), message_id(message, "json")) == ("application/json", message.id)
    assert document["id"] == message.id


def test_the_least_that_a_message_needs() -> None:
    message = decode(b'{"v": 1, "command": "cancel", "job_id": "42"}')
    assert (message.command, message.run_id, message.kind, message.generation) == (Command.CANCEL, 42, "cwl", None)
    assert message.id
    assert message.sent.tzinfo is UTC


def test_unknown_fields_are_ignored_and_null_is_absent() -> None:
    body = _body(future=[1, {}], kind=None, generation=None, evidence={"step": "a", "condition": "Gone", "x": 1})
    message = decode(body)
    assert (message.kind, message.generation) == ("cwl", None)
    assert message.evidence == Evidence(step="a", condition=Condition.GONE)


def test_evidence_is_only_read_where_it_belongs() -> None:
    assert decode(_body(command="start", evidence={"nonsense": True})).evidence is None
    assert decode(_body(evidence=...)).evidence is None


def test_a_category_of_a_newer_sender_is_left_out() -> None:
    evidence = decode(_evidence(category="weather")).evidence
    assert evidence is not None
    assert evidence.category is None


def test_a_condition_of_a_newer_sender_is_a_reason_to_look() -> None:
    message = decode(_evidence(condition="Suspended"))
    assert (message.command, message.run_id, message.evidence) == (Command.STEP_CHANGED, 42, None)


@pytest.mark.parametrize("version", [..., None, 0, 2, "1", 1.5, True, [1]])
def test_another_version_is_put_aside(version: object) -> None:
    with pytest.raises(UnsupportedVersion, match="version"):
        decode(_body(v=version))


@pytest.mark.parametrize("command", [..., None, "", "debug", "start_job", "START", "make_tea"])
def test_an_unknown_command_is_put_aside(command: object) -> None:
    with pytest.raises(UnknownCommand, match="queue"):
        decode(_body(command=command))


@pytest.mark.parametrize("job_id", [..., None, True, -1, 1.0, "x", "1/../2", "", [], 2**63])
def test_a_job_id_has_to_be_a_whole_number(job_id: object) -> None:
    with pytest.raises(UnreadableMessage, match="job id"):
        decode(_body(job_id=job_id))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (_body(command=5), "command"),
        (_body(kind=5), "kind"),
        (_body(generation="3"), "generation"),
        (_body(generation=True), "generation"),
        (_body(generation=2**64), "generation"),
        (_body(id=5), "id"),
        (_body(sent="yesterday"), "sent"),
        (_body(sent="2026-03-04T10:11:12"), "sent"),
        (_body(sent="0001-01-01T00:00:00+23:59"), "sent"),
        (_body(evidence=[]), "evidence"),
        (_evidence(step=...), "step"),
        (_evidence(step=5), "step"),
        (_evidence(condition=...), "condition"),
        (_evidence(condition=5), "condition"),
        (_evidence(exit_code="137"), "exit_code"),
        (_evidence(log_tail=["a"]), "log_tail"),
        (_evidence(termination_message="{}"), "termination_message"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(body: bytes, field: str) -> None:
    with pytest.raises(UnreadableMessage, match=field):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}x",
        b"{'v': 1}",
        b'{"v": NaN}',
        b'{"v": 1, "x": "\xff"}',
        b'{"x":' * 100_000,
        b'{"v": 1, "command": "start", "job_id": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="JSON"):
        decode(body)


@pytest.mark.parametrize("body", [b"", b" {}", b"[]", b"null", b"\xef\xbb\xbf{}", b"(dp0\n."])
def test_what_begins_like_neither_form_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="neither"):
        decode(body)


def test_half_a_surrogate_pair_is_mended_wherever_it_stands() -> None:
    evidence = decode(_evidence(log_tail="a\ud800b", termination_message={"x": ["\udc00"]})).evidence
    assert evidence is not None
    assert (evidence.log_tail, evidence.termination_message) == ("a?b", {"x": ["?"]})


def test_evidence_is_bounded_when_written() -> None:
    text = "ü" * CAUSE_TEXT_LIMIT
    evidence = Evidence(step="a", condition=Condition.FAILED, cause=text, log_tail=text)
    body = encode(Message(command=Command.STEP_CHANGED, run_id=1, evidence=evidence), "json")
    assert len(body) < 2 * CAUSE_TEXT_LIMIT + 1000
    read = decode(body).evidence
    assert read is not None
    assert "left out" in read.log_tail


def test_the_longest_message_that_is_written_is_read() -> None:
    text = "\0" * CAUSE_TEXT_LIMIT
    evidence = Evidence(
        step="a", condition=Condition.FAILED, cause=text, log_tail=text, termination_message={"x": "\0" * 4096}
    )
    read = decode(encode(Message(command=Command.STEP_CHANGED, run_id=1, evidence=evidence), "json"))
    assert read.evidence == evidence


def test_a_longer_one_is_not_looked_at() -> None:
    with pytest.raises(UnreadableMessage, match=f"it may have {SIZE_LIMIT}"):
        decode(b'{"x":[' + b"[]," * (SIZE_LIMIT // 3) + b"[]]}")


def test_a_debug_command_has_no_json_form() -> None:
    message = Message(command=Command.DEBUG, run_id=1)
    assert not can_encode(message, "json")
    with pytest.raises(ValueError, match="no JSON form"):
        encode(message, "json")


def test_a_progress_notice_has_exactly_the_bytes_of_the_contract() -> None:
    assert progress_notice(42, "R", "S") == b'{"job": 42, "state": "R", "step": "S"}'
    assert progress_notice(1, "F", "") == b'{"job": 1, "state": "F", "step": ""}'


TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVIDENCE = st.builds(
    Evidence,
    step=TEXT.filter(bool),
    condition=st.sampled_from(Condition),
    job=st.none() | TEXT,
    uid=st.none() | TEXT,
    category=st.none() | st.sampled_from(Category),
    cause=TEXT,
    exit_code=st.none() | st.integers(-128, 255),
    log_tail=TEXT,
    termination_message=st.none() | st.dictionaries(TEXT, JSON, max_size=3),
)
SENT = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(timezone(timedelta(hours=2))))


@given(
    st.builds(
        Message,
        command=st.just(Command.STEP_CHANGED),
        run_id=st.integers(0, 2**63 - 1),
        kind=TEXT,
        generation=st.none() | st.integers(0, 2**31),
        evidence=st.none() | EVIDENCE,
        id=TEXT,
        sent=SENT,
    )
)
def test_every_message_survives_writing_and_reading(message: Message) -> None:
    assert decode(encode(message, "json")) == message


@given(st.builds(Message, command=st.just(Command.PRUNE), run_id=st.integers(0, 9), ended_before=st.none() | SENT))
def test_an_operators_wish_to_prune_survives_it_too(message: Message) -> None:
    assert decode(encode(message, "json")) == message


@given(st.dictionaries(st.sampled_from([*EXAMPLE, "x"]), JSON | st.sampled_from(list(EXAMPLE.values()))))
def test_any_object_raises_nothing_but_message_errors(document: dict[str, Any]) -> None:
    body = json.dumps({"v": 1, "command": "step_changed", "job_id": 1, **document}).encode()
    try:
        told = decode(body).command.value
    except MessageError as error:
        told = str(error)
    assert told
