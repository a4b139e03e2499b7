"""Where the embedded cluster and an older Kubernetes that the contract tests may run against answer differently.

The embedded one follows the documentation of current Kubernetes, or says the same in plainer words. What an older one
can't do yet is asked of it from the version on that can (:func:`since`); otherwise shared cases assert what both do.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.services.kubernetes_api import KubernetesApi

_API = "https://kubernetes.io/docs/reference/using-api/api-concepts/"
_CONVENTIONS = (
    "https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md"
)
_JOBS = "https://kubernetes.io/docs/concepts/workloads/controllers/job/"
_LEASES = "https://kubernetes.io/docs/concepts/architecture/leases/"
_LABELS = "https://kubernetes.io/docs/reference/labels-annotations-taints/"
_VOLUMES = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/"
_QUOTAS = "https://kubernetes.io/docs/concepts/policy/resource-quotas/"
_ACCOUNTS = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/"


@dataclass(frozen=True)
class Difference:
    here: str
    """What the embedded cluster does."""
    documentation: str
    """What decides."""
    since: int = 0
    """The minor version from which a real cluster does the same; 0 where it is a matter of words, or of choice."""


KNOWN_DIFFERENCES = {
    # What the cases are asked of newer clusters only.
    "a watch that begins with what is there and marks its end": Difference(
        "sendInitialEvents is served, as WatchList is", _API + "#streaming-lists", 32
    ),
    "sendInitialEvents without resourceVersionMatch, or on a list": Difference("422", _API + "#streaming-lists", 32),
    "fieldValidation": Difference("Strict names unknown fields with 400", _API + "#field-validation", 25),
    "suspended Jobs": Difference("no pods until resumed", _JOBS + "#suspending-a-job", 24),
    "Indexed Jobs": Difference("an index for each pod, completedIndexes", _JOBS + "#completion-mode", 24),
    "pod failure policies": Difference(
        "FailJob, Ignore and Count by exit codes and conditions; FailIndex is refused",
        _JOBS + "#pod-failure-policy",
        26,
    ),
    "reasons of a Job's success": Difference(
        "SuccessCriteriaMet, then Complete with reason CompletionsReached", _JOBS + "#terminal-job-conditions", 32
    ),
    "a failing Job's FailureTarget": Difference(
        "comes before Failed, which waits for the pods' end", _JOBS + "#terminal-job-conditions", 31
    ),
    "pods that are deleted count as failed": Difference(
        "a Job whose pod was deleted fails by its backoffLimit", _JOBS + "#job-tracking-with-finalizers", 26
    ),
    "a JSON patch that replaces what is not there": Difference("422, as RFC 6902 says; 1.20 adds it", _API, 21),
    # What both are asked, but answer in other words or with more.
    "resourceVersion given on create, or unreadable on list": Difference(
        "400 BadRequest instead of a 500 without a reason", _CONVENTIONS
    ),
    "apiVersion or kind of another type in the body": Difference("the same 400, in plainer words", _CONVENTIONS),
    "values of the wrong type": Difference(
        "the same 400 (422 for a patch), naming the field's path and never a value", _CONVENTIONS
    ),
    "a JSON patch that does not fit": Difference("the same 422, with the operation at fault", _API),
    "the media type of a patch": Difference("the same 415, with the accepted types in the message", _API),
    "selectors that can't be read": Difference("the same 400, in plainer words", _API),
    "a watch from a version yet to come": Difference("410 Expired at once instead of silence", _API),
    "labels of a Job's pods": Difference("batch.kubernetes.io/… besides those without a prefix", _LABELS),
    "transitions of a Lease below 0": Difference("the same 422; 1.20 words it otherwise", _LEASES),
    "the selector of a Job": Difference(
        "names batch.kubernetes.io/controller-uid", _JOBS + "#specifying-your-own-pod-selector"
    ),
    "labels of a namespace": Difference("kubernetes.io/metadata.name is set", _LABELS),
    "access modes of a claim": Difference("ReadWriteOncePod is known", _VOLUMES + "#access-modes"),
    "metadata.generation of a Job": Difference("counted; 1.20 has none", _CONVENTIONS),
    "containers that state no request under a quota": Difference("are named; 1.20 names the resources only", _QUOTAS),
    "metadata.managedFields": Difference("never kept; server-side apply is answered with 415", _API),
    "pods' service account tokens": Difference("no volume is added; pods reach nothing of the cluster", _ACCOUNTS),
    "a namespace's kube-root-ca.crt": Difference("is not made", _ACCOUNTS),
    "fields that are not known": Difference("dropped in both; a warning is sent", _API + "#field-validation"),
    "immutable fields": Difference("the message shows JSON, not Go's notation, and no listing", _CONVENTIONS),
}
"""What the cases are about → how the embedded cluster differs."""


def since(api: KubernetesApi, about: str) -> None:
    """Skip the case on a cluster that is too old for it; ``about`` is a key of :data:`KNOWN_DIFFERENCES`."""
    difference = KNOWN_DIFFERENCES[about]
    if api.minor_version() < difference.since:
        pytest.skip(f"{about}: Kubernetes 1.{difference.since} or later, see {difference.documentation}")
