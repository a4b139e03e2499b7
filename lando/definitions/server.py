"""``python -m lando.definitions.server``: Jobs from definitions over HTTP, and the cleanup of those that have ended.

Its settings are environment variables: :data:`VARIABLES`.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import anyio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from kubernetes import client, config
from kubernetes.config import ConfigException
from starlette.exceptions import HTTPException

from lando import logs
from lando.definitions.checks.looking import look_in_background
from lando.definitions.config import JobManagerFactory, ReloadingJobDefinitionsRegister
from lando.definitions.file_reloader import FileReloader
from lando.definitions.http.answers import Refusal, answer
from lando.definitions.manager import JobDeleter, JobManager
from lando.definitions.router import Authorize, create_router
from lando.definitions.signing import check_label_value
from lando.definitions.spec import V1Job
from lando.errors import ConfigError
from lando.listening import bound
from lando.stopping import leave, told_to_stop

logger = logging.getLogger("lando.definitions.server")  # also where it is __main__

CLEANUP_S = 60.0
_DRAIN_S = 5
_BACKLOG = 128
_STOP_S = 15.0

VARIABLES = {
    JobManagerFactory.JOB_SIGNATURE_ENV_VAR: "label value by which this server knows its Jobs; required",
    JobManagerFactory.JOB_NAMESPACE_ENV_VAR: "namespace of all its Jobs; required",
    JobManagerFactory.JOB_DEFINITIONS_CONFIG_PATH_ENV_VAR: "the definitions file; required",
    "JOB_SERVER_TOKEN": "the token that every request has to show; or",
    "JOB_SERVER_TOKEN_FILE": "a file that holds it, read again when it changes; or",
    "JOB_SERVER_OPEN": "'true' lets everybody in who reaches the port",
    "IN_CLUSTER": "anything: log in by the pod's own account; empty: by the kubeconfig",
    "JOB_RETENTION_PERIOD_SEC": "how long Jobs that have ended are kept; 3600 unless set",
    "JOB_SERVER_HOST": "the address that it listens on; 0.0.0.0 unless set",
    "JOB_SERVER_PORT": "the port; 5000 unless set",
}
_CALLS = 30
"""Requests that ask the cluster at a time; of 40 threads that leaves some to say that the server is healthy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says."""

    signature: str
    namespace: str
    definitions: str
    token: str | None
    token_file: str | None
    in_cluster: bool
    retention_s: float
    host: str
    port: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Raises ConfigError, one sentence that names the variable."""

        def required(name: str) -> str:
            value = environ.get(name)
            if not value:
                raise ConfigError(f"{name} is not set: {VARIABLES[name].removesuffix('; required')}")
            return value

        def number(name: str, default: float, upper: float) -> float:
            text = environ.get(name) or str(default)
            try:
                value = float(text)
            except ValueError:
                value = -1
            if not 0 <= value <= upper:
                raise ConfigError(f"{name} has to be a number from 0 to {upper:g}, not {text!r}")
            return value

        signature = required(JobManagerFactory.JOB_SIGNATURE_ENV_VAR)
        try:
            check_label_value(JobManagerFactory.JOB_SIGNATURE_ENV_VAR, signature)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        found = cls(
            signature=signature,
            namespace=required(JobManagerFactory.JOB_NAMESPACE_ENV_VAR),
            definitions=required(JobManagerFactory.JOB_DEFINITIONS_CONFIG_PATH_ENV_VAR),
            token=environ.get("JOB_SERVER_TOKEN", "").strip() or None,
            token_file=environ.get("JOB_SERVER_TOKEN_FILE") or None,
            in_cluster=bool(environ.get("IN_CLUSTER")),
            retention_s=number("JOB_RETENTION_PERIOD_SEC", 3600, 1e10),
            host=environ.get("JOB_SERVER_HOST") or "0.0.0.0",  # noqa: S104 - its Service has to reach it
            port=int(number("JOB_SERVER_PORT", 5000, 65535)),
        )
        is_open = environ.get("JOB_SERVER_OPEN", "").lower() == "true"
        has_token = bool(found.token or found.token_file)
        if not (is_open or has_token):
            raise ConfigError(
                "say who may make Jobs here: set JOB_SERVER_TOKEN or JOB_SERVER_TOKEN_FILE, or, for everybody who "
                "reaches the port, JOB_SERVER_OPEN=true"
            )
        if is_open and has_token:
            raise ConfigError(
                "JOB_SERVER_OPEN=true lets everybody in: leave it out, or JOB_SERVER_TOKEN and JOB_SERVER_TOKEN_FILE"
            )
        return found


def create_app(
    manager: JobManager, authorize: Authorize, *, is_stopping: Callable[[], bool] = lambda: False
) -> FastAPI:
    """The server alone: the routes at the root, every answer JSON, its description at ``/openapi.json``."""
    app = FastAPI(title="Jobs from definitions", version=version("lando"), docs_url=None, redoc_url=None)
    calls = anyio.CapacityLimiter(_CALLS)

    async def turn() -> AsyncIterator[None]:
        async with calls:
            yield

    app.include_router(create_router(manager, authorize, turn=turn, is_stopping=lambda request: is_stopping()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return answer(
                Refusal(404, "NotFound", f"there is no {request.url.path}; /openapi.json tells what there is")
            )
        return answer(error)

    return app


def authorization(settings: Settings) -> Authorize:
    """Asks for the token, unless the settings let everybody in."""

    def expected() -> str:
        if settings.token is not None:
            return settings.token
        try:
            return Path(str(settings.token_file)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            logger.warning("JOB_SERVER_TOKEN_FILE %s can't be read, so nobody is let in: %s", settings.token_file, why)
            return ""

    if settings.token_file is not None:
        expected()  # what is wrong with it is told at the start

    def authorize(request: Request) -> None:
        if settings.token is None and settings.token_file is None:
            return
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        token = expected()
        is_right = hmac.compare_digest(shown.strip().encode(), token.encode())
        if not (token and is_right and scheme.lower() in ("bearer", "token")):
            raise Refusal(
                401, "Unauthorized", "show the token: 'Authorization: Bearer …'", {"WWW-Authenticate": "Bearer"}
            )

    return authorize


def log_in(settings: Settings) -> None:
    """Load the process-wide configuration of the kubernetes client; ConfigError when that can't be."""
    try:
        if settings.in_cluster:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config()  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as error:
        files = os.environ.get("KUBECONFIG") or "~/.kube/config"
        why = " ".join(str(error).split())
        if settings.in_cluster:
            sentence = f"IN_CLUSTER is set, but this is no pod: {why}"
        elif any(Path(file).expanduser().exists() for file in files.split(os.pathsep)):
            sentence = f"the kubeconfig {files} can't be used: {why}"
        else:
            sentence = f"there is no kubeconfig {files}: name one by KUBECONFIG, or in a pod set IN_CLUSTER"
        raise ConfigError(sentence) from error


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then end what is under way."""
    log_in(settings)
    register = ReloadingJobDefinitionsRegister(FileReloader(settings.definitions))
    manager = JobManagerFactory(settings.namespace, settings.signature, register).manager()
    listener = _listening(settings.host, settings.port)
    with told_to_stop() as stop:
        app = create_app(manager, authorization(settings), is_stopping=stop.is_set)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_DRAIN_S
            )
        )
        stop_cleanup = JobDeleter(manager).run_background_cleanup(
            CLEANUP_S, retention_period_sec=settings.retention_s, delete_callback=_print
        )
        stop_looking = look_in_background(register)
        thread = threading.Thread(target=_run, args=(server, listener, stop), name="http", daemon=True)
        thread.start()
        logger.info("Jobs of namespace %s at http://%s:%d", settings.namespace, *listener.getsockname()[:2])
        stop.wait()
        server.should_exit = True
        ending = threading.Thread(target=stop_cleanup, daemon=True)  # it may wait for a cluster that is silent
        ending.start()
        thread.join(_STOP_S)
        if thread.is_alive():
            server.force_exit = True
            thread.join(_STOP_S)
        stop_looking()
        ending.join(_DRAIN_S)


def usage() -> str:
    """What the program is and which settings it takes."""
    width = max(map(len, VARIABLES))
    lines = (f"  {name:{width}}  {meaning}" for name, meaning in VARIABLES.items())
    about = "Jobs from definitions over HTTP, and the cleanup of those that have ended. Its settings are variables:"
    return "\n".join(["Usage: python -m lando.definitions.server", "", about, "", *lines, ""])


def main() -> None:
    """The program."""
    if arguments := sys.argv[1:]:
        is_asked = arguments[0] in ("-h", "--help")
        (sys.stdout if is_asked else sys.stderr).write(usage())
        leave(0 if is_asked else 2)
    # Standard output is for the Jobs that are deleted.
    logs.configure(level="INFO", secrets=[os.environ.get("JOB_SERVER_TOKEN", "")], stream=sys.stderr)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each try; what came of them is told
    try:
        serve(Settings.of(os.environ))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        leave(2)
    leave(0)


def _print(job: V1Job) -> None:
    """The last that is known of a Job, on one line."""
    document = client.ApiClient().sanitize_for_serialization(job)  # type: ignore[no-untyped-call]
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _run(server: uvicorn.Server, listener: socket.socket, stop: threading.Event) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return bound(host, port, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"port {port} of {host} can't be listened on: {error.strerror}") from error


if __name__ == "__main__":
    main()
