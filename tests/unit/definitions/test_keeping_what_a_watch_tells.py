"""Jobs are kept from what a watch of the cluster tells of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lando.archive import JobArchive
from lando.definitions.served.keeping import Keeper
from lando.definitions.served.view import JobsView
from lando.errors import Expired
from lando.k8s.cluster import Page
from tests.unit.definitions.conftest import FakeCore
from tests.unit.definitions.kept_jobs import (
    LIMIT_S,
    OneWatch,
    at_work,
    running,
    until,
)


class Scripted:
    """A cluster whose lists and watches are these, then silent."""

    def __init__(self, lists: list[list[Any]], watches: list[list[Any]]) -> None:
        self._lists, self._watches = lists, watches

    def list_page(self, *_: Any, **__: Any) -> Page:
        version = str(10 * (4 - len(self._lists)))
        items = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        return Page(items=items, resource_version=version, continue_token=None)

    def watch(self, *_: Any, **__: Any) -> Any:
        return Told(self._watches.pop(0)) if self._watches else OneWatch()


class Told:
    """A watch with these events, whose position then has expired."""

    def __init__(self, events: list[Any]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Any]:
        yield from self._events
        raise Expired("cluster", "the position has expired")

    def close(self) -> None:
        pass


def manifest(name: str, version: int, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"app.kubernetes.io/managed-by": "ours"},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"}}},
        "status": status,
    }


@pytest.fixture
def follow(keeper: Keeper) -> Iterator[Callable[[Any], None]]:
    """Has the keeper told of what the cluster shows."""
    running: list[Any] = []

    def followed(cluster: Any) -> None:
        view = JobsView(cluster, "", on_change=keeper.changed, on_gone=keeper.gone)
        for part in (view, keeper):
            thread = threading.Thread(target=part.run, daemon=True)
            thread.start()
            running.append((part, thread))

    yield followed
    for part, thread in running:
        part.stop()
        thread.join(LIMIT_S)


def test_a_job_that_ended_while_the_server_was_down_is_kept_when_it_starts(
    keeper: Keeper, follow: Callable[[Any], None]
) -> None:
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}

    follow(Scripted([[manifest("one", 1, **complete)]], []))

    until(lambda: keeper.is_whole("uid-one"))
    assert keeper.kept("one") is not None


def test_jobs_that_go_are_kept_as_the_watch_or_only_a_list_tells(
    keeper: Keeper, archive: JobArchive, follow: Callable[[Any], None]
) -> None:
    jobs = [manifest("seen", 1, active=1), manifest("missed", 2, active=1)]
    cluster = Scripted([jobs, []], [[{"type": "DELETED", "object": manifest("seen", 31, active=1)}]])

    follow(cluster)

    until(lambda: archive.document("seen") and archive.document("missed"))
    sentences = {}
    for name in ("seen", "missed"):
        kept = keeper.kept(name)
        assert kept is not None
        assert kept.cause is not None
        sentences[name] = kept.cause.sentence
    assert sentences == {
        "seen": "Job seen was deleted before it had ended.",
        "missed": "Job missed is gone, and had not ended when it was last seen.",
    }


def test_a_job_that_came_and_went_while_nothing_was_heard_of_the_cluster_is_told_of() -> None:
    told: list[tuple[str, bool]] = []
    cluster: Any = Scripted([[]], [])
    view = JobsView(cluster, "", on_gone=lambda one, is_seen: told.append((one.metadata.name, is_seen)))
    view.made(at_work(resource_version="1"))
    thread = threading.Thread(target=view.run, daemon=True)
    thread.start()

    until(lambda: view.jobs() == [])
    assert told == [("one", False)]
    view.stop()
    thread.join(LIMIT_S)


def test_a_job_that_is_being_deleted_is_kept_while_its_pods_are_there(
    core: FakeCore, keeper: Keeper, archive: JobArchive, follow: Callable[[Any], None]
) -> None:
    core.pods, core.logs["one-x", "main"] = [running("one-x")], b"so far\n"
    going = manifest("one", 1, active=1)
    going["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"

    follow(Scripted([[going]], []))

    until(lambda: archive.document("one"))
    core.pods = []
    keeper.gone(at_work(), True)
    until(lambda: (archive.document("one") or {}).get("is_over"))
    assert keeper.logs("one") == {"one-x": {"main": "so far\n"}}
    kept = keeper.kept("one")
    assert kept is not None
    assert kept.lost == ()
