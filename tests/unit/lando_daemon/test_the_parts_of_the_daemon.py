from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lando.errors import Unavailable
from lando.k8s import lando
from lando.k8s.dispatch import Dispatcher, Work
from lando.k8s.outage import Outage
from lando.messages import Command, Condition, Evidence, Message


class FakeDelivery:
    body = b""
    failures = 0

    def __init__(self) -> None:
        self.settled: list[str] = []

    def ack(self) -> None:
        self.settled.append("ack")

    def requeue(self) -> None:
        self.settled.append("requeue")

    def retry(self, reason: str) -> None:
        self.settled.append("retry")

    def postpone(self, reason: str) -> None:
        self.settled.append("postpone")

    def dead(self, reason: str) -> None:
        self.settled.append("dead")


def message(run_id: int, command: Command = Command.STEP_CHANGED) -> Message:
    return Message(command=command, run_id=run_id)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_the_module_wants_one_argument(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert lando.main(arguments) == 2
    assert "usage: python -m lando.k8s.lando CONFIG" in capsys.readouterr().err


def test_a_configuration_that_is_not_there_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lando.main([str(tmp_path / "k8s.config")]) == 2
    assert "k8s.config" in capsys.readouterr().err


def test_reports_in_a_row_are_one_look_and_commands_keep_their_order(waiting: Callable[..., Any]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[Sequence[Work]] = []

    def handle(run_id: int, works: Sequence[Work]) -> None:
        handled.append(works)
        begun.set()
        go_on.wait(5)

    dispatcher = Dispatcher(handle, workers=2)
    dispatcher.start()
    dispatcher.submit(message(1), FakeDelivery())
    assert begun.wait(5)
    for command in (Command.STEP_CHANGED, Command.STEP_CHANGED, Command.CANCEL, Command.RESTART, Command.STEP_CHANGED):
        dispatcher.submit(message(1, command), FakeDelivery())
    assert len(handled) == 1, "a run is never with two workers"
    go_on.set()
    waiting(lambda: len(handled) == 2, "the second batch")
    assert [(work.message and work.message.command, len(work.deliveries)) for work in handled[1]] == [
        (Command.STEP_CHANGED, 2),
        (Command.CANCEL, 1),
        (Command.RESTART, 1),
        (Command.STEP_CHANGED, 1),
    ]
    dispatcher.close(5)


def test_the_last_words_of_a_step_are_not_lost_among_other_reports(waiting: Callable[..., Any]) -> None:
    """Its pod may be gone by now, so that nothing else says where the output is; a look without them comes after."""

    def report(uid: str, condition: Condition, said: dict[str, str] | None = None) -> Message:
        evidence = Evidence(step="save_output", condition=condition, uid=uid, termination_message=said)
        return Message(command=Command.STEP_CHANGED, run_id=1, evidence=evidence)

    complete = report("a", Condition.COMPLETE, {"project_id": "p"})
    handled: list[Work] = []
    dispatcher = Dispatcher(lambda run_id, works: handled.extend(works), workers=1)
    dispatcher.look(1)
    for one in (complete, report("a", Condition.WAITING), report("b", Condition.WAITING)):
        dispatcher.submit(one, FakeDelivery())
    dispatcher.start()
    waiting(lambda: len(handled) == 3, "all")
    dispatcher.close(5)
    assert [work.message and work.message.evidence and work.message.evidence.uid for work in handled] == [
        "a",
        "b",
        None,
    ]
    assert handled[0].message is complete


def test_a_slow_run_delays_no_other(waiting: Callable[..., Any]) -> None:
    go_on = threading.Event()
    handled: list[int] = []

    def handle(run_id: int, works: Sequence[Work]) -> None:
        if run_id == 1:
            go_on.wait(5)
        handled.append(run_id)

    dispatcher = Dispatcher(handle, workers=2)
    dispatcher.start()
    dispatcher.submit(message(1), FakeDelivery())
    dispatcher.submit(message(2), FakeDelivery())
    waiting(lambda: handled == [2], "the quick run")
    go_on.set()
    dispatcher.close(5)
    assert handled == [2, 1]


def test_what_was_not_begun_at_the_end_is_handed_back() -> None:
    dispatcher = Dispatcher(lambda run_id, works: None, workers=1)
    delivery = FakeDelivery()
    dispatcher.submit(message(1), delivery)
    dispatcher.close(1)
    assert delivery.settled == ["requeue"]


def test_an_outage_pauses_once_and_resumes_when_the_probe_succeeds(waiting: Callable[..., Any]) -> None:
    happened: list[str] = []
    failures = iter([True, True])

    def probe() -> None:
        happened.append("probe")
        if next(failures, False):
            raise Unavailable("cluster", "away")

    outage = Outage(
        pause=lambda: happened.append("pause"),
        resume=lambda: happened.append("resume"),
        probe=probe,
        stop=threading.Event(),
        first_s=0.001,
    )
    outage.report(Unavailable("cluster", "away"))
    waiting(lambda: "resume" in happened, "going on")
    assert happened == ["pause", "probe", "probe", "probe", "resume"]
    assert not outage.is_on


def test_a_pause_lasts_as_long_as_the_peer_asked_and_survives_a_probe_with_a_bug(
    waiting: Callable[..., Any],
) -> None:
    class Clock(threading.Event):
        def __init__(self) -> None:
            super().__init__()
            self.waits: list[float] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.waits.append(timeout or 0.0)
            return False

    failures: list[Exception] = [RuntimeError("a bug"), Unavailable("API", "slow down", retry_after_s=7.0)]

    def probe() -> None:
        if failures:
            raise failures.pop(0)

    stop, resumed = Clock(), threading.Event()
    outage = Outage(pause=lambda: None, resume=resumed.set, probe=probe, stop=stop)
    outage.report(Unavailable("API", "slow down", retry_after_s=90.0))
    assert resumed.wait(10)
    assert stop.waits[0] == 90.0
    assert stop.waits[1] <= 2.0
    assert stop.waits[2] == 7.0


def test_the_end_of_one_outage_does_not_undo_the_pause_of_the_next(waiting: Callable[..., Any]) -> None:
    state: list[str] = []
    outage: Outage

    def resume() -> None:
        # The next report comes from another thread just now: it must not pause before this resume is over.
        reporter.start()
        reporter.join(0.05)
        state.append("resume")

    probes = iter([None, Unavailable("cluster", "away again")])

    def probe() -> None:
        error = next(probes, Unavailable("cluster", "away again"))
        if error:
            raise error

    stop = threading.Event()
    outage = Outage(pause=lambda: state.append("pause"), resume=resume, probe=probe, stop=stop, first_s=0.001)
    reporter = threading.Thread(target=outage.report, args=(Unavailable("cluster", "away again"),))
    outage.report(Unavailable("cluster", "away"))
    waiting(lambda: len(state) == 3, "the second pause")
    stop.set()
    assert state == ["pause", "resume", "pause"]
    assert outage.is_on


def test_a_handler_that_raises_costs_no_worker(waiting: Callable[..., Any]) -> None:
    handled: list[int] = []

    def handle(run_id: int, works: Any) -> None:
        handled.append(run_id)
        raise RuntimeError("a bug")

    dispatcher = Dispatcher(handle, workers=1)
    dispatcher.start()
    dispatcher.look(1)
    dispatcher.look(2)
    waiting(lambda: sorted(handled) == [1, 2], "the second run")
    dispatcher.close(5)
