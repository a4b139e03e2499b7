"""``lando definitions check``: what is wrong with a definitions file and what it makes, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml
from jinja2.exceptions import UndefinedError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lando.cli.definitions import read_arguments
from lando.cli.phases import in_sentences, quiet
from lando.cli.rendering import finding_line
from lando.definitions import definitions_file
from lando.definitions.connection import DEFAULT, Connection, OwnConnection
from lando.definitions.definitions_file import FileError, JobDefinition
from lando.definitions.examining import Examiner
from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument, NotFoundException
from lando.definitions.file_reloader import text_of
from lando.definitions.findings import Finding, Place
from lando.definitions.kubernetes_errors import message_of
from lando.definitions.manager import JobManager
from lando.definitions.registers import StaticJobDefinitionsRegister
from lando.definitions.signing import JobSigner
from lando.definitions.spec import ConfigMapSpecSource, JobGenerator, JobSpecSource
from lando.direct.connecting import connect
from lando.direct.events import Outcome
from lando.errors import InputError, Unavailable
from lando.k8s.side_by_side import together
from lando.logs import plain
from lando.phases.model import Settings
from lando.units import count

SIGNATURE = "lando-definitions-check"
"""Of what is created in dry runs."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which cluster, if any."""

    namespace: str
    kubeconfig: Path | None
    context: str | None


def check(
    file: Path,
    definition: str | None,
    arguments: Sequence[str],
    *,
    root: Path | None,
    asked: Asked | None,
    as_json: bool,
) -> int:
    """Print every finding and, of one definition, the manifest; returns the exit code, one of those of
    ``lando phases check``."""
    quiet()
    with in_sentences(), ExitStack() as parts:
        connection: Connection = DEFAULT
        namespace = ""
        if asked is not None:
            settings = Settings(kubernetes_namespace=asked.namespace)
            cluster = parts.enter_context(connect(settings, kubeconfig=asked.kubeconfig, context=asked.context))
            connection, namespace = parts.enter_context(closing(OwnConnection(cluster.session))), cluster.namespace
        checked = _Check(file, root, connection, is_cluster_asked=asked is not None)
        manifest = None
        try:
            checked.examine()
            if definition is not None:
                manifest = checked.manifest_of(definition, arguments)
            if asked is not None:
                checked.ask(namespace)
        except (HTTPError, ConnectionError) as error:
            raise Unavailable("cluster", "the cluster can't be reached") from error
    errors = sum(finding.is_error for finding in checked.findings)
    if as_json:
        document = {
            "file": str(file),
            "cluster_asked": asked is not None,
            "definitions": len(checked.sources),
            "findings": [asdict(finding) for finding in checked.findings],
            "manifest": manifest,
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
        return Outcome.REFUSED.value if errors else 0
    for finding in checked.findings:
        typer.echo(finding_line(_sentence(finding), is_error=finding.is_error), err=definition is not None)
    if manifest is not None:
        typer.echo(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).rstrip("\n"))
    if errors:
        typer.echo(f"{plain(file)} can't be used as it is: {count(errors, 'problem')}.", err=True)
        return Outcome.REFUSED.value
    where = f"namespace {namespace} takes their Jobs" if asked is not None else "the cluster was not asked"
    whole = count(len(checked.sources), "definition")
    typer.echo(f"{plain(file)} can be used: {whole}; {where}.", err=definition is not None)
    return 0


def _sentence(finding: Finding) -> str:
    return str(finding) if finding.sentence.endswith("?") else f"{finding}."


class _Check:
    """One look at one file."""

    def __init__(self, file: Path, root: Path | None, connection: Connection, *, is_cluster_asked: bool) -> None:
        self._file = file
        self._root = root
        self._connection = connection
        self._is_cluster_asked = is_cluster_asked
        self._places: Mapping[str, Place] = {}
        self._asked_for: Mapping[str, dict[str, Any]] | None = None
        """The one definition that is asked about, and its arguments."""
        self.sources: dict[str, JobSpecSource] = {}
        self.findings: list[Finding] = []

    def examine(self) -> None:
        """Look at the file and all templates."""
        try:
            with self._file.open(encoding="utf-8") as stream:
                contents = definitions_file.read(text_of(stream), str(self._file))
        except OSError as error:
            raise InputError(f"{self._file} can't be read: {error.strerror}.") from error
        except FileError as error:
            self.findings.append(error.finding)
            return
        except DefinitionError as error:
            self.findings.append(Finding(sentence=str(error), file=str(self._file)))
            return
        self._places = contents.places
        self.findings += [problem.finding for problem in contents.problems]
        self.findings += contents.warnings
        subjects = {}
        for name, definition in contents.definitions.items():
            definition = self._below_root(definition)
            self.sources[name] = source = definition.spec_source(self._connection)
            place = contents.places[name]
            if source.origin is None:
                continue
            if isinstance(source.origin, ConfigMapSpecSource) and not self._is_cluster_asked:
                told = "the ConfigMap is looked at with --dry-run only"
                self.findings.append(place.warning(definition.source_key, told))
                continue
            try:
                subjects[name] = (definition, source.origin.template(), place)
            except (DefinitionError, NotFoundException, ApiException) as error:
                self.findings.append(place.finding(definition.source_key, source.origin.problem or str(error)))
        examiner = Examiner()
        examiner.examine(subjects, at_most=len(subjects))
        self.findings += examiner.findings()
        self.findings.sort(key=lambda one: (one.file != str(self._file), one.file, one.line or 0))

    def manifest_of(self, name: str, arguments: Sequence[str]) -> Any:
        """What the definition makes of the arguments; None, and found, if it can't. The others don't count then."""
        if self._places and name not in self._places:
            raise InputError(f"{self._file} has no definition {name!r}; there are {', '.join(self._places)}.")
        self.findings = [finding for finding in self.findings if finding.definition in (None, name)]
        if name not in self.sources:
            return None
        source = self.sources[name]
        self._asked_for = {}
        try:
            values = read_arguments(arguments, {"arguments": source.arguments_schema()})
            manifest = source.get(values)
            self._asked_for = {name: values}
            return manifest
        except (InputError, DefinitionError, ArgumentError, UndefinedError) as error:
            self.findings.append(self._places[name].finding("arguments", str(error).rstrip(".")))
        except (ApiException, NotFoundException):
            pass  # found already
        return None

    def ask(self, namespace: str) -> None:
        """Have the cluster say whether it takes the Jobs."""
        register = StaticJobDefinitionsRegister({name: JobGenerator(source) for name, source in self.sources.items()})
        manager = JobManager(namespace, JobSigner(SIGNATURE), register, connection=self._connection)
        wanted = {name: {} for name in self.sources} if self._asked_for is None else self._asked_for
        calls = [partial(self._ask_for, manager, name, values) for name, values in wanted.items()]
        for found in together(calls):
            self.findings += found

    def _ask_for(self, manager: JobManager, name: str, values: Mapping[str, Any]) -> list[Finding]:
        place = self._places[name]
        try:
            manager.create_job(name, values, dry_run=True)
        except MissingArgument as error:
            told = f"the cluster was not asked: {error}; give the name and its arguments"
            return [place.warning("", told)]
        except (DefinitionError, ArgumentError, NotFoundException) as error:
            told = str(error).removeprefix(f"definition {name!r}: ")
            return [] if any(told in str(finding) for finding in self.findings) else [place.finding("", told)]
        except ApiException as error:
            if not error.status:
                raise Unavailable("cluster", message_of(error)) from error
            return [place.finding("", f"the cluster refuses its Job: {message_of(error)}".rstrip("."))]
        return []

    def _below_root(self, definition: JobDefinition) -> JobDefinition:
        if self._root is None or definition.source_key != "spec_path":
            return definition
        path = Path(str(definition.spec_path))
        return replace(definition, spec_path=str(self._root / path.relative_to(path.anchor)))
