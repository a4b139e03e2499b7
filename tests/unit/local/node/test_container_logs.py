"""Logs on disk: what was written is read again, in the ways that clients ask for it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lando.local.node.container_logs import PIECE_LIMIT, LogWriter, put_aside, read_log

START = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.now = START - timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


def write(path: Path, *pieces: bytes, limit: int = 1 << 20) -> None:
    writer = LogWriter(path, limit=limit, clock=Clock())
    for piece in pieces:
        writer.write(piece)
    writer.close()


def text(pieces: Iterator[bytes]) -> bytes:
    return b"".join(pieces)


def test_what_was_written_is_read_again(path: Path) -> None:
    content = b"one\ntwo\n\nlast without an end"
    write(path, content[:6], content[6:])
    assert text(read_log(path)) == content


def test_lines_longer_than_a_piece_are_put_together_again(path: Path) -> None:
    long = b"x" * (3 * PIECE_LIMIT + 5)
    write(path, long[:100], long[100:] + b"\nshort\n", b"y" * (2 * PIECE_LIMIT))
    assert text(read_log(path)) == long + b"\nshort\n" + b"y" * (2 * PIECE_LIMIT)


@pytest.mark.parametrize(("count", "expected"), [(0, b""), (1, b"3\n"), (2, b"2\n3\n"), (9, b"1\n2\n3\n")])
def test_the_tail_counts_lines(path: Path, count: int, expected: bytes) -> None:
    write(path, b"1\n2\n3\n")
    assert text(read_log(path, tail_lines=count)) == expected


def test_the_tail_counts_a_long_line_once(path: Path) -> None:
    long = b"x" * (2 * PIECE_LIMIT + 1) + b"\n"
    write(path, b"first\n" + long + b"last\n")
    assert text(read_log(path, tail_lines=2)) == long + b"last\n"


def test_the_limit_cuts_bytes(path: Path) -> None:
    write(path, b"12345\n67890\n")
    assert text(read_log(path, limit_bytes=8)) == b"12345\n67"
    assert text(read_log(path, limit_bytes=0)) == b""


def test_times_stand_before_each_line_when_asked_for(path: Path) -> None:
    write(path, b"one\n", b"two\n")
    assert text(read_log(path, timestamps=True)) == (
        b"2026-03-04T05:06:07.890000Z one\n2026-03-04T05:06:08.890000Z two\n"
    )


def test_a_time_begins_the_log_there(path: Path) -> None:
    write(path, b"one\n", b"two\n", b"three\n")
    assert text(read_log(path, since_time=START + timedelta(seconds=1))) == b"two\nthree\n"


def test_a_log_at_its_limit_goes_on_in_a_new_file_and_says_so(path: Path) -> None:
    write(path, b"a" * 60 + b"\n", b"b" * 60 + b"\n", b"c" * 60 + b"\n", limit=200)
    assert put_aside(path).exists()
    assert path.stat().st_size <= 200
    read = text(read_log(path))
    assert read.startswith(b"a" * 60 + b"\n")
    assert b"the log reached 200 bytes" in read
    assert read.endswith(b"c" * 60 + b"\n")


def test_a_log_never_takes_more_than_twice_its_limit(path: Path) -> None:
    write(path, *[b"x" * 99 + b"\n"] * 200, limit=1000)
    assert path.stat().st_size + put_aside(path).stat().st_size <= 2000
    assert text(read_log(path)).endswith(b"x" * 99 + b"\n")


def test_an_absent_log_is_empty(path: Path) -> None:
    assert text(read_log(path)) == b""


def test_a_follower_gets_lines_as_they_come_and_ends_with_the_log(path: Path) -> None:
    writer = LogWriter(path, limit=400, clock=Clock())
    writer.write(b"before\n")
    pieces = read_log(path, writer, follow=True)
    assert next(pieces) == b"before\n"
    writer.write(b"now\n")
    assert next(pieces) == b"now\n"

    def go_on() -> None:
        for number in range(20):
            writer.write(b"line %d\n" % number)
        writer.close()

    thread = threading.Thread(target=go_on)
    thread.start()
    rest = text(pieces)
    thread.join()
    assert rest.endswith(b"line 19\n")


def test_a_follower_hears_of_silence(path: Path) -> None:
    writer = LogWriter(path)
    pieces = read_log(path, writer, follow=True)
    assert next(pieces) == b""
    assert next(pieces) == b""
    writer.close()
    assert text(pieces) == b""


def test_carriage_returns_end_no_line(path: Path) -> None:
    """As in progress bars; other characters that Python takes for line ends end none either."""
    writer = LogWriter(path)
    writer.write(b"10 %\r20 %\r100 %\x0b\x0c\ndone\n")
    writer.close()
    assert text(read_log(path)) == b"10 %\r20 %\r100 %\x0b\x0c\ndone\n"
    assert text(read_log(path, tail_lines=1)) == b"done\n"


def test_on_a_full_disk_log_is_lost_and_what_comes_later_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes half a line, then nothing, then all again."""
    room = [1000, 40, 0, 1000, 1000]
    writer = LogWriter(path)
    real = writer._file

    class Filling:
        def write(self, data: bytes) -> int:
            left = room.pop(0)
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real.write(data[:left]) or 0

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(writer, "_file", Filling())
    for word in (b"first", b"half of this", b"lost", b"back", b"last"):
        writer.write(word + b"\n")
    writer.close()
    lines = text(read_log(path)).splitlines()
    assert (lines[0], lines[-2:]) == (b"first", [b"back", b"last"])
    assert b"lost" not in lines


def test_a_log_that_cannot_be_put_aside_does_not_stop_its_container(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = LogWriter(path, limit=100)
    writer.write(b"x" * 90 + b"\n")
    with monkeypatch.context() as disk:
        disk.setattr(Path, "rename", full)
        writer.write(b"lost\n")
    writer.write(b"kept\n")
    writer.close()
    assert text(read_log(path)).endswith(b"kept\n")
