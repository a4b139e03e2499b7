"""``/healthz``, ``/readyz`` and ``/metrics``, for those who operate the server; no sign-in.

Whoever asks is told which part is away and since when; hosts, user names and what a peer said are in the log only.
"""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lando.api.site import Site, TheSite
from lando.errors import ConfigError, Unavailable
from lando.k8s import health
from lando.metrics import CONTENT_TYPE

router = APIRouter(include_in_schema=False)

LATE_S = 60.0
"""A command that waits longer than this for the broker is worth a word."""


@router.get("/healthz")
async def alive(site: TheSite) -> JSONResponse:
    """503 with what a restart of the process may mend. Asks nobody, so that it answers whoever else does not."""
    if (trouble := _wrong(site)) is not None:
        return JSONResponse({"status": "broken", "wrong": trouble}, 503)
    if (waits_for := site.opening.waits_for or health.waits_for(site.parts)) is not None:
        return JSONResponse({"status": "waiting", "waits_for": waits_for})
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def ready(site: TheSite) -> JSONResponse:
    """503 with why requests can't be served now. What only delays commands, or is about Jobs of definitions alone, is
    said."""
    return await anyio.to_thread.run_sync(_readiness, site, limiter=site.operators)


def _readiness(site: Site) -> JSONResponse:
    waits_for = _wrong(site) or site.opening.waits_for or health.waits_for(site.parts)
    waiting, oldest_s, held_up_by = 0, 0.0, None
    if waits_for is None:
        try:
            site.database.require_current()
            waiting, oldest_s = site.outbox.waiting()
            held_up_by = site.outbox.held_up_by()
        except Unavailable:
            waits_for = site.database.unavailable()
        except ConfigError as error:
            waits_for = str(error)
    if waits_for is not None:
        return JSONResponse({"status": "unavailable", "waits_for": waits_for}, 503)
    is_late = oldest_s >= LATE_S or held_up_by is not None
    answer = {
        "status": "commands wait for the broker" if is_late else "ok",
        "commands_waiting": waiting,
        "oldest_command_s": round(oldest_s, 1),
    }
    definitions = site.definitions.standing().words() if site.definitions is not None else None
    told = {"broker": held_up_by, "definitions": definitions}
    return JSONResponse(answer | {part: words for part, words in told.items() if words})


def _wrong(site: Site) -> str | None:
    return site.opening.wrong() or site.outbox.wrong() or site.notices.wrong() or health.wrong(site.parts)


@router.get("/metrics")
async def metrics(request: Request, site: TheSite) -> Response:
    """Prometheus' text form."""
    text = await anyio.to_thread.run_sync(request.app.state.metrics.text, limiter=site.operators)
    return Response(text, media_type=CONTENT_TYPE)
