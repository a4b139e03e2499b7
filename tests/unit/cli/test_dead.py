"""``lando dead``: through the server, and straight at the broker of a daemons' file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from lando import queues
from lando.errors import Unavailable
from lando.queues import ladder
from lando.queues.memory import MemoryBroker
from tests.services.vectors import BAD, GOOD

LIST = "GET /api/lando/v1/dead-letters"
FIRST, SECOND = "3f1c09a2b7de", "0123456789ab"


def brief(identity: str = FIRST, **changes: Any) -> dict[str, Any]:
    """A letter as the API lists it."""
    return {
        "id": identity,
        "time": "2026-03-04T15:06:07.000Z",
        "run": 3,
        "command": "start",
        "reason": "Lando API: not available",
        "failures": 3,
        "tried_again": 1,
        "size": 120,
        **changes,
    }


def queue(*letters: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A queue as the API lists it."""
    count = len(letters)
    named = {"connection": 1, "queue": "lando", "trouble": None, "count": count, "looked_at": count}
    return {**named, "letters": list(letters), **changes}


def test_dead_letters_are_listed_by_queue(api: Any, lando: Any) -> None:
    unreadable = brief(SECOND, run=None, command=None, reason="x" * 500 + "\x1b[2J", tried_again=0)
    api.on(LIST, {"queues": [queue(brief(), unreadable, count=7), queue(trouble="broker: gone", count=None)]})
    shown = lando("dead", "list", "--run", 3, "--reason", "n")
    assert shown.code == 3
    lines = shown.out.splitlines()
    assert lines[0] == "lando: 7 dead letters"
    assert lines[2].split() == [
        FIRST,
        "2026-03-04T15:06:07.000Z",
        "3",
        "start",
        "1",
        *["Lando", "API:", "not", "available"],
    ]
    assert "unreadable" in lines[3]
    assert lines[3].endswith("…")
    assert "\x1b" not in shown.out
    assert "Only the 2 oldest were looked at" in lines[4]
    assert shown.err == "The queue lando can't be asked: broker: gone\n"
    assert "run=3" in api.asked[0][1]


def test_a_list_in_which_no_letter_fits_says_so(api: Any, lando: Any) -> None:
    api.on(LIST, {"queues": [queue(count=2, looked_at=2)]})
    assert lando("dead", "list", "--run", 5).out.splitlines()[1:] == ["None of them fits what was asked for."]


def test_a_dead_letter_is_shown_with_what_it_went_through(api: Any, lando: Any) -> None:
    whole = {
        **brief(),
        "queue": "lando",
        "first_reason": "Lando API: reset",
        "history": [{"time": "2026-03-01T00:00:00Z", "reason": "gone\x07", "failures": 3}],
        "content_type": None,
        "message_id": None,
        "form": "pickle",
        "message": {"command": "start", "job_id": 3},
        "body_base64": "gAI=",
        "body_is_cut": False,
    }
    api.on(f"{LIST}/{FIRST}", whole)
    shown = lando("dead", "show", FIRST).out
    for words in (
        "Lando API: not available",
        "first reason: Lando API: reset",
        "before: ",
        '"job_id": 3',
        "a pickle of",
    ):
        assert words in shown
    assert "gAI=" not in shown
    api.on(f"{LIST}/{FIRST}", {**whole, "message": None, "form": None})
    assert "gAI=" in lando("dead", "show", FIRST).out
    assert json.loads(lando("dead", "show", FIRST, "--json").out)["id"] == FIRST


def test_a_dead_letter_that_is_not_there_is_one_sentence(api: Any, lando: Any) -> None:
    shown = lando("dead", "show", FIRST)
    assert shown.code == 2
    assert shown.err == f"lando: There is no dead letter {FIRST}; 'lando dead list' shows what there is.\n"


def test_named_letters_are_tried_again(api: Any, lando: Any) -> None:
    api.on("POST /api/lando/v1/dead-letters/retry", {"done": [FIRST], "missing": [SECOND]})
    shown = lando("dead", "retry", FIRST, SECOND)
    assert api.bodies("POST /api/lando/v1/dead-letters/retry") == [{"ids": [FIRST, SECOND]}]
    assert shown.out == "1 dead letter back on the command queue.\n"
    assert (shown.code, SECOND in shown.err) == (2, True)


def test_letters_are_dropped_only_when_that_is_confirmed(api: Any, lando: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on(LIST, {"queues": [queue(brief(), brief(SECOND))]})
    api.on("POST /api/lando/v1/dead-letters/drop", {"done": [FIRST, SECOND], "missing": []})
    for answer, code, said in (("n\n", 1, "Nothing was removed."), ("", 2, "Nobody answered")):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        shown = lando("dead", "drop", "--all")
        assert (shown.code, said in shown.err) == (code, True)
    assert api.bodies("POST /api/lando/v1/dead-letters/drop") == []
    shown = lando("dead", "drop", "--all", "--yes", "--json")
    assert json.loads(shown.out) == {"done": [FIRST, SECOND], "missing": []}


@pytest.mark.parametrize("arguments", [[], [FIRST, "--all"]])
def test_which_letters_are_meant_has_to_be_said(lando: Any, arguments: list[str]) -> None:
    shown = lando("dead", "drop", *arguments, "--yes")
    assert (shown.code, "Say which dead letters" in shown.err) == (2, True)


def test_not_all_are_taken_while_a_queue_can_not_be_asked(api: Any, lando: Any) -> None:
    api.on(LIST, {"queues": [queue(brief()), queue(queue="far", trouble="broker: far:5672: gone", count=None)]})
    shown = lando("dead", "retry", "--all")
    assert (shown.code, "far:5672: gone" in shown.err) == (2, True)


def test_nothing_to_try_again_is_said(api: Any, lando: Any) -> None:
    api.on(LIST, {"queues": [queue()]})
    shown = lando("dead", "retry", "--all")
    assert (shown.code, shown.out) == (0, "0 dead letters back on the command queue.\n")


# -- straight at the broker -----------------------------------------------------------------------------------


Config = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    def write(url: str = "amqp://guest:Tr0ub4dor@127.0.0.1:1/") -> Path:
        path = tmp_path / "k8s.config"
        path.write_text(
            f"work_queue: {{listen_queue: lando, url: '{url}'}}\n"
            "cluster_api_settings: {namespace: jobs, host: 'https://127.0.0.1:1', token: t}\n"
            "bespin_api: {url: 'http://127.0.0.1:1/api/v2', token: t}\n"
            "data_store_settings: {url: 'file:///tmp/results'}\n"
        )
        return path

    return write


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """A broker in the place of the one that the file names, with two dead letters."""
    broker = MemoryBroker()
    for body in (GOOD["V1"], BAD["N5"]):
        broker.publish("lando", body, content_type=None, message_id=None)
        with broker.changed:
            taken = broker.take("lando")
        assert taken is not None
        broker.settle("lando", taken[0], rung=ladder.dead("lando", None, "no use"))
    monkeypatch.setattr(queues, "dead_letters", lambda settings: broker.dead_letters(settings.listen_queue))
    return broker


def test_the_broker_of_a_daemons_file_is_asked_without_any_server(
    letters: MemoryBroker, lando: Any, config: Config, api: Any
) -> None:
    [listed] = json.loads(lando("dead", "list", "--config", config(), "--json").out)
    first, second = (one["id"] for one in listed["letters"])
    assert (listed["queue"], listed["count"]) == ("lando", 2)
    assert "unreadable" in lando("dead", "show", second, "--config", config()).out
    assert lando("dead", "retry", first, "--config", config()).code == 0
    assert letters.depth("lando") == 1
    assert lando("dead", "drop", "--reason", "NO USE", "--yes", "--config", config()).code == 0
    assert letters.dead("lando") == []
    assert api.asked == []


def test_a_broker_that_is_away_is_one_sentence(lando: Any, config: Config) -> None:
    shown = lando("dead", "list", "--config", config())
    assert shown.code == 3
    assert shown.err == f"lando: The broker of {config()} can't be asked: 127.0.0.1:1: Connection refused\n"


def test_a_broker_that_is_away_meanwhile_is_told_as_well(
    letters: MemoryBroker, lando: Any, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("broker", "127.0.0.1:1 closed the connection: shutdown")

    monkeypatch.setattr("lando.queues.memory.MemoryDeadLetters.visit", away)
    shown = lando("dead", "show", FIRST, "--config", config())
    assert (shown.code, "The broker of " in shown.err) == (3, True)
    assert shown.err.endswith("can't be asked: 127.0.0.1:1 closed the connection: shutdown\n")


def test_a_queue_inside_another_process_is_asked_through_its_server(lando: Any, config: Config) -> None:
    shown = lando("dead", "list", "--config", config("memory://lando"))
    assert (shown.code, "without --config" in shown.err) == (2, True)
