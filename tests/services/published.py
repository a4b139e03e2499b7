"""lando-messaging 2.1.0 as it was published, with the versions that it asks for, as processes beside ours."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest
from tests.services import published_peer
from tests.services.providing import end_group, missing, start_group
from tests.services.rabbitmq import RabbitMQ

HOW_TO_GET_IT = "make published, or name a folder that holds it by LANDO_TEST_PUBLISHED"


@dataclass(frozen=True)
class Published:
    """Starts the package's own classes on a broker."""

    folder: Path
    broker: RabbitMQ

    def send(self, queue: str, *calls: Sequence[Any]) -> None:
        """Call methods of its ``LandoClient`` for ``queue``, each given with its arguments."""
        self._run("send", queue, "".join(json.dumps(call) + "\n" for call in calls))

    def notify(self, exchange: str, *bodies: str) -> None:
        """Send notices by its ``WorkProgressQueue``."""
        self._run("notify", exchange, "".join(body + "\n" for body in bodies))

    @contextlib.contextmanager
    def router(self, queue: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The calls that its router of a cluster's lando makes, as they come; it runs until the end of the block."""
        process = start_group(self._command("receive", queue), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        try:
            yield map(json.loads, process.stdout)
        finally:
            end_group(process)
            process.stdout.close()

    def _run(self, doing: str, name: str, lines: str) -> None:
        done = subprocess.run(
            self._command(doing, name), input=lines, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr

    def _command(self, doing: str, name: str) -> list[str]:
        broker = pika.URLParameters(self.broker.url)
        where = [broker.host, str(broker.port), broker.credentials.username, broker.credentials.password]
        return [sys.executable, "-I", "-S", published_peer.__file__, str(self.folder), *where, doing, name]


def published_folder() -> Path:
    """Where the published packages are, if they are."""
    return Path(os.environ.get("LANDO_TEST_PUBLISHED") or Path(sys.prefix) / "published")


@pytest.fixture(scope="session")
def published(rabbitmq: RabbitMQ) -> Published:
    """The published package on this session's broker."""
    folder = published_folder()
    if not (folder / "lando_messaging").is_dir():
        missing("lando-messaging", HOW_TO_GET_IT)
    return Published(folder, rabbitmq)
