"""Parts side by side: each has its say, whoever of them hangs or breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from lando.doctor.examining import Asking, Examination, Part, examine
from lando.doctor.findings import Finding, Level, failed, ok
from lando.errors import Unavailable


def part(name: str, *items: Finding | Asking | Exception | threading.Event) -> Part:
    def work() -> Iterator[Finding | Asking]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, threading.Event):
                item.wait(30)
            else:
                yield item

    return Part(name=name, title=name, examine=work)


class Clock:
    """Stands still until the examination has come where the test wants it; then hours have passed."""

    def __init__(self, has_come: Callable[[Sequence[Examination]], bool]) -> None:
        self._has_come = has_come
        self._now = 0.0

    def look(self, them: Sequence[Examination]) -> None:
        if self._has_come(them):
            self._now = 10_000.0

    def __call__(self) -> float:
        return self._now


def test_a_part_that_hangs_ends_with_that_and_holds_up_nobody() -> None:
    let_go = threading.Event()
    hanging = part("broker", ok("reach", "answers"), Asking("login"), let_go, ok("login", "too late"))
    swift = part("api", ok("reach", "answers"))
    clock = Clock(lambda them: them[0].asking == "login" and them[1].is_over)
    first, second = examine([hanging, swift], on_change=clock.look, clock=clock, whole_s=1e6)
    let_go.set()
    assert second.findings == [ok("reach", "answers")]
    assert [(one.check, one.level) for one in first.findings] == [("reach", Level.OK), ("login", Level.FAILED)]
    assert "no answer within" in first.findings[-1].seen


def test_the_whole_has_an_end_though_every_check_is_in_time() -> None:
    let_go = threading.Event()
    clock = Clock(lambda them: them[0].asking == "permissions")
    hanging = part("cluster", Asking("permissions"), let_go)
    (one,) = examine([hanging], on_change=clock.look, clock=clock, check_s=1e6)
    let_go.set()
    assert [finding.check for finding in one.findings] == ["permissions"]


def test_what_a_part_raises_is_a_finding_of_the_check_it_was_at() -> None:
    foreseen = part("api", Asking("token"), Unavailable("Bespin API", "gone"))
    unforeseen = part("broker", Asking("login"), KeyError("x"))
    first, second = examine([foreseen, unforeseen])
    assert first.findings == [failed("token", "gone", "mend this; the rest of this part was not looked at")]
    assert second.findings[0].seen == "went wrong unexpectedly (KeyError: 'x')"


def test_progress_names_what_is_being_asked() -> None:
    seen: list[tuple[str, int]] = []

    def note(them: Sequence[Examination]) -> None:
        seen.append((them[0].asking, len(them[0].findings)))

    examine([part("api", Asking("token"), ok("token", "valid"))], on_change=note)
    assert seen == [("token", 0), ("token", 1), ("token", 1)]
