"""``/api/lando/v1/files``: uploads of users, downloads by signed URLs or by their owner."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from lando.api import auth
from lando.api import models as m
from lando.api.answers import detail, not_found
from lando.api.auth import SignedIn
from lando.api.files import FileUrls, Stored, TooLarge, Upload, safe_name
from lando.api.middleware import restore_head
from lando.api.routes import LANDO
from lando.api.shapes import Detail
from lando.api.shapes import jobs as shapes
from lando.api.site import Site, TheSite

logger = logging.getLogger(__name__)

router = APIRouter(prefix=f"{LANDO}/files", tags=["files"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}

_BATCH_BYTES = 1024 * 1024
"""Chunks are written together, so that a large upload does not change threads for each."""


@router.post(
    "",
    status_code=201,
    responses={507: {"description": "The server has no room for the file.", "model": Detail}},
    openapi_extra={
        "requestBody": {
            "description": "The file itself.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    request: Request,
    site: TheSite,
    caller: SignedIn,
    name: Annotated[str, Query(min_length=1, max_length=255)] = "file",
) -> shapes.UploadedFile:
    """Keep the request's body as a file; the answer's ``url`` is what an input file names."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:19]) > site.settings.max_upload_bytes:
        raise _too_large(site)
    try:
        pending = await run_in_threadpool(site.files.begin, site.settings.max_upload_bytes)
    except OSError as error:
        raise _no_room(error) from error
    try:
        stored = await _received(request, pending)
    except TooLarge as error:
        raise _too_large(site) from error
    except ClientDisconnect as error:
        raise detail(400, "The upload broke off.") from error
    except OSError as error:
        raise _no_room(error) from error
    finally:
        with contextlib.suppress(OSError):  # of what could not be written; it is gone all the same
            await run_in_threadpool(pending.__exit__, None, None, None)
    return await run_in_threadpool(_recorded, site, caller, stored, safe_name(name))


async def _received(request: Request, pending: Upload) -> Stored:
    batch: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        batch.append(chunk)
        size += len(chunk)
        if size >= _BATCH_BYTES:
            await run_in_threadpool(pending.write, b"".join(batch))
            batch, size = [], 0
    await run_in_threadpool(pending.write, b"".join(batch))
    return await run_in_threadpool(pending.finish)


def _recorded(site: Site, caller: auth.Caller, stored: Stored, name: str) -> shapes.UploadedFile:
    try:
        with site.database.write() as session:
            session.add(
                m.UploadedFile(id=stored.id, owner_id=caller.id, name=name, size=stored.size, sha256=stored.sha256)
            )
    except BaseException:
        site.files.remove(stored.id)
        raise
    urls = FileUrls(site.settings, site.key)
    return {
        "id": stored.id,
        "url": urls.for_user(urls.stored(stored.id, name)),
        "size": stored.size,
        "sha256": stored.sha256,
    }


@router.get(
    "/{file_id}/{name}",
    response_class=FileResponse,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": _BINARY}},
        206: {"description": "The range of it that was asked for.", "content": {"application/octet-stream": _BINARY}},
        401: {},
        416: {"description": "The file has no such range.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
def download(file_id: str, name: str, request: Request, site: TheSite, expires: str = "", signature: str = "") -> Any:
    """One file, whole or by ranges, for whoever has a signed URL of it or may read what it is."""
    is_signed = bool(signature) and site.key.is_signed(request.scope["path"], expires, signature, time.time())
    caller = None if is_signed else auth.caller_of(site, request)
    with site.database.read() as session:
        file = session.get(m.UploadedFile, file_id) if file_id.isalnum() else None
        may_read = file is not None and (is_signed or _may_read(session, caller, file))
    if file is None or file.name != name or not may_read:
        raise not_found()
    path = site.files.path(file.id)
    if not path.is_file():
        raise not_found()
    restore_head(request)
    headers = {"ETag": f'"{file.sha256}"', "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return FileResponse(path, media_type="application/octet-stream", filename=file.name, headers=headers)


def _may_read(session: Session, caller: auth.Caller | None, file: m.UploadedFile) -> bool:
    """Its owner, the staff, and where it is a public workflow everybody who is signed in."""
    if caller is None or caller.is_staff or caller.id == file.owner_id:
        return caller is not None
    stored = FileUrls.stored(file.id, file.name)
    public = select(m.WorkflowVersion.id).join(m.Workflow).where(m.Workflow.owner_id.is_(None))
    return session.scalars(public.where(m.WorkflowVersion.url == stored).limit(1)).first() is not None


def _no_room(error: OSError) -> Exception:
    logger.error("An upload can't be stored: %s", error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return detail(
        507, f"The server {'has no room for the file' if full else 'can not store files now'}; ask its staff."
    )


def _too_large(site: Site) -> Exception:
    return detail(413, f"A file may have at most {site.settings.max_upload_bytes} bytes.")
