"""Single fields that every form of a message must give in a usable way."""

from __future__ import annotations

from lando.errors import UnreadableMessage

LARGEST_ID = 2**63 - 1  # what the databases on either side can hold


def run_id(value: object) -> int:
    """A run's id from a number or from decimal digits; anything else raises :class:`UnreadableMessage`."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_ID)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
        told = value[:40] if isinstance(value, str) else f"of type {type(value).__name__}"
        raise UnreadableMessage(f"The job id {told!r} is not a whole number from 0 to {LARGEST_ID}.")
    return value
