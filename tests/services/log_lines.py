"""What a process logs, as documents: the fixture ``log_lines``."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lando import logs

LogLines = Callable[[], list[dict[str, Any]]]
"""The lines logged so far."""


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(level="DEBUG", log_format="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
