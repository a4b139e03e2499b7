"""Job templates: the form that a user fills in, and what is still wrong with one. Pure.

A *user field* is an input of the workflow version that the configuration's system job order does not give.
The three placeholder texts are known to clients and never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

STRING = "<String Value>"
INTEGER = "<Integer Value>"
FILE_PATH = "dds://<Project Name>/<File Path>"
PLACEHOLDERS = frozenset({STRING, INTEGER, FILE_PATH})

Fields = Sequence[Mapping[str, Any]]
REQUIRED = "This field is required."
STILL_PLACEHOLDER = "Still holds a placeholder: put your own value here."


def user_fields(fields: Fields, system_job_order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The inputs that the user has to give."""
    return [field for field in fields if field["name"] not in system_job_order]


def job_order_template(fields: Fields) -> dict[str, Any]:
    """A job order with a placeholder for every field that is not optional."""
    return {field["name"]: placeholder(field["type"]) for field in fields if not is_optional(field["type"])}


def is_optional(kind: Any) -> bool:
    """Whether a CWL type allows leaving the input out: a list that begins with ``null``, as Bespin has it."""
    return isinstance(kind, list) and bool(kind) and kind[0] == "null"


def placeholder(kind: Any) -> Any:
    """What stands for a value of the CWL type ``kind`` until the user gives one."""
    file = {"class": "File", "path": FILE_PATH}
    if isinstance(kind, list):
        members = [member for member in kind if member != "null"]
        return placeholder(members[0]) if members else STRING
    if isinstance(kind, Mapping):
        return _placeholder_of_schema(kind)
    simple: dict[str, Any] = {
        "int": INTEGER,
        "File": file,
        "NamedFASTQFilePairType": {"name": STRING, "file1": file, "file2": file},
        "FASTQReadPairType": {"name": STRING, "read1_files": [file], "read2_files": [file]},
    }
    return simple.get(kind, STRING) if isinstance(kind, str) else STRING


def _placeholder_of_schema(schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "array":
        return [placeholder(schema.get("items"))]
    if schema.get("type") == "record":
        return {name: placeholder(kind) for name, kind in record_fields(schema)}
    return STRING


def record_fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and type of each field of a CWL record, given as list or map."""
    fields = schema.get("fields") or []
    if isinstance(fields, Mapping):
        for name, field in fields.items():
            yield str(name), field.get("type") if isinstance(field, Mapping) else field
        return
    for field in fields:
        if isinstance(field, Mapping) and isinstance(field.get("name"), str):
            yield field["name"].rpartition("#")[2].rpartition("/")[2], field.get("type")


def findings(
    name: str | None,
    fund_code: str | None,
    job_order: Mapping[str, Any] | None,
    fields: Fields,
    *,
    check_types: bool,
) -> dict[str, list[str]]:
    """Everything that is still wrong with a filled-in template, by key; empty when nothing is."""
    found: dict[str, list[str]] = {}
    for key, text in (("name", name), ("fund_code", fund_code)):
        if text is None:
            found[key] = [REQUIRED]
        elif text in PLACEHOLDERS:
            found[key] = [STILL_PLACEHOLDER]
    if not job_order:
        # A workflow without inputs of the user's needs no job order.
        if any(not is_optional(field["type"]) for field in fields) or job_order is None:
            found["job_order"] = [REQUIRED]
        return found
    types = {field["name"]: field["type"] for field in fields}
    for field_name, kind in types.items():
        if field_name not in job_order and not is_optional(kind):
            found[f"job_order.{field_name}"] = [REQUIRED]
    for key, value in job_order.items():
        if holds_placeholder(value):
            found[f"job_order.{key}"] = [STILL_PLACEHOLDER]
        elif check_types and key in types and (problem := misfit(value, types[key])):
            found[f"job_order.{key}"] = [problem]
    return found


def holds_placeholder(value: Any) -> bool:
    """Whether a placeholder text stands anywhere in ``value``; of an object with a class only a File's path counts."""
    if isinstance(value, str):
        return value in PLACEHOLDERS
    if isinstance(value, list):
        return any(holds_placeholder(item) for item in value)
    if isinstance(value, dict):
        if "class" in value:
            return value["class"] == "File" and holds_placeholder(value.get("path"))
        return any(holds_placeholder(item) for item in value.values())
    return False


def misfit(value: Any, kind: Any) -> str | None:
    """Why ``value`` can never be of the CWL type ``kind``; None when it can, or when we can't tell."""
    if value is None or value == "":
        return None  # Bespin takes both for "not given", even where a value is required
    if isinstance(kind, list):
        problems = [misfit(value, member) for member in kind if member != "null"]
        return problems[0] if problems and all(problems) else None
    if isinstance(kind, Mapping):
        return _misfit_of_schema(value, kind)
    if not isinstance(kind, str):
        return None
    if kind.endswith("?"):
        return misfit(value, kind[:-1])
    if kind.endswith("[]"):
        return _misfit_of_schema(value, {"type": "array", "items": kind[:-2]})
    return _misfit_of_name(value, kind)


def _misfit_of_schema(value: Any, schema: Mapping[str, Any]) -> str | None:
    if schema.get("type") == "array":
        if not isinstance(value, list):
            return "Must be a list."
        for number, item in enumerate(value, start=1):
            if problem := misfit(item, schema.get("items")):
                return f"Item {number}: {problem}"
    if schema.get("type") == "record" and not isinstance(value, dict):
        return "Must be an object with the record's fields."
    return None


def _misfit_of_name(value: Any, kind: str) -> str | None:
    if kind in ("int", "long") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return "Must be a whole number."
    if kind in ("int", "long") and isinstance(value, float) and not value.is_integer():
        return "Must be a whole number."
    if kind in ("float", "double") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return "Must be a number."
    if kind == "boolean" and not isinstance(value, bool):
        return "Must be true or false."
    if kind in ("File", "Directory"):
        if not isinstance(value, dict) or value.get("class") != kind:
            return f'Must be an object with "class": "{kind}".'
        if not any(value.get(key) for key in ("path", "location", "contents", "listing")) and "contents" not in value:
            return f"The {kind} has no path."
    return None
