"""Requests that take as long as a Job does: each has a place and a thread that nobody else could use, and ends in time
when the server stops."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from anyio import CapacityLimiter, create_task_group, sleep, to_thread
from fastapi import Depends, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from lando.definitions import documents, pod_logs
from lando.definitions.http.answers import Refusal
from lando.definitions.http.described import JobName
from lando.definitions.http.following import JobFollowing
from lando.definitions.http.sharing import Places
from lando.definitions.manager import JobManager

FOLLOWERS = 50
"""Of logs, at a time."""
FOLLOWED_EACH = 8
"""By one user, who so can't take all that are read of containers, either."""
WAITERS = 100
"""Requests that wait for the end of a Job, at a time; others are answered at once."""
WAITING_EACH = 40
"""Of one user."""
MAX_WAIT_S = 60.0
STOP_LOOK_S = 0.25
"""Between two looks whether the server stops."""
_AT_ONCE_S = 5.0
"""That a thread waits; then it looks whether whoever asked is still there."""

_waiting = Places(WAITERS, WAITING_EACH)
_waiting_threads = CapacityLimiter(WAITERS)
_places = Places(FOLLOWERS, FOLLOWED_EACH)
_threads = CapacityLimiter(FOLLOWERS)

IsStopping = Callable[[], bool]


async def _manager_of(request: Request) -> JobManager:
    manager: JobManager = request.state.job_manager
    return manager


TheManager = Annotated[JobManager, Depends(_manager_of)]


async def awaited(
    request: Request,
    manager: TheManager,
    job_name: JobName,
    wait_s: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="answer when the Job has ended, or after so many seconds")
    ] = 0.0,
) -> None:
    """Wait, and leave it to the route to tell what there is then."""
    if wait_s <= 0 or not _waiting.take(manager.signer):
        return
    try:
        async with create_task_group() as group:

            async def wait() -> None:
                await _wait(manager, job_name, wait_s)
                group.cancel_scope.cancel()

            group.start_soon(wait)
            await _until(request.state.is_stopping)
            group.cancel_scope.cancel()
    finally:
        _waiting.give_back(manager.signer)


async def _wait(manager: JobManager, job_name: str, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while (left := until - time.monotonic()) > 0:
        try:
            job = await to_thread.run_sync(
                manager.wait_for_job,
                job_name,
                min(left, _AT_ONCE_S),
                limiter=_waiting_threads,
                abandon_on_cancel=True,
            )
        except Exception:  # noqa: BLE001 - the route meets it, too
            return
        if manager.job_is_finished(job) or documents.is_kept(job):
            return


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await sleep(STOP_LOOK_S)


def followed(
    manager: JobManager, job_name: str, pod: str | None, container: str | None, is_stopping: IsStopping
) -> StreamingResponse | PlainTextResponse:
    """The text of one container, of the newest pod and its first unless they are named."""
    job = manager.read_job(job_name)
    with manager.connection.core() as core:
        pods = [one for one in manager.pods_of(core, job_name, job.metadata.uid) if pod in (None, one.metadata.name)]
    if not pods:
        logs = manager.job_logs(job_name, limit=None)  # of a Job that is gone there may be some all the same
        kept = next((logs[one] for one in logs if pod in (None, one)), {})
        if kept and container in (None, *kept):
            return PlainTextResponse("\n".join(kept[container or next(iter(kept))]))
        raise Refusal(404, "NotFound", f"the Job {job_name} has no pod {pod or 'yet'}")
    newest = max(pods, key=lambda one: one.metadata.creation_timestamp)
    names = pod_logs.containers_of(newest)
    chosen = container or newest.spec.containers[0].name
    if chosen not in names:
        raise Refusal(
            404, "NotFound", f"the pod {newest.metadata.name} has no container {chosen!r}, but {', '.join(names)}"
        )

    _take_place(manager)
    try:
        following = pod_logs.Following(manager.connection, newest, chosen)
    except BaseException as error:
        _places.give_back(manager.signer)
        if isinstance(error, pod_logs.NotStarted):
            where = f"container {chosen} of pod {newest.metadata.name}"
            told = f"{where} has not started: {error}; ask again"
            raise Refusal(409, "NotStarted", told, {"Retry-After": "2"}) from error
        raise
    return FollowedLog(following, is_stopping, functools.partial(_places.give_back, manager.signer))


def followed_as_a_whole(
    manager: JobManager, job_name: str, pod: str | None, container: str | None, is_stopping: IsStopping
) -> StreamingResponse:
    """The lines of all containers, or those that are named."""
    job = manager.read_job(job_name)
    _take_place(manager)
    try:
        following = JobFollowing(manager, job, pod=pod, container=container)
    except BaseException:
        _places.give_back(manager.signer)
        raise
    return FollowedLog(
        following, is_stopping, functools.partial(_places.give_back, manager.signer), media_type="application/x-ndjson"
    )


def _take_place(manager: JobManager) -> None:
    if not _places.take(manager.signer):
        raise Refusal(
            503,
            "Busy",
            f"{FOLLOWERS} logs are followed already, or {FOLLOWED_EACH} by one user; try again later",
            {"Retry-After": "10"},
        )


class FollowedLog(StreamingResponse):
    """Ends the request to the cluster, too, when whoever asked goes away."""

    def __init__(
        self,
        following: pod_logs.Following | JobFollowing,
        is_stopping: IsStopping,
        give_back: Callable[[], None],
        *,
        media_type: str = "text/plain; charset=utf-8",
    ) -> None:
        super().__init__(self._text(), media_type=media_type)
        self._following = following
        self._is_stopping = is_stopping
        self._give_back = give_back

    async def _text(self) -> AsyncIterator[bytes]:
        # In threads of their own: those of the other requests are not to wait for programs that say nothing.
        while line := await to_thread.run_sync(self._following.read, limiter=_threads, abandon_on_cancel=True):
            yield line

    async def _stop(self) -> None:
        await _until(self._is_stopping)
        self._following.close()  # so that there is nothing more to read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with create_task_group() as group:
                group.start_soon(self._stop)
                await super().__call__(scope, receive, send)
                group.cancel_scope.cancel()
        finally:
            self._following.close()
            self._give_back()
