"""The frame of a step's program: exit codes, termination message, command files."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.errors import ConfigError, InputError, LandoError, StepError, Unavailable
from lando.runs import Category, Cause
from lando.steps import memory
from lando.steps.program import (
    TERMINATION_MESSAGE_LIMIT,
    ProgramFailedError,
    UsageError,
    encode_report,
    read_command_file,
    run_program,
)
from tests.services.providing import wait_until
from tests.services.step_surroundings import Termination


@pytest.fixture(autouse=True)
def _keep_signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(outcome: dict[str, Any] | BaseException) -> int:
    def work(_argv: Sequence[str]) -> dict[str, Any]:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return run_program("step", "step FILE", work, [])


def test_asked_for_help_a_program_says_how_it_is_used_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_argv: Sequence[str]) -> dict[str, Any]:
        raise AssertionError

    assert run_program("step", "step FILE", work, ["--help"]) == 0
    assert capsys.readouterr().out == "Usage: step FILE\n"


def test_success_exits_0_with_its_report(termination: Termination) -> None:
    assert run({"project_id": "file:///x"}) == 0
    assert termination.read() == {"project_id": "file:///x"}


def test_nothing_to_report_leaves_no_message(termination: Termination) -> None:
    assert run({}) == 0
    assert not termination.path.exists()


def test_the_memory_told_ahead_goes_with_success_and_stays_with_a_failure(
    termination: Termination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEASURE_S", 0.001)
    termination.path.touch()

    def measured(_argv: Sequence[str]) -> dict[str, Any]:
        wait_until(lambda: termination.path.stat().st_size > 0, what="a measure")
        return {}

    assert run_program("step", "step FILE", measured, []) == 0
    assert termination.path.read_bytes() == b""

    def failing(argv: Sequence[str]) -> dict[str, Any]:
        measured(argv)
        raise InputError("No such thing.")

    assert run_program("step", "step FILE", failing, []) == 1
    assert termination.cause()["sentence"] == "No such thing."
    assert termination.read()["memory"]["peak"] > 0


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (InputError("No such thing"), "user"),
        (ConfigError("No such key."), "user"),
        (Unavailable("S3", "silent"), "infrastructure"),
        (LandoError("Odd."), "user"),
        (OSError(errno.ENOSPC, "No space left on device", "/bespin/x"), "resources"),
        (OSError(errno.EIO, "Input/output error", "/bespin/x"), "infrastructure"),
        (StepError(Cause(category=Category.IMAGE, sentence="No engine.")), "image"),
    ],
)
def test_a_foreseen_failure_exits_1_with_a_cause_and_no_traceback(
    error: Exception, category: str, termination: Termination, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(error) == 1
    cause = termination.cause()
    assert cause["category"] == category
    assert cause["sentence"].endswith(".")
    output = capsys.readouterr().out
    assert output.startswith(f"step failed: {cause['sentence']}")
    assert "Traceback" not in output


def test_an_unforeseen_failure_leaves_its_trace_in_the_log(
    termination: Termination, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ZeroDivisionError("division by zero")) == 1
    assert termination.cause()["category"] == "infrastructure"
    assert "Traceback" in capsys.readouterr().out


def test_wrong_arguments_exit_2_with_the_usage(termination: Termination, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(UsageError("too few.")) == 2
    assert capsys.readouterr().out == "step: too few. Usage: step FILE\n"
    assert not termination.path.exists()


def test_a_failure_can_have_its_own_exit_code_and_report(termination: Termination) -> None:
    cause = Cause(category=Category.USER, sentence="Tool x exited with 3.", exit_code=3)
    assert run(ProgramFailedError(cause, exit_code=33, report={"warnings": ["w"]})) == 33
    assert termination.read()["warnings"] == ["w"]
    assert termination.cause()["exit_code"] == 3


def test_sigterm_leaves_through_the_finally_blocks() -> None:
    left = []

    def work(_argv: Sequence[str]) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            left.append(True)
        return {}

    with pytest.raises(SystemExit) as stopped:
        run_program("step", "", work, [])
    assert stopped.value.code == 143
    assert left == [True]


def test_a_message_that_can_t_be_left_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANDO_TERMINATION_LOG", str(tmp_path / "missing/log"))
    assert run({"a": "b"}) == 0
    assert "warning: the termination message could not be left" in capsys.readouterr().out


def test_a_long_report_stays_json_within_the_limit_and_keeps_what_matters() -> None:
    report = {
        "cause": {"category": "user", "sentence": "ä" * 5000, "advice": "Do that."},
        "warnings": [f"tool {number} ran without its image" for number in range(500)],
    }
    data = encode_report(report)
    assert len(data) <= TERMINATION_MESSAGE_LIMIT
    read = json.loads(data)
    assert read["cause"]["category"] == "user"
    assert read["cause"]["advice"] == "Do that."
    assert read["cause"]["sentence"].startswith("ää")
    assert read["cause"]["sentence"].endswith("…")
    assert read["warnings"]


@settings(deadline=None, max_examples=50)
@given(
    sentence=st.text(max_size=3000),
    advice=st.text(max_size=3000),
    warnings=st.lists(st.text(max_size=200), max_size=100),
    nested=st.lists(st.dictionaries(st.sampled_from("ab"), st.text(max_size=50)), max_size=100),
)
def test_any_report_fits_and_stays_json(sentence: str, advice: str, warnings: list[str], nested: list[Any]) -> None:
    report = {"cause": {"category": "user", "sentence": sentence, "advice": advice}, "warnings": warnings, "n": nested}
    data = encode_report(report)
    assert len(data) <= TERMINATION_MESSAGE_LIMIT
    assert json.loads(data)["cause"]["category"] == "user"


def test_a_short_report_is_left_as_it_is() -> None:
    assert json.loads(encode_report({"a": ["b", 1, None], "c": {"d": 2.5}})) == {"a": ["b", 1, None], "c": {"d": 2.5}}


@pytest.mark.parametrize("name", ["c.json", "c.json.gz"])
def test_a_command_file_may_be_packed(tmp_path: Path, name: str) -> None:
    data = b'{"items": []}'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_command_file(tmp_path / name) == {"items": []}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\x1f\x8bnonsense", b"\xff\xfe"])
def test_a_broken_command_file_gives_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match=r"Command file .*c\.json"):
        read_command_file(tmp_path / "c.json")


def test_a_missing_command_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Command file .*nowhere\.json is missing"):
        read_command_file(tmp_path / "nowhere.json")
