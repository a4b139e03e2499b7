"""The screens of docs/screens: drawn without what belongs to one machine, and readable without the network."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

DOCS = Path(__file__).parents[3] / "docs"
SCREENS = sorted((DOCS / "screens").glob("*.svg"))


@pytest.fixture(scope="module")
def screens() -> Any:
    pytest.importorskip("pyte")
    spec = importlib.util.spec_from_file_location("docs_screens", DOCS / "screens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_what_a_run_has_by_chance_is_made_the_same(screens: Any) -> None:
    line = Text("Pod run-workflow-2-ada-j2sv2 at https://127.0.0.1:41234, in /tmp/ab12/.local, /tmp/ab12", style="bold")
    (shown,) = screens.same([line], "/tmp/ab12")
    assert shown.plain == "Pod run-workflow-2-ada-x7k2p at https://127.0.0.1:38443, in /home/ada/.local, /home/ada"
    assert len(shown.plain) == len(line.plain)


def test_a_screen_is_a_picture_with_its_words_and_no_font_from_elsewhere(screens: Any) -> None:
    picture = screens.svg([Text("✔ done", style="green")], title="lando status 1", columns=40, name="status")
    assert "✔&#160;done" in picture
    assert "lando&#160;status&#160;1" in picture
    assert "url(http" not in picture


def test_a_command_is_recorded_in_a_terminal_with_its_colours(screens: Any) -> None:
    terminal = screens.Terminal("printf '\\033[32mgreen\\033[0m plain'", {"PATH": "/usr/bin:/bin"})
    (line,) = terminal.end()
    assert line.plain == "green plain"
    assert {line.plain[span.start : span.end]: span.style for span in line.spans}["green"] == "green"


@pytest.mark.parametrize("picture", SCREENS, ids=lambda path: path.stem)
def test_a_screen_shows_neither_this_machine_nor_its_user(picture: Path) -> None:
    words = re.sub(r"<[^>]*>", " ", picture.read_text())
    assert not re.search(r"/tmp/|/root/|/work/|/home/(?!ada/)", words)


def test_every_screen_is_on_a_page_with_words_for_who_cannot_see_it() -> None:
    pages = "".join(page.read_text() for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md"))
    for picture in SCREENS:
        assert re.search(rf"!\[[^\]]{{10,}}\]\((docs/)?screens/{picture.name}\)", pages), picture.name
