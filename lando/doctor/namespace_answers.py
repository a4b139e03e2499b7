"""What lies in the namespace of the jobs and around it, and what that means for runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lando.config import Config, StepSettings
from lando.doctor.cluster_answers import unreadable
from lando.doctor.findings import Finding, failed, ok, unknown, warning
from lando.errors import NotFound, PeerError
from lando.k8s.cluster import Manifest
from lando.local.rules.quantities import parse_quantity
from lando.plans import manifests

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
ENFORCED = "pod-security.kubernetes.io/enforce"
BLOCK_PROVISIONERS = (
    "ebs.csi.aws.com",
    "kubernetes.io/aws-ebs",
    "pd.csi.storage.gke.io",
    "kubernetes.io/gce-pd",
    "disk.csi.azure.com",
    "kubernetes.io/azure-disk",
    "cinder.csi.openstack.org",
    "kubernetes.io/cinder",
    "csi.vsphere.vmware.com",
    "kubernetes.io/vsphere-volume",
    "rbd.csi.ceph.com",
    "kubernetes.io/rbd",
    "dobs.csi.digitalocean.com",
    "csi.hetzner.cloud",
    "linodebs.csi.linode.com",
    "topolvm.io",
    "openebs.io/local",
    "rancher.io/local-path",
)
"""Provisioners whose volumes are disks of one node at a time: they can't be ReadWriteMany (with file systems on them).
Some are prefixed by the operator's namespace, as ``openshift-storage.rbd.csi.ceph.com``."""
_COUNTED = ("pods", "count/jobs.batch", "count/configmaps", "persistentvolumeclaims", "requests.storage")
_COMPUTED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "cpu", "memory")


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """What a job may ask for, as the API has it."""

    name: str
    cpus: str
    memory: str


def namespace(name: str, dry: Manifest | PeerError, read: Manifest | PeerError, security: str) -> Iterator[Finding]:
    """``dry`` is the answer to a ConfigMap made in a dry run, ``read`` the namespace itself, if it may be read."""
    metadata = {} if isinstance(read, PeerError) else read.get("metadata") or {}
    if isinstance(dry, PeerError) and (isinstance(read, NotFound) or dry.status == 404):
        yield failed("namespace", f"there is no namespace {name}", f"kubectl create namespace {name}")
    elif metadata.get("deletionTimestamp") or (isinstance(dry, PeerError) and "being terminated" in str(dry)):
        yield failed("namespace", f"{name} is being deleted", "wait until it is gone, and make it anew")
    elif isinstance(dry, PeerError) and isinstance(read, PeerError):
        yield unknown("namespace", f"{name}: {unreadable(dry) or 'not there'}", f"kubectl get namespace {name}")
    else:
        yield ok("namespace", f"{name} is there")
    enforced = (metadata.get("labels") or {}).get(ENFORCED)
    if enforced in ("restricted", "baseline") and security == "legacy":
        advice = f"set pods.security to restricted, or have the label {ENFORCED} taken off"
        level = failed if enforced == "restricted" else warning
        yield level("pod security", f"{name} enforces {enforced}, but pods.security is legacy", advice)


def storage(classes: Manifest | PeerError, wanted: str | None, access_mode: str) -> Iterator[Finding]:
    """Whether there is the class of the volumes, and whether it can do the access mode."""
    check = "storage class"
    if isinstance(classes, NotFound):
        yield ok(check, "this cluster knows none: it gives every claim a folder")
        return
    if isinstance(classes, PeerError):
        yield unknown(check, f"{wanted or 'the default'}: {unreadable(classes)}", "kubectl get storageclass")
        return
    found = {str(one["metadata"]["name"]): one for one in classes.get("items") or []}
    defaults = [name for name, one in found.items() if _annotations(one).get(DEFAULT_CLASS) == "true"]
    known = f"there are {', '.join(sorted(found))}" if found else "there is none at all"
    if wanted is not None and wanted not in found:
        yield failed(check, f"there is no class {wanted}; {known}", "set storage_class_name to one that there is")
        return
    if wanted is None and not defaults:
        yield failed(check, f"none is the default; {known}", "set storage_class_name, or have one made the default")
        return
    name = wanted or defaults[0]
    provisioner = str(found[name].get("provisioner") or "")
    yield ok(check, f"{name}, by {provisioner or 'an unknown provisioner'}{'' if wanted else ' (the default)'}")
    is_block = any(provisioner == one or provisioner.endswith(f".{one}") for one in BLOCK_PROVISIONERS)
    if access_mode == "ReadWriteMany" and is_block:
        advice = "choose a class of shared file systems (NFS, CephFS, Filestore, …), or pods.access_mode ReadWriteOnce"
        yield warning(
            "access mode", f"ReadWriteMany, which {provisioner} is not known to do: claims stay Pending", advice
        )
    else:
        yield ok("access mode", access_mode)


def accepted(check: str, what: str, dry: Manifest | PeerError) -> Finding:
    """Of an object that was made in a dry run."""
    if not isinstance(dry, PeerError):
        return ok(check, f"{what} is accepted (dry run)")
    said = str(dry).removeprefix(f"{dry.peer}: ").partition(": ")[2] or str(dry)
    if dry.status == 403 and "cannot create" in said:
        return unknown(check, f"{what} can't be tried: this account may not create it")
    return failed(
        check, f"{what} is refused (dry run): {said}", "mend what it says, or have the namespace's rules changed"
    )


def sample_job(config: Config, name: str) -> Manifest:
    """A step's Job with all that the configuration puts on one."""
    spec = manifests.JobSpec(
        name=name,
        labels={},
        image="lando",
        command=["true"],
        args=[],
        requests={"cpu": "1", "memory": "1Gi"},
        volumes=[],
    )
    step = config.steps.get("run_workflow", StepSettings())
    return manifests.job(spec, attempt=1, owners=[], pods=config.pods, step=step)


def quotas(found: Manifest | PeerError, config: Config, flavors: Sequence[Flavor]) -> Iterator[Finding]:
    """What each ResourceQuota leaves for runs."""
    if isinstance(found, PeerError):
        yield unknown("quota", unreadable(found) or "not served", "kubectl get resourcequota, with an account that may")
        return
    items = found.get("items") or []
    if not items:
        yield ok("quota", "none")
    for quota in items:
        name = str(quota["metadata"]["name"])
        if (quota.get("spec") or {}).get("scopes") or (quota.get("spec") or {}).get("scopeSelector"):
            yield unknown("quota", f"{name} is for some pods only, by its scopes")
            continue
        yield from _quota(name, quota.get("status") or {}, config, flavors)


def _quota(name: str, status: Mapping[str, Any], config: Config, flavors: Sequence[Flavor]) -> Iterator[Finding]:
    hard, used = status.get("hard") or {}, status.get("used") or {}
    left = {key: _number(value) - _number(used.get(key, "0")) for key, value in hard.items()}
    shown = ", ".join(f"{used.get(key, '0')} of {hard[key]} {key}" for key in (*_COUNTED, *_COMPUTED) if key in hard)
    needed = {
        "persistentvolumeclaims": Decimal(2),
        "requests.storage": Decimal(2 * max(config.base_stage_data_volume_size_in_g, 1)) * 2**30,
    }
    short = [key for key, amount in left.items() if amount < needed.get(key, Decimal(1) / 10)]
    too_large = [
        f"flavor {one.name} asks for {amount} of {key}"
        for one in flavors
        for key, amount in (("requests.cpu", one.cpus), ("requests.memory", one.memory))
        if key in hard and _number(amount) > _number(hard[key])
    ]
    unset = [key for key in ("limits.cpu", "limits.memory") if key in hard and key[7:] not in config.pods.limits]
    seen = f"{name}: {shown or 'limits nothing that Lando uses'}"
    if too_large:
        yield failed("quota", f"{seen}; {'; '.join(too_large)}", "have it raised, or make the flavors smaller")
    elif short:
        advice = "have it raised, or free something (lando prune); until then runs wait"
        yield warning("quota", f"{seen}; not enough left of {', '.join(short)} for one more run", advice)
    elif unset:
        advice = f"set pods.limits, or have a LimitRange give defaults, for {' and '.join(key[7:] for key in unset)}"
        yield warning("quota", f"{seen}; pods without {' and '.join(unset)} are refused", advice)
    else:
        yield ok("quota", seen)


def limit_ranges(found: Manifest | PeerError, config: Config, flavors: Sequence[Flavor]) -> Iterator[Finding]:
    """Whether a LimitRange forbids what the flavors ask for."""
    if isinstance(found, PeerError):
        yield unknown(
            "limit range", unreadable(found) or "not served", "kubectl get limitrange, with an account that may"
        )
        return
    items = found.get("items") or []
    clashes = []
    for limit_range in items:
        for item in (limit_range.get("spec") or {}).get("limits") or []:
            if item.get("type") in ("Container", "Pod"):
                clashes += list(_clashes(str(limit_range["metadata"]["name"]), item, flavors))
    if clashes:
        yield failed("limit range", "; ".join(clashes), "change the flavors, or have the LimitRange changed")
    elif items:
        names = ", ".join(str(one["metadata"]["name"]) for one in items)
        yield ok("limit range", f"{names}: nothing against the {len(flavors)} flavors that the API tells of")
    else:
        yield ok("limit range", "none")


def _clashes(name: str, item: Mapping[str, Any], flavors: Sequence[Flavor]) -> Iterator[str]:
    least, most = item.get("min") or {}, item.get("max") or {}
    for flavor in flavors:
        for key, amount in (("cpu", flavor.cpus), ("memory", flavor.memory)):
            if key in most and _number(amount) > _number(most[key]):
                yield f"{name} allows a {item['type']} {most[key]} of {key}, flavor {flavor.name} asks for {amount}"
            if key in least and _number(amount) < _number(least[key]):
                yield f"{name} wants {least[key]} of {key} for a {item['type']}, flavor {flavor.name} asks for {amount}"


def flavors_of(strategies: Any) -> list[Flavor]:
    """The flavors of ``GET job-strategies/``, each once; what can't be read is left out."""
    found = {}
    for one in strategies if isinstance(strategies, list) else []:
        flavor = one.get("job_flavor") if isinstance(one, Mapping) else None
        if isinstance(flavor, Mapping) and {"name", "cpus", "memory"} <= flavor.keys():
            read = Flavor(**{key: str(flavor[key]) for key in ("name", "cpus", "memory")})
            found[read.name] = read
    return list(found.values())


def secrets(config: Config) -> Iterator[tuple[str, str, str]]:
    """Each Secret that pods need: the check, its name, the key it must have."""
    if config.data_store_settings.secret_name:
        yield "data store secret", config.data_store_settings.secret_name, "config"
    for name in config.pods.image_pull_secrets:
        yield "image pull secret", name, ".dockerconfigjson"


def secret(check: str, name: str, key: str, namespace: str, found: Manifest | PeerError) -> Finding:
    make = f"kubectl -n {namespace} create secret generic {name} --from-file={key}=FILE"
    if isinstance(found, NotFound):
        return failed(check, f"there is no Secret {name} in {namespace}", make)
    if isinstance(found, PeerError):
        why = f"{name}: {unreadable(found)}" + (", as it should be" if found.status == 403 else "")
        return unknown(check, why, f"kubectl -n {namespace} get secret {name}, or give --admin-kubeconfig")
    keys = sorted(found.get("data") or {})
    if key not in keys:
        return failed(check, f"{name} has no key {key}, only {', '.join(keys) or 'none'}", make)
    return ok(check, f"{name} is there, with its key {key}")


def system_data(name: str, namespace: str, found: Manifest | PeerError) -> Finding:
    check = "system data"
    if isinstance(found, NotFound):
        advice = "make the claim, and fill it; or take system_data_volume out of run_workflow_settings"
        return failed(check, f"there is no claim {name} in {namespace}", advice)
    if isinstance(found, PeerError):
        return unknown(check, f"{name}: {unreadable(found)}", f"kubectl -n {namespace} get pvc {name}")
    phase = str((found.get("status") or {}).get("phase") or "Pending")
    modes = [str(mode) for mode in (found.get("spec") or {}).get("accessModes") or []]
    if phase != "Bound":
        advice = (
            f"kubectl -n {namespace} describe pvc {name}; where volumes wait for their first consumer, fill it first"
        )
        return warning(check, f"{name} is {phase}, not Bound", advice)
    if not {"ReadWriteMany", "ReadOnlyMany"} & set(modes):
        advice = "give it ReadOnlyMany or ReadWriteMany, unless all pods run on one node"
        return warning(check, f"{name} is Bound, but only {', '.join(modes)}: run steps on other nodes wait", advice)
    return ok(check, f"{name} is Bound")


def accounts(config: Config) -> Iterator[str]:
    """The service accounts of step pods."""
    yield config.record_output_project_settings.service_account_name or "default"
    if config.record_output_project_settings.service_account_name:
        yield "default"  # of all other steps


def account(name: str, namespace: str, found: Manifest | PeerError) -> Finding:
    check = "service account"
    if isinstance(found, NotFound):
        advice = f"kubectl -n {namespace} create serviceaccount {name}"
        return failed(check, f"there is no account {name} in {namespace}, for step pods", advice)
    if isinstance(found, PeerError):
        return unknown(check, f"{name}: {unreadable(found)}", f"kubectl -n {namespace} get serviceaccount {name}")
    return ok(check, f"{name} is there, for step pods")


def _annotations(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return item["metadata"].get("annotations") or {}


def _number(quantity: object) -> Decimal:
    try:
        return parse_quantity(str(quantity))
    except ValueError:
        return Decimal(0)
