"""The frame of controllers: keys wait their time, informers see everything, failures are tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from lando.local.controllers.reconciling import Controller, DelayQueue, Informer, Key
from lando.local.rules.status import Manifest
from lando.local.store.objects import ObjectStore
from tests.services.providing import wait_until


@pytest.fixture
def store() -> ObjectStore:
    made = ObjectStore(None)
    made.create("namespaces", "", {"metadata": {"name": "default"}})
    return made


def test_keys_come_in_the_order_of_their_times_and_once() -> None:
    queue: DelayQueue[str] = DelayQueue()
    queue.add("later", 0.02)
    queue.add("now")
    queue.add("now")
    queue.add("later", 60)
    assert [queue.get(), queue.get()] == ["now", "later"]
    queue.add("far", 60)
    queue.add("far")
    assert queue.get() == "far"


def test_a_closed_queue_lets_its_reader_go() -> None:
    queue: DelayQueue[str] = DelayQueue()
    found: list[str | None] = ["something"]
    reader = threading.Thread(target=lambda: found.append(queue.get()))
    reader.start()
    queue.close()
    reader.join(5)
    assert found == ["something", None]
    queue.add("too late")
    assert queue.get() is None


def informed(store: ObjectStore) -> tuple[Informer, list[tuple[str, str]], Callable[[str, str], None]]:
    seen: list[tuple[str, str]] = []

    def handle(change: str, item: Manifest) -> None:
        seen.append((change, item["metadata"]["name"]))

    def expect(change: str, name: str) -> None:
        wait_until(lambda: (change, name) in seen, what=f"{change} {name} in {seen}")

    return Informer(store, "configmaps", handle), seen, expect


def test_an_informer_sees_what_is_there_and_what_changes(store: ObjectStore) -> None:
    store.create("configmaps", "default", {"metadata": {"name": "old"}})
    informer, seen, expect = informed(store)
    informer.start()
    try:
        expect("ADDED", "old")
        store.create("configmaps", "default", {"metadata": {"name": "new"}})
        store.patch("configmaps", "default", "new", {"data": {"a": "b"}})
        store.delete("configmaps", "default", "old")
        expect("DELETED", "old")
        assert seen == [("ADDED", "old"), ("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "old")]
    finally:
        informer.stop()


def test_an_informer_that_fell_behind_learns_of_what_went_meanwhile(store: ObjectStore) -> None:
    store.create("configmaps", "default", {"metadata": {"name": "gone"}})
    blocked, go_on = threading.Event(), threading.Event()
    seen: list[tuple[str, str]] = []

    def handle(change: str, item: Manifest) -> None:
        seen.append((change, item["metadata"]["name"]))
        if item["metadata"]["name"] == "block":
            blocked.set()
            go_on.wait(10)

    informer = Informer(store, "configmaps", handle)
    informer.start()
    try:
        store.create("configmaps", "default", {"metadata": {"name": "block"}})
        assert blocked.wait(10)
        store.delete("configmaps", "default", "gone")
        for number in range(5000):
            store.patch("configmaps", "default", "block", {"data": {"n": str(number)}})
        go_on.set()
        wait_until(lambda: ("DELETED", "gone") in seen, what="the deletion")
    finally:
        go_on.set()
        informer.stop()


def test_a_key_that_fails_is_tried_again_and_others_go_on() -> None:
    tries: list[Key] = []
    done = threading.Event()

    def reconcile(key: Key) -> float | None:
        tries.append(key)
        if key == ("", "bad") and tries.count(key) < 3:
            raise RuntimeError("not yet")
        if tries.count(("", "bad")) >= 3:
            done.set()
        return None

    controller = Controller("test", reconcile)
    controller.start()
    controller.queue.add(("", "bad"))
    controller.queue.add(("", "good"))
    assert done.wait(10)
    controller.stop()
    assert ("", "good") in tries


def test_a_key_is_looked_at_again_when_it_asked_for_that() -> None:
    looked = threading.Semaphore(0)

    def reconcile(_key: Key) -> float | None:
        looked.release()
        return 0.01

    controller = Controller("test", reconcile)
    controller.start()
    controller.queue.add(("", "a"))
    for _ in range(3):
        assert looked.acquire(timeout=10)
    controller.stop()
