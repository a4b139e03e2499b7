"""The API server of production, with what it may know from the daemons' configuration file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from lando import config, logs
from lando.api.definitions_access import access
from lando.api.server import Server
from lando.api.settings import Settings
from lando.archive import Archive
from lando.config import Config
from lando.definitions.served.service import Service
from lando.errors import ConfigError
from lando.k8s import upkeep
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.live_logs import live_logs


@contextmanager
def server_with(settings: Settings) -> Iterator[Server]:
    """A running server; with ``settings.daemons_config`` one that also shows logs of steps at work.

    Raises:
        ConfigError: the daemons' file can't be used, or the port is taken.
    """

    def set_up_logging(daemons: Config | None) -> None:
        logs.configure(level=settings.log_level, log_format=settings.log_format, secrets=_secrets(settings, daemons))

    set_up_logging(None)
    daemons = config.load(settings.daemons_config, set_up=set_up_logging) if settings.daemons_config else None
    with ExitStack() as parts:
        read = None
        if daemons is not None:
            cluster = KubernetesCluster(daemons.cluster_api_settings)
            parts.callback(cluster.close)
            read = live_logs(cluster)
            settings = completed(settings, daemons)
        server = Server(settings, live_logs=read)
        parts.callback(server.stop)  # also where it never comes to start
        if settings.definitions is not None:
            server.site.definitions = parts.enter_context(_definitions(settings, daemons, server.site.archive))
        if daemons is not None and not upkeep.is_elsewhere(daemons):
            server.site.upkeep = parts.enter_context(upkeep.connected(daemons))
        yield parts.enter_context(server)


@contextmanager
def _definitions(settings: Settings, daemons: Config | None, archive: Archive | None) -> Iterator[Service]:
    with (
        _cluster_of_definitions(settings, daemons) as cluster,
        Service(
            cluster,
            str(settings.definitions),
            signature=settings.definitions_signature,
            retention_s=settings.definitions_retention_s,
            kept_s=settings.definitions_kept_s,
            archive=archive,
            per_user=settings.definitions_per_user,
        ) as service,
    ):
        yield service


def _cluster_of_definitions(settings: Settings, daemons: Config | None) -> KubernetesCluster:
    found = access(settings, daemons)
    try:
        return KubernetesCluster(found)
    except ConfigError as error:
        if settings.definitions_kubeconfig is None and daemons is not None:
            raise
        why = str(error).partition(": ")[2]  # without the key, which is the daemons'
        if found.in_cluster:
            why = f"this is no pod ({why.rstrip('.')}); name a kubeconfig, or the daemons' file by --daemons."
        raise ConfigError(f"definitions_kubeconfig: {why}") from error


def completed(settings: Settings, daemons: Config) -> Settings:
    """``settings``, with where logs and results lie taken from the daemons where they do not say it themselves."""
    results = daemons.data_store_settings.url
    return replace(
        settings,
        archive_url=settings.archive_url or daemons.archive.url,
        results_roots=settings.results_roots or ([results] if results else []),
    )


def _secrets(settings: Settings, daemons: Config | None) -> Iterator[str]:
    password = urlsplit(settings.database_url).password
    if password:
        yield from (password, unquote(password))
    if daemons is not None:
        yield from config.secret_values(daemons)
