"""URLs as they may be shown: without the parts that would let a reader of a log fetch the file."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_SECRET_NAMES = re.compile(
    r"(?i)(^|[-_.])(signature|sig|token|secret|password|passwd|credential|apikey|api[-_]key|key|auth)($|[-_.])"
)
MASK = "***"


def masked(url: str) -> str:
    """``url`` without user info, fragment and the values of query parameters that give access."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<not a URL>"
    query = "&".join(_masked_parameter(parameter) for parameter in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def without_user_info(url: str) -> str:
    """``url`` without a user name and password; what is no URL as it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def without_query(url: str) -> str:
    """``url`` up to its path: for sentences, where a query would only be noise."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _masked_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    return f"{name}={MASK}" if equals and value and _SECRET_NAMES.search(name) else parameter
