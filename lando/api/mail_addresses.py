"""What may stand in the head of a mail as an address."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address


def is_address(text: str) -> bool:
    """Whether ``text`` is one plain address, which can't be read as anything else in a mail's head."""
    if not text or len(text) > 254 or not text.isprintable() or any(letter in text for letter in ' ,;:<>()[]\\"'):
        return False
    name, at, domain = text.rpartition("@")
    try:
        Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        return False
    return bool(name and at and domain)
