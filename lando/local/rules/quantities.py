"""Kubernetes resource quantities (``500m``, ``1Gi``, ``2e3``). Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")
_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
FORM_WORDS = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_LARGEST_EXPONENT = 64
"""Above what any quantity can mean; keeps arithmetic on hostile input small."""
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_DECIMAL = ("E", "P", "T", "G", "M", "k")
_SMALL = ("m", "u", "n")


def parse_quantity(text: str) -> Decimal:
    """The number that a quantity stands for; ValueError when ``text`` is no quantity."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity: {FORM_WORDS}")
    number, exponent, unit = match.groups()
    if exponent is None:
        return Decimal(number) * _FACTORS.get(unit or "", Decimal(1))
    if abs(int(exponent)) > _LARGEST_EXPONENT:
        raise ValueError(f"{text!r} is no quantity: its exponent is out of range")
    return Decimal(number).scaleb(int(exponent))


def format_quantity(number: Decimal, *, binary: bool) -> str:
    """``number`` as Kubernetes writes it: a whole number with the largest unit that fits exactly.

    ``binary`` chooses between ``Mi`` and ``M``; what is no whole number is written in thousandths and so on.
    """
    if number == 0:
        return "0"
    for unit in _BINARY if binary else _DECIMAL:
        if number % _FACTORS[unit] == 0:
            return f"{(number / _FACTORS[unit]).to_integral_value():f}{unit}"
    if number == number.to_integral_value():
        return f"{number:f}".partition(".")[0]
    for unit in _SMALL[:-1]:
        if number % _FACTORS[unit] == 0:
            return f"{(number / _FACTORS[unit]).to_integral_value():f}{unit}"
    return f"{(number / _FACTORS['n']).to_integral_value():f}n"
