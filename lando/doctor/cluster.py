"""The cluster: whether the daemons' account gets in, may do what they do, and finds what their runs need.

What the account itself may not read (a good account may not read Secrets) is not known, unless an administrator's
kubeconfig is lent for looking at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote, urlsplit

from lando.config import ClusterSettings, Config
from lando.doctor import clocks, cluster_answers, namespace_answers, tls
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, Level, failed, ok
from lando.errors import PeerError, Unavailable
from lando.k8s.cluster import KubernetesCluster, Manifest
from lando.k8s.cluster_errors import UNTRUSTED
from lando.k8s.cluster_session import ClusterSession
from lando.k8s.permissions import BY_PROCESS, DAEMONS, RECORD, Permission
from lando.k8s.side_by_side import together
from lando.plans import manifests
from lando.sources.http import JsonApi

REVIEWS_OF_OTHERS = "/apis/authorization.k8s.io/v1/{}/localsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
API_S = 5.0
"""For the API to tell its flavors, which are but a help here."""
_HOST = "cluster_api_settings.host"
_NAME = "lando-doctor"
"""Of what is created in dry runs."""

Ask = Callable[[str], Manifest]


def examine(
    config: Config, *, processes: Sequence[str] = DAEMONS, admin_kubeconfig: str | None = None
) -> Iterator[Finding | Asking]:
    """As the account of the ``processes`` named; ``admin_kubeconfig`` is used to read what they may not.

    Raises :class:`lando.errors.LandoError`.
    """
    settings = config.cluster_api_settings
    with KubernetesCluster(settings) as cluster:
        session = cluster.session
        yield Asking("reach")
        try:
            version = session.ask("/version")
        except Unavailable as error:
            yield _unreachable(error, session)
            return
        yield ok("reach", f"{session.url} answers")
        yield from _certificate(session)
        yield cluster_answers.version(version)

        yield Asking("token")
        who = _who(session)
        yield from cluster_answers.token(who, session.bearer_token(), settings.token, datetime.now(UTC))
        if isinstance(who, Unavailable) and who.status == 401:
            return
        yield Asking("clock")
        yield from clocks.judge(cluster.now(), datetime.now(UTC), "the cluster's")

        yield Asking("permissions")
        yield from cluster_answers.permissions(_reviews(cluster, processes), settings.namespace)

        if admin_kubeconfig is None:
            yield from _namespace(config, session, session.ask)
        else:
            lent = ClusterSettings(namespace=settings.namespace, kubeconfig=admin_kubeconfig)
            with KubernetesCluster(lent) as administrator:
                yield from _namespace(config, session, administrator.session.ask)
                yield from _record_account(config, administrator)


def _namespace(config: Config, session: ClusterSession, ask: Ask) -> Iterator[Finding | Asking]:
    """What runs find in the namespace and around it; ``ask`` reads what the daemons' own account may not."""
    namespace = config.cluster_api_settings.namespace
    inside = f"/api/v1/namespaces/{quote(namespace, safe='')}"

    yield Asking("namespace")
    empty, _ = manifests.config_map(_NAME, "config", {}, object_labels={}, owners=[], may_compress=False)
    dry, itself = _dry_run(session, f"{inside}/configmaps", empty), _read(ask, inside)
    found = list(namespace_answers.namespace(namespace, dry, itself, config.pods.security))
    yield from found
    if any(one.level is Level.FAILED and one.check == "namespace" for one in found):
        return

    yield Asking("storage class")
    mode, storage_class = config.pods.access_mode, config.storage_class_name
    yield from namespace_answers.storage(_read(ask, "/apis/storage.k8s.io/v1/storageclasses"), storage_class, mode)
    size = max(config.base_stage_data_volume_size_in_g, 1)
    claim = manifests.claim(_NAME, size, object_labels={}, owners=[], access_mode=mode, storage_class=storage_class)
    dry = _dry_run(session, f"{inside}/persistentvolumeclaims", claim)
    yield namespace_answers.accepted("volumes", "a claim as every run makes", dry)

    yield Asking("step jobs")
    jobs = f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/jobs"
    dry = _dry_run(session, jobs, namespace_answers.sample_job(config, _NAME))
    yield namespace_answers.accepted("step jobs", "a Job like every step's", dry)

    yield Asking("flavors")
    flavors = _flavors(config)
    yield Asking("quota")
    yield from namespace_answers.quotas(_read(ask, f"{inside}/resourcequotas"), config, flavors)
    yield Asking("limit range")
    yield from namespace_answers.limit_ranges(_read(ask, f"{inside}/limitranges"), config, flavors)

    for check, name, key in namespace_answers.secrets(config):
        yield Asking(check)
        secret = _read(ask, f"{inside}/secrets/{quote(name, safe='')}")
        yield namespace_answers.secret(check, name, key, namespace, secret)
    if (volume := config.run_workflow_settings.system_data_volume) is not None:
        yield Asking("system data")
        path = f"{inside}/persistentvolumeclaims/{quote(volume.volume_claim_name, safe='')}"
        yield namespace_answers.system_data(volume.volume_claim_name, namespace, _read(session.ask, path))
    for name in namespace_answers.accounts(config):
        yield Asking("service account")
        path = f"{inside}/serviceaccounts/{quote(name, safe='')}"
        yield namespace_answers.account(name, namespace, _read(ask, path))


def _flavors(config: Config) -> list[namespace_answers.Flavor]:
    """What jobs may ask for, as far as the API tells; its own part says why it does not."""
    api = JsonApi(
        "Bespin API",
        config.bespin_api.url,
        config.bespin_api.token,
        read_timeout_s=API_S,
        ca_file=config.bespin_api.ssl_ca_cert,
        proxy=config.bespin_api.proxy,
    )
    try:
        return namespace_answers.flavors_of(api.request("GET", "job-strategies/").document)
    except PeerError:
        return []
    finally:
        api.close()


def _unreachable(error: Unavailable, session: ClusterSession) -> Finding:
    said, _, advice = str(error).removeprefix("cluster: ").removeprefix("GET /version: ").partition("; ")
    if error.status == 401:
        return failed("token", f"{session.url} does not take it", cluster_answers.RENEWAL)
    if error.reason == UNTRUSTED:
        names = tls.other_names(session.url, session.tls_context(), _HOST) if session.proxy is None else None
        said, _, advice = names.partition("; ") if names else (said, "", advice)
        return failed("TLS", said, advice)
    usual = "check cluster_api_settings.host, and that a firewall lets this machine connect there"
    return failed("reach", said, advice or usual)


def _certificate(session: ClusterSession) -> Iterator[Finding | Asking]:
    parts = urlsplit(session.url)
    if session.proxy is not None:
        yield ok("proxy", f"asked through {session.proxy}")
    elif parts.scheme != "https":
        yield tls.without(parts.hostname or "", "the token", f"give {_HOST} an https address")
    else:
        yield Asking("TLS")
        yield from tls.examine(parts.hostname or "", parts.port or 443, session.tls_context(), setting=_HOST)


def _who(session: ClusterSession) -> str | PeerError:
    """The account's name, as the cluster has it; why it does not tell it."""
    question = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = session.ask(WHO, question)
    except PeerError as error:
        return error
    return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))


def _reviews(
    cluster: KubernetesCluster, processes: Sequence[str]
) -> dict[str, list[tuple[Permission, bool | PeerError]]]:
    """By process what its account may do, one review for each permission."""
    wanted = sorted(set().union(*(BY_PROCESS[process] for process in processes)))
    answers = dict(zip(wanted, together([partial(may, cluster, one) for one in wanted]), strict=True))
    return {process: [(one, answers[one]) for one in sorted(BY_PROCESS[process])] for process in processes}


def _record_account(config: Config, administrator: KubernetesCluster) -> Iterator[Finding | Asking]:
    """What the account of a record step may do, which only an administrator may ask."""
    account = config.record_output_project_settings.service_account_name
    if account is not None:
        yield Asking("record account")
        reviewed = [(one, may(administrator, one, account=account)) for one in sorted(RECORD)]
        yield from cluster_answers.permissions({account: reviewed}, administrator.namespace)


def may(cluster: KubernetesCluster, permission: Permission, *, account: str | None = None) -> bool | PeerError:
    """Whether the cluster's own user, or a service account, has the permission."""
    try:
        if account is None:
            return cluster.may(permission)
        inside = f"namespaces/{quote(cluster.namespace, safe='')}"
        question = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": cluster.namespace},
            "spec": {
                "resourceAttributes": {"namespace": cluster.namespace, **permission.attributes()},
                "user": f"system:serviceaccount:{cluster.namespace}:{account}",
            },
        }
        return bool(cluster.session.ask(REVIEWS_OF_OTHERS.format(inside), question).get("status", {}).get("allowed"))
    except PeerError as error:
        return error


def _read(ask: Ask, path: str) -> Manifest | PeerError:
    try:
        return ask(path)
    except PeerError as error:
        return error


def _dry_run(session: ClusterSession, path: str, manifest: Manifest) -> Manifest | PeerError:
    try:
        return session.ask(f"{path}?dryRun=All", manifest)
    except PeerError as error:
        return error
