"""The application: settings in, an ASGI app out; its parts start and stop with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache

import anyio.to_thread
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from lando.api import answers, auth, fair_use, openapi, sessions
from lando.api.answers import Json
from lando.api.changes import Changes
from lando.api.database import Database
from lando.api.files import FileStore
from lando.api.keys import load_or_create
from lando.api.metrics import Metrics
from lando.api.middleware import Doorman
from lando.api.notices import Notices
from lando.api.opening import Opening
from lando.api.outbox import Outbox, Publishers, default_publishers
from lando.api.provider import Provider
from lando.api.routes import (
    admin_catalog,
    admin_jobs,
    admin_records,
    admin_runs,
    administration,
    attempts,
    browser,
    catalog,
    dead_letters,
    definitions,
    evidence,
    files,
    history,
    index,
    inputs,
    job_templates,
    jobs,
    logs,
    mail,
    notices,
    operations,
    outputs,
    run_actions,
    runs,
    signin,
    upkeep,
    workflows,
)
from lando.api.settings import Settings
from lando.api.site import THREADS, LiveLogs, Site
from lando.api.storage_rights import DukeDsRights
from lando.api.unused_files import UnusedFiles
from lando.archive import Archive


def create_app(
    settings: Settings, *, publishers: Publishers | None = None, live_logs: LiveLogs | None = None
) -> FastAPI:
    """The application of one site; a SQLite database is brought up to date, for any other somebody else has to.

    Until that is done, and while the database has not been seen yet, every request but those of operators is refused.
    ``publishers`` makes the publisher of a lando connection (by default of the broker it names), ``live_logs`` reads
    the log of a step's pod. Raises ConfigError.
    """
    database = _database(settings)
    files = FileStore(settings.files_dir)
    changes = Changes()

    def release() -> None:
        if fair_use.release(database, settings.limits):
            changes.announce()

    outbox = Outbox(database, publishers or default_publishers, sweep_s=settings.outbox_sweep_s, release=release)
    told = Notices(settings, database, publishers or default_publishers)
    unused = UnusedFiles(database, files, keep_s=settings.unused_upload_ttl_s, also=told.forget)
    key = load_or_create(settings.key_file)
    site = Site(
        settings=settings,
        database=database,
        opening=Opening(database, starting=(outbox.start, told.start, unused.start)),
        key=key,
        files=files,
        outbox=outbox,
        notices=told,
        unused=unused,
        changes=changes,
        provider=Provider(settings, key) if settings.oauth_client_id else None,
        rights=DukeDsRights() if settings.storage_rights == "dukeds" else None,
        archive=Archive(settings.archive_url) if settings.archive_url else None,
        live_logs=live_logs,
    )
    metrics = Metrics()
    metrics.watch(site)
    app = FastAPI(
        openapi_url=openapi.URL,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        routes=list(_routes()),
    )
    app.openapi = document  # type: ignore[method-assign]
    app.state.site = site
    app.state.metrics = metrics
    answers.install(app)
    app.add_middleware(
        Doorman,
        max_body_bytes=settings.max_body_bytes,
        max_requests=settings.max_requests,
        metrics=metrics,
        waits_for=lambda: site.opening.waits_for,
        is_signed_in=lambda scope: auth.is_signed_in(site, Request(scope)),
    )
    if settings.web_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.web_origins,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", sessions.CSRF_HEADER, "X-Request-ID"],
            expose_headers=["ETag", "Retry-After", "X-Request-ID"],
        )
    return app


def _database(settings: Settings) -> Database:
    database = Database(settings.database_url)
    if database.is_sqlite:
        try:
            database.migrate()
        except BaseException:
            database.close()
            raise
    return database


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    site: Site = app.state.site
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await run_in_threadpool(site.opening.start)
    try:
        yield
    finally:
        site.changes.close()
        site.opening.stop()
        await run_in_threadpool(site.unused.stop)
        await run_in_threadpool(site.notices.stop)
        await run_in_threadpool(site.outbox.stop)
        site.database.close()


@cache
def _routes() -> Sequence[BaseRoute]:
    """Every route; they find their site by the request, so all applications of a process share them.

    In one list, each made once with its whole path: a router that includes others makes all their routes anew, and
    looks for the one that answers in each of them.
    """
    bespin = (index, catalog, inputs, job_templates, jobs, admin_jobs, admin_records, admin_catalog, mail)
    ours = (files, workflows, runs, run_actions, attempts, evidence, logs, outputs, admin_runs)
    staffs = (dead_letters, notices, upkeep, administration)
    routers = (
        *(module.router for module in bespin),
        *(history.router, signin.v1_router, admin_records.tokens_router),
        *(module.router for module in (*ours, *staffs)),
        *(signin.router, browser.router, operations.router, definitions.router),
    )
    return [route for router in routers for route in router.routes]


@cache
def document() -> Json:
    """The OpenAPI document of every server; its routes are the same whatever the settings."""
    return openapi.document(_routes())
