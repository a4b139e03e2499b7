"""The rules of Leases (coordination.k8s.io/v1). Pure.

Times are MicroTimes: :mod:`.schema` refuses others. As with the real API server, a PUT creates a Lease that is not
there, and one that is there is replaced only by whoever names its ``resourceVersion``.
"""

from __future__ import annotations

from lando.local.rules.status import FieldError, Manifest, invalid_value

_COORDINATED = ("strategy", "preferredHolder")
"""Fields of coordinated leader election, which API servers drop unless it is switched on."""


def default(manifest: Manifest) -> None:
    spec = manifest.setdefault("spec", {})
    for field in _COORDINATED:
        spec.pop(field, None)


def validate(manifest: Manifest) -> list[FieldError]:
    spec, errors = manifest["spec"], list[FieldError]()
    if "leaseDurationSeconds" in spec and spec["leaseDurationSeconds"] <= 0:
        errors.append(
            invalid_value("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        )
    if spec.get("leaseTransitions", 0) < 0:
        errors.append(
            invalid_value("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
        )
    return errors
