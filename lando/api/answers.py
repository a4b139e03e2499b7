"""What the API answers when it can't do as asked, in Bespin's shapes.

``{"detail": text}``, ``{"<field>": [text, ...]}``, or a bare array of one text (start and restart only).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from sqlalchemy.exc import DataError, IntegrityError
from starlette.exceptions import HTTPException

from lando.errors import LandoError, Unavailable

logger = logging.getLogger(__name__)

Json = dict[str, Any]
NON_FIELD = "non_field_errors"
CHALLENGE = 'JWT realm="api"'


class Refusal(Exception):
    """A request that is answered with ``status`` and ``body`` instead of being carried out."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def detail(status: int, text: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """``{"detail": text}``."""
    return Refusal(status, {"detail": text}, headers)


def not_found() -> Refusal:
    """An id that does not exist, is no number, or is somebody else's."""
    return detail(404, "Not found.")


def invalid(field: str, *texts: str) -> Refusal:
    """One field that can't be taken as it is."""
    return Refusal(400, {field: list(texts)})


def invalid_fields(findings: Mapping[str, Sequence[str]]) -> Refusal:
    """Several fields that can't be taken as they are."""
    return Refusal(400, {field: list(texts) for field, texts in findings.items()})


def refused_action(text: str) -> Refusal:
    """A start or restart that the job's state does not allow."""
    return Refusal(400, [text])


def unauthorized() -> Refusal:
    """No credentials, or none that count."""
    text = "Authentication credentials were not provided or are not valid."
    return detail(401, text, {"WWW-Authenticate": CHALLENGE})


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error in these shapes."""

    @app.exception_handler(Refusal)
    async def refuse(_request: Request, error: Refusal) -> JSONResponse:
        return JSONResponse(jsonable_encoder(error.body), error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(app, request.scope["path"]))
            if request.method == "OPTIONS":
                return JSONResponse({}, 200, headers)
        text = "Not found." if error.status_code == 404 else str(error.detail)
        return JSONResponse({"detail": text}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(_validation_body(error.errors()), 400)

    @app.exception_handler(ValidationError)
    async def changes(_request: Request, error: ValidationError) -> JSONResponse:
        return JSONResponse(_validation_body(error.errors()), 400)

    @app.exception_handler(IntegrityError)
    async def integrity(_request: Request, error: IntegrityError) -> JSONResponse:
        logger.info("refused by the database: %s", str(error.orig).splitlines()[0])
        return JSONResponse({NON_FIELD: ["This conflicts with what is stored already, or something uses it."]}, 400)

    @app.exception_handler(DataError)
    async def data(_request: Request, error: DataError) -> JSONResponse:
        logger.warning("refused by the database: %s", str(error.orig).splitlines()[0])
        return JSONResponse({NON_FIELD: ["A value is too long or can't be stored."]}, 400)

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        logger.warning("%s", error)
        return JSONResponse({"detail": f"The {error.peer} is not available; try again."}, 503, {"Retry-After": "2"})

    @app.exception_handler(LandoError)
    async def foreseen(_request: Request, error: LandoError) -> JSONResponse:
        logger.error("%s", error)
        return JSONResponse({"detail": "The server could not do this; its log says why."}, 500)

    @app.exception_handler(Exception)
    async def unforeseen(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "The server failed; its log says why."}, 500)


def _allowed(app: FastAPI, path: str) -> list[str]:
    """The methods that ``path`` answers, those of all its routes; a route itself knows only its own."""
    known = [route for route in iter_route_contexts(app.routes) if route.path_regex.match(path)]
    methods = {method for route in known for method in route.methods or ()}
    return sorted(methods | ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}))


def _validation_body(errors: Sequence[Any]) -> Json:
    """Pydantic's findings as Bespin's: by top-level field, or a detail where the body as a whole is no use."""
    fields: dict[str, list[str]] = {}
    for error in errors:
        place = [part for part in error["loc"] if part not in ("body", "query", "path")]
        if error["type"] == "json_invalid":
            return {"detail": f"The body is no JSON: {error.get('ctx', {}).get('error', 'it can not be read')}."}
        if not place:
            if error["type"] == "value_error":
                fields.setdefault(NON_FIELD, []).append(_text(error))
                continue
            return {"detail": "The body must be a JSON object."}
        fields.setdefault(str(place[0]), []).append(_text(error))
    return fields


def _text(error: Any) -> str:
    if error["type"] == "missing":
        return "This field is required."
    if error.get("input", "") is None:
        return "This field may not be null."
    return str(error["msg"]).removeprefix("Value error, ")
