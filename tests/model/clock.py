"""The model's time: it stands still until a rule moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)


class Clock:
    """One time for everybody."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        """The time of day."""
        return BEGIN + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        """Seconds since the model began."""
        return self.elapsed_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed_s += seconds
