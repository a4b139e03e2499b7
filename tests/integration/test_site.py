"""docs/ as a site: built without a warning, and read without the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs" / "site" / "mkdocs.yml"
_FETCHED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//")


def test_the_site_is_built_without_a_broken_link_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(CONFIG), "-d", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page: page.read_text() for page in tmp_path.rglob("*.html")}
    assert [str(page) for page, text in pages.items() if _FETCHED.search(text)] == []
    diagrams = pages[tmp_path / "architecture" / "index.html"]
    assert diagrams.count('<div class="diagram light"><svg') == diagrams.count('<div class="diagram dark"><svg') > 0
