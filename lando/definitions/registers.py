"""Where a definition is looked up by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from lando.definitions.exceptions import NotFoundException
from lando.definitions.spec import JobGenerator


class JobDefinitionsRegister(ABC):
    """Knows definitions by their names; safe to use from several threads."""

    @abstractmethod
    def get_generator(self, job_definition_name: str) -> JobGenerator:
        """The definition's generator; NotFoundException when there is none of that name."""


class StaticJobDefinitionsRegister(JobDefinitionsRegister):
    """The definitions of a dictionary."""

    def __init__(self, job_generators: Mapping[str, JobGenerator] | None = None) -> None:
        self.job_generators = job_generators if job_generators is not None else {}

    def get_generator(self, job_definition_name: str) -> JobGenerator:
        try:
            return self.job_generators[job_definition_name]
        except KeyError as error:
            raise NotFoundException(error) from error
