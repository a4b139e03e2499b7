"""Secrets in text, replaced by ``****``.

Two kinds: the secrets that a configuration holds, also as URLs and reprs spell them, and whatever looks like a
credential (authorization headers, passwords in URLs, signatures of file URLs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "****"
_SHORTEST_SECRET = 4  # characters; masking shorter ones would only tear ordinary words apart
_CREDENTIALS = (
    (re.compile(r"(?i)\b(bearer|token|jwt|basic) +(?=\S*\d)[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@"), rf"\1:{MASK}@"),
    (re.compile(r"(?i)\b(signature|x-amz-signature|x-goog-signature|access_token)=[^&\s\"']+"), rf"\1={MASK}"),
)


class Masker:
    """Replaces secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Replace these, too."""
        self._secrets |= {form for one in secrets if len(one) >= _SHORTEST_SECRET for form in _spellings(one)}
        wanted = sorted(self._secrets, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(secret) for secret in wanted)) if wanted else None

    def mask(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _CREDENTIALS:
            text = pattern.sub(replacement, text)
        return text


def _spellings(secret: str) -> set[str]:
    """How a secret may stand in a text: as it is, quoted in a URL, escaped in a repr or in JSON."""
    return {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
