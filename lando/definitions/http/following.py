"""What all containers of all pods of a Job write, as they write it, until the Job has ended and all is told."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from queue import Empty, Full, Queue
from typing import Any

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from lando.definitions import documents, pod_logs
from lando.definitions.exceptions import NotFoundException
from lando.definitions.gathering import LINES
from lando.definitions.kubernetes_errors import is_kubernetes_not_found_exception, message_of
from lando.definitions.manager import JobManager
from lando.definitions.spec import V1Job
from lando.errors import PeerError
from lando.log_places import LogPlace

logger = logging.getLogger(__name__)

LOOK_S = (0.3, 5.0)
"""Between two looks at the Job's pods: after something has begun or ended, and the longest."""
CAUSE_S = 5.0
"""Between two looks at what a Job waits for, of which nothing runs."""
KEEP_ALIVE_S = 15.0
"""Silence after which there is an empty line: proxies commonly end what is silent for 30 s."""
CONTAINERS = 20
"""Of one Job, that are read at a time; the others have their turn when one of these has ended."""
ALL_CONTAINERS = 200
"""Of all Jobs that are followed."""
TRIES = 3
"""To read the log of a container of a Job that has ended."""
_ENTRIES = 256
_PIECE = 64 * 1024
_PUT_S = 1.0
_TIMED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?(.*)", re.DOTALL)

_places = threading.BoundedSemaphore(ALL_CONTAINERS)

Source = tuple[str, str, int]
"""Pod, container, and how often that was started again."""


class _Closed(Exception):
    """Nobody reads any more."""


class JobFollowing:
    """Lines of JSON, read by one thread and closed by any.

    ``{"pod": …, "containers": […]}`` when a pod is there, ``{"pod": …, "container": …, "time": …, "line": …}`` for each
    line, with ``restarts`` where the container was started again, ``{"waits": sentence}`` while nothing runs,
    ``{"pod": …, "container": …, "lost": sentence}`` of a log that can't be had, and at the end ``{"state": …}``: null
    of a Job that is no more.
    """

    def __init__(
        self, manager: JobManager, job: V1Job, *, pod: str | None = None, container: str | None = None
    ) -> None:
        self._manager = manager
        self._name, self._uid = job.metadata.name, job.metadata.uid
        self._pod, self._container = pod, container
        self._entries: Queue[bytes | None] = Queue(_ENTRIES)
        self._is_read = False
        self._closed, self._woken = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._open: dict[Source, pod_logs.Following] = {}
        self._ended: dict[Source, int] = {}
        self._told: set[Source] = set()
        self._places: dict[Source, LogPlace] = {}
        self._failures: dict[Source, tuple[int, str]] = {}
        self._pods: set[str] = set()
        self._looks = 0
        self._waits, self._cause_due = "", 0.0
        threading.Thread(target=self._run, name=f"following-{self._name}", daemon=True).start()

    def read(self) -> bytes:
        """The next lines, an empty one when there was nothing for long; nothing at the end."""
        piece = bytearray()
        if self._closed.is_set():
            return b""
        try:
            while not self._is_read and len(piece) < _PIECE:
                entry = self._entries.get_nowait() if piece else self._entries.get(timeout=KEEP_ALIVE_S)
                self._is_read = entry is None
                piece += entry or b""
        except Empty:
            return bytes(piece) or b"\n"
        return bytes(piece)

    def close(self) -> None:
        self._closed.set()
        self._woken.set()
        with contextlib.suppress(Full):  # for a reader that waits
            self._entries.put_nowait(None)
        with self._lock:
            following = list(self._open.values())
        for one in following:
            one.close()

    def _run(self) -> None:
        pause = LOOK_S[0]
        try:
            while not self._closed.is_set():
                self._woken.clear()
                begun = len(self._places)
                try:
                    if self._look():
                        break
                except (urllib3.exceptions.HTTPError, OSError, PeerError) as error:
                    logger.warning("Following the Job %s: %s", self._name, error)
                except ApiException as error:
                    logger.warning("Following the Job %s: %s", self._name, message_of(error))
                    if error.status in (401, 403):
                        break
                is_news = self._woken.wait(pause) or len(self._places) != begun
                pause = LOOK_S[0] if is_news else min(pause * 1.5, LOOK_S[1])
        except _Closed:
            pass
        finally:
            self._put_end()

    def _look(self) -> bool:
        """Begin with what has started since the last look; whether all is told."""
        self._looks += 1
        try:
            job = self._manager.read_job(self._name)
        except NotFoundException:
            return self._rest(None)
        if documents.is_kept(job):
            self._tell_kept(job)
            return self._rest(job)
        is_over = self._manager.job_is_finished(job)
        is_all = True
        for pod in self._pods_now():
            name = pod.metadata.name
            containers = [one for one in pod_logs.containers_of(pod) if self._container in (None, one)]
            self._announce(name, containers)
            for container in containers:
                restarts, is_started, has_ended = _state(pod, container)
                source = (name, container, restarts)
                if is_started and not self._is_told(source, has_ended=has_ended):
                    is_all = self._is_begun(pod, source, is_over=is_over) and is_all
        if is_over:
            if not self._pods:  # they went before their Job
                self._tell_kept(job)
            return is_all and self._rest(job)
        self._tell_wait(job)
        return False

    def _pods_now(self) -> list[Any]:
        with self._manager.connection.core() as core:
            pods = self._manager.pods_of(core, self._name, self._uid)
        chosen = [pod for pod in pods if self._is_chosen(pod.metadata.name)]
        return sorted(chosen, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name))

    def _is_chosen(self, pod: str) -> bool:
        return self._pod in (None, pod, pod.removeprefix(f"{self._name}-"))

    def _is_told(self, source: Source, *, has_ended: bool) -> bool:
        """Whether there is nothing to begin: it is read, or was to its end, which the cluster said after that."""
        with self._lock:
            if source in self._open:
                return True
            ended = self._ended.get(source)
        if ended is not None and ended < self._looks and has_ended:
            self._told.add(source)
        return source in self._told

    def _is_begun(self, pod: Any, source: Source, *, is_over: bool) -> bool:
        """Read it, where there is a place; False if it has to be tried again."""
        with self._lock:
            if len(self._open) >= CONTAINERS or self._ended.get(source) == self._looks:
                return False
        count, why = self._failures.get(source, (0, ""))
        if is_over and count >= TRIES:
            self._put_lost(source, why)
            self._told.add(source)
            return True
        if not _places.acquire(blocking=False):
            return False
        try:
            following = pod_logs.Following(self._manager.connection, pod, source[1], timestamps=True)
        except BaseException as error:
            _places.release()
            if isinstance(error, pod_logs.NotStarted):
                return is_over
            if isinstance(error, ApiException):
                if is_kubernetes_not_found_exception(error):  # with its pod
                    self._told.add(source)
                    return True
                self._fail(source, message_of(error))
                return False
            raise
        self._places.setdefault(source, LogPlace())
        with self._lock:
            self._open[source] = following
        if self._closed.is_set():
            following.close()
        threading.Thread(
            target=self._copy, args=(source, following), name=f"following-{source[0]}-{source[1]}", daemon=True
        ).start()
        return True

    def _fail(self, source: Source, why: str) -> None:
        count, _ = self._failures.get(source, (0, ""))
        self._failures[source] = (count + 1, why)
        logger.warning("The log of %s of %s: %s", source[1], source[0], why)

    def _copy(self, source: Source, following: pod_logs.Following) -> None:
        place = self._places[source]
        place.begin()
        is_whole = False
        try:
            while (line := following.next_line()) is not None:
                moment, text = _timed(line)
                if place.is_new(moment):
                    self._put_line(source, moment, text.decode("utf-8", errors="replace"))
            is_whole = True
        except PeerError as error:
            self._fail(source, str(error))
        except ValueError as error:  # a line without an end, which it will have the next time, too
            self._told.add(source)
            with contextlib.suppress(_Closed):
                self._put_lost(source, str(error))
        except _Closed:
            pass
        finally:
            following.close()
            _places.release()
            with self._lock:
                del self._open[source]
                if is_whole:
                    self._ended[source] = self._looks
            self._woken.set()

    def _rest(self, job: V1Job | None) -> bool:
        """Whether nothing is read any more; then that is said."""
        with self._lock:
            if self._open:
                return False
        self._put({"state": None if job is None else self._manager.job_status(job).value})
        return True

    def _announce(self, pod: str, containers: list[str]) -> None:
        if pod not in self._pods:
            self._pods.add(pod)
            self._put({"pod": pod, "containers": containers})

    def _tell_kept(self, job: V1Job) -> None:
        """What is kept of pods that are gone, except of those that were told of."""
        for pod, logs in self._manager.job_logs(job, LINES).items():
            if not self._is_chosen(pod) or pod in self._pods:
                continue
            texts = {name: lines for name, lines in logs.items() if self._container in (None, name)}
            self._announce(pod, list(texts))
            for container, lines in texts.items():
                for line in lines[:-1] if lines[-1:] == [""] else lines:
                    self._put_line((pod, container, 0), None, line)

    def _tell_wait(self, job: V1Job) -> None:
        """What keeps it from going on, when that is new."""
        with self._lock:
            if self._open:
                return
        if time.monotonic() < self._cause_due:
            return
        self._cause_due = time.monotonic() + CAUSE_S
        cause = self._manager.job_cause(job)
        if cause is not None and cause.sentence != self._waits:
            self._waits = cause.sentence
            self._put({"waits": cause.sentence})

    def _put_line(self, source: Source, moment: str | None, line: str) -> None:
        again = {"restarts": source[2]} if source[2] else {}
        self._put({"pod": source[0], "container": source[1], **again, "time": moment, "line": line})

    def _put_lost(self, source: Source, why: str) -> None:
        self._put({"pod": source[0], "container": source[1], "lost": why})

    def _put(self, entry: Mapping[str, Any]) -> None:
        data = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        while not self._closed.is_set():
            try:
                self._entries.put(data, timeout=_PUT_S)
                return
            except Full:
                continue
        raise _Closed

    def _put_end(self) -> None:
        while not self._closed.is_set():
            try:
                self._entries.put(None, timeout=_PUT_S)
                return
            except Full:
                continue


def _state(pod: Any, container: str) -> tuple[int, bool, bool]:
    """How often the container was started again, whether it has a log, and whether that will not grow."""
    for entry in pod_logs.statuses_of(pod):
        if entry.name == container:
            is_running = bool(entry.state and entry.state.running)
            ends = [one for one in (entry.state, entry.last_state) if one and one.terminated]
            return entry.restart_count or 0, is_running or bool(ends), bool(ends) and not is_running
    return 0, False, False


def _timed(line: bytes) -> tuple[str | None, bytes]:
    """The time before the line, and the line; a cluster that does not tell times gives the line alone."""
    found = _TIMED.fullmatch(line)
    return (found[1].decode(), found[2]) if found else (None, line)
