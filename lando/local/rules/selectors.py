"""Label and field selectors, in the syntax of the ``labelSelector`` and ``fieldSelector`` parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lando.local.rules.status import bad_request

Labels = Mapping[str, str]
LabelTest = Callable[[Labels], bool]
FieldTest = Callable[[Mapping[str, str]], bool]

_KEY = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_NUMBER = re.compile(rf"({_KEY})\s*([<>])\s*([0-9]+)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")


def label_test(selector: str) -> LabelTest:
    """A predicate over labels; BadRequest when ``selector`` can't be parsed. The empty selector matches all."""
    tests = [_requirement(part) for part in _split(selector)]
    return lambda labels: all(test(labels) for test in tests)


def pinned_labels(selector: str) -> dict[str, frozenset[str]]:
    """The labels that every match has, each with the values it may have: from ``=``, ``==`` and ``in``."""
    pinned: dict[str, frozenset[str]] = {}
    for text in _split(selector):
        if (match := _EQUALITY.fullmatch(text)) and match[2] != "!=":
            values = frozenset({match[3]})
        elif (match := _SET.fullmatch(text)) and match[2] == "in":
            values = _set_values(match[3])
        else:
            continue
        pinned[match[1]] = pinned.get(match[1], values) & values
    return pinned


def _set_values(listed: str) -> frozenset[str]:
    return frozenset(value.strip() for value in listed.split(","))


def _split(selector: str) -> list[str]:
    """Comma-separated requirements; commas inside parentheses belong to a set."""
    if not selector.strip():
        return []
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector)]


def _requirement(text: str) -> LabelTest:
    if match := _EQUALITY.fullmatch(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _SET.fullmatch(text):
        key, operator, listed = match.groups()
        values = _set_values(listed)
        if operator == "notin":
            return lambda labels: labels.get(key) not in values
        return lambda labels: labels.get(key) in values
    if match := _NUMBER.fullmatch(text):
        key, operator, number = match.groups()
        return _number_test(key, above=operator == ">", bound=int(number))
    if match := _EXISTS.fullmatch(text):
        negated, key = match.groups()
        if negated:
            return lambda labels: key not in labels
        return lambda labels: key in labels
    raise bad_request(f"unable to parse requirement: {text!r} is no label requirement")


def _number_test(key: str, *, above: bool, bound: int) -> LabelTest:
    def test(labels: Labels) -> bool:
        value = labels.get(key, "")
        if not value.isdecimal():
            return False
        return int(value) > bound if above else int(value) < bound

    return test


def match_labels(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether ``labels`` satisfy a ``LabelSelector`` object (``matchLabels`` and ``matchExpressions``)."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values") or []
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(expression["operator"], False):
            return False
    return True


_FIELD = re.compile(r"([^=!]+?)\s*(==|=|!=)\s*(.*)")


def field_test(selector: str, fields: tuple[str, ...]) -> FieldTest:
    """A predicate over :func:`field_values`; BadRequest for a field that is none of ``fields``."""
    tests: list[FieldTest] = []
    for part in (part for part in selector.split(",") if part.strip()):
        match = _FIELD.fullmatch(part.strip())
        if match is None:
            raise bad_request(f"invalid field selector: {part!r}; can't understand it")
        field, operator, value = match.groups()
        if field not in fields:
            raise bad_request(f"field label not supported: {field}")
        tests.append(_field_requirement(field, value, equal=operator != "!="))
    return lambda values: all(test(values) for test in tests)


def _field_requirement(field: str, value: str, *, equal: bool) -> FieldTest:
    return lambda values: (values.get(field, "") == value) is equal


def field_values(manifest: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, str]:
    """What field selectors see of an object: each of ``fields`` that is not empty."""
    values = ((field, _field(manifest, field.split("."))) for field in fields)
    return {field: value for field, value in values if value}


def _field(manifest: Mapping[str, Any], path: list[str]) -> str:
    node: Any = manifest
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return "" if node is None else str(node)
