"""Explorations of scenarios, each recorded once, and how many points there were."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lando.api import outbox
from lando.k8s import watcher
from lando.k8s.outage import Outage
from tests.crash_points.calls import Killed
from tests.crash_points.exploring import Exploration
from tests.crash_points.pairing import SEED
from tests.crash_points.scenarios import Scenario

Explore = Callable[..., Exploration]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How long a daemon rests between two looks does not matter here; threads of killed ones die quietly."""
    monkeypatch.setattr(watcher, "WORKERS", 1)
    monkeypatch.setattr(watcher, "RETRY_S", (0.003, 0.01))
    monkeypatch.setattr(watcher, "WAIT_INTERVAL_S", 0.0)
    monkeypatch.setattr(Outage.__init__, "__kwdefaults__", {**Outage.__init__.__kwdefaults__, "first_s": 0.003})
    monkeypatch.setattr(outbox, "LEASE_S", 0.001)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_S", 0.003)
    report = threading.excepthook
    monkeypatch.setattr(threading, "excepthook", lambda args: None if args.exc_type is Killed else report(args))
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def explore() -> Iterator[Explore]:
    """The exploration of a scenario, of the lando daemon or as told; recorded at its first use."""
    known: dict[str, Exploration] = {}
    folders = []

    def recorded(scenario: Scenario, exploring: type[Exploration] = Exploration, **how: Any) -> Exploration:
        key = f"{scenario.name} {how}"
        if key not in known:
            shared = Path("/dev/shm")
            folder = Path(tempfile.mkdtemp(prefix="lando-", dir=shared if shared.is_dir() else None))
            folders.append(folder)
            exploration = exploring(
                scenario, exploring.make_api(folder, record_step=scenario.record_step), folder, **how
            )
            known[key] = exploration
            exploration.record()
        return known[key]

    yield recorded
    for exploration in known.values():
        exploration.api.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many points of each scenario were tried, and how many pairs."""
    points: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        found = dict(report.user_properties)
        if report.when == "call" and "points" in found:
            points[found["scenario"]] += int(found["points"])
        if report.when == "call" and "pairs" in found:
            pairs.update({each: int(found[each]) for each in ("pairs", "met")})
    if points or pairs:
        terminalreporter.section("crash points")
    if points:
        for scenario, count in sorted(points.items()):
            terminalreporter.line(f"{count:6}  {scenario}")
        terminalreporter.line(f"{points.total():6}  in all, each with the same end as without a fault")
    if pairs:
        told = (
            f"{pairs['pairs']:6}  pairs of crashes (seed {SEED}), likewise; in {pairs['met']} of them both came about"
        )
        terminalreporter.line(told)
