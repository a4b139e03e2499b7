"""What an answer's headers say of its content: ``Repr-Digest`` (RFC 9530), ``Digest`` (RFC 3230), ``x-goog-hash`` of
Google Cloud Storage, ``Content-MD5`` (RFC 1864)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from lando.stores.checksums import CRC32C

_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5", "crc32c": CRC32C}
_BYTES = {"sha256": 32, "sha512": 64, "md5": 16, CRC32C: 4}
_STRONGEST_FIRST = ("sha256", "sha512", "md5", CRC32C)
_MEMBER = re.compile(r"([A-Za-z0-9-]+)=:?([A-Za-z0-9+/=]+):?")


def told(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Algorithm and hex value for the whole of what an answer 200 brings, if it says one that can be computed here.

    ``headers`` are found by names of any case.
    """
    found = dict(_found(headers))
    return next(((algorithm, found[algorithm]) for algorithm in _STRONGEST_FIRST if algorithm in found), None)


def _found(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    texts = [headers.get("Repr-Digest", ""), headers.get("Digest", "")]
    if _is_as_stored(headers):
        texts.append(headers.get("x-goog-hash", ""))
    if "Content-MD5" in headers:
        texts.append(f"md5={headers['Content-MD5']}")
    for text in texts:
        for name, value in (member.groups() for member in _MEMBER.finditer(text)):
            algorithm = _ALGORITHMS.get(name.lower())
            try:
                data = base64.b64decode(value, validate=True)
            except binascii.Error:
                continue
            if algorithm is not None and len(data) == _BYTES[algorithm]:
                yield algorithm, data.hex()


def _is_as_stored(headers: Mapping[str, str]) -> bool:
    """Google unpacks for its clients what is stored packed; the hash stays that of what is stored."""
    stored = headers.get("x-goog-stored-content-encoding", "identity").lower()
    return stored == headers.get("Content-Encoding", "identity").lower()
