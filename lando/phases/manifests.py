"""The files that a model names: plain Kubernetes Jobs, one in a file, and the objects that they need besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lando.phases.checks import DraftEntry
from lando.phases.documents import Block, Items, Node, Problem, Scalar, kind_of, parse, shown, value_of
from lando.phases.files import MAX_FILES, SUFFIXES, Files, Kind, UnreadableError
from lando.phases.model import JobFile, Resource
from lando.phases.names import job_name_fault, object_name_fault
from lando.phases.report import Place, Report

MAX_SIZE = 64 * 2**20
"""Of all manifests of a model together, as :data:`lando.phases.documents.MAX_SIZE` reckons."""
RESOURCE_KINDS = ("ConfigMap", "Secret", "PersistentVolumeClaim")
"""All of ``apiVersion: v1``."""
_WHOLE_NUMBERS = ("activeDeadlineSeconds", "ttlSecondsAfterFinished")
"""Of a Job's ``spec``; what Lando itself reckons with."""
_CONTAINERS = ("spec", "template", "spec", "containers")


class Manifests:
    """Reads the files of one model; a name that two of them give to a Job is told, as all else."""

    def __init__(self, files: Files, namespace: str | None, report: Report) -> None:
        self._files = files
        self._namespace = namespace
        """None: the model says nothing that could be compared."""
        self._report = report
        self._parsed: dict[str, tuple[list[Node], list[Problem]]] = {}
        self._jobs: dict[str, Place] = {}
        self._objects: dict[tuple[str, str], Place] = {}
        self._looked_at = 0
        self._size = 0

    def jobs(self, entry: DraftEntry, phase: int) -> tuple[JobFile, ...]:
        """The Jobs that an entry stands for; fewer where something is wrong."""
        if entry.job_path is None:
            return ()
        paths = self._files_of(entry.job_path, entry.place, entry.path_line, entry.is_directory)
        return tuple(job for path in paths for job in self._job(path, entry, phase))

    def resources(self, path: str, place: Place, line: int) -> tuple[Resource, ...]:
        """What the files at ``path``, a file or a directory, hold."""
        return tuple(
            resource for file in self._files_of(path, place, line, None) for resource in self._resource(file, place)
        )

    def _files_of(self, path: str, place: Place, line: int, is_directory: bool | None) -> list[str]:
        if self._looked_at > MAX_FILES:
            return []
        try:
            paths = self._paths(path, is_directory)
        except UnreadableError as error:
            self._report.error(place, line, f"{shown(error.path)} {error.reason}")
            return []
        if isinstance(paths, str):
            self._report.error(place, line, f"{shown(path)} {paths}")
            return []
        return paths if self._is_room_for(len(paths), place, line) else []

    def _is_room_for(self, number: int, place: Place, line: int) -> bool:
        """Whether so many more manifests may be looked at; told once if not."""
        before, self._looked_at = self._looked_at, self._looked_at + number
        if before <= MAX_FILES < self._looked_at:
            self._report.error(
                place, line, f"a model must not name more than {MAX_FILES:,} manifests, each time counted"
            )
        return self._looked_at <= MAX_FILES

    def _paths(self, path: str, is_directory: bool | None) -> list[str] | str:
        """The files at ``path``; or what is wrong with it. ``is_directory`` None: it may be either."""
        kind = self._files.kind(path)
        if kind is Kind.ABSENT:
            return "does not exist"
        if kind is Kind.OTHER:
            return f"is {kind.value}"
        if kind is Kind.FILE:
            if is_directory:
                return "is a file, but the entry says type: directory"
            return [path] if path.endswith(SUFFIXES) else f"must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        if is_directory is False:
            return "is a directory; with type: directory the entry stands for every manifest in it"
        return self._files.below(path) or f"holds no manifest, which would end in {', '.join(SUFFIXES)}"

    def _documents(self, path: str, place: Place) -> list[Node] | None:
        """What a file holds; None, and told, if it can't be read."""
        key = self._files.key(path)
        if key not in self._parsed:
            self._parsed[key] = self._parse(path)
        nodes, problems = self._parsed[key]
        for problem in problems:
            self._report.error(place, problem.line, problem.reason)
        if problems:
            return None
        if not nodes:
            self._report.error(place, None, "is empty")
            return None
        before, self._size = self._size, self._size + sum(node.size for node in nodes)
        if before <= MAX_SIZE < self._size:
            told = f"with this file, those of the model hold more than {MAX_SIZE / 2**20:g} MiB"
            self._report.error(place, None, f"{told} when what * names is put in its place")
        return nodes if self._size <= MAX_SIZE else None

    def _parse(self, path: str) -> tuple[list[Node], list[Problem]]:
        try:
            return parse(self._files.text(path), as_json=path.endswith(".json"))
        except UnreadableError as error:
            return [], [Problem(line=None, reason=error.reason)]

    def _job(self, path: str, entry: DraftEntry, phase: int) -> Iterator[JobFile]:
        place = Place(file=path, phase=entry.place.phase, entry=entry.place.entry)
        nodes = self._documents(path, place)
        if nodes is None:
            return
        if len(nodes) > 1:
            reason = f"holds {len(nodes)} documents; a file holds one Job, and a directory can hold many files"
            self._report.error(place, nodes[1].line, reason)
            return
        seen = _Object(nodes[0], place, self._report)
        if not seen.is_kind("batch/v1", ("Job",)):
            return
        name = seen.name(job_name_fault)
        seen.check_metadata(self._namespace)
        _check_job_spec(seen)
        if name is None:
            return
        if name in self._jobs:
            reason = f"the Job name {name} is also that of {self._jobs[name]}; every Job of a model needs its own"
            seen.error("metadata", "name", reason=reason)
            return
        self._jobs[name] = place
        if entry.name is not None:
            yield JobFile(
                path=path, manifest=value_of(nodes[0]), entry=entry.name, phase=phase, exploded=entry.is_directory
            )

    def _resource(self, path: str, place: Place) -> Iterator[Resource]:
        place = Place(file=path, phase=place.phase, entry=place.entry)
        nodes = self._documents(path, place)
        if nodes is None or not self._is_room_for(len(nodes) - 1, place, nodes[0].line):
            return
        for node in nodes:
            seen = _Object(node, place, self._report)
            if not seen.is_kind("v1", RESOURCE_KINDS):
                continue
            name = seen.name(object_name_fault)
            seen.check_metadata(self._namespace)
            if name is None:
                continue
            kind = str(value_of(seen.at("kind") or node))
            _check_data(seen, kind)
            if (kind, name) in self._objects:
                reason = f"the {kind} {name} is also in {self._objects[kind, name]}"
                seen.error("metadata", "name", reason=reason)
                continue
            self._objects[kind, name] = place
            yield Resource(path=path, manifest=value_of(node))


class _Object:
    """One Kubernetes object in a file."""

    def __init__(self, node: Node, place: Place, report: Report) -> None:
        self._root = node
        self._place = place
        self._report = report

    def at(self, *keys: str) -> Node | None:
        """What stands there; None for null, too."""
        node = self._root
        for key in keys:
            if not isinstance(node, Block) or key not in node.entries:
                return None
            node = node.entries[key][1]
        return None if isinstance(node, Scalar) and node.value is None else node

    def line(self, *keys: str) -> int:
        """Of the key, or of the innermost block that has it not."""
        node, line = self._root, self._root.line
        for key in keys:
            if not isinstance(node, Block) or key not in node.entries:
                break
            line, node = node.entries[key]
        return line

    def error(self, *keys: str, reason: str) -> None:
        told = f"{shown('.'.join(keys))}: {reason}" if keys else reason
        self._report.error(self._place, self.line(*keys), told)

    def is_kind(self, api_version: str, kinds: tuple[str, ...]) -> bool:
        """Whether it is one of these; told otherwise."""
        wanted = f"{' or '.join(kinds)} in {api_version}"
        if not isinstance(self._root, Block):
            self.error(reason=f"is {kind_of(self._root, quoted=False)}, not a Kubernetes object; needed is a {wanted}")
            return False
        found = {key: self.at(key) for key in ("apiVersion", "kind")}
        missing = [key for key, node in found.items() if node is None]
        if missing:
            self.error(reason=f"has no {' and no '.join(missing)}, so it is no Kubernetes object; needed is a {wanted}")
            return False
        version, kind = (node.text if isinstance(node, Scalar) else kind_of(node) for node in found.values() if node)
        if version == api_version and kind in kinds:
            return True
        told = f"{shown(kind)} in {shown(version)}"
        self.error("kind" if kind not in kinds else "apiVersion", reason=f"is {told}; needed is a {wanted}")
        return False

    def name(self, fault_of: Callable[[str], str | None]) -> str | None:
        """``metadata.name``; None, and told, if it can't be used."""
        node = self.at("metadata", "name")
        if node is None:
            generated = self.at("metadata", "generateName") is not None
            self.error("metadata", "name", reason=f"is required{', generateName is not enough' if generated else ''}")
            return None
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            quote = "; put it in quotes" if isinstance(node, Scalar) else ""
            self.error("metadata", "name", reason=f"must be text, not {kind_of(node)}{quote}")
            return None
        if fault := fault_of(node.text):
            self.error("metadata", "name", reason=f"{shown(node.text)} {fault}")
            return None
        return node.text

    def check_metadata(self, namespace: str | None) -> None:
        """The namespace is the model's, and labels and annotations are texts."""
        own = self.at("metadata", "namespace")
        if own is not None and namespace is not None and value_of(own) != namespace:
            told = shown(own.text) if isinstance(own, Scalar) else kind_of(own)
            reason = (
                f"is {told}, but the model's kubernetes_namespace is {namespace}; leave it out, or let them be equal"
            )
            self.error("metadata", "namespace", reason=reason)
        for key in ("labels", "annotations"):
            self.check_texts("metadata", key)

    def check_block(self, *keys: str) -> Block | None:
        """The block of keys at this place; None, and told unless there is nothing, where there is none."""
        node = self.at(*keys)
        if node is None or isinstance(node, Block):
            return node
        self.error(*keys, reason=f"must be a block of keys, not {kind_of(node, quoted=False)}")
        return None

    def check_texts(self, *keys: str, is_data: bool = False) -> None:
        """What stands there are texts by key, if it is there; of data no value is told, which could be a Secret's."""
        block = self.check_block(*keys)
        for name, (_, value) in block.entries.items() if block is not None else ():
            if not isinstance(value, Scalar) or not isinstance(value.value, str if is_data else str | None):
                quote = "; put it in quotes" if isinstance(value, Scalar) and value.value is not None else ""
                self.error(*keys, name, reason=f"must be text, not {kind_of(value, quoted=not is_data)}{quote}")

    def check_blocks(self, *keys: str) -> None:
        """What stands there is a list of blocks of keys, if it is there."""
        node = self.at(*keys)
        if node is not None and not isinstance(node, Items):
            self.error(*keys, reason=f"must be a list, not {kind_of(node)}")
        for item in node.items if isinstance(node, Items) else ():
            if not isinstance(item, Block):
                told = f"{'.'.join(keys)}: must be a list of blocks of keys, not of {kind_of(item)}"
                self._report.error(self._place, item.line, told)


def _check_pod(seen: _Object) -> None:
    """What Lando itself adds to, or looks through, is of the right kind; all else is the cluster's to say."""
    template = ("spec", "template")
    seen.check_block(*template, "metadata")
    for key in ("labels", "annotations"):
        seen.check_texts(*template, "metadata", key)
    seen.check_block(*template, "spec", "securityContext")
    for key in ("initContainers", "containers"):
        seen.check_blocks(*template, "spec", key)
        containers = seen.at(*template, "spec", key)
        for container in containers.items if isinstance(containers, Items) else ():
            context = container.entries.get("securityContext") if isinstance(container, Block) else None
            if context is not None and not (isinstance(context[1], Block) or value_of(context[1]) is None):
                seen.error(*template, "spec", key, reason="a securityContext must be a block of keys")


def _check_data(seen: _Object, kind: str) -> None:
    if kind == "PersistentVolumeClaim":
        for keys in (("spec",), ("spec", "resources"), ("spec", "resources", "requests")):
            seen.check_block(*keys)
    for key in ("data", "stringData", "binaryData"):
        seen.check_texts(key, is_data=True)


def _check_job_spec(seen: _Object) -> None:
    """There is a pod template with a container, and the numbers that Lando itself reckons with are such."""
    node: Node | None = None
    for keys in (_CONTAINERS[:depth] for depth in range(1, len(_CONTAINERS) + 1)):
        wanted, what = (Items, "a list of containers") if keys == _CONTAINERS else (Block, "a block of keys")
        node = seen.at(*keys)
        if node is None:
            seen.error(*keys, reason="is required: a Job needs the template of its pod, with a container")
            break
        if not isinstance(node, wanted):
            seen.error(*keys, reason=f"must be {what}, not {kind_of(node)}")
            break
    if isinstance(node, Items) and not node.items:
        seen.error(*_CONTAINERS, reason="must hold at least one container")
    if isinstance(node, Items):
        _check_pod(seen)
    for key in _WHOLE_NUMBERS:
        number = seen.at("spec", key)
        value = number.value if isinstance(number, Scalar) else None
        if number is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            seen.error("spec", key, reason=f"must be a whole number of seconds, not {kind_of(number)}")
