"""The OpenAPI document: what FastAPI knows of each route, and what is done with every request whatever its route.

Answers that several routes give for the same reason are described here once: who may not, what is not there, bodies
that can't be read. A route itself declares only what it alone answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from lando.api import media_types
from lando.api.answers import Json
from lando.api.media_types import JOBS, JSON, ROOT_OBJECT

URL = "/api/lando/v1/openapi.json"

DESCRIPTION = """\
Bespin's API as its clients know it (`/api/v2`, and of the older `/api` what they still use), and Lando's own
(`/api/lando/v1`).

Paths end in a slash or not. Every path answers `HEAD` where it answers `GET`, `OPTIONS` with the header `Allow`, and
any other method with 405; other paths are 404. Bespin's routes also speak `application/vnd.rootobject+json`.
"""

TAGS = (
    ("sign-in", "Tokens, web tokens and browsers' sessions."),
    ("catalog", "What can be run."),
    ("inputs", "A user's input files."),
    ("job templates", "From a form to a job."),
    ("jobs", "A user's jobs."),
    ("daemons", "What the lando daemons read and write; for staff."),
    ("staff", "What staff set up."),
    ("files", "Uploads and downloads."),
    ("workflows", "Workflows of one's own."),
    ("runs", "Jobs in people's words: steps, causes, logs, results."),
    ("notices", "Who was told of jobs' ends; for staff."),
    ("mail", "Mails about jobs, and how they are worded; for staff."),
    ("dead letters", "Messages that daemons put aside; for staff."),
    (
        "job definitions",
        "Kubernetes Jobs of named templates; for staff, or for all whom the settings let. Errors are "
        '`{"error": code, "message": sentence}` here.',
    ),
    ("operations", "Upkeep; for staff."),
)

_REFUSALS: Mapping[int, str] = MappingProxyType(
    {
        400: "Something in the request can't be taken as it is; what and why.",
        401: "No credentials, or none that count.",
        403: "Not for this user; or a write of a browser's session without its CSRF token.",
        404: "Not there, or not this user's.",
        406: "Nothing that the Accept header names can be answered here.",
        408: "The rest of the body did not come in time.",
        413: "The body is too large.",
        415: "The body is of a media type that is not taken here.",
        429: "Too many failed sign-ins; the header Retry-After says for how long.",
        503: "The server or somebody it needs can't answer now; try again after the header Retry-After.",
    }
)
_REFUSALS_OF_JOBS: Mapping[int, str] = MappingProxyType(
    {
        **_REFUSALS,
        404: "Not there, or not this user's, or not of this server's signature; or the server has no definitions.",
        409: "The key of a request that came before with other arguments; or there is nothing to follow yet.",
        410: "A page of a list that has changed too much since its first page.",
        422: "The definition can't be used, or the cluster does not take what it made.",
    }
)
_WRITES = frozenset({"post", "put", "patch"})
_SCHEMAS: Mapping[str, Json] = MappingProxyType(
    {
        "Refusal": {
            "description": "What is wrong: in a sentence; by field (`non_field_errors` for several together); or "
            "with a start or restart that the job's state does not allow.",
            "anyOf": [
                {"$ref": "#/components/schemas/Detail"},
                {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1},
            ],
        },
        "RootObjectErrors": {
            "type": "object",
            "description": "The same for clients of the root-object media type: an error for each field.",
            "properties": {
                "errors": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "status": {"type": "integer"},
                            "detail": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
                            "source": {
                                "type": "object",
                                "properties": {"pointer": {"type": "string"}},
                                "required": ["pointer"],
                            },
                        },
                        "required": ["status", "detail", "source"],
                    },
                }
            },
            "required": ["errors"],
        },
        "JobRefusal": {
            "description": "What is wrong with a request about Jobs; the second before any route has seen it.",
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "error": {"type": "string"},
                        "message": {"type": "string"},
                        "missing": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["error", "message"],
                },
                {"$ref": "#/components/schemas/Detail"},
            ],
        },
    }
)


def document(routes: Sequence[BaseRoute]) -> Json:
    """The document of ``routes``: FastAPI's, with every answer, both media types and the tags."""
    made = get_openapi(title="Lando", version="1", description=DESCRIPTION, routes=routes)
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(_SCHEMAS)
    made["tags"] = [{"name": name, "description": text} for name, text in TAGS]
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return made


def _complete(path: str, method: str, operation: Json) -> None:
    responses = operation["responses"]
    is_jobs = path.startswith(JOBS)
    responses.pop("4XX" if is_jobs else "422", None)  # what FastAPI would answer is 400 here
    refusals = _REFUSALS_OF_JOBS if is_jobs else _REFUSALS
    declared = {status for status in refusals if str(status) in responses}
    for status in declared.union(_statuses(path, method, operation)):
        response = responses.setdefault(str(status), {})
        response["description"] = refusals[status]
        name = "JobRefusal" if is_jobs else "Refusal" if status == 400 else "Detail"
        schema = {"$ref": f"#/components/schemas/{name}"}
        content = response.setdefault("content", {}).setdefault(JSON, {"schema": schema})
        if is_jobs:
            content["schema"] = schema
        elif content["schema"] != schema:  # what the route says of its own comes beside what any may say
            content["schema"] = {"anyOf": [content["schema"], schema]}
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
        if status == 401:
            response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if media_types.has_resources(path):
        _add_root_object(media_types.resource_of(path), operation)
    operation["responses"] = dict(sorted(responses.items()))


def _statuses(path: str, method: str, operation: Json) -> Iterator[int]:
    """The refusals that a route of this kind may answer."""
    security = operation.get("security", [])
    if method != "get" or any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        yield 400
    if security and {} not in security:
        yield 401
    if any("staff" in roles for way in security for roles in way.values()) or (security and method != "get"):
        yield 403
    if "{" in path:
        yield 404
    if media_types.is_json_only(path):
        yield 406
    if method in _WRITES:
        yield from (408, 413, 415)
    yield 503


def _add_root_object(name: str | None, operation: Json) -> None:
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if JSON in content:
            is_error = status[0] in "45"
            errors = {"schema": {"$ref": "#/components/schemas/RootObjectErrors"}}
            content[ROOT_OBJECT] = errors if is_error else _under(name, content[JSON])
    content = operation.get("requestBody", {}).get("content", {})
    if JSON in content and name is not None:
        content[ROOT_OBJECT] = _under(name, content[JSON])


def _under(name: str | None, media: Json) -> Json:
    if name is None:
        return dict(media)
    schema = {"type": "object", "properties": {name: media.get("schema", {})}, "required": [name]}
    return {"schema": schema}
