"""Read a job order and check it against the inputs of its workflow, naming each field at fault.

The check is by the CWL types alone: a value that CWL could never accept is a finding; expressions, formats and
types that can't be resolved are left to the runner.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lando.errors import InputError
from lando.submission.workflow import InputField, PackedWorkflow, short_name

JobOrder = dict[str, Any]

_INT_RANGE = range(-(2**31), 2**31)
_LONG_RANGE = range(-(2**63), 2**63)
_DIRECTIVES = ("$namespaces", "$schemas", "$base")  # of the document, not values of it


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One value that can't be right."""

    field: str
    """E.g. ``threads`` or ``reads[1].name``."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}"


def load(path: Path) -> JobOrder:
    """The job order in ``path`` (YAML or JSON).

    Raises:
        InputError: the file is missing, or no mapping of inputs, naming the line where there is one.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        raise InputError(f"There is no job order {path}.", field="job_order") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"The job order {path} can't be read: {reason}.", field="job_order") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(
            f"{path.name}{line} is not valid YAML or JSON: {error.problem or error.context}.", field="job_order"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not valid YAML or JSON: it holds a control character.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold the workflow's inputs by name.", field="job_order")
    return {str(key): value for key, value in content.items() if key not in _DIRECTIVES}


class _Loader(yaml.SafeLoader):
    """YAML as CWL's readers take it: dates stay text, and a key that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for name_node, _ in node.value:
            name = str(name_node.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name} stands here twice", name_node.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))


def check(order: Mapping[str, Any], workflow: PackedWorkflow) -> list[Fault]:
    """Everything in ``order`` that does not fit the workflow's inputs; empty when all is well."""
    by_name = {field.name: field for field in workflow.inputs}
    faults: list[Fault] = []
    for field in workflow.inputs:
        value = order.get(field.name)
        if value is None:
            if not field.has_default and not _accepts_null(field.type, workflow.named_types):
                faults.append(Fault(field=field.name, sentence=f"is required ({describe(field.type)})."))
        else:
            faults.extend(_check_value(value, field.type, field.name, workflow.named_types))
    for name in order:
        if name not in by_name and ":" not in name and name != "id":  # cwl:requirements and other extensions pass
            faults.append(Fault(field=name, sentence=_unknown(name, workflow.inputs)))
    return faults


def _unknown(name: str, inputs: Sequence[InputField]) -> str:
    names = [field.name for field in inputs]
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}."
    return f"the workflow has no such input; {advice}"


def _check_value(value: Any, wanted: Any, field: str, named: Mapping[str, Any]) -> Iterator[Fault]:
    resolved = resolve(wanted, named)
    if resolved is None:
        return
    if isinstance(resolved, list):
        yield from _check_union(value, resolved, field, named)
    elif isinstance(resolved, Mapping):
        yield from _check_structure(value, resolved, field, named)
    elif not _fits(value, resolved):
        yield Fault(field=field, sentence=f"must be {describe(resolved)}, not {_show(value)}.")
    elif resolved == "File":
        yield from _check_file(value, field)


def _check_union(value: Any, members: list[Any], field: str, named: Mapping[str, Any]) -> Iterator[Fault]:
    """No fault if one member fits; else those of the only member that is not null, or one for the whole union."""
    findings = [list(_check_value(value, member, field, named)) for member in members]
    if any(not found for found in findings):
        return
    real = [index for index, member in enumerate(members) if member != "null"]
    if len(real) == 1:
        yield from findings[real[0]]
    else:
        yield Fault(field=field, sentence=f"must be {describe(members)}, not {_show(value)}.")


def _check_structure(value: Any, wanted: Mapping[str, Any], field: str, named: Mapping[str, Any]) -> Iterator[Fault]:
    kind = wanted.get("type")
    if kind == "array":
        if not isinstance(value, list):
            yield Fault(field=field, sentence=f"must be {describe(wanted)}, not {_show(value)}.")
            return
        for index, item in enumerate(value):
            yield from _check_value(item, wanted.get("items"), f"{field}[{index}]", named)
    elif kind == "enum":
        symbols = [short_name(str(symbol)) for symbol in wanted.get("symbols", [])]
        if value not in symbols:
            yield Fault(field=field, sentence=f"must be one of {', '.join(symbols)}, not {_show(value)}.")
    elif kind == "record":
        yield from _check_record(value, wanted, field, named)
    else:
        yield from _check_value(value, kind, field, named)


def _check_record(value: Any, wanted: Mapping[str, Any], field: str, named: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield Fault(field=field, sentence=f"must be a record, not {_show(value)}.")
        return
    for entry in wanted.get("fields", []):
        name = short_name(str(entry["name"]))
        member = value.get(name)
        if member is not None:
            yield from _check_value(member, entry.get("type"), f"{field}.{name}", named)
        elif not _accepts_null(entry.get("type"), named):
            yield Fault(field=f"{field}.{name}", sentence=f"is required ({describe(entry.get('type'))}).")


def _check_file(value: Mapping[str, Any], field: str) -> Iterator[Fault]:
    if not any(isinstance(value.get(key), str) and value[key] for key in ("path", "location")) and not isinstance(
        value.get("contents"), str
    ):
        yield Fault(field=field, sentence="names no file; give path, location or contents.")


def _fits(value: Any, wanted: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    match wanted:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int":
            return whole and value in _INT_RANGE
        case "long":
            return whole and value in _LONG_RANGE
        case "float" | "double":
            return number
        case "string":
            return isinstance(value, str)
        case "File" | "Directory":
            return isinstance(value, Mapping) and value.get("class") == wanted
        case "stdin":
            return isinstance(value, Mapping) and value.get("class") == "File"
        case _:  # Any
            return value is not None


def resolve(wanted: Any, named: Mapping[str, Any]) -> Any:
    """``wanted`` with names of SchemaDefRequirements looked up; None when it can't be told what it is."""
    if not isinstance(wanted, str):
        return wanted
    if wanted.endswith("?"):
        return ["null", wanted[:-1]]
    if wanted.endswith("[]"):
        return {"type": "array", "items": wanted[:-2]}
    if wanted in _NAMES or wanted in ("null", "Any"):
        return wanted
    return named.get(wanted)


def _accepts_null(wanted: Any, named: Mapping[str, Any]) -> bool:
    resolved = resolve(wanted, named)
    if isinstance(resolved, list):
        return any(_accepts_null(member, named) for member in resolved)
    return resolved is None or resolved == "null"


_NAMES = {
    "boolean": "true or false",
    "int": "an int",
    "long": "a long",
    "float": "a float",
    "double": "a double",
    "string": "a string",
    "File": "a File (class: File, path: …)",
    "Directory": "a Directory (class: Directory, path: …)",
    "stdin": "a File (class: File, path: …)",
}


def describe(wanted: Any) -> str:
    """A CWL type in words."""
    if isinstance(wanted, list):
        return " or ".join(describe(member) for member in wanted if member != "null")
    if isinstance(wanted, Mapping):
        kind = wanted.get("type")
        if kind == "array":
            return f"a list, each item {describe(wanted.get('items'))}"
        if kind == "enum":
            return f"one of {', '.join(short_name(str(symbol)) for symbol in wanted.get('symbols', []))}"
        return "a record" if kind == "record" else describe(kind)
    return _NAMES.get(str(wanted), "any value" if wanted == "Any" else str(wanted))


def _show(value: Any) -> str:
    """A value as its writer knows it, cut short."""
    if isinstance(value, Mapping):
        return f"a {value['class']}" if isinstance(value.get("class"), str) else "a record"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return f"the text '{shown}'" if isinstance(value, str) else shown
