"""The official client's objects, made for one call each from the process-wide default configuration.

So a configuration that is loaded later takes effect. Every request has a time-out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class _Manifest(client.V1Job):
    """A manifest that is sent as it is.

    Recent releases of the client hold a dictionary against their own types, which refuse fields of a newer Kubernetes
    and whole numbers as quantities (``cpu: 1``). What is a valid Job is the cluster's to say.
    """

    _document: Any = None

    def to_dict(self, serialize: bool = False) -> dict[str, Any]:
        return dict(self._document)


def body_of(job: Any) -> Any:
    """What to give to the client for a V1Job or a dictionary."""
    if not isinstance(job, Mapping) or not hasattr(client.V1Job, "model_construct"):
        return job
    manifest = _Manifest.model_construct()
    manifest._document = job
    return manifest


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
