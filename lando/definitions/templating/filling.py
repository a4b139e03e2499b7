"""Arguments put into a manifest as data.

While a template is rendered, each value that it prints leaves a *mark*: characters of a private use area that mean
nothing to YAML. The manifest is parsed with the marks in it, so that its keys, documents, tags and anchors are those of
the template; only then do the values take the marks' places. Text of a value is therefore never read as YAML, whatever
it holds.
"""

from __future__ import annotations

import math
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.representer import SafeRepresenter
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from lando.definitions.exceptions import ArgumentError, DefinitionError
from lando.definitions.templating.limits import CHARACTERS, Budget, Characters

_BEGIN, _END, _ZERO = "\ue000", "\ue001", 0xE010  # of Unicode's private use area
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "null"))
"""What text that stands alone is read as, besides text: as YAML reads such a scalar in a file."""


_ONLY_TEXT = object()


@dataclass(frozen=True)
class _Value:
    text: str
    """In the middle of other text."""
    whole: Any = _ONLY_TEXT
    """Where it stands alone, if it is more than its text."""
    indent: int = 0
    """Spaces that the template has put before each of its lines but the first."""

    def within(self, depth: int) -> str:
        """Its text in a block that is ``depth`` spaces deep, which are not part of what the block holds."""
        spaces = min(depth, self.indent)
        return self.text.replace("\n" + " " * spaces, "\n") if spaces else self.text


class Filling:
    """The values of one rendering, and the marks that stand for them."""

    def __init__(self) -> None:
        self.budget = Budget()
        self._values: list[_Value] = []
        self._kept = Characters(CHARACTERS)
        self._filled = Characters(CHARACTERS)
        # An argument can't hold the mark of another: nobody knows this number beforehand.
        self._nonce = _digits(secrets.randbits(64)) + _BEGIN
        self._mark = re.compile(f"{_BEGIN}{self._nonce}([{chr(_ZERO)}-{chr(_ZERO + 15)}]+){_END}")

    def mark_text(self, text: str, indent: int = 0) -> str:
        """A mark for text that stays text, whose lines but the first begin with ``indent`` spaces of the template's."""
        return self._new(_Value(text, indent=indent))

    def mark_value(self, value: Any, text: str) -> str:
        """A mark for ``value``, of any JSON type, which reads ``text`` in the middle of other text."""
        return self._new(_Value(text, whole=value))

    def has_marks(self, text: str) -> bool:
        return self._nonce in text

    def ends_with_a_mark(self, text: str) -> bool:
        """Whether there is nothing but the end of the line behind its last mark."""
        return text.rstrip("\n").endswith(_END)

    def text(self, marked: str, depth: int = 0) -> str:
        """``marked`` with the values' texts in their marks' places; of a block, how deep it is."""
        filled = self._mark.sub(lambda mark: self.text(self._of(mark).within(depth), depth), marked)
        if self.has_marks(filled):
            raise DefinitionError("the template cuts or changes the text of an argument after it was put in")
        return filled

    def node(self, marked: str) -> Node | None:
        """The value whose mark is all of ``marked``, if it is more than its text."""
        mark = self._mark.fullmatch(marked)
        whole = _ONLY_TEXT if mark is None else self._of(mark).whole
        if whole is _ONLY_TEXT:
            return None
        node: Node = SafeRepresenter(sort_keys=False).represent_data(whole)
        return node

    def is_text(self, marked: str) -> bool:
        """Whether all of ``marked`` is the mark of one text."""
        mark = self._mark.fullmatch(marked)
        return mark is not None and self._of(mark).whole is _ONLY_TEXT

    def _new(self, value: _Value) -> str:
        self._kept.take(len(value.text))
        self._values.append(value)
        return f"{_BEGIN}{self._nonce}{_digits(len(self._values) - 1)}{_END}"

    def _of(self, mark: re.Match[str]) -> _Value:
        value = self._values[int("".join(f"{ord(digit) - _ZERO:x}" for digit in mark[1]), 16)]
        self._filled.take(len(value.text) + len(mark[0]))  # texts may hold marks of others, and those of others again
        return value

    def parse(self, rendered: str) -> Any:
        """The one YAML document that ``rendered`` is, with all values in their places.

        Raises:
            ArgumentError: a value stands where it would be part of the structure, or makes a key that is there already.
            DefinitionError: it is no YAML, or more than one document.
        """
        with self._reading(rendered):
            return _Loader(rendered, self).get_single_data()

    def compose(self, rendered: str) -> Node | None:
        """The tree of what :meth:`parse` gives, in which a value that was filled in is a :class:`FilledNode`; raises
        the same."""
        with self._reading(rendered):
            node: Node | None = _Composer(rendered, self).get_single_node()
            return node

    @contextmanager
    def _reading(self, rendered: str) -> Iterator[None]:
        try:
            yield
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(rendered, error) from error
        except (DefinitionError, ArgumentError):
            raise
        except (yaml.YAMLError, ValueError, LookupError) as error:  # e.g. "!!int" before what is no number
            raise DefinitionError(f"the manifest is no YAML: {self._shown(str(error))}") from error
        except RecursionError:
            raise DefinitionError("the manifest is nested too deeply") from None

    def _not_yaml(self, rendered: str, error: yaml.MarkedYAMLError) -> ValueError:
        mark = error.problem_mark or error.context_mark
        problem = self._shown(error.problem or error.context or "it can't be read")
        if mark is None:
            return DefinitionError(f"the manifest is no YAML: {problem}")
        lines = rendered.splitlines()
        near = [lines[line] for line in (mark.line, mark.line - 1) if 0 <= line < len(lines)]
        if any(self.has_marks(line) for line in near):
            shown = self._shown(next(line for line in near if self.has_marks(line))).strip()
            return ArgumentError(
                f"line {mark.line + 1} of the manifest: an argument stands where it would be part of the structure, "
                f"not data, in {shown!r} ({problem})"
            )
        return DefinitionError(f"line {mark.line + 1} of the manifest is no YAML: {problem}")

    def _shown(self, text: str) -> str:
        return " ".join(self._mark.sub("{{…}}", text).split()).replace(self._nonce, "")[:200]


class _Loader(Reader, Scanner, Parser, Composer, SafeConstructor, Resolver):
    """YAML's safe loader, which fills scalars before they are given a type."""

    def __init__(self, text: str, filling: Filling) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._text = text
        self._filling = filling
        self._is_key = False
        self._filled_keys: set[int] = set()

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._is_key = isinstance(parent, MappingNode) and index is None
        node: Node | None = super().compose_node(parent, index)
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if not self._filling.has_marks(event.value):
            return super().compose_scalar_node(anchor)
        self.get_event()  # type: ignore[no-untyped-call]
        is_key = self._is_key
        node = self._filling.node(event.value) if event.implicit[0] else None
        if node is None or (is_key and not isinstance(node, ScalarNode)):
            text = self._block(event) if event.style in ("|", ">") else self._filling.text(event.value)
            node = ScalarNode(self._tag_of(event, text, is_key), text, event.start_mark, event.end_mark, event.style)
        if is_key:
            node.tag = _TEXT
            self._filled_keys.add(id(node))
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _block(self, event: Any) -> str:
        """What a block holds, with the line ends that its header asks for after the last value."""
        header, *lines = self._text[event.start_mark.index : event.end_mark.index].split("\n")
        depth = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), default=0)
        text = self._filling.text(event.value, depth)
        if "+" in header.partition("#")[0] or not self._filling.ends_with_a_mark(event.value):
            return text
        held = text.rstrip("\n")
        has_end = held and text.endswith("\n") and "-" not in header.partition("#")[0]
        return held + ("\n" if has_end else "")

    def flatten_mapping(self, node: MappingNode) -> None:
        super().flatten_mapping(node)
        names = Counter(key.value for key, _ in node.value if isinstance(key, ScalarNode))
        for key, _ in node.value:
            if id(key) in self._filled_keys and names[key.value] > 1:
                raise ArgumentError(f"an argument makes the key {key.value!r} where there is one of that name")

    def _tag_of(self, event: Any, text: str, is_key: bool) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        if not event.implicit[0] or is_key:
            return _TEXT
        tag = str(self.resolve(ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]
        return tag if tag in _PLAIN and self._has_value(tag, text) else _TEXT

    def _has_value(self, tag: str, text: str) -> bool:
        """Whether JSON has what ``text`` looks like; ``0x_`` and ``.inf`` are better left as they are."""
        try:
            value = self.construct_object(ScalarNode(tag, text))
        except (ValueError, LookupError):
            return False
        return not isinstance(value, float) or math.isfinite(value)


class FilledNode(ScalarNode):
    """What holds a value, of whatever kind that is."""

    is_bare_text: bool
    """Whether it is nothing but one text that stands without quotes, and so may be read as something else."""


class _Composer(_Loader):
    def compose_scalar_node(self, anchor: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        found = super().compose_scalar_node(anchor)
        if not self._filling.has_marks(event.value):
            return found
        tag, value = (found.tag, found.value) if isinstance(found, ScalarNode) else (_TEXT, "…")
        node = FilledNode(tag, value, event.start_mark, event.end_mark, event.style)
        node.is_bare_text = event.style is None and self._filling.is_text(event.value)
        if anchor is not None:
            self.anchors[anchor] = node
        return node


def plain(value: Any, filling: Filling, *, null: Any) -> Any:
    """``value`` as JSON has it, free of marks, with ``null`` in the place of None."""
    if value is None:
        return null
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {_key(key, filling): plain(item, filling, null=null) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | range):
        return [plain(item, filling, null=null) for item in value]
    return filling.text(str(value))


def _key(key: Any, filling: Filling) -> Any:
    return key if key is None or isinstance(key, bool | int | float) else filling.text(str(key))


def _digits(number: int) -> str:
    return "".join(chr(_ZERO + int(digit, 16)) for digit in f"{number:x}")
