"""Logging of every process of Lando: one line per record, for people (console) or programs (JSON), secrets masked.

Masking works on the finished line, so that it also covers what libraries log and what a traceback shows: the secrets
that the configuration holds, and whatever looks like a credential (authorization headers, passwords in URLs,
signatures of file URLs).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

FILE_BYTES = 10 * 1024 * 1024
MASK = "****"
_SHORTEST_SECRET = 4  # characters; masking shorter ones would only tear ordinary words apart
_CREDENTIALS = (
    (re.compile(r"(?i)\b(bearer|token|jwt|basic) +(?=\S*\d)[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@"), rf"\1:{MASK}@"),
    (re.compile(r"(?i)\b(signature|x-amz-signature|x-goog-signature|access_token)=[^&\s\"']+"), rf"\1={MASK}"),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""Attributes of every record (and one that uvicorn adds); all others are context given by ``extra``."""


class Masker:
    """Replaces secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Replace these, too."""
        self._secrets |= {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        wanted = sorted(self._secrets, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(secret) for secret in wanted)) if wanted else None

    def mask(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _CREDENTIALS:
            text = pattern.sub(replacement, text)
        return text


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
    """One JSON object per record: time, level, logger, message, what ``extra`` gave, and exception if there is one."""

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

    Libraries that are chatty at INFO (pika, urllib3, uvicorn, alembic) are kept at WARNING unless ``level`` is
    DEBUG or lower.
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
    for name in ("pika", "urllib3", "uvicorn", "alembic", "kubernetes", "fsspec"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level) if root.level > logging.DEBUG else root.level)


def mask_also(secret: str) -> None:
    """Mask a secret that became known after :func:`configure`."""
    _masker.add([secret])


def level_number(level: str | int) -> int:
    """The number of a level given by name (any case), number or number as text."""
    if isinstance(level, int):
        return level
    return int(level) if level.isdigit() else logging.getLevelNamesMapping()[level.upper()]


def _context(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord, separator: str) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(sep=separator, timespec="milliseconds").replace("+00:00", "Z")
