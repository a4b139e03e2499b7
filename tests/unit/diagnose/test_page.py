"""The page of causes and the table of rules say the same."""

from __future__ import annotations

from pathlib import Path

from lando.k8s.diagnosis.page import lines
from lando.k8s.diagnosis.table import RULES

PAGE = Path(__file__).parents[3] / "docs" / "causes.md"


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == "".join(f"{line}\n" for line in lines()), (
        "renew it: python -m lando.k8s.diagnosis.page > docs/causes.md"
    )


def test_the_page_has_each_rule_once_and_in_the_order_of_the_table() -> None:
    rows = [line.split("`")[1] for line in lines() if line.startswith("| `") and line.count(" | ") == 5]

    assert rows == [rule.name for rule in RULES]


def test_no_template_is_left_unfilled() -> None:
    assert not [line for line in lines() if "{" in line or "}" in line]
