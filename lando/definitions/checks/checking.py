"""A definitions file looked at as a whole, by whoever is about to use it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kubernetes.client.exceptions import ApiException

from lando.definitions import definitions_file
from lando.definitions.checks.examining import Examiner, Subjects
from lando.definitions.checks.findings import Finding, Place
from lando.definitions.connection import DEFAULT, Connection
from lando.definitions.definitions_file import FileError, JobDefinition
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.file_reloader import text_of
from lando.definitions.spec import ConfigMapSpecSource, JobSpecSource


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What there is in a file, and what is wrong with it."""

    findings: list[Finding]
    """By file and line."""
    sources: dict[str, JobSpecSource]
    """Of the definitions that can be used."""
    places: dict[str, Place]
    """Of all definitions."""
    subjects: Subjects
    """Of those that could be examined."""


def check(file: Path, connection: Connection | None, *, root: Path | None = None) -> Checked:
    """Look at the file and at all templates that it names; those of files below ``root``, where there is one, and those
    in ConfigMaps by ``connection``, or not at all.

    Raises OSError when there is no such file, and urllib3's HTTPError when the cluster is away.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            contents = definitions_file.read(text_of(stream), str(file))
    except FileError as error:
        return Checked(findings=[error.finding], sources={}, places={}, subjects={})
    except DefinitionError as error:
        return Checked(findings=[Finding(sentence=str(error), file=str(file))], sources={}, places={}, subjects={})
    findings = [problem.finding for problem in contents.problems] + list(contents.warnings)
    sources, subjects = {}, {}
    for name, written in contents.definitions.items():
        definition, place = _below(root, written), contents.places[name]
        sources[name] = source = definition.spec_source(connection or DEFAULT)
        if source.origin is None:
            continue
        if isinstance(source.origin, ConfigMapSpecSource) and connection is None:
            findings.append(place.warning(definition.source_key, "the ConfigMap is looked at with --dry-run only"))
            continue
        try:
            subjects[name] = (definition, source.origin.template(), place)
        except (DefinitionError, NotFoundException, ApiException) as error:
            findings.append(place.finding(definition.source_key, source.origin.problem or str(error)))
    examiner = Examiner()
    examiner.examine(subjects, at_most=len(subjects))
    findings += examiner.findings()
    findings.sort(key=lambda one: (one.file != str(file), one.file, one.line or 0))
    return Checked(findings=findings, sources=sources, places=dict(contents.places), subjects=subjects)


def _below(root: Path | None, definition: JobDefinition) -> JobDefinition:
    if root is None or definition.source_key != "spec_path":
        return definition
    path = Path(str(definition.spec_path))
    return replace(definition, spec_path=str(root / path.relative_to(path.anchor)))
