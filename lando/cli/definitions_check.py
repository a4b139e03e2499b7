"""``lando definitions check``: what is wrong with a definitions file and what it makes, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml
from jinja2.exceptions import UndefinedError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lando.cli.definition_arguments import read_arguments
from lando.cli.phases import in_sentences, quiet
from lando.cli.rendering import finding_line
from lando.definitions.checks import checking
from lando.definitions.checks.examining import examine
from lando.definitions.checks.findings import Finding
from lando.definitions.connection import Connection, OwnConnection
from lando.definitions.exceptions import ArgumentError, DefinitionError, MissingArgument, NotFoundException
from lando.definitions.kubernetes_errors import message_of
from lando.definitions.manager import JobManager
from lando.definitions.registers import StaticJobDefinitionsRegister
from lando.definitions.signing import JobSigner
from lando.definitions.spec import ConfigMapSpecSource, JobGenerator
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
        connection: Connection | None = None
        namespace = ""
        if asked is not None:
            settings = Settings(kubernetes_namespace=asked.namespace)
            cluster = parts.enter_context(connect(settings, kubeconfig=asked.kubeconfig, context=asked.context))
            connection, namespace = parts.enter_context(closing(OwnConnection(cluster.session))), cluster.namespace
        manifest = None
        try:
            checked = _Check(file, root, connection)
            if definition is not None:
                manifest = checked.manifest_of(definition, arguments)
            if connection is not None:
                checked.ask(namespace, connection)
        except HTTPError as error:
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
    where = f"nothing in namespace {namespace} is in the way" if checked.taken else "the cluster was not asked"
    what = count(len(checked.sources), "definition") if definition is None else f"definition {plain(definition)}"
    typer.echo(f"{plain(file)} can be used: {what}; {where}.", err=definition is not None)
    return 0


def _sentence(finding: Finding) -> str:
    return str(finding) if finding.sentence.endswith("?") else f"{finding}."


class _Check:
    """One look at one file."""

    def __init__(self, file: Path, root: Path | None, connection: Connection | None) -> None:
        self._file = file
        self._is_cluster_asked = connection is not None
        self._asked_for: Mapping[str, dict[str, Any]] | None = None
        """The one definition that is asked about, and its arguments."""
        try:
            checked = checking.check(file, connection, root=root)
        except OSError as error:
            raise InputError(f"{file} can't be read: {error.strerror}.") from error
        self._places = checked.places
        self._subjects = checked.subjects
        self.sources = checked.sources
        self.findings = checked.findings
        self.taken: list[str] = []
        """Definitions whose Jobs the cluster would take."""

    def manifest_of(self, name: str, arguments: Sequence[str]) -> Any:
        """What the definition makes of the arguments; None, and found, if it can't. The others don't count then."""
        if self._places and name not in self._places:
            raise InputError(f"{self._file} has no definition {name!r}; there are {', '.join(self._places)}.")
        self.findings = [finding for finding in self.findings if finding.definition in (None, name)]
        if name not in self.sources:
            return None
        source = self.sources[name]
        if isinstance(source.origin, ConfigMapSpecSource) and not self._is_cluster_asked:
            raise InputError(f"The template of {name} is in a ConfigMap: have the cluster asked for it by --dry-run.")
        self._asked_for = {}
        try:
            values = read_arguments(arguments, {"arguments": source.arguments_schema()})
            manifest = source.get(values)
        except (InputError, DefinitionError, ArgumentError, UndefinedError) as error:
            self.findings.append(self._places[name].finding("arguments", str(error).rstrip(".")))
            return None
        except (ApiException, NotFoundException):
            return None  # found already
        self._asked_for = {name: values}
        if name in self._subjects:
            # In the place of what was found for arguments that nobody gave.
            of_these = examine(*self._subjects[name], values)
            of_others = set(examine(*self._subjects[name]))
            self.findings = [*(finding for finding in self.findings if finding not in of_others), *of_these]
        return manifest

    def ask(self, namespace: str, connection: Connection) -> None:
        """Have the cluster say whether it takes the Jobs."""
        register = StaticJobDefinitionsRegister({name: JobGenerator(source) for name, source in self.sources.items()})
        manager = JobManager(namespace, JobSigner(SIGNATURE), register, connection=connection)
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
            if error.status == 401:
                raise Unavailable(
                    "cluster", f"the login of the kubeconfig is not accepted: {message_of(error)}"
                ) from error
            if not error.status or error.status == 429 or error.status >= 500:
                raise Unavailable("cluster", message_of(error)) from error
            return [place.finding("", f"the cluster refuses its Job: {message_of(error)}".rstrip("."))]
        self.taken.append(name)
        return []
