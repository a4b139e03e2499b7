"""The definitions file: what it holds, with every mistake told by file, line and key.

One entry that can't be used leaves the others as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lando.definitions.arguments import Arguments, DeclaredSpecSource
from lando.definitions.connection import DEFAULT, Connection
from lando.definitions.exceptions import DefinitionError
from lando.definitions.signing import check_label_value
from lando.definitions.spec import ConfigMapSpecSource, JobSpecSource, YamlFileSpecSource, YamlStringSpecSource
from lando.definitions.templates import Template


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
    error: TypeError | ValueError
    """What is raised when the definition is asked for; its text says file, line and key."""


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    definitions: Mapping[str, JobDefinition]
    problems: tuple[Problem, ...]


_KEYS = tuple(field.name for field in dataclasses.fields(JobDefinition))


def read(text: str, file: str) -> Contents:
    """The definitions in ``text``; ``file`` is what to call it. The manifest of a ConfigMap with one key, as it is
    applied to a cluster, stands for what that key holds.

    Raises:
        DefinitionError: it is no YAML list at all.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise DefinitionError(f"{place}: this is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise DefinitionError(f"{file}: this is no YAML: {' '.join(str(error).split())}") from error
    if root is None or (isinstance(root, ScalarNode) and root.tag == "tag:yaml.org,2002:null"):
        return Contents({}, ())
    if (held := _held(root)) is not None:
        lines_before = held.start_mark.line + (1 if held.style in ("|", ">") else 0)
        return read("\n" * lines_before + held.value, file)
    if not isinstance(root, SequenceNode):
        raise DefinitionError(f"{_place(file, root)}: the file has to be a list of definitions, each '- name: …'")
    definitions: dict[str, JobDefinition] = {}
    problems: dict[object, Problem] = {}
    for node in root.value:
        name = _name_of(node)
        # The last entry of a name counts, whether it can be used or not.
        definitions.pop(name or "", None)
        problems.pop(name, None)
        try:
            definition = _definition(node, file)
            definitions[definition.name] = definition
        except (TypeError, ValueError) as error:
            problems[name or object()] = Problem(name, error)
    return Contents(definitions, tuple(problems.values()))


def _definition(node: Node, file: str) -> JobDefinition:
    if not isinstance(node, MappingNode):
        raise TypeError(f"{_place(file, node)}: a definition has to be a mapping with the key name")
    nodes = {str(key.value): value for key, value in node.value}
    try:
        values: dict[Any, Any] = yaml.SafeLoader("").construct_mapping(node, deep=True)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise DefinitionError(f"{_place(file, node)}: {' '.join(str(error).split())}") from error
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.value not in _KEYS:
            raise TypeError(f"{_place(file, key)}: {key.value}: there is no such key; there are {', '.join(_KEYS)}")
    if values.get("name") is None:
        raise TypeError(f"{_place(file, node)}: name: the definition has none")
    for key, value in values.items():
        wanted, words = (Mapping, "a mapping of arguments") if key == "arguments" else (str, "text")
        if value is not None and not isinstance(value, wanted):
            hint = "; begin the manifest with 'spec: |'" if key == "spec" else ""
            raise TypeError(f"{_place(file, nodes[key])}: {key}: this has to be {words}{hint}")
    definition = JobDefinition(**values)
    try:
        check_label_value("the name", definition.name)
        definition.spec_source()
    except ValueError as error:
        raise DefinitionError(f"{_place(file, node)}: {error}") from error
    if definition.spec:
        needed = _template(definition.spec, nodes["spec"], file).required()
        undeclared = [name for name in needed if name not in (definition.arguments or needed)]
        if undeclared:
            place = _place(file, nodes["arguments"])
            raise DefinitionError(
                f"{place}: arguments: the template needs {', '.join(undeclared)}, which is not declared"
            )
    return definition


def _held(root: Node) -> ScalarNode | None:
    """What the one key of a ConfigMap's manifest holds; None where it is none."""

    def of(node: Node, key: str) -> Node | None:
        pairs = node.value if isinstance(node, MappingNode) else ()
        return next((value for name, value in pairs if name.value == key), None)

    kind, data = of(root, "kind"), of(root, "data")
    if kind is None or kind.value != "ConfigMap" or not isinstance(data, MappingNode) or len(data.value) != 1:
        return None
    value = data.value[0][1]
    return value if isinstance(value, ScalarNode) else None


def _template(source: str, node: Any, file: str) -> Template:
    try:
        return Template(source)
    except DefinitionError as error:
        line = getattr(error.__cause__, "lineno", None)
        if line is not None and node.style in ("|", ">"):  # its text begins on the line below
            raise DefinitionError(f"{file}:{node.start_mark.line + 1 + line}: spec: {error.__cause__}") from error
        raise DefinitionError(f"{_place(file, node)}: spec: {error}") from error


def _name_of(node: Node) -> str | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == "name" and isinstance(value, ScalarNode):
                return str(value.value)
    return None


def _place(file: str, node: Node) -> str:
    return f"{file}:{node.start_mark.line + 1}"
