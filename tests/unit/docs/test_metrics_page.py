"""The page of metrics, what the processes serve and what Prometheus takes are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lando.api.metrics import Metrics
from lando.api.metrics_page import chapters, page
from lando.k8s import metrics as daemons
from lando.metrics import text
from tests.services.promtool import promtool

ROOT = Path(__file__).parents[3]
DECLARED = [one for _, figures in chapters() for one in figures.declared]


def test_the_page_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert written == "".join(f"{line}\n" for line in page()), (
        "renew it: python -m lando.api.metrics_page > docs/metrics.md"
    )


def test_what_is_served_is_declared_and_described() -> None:
    parts = [*Metrics().parts, daemons.LANDO, daemons.WATCHER, daemons.BOTH]
    served = re.findall(r"^# HELP (lando_\S+) (.*)$", text(parts).decode(), re.MULTILINE)
    declared = {one.name: one.meaning for one in DECLARED}
    assert served
    assert [(name, meaning) for name, meaning in served if declared.get(name) != meaning] == []
    assert len(declared) == len(DECLARED), "each name is declared once"


@pytest.mark.parametrize("one", DECLARED, ids=lambda one: str(one.name))
def test_the_name_follows_the_conventions_of_prometheus(one: object) -> None:
    name, kind = one.name, one.kind  # type: ignore[attr-defined]
    assert re.fullmatch(r"lando_[a-z_]+", name)
    assert (kind == "counter") is name.endswith("_total")
    assert kind != "histogram" or name.endswith("_seconds")


@pytest.mark.service("promtool")
def test_promtool_has_nothing_to_say_about_the_daemons_metrics() -> None:
    checked = promtool("check", "metrics", text=text([daemons.LANDO, daemons.WATCHER, daemons.BOTH]))
    complaints = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("lando_")]
    assert complaints == []
    assert "error" not in checked.stderr.lower()
