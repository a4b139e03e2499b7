"""Answers of a Kubernetes API that do not end: watches and followed logs.

Each is read by one thread and may be closed by another, who must not have to wait for the next line: closing shuts
the socket down, the reader sees the end of the stream and drops the connection.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any, Self

import urllib3

from lando.errors import Unavailable
from lando.k8s import cluster_errors

MAX_LINE = 16 * 1024 * 1024  # bytes of one watch event or log line; etcd refuses objects over 1.5 MiB


class Lines:
    """Lines of an open answer as they arrive; ``close`` from any thread ends it at once."""

    def __init__(self, response: urllib3.BaseHTTPResponse, what: str) -> None:
        self._response = response
        self._what = what
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._lines = self._split()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._reading:
            if self._closed.is_set():
                self._response.close()
                raise StopIteration
            try:
                return next(self._lines)
            except StopIteration:
                raise
            except (*cluster_errors.TRANSPORT_ERRORS, AttributeError) as error:
                # AttributeError: what the standard library makes of a TLS socket shut down under a reader.
                self._response.close()
                if self._closed.is_set():
                    raise StopIteration from None
                raise cluster_errors.from_exception(error, what=self._what) from error

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # what it says when it had ended already
            self._response.shutdown()  # wakes a reader, who then closes
        if self._reading.acquire(blocking=False):
            self._response.close()
            self._reading.release()

    def _split(self) -> Iterator[bytes]:
        rest = bytearray()
        while not self._closed.is_set():
            chunk = self._response.read1(64 * 1024)
            if not chunk:
                break
            first, *others = chunk.split(b"\n")  # of what came before is known that it has none
            rest += first
            for part in others:
                yield bytes(rest)
                rest = bytearray(part)
            if len(rest) > MAX_LINE:
                raise ValueError(f"a line of more than {MAX_LINE} bytes")
        self._response.close()
        if rest and not self._closed.is_set():
            yield bytes(rest)


class Events:
    """The events of a watch, one JSON object a line."""

    def __init__(self, lines: Lines, what: str) -> None:
        self._lines = lines
        self._what = what

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        line = next(self._lines)
        while not line.strip():
            line = next(self._lines)
        try:
            event = json.loads(line)
        except ValueError as error:
            self.close()
            raise Unavailable(cluster_errors.PEER, f"{self._what}: an event was cut short") from error
        if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
            self.close()
            raise Unavailable(cluster_errors.PEER, f"{self._what}: what came is no watch event")
        if event.get("type") == "ERROR":
            self.close()
            raise cluster_errors.from_status(event["object"], what=self._what)
        return event

    def close(self) -> None:
        self._lines.close()


class TextLines:
    """Lines of text, invalid bytes replaced."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        return next(self._lines).decode("utf-8", "replace")

    def close(self) -> None:
        self._lines.close()
