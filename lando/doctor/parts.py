"""Which parts a site has: those that a daemons' file names, or those of this user's `lando up`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from lando.api import settings as api_settings
from lando.api.definitions_access import access
from lando.config import (
    ArchiveSettings,
    BespinApiSettings,
    ClusterSettings,
    Config,
    DataStoreSettings,
    LandoApiSettings,
    Reading,
    WorkQueueSettings,
    read,
    secret_values,
)
from lando.doctor import api, broker, cluster, configuration, definitions, stores
from lando.doctor.examining import Asking, Part
from lando.doctor.findings import Finding, failed, ok
from lando.home import ClientSettings, Home
from lando.k8s.permissions import DAEMONS
from lando.local import presence
from lando.local.presence import Presence


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the doctor is told besides the file."""

    processes: Sequence[str] = DAEMONS
    """Whose permissions are looked at."""
    management_url: str | None = None
    admin_kubeconfig: str | None = None


@dataclass(frozen=True, kw_only=True)
class Site:
    """What is to be examined, and the secrets that no finding may show."""

    parts: Sequence[Part]
    secrets: Sequence[str] = ()


def of_file(file: str, reading: Reading, options: Options) -> Site:
    """The parts of a daemons' file; only the file itself where it can't be used."""
    first = Part(name="config", title="Configuration", examine=partial(configuration.examine, file, reading))
    if reading.config is None:
        return Site(parts=(first,))
    return Site(parts=(first, *_peers(reading.config, options)), secrets=tuple(secret_values(reading.config)))


def of_home(home: Home, options: Options) -> Site:
    """The parts of the stack that runs from ``home``; only the sentence that none does, otherwise."""
    known, cluster_here = home.read_client(), presence.find(home.cluster)
    if known is None or known.pid is None or cluster_here is None:
        advice = "start it with 'lando up', or name a daemons' file: lando doctor FILE"
        return Site(parts=(_here([failed("home", f"no 'lando up' runs from {home.path}", advice)]),))
    config = _embedded(home, known, cluster_here)
    parts = [_here([ok("home", f"{home.path}, server at {known.url}")]), *_peers(config, options)]
    if home.definitions.exists():
        parts.append(_definitions(str(home.definitions), config.cluster_api_settings))
    return Site(parts=parts, secrets=tuple(secret_values(config)))


def of_server(file: str | None, daemons: Config | None, environment: Mapping[str, str] = os.environ) -> Site:
    """The part of a server that no daemon has, its job definitions: those of its settings in ``file`` and the
    ``environment``; none without either. ``daemons`` tells of its cluster, else the daemons' file that it names."""
    if file is None and f"{api_settings.ENVIRONMENT_PREFIX}DEFINITIONS" not in environment:
        return Site(parts=())
    settings = api_settings.load(file, environment=environment)
    if daemons is None and settings.daemons_config is not None:
        daemons = read(settings.daemons_config).config
    if settings.definitions is None:
        none = ok("file", f"none: {file} names no file of definitions")
        return Site(parts=(Part(name="definitions", title="Job definitions", examine=lambda: iter([none])),))
    secrets = tuple(secret_values(daemons)) if daemons is not None else ()
    return Site(parts=(_definitions(settings.definitions, access(settings, daemons)),), secrets=secrets)


def _definitions(file: str, cluster_settings: ClusterSettings) -> Part:
    return Part(
        name="definitions",
        title=f"Job definitions, namespace {cluster_settings.namespace}",
        examine=partial(definitions.examine, file, cluster_settings),
    )


def _here(findings: Sequence[Finding]) -> Part:
    return Part(name="home", title="This machine", examine=lambda: iter(findings))


def _embedded(home: Home, known: ClientSettings, cluster_here: Presence) -> Config:
    """What a file would say of the stack, as far as it concerns a visitor."""
    return Config(
        work_queue=WorkQueueSettings(listen_queue="lando", url="memory://embedded"),
        cluster_api_settings=ClusterSettings(namespace=cluster_here.namespace, kubeconfig=cluster_here.kubeconfig),
        bespin_api=BespinApiSettings(url=f"{known.url}/api/v2", token=known.token),
        lando_api=LandoApiSettings(url=f"{known.url}/api/lando/v1", token=known.token),
        archive=ArchiveSettings(url=home.archive.as_uri()),
        data_store_settings=DataStoreSettings(url=home.results.as_uri()),
    )


def _peers(config: Config, options: Options) -> Iterator[Part]:
    title = "Queue" if _is_in_memory(config.work_queue) else "RabbitMQ"
    yield Part(name="broker", title=title, examine=partial(_broker, config.work_queue, options))
    yield Part(
        name="bespin_api",
        title="Bespin API",
        examine=partial(api.examine_bespin, config.bespin_api, is_alone=config.lando_api is None),
    )
    if config.lando_api is not None:
        yield Part(name="lando_api", title="Lando API", examine=partial(api.examine_lando, config.lando_api))
    yield Part(
        name="cluster",
        title=f"Cluster, namespace {config.cluster_api_settings.namespace}",
        examine=partial(
            cluster.examine, config, processes=options.processes, admin_kubeconfig=options.admin_kubeconfig
        ),
    )
    yield Part(name="archive", title="Archive of logs", examine=partial(stores.examine_archive, config))
    yield Part(name="results", title="Results", examine=partial(stores.examine_results, config))


def _is_in_memory(settings: WorkQueueSettings) -> bool:
    return settings.url is not None and urlsplit(settings.url).scheme == "memory"


def _broker(settings: WorkQueueSettings, options: Options) -> Iterator[Finding | Asking]:
    if _is_in_memory(settings):
        yield ok("queue", "within the one process that does everything; there is no broker to be asked")
        return
    yield from broker.examine(settings, management_url=options.management_url)
