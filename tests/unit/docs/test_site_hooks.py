"""What differs between a page in the repository and on the site."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def hooks() -> Any:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("docs_site_hooks", ROOT / "docs" / "site" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("link", "source", "folder", "on_site"),
    [
        ("docs/runs.md#exit-statuses", "", "", "runs.md#exit-statuses"),
        ("examples/sleep", "", "", "examples/sleep/README.md"),
        ("../README.md", "docs", "", "index.md"),
        ("../openshift", "docs", "", "openshift/README.md"),
        ("causes.md", "docs", "", "causes.md"),
        ("../../docs/runs.md", "examples/sleep", "examples/sleep", "../../runs.md"),
        ("https://www.commonwl.org/", "docs", "", "https://www.commonwl.org/"),
        ("#here", "docs", "", "#here"),
    ],
)
def test_links_lead_where_they_lead_in_the_repository(
    hooks: Any, link: str, source: str, folder: str, on_site: str
) -> None:
    assert hooks.relinked(f"See [it]({link}).", source, folder) == f"See [it]({on_site})."


def test_what_stands_in_a_fenced_block_is_left_as_it_is(hooks: Any) -> None:
    page = "```\n[it](docs/runs.md)\n- a\n  - b\n```"
    assert hooks.indented(hooks.relinked(page, "", "")) == page


def test_lists_are_indented_as_the_site_wants_them(hooks: Any) -> None:
    page = (
        "So:\n- one\n  goes on\n  - deeper\n    still\n- two\n\n"
        "1. Do:\n\n   ```\n   this\n     that\n   ```\n\nAfter.\n```\nx\n```"
    )
    assert hooks.indented(page) == (
        "So:\n\n- one\n    goes on\n    - deeper\n        still\n- two\n\n"
        "1. Do:\n\n    ```\n    this\n      that\n    ```\n\nAfter.\n```\nx\n```"
    )


def test_a_diagram_that_cannot_be_drawn_ends_the_build(hooks: Any) -> None:
    with pytest.raises(Exception, match="can't be drawn"):
        hooks.diagram("flowchart LR\n  a -->", "mermaid", "diagram", None, None)


def test_every_page_is_in_the_readmes_list() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []
