"""The page of routes: ``python -m lando.api.routes_page > docs/routes.md`` renews it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from lando.api.answers import Json
from lando.api.app import document

_INTRODUCTION = """\
# The routes of the API server

<!-- Written by `python -m lando.api.routes_page`; change the routes in lando/api/routes instead. -->

[The API, by hand](api.md) shows how they are used. The same as OpenAPI, with the shapes of all bodies and answers, is
at `/api/lando/v1/openapi.json`.

**Who**: *anybody* needs no sign-in, *signed in* is every user, *staff* are users with that mark. Users see and change
their own jobs, inputs, runs, files and private workflows only, those of others are 404, also for staff; catalogs
(public workflows, strategies, share groups, endpoints) are everybody's to read.

Paths end in a slash or not, Bespin's also in `.json`; doubled slashes are one. Each path answers `HEAD` where it
answers `GET`, `OPTIONS` with the header `Allow`, and any other method with 405. What is not listed is 404.
"""
_ORDER = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ROW = "/{row_id}"


@dataclass
class _Line:
    """One path and who may use it so."""

    methods: list[str] = field(default_factory=list)
    single: list[str] = field(default_factory=list)
    """Methods of single rows, where the path is a list of them."""
    text: str = ""


def page() -> Iterator[str]:
    """The lines of the page."""
    whole = document()
    yield from _INTRODUCTION.splitlines()
    for tag in whole["tags"]:
        lines = _lines(whole["paths"], tag["name"])
        if not lines:
            continue
        yield from ("", f"## {tag['name'].capitalize()}", "", tag["description"], "")
        yield from ("| Path | Methods | Of one: `…/{id}` | Who | What |", "|---|---|---|---|---|")
        for (path, who), line in lines.items():
            yield f"| `{path}` | {_named(line.methods)} | {_named(line.single)} | {who} | {line.text} |"


def _lines(paths: Json, tag: str) -> dict[tuple[str, str], _Line]:
    lines: dict[tuple[str, str], _Line] = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            if tag not in operation["tags"]:
                continue
            line = lines.setdefault((path.removesuffix(_ROW), _who(operation)), _Line())
            (line.single if path.endswith(_ROW) else line.methods).append(method.upper())
            line.text = line.text or _text(operation)
    return lines


def _who(operation: Json) -> str:
    security = operation.get("security", [])
    if not security or {} in security:
        return "anybody"
    return "staff" if any("staff" in roles for way in security for roles in way.values()) else "signed in"


def _text(operation: Json) -> str:
    """The first sentence of what an operation says of itself."""
    words = " ".join(str(operation.get("description") or operation.get("summary", "")).split())
    return re.split(r"(?<=\.)\s", words)[0].replace("``", "`").replace("|", "\\|")


def _named(methods: list[str]) -> str:
    return " ".join(sorted(methods, key=_ORDER.index))


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page())
