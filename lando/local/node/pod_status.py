"""A pod's status, put together from what its containers do, as a kubelet reports it. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lando.local.rules.lifecycle import timestamp
from lando.local.rules.status import Manifest

NODE_IP = "127.0.0.1"
DISRUPTED = "DisruptionTarget"
ENDED = ("Succeeded", "Failed")


@dataclass
class ContainerState:
    """What is known of one container."""

    state: Manifest = field(default_factory=lambda: waiting("ContainerCreating"))
    """``{"waiting": …}``, ``{"running": …}`` or ``{"terminated": …}``."""
    last: Manifest = field(default_factory=dict)
    """The state in which the incarnation before a restart ended."""
    restarts: int = 0
    container_id: str = ""

    @property
    def exit_code(self) -> int | None:
        """None unless it has terminated."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def started_once(self) -> bool:
        return bool(self.container_id)


def waiting(reason: str, message: str = "") -> Manifest:
    """A container state: not started, for ``reason``."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(
    exit_code: int,
    reason: str,
    *,
    started: datetime | None = None,
    finished: datetime | None = None,
    message: str = "",
    container_id: str = "",
) -> Manifest:
    """A container state: ended."""
    ended: Manifest = {"exitCode": exit_code, "reason": reason}
    if message:
        ended["message"] = message
    # Both times stand there always; what never was is the epoch, as in Kubernetes' answers.
    ended["startedAt"] = timestamp(started) if started is not None else None
    ended["finishedAt"] = timestamp(finished) if finished is not None else None
    if container_id:
        ended["containerID"] = container_id
    return {"terminated": {key: value for key, value in ended.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class PodFailure:
    """A reason for a pod's failure beyond its containers' own."""

    reason: str
    message: str
    disruption: bool = False
    """The node's doing, not the pod's: marked by the condition DisruptionTarget."""


NODE_STOPPING = PodFailure(
    reason="Terminated", message="Pod was terminated in response to imminent node shutdown.", disruption=True
)
NODE_LOST = PodFailure(
    reason="Terminated", message="Pod was terminated because its node stopped without warning.", disruption=True
)
NODE_ERROR = PodFailure(
    reason="NodeError", message="The node failed to run the pod; its log says why.", disruption=True
)
PAST_DEADLINE = PodFailure(
    reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"
)


def phase_of(
    pod: Manifest,
    init: Mapping[str, ContainerState],
    main: Mapping[str, ContainerState],
    *,
    over: bool,
    failure: PodFailure | None,
) -> str:
    """Pending, Running, Succeeded or Failed. ``over`` says that no container will be started any more."""
    if over and failure is not None:
        return "Failed"
    codes = [state.exit_code for state in main.values()]
    if over:
        all_good = all(state.exit_code == 0 for state in init.values()) and all(code == 0 for code in codes)
        return "Succeeded" if all_good else "Failed"
    begun = any(state.started_once for state in main.values())
    return "Running" if begun else "Pending"


def pod_status(
    pod: Manifest,
    init: Mapping[str, ContainerState],
    main: Mapping[str, ContainerState],
    now: datetime,
    *,
    over: bool = False,
    failure: PodFailure | None = None,
) -> Manifest:
    """The whole status of ``pod``; of the recorded one it keeps what others wrote (scheduler, API server)."""
    old = pod.get("status") or {}
    phase = phase_of(pod, init, main, over=over, failure=failure)
    status: Manifest = {
        **copy.deepcopy(old),
        "phase": phase,
        "hostIP": NODE_IP,
        "hostIPs": [{"ip": NODE_IP}],
        "podIP": NODE_IP,
        "podIPs": [{"ip": NODE_IP}],
    }
    status.setdefault("startTime", timestamp(now))
    if failure is not None and phase == "Failed":
        status["reason"], status["message"] = failure.reason, failure.message
    spec = pod["spec"]
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [
            _reported(each, init[each["name"]], init=True) for each in spec["initContainers"]
        ]
    status["containerStatuses"] = [_reported(each, main[each["name"]], init=False) for each in spec["containers"]]
    conditions = _Conditions(old.get("conditions") or [], now)
    if failure is not None and failure.disruption and phase == "Failed":
        conditions.set(DISRUPTED, True, "TerminationByKubelet", failure.message)
    _report_readiness(conditions, phase, init, main)
    status["conditions"] = conditions.entries
    return status


def _reported(container: Manifest, state: ContainerState, *, init: bool) -> Manifest:
    ready = state.exit_code == 0 if init else state.running
    reported: Manifest = {
        "name": container["name"],
        "state": copy.deepcopy(state.state),
        "lastState": {"terminated": copy.deepcopy(state.last["terminated"])} if state.last else {},
        "ready": ready,
        "restartCount": state.restarts,
        "image": container.get("image", ""),
        "imageID": "",
        "started": state.running,
    }
    if state.container_id:
        reported["imageID"] = f"lando-local://{container.get('image', '')}"
        reported["containerID"] = state.container_id
    return reported


class _Conditions:
    """Conditions by type; the time of one changes only with its status."""

    def __init__(self, old: Sequence[Manifest], now: datetime) -> None:
        self.entries = [dict(entry) for entry in old]
        self._now = timestamp(now)

    def set(self, kind: str, value: bool, reason: str = "", message: str = "") -> None:
        status = "True" if value else "False"
        before = next((entry for entry in self.entries if entry["type"] == kind), None)
        changed = before is None or before["status"] != status
        entry: dict[str, Any] = {
            "type": kind,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": self._now if changed or before is None else before["lastTransitionTime"],
        }
        if reason:
            entry["reason"] = reason
        if message:
            entry["message"] = message
        entry = {key: each for key, each in entry.items() if each is not None}
        if before is None:
            self.entries.append(entry)
        else:
            self.entries[self.entries.index(before)] = entry


def _report_readiness(
    conditions: _Conditions, phase: str, init: Mapping[str, ContainerState], main: Mapping[str, ContainerState]
) -> None:
    conditions.set("PodReadyToStartContainers", phase not in ENDED)
    incomplete = [name for name, state in init.items() if state.exit_code != 0]
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        conditions.set("Initialized", False, "ContainersNotInitialized", message)
    else:
        conditions.set("Initialized", True, "PodCompleted" if phase == "Succeeded" else "")
    unready = [name for name, state in main.items() if not state.running]
    for kind in ("Ready", "ContainersReady"):
        if phase == "Succeeded":
            conditions.set(kind, False, "PodCompleted")
        elif phase == "Failed":
            conditions.set(kind, False, "PodFailed")
        elif unready:
            conditions.set(kind, False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        else:
            conditions.set(kind, True)
