"""Guessing passwords gets slower and slower, for whoever guesses and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from lando.api import setup, throttle
from lando.api.throttle import FREE_TRIES, LONGEST_PAUSE_S, Throttle
from tests.unit.api.serving import Api


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(throttled: Throttle, times: int, key: throttle.Key = ("ada", "10.0.0.1")) -> int:
    for _ in range(times):
        throttled.failed(key)
    return throttled.pause_s(key)


def test_pauses_begin_after_some_failures_and_grow_to_a_limit(clock: Clock) -> None:
    throttled = Throttle(clock)
    assert fail(throttled, FREE_TRIES - 1) == 0
    assert [fail(throttled, 1) for _ in range(3)] == [2, 4, 8]
    assert fail(throttled, 1000) == LONGEST_PAUSE_S


def test_a_pause_passes(clock: Clock) -> None:
    throttled = Throttle(clock)
    assert fail(throttled, FREE_TRIES + 1) == 4
    clock.now += 1.5
    assert throttled.pause_s(("ada", "10.0.0.1")) == 3
    clock.now += 3
    assert throttled.pause_s(("ada", "10.0.0.1")) == 0


def test_others_and_other_addresses_do_not_pay(clock: Clock) -> None:
    throttled = Throttle(clock)
    fail(throttled, 20)
    assert throttled.pause_s(("eve", "10.0.0.1")) == 0
    assert throttled.pause_s(("ada", "10.0.0.2")) == 0


def test_success_and_time_forget(clock: Clock) -> None:
    throttled = Throttle(clock)
    fail(throttled, FREE_TRIES - 1)
    throttled.succeeded(("ada", "10.0.0.1"))
    assert fail(throttled, FREE_TRIES - 1) == 0
    clock.now += throttle.FORGET_S + 1
    assert fail(throttled, FREE_TRIES - 1) == 0


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_KEYS", 3)
    throttled = Throttle(clock)
    for number in range(5):
        fail(throttled, FREE_TRIES, ("ada", str(number)))
    assert [throttled.pause_s(("ada", str(number))) > 0 for number in range(5)] == [False, False, True, True, True]


def test_sign_ins_are_throttled_with_a_word_when_to_come_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with api.site.database.write() as session:
        setup.create_user(session, "grace", password="right")
        setup.create_user(session, "edith", password="right")

    def sign_in(username: str, password: str) -> Any:
        return api.client.post("/api-auth-token/", json={"username": username, "password": password})

    for name in ("grace", "GRACE", " grace "):
        assert sign_in(name, "wrong").status_code == 400
    for _ in range(FREE_TRIES - 3):
        sign_in("grace", "wrong")
    answer = sign_in("grace", "right")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert list(answer.json()) == ["detail"]
    assert sign_in("edith", "right").status_code == 200
    monkeypatch.setattr(api.site.throttle, "_clock", lambda: 10.0**9)
    assert sign_in("grace", "right").status_code == 200
