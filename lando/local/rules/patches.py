"""The three ways to patch an object: JSON merge patch, JSON patch and strategic merge patch. Pure."""

from __future__ import annotations

import copy
from typing import Any

from lando.local.rules.status import Manifest, bad_request, invalid_patch, unfit_patch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH)

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that a strategic merge patch merges by key; every list not named here is replaced as a whole."""
_ORDER = "$setElementOrder/"
REPLACED = {"ServiceAccount": ("imagePullSecrets",)}
"""By kind: lists at its top that are replaced as a whole, although elsewhere their like is merged."""
MERGED_SETS = frozenset({"finalizers"})
"""Lists of plain values that a strategic merge patch adds to."""


def apply_patch(patch_type: str, document: Manifest, patch: Any) -> Manifest:
    """``document`` with ``patch`` applied, as a new object.

    Raises ApiError 422 for a patch that does not fit the document, 400 for what is no list of operations.
    """
    if patch_type == JSON_PATCH:
        result = json_patch(document, patch)
    elif not isinstance(patch, dict):
        raise invalid_patch("a merge patch is a JSON object")
    elif patch_type == MERGE_PATCH:
        result = merge_patch(document, patch)
    else:
        result = strategic_merge_patch(document, patch)
        for field in REPLACED.get(document.get("kind", ""), ()):
            if isinstance(patch.get(field), list):
                result[field] = copy.deepcopy(patch[field])
    if not isinstance(result, dict):
        raise unfit_patch("the patch leaves no object")
    return result


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null deletes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902; an operation that does not fit raises ApiError 422, as the API server answers."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    result = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("error decoding patch: each operation is an object with op and path")
        result = _operate(result, operation)
    return result


def _operate(document: Any, operation: Manifest) -> Any:
    path = _pointer(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, _given(operation))
        case "replace":
            _lookup(document, path)
            return _add(_remove(document, path), path, _given(operation)) if path else _given(operation)
        case "remove":
            return _remove(document, path)
        case "test":
            if _lookup(document, path) != operation.get("value"):
                raise unfit_patch(f"testing value {operation['path']} failed")
            return document
        case "copy":
            return _add(document, path, copy.deepcopy(_lookup(document, _pointer(str(operation.get("from"))))))
        case "move":
            source = _pointer(str(operation.get("from")))
            value = _lookup(document, source)
            return _add(_remove(document, source), path, value)
        case unknown:
            raise unfit_patch(f"unknown operation {unknown!r}")


def _given(operation: Manifest) -> Any:
    """The operation's value; as with the real API server, none is null."""
    return copy.deepcopy(operation.get("value"))


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise unfit_patch(f"{text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _lookup(document: Any, path: list[str]) -> Any:
    node = document
    for part in path:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list):
            node = node[_index(part, len(node) - 1)]
        else:
            raise unfit_patch(f"missing value at /{'/'.join(path)}")
    return node


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _lookup(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise unfit_patch(f"/{'/'.join(path)} is not within an object or a list")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _lookup(document, path)
    if not path:
        return None
    parent, last = _lookup(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document


def _index(text: str, highest: int) -> int:
    if not text.isdecimal() or int(text) > highest:
        raise unfit_patch(f"invalid index {text!r}")
    return int(text)


def strategic_merge_patch(target: Manifest, patch: Manifest) -> Manifest:
    """Merge as Kubernetes does for its own types: known lists by their keys, ``$patch`` directives honoured."""
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    kept = patch.get("$retainKeys")
    result = {key: value for key, value in target.items() if kept is None or key in kept}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [entry for entry in result.get(field) or [] if entry not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            result[key] = strategic_merge_patch(current if isinstance(current, dict) else {}, value)
        elif isinstance(value, list):
            result[key] = _merge_lists(key, result.get(key) or [], value)
        else:
            result[key] = value
    for key, order in patch.items():
        if key.startswith(_ORDER) and isinstance(result.get(field := key.removeprefix(_ORDER)), list):
            result[field] = _in_order(field, result[field], target.get(field) or [], order)
    return result


def _in_order(field: str, merged: list[Any], before: list[Any], order: list[Any]) -> list[Any]:
    """``merged`` as ``order`` lists it; what is not listed stays before what it stood before."""
    keys = MERGE_KEYS.get(field, ())

    def place(entry: Any, entries: list[Any]) -> int | None:
        same = (at for at, each in enumerate(entries) if (_same(each, entry, keys) if keys else each == entry))
        return next(same, None)

    listed = [entry for entry in merged if place(entry, order) is not None]
    listed.sort(key=lambda entry: place(entry, order) or 0)
    rest = [entry for entry in merged if place(entry, order) is None]
    result: list[Any] = []
    for entry in listed:
        here = place(entry, before)
        while rest and here is not None and (first := place(rest[0], before)) is not None and first < here:
            result.append(rest.pop(0))
        result.append(entry)
    return result + rest


def _merge_lists(field: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if any(isinstance(entry, dict) and entry.get("$patch") == "replace" for entry in patch):
        return [copy.deepcopy(entry) for entry in patch if not (isinstance(entry, dict) and "$patch" in entry)]
    if field in MERGED_SETS:
        return target + [entry for entry in patch if entry not in target]
    keys = MERGE_KEYS.get(field)
    if not keys or not all(isinstance(entry, dict) for entry in patch):
        return copy.deepcopy(patch)
    result = list(target)
    for entry in patch:
        place = next((at for at, old in enumerate(result) if _same(old, entry, keys)), None)
        if entry.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic_merge_patch({}, entry))
        else:
            result[place] = strategic_merge_patch(result[place], entry)
    return result


def _same(one: Any, other: Manifest, keys: tuple[str, ...]) -> bool:
    return isinstance(one, dict) and all(one.get(key) == other.get(key) for key in keys)
