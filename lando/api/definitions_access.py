"""Which cluster the Jobs of a server's definitions are made in, and as whom."""

from __future__ import annotations

from dataclasses import replace

from lando.api.settings import Settings
from lando.config import ClusterSettings, Config
from lando.errors import ConfigError


def access(settings: Settings, daemons: Config | None) -> ClusterSettings:
    """The cluster of ``daemons``, unless the settings name another; without both that of the server's own pod.

    Raises ConfigError when nothing says which namespace.
    """
    namespace, kubeconfig = settings.definitions_namespace, settings.definitions_kubeconfig
    if kubeconfig is None and daemons is not None:
        found = daemons.cluster_api_settings
        return replace(found, namespace=namespace or found.namespace)
    if namespace is None:
        raise ConfigError("definitions_namespace must say in which namespace the Jobs of definitions are to be.")
    return ClusterSettings(namespace=namespace, kubeconfig=kubeconfig, in_cluster=kubeconfig is None)
