"""Of Jobs that are kept whole the cluster is asked no more."""

from __future__ import annotations

import gzip
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lando.archive import JobArchive
from lando.definitions import JobManager
from lando.definitions.served.keeping import PLACES, Keeper
from lando.definitions.served.service import ServedJobs
from lando.definitions.server import create_app
from lando.errors import Unavailable
from tests.unit.definitions.conftest import FakeBatch, FakeCore, job, models
from tests.unit.definitions.kept_jobs import (
    LIMIT_S,
    OneView,
    away,
    idle_view,
    pod,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive/jobs/batch/ours"


@pytest.fixture
def kept_whole(batch: FakeBatch, core: FakeCore, keeper: Keeper) -> Any:
    """A Job that has failed, and is kept."""
    failed = job("one", condition="Failed")
    containers = [models.V1Container(name="main")]
    failed.spec = models.V1JobSpec(template=models.V1PodTemplateSpec(spec=models.V1PodSpec(containers=containers)))
    batch.jobs["one"] = failed
    core.pods, core.logs["one-x", "main"] = [pod("one-x")], b"first\nlast\n"
    keeper.keep(failed, by="a test")
    assert core.calls == ["pods", "log", "events", "events"]
    core.calls.clear()
    return failed


def test_a_job_that_is_kept_whole_costs_the_cluster_no_call(
    batch: FakeBatch, core: FakeCore, manager: JobManager, keeper: Keeper, kept_whole: Any
) -> None:
    server = TestClient(create_app(ServedJobs(manager, OneView(kept_whole), keeper), lambda request: None))

    found = server.get("/jobs/one").json()
    assert found["cause"]["sentence"] == "The program of container main ended with exit code 3."
    assert found["cause"]["log_tail"] == "first\nlast\n"
    assert found["kept"] is None  # it is there still
    assert server.get("/jobs/one/events").json()["terminations"] == {"one-x": {"main": "out of cheese"}}
    assert (batch.calls, core.calls) == ([], [])


def test_what_is_kept_is_found_by_its_very_name(keeper: Keeper) -> None:
    keeper.keep(job("one-x", condition="Complete"), by="a test")

    assert keeper.kept("one-x") is not None
    assert [keeper.kept(name) for name in ("one x", "oneéx", "one/x")] == [None] * 3


def test_what_a_manifest_says_in_confidence_is_not_kept(folder: Path, batch: FakeBatch, keeper: Keeper) -> None:
    ended = job("two", condition="Complete", annotations={"kubectl.kubernetes.io/last-applied-configuration": "s3cret"})
    secret = models.V1EnvVar(name="TOKEN", value="s3cret")
    containers = [models.V1Container(name="main", image="i", env=[secret], args=["s3cret"], command=["s3cret"])]
    ended.spec = models.V1JobSpec(
        template=models.V1PodTemplateSpec(spec=models.V1PodSpec(containers=containers)), ttl_seconds_after_finished=9
    )
    keeper.keep(ended, by="a test")

    assert b"s3cret" not in gzip.decompress((folder / "two.json.gz").read_bytes())
    found = keeper.kept("two")
    assert found is not None
    assert found.containers == ["main"]
    assert found.as_job().spec.ttl_seconds_after_finished == 9


def test_a_job_that_is_complete_has_no_cause_to_look_for(core: FakeCore, batch: FakeBatch, manager: JobManager) -> None:
    batch.jobs["one"] = job("one", condition="Complete")

    assert ServedJobs(manager, idle_view(), None).job_cause("one") is None
    assert core.calls == []


def test_logs_of_pods_that_went_before_their_job_are_read_from_the_archive(
    core: FakeCore, manager: JobManager, keeper: Keeper, kept_whole: Any
) -> None:
    later = pod("one-y", number=2)
    core.pods, core.logs["one-y", "main"] = [later], b"again"
    served = ServedJobs(manager, OneView(kept_whole), keeper)

    assert served.job_logs("one") == {"one-y": {"main": ["again"]}, "one-x": {"main": ["first", "last", ""]}}
    assert core.calls == ["pods", "log"]


def test_a_job_that_stays_longer_than_what_is_kept_of_it_is_kept_anew_before_it_goes(
    archive: JobArchive, keeper: Keeper, kept_whole: Any
) -> None:
    assert archive.remove(datetime.now(UTC) + timedelta(hours=1)).files == 2

    keeper.keep(kept_whole, by="a test")

    assert keeper.logs("one") == {"one-x": {"main": "first\nlast\n"}}


def test_logs_that_are_damaged_say_so(folder: Path, keeper: Keeper, kept_whole: Any) -> None:
    (folder / "one.logs.gz").write_bytes(b"no gzip")

    assert keeper.logs("one") == {"one-x": {"main": "[There is no log: what was kept of it is damaged.]"}}


@pytest.mark.parametrize("what", ["away", "damaged"])
def test_where_the_archive_does_not_tell_the_cluster_is_asked(
    what: str,
    folder: Path,
    core: FakeCore,
    manager: JobManager,
    archive: JobArchive,
    keeper: Keeper,
    kept_whole: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if what == "away":
        monkeypatch.setattr(archive, "document", away)
    else:
        archive.store("one", {"job": {}}, {})

    cause = ServedJobs(manager, OneView(kept_whole), keeper).job_cause("one")

    assert cause is not None
    assert cause.exit_code == 3
    assert "pods" in core.calls


def test_a_silent_archive_holds_few_and_the_cluster_is_asked_instead(
    core: FakeCore,
    manager: JobManager,
    archive: JobArchive,
    keeper: Keeper,
    kept_whole: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()
    inside = threading.Semaphore(0)

    def silent(name: str) -> None:
        inside.release()
        let_go.wait(LIMIT_S)

    monkeypatch.setattr(archive, "document", silent)
    threads = [threading.Thread(target=keeper.kept, args=("other",), daemon=True) for _ in range(PLACES)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=LIMIT_S)

    cause = ServedJobs(manager, OneView(kept_whole), keeper).job_cause("one")

    assert cause is not None
    assert cause.exit_code == 3
    with pytest.raises(Unavailable, match="too many calls"):
        keeper.kept("one", patience_s=0)
    let_go.set()
    for thread in threads:
        thread.join(LIMIT_S)


def test_a_job_that_is_kept_whole_can_be_deleted_while_the_archive_is_away(
    batch: FakeBatch, manager: JobManager, keeper: Keeper, kept_whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("document", "logs", "store"):
        monkeypatch.setattr(JobArchive, call, away)

    ServedJobs(manager, idle_view(), keeper).delete_job(kept_whole)

    assert batch.jobs == {}
