"""Where the embedded cluster and the Kubernetes 1.20 that the contract tests may run against answer differently.

Where they do, the embedded one follows the documentation of current Kubernetes (or says the same in plainer words), and
the shared cases assert only what both do.
"""

from __future__ import annotations

KNOWN_DIFFERENCES = {
    "resourceVersion given on create, or unreadable on list": "400 BadRequest instead of a 500 without a reason",
    "apiVersion or kind of another type in the body": "the same 400, without the decoder's own words",
    "values of the wrong type": "the same 400, naming the field's path instead of a piece of the body",
    "a JSON patch that does not fit": "the same 422 Invalid, with the operation at fault in the message",
    "the media type of a patch": "the same 415, with the accepted types in the message (as current versions do)",
    "a watch from a version yet to come": "410 Expired at once instead of silence",
    "Jobs": "completionMode, suspend and podReplacementPolicy are kept and defaulted; 1.20 drops them",
    "labels of a Job's pods": "batch.kubernetes.io/controller-uid and /job-name besides the ones without a prefix",
    "the selector of a Job": "names batch.kubernetes.io/controller-uid; in 1.20 controller-uid",
    "labels of a namespace": "kubernetes.io/metadata.name is set; in 1.20 it is not",
    "access modes of a claim": "ReadWriteOncePod is known",
    "metadata.generation of a Job": "counted; 1.20 has none",
    "metadata.managedFields": "never kept; server-side apply is answered with 415",
    "pods' service account tokens": "no token volume is added; pods reach nothing of the cluster",
    "a namespace's kube-root-ca.crt": "is not made",
    "fields that are not known": "dropped in both; fieldValidation=Strict is honoured here only",
    "immutable fields": "the message shows the value as JSON, not as Go prints it, and no difference listing",
}
"""What the case is about → how the embedded cluster differs."""
