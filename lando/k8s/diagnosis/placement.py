"""The rules for pods that have no place yet: not created, not scheduled, volumes not to be had, nothing heard.

The scheduler often names several shortages at once; what could be mended by asking for less comes first, taints last,
as some node nearly always has one.
"""

from __future__ import annotations

from lando.k8s.diagnosis.rules import Place, Rule, Wait
from lando.runs import Category

VOLUME_WORDS = r"persistentvolumeclaim|volume"
"""In the scheduler's words: the claims' own events tell more."""

_MISSING = "Ask the operators to create what is missing; the run can then be restarted."
_STORAGE = "Ask the operators whether the storage class exists and has room."
_AGAIN = "Nothing is wrong with the workflow itself; the step can be run again."


def _scheduler(
    name: str, says: str, sentence: str, advice: str, category: Category = Category.RESOURCES, *also: Place
) -> Rule:
    return Rule(
        name=name,
        places=(Place.SCHEDULER, *also),
        says=says,
        category=category,
        sentence=f"{sentence}{{because}}.",
        advice=advice,
        wait=Wait.LASTING if category is Category.INFRASTRUCTURE else Wait.PATIENCE,
    )


_SCHEDULER = (
    Rule(
        name="held-back",
        places=(Place.SCHEDULER,),
        reasons=("SchedulingGated",),
        category=Category.RESOURCES,
        sentence="Pod {pod} is held back{because}.",
        advice="Whoever put the gate on it has to take it away.",
        wait=Wait.ENDLESS,
    ),
    _scheduler(
        "claim-missing",
        r'persistentvolumeclaim "?(?P<claim>[^" ]+)"? not found',
        "The volume {claim} of pod {pod} does not exist",
        _MISSING,
        Category.INFRASTRUCTURE,
    ),
    _scheduler(
        "claim-going",
        r'persistentvolumeclaim "?(?P<claim>[^" ]+)"? is being deleted',
        "The volume {claim} of pod {pod} is being deleted",
        "Restart the run from its beginning if nobody meant to end it.",
        Category.INFRASTRUCTURE,
    ),
    _scheduler(
        "claim-lost",
        r"bound to non-existent persistentvolume|lost its PersistentVolume",
        "A volume of pod {pod} has lost its storage",
        "What was on it is probably gone: ask the operators, then start the run anew.",
        Category.INFRASTRUCTURE,
        Place.CLAIM,
    ),
    _scheduler(
        "claim-unbound",
        r"unbound immediate PersistentVolumeClaims",
        "A volume of pod {pod} is not provided by the cluster",
        _STORAGE,
    ),
    _scheduler(
        "no-gpu",
        r"Insufficient (?P<resource>[\w.-]+/[\w-]+(\.[\w-]+)*)",
        "No node has enough {resource} left for pod {pod}",
        "Wait until other work has ended, or ask for less of it.",
    ),
    _scheduler(
        "no-memory",
        r"Insufficient memory",
        "No node has enough memory left for pod {pod}",
        "Wait until other work has ended, or choose a flavor with less memory.",
    ),
    _scheduler(
        "no-cpu",
        r"Insufficient cpu",
        "No node has enough processors left for pod {pod}",
        "Wait until other work has ended, or choose a flavor with fewer processors.",
    ),
    _scheduler(
        "no-disk",
        r"Insufficient ephemeral-storage",
        "No node has enough disk space left for pod {pod}",
        "Wait until other work has ended, or ask for less ephemeral-storage.",
    ),
    _scheduler(
        "nodes-full-of-pods",
        r"Too many pods",
        "All nodes run as many pods as they may, so that pod {pod} has to wait",
        "Wait until other work has ended.",
    ),
    _scheduler(
        "volume-zone",
        r"volume node affinity conflict|no available volume zone|didn't match PersistentVolume's node affinity",
        "The volumes of pod {pod} are in zones or on nodes that can't take it",
        "Ask the operators for nodes beside the volumes, or for a storage class that binds where the pod runs.",
    ),
    _scheduler(
        "volume-unavailable",
        r"find available persistent volumes to bind|max volume count|ReadWriteOncePod|binding volumes"
        r"|not enough free storage",
        "No node can give pod {pod} its volumes",
        _STORAGE,
    ),
    _scheduler(
        "node-affinity",
        r"node selector|node affinity|pod affinity|pod anti-affinity|affinity/selector|affinity/anti-affinity"
        r"|topology spread",
        "No node has the labels that pod {pod} asks for",
        "Check the node selector and affinity in the pod template of the configuration.",
    ),
    _scheduler(
        "node-taint",
        r"taint",
        "The nodes that are left have taints that pod {pod} does not tolerate",
        "Check the tolerations in the pod template of the configuration, or ask the operators for nodes.",
    ),
    _scheduler(
        "nodes-cordoned",
        r"were unschedulable|no nodes available",
        "No node takes new pods, such as {pod}",
        "Ask the operators when nodes will be back.",
        Category.INFRASTRUCTURE,
    ),
    _scheduler(
        "unschedulable",
        "",
        "No node of the cluster can take pod {pod}",
        "Ask for less processor or memory, or wait until the cluster has room.",
    ),
)


def _event(
    name: str,
    place: Place,
    reasons: tuple[str, ...],
    sentence: str,
    advice: str,
    *,
    says: str = "",
    category: Category = Category.INFRASTRUCTURE,
    wait: Wait = Wait.PATIENCE,
) -> Rule:
    return Rule(
        name=name,
        places=(place,),
        reasons=reasons,
        says=says,
        category=category,
        sentence=f"{sentence}{{because}}.",
        advice=advice,
        wait=wait,
    )


_VOLUMES = (
    _event(
        "storage-class-missing",
        Place.CLAIM,
        ("ProvisioningFailed",),
        "The storage class {class} of volume {claim} does not exist",
        "Set storage_class_name to one that the cluster has.",
        says=r'storageclass\S* "(?P<class>[^"]+)" not found',
        wait=Wait.LASTING,
    ),
    _event(
        "claim-not-provisioned",
        Place.CLAIM,
        ("ProvisioningFailed",),
        "The cluster can't provide volume {claim}",
        _STORAGE,
        category=Category.RESOURCES,
    ),
    _event(
        "claim-without-class",
        Place.CLAIM,
        ("FailedBinding",),
        "Nothing provides volume {claim}",
        "Name a storage class in the configuration, or ask the operators for a default one.",
        category=Category.RESOURCES,
    ),
    _event(
        "volume-elsewhere",
        Place.SET_UP,
        ("FailedAttachVolume",),
        "A volume of pod {pod} is still attached to another node",
        "Storage for runs has to offer ReadWriteMany; otherwise wait until the other node lets go.",
        says=r"Multi-Attach|already (exclusively )?attached|already used by pod",
    ),
    _event(
        "volume-not-attached",
        Place.SET_UP,
        ("FailedAttachVolume",),
        "A volume of pod {pod} can't be attached to its node",
        _STORAGE,
    ),
    _event(
        "volume-not-mounted",
        Place.SET_UP,
        ("FailedMount", "FailedMapVolume"),
        "A volume of pod {pod} can't be mounted",
        "Ask the operators to look at the volume and at node {node}.",
    ),
    _event(
        "pod-network",
        Place.SET_UP,
        ("FailedCreatePodSandBox", "NetworkNotReady"),
        "Node {node} can't give pod {pod} its network",
        "Ask the operators to look at the node's network plugin.",
        says=r"network|\bcni\b|\bIP address",
    ),
    _event(
        "pod-sandbox",
        Place.SET_UP,
        ("FailedCreatePodSandBox",),
        "Node {node} can't set up pod {pod}",
        "Ask the operators to look at the node.",
    ),
)


def _refusal(
    name: str,
    says: str,
    sentence: str,
    advice: str,
    *,
    category: Category = Category.RESOURCES,
    wait: Wait = Wait.NONE,
) -> Rule:
    return _event(name, Place.CREATE, (), sentence, advice, says=says, category=category, wait=wait)


_REFUSALS = (
    _refusal(
        "quota",
        r"exceeded quota",
        "A quota of the namespace leaves no room for the step's pod",
        "Wait until other work has ended, or ask for a larger quota.",
        wait=Wait.PATIENCE,
    ),
    _refusal(
        "quota-needs-limits",
        r"failed quota: .*must specify",
        "A quota of the namespace wants pods to say what they need",
        "Give the steps the limits and requests that the message names.",
    ),
    _refusal(
        "limit-range",
        r"(usage|ratio|limit) per |must be less than or equal to \w+ limit",
        "A limit range of the namespace forbids the step's pod",
        "Choose a flavor within the namespace's limits.",
    ),
    _refusal(
        "pod-security",
        r"violates PodSecurity|PodSecurityPolicy",
        "The namespace's pod security forbids the step's pod",
        "Set pods.security to what the namespace allows.",
    ),
    _refusal(
        "security-context-constraint",
        r"security context constraint",
        "No security context constraint of the cluster allows the step's pod",
        "Set pods.security to openshift, or grant the account a fitting constraint.",
    ),
    _refusal(
        "admission-denied",
        r'admission webhook "[^"]+" denied|ValidatingAdmissionPolicy .* denied',
        "A policy of the cluster forbids the step's pod",
        "The message says which; ask the operators, or change the pod template of the configuration.",
    ),
    _refusal(
        "admission-unreachable",
        r"failed calling webhook",
        "The cluster can't ask one of its admission webhooks about the step's pod",
        "Ask the operators to look at the webhook.",
        category=Category.INFRASTRUCTURE,
        wait=Wait.LASTING,
    ),
    _refusal(
        "service-account-missing",
        r'looking up service account|serviceaccount "[^"]+" not found',
        "The service account of the step's pod does not exist",
        _MISSING,
        category=Category.INFRASTRUCTURE,
        wait=Wait.LASTING,
    ),
    _refusal(
        "class-missing",
        r"no PriorityClass with name|RuntimeClass .*not found",
        "A class that the step's pod names does not exist",
        "Check the pod template of the configuration against the cluster's PriorityClasses and RuntimeClasses.",
        category=Category.INFRASTRUCTURE,
        wait=Wait.LASTING,
    ),
    _refusal(
        "namespace-going",
        r"because it is being terminated",
        "The namespace is being deleted",
        "Ask the operators; nothing can run here any more.",
        category=Category.INFRASTRUCTURE,
        wait=Wait.LASTING,
    ),
    _refusal(
        "pod-refused",
        "",
        "The cluster can't create the step's pod",
        "Ask the operators what the message means.",
        category=Category.INFRASTRUCTURE,
        wait=Wait.LASTING,
    ),
)


def _silence(name: str, reasons: tuple[str, ...], sentence: str, advice: str = _AGAIN) -> Rule:
    return Rule(
        name=name,
        places=(Place.SILENCE,),
        reasons=reasons,
        category=Category.INFRASTRUCTURE,
        sentence=sentence,
        advice=advice,
        wait=Wait.PATIENCE,
    )


_SILENCES = (
    Rule(
        name="suspended",
        places=(Place.STATE,),
        reasons=("Suspended",),
        category=Category.RESOURCES,
        sentence="The Job is suspended until somebody resumes it.",
        advice="Whoever suspended it, a queueing system or a person, has to let it go on.",
        wait=Wait.ENDLESS,
    ),
    _silence("no-pod-yet", ("NoPod",), "The cluster has made no pod for Job {job} yet."),
    _silence("no-scheduler-yet", ("NotScheduled",), "No scheduler has looked at pod {pod} yet."),
    _silence(
        "node-not-ready",
        ("NodeNotReady",),
        "Pod {pod} was at work on node {node}, which is not heard of any more.",
        "The cluster gives up the node after some minutes, or it comes back; Lando then goes on by itself.",
    ),
    _silence(
        "node-silent",
        ("NodeLost", "DeletionByTaintManager"),
        "Pod {pod} is to leave its node {node}, which no longer answers.",
    ),
    _silence(
        "deletion-unconfirmed",
        ("Deletion",),
        "Pod {pod} is being deleted, but its node {node} does not confirm it.",
    ),
    _silence(
        "end-unheeded",
        ("EndUnheeded",),
        "Pod {pod} has ended, but the cluster does not say how Job {job} has.",
    ),
)

PLACEMENT: tuple[Rule, ...] = (*_REFUSALS, *_VOLUMES, *_SCHEDULER, *_SILENCES)
