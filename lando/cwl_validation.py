"""Have cwltool read a CWL document and all that it refers to, and its findings as one sentence (``cwl`` extra)."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lando.errors import InputError

VERSIONS = ("v1.0", "v1.1", "v1.2")
_PLACE = re.compile(r"(?:\S*/)?([^\s/]+):(\d+):\d+:")
"""A place in a finding of schema-salad: path, line, column."""


class CwltoolMissing(InputError):
    """The ``cwl`` extra is not installed."""


def resolve(uri: str, name: str, *, doing: str, inside: Path | None = None) -> tuple[Any, str]:
    """cwltool's context and the URI of the validated document at ``uri``, called ``name`` in sentences.

    With ``inside`` it may refer to files below that folder only: what a stranger wrote reads nothing else.

    Raises:
        InputError: It is no valid CWL (naming file and line).
        CwltoolMissing: cwltool is not installed; ``doing`` is what needs it.
    """
    try:
        from cwltool.context import LoadingContext
        from cwltool.load_tool import fetch_document, resolve_and_validate_document
    except ImportError as error:
        advice = "install Lando with its cwl extra: pip install 'lando[cwl]'"
        raise CwltoolMissing(f"{doing} a workflow needs cwltool; {advice}.") from error
    logging.getLogger("cwltool").setLevel(logging.CRITICAL)  # its findings are told by the exception
    logging.getLogger("salad").setLevel(logging.CRITICAL)
    context = LoadingContext({"do_update": False, "do_validate": True, "enable_dev": False})
    if inside is not None:
        context.fetcher_constructor = _fetcher(inside)
        context.skip_schemas = True
    with findings(name):
        context, document, uri = fetch_document(uri, context)
        _check_version(document.get("cwlVersion"), name)
        context, uri = resolve_and_validate_document(context, document, uri)
    return context, str(uri)


@contextlib.contextmanager
def findings(name: str) -> Iterator[None]:
    """Raises what cwltool and its reader have to say of ``name`` as one InputError."""
    from schema_salad.exceptions import ValidationException

    try:
        yield
    except ValidationException as error:
        raise InputError(_validation_sentence(error, name), field="workflow") from error
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{name} can't be read as CWL: {_first_line(error)}.", field="workflow") from error


def _fetcher(root: Path) -> Any:
    from schema_salad.exceptions import ValidationException
    from schema_salad.fetcher import DefaultFetcher

    folder = root.resolve()

    class Inside(DefaultFetcher):
        """Reads what lies below the folder, and what cwltool itself brings."""

        def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
            if url not in self.cache and not self._is_inside(url):
                raise ValidationException(f"it refers to {url}, which is not part of it")
            return str(super().fetch_text(url, content_types))

        def check_exists(self, url: str) -> bool:
            return url in self.cache or (self._is_inside(url) and bool(super().check_exists(url)))

        @staticmethod
        def _is_inside(url: str) -> bool:
            parts = urlsplit(url)
            return parts.scheme == "file" and Path(unquote(parts.path)).resolve().is_relative_to(folder)

    return Inside


def _check_version(version: Any, name: str) -> None:
    known = f"{', '.join(VERSIONS[:-1])} and {VERSIONS[-1]}"
    if version is None:
        raise InputError(f"{name} has no cwlVersion; Lando runs {known}.", field="workflow")
    if version not in VERSIONS:
        raise InputError(f"{name} says cwlVersion {version}; Lando runs {known}.", field="workflow")


def _validation_sentence(error: Any, name: str) -> str:
    """File, line and words of the deepest findings of a schema-salad exception."""
    findings = []
    for leaf in error.leaves() or [error]:
        words = " ".join(str(leaf.message).split()).split(", tried file:")[0].rstrip(".")
        words = _PLACE.sub(r"\1:\2:", words)
        if leaf.file and leaf.start:
            file = unquote(urlsplit(leaf.file).path) or leaf.file
            findings.append(f"{Path(file).name}:{leaf.start[0]}: {words}")
        elif words:
            findings.append(words)
    unique = list(dict.fromkeys(findings)) or [_first_line(error)]
    more = f" (and {len(unique) - 3} more)" if len(unique) > 3 else ""
    return f"{name} is not valid CWL: {'; '.join(unique[:3])}{more}."


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
