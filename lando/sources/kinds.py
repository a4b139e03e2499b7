"""Runs of several kinds behind one source: jobs of the Bespin API, and what our own API keeps besides.

All ids come from one sequence, so that a run is in one of the two. Which one is remembered from whatever told of it; a
run that nobody has told of yet is asked for here and there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from lando.config import Config
from lando.errors import UnknownRun
from lando.runs import Attempt, Cause, Run, RunState, RunSummary, StepState
from lando.sources import Source
from lando.sources.bespin import BespinSource
from lando.sources.http import OnCall
from lando.sources.runs import RunsSource

KINDS_KEPT = 100_000  # of runs; the oldest are forgotten first
JOB = "cwl"


def source_of(config: Config, on_call: OnCall | None = None) -> BespinSource | KindsSource:
    """Where the runs of this configuration are kept: without ``lando_api`` there are only Bespin's."""
    jobs = BespinSource(config.bespin_api, config.lando_api, on_call=on_call)
    return KindsSource(jobs, RunsSource(config.lando_api, on_call=on_call)) if config.lando_api else jobs


class KindsSource:
    """Both, by the kind of the run."""

    def __init__(self, jobs: BespinSource, runs: RunsSource) -> None:
        self._jobs = jobs
        self._runs = runs
        self._kinds: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection."""
        self._jobs.close()
        self._runs.close()

    def get(self, run_id: int) -> Run:
        """The run as it is recorded now; :class:`lando.errors.UnknownRun` when neither knows it."""
        known = self._known(run_id)
        first, second = (self._jobs, self._runs) if known in (None, JOB) else (self._runs, self._jobs)
        try:
            run = first.get(run_id)
        except UnknownRun:
            if known is not None:
                raise
            try:
                run = second.get(run_id)
            except UnknownRun as error:
                raise UnknownRun(f"Neither the Bespin API nor the Lando API knows a run {run_id}.") from error
        self._note(run.id, run.kind)
        return run

    def survey(self, run_ids: Collection[int]) -> Mapping[int, RunSummary]:
        """Of both; what is known to be with one of them is not asked of the other."""
        found = dict(self._jobs.survey([one for one in run_ids if self._known(one) in (None, JOB)]))
        rest = set(run_ids) - found.keys()
        found |= self._runs.survey([one for one in rest if self._known(one) != JOB])
        for summary in found.values():
            self._note(summary.id, summary.kind)
        return found

    def inputs(self, run: Run, name: str) -> Any:
        return self._of(run).inputs(run, name)

    def write(
        self, run: Run, *, state: RunState | None = None, steps: Mapping[str, StepState] | None = None
    ) -> tuple[Run, bytes | None]:
        return self._of(run).write(run, state=state, steps=steps)

    def report_error(self, run: Run, step: str | None, cause: Cause, *, again: bool = False) -> None:
        self._of(run).report_error(run, step, cause, again=again)

    def store_output(self, run: Run, ids: Mapping[str, str]) -> None:
        self._of(run).store_output(run, ids)

    def set_condition(self, run: Run, step: str, sentence: str | None) -> None:
        self._of(run).set_condition(run, step, sentence)

    def tell_attempts(self, run: Run, attempts: Sequence[Attempt]) -> None:
        self._of(run).tell_attempts(run, attempts)

    def warn(self, run: Run, step: str, warnings: Sequence[str]) -> None:
        self._of(run).warn(run, step, warnings)

    def changed(self, run: Run) -> datetime | None:
        return self._of(run).changed(run)

    def probe(self) -> None:
        """One cheap request to each."""
        self._jobs.probe()
        self._runs.probe()

    def _of(self, run: Run) -> Source:
        return self._jobs if run.kind == JOB else self._runs

    def _known(self, run_id: int) -> str | None:
        with self._lock:
            return self._kinds.get(run_id)

    def _note(self, run_id: int, kind: str) -> None:
        with self._lock:
            self._kinds[run_id] = kind
            self._kinds.move_to_end(run_id)
            while len(self._kinds) > KINDS_KEPT:
                self._kinds.popitem(last=False)
