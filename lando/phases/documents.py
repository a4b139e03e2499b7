"""YAML and JSON as trees that know their lines, and nothing that JSON can't hold.

Read as Kubernetes' own tools read them, where PyYAML differs: ``12:30`` and dates are text. What nobody means is told:
a key that stands twice, a tag, a number that is none; but no value, which could be a Secret's. Bounded: depth, and what
aliases expand to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 100
MAX_SIZE = 16 * 2**20
"""Of one file, about what it takes as JSON in memory when its aliases are expanded."""
MAX_PROBLEMS = 100
"""Told of one text."""
_SCALAR_SIZE = 8
_HOLDER_SIZE = 40
"""Of a list or mapping, besides what is in it."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML does not allow."""
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[-+.\w]+|[\[\]{}]|\n')


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """Text, a number, true, false or nothing."""

    line: int
    text: str
    """As written, so that ``name: 007`` can be a name."""
    value: str | int | float | bool | None
    size: int


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list."""

    line: int
    items: tuple[Node, ...]
    size: int


@dataclass(frozen=True, kw_only=True)
class Block:
    """A mapping: by key, the line of the key and its value."""

    line: int
    entries: Mapping[str, tuple[int, Node]]
    size: int


Node = Scalar | Items | Block


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong in the text; ``line`` None: with all of it."""

    line: int | None
    reason: str


def parse(text: str, *, as_json: bool) -> tuple[list[Node], list[Problem]]:
    """The documents in ``text``, those that hold nothing left out; none where there are problems.

    YAML that is JSON is read as JSON, so that it may be indented with tabs.
    """
    if as_json:
        return _parse_json(text)
    if text.lstrip().startswith("{"):
        nodes, problems = _parse_json(text)
        if not problems:
            return nodes, problems
    return _parse_yaml(text)


def value_of(node: Node) -> Any:
    """``node`` as plain data, as :func:`json.loads` would give it."""
    if isinstance(node, Block):
        return {key: value_of(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Items):
        return [value_of(item) for item in node.items]
    return node.text if isinstance(node.value, _Merge) else node.value


def kind_of(node: Node, *, quoted: bool = True) -> str:
    """What a person sees in the file; not ``quoted`` where that could be a secret."""
    if isinstance(node, Block):
        return "a block of keys"
    if isinstance(node, Items):
        return "a list"
    if node.value is None:
        return "nothing"
    if not quoted:
        return "text" if isinstance(node.value, str) else "a number, true or false"
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return shown(node.text) if isinstance(node.value, int | float) else f"the text {shown(node.text)}"


def shown(text: str) -> str:
    """What a file says, fit for a line of a report: of bounded length, without control characters."""
    text = text if len(text) <= 80 else f"{text[:60]}…"
    return text if text.isprintable() and text else repr(text)


class _Merge(str):
    """The key ``<<``, unquoted."""


class _Told(Exception):
    """Ends the reading of one text."""

    def __init__(self, line: int | None, reason: str) -> None:
        self.problem = Problem(line=line, reason=reason)


@dataclass(kw_only=True)
class _Open:
    """A list or a mapping that is being read."""

    line: int
    is_block: bool
    anchor: str | None = None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[int, Node]] = field(default_factory=dict)
    key: Node | None = None
    merged: list[Block] = field(default_factory=list)
    size: int = _HOLDER_SIZE


class _Builder:
    """Makes trees of what is read piece by piece, without recursion."""

    def __init__(self) -> None:
        self.roots: list[Node] = []
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        """None: still being read."""
        self.size = 0

    def tell(self, line: int, reason: str) -> None:
        """Note what is wrong; where that is a great deal, the rest is not read."""
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Told(line, "and perhaps more is wrong from here on; mend what is told first")
        self.problems.append(Problem(line=line, reason=reason))

    def begin(self, line: int, *, is_block: bool, anchor: str | None = None) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise _Told(line, f"is nested more than {MAX_DEPTH} levels deep")
        if anchor:
            self.anchors[anchor] = None
        self.stack.append(_Open(line=line, is_block=is_block, anchor=anchor))

    def end(self) -> None:
        done = self.stack.pop()
        if not done.is_block:
            self.add(Items(line=done.line, items=tuple(done.items), size=done.size), done.anchor)
            return
        for base in done.merged:
            for key, value in base.entries.items():
                done.entries.setdefault(key, value)
        self.add(Block(line=done.line, entries=done.entries, size=done.size), done.anchor)

    def scalar(self, line: int, text: str, value: Any, anchor: str | None = None) -> None:
        if isinstance(value, int | float) and not _is_finite(value):
            self.tell(line, "holds a number that Kubernetes can't read; if it is text, put it in quotes")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Told(line, "holds half of a character (a lone surrogate)") from None
        self.add(Scalar(line=line, text=text, value=value, size=_SCALAR_SIZE + len(text)), anchor)

    def alias(self, line: int, name: str) -> None:
        if name not in self.anchors:
            raise _Told(line, "* names nothing that stands above with &; text that begins with * needs quotes")
        node = self.anchors[name]
        if node is None:
            raise _Told(line, "* stands inside of what it stands for")
        self.add(node)

    def add(self, node: Node, anchor: str | None = None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.size += node.size
            self._bound(self.size, node.line)
            self.roots.append(node)
            return
        top = self.stack[-1]
        top.size += node.size
        self._bound(top.size, top.line)
        if not top.is_block:
            top.items.append(node)
        elif top.key is None:
            top.key = node
        else:
            key, top.key = top.key, None
            self._entry(top, key, node)

    def _bound(self, size: int, line: int) -> None:
        if size > MAX_SIZE:
            raise _Told(line, f"holds more than {MAX_SIZE / 2**20:g} MiB when what * names is put in its place")

    def _entry(self, top: _Open, key: Node, value: Node) -> None:
        if isinstance(key, Scalar) and isinstance(key.value, _Merge):
            self._merge(top, key.line, value)
        elif not isinstance(key, Scalar) or key.value is None:
            hint = "; text with braces needs quotes, and templates are not filled in" if isinstance(key, Block) else ""
            self.tell(key.line, f"a key must be text, not {kind_of(key)}{hint}")
        elif key.text in top.entries:
            first = top.entries[key.text][0]
            reason = f"the key {shown(key.text)} stands here and in line {first}; keep one of the two"
            self.tell(key.line, reason)
        else:
            top.entries[key.text] = (key.line, value)

    def _merge(self, top: _Open, line: int, value: Node) -> None:
        """``<<: *base`` or ``<<: [*one, *two]``; what stands in the mapping itself wins, then the first."""
        for base in value.items if isinstance(value, Items) else (value,):
            if isinstance(base, Block):
                top.merged.append(base)
            else:
                self.tell(line, f"<< must name blocks of keys, not {kind_of(base, quoted=False)}")


def _is_finite(number: float) -> bool:
    """Whether it is one of JSON's for any reader; Python's whole numbers have no end."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _parse_json(text: str) -> tuple[list[Node], list[Problem]]:
    if not text.strip():
        return [], []
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return [], [Problem(line=error.lineno, reason=f"is not valid JSON: {_json_words(error, text)}")]
    except RecursionError:
        return [], [Problem(line=None, reason=f"is nested more than {MAX_DEPTH} levels deep")]
    builder = _Builder()
    try:
        for line, piece in _json_tokens(text):
            if piece in "[{":
                builder.begin(line, is_block=piece == "{")
            elif piece in "]}":
                builder.end()
            else:
                value = _json_scalar(piece)
                builder.scalar(line, value if isinstance(value, str) else piece, value)
    except _Told as told:
        return [], [*builder.problems, told.problem]
    return ([] if builder.problems else builder.roots), builder.problems


def _json_words(error: json.JSONDecodeError, text: str) -> str:
    if error.msg == "Extra data":
        return "something follows what it holds"
    if error.pos >= len(text.rstrip()):
        return "it ends too early"
    return f"{error.msg[:1].lower()}{error.msg[1:]} in column {error.colno}"


def _json_tokens(text: str) -> Iterator[tuple[int, str]]:
    """Brackets and scalars with their lines, of valid JSON."""
    line = 1
    for match in _JSON_TOKEN.finditer(text):
        if match[0] == "\n":
            line += 1
        else:
            yield line, match[0]


def _json_scalar(piece: str) -> Any:
    try:
        return json.loads(piece)
    except ValueError:  # a whole number of thousands of digits
        return math.inf


def _parse_yaml(text: str) -> tuple[list[Node], list[Problem]]:
    if forbidden := _FORBIDDEN.search(text):
        line = text.count("\n", 0, forbidden.start()) + 1
        return [], [Problem(line=line, reason=f"is not valid YAML: it holds the character {forbidden[0]!r}")]
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            _take(builder, event)
    except _Told as told:
        return [], [*builder.problems, told.problem]
    except yaml.MarkedYAMLError as error:
        at = min(error.problem_mark.line, max(0, len(text.splitlines()) - 1)) + 1 if error.problem_mark else None
        return [], [*builder.problems, Problem(line=at, reason=f"is not valid YAML: {_yaml_words(error, text)}")]
    except yaml.YAMLError:
        return [], [*builder.problems, Problem(line=None, reason="is not valid YAML")]
    roots = [root for root in builder.roots if not (isinstance(root, Scalar) and root.value is None)]
    return ([] if builder.problems else roots), builder.problems


def _yaml_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """What the parser says, without what it quotes: that may be half a password."""
    words = re.sub(r"(['\"]).{2,}\1", "…", str(error.problem or error.context))
    lines = text.splitlines()
    number = error.problem_mark.line if error.problem_mark else len(lines)
    if number < len(lines) and "\t" in lines[number][: len(lines[number]) - len(lines[number].lstrip())]:
        return "the line is indented with a tab; use spaces"
    if not number < len(lines):
        return f"it ends too early ({words})"
    return words


def _take(builder: _Builder, event: Any) -> None:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.DocumentStartEvent):
        builder.anchors.clear()
    elif isinstance(event, yaml.CollectionStartEvent):
        _check_tag(builder, event, line)
        builder.begin(line, is_block=isinstance(event, yaml.MappingStartEvent), anchor=event.anchor)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.end()
    elif isinstance(event, yaml.AliasEvent):
        builder.alias(line, event.anchor or "")
    elif isinstance(event, yaml.ScalarEvent):
        _check_tag(builder, event, line)
        builder.scalar(line, event.value, _yaml_scalar(event), event.anchor)


def _check_tag(builder: _Builder, event: Any, line: int) -> None:
    if event.tag not in _PLAIN_TAGS and event.tag not in (None, "!"):
        reason = "a tag (!) that means nothing to Kubernetes; text that begins with ! needs quotes"
        builder.tell(line, reason)


def _yaml_scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag if event.tag in _PLAIN_TAGS else _RESOLVER.resolve(yaml.ScalarNode, text, event.implicit)
    try:
        return _resolved(tag.removeprefix(_TAG), text)
    except ValueError:  # `22:22`, which is not 1342; `0b_`; or thousands of digits
        return text if len(text) < 1000 else math.inf


def _resolved(tag: str, text: str) -> Any:
    if tag == "null":
        return None
    if tag == "merge":
        return _Merge(text)
    if tag == "bool":
        return text.lower() in ("yes", "true", "on")
    if tag not in ("int", "float"):
        return text
    bare = text.replace("_", "").lower()
    if tag == "float":
        return float(bare.replace(".inf", "inf").replace(".nan", "nan"))
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", bare)
    return int(octal[1] + octal[2], 8) if octal else int(bare, 0)
