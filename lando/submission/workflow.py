"""Pack a CWL workflow into one document and learn what inputs it takes (needs cwltool, the ``cwl`` extra).

Local files that the workflow itself refers to (scripts, defaults) become literals inside the document, because the
pods that run it see only the packed document and the job order's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from lando import cwl_validation
from lando.errors import InputError

CwlObject = dict[str, Any]

LITERAL_LIMIT = 64 * 1024  # bytes; CWL's own limit for file literals
DOCUMENT_LIMIT = 64 * 1024 * 1024  # bytes
MAIN = "#main"
_NO_MAPPING = "it must hold fields such as cwlVersion, class and inputs"


@dataclass(frozen=True, kw_only=True)
class InputField:
    """One input of the workflow."""

    name: str
    type: Any
    """The CWL type as the packed document writes it."""
    has_default: bool
    secondary_files: tuple[Mapping[str, Any], ...] = ()
    """Patterns of files that belong beside each file given, in CWL's normal form ``{"pattern", "required"}``."""


@dataclass(frozen=True, kw_only=True)
class PackedWorkflow:
    """A workflow that can be uploaded as one JSON document."""

    name: str
    """File name without its ending, or the folder's name where that says nothing."""
    document: CwlObject
    """``{"cwlVersion", "$graph"}``; the workflow itself is ``#main``."""
    inputs: tuple[InputField, ...]
    named_types: Mapping[str, Any]
    """Types of SchemaDefRequirements by the names that the inputs use for them."""


def pack(path: Path) -> PackedWorkflow:
    """Load, validate and pack the workflow at ``path``.

    Raises:
        InputError: the file is missing, no valid CWL (naming file and line), or cwltool is not installed.
    """
    _look_at(path)
    document = _pack_with_cwltool(path.resolve())
    _inline_local_files(document, path.parent)
    main = _main_process(document)
    return PackedWorkflow(
        name=_name(path.resolve()),
        document=document,
        inputs=tuple(_inputs(main)),
        named_types=_named_types(document),
    )


def _look_at(path: Path) -> None:
    """Refuse what is surely no CWL before cwltool sees it: its words for these are about its own inside."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the workflow file in it.", field="workflow")
    if not path.is_file():
        raise InputError(f"There is no workflow file {path}.", field="workflow")
    try:
        if path.stat().st_size > DOCUMENT_LIMIT:
            raise InputError(f"{path.name} is over 64 MiB, which no workflow is.", field="workflow")
        text = path.read_text(encoding="utf-8-sig")
        root = next((event for event in yaml.parse(text) if isinstance(event, yaml.NodeEvent)), None)
    except OSError as error:
        raise InputError(f"The workflow {path} can't be read: {error.strerror}.", field="workflow") from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise InputError(f"{path.name} is no CWL: it is not UTF-8 text.", field="workflow") from error
    except yaml.YAMLError:  # cwltool's reader names the line
        return
    if not isinstance(root, yaml.MappingStartEvent):
        raise InputError(f"{path.name} is no CWL: {'it is empty' if root is None else _NO_MAPPING}.", field="workflow")


def _name(path: Path) -> str:
    return path.parent.name if path.stem in ("workflow", "main") and path.parent.name else path.stem


def _pack_with_cwltool(path: Path) -> CwlObject:
    context, uri = cwl_validation.resolve(path.as_uri(), path.name, doing="Submitting")
    from cwltool import pack as cwltool_pack

    with cwl_validation.findings(path.name):
        packed: CwlObject = _plain(cwltool_pack.pack(context, uri))
    return packed


def _plain(value: Any) -> Any:
    """Mappings and sequences of the YAML reader as plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value


def _inline_local_files(document: CwlObject, folder: Path) -> None:
    """Turn every File of the document that lies on this machine into a literal, in place."""
    for value in _walk(document):
        location = value.get("location") or value.get("path")
        if value.get("class") not in ("File", "Directory") or not isinstance(location, str) or _is_remote(location):
            continue
        source = _local_path(location, folder)
        if value["class"] == "Directory":
            advice = "make it an input and name it in the job order"
            raise InputError(f"The workflow refers to the folder {source}, which can't be packed; {advice}.")
        value.pop("location", None)
        value.pop("path", None)
        value["contents"] = _literal(source)
        value.setdefault("basename", source.name)


def _literal(source: Path) -> str:
    advice = "make it an input and name it in the job order"
    try:
        if source.stat().st_size > LITERAL_LIMIT:
            raise InputError(f"The workflow refers to {source}, which is over 64 KiB and can't be packed; {advice}.")
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"The workflow refers to {source}, which is not text and can't be packed; {advice}."
        ) from error
    except OSError as error:
        raise InputError(f"The workflow refers to {source}, which can't be read: {error.strerror}.") from error


def _walk(value: Any) -> Iterator[CwlObject]:
    """Every mapping inside ``value``, itself included."""
    if isinstance(value, dict):
        yield value
        for member in list(value.values()):
            yield from _walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from _walk(member)


def _is_remote(location: str) -> bool:
    return urlsplit(location).scheme not in ("", "file") or location.startswith("#")


def _local_path(location: str, folder: Path) -> Path:
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return folder / location


def _main_process(document: CwlObject) -> CwlObject:
    for process in document["$graph"]:
        if process.get("id") == MAIN:
            found: CwlObject = process
            return found
    names = ", ".join(str(process.get("id")) for process in document["$graph"])
    raise InputError(f"The workflow has several processes and none called main ({names}).", field="workflow")


def _inputs(main: CwlObject) -> Iterator[InputField]:
    for entry in main.get("inputs", []):
        patterns = entry.get("secondaryFiles", [])
        yield InputField(
            name=short_name(entry["id"]),
            type=entry.get("type"),
            has_default="default" in entry,
            secondary_files=tuple(_pattern(one) for one in (patterns if isinstance(patterns, list) else [patterns])),
        )


def _pattern(pattern: Any) -> Mapping[str, Any]:
    """CWL v1.0 writes patterns as text, where a trailing ``?`` (v1.1) means that the file may be missing."""
    if isinstance(pattern, Mapping):
        return {"pattern": pattern["pattern"], "required": pattern.get("required", True)}
    return {"pattern": str(pattern).removesuffix("?"), "required": not str(pattern).endswith("?")}


def short_name(identifier: str) -> str:
    """The last part of a packed id: ``#main/reads`` is ``reads``."""
    return identifier.rsplit("#", 1)[-1].rsplit("/", 1)[-1]


def _named_types(document: CwlObject) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for value in _walk(document):
        if value.get("class") == "SchemaDefRequirement":
            for definition in value.get("types", []):
                if isinstance(definition, Mapping) and "name" in definition:
                    types[str(definition["name"])] = definition
    return types
