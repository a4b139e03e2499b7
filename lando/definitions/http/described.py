"""What the routes take and answer, for the description of the API: schemas, errors, examples."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query

from lando.definitions.manager import JobManager

JSON = "application/json"
_NAME = "greet-92bb1d259a50733a4bdb4fe6"
_ENDED = "Tue, 02 Jan 2024 03:04:06 GMT"

JobName = Annotated[str, Path(description="as it was answered when the Job was made", examples=[_NAME])]
"""A route's parameter."""
PodName = Annotated[str | None, Query(description="which pod to follow: the newest unless it is said")]
"""A route's parameter."""
ContainerName = Annotated[str | None, Query(description="which container of it: the first unless it is said")]
"""A route's parameter."""

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_COUNT: dict[str, Any] = {"type": ["integer", "null"]}

_ERROR = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {
        "error": {"type": "string", "description": "a code, such as NotFound"},
        "message": {"type": "string", "description": "what is wrong, in a sentence"},
        "missing": {**_TEXTS, "description": "with MissingArgument, the arguments that the template needs"},
    },
}
_REFUSALS: dict[int, tuple[str, str, str]] = {
    400: ("The request or its arguments.", "BadRequest", "the body has to be a JSON object"),
    401: ("No token, or another one.", "Unauthorized", "show the token: 'Authorization: Bearer …'"),
    403: ("The cluster refuses, in its words: quota or rights.", "Forbidden", "exceeded quota: jobs, used: count=9"),
    404: ("No such definition or Job.", "NotFound", "there is no definition 'gret'"),
    409: (
        "A key that came before with other arguments; or nothing to follow yet.",
        "NotStarted",
        "container main of pod greet-x has not started: ContainerCreating; ask again",
    ),
    410: (
        "A page of a list that is too old.",
        "Expired",
        "The list has changed too much since its first page; begin again.",
    ),
    413: ("More than 1 MiB, or 50,000 values.", "TooLarge", "a request may have 1048576 bytes"),
    422: (
        "The definition can't be used, or the cluster does not take what it made.",
        "InvalidManifest",
        "definition 'greet': there is no metadata.name",
    ),
    503: (
        "The cluster is away, or too many follow logs.",
        "ClusterUnavailable",
        "The cluster can't be reached; try again later.",
    ),
}
STATUS: dict[str, Any] = {
    "type": "object",
    "description": "the Job's status as Kubernetes has it, with keys in snake_case and HTTP dates",
    "properties": {
        "active": _COUNT,
        "succeeded": _COUNT,
        "failed": _COUNT,
        "start_time": _TEXT,
        "completion_time": _TEXT,
        "deletion_timestamp": {**_TEXT, "description": "since when it is being deleted; only there if it is"},
        "conditions": {"type": ["array", "null"], "items": {"type": "object"}},
    },
    "example": {
        "active": None,
        "succeeded": 1,
        "failed": None,
        "start_time": "Tue, 02 Jan 2024 03:04:05 GMT",
        "completion_time": _ENDED,
        "conditions": [{"type": "Complete", "status": "True", "last_transition_time": _ENDED}],
    },
}
_CAUSE: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "why it failed or what it waits for",
    "properties": {
        "category": {"type": "string"},
        "sentence": {"type": "string"},
        "advice": _TEXT,
        "exit_code": _COUNT,
        "log_tail": {"type": "string", "description": "the end of the failed container's log"},
    },
}
JOB: dict[str, Any] = {
    "type": "object",
    "required": ["job_name", "state", "status"],
    "properties": {
        "job_name": {"type": "string"},
        "job_definition_name": _TEXT,
        "created": _TEXT,
        "state": {"enum": [state.value for state in JobManager.JobStatus]},
        "status": STATUS,
        "cause": _CAUSE,
        "user": {**_TEXT, "description": "who had it made; null without users, and of Jobs that were made otherwise"},
        "kept": {**_TEXT, "description": "when it was put aside, of a Job that the cluster has no more"},
        "lost": {**_TEXT, "description": "what of such a Job could not be kept, and why"},
    },
}
JOBS: dict[str, Any] = {
    "type": "object",
    "required": ["jobs"],
    "properties": {
        "jobs": {
            "type": "object",
            "description": "by name, the status of each; with details, all that is said of one Job, too",
            "additionalProperties": {"anyOf": [STATUS, JOB]},
        },
        "continue": {**_TEXT, "description": "what to ask for the next page with; null on the last"},
    },
    "example": {"jobs": {_NAME: STATUS["example"]}, "continue": None},
}
MADE: dict[str, Any] = {
    "type": "object",
    "required": ["job_name"],
    "properties": {"job_name": {"type": "string"}},
    "example": {"job_name": _NAME},
}
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["job_definition_name"],
    "properties": {"job_definition_name": {"type": "string"}},
    "additionalProperties": True,
    "description": "the definition's name and, beside it, its arguments; GET /definitions tells which there are",
    "example": {"job_definition_name": "greet", "name": "Ada", "times": 2},
}
HEALTH: dict[str, Any] = {
    "type": "object",
    "required": ["healthy"],
    "properties": {"healthy": {"type": "boolean"}, "problems": _TEXTS},
    "example": {"healthy": True},
}
EVENTS: dict[str, Any] = {
    "type": "object",
    "required": ["events", "terminations"],
    "properties": {
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "time": _TEXT,
                    "object": {"type": "string"},
                    "type": _TEXT,
                    "reason": _TEXT,
                    "message": _TEXT,
                    "count": _COUNT,
                },
            },
        },
        "terminations": {
            "type": "object",
            "description": "by pod and container, what it left at its end",
            "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}
LOGS: dict[str, Any] = {
    "type": "object",
    "description": "by pod and container, lines",
    "additionalProperties": {"type": "object", "additionalProperties": _TEXTS},
    "example": {f"{_NAME}-x7k2p": {"greet": ["Hello Ada", "Hello Ada", ""]}},
}
DEFINITIONS: dict[str, Any] = {
    "type": "object",
    "required": ["definitions"],
    "properties": {
        "definitions": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["arguments"],
                "properties": {
                    "arguments": {
                        "type": ["object", "null"],
                        "description": "a JSON Schema; null where it is not known",
                    },
                    "error": {"type": "string", "description": "why; only there then"},
                },
            },
        }
    },
    "example": {
        "definitions": {
            "greet": {"arguments": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}
        }
    },
}


def answering(schema: dict[str, Any], *, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a route answers when it does as asked, and takes, as FastAPI's ``openapi_extra``."""
    answer = {"description": "Done.", "content": {JSON: {"schema": schema}}}
    taken = {"requestBody": {"required": True, "content": {JSON: {"schema": body}}}} if body is not None else {}
    return {"responses": {"200": answer}, **taken}


OTHER: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Not done, and why.", "content": {JSON: {"schema": _ERROR}}}
}
"""Without it FastAPI tells of a 422 of its own, which is a 400 here."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of these statuses, as FastAPI's ``responses``."""
    return {
        status: {
            "description": description,
            "content": {JSON: {"schema": _ERROR, "example": {"error": code, "message": message}}},
        }
        for status in statuses
        for description, code, message in [_REFUSALS[status]]
    }
