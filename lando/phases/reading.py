"""From a model file and the manifests that it names to a :class:`~lando.phases.model.Model`, or to all that is wrong.

Contacts nothing and nobody; what only a cluster can say is asked elsewhere (:mod:`lando.direct`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lando.phases.checks import DraftEntry, DraftPhase, check_dependencies, check_names
from lando.phases.documents import Block, Scalar, kind_of, parse, shown
from lando.phases.files import Files, UnreadableError
from lando.phases.manifests import Manifests
from lando.phases.model import Entry, Finding, Model, Phase, Settings
from lando.phases.names import label_value_fault, namespace_fault
from lando.phases.report import Place, Report
from lando.phases.sections import Section
from lando.runs import OnFailure

T = TypeVar("T")

MAX_ENTRIES = 10_000
"""Of one model."""

_SECTIONS = ("jobernetes_config", "jobernetes")
_SETTINGS = (
    "cleanup",
    "kubernetes_namespace",
    "ssl_insecure_warnings",
    "refresh_time",
    "parallelization",
    "incluster",
    "on_failure",
    "resources",
)
_PHASE = ("phase_name", "jobs")
_ENTRY = ("name", "job_path", "type", "depends_on", "retries", "deadline")


def read(files: Files, path: str) -> tuple[Model | None, list[Finding]]:
    """The model at ``path``, None if any finding is an error.

    The findings are complete, first those of the model by line, then those of the files that it names.
    """
    report = Report()
    model = _Reader(files, path, report).model()
    return (None if report.failed else model), report.findings(path)


class _Reader:
    """Reads one model file, and then what it names."""

    def __init__(self, files: Files, path: str, report: Report) -> None:
        self._files = files
        self._path = path
        self._report = report
        self._place = Place(file=path)
        self._told: dict[tuple[str, ...], set[str]] = {_SETTINGS: set(), _PHASE: set(), _ENTRY: set()}
        """Unknown keys by kind of block, as far as they have been told."""

    def model(self) -> Model | None:
        root = self._root()
        if root is None:
            return None
        top = Section(root, self._place, self._report)
        top.warn_of_unknown(_SECTIONS, set())
        settings, resource_paths = self._settings(top)
        drafts = self._phases(top)
        check_names(drafts, self._report)
        check_dependencies(drafts, self._report)
        manifests = Manifests(self._files, settings.kubernetes_namespace or None, self._report)
        resources = [one for text, line in resource_paths for one in manifests.resources(text, self._place, line)]
        phases = [
            Phase(
                index=index,
                name=draft.name or "",
                entries=tuple(_entry(one, index, manifests) for one in draft.entries),
            )
            for index, draft in enumerate(drafts)
        ]
        return Model(path=self._path, settings=settings, phases=tuple(phases), resources=tuple(resources))

    def _root(self) -> Block | None:
        try:
            nodes, problems = parse(self._files.text(self._path), as_json=self._path.endswith(".json"))
        except UnreadableError as error:
            self._report.error(self._place, None, error.reason)
            return None
        for problem in problems:
            self._report.error(self._place, problem.line, problem.reason)
        if problems:
            return None
        if not nodes:
            self._report.error(self._place, None, "is empty; it needs a list of phases under jobernetes")
            return None
        if len(nodes) > 1:
            self._report.error(self._place, nodes[1].line, f"holds {len(nodes)} documents; a model is one")
            return None
        root = nodes[0]
        if not isinstance(root, Block):
            reason = f"must be a block of keys, jobernetes among them, not {kind_of(root)}"
            self._report.error(self._place, root.line, reason)
            return None
        return root

    def _section(self, block: Block, place: Place, known: tuple[str, ...]) -> Section:
        section = Section(block, place, self._report)
        section.warn_of_unknown(known, self._told[known])
        return section

    def _settings(self, top: Section) -> tuple[Settings, list[tuple[str, int]]]:
        """The settings, and the paths of resources with their lines; a namespace that can't be used is empty."""
        node = top.given("jobernetes_config")
        if node is None:
            return Settings(), []
        if not isinstance(node, Block):
            top.error("jobernetes_config", f"must be a block of keys, not {kind_of(node)}")
            return Settings(kubernetes_namespace=""), []
        section = self._section(node, self._place, _SETTINGS)
        default = Settings()
        namespace = default.kubernetes_namespace
        if section.given("kubernetes_namespace") is not None:
            namespace = self._name(section, "kubernetes_namespace", namespace_fault) or ""
        resources = list(dict(section.texts("resources")).items())
        settings = Settings(
            cleanup=_or(section.flag("cleanup"), default.cleanup),
            kubernetes_namespace=namespace,
            ssl_insecure_warnings=_or(section.flag("ssl_insecure_warnings"), default.ssl_insecure_warnings),
            refresh_time=_or(section.number("refresh_time"), default.refresh_time),
            parallelization=_or(section.whole("parallelization"), default.parallelization),
            incluster=section.flag("incluster"),
            on_failure=_or(section.choice("on_failure", OnFailure), default.on_failure),
            resources=tuple(path for path, _ in resources),
        )
        return settings, resources

    def _phases(self, top: Section) -> Sequence[DraftPhase]:
        drafts = []
        left = MAX_ENTRIES
        for position, block in top.sections("jobernetes", "a model", "phase"):
            place = Place(file=self._path, phase=_called(block, "phase_name", position))
            section = self._section(block, place, _PHASE)
            name = self._name(section, "phase_name", label_value_fault)
            blocks = section.sections("jobs", "a phase", "entry")
            if len(blocks) > left:
                section.error("jobs", f"a model must not have more than {MAX_ENTRIES:,} entries")
                break
            left -= len(blocks)
            entries = [self._entry(inner, place, number) for number, inner in blocks]
            drafts.append(DraftPhase(place=place, line=section.line("phase_name"), name=name, entries=entries))
        return drafts

    def _entry(self, block: Block, phase: Place, position: int) -> DraftEntry:
        place = Place(file=self._path, phase=phase.phase, entry=_called(block, "name", position))
        section = self._section(block, place, _ENTRY)
        return DraftEntry(
            place=place,
            line=section.line("name"),
            name=self._name(section, "name", label_value_fault),
            job_path=section.text("job_path", required=True),
            path_line=section.line("job_path"),
            is_directory=section.text("type") == "directory",
            depends_on=section.texts("depends_on"),
            retries=_or(section.whole("retries"), 0),
            deadline_s=section.seconds("deadline"),
        )

    def _name(self, section: Section, key: str, fault_of: Callable[[str], str | None]) -> str | None:
        name = section.text(key, required=True)
        if name is None or (fault := fault_of(name)) is None:
            return name
        section.error(key, f"{shown(name)} {fault}")
        return None


def _entry(draft: DraftEntry, phase: int, manifests: Manifests) -> Entry:
    return Entry(
        name=draft.name or "",
        job_path=draft.job_path or "",
        depends_on=tuple(dict(draft.depends_on)),
        retries=draft.retries,
        deadline_s=draft.deadline_s,
        jobs=manifests.jobs(draft, phase),
    )


def _called(block: Block, key: str, position: int) -> str:
    """How a phase or entry is called in findings: by its name, or by its place in the list."""
    node = block.entries.get(key, (0, None))[1]
    if isinstance(node, Scalar) and node.value is not None and node.text.strip():
        return shown(node.text)
    return f"number {position + 1}"


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
