"""The OpenAPI documents of the embedded API, made from the installed Kubernetes client's models. Pure, and cached.

kubectl explains fields with them, checks what it sends, merges lists by their keys when it applies, and learns which
requests may be a dry run. Newer ones read version 3 as JSON, all read version 2 as Protocol Buffers, with gnostic's
messages (google/gnostic, ``openapiv2/OpenAPIv2.proto``).
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from typing import Any

from lando.local.http.protobuf import field, fields
from lando.local.rules.kinds import KINDS, Kind
from lando.local.rules.patches import MERGE_KEYS, MERGED_SETS
from lando.local.rules.schema import MODELS
from lando.local.rules.status import Manifest

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_PATH = "/openapi/v2"
V3_PATH = "/openapi/v3"
_GVK = "x-kubernetes-group-version-kind"
_MODEL = re.compile(r"([A-Z][a-z]+)??(V\d+(?:(?:alpha|beta)\d+)?)(\w+)")
_LIST = re.compile(r"[Ll]ist\[(.+)]")
_MAP = re.compile(r"[Dd]ict[\[(]str, ?(.+)[\])]")
_SCALARS: dict[str, Manifest] = {
    "str": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "datetime": {"type": "string", "format": "date-time"},
    "int": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "float": {"type": "number", "format": "double"},
    "object": {"type": "string", "format": "int-or-string"},
}
_QUERY = {
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"),
    "get": (),
}


@functools.cache
def v2() -> bytes:
    """Version 2 of all groups, as JSON."""
    definitions: Manifest = {}
    paths: Manifest = {}
    for kind in KINDS:
        _define(MODELS[kind.kind], definitions, "#/definitions/")
        _mark(kind, definitions)
        paths |= _paths(kind)
    return _json({"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": definitions})


@functools.cache
def v2_protobuf() -> bytes:
    """:func:`v2` as the message ``openapi.v2.Document``."""
    document = json.loads(v2())
    info = field(1, document["info"]["title"]) + field(2, document["info"]["version"])
    paths = fields(2, (field(1, path) + field(2, _path_message(item)) for path, item in document["paths"].items()))
    definitions = _schemas_message(document["definitions"])
    return field(1, document["swagger"]) + field(2, info) + field(8, paths) + field(9, definitions)


@functools.cache
def v3_index() -> bytes:
    """Where the documents of version 3 are, one for each group and version; the hash lets clients keep them."""
    places = sorted({_place(kind) for kind in KINDS})
    paths = {}
    for place in places:
        digest = hashlib.sha256(v3(place) or b"").hexdigest().upper()
        paths[place] = {"serverRelativeURL": f"{V3_PATH}/{place}?hash={digest}"}
    return _json({"paths": paths})


@functools.cache
def v3(place: str) -> bytes | None:
    """Version 3 of one group, e.g. ``apis/batch/v1``, as JSON; None when there is no such group."""
    kinds = [kind for kind in KINDS if _place(kind) == place]
    if not kinds:
        return None
    schemas: Manifest = {}
    paths: Manifest = {}
    for kind in kinds:
        _define(MODELS[kind.kind], schemas, "#/components/schemas/")
        _mark(kind, schemas)
        paths |= _paths(kind)
    return _json({"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}})


_INFO = {"title": "Kubernetes", "version": "lando"}


def _place(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _json(document: Manifest) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _gvk(kind: Kind) -> Manifest:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _mark(kind: Kind, schemas: Manifest) -> None:
    schemas[_schema_name(MODELS[kind.kind])][_GVK] = [_gvk(kind)]


def _schema_name(model: str) -> str:
    """A name whose last part is the type's: ``V1Job`` is ``io.k8s.v1.Job``."""
    match = _MODEL.fullmatch(model)
    if match is None:
        return f"io.k8s.{model}"
    group, version, name = match.groups()
    return ".".join(part for part in ("io.k8s", (group or "").lower(), version.lower(), name) if part)


def _define(model: str, schemas: Manifest, prefix: str) -> None:
    """Add ``model`` and all that it refers to."""
    name = _schema_name(model)
    if name in schemas:
        return
    import kubernetes.client  # imported at first use: it is large

    described = getattr(kubernetes.client, model)
    schema: Manifest = {"type": "object", "properties": {}}
    schemas[name] = schema
    if text := (described.__doc__ or "").strip().partition("\n")[0]:
        schema["description"] = text
    by_member = {about.serialization_alias or name: about for name, about in described.model_fields.items()}
    for attribute, declared in described.openapi_types.items():
        member = described.attribute_map[attribute]
        about = by_member[member]
        shape = {**_shape(declared, schemas, prefix), **_merging(member, declared)}
        if member == "fieldsV1":
            shape = {"type": "object"}
        if about.description:
            shape["description"] = about.description
        schema["properties"][member] = shape
        if about.is_required():
            schema.setdefault("required", []).append(member)


def _shape(declared: str, schemas: Manifest, prefix: str) -> Manifest:
    if declared in _SCALARS:
        return dict(_SCALARS[declared])
    if match := _LIST.fullmatch(declared):
        return {"type": "array", "items": _shape(match[1], schemas, prefix)}
    if match := _MAP.fullmatch(declared):
        return {"type": "object", "additionalProperties": _shape(match[1], schemas, prefix)}
    _define(declared, schemas, prefix)
    return {"$ref": prefix + _schema_name(declared)}


def _merging(member: str, declared: str) -> Manifest:
    """How a strategic merge patch treats a list."""
    if not _LIST.fullmatch(declared):
        return {}
    if member in MERGED_SETS:
        return {"x-kubernetes-patch-strategy": "merge"}
    if member in MERGE_KEYS:
        return {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": MERGE_KEYS[member][0]}
    return {}


def _paths(kind: Kind) -> Manifest:
    place = f"/{_place(kind)}" + ("/namespaces/{namespace}" if kind.namespaced else "")
    collection, one = f"{place}/{kind.resource}", f"{place}/{kind.resource}/{{name}}"
    return {
        collection: {"get": _operation(kind, "get"), "post": _operation(kind, "post")},
        one: {method: _operation(kind, method) for method in ("get", "put", "patch", "delete")},
    }


def _operation(kind: Kind, method: str) -> Manifest:
    query: list[dict[str, Any]] = [{"name": name, "in": "query"} for name in _QUERY[method]]
    return {"parameters": query, "responses": {"200": {"description": "OK"}}, _GVK: _gvk(kind)}


# -- messages of gnostic; the numbers are those of its fields ---------------------------------------------------------


def _path_message(item: Manifest) -> bytes:
    numbers = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
    return b"".join(field(numbers[method], _operation_message(operation)) for method, operation in item.items())


def _operation_message(operation: Manifest) -> bytes:
    queries = (field(2, each["in"]) + field(4, each["name"]) for each in operation["parameters"])
    # ParametersItem.parameter → Parameter.non_body_parameter → NonBodyParameter.query_parameter_sub_schema
    parameters = (field(1, field(2, field(3, query))) for query in queries)
    return fields(8, parameters) + _extensions_message(operation, 13)


def _schemas_message(schemas: Manifest) -> bytes:
    return fields(1, (field(1, name) + field(2, _schema_message(schema)) for name, schema in schemas.items()))


def _schema_message(schema: Manifest) -> bytes:
    parts = [field(number, schema[key]) for key, number in (("$ref", 1), ("format", 2), ("description", 4))
             if key in schema]  # fmt: skip
    parts.append(fields(19, schema.get("required", ())))
    if "additionalProperties" in schema:
        parts.append(field(21, field(1, _schema_message(schema["additionalProperties"]))))
    if "type" in schema:
        parts.append(field(22, field(1, schema["type"])))
    if "items" in schema:
        parts.append(field(23, field(1, _schema_message(schema["items"]))))
    if schema.get("properties"):
        parts.append(field(25, _schemas_message(schema["properties"])))
    parts.append(_extensions_message(schema, 31))
    return b"".join(parts)


def _extensions_message(owner: Manifest, number: int) -> bytes:
    """Fields ``x-…`` as YAML, which JSON is."""
    named = (field(1, key) + field(2, field(2, json.dumps(value))) for key, value in owner.items() if key[:2] == "x-")
    return fields(number, named)
