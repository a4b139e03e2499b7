"""An application of one's own that makes Jobs: it knows its users, and they ask for what they want, not for a Job.

JOB_SIGNATURE=portal JOB_NAMESPACE=lando JOB_DEFINITIONS_CONFIG_PATH=definitions.yaml python app.py
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from kubernetes import config
from lando.definitions import JobDeleter, JobManager, JobManagerFactory
from lando.definitions.http.answers import Refusal, Route
from lando.definitions.router import create_router

OPERATORS = {"ada"}


def user(remote_user: Annotated[str, Header()] = "") -> str:
    """Who asks, as the proxy says that signs them in and alone can reach this."""
    if not remote_user.isalnum():  # it becomes a label
        raise Refusal(401, "Unauthorized", "sign in")
    return remote_user


User = Annotated[str, Depends(user)]


def create_app(manager: JobManager) -> FastAPI:
    """Two routes for users, and at /k8s-jobs all those of the server, for operators."""

    @asynccontextmanager
    async def cleanup(_: FastAPI) -> AsyncIterator[None]:
        stop = JobDeleter(manager).run_background_cleanup(retention_period_sec=86400)
        yield
        stop()

    def authorize(request: Request) -> None:
        if user(request.headers.get("remote-user", "")) not in OPERATORS:
            raise Refusal(403, "Forbidden", "this is for operators")

    portal = APIRouter(route_class=Route)  # which answers as the server does when something is wrong

    @portal.post("/folders/{folder}/checksums")
    def make_checksums(
        folder: str, user: User, idempotency_key: Annotated[str | None, Header()] = None
    ) -> dict[str, str]:
        def sign(job: dict[str, Any]) -> None:
            job["metadata"]["labels"]["owner"] = user

        key = f"{user}/{idempotency_key}" if idempotency_key else None  # asked again with it, there is one Job
        name = manager.create_job("checksums", {"folder": folder}, pre_create=sign, idempotency_key=key)
        return {"job_name": name}

    @portal.get("/jobs")
    def show_jobs(user: User) -> dict[str, str]:
        jobs = manager.fetch_jobs(owner=user)
        return {job.metadata.name: manager.job_status(job).value for job in jobs}

    app = FastAPI(title="Portal", lifespan=cleanup)
    app.include_router(portal)
    app.include_router(create_router(manager, authorize), prefix="/k8s-jobs")
    return app


if __name__ == "__main__":
    config.load_kube_config()  # type: ignore[no-untyped-call]  # in a pod: load_incluster_config()
    uvicorn.run(create_app(JobManagerFactory.from_env().manager()), port=8000)
