"""What the API server would say to the manifest of a Job, as far as that can be read off the manifest alone.

The keys and the types of their values are those of the official client's models; what is required, and of which values
there is a choice, is in the tables here. Text that comes from an argument is not known, and nothing is said of it but
where it stands.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator

import yaml
from kubernetes import client
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lando.definitions.templating.filling import FilledNode
from lando.phases.names import job_name_fault, label_value_fault

Tell = Callable[[Node | None, str, str, bool], None]
"""``(where, key, sentence, is_error)``."""

_REQUIRED = {
    "V1JobSpec": ("template",),
    "V1PodTemplateSpec": ("spec",),
    "V1PodSpec": ("containers", "restartPolicy"),
    "V1Container": ("name", "image"),
    "V1EnvVar": ("name",),
    "V1Volume": ("name",),
    "V1VolumeMount": ("name", "mountPath"),
    "V1ContainerPort": ("containerPort",),
    "V1ConfigMapEnvSource": ("name",),
    "V1SecretEnvSource": ("name",),
    "V1ConfigMapKeySelector": ("name", "key"),
    "V1SecretKeySelector": ("name", "key"),
    "V1ConfigMapVolumeSource": ("name",),
    "V1KeyToPath": ("key", "path"),
    "V1PersistentVolumeClaimVolumeSource": ("claimName",),
    "V1HTTPGetAction": ("port",),
}
_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "V1PodSpec": {"restartPolicy": ("Never", "OnFailure")},
    "V1Container": {"imagePullPolicy": ("Always", "IfNotPresent", "Never")},
    "V1JobSpec": {"completionMode": ("NonIndexed", "Indexed")},
}
_CHOSEN = frozenset(key for choices in _CHOICES.values() for key in choices)
_NOT_NEGATIVE = ("activeDeadlineSeconds", "backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished")
_QUANTITIES = frozenset({"limits", "requests", "overhead", "sizeLimit", "divisor"})
"""Texts, in the place of which the API takes numbers."""
_QUANTITY = re.compile(r"[+-]?[0-9.]+([eEinumkKMGTP]*[-+]?[0-9]*)")
_HINTS = {
    "restartPolicy": "Jobs take Never or OnFailure, and without it it would be Always",
    "image": "every container needs one",
}
_TAG = "tag:yaml.org,2002:"
_WORDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "str": "text"}
_CONTAINER = re.compile(r"(list|dict)[\[(](?:str, )?(\w+)[\])]", re.IGNORECASE)
"""``list[V1Container]``, ``dict(str, str)``: releases of the client differ in letters and brackets."""
_LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check(root: Node | None, tell: Tell) -> None:
    """Tell what is wrong with the manifest."""
    _Shape(root, tell).check()


class _Shape:
    def __init__(self, root: Node | None, tell: Tell) -> None:
        self._root = root
        self._say = tell

    def check(self) -> None:
        root = self._root
        if not isinstance(root, MappingNode):
            self._error(root, "", f"this is {_kind(root)}, not the manifest of a Job")
            return
        for key, wanted in (("apiVersion", "batch/v1"), ("kind", "Job")):
            node = _given(root, key)
            if node is None:
                self._warn(root, key, f"this is missing; write {key}: {wanted}")
            elif not _is_unknown(node) and node.value != wanted:
                self._error(node, key, f"only Jobs can be made, with {key}: {wanted}, not {_shown(node)}")
                return  # what else such a thing would need is another question
        self._walk(root, "V1Job", "")
        self._metadata(root)
        self._pod(root)

    # -- types -----------------------------------------------------------------------------------------------------

    def _walk(self, node: Node, kind: str, path: str) -> None:
        """``node`` as a value of the API's type ``kind``."""
        if (container := _CONTAINER.fullmatch(kind)) is not None:
            self._walk_container(node, container[1].lower() == "list", container[2], path)
        elif not kind.startswith("V") and kind not in _MODELS:
            self._scalar(node, kind, path)
        elif isinstance(node, MappingNode):
            self._walk_model(node, kind, path)
        elif not _is_unknown(node) and not _is_null(node):
            self._error(node, path, f"this has to be a mapping, not {_kind(node)}")

    def _walk_container(self, node: Node, is_list: bool, of: str, path: str) -> None:
        if is_list and isinstance(node, SequenceNode):
            for number, item in enumerate(node.value):
                self._walk(item, of, f"{path}[{number}]")
        elif not is_list and isinstance(node, MappingNode):
            for key, value in _pairs(node):
                self._walk(value, of, f"{path}.{key}")
        elif not _is_unknown(node) and not _is_null(node):
            self._error(node, path, f"this has to be {'a list' if is_list else 'a mapping'}, not {_kind(node)}")

    def _walk_model(self, node: MappingNode, kind: str, path: str) -> None:
        model = getattr(client, kind)
        types = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        known_keys = [key for key, _ in node.value if not _is_unknown(key)]
        for key, times in Counter(str(key.value) for key in known_keys).items():
            if times > 1:
                self._warn(node, _joined(path, key), "this key stands twice; the last one counts")
        for key in known_keys:
            if str(key.value) not in types:
                near = difflib.get_close_matches(str(key.value), types, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self._warn(key, _joined(path, str(key.value)), f"Kubernetes knows no such key here{hint}")
        for key, value in _pairs(node):
            if key in types:
                self._walk(value, types[key], _joined(path, key))
        for key in _REQUIRED.get(kind, ()):
            if _given(node, key) is None:
                hint = f": {_HINTS[key]}" if key in _HINTS else ""
                there = next((one for one in known_keys if one.value == key), node)
                self._error(there, _joined(path, key), f"this is required{hint}")
        for key, choices in _CHOICES.get(kind, {}).items():
            chosen = _given(node, key)
            if isinstance(chosen, ScalarNode) and not _is_unknown(chosen) and chosen.value not in choices:
                self._error(chosen, _joined(path, key), f"this has to be {' or '.join(choices)}, not {_shown(chosen)}")
        for key in _NOT_NEGATIVE if kind == "V1JobSpec" else ():
            number = _child(node, key)
            if isinstance(number, ScalarNode) and number.tag == f"{_TAG}int" and number.value.startswith("-"):
                self._error(number, _joined(path, key), "this may not be negative")

    def _scalar(self, node: Node, kind: str, path: str) -> None:
        if kind not in ("str", "int", "bool") or _is_null(node):
            return
        wanted = {"str": "text", "int": "a whole number", "bool": "true or false"}[kind]
        if not isinstance(node, ScalarNode):
            if not _is_unknown(node):
                self._error(node, path, f"this has to be {wanted}, not {_kind(node)}")
            return
        is_quantity = any(part in _QUANTITIES for part in path.split("."))
        if isinstance(node, FilledNode):
            is_chosen = path.rpartition(".")[2] in _CHOSEN
            if kind == "str" and node.is_bare_text and not (is_quantity or is_chosen):
                told = "put the {{…}} in quotes: an argument such as 5, true or null would be no text here"
                self._warn(node, path, told)
            elif kind != "str" and node.style is not None:
                self._error(node, path, f"this has to be {wanted}, and in quotes is always text")
            return
        if is_quantity and node.tag == f"{_TAG}str" and not _QUANTITY.fullmatch(node.value):
            self._error(node, path, f"this has to be a quantity such as 2, 500m or 1Gi, not {_shown(node)}")
        found = node.tag.removeprefix(_TAG)
        fits = {"str": found in ("str", "timestamp", "binary"), "int": found == "int", "bool": found == "bool"}[kind]
        if not fits and not (is_quantity and found in ("int", "float")):
            # A number in the place of a text may be half a password.
            told = _kind(node) if kind == "str" else _shown(node)
            hint = "; put it in quotes" if kind == "str" else "; leave out the quotes" if node.style else ""
            self._error(node, path, f"this has to be {wanted}, not {told}{hint}")

    # -- names -----------------------------------------------------------------------------------------------------

    def _metadata(self, root: MappingNode) -> None:
        metadata = _child(root, "metadata")
        if metadata is None or not isinstance(metadata, MappingNode):
            if metadata is None or not _is_unknown(metadata):
                self._error(metadata or root, "metadata.name", "this is required")
            return
        name = _child(metadata, "name") or _child(metadata, "generateName")
        if name is None:
            self._error(metadata, "metadata.name", "this is required")
        elif isinstance(name, ScalarNode) and name.tag == f"{_TAG}str":
            fault = job_name_fault(str(name.value)[:38].rstrip(".") + "-0")  # as it is going to be
            if fault is not None:
                self._error(name, "metadata.name", f"{_shown(name)} {fault}")
        if (namespace := _child(metadata, "namespace")) is not None:
            self._warn(
                namespace, "metadata.namespace", "leave this out: Jobs are made in the server's namespace, and no other"
            )
        for at, labels in (
            ("metadata.labels", _child(metadata, "labels")),
            ("spec.template.metadata.labels", _at(root, "spec", "template", "metadata", "labels")),
        ):
            for key, value in _pairs(labels):
                is_known = isinstance(value, ScalarNode) and not _is_unknown(value) and value.value
                fault = label_value_fault(value.value) if is_known else None
                if fault is not None:
                    self._error(value, f"{at}.{key}", f"{_shown(value)} is no value of a label: it {fault}")

    # -- the pod ---------------------------------------------------------------------------------------------------

    def _pod(self, root: MappingNode) -> None:
        spec = _child(root, "spec")
        if spec is None:
            self._error(root, "spec", "this is required: the template of a pod with its containers")
            return
        if (selector := _child(spec, "selector")) is not None and _child(spec, "manualSelector") is None:
            self._error(selector, "spec.selector", "leave this out: the cluster gives each Job a selector of its own")
        pod = _at(root, "spec", "template", "spec")
        path = "spec.template.spec"
        volumes = _child(pod, "volumes")
        names: Counter[str] = Counter()
        for key in ("initContainers", "containers"):
            listed = _child(pod, key)
            if key == "containers" and isinstance(listed, SequenceNode) and not listed.value:
                self._error(listed, f"{path}.containers", "this has to hold at least one container")
            for number, container in enumerate(listed.value if isinstance(listed, SequenceNode) else ()):
                at = f"{path}.{key}[{number}]"
                self._container_name(_child(container, "name"), f"{at}.name", names)
                self._mounts(container, volumes, f"{at}.volumeMounts")

    def _container_name(self, name: Node | None, path: str, names: Counter[str]) -> None:
        if not isinstance(name, ScalarNode) or _is_unknown(name) or name.tag != f"{_TAG}str":
            return
        names[name.value] += 1
        if not _LABEL_NAME.fullmatch(name.value):
            allowed = "at most 63 lower-case letters, digits and '-', with a letter or digit at each end"
            self._error(name, path, f"{_shown(name)} is no container's name: {allowed}")
        elif names[name.value] == 2:
            self._error(name, path, f"two containers are named {_shown(name)}")

    def _mounts(self, container: Node, volumes: Node | None, path: str) -> None:
        """Of volumes that are written out, every one that is mounted has to be there."""
        listed = volumes.value if isinstance(volumes, SequenceNode) else [] if volumes is None else None
        mounts = _child(container, "volumeMounts")
        if listed is None or not isinstance(mounts, SequenceNode):
            return
        there = [_child(volume, "name") for volume in listed]
        if any(name is None or _is_unknown(name) for name in there):
            return
        known = {str(name.value) for name in there if name is not None}
        for number, mount in enumerate(mounts.value):
            name = _child(mount, "name")
            if isinstance(name, ScalarNode) and not _is_unknown(name) and name.value not in known:
                self._error(name, f"{path}[{number}].name", f"there is no volume {_shown(name)}")

    # -- telling ---------------------------------------------------------------------------------------------------

    def _error(self, node: Node | None, key: str, sentence: str) -> None:
        self._say(node, key, sentence, True)

    def _warn(self, node: Node | None, key: str, sentence: str) -> None:
        self._say(node, key, sentence, False)


_MODELS = frozenset(name for name in dir(client) if name.startswith("CoreV1") and not name.endswith("Api"))


def _pairs(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Keys and values of a mapping, the last of each key."""
    if isinstance(node, MappingNode):
        yield from {str(key.value): value for key, value in node.value if isinstance(key, ScalarNode)}.items()


def _child(node: Node | None, key: str) -> Node | None:
    """What stands under ``key``; None for null, too."""
    found = dict(_pairs(node)).get(key)
    return None if found is None or _is_null(found) else found


def _given(node: Node | None, key: str) -> Node | None:
    """What stands under ``key``; None for an empty text, too, in the place of which the API takes its default."""
    found = _child(node, key)
    return None if isinstance(found, ScalarNode) and found.value == "" and not _is_unknown(found) else found


def _at(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = _child(node, key)
    return node


def _is_unknown(node: Node) -> bool:
    """Whether an argument says what it is."""
    return isinstance(node, FilledNode)


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == f"{_TAG}null"


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(node: Node | None) -> str:
    if isinstance(node, MappingNode | SequenceNode):
        return "a mapping" if isinstance(node, MappingNode) else "a list"
    return "nothing" if node is None else _WORDS.get(node.tag.removeprefix(_TAG), "text")


def _shown(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return _kind(node)
    text = str(node.value) if len(str(node.value)) <= 60 else f"{str(node.value)[:50]}…"
    return repr(text) if node.tag == f"{_TAG}str" else text


def flattened(root: Node | None) -> None:
    """Put what ``<<`` names in its place, everywhere below ``root``. Raises yaml.YAMLError."""
    loader = yaml.SafeLoader("")
    seen: set[int] = set()
    left: list[Node] = [root] if root is not None else []
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            loader.flatten_mapping(node)
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            left += node.value
