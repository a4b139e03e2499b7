"""The rules for what has ended: why a pod did not succeed, and why a Job failed without one that says so.

Reasons and words are those of the kubelets, schedulers, runtimes and controllers of Kubernetes 1.20 and later.
"""

from __future__ import annotations

from lando.k8s.diagnosis.rules import Place, Rule, Wait
from lando.runs import Category

_AGAIN = "Nothing is wrong with the workflow itself; the step can be run again."
_DEADLINE = "Raise steps.<step type>.deadline_s if the step really needs longer."
_MEMORY = "Raise {limit_key}, or make the step need less."
_DISK = "Raise the step's ephemeral-storage limit, or write to the output volume instead."
_PROGRAM = "Check the base command of the runtime's step against the image {image}."
_START = ("StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError")
"""Reasons of a container whose program the runtime could not start: the first two are ends, the others waits."""


def _of_node(name: str, place: Place, reasons: tuple[str, ...], what: str, *, says: str = "", advice: str = "") -> Rule:
    """A pod that the cluster, not its program, ended."""
    return Rule(
        name=name,
        places=(place,),
        reasons=reasons,
        says=says,
        category=Category.INFRASTRUCTURE,
        sentence=f"Pod {{pod}} on node {{node}} {what}{{because}}.",
        advice=advice or _AGAIN,
    )


_DEADLINES = (
    Rule(
        name="deadline-before-start",
        places=(Place.DEADLINE,),
        needs=("told",),
        category=None,
        sentence="The step's deadline{limit} passed before it could start. {told}",
    ),
    Rule(
        name="deadline",
        places=(Place.DEADLINE,),
        category=Category.RESOURCES,
        sentence="The step ran longer than its deadline{limit}.",
        advice=_DEADLINE,
    ),
)

_PODS = (
    Rule(
        name="pod-deadline",
        places=(Place.POD,),
        reasons=("DeadlineExceeded",),
        category=Category.RESOURCES,
        sentence="The pod {pod} ran longer than its deadline.",
        advice=_DEADLINE,
    ),
    Rule(
        name="evicted-own-disk",
        places=(Place.POD,),
        reasons=("Evicted",),
        says=r"exceed(s|ed)\b.*\blimit",
        category=Category.RESOURCES,
        sentence="The pod {pod} was evicted for using more disk than its limit{because}.",
        advice=_DISK,
    ),
    _of_node(
        "evicted-memory",
        Place.POD,
        ("Evicted",),
        "was evicted because its node ran out of memory",
        says=r"resource: memory|MemoryPressure",
        advice=f"{_AGAIN} If it happens again, let the step ask for as much memory as it uses.",
    ),
    _of_node(
        "evicted-disk",
        Place.POD,
        ("Evicted",),
        "was evicted because its node ran out of disk space",
        says=r"resource: (ephemeral-storage|inodes|nodefs|imagefs|containerfs)|DiskPressure",
    ),
    _of_node("evicted", Place.POD, ("Evicted",), "was evicted from its node"),
    _of_node(
        "preempted-by-node",
        Place.POD,
        ("Preempting", "Preempted"),
        "was preempted on its node by a more important pod",
    ),
    _of_node("node-lost", Place.POD, ("NodeLost",), "is on a node that no longer answers"),
    Rule(
        name="node-stopped",
        places=(Place.POD,),
        reasons=("Terminated",),
        says=r"in response to imminent node shutdown",
        category=Category.INFRASTRUCTURE,
        sentence="Pod {pod} was ended because its node {node} was stopped in good order.",
        advice=_AGAIN,
        interrupts=True,
    ),
    _of_node(
        "node-shutdown",
        Place.POD,
        ("Terminated", "NodeShutdown", "Shutdown"),
        "was ended because its node went down",
    ),
    _of_node(
        "node-full",
        Place.POD,
        ("OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage"),
        "was refused by its node, which has no room for it",
    ),
    _of_node("node-relabeled", Place.POD, ("NodeAffinity",), "was refused by its node, whose labels have changed"),
    _of_node(
        "node-refused",
        Place.POD,
        ("UnexpectedAdmissionError", "TopologyAffinityError", "NodePorts"),
        "was refused by its node",
    ),
)

_DISRUPTIONS = (
    _of_node(
        "preempted",
        Place.DISRUPTION,
        ("PreemptionByScheduler", "PreemptionByKubeScheduler"),
        "was preempted by a pod of higher priority",
    ),
    _of_node(
        "node-tainted",
        Place.DISRUPTION,
        ("DeletionByTaintManager",),
        "had to leave its node, which is lost or being emptied",
    ),
    _of_node(
        "drained",
        Place.DISRUPTION,
        ("EvictionByEvictionAPI",),
        "was evicted from its node, for instance because the node is being drained",
    ),
    _of_node("node-removed", Place.DISRUPTION, ("DeletionByPodGC",), "was removed because its node no longer exists"),
    _of_node(
        "ended-by-node",
        Place.DISRUPTION,
        ("TerminationByKubelet",),
        "was ended by its node, which is shutting down or short of resources",
    ),
    _of_node("disrupted", Place.DISRUPTION, (), "was taken away by the cluster ({reason})"),
)

_STARTS = (
    Rule(
        name="out-of-memory",
        places=(Place.ENDED,),
        reasons=("OOMKilled",),
        needs=("memory_limit",),
        category=Category.RESOURCES,
        sentence="{Container} was ended for using more memory than its limit of {memory_limit}{memory_used}.",
        advice=_MEMORY,
    ),
    Rule(
        name="out-of-memory-without-limit",
        places=(Place.ENDED,),
        reasons=("OOMKilled",),
        category=Category.RESOURCES,
        sentence="{Container} was ended because memory ran out (it has no limit of its own and asked for "
        "{memory_request}){memory_used}.",
        advice="Give the step's runtime a flavor with as much memory as it uses, or make it need less.",
    ),
    Rule(
        name="too-many-processes",
        places=(Place.ENDED,),
        reasons=("PidsLimit",),  # the embedded cluster's
        category=Category.USER,
        sentence="{Container} was ended for starting more processes than its node allows{because}.",
        advice="Look for a program that starts itself again and again, or let it use fewer threads.",
    ),
    Rule(
        name="out-of-memory-at-start",
        places=(Place.ENDED, Place.WAITING),
        reasons=_START,
        says=r"OOM-killed|OOM: the memory limit",
        category=Category.RESOURCES,
        sentence="The memory limit of {container} is too low even to start it{within_limit}{because}.",
        advice=_MEMORY,
    ),
    Rule(
        name="device-runtime",
        places=(Place.ENDED, Place.WAITING),
        reasons=_START,
        says=r"nvidia-container-cli|could not select device driver|unresolvable CDI devices",
        category=Category.INFRASTRUCTURE,
        sentence="Node {node} can't give {container} its device{because}.",
        advice="Ask the operators to look at the node's driver.",
        wait=Wait.PATIENCE,
    ),
    Rule(
        name="no-such-working-directory",
        places=(Place.ENDED, Place.WAITING),
        reasons=_START,
        says=r"chdir to cwd|\bchdir\b|working directory",
        category=Category.IMAGE,
        sentence="The working directory of {container} can't be entered{because}.",
        advice="Check that the image {image} lets its user enter the step's working directory.",
    ),
    Rule(
        name="wrong-architecture",
        places=(Place.ENDED, Place.WAITING, Place.EXIT),
        says=r"exec format error",
        category=Category.IMAGE,
        sentence="The program of {container} is not built for the node's processor (exec format error).",
        advice="Use an image {image} for the nodes' architecture; a script needs a first line with its interpreter.",
    ),
    Rule(
        name="program-not-executable",
        places=(Place.ENDED, Place.WAITING),
        reasons=_START,
        says=r"exec.*permission denied",
        category=Category.IMAGE,
        sentence="The program of {container} may not be executed{because}.",
        advice="Check that the base command names an executable of the image {image}, and not a file or folder.",
    ),
    Rule(
        name="program-not-found",
        places=(Place.ENDED, Place.WAITING),
        reasons=_START,
        says=r"executable file( `.*`)? not found|exec.*no such file or directory|no command specified",
        category=Category.IMAGE,
        sentence="The program of {container} was not found in its image{because}.",
        advice=_PROGRAM,
    ),
    Rule(
        name="start-error",
        places=(Place.ENDED, Place.WAITING),
        reasons=("StartError", "ContainerCannotRun", "RunContainerError"),
        category=Category.IMAGE,
        sentence="{Container} could not be started{because}.",
        advice=_PROGRAM,
        wait=Wait.PATIENCE,
    ),
)

_PROGRAMS = (
    _of_node("pod-deleted", Place.DELETION, (), "was deleted from outside while its step ran"),
    Rule(name="told-by-the-step", places=(Place.TOLD,), category=None, sentence="{told}"),
    Rule(
        name="exit-126",
        places=(Place.EXIT,),
        reasons=("126",),
        category=Category.IMAGE,
        sentence="The program of {container} can't be executed (exit code 126): {program}.",
        advice="Check that the base command names an executable of the image {image}, built for the nodes' processors.",
    ),
    Rule(
        name="exit-127",
        places=(Place.EXIT,),
        reasons=("127",),
        category=Category.IMAGE,
        sentence="The program of {container} was not found in its image (exit code 127): {program}.",
        advice=_PROGRAM,
    ),
    Rule(
        name="exit-137",
        places=(Place.EXIT,),
        reasons=("137",),
        category=Category.RESOURCES,
        sentence="{Container} was killed (exit code 137, SIGKILL){memory_used}.",
        advice="Most often the memory was used up; give the step more, or make the workflow need less.",
    ),
    Rule(
        name="exit-by-signal",
        places=(Place.EXIT,),
        needs=("signal",),
        category=Category.USER,
        sentence="The program of {container} was ended by {signal} (exit code {reason}).",
        advice="Its last log lines tell more.",
    ),
    Rule(
        name="exit-code",
        places=(Place.EXIT,),
        category=Category.USER,
        sentence="The program of {container} ended with exit code {reason}.",
        advice="Its last log lines tell more.",
    ),
)

_JOBS = (
    Rule(
        name="pod-failure-policy",
        places=(Place.JOB,),
        reasons=("PodFailurePolicy",),
        category=Category.USER,
        sentence="The pod failure policy of Job {job} ended it{because}.",
        advice="The log of the step tells more.",
    ),
    Rule(
        name="restarts-used-up",
        places=(Place.JOB,),
        reasons=("BackoffLimitExceeded",),
        needs=("pods_gone", "restarts_itself"),
        category=Category.USER,
        sentence="The program of Job {job} failed more often than the Job allows, and its pod is gone{because}.",
        advice="The log of the step, if one was kept, tells more.",
    ),
    Rule(
        name="pod-gone",
        places=(Place.JOB,),
        needs=("pods_gone",),
        category=Category.INFRASTRUCTURE,
        sentence="The pod of Job {job} is gone, so it was probably deleted from outside{because}.",
        advice=_AGAIN,
    ),
    Rule(
        name="job-failed-with-reason",
        places=(Place.JOB,),
        says=r"\S",
        category=Category.USER,
        sentence="Job {job} failed{because}.",
    ),
    Rule(
        name="job-failed",
        places=(Place.JOB,),
        category=Category.USER,
        sentence="Job {job} failed, and the cluster gives no reason.",
    ),
    Rule(
        name="job-deleted",
        places=(Place.STATE,),
        reasons=("Deleted",),
        category=Category.INFRASTRUCTURE,
        # Lando itself does that when a run is canceled: whether it was somebody else is the receiver's to judge.
        sentence="Job {job} was deleted before it had ended.",
    ),
)

ENDINGS: tuple[Rule, ...] = (*_DEADLINES, *_PODS, *_DISRUPTIONS, *_STARTS, *_PROGRAMS, *_JOBS)
