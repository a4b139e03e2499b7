"""Makes the site of the pages as they stand in the repository, where they are read as well.

What differs between the two is put right here, so that a page needs no thought of the site: the README and files
beside docs/ become part of it, links between them are rewritten, and lists are indented as Python-Markdown wants them.
Diagrams in Mermaid are drawn while the site is built: who reads needs neither a script nor the network.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import mermaid_render
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.superfences import SuperFencesException

ROOT = Path(__file__).parents[2]
BESIDE_DOCS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "Dockerfile",
    "k8s.config.sample",
    "examples/**/*",
    "openshift/**/*",
)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")
_ITEM = re.compile(r"( *)([-*]|\d+\.)( +)(?=\S)")
_INDENT = 4  # what Python-Markdown takes for the inside of a list item


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    fence = {"name": "mermaid", "class": "diagram", "format": diagram}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for pattern in BESIDE_DOCS:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                uri = site_uri(path.relative_to(ROOT).as_posix())
                files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    folder = posixpath.dirname(page.file.src_uri)
    source = "" if page.file.src_uri == "index.md" else folder if page.file.generated_by else f"docs/{folder}"
    return indented(relinked(markdown, source, folder))


def site_uri(path: str) -> str:
    """Where on the site ``path`` of the repository lies; a folder is its README."""
    if (ROOT / path).is_dir():
        path = posixpath.join(path, "README.md")
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def relinked(markdown: str, source: str, folder: str) -> str:
    """The page with its relative links as the site has them: its folder is ``source`` here, and ``folder`` there."""

    def link(found: re.Match[str]) -> str:
        return posixpath.relpath(site_uri(posixpath.normpath(posixpath.join(source, found[1]))), folder or ".")

    return "\n".join(line if code else _LINK.sub(link, line) for line, code in _lines(markdown))


def indented(markdown: str) -> str:
    """The page with its lists indented by fours, and an empty line before each: elsewhere, less will do."""
    lines: list[str] = []
    inside: list[tuple[int, int]] = []  # of each list item that is open: where its mark stands, and where its text
    for line, code in _lines(markdown):
        width = len(line) - len(line.lstrip())
        item = None if code else _ITEM.match(line)
        if line.strip() and not code:
            while inside and width < (inside[-1][1] if not item else inside[-1][0] + 1):
                inside.pop()
        if item:
            if (
                not inside
                and lines
                and lines[-1].strip()
                and not _ITEM.match(lines[-1])
                and not lines[-1].startswith(" ")
            ):
                lines.append("")
            lines.append(" " * _INDENT * len(inside) + line.lstrip())
            inside.append((width, item.end()))
        elif inside and line.strip():
            lines.append(" " * (_INDENT * len(inside) + max(width - inside[-1][1], 0)) + line.lstrip())
        else:
            lines.append(line)
    return "\n".join(lines)


def diagram(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """A fenced block of Mermaid as SVG, once for light and once for dark pages."""
    drawn = []
    for scheme, theme in (("light", "default"), ("dark", "dark")):
        try:
            svg = mermaid_render.mermaid_to_svg(source, theme=theme).decode()
        except Exception as error:  # whatever it is, the site is not to be built
            raise SuperFencesException(f"A diagram can't be drawn: {error}\n{source}") from error
        drawn.append(f'<div class="{css_class} {scheme}">{svg}</div>')
    return "".join(drawn)


def _lines(markdown: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is inside a fenced block."""
    found, fence = [], ""
    for line in markdown.split("\n"):
        mark = line.lstrip()[:3]
        if fence:
            found.append((line, True))
            fence = "" if line.strip() == fence else fence
        else:
            fence = mark if mark in ("```", "~~~") else ""
            found.append((line, False))
    return found
