"""``resync`` and ``prune`` through the server: for staff, and only where the server knows the cluster."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from lando.errors import ConfigError, InputError, Unavailable
from lando.k8s.findings import Finding, Trouble
from lando.k8s.pruning import Held, Prunable
from lando.k8s.upkeep import Upkeep
from tests.unit.api.serving import Api

FINDING = Finding(run_id=7, trouble=Trouble.UNKNOWN, wrong="It is unknown.", remedy="Nothing.")
PRUNABLE = Prunable(run_id=7, where=Held.CLUSTER, what="1 volume", size=5)


@dataclass
class FakeUpkeep:
    """Notes what it is asked for."""

    asked: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def _answer(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    def resync(self, *, dry_run: bool = False) -> list[Finding]:
        self._answer("resync", dry_run)
        return [FINDING]

    def prune(self, *, older_than: timedelta | None, with_logs: bool, dry_run: bool) -> list[Prunable]:
        self._answer("prune", older_than, with_logs, dry_run)
        return [PRUNABLE]

    def prune_unknown(self, run_ids: Collection[int], *, dry_run: bool) -> list[Prunable]:
        self._answer("unknown", list(run_ids), dry_run)
        return [PRUNABLE]


@pytest.fixture
def upkeep(api: Api) -> FakeUpkeep:
    fake = FakeUpkeep()
    api.site.upkeep = cast(Upkeep, fake)
    return fake


@pytest.mark.parametrize("path", ["resync", "prune"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_staff_may_ask(api: Api, upkeep: FakeUpkeep, method: str, path: str) -> None:
    assert api.call(method, f"/api/lando/v1/{path}").status_code == 403
    assert api.call(method, f"/api/lando/v1/{path}", user="lando").status_code == 200
    assert len(upkeep.asked) == 1


def test_to_look_changes_nothing(api: Api, upkeep: FakeUpkeep) -> None:
    assert api.get("/api/lando/v1/resync", "lando").json() == {"findings": [FINDING.document()]}
    answer = api.get("/api/lando/v1/prune?older_than_s=60&logs=false", "lando")
    assert answer.json() == {"prunable": [PRUNABLE.document()]}
    assert api.get("/api/lando/v1/prune?unknown=7&unknown=8", "lando").status_code == 200
    assert upkeep.asked == [
        ("resync", True),
        ("prune", timedelta(seconds=60), False, True),
        ("unknown", [7, 8], True),
    ]


def test_what_is_asked_for_is_done(api: Api, upkeep: FakeUpkeep) -> None:
    for path in ("resync", "prune", "prune?unknown=7"):
        assert api.call("POST", f"/api/lando/v1/{path}", user="lando").status_code == 200
    assert upkeep.asked == [("resync", False), ("prune", None, True, False), ("unknown", [7], False)]


@pytest.mark.parametrize("query", ["older_than_s=-1", "older_than_s=1e99", "unknown=x", "unknown=-1", "logs=perhaps"])
def test_what_makes_no_sense_is_refused(api: Api, upkeep: FakeUpkeep, query: str) -> None:
    assert api.call("POST", f"/api/lando/v1/prune?{query}", user="lando").status_code == 400
    assert upkeep.asked == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InputError("Run 7 is known."), 400, "Run 7 is known."),
        (ConfigError("only --dry-run is possible"), 400, "only --dry-run is possible"),
        (Unavailable("cluster", "no answer"), 503, "The cluster is not available; try again."),
    ],
)
def test_why_it_can_not_be_done_is_said(
    api: Api, upkeep: FakeUpkeep, error: Exception, status: int, words: str
) -> None:
    upkeep.error = error
    answer = api.call("POST", "/api/lando/v1/resync", user="lando")
    assert (answer.status_code, answer.json()["detail"]) == (status, words)


def test_a_server_that_does_not_know_the_cluster_says_so(api: Api) -> None:
    answer = api.get("/api/lando/v1/resync", "lando")
    assert answer.status_code == 404
    assert "start it with --daemons FILE" in answer.json()["detail"]
