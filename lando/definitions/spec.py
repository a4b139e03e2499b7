"""Where manifests of Jobs come from, and the names that their Jobs get."""

from __future__ import annotations

import copy
import logging
import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lando.definitions import connection as connections
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.file_reloader import FileReloader, text_of
from lando.definitions.kubernetes_errors import is_kubernetes_not_found_exception, message_of
from lando.definitions.templating.templates import Template

logger = logging.getLogger(__name__)
_noting = threading.Lock()

Job = Any
"""A ``kubernetes.client.V1Job``, or the same as a dictionary with Kubernetes' keys."""
V1Job = Any
"""A ``kubernetes.client.V1Job``; to its type every field may be missing, those that the API always fills, too."""


class JobSpecSource(ABC):
    """Gives manifests of Jobs; safe to use from several threads."""

    @abstractmethod
    def get(self, template_args: Mapping[str, Any] | None = None) -> Job:
        """A fresh manifest, which the caller may change."""

    def template_vars(self) -> list[str]:
        """The names of the arguments that the manifest can take, in no order; NotImplementedError where a class of
        somebody's own does not tell them."""
        raise NotImplementedError

    @property
    def origin(self) -> TemplateSpecSource | None:
        """What has the manifest's template, if there is one."""
        return None

    def arguments_schema(self) -> dict[str, Any]:
        """The JSON Schema of an object of arguments, as far as it is known."""
        try:
            names = sorted(self.template_vars())
        except NotImplementedError:
            return {"type": "object"}
        return {"type": "object", "properties": {name: {} for name in names}}


class TemplateSpecSource(JobSpecSource):
    """A manifest that is a template.

    ``get`` raises DefinitionError and ArgumentError (both ValueError) and MissingArgument (a jinja2 UndefinedError).
    """

    place = ""
    """What names this source: ``file:line: key`` of a definitions file; "" for a source by itself."""
    problem: str | None = None
    """What was wrong with it when it was last looked at; told in the log once, until it is another or none."""

    @abstractmethod
    def template(self) -> Template:
        """As it is now."""

    @property
    @abstractmethod
    def known(self) -> Template | None:
        """As it was when it was last looked at; None where it was not, or never was one."""

    @property
    def origin(self) -> TemplateSpecSource:
        return self

    def _note(self, problem: str | None) -> None:
        with _noting:
            is_new, self.problem = problem != self.problem, problem
        if is_new and problem is not None:
            logger.warning("%s", f"{self.place}: {problem}" if self.place else problem)

    def get(self, template_args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        manifest: dict[str, Any] = self.template().render(template_args)
        return manifest

    def template_vars(self) -> list[str]:
        return list(self.template().variables)

    def arguments_schema(self) -> dict[str, Any]:
        template = self.template()
        properties: dict[str, Any] = {name: {} for name in sorted(template.variables)}
        return {"type": "object", "properties": properties, "required": template.required()}


class StaticSpecSource(JobSpecSource):
    """Always the same manifest."""

    def __init__(self, config: Job) -> None:
        self.config = config

    def get(self, template_args: Mapping[str, Any] | None = None) -> Job:
        return copy.deepcopy(self.config)

    def template_vars(self) -> list[str]:
        return []


class YamlStringSpecSource(TemplateSpecSource):
    """A template in a string."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._template: Template | None = None

    def template(self) -> Template:
        if self._template is None:
            self._template = Template(self.spec)
        return self._template

    @property
    def known(self) -> Template:
        return self.template()


class YamlFileSpecSource(TemplateSpecSource):
    """A template in a file, read again when that changes; one that is broken leaves the last good one in force."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._reloader = FileReloader(path)
        self._template: Template | None = None
        self._broken: DefinitionError | None = None

    def template(self) -> Template:
        """As the file holds it now."""
        try:
            self._reload()
            is_missing, unreadable = self._reloader.if_missing(None), None
        except OSError as error:
            is_missing, unreadable = False, self._unreadable(str(error.strerror))
        template, broken = self._template, unreadable or self._broken
        if is_missing:
            template, broken = None, self._unreadable("there is no such file")
        if template is None:
            broken = broken or self._unreadable("it changes while it is read")
            self._note(str(broken))
            raise DefinitionError(str(broken))  # a new one: an exception keeps the traceback of each time it is raised
        self._note(f"{broken}; what it was before stays in force" if broken else None)
        return template

    @property
    def known(self) -> Template | None:
        return self._template

    def _reload(self) -> None:
        update = self._reloader.maybe_reload()
        stream = next(update, None)
        if stream is None:
            return
        made: Template | None
        try:
            made, broken = Template(text_of(stream)), None
        except DefinitionError as error:
            made, broken = None, DefinitionError(f"{os.fspath(self.path)}: {error}")

        def apply() -> None:
            self._template = made or self._template
            self._broken = broken

        update.send(apply)
        update.close()

    def _unreadable(self, why: str) -> DefinitionError:
        return DefinitionError(f"the template {os.fspath(self.path)} can't be read: {why}")


class ConfigMapSpecSource(TemplateSpecSource):
    """A template in a ConfigMap, under the key that is the ConfigMap's own name; read anew each time."""

    def __init__(self, name: str, namespace: str, *, connection: connections.Connection = connections.DEFAULT) -> None:
        self.name = name
        self.namespace = namespace
        self._connection = connection
        self._lock = threading.Lock()
        self._compiled: tuple[str, Template] | None = None

    def template(self) -> Template:
        """As the ConfigMap holds it now.

        Raises:
            NotFoundException: there is no such ConfigMap.
            DefinitionError: it lacks the key, or what is there is no template.
            ApiException, urllib3's HTTPError: it can't be asked for.
        """
        try:
            template = self._read()
        except (NotFoundException, ApiException, HTTPError, DefinitionError) as error:
            self._note(self._words(error))
            raise
        self._note(None)
        return template

    @property
    def known(self) -> Template | None:
        with self._lock:
            return self._compiled[1] if self._compiled is not None else None

    def _read(self) -> Template:
        try:
            with self._connection.core() as core:
                data = core.read_namespaced_config_map(name=self.name, namespace=self.namespace).data or {}
        except ApiException as error:
            if not is_kubernetes_not_found_exception(error):
                raise
            raise NotFoundException(error, f"the namespace {self.namespace} has no ConfigMap {self.name}") from error
        source = data.get(self.name)
        if source is None:
            raise DefinitionError(f"the ConfigMap {self.name} of namespace {self.namespace} has no key {self.name!r}")
        with self._lock:
            known = self._compiled
        if known is None or known[0] != source:
            try:
                known = (source, Template(source))
            except DefinitionError as error:
                raise DefinitionError(f"ConfigMap {self.namespace}/{self.name}: {error}") from error
            with self._lock:
                self._compiled = known
        return known[1]

    def _words(self, error: Exception) -> str:
        what = f"the ConfigMap {self.name} of namespace {self.namespace}"
        match error:
            case NotFoundException():
                return f"the namespace {self.namespace} has no ConfigMap {self.name}"
            case ApiException(status=403):
                return f"{what} may not be read: give the account get of configmaps ({message_of(error)})"
            case ApiException():
                return f"{what} can't be read: {message_of(error)}"
            case HTTPError():
                return f"{what} can't be read: the cluster is away"
        return str(error)


class JobGenerator:
    """Makes Jobs of one definition, each with a name of its own."""

    SUFFIX_BYTES = 12
    """Random bytes at the end of a name, written as hexadecimal digits."""
    MAX_LEN = 38
    """Characters of the manifest's own name that are kept: 63 with the hyphen and the digits, as a label allows."""

    def __init__(self, spec_source: JobSpecSource) -> None:
        self.spec_source = spec_source

    def generate(self, template_args: Mapping[str, Any] | None = None) -> Job:
        """A fresh Job, V1Job or dictionary as its source gives it.

        Raises:
            DefinitionError: the manifest has no name to begin with; and what the source raises.
        """
        job = self.spec_source.get(template_args=template_args)
        base = base_name(job)[: self.MAX_LEN].rstrip(".")  # where the cut leaves one, a hyphen may not follow
        rename(job, base + "-" + secrets.token_hex(self.SUFFIX_BYTES))
        return job

    def template_vars(self) -> list[str]:
        return self.spec_source.template_vars()


def base_name(job: Job) -> str:
    """The name that the manifest itself has, or the ``generateName`` that stands for it."""
    if isinstance(job, Mapping):
        metadata = job.get("metadata")
        if not isinstance(metadata, Mapping):
            raise DefinitionError("the manifest has no metadata")
        for key in ("labels", "annotations"):
            if not isinstance(metadata.get(key) or {}, Mapping):
                raise DefinitionError(f"metadata.{key} has to be a mapping")
        name = metadata.get("name") or metadata.get("generateName") or metadata.get("generate_name")
    elif hasattr(job, "metadata"):
        if job.metadata is None:
            raise DefinitionError("the manifest has no metadata")
        name = job.metadata.name or job.metadata.generate_name
    else:
        raise DefinitionError(f"the manifest is no mapping but {_kind(job)}")
    if name is None or name == "":
        raise DefinitionError("the manifest has neither metadata.name nor metadata.generateName")
    if not isinstance(name, str):
        raise DefinitionError(f"metadata.name must be text, not {_kind(name)}: put {name!r} in quotes")
    return name


def name_of(job: Job) -> str:
    """The name that the Job has."""
    return str(job["metadata"]["name"] if isinstance(job, Mapping) else job.metadata.name)


def rename(job: Job, name: str) -> None:
    if isinstance(job, Mapping):
        job["metadata"]["name"] = name
    else:
        job.metadata.name = name


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        type(None): "empty",
    }
    return names.get(type(value), type(value).__name__)
