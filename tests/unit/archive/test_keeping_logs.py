"""The archive keeps what a step said after its Job is gone."""

from __future__ import annotations

import gzip
import uuid
from pathlib import Path

import fsspec
import pytest
from lando.archive import Archive, Entry
from lando.errors import ConfigError, Unavailable


@pytest.fixture(params=["file", "path", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://archive-{uuid.uuid4()}"
    return str(tmp_path / "a b") if request.param == "path" else (tmp_path / "a b").as_uri()


def test_what_was_stored_is_read_back(url: str) -> None:
    archive = Archive(url)
    archive.store(42, "run_workflow", 1, "run-workflow-42-ada", "tool 1 of 3\nü\n", '{"cause": {}}')

    assert archive.read(42, "run_workflow") == "tool 1 of 3\nü\n"
    entry = Entry(step="run_workflow", attempt=1, container="run-workflow-42-ada")
    assert archive.entries(42) == [entry]
    assert archive.termination(42, entry) == '{"cause": {}}'


def test_steps_come_in_their_order_and_attempts_by_number(url: str) -> None:
    archive = Archive(url)
    for step, attempt in [("save_output", 1), ("run_workflow", 10), ("run_workflow", 9), ("stage_data", 1)]:
        archive.store(1, step, attempt, "main", f"{step} {attempt}")
    archive.store(12, "stage_data", 1, "main", "another run")

    found = [(entry.step, entry.attempt) for entry in archive.entries(1)]
    assert found == [("stage_data", 1), ("run_workflow", 9), ("run_workflow", 10), ("save_output", 1)]
    text = archive.read(1)
    assert text.index("==> stage_data, attempt 1, container main <==\nstage_data 1") < text.index("run_workflow 9")
    assert "another run" not in text


def test_a_step_stored_twice_is_kept_once(url: str) -> None:
    archive = Archive(url)
    archive.store(1, "stage_data", 1, "main", "first")
    archive.store(1, "stage_data", 1, "main", "second")

    assert archive.read(1) == "second"


def test_a_run_that_left_nothing_reads_as_empty(url: str) -> None:
    archive = Archive(url)

    assert archive.entries(99) == []
    assert archive.read(99) == ""
    assert archive.termination(99, Entry(step="a", attempt=1, container="b")) is None


def test_long_logs_are_cut_visibly_and_keep_both_ends(url: str) -> None:
    archive = Archive(url, max_bytes=1000)
    archive.store(1, "stage_data", 1, "main", "BEGIN" + "x" * 5000 + "END")

    text = archive.read(1)
    assert len(text.encode()) <= 1000
    assert text.startswith("BEGIN")
    assert text.endswith("END")
    assert "left out" in text


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a/b", "C:\\x"])
def test_names_never_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    root = tmp_path / "archive"
    archive = Archive(str(root))
    archive.store(1, name, 1, name, "text")

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].is_relative_to(root / "1")
    assert archive.read(1, name) == "text"


def test_nothing_half_written_is_left_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(str(tmp_path))
    archive.store(1, "stage_data", 1, "main", "whole")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Unavailable, match=r"archive: could not store the log of run 1, step stage_data.*No space left"):
        archive.store(1, "stage_data", 1, "main", "more")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["main.log.gz"]
    assert archive.read(1) == "whole"


def test_a_store_that_fails_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(f"memory://archive-{uuid.uuid4()}")

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("bucket is gone")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "pipe_file", refuse)
    with pytest.raises(Unavailable, match="bucket is gone"):
        archive.store(1, "stage_data", 1, "main", "text")


def test_an_unknown_scheme_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"archive\.url: nosuch:// can't be used here"):
        Archive("nosuch://bucket/logs")


def test_evidence_is_read_back_by_step_and_attempt_and_is_no_log(url: str) -> None:
    archive = Archive(url)
    archive.store_evidence(42, "run_workflow", 2, {"verdict": "Waiting"})
    archive.store_evidence(42, "run_workflow", 2, {"verdict": "Failed", "cause": {"sentence": "ü"}})
    archive.store_evidence(42, "run_workflow", 1, {"verdict": "Failed"})
    archive.store_evidence(42, "stage_data", 1, {"verdict": "Waiting"})
    archive.store_evidence(421, "stage_data", 1, {"verdict": "Failed"})

    assert [(one["step"], one["attempt"], one["verdict"]) for one in archive.evidence(42)] == [
        ("stage_data", 1, "Waiting"),
        ("run_workflow", 1, "Failed"),
        ("run_workflow", 2, "Failed"),
    ]
    assert archive.evidence(42, "run_workflow")[-1]["cause"] == {"sentence": "ü"}
    assert archive.evidence(43) == []
    assert archive.entries(42) == []


def test_evidence_that_was_spoilt_is_the_archives_trouble(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    archive.store_evidence(42, "run_workflow", 1, {})
    (tmp_path / "42" / "run_workflow" / "1" / "evidence.json").write_text("{broken")

    with pytest.raises(Unavailable, match="evidence of run 42"):
        archive.evidence(42)


def test_logs_are_kept_packed(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    archive.store(1, "stage_data", 1, "main", "the same line\n" * 100_000)

    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert kept.stat().st_size < 10_000
    assert gzip.decompress(kept.read_bytes()).startswith(b"the same line")
    assert archive.read(1) == "the same line\n" * 100_000


def test_logs_of_before_that_are_not_packed_are_still_read(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    folder = tmp_path / "1" / "stage_data" / "1"
    folder.mkdir(parents=True)
    (folder / "main.log").write_text("of before\n")

    assert archive.entries(1) == [Entry(step="stage_data", attempt=1, container="main")]
    assert archive.read(1) == "of before\n"
    archive.store(1, "stage_data", 1, "main", "of now\n")
    assert archive.read(1) == "of now\n"


def test_a_damaged_log_says_so_and_hides_no_other(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    archive.store(1, "stage_data", 1, "main", "x" * 1000)
    archive.store(1, "stage_data", 2, "main", "whole\n")
    (kept,) = tmp_path.glob("1/stage_data/1/*")
    kept.write_bytes(kept.read_bytes()[:20])

    text = archive.read(1)
    assert "[This log was kept, but it is damaged" in text
    assert text.endswith("whole\n")


def test_one_attempt_is_read_alone(url: str) -> None:
    archive = Archive(url)
    for attempt in (1, 2):
        archive.store(1, "stage_data", attempt, "main", f"attempt {attempt}\n")

    assert archive.read(1, "stage_data", 1) == "attempt 1\n"
    assert archive.read(1, attempt=2) == "attempt 2\n"
    assert archive.read(1, "stage_data", 3) == ""


def test_a_log_that_could_not_be_had_says_why(url: str) -> None:
    archive = Archive(url)
    archive.store(1, "run_workflow", 1, "prepare", "prepared\n")
    archive.store_missing(1, "run_workflow", 1, "its node is lost.", "main", '{"cause": {}}')
    archive.store_missing(1, "run_workflow", 2, "the Job was gone.")

    assert archive.entries(1) == [
        Entry(step="run_workflow", attempt=1, container="main", is_missing=True),
        Entry(step="run_workflow", attempt=1, container="prepare"),
        Entry(step="run_workflow", attempt=2, container="", is_missing=True),
    ]
    assert "container main <==\n[There is no log: its node is lost.]\n" in archive.read(1)
    assert archive.read(1, attempt=2) == "[There is no log: the Job was gone.]\n"
    assert archive.termination(1, archive.entries(1)[0]) == '{"cause": {}}'


def test_a_log_counts_more_than_a_word_that_there_is_none(url: str) -> None:
    archive = Archive(url)
    archive.store(1, "stage_data", 1, "main", "all of it\n")
    archive.store_missing(1, "stage_data", 1, "its node is lost.", "main")
    archive.store_missing(1, "stage_data", 1, "the Job was gone.")

    assert archive.read(1) == "all of it\n"
    assert len(archive.entries(1)) == 1


def test_of_words_that_there_is_no_log_the_container_s_own_counts(url: str) -> None:
    archive = Archive(url)
    archive.store_missing(1, "stage_data", 1, "the Job was gone.")
    archive.store_missing(1, "stage_data", 1, "its node is lost.", "main")

    assert archive.read(1) == "[There is no log: its node is lost.]\n"


def test_what_is_kept_of_each_run_is_counted_and_can_be_removed(url: str) -> None:
    archive = Archive(url)
    assert archive.sizes() == {}
    archive.store(1, "stage_data", 1, "main", "words")
    archive.store_evidence(1, "stage_data", 1, {"verdict": "Failed"})
    archive.store(12, "stage_data", 1, "main", "others")
    before = archive.sizes()
    assert before.keys() == {1, 12}
    assert before[1] > before[12] > 0
    for _ in range(2):  # the second finds nothing, which is well
        archive.remove(1)
    assert archive.sizes() == {12: before[12]}
    assert archive.read(1) == ""
    assert archive.read(12) == "others"
