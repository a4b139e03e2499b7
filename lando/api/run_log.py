"""What the logs of runs of every kind share: who asks for what, the pod that is read, how a step's log is told."""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain

from lando.api.auth import Caller
from lando.api.site import Site
from lando.errors import LandoError, NotFound, Rejected

LOOK_AGAIN_S = 1.0

logger = logging.getLogger(__name__)


class RunLog(ABC):
    """One answer. ``step`` None asks for all, ``attempt`` None for what is newest."""

    def __init__(
        self, site: Site, caller: Caller, run_id: int, step: str | None, attempt: int | None, follow: bool
    ) -> None:
        self._site = site
        self._caller = caller
        self._run_id = run_id
        self._step = step
        self._attempt = attempt
        self._follow = follow
        self._stream: Iterator[str] | None = None
        self._closed = False

    @abstractmethod
    def pieces(self) -> Iterator[str]:
        """The text as it comes."""

    def close(self) -> None:
        """End it, from any thread: nobody listens any more, or the server goes down."""
        self._closed = True
        self._end_stream()

    def _is_ended(self) -> bool:
        return self._closed or self._site.changes.closed

    def _pod_log(self, step: str, *, follow: bool) -> Iterator[str] | None:
        """The log of the step's pod; None when there is none, or none yet."""
        if self._site.live_logs is None:
            return None
        try:
            self._stream = stream = self._site.live_logs(self._run_id, step, follow)
            if self._closed:
                self._end_stream()
                return None
            # A pod that is still being made refuses its log only when that is read.
            return None if stream is None else chain([next(stream, "")], stream)
        except (NotFound, Rejected):
            return None
        except LandoError as error:
            logger.warning("%s", error)
            return None if follow else iter(["[The log can't be read from the cluster now; try again.]\n"])

    def _headed(self, step: str, text: Iterator[str]) -> Iterator[str]:
        """A step's log, under its name where all are asked for, with a line's end at its end."""
        if self._step is None:
            yield f"==> {step} <==\n"
        last = "\n"
        try:
            for piece in text:
                last = piece[-1:] or last
                yield piece
        except LandoError as error:
            logger.warning("%s", error)
            yield ("" if last == "\n" else "\n") + "[The log broke off; try again.]\n"
            return
        if last != "\n":
            yield "\n"

    def _end_stream(self) -> None:
        with contextlib.suppress(ValueError, AttributeError):  # a plain iterator just comes to its end
            self._stream.close()  # type: ignore[union-attr]
