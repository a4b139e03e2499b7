"""The report, and the files of an output object that it counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lando.steps.output_object import OutputFile, output_files
from lando.steps.report import FILES_LISTED, Report, html, markdown


def report(**more: Any) -> Report:
    facts: dict[str, Any] = {
        "job_id": 42,
        "documentation": "Aligns reads.",
        "started": datetime(2026, 3, 4, 10, 0, tzinfo=UTC),
        "finished": datetime(2026, 3, 4, 11, 30, tzinfo=UTC),
        "files": (OutputFile(output="bam", path="a_b.bam", size=1020),),
        "total_size": "1.02 KB",
    }
    return Report(**{**facts, **more})


def test_the_labelled_lines_are_those_of_the_contract() -> None:
    lines = [line.rstrip() for line in markdown(report()).splitlines()]
    assert lines[0] == "# Summary"
    for expected in (
        "**Job:** Aligns reads.",
        "**Job Id:** 42",
        "**Started:** 2026-03-04 10:00:00 UTC",
        "**Finished:** 2026-03-04 11:30:00 UTC",
        "**Run time:** 90.0 minutes",
        "**Output:** 1 file (1.02 KB)",
    ):
        assert expected in lines


def test_the_numbers_for_programs_are_those_of_the_contract() -> None:
    assert report(started=None, finished=None, files=(), total_size="0 bytes").job_data() == {
        "id": 42,
        "started": "",
        "finished": "",
        "run_time": "0 minutes",
        "num_output_files": 0,
        "total_file_size_str": "0 bytes",
    }
    assert report().job_data()["started"] == "2026-03-04T10:00:00+00:00"
    assert report().job_data()["run_time"] == "90.0 minutes"


def test_files_are_listed_with_their_names_as_they_are() -> None:
    text = markdown(report())
    assert "| a\\_b.bam | 1.02 KB | bam |" in text
    assert "<td>a_b.bam</td>" in html(text)


def test_a_long_list_of_files_is_cut_and_says_so() -> None:
    files = tuple(OutputFile(output="o", path=f"{number}.txt", size=1) for number in range(FILES_LISTED + 7))
    assert "… and 7 more" in markdown(report(files=files))


def test_warnings_stand_in_the_report() -> None:
    text = markdown(report(warnings=("align ran without its image x:1.",)))
    assert "# Warnings\n\n- align ran without its image x:1." in text


def test_html_is_a_fragment_with_headings_and_tables() -> None:
    text = html(markdown(report()))
    assert text.startswith("<h1>Summary</h1>")
    assert "<table>" in text
    assert "<html" not in text


@pytest.mark.parametrize(
    "documentation",
    [
        "<script>alert(1)</script>",
        "text <img src=x onerror=alert(1)> text",
        "[x](javascript:alert(1))",
        "![x](data:text/html;base64,AAAA)",
        "[x]( JaVaScRiPt:alert(1))",
        "[x](javascript&colon;alert(1))",
        "[x](javascript&#58;alert(1))",
        "[x]: java&Tab;script&#x3A;alert(1)\n\n[x]",
        "![x](data&colon;text/html;base64,AAAA)",
    ],
)
def test_markup_of_the_documentation_can_do_no_harm(documentation: str) -> None:
    text = html(markdown(report(documentation=documentation))).lower()
    assert "<script" not in text
    assert "<img src" not in text
    assert ' src="' not in text
    assert "href=" not in text


def test_ordinary_links_of_the_documentation_work() -> None:
    assert 'href="https://example.org/a?b=c:d"' in html("[x](https://example.org/a?b=c:d)")
    assert 'href="logs/a.txt"' in html("[x](logs/a.txt)")
    assert "href=" in html("<ada@example.org>")


def file(name: str, size: int, **more: Any) -> dict[str, Any]:
    return {"class": "File", "path": f"/out/results/{name}", "size": size, **more}


def test_files_are_found_wherever_they_stand() -> None:
    outputs = {
        "one": file("a.bam", 10, secondaryFiles=[file("a.bai", 1)]),
        "many": [file("b", 2), [file("c", 3)]],
        "folder": {"class": "Directory", "path": "/out/results/d", "listing": [file("d/x", 4)]},
        "record": {"left": file("e", 5), "right": None},
        "number": 7,
        "text": "file:///etc/passwd",
        "nothing": None,
    }
    found = output_files(outputs, Path("/out/results"))
    assert [(item.output, item.path, item.size) for item in found] == [
        ("one", "a.bam", 10),
        ("one", "a.bai", 1),
        ("many", "b", 2),
        ("many", "c", 3),
        ("folder", "d/x", 4),
        ("record", "e", 5),
    ]


def test_locations_may_be_urls_or_foreign() -> None:
    outputs = {
        "url": {"class": "File", "location": "file:///out/results/a%20b", "size": 1},
        "foreign": {"class": "File", "location": "gs://bucket/x", "basename": "x", "size": 2},
    }
    assert [item.path for item in output_files(outputs, Path("/out/results"))] == ["a b", "x"]


def test_a_folder_without_a_listing_is_read_from_the_disk_if_it_is_among_the_results(tmp_path: Path) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    (results / "d/sub").mkdir(parents=True)
    (results / "d/sub/x").write_bytes(b"1234")
    outside.mkdir()
    (outside / "y").write_bytes(b"1")
    outputs = {
        "inside": {"class": "Directory", "path": str(results / "d")},
        "outside": {"class": "Directory", "path": str(outside)},
    }
    assert [(item.path, item.size) for item in output_files(outputs, results)] == [("d/sub/x", 4)]


@pytest.mark.parametrize("outputs", [None, [], "text", {}])
def test_what_is_no_output_object_has_no_files(outputs: Any) -> None:
    assert output_files(outputs, Path("/out")) == []
