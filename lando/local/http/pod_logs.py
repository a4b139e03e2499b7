"""The ``log`` subresource of pods: from the kubelet's blocking iterator to an asynchronous stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor

from lando.local.http.exchange import Answer, Streaming
from lando.local.http.log_source import LogSource
from lando.local.http.options import LogOptions, Query
from lando.local.rules import status
from lando.local.rules.pod_spec import containers_of
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

MAX_READERS = 64
"""Logs read at once; each takes a thread while it waits for the next piece."""


class PodLogs:
    """Answers requests for logs from the source that the kubelet registers."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="pod-log")
        self._readers = 0
        self._closing = threading.Event()
        self.source: LogSource | None = None
        """Where logs come from; None while there is no kubelet."""

    def close(self) -> None:
        """End what is being followed."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, namespace: str, name: str, query: Query) -> Answer | Streaming:
        """The log of one container of the pod. Raises ApiError 400, 404, 422, 429 and 503."""
        pod = self._store.get("pods", namespace, name)
        options = LogOptions.read(query, name)
        container = _container(pod, options.container)
        if not pod["spec"].get("nodeName"):
            return Answer(204, b"")
        _check_started(pod, container)
        if self.source is None:
            raise status.internal("no kubelet is there to read logs from")
        if self._readers >= MAX_READERS:
            raise status.too_many_requests("too many logs are being read at once")
        pieces = self.source.read(
            namespace,
            name,
            container,
            follow=options.follow,
            previous=options.previous,
            tail_lines=options.tail_lines,
            limit_bytes=options.limit_bytes,
            since_time=options.since_time,
            timestamps=options.timestamps,
        )
        # The first piece is read here, so that an error still becomes an error's answer.
        self._readers += 1
        try:
            first = await self._next(pieces)
        except BaseException:
            self._readers -= 1
            raise
        return Streaming(self._stream(first, pieces), "text/plain")

    async def _stream(self, piece: bytes | None, pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
        try:
            while piece is not None and not self._closing.is_set():
                if piece:
                    yield piece
                try:
                    piece = await self._next(pieces)
                except ApiError:
                    if not self._closing.is_set():
                        raise
                    return
        finally:
            self._readers -= 1

    async def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        """The next piece, None at the end; when the request is given up meanwhile, the iterator is closed after it."""
        try:
            future = self._threads.submit(next, pieces, None)
        except RuntimeError:  # closed meanwhile
            raise status.stopping() from None
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda _: _close(pieces))
            task = asyncio.current_task()
            if self._closing.is_set() and task is not None and not task.cancelling():
                raise status.stopping() from None  # it was not the request that was given up
            raise


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def _container(pod: Manifest, asked: str) -> str:
    """The container whose log is meant: the only one, unless named."""
    name = pod["metadata"]["name"]
    containers = [container["name"] for container in pod["spec"]["containers"]]
    all_names = [container["name"] for container in containers_of(pod["spec"])]
    if asked:
        if asked not in all_names:
            raise status.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if annotated in containers:
        return str(annotated)
    if len(containers) > 1:
        listed = " ".join(all_names)
        raise status.bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(containers[0])


def _check_started(pod: Manifest, container: str) -> None:
    state = pod.get("status") or {}
    for entry in [*(state.get("initContainerStatuses") or []), *(state.get("containerStatuses") or [])]:
        waiting = (entry.get("state") or {}).get("waiting")
        if entry["name"] == container and waiting is not None and not (entry.get("lastState") or {}).get("terminated"):
            raise status.bad_request(
                f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: '
                f"{waiting.get('message') or waiting.get('reason') or 'ContainerCreating'}"
            )
