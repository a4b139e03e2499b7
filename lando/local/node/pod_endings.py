"""The last words about a pod: that it failed with its node, and that nothing of it is left."""

from __future__ import annotations

from datetime import datetime

from lando.local.node.pod_status import ENDED, ContainerState, PodFailure, pod_status, terminated
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

NEVER_SEEN = 137
"""Exit code of a container that was never found to have run."""


def remove_for_good(store: ObjectStore, pod: Manifest) -> None:
    """The kubelet's word that nothing of a deleted pod runs any more: the object goes (once finalizers let it)."""
    metadata = pod["metadata"]
    if metadata.get("deletionGracePeriodSeconds") == 0:
        return
    try:
        store.delete("pods", metadata["namespace"], metadata["name"], uid=metadata["uid"], grace_period_s=0)
    except ApiError as error:
        if error.code not in (404, 409):
            raise


def fail_pod(store: ObjectStore, pod: Manifest, failure: PodFailure, now: datetime) -> Manifest | None:
    """Mark a pod of which nothing runs any more as failed; returns it, or None when it is gone."""

    def change(current: Manifest) -> None:
        def state(reported: Manifest) -> ContainerState:
            known = ContainerState(
                state=reported.get("state") or {},
                last=reported.get("lastState") or {},
                restarts=reported.get("restartCount", 0),
                container_id=reported.get("containerID", ""),
            )
            if known.exit_code is None:
                known.state = never_seen()
            return known

        spec, status = current["spec"], current.get("status") or {}
        reported = {
            each["name"]: each
            for part in ("initContainerStatuses", "containerStatuses")
            for each in status.get(part) or []
        }
        init = {each["name"]: state(reported.get(each["name"], {})) for each in spec.get("initContainers") or []}
        main = {each["name"]: state(reported.get(each["name"], {})) for each in spec["containers"]}
        current["status"] = pod_status(current, init, main, now, over=True, failure=failure)

    metadata = pod["metadata"]
    try:
        return store.modify(
            "pods", metadata["namespace"], metadata["name"], change, subresource="status", uid=metadata["uid"]
        )
    except ApiError as error:
        if error.code not in (404, 409):
            raise
        return None


def never_seen() -> Manifest:
    """The state of a container of which nothing is known at its pod's end."""
    message = "The container could not be located when the pod was terminated"
    return terminated(NEVER_SEEN, "ContainerStatusUnknown", message=message)


def is_over(pod: Manifest) -> bool:
    """Whether the pod has ended, well or not."""
    return (pod.get("status") or {}).get("phase") in ENDED
