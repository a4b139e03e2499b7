"""The rules for containers that can't start yet: images, what they refer to, and programs that are started again.

Registries' words come through containerd, CRI-O and Docker; the patterns know all three.
"""

from __future__ import annotations

from lando.k8s.diagnosis.rules import Place, Rule, Wait
from lando.runs import Category

PULL_REASONS = ("ErrImagePull", "ImagePullBackOff")
_CONFIG_REASONS = ("CreateContainerConfigError", "FailedMount")
_IMAGE = "Check the image's name and tag in the runtime's step, and that the cluster may pull from its registry."
_MISSING = "Ask the operators to create what is missing; the run can then be restarted."


def _pull(name: str, says: str, sentence: str, advice: str, wait: Wait = Wait.PATIENCE) -> Rule:
    return Rule(
        name=name,
        places=(Place.WAITING,),
        reasons=PULL_REASONS,
        says=says,
        category=Category.IMAGE,
        sentence=sentence,
        advice=advice,
        wait=wait,
    )


_IMAGES = (
    Rule(
        name="image-name-invalid",
        places=(Place.WAITING,),
        reasons=("InvalidImageName",),
        category=Category.IMAGE,
        sentence="{image} is no valid image name{because}.",
        advice="Correct the image name in the runtime's step.",
    ),
    Rule(
        name="image-never-pulled",
        places=(Place.WAITING,),
        reasons=("ErrImageNeverPull",),
        category=Category.IMAGE,
        sentence="The image {image} is not on the node, and its pull policy is Never.",
        advice="Load the image onto the nodes or change steps.<step type>.image_pull_policy.",
    ),
    Rule(
        name="image-signature",
        places=(Place.WAITING,),
        reasons=("SignatureValidationFailed",),
        category=Category.IMAGE,
        sentence="The signature of the image {image} was not accepted{because}.",
        advice=_IMAGE,
    ),
    _pull(
        "image-platform",
        r"no match for platform|no matching manifest for|no image found in (manifest list|image index) for",
        "The image {image} can't be pulled, as it is not built for the node's processor{because}.",
        "Use an image that is built for the nodes' architecture.",
        Wait.NONE,
    ),
    _pull(
        "image-rate-limit",
        r"toomanyrequests|429 Too Many Requests|pull rate limit",
        "The image {image} can't be pulled, as its registry has had too many requests{because}.",
        "Wait, or ask the operators to pull with an account or from a mirror.",
    ),
    _pull(
        "image-denied",
        r"pull access denied|insufficient_scope|requested access to the resource is denied",
        "The registry has no image {image} that this cluster may pull{because}.",
        "Check the image's name in the runtime's step; one that is private needs pods.image_pull_secrets.",
        Wait.NONE,
    ),
    _pull(
        "image-unauthorized",
        r"unauthorized:|\b401\b|403 Forbidden|no basic auth credentials|invalid username/password|token has expired",
        "The image {image} can't be pulled, as its registry does not accept the cluster's credentials{because}.",
        "Ask the operators to check pods.image_pull_secrets.",
    ),
    _pull(
        "image-registry-unreachable",
        r"no such host|connection refused|i/o timeout|TLS handshake|deadline exceeded|x509:|network is unreachable"
        r"|no route to host|server misbehaving|connection reset|50[0234] ",
        "The image {image} can't be pulled, as its registry can't be reached{because}.",
        "Check the registry's name in the image's; ask the operators whether the nodes reach it.",
    ),
    _pull(
        "image-no-disk",
        r"no space left on device",
        "The image {image} can't be pulled, as its node has no disk space left{because}.",
        "Ask the operators to look at the node.",
    ),
    _pull(
        "image-not-found",
        r"manifest unknown|name unknown|not found|repository does not exist|no such image|invalid reference format"
        r"|did not resolve to an alias|runs programs of the machine, not images|no command of its own on",
        "The image {image} can't be pulled, as it does not exist{because}.",
        "Check the image's name and tag in the runtime's step.",
        Wait.NONE,
    ),
    _pull("image-pull", "", "The image {image} can't be pulled{because}.", _IMAGE),
    Rule(
        name="image-unreadable",
        places=(Place.WAITING,),
        reasons=("ImageInspectError",),
        category=Category.IMAGE,
        sentence="The image {image} can't be read on its node{because}.",
        advice=_IMAGE,
        wait=Wait.PATIENCE,
    ),
    Rule(
        name="image-registry-unavailable",
        places=(Place.WAITING,),
        reasons=("RegistryUnavailable",),
        category=Category.IMAGE,
        sentence="The registry of the image {image} can't be reached{because}.",
        advice=_IMAGE,
        wait=Wait.PATIENCE,
    ),
)


def _missing(name: str, says: str, what: str) -> Rule:
    return Rule(
        name=name,
        places=(Place.WAITING, Place.SET_UP),
        reasons=_CONFIG_REASONS,
        says=says,
        category=Category.INFRASTRUCTURE,
        sentence=f"Pod {{pod}} needs {what}{{because}}.",
        advice=_MISSING,
        wait=Wait.LASTING,
    )


_CONFIGURATIONS = (
    _missing("secret-missing", r'secrets? "(?P<thing>[^"]+)" not found', "the Secret {thing}, which does not exist"),
    _missing(
        "config-map-missing",
        r'configmaps? "(?P<thing>[^"]+)" not found',
        "the ConfigMap {thing}, which does not exist",
    ),
    _missing(
        "key-missing",
        r"couldn't find key (?P<key>\S+) in \w+|references non-existent (secret|config) key: (?P<other_key>\S+)",
        "the key {key}{other_key} of a Secret or ConfigMap that does not have it",
    ),
    Rule(
        name="image-runs-as-root",
        places=(Place.WAITING,),
        reasons=("CreateContainerConfigError",),
        says=r"runAsNonRoot",
        category=Category.IMAGE,
        sentence="The image {image} wants to run as root or an unnumbered user, which pods here may not{because}.",
        advice="Use an image with a numeric user, or set pods.security to what the image needs.",
    ),
    Rule(
        name="container-configuration",
        places=(Place.WAITING,),
        reasons=("CreateContainerConfigError",),
        category=Category.INFRASTRUCTURE,
        sentence="{Container} lacks something it refers to{because}.",
        advice=_MISSING,
        wait=Wait.LASTING,
    ),
    Rule(
        name="container-creation",
        places=(Place.WAITING,),
        reasons=("CreateContainerError",),
        category=Category.INFRASTRUCTURE,
        sentence="{Container} can't be created{because}.",
        advice="Ask the operators to look at node {node}.",
        wait=Wait.PATIENCE,
    ),
)

_LOOPS = (
    Rule(
        name="crash-loop-memory",
        places=(Place.WAITING,),
        reasons=("CrashLoopBackOff",),
        needs=("out_of_memory",),
        category=Category.RESOURCES,
        sentence="{Container} was ended for its memory{within_limit} and is started again{because}.",
        advice="Raise {limit_key}, or make the step need less.",
        wait=Wait.ENDLESS,
    ),
    Rule(
        name="crash-loop",
        places=(Place.WAITING,),
        reasons=("CrashLoopBackOff",),
        category=Category.USER,
        sentence="The program of {container} keeps failing{last} and is started again{because}.",
        advice="Its last log lines tell more.",
        wait=Wait.ENDLESS,
    ),
)

CONTAINERS: tuple[Rule, ...] = (*_IMAGES, *_CONFIGURATIONS, *_LOOPS)
