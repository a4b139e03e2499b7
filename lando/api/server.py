"""The server: uvicorn in a thread, so that one process can hold it beside the daemons."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import uvicorn

from lando.api import secret_files
from lando.api.app import create_app
from lando.api.metrics import Metrics
from lando.api.outbox import Publishers
from lando.api.settings import Settings, with_port
from lando.api.site import LiveLogs, Site
from lando.errors import ConfigError, LandoError
from lando.k8s.health import Part
from lando.listening import bound
from lando.metrics import Figures

logger = logging.getLogger(__name__)

START_S = 30.0
STOP_S = 10.0
_DRAIN_S = 5
_BACKLOG = 128
_KEEP_ALIVE_S = 75
"""Seconds an idle connection is kept: daemons hold one open, and lose a request when it is closed under them."""


class _Uvicorn(uvicorn.Server):
    """Tells when it has come up, or will not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.settled.set()


class Server:
    """One API server; :meth:`start` returns when it answers, :meth:`stop` when it has ended.

    The port is taken when the object is made: with port 0 the settings (and with them every URL given out) name the
    real one.
    """

    def __init__(
        self, settings: Settings, *, publishers: Publishers | None = None, live_logs: LiveLogs | None = None
    ) -> None:
        self._socket = _listening(settings.host, settings.port)
        try:
            self.settings = with_port(settings, self._socket.getsockname()[1])
            secret_files.check(self.settings)
            app = create_app(self.settings, publishers=publishers, live_logs=live_logs)
        except BaseException:
            self._socket.close()
            raise
        self.site: Site = app.state.site
        self._metrics: Metrics = app.state.metrics
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=self.settings.trusted_proxies,
                timeout_graceful_shutdown=_DRAIN_S,
                timeout_keep_alive=_KEEP_ALIVE_S,
                lifespan="on",
            )
        )
        self._thread = threading.Thread(target=self._serve, name="api", daemon=True)
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{self.settings.host}:{self.settings.port}"

    def answer_for(self, parts: Sequence[Part], figures: Sequence[Figures]) -> None:
        """Tell of these, too, at ``/healthz``, ``/readyz`` and ``/metrics``: they run in this process."""
        self.site.parts.extend(parts)
        self._metrics.parts.extend(figures)

    def start(self) -> None:
        """Begin to serve; raises LandoError when it does not come up."""
        self._thread.start()
        self._uvicorn.settled.wait(START_S)
        if self._uvicorn.started:
            logger.info("The API answers at %s", self.url)
            return
        self.stop()
        raise LandoError(f"The API server did not come up at {self.url}; its log says why.")

    def stop(self) -> None:
        """Finish the requests that are under way, publish what can be published, and end."""
        if self._thread.is_alive():
            self.site.changes.close()
            self._uvicorn.should_exit = True
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                self._uvicorn.force_exit = True
                self._thread.join(STOP_S)
        self._socket.close()
        self.site.database.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the server has ended by itself; whether it has."""
        return self._ended.wait(timeout_s)

    def _serve(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._ended.set()
            self._uvicorn.settled.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return bound(host, port, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} of {host} is in use by another program; stop that one or choose another with --port."
            ) from error
        raise ConfigError(f"The API server can't listen on port {port} of {host}: {error.strerror}.") from error
