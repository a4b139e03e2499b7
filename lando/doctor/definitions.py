"""Job definitions of a server: the file, the templates that it names, and what the account may do with their Jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from lando.config import ClusterSettings
from lando.definitions.checks import checking
from lando.definitions.connection import OwnConnection
from lando.doctor.cluster import may
from lando.doctor.cluster_answers import missing_words
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, failed, ok, unknown, warning
from lando.errors import PeerError, Unavailable
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.permissions import DEFINITIONS
from lando.k8s.side_by_side import together
from lando.units import count

TOLD = 20
"""Findings about the file; `lando definitions check` tells all."""


def examine(file: str, access: ClusterSettings) -> Iterator[Finding | Asking]:
    """As the account with which a server makes Jobs of the definitions in ``file``."""
    with KubernetesCluster(access) as cluster:
        yield Asking("reach")
        try:
            cluster.session.ask("/version")
        except Unavailable as error:
            said = str(error).removeprefix("cluster: ").removeprefix("GET /version: ")
            yield failed("reach", said, "check definitions_kubeconfig, or the cluster of the daemons' file")
        else:
            yield ok("reach", f"{cluster.session.url} answers")
            yield Asking("permissions")
            yield _permissions(cluster)
            yield Asking("namespace")
            yield from _namespace(cluster)
        yield Asking("file")
        with closing(OwnConnection(cluster.session)) as connection:
            yield from _file(file, connection)


def _permissions(cluster: KubernetesCluster) -> Finding:
    # ConfigMaps may be in other namespaces: whether they can be read is seen where a definition names them.
    wanted = sorted(one for one in DEFINITIONS if one.resource != "configmaps")
    answers = together([partial(may, cluster, one) for one in wanted])
    missing = [one for one, allowed in zip(wanted, answers, strict=True) if allowed is False]
    errors = [one for one in answers if isinstance(one, PeerError)]
    namespace = cluster.namespace
    if missing:
        advice = f"kubectl -n {namespace} apply -f openshift/definitions/rights.yaml"
        return failed("permissions", f"the account may not {missing_words(missing)} in {namespace}", advice)
    if errors:
        return unknown("permissions", str(errors[0]).removeprefix("cluster: "))
    return ok("permissions", f"all {len(wanted)} that it needs in {namespace}")


def _namespace(cluster: KubernetesCluster) -> Iterator[Finding]:
    """Whether it is there, by a Job that is made in a dry run: the account may not look at the namespace itself."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "lando-doctor"},
        "spec": {"template": {"spec": pod}},
    }
    namespace = cluster.namespace
    try:
        cluster.session.ask(f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/jobs?dryRun=All", job)
    except PeerError as error:
        if error.status == 404:  # a quota or a policy that refuses says that the namespace is there; rights are told
            advice = f"kubectl create namespace {namespace}, or change the setting definitions_namespace"
            yield failed("namespace", f"there is no namespace {namespace}", advice)
    else:
        yield ok("namespace", f"{namespace} is there")


def _file(file: str, connection: OwnConnection) -> Iterator[Finding]:
    advice = "mend it there; it is in force at once"
    try:
        checked = checking.check(Path(file), connection)
    except OSError as error:
        yield failed("file", f"{file}: {error.strerror}", "write it there, or change the setting definitions")
        return
    except HTTPError:
        yield unknown("file", "its ConfigMaps can't be looked at while the cluster is away")
        return
    for finding in checked.findings[:TOLD]:
        yield warning("file", str(finding), advice)  # the other definitions work
    if (left := len(checked.findings) - TOLD) > 0:
        yield warning("file", f"and {count(left, 'finding')} more", f"lando definitions check {file}")
    if not any(finding.is_error for finding in checked.findings):
        yield ok("file", f"{file} has {count(len(checked.sources), 'definition')}")
