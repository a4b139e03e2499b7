"""What a process logs, as documents: the fixture ``log_lines``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from lando import logs

LogLines = Callable[[], list[dict[str, Any]]]
"""The lines logged so far."""


@pytest.fixture
def log_lines(logging_as_before: None) -> LogLines:
    stream = io.StringIO()
    logs.configure(level="DEBUG", log_format="json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
