"""``runs/{id}/logs``: what a run's steps said, from the archive and from the pod of the step that is at work."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from lando.api import jobs, runs
from lando.api import models as m
from lando.api.auth import Caller, SignedIn
from lando.api.bodies import MAX_ID, id_of
from lando.api.middleware import wants_head
from lando.api.phased_logs import PhasedLog
from lando.api.routes import LANDO
from lando.api.run_log import LOOK_AGAIN_S, RunLog
from lando.api.site import Site, TheSite
from lando.api.streams import followed
from lando.api.usage import STEP_LETTERS
from lando.config import STEP_TYPES
from lando.errors import LandoError

logger = logging.getLogger(__name__)

WORKING = "SRrc"
"""States in which more may come."""

router = APIRouter(prefix=f"{LANDO}/runs", tags=["runs"])


@router.get(
    "/{run_id}/logs",
    response_class=StreamingResponse,
    responses={200: {"description": "The log.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_logs(
    run_id: str,
    request: Request,
    site: TheSite,
    caller: SignedIn,
    step: str | None = None,
    attempt: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    follow: bool = False,
    keep_alive_s: Annotated[float | None, Query(ge=1, le=3600)] = None,
) -> Response:
    """The log of a step, or of all steps so far; with ``follow`` until the step, or the run, has ended.

    ``attempt`` picks one attempt. Where a log could not be kept, a line in brackets says why.
    Who follows may ask for a NUL character whenever nothing was said for ``keep_alive_s`` seconds.
    """
    is_phased = await run_in_threadpool(_is_phased, site, caller, run_id, step)
    kind = "text/plain; charset=utf-8"
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    if wants_head(request):
        return Response(media_type=kind, headers=headers)
    kind_of_log = PhasedLog if is_phased else _Log
    log: RunLog = kind_of_log(site, caller, id_of(run_id), step, attempt, follow)
    if not follow:
        pieces = (piece.encode("utf-8", "replace") for piece in log.pieces() if piece)
        return StreamingResponse(pieces, media_type=kind, headers=headers)
    stream = followed(
        _patient(site, log), close=log.close, is_over=lambda: site.changes.closed, keep_alive_s=keep_alive_s
    )
    return StreamingResponse(stream, media_type=kind, headers=headers)


def _is_phased(site: Site, caller: Caller, run_id: str, step: str | None) -> bool:
    """Whether it is not a job; raises the 404 of a run that is not the caller's, and the 400 of a step it has not."""
    with site.database.read() as session:
        run = runs.own(session, caller, id_of(run_id))
        if step is not None:
            runs.check_step(run, step)
        return isinstance(run, m.Run)


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """Where a run stands at one moment."""

    working: bool
    """Whether more may come."""
    step: str | None
    """Type of the step it is at."""
    attempt: int
    """Number of that step's newest attempt."""
    mark: int
    """The newest activity: a new attempt that somebody asked for has another."""


class _Log(RunLog):
    """One answer: what is archived first, then what is being said."""

    def __init__(
        self, site: Site, caller: Caller, run_id: int, step: str | None, attempt: int | None, follow: bool
    ) -> None:
        super().__init__(site, caller, run_id, step, attempt, follow)
        self._shown: set[str] = set()
        self._followed: int | None = None

    def pieces(self) -> Iterator[str]:
        """The text as it comes."""
        while True:
            seen = self._site.changes.count
            standing = self._standing()
            yield from self._archived(besides=standing.step if self._is_live(standing) else None)
            live = self._live(standing)
            if live is None:
                yield from self._archived(besides=None)
            elif standing.step is not None:
                self._shown.add(standing.step)
                self._followed = standing.mark
                yield from self._headed(standing.step, live)
            if not self._follow or self._is_ended() or self._is_over(standing):
                return
            self._site.changes.wait(seen, LOOK_AGAIN_S)

    def _standing(self) -> _Standing:
        with self._site.database.read() as session:
            job = jobs.own_job(session, self._caller, self._run_id)
            step = next((name for name, letter in STEP_LETTERS.items() if letter == job.step), None)
            return _Standing(
                working=job.state in WORKING,
                step=step,
                attempt=job.attempts.get(step or "", 1),
                mark=job.activities[-1].id if job.activities else 0,
            )

    def _is_live(self, standing: _Standing) -> bool:
        """Whether what is asked for may be at work now."""
        is_here = self._step in (None, standing.step)
        return standing.working and (self._attempt in (None, standing.attempt) or not is_here)

    def _is_over(self, standing: _Standing) -> bool:
        if not self._is_live(standing):
            return True
        if self._step is None or standing.step is None:
            return False
        return STEP_TYPES.index(standing.step) > STEP_TYPES.index(self._step)

    def _archived(self, besides: str | None) -> Iterator[str]:
        """What the archive has of steps that were not shown yet."""
        archive = self._site.archive
        if archive is None:
            return
        try:
            entries = archive.entries(self._run_id)
            kept = {entry.step for entry in entries if self._attempt in (None, entry.attempt)} - self._shown - {besides}
            for step in sorted(kept, key=_place):
                self._shown.add(step)
                if self._wants(step):
                    yield from self._headed(step, iter([archive.read(self._run_id, step, self._attempt)]))
        except LandoError as error:
            logger.warning("%s", error)
            yield "[The archived logs can't be read now; try again later.]\n"

    def _live(self, standing: _Standing) -> Iterator[str] | None:
        """The log of the pod at work; None when there is none, or it was followed to its end already."""
        step = standing.step
        if step is None or not self._is_live(standing):
            return None
        if not self._wants(step) or standing.mark == self._followed:
            return None
        return self._pod_log(step, follow=self._follow)

    def _wants(self, step: str) -> bool:
        return self._step is None or self._step == step


def _patient(site: Site, log: RunLog) -> Generator[str, None, None]:
    """The log as it comes, while the server has a place for one more who waits."""
    if not site.patience.acquire(blocking=False):
        yield "[Too many logs are followed now; try again later, or without following.]\n"
        return
    try:
        yield from log.pieces()
    finally:
        site.patience.release()


def _place(step: str) -> int:
    return STEP_TYPES.index(step) if step in STEP_TYPES else len(STEP_TYPES)
