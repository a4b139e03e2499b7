"""``runs/{id}/outputs``: the results of a run, listed and streamed."""

from __future__ import annotations

from itertools import islice

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from lando.api import models as m
from lando.api import runs
from lando.api.answers import detail, not_found
from lando.api.auth import Caller, SignedIn
from lando.api.bodies import id_of
from lando.api.middleware import restore_head, wants_head
from lando.api.results import MAX_FILES, Results, is_below, media_type
from lando.api.routes import LANDO
from lando.api.shapes import runs as shapes
from lando.api.site import Site, TheSite
from lando.errors import NotFound

router = APIRouter(prefix=f"{LANDO}/runs", tags=["runs"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get("/{run_id}/outputs")
def list_outputs(run_id: str, site: TheSite, caller: SignedIn) -> shapes.Outputs:
    """Path and size of every file of the results; none before the results are stored."""
    url = _project(site, caller, run_id)
    if not url:
        return {"url": None, "files": [], "complete": True}
    found = list(islice(Results(_served(site, url)).files(), MAX_FILES + 1))
    return {
        "url": url,
        "files": [{"path": file.path, "size": file.size} for file in found[:MAX_FILES]],
        "complete": len(found) <= MAX_FILES,
    }


@router.get(
    "/{run_id}/outputs/{path:path}",
    response_class=Response,
    responses={
        200: {"description": "The file, of the type that its name tells.", "content": {"*/*": _BINARY}},
        206: {"description": "The range of it that was asked for.", "content": {"*/*": _BINARY}},
        416: {"description": "The file has no such range.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
def read_output(run_id: str, path: str, request: Request, site: TheSite, caller: SignedIn) -> Response:
    """One file of the results."""
    url = _project(site, caller, run_id)
    if not url:
        raise not_found()
    results = Results(_served(site, url))
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    try:
        file = results.local_file(path)
        if file is not None:
            restore_head(request)
            return FileResponse(file, media_type=media_type(path), headers=headers)
        headers["Content-Length"] = str(results.size(path))
        if wants_head(request):
            return Response(media_type=media_type(path), headers=headers)
        return StreamingResponse(results.open(path), media_type=media_type(path), headers=headers)
    except NotFound as error:
        raise not_found() from error


def _project(site: Site, caller: Caller, run_id: str) -> str | None:
    with site.database.read() as session:
        run = runs.own(session, caller, id_of(run_id))
        project = run.output_project if isinstance(run, m.Job) else None
        return project.project_id if project and project.project_id else None


def _served(site: Site, url: str) -> str:
    if not is_below(url, site.settings.results_roots):
        raise detail(404, f"The results are at {url}; this server does not serve files from there.")
    return url
