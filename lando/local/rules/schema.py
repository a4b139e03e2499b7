"""Which fields the kinds have and of which JSON type, as the installed Kubernetes client knows them.

As with the real API server, a value of the wrong type is refused, and an unknown field is dropped (or, where the client
asks for strict validation, named).
"""

from __future__ import annotations

import base64
import functools
import re
from datetime import UTC, datetime
from typing import Any

from lando.local.rules.quantities import FORM_WORDS, parse_quantity
from lando.local.rules.status import ApiError, Manifest, UndecodableError

_LIST = re.compile(r"[Ll]ist\[(.+)]")
_MAP = re.compile(r"[Dd]ict[\[(]str, ?(.+)[\])]")
MODELS = {
    "ConfigMap": "V1ConfigMap",
    "Event": "CoreV1Event",
    "Job": "V1Job",
    "Lease": "V1Lease",
    "LimitRange": "V1LimitRange",
    "Namespace": "V1Namespace",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Pod": "V1Pod",
    "ResourceQuota": "V1ResourceQuota",
    "Secret": "V1Secret",
    "ServiceAccount": "V1ServiceAccount",
}
_MICRO_TIMES = frozenset({"acquireTime", "eventTime", "lastObservedTime", "renewTime"})
"""Fields whose times are MicroTimes."""
_TIMES = {
    # Declared type → how such a time is given, in words and by its decimals, and how exactly it is kept, in UTC
    # (apimachinery, ``pkg/apis/meta/v1/time.go`` and ``micro_time.go``).
    "datetime": ("RFC 3339 time", re.compile(r"(\.\d+)?"), "seconds"),
    "microtime": ("RFC 3339 time with six decimals of a second", re.compile(r"\.\d{6}"), "microseconds"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.\d]*)(Z|[-+]\d\d:\d\d)")
_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "string"),
    "bytes": ((str,), "string"),
    "datetime": ((str,), "string"),
    "microtime": ((str,), "string"),
    "int": ((int,), "integer"),
    "bool": ((bool,), "boolean"),
    "float": ((int, float), "number"),
}
_QUANTITIES = frozenset(
    {"limits", "requests", "capacity", "allocatedResources", "overhead", "sizeLimit", "hard", "used"}
    | {"min", "max", "default", "defaultRequest", "maxLimitRequestRatio"}
)
"""Fields whose values are quantities."""


class _UnfitError(Exception):
    """A value of the wrong type at ``path``."""

    def __init__(self, path: str, value: Any, expected: str) -> None:
        super().__init__(f"cannot use {type(value).__name__} as {expected} at {path}")


def conform(kind: str, manifest: Manifest) -> tuple[Manifest, list[str]]:
    """A deep copy of ``manifest`` without nulls and unknown fields, and the paths of the unknown ones.

    Raises ApiError 400 for a value of the wrong JSON type.
    """
    unknown: list[str] = []
    try:
        result = _object(MODELS[kind], manifest, "", unknown)
    except _UnfitError as error:
        raise _undecodable(kind, manifest, str(error)) from None
    return result, unknown


def strict_error(kind: str, manifest: Manifest, unknown: list[str]) -> ApiError:
    """400: what strict field validation says about unknown fields."""
    return _undecodable(
        kind, manifest, "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown)
    )


def _undecodable(kind: str, manifest: Manifest, detail: str) -> ApiError:
    return UndecodableError(kind, str(manifest.get("apiVersion", "v1")).rpartition("/")[2], detail)


def _object(model: str, value: Any, path: str, unknown: list[str]) -> Manifest:
    if not isinstance(value, dict):
        raise _UnfitError(path or "the top", value, "object")
    fields = _fields(model)
    result: Manifest = {}
    for name, member in value.items():
        where = f"{path}.{name}" if path else name
        declared = fields.get(name)
        if declared is None:
            unknown.append(where)
        elif member is not None:
            result[name] = _value(declared, member, where, unknown, quantity=name in _QUANTITIES)
    return result


def _value(declared: str, value: Any, path: str, unknown: list[str], *, quantity: bool) -> Any:
    if declared == "bytes" and isinstance(value, str) and not _is_base64(value):
        raise _UnfitError(path, value, "base64 data")
    if scalar := _SCALARS.get(declared):
        types, word = scalar
        if quantity and declared == "str":
            return _quantity(value, path)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise _UnfitError(path, value, word)
        return _time(declared, str(value), path) if declared in _TIMES else value
    if match := _LIST.fullmatch(declared):
        if not isinstance(value, list):
            raise _UnfitError(path, value, "array")
        entries = [entry for entry in value if entry is not None]
        return [_value(match[1], entry, f"{path}[{at}]", unknown, quantity=False) for at, entry in enumerate(entries)]
    if match := _MAP.fullmatch(declared):
        if not isinstance(value, dict):
            raise _UnfitError(path, value, "object")
        # A null in a map of strings reads as the empty string.
        return {
            key: "" if member is None else _value(match[1], member, f"{path}.{key}", unknown, quantity=quantity)
            for key, member in value.items()
        }
    if declared.startswith(("V", "CoreV")):
        return _object(declared, value, path, unknown)
    return value


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _time(declared: str, value: str, path: str) -> str:
    words, decimals, precision = _TIMES[declared]
    match = _TIME.fullmatch(value)
    try:
        if match is not None and decimals.fullmatch(match[1]):
            return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
    except (ValueError, OverflowError):
        pass
    raise _UnfitError(path, value, words)


def _quantity(value: Any, path: str) -> str:
    """Quantities are strings that may be written as numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _UnfitError(path, value, "quantity")
    try:
        parse_quantity(value)
    except ValueError:
        raise _UnfitError(path, value, f"quantity: {FORM_WORDS}") from None
    return value


@functools.cache
def _fields(model: str) -> dict[str, str]:
    """JSON name → declared type of each field of ``model``."""
    import kubernetes.client  # imported at first use: it is large

    described = getattr(kubernetes.client, model)
    fields = {described.attribute_map[name]: declared for name, declared in described.openapi_types.items()}
    return {
        name: "microtime" if declared == "datetime" and name in _MICRO_TIMES else declared
        for name, declared in fields.items()
    }
