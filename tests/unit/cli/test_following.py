"""A run is followed to its end through what may happen on the way."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from lando.cli import following
from lando.client import LandoClient
from lando.client.connection import FOLLOW_TRIES
from lando.errors import Unavailable

Document = Callable[..., dict[str, Any]]
RUN = "GET /api/lando/v1/runs/3"
AWAY = (503, {"detail": "restarting"})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def followed(api: Any) -> list[str]:
    out = io.StringIO()
    with LandoClient(api.url, "good") as client:
        following.follow(client, 3, out)
    return out.getvalue().splitlines()


def test_a_server_that_restarts_is_asked_again(api: Any, document: Document) -> None:
    api.on(RUN, document(), AWAY, AWAY, document(state="Finished", version=2))
    assert followed(api)[-1] == "run 3: Finished"


def test_a_server_that_stays_away_is_given_up(api: Any) -> None:
    api.on(RUN, AWAY)
    with pytest.raises(Unavailable, match="answered 503: restarting"):
        followed(api)
    assert len(api.asked) == FOLLOW_TRIES


def test_a_cause_that_comes_after_the_state_is_waited_for(api: Any, document: Document) -> None:
    failed = document(state="Error", version=2)
    api.on(RUN, document(), failed, failed, {**failed, "cause": {"sentence": "It broke.", "text": "last words"}})
    assert followed(api)[-3:] == ["run 3: Error", "why: It broke.", "   | last words"]


def test_a_failure_without_a_cause_ends_all_the_same(api: Any, document: Document) -> None:
    api.on(RUN, document(state="Error"))
    assert followed(api)[-1] == "run 3: Error"


def test_waits_and_warnings_are_told_once(api: Any, document: Document) -> None:
    waiting = {"step": "run_workflow", "sentence": "0/3 nodes are available."}
    api.on(
        RUN,
        document(condition=waiting, warnings=["samtools ran without its image X."]),
        document(condition=waiting, warnings=["samtools ran without its image X."], version=2, name="other"),
        document(state="Canceled", version=3),
    )
    lines = followed(api)
    assert lines.count("waits for: 0/3 nodes are available.") == 1
    assert lines.count("note: samtools ran without its image X.") == 1
    assert lines[-1] == "run 3: Canceled"
