"""The definitions file: what it holds, with every mistake told by file, line and key.

One entry that can't be used leaves the others as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lando.definitions.checks.findings import Finding, Place
from lando.definitions.connection import DEFAULT, Connection
from lando.definitions.exceptions import ArgumentsError, DefinitionError, TemplateError
from lando.definitions.signing import check_label_value
from lando.definitions.spec import ConfigMapSpecSource, JobSpecSource, YamlFileSpecSource, YamlStringSpecSource
from lando.definitions.templating.arguments import Arguments, DeclaredSpecSource


@dataclass
class JobDefinition:
    """One entry of the definitions file; the first of ``spec``, ``spec_path`` and the ConfigMap that is set counts."""

    name: str
    spec: str | None = None
    """A template of the manifest."""
    spec_path: str | None = None
    """A file that holds it."""
    spec_config_map_name: str | None = None
    """A ConfigMap that holds it, under the key that is this name."""
    spec_config_map_namespace: str | None = None
    arguments: Mapping[str, Any] | None = None
    """What arguments there are: for each name a JSON Schema, with ``default`` where it may be left out."""

    @property
    def source_key(self) -> str:
        """The key that says where the manifest is."""
        return "spec" if self.spec else "spec_path" if self.spec_path else "spec_config_map_name"

    def spec_source(self, connection: Connection = DEFAULT) -> JobSpecSource:
        """Where the manifest comes from, a ConfigMap by ``connection``; DefinitionError (a ValueError) when nothing is
        set."""
        source: JobSpecSource
        if self.spec:
            source = YamlStringSpecSource(self.spec)
        elif self.spec_path:
            source = YamlFileSpecSource(self.spec_path)
        elif self.spec_config_map_name and self.spec_config_map_namespace:
            source = ConfigMapSpecSource(
                self.spec_config_map_name, self.spec_config_map_namespace, connection=connection
            )
        else:
            raise DefinitionError(
                f"definition {self.name!r} has no manifest: set spec, spec_path, or both spec_config_map_name and "
                "spec_config_map_namespace"
            )
        return source if self.arguments is None else DeclaredSpecSource(source, Arguments(self.arguments))


@dataclass(frozen=True)
class Problem:
    """One entry that can't be used."""

    name: str | None
    """Of the definition; None where the entry has none."""
    finding: Finding
    kind: type[TypeError] | type[DefinitionError] = DefinitionError

    @property
    def error(self) -> TypeError | DefinitionError:
        """What is raised when the definition is asked for; its text says file, line and key."""
        return self.kind(str(self.finding))


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    definitions: Mapping[str, JobDefinition]
    problems: tuple[Problem, ...]
    places: Mapping[str, Place]
    """Of the definitions."""
    sources: Mapping[str, JobSpecSource]
    """Of the definitions that are new, or others than before."""
    warnings: tuple[Finding, ...] = ()


class FileError(DefinitionError):
    """Nothing of the file can be used."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


_KEYS = tuple(field.name for field in dataclasses.fields(JobDefinition))
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 100
"""Of lists and mappings in each other."""
MAX_NODES = 100_000
"""Of one entry, with what its aliases stand for."""


def read(
    text: str,
    file: str,
    *,
    connection: Connection = DEFAULT,
    known: Mapping[str, JobDefinition] = MappingProxyType({}),
) -> Contents:
    """The definitions in ``text``; ``file`` is what to call it. The manifest of a ConfigMap with one key, as it is
    applied to a cluster, stands for what that key holds. What is as it was in ``known`` is not looked at again.

    Raises:
        FileError: it is no YAML list at all.
    """
    try:
        root = _composed(text, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        sentence = f"this is no YAML: {', '.join(filter(None, (error.context, error.problem)))}"
        raise FileError(Finding(sentence=sentence, file=file, line=line)) from error
    except yaml.YAMLError as error:
        raise FileError(Finding(sentence=f"this is no YAML: {' '.join(str(error).split())}", file=file)) from error
    if root is None or (isinstance(root, ScalarNode) and root.tag == "tag:yaml.org,2002:null"):
        return Contents({}, (), {}, {})
    if (held := _held(root)) is not None:
        lines_before = held.start_mark.line + (1 if held.style in ("|", ">") else 0)
        return read("\n" * lines_before + held.value, file, connection=connection, known=known)
    if not isinstance(root, SequenceNode):
        sentence = "the file has to be a list of definitions, each '- name: …'"
        kind = _value(root, "kind")
        if isinstance(kind, ScalarNode):
            is_job = kind.value == "Job"
            sentence += "; a Job goes below 'spec: |' of one" if is_job else f", not a {kind.value}"
        raise FileError(Finding(sentence=sentence, file=file, line=_line(root)))
    entries = _Entries(file, connection, known)
    for node in root.value:
        entries.add(node)
    return entries.contents()


def _composed(text: str, file: str) -> Node | None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):  # what composes it would break off at the end of its stack
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            sentence = f"this is nested more than {MAX_DEPTH} levels deep"
            raise FileError(Finding(sentence=sentence, file=file, line=_line(event)))
    root: Node | None = yaml.compose(text, Loader=_LOADER)
    return root


class _Wrong(Exception):
    """An entry can't be used."""

    def __init__(self, finding: Finding, kind: type[TypeError] | type[DefinitionError] = DefinitionError) -> None:
        self.finding = finding
        self.kind = kind


class _Entries:
    """The entries of one file; the last one of a name counts, whether it can be used or not."""

    def __init__(self, file: str, connection: Connection, known: Mapping[str, JobDefinition]) -> None:
        self._file = file
        self._connection = connection
        self._known = known
        self._sources: dict[str, JobSpecSource] = {}
        self._definitions: dict[str, JobDefinition] = {}
        self._places: dict[str, Place] = {}
        self._problems: dict[object, Problem] = {}
        self._warnings: dict[object, list[Finding]] = {}

    def add(self, node: Node) -> None:
        fault = _flatten(node)
        name = _name_of(node)
        place = _place(node, self._file, name)
        before = self._places.pop(name, None) if name is not None else None
        self._definitions.pop(name or "", None)
        self._sources.pop(name or "", None)
        self._problems.pop(name, None)
        told = self._warnings[name or object()] = _doubts(node, place)
        if before is not None:
            told.append(place.warning("name", f"{name!r} stands in line {before.line}, too; this one counts"))
        if name is not None:
            self._places[name] = place
        try:
            if fault is not None:
                raise _Wrong(place.finding("", fault))
            definition = _definition(node, place)
            if self._known.get(definition.name) != definition:
                self._sources[definition.name] = _source(definition, place, self._connection)
            self._definitions[definition.name] = definition
        except _Wrong as wrong:
            self._problems[name or object()] = Problem(name, wrong.finding, wrong.kind)

    def contents(self) -> Contents:
        warnings = tuple(finding for told in self._warnings.values() for finding in told)
        return Contents(self._definitions, tuple(self._problems.values()), self._places, self._sources, warnings)


def _definition(node: Node, place: Place) -> JobDefinition:
    def wrong(key: str, sentence: str, kind: type[TypeError] | type[DefinitionError] = DefinitionError) -> _Wrong:
        return _Wrong(place.finding(key, sentence), kind)

    if not isinstance(node, MappingNode):
        raise wrong("", "a definition has to be a mapping with the key name", TypeError)
    try:
        values: dict[Any, Any] = yaml.SafeLoader("").construct_mapping(node, deep=True)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise wrong("", " ".join(str(error).split())) from error
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.value not in _KEYS:
            finding = place.finding("", f"there is no such key; there are {', '.join(_KEYS)}")
            word = str(key.value) if isinstance(key, ScalarNode) else ""
            raise _Wrong(dataclasses.replace(finding, key=word, line=_line(key)), TypeError)
    if values.get("name") is None:
        raise wrong("name", "the definition has none", TypeError)
    for key, value in values.items():
        wanted, words = (Mapping, "a mapping of arguments") if key == "arguments" else (str, "text")
        if value is not None and not isinstance(value, wanted):
            hint = "; begin the manifest with 'spec: |'" if key == "spec" else ""
            raise wrong(key, f"this has to be {words}{hint}", TypeError)
    return JobDefinition(**values)


def _source(definition: JobDefinition, place: Place, connection: Connection) -> JobSpecSource:
    """Where the manifest comes from; if that is the file itself, it is a template."""
    try:
        check_label_value("the name", definition.name)
        source = definition.spec_source(connection)
    except ArgumentsError as error:
        raise _Wrong(place.finding(f"arguments.{error.name}", error.sentence)) from error
    except ValueError as error:
        raise _Wrong(place.finding("", str(error))) from error
    if definition.spec and source.origin is not None:
        try:
            template = source.origin.template()
        except TemplateError as error:
            finding = place.finding("spec", error.problem)
            if place.text_line is not None and error.line is not None:
                finding = dataclasses.replace(finding, line=place.text_line + error.line - 1)
            raise _Wrong(finding) from error
        needed = template.required() if definition.arguments else ()
        undeclared = [name for name in needed if name not in (definition.arguments or ())]
        if undeclared:
            told = f"the template needs {', '.join(undeclared)}, which is not declared"
            raise _Wrong(place.finding("arguments", told))
    return source


def _held(root: Node) -> ScalarNode | None:
    """What the one key of a ConfigMap's manifest holds; None where it is none."""

    kind, data = _value(root, "kind"), _value(root, "data")
    if kind is None or kind.value != "ConfigMap" or not isinstance(data, MappingNode) or len(data.value) != 1:
        return None
    value = data.value[0][1]
    return value if isinstance(value, ScalarNode) else None


def _value(node: Node, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _flatten(node: Node) -> str | None:
    """Put what ``<<`` names in its place; why it can't be."""
    if (fault := size_fault(node)) is not None:
        return fault
    try:
        if isinstance(node, MappingNode):
            yaml.SafeLoader("").flatten_mapping(node)
    except yaml.YAMLError as error:
        return " ".join(str(error).split())
    return None


def _name_of(node: Node) -> str | None:
    if isinstance(node, MappingNode):
        for key, value in reversed(node.value):  # of two that are the same, the last one counts
            if key.value == "name" and isinstance(value, ScalarNode):
                return str(value.value)
    return None


def _place(node: Node, file: str, definition: str | None) -> Place:
    """Where an entry and its values stand."""
    keys: dict[str, int] = {}
    text_line = None
    for key, value in node.value if isinstance(node, MappingNode) else ():
        if not isinstance(key, ScalarNode):
            continue
        keys[key.value] = _line(key)
        if key.value == "arguments" and isinstance(value, MappingNode):
            keys |= {f"arguments.{name.value}": _line(name) for name, _ in value.value}
        if key.value == "spec":
            text_line = _line(value) + 1 if isinstance(value, ScalarNode) and value.style == "|" else None
    return Place(file=file, line=_line(node), keys=keys, text_line=text_line, definition=definition)


def _doubts(node: Node, place: Place) -> list[Finding]:
    """What of an entry does not count."""
    if not isinstance(node, MappingNode):
        return []
    keys = [key.value for key, _ in node.value if isinstance(key, ScalarNode)]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    found = [place.warning(key, "this key stands twice; the last one counts") for key in twice]
    given = {key.value: value.value for key, value in node.value if isinstance(key, ScalarNode)}
    sources = [key for key in ("spec", "spec_path", "spec_config_map_name") if given.get(key)]
    for key in sources[1:]:
        found.append(place.warning(key, f"this is not looked at, as there is {sources[0]}"))
    return found


def size_fault(node: Node) -> str | None:
    """What is wrong where ``node`` grows out of all bounds when its aliases are put in place."""
    sizes: dict[int, int] = {}

    def of(one: Node) -> int:
        if id(one) not in sizes:
            sizes[id(one)] = MAX_NODES + 1  # until it is known: whoever asks meanwhile stands inside of it
            parts = [part for pair in one.value for part in pair] if isinstance(one, MappingNode) else one.value
            below = sum(map(of, parts)) if isinstance(one, MappingNode | SequenceNode) else 0
            sizes[id(one)] = min(1 + below, MAX_NODES + 1)
        return sizes[id(one)]

    if of(node) <= MAX_NODES:
        return None
    return f"it holds more than {MAX_NODES:,} values when what * names is put in its place"


def _line(item: Any) -> int:
    return int(item.start_mark.line) + 1
