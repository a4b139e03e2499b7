"""What docs/troubleshooting.md says that Lando says, Lando says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SENTENCES = re.findall(r"(?<![*\w])\*([^*|]{20,}?)\*(?![*\w])", PAGE)


@pytest.fixture(scope="module")
def said() -> str:
    """Every text of the package, with what is joined from several lines put together."""
    sources = "".join(path.read_text() for path in sorted((ROOT / "lando").rglob("*.py")))
    return re.sub(r"\"\s*\n\s*f?\"", "", sources)


def test_there_are_sentences() -> None:
    assert len(SENTENCES) > 15


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_of_the_page_is_in_the_code(said: str, sentence: str) -> None:
    parts = [part.strip() for part in sentence.split("…")]
    missing = [part for part in parts if len(part) > 5 and part not in said]
    assert missing == []
