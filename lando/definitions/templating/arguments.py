"""Arguments that a definition declares: a JSON Schema for each, with a default where it may be left out."""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lando.definitions.exceptions import ArgumentError, ArgumentsError, MissingArgument
from lando.definitions.spec import Job, JobSpecSource, TemplateSpecSource

_LONGEST = 100
"""Of what is made up."""
_ERRORS = 100
"""Of one argument, among which the best is looked for."""


class Arguments:
    """The declaration of one definition.

    Raises:
        ArgumentsError: one of the schemas is none, or refuses its own default.
    """

    def __init__(self, declared: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator  # only definitions that declare arguments need it
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import extend
        from referencing import Registry

        checks = extend(Draft202012Validator, {"uniqueItems": _unique})
        self._validators = {}
        self._defaults = {}
        for name, given in declared.items():
            schema = {} if given is None else given
            if not isinstance(name, str) or not isinstance(schema, Mapping | bool):
                raise ArgumentsError(name, "this has to be a JSON Schema, such as {type: string}")
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                where = "".join(f"{step}: " for step in error.absolute_path)
                raise ArgumentsError(name, f"this is no JSON Schema: {where}{error.message[:500]}") from error
            except RecursionError as error:
                raise ArgumentsError(name, "this is nested too deeply") from error
            # A registry of its own: nothing that a $ref names is fetched.
            self._validators[name] = checks(schema, registry=Registry())
            if isinstance(schema, Mapping) and "default" in schema:
                self._defaults[name] = schema["default"]
        for name, default in self._defaults.items():
            try:
                self._check(name, default)
            except ArgumentError as error:
                raise ArgumentsError(name, f"its default does not fit: {error}") from error

    @property
    def names(self) -> list[str]:
        return list(self._validators)

    def samples(self) -> tuple[dict[str, Any], bool]:
        """A value for each argument, its default where it has one, and whether all of them would be taken."""
        samples = {name: _sample(validator.schema) for name, validator in self._validators.items()} | self._defaults
        try:
            for name, value in samples.items():
                self._check(name, value)
        except (ArgumentError, ArgumentsError):
            return samples, False
        return samples, True

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of an object that holds all arguments."""
        return {
            "type": "object",
            "properties": {name: copy.deepcopy(validator.schema) for name, validator in self._validators.items()},
            "required": [name for name in self._validators if name not in self._defaults],
            "additionalProperties": False,
        }

    def complete(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """``given`` with the defaults of what is left out.

        Raises:
            MissingArgument: one without a default is left out.
            ArgumentError: one is not as declared, or is not declared.
        """
        given = dict(given or {})
        for name in given:
            if name not in self._validators:
                near = difflib.get_close_matches(name, self._validators, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._validators) or 'none'}"
                raise ArgumentError(f"there is no argument {name!r}; {hint}")
        missing = [name for name in self._validators if name not in given and name not in self._defaults]
        if missing:
            raise MissingArgument(f"arguments are missing: {', '.join(missing)}", missing)
        for name, value in given.items():
            self._check(name, value)
        return {**copy.deepcopy(self._defaults), **given}

    def _check(self, name: str, value: Any) -> None:
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        try:
            error = best_match(itertools.islice(self._validators[name].iter_errors(value), _ERRORS))
        except Unresolvable as unresolvable:
            raise ArgumentsError(name, str(unresolvable)) from unresolvable
        except RecursionError as endless:
            raise ArgumentsError(name, "its $ref leads back to itself, or it is nested too deeply") from endless
        if error is not None:
            where = "".join(f"[{step!r}]" for step in error.absolute_path)
            raise ArgumentError(f"argument {name}{where}: {error.message[:500]}")


def _unique(validator: Any, is_asked: bool, value: Any, schema: Any) -> Iterator[Any]:
    """As the built-in check, which compares each with each."""
    from jsonschema.exceptions import ValidationError

    if is_asked and validator.is_type(value, "array") and len(set(map(_hashable, value))) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _hashable(value: Any) -> Any:
    """Equal for what JSON Schema takes to be equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, list):
        return ("list", *map(_hashable, value))
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    return (bool, value) if isinstance(value, bool) else value


def _sample(schema: Any) -> Any:
    """A value that is likely to fit."""
    if not isinstance(schema, Mapping):
        return "x"
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    if "const" in schema:
        return schema["const"]
    kinds = schema.get("type", "string")
    match kinds if isinstance(kinds, str) else kinds[0]:
        case "integer" | "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            return min(least, schema.get("maximum", least))
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_sample(schema.get("items"))] * min(schema.get("minItems", 0), _LONGEST)
        case "object":
            known = schema.get("properties", {})
            return {name: _sample(known.get(name)) for name in schema.get("required", ())}
    return "x" * max(1, min(schema.get("minLength", 1), _LONGEST))


class DeclaredSpecSource(JobSpecSource):
    """A source whose arguments are declared."""

    def __init__(self, source: JobSpecSource, arguments: Arguments) -> None:
        self.source = source
        self.arguments = arguments

    def get(self, template_args: Mapping[str, Any] | None = None) -> Job:
        return self.source.get(template_args=self.arguments.complete(template_args))

    def template_vars(self) -> list[str]:
        return self.arguments.names

    @property
    def origin(self) -> TemplateSpecSource | None:
        return self.source.origin

    def arguments_schema(self) -> dict[str, Any]:
        return self.arguments.schema()
