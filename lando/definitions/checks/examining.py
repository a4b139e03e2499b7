"""What can be said of a definition before any Job is asked for: its template against its arguments, and the manifest
that comes of it against what the API server takes.

Nothing here keeps a definition from being used. What is an error fails, or is refused by the cluster, for sure; what
may be meant so, or depends on arguments that nobody knows yet, is a warning.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from yaml.nodes import Node

from lando.definitions.checks import job_shape
from lando.definitions.checks.findings import Finding, Place
from lando.definitions.definitions_file import JobDefinition, size_fault
from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument
from lando.definitions.templating.arguments import Arguments
from lando.definitions.templating.templates import Template

logger = logging.getLogger(__name__)

MAX_FINDINGS = 100
"""Of one definition."""

Subjects = Mapping[str, tuple[JobDefinition, Template, Place]]
"""By name."""


def examine(
    definition: JobDefinition, template: Template, place: Place, given: Mapping[str, Any] | None = None
) -> list[Finding]:
    """All there is to say, in the order of the lines; of the manifest that ``given`` arguments make, which would be
    taken, if there are some."""
    examination = _Examination(definition, template, place, given)
    examination.arguments()
    examination.manifest()
    found = sorted(dict.fromkeys(examination.found), key=lambda one: (one.file != place.file, one.line or 0))
    return found[:MAX_FINDINGS]


class Examiner:
    """Remembers what it found, until a definition, its place or its template is another."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[JobDefinition, Template, Place, tuple[Finding, ...]]] = {}
        self._lock = threading.Lock()

    def examine(self, subjects: Subjects, *, at_most: int) -> bool:
        """Examine no more than ``at_most`` of ``subjects`` that are not known yet; whether that were all. Errors are
        logged when they are found."""
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if name in subjects}
            for name, subject in subjects.items():
                known = self._known.get(name)
                if known is not None and known[:3] == subject:
                    continue
                if at_most == 0:
                    return False
                at_most -= 1
                try:
                    found = tuple(examine(*subject))
                except Exception:
                    logger.exception("The definition %s could not be examined", name)
                    found = ()
                self._known[name] = (*subject, found)
                for finding in found:
                    if finding.is_error:
                        logger.warning("%s", finding)
        return True

    def findings(self) -> list[Finding]:
        """About all that were examined last."""
        with self._lock:
            return [finding for known in self._known.values() for finding in known[3]]


class _Examination:
    def __init__(
        self, definition: JobDefinition, template: Template, place: Place, given: Mapping[str, Any] | None
    ) -> None:
        self._given = given
        self._definition = definition
        self._template = template
        self._place = place
        self._declared = None if definition.arguments is None else Arguments(definition.arguments)
        self._is_sure = True
        self.found: list[Finding] = []

    # -- arguments -------------------------------------------------------------------------------------------------

    def arguments(self) -> None:
        """What is declared is what the template takes."""
        if self._declared is None:
            return
        names, taken = set(self._declared.names), self._template.variables
        for name in self._declared.names:
            if name not in taken:
                self._tell("arguments." + name, "the template does not use this argument", is_error=False)
        required = [name for name in self._template.required() if name not in names]
        if required:
            self._tell("arguments", f"the template needs {', '.join(required)}, which is not declared")
        optional = sorted(taken - names - set(required))
        if optional:
            what = "which is not declared, so that it can't be given"
            self._tell("arguments", f"the template takes {', '.join(optional)}, {what}", is_error=False)

    def _tell(self, key: str, sentence: str, *, is_error: bool = True) -> None:
        finding = self._place.finding(key, sentence)
        self.found.append(replace(finding, is_error=is_error))

    # -- the manifest ----------------------------------------------------------------------------------------------

    def manifest(self) -> None:
        """What the template makes of arguments that would be taken, as far as such are known, is a Job."""
        try:
            root, lines = self._template.compose(self._samples())
        except MissingArgument:
            return  # told already, or an attribute of what nobody knows
        except ArgumentError as error:
            if not self._template.variables:
                self._tell_of_manifest(None, "", str(error))
            elif self._is_sure:
                self._tell_of_manifest(None, "", f"with the defaults of its arguments, {error}", is_error=False)
            return
        except DefinitionError as error:
            self._tell_of_manifest(None, "", str(error), is_error=self._is_sure)
            return
        if root is not None and (fault := size_fault(root)) is not None:
            self._tell_of_manifest(None, "", fault)
            return

        def tell(node: Node | None, key: str, sentence: str, is_error: bool) -> None:
            mark = node.start_mark if node is not None else None
            line = lines[min(mark.line, len(lines) - 1)] if mark is not None else None
            self._tell_of_manifest(line, key, sentence, is_error=is_error and self._is_sure)

        try:
            job_shape.flattened(root)
        except (yaml.YAMLError, ValueError) as error:
            self._tell_of_manifest(None, "", " ".join(str(error).split()))
            return
        job_shape.check(root, tell)

    def _samples(self) -> dict[str, Any]:
        """What is given or, without that, defaults where there are some, else values that fit, else a word."""
        if self._given is not None:
            return self._declared.complete(self._given) if self._declared is not None else dict(self._given)
        samples, fit = self._declared.samples() if self._declared is not None else ({}, True)
        unknown = [name for name in self._template.required() if name not in samples]
        self._is_sure = (fit and not unknown) or not self._template.has_branches
        return {**dict.fromkeys(unknown, "x"), **samples}

    def _tell_of_manifest(self, line: int | None, key: str, sentence: str, *, is_error: bool = True) -> None:
        """About a line of the template, from 1."""
        definition, place = self._definition, self._place
        if definition.source_key == "spec":
            if place.text_line is not None and line is not None:
                line = place.text_line + line - 1
            else:
                line = place.keys.get("spec", place.line)
            file = place.file
        elif definition.source_key == "spec_path":
            file = str(definition.spec_path)
        else:
            file = f"ConfigMap {definition.spec_config_map_namespace}/{definition.spec_config_map_name}"
        self.found.append(
            Finding(sentence=sentence, file=file, line=line, key=key, definition=place.definition, is_error=is_error)
        )
