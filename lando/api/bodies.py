"""The types of request bodies: lenient where Bespin's clients need it, strict about what a database can't hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from lando.api.answers import not_found
from lando.api.models import STATES, STEP_NAME, STEPS
from lando.config import STEP_TYPES

MAX_ID = 2**31 - 1
MAX_SIZE = 2**63 - 1
MAX_DEPTH = 100  # levels of nested JSON that are stored


class Body(BaseModel):
    """Base of all request bodies: unknown keys are ignored, numbers do for texts, texts are trimmed."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    def changes(self) -> dict[str, Any]:
        """Only what the request names: a PUT keeps the rest."""
        return self.model_dump(exclude_unset=True)


class Empty(Body):
    """The address says it all."""


def _clean(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL characters are not allowed.")
    return text


def _not_blank(text: str) -> str:
    if not text:
        raise ValueError("This field may not be blank.")
    return text


def _repaired(value: Any) -> Any:
    """Texts from programs' logs: whatever is no proper text is replaced, not refused."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def storable(value: Any) -> Any:
    """``value``; raises ValueError for JSON that can't be stored and read again: NaN, lone surrogates, too deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError("NaN and infinite numbers are no JSON.")
            if isinstance(item, str) and not _is_unicode(item):
                raise ValueError("Holds a text that is no proper Unicode.")
        level = [
            part
            for item in level
            if isinstance(item, (dict, list))
            for part in (item if isinstance(item, list) else [*item, *item.values()])
        ]
        if not level:
            return value
    raise ValueError(f"Nested more than {MAX_DEPTH} levels deep.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_slash(text: str) -> str:
    if "/" in text:
        raise ValueError("May not hold a slash.")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not (parts.netloc or parts.path) or any(character.isspace() for character in text):
        raise ValueError("Enter a valid URL.")
    return text


def _state(value: str) -> str:
    if len(value) != 1 or value not in STATES:
        raise ValueError(f'"{value}" is not a valid choice.')
    return value


def _step(value: str) -> str:
    if value not in STEPS:
        raise ValueError(f'"{value}" is not a valid choice.')
    return value


def _step_type(value: str) -> str:
    if value not in STEP_TYPES:
        raise ValueError(f'"{value[:64]}" is no step; the steps are {", ".join(STEP_TYPES)}.')
    return value


def _one_of(choices: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(choices)})


REFERENCE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_ID}, {"type": "string", "pattern": "^[0-9]{1,9}$"}]
}
Reference = Annotated[int, Field(ge=0, le=MAX_ID), WithJsonSchema(REFERENCE_SCHEMA)]
"""An id in a body: a number or its decimal text."""
AnyText = Annotated[str, AfterValidator(_clean)]
"""Text of any length, may be empty."""
ShortText = Annotated[str, Field(max_length=255), AfterValidator(_clean)]
"""Up to 255 characters, may be empty."""
Name = Annotated[str, Field(max_length=255), AfterValidator(_clean), AfterValidator(_not_blank)]
"""Up to 255 characters, not blank."""
Tag = Annotated[Name, AfterValidator(_without_slash)]
"""A name that can stand in a tag."""
LongName = Annotated[str, AfterValidator(_clean), AfterValidator(_not_blank)]
"""Text of any length, not blank."""
Url = Annotated[LongName, AfterValidator(_url)]
LogText = Annotated[str, BeforeValidator(_repaired)]
"""What a program said; repaired rather than refused."""
Size = Annotated[int, Field(ge=0, le=MAX_SIZE)]
"""Bytes."""
Number = Annotated[int, Field(ge=-MAX_ID, le=MAX_ID)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
"""Whose turn comes first: the highest."""
StateLetter = Annotated[str, AfterValidator(_state), _one_of(STATES)]
StepLetter = Annotated[str, AfterValidator(_step), _one_of(STEPS)]
StepType = Annotated[str, AfterValidator(_step_type), _one_of(STEP_TYPES)]
StepName = Annotated[str, Field(max_length=STEP_NAME), AfterValidator(_clean), AfterValidator(_not_blank)]
"""Of a step of a run of any kind: a step type, or what the run's plan calls it."""
JsonObject = Annotated[dict[str, Any], AfterValidator(storable)]
JsonValue = Annotated[dict[str, Any] | list[Any], AfterValidator(storable)]
"""A JSON object or list."""


def id_of(text: str) -> int:
    """The id in a path; 404 for what is no id."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID:
        return int(text)
    raise not_found()


def ids_of(texts: Iterable[str]) -> list[int]:
    """Those of ``texts`` that are ids."""
    numbers = (int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 10)
    return [number for number in numbers if number <= MAX_ID]
