# ruff: noqa: E501 - the words of clusters are kept whole
"""What clusters from 1.20 to 1.3x show for each rule: the words of kubelets, schedulers, runtimes and controllers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
STEP = "run-workflow-42-ada"
POD = f"{STEP}-x7k2p"
IMAGE = "registry.example.org/duke/tool:1.4"

Made = dict[str, Any]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- objects as the API gives them ----------------------------------------------------------------------------------


def job(*conditions: Made, restart: str = "Never", deadline: int | None = None, suspend: bool = False) -> Made:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": STEP,
            "namespace": "lando",
            "uid": "6f0c1a52-job",
            "creationTimestamp": at(0),
            "labels": {"bespin-job": "true", "bespin-job-id": "42", "bespin-job-step": "run_workflow"},
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "completionMode": "NonIndexed",
            "suspend": suspend,
            "template": {"spec": {"restartPolicy": restart}},
            **({"activeDeadlineSeconds": deadline} if deadline else {}),
        },
        "status": {
            "startTime": at(0),
            "conditions": [
                {"status": "True", "lastProbeTime": at(60), "lastTransitionTime": at(60), **entry}
                for entry in conditions
            ],
        },
    }


def failed(reason: str = "BackoffLimitExceeded", message: str | None = None, **more: Any) -> Made:
    said = {
        "BackoffLimitExceeded": "Job has reached the specified backoff limit",
        "DeadlineExceeded": "Job was active longer than specified deadline",
    }
    return job(
        {"type": "Failed", "reason": reason, "message": said.get(reason, "") if message is None else message}, **more
    )


def pod(
    phase: str,
    *states: Made,
    node: str | None = "gke-pool-7",
    status: Made | None = None,
    scheduled: Made | None = None,
    conditions: list[Made] | None = None,
    resources: Made | None = None,
    init: Made | None = None,
    restart: str = "Never",
    deleted_at: float | None = None,
    last: Made | None = None,
) -> Made:
    """A pod of the step with a main container in ``states[0]``, and an init container before it if ``init`` is given."""
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["calrissian", "--debug", "workflow.cwl"],
        "resources": resources or {},
        "env": [{"name": "TOKEN", "value": "s3cret"}],
    }
    placed = scheduled or ({"status": "True", "lastTransitionTime": at(1)} if node else None)
    of_init = []
    if init is not None:
        of_init = [
            {"name": "prepare", "image": IMAGE, "restartCount": 0, "ready": False, "state": init, "lastState": {}}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": POD,
            "namespace": "lando",
            "uid": "9b1d77e0-pod",
            "creationTimestamp": at(1),
            "labels": {"job-name": STEP, "batch.kubernetes.io/job-name": STEP},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": STEP, "uid": "6f0c1a52-job"}],
            **({"deletionTimestamp": at(deleted_at)} if deleted_at is not None else {}),
        },
        "spec": {
            "restartPolicy": restart,
            "containers": [container],
            **({"initContainers": [{"name": "prepare", "image": IMAGE, "resources": resources or {}}]} if init else {}),
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "job-data-42-ada"}},
                {"name": "config", "configMap": {"name": "stage-data-42-ada"}},
            ],
            **({"nodeName": node} if node else {}),
        },
        "status": {
            "phase": phase,
            "qosClass": "Burstable",
            "conditions": [*([{"type": "PodScheduled", **placed}] if placed else []), *(conditions or [])],
            **({"startTime": at(2), "hostIP": "10.0.0.7"} if node else {}),
            **({"initContainerStatuses": of_init} if of_init else {}),
            "containerStatuses": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "imageID": "",
                    "ready": "running" in state,
                    "started": "running" in state,
                    "restartCount": 0,
                    "state": state,
                    "lastState": last or {},
                }
                for state in states
            ],
            **(status or {}),
        },
    }


def ended(code: int, reason: str = "Error", message: str | None = None) -> Made:
    state = {
        "exitCode": code,
        "reason": reason,
        "startedAt": at(5),
        "finishedAt": at(50),
        "containerID": "containerd://0d2f",
    }
    return {"terminated": state | ({"message": message} if message else {})}


def waits(reason: str, message: str = "") -> Made:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def event(reason: str, message: str, about: Made | None = None, seconds: float = 3, kind: str = "Warning") -> Made:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{POD}.17a", "namespace": "lando", "uid": f"event-{reason}-{seconds}"},
        "involvedObject": about or {"kind": "Pod", "name": POD, "uid": "9b1d77e0-pod"},
        "type": kind,
        "reason": reason,
        "message": message,
        "firstTimestamp": at(seconds),
        "lastTimestamp": at(seconds),
        "count": 1,
        "source": {"component": "kubelet"},
    }


OF_JOB = {"kind": "Job", "name": STEP, "uid": "6f0c1a52-job"}
OF_CLAIM = {"kind": "PersistentVolumeClaim", "name": "job-data-42-ada", "uid": "11aa-claim"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a cluster shows."""

    job: Made = field(default_factory=job)
    pods: tuple[Made, ...] = ()
    events: tuple[Made, ...] = ()
    log: str = ""


def of_pod(made: Made, *events: Made) -> Shown:
    return Shown(pods=(made,), events=events)


def of_end(made: Made, log: str = "") -> Shown:
    return Shown(job=failed(), pods=(made,), log=log)


def by_node(reason: str, message: str) -> Shown:
    """A pod that its node ended or refused."""
    return of_end(pod("Failed", status={"reason": reason, "message": message}))


def disrupted(reason: str, message: str) -> Shown:
    entry = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return of_end(pod("Failed", ended(143), conditions=[entry]))


def pulling(words: str, *, code: str = "Unknown", reason: str = "ErrImagePull") -> Shown:
    return of_pod(pod("Pending", waits(reason, f"rpc error: code = {code} desc = {words}")))


def starting(reason: str, code: int, words: str) -> Shown:
    return of_end(pod("Failed", ended(code, reason, words)))


def container_waits(reason: str, message: str) -> Shown:
    return of_pod(pod("Pending", waits(reason, message)))


def unscheduled(message: str, *events: Made, reason: str = "Unschedulable") -> Shown:
    entry = {"status": "False", "reason": reason, "message": message, "lastTransitionTime": at(2)}
    return of_pod(pod("Pending", node=None, scheduled=entry), *events)


def setting_up(reason: str, message: str) -> Shown:
    return of_pod(pod("Pending", waits("ContainerCreating")), event(reason, message))


def refused(message: str) -> Shown:
    return Shown(events=(event("FailedCreate", f"Error creating: {message}", OF_JOB),))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a rule is to say of each of several recordings."""

    says: str
    """Part of the sentence."""
    shown: tuple[Shown, ...]


FORBIDDEN = f'pods "{POD}" is forbidden: '
RUNC = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
OLD_RUNC = "OCI runtime create failed: container_linux.go:380: starting container process caused: "
RESOLVE = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
GONE = pod("Failed", ended(143), deleted_at=30)

CASES: Mapping[str, Case] = {
    # -- ends
    "deadline-before-start": Case(
        says="The step's deadline of 60 s passed before it could start. The image",
        shown=(
            Shown(
                job=failed("DeadlineExceeded", deadline=60),
                pods=(pod("Pending", waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'), deleted_at=60),),
            ),
        ),
    ),
    "deadline": Case(
        says="The step ran longer than its deadline of 3600 s.",
        shown=(
            Shown(
                job=failed("DeadlineExceeded", deadline=3600),
                pods=(pod("Running", {"running": {"startedAt": at(5)}}, deleted_at=3600),),
            ),
            Shown(job=failed("DeadlineExceeded", deadline=3600)),
        ),
    ),
    "pod-deadline": Case(
        says=f"The pod {POD} ran longer than its deadline.",
        shown=(by_node("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),),
    ),
    "evicted-own-disk": Case(
        says="using more disk than its limit",
        shown=(
            by_node("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "),
            by_node("Evicted", 'Container main exceeded its local ephemeral storage limit "1Gi". '),
            by_node("Evicted", 'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". '),
        ),
    ),
    "evicted-memory": Case(
        says="its node ran out of memory: The node",
        shown=(
            by_node(
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 84068Ki. "
                "Container main was using 3Gi, request is 1Gi, has larger consumption of memory. ",
            ),
            by_node("Evicted", "The node had condition: [MemoryPressure]. "),
            of_end(  # since 1.26 with the condition DisruptionTarget, which tells less
                pod(
                    "Failed",
                    ended(137),
                    status={"reason": "Evicted", "message": "The node was low on resource: memory. "},
                    conditions=[
                        {
                            "type": "DisruptionTarget",
                            "status": "True",
                            "reason": "TerminationByKubelet",
                            "message": "The node was low on resource: memory. ",
                        }
                    ],
                )
            ),
        ),
    ),
    "evicted-disk": Case(
        says="its node ran out of disk space: The node",
        shown=(
            by_node(
                "Evicted",
                "The node was low on resource: ephemeral-storage. Threshold quantity: 4108536268, available: "
                "3886708Ki. Container main was using 19156Ki, request is 0, has larger consumption of "
                "ephemeral-storage. ",
            ),
            by_node("Evicted", "The node was low on resource: inodes. "),
            by_node("Evicted", "The node had condition: [DiskPressure]. "),
        ),
    ),
    "evicted": Case(
        says="was evicted from its node: The node was low on resource: pids.",
        shown=(by_node("Evicted", "The node was low on resource: pids. "),),
    ),
    "preempted-by-node": Case(
        says="was preempted on its node by a more important pod: Preempted in order to admit critical pod.",
        shown=(
            by_node("Preempting", "Preempted in order to admit critical pod"),
            by_node("Preempted", "Preempted in order to admit critical pod"),
        ),
    ),
    "node-lost": Case(
        says="on node gke-pool-7 is on a node that no longer answers",
        shown=(by_node("NodeLost", f"Node gke-pool-7 which was running pod {POD} is unresponsive"),),
    ),
    "node-stopped": Case(
        says="was stopped in good order",
        shown=(by_node("Terminated", "Pod was terminated in response to imminent node shutdown."),),
    ),
    "node-shutdown": Case(
        says="was ended because its node went down: ",
        shown=(
            by_node("Terminated", "Pod was terminated because its node stopped without warning."),
            by_node("NodeShutdown", "Pod was rejected as the node is shutting down."),
            by_node("Shutdown", "Node is shutting, evicting pods"),
        ),
    ),
    "node-full": Case(
        says="was refused by its node, which has no room for it: ",
        shown=(
            by_node(
                "OutOfcpu", "Pod Node didn't have enough resource: cpu, requested: 1000, used: 3500, capacity: 4000"
            ),
            by_node(
                "OutOfmemory",
                "Pod was rejected: Node didn't have enough resource: memory, requested: 8589934592, used: 209715200, "
                "capacity: 8330764288",
            ),
            by_node("OutOfpods", "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 110"),
            by_node("OutOfephemeral-storage", "Node didn't have enough resource: ephemeral-storage, requested: 5"),
        ),
    ),
    "node-relabeled": Case(
        says="whose labels have changed: P",
        shown=(
            by_node("NodeAffinity", "Predicate NodeAffinity failed"),
            by_node(
                "NodeAffinity",
                "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            ),
        ),
    ),
    "node-refused": Case(
        says="was refused by its node: ",
        shown=(
            by_node(
                "UnexpectedAdmissionError",
                "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 1, "
                "Available: 0, which is unexpected",
            ),
            by_node("TopologyAffinityError", "Resources cannot be allocated with Topology locality"),
        ),
    ),
    "preempted": Case(
        says="was preempted by a pod of higher priority: ",
        shown=(
            disrupted("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
            disrupted(
                "PreemptionByKubeScheduler",
                "Kube-scheduler: preempting to accommodate a higher priority pod: default/pause2",
            ),
        ),
    ),
    "node-tainted": Case(
        says="had to leave its node, which is lost or being emptied: Taint manager",
        shown=(disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),),
    ),
    "drained": Case(
        says="being drained: Eviction API: evicting.",
        shown=(disrupted("EvictionByEvictionAPI", "Eviction API: evicting"),),
    ),
    "node-removed": Case(
        says="its node no longer exists: PodGC: node no longer exists.",
        shown=(disrupted("DeletionByPodGC", "PodGC: node no longer exists"),),
    ),
    "ended-by-node": Case(
        says="shutting down or short of resources",
        shown=(disrupted("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."),),
    ),
    "disrupted": Case(
        says="was taken away by the cluster (Rebalanced): descheduler.",
        shown=(disrupted("Rebalanced", "descheduler"),),
    ),
    "out-of-memory": Case(
        says="was ended for using more memory than its limit of 2Gi.",
        shown=(
            of_end(pod("Failed", ended(137, "OOMKilled"), resources={"limits": {"memory": "2Gi"}})),
            of_end(
                pod(
                    "Failed",
                    waits("PodInitializing"),
                    init=ended(137, "OOMKilled"),
                    resources={"limits": {"memory": "2Gi"}},
                )
            ),
        ),
    ),
    "out-of-memory-without-limit": Case(
        says="memory ran out (it has no limit of its own and asked for 1Gi)",
        shown=(of_end(pod("Failed", ended(137, "OOMKilled"), resources={"requests": {"memory": "1Gi"}})),),
    ),
    "too-many-processes": Case(
        says="was ended for starting more processes than its node allows: The container ran 4211 processes and threads",
        shown=(
            of_end(
                pod(
                    "Failed",
                    ended(
                        137,
                        "PidsLimit",
                        "The container ran 4211 processes and threads at a time; this node allows 4096.",
                    ),
                )
            ),
        ),
    ),
    "out-of-memory-at-start": Case(
        says="is too low even to start it: ",
        shown=(
            starting(
                "StartError",
                128,
                RUNC
                + "unable to start container process: container init was OOM-killed (memory limit too low?): unknown",
            ),
            starting("StartError", 128, "container create failed: OOM: the memory limit could be too low"),
        ),
    ),
    "device-runtime": Case(
        says="Node gke-pool-7 can't give container main its device: ",
        shown=(
            starting(
                "StartError",
                128,
                RUNC + "unable to start container process: error during container init: error running hook #0: exit "
                "status 1, stdout: , stderr: nvidia-container-cli: initialization error: nvml error: driver not loaded",
            ),
        ),
    ),
    "no-such-working-directory": Case(
        says="The working directory of container main can't be entered: ",
        shown=(
            starting(
                "StartError",
                128,
                RUNC + 'unable to start container process: chdir to cwd ("/home/nonroot") set in config.json failed: '
                "permission denied: unknown",
            ),
            starting(
                "ContainerCannotRun",
                128,
                OLD_RUNC
                + 'chdir to cwd ("/home/nonroot") set in config.json failed: no such file or directory: unknown',
            ),
            container_waits(
                "CreateContainerError",
                'container create failed: time="2026-03-04T10:00:05Z" level=error msg="container_linux.go:366: starting '
                'container process caused: chdir to cwd (\\"/root\\") set in config.json failed: permission denied"',
            ),
            starting("StartError", 128, "the working directory /nowhere does not exist on this machine"),
        ),
    ),
    "wrong-architecture": Case(
        says="not built for the node's processor",
        shown=(
            of_end(pod("Failed", ended(255)), log="exec /usr/local/bin/calrissian: exec format error\n"),
            of_end(
                pod("Failed", ended(1)),
                log="standard_init_linux.go:228: exec user process caused: exec format error\n",
            ),
            starting("StartError", 128, "exec container process `/usr/bin/tool`: Exec format error"),
        ),
    ),
    "program-not-executable": Case(
        says="The program of container main may not be executed: ",
        shown=(
            starting(
                "StartError",
                128,
                RUNC + 'unable to start container process: exec: "/bespin/config": permission denied: unknown',
            ),
            starting("ContainerCannotRun", 126, OLD_RUNC + 'exec: "/bespin": permission denied: unknown'),
        ),
    ),
    "program-not-found": Case(
        says="The program of container main was not found in its image: ",
        shown=(
            starting(
                "StartError",
                128,
                RUNC
                + 'unable to start container process: exec: "calrisian": executable file not found in $PATH: unknown',
            ),
            starting(
                "ContainerCannotRun", 127, OLD_RUNC + 'exec: "calrisian": executable file not found in $PATH: unknown'
            ),
            starting(
                "StartError",
                128,
                RUNC
                + 'unable to start container process: exec: "/bin/tool": stat /bin/tool: no such file or directory',
            ),
            container_waits(
                "CreateContainerError",
                "container create failed: executable file `calrisian` not found in $PATH: No such file or directory",
            ),
            container_waits(
                "CreateContainerError",
                'failed to generate container "0d2f" spec: failed to generate spec: no command specified',
            ),
        ),
    ),
    "start-error": Case(
        says="Container main could not be started: ",
        shown=(
            starting(
                "StartError", 128, "failed to create containerd task: failed to start shim: start failed: unknown"
            ),
            container_waits("RunContainerError", "failed to create containerd task: cgroups: cgroup deleted: unknown"),
        ),
    ),
    "pod-deleted": Case(says="was deleted from outside while its step ran", shown=(of_end(GONE),)),
    "told-by-the-step": Case(
        says="The input a.fastq answers 404.",
        shown=(
            of_end(
                pod(
                    "Failed",
                    ended(
                        1,
                        "Error",
                        json.dumps({"cause": {"category": "user", "sentence": "The input a.fastq answers 404."}}),
                    ),
                )
            ),
        ),
    ),
    "exit-126": Case(
        says="can't be executed (exit code 126): calrissian --debug workflow.cwl.",
        shown=(of_end(pod("Failed", ended(126))),),
    ),
    "exit-127": Case(
        says="was not found in its image (exit code 127): calrissian --debug workflow.cwl.",
        shown=(of_end(pod("Failed", ended(127))),),
    ),
    "exit-137": Case(
        says="Container main was killed (exit code 137, SIGKILL).", shown=(of_end(pod("Failed", ended(137))),)
    ),
    "exit-by-signal": Case(says="was ended by SIGSEGV (exit code 139).", shown=(of_end(pod("Failed", ended(139))),)),
    "exit-code": Case(
        says="ended with exit code 3.",
        shown=(
            of_end(pod("Failed", ended(3))),
            of_end(pod("Failed", waits("PodInitializing"), init=ended(3))),
            Shown(  # the Job of restartPolicy OnFailure deleted its pod when it gave up
                job=failed(restart="OnFailure"),
                pods=(pod("Running", waits("CrashLoopBackOff"), last=ended(3), restart="OnFailure", deleted_at=60),),
            ),
            Shown(  # while its controller waits for the last pods to go
                job=job({"type": "FailureTarget", "reason": "PodFailurePolicy", "lastTransitionTime": at(-900)}),
                pods=(pod("Failed", ended(3)),),
            ),
        ),
    ),
    "pod-failure-policy": Case(
        says="failed with exit code 42 matching FailJob rule at index 0",
        shown=(
            Shown(
                job=failed(
                    "PodFailurePolicy",
                    f"Container main for pod lando/{POD} failed with exit code 42 matching FailJob rule at index 0",
                )
            ),
        ),
    ),
    "restarts-used-up": Case(
        says="failed more often than the Job allows",
        shown=(Shown(job=failed(restart="OnFailure")),),
    ),
    "pod-gone": Case(says=f"The pod of Job {STEP} is gone", shown=(Shown(job=failed()),)),
    "job-failed-with-reason": Case(
        says=f"Job {STEP} failed: Job has failed indexes.",
        shown=(Shown(job=failed("FailedIndexes", "Job has failed indexes"), pods=(pod("Failed"),)),),
    ),
    "job-failed": Case(
        says="the cluster gives no reason",
        shown=(Shown(job=job({"type": "Failed"}), pods=(pod("Failed"),)),),
    ),
    # -- containers that can't start
    "image-name-invalid": Case(
        says=f"{IMAGE} is no valid image name: ",
        shown=(
            container_waits(
                "InvalidImageName",
                'Failed to apply default image tag "duke/Tool:1": couldn\'t parse image reference "duke/Tool:1": invalid '
                "reference format: repository name must be lowercase",
            ),
            container_waits(
                "InvalidImageName",
                'Failed to apply default image tag "duke/Tool:1": couldn\'t parse image name "duke/Tool:1": invalid '
                "reference format: repository name (duke/Tool) must be lowercase",
            ),
        ),
    ),
    "image-never-pulled": Case(
        says="its pull policy is Never",
        shown=(
            container_waits("ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy of Never'),
        ),
    ),
    "image-signature": Case(
        says="signature of the image",
        shown=(
            container_waits(
                "SignatureValidationFailed",
                "image pull failed because the signature validation failed: Source image rejected: A signature was "
                "required, but no signature exists",
            ),
        ),
    ),
    "image-platform": Case(
        says="as it is not built for the node's processor: ",
        shown=(
            pulling(
                f'failed to pull and unpack image "{IMAGE}": no match for platform in manifest: not found',
                code="NotFound",
            ),
            pulling("Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries"),
            pulling(
                'choosing image instance: no image found in manifest list for architecture "arm64", variant "v8", OS "linux"'
            ),
        ),
    ),
    "image-rate-limit": Case(
        says="has had too many requests: ",
        shown=(
            pulling(
                f'failed to pull and unpack image "{IMAGE}": failed to copy: httpReadSeeker: failed open: unexpected status '
                "code https://registry.example/v2/library/x/manifests/sha256:0d2f: 429 Too Many Requests - Server "
                "message: toomanyrequests: You have reached your pull rate limit.",
            ),
            pulling("Error response from daemon: toomanyrequests: You have reached your pull rate limit."),
        ),
    ),
    "image-denied": Case(
        says="The registry has no image registry.example.org/duke/tool:1.4 that this cluster may pull: ",
        shown=(
            pulling(
                RESOLVE + "pull access denied, repository does not exist or may require authorization: server message: "
                "insufficient_scope: authorization failed"
            ),
            pulling(
                "Error response from daemon: pull access denied for duke/tool, repository does not exist or may require "
                "'docker login': denied: requested access to the resource is denied"
            ),
            pulling(
                f"initializing source docker://{IMAGE}: reading manifest 1.4: requested access to the resource is denied"
            ),
        ),
    ),
    "image-unauthorized": Case(
        says="does not accept the cluster's credentials: ",
        shown=(
            pulling(
                RESOLVE + "failed to authorize: failed to fetch oauth token: unexpected status from GET request to "
                "https://registry.example.org/token: 401 Unauthorized"
            ),
            pulling(f"reading manifest 1.4 in {IMAGE}: unauthorized: authentication required"),
            pulling(
                "Error response from daemon: Head https://registry.example.org/v2/duke/tool: no basic auth credentials"
            ),
        ),
    ),
    "image-registry-unreachable": Case(
        says="as its registry can't be reached: ",
        shown=(
            pulling(
                RESOLVE
                + 'failed to do request: Head "https://registry.example.org/v2/duke/tool/manifests/1.4": dial tcp: '
                "lookup registry.example.org on 10.96.0.10:53: no such host"
            ),
            pulling(RESOLVE + "failed to do request: dial tcp 10.1.2.3:443: i/o timeout"),
            pulling(RESOLVE + "failed to do request: x509: certificate signed by unknown authority"),
            of_pod(
                pod("Pending", waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')),
                event(
                    "Failed",
                    f'Failed to pull image "{IMAGE}": rpc error: code = Unknown desc = Error response from daemon: Get '
                    "https://registry.example.org/v2/: net/http: TLS handshake timeout",
                ),
                event("Failed", "Error: ErrImagePull", seconds=4),
            ),
        ),
    ),
    "image-no-disk": Case(
        says="as its node has no disk space left: ",
        shown=(
            pulling(
                f'failed to pull and unpack image "{IMAGE}": failed to extract layer sha256:0d2f: write '
                "/var/lib/containerd/tmpmounts/x: no space left on device: unknown"
            ),
        ),
    ),
    "image-not-found": Case(
        says="as it does not exist: ",
        shown=(
            pulling(RESOLVE + f"{IMAGE}: not found", code="NotFound"),
            pulling(
                "Error response from daemon: manifest for duke/tool:1.4 not found: manifest unknown: manifest unknown"
            ),
            pulling(f"reading manifest 1.4 in {IMAGE}: manifest unknown"),
            pulling(
                'short-name "x509-tool:1" did not resolve to an alias and no unqualified-search registries are defined in '
                '"/etc/containers/registries.conf"'
            ),
            of_pod(
                pod(
                    "Pending",
                    waits(
                        "ImagePullBackOff",
                        f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: code = NotFound desc = {RESOLVE}'
                        f"{IMAGE}: not found",
                    ),
                )
            ),
        ),
    ),
    "image-pull": Case(
        says=f"The image {IMAGE} can't be pulled: ",
        shown=(
            container_waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'),
            pulling(
                "failed to pull and unpack image: unexpected media type text/html for sha256:0d2f", code="Internal"
            ),
        ),
    ),
    "image-unreadable": Case(
        says="can't be read on its node: ",
        shown=(
            container_waits(
                "ImageInspectError",
                f'Failed to inspect image "{IMAGE}": rpc error: code = Unknown desc = no such layer',
            ),
        ),
    ),
    "image-registry-unavailable": Case(
        says="can't be reached: image pull failed",
        shown=(
            container_waits(
                "RegistryUnavailable", f"image pull failed for {IMAGE} because the registry is unavailable"
            ),
        ),
    ),
    "secret-missing": Case(
        says="needs the Secret ddsclient-agent, which does not exist: ",
        shown=(
            container_waits("CreateContainerConfigError", 'secret "ddsclient-agent" not found'),
            setting_up("FailedMount", 'MountVolume.SetUp failed for volume "dds" : secret "ddsclient-agent" not found'),
            setting_up(
                "FailedMount", 'MountVolume.SetUp failed for volume "dds" : secrets "ddsclient-agent" not found'
            ),
        ),
    ),
    "config-map-missing": Case(
        says="needs the ConfigMap stage-data-42-ada, which does not exist: ",
        shown=(
            container_waits("CreateContainerConfigError", 'configmap "stage-data-42-ada" not found'),
            of_pod(
                pod("Pending", waits("ContainerCreating")),
                event(
                    "FailedMount", 'MountVolume.SetUp failed for volume "c" : configmap "stage-data-42-ada" not found'
                ),
                event(  # the newer one says less
                    "FailedMount",
                    "Unable to attach or mount volumes: unmounted volumes=[c], unattached volumes=[data c]: timed out "
                    "waiting for the condition",
                    seconds=90,
                ),
            ),
        ),
    ),
    "key-missing": Case(
        says="needs the key token of a Secret or ConfigMap that does not have it: ",
        shown=(
            container_waits("CreateContainerConfigError", "couldn't find key token in Secret lando/ddsclient-agent"),
            container_waits("CreateContainerConfigError", "couldn't find key token in ConfigMap lando/settings"),
            setting_up(
                "FailedMount",
                'MountVolume.SetUp failed for volume "dds" : references non-existent secret key: token',
            ),
            setting_up(
                "FailedMount", 'MountVolume.SetUp failed for volume "c" : references non-existent config key: token'
            ),
        ),
    ),
    "image-runs-as-root": Case(
        says="wants to run as root or an unnumbered user",
        shown=(
            container_waits(
                "CreateContainerConfigError",
                f'container has runAsNonRoot and image will run as root (pod: "{POD}_lando(9b1d)", container: main)',
            ),
            container_waits(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root",
            ),
        ),
    ),
    "container-configuration": Case(
        says="Container main lacks something it refers to: failed to sync configmap cache",
        shown=(
            container_waits(
                "CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"
            ),
        ),
    ),
    "container-creation": Case(
        says="Container main can't be created: ",
        shown=(
            container_waits("CreateContainerError", "context deadline exceeded"),
            container_waits(
                "CreateContainerError",
                'failed to reserve container name "main_run-workflow_lando_9b1d_0": name is reserved for "0d2f"',
            ),
        ),
    ),
    "crash-loop-memory": Case(
        says="was ended for its memory (limit 2Gi) and is started again: back-off 5m0s",
        shown=(
            of_pod(
                pod(
                    "Running",
                    waits("CrashLoopBackOff", f"back-off 5m0s restarting failed container=main pod={POD}_lando(9b1d)"),
                    last=ended(137, "OOMKilled"),
                    resources={"limits": {"memory": "2Gi"}},
                    restart="OnFailure",
                )
            ),
        ),
    ),
    "crash-loop": Case(
        says="keeps failing (last with exit code 3) and is started again: back-off 5m0s",
        shown=(
            of_pod(
                pod(
                    "Running",
                    waits("CrashLoopBackOff", f"back-off 5m0s restarting failed container=main pod={POD}_lando(9b1d)"),
                    last=ended(3),
                    restart="OnFailure",
                )
            ),
        ),
    ),
    # -- pods without a place
    "quota": Case(
        says="A quota of the namespace leaves no room for the step's pod: exceeded quota: compute, requested: ",
        shown=(
            Shown(
                events=(
                    event(
                        "FailedCreate",
                        f"(combined from similar events): Error creating: {FORBIDDEN}exceeded quota: compute, requested: "
                        "pods=1, used: pods=0, limited: pods=0",
                        OF_JOB,
                    ),
                )
            ),
            refused(
                FORBIDDEN + "exceeded quota: compute, requested: requests.memory=2Gi, used: requests.memory=7Gi, "
                "limited: requests.memory=8Gi"
            ),
        ),
    ),
    "quota-needs-limits": Case(
        says="wants pods to say what they need: ",
        shown=(
            refused(FORBIDDEN + "failed quota: compute: must specify limits.memory,requests.cpu"),
            refused(
                FORBIDDEN + "failed quota: compute: must specify limits.memory for: main; requests.memory for: main"
            ),
        ),
    ),
    "limit-range": Case(
        says="A limit range of the namespace forbids the step's pod: ",
        shown=(
            refused(FORBIDDEN + "maximum memory usage per Container is 1Gi, but limit is 2Gi"),
            refused(FORBIDDEN + "minimum cpu usage per Pod is 100m, but request is 50m"),
            refused(FORBIDDEN + "memory max limit to request ratio per Container is 2, but provided ratio is 4.000000"),
            refused(
                'Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit'
            ),
        ),
    ),
    "pod-security": Case(
        says="The namespace's pod security forbids the step's pod: ",
        shown=(
            refused(
                FORBIDDEN
                + 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "main" '
                "must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true"
            ),
            refused(
                FORBIDDEN
                + "PodSecurityPolicy: unable to admit pod: [spec.containers[0].securityContext.runAsUser: Invalid "
                "value: 0: running with the root UID is forbidden]"
            ),
        ),
    ),
    "security-context-constraint": Case(
        says="No security context constraint of the cluster allows the step's pod: ",
        shown=(
            refused(
                FORBIDDEN + "unable to validate against any security context constraint: [provider restricted: "
                ".spec.securityContext.fsGroup: Invalid value: []int64{1000}: 1000 is not an allowed group]"
            ),
        ),
    ),
    "admission-denied": Case(
        says="A policy of the cluster forbids the step's pod: ",
        shown=(
            refused('admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod was blocked'),
            refused(
                FORBIDDEN
                + "ValidatingAdmissionPolicy 'images.example.org' with binding 'images-lando' denied request: "
                "failed expression: object.spec.containers.all(c, c.image.startsWith('mirror/'))"
            ),
        ),
    ),
    "admission-unreachable": Case(
        says="can't ask one of its admission webhooks",
        shown=(
            refused(
                'Internal error occurred: failed calling webhook "mutate.example.org": failed to call webhook: Post '
                '"https://hook.svc:443/mutate?timeout=10s": dial tcp 10.2.0.1:443: connect: connection refused'
            ),
        ),
    ),
    "service-account-missing": Case(
        says="The service account of the step's pod does not exist: ",
        shown=(
            refused(FORBIDDEN + 'error looking up service account lando/writer: serviceaccount "writer" not found'),
        ),
    ),
    "class-missing": Case(
        says="A class that the step's pod names does not exist: ",
        shown=(
            refused(FORBIDDEN + "no PriorityClass with name batch-low was found"),
            refused(FORBIDDEN + 'pod rejected: RuntimeClass "gvisor" not found'),
        ),
    ),
    "namespace-going": Case(
        says="The namespace is being deleted: ",
        shown=(refused(FORBIDDEN + "unable to create new content in namespace lando because it is being terminated"),),
    ),
    "pod-refused": Case(
        says="The cluster can't create the step's pod: ",
        shown=(
            refused("etcdserver: request timed out"),
            refused(
                'pods is forbidden: User "system:serviceaccount:kube-system:job-controller" cannot create resource "pods" '
                'in API group "" in the namespace "lando"'
            ),
        ),
    ),
    "storage-class-missing": Case(
        says="The storage class fast of volume job-data-42-ada does not exist: ",
        shown=(
            unscheduled(
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are "
                "available: 3 Preemption is not helpful for scheduling.",
                event("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found', OF_CLAIM),
            ),
        ),
    ),
    "claim-not-provisioned": Case(
        says="The cluster can't provide volume job-data-42-ada: failed to provision volume",
        shown=(
            unscheduled(
                "0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims.",
                event(
                    "ProvisioningFailed",
                    'failed to provision volume with StorageClass "nfs": rpc error: code = ResourceExhausted desc = no '
                    "capacity left",
                    OF_CLAIM,
                ),
            ),
            of_pod(  # bound where the pod runs: the scheduler is in the middle of it
                pod("Pending", node=None),
                event("WaitForFirstConsumer", "waiting for first consumer", OF_CLAIM, seconds=2, kind="Normal"),
                event(
                    "ProvisioningFailed",
                    'failed to provision volume with StorageClass "nfs": rpc error: code = Internal desc = backend down',
                    OF_CLAIM,
                ),
            ),
        ),
    ),
    "claim-without-class": Case(
        says="Nothing provides volume job-data-42-ada: no persistent volumes available",
        shown=(
            unscheduled(
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                event(
                    "FailedBinding",
                    "no persistent volumes available for this claim and no storage class is set",
                    OF_CLAIM,
                    kind="Normal",
                ),
            ),
        ),
    ),
    "volume-elsewhere": Case(
        says="is still attached to another node: Multi-Attach error",
        shown=(
            setting_up(
                "FailedAttachVolume",
                'Multi-Attach error for volume "pvc-0d2f" Volume is already exclusively attached to one node and can\'t be '
                "attached to another",
            ),
            setting_up(
                "FailedAttachVolume", 'Multi-Attach error for volume "pvc-0d2f" Volume is already used by pod(s) x'
            ),
        ),
    ),
    "volume-not-attached": Case(
        says="can't be attached to its node: AttachVolume.Attach failed",
        shown=(
            setting_up(
                "FailedAttachVolume",
                'AttachVolume.Attach failed for volume "pvc-0d2f" : rpc error: code = Internal desc = disk is not ready',
            ),
        ),
    ),
    "volume-not-mounted": Case(
        says="A volume of pod run-workflow-42-ada-x7k2p can't be mounted: ",
        shown=(
            setting_up(
                "FailedMount",
                'MountVolume.SetUp failed for volume "nfs" : mount failed: exit status 32 Output: mount.nfs: Connection '
                "timed out",
            ),
            setting_up(
                "FailedMount",
                "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: timed out "
                "waiting for the condition",
            ),
        ),
    ),
    "pod-network": Case(
        says="can't give pod run-workflow-42-ada-x7k2p its network: ",
        shown=(
            setting_up(
                "FailedCreatePodSandBox",
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
                '"0d2f": plugin type="calico" failed (add): error getting ClusterInformation: connection is unauthorized',
            ),
            setting_up(
                "NetworkNotReady", "network is not ready: container runtime network not ready: NetworkReady=false"
            ),
        ),
    ),
    "pod-sandbox": Case(
        says="Node gke-pool-7 can't set up pod",
        shown=(
            setting_up(
                "FailedCreatePodSandBox",
                "Failed to create pod sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            ),
        ),
    ),
    "held-back": Case(
        says="is held back: Scheduling is blocked due to non-empty scheduling gates.",
        shown=(unscheduled("Scheduling is blocked due to non-empty scheduling gates", reason="SchedulingGated"),),
    ),
    "claim-missing": Case(
        says="The volume job-data-42-ada of pod",
        shown=(
            unscheduled('persistentvolumeclaim "job-data-42-ada" not found'),
            unscheduled(
                '0/3 nodes are available: persistentvolumeclaim "job-data-42-ada" not found. preemption: 0/3 nodes are '
                "available: 3 Preemption is not helpful for scheduling."
            ),
        ),
    ),
    "claim-going": Case(
        says="The volume job-data-42-ada of pod run-workflow-42-ada-x7k2p is being deleted",
        shown=(unscheduled('0/3 nodes are available: persistentvolumeclaim "job-data-42-ada" is being deleted.'),),
    ),
    "claim-lost": Case(
        says="has lost its storage: ",
        shown=(
            unscheduled(
                '0/3 nodes are available: persistentvolumeclaim "job-data-42-ada" bound to non-existent persistentvolume '
                '"pvc-0d2f".'
            ),
            unscheduled(
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                event("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!", OF_CLAIM),
            ),
        ),
    ),
    "claim-unbound": Case(
        says="is not provided by the cluster: ",
        shown=(
            unscheduled("0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims."),
            unscheduled(
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are "
                "available: 3 Preemption is not helpful for scheduling.",
                event("ExternalProvisioning", "waiting for a volume to be created", OF_CLAIM, kind="Normal"),
            ),
        ),
    ),
    "no-gpu": Case(
        says="No node has enough nvidia.com/gpu left for pod",
        shown=(
            unscheduled(
                "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No "
                "preemption victims found for incoming pod."
            ),
        ),
    ),
    "no-memory": Case(
        says="No node has enough memory left for pod",
        shown=(
            unscheduled("0/3 nodes are available: 3 Insufficient memory."),
            unscheduled(
                "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 4 "
                "Insufficient memory. preemption: 0/5 nodes are available: 1 Preemption is not helpful for scheduling, 4 "
                "No preemption victims found for incoming pod."
            ),
        ),
    ),
    "no-cpu": Case(
        says="No node has enough processors left for pod",
        shown=(unscheduled("0/3 nodes are available: 3 Insufficient cpu."),),
    ),
    "no-disk": Case(
        says="No node has enough disk space left for pod",
        shown=(unscheduled("0/3 nodes are available: 3 Insufficient ephemeral-storage."),),
    ),
    "nodes-full-of-pods": Case(
        says="All nodes run as many pods as they may",
        shown=(unscheduled("0/3 nodes are available: 3 Too many pods."),),
    ),
    "volume-zone": Case(
        says="are in zones or on nodes that can't take it: ",
        shown=(
            unscheduled(
                "0/3 nodes are available: 1 node(s) had taint {node-role.kubernetes.io/master: }, that the pod didn't "
                "tolerate, 2 node(s) had volume node affinity conflict."
            ),
            unscheduled(
                "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity. preemption: 0/1 nodes "
                "are available: 1 Preemption is not helpful for scheduling."
            ),
            unscheduled("0/3 nodes are available: 3 node(s) had no available volume zone."),
        ),
    ),
    "volume-unavailable": Case(
        says="No node can give pod run-workflow-42-ada-x7k2p its volumes: ",
        shown=(
            unscheduled("0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."),
            unscheduled("0/3 nodes are available: 3 node(s) exceed max volume count."),
            unscheduled(
                'running PreBind plugin "VolumeBinding": binding volumes: timed out waiting for the condition',
                reason="SchedulerError",
            ),
        ),
    ),
    "node-affinity": Case(
        says="No node has the labels that pod",
        shown=(
            unscheduled("0/3 nodes are available: 3 node(s) didn't match node selector."),
            unscheduled("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
            unscheduled("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."),
        ),
    ),
    "node-taint": Case(
        says="have taints that pod",
        shown=(
            unscheduled("0/1 nodes are available: 1 node(s) had taint {gpu: true}, that the pod didn't tolerate."),
            unscheduled(
                "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }. preemption: 0/1 nodes are available: 1 "
                "Preemption is not helpful for scheduling."
            ),
            unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint(s)."),
        ),
    ),
    "nodes-cordoned": Case(
        says="No node takes new pods",
        shown=(
            unscheduled("0/3 nodes are available: 3 node(s) were unschedulable."),
            unscheduled("no nodes available to schedule pods"),
        ),
    ),
    "unschedulable": Case(
        says=f"No node of the cluster can take pod {POD}: 0/3 nodes are available: 3 node(s) didn't have free ports",
        shown=(unscheduled("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports."),),
    ),
    "suspended": Case(says="suspended until somebody resumes it", shown=(Shown(job=job(suspend=True)),)),
    "no-pod-yet": Case(says="has made no pod", shown=(Shown(),)),
    "no-scheduler-yet": Case(says="No scheduler has looked at pod", shown=(of_pod(pod("Pending", node=None)),)),
    "node-not-ready": Case(
        says="was at work on node gke-pool-7, which is not heard of any more",
        shown=(
            of_pod(
                pod(
                    "Running",
                    {"running": {"startedAt": at(5)}},
                    conditions=[
                        {"type": "Initialized", "status": "True"},
                        {"type": "Ready", "status": "False", "lastTransitionTime": at(40)},
                        {"type": "ContainersReady", "status": "True"},
                    ],
                ),
                event("NodeNotReady", "Node is not ready", seconds=40),
            ),
        ),
    ),
    "node-silent": Case(
        says="is to leave its node gke-pool-7, which no longer answers",
        shown=(
            of_pod(
                pod(
                    "Running",
                    {"running": {"startedAt": at(5)}},
                    deleted_at=10,
                    conditions=[
                        {
                            "type": "DisruptionTarget",
                            "status": "True",
                            "reason": "DeletionByTaintManager",
                            "message": "Taint manager: deleting due to NoExecute taint",
                        },
                        {"type": "Ready", "status": "False"},
                    ],
                )
            ),
            of_pod(pod("Running", {"running": {}}, deleted_at=10, status={"reason": "NodeLost"})),
        ),
    ),
    "deletion-unconfirmed": Case(
        says="is being deleted, but its node gke-pool-7 does not confirm it",
        shown=(of_pod(pod("Running", {"running": {"startedAt": at(5)}}, deleted_at=10)),),
    ),
    "end-unheeded": Case(
        says="has ended, but the cluster does not say how Job",
        shown=(of_pod(pod("Succeeded", ended(0, "Completed"))),),
    ),
}
