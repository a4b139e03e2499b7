"""The whole of Lando in one process: cluster, API server, queue and both daemons, over one home folder.

The daemons are the very ones of production; only what they are connected to is small. Parts start in the order in
which they need each other and stop in the opposite one, so that no daemon sees its cluster go away. What was not
finished goes on at the next start: the queue is empty then, and the daemon's resync finds the runs.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from lando import queues
from lando.api import setup
from lando.api.server import Server
from lando.api.settings import Settings
from lando.archive import Archive
from lando.config import (
    ArchiveSettings,
    BespinApiSettings,
    ClusterSettings,
    Config,
    DataStoreSettings,
    LandoApiSettings,
    StagingSettings,
    WorkQueueSettings,
)
from lando.definitions.served.service import Service
from lando.errors import ConfigError
from lando.home import ClientSettings, Home
from lando.k8s.cluster import Cluster, KubernetesCluster
from lando.k8s.lando import PREFETCH_PER_WORKER, LandoDaemon
from lando.k8s.live_logs import live_logs
from lando.k8s.metrics import BOTH, LANDO, WATCHER
from lando.k8s.patrol import Patrol, queue_check
from lando.k8s.upkeep import Upkeep
from lando.k8s.watcher import Watcher
from lando.local.cluster import LocalCluster
from lando.local.node.sandbox import SandboxMode
from lando.sources.kinds import source_of

log = logging.getLogger(__name__)

NAMESPACE = "lando"
HOST = "127.0.0.1"
PORT = 8080  # taken when no other is asked for and it is free
STOP_S = 25.0  # for each daemon to finish what is in hand
RESYNC_S = 60
INFRASTRUCTURE_RETRIES = 20  # each end of the process without an orderly stop takes one of every running step
MEMORY_SHARE = 0.75  # of the machine's memory, for the tools of one workflow
LEAST_MEMORY_MIB = 1024
NO_DEFINITIONS = (
    "# Definitions of Jobs, a list, as docs/definitions.md tells. What is written here is in force at once.\n"
)


class EmbeddedStack:
    """One stack; :meth:`start` returns when everything works, :meth:`stop` when everything has ended.

    Raises :class:`lando.errors.ConfigError` when the home or a port that was asked for is in use.
    """

    def __init__(self, home: Home, *, port: int | None = None, sandbox: SandboxMode = "auto") -> None:
        """``port`` None takes the one of last time, else 8080, else any that is free; ``sandbox`` says how steps see
        their volumes."""
        self.home = home
        self.failed = threading.Event()
        """Set when a part ended by itself; the log says why."""
        self._port = port
        self._sandbox: SandboxMode = sandbox
        self._stop = threading.Event()
        self._running = contextlib.ExitStack()
        self.client = ClientSettings(url="", token="")
        """How to reach the server; known once started."""
        self.secrets: tuple[str, ...] = ()
        """What no log may show; known once started."""

    def start(self) -> None:
        """Start every part, then write ``client.json``."""
        with contextlib.ExitStack() as parts:
            parts.enter_context(self.home.locked())
            cluster = LocalCluster(self.home.cluster, namespace=NAMESPACE, sandbox=self._sandbox)
            parts.callback(cluster.stop)
            cluster.start()
            calls = KubernetesCluster(_cluster_settings(cluster))
            parts.callback(calls.close)
            server = self._server(calls)
            parts.callback(server.stop)
            with server.site.database.write() as session:
                site = setup.ensure_embedded_site(
                    session,
                    username=_user_name(),
                    key=server.site.key,
                    cpus=os.cpu_count() or 1,
                    memory=f"{_memory_mib()}Mi",
                )
            server.start()
            if not self.home.definitions.exists():
                self.home.definitions.write_text(NO_DEFINITIONS, encoding="utf-8")
            definitions = Service(
                calls,
                str(self.home.definitions),
                signature=server.settings.definitions_signature,
                retention_s=server.settings.definitions_retention_s,
                kept_s=server.settings.definitions_kept_s,
                archive=server.site.archive,
            )
            server.site.definitions = parts.enter_context(definitions)
            self._start_daemons(parts, _config(self.home, cluster, server, site), calls, server)
            self.client = ClientSettings(url=server.url, token=site.user_token, pid=os.getpid())
            self.secrets = (site.user_token, site.daemon_token, cluster.token)
            self.home.write_client(self.client)
            self._running = parts.pop_all()

    def stop(self) -> None:
        """End every part; takes at most about a minute."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _server(self, cluster: Cluster) -> Server:
        def bind(port: int) -> Server:
            settings = Settings(
                database_url=f"sqlite:///{self.home.database}",
                key_file=str(self.home.server_key),
                files_dir=str(self.home.files),
                host=HOST,
                port=port,
                archive_url=self.home.archive.as_uri(),
                definitions=str(self.home.definitions),
                results_roots=[self.home.results.as_uri()],
                allow_local_addresses=True,
            )
            return Server(settings, live_logs=live_logs(cluster))

        if self._port is not None:
            return bind(self._port)
        for port in (self._port_of_last_time(), PORT):
            with contextlib.suppress(ConfigError):
                if port is not None:
                    return bind(port)
        return bind(0)

    def _port_of_last_time(self) -> int | None:
        """Files that running steps still have to fetch are named by it."""
        try:
            known = self.home.read_client()
        except ConfigError:
            return None
        return urlsplit(known.url).port if known else None

    def _start_daemons(self, parts: contextlib.ExitStack, config: Config, cluster: Cluster, server: Server) -> None:
        source = source_of(config)
        parts.callback(source.close)
        publishers = [queues.publisher(config.work_queue) for _ in range(2)]
        for publisher in publishers:
            parts.callback(publisher.close)
        archive = Archive(self.home.archive.as_uri(), config.archive.max_bytes_per_container)
        daemon = LandoDaemon(
            config,
            cluster=cluster,
            source=source,
            consumer=queues.consumer(config.work_queue, prefetch=PREFETCH_PER_WORKER * config.workers),
            publisher=publishers[0],
            archive=archive,
        )
        server.site.upkeep = Upkeep(config, cluster=cluster, source=source, publisher=publishers[0], archive=archive)
        watcher = Watcher(config, cluster=cluster, publisher=publishers[1])
        patrol = Patrol({"broker": queue_check(publishers[1], config.work_queue.listen_queue)})
        parts.callback(patrol.stop)
        patrol.start()
        server.answer_for((daemon, watcher, patrol), (LANDO, WATCHER, BOTH))
        threads = [self._thread("lando", daemon.run), self._thread("watcher", watcher.run)]
        for thread in threads:
            parts.callback(thread.join, STOP_S)
            thread.start()
        parts.callback(self._stop.set)

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> threading.Thread:
        def work() -> None:
            try:
                run(self._stop)
            except Exception:
                log.exception("the %s daemon ended", name)
            finally:
                if not self._stop.is_set():
                    self.failed.set()

        return threading.Thread(target=work, name=name, daemon=True)


def _cluster_settings(cluster: LocalCluster) -> ClusterSettings:
    return ClusterSettings(
        namespace=cluster.namespace, host=cluster.url, token=cluster.token, ssl_ca_cert=str(cluster.ca_file)
    )


def _config(home: Home, cluster: LocalCluster, server: Server, site: setup.EmbeddedSite) -> Config:
    """What a file would say to the daemons of production."""
    return Config(
        work_queue=WorkQueueSettings(listen_queue=site.queue, url=site.broker),
        cluster_api_settings=_cluster_settings(cluster),
        bespin_api=BespinApiSettings(url=f"{server.url}/api/v2", token=site.daemon_token),
        lando_api=LandoApiSettings(url=f"{server.url}/api/lando/v1", token=site.daemon_token),
        data_store_settings=DataStoreSettings(url=home.results.as_uri()),
        staging=StagingSettings(
            schemes=["http", "https", "gs", "s3", "file"],
            file_roots=[str(Path.home())],
            allow_local_addresses=True,
        ),
        archive=ArchiveSettings(url=home.archive.as_uri()),
        infrastructure_retries=INFRASTRUCTURE_RETRIES,
        resync_s=RESYNC_S,
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"user{os.getuid()}"


def _memory_mib() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(int(total * MEMORY_SHARE) >> 20, LEAST_MEMORY_MIB)
