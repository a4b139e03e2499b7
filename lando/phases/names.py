"""Which names Kubernetes takes; each rule gives what is wrong as the end of a sentence, or None."""

from __future__ import annotations

import re

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(\.{_DNS_LABEL.pattern})*")
_MAX_LABEL = 63


def label_value_fault(name: str) -> str | None:
    """Of a phase or an entry: usable as the value of a label."""
    if any(character.isspace() for character in name):
        return "must not hold whitespace"
    if len(name) > _MAX_LABEL:
        return f"must not be longer than {_MAX_LABEL} characters, as it becomes a label"
    if not _LABEL_VALUE.fullmatch(name):
        return "may hold letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
    return None


def namespace_fault(name: str) -> str | None:
    """Of a namespace: a DNS label."""
    if len(name) > _MAX_LABEL or not _DNS_LABEL.fullmatch(name):
        return f"must be at most {_MAX_LABEL} lower-case letters, digits and '-', with a letter or digit at each end"
    return None


def job_name_fault(name: str) -> str | None:
    """Of a Job: a DNS name, and short enough for the label that its pods get."""
    return _subdomain_fault(name, _MAX_LABEL)


def object_name_fault(name: str) -> str | None:
    """Of any other object: a DNS name."""
    return _subdomain_fault(name, 253)


def _subdomain_fault(name: str, longest: int) -> str | None:
    if len(name) > longest:
        return f"must not be longer than {longest} characters"
    if not _SUBDOMAIN.fullmatch(name):
        return "may hold lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit"
    return None
