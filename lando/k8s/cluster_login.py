"""How the settings log in to a Kubernetes API, as the client library's configuration."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import urllib3
import yaml

from lando import proxies
from lando.config import ClusterSettings
from lando.errors import ConfigError

CONNECTIONS = 32  # kept warm: workers, reflectors and log readers of one process; more are opened and dropped

log = logging.getLogger(__name__)


def configuration(settings: ClusterSettings) -> Any:
    """The client library's configuration for ``settings``."""
    configuration = kubernetes.client.Configuration()
    configuration.proxy = None  # the library takes one from the environment also for plain HTTP and this very machine
    if not _read(settings, configuration):
        if settings.host is None:
            raise ConfigError("cluster_api_settings: give host and token, or kubeconfig, or in_cluster: true")
        configuration.host = settings.host
    if settings.ssl_ca_cert is not None:
        configuration.ssl_ca_cert = settings.ssl_ca_cert
    if not settings.verify_ssl:
        configuration.verify_ssl = False
    if not configuration.verify_ssl:
        log.warning("TLS certificates of the cluster at %s are NOT verified (verify_ssl: false)", configuration.host)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # said once, just above
    elif configuration.host.startswith("http:") and settings.token:
        log.warning("the cluster at %s is reached without TLS: its token can be read on the way", configuration.host)
    chosen = proxies.proxy_for(configuration.host, settings.proxy or configuration.proxy)
    configuration.proxy, configuration.proxy_headers = proxies.split(chosen) if chosen else (None, None)
    configuration.no_proxy = None
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.socket_options = _keep_alive()
    return configuration


def read_again(settings: ClusterSettings) -> Any:
    """The login that the kubeconfig or the pod's account has by now, as a configuration; None where it is from neither.

    Raises ConfigError.
    """
    configuration = kubernetes.client.Configuration()
    return configuration if _read(settings, configuration) else None


def _read(settings: ClusterSettings, configuration: Any) -> bool:
    """Fill in what the kubeconfig or the pod's account says; whether there is one of them to ask."""
    try:
        if settings.kubeconfig is not None:
            _read_kubeconfig(settings, configuration)
        elif settings.in_cluster:
            kubernetes.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            return False
    except (kubernetes.config.ConfigException, OSError) as error:
        raise ConfigError(f"cluster_api_settings: {error}") from error
    return True


def _read_kubeconfig(settings: ClusterSettings, configuration: Any) -> None:
    """Of one file or of several, separated as in PATH."""
    path = settings.kubeconfig or ""
    place = f"cluster_api_settings.kubeconfig: {path}"
    if not any(Path(one).expanduser().exists() for one in path.split(os.pathsep) if one):
        raise ConfigError(f"{place}: there is no such file.")
    try:
        context = settings.context or _current_context(path)
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            path, context=context, client_configuration=configuration, persist_config=False
        )
        program = _login_program(path, context)
    except kubernetes.config.ConfigException as error:
        raise ConfigError(f"{place}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{place}: {error.strerror or error}.") from error
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, LookupError) as error:  # the library checks no types
        raise ConfigError(f"{place}: is no kubeconfig.") from error
    if program is not None and not configuration.api_key and not configuration.cert_file:
        # The library only logs that, and goes on as nobody.
        raise ConfigError(f"{place}: the program {program} that it names for the login gave none; try it by hand.")


def _current_context(path: str) -> str | None:
    """Of several files the first that names one, as kubectl has it; the library takes the last, even if that is ""."""
    named = (document.get("current-context") for document in _kubeconfigs(path))
    return next((str(context) for context in named if context), None)


def _login_program(path: str, context: str | None) -> str | None:
    """What is called for the login in this context, if it is a program."""

    def first(kind: str, name: str | None) -> dict[str, Any]:
        found = (
            one for document in _kubeconfigs(path) for one in document.get(f"{kind}s") or [] if one["name"] == name
        )
        item: dict[str, Any] = next(found, {})
        return item.get(kind) or {}

    program = first("user", first("context", context).get("user")).get("exec")
    return None if program is None else str(program.get("command"))


def _kubeconfigs(path: str) -> list[dict[str, Any]]:
    files = [Path(one).expanduser() for one in path.split(os.pathsep) if one]
    return [yaml.safe_load(file.read_text()) or {} for file in files if file.exists()]


def _keep_alive() -> list[tuple[int, int, int]]:
    """Socket options that find a dead peer of a silent watch within a minute."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
