"""Which fields the kinds have and of which JSON type, as the installed Kubernetes client knows them.

As with the real API server, a value of the wrong type is refused, and an unknown field is dropped (or, where the client
asks for strict validation, named).
"""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

from lando.local.rules.quantities import FORM_WORDS, parse_quantity
from lando.local.rules.status import ApiError, Manifest, UndecodableError

_LIST = re.compile(r"[Ll]ist\[(.+)]")
_MAP = re.compile(r"[Dd]ict[\[(]str, ?(.+)[\])]")
MODELS = {
    "ConfigMap": "V1ConfigMap",
    "Event": "CoreV1Event",
    "Job": "V1Job",
    "LimitRange": "V1LimitRange",
    "Namespace": "V1Namespace",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Pod": "V1Pod",
    "ResourceQuota": "V1ResourceQuota",
    "Secret": "V1Secret",
    "ServiceAccount": "V1ServiceAccount",
}
_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "string"),
    "bytes": ((str,), "string"),
    "datetime": ((str,), "string"),
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
        return value
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
    return {described.attribute_map[name]: declared for name, declared in described.openapi_types.items()}
