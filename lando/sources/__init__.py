"""Where the truth of a run is kept: one small interface, one module per API behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from lando.runs import Attempt, Cause, Run, RunState, RunSummary, StepState


class Source(Protocol):
    """Reads and writes runs. Safe to use from several threads; every call has a time-out and raises only
    :mod:`lando.errors`."""

    def get(self, run_id: int) -> Run:
        """The run as it is recorded now; :class:`lando.errors.UnknownRun` when there is none of that id."""
        ...

    def survey(self, run_ids: Collection[int]) -> Mapping[int, RunSummary]:
        """By id, every run that is to be started, running, or to be restarted or canceled, and those of ``run_ids``;
        what is missing of the latter is not known. By lists, not by a request for each, while the API can list them.
        """
        ...

    def inputs(self, run: Run, name: str) -> Any:
        """What the plan of ``run`` asks for under ``name`` (its files, its methods text, …); None where it has none."""
        ...

    def write(
        self, run: Run, *, state: RunState | None = None, steps: Mapping[str, StepState] | None = None
    ) -> tuple[Run, bytes | None]:
        """Write what differs, in one update; the run as answered, and the progress notice that has to follow.

        Raises :class:`lando.errors.Conflict` when the run changed since it was read, where the API can tell.
        """
        ...

    def report_error(self, run: Run, step: str | None, cause: Cause, *, again: bool = False) -> None:
        """Record why the run failed; with ``again`` only if the very same is not recorded yet."""
        ...

    def store_output(self, run: Run, ids: Mapping[str, str]) -> None:
        """Record where the output is."""
        ...

    def set_condition(self, run: Run, step: str, sentence: str | None) -> None:
        """Show what the run waits for; None takes it back. Does nothing where the API has no place for it."""
        ...

    def tell_attempts(self, run: Run, attempts: Sequence[Attempt]) -> None:
        """Keep the history of the run's attempts; telling one again adds nothing. With none, tell what could not be
        told before. Does nothing where the API has no place for it."""
        ...

    def warn(self, run: Run, step: str, warnings: Sequence[str]) -> None:
        """Record what a successful step had to say. Does nothing where the API has no place for it."""
        ...

    def changed(self, run: Run) -> datetime | None:
        """When the run last changed, if known."""
        ...

    def probe(self) -> None:
        """One cheap request; raises :class:`lando.errors.Unavailable` while the API is away."""
        ...
