"""The page about the API server's settings says what the code says."""

from __future__ import annotations

from pathlib import Path

from lando.api import reference

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "server.md").read_text(encoding="utf-8").splitlines() == list(reference.page())
