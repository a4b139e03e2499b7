"""The routes of the server, for an application of one's own: manager and authorization are given."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NoReturn

import urllib3.exceptions
from anyio import fail_after
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from kubernetes.client.exceptions import ApiException

from lando.definitions import documents
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.http import described, patient
from lando.definitions.http.answers import Refusal, Route, sentence
from lando.definitions.http.described import JSON, ContainerName, JobName, PodName, answering, refusals
from lando.definitions.http.patient import TheManager
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
MAX_VALUES = 50_000
"""Of its JSON: what is made of each takes some hundred times its bytes."""
BODY_S = 60.0
"""In which a request has to be sent."""
PAGE = 100
MAX_PAGE = 1000
"""Jobs that are told at a time: unless it is said, and at most."""

Authorize = Callable[[Request], None]
"""Raises :class:`~lando.definitions.http.answers.Refusal` for whoever may not."""

ManagerOf = Callable[[Request], JobManager]
"""Raises Refusal where there is none."""

More = Callable[[Request, Sequence[V1Job]], Sequence[dict[str, Any]]]
"""What else the document of each of these Jobs is to have."""


def create_router(
    manager: JobManager | ManagerOf,
    authorize: Authorize,
    *,
    is_health_open: bool = True,
    more: More = lambda request, jobs: [{}] * len(jobs),
    turn: Callable[..., Any] | None = None,
    is_stopping: Callable[[Request], bool] = lambda request: False,
) -> APIRouter:
    """The routes over ``manager``, or over the one that it gives for a request; all ask ``authorize`` first, unless
    ``is_health_open`` the health check, too. ``more`` completes what is said of Jobs. Within ``turn``, a dependency of
    FastAPI's, the routes do their work, but do not wait for Jobs; nobody waits once the server ``is_stopping``."""
    always = refusals(401, 403, 404, 503) | described.OTHER

    def authorized(request: Request) -> None:
        authorize(request)

    async def chosen(request: Request) -> None:
        request.state.job_manager = manager if isinstance(manager, JobManager) else manager(request)
        request.state.is_stopping = lambda: is_stopping(request)

    guards = [Depends(authorized), Depends(chosen)]
    work = [Depends(turn, scope="function")] if turn is not None else []
    health = APIRouter(
        route_class=Route,
        dependencies=guards[1:]
        if is_health_open
        else [*guards, *work],  # who looks is not to wait for a silent cluster
        responses={} if is_health_open else always,
    )
    router = APIRouter(route_class=Route, dependencies=[*guards, *work], responses=always)
    # A request that comes slowly takes nobody's turn, nor does one that waits.
    making = APIRouter(route_class=Route, dependencies=[*guards, Depends(_body), *work], responses=always)
    waiting = APIRouter(route_class=Route, dependencies=[*guards, Depends(patient.awaited), *work], responses=always)

    @health.get("/healthcheck", openapi_extra=answering(described.HEALTH))
    def healthcheck(manager: TheManager) -> dict[str, Any]:
        """Whether the server answers; ``problems`` names what is wrong with the definitions."""
        problems = manager.register.problems if isinstance(manager.register, ReloadingJobDefinitionsRegister) else ()
        return {"healthy": True, **({"problems": list(problems)} if problems else {})}

    @making.post(
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

    @waiting.get("/jobs/{job_name}", openapi_extra=answering(described.JOB), responses=refusals(400))
    def read_job(request: Request, manager: TheManager, job_name: JobName) -> dict[str, Any]:
        """The Job: where it stands and, if it failed or waits, why."""
        job = manager.read_job(job_name)
        return documents.job(job, manager, manager.job_cause(job)) | more(request, [job])[0]

    @router.delete("/jobs/{job_name}", openapi_extra=answering(described.MADE))
    def delete_job(manager: TheManager, job_name: JobName) -> dict[str, str]:
        """Remove the Job and its pods; answered before they are gone."""
        manager.delete_job(manager.read_job(job_name))
        return {"job_name": job_name}

    @waiting.get("/jobs/{job_name}/status", openapi_extra=answering(described.STATUS), responses=refusals(400))
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
        request: Request,
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
            return patient.followed_as_a_whole(manager, job_name, pod, container, request.state.is_stopping)
        if follow:
            return patient.followed(manager, job_name, pod, container, request.state.is_stopping)
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
    whole.include_router(making)
    whole.include_router(router)
    whole.include_router(waiting)
    return whole


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, whatever it says its type is."""
    raw = bytearray()
    try:
        with fail_after(BODY_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > MAX_BODY:
                    raise Refusal(413, "TooLarge", f"a request may have {MAX_BODY} bytes")
    except TimeoutError as error:
        raise Refusal(
            400, "BadRequest", f"the body did not come within {BODY_S:g} s", {"Connection": "close"}
        ) from error
    try:
        body = json.loads(raw, parse_constant=_no_json)
        raw.decode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "BadRequest", "the body has to be a JSON object")
    level: list[Any] = [body]
    number = 0
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        number += len(level)
    if number > MAX_VALUES:
        raise Refusal(413, "TooLarge", f"a request may have {MAX_VALUES:,} values")
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
