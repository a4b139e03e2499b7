"""A manager from environment variables and a definitions file that is read again when it changes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self, TextIO

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lando.definitions import definitions_file
from lando.definitions.checks.examining import Examiner
from lando.definitions.checks.findings import Finding, Place
from lando.definitions.connection import DEFAULT, Connection
from lando.definitions.definitions_file import JobDefinition
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.file_reloader import FileReloader, text_of
from lando.definitions.manager import JobManager, JobSigner
from lando.definitions.registers import JobDefinitionsRegister
from lando.definitions.spec import ConfigMapSpecSource, JobGenerator, YamlFileSpecSource
from lando.definitions.templating.templates import Template

__all__ = ["JobDefinition", "JobManagerFactory", "ReloadingJobDefinitionsRegister"]

logger = logging.getLogger(__name__)

CONFIG_MAPS = 500
"""Asked for in one look."""
EXAMINED = 50
"""Definitions at a time, so that nobody who asks for problems waits long."""
PROBLEMS = 1000
"""Told at a time."""


class ReloadingJobDefinitionsRegister(JobDefinitionsRegister):
    """The definitions of a file, as it is at each look.

    A version of the file, or an entry of it, that can't be used leaves the last good one in force. Without a file there
    are no definitions. ConfigMaps are read by ``connection``.
    """

    def __init__(self, reloader: FileReloader, *, connection: Connection = DEFAULT) -> None:
        self._reloader = reloader
        self._connection = connection
        self._state = _State({}, {}, {}, {}, ())
        self._unreadable: str | None = None
        self._looked_at = 0
        self._examiner = Examiner()
        self._loading = threading.Lock()
        self.on_reload: Callable[[], object] = lambda: None
        """Called when there are other definitions than before, by whoever noticed; it must not block."""
        self._reload()

    @property
    def generators(self) -> dict[str, JobGenerator]:
        """What is in force now, by name."""
        return dict(self._reload().generators)

    @property
    def definitions(self) -> dict[str, JobDefinition]:
        """The entries behind :attr:`generators`."""
        return dict(self._reload().definitions)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file, the templates that it names and the manifests that they make, a sentence each.

        ConfigMaps are as they were at the last :meth:`look`, or when a Job was made; of manifests that are new no more
        than EXAMINED are looked at now.
        """
        state = self._reload()
        state.look_at_files()
        self._examiner.examine(state.subjects(), at_most=EXAMINED)
        problems = self._told(state)
        left = len(problems) - PROBLEMS
        return tuple(problems) if left <= 0 else (*problems[:PROBLEMS], f"and {left} more")

    def counts(self) -> tuple[int, int]:
        """How many definitions are in force and how much is wrong, as of the last look at them; reads nothing."""
        state = self._state
        return len(state.generators), len(self._told(state))

    def _told(self, state: _State) -> list[str]:
        sources = [generator.spec_source.origin for generator in state.generators.values()]
        told = [] if self._unreadable is None else [self._unreadable]
        told += state.problems
        told += [f"{one.place}: {one.problem}" for one in sources if one is not None and one.problem is not None]
        told += [str(finding) for finding in self._examiner.findings() if finding.is_error]
        return told

    def look(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Look at all templates that the definitions name, at no more than CONFIG_MAPS of ConfigMaps at a time; what is
        wrong is logged, and :attr:`problems` tells it. A cluster that is away is not asked for the rest.

        Meant for a thread of its own, which may end it by ``is_enough``.
        """
        state = self._reload()
        state.look_at_files()
        self._examine(state, is_enough)
        self._look_at_config_maps(state, is_enough)
        self._examine(state, is_enough)

    def _examine(self, state: _State, is_enough: Callable[[], bool]) -> None:
        subjects = state.subjects()
        while not is_enough() and not self._examiner.examine(subjects, at_most=EXAMINED):
            pass

    def _look_at_config_maps(self, state: _State, is_enough: Callable[[], bool]) -> None:
        sources = [generator.spec_source.origin for generator in state.generators.values()]
        remote = [source for source in sources if isinstance(source, ConfigMapSpecSource)]
        begin = self._looked_at % len(remote) if remote else 0
        for config_map in (remote[begin:] + remote[:begin])[:CONFIG_MAPS]:
            if is_enough():
                return
            self._looked_at += 1
            try:
                config_map.template()
            except (NotFoundException, DefinitionError):
                continue
            except ApiException as error:
                if error.status not in (400, 403, 404):
                    break
            except HTTPError:
                break

    def get_generator(self, job_definition_name: str) -> JobGenerator:
        """The definition's generator.

        Raises:
            NotFoundException: there is none of that name.
            TypeError, ValueError: its entry can't be used, and there was none before that could.
        """
        state = self._reload()
        if job_definition_name in state.generators:
            return state.generators[job_definition_name]
        if job_definition_name in state.errors:
            error = state.errors[job_definition_name]
            raise type(error)(*error.args)  # a new one: an exception keeps the traceback of each time it is raised
        cause = _NoDefinition("; ".join([f"there is no definition {job_definition_name!r}", *state.problems]))
        raise NotFoundException(cause) from cause

    def _reload(self) -> _State:
        with self._loading:  # what one thread reads, the others need not
            return self._load()

    def _load(self) -> _State:
        path = str(getattr(self._reloader, "path", "the definitions file"))
        update = self._reloader.maybe_reload()
        try:
            stream = next(update, None)
            state = self._made_of(stream, path) if stream is not None else None
        except OSError as error:
            unreadable = f"{path}: the file can't be read: {error.strerror}"
            if self._unreadable != unreadable:
                logger.warning("%s", unreadable)
            self._unreadable = unreadable
            update.close()  # the next look tries again
            return self._state
        self._unreadable = None
        if state is not None:

            def apply() -> None:
                self._state = state
                for problem in (*state.problems, *state.warnings):
                    logger.warning("%s", problem)
                self.on_reload()

            update.send(apply)
            update.close()
            state.look_at_files()
        elif isinstance(self._reloader, FileReloader):
            missing = (f"{path}: there is no such file, so there are no definitions",)

            def forget() -> None:
                if self._state.problems != missing:
                    logger.warning("%s", missing[0])
                    self._state = _State({}, {}, {}, {}, missing)

            self._reloader.if_missing(forget)
        return self._state

    def _made_of(self, stream: TextIO, path: str) -> _State:
        """The state after a new version of the file. Raises OSError where it can't be read to its end."""
        before = self._state
        try:
            text = text_of(stream)
            contents = definitions_file.read(text, path, connection=self._connection, known=before.definitions)
            return before.followed_by(contents)
        except OSError:
            raise
        except definitions_file.FileError as error:
            return before.with_problem(str(error))
        except DefinitionError as error:
            return before.with_problem(f"{path}: {error}")
        except Exception as error:  # whatever it is, what there was before can still be used
            logger.exception("%s can't be used", path)
            return before.with_problem(f"{path}: this can't be used: {type(error).__name__}")


class _NoDefinition(KeyError):
    """What :class:`NotFoundException` of a register holds; it reads as a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


class _State:
    """What was made of one version of the file; never changed."""

    def __init__(
        self,
        generators: Mapping[str, JobGenerator],
        definitions: Mapping[str, JobDefinition],
        places: Mapping[str, Place],
        errors: Mapping[str, TypeError | ValueError],
        problems: tuple[str, ...],
        warnings: tuple[Finding, ...] = (),
    ) -> None:
        self.generators = generators
        self.definitions = definitions
        self.places = places
        self.errors = errors
        self.problems = problems
        self.warnings = warnings

    def followed_by(self, contents: definitions_file.Contents) -> _State:
        """The state after a new version of the file."""
        generators: dict[str, JobGenerator] = {}
        definitions = dict(contents.definitions)
        for name in definitions:
            # What has not changed keeps its generator, and with it the template that is compiled.
            source = contents.sources.get(name)
            generators[name] = self.generators[name] if source is None else JobGenerator(source)
        errors, problems = {}, []
        for problem in contents.problems:
            kept = problem.name is not None and problem.name in self.generators
            if problem.name is not None and kept:
                generators[problem.name] = self.generators[problem.name]
                definitions[problem.name] = self.definitions[problem.name]
            elif problem.name is not None:
                errors[problem.name] = problem.error
            problems.append(f"{problem.finding}{'; what it was before stays in force' if kept else ''}")
        for name, definition in definitions.items():
            if (origin := generators[name].spec_source.origin) is not None:
                origin.place = contents.places[name].of_key(definition.source_key)
        places = {name: contents.places[name] for name in contents.definitions}
        return _State(generators, definitions, places, errors, tuple(problems), contents.warnings)

    def subjects(self) -> dict[str, tuple[JobDefinition, Template, Place]]:
        """What there is to examine, as far as it is known without asking anybody; not what is in force from before."""
        found = {}
        for name, place in self.places.items():
            origin = self.generators[name].spec_source.origin
            if origin is not None and (template := origin.known) is not None:
                found[name] = (self.definitions[name], template, place)
        return found

    def look_at_files(self) -> None:
        """Have every file of a template read that has changed, so that what is wrong with it is known and logged."""
        for generator in self.generators.values():
            if isinstance(source := generator.spec_source.origin, YamlFileSpecSource):
                with suppress(DefinitionError):
                    source.template()

    def with_problem(self, sentence: str) -> _State:
        """The state after a version of the file that can't be read at all."""
        if self.generators:
            sentence += "; the version before stays in force"
        return _State(self.generators, self.definitions, self.places, self.errors, (sentence,))


class JobManagerFactory:
    """Makes managers of one namespace, signature and register."""

    JOB_SIGNATURE_ENV_VAR = "JOB_SIGNATURE"
    JOB_NAMESPACE_ENV_VAR = "JOB_NAMESPACE"
    JOB_DEFINITIONS_CONFIG_PATH_ENV_VAR = "JOB_DEFINITIONS_CONFIG_PATH"

    def __init__(self, namespace: str, signature: str, register: JobDefinitionsRegister) -> None:
        self.namespace = namespace
        self.signature = signature
        self.register = register

    @classmethod
    def from_vars(cls, signature: str, namespace: str, job_definitions_file_path: str | os.PathLike[str]) -> Self:
        """With the definitions of that file; mind the order of the arguments."""
        register = ReloadingJobDefinitionsRegister(FileReloader(job_definitions_file_path))
        return cls(namespace, signature, register)

    @classmethod
    def from_env(cls) -> Self:
        """As the environment variables say; KeyError for one that is missing."""
        return cls.from_vars(
            signature=os.environ[cls.JOB_SIGNATURE_ENV_VAR],
            namespace=os.environ[cls.JOB_NAMESPACE_ENV_VAR],
            job_definitions_file_path=os.environ[cls.JOB_DEFINITIONS_CONFIG_PATH_ENV_VAR],
        )

    def manager(self) -> JobManager:
        """A new manager."""
        return JobManager(self.namespace, JobSigner(self.signature), self.register)
