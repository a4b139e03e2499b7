"""The blocks of a model file, key by key; a value of the wrong kind is told and counts as absent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from enum import Enum
from typing import TypeVar

from lando.phases.documents import Block, Items, Node, Scalar, kind_of, shown
from lando.phases.report import Place, Report

_DURATION = re.compile(r"([0-9]{1,10})(s|m|h)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}
_LARGEST = 2**31 - 1
"""Of any number; Kubernetes takes no more, of seconds, either."""

Choice = TypeVar("Choice", bound=Enum)


class Section:
    """One block of keys, at one place.

    Null is as good as nothing everywhere, as an empty section is as good as none.
    """

    def __init__(self, block: Block, place: Place, report: Report) -> None:
        self.block = block
        self.place = place
        self._report = report

    def warn_of_unknown(self, known: Collection[str], told: set[str]) -> None:
        """Warn of each key once, however many such blocks there are; ``told`` keeps which."""
        for key, (line, _) in self.block.entries.items():
            if key in known or key in told:
                continue
            told.add(key)
            near = [] if self._report.is_full else difflib.get_close_matches(key[:100], known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
            self._report.warn(self.place, line, f"the key {shown(key)} is not known and has no effect; {advice}")

    def line(self, key: str) -> int:
        return self.block.entries[key][0] if key in self.block.entries else self.block.line

    def error(self, key: str, reason: str) -> None:
        self._report.error(self.place, self.line(key), f"{key}: {reason}")

    def given(self, key: str) -> Node | None:
        if key not in self.block.entries:
            return None
        node = self.block.entries[key][1]
        return None if isinstance(node, Scalar) and node.value is None else node

    def text(self, key: str, *, required: bool = False) -> str | None:
        """As it is written: ``007`` and ``yes`` are text here."""
        node = self.given(key)
        if node is None:
            if required:
                self.error(key, "is required")
            return None
        if not isinstance(node, Scalar):
            self._wrong(key, "text", node)
            return None
        if not node.text.strip():
            self.error(key, "must not be empty")
            return None
        return node.text

    def flag(self, key: str) -> bool | None:
        node = self.given(key)
        if node is None or (isinstance(node, Scalar) and isinstance(node.value, bool)):
            return None if node is None else bool(node.value)
        self._wrong(key, "true or false", node)
        return None

    def whole(self, key: str) -> int | None:
        number = self._number(key, "a whole number")
        if isinstance(number, float):
            self.error(key, f"must be a whole number, not {number}")
            return None
        return number

    def number(self, key: str) -> float | None:
        number = self._number(key, "a number")
        return None if number is None else float(number)

    def choice(self, key: str, kind: type[Choice]) -> Choice | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            return kind(text)
        except ValueError:
            self.error(key, f"must be {' or '.join(str(one.value) for one in kind)}, not {shown(text)}")
            return None

    def seconds(self, key: str) -> int | None:
        """``90``, ``90s``, ``15m`` or ``2h``."""
        node = self.given(key)
        if node is None:
            return None
        match = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if match is None:
            self._wrong(key, "seconds, or as 90s, 15m or 2h", node)
            return None
        seconds = int(match[1]) * _SECONDS[match[2]]
        if not 0 < seconds <= _LARGEST:
            self.error(key, f"must be from 1 to {_LARGEST:,} seconds, not {shown(match[0])}")
            return None
        return seconds

    def texts(self, key: str) -> list[tuple[str, int]]:
        """A list of texts, each with its line; one text is a list of one."""
        node = self.given(key)
        if node is None:
            return []
        if isinstance(node, Block):
            self._wrong(key, "a list of texts", node)
            return []
        found = []
        for item in node.items if isinstance(node, Items) else (node,):
            if isinstance(item, Scalar) and item.value is not None and item.text.strip():
                found.append((item.text, item.line))
            else:
                told = "empty text" if isinstance(item, Scalar) and item.value is not None else kind_of(item)
                self._report.error(self.place, item.line, f"{key}: must be a list of texts, not of {told}")
        return found

    def sections(self, key: str, what: str, singular: str) -> list[tuple[int, Block]]:
        """The blocks of a list, each with its position from 0; told where there is none."""
        node = self.given(key)
        if node is None or (isinstance(node, Items) and not node.items):
            self.error(key, f"{what} must have at least one {singular}")
            return []
        if not isinstance(node, Items):
            self._wrong(key, f"a list, one item for each {singular}", node)
            return []
        blocks = []
        for position, item in enumerate(node.items):
            if isinstance(item, Block):
                blocks.append((position, item))
            else:
                reason = f"{key}: number {position + 1} must be a block of keys, not {kind_of(item)}"
                self._report.error(self.place, item.line, reason)
        return blocks

    def _number(self, key: str, wanted: str) -> int | float | None:
        node = self.given(key)
        if node is None:
            return None
        if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self._wrong(key, wanted, node)
            return None
        if node.value < 0:
            self.error(key, f"must not be negative, as {shown(node.text)} is")
            return None
        if node.value > _LARGEST:
            self.error(key, f"must not be more than {_LARGEST:,}")
            return None
        return node.value

    def _wrong(self, key: str, wanted: str, node: Node) -> None:
        self.error(key, f"must be {wanted}, not {kind_of(node)}")
