"""``/healthz`` and ``/metrics``, for those who operate the server; no sign-in."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lando.api.site import TheSite
from lando.errors import Unavailable

router = APIRouter(include_in_schema=False)

LATE_S = 60.0
"""A command that waits longer than this for the broker is worth a word."""


@router.get("/healthz")
def health(site: TheSite) -> JSONResponse:
    """200 while the database answers; a broker that is away delays commands but is no reason to restart."""
    if site.opening.waits_for is not None:
        return JSONResponse({"status": "unavailable", "database": site.opening.waits_for}, 503)
    try:
        waiting, oldest_s = site.outbox.waiting()
    except Unavailable as error:
        return JSONResponse({"status": "unavailable", "database": str(error)}, 503)
    status = "ok" if oldest_s < LATE_S else "commands wait for the broker"
    return JSONResponse({"status": status, "commands_waiting": waiting, "oldest_command_s": round(oldest_s, 1)})


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Prometheus' text form."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
