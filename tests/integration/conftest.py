"""A whole site of processes for one test, and a user of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack
from tests.services.user import User


@pytest.fixture
def stack(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str) -> Iterator[Stack]:
    """Every part as its own process, on the real broker."""
    with Stack(tmp_path, rabbitmq.url, queue_name) as running:
        running.start()
        yield running


@pytest.fixture
def user(stack: Stack) -> User:
    return User(stack)
