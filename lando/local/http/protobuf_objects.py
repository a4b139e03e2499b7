"""What newer kubectl send as Protocol Buffers: the objects that ``kubectl create`` makes itself, and reviews. Pure.

Everything else comes as JSON. The numbers are those of Kubernetes' ``generated.proto`` files. A field that is not
known here is refused rather than lost, unless it is empty: empty ones are always sent.
"""

from __future__ import annotations

import base64
from typing import Any

from lando.local.http.protobuf import read
from lando.local.rules.status import ApiError, Manifest, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
"""Before every object; then comes ``runtime.Unknown``: the type (1) and the object's own bytes (2)."""

Shape = dict[int, tuple[str, str]]
"""By number: the field's JSON name and what it is: text, number, flag, bytes, text[], map, bytemap, or a message."""

_MESSAGES: dict[str, Shape] = {
    "TypeMeta": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        11: ("labels", "map"),
        12: ("annotations", "map"),
    },
    "ConfigMap": {1: ("metadata", "ObjectMeta"), 2: ("data", "map"), 3: ("binaryData", "bytemap"),
                  4: ("immutable", "flag")},
    "Secret": {1: ("metadata", "ObjectMeta"), 2: ("data", "bytemap"), 3: ("type", "text"),
               4: ("stringData", "map"), 5: ("immutable", "flag")},
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "ServiceAccount": {1: ("metadata", "ObjectMeta")},
    "Job": {1: ("metadata", "ObjectMeta"), 2: ("spec", "JobSpec")},
    "JobSpec": {6: ("template", "PodTemplateSpec")},
    "PodTemplateSpec": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "PodSpec": {2: ("containers", "Container[]"), 3: ("restartPolicy", "text")},
    "Container": {1: ("name", "text"), 2: ("image", "text"), 3: ("command", "text[]"), 4: ("args", "text[]")},
    "SelfSubjectAccessReview": {2: ("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "text"),
        2: ("verb", "text"),
        3: ("group", "text"),
        4: ("version", "text"),
        5: ("resource", "text"),
        6: ("subresource", "text"),
        7: ("name", "text"),
    },
    "NonResourceAttributes": {1: ("path", "text"), 2: ("verb", "text")},
    "SelfSubjectRulesReview": {2: ("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "text")},
    "SelfSubjectReview": {},
}  # fmt: skip


def decode(body: bytes) -> Manifest:
    """The object in ``body``. Raises ApiError 400 when it is none, 415 when only its JSON form is understood."""
    if not body.startswith(_MAGIC):
        raise bad_request("the body of the request can't be decoded: it is no Kubernetes object in Protocol Buffers")
    envelope = dict(read(body.removeprefix(_MAGIC)))
    manifest = _message("TypeMeta", envelope.get(1, b""))
    kind = manifest.get("kind", "")
    if kind not in _MESSAGES:
        raise _json_only(kind, "kind")
    return {**manifest, **_message(kind, envelope.get(2, b""))}


def _message(name: str, message: bytes | int) -> Manifest:
    shape, found = _MESSAGES[name], dict[str, Any]()
    for number, value in read(_bytes(message)):
        if number not in shape:
            if not _is_empty(value):
                raise _json_only(name, f"field {number}")
            continue
        member, form = shape[number]
        match form:
            case "flag":
                found[member] = bool(value)
            case "map" | "bytemap":
                key, entry = _entry(_bytes(value))
                text = base64.b64encode(entry).decode() if form == "bytemap" else _text(entry)
                found.setdefault(member, {})[key] = text
            case "text[]":
                found.setdefault(member, []).append(_text(value))
            case "text":
                if value:
                    found[member] = _text(value)
            case _ if form.endswith("[]"):
                found.setdefault(member, []).append(_message(form.removesuffix("[]"), value))
            case _:
                found[member] = _message(form, value)
    return found


def _entry(message: bytes) -> tuple[str, bytes]:
    """Key and value of a map's entry."""
    pair = dict(read(message))
    return _text(pair.get(1, b"")), _bytes(pair.get(2, b""))


def _is_empty(value: bytes | int) -> bool:
    """Whether nothing is said: zero, no text, or a message of such fields."""
    if isinstance(value, int):
        return value == 0
    try:
        return all(_is_empty(inner) for _, inner in read(value))
    except ApiError:
        return False


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise bad_request("the body of the request can't be decoded: a number stands where a message should")
    return value


def _text(value: bytes | int) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _json_only(name: str, what: str) -> ApiError:
    words = f"the embedded cluster reads {name or 'this'} ({what}) as JSON only"
    way = "with kubectl: kubectl create … --dry-run=client -o json | kubectl create -f -"
    return ApiError(415, "UnsupportedMediaType", f"{words}; {way}", {})
