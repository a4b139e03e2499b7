"""What bodies may look like: plain JSON, and on Bespin's routes the same under the name of its resource.

``application/vnd.rootobject+json`` holds ``{"jobs": [...]}`` where JSON holds ``[...]``, in requests and in answers;
its errors are ``{"errors": [...]}``. Known by the path alone, so that no route has to do with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Send

JSON = "application/json"
ROOT_OBJECT = "application/vnd.rootobject+json"

JOBS = "/k8s-jobs"
"""Where the routes of job definitions lie, which speak as the library's own server does."""

RESOURCES: Mapping[str, str | None] = MappingProxyType(
    {
        **{
            name: name
            for name in (
                "dds-endpoints",
                "dds-job-input-files",
                "dds-user-credentials",
                "email-messages",
                "email-templates",
                "job-activities",
                "job-dds-output-projects",
                "job-errors",
                "job-file-stage-groups",
                "job-settings",
                "job-strategies",
                "job-tokens",
                "jobs",
                "tokens",
                "url-job-input-files",
                "users",
                "workflow-methods-documents",
                "workflow-version-tool-details",
                "workflow-versions",
                "workflows",
            )
        },
        "admin/share-groups": "share-groups",
        "share-groups": "share-group",
        "workflow-configurations": "workflow-configuration",
        "lando-connections": "lando-connection",
        "jobs/*/authorize": "job-tokens",
        "jobs/*/live-usage": "job-usage",
        "job-templates": None,
        "": None,
    }
)
"""By a route's path below its prefix, as far as it tells them apart: the resource's name in the contract, None for the
routes without one, which take and answer plain JSON only. A path with ``admin/`` is looked up without it, too."""

_OTHER_TYPES = re.compile(r"/api/lando/v1/(files/.|runs/[^/]+/(logs$|outputs/.))")
_BELOW_PREFIX = re.compile(r"/api(?:/v2)?(?:/(?!v2(?:/|$)|lando(?:/|$))(?P<rest>.*))?")


def has_resources(path: str) -> bool:
    """Whether ``path`` is one of Bespin's routes (v2 or v1), which speak both media types."""
    return _BELOW_PREFIX.fullmatch(path) is not None


def is_json_only(path: str) -> bool:
    """Whether what ``path`` answers is JSON in any case; elsewhere there are also files, logs and pages."""
    return path.startswith(("/api/", "/api-auth-token", "/auth/api-token-")) and not _OTHER_TYPES.match(path)


def resource_of(path: str) -> str | None:
    """The name of the resource at ``path``; None where there is none. Raises KeyError for what is not declared."""
    found = _BELOW_PREFIX.fullmatch(path)
    if found is None:
        return None
    parts = (found["rest"] or "").split("/")
    if len(parts) == 3 and (key := f"{parts[0]}/*/{parts[2]}") in RESOURCES:
        return RESOURCES[key]
    if parts[0] == "admin" and len(parts) > 1:
        return RESOURCES.get(f"admin/{parts[1]}") or RESOURCES[parts[1]]
    return RESOURCES[parts[0]]


def chosen(accept: str, path: str) -> str | None:
    """The media type to answer at ``path`` for an Accept header; None when nothing there is will do.

    The best of the client's weights counts, then how exactly it names the type; then plain JSON.
    """
    if not accept.strip():
        return JSON
    ranges = list(_ranges(accept))
    best: tuple[float, int, str] | None = None
    for offered in (JSON, ROOT_OBJECT) if has_resources(path) else (JSON,):
        exactness, weight = max(((exact, q) for kind, exact, q in ranges if _matches(kind, offered)), default=(0, 0.0))
        if weight > 0 and (best is None or (weight, exactness) > best[:2]):
            best = (weight, exactness, offered)
    return best[2] if best else None


def unwrapping(receive: Receive, name: str) -> Receive:
    """The request's body without the root key ``name``; an empty one stands for an empty object."""
    is_read = False

    async def unwrapped() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        is_read = True
        return {"type": "http.request", "body": _unwrapped(b"".join(parts), name), "more_body": False}

    return unwrapped


def wrapping(send: Send, name: str | None) -> Send:
    """Sends JSON answers under the root key ``name``, if there is one, and errors as a list of errors."""
    start: Message | None = None
    parts: list[bytes] = []

    async def wrapped(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and _is_json(message):
            start = message
            return
        if start is None or message["type"] != "http.response.body":
            await send(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = _wrapped(b"".join(parts), start["status"], name)
        replaced = {b"content-type": ROOT_OBJECT.encode(), b"content-length": str(len(body)).encode()}
        headers = [(key, replaced.get(key.lower(), value)) for key, value in start.get("headers", ())]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return wrapped


def _ranges(accept: str) -> Iterator[tuple[str, int, float]]:
    """Each media range with how exact it is and its weight; one whose weight is no number counts fully."""
    for part in accept.lower().split(","):
        kind, *parameters = (text.strip() for text in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q" and re.fullmatch(r"[01](\.\d{0,3})?", value.strip()):
                weight = min(float(value), 1.0)
        yield kind, 0 if kind == "*/*" else 1 if kind.endswith("/*") else 2, weight


def _matches(kind: str, offered: str) -> bool:
    return kind in ("*/*", offered) or (kind.endswith("/*") and offered.startswith(kind[:-1]))


def _unwrapped(text: bytes, name: str) -> bytes:
    if not text:
        return b"{}"
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is no JSON.") from error
    if not isinstance(body, dict) or name not in body:
        raise HTTPException(400, f'A body of type {ROOT_OBJECT} must hold the key "{name}" here.')
    return json.dumps(body[name]).encode()


def _wrapped(text: bytes, status: int, name: str | None) -> bytes:
    if status >= 400:
        return json.dumps({"errors": list(_errors(json.loads(text), status))}, ensure_ascii=False).encode()
    return text if name is None or not text else b'{"%s":%s}' % (name.encode(), text)


def _errors(body: Any, status: int) -> Iterator[dict[str, Any]]:
    """Each finding of one of our error bodies; its pointer is that of the field, or the whole body's."""
    if not isinstance(body, dict):
        body = {"detail": body[0] if isinstance(body, list) and len(body) == 1 else body}
    for field, texts in body.items():
        pointer = "/data" if field == "detail" else f"/data/attributes/{field}"
        yield {"status": status, "detail": texts, "source": {"pointer": pointer}}


def _is_json(message: Message) -> bool:
    kinds = [value for key, value in message.get("headers", ()) if key.lower() == b"content-type"]
    return bool(kinds) and kinds[0].split(b";")[0].strip() == JSON.encode()
