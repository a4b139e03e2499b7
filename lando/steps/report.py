"""The report that goes with the results: README.md, the same as HTML, and its numbers as JSON. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor

from lando.steps.output_object import OutputFile
from lando.units import decimal_size, minutes_between

FILES_LISTED = 100  # in the report; the output object in logs/ names all
_HARMLESS_LINK = re.compile(r"(?i)^(https?:|mailto:|#|[^:]*$|[^:/?#]*[/?#])")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is told about a job."""

    job_id: int
    documentation: str
    started: datetime | None
    finished: datetime | None
    files: tuple[OutputFile, ...]
    total_size: str
    warnings: tuple[str, ...] = ()

    @property
    def run_time(self) -> str:
        return minutes_between(self.started, self.finished)

    def job_data(self) -> dict[str, Any]:
        """``logs/job-data.json``."""
        return {
            "id": self.job_id,
            "started": self.started.isoformat() if self.started else "",
            "finished": self.finished.isoformat() if self.finished else "",
            "run_time": self.run_time,
            "num_output_files": len(self.files),
            "total_file_size_str": self.total_size,
        }


def markdown(report: Report) -> str:
    """``README.md``."""
    count = len(report.files)
    lines = [
        "# Summary",
        "",
        f"**Job:** {report.documentation}",
        "",
        f"**Job Id:** {report.job_id}  ",
        f"**Started:** {_shown(report.started)}  ",
        f"**Finished:** {_shown(report.finished)}  ",
        f"**Run time:** {report.run_time}  ",
        f"**Output:** {count} file{'' if count == 1 else 's'} ({report.total_size})",
    ]
    if report.warnings:
        lines += ["", "# Warnings", "", *(f"- {_text(warning)}" for warning in report.warnings)]
    if report.files:
        lines += ["", "# Output files", "", "| File | Size | Output |", "| --- | ---: | --- |"]
        lines += [
            f"| {_cell(file.path)} | {decimal_size(file.size)} | {_cell(file.output)} |"
            for file in report.files[:FILES_LISTED]
        ]
        if count > FILES_LISTED:
            lines += ["", f"… and {count - FILES_LISTED} more, all named in `logs/bespin-workflow-output.json`."]
    lines += [
        "",
        "# Beside this report",
        "",
        "- `scripts/`: the workflow and its job order, as they ran",
        "- `logs/`: the runner's log, its output object, the use of resources and this report's numbers",
        "",
    ]
    return "\n".join(lines)


def html(text: str) -> str:
    """``README.html``: ``text`` as an HTML fragment.

    The documentation is somebody else's: HTML in it is shown as text, and only links of harmless schemes stay.
    """
    converter = Markdown(extensions=["tables"], output_format="html")
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    converter.treeprocessors.register(_Links(converter), "lando_links", 0)
    return converter.convert(text)


class _Links(Treeprocessor):
    def run(self, root: Element) -> None:
        for element in root.iter():
            for attribute in ("href", "src"):
                # A browser reads entities before it looks for the scheme: `javascript&colon;` is one.
                if not _HARMLESS_LINK.match(unescape(element.attrib.get(attribute, "")).strip()):
                    del element.attrib[attribute]


def _shown(time: datetime | None) -> str:
    """Without fractions of seconds; with UTC named where the time says so."""
    if time is None:
        return ""
    if time.tzinfo is None:
        return f"{time:%Y-%m-%d %H:%M:%S}"
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """``text`` on one line, with what Markdown would take as markup escaped."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", " ".join(text.split()))
