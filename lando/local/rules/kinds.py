"""The kinds of objects that the embedded cluster serves, and the rules each of them follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lando.local.rules import claims, configuration, jobs, leases, limit_ranges, metadata, pods, quotas
from lando.local.rules.status import FieldError, Manifest


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind: where it is found, and what happens to an object before it is stored."""

    kind: str
    resource: str
    """The plural in paths."""
    short_names: tuple[str, ...] = ()
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    has_status: bool = False
    """Status is written through ``/status`` only, the rest through the object itself."""
    has_generation: bool = False
    """``metadata.generation`` counts changes of the spec."""
    graceful: bool = False
    """Deleting gives the object a grace period; the kubelet removes it for good."""
    orphans_by_default: bool = False
    """Deleting without a propagation policy leaves the dependents (batch/v1 Jobs)."""
    returns_deleted: bool = False
    """DELETE answers with the object instead of a Status."""
    created_by_update: bool = False
    """PUT creates an object that is not there."""
    updates_need_version: bool = False
    """PUT replaces only the version that it names."""
    fields: tuple[str, ...] = ()
    """Field selectors besides ``metadata.name`` and ``metadata.namespace``."""
    keep: Callable[[Manifest, Manifest], None] = metadata.keep_nothing
    """``(new, old)``: carries over, in place, what an update can't touch."""
    default: Callable[[Manifest], None] = metadata.no_defaults
    """Fills in, in place, what the writer left out."""
    initialise: Callable[[Manifest], None] = metadata.no_defaults
    """Adds, in place, what a new object is given besides defaults."""
    validate: Callable[[Manifest], list[FieldError]] = metadata.no_rules
    validate_update: Callable[[Manifest, Manifest], list[FieldError]] = metadata.no_update_rules
    """``(new, old)``: what may not change."""
    validate_name: Callable[[str], str | None] = metadata.subdomain_fault

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def selectable(self) -> tuple[str, ...]:
        """Every field a field selector may name."""
        own = ("metadata.name", "metadata.namespace") if self.namespaced else ("metadata.name",)
        return own + self.fields


KINDS: tuple[Kind, ...] = (
    Kind(
        kind="Namespace",
        resource="namespaces",
        short_names=("ns",),
        namespaced=False,
        has_status=True,
        fields=("status.phase", "name"),
        keep=configuration.keep_namespace_finalizers,
        default=configuration.default_namespace,
        initialise=configuration.initialise_namespace,
        validate_name=metadata.label_fault,
    ),
    Kind(
        kind="Pod",
        resource="pods",
        short_names=("po",),
        has_status=True,
        graceful=True,
        returns_deleted=True,
        fields=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        default=pods.default,
        initialise=pods.initialise,
        validate=pods.validate,
        validate_update=pods.validate_update,
    ),
    Kind(
        kind="ConfigMap",
        resource="configmaps",
        short_names=("cm",),
        validate=configuration.validate_config_map,
        validate_update=configuration.validate_immutable_data,
    ),
    Kind(
        kind="Secret",
        resource="secrets",
        fields=("type",),
        default=configuration.default_secret,
        validate=configuration.validate_secret,
        validate_update=configuration.validate_secret_update,
    ),
    Kind(
        kind="PersistentVolumeClaim",
        resource="persistentvolumeclaims",
        short_names=("pvc",),
        has_status=True,
        returns_deleted=True,
        default=claims.default,
        initialise=claims.initialise,
        validate=claims.validate,
        validate_update=claims.validate_update,
    ),
    Kind(
        kind="Event",
        resource="events",
        short_names=("ev",),
        fields=(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ),
        default=configuration.default_event,
        validate=configuration.validate_event,
    ),
    Kind(
        kind="ResourceQuota",
        resource="resourcequotas",
        short_names=("quota",),
        has_status=True,
        returns_deleted=True,
        validate=quotas.validate,
        validate_update=quotas.validate_update,
    ),
    Kind(
        kind="LimitRange",
        resource="limitranges",
        short_names=("limits",),
        default=limit_ranges.default,
        validate=limit_ranges.validate,
    ),
    Kind(kind="ServiceAccount", resource="serviceaccounts", short_names=("sa",), returns_deleted=True),
    Kind(
        kind="Job",
        resource="jobs",
        group="batch",
        has_status=True,
        has_generation=True,
        orphans_by_default=True,
        default=jobs.default,
        initialise=jobs.initialise,
        validate=jobs.validate,
        validate_update=jobs.validate_update,
    ),
    Kind(
        kind="Lease",
        resource="leases",
        group="coordination.k8s.io",
        created_by_update=True,
        updates_need_version=True,
        default=leases.default,
        validate=leases.validate,
    ),
)

BY_RESOURCE = {kind.resource: kind for kind in KINDS}
BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}
