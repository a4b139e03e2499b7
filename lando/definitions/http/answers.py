"""What the server answers when it can't do as asked: a status, ``{"error": code, "message": sentence}``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from jinja2.exceptions import UndefinedError
from kubernetes.client.exceptions import ApiException
from starlette.exceptions import HTTPException

from lando.definitions.exceptions import (
    ArgumentError,
    DefinitionError,
    IdempotencyError,
    MissingArgument,
    NotFoundException,
    TooManyJobs,
)
from lando.definitions.kubernetes_errors import UNREACHED, message_of, trouble
from lando.errors import PeerError

logger = logging.getLogger(__name__)

_CODES = {401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge"}


class Refusal(Exception):
    """A request that is answered with an error of its own."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class Route(APIRoute):
    """A route whose every error is an answer, whatever application it is part of."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - each has its answer
                return answer(error)

        return answered


def answer(error: Exception) -> JSONResponse:
    """The answer that ``error`` means."""
    if isinstance(error, ApiException) and error.status:
        return _of_cluster(error)
    match error:
        case Refusal():
            return _told(error.status, error.code, error, headers=error.headers)
        case HTTPException():
            return _told(error.status_code, _CODES.get(error.status_code, "BadRequest"), error.detail)
        case RequestValidationError():
            found = error.errors()[0]
            return _told(400, "BadRequest", f"{found['loc'][-1]}: {found['msg']}")
        case PeerError():
            logger.warning("%s", error)
            return _told(503, "Unavailable", f"The {error.peer} is not available; try again later.")
        case NotFoundException():
            return _told(404, "NotFound", sentence(error))
        case MissingArgument():
            names = ", ".join(error.names)  # the same sentence, whether they are declared or not
            said = f"arguments are missing: {names}" if names else str(error)
            return _told(400, "MissingArgument", said, missing=list(error.names))
        case UndefinedError():
            return _told(400, "MissingArgument", error, missing=[])
        case ArgumentError():
            return _told(400, "InvalidArgument", error)
        case TooManyJobs():
            return _told(403, "Forbidden", error)
        case IdempotencyError():
            return _told(409, "Conflict", error)
        case _ if isinstance(error, (ApiException, *UNREACHED)):  # without a status, or ValueErrors in part
            logger.warning("A request failed: %s", trouble(error))
            return _told(503, "ClusterUnavailable", "The cluster can't be reached; try again later.")
        case DefinitionError() | TypeError() | ValueError():
            return _told(422, "InvalidManifest", error)
        case _:
            logger.error("A request failed", exc_info=error)
            return _told(500, "InternalError", "The server failed; its log tells more.")


def _of_cluster(error: ApiException) -> JSONResponse:
    said = message_of(error)
    match error.status:
        case 400 | 413 | 422:
            return _told(422, "InvalidManifest", said)
        case 403:
            return _told(403, "Forbidden", said)
        case 404:  # of a Job that is to be made: its namespace
            return _told(404, "NotFound", said)
        case 409:
            return _told(409, "Conflict", said)
        case 410:
            return _told(410, "Expired", "The list has changed too much since its first page; begin again.")
        case _:
            logger.warning("The cluster answered %s: %s", error.status, said)
            return _told(503, "ClusterUnavailable", f"The cluster answered {error.status}: {said}")


def sentence(error: BaseException) -> str:
    """What went wrong, for people; of an error of the cluster its own words."""
    if isinstance(error, ApiException):
        return message_of(error)
    cause = error.args[0] if isinstance(error, NotFoundException) and len(error.args) == 1 else None
    if type(cause) is KeyError:  # of any mapping; its words are the key alone
        return f"there is no definition {cause}"
    return sentence(cause) if isinstance(cause, BaseException) else str(error)


def _told(status: int, code: str, message: object, *, headers: Any = None, **more: Any) -> JSONResponse:
    said = str(message).encode("utf-8", "replace").decode()  # JSON may hold halves of characters; answers may not
    return JSONResponse({"error": code, "message": said, **more}, status, headers)
