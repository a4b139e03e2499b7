"""What the API server answers when it can't do as asked: ``Status`` objects, worded as Kubernetes words them.

Clients read ``reason``, ``code`` and ``details``; people (and quite a few programs) read the message, so both follow
the real API server's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lando.errors import LandoError

Manifest = dict[str, Any]


class ApiError(LandoError):
    """The API's refusal of one request; ``code`` is the HTTP status and ``reason`` the machine-readable word."""

    def __init__(
        self, code: int, reason: str, message: str, details: Manifest | None = None, *, continue_: str | None = None
    ) -> None:
        """``continue_`` is a token with which a list can go on in spite of the refusal."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self._metadata: Manifest = {} if continue_ is None else {"continue": continue_}

    def body(self) -> Manifest:
        """The ``Status`` object that goes over the wire."""
        status: Manifest = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self._metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One thing wrong with one field of an object: becomes a cause of an ``Invalid`` answer."""

    field: str
    reason: str
    """``FieldValueRequired``, ``FieldValueInvalid``, …"""
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def required(field: str, detail: str = "") -> FieldError:
    """The field must be given."""
    return FieldError(
        field=field, reason="FieldValueRequired", message="Required value" + (f": {detail}" if detail else "")
    )


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    """The field's value can't be used; ``detail`` says why."""
    return FieldError(field=field, reason="FieldValueInvalid", message=f"Invalid value: {_shown(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    """The field's value is none of ``supported``."""
    listed = ", ".join(_shown(choice) for choice in supported)
    return FieldError(
        field=field,
        reason="FieldValueNotSupported",
        message=f"Unsupported value: {_shown(value)}: supported values: {listed}",
    )


def duplicate(field: str, value: Any) -> FieldError:
    """The value stands there twice, where it must be unique."""
    return FieldError(field=field, reason="FieldValueDuplicate", message=f"Duplicate value: {_shown(value)}")


def field_not_found(field: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(field=field, reason="FieldValueNotFound", message=f"Not found: {_shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    """The field may not be set, or not be changed."""
    return FieldError(field=field, reason="FieldValueForbidden", message=f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    """The value is longer than ``limit`` bytes."""
    return FieldError(field=field, reason="FieldValueTooLong", message=f"Too long: must have at most {limit} bytes")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def qualified(resource: str, group: str) -> str:
    """``jobs.batch``, or just ``pods`` for the core group."""
    return f"{resource}.{group}" if group else resource


def _details(resource: str, group: str, name: str) -> Manifest:
    parts = {"name": name, "group": group, "kind": resource}
    return {key: value for key, value in parts.items() if value}


def not_found(resource: str, group: str, name: str) -> ApiError:
    """404: no object of that name."""
    return ApiError(
        404, "NotFound", f'{qualified(resource, group)} "{name}" not found', _details(resource, group, name)
    )


def unknown_route() -> ApiError:
    """404: the path names no resource of ours."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: str, group: str, name: str, *, generated: bool = False) -> ApiError:
    """409 on creating: the name is taken; where it was ``generated``, by chance, so it is worth another try."""
    words, details = f'{qualified(resource, group)} "{name}" already exists', _details(resource, group, name)
    if generated:
        words += ", the server was not able to generate a unique name for the object"
        details["retryAfterSeconds"] = 1
    return ApiError(409, "AlreadyExists", words, details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str, group: str, name: str, detail: str = MODIFIED) -> ApiError:
    """409 on changing or deleting: the object is not the one (or not at the version) that was meant."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {detail}',
        _details(resource, group, name),
    )


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: the object breaks the rules of its kind; each of ``errors`` becomes a cause."""
    listed = ", ".join(str(error) for error in errors)
    if len(errors) > 1:
        listed = f"[{listed}]"
    details = _details(kind, group, name)
    details["causes"] = [{"reason": error.reason, "message": error.message, "field": error.field} for error in errors]
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {listed}', details)


def expired(message: str, *, continue_: str | None = None) -> ApiError:
    """410: the resource version or continue token is too old; list again, or go on with ``continue_``."""
    return ApiError(410, "Expired", message, continue_=continue_)


def too_large_version(asked: int, current: int) -> ApiError:
    """504: a version was asked for that is yet to come."""
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def forbidden(resource: str, group: str, name: str, detail: str, causes: Sequence[Manifest] = ()) -> ApiError:
    """403: understood, but not allowed."""
    which = f'{qualified(resource, group)} "{name}"' if name else qualified(resource, group)
    details = _details(resource, group, name)
    if causes:
        details["causes"] = list(causes)
    return ApiError(403, "Forbidden", f"{which} is forbidden: {detail}", details)


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: the token is not one of ours."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """405: the resource has no such verb."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


class UndecodableError(ApiError):
    """400: the body is no object of the kind; ``detail`` says why."""

    def __init__(self, kind: str, version: str, detail: str) -> None:
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {detail}')
        self.detail = detail


def invalid_patch(detail: str) -> ApiError:
    """422: the patch leaves what is no object of the kind. Never shows a value."""
    cause = FieldError(field="patch", reason="FieldValueInvalid", message=f"Invalid value: {detail}")
    return invalid("", "", "", [cause])


def unfit_patch(detail: str) -> ApiError:
    """422: an operation of a JSON patch does not fit the object."""
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {detail}", {})


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415: the body is in a format that this request does not take."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
        {},
    )


def not_acceptable() -> ApiError:
    """406: the client wants an answer in a format that we do not speak."""
    return ApiError(
        406, "NotAcceptable", "only the following media types are accepted: application/json, application/yaml", {}
    )


def invalid_options(kind: str, errors: Sequence[FieldError], name: str = "") -> ApiError:
    """422: the request's own parameters (``ListOptions``, ``DeleteOptions``, …) break the rules."""
    return invalid(kind, "" if kind == "PodLogOptions" else "meta.k8s.io", name, errors)


def too_large(limit: int) -> ApiError:
    """413: the body is over ``limit`` bytes."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def too_many_requests(message: str) -> ApiError:
    """429: at capacity; the client waits and tries again."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": 1})


def stopping() -> ApiError:
    """503: the server ends; the client tries again, and meets the next one."""
    return ApiError(503, "ServiceUnavailable", "apiserver is shutting down", {"retryAfterSeconds": 1})


def internal(message: str) -> ApiError:
    """500: the server's own fault."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
