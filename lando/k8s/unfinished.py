"""Why a transition stops before its end; what is left of it is found again by the next decision."""

from __future__ import annotations

from lando.errors import LandoError, QuotaExceeded, StepError
from lando.runs import Category, Cause


class Halted(Exception):
    """This process may act no more: the lock is lost or it is to stop. What was begun is taken up by the next one."""


class StillThere(LandoError):
    """Objects of a former attempt are still going; look again later."""


class QuotaWait(LandoError):
    """A quota keeps a step's objects from being made."""

    def __init__(self, step: str, error: QuotaExceeded) -> None:
        super().__init__(str(error))
        self.step = step


def refused(sentence: str) -> StepError:
    """Something is in the way that neither the run's owner nor a later look can remove."""
    return StepError(Cause(category=Category.USER, sentence=sentence, advice="Ask the administrator to look at it."))
