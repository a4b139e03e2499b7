"""What the steps of a phased run said, several of which may be at work at a time: each is told whole, one after the
other, in the plan's order as far as they have begun; of those at work the first is followed until it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lando.api import runs
from lando.api.auth import Caller
from lando.api.run_log import LOOK_AGAIN_S, RunLog
from lando.api.site import Site
from lando.archive import Archive, Entry
from lando.errors import LandoError
from lando.runs import StepState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One attempt of a step."""

    name: str
    attempt: int
    is_running: bool


class PhasedLog(RunLog):
    """One answer: the steps that have begun, and with ``follow`` those that begin until the run, or ``step``, has
    ended."""

    def __init__(
        self, site: Site, caller: Caller, run_id: int, step: str | None, attempt: int | None, follow: bool
    ) -> None:
        super().__init__(site, caller, run_id, step, attempt, follow)
        self._told: set[tuple[str, int]] = set()

    def pieces(self) -> Iterator[str]:
        """The text as it comes."""
        while True:
            seen = self._site.changes.count
            begun, is_over = self._standing()
            yield from self._whole(begun, is_over=is_over)
            if not self._follow or is_over or self._is_ended():
                return
            for step in begun:
                if step.is_running and (live := self._pod_log(step.name, follow=True)) is not None:
                    yield from self._told_whole(step, live)
                    break
            else:
                self._site.changes.wait(seen, LOOK_AGAIN_S)

    def _standing(self) -> tuple[list[_Step], bool]:
        """The steps that have begun and were not told yet, and whether no more will come."""
        with self._site.database.read() as session:
            run = runs.own_run(session, self._caller, self._run_id)
            is_over = run.state not in runs.UNDER_WAY
            steps = [step for step in run.steps if self._step in (None, step.name)]
        pending, running = StepState.PENDING.value, StepState.RUNNING.value
        begun = [
            _Step(name=step.name, attempt=self._attempt or step.attempt or 1, is_running=step.state == running)
            for step in steps
            if step.state != pending or step.attempt
        ]
        if self._step is not None:
            is_over = is_over or any(step.state not in (pending, running) for step in steps)
        return [step for step in begun if (step.name, step.attempt) not in self._told], is_over

    def _whole(self, begun: Sequence[_Step], *, is_over: bool) -> Iterator[str]:
        """Those that have ended; and, unless they are to be followed, those at work so far."""
        archive = self._site.archive
        try:
            kept = archive.entries(self._run_id) if archive is not None and begun else []
        except LandoError as error:
            logger.warning("%s", error)
            kept = []
            yield "[The archived logs can't be read now; try again later.]\n"
        for step in begun:
            if step.is_running and self._follow and not is_over:
                continue
            entries = [
                one
                for one in kept
                if one.step == step.name and (one.attempt == step.attempt or not (self._follow or self._attempt))
            ]
            text = (
                self._archived(archive, entries)
                if archive is not None and entries
                else self._pod_log(step.name, follow=False)
            )
            if text is not None:
                yield from self._told_whole(step, text)

    def _archived(self, archive: Archive, entries: Sequence[Entry]) -> Iterator[str]:
        try:
            yield archive.texts(self._run_id, entries)
        except LandoError as error:
            logger.warning("%s", error)
            yield "[The archived log can't be read now; try again later.]\n"

    def _told_whole(self, step: _Step, text: Iterator[str]) -> Iterator[str]:
        self._told.add((step.name, step.attempt))
        yield from self._headed(step.name, text)
