"""Which cluster a model runs on, and as whom (phases contract, 2: ``incluster``)."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from lando.config import ClusterSettings
from lando.errors import ConfigError
from lando.k8s.cluster import KubernetesCluster
from lando.phases.model import Settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a pod finds the token of its account."""


def connect(
    settings: Settings,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    on_call: Callable[[str, str], None] | None = None,
) -> KubernetesCluster:
    """The namespace that the model names, in the cluster that it, the options or the environment name.

    ``kubeconfig`` and ``context`` go before ``incluster``; else, unless that says which, it is the pod's own account
    where there is one, and otherwise the kubeconfig of ``KUBECONFIG`` or in ``~/.kube``.

    Raises:
        ConfigError: There is no such account, kubeconfig or context.
    """
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and ACCOUNT.exists()
    chosen = kubeconfig is not None or context is not None
    if not chosen and (settings.incluster or (settings.incluster is None and in_pod)):
        if not in_pod:
            raise ConfigError("incluster: true, but this is no pod with an account: leave it out, or start it in one.")
        login = ClusterSettings(namespace=settings.kubernetes_namespace, in_cluster=True)
    else:
        login = ClusterSettings(
            namespace=settings.kubernetes_namespace, kubeconfig=_kubeconfigs(kubeconfig), context=context
        )
    warnings = logging.getLogger("lando.k8s.cluster_login")
    level = warnings.level
    warnings.setLevel(logging.ERROR)  # what it warns of, `doubt` says
    try:
        return KubernetesCluster(login, on_call=on_call)
    except ConfigError as error:
        raise ConfigError(
            str(error).removeprefix("cluster_api_settings.").removeprefix("cluster_api_settings: ")
        ) from error
    finally:
        warnings.setLevel(level)


def doubt(settings: Settings, cluster: KubernetesCluster) -> str | None:
    """What whoever runs a model should know of the connection; ``ssl_insecure_warnings: false`` does not want to."""
    if settings.ssl_insecure_warnings and cluster.session.tls_context().verify_mode is ssl.CERT_NONE:
        return (
            f"The certificate of the cluster at {cluster.session.url} is not verified, as the kubeconfig says: whoever "
            "is on the way there can read and change everything. (ssl_insecure_warnings: false silences this.)"
        )
    return None


def _kubeconfigs(given: Path | None) -> str:
    """One file, or several that count as one, those that are there."""
    named = str(given) if given is not None else os.environ.get("KUBECONFIG", "")
    files = [path for path in named.split(os.pathsep) if path] or [str(Path.home() / ".kube" / "config")]
    there = [path for path in files if Path(path).exists()]
    if not there:
        raise ConfigError(
            f"There is no kubeconfig at {' or '.join(files)}: give one by KUBECONFIG or --kubeconfig; "
            "to try it without a cluster of your own, take that of `lando cluster up`."
        )
    return os.pathsep.join(there)
