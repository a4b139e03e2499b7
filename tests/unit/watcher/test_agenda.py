"""Keys come due in their time, each to one worker."""

from __future__ import annotations

import threading

from lando.k8s.agenda import Agenda


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_taken_in_the_order_they_come_due() -> None:
    clock = Clock()
    agenda = Agenda(clock)
    agenda.add("late", 5)
    agenda.add("soon", 1)
    agenda.add("now")
    assert agenda.take() == "now"
    clock.now += 10
    assert [agenda.take(), agenda.take()] == ["soon", "late"]
    assert len(agenda) == 0


def test_a_key_stands_on_it_once_at_its_earliest_time() -> None:
    clock = Clock()
    agenda = Agenda(clock)
    agenda.add("a", 5)
    agenda.add("a", 1)
    agenda.add("a", 9)
    assert len(agenda) == 1
    clock.now += 1
    assert agenda.take() == "a"
    clock.now += 100
    assert len(agenda) == 0


def test_a_key_at_work_is_given_to_nobody_else_and_comes_again_after() -> None:
    agenda = Agenda(Clock())
    agenda.add("a")
    assert agenda.take() == "a"
    agenda.add("a")
    agenda.add("b")
    assert agenda.take() == "b"
    agenda.done("a")
    assert agenda.take() == "a"


def test_a_key_put_on_while_at_work_keeps_its_time() -> None:
    clock = Clock()
    agenda = Agenda(clock)
    agenda.add("a")
    assert agenda.take() == "a"
    agenda.add("a", 5)
    agenda.done("a")
    agenda.add("b", 1)
    clock.now += 2
    assert agenda.take() == "b"
    clock.now += 3
    assert agenda.take() == "a"


def test_closing_sends_waiting_workers_home() -> None:
    agenda = Agenda()
    taken: list[str | None] = []
    worker = threading.Thread(target=lambda: taken.append(agenda.take()), daemon=True)
    worker.start()
    agenda.close()
    worker.join(10)
    assert taken == [None]


def test_a_waiting_worker_is_woken_by_a_new_key() -> None:
    agenda = Agenda()
    agenda.add("later", 1000)
    taken: list[str | None] = []
    worker = threading.Thread(target=lambda: taken.append(agenda.take()), daemon=True)
    worker.start()
    agenda.add("now")
    worker.join(10)
    assert taken == ["now"]
