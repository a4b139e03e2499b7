"""Copies of what was ever in the daemons' queue, so that it can be said again: by the broker's own tracing."""

from __future__ import annotations

import contextlib
import subprocess
import threading

import pika
import pika.exceptions
from tests.services.rabbitmq import LocalServer

QUEUE = "lando"
OWN = "said-again"
"""A header of messages that are copies themselves."""
KEPT = 2000
RETRY_S = 0.5


class Recorder:
    """Listens to the broker in a thread of its own, as often as the broker comes back."""

    def __init__(self, broker: LocalServer) -> None:
        self._broker = broker
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._bodies: list[bytes] = []
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def messages(self) -> list[bytes]:
        """The newest bodies, oldest first."""
        with self._lock:
            return list(self._bodies)

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(RETRY_S):
            with contextlib.suppress(pika.exceptions.AMQPError, OSError, subprocess.SubprocessError):
                self._listen()

    def _listen(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._broker.url())) as connection:
            self._broker.control("trace_on")  # forgotten whenever the broker ends
            channel = connection.channel()
            mine = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(mine, "amq.rabbitmq.trace", "publish.#")
            for method, properties, body in channel.consume(mine, auto_ack=True, inactivity_timeout=RETRY_S):
                if self._stop.is_set():
                    return
                if method is not None:
                    self._note(properties.headers, body)

    def _note(self, told: dict[str, object], body: bytes) -> None:
        properties = told.get("properties")
        headers = properties.get("headers") if isinstance(properties, dict) else None
        if told.get("routing_keys") == [QUEUE] and not (isinstance(headers, dict) and OWN in headers):
            with self._lock:
                self._bodies = [*self._bodies[-KEPT:], body]
