"""Bodies that no sender means: mutated pickles and JSON, programs of odd opcodes, deep, long and random ones.

Everything follows from the seed. None of them is a message that a daemon could act on: what happens to be readable
names a run that nobody has.
"""

from __future__ import annotations

import json
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lando.errors import MessageError
from lando.messages import Command, codec
from tests.services.vectors import BAD, GOOD

FIRST_UNKNOWN_RUN = 10_000
_OPCODES = bytes(range(0x28, 0x8F)) + b"\x90\x93\x94\x95\x96\x97\x98"
_JSON: dict[str, Any] = {
    "v": 1,
    "id": "7d3f6c1e-8a53-4e0e-9f5e-0c5a0f1f7b11",
    "command": "step_changed",
    "kind": "cwl",
    "job_id": 123_456_789,
    "generation": 3,
    "sent": "2026-03-04T10:11:12.345Z",
    "evidence": {
        "step": "run_workflow",
        "uid": "2b1e",
        "condition": "Failed",
        "category": "resources",
        "exit_code": 137,
        "log_tail": "last line",
        "termination_message": {"cause": {"category": "resources"}},
    },
}
_ODD_TEXTS = (
    "NaN",
    "-Infinity",
    "9" * 4400,
    "1e999999",
    "-0",
    '"\\ud800"',
    '"\\u0000"',
    '"\\u001b[2J"',
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '{"a":' * 50_000 + "1" + "}" * 50_000,
    '{"a":1,"a":2}',
    "true",
    "[]",
    '""',
    '"' + "x" * 300_000 + '"',
    "1.5",
    "{",
)


def bodies(seed: int, canary: Path) -> Iterator[bytes]:
    """Hostile bodies without end. Whoever unpickles one of them may make the file ``canary``."""
    dice = random.Random(seed)
    makers: list[Callable[[random.Random, Path], bytes]] = [
        _mutated_pickle,
        _mutated_pickle,
        _mutated_json,
        _mutated_json,
        _odd_field,
        _opcodes,
        _python_object,
        _random_bytes,
        _long,
    ]
    weights = [20, 20, 15, 15, 20, 15, 10, 5, 0.2]
    while True:
        [maker] = dice.choices(makers, weights)
        body = maker(dice, canary)
        if _is_harmless_to_runs(body):
            yield body


def _is_harmless_to_runs(body: bytes) -> bool:
    """Not about a run that a test may have, and no debug command, which is no reason to put a message aside."""
    try:
        message = codec.decode(body)
    except MessageError:
        return True
    return message.run_id >= FIRST_UNKNOWN_RUN and message.command is not Command.DEBUG


class _Call:
    """Pickled as a call."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._call = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def _mutated_pickle(dice: random.Random, _canary: Path) -> bytes:
    body = bytearray(dice.choice([*GOOD.values(), *BAD.values()]).replace(b"42", b"98765432"))
    return bytes(_mutated(dice, body))


def _mutated_json(dice: random.Random, _canary: Path) -> bytes:
    return bytes(_mutated(dice, bytearray(json.dumps(_JSON).encode())))


def _mutated(dice: random.Random, body: bytearray) -> bytearray:
    """One to six of: bits flipped, cut, bytes put in, taken out, doubled, spliced with another message."""
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(body) + 1)
        end = min(at + dice.randint(1, 16), len(body))
        match dice.randrange(6):
            case 0 if at < len(body):
                body[at] ^= 1 << dice.randrange(8)
            case 1:
                del body[at:]
            case 2:
                body[at:at] = dice.randbytes(dice.randint(1, 8))
            case 3:
                del body[at:end]
            case 4:
                body[at:at] = body[at:end] * dice.randint(1, 50)
            case _:
                other = dice.choice(list(GOOD.values()))
                body[at:] = other[dice.randrange(len(other)) :]
    return body


def _odd_field(dice: random.Random, _canary: Path) -> bytes:
    """A JSON message one of whose values is something else."""
    text = json.dumps(_JSON)
    values = [json.dumps(value) for value in [*_JSON.values(), *_JSON["evidence"].values()]]
    return text.replace(dice.choice(values), dice.choice(_ODD_TEXTS), 1).encode()


def _opcodes(dice: random.Random, _canary: Path) -> bytes:
    """A program for the pickle machine."""
    program = bytearray(b"\x80" + dice.choice([b"\x02", b"\x02", b"\x04", b"\x05", b"\xff"]))
    if dice.random() < 0.5:
        program += b"clando_messaging.workqueue\nWorkRequest\n)\x81}"
    for _ in range(dice.randint(1, 400)):
        program.append(dice.choice(_OPCODES))
        if dice.random() < 0.5:
            program += dice.randbytes(dice.choice([1, 1, 2, 4, 8]))
    return bytes(program + b".")


def _python_object(dice: random.Random, canary: Path) -> bytes:
    """What Python's own pickler makes of this and that, calls included."""
    thing = dice.choice(
        [
            _Call(os.system, f"touch {canary}"),
            _Call(open, str(canary), "w"),
            _Call(bytearray, 2**40),
            _Call(eval, f"open({str(canary)!r}, 'w')"),
            {"command": "start_job", "payload": {"job_id": 1}},
            [[[]] * dice.randint(1, 100)],
            dice.randbytes(dice.randint(0, 5000)),
            10 ** dice.randint(1, 3000),
        ]
    )
    return pickle.dumps(thing, protocol=dice.randint(0, pickle.HIGHEST_PROTOCOL))


def _random_bytes(dice: random.Random, _canary: Path) -> bytes:
    start = dice.choice([b"", b"{", b"\x80\x02", b"[", b"\x1f\x8b", b"\xef\xbb\xbf{"])
    return start + dice.randbytes(dice.randint(0, 300))


def _long(dice: random.Random, _canary: Path) -> bytes:
    """About as long as is looked at, or longer."""
    size = dice.choice([1, 4, 17]) * 1024 * 1024
    return dice.choice(
        [
            lambda: b'{"v":1,"x":[' + b"[]," * (size // 3) + b"1]}",
            lambda: b'{"v":1,"x":"\\u00e9' + b"x" * size + b'"}',
            lambda: GOOD["V7"].replace(b"X+\x00\x00\x00", b"X" + size.to_bytes(4, "little")) + b"x" * size,
            lambda: b"\x80\x02" + b"(" * size,
        ]
    )()
