"""The logs of a Job's containers, whatever state each of them is in."""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from contextlib import ExitStack
from typing import Any

import urllib3
from kubernetes.client.exceptions import ApiException

from lando.definitions.connection import TIMEOUTS_S, Connection
from lando.definitions.kubernetes_errors import is_kubernetes_not_found_exception, message_of
from lando.errors import PeerError
from lando.k8s.cluster_streams import Lines

logger = logging.getLogger(__name__)

NOT_STARTED = "ContainerCreating"
FOLLOW_SILENCE_S = 3600.0  # a program may say nothing for long
_WAITING = re.compile(r"is waiting to start: (?P<reason>\w+)")
_CHUNK = 64 * 1024  # bytes
_NEAR = 0.99  # of the limit: what was cut may have ended within a line


class NotStarted(Exception):
    """A container has no log yet; the text is why."""


def containers_of(pod: Any) -> list[str]:
    """The names of a V1Pod's containers, those that set it up first."""
    return [container.name for container in [*(pod.spec.init_containers or []), *pod.spec.containers]]


def statuses_of(pod: Any) -> list[Any]:
    """What the cluster tells of these containers, as far as it knows any."""
    status = pod.status
    return [*(status.init_container_statuses or []), *(status.container_statuses or [])] if status else []


def terminations_of(pod: Any) -> dict[str, str]:
    """The termination messages of the pod's containers that have ended and left one."""
    ended = {entry.name: entry.state.terminated for entry in statuses_of(pod) if entry.state and entry.state.terminated}
    return {name: state.message for name, state in ended.items() if state.message}


def lines(
    core: Any, pod: Any, container: str, *, limit: int | None, limit_bytes: int, last_bytes: int | None = None
) -> list[str] | None:
    """The last ``limit`` lines; why there are none of a container that has not started; None when the pod is gone.

    A cluster gives the first ``limit_bytes`` of these lines; of what it gives only the ``last_bytes`` are held.
    """
    asked: dict[str, Any] = {"container": container, "limit_bytes": limit_bytes}
    if limit is not None:
        asked["tail_lines"] = limit
    name = pod.metadata.name
    try:
        answer = core.read_namespaced_pod_log(
            name=name, namespace=pod.metadata.namespace, _preload_content=False, **asked
        )
    except ApiException as error:
        if is_kubernetes_not_found_exception(error):
            return None
        if error.status == 400:
            return [_waiting_reason(pod, container, message_of(error))]
        raise
    told, size = _split(_response(answer), last_bytes)
    if size >= limit_bytes * _NEAR:
        logger.warning("The log of container %s of pod %s is cut at %d bytes", container, name, limit_bytes)
    return told


def _split(response: urllib3.BaseHTTPResponse, last_bytes: int | None) -> tuple[list[str], int]:
    """The lines of the log as its bytes tell them, of the last ``last_bytes``, and how many bytes came; a large log is
    never there twice.

    A client that reads the answer as JSON makes Python text of a log that is JSON.
    """
    most = math.inf if last_bytes is None else last_bytes
    told: deque[tuple[str, int]] = deque()
    size, held, rest = 0, 0, bytearray()
    for chunk in response.stream(_CHUNK):
        size += len(chunk)
        first, *others = chunk.split(b"\n")
        rest += first
        for part in others:
            told.append((rest.decode("utf-8", errors="replace"), len(rest) + 1))
            held += len(rest) + 1
            rest = bytearray(part)
        if last_bytes is not None and len(rest) > last_bytes:
            del rest[:-last_bytes]
        while told and held + len(rest) > most:
            held -= told.popleft()[1]
    return [*(text for text, _ in told), rest.decode("utf-8", errors="replace")], size


def _response(answer: Any) -> Any:
    """The answer of urllib3, which some releases of the client wrap."""
    return getattr(answer, "response", answer)


class Following:
    """The log of one container from its beginning, line by line as it is written, until the container ends.

    Read by one thread, and closed by any. Raises NotStarted when there is no log yet. With ``timestamps`` each line
    begins with the time when it was written.
    """

    def __init__(self, connection: Connection, pod: Any, container: str, *, timestamps: bool = False) -> None:
        with ExitStack() as opened:
            core = opened.enter_context(connection.core())
            try:
                answer = core.read_namespaced_pod_log(
                    name=pod.metadata.name,
                    namespace=pod.metadata.namespace,
                    container=container,
                    follow=True,
                    timestamps=timestamps,
                    _preload_content=False,
                    _request_timeout=(TIMEOUTS_S[0], FOLLOW_SILENCE_S),
                )
            except ApiException as error:
                if error.status == 400:
                    raise NotStarted(_waiting_reason(pod, container, message_of(error))) from error
                raise
            self._lines = Lines(_response(answer), f"the log of {container} of {pod.metadata.name}")
            opened.callback(self._lines.close)
            self._opened = opened.pop_all()

    def read(self) -> bytes:
        """The next line; nothing at the end."""
        try:
            line = self.next_line()
        except PeerError as error:
            logger.warning("%s", error)
            line = None
        return b"" if line is None else line + b"\n"

    def next_line(self) -> bytes | None:
        """Without its end; None at the end of the log. Raises PeerError where that broke off."""
        return next(self._lines, None)

    def close(self) -> None:
        self._opened.close()


def _waiting_reason(pod: Any, container: str, said: str) -> str:
    """Why the container has no log yet, as its pod's status or else the cluster's refusal tells."""
    for entry in statuses_of(pod):
        if entry.name == container and entry.state and entry.state.waiting and entry.state.waiting.reason:
            return str(entry.state.waiting.reason)
    found = _WAITING.search(said)
    return found["reason"] if found else NOT_STARTED
