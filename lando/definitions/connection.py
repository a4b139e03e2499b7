"""The official client's objects, made for one call each from the process-wide default configuration.

So a configuration that is loaded later takes effect. Every request has a time-out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

TIMEOUTS_S = (5.0, 60.0)
"""To connect, and to wait for each part of an answer."""


class _Client(client.ApiClient):
    def call_api(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("_request_timeout") is None:
            kwargs["_request_timeout"] = TIMEOUTS_S
        return super().call_api(*args, **kwargs)


@contextmanager
def batch() -> Iterator[Any]:
    """Jobs."""
    with _connected() as connected:
        yield client.BatchV1Api(connected)


@contextmanager
def core() -> Iterator[Any]:
    """Pods, their logs, ConfigMaps and events."""
    with _connected() as connected:
        yield client.CoreV1Api(connected)


@contextmanager
def _connected() -> Iterator[_Client]:
    with _Client() as connected:
        try:
            yield connected
        finally:
            connected.rest_client.pool_manager.clear()
