"""What a dead letter tells, whoever put it aside and whatever its headers hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lando.queues import ladder
from lando.queues.dead import DeadLetter, letter


def of(headers: dict[str, Any] | None, body: bytes = b"body") -> DeadLetter:
    return letter(body, headers, content_type=None, message_id=None)


def test_a_letter_of_ours_tells_first_and_last_reason_and_when() -> None:
    first = ladder.after_failure("lando", None, "at first", (5, 30)).headers
    one = of(dict(ladder.dead("lando", first, "at last").headers))
    assert (one.first_reason, one.reason, one.failures) == ("at first", "at last", 1)
    assert one.time is not None
    assert abs((datetime.now(UTC) - one.time).total_seconds()) < 60


@pytest.mark.parametrize(
    ("deaths", "sentence"),
    [
        ([{"reason": "delivery_limit"}], "delivered too often"),
        ([{"reason": "maxlen"}, {"reason": "expired"}], "was full"),
        ([{"reason": "unheard of"}], "Nobody noted"),
        ("no list", "Nobody noted"),
        ([], "Nobody noted"),
    ],
)
def test_a_letter_of_the_broker_s_own_tells_its_reason(deaths: Any, sentence: str) -> None:
    assert sentence in of({"x-death": deaths}).reason


def test_the_id_is_that_of_body_and_headers_however_often_it_was_looked_at() -> None:
    headers = {ladder.LAST_REASON: "why", ladder.TIME: "2026-03-04T10:11:12.345Z"}
    assert of(headers).id == of({**headers, "x-delivery-count": 4, "x-acquired-count": 5}).id
    assert len({of(headers).id, of(headers, b"another").id, of({**headers, ladder.TIME: "later"}).id}) == 3


@pytest.mark.parametrize("time", ["", "soon", "0001-01-01T00:00:00+23:00", 5])
def test_a_time_that_nobody_can_read_is_none(time: Any) -> None:
    assert of({ladder.TIME: time}).time is None


def test_a_letter_tried_again_keeps_a_bounded_history() -> None:
    headers: dict[str, Any] = {}
    for number in range(ladder.HISTORY_LIMIT + 5):
        headers = ladder.again(dict(ladder.dead("lando", headers, f"{number} " + "x" * 5000).headers))
    one = of(dict(ladder.dead("lando", headers, "now").headers))
    assert len(one.history) == ladder.HISTORY_LIMIT
    assert one.history[-1].reason.startswith(f"{ladder.HISTORY_LIMIT + 4} ")
    assert all(len(earlier.reason.encode()) <= ladder.HISTORY_REASON_LIMIT for earlier in one.history)


_VALUES = st.recursive(
    st.sampled_from(
        [None, True, -1, 2**70, "", "why", "\0\ud800ü", "2026-03-04", "0001-01-01T00:00:00+23:00", b"\xff"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
_NAMES = st.sampled_from(
    [
        ladder.FAILURES,
        ladder.FIRST_REASON,
        ladder.LAST_REASON,
        ladder.TIME,
        ladder.HISTORY,
        "x-death",
        "x-delivery-count",
    ]
)


@settings(deadline=None)
@given(
    st.dictionaries(
        _NAMES, _VALUES | st.lists(st.dictionaries(st.sampled_from(["time", "reason", "failures"]), _VALUES))
    )
)
def test_no_headers_are_too_odd_to_be_shown_and_tried_again(headers: dict[str, Any]) -> None:
    one = of(headers)
    assert one.reason
    assert of(dict(ladder.dead("lando", ladder.again(headers), "why").headers)).reason == "why"
