"""The frame of every step's program: command file in, log lines out, a termination message and an exit code at the end.

The kubelet keeps what a container writes to its termination message path in the pod's status, so ids and causes
reach the daemons without any right in the cluster. It cuts that file at 4096 bytes; JSON must not be cut, hence
the shortening here.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from lando.errors import InputError, LandoError, StepError, Unavailable
from lando.runs import Category, Cause
from lando.steps import volume
from lando.steps.memory import MemoryWatch

TERMINATION_MESSAGE_LIMIT = 4096  # bytes; the kubelet's own limit for one container
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TERMINATED = 128 + signal.SIGTERM


def log(line: str) -> None:
    """One line of the step's log, at once."""
    print(line, flush=True)


def run_program(name: str, usage: str, work: Callable[[Sequence[str]], dict[str, Any]], argv: Sequence[str]) -> int:
    """Run ``work(argv)`` as the whole of a container's life; the result is the exit code.

    What ``work`` returns becomes the termination message. A :class:`LandoError` becomes a cause and one clear
    sentence in the log; anything else is our own fault and leaves its trace in the log as well.
    """
    if list(argv) in (["-h"], ["--help"]):
        log(f"Usage: {usage}")
        return 0
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    with MemoryWatch(_termination_file()) as memory:
        exit_code, report = _outcome(name, usage, work, argv)
    if exit_code != 0 and memory.peak is not None:
        report |= memory.peak.told()
    if (use := volume.of_this_container()) is not None:
        report |= use.told()
    write_termination_message(report)
    return exit_code


def _outcome(
    name: str, usage: str, work: Callable[[Sequence[str]], dict[str, Any]], argv: Sequence[str]
) -> tuple[int, dict[str, Any]]:
    """Exit code and termination message of ``work(argv)``; a failure is told in the log."""
    try:
        return 0, work(argv)
    except UsageError as error:
        log(f"{name}: {error} Usage: {usage}")
        return EXIT_USAGE, {}
    except ProgramFailedError as error:
        return error.exit_code, _failure(name, error.cause, error.report)
    except StepError as error:
        cause = error.cause
    except Unavailable as error:
        cause = Cause(category=Category.INFRASTRUCTURE, sentence=_sentence(str(error)))
    except LandoError as error:
        cause = Cause(category=Category.USER, sentence=_sentence(str(error)))
    except OSError as error:
        cause = _cause_of_os_error(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence of a process; said in full, then failed
        traceback.print_exc(file=sys.stdout)
        cause = Cause(category=Category.INFRASTRUCTURE, sentence=f"{name} broke off: {type(error).__name__}: {error}.")
    return EXIT_FAILED, _failure(name, cause)


class UsageError(Exception):
    """The program was called with other arguments than it takes."""


class ProgramFailedError(StepError):
    """A failure with an exit code of its own, and more to report than its cause."""

    def __init__(self, cause: Cause, *, exit_code: int, report: dict[str, Any]) -> None:
        super().__init__(cause)
        self.exit_code = exit_code
        """1 to 255."""
        self.report = report


def read_command_file(path: str | Path) -> dict[str, Any]:
    """The command file, gzip'ed or not (by its first bytes, so that the name does not matter).

    Raises:
        InputError: It is missing, unreadable or no JSON object.
    """
    try:
        data = Path(path).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        command = json.loads(data)
    except FileNotFoundError as error:
        raise InputError(f"Command file {path} is missing.") from error
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"Command file {path} can't be read as JSON: {error}.") from error
    if not isinstance(command, dict):
        raise InputError(f"Command file {path} holds {type(command).__name__}, not an object.")
    return command


def required(mapping: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """``mapping[key]``, checked.

    Raises:
        InputError: The key is missing or its value of another type; ``where`` says in which part of which file.
    """
    if key not in mapping:
        raise InputError(f"{where} lacks the key {key!r}.", field=key)
    value = mapping[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}: {key!r} has the wrong type ({type(value).__name__}).", field=key)
    return value


def write_termination_message(report: dict[str, Any]) -> None:
    """Leave ``report`` as JSON of at most 4096 bytes where the kubelet looks for it; an empty report leaves nothing."""
    path = _termination_file()
    try:
        if report:
            path.write_bytes(encode_report(report))
        elif path.exists():
            os.truncate(path, 0)
    except OSError as error:
        log(f"warning: the termination message could not be left at {path}: {error.strerror}")


def _termination_file() -> Path:
    return Path(os.environ.get("LANDO_TERMINATION_LOG") or "/dev/termination-log")


def encode_report(report: dict[str, Any]) -> bytes:
    """``report`` as JSON within the limit: lists lose their last items, long texts their ends, ids stay whole."""
    kept = json.loads(json.dumps(report))
    while len(data := json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace")) > TERMINATION_MESSAGE_LIMIT:
        _shorten(kept, len(data) - TERMINATION_MESSAGE_LIMIT)
    return data


def _shorten(report: dict[str, Any], excess: int) -> None:
    """Take the last item from the longest list, or where no list can spare one, the end from the longest text."""
    places = list(_places(report))
    lists = [holder[key] for holder, key in places if isinstance(holder[key], list) and len(holder[key]) > 1]
    if lists:
        max(lists, key=len).pop()
        return
    texts = [(holder, key) for holder, key in places if isinstance(holder[key], str)]
    holder, key = max(texts, key=lambda place: len(place[0][place[1]].encode()))
    data = holder[key].encode()
    room = len(data) - max(excess, 16) - len("…".encode())
    holder[key] = data[: max(room, 0)].decode("utf-8", "ignore").rstrip() + "…"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Holder and key of everything in ``value``, at any depth."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _failure(name: str, cause: Cause, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The termination message about ``cause``, which is told in the log besides."""
    log(f"{name} failed: {cause.sentence}" + (f" {cause.advice}" if cause.advice else ""))
    told: dict[str, Any] = {"category": cause.category.value, "sentence": cause.sentence, "advice": cause.advice}
    if cause.exit_code is not None:
        told["exit_code"] = cause.exit_code
    return {"cause": told, **(more or {})}


def _cause_of_os_error(error: OSError) -> Cause:
    """A full or broken volume is the cluster's matter, the rest most likely too: say which file and why."""
    where = f" ({error.filename})" if error.filename else ""
    sentence = f"{error.strerror or error}{where}."
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return Cause(
            category=Category.RESOURCES,
            sentence=f"The volume is full{where}.",
            advice="Ask for a larger volume (the job's volume size; for staging base_stage_data_volume_size_in_g).",
        )
    return Cause(category=Category.INFRASTRUCTURE, sentence=sentence)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Process 1 of a container ignores SIGTERM unless it says otherwise; leave through the ``finally`` blocks."""
    raise SystemExit(EXIT_TERMINATED)
