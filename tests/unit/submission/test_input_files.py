"""Every file of a job order gets its place beside it, and what is missing is told before anything is sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pytest
from lando.errors import InputError
from lando.submission import prepare
from lando.submission.files import InputFiles, companion_name


class Folder(Protocol):
    path: Path

    def write(self, name: str, text: str = "") -> Path: ...
    def workflow(self, text: str = ...) -> Path: ...
    def order(self, text: str) -> Path: ...


def collected(folder: Folder, order: str) -> InputFiles:
    return prepare(folder.workflow(), folder.order(order)).inputs


def destinations(inputs: InputFiles) -> list[str]:
    return [file.destination for file in inputs.local]


def test_relative_paths_count_from_the_job_order_and_secondary_files_go_along(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("data/a.fastq", "@r\n")
    folder.write("data/a.idx", "1")
    folder.write("data/a.fastq.md5", "2")
    monkeypatch.chdir("/")
    inputs = collected(folder, "{threads: 1, reads: [{class: File, path: data/a.fastq}]}")
    assert inputs.job_order["reads"] == [{"class": "File", "path": "reads/a.fastq"}]
    assert sorted(destinations(inputs)) == ["reads/a.fastq", "reads/a.fastq.md5", "reads/a.idx"]
    assert inputs.total_bytes == 5


def test_a_required_secondary_file_that_is_not_there_is_told(folder: Folder) -> None:
    folder.write("a.fastq")
    with pytest.raises(InputError, match=r"reads\[0\]: .*a\.idx must lie beside a\.fastq but is not there"):
        collected(folder, "{threads: 1, reads: [{class: File, path: a.fastq}]}")


def test_files_of_one_name_get_folders_of_their_own(folder: Folder) -> None:
    for name in ("x/a.fastq", "x/a.idx", "y/a.fastq", "y/a.idx"):
        folder.write(name, name)
    inputs = collected(
        folder, "{threads: 1, reads: [{class: File, path: x/a.fastq}, {class: File, location: y/a.fastq}]}"
    )
    assert [one["path"] for one in inputs.job_order["reads"]] == ["reads/a.fastq", "reads_2/a.fastq"]
    assert len(set(destinations(inputs))) == 4


def test_a_file_named_twice_is_sent_once(folder: Folder) -> None:
    folder.write("a.fastq")
    folder.write("a.idx")
    inputs = collected(folder, "{threads: 1, reads: [{class: File, path: a.fastq}, {class: File, path: a.fastq}]}")
    assert destinations(inputs) == ["reads/a.fastq", "reads/a.idx"]


def test_a_folder_goes_with_all_it_holds(folder: Folder) -> None:
    folder.write("ref/a.txt", "a")
    folder.write("ref/sub/b.txt", "b")
    inputs = collected(folder, "{threads: 1, reads: [], folder: {class: Directory, path: ref}}")
    assert inputs.job_order["folder"] == {"class": "Directory", "path": "folder/ref"}
    assert destinations(inputs) == ["folder/ref/a.txt", "folder/ref/sub/b.txt"]


def test_a_folder_with_an_empty_folder_in_it_is_listed(folder: Folder) -> None:
    folder.write("ref/a.txt", "a")
    (folder.path / "ref" / "empty").mkdir()
    inputs = collected(folder, "{threads: 1, reads: [], folder: {class: Directory, path: ref}}")
    assert inputs.job_order["folder"] == {
        "class": "Directory",
        "basename": "ref",
        "listing": [
            {"class": "File", "path": "folder/ref/a.txt"},
            {"class": "Directory", "basename": "empty", "listing": []},
        ],
    }


def test_a_link_to_a_folder_inside_a_folder_is_refused(folder: Folder) -> None:
    folder.write("ref/a.txt")
    os.symlink(folder.path, folder.path / "ref" / "loop")
    with pytest.raises(InputError, match="is a link to a folder"):
        collected(folder, "{threads: 1, reads: [], folder: {class: Directory, path: ref}}")


def test_literals_stay_and_remote_files_are_left_to_staging(folder: Folder) -> None:
    inputs = collected(
        folder,
        """\
        threads: 1
        reads:
          - {class: File, location: "https://files.example.org/a%20b.fastq?v=1"}
          - {class: File, basename: c.fastq, contents: "@r"}
        """,
    )
    assert inputs.job_order["reads"] == [
        {"class": "File", "path": "reads/a b.fastq"},
        {"class": "File", "basename": "c.fastq", "contents": "@r"},
    ]
    assert inputs.local == []
    assert [(one.url, one.destination) for one in inputs.remote] == [
        ("https://files.example.org/a%20b.fastq?v=1", "reads/a b.fastq")
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("reads: [{class: File, path: none.fastq}]", r"reads\[0\]: there is no file .*none\.fastq"),
        ("reads: [{class: File, path: .}]", r"reads\[0\]: .* is a folder, and a File is wanted"),
        ("reads: []\nfolder: {class: Directory, path: none}", r"folder: there is no folder .*none"),
        ("reads: []\nfolder: {class: Directory, location: 'https://x/y'}", r"folder: a remote folder can't be fetched"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_its_field(folder: Folder, order: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        collected(folder, f"threads: 1\n{order}\n")


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [("a.bam", ".bai", "a.bam.bai"), ("a.bam", "^.bai", "a.bai"), ("a.tar.gz", "^^.txt", "a.txt"), ("a", "^.b", "a.b")],
)
def test_companions_are_named_by_the_rule_of_cwl(name: str, pattern: str, expected: str) -> None:
    assert companion_name(name, pattern) == expected


def test_letters_that_mean_something_in_a_reference_are_escaped_in_the_job_order_alone(folder: Folder) -> None:
    for name in ("a%20b#1?.fastq", "a%20b#1?.idx"):
        folder.write(name)
    inputs = collected(folder, '{threads: 1, reads: [{class: File, path: "a%20b#1?.fastq"}]}')
    assert inputs.job_order["reads"][0]["path"] == "reads/a%2520b%231%3F.fastq"
    assert destinations(inputs)[0] == "reads/a%20b#1?.fastq"


def test_a_colon_in_a_name_makes_no_address(folder: Folder) -> None:
    folder.write("run:1.fastq")
    folder.write("run:1.idx")
    inputs = collected(folder, '{threads: 1, reads: [{class: File, path: "run:1.fastq"}]}')
    assert not inputs.remote
    assert "reads/run:1.fastq" in destinations(inputs)


@pytest.mark.parametrize("basename", ["../x", "..", "a/b", "", 3])
def test_a_basename_is_a_name(folder: Folder, basename: object) -> None:
    folder.write("a.fastq")
    folder.write("a.idx")
    with pytest.raises(InputError, match=r"^order\.yml: reads\[0\]: the basename must be a file's name"):
        collected(folder, f"{{threads: 1, reads: [{{class: File, path: a.fastq, basename: {basename!r}}}]}}")


def test_a_device_is_no_file(folder: Folder) -> None:
    with pytest.raises(InputError, match="/dev/zero is a device or a pipe"):
        collected(folder, "{threads: 1, reads: [{class: File, path: /dev/zero}]}")
