"""The routes of the server, for an application of one's own: manager and authorization are given."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Annotated, Any, NoReturn

import urllib3.exceptions
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from kubernetes.client.exceptions import ApiException
from starlette.types import Receive, Scope, Send

from lando.definitions import described, documents, pod_logs
from lando.definitions.answers import Refusal, Route, sentence
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.described import JSON, ContainerName, JobName, PodName, answering, refusals
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.following import JobFollowing
from lando.definitions.manager import JobManager
from lando.definitions.registers import JobDefinitionsRegister, StaticJobDefinitionsRegister
from lando.definitions.signing import check_label_value
from lando.definitions.spec import JobGenerator, V1Job
from lando.runs import Cause

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
"""Bytes of a request: its arguments become part of a Job, of which etcd takes no more."""
MAX_DEPTH = 100
"""Levels of its JSON."""
PAGE = 100
MAX_PAGE = 1000
"""Jobs that are told at a time: unless it is said, and at most."""

FOLLOWERS = 50
"""Of logs, at a time."""

WAITERS = 100
"""Requests that wait for the end of a Job, at a time; others are answered at once."""
MAX_WAIT_S = 60.0
_WAIT_AT_ONCE_S = 5.0
"""Until a thread that waits looks whether it still should: whoever asked may be gone, or the server at its end."""

_waiting = threading.BoundedSemaphore(WAITERS)
_waiting_threads = CapacityLimiter(WAITERS)
_places = threading.BoundedSemaphore(FOLLOWERS)
_threads = CapacityLimiter(FOLLOWERS)

Authorize = Callable[[Request], None]
"""Raises :class:`~lando.definitions.answers.Refusal` for whoever may not."""

ManagerOf = Callable[[Request], JobManager]
"""Raises Refusal where there is none."""

More = Callable[[Request, Sequence[V1Job]], Sequence[dict[str, Any]]]
"""What else the document of each of these Jobs is to have."""


async def _manager_of(request: Request) -> JobManager:
    manager: JobManager = request.state.job_manager
    return manager


TheManager = Annotated[JobManager, Depends(_manager_of)]


async def _ended(
    manager: TheManager,
    job_name: JobName,
    wait_s: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="answer when the Job has ended, or after so many seconds")
    ] = 0.0,
) -> None:
    """Wait, in a thread that is nobody else's, and leave it to the route to tell what there is then."""
    if wait_s <= 0 or not _waiting.acquire(blocking=False):
        return
    until = time.monotonic() + wait_s
    try:
        while (left := until - time.monotonic()) > 0:
            job = await to_thread.run_sync(
                manager.wait_for_job,
                job_name,
                min(left, _WAIT_AT_ONCE_S),
                limiter=_waiting_threads,
                abandon_on_cancel=True,
            )
            if manager.job_is_finished(job) or documents.is_kept(job):
                return
    except Exception:  # noqa: BLE001 - the route meets it, too
        return
    finally:
        _waiting.release()


def create_router(
    manager: JobManager | ManagerOf,
    authorize: Authorize,
    *,
    is_health_open: bool = True,
    more: More = lambda request, jobs: [{}] * len(jobs),
    turn: Callable[..., Any] | None = None,
) -> APIRouter:
    """The routes over ``manager``, or over the one that it gives for a request; all ask ``authorize`` first, unless
    ``is_health_open`` the health check, too. ``more`` completes what is said of Jobs.
    Within ``turn``, a dependency of FastAPI's, the routes do their work, but do not wait for Jobs."""
    always = refusals(401, 403, 404, 503) | described.OTHER

    def authorized(request: Request) -> None:
        authorize(request)

    async def chosen(request: Request) -> None:
        request.state.job_manager = manager if isinstance(manager, JobManager) else manager(request)

    guards = [Depends(authorized), Depends(chosen)]
    work = [Depends(turn, scope="function")] if turn is not None else []
    health = APIRouter(
        route_class=Route,
        dependencies=[*(guards[1:] if is_health_open else guards), *work],
        responses={} if is_health_open else always,
    )
    router = APIRouter(route_class=Route, dependencies=[*guards, *work], responses=always)
    patient = APIRouter(route_class=Route, dependencies=[*guards, Depends(_ended), *work], responses=always)

    @health.get("/healthcheck", openapi_extra=answering(described.HEALTH))
    def healthcheck(manager: TheManager) -> dict[str, Any]:
        """Whether the server answers; ``problems`` names what is wrong with the definitions."""
        problems = manager.register.problems if isinstance(manager.register, ReloadingJobDefinitionsRegister) else ()
        return {"healthy": True, **({"problems": list(problems)} if problems else {})}

    @router.post(
        "/jobs", openapi_extra=answering(described.MADE, body=described.BODY), responses=refusals(400, 409, 413, 422)
    )
    def create_job(
        manager: TheManager,
        body: Annotated[dict[str, Any], Depends(_body)],
        dry_run: Annotated[bool, Query(description="only have the cluster say whether it would take the Job")] = False,
        idempotency_key: Annotated[
            str | None, Header(max_length=255, min_length=1, description="the same for each try of one request")
        ] = None,
    ) -> dict[str, str]:
        """Make a Job. Of all requests with one Idempotency-Key the first makes it, the others are answered the same."""
        arguments = dict(body)
        definition = arguments.pop("job_definition_name", None)
        if not isinstance(definition, str) or not definition:
            raise Refusal(400, "BadRequest", "job_definition_name has to name a definition")
        name = manager.create_job(definition, arguments, idempotency_key=idempotency_key, dry_run=dry_run)
        return {"job_name": name}

    @router.get("/jobs", openapi_extra=answering(described.JOBS), responses=refusals(400, 410))
    def list_jobs(
        request: Request,
        manager: TheManager,
        job_definition_name: Annotated[str | None, Query(description="of this definition only")] = None,
        limit: Annotated[int | None, Query(ge=1, le=MAX_PAGE, description="at most so many; all unless said")] = None,
        token: Annotated[str | None, Query(alias="continue", description="what the page before gave")] = None,
        details: Annotated[bool, Query(description="all there is to say of each; then there are always pages")] = False,
    ) -> dict[str, Any]:
        """The status of all Jobs, or of ``limit`` of them: then ``continue`` is what to ask for the next page with.

        With ``details`` each is told as by ``/jobs/{name}``, its cause without the log; then there are always pages.
        """
        if job_definition_name:
            try:
                check_label_value("job_definition_name", job_definition_name)
            except DefinitionError as error:  # as part of a selector it could mean something else
                raise Refusal(400, "BadRequest", str(error)) from error
        if limit is None and token is None and not details:
            jobs = manager.list_jobs(job_definition_name or None)
            return {"jobs": {job.metadata.name: documents.status(job) for job in jobs}}
        try:
            jobs, following = manager.list_page(
                job_definition_name or None, limit=limit or (PAGE if details else MAX_PAGE), token=token
            )
        except ApiException as error:
            if error.status == 400:
                raise Refusal(400, "BadRequest", "continue has to be what the page before gave") from error
            raise
        if details:
            causes = _causes(manager, jobs)
            told = {
                one.metadata.name: documents.job(one, manager, causes.get(one.metadata.name)) | also
                for one, also in zip(jobs, more(request, jobs), strict=True)
            }
        else:
            told = {one.metadata.name: documents.status(one) for one in jobs}
        return {"jobs": told, "continue": following}

    @patient.get("/jobs/{job_name}", openapi_extra=answering(described.JOB), responses=refusals(400))
    def read_job(request: Request, manager: TheManager, job_name: JobName) -> dict[str, Any]:
        """The Job: where it stands and, if it failed or waits, why."""
        job = manager.read_job(job_name)
        return documents.job(job, manager, manager.job_cause(job)) | more(request, [job])[0]

    @router.delete("/jobs/{job_name}", openapi_extra=answering(described.MADE))
    def delete_job(manager: TheManager, job_name: JobName) -> dict[str, str]:
        """Remove the Job and its pods; answered before they are gone."""
        manager.delete_job(manager.read_job(job_name))
        return {"job_name": job_name}

    @patient.get("/jobs/{job_name}/status", openapi_extra=answering(described.STATUS), responses=refusals(400))
    def read_status(manager: TheManager, job_name: JobName) -> dict[str, Any]:
        """The Job's status."""
        return documents.status(manager.read_job(job_name))

    @router.get("/jobs/{job_name}/events", openapi_extra=answering(described.EVENTS))
    def read_events(manager: TheManager, job_name: JobName) -> dict[str, Any]:
        """What the cluster told of the Job and its pods, oldest first; the containers' termination messages."""
        events, terminations = manager.job_history(job_name)
        told = sorted(map(documents.event, events), key=lambda event: event["time"] or "")
        return {"events": told, "terminations": terminations}

    @router.get(
        "/jobs/{job_name}/logs",
        response_model=None,
        responses={
            200: {
                "description": "The lines as JSON; with follow the text of one container, with all lines of JSON.",
                "content": {
                    JSON: {"schema": described.LOGS},
                    "text/plain": {"schema": {"type": "string"}},
                    "application/x-ndjson": {"schema": {"type": "string"}},
                },
            },
            **refusals(400, 409),
        },
    )
    def read_logs(
        manager: TheManager,
        job_name: JobName,
        limit: Annotated[int, Query(ge=1, le=1_000_000, description="so many lines, the last")] = 200,
        follow: Annotated[bool, Query(description="the text of one container as it is written, until it ends")] = False,
        pod: PodName = None,
        container: ContainerName = None,
        everything: Annotated[bool, Query(alias="all", description="with follow: lines of all containers")] = False,
    ) -> Response:
        """The last lines of each container; with ``follow`` the text of one as it is written, until it ends.

        With ``follow`` and ``all`` the lines of all containers, as lines of JSON, until the Job has ended.
        """
        if follow and everything:
            return _followed_as_a_whole(manager, job_name, pod, container)
        if follow:
            return _followed(manager, job_name, pod, container)
        return JSONResponse(manager.job_logs(job_name, limit=limit))

    @router.get(
        "/definitions",
        openapi_extra=answering(described.DEFINITIONS),
    )
    def list_definitions(manager: TheManager) -> dict[str, Any]:
        """What can be made, and the JSON Schema of the arguments of each."""
        generators = _generators(manager.register)
        return {"definitions": {name: _definition(generator) for name, generator in generators.items()}}

    whole = APIRouter()
    whole.include_router(health)
    whole.include_router(router)
    whole.include_router(patient)
    return whole


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, whatever it says its type is."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise Refusal(413, "TooLarge", f"a request may have {MAX_BODY} bytes")
    try:
        body = json.loads(raw, parse_constant=_no_json)
        raw.decode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "BadRequest", "the body has to be a JSON object")
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
    if level:
        raise Refusal(400, "BadRequest", f"the body is nested more than {MAX_DEPTH} levels deep")
    return body


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _generators(register: JobDefinitionsRegister) -> dict[str, JobGenerator]:
    if isinstance(register, ReloadingJobDefinitionsRegister):
        return register.generators
    return dict(register.job_generators) if isinstance(register, StaticJobDefinitionsRegister) else {}


def _definition(generator: JobGenerator) -> dict[str, Any]:
    try:
        return {"arguments": generator.spec_source.arguments_schema()}
    except (ValueError, NotFoundException, ApiException) as error:
        return {"arguments": None, "error": sentence(error)}


def _causes(manager: JobManager, jobs: Sequence[V1Job]) -> dict[str, Cause]:
    """None where the cluster does not tell of pods: a list says what it can."""
    try:
        return manager.job_causes(jobs)
    except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        logger.warning("Why Jobs fail or wait can't be told: %s", sentence(error))
        return {}


def _followed(
    manager: JobManager, job_name: str, pod: str | None, container: str | None
) -> StreamingResponse | PlainTextResponse:
    manager.read_job(job_name)
    with manager.connection.core() as core:
        pods = [one for one in manager.pods_of(core, job_name) if pod in (None, one.metadata.name)]
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

    _take_place()
    try:
        following = pod_logs.Following(manager.connection, newest, chosen)
    except BaseException as error:
        _places.release()
        if isinstance(error, pod_logs.NotStarted):
            where = f"container {chosen} of pod {newest.metadata.name}"
            told = f"{where} has not started: {error}; ask again"
            raise Refusal(409, "NotStarted", told, {"Retry-After": "2"}) from error
        raise
    return _FollowedLog(following)


def _followed_as_a_whole(
    manager: JobManager, job_name: str, pod: str | None, container: str | None
) -> StreamingResponse:
    job = manager.read_job(job_name)
    _take_place()
    try:
        following = JobFollowing(manager, job, pod=pod, container=container)
    except BaseException:
        _places.release()
        raise
    return _FollowedLog(following, media_type="application/x-ndjson")


def _take_place() -> None:
    if not _places.acquire(blocking=False):
        raise Refusal(503, "Busy", f"{FOLLOWERS} logs are followed already; try again later", {"Retry-After": "10"})


class _FollowedLog(StreamingResponse):
    """Ends the request to the cluster, too, when whoever asked goes away."""

    def __init__(
        self, following: pod_logs.Following | JobFollowing, *, media_type: str = "text/plain; charset=utf-8"
    ) -> None:
        super().__init__(self._text(), media_type=media_type)
        self._following = following

    async def _text(self) -> AsyncIterator[bytes]:
        # In threads of their own: those of the other requests are not to wait for programs that say nothing.
        while line := await to_thread.run_sync(self._following.read, limiter=_threads, abandon_on_cancel=True):
            yield line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._following.close()
            _places.release()
