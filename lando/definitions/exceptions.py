"""What goes wrong with definitions and Jobs, and how errors of a client library become our own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from jinja2.exceptions import UndefinedError

P = ParamSpec("P")
R = TypeVar("R")


class NotFoundException(Exception):
    """A definition or a Job does not exist, or is another signature's; the original cause is its argument.

    A second one says what is missing, where the cause alone would not.
    """

    def __str__(self) -> str:
        return str(self.args[-1]) if self.args else ""


class DefinitionError(ValueError):
    """A definition can't become a Job: its template, its manifest or its file is at fault."""


class TemplateError(DefinitionError):
    """The syntax of a template is wrong."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(f"line {line} of the template: {problem}" if line is not None else problem)
        self.line = line
        self.problem = problem


class ArgumentsError(DefinitionError):
    """What a definition declares about one of its arguments can't be used."""

    def __init__(self, name: object, sentence: str) -> None:
        super().__init__(f"arguments.{name}: {sentence}")
        self.name = name
        self.sentence = sentence


class ArgumentError(ValueError):
    """An argument does not fit: it would change the manifest's structure, or is not of the declared type."""


class IdempotencyError(ValueError):
    """A key that was used before came again with another request."""


class TooManyJobs(Exception):
    """The user has as many unfinished Jobs as a server lets one have."""


class MissingArgument(UndefinedError):
    """The template needs arguments that were not given."""

    def __init__(self, message: str, names: Iterable[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)
        """All that are missing, in the order in which the template asks for them."""


def remaps_exception(
    exc_map: Mapping[type[BaseException], type[Exception]] | None = None,
    matchers: Iterable[tuple[Callable[[Exception], bool], type[Exception]]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: what the function raises becomes another exception, built from the caught one.

    ``exc_map`` goes by exact type and is asked first, then each ``matchers`` pair (predicate, type) in order; what
    fits nowhere is raised as it is.
    """
    by_type = dict(exc_map or {})
    by_predicate = list(matchers or ())

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def remapped(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                target = by_type.get(type(error))
                if target is None:
                    target = next((target for fits, target in by_predicate if fits(error)), None)
                if target is None:
                    raise
                raise target(error) from error

        return remapped

    return decorate
