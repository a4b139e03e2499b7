"""Logs of containers as files: each line with its time, bounded, readable while they grow.

A line on disk is ``<time> <F|P> <text>``: the time in UTC with microseconds, F for a full line, P for a piece of one
that goes on with the next. A file that reaches its limit becomes ``<name>.1`` and a new one begins with a mark, so
that a container never keeps more than twice the limit, and its newest output always.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader, BytesIO
from pathlib import Path

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes of one file, before it is put aside."""
PIECE_LIMIT = 16 * 1024
"""Bytes of one stored piece of a line."""
READ_SIZE = 64 * 1024
FOLLOW_SILENCE_S = 1.0
"""How long a follower waits before it yields nothing, so that its reader can stop."""
_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_STAMP_LENGTH = 27
_TEXT_AT = _STAMP_LENGTH + 3


class LogWriter:
    """Takes the bytes that a container writes. One thread writes, any may wait for more."""

    def __init__(
        self,
        path: Path,
        *,
        limit: int = LOG_LIMIT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = path
        self._limit = limit
        self._clock = clock
        self._rest = b""
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._torn = False
        self._changed = threading.Condition()
        self._written = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        """Store ``data``; an unfinished line waits for its end, up to 16 KiB."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        stamp = self._stamp()
        parts = [_stored(stamp, line) for line in lines]
        while len(self._rest) >= PIECE_LIMIT:
            parts.append(stamp + b" P " + self._rest[:PIECE_LIMIT] + b"\n")
            self._rest = self._rest[PIECE_LIMIT:]
        self._append(b"".join(parts))

    def close(self) -> None:
        """Store what is left of an unfinished line, and tell followers that nothing more comes."""
        with self._changed:
            if self.closed:
                return
        if self._rest:
            # Without the line's end, since the container wrote none.
            self._append(self._stamp() + b" P " + self._rest + b"\n")
            self._rest = b""
        self._file.close()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def wait_beyond(self, written: int, timeout_s: float) -> int:
        """The bytes written so far, as soon as there are more than ``written``, it is closed, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._written > written or self.closed, timeout_s)
            return self._written

    def _stamp(self) -> bytes:
        return self._clock().strftime(_STAMP).encode()

    def _append(self, data: bytes) -> None:
        if not data:
            return
        # A full disk loses log, never the container.
        with suppress(OSError):
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
            self._store(data)
        self._size += len(data)
        with self._changed:
            self._written += len(data)
            self._changed.notify_all()

    def _store(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        # What a full disk takes only part of is no whole line: the next one begins anew.
        self._torn = True
        self._torn = self._file.write(data) < len(data)

    def _rotate(self) -> None:
        with suppress(FileNotFoundError):  # put aside by a try that got no further
            self.path.rename(put_aside(self.path))
        fresh = self.path.open("ab", buffering=0)
        self._file.close()
        self._file, self._size, self._torn = fresh, 0, False
        mark = self._stamp() + f" F [the log reached {self._limit} bytes: earlier lines may be gone]\n".encode()
        self._store(mark)
        self._size = len(mark)


def _stored(stamp: bytes, line: bytes) -> bytes:
    if len(line) <= PIECE_LIMIT:
        return stamp + b" F " + line + b"\n"
    pieces = [line[at : at + PIECE_LIMIT] for at in range(0, len(line), PIECE_LIMIT)]
    last = pieces.pop()
    return b"".join(stamp + b" P " + piece + b"\n" for piece in pieces) + stamp + b" F " + last + b"\n"


def put_aside(path: Path) -> Path:
    """Where the older part of a log is."""
    return path.with_name(path.name + ".1")


def read_log(
    path: Path,
    writer: LogWriter | None = None,
    *,
    follow: bool = False,
    tail_lines: int | None = None,
    limit_bytes: int | None = None,
    since_time: datetime | None = None,
    timestamps: bool = False,
) -> Iterator[bytes]:
    """The log in pieces; the meaning of the options is that of :class:`lando.local.http.log_source.LogSource`.

    ``writer`` is what still writes it, if anything does. An unreadable file counts as empty.
    """
    since = since_time.astimezone(UTC).strftime(_STAMP).encode() if since_time is not None else b""
    show = _Shower(timestamps=timestamps, since=since)
    pieces = _pieces(path, writer, show, follow=follow, tail_lines=tail_lines)
    left = limit_bytes
    for piece in pieces:
        for at in range(0, max(len(piece), 1), READ_SIZE):
            part = piece[at : at + READ_SIZE]
            if left is not None:
                part = part[:left]
                left -= len(part)
            yield part
            if left == 0:
                return


def _pieces(
    path: Path, writer: LogWriter | None, show: _Shower, *, follow: bool, tail_lines: int | None
) -> Iterator[bytes]:
    """Beginning, then (``follow``) what comes; b"" while nothing does."""
    with _Tail(path) as tail:
        written = writer.wait_beyond(-1, 0) if writer is not None else 0
        lines = _older_lines(path) if tail_lines is None or tail_lines > 0 else []
        lines += tail.new_lines()
        if tail_lines is not None:
            lines = _last(lines, tail_lines)
        yield show(lines)
        while follow and writer is not None:
            ended = writer.closed
            written = writer.wait_beyond(written, FOLLOW_SILENCE_S)
            yield show(tail.new_lines())
            if ended:
                return


def _stored_lines(data: bytes) -> list[bytes]:
    """``data`` at its line feeds only: a carriage return, as in progress bars, ends no line."""
    return BytesIO(data).readlines()


def _older_lines(path: Path) -> list[bytes]:
    try:
        return _stored_lines(put_aside(path).read_bytes())
    except OSError:
        return []


def _last(lines: list[bytes], count: int) -> list[bytes]:
    """The stored pieces of the last ``count`` lines."""
    kept: deque[bytes] = deque()
    whole = 0
    for at in range(len(lines) - 1, -1, -1):
        begins = at == 0 or lines[at - 1][_STAMP_LENGTH + 1 : _STAMP_LENGTH + 2] == b"F"
        if whole == count:
            break
        kept.appendleft(lines[at])
        whole += begins
    return list(kept)


class _Tail:
    """Whole stored lines of a growing file, across its being put aside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None
        self._rest = b""

    def __enter__(self) -> _Tail:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def new_lines(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            if self._file is None:
                try:
                    self._file = self._path.open("rb")
                except OSError:
                    return found
            # Asked before reading: what was put aside by then has grown for the last time.
            replaced = self._replaced()
            lines = _stored_lines(self._rest + self._file.read())
            self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
            found += lines
            if not replaced:
                return found
            self._file.close()
            self._file, self._rest = None, b""

    def _replaced(self) -> bool:
        if self._file is None:
            return False
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            return False


class _Shower:
    """Stored lines as the reader wants them."""

    def __init__(self, *, timestamps: bool, since: bytes) -> None:
        self._timestamps = timestamps
        self._since = since
        self._begins = True

    def __call__(self, lines: list[bytes]) -> bytes:
        shown = []
        for line in lines:
            stamp = line[:_STAMP_LENGTH]
            if stamp < self._since:
                continue
            full = line[_STAMP_LENGTH + 1 : _STAMP_LENGTH + 2] == b"F"
            text = line[_TEXT_AT:] if full else line[_TEXT_AT:-1]
            shown.append(stamp + b" " + text if self._timestamps and self._begins else text)
            self._begins = full
        return b"".join(shown)
