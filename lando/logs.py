"""Logging of every process of Lando: one line per record, for people (console) or programs (JSON), secrets masked.

What a line is about (run, step, attempt, message, request) is said once, by :func:`about`, around the work; every line
logged inside carries it, those of libraries too.

Secrets are masked (:mod:`lando.masking`) in the finished line, so that this also covers what libraries log and what a
traceback shows. What ends a thread unforeseen is a line as well.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO, TypeVar

from lando.masking import Masker

FILE_BYTES = 10 * 1024 * 1024
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""Attributes of every record (and one that uvicorn adds); all others are context given by ``extra``."""
_ABOUT: ContextVar[Mapping[str, Any]] = ContextVar("lando_log_context")
_Result = TypeVar("_Result")


@contextmanager
def about(**context: Any) -> Iterator[None]:
    """Lines logged inside, by whomever, carry ``context``; None says nothing. Inner values go before outer ones."""
    token = _ABOUT.set({**_ABOUT.get({}), **{key: value for key, value in context.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class Pool(ThreadPoolExecutor):
    """A pool whose tasks log with the context of whoever asked for them."""

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """As of :class:`~concurrent.futures.ThreadPoolExecutor`."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


_masker = Masker()
"""Of the latest :func:`configure`."""


class ConsoleFormatter(logging.Formatter):
    """``2026-03-04 15:06:07.123Z INFO lando.k8s: text [run_id=42]``; a traceback follows on lines of its own."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def format(self, record: logging.LogRecord) -> str:
        context = " ".join(f"{key}={value}" for key, value in _context(record).items())
        line = f"{_time(record, ' ')} {record.levelname} {record.name}: {record.getMessage()}"
        parts = [f"{line} [{context}]" if context else line]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        return self._masker.mask("\n".join(parts))


class JsonFormatter(logging.Formatter):
    """One JSON object on one line per record: time, level, logger, message, context, and exception if there is one."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record, "T"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._masker.mask(record.getMessage()),
        }
        entry.update({key: self._safe(value) for key, value in _context(record).items()})
        if record.exc_info:
            entry["exception"] = self._masker.mask(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)

    def _safe(self, value: Any) -> Any:
        return value if isinstance(value, bool | int | float | None) else self._masker.mask(str(value))


def configure(
    *,
    level: str | int = "WARNING",
    log_format: str = "console",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    file: Path | None = None,
) -> None:
    """Log everything of ``level`` and above to ``stream`` (standard output unless given), replacing earlier set-ups.

    With ``file`` it goes there instead; a file of more than ``FILE_BYTES`` becomes ``<file>.1``, the one before goes.

    Unless ``level`` is DEBUG or lower, libraries that are chatty at INFO (urllib3, uvicorn, alembic) are kept at
    WARNING, urllib3's pool at ERROR, and pika at CRITICAL.
    """
    global _masker
    masker = _masker = Masker(secrets)
    handler: logging.Handler
    if file is not None:
        handler = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=1, encoding="utf-8", errors="replace")
    else:
        handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(masker) if log_format == "json" else ConsoleFormatter(masker))
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, RotatingFileHandler):
            former.close()
    root.handlers[:] = [handler]
    root.setLevel(level_number(level))
    logging.captureWarnings(True)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _on_thread_ended
    for name in ("urllib3", "uvicorn", "alembic", "kubernetes", "fsspec"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level) if root.level > logging.DEBUG else root.level)
    # The first logs each refused connection as an error with a traceback, and raises it as well, to be told by us; the
    # second warns of each connection beyond those that are kept warm, and of each retry.
    for name, level_kept in (("pika", logging.CRITICAL), ("urllib3.connectionpool", logging.ERROR)):
        logging.getLogger(name).setLevel(level_kept if root.level > logging.DEBUG else root.level)


def mask_also(secret: str) -> None:
    """Mask a secret that became known after :func:`configure`."""
    _masker.add([secret])


def level_number(level: str | int) -> int:
    """The number of a level given by name (any case), number or number as text."""
    if isinstance(level, int):
        return level
    return int(level) if level.isdigit() else logging.getLevelNamesMapping()[level.upper()]


def plain(value: object) -> str:
    """Foreign words on one line, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value or ""))


def _context(record: logging.LogRecord) -> dict[str, Any]:
    return {**_ABOUT.get({}), **{key: value for key, value in vars(record).items() if key not in _STANDARD}}


def _on_thread_ended(arguments: threading.ExceptHookArgs) -> None:
    """Instead of a bare traceback, unmasked, on standard error."""
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        thread = arguments.thread.name if arguments.thread else "unknown"
        logging.getLogger(__name__).error(
            "The thread %s ended: %r",
            thread,
            arguments.exc_value,
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
        )


def _time(record: logging.LogRecord, separator: str) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(sep=separator, timespec="milliseconds").replace("+00:00", "Z")
