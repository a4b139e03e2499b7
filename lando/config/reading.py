"""From a YAML file to a :class:`~lando.config.settings.Config`, every mistake named by file, line and key.

The file is composed into nodes, not values, so that each finding knows its line; all findings are told at once.
Secrets may come from a file (``<key>_file``) or the environment (``LANDO_<SECTION>_<KEY>``, which wins) instead.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lando import logs
from lando.config import rules
from lando.config.secrets import FileSecret
from lando.config.settings import Config, secret_values
from lando.errors import ConfigError

logger = logging.getLogger("lando.config")

_PLACEHOLDER = "TODO"  # what the published sample configuration of the original holds
_UNSET = object()
_BOOLEAN, _INTEGER, _FLOAT, _NULL, _TEXT = (
    f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str")
)
_SCALARS: Mapping[Any, tuple[str, tuple[str, ...]]] = {
    str: ("text", (_TEXT, "tag:yaml.org,2002:timestamp")),
    bool: ("true or false", (_BOOLEAN,)),
    int: ("a whole number", (_INTEGER,)),
    float: ("a number", (_FLOAT, _INTEGER)),
}
"""By Python type: how to name it to a person, and the YAML tags it may be resolved from."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to say about a configuration file."""

    file: str
    line: int | None
    """Counted from 1; None when it concerns the file as a whole."""
    key: str
    """Dotted, e.g. ``work_queue.host``; may be empty."""
    sentence: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.sentence}" if self.key else f"{place}: {self.sentence}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What became of one file: a configuration, or the errors for which there is none."""

    config: Config | None
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    """Unknown keys first of all; ``--strict`` refuses those, see ``unknown_keys``."""
    unknown_keys: tuple[Finding, ...] = ()


def load(
    path: str | Path,
    *,
    strict: bool = False,
    environ: Mapping[str, str] | None = None,
    set_up: Callable[[Config], None] | None = None,
) -> Config:
    """The configuration in ``path``; its warnings are logged, after ``set_up`` has made logging what the file says.

    Raises:
        ConfigError: naming every mistake by file, line and key; with ``strict`` an unknown key is one.
    """
    reading = read(path, environ=environ)
    errors = reading.errors + (reading.unknown_keys if strict else ())
    if set_up is not None and reading.config is not None:
        set_up(reading.config)
    for warning in reading.warnings if strict else reading.unknown_keys + reading.warnings:
        logger.warning("%s", warning)
    if errors or reading.config is None:
        raise ConfigError("\n".join(str(error) for error in errors))
    return reading.config


def log_as_told(config: Config) -> None:
    """Log at the level and in the form that ``config`` names, with its secrets masked."""
    logs.configure(level=config.log_level, log_format=config.log_format, secrets=secret_values(config))


def read(path: str | Path, *, environ: Mapping[str, str] | None = None) -> Reading:
    """Read and judge the file without raising for anything that is in it (or for its absence)."""
    reader = _Reader(str(path), os.environ if environ is None else environ)
    config = reader.read()
    return Reading(
        config=None if reader.errors else config,
        errors=tuple(sorted(reader.errors, key=lambda finding: finding.line or 0)),
        warnings=tuple(reader.warnings),
        unknown_keys=tuple(reader.unknown_keys),
    )


class _Reader:
    """Walks the nodes of one file along the dataclasses, collecting findings."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []
        self.unknown_keys: list[Finding] = []

    def read(self) -> Config | None:
        root = self._compose()
        if root is None:
            return None
        config = self._object(Config, root, "")
        if not isinstance(config, Config):
            return None
        lines = _lines(root)
        for key, sentence in rules.warnings(config, lines):
            self.warnings.append(Finding(file=self.file, line=lines.get(key), key=key, sentence=sentence))
        return config

    def error(self, line: int | None, key: str, sentence: str) -> None:
        self.errors.append(Finding(file=self.file, line=line, key=key, sentence=sentence))

    def _compose(self) -> yaml.Node | None:
        try:
            text = Path(self.file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            self.error(None, "", "is not UTF-8 text.")
            return None
        except OSError as error:
            self.error(None, "", f"can't be read: {error.strerror}.")
            return None
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            self.error(line, "", f"is not valid YAML: {error.problem or error.context}.")
            return None
        except yaml.YAMLError:  # a character that YAML does not allow
            self.error(None, "", "is not valid YAML: it holds a control character.")
            return None
        if root is None:
            self.error(None, "", "is empty; k8s.config.sample shows what belongs in it.")
        return root

    def _object(self, cls: type[Any], node: yaml.Node, key: str) -> Any:
        """An instance of the dataclass ``cls``, or ``_UNSET`` after an error."""
        entries = self._entries(node, key)
        if entries is None:
            return _UNSET
        hints = typing.get_type_hints(cls)
        known = {field.name: field for field in dataclasses.fields(cls)}
        self._report_unknown(entries, known, key)
        if cls in rules.SECTIONS:
            given = {name for name in (*entries, *known) if self._given(name, entries, known, key)}
            for name, sentence in rules.SECTIONS[cls](given):
                self.error(_line(node), f"{key}.{name}", sentence)
        values: dict[str, Any] = {}
        sound = True
        for name, spec in known.items():
            value = self._field(spec, hints[name], entries, key, _line(node))
            if value is _UNSET:
                sound = sound and _has_default(spec)  # of a key that is null, too; what is wrong was noted
            else:
                values[name] = value
        return cls(**values) if sound else _UNSET

    def _field(
        self,
        spec: dataclasses.Field[Any],
        hint: Any,
        entries: Mapping[str, tuple[yaml.Node, yaml.Node]],
        section: str,
        section_line: int,
    ) -> Any:
        key = f"{section}.{spec.name}" if section else spec.name
        if spec.metadata.get("secret"):
            return self._secret(spec, hint, entries, section, section_line)
        if spec.name not in entries:
            if not _has_default(spec):
                self.error(section_line, key, "is required.")
            return _UNSET
        name_node, value_node = entries[spec.name]
        if _is_null(value_node) and _has_default(spec):
            return _UNSET if not _optional(hint) else None
        value = self._value(hint, value_node, key)
        if value is not _UNSET:
            self._check(spec.metadata, value, _line(name_node), key)
        return value

    def _secret(
        self,
        spec: dataclasses.Field[Any],
        hint: Any,
        entries: Mapping[str, tuple[yaml.Node, yaml.Node]],
        section: str,
        section_line: int,
    ) -> Any:
        key = f"{section}.{spec.name}"
        variable = rules.environment_name(key)
        spellings = (spec.name, f"{spec.name}_file")
        given = [name for name in spellings if name in entries and not _is_null(entries[name][1])]
        if from_environment := self.environ.get(variable):
            self._check(spec.metadata, from_environment, section_line, f"{key} (from {variable})")
            return from_environment
        if len(given) == 2:
            self.error(_line(entries[given[1]][0]), key, f"stands here and in {spec.name}_file; keep one of the two.")
            return _UNSET
        if not given:
            if not _has_default(spec):
                self.error(section_line, key, f"is required (or {spec.name}_file, or the environment's {variable}).")
            return _UNSET
        name_node, value_node = entries[given[0]]
        value = self._value(hint, value_node, f"{section}.{given[0]}")
        if value is not _UNSET and given[0] != spec.name:
            value = self._file_content(value, _line(name_node), f"{section}.{given[0]}")
        if value is not _UNSET:
            self._check(spec.metadata, value, _line(name_node), key)
        return value

    def _given(
        self, name: str, entries: Mapping[str, tuple[yaml.Node, yaml.Node]], known: Mapping[str, Any], section: str
    ) -> bool:
        """Whether the key has a value, in the file or in the environment."""
        if name in entries and not _is_null(entries[name][1]):
            return True
        secret = name in known and known[name].metadata.get("secret")
        return bool(secret and self.environ.get(rules.environment_name(f"{section}.{name}")))

    def _file_content(self, path: str, line: int, key: str) -> Any:
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self.error(line, key, f"{path} can't be read: {reason}.")
            return _UNSET
        if not content:
            self.error(line, key, f"{path} is empty.")
            return _UNSET
        return FileSecret(content, path)

    def _value(self, hint: Any, node: yaml.Node, key: str) -> Any:
        """``node`` as a value of the type ``hint``, or ``_UNSET`` after an error."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):
            return self._union([one for one in arguments if one is not type(None)], node, key)
        if dataclasses.is_dataclass(hint):
            return self._object(typing.cast("type[Any]", hint), node, key)
        if origin is list:
            return self._list(arguments[0], node, key)
        if origin is dict:
            return self._dict(arguments[1], node, key)
        if hint is Any:
            return yaml.SafeLoader("").construct_document(node)
        return self._scalar([hint], node, key)

    def _union(self, members: list[Any], node: yaml.Node, key: str) -> Any:
        if all(member in _SCALARS for member in members):
            return self._scalar(members, node, key)
        (member,) = members  # the settings hold no other unions
        return self._value(member, node, key)

    def _scalar(self, members: list[Any], node: yaml.Node, key: str) -> Any:
        wanted = " or ".join(_SCALARS[member][0] for member in members)
        if not isinstance(node, yaml.ScalarNode):
            self.error(_line(node), key, f"must be {wanted}, not {_kind(node)}.")
            return _UNSET
        if node.tag == _TEXT and node.value.strip() == _PLACEHOLDER:
            self.error(_line(node), key, f"still says {_PLACEHOLDER}; put the real value here.")
            return _UNSET
        for member in members:
            if node.tag in _SCALARS[member][1]:
                return node.value if member is str else member(yaml.SafeLoader("").construct_document(node))
        hint = " Put it in quotes." if str in members and node.tag != _NULL else ""
        self.error(_line(node), key, f"must be {wanted}, not {_kind(node)}.{hint}")
        return _UNSET

    def _list(self, hint: Any, node: yaml.Node, key: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            self.error(_line(node), key, f"must be a list, not {_kind(node)}.")
            return _UNSET
        values = [self._value(hint, item, f"{key}[{index}]") for index, item in enumerate(node.value)]
        return _UNSET if _UNSET in values else values

    def _dict(self, hint: Any, node: yaml.Node, key: str) -> Any:
        entries = self._entries(node, key)
        if entries is None:
            return _UNSET
        values: dict[str, Any] = {}
        for name, (_, value_node) in entries.items():
            if hint is str and isinstance(value_node, yaml.ScalarNode) and value_node.tag in (_INTEGER, _FLOAT):
                values[name] = value_node.value  # quantities: `cpu: 2` is as good as `cpu: "2"`
            else:
                values[name] = self._value(hint, value_node, f"{key}.{name}")
        return _UNSET if _UNSET in values.values() else values

    def _entries(self, node: yaml.Node, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """The name and value nodes of a mapping by name; an error, and None, if it is none or has a key twice."""
        if not isinstance(node, yaml.MappingNode):
            self.error(_line(node), key, f"must be a block of keys and values, not {_kind(node)}.")
            return None
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name_node, value_node in node.value:
            name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else "?"
            if name in entries:
                dotted = f"{key}.{name}" if key else name
                first = _line(entries[name][0])
                self.error(_line(name_node), dotted, f"stands here and in line {first}; keep one of the two.")
            entries.setdefault(name, (name_node, value_node))
        return entries

    def _report_unknown(
        self, entries: Mapping[str, tuple[yaml.Node, yaml.Node]], known: Mapping[str, dataclasses.Field[Any]], key: str
    ) -> None:
        allowed = list(known) + [f"{name}_file" for name, spec in known.items() if spec.metadata.get("secret")]
        for name, (name_node, _) in entries.items():
            if name in allowed:
                continue
            near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]}?" if near else f"known here are {', '.join(sorted(known))}."
            dotted = f"{key}.{name}" if key else name
            self.unknown_keys.append(
                Finding(
                    file=self.file,
                    line=_line(name_node),
                    key=dotted,
                    sentence=f"is not a known key and has no effect; {advice}",
                )
            )

    def _check(self, metadata: Mapping[str, Any], value: Any, line: int, key: str) -> None:
        """Judge a value of the right type by the metadata of its field."""
        if value is not None:
            for sentence in rules.broken(metadata, value):
                self.error(line, key, sentence)


def _lines(root: yaml.Node) -> dict[str, int]:
    """The line of every key in the file, by dotted name."""

    def walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
        if isinstance(node, yaml.MappingNode):
            for name_node, value_node in node.value:
                dotted = f"{prefix}{name_node.value}"
                yield dotted, _line(name_node)
                yield from walk(value_node, f"{dotted}.")

    return dict(walk(root, ""))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    """What a person sees in the file."""
    if isinstance(node, yaml.MappingNode):
        return "a block of keys"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    names = {_NULL: "nothing", _BOOLEAN: "true or false", _INTEGER: "a number", _FLOAT: "a number"}
    return names.get(node.tag, "text")


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def _optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _has_default(spec: dataclasses.Field[Any]) -> bool:
    return spec.default is not dataclasses.MISSING or spec.default_factory is not dataclasses.MISSING
