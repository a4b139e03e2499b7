"""What is read out of cwltool's log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lando.steps.cwl_log import TAIL_LINES, CwlLog, readable, split

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def record(message: str, level: str = "INFO") -> str:
    text = message.replace("\n", "\x1f")
    return f"\x1e{level} {text}"


def feed(log: CwlLog, *lines: str) -> list[str]:
    said: list[str] = []
    for number, line in enumerate(lines):
        said += log.feed(line, START + timedelta(seconds=number))
    return said


def test_progress_is_told_as_tool_k_of_n() -> None:
    log = CwlLog(expected=2)
    assert feed(
        log,
        record("[workflow ] start"),
        record("[job qc] /tmp/x$ python3 \\\n    qc.py"),
        record("[job qc] completed success"),
        record("[job qc_2] Using cached output in /tmp/y"),
    ) == [
        "tool 1 of 2 started: qc",
        "tool finished: qc, 1.0 s (1 of 2 done)",
        "tool 2 of 2 is done already, taken from the cache: qc_2",
    ]
    assert log.failed is None
    assert log.runs["qc_2"].cached


def test_more_tools_than_counted_raise_the_count() -> None:
    log = CwlLog(expected=1)
    assert feed(log, record("[job a] /t$ x"), record("[job b] /t$ x"))[1] == "tool 2 of 2 started: b"


def test_the_peak_memory_and_an_exceeded_time_limit_are_known() -> None:
    log = CwlLog(expected=1)
    feed(
        log,
        record("[job a] /t$ x"),
        record("[job a] exceeded time limit of 7 seconds and will be terminated", "WARNING"),
        record("[job a] Max memory used: 312MiB"),
    )
    assert (log.runs["a"].max_memory_mib, log.runs["a"].time_limit_s) == (312, 7)


def test_a_failed_tool_is_known_with_its_exit_code() -> None:
    log = CwlLog(expected=1)
    feed(
        log,
        record("[job a] /t$ sh -c x 2> /t/err.txt"),
        record("[job a] exited with status: 3", "WARNING"),
        record("[job a] completed permanentFail", "WARNING"),
    )
    assert log.failed is not None
    assert (log.failed.name, log.failed.exit_code, log.failed.stderr_file) == ("a", 3, "/t/err.txt")


def test_last_words_without_a_line_break_hide_no_record() -> None:
    ended = record("[job a] exited with status: 3", "WARNING")
    assert split(f"oh no{ended}") == ["oh no", ended]
    assert split(ended) == [ended]
    assert split("") == [""]
    assert split("binary \x1e junk") == ["binary \x1e junk"]


def test_a_killed_tool_is_known_with_its_signal() -> None:
    log = CwlLog(expected=1)
    feed(log, record("[job a] /t$ x"), record("[job a] was terminated by signal: SIGKILL", "WARNING"))
    assert log.runs["a"].signal == "SIGKILL"


def test_a_program_that_is_not_there_is_known() -> None:
    log = CwlLog(expected=1)
    feed(log, record("[job a] /t$ x"), record("'samtools' not found: [Errno 2] No such file", "ERROR"))
    assert log.missing_program == "samtools"


def test_what_tools_write_can_t_pass_for_a_record() -> None:
    log = CwlLog(expected=1)
    assert feed(log, "[job a] exited with status: 3") == ["  | [job a] exited with status: 3"]
    assert log.runs == {}


def test_only_the_last_lines_are_kept() -> None:
    log = CwlLog(expected=1)
    feed(log, *(f"line {number}" for number in range(1000)), "x" * 100_000)
    assert len(log.tail) == TAIL_LINES
    assert len(log.tail[-1]) == 4000


def test_the_log_file_gets_records_without_their_marks() -> None:
    assert readable(record("one\ntwo")) == "INFO one\ntwo"
    assert readable("plain") == "plain"
