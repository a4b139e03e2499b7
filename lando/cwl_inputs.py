"""What a packed CWL document asks for: its main process and the inputs, as Bespin's ``fields``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lando.errors import InputError

MAIN = "#main"
_CLASSES = ("Workflow", "CommandLineTool", "ExpressionTool")


@dataclass(frozen=True, kw_only=True)
class MainProcess:
    """The process that a packed document runs."""

    path: str
    """What stands behind the file's name to choose it: ``#main``, or nothing for a document of one process."""
    fields: list[dict[str, Any]]
    """``{"name", "type"}`` of each input; optional ones have a list type that begins with ``null``."""
    description: str
    """The document's ``doc`` or ``label``; may be empty."""
    label: str
    """The document's ``label``; may be empty."""


def main_process(packed: Mapping[str, Any]) -> MainProcess:
    """The main process of ``packed``; raises InputError (field ``packed``) for what can't be run."""
    version = packed.get("cwlVersion")
    if not isinstance(version, str):
        raise InputError("The workflow has no cwlVersion: send the output of 'cwltool --pack'.", field="packed")
    process, path = _process(packed)
    if process.get("class") not in _CLASSES:
        raise InputError(
            f"The main process has class {process.get('class')!r}; it must be one of {', '.join(_CLASSES)}.",
            field="packed",
        )
    try:
        fields = _fields(process.get("inputs", []))
    except RecursionError as error:
        raise InputError("The types of the main process's inputs are nested too deeply.", field="packed") from error
    return MainProcess(
        path=path,
        fields=fields,
        description=_text(process.get("doc") or process.get("label")),
        label=" ".join(_text(process.get("label")).split())[:255],
    )


def _process(packed: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    graph = packed.get("$graph")
    if graph is None:
        return packed, ""
    for process in graph if isinstance(graph, list) else []:
        if isinstance(process, Mapping) and str(process.get("id", "")).lstrip("#") == "main":
            return process, MAIN
    raise InputError("The packed workflow has no process with the id #main.", field="packed")


def _fields(inputs: Any) -> list[dict[str, Any]]:
    if isinstance(inputs, Mapping):
        items = [(str(name), value) for name, value in inputs.items()]
    elif isinstance(inputs, list) and all(isinstance(item, Mapping) and "id" in item for item in inputs):
        items = [(str(item["id"]), item) for item in inputs]
    else:
        raise InputError("The main process's inputs must be a list of objects with ids, or a map.", field="packed")
    fields = []
    for identifier, value in items:
        kind = value.get("type") if isinstance(value, Mapping) else value
        if kind is None:
            raise InputError(f"The input {_short(identifier)!r} has no type.", field="packed")
        kind = spelled_out(kind)
        if isinstance(value, Mapping) and value.get("default") is not None:
            kind = optional(kind)
        fields.append({"name": _short(identifier), "type": kind})
    names = [field["name"] for field in fields]
    if "" in names or len(set(names)) < len(names):
        raise InputError("Each input of the main process needs a name of its own.", field="packed")
    return fields


def spelled_out(kind: Any) -> Any:
    """A CWL type without the abbreviations ``T?`` and ``T[]``, ``null`` first where it is optional.

    An object that stands in several places, as by YAML's aliases, is one in the answer, too.
    """
    return _spelled_out(kind, {})


def _spelled_out(kind: Any, known: dict[int, Any]) -> Any:
    """``known`` has what was made of each object of the document, by its ``id``."""
    if isinstance(kind, str):
        if kind.endswith("?"):
            return optional(_spelled_out(kind[:-1], known))
        if kind.endswith("[]"):
            return {"type": "array", "items": _spelled_out(kind[:-2], known)}
        return kind
    if id(kind) not in known:
        known[id(kind)] = _members_spelled_out(kind, known)
    return known[id(kind)]


def _members_spelled_out(kind: Any, known: dict[int, Any]) -> Any:
    if isinstance(kind, list):
        members = [_spelled_out(member, known) for member in kind if member != "null"]
        return ["null", *members] if len(members) < len(kind) else members
    if isinstance(kind, Mapping) and kind.get("type") == "array":
        return {**kind, "items": _spelled_out(kind.get("items"), known)}
    if isinstance(kind, Mapping) and kind.get("type") == "record":
        return {**kind, "fields": _record_fields(kind.get("fields"), known)}
    return kind


def _record_fields(fields: Any, known: dict[int, Any]) -> list[Any]:
    """A record's fields as a list, their types spelled out."""
    if isinstance(fields, Mapping):
        items = [{"name": name, **(one if isinstance(one, Mapping) else {"type": one})} for name, one in fields.items()]
    else:
        items = [dict(one) for one in fields if isinstance(one, Mapping)] if isinstance(fields, list) else []
    return [{**one, "type": _spelled_out(one.get("type"), known)} for one in items]


def optional(kind: Any) -> list[Any]:
    """The type that also allows the input to be left out."""
    members = kind if isinstance(kind, list) else [kind]
    return ["null", *(member for member in members if member != "null")]


def _short(identifier: str) -> str:
    return identifier.rpartition("#")[2].rpartition("/")[2]


def _text(doc: Any) -> str:
    lines = doc if isinstance(doc, list) else [doc]
    text = "\n".join(str(line) for line in lines if isinstance(line, str | int | float))
    return text.replace("\0", "")  # PostgreSQL keeps no such character
