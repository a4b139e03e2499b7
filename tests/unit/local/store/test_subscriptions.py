"""What a watcher gets, when it gets a bookmark, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Event, Subscription, bookmark


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def subscription(clock: Clock, *, timeout_s: float | None = None, limit: int = 10) -> Subscription:
    return Subscription(
        7, lambda version: bookmark("Pod", "v1", version), timeout_s, limit=limit, bookmark_interval_s=60, clock=clock
    )


EVENT = Event("ADDED", b'{"metadata":{"name":"a"}}')


def test_a_quiet_watcher_gets_a_bookmark_of_how_far_it_is() -> None:
    clock = Clock()
    quiet = subscription(clock)
    assert quiet.get(0) is None
    quiet.push(None, 42)
    clock.now += 61
    event = quiet.get(0)
    assert event is not None
    assert (event.type, event.object["metadata"]["resourceVersion"]) == ("BOOKMARK", "42")
    assert event.object["kind"] == "Pod"
    assert quiet.get(0) is None


def test_a_bookmark_never_overtakes_an_event() -> None:
    clock = Clock()
    watching = subscription(clock)
    watching.push(EVENT, 42)
    clock.now += 61
    assert watching.get(0) == EVENT
    after = watching.get(0)
    assert after is not None
    assert after.type == "BOOKMARK"


def test_at_the_end_of_its_time_a_last_bookmark_then_nothing() -> None:
    clock = Clock()
    watching = subscription(clock, timeout_s=5)
    watching.push(EVENT, 41)
    watching.push(None, 42)
    clock.now += 6
    assert watching.get(0) == EVENT
    assert watching.closed
    watching.push(EVENT, 43)
    assert watching.get(0) is None


def test_a_last_bookmark_says_what_was_passed_over() -> None:
    clock = Clock()
    watching = subscription(clock, timeout_s=5)
    watching.push(None, 42)
    clock.now += 6
    last = watching.get(0)
    assert last is not None
    assert last.object["metadata"]["resourceVersion"] == "42"
    assert watching.get(0) is None


def test_a_watcher_that_falls_behind_has_to_begin_again() -> None:
    watching = subscription(Clock(), limit=2)
    for version in range(8, 12):
        watching.push(EVENT, version)
    with pytest.raises(ApiError) as caught:
        watching.get(0)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert watching.closed
    assert watching.get(0) is None


def test_what_was_there_before_does_not_count_as_falling_behind() -> None:
    watching = subscription(Clock(), limit=2)
    watching.preload([EVENT] * 5)
    watching.push(EVENT, 8)
    assert watching.initial == 5
    assert [watching.get(0) for _ in range(7)] == [EVENT] * 6 + [None]


def test_a_watch_nobody_takes_from_is_dropped_after_its_time() -> None:
    clock = Clock()
    abandoned = subscription(clock, timeout_s=5)
    clock.now += 66
    abandoned.push(EVENT, 8)
    assert abandoned.closed


def test_closing_wakes_a_waiting_thread(store: ObjectStore) -> None:
    watching = store.watch("pods")
    seen: list[Event] = []
    thread = threading.Thread(target=lambda: seen.extend(watching))
    thread.start()
    watching.close()
    thread.join(5)
    assert not thread.is_alive()
    assert seen == []


def test_a_thread_gets_an_event_as_it_happens(store: ObjectStore) -> None:
    watching = store.watch("configmaps", "ns")
    thread = threading.Thread(target=lambda: store.create("configmaps", "ns", config("a")))
    thread.start()
    event = watching.get(5)
    thread.join()
    assert event is not None
    assert (event.type, event.resource, event.namespace, event.name) == ("ADDED", "configmaps", "ns", "a")


def test_asyncio_waits_without_a_thread(store: ObjectStore) -> None:
    async def scenario() -> list[str]:
        with store.watch("configmaps", "ns") as watching:
            assert await watching.aget(0.01) is None
            waiting = asyncio.create_task(watching.aget(5))
            await asyncio.sleep(0)
            await asyncio.to_thread(store.create, "configmaps", "ns", config("a"))
            await asyncio.to_thread(store.create, "configmaps", "ns", config("b"))
            events = [await waiting, await watching.aget(5)]
            waiting = asyncio.create_task(watching.aget(5))
            await asyncio.sleep(0)
            await asyncio.to_thread(watching.close)
            assert await waiting is None
            return [event.name for event in events if event is not None]

    assert asyncio.run(scenario()) == ["a", "b"]


def test_selectors_turn_changes_into_coming_and_going(store: ObjectStore) -> None:
    watching = store.watch("configmaps", "ns", label_selector="on=yes", resource_version=store.resource_version)
    store.create("configmaps", "ns", config("a"))
    store.patch("configmaps", "ns", "a", {"metadata": {"labels": {"on": "yes"}}})
    store.patch("configmaps", "ns", "a", {"data": {"x": "1"}})
    store.patch("configmaps", "ns", "a", {"metadata": {"labels": {"on": "no"}}})
    store.delete("configmaps", "ns", "a")
    types = [event.type for event in iter(lambda: watching.get(0), None)]
    assert types == ["ADDED", "MODIFIED", "DELETED"]


def test_all_kinds_can_be_watched_at_once(store: ObjectStore) -> None:
    watching = store.watch(None)
    assert watching.initial == 1
    store.create("configmaps", "ns", config("a"))
    assert [event.resource for event in iter(lambda: watching.get(0), None)] == ["namespaces", "configmaps"]


def test_explicit_initial_events_end_with_a_bookmark(store: ObjectStore) -> None:
    store.create("configmaps", "ns", config("a"))
    watching = store.watch("configmaps", "ns", bookmarks=True, initial_events=True)
    first, second = watching.get(0), watching.get(0)
    assert first is not None
    assert second is not None
    assert (first.type, second.type) == ("ADDED", "BOOKMARK")
    assert second.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert second.object["metadata"]["resourceVersion"] == store.resource_version


def test_closing_the_store_ends_its_watches() -> None:
    store = ObjectStore(None)
    watching = store.watch("pods")
    store.close()
    assert watching.closed
    assert watching.get(0) is None
