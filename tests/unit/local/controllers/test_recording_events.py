"""Events: repeats are counted, and what is much alike is combined."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from lando.local.controllers.event_recorder import COMBINED, SIMILAR_LIMIT, WARNING, EventRecorder
from lando.local.store.objects import ObjectStore


@pytest.fixture
def about(store: ObjectStore) -> dict[str, Any]:
    return store.create("configmaps", "ns", {"metadata": {"name": "c"}})


def events(store: ObjectStore) -> list[tuple[str, int]]:
    items = store.list("events", "ns").items
    return sorted((item["message"], item["count"]) for item in items)


def test_a_sentence_that_is_repeated_is_counted(store: ObjectStore, about: dict[str, Any]) -> None:
    recorder = EventRecorder(store, "tester")
    for _ in range(3):
        recorder.record(about, WARNING, "Failed", "no")
    recorder.record(about, WARNING, "Failed", "never")
    assert events(store) == [("never", 1), ("no", 3)]


def test_two_events_of_one_moment_are_both_kept(store: ObjectStore, about: dict[str, Any]) -> None:
    recorder = EventRecorder(store, "tester", clock=lambda: datetime(2026, 3, 4, tzinfo=UTC))
    recorder.record(about, WARNING, "Failed", "no")
    recorder.record(about, WARNING, "Failed", "never")
    assert events(store) == [("never", 1), ("no", 1)]


def test_sentences_that_differ_in_details_are_combined(store: ObjectStore, about: dict[str, Any]) -> None:
    recorder = EventRecorder(store, "tester")
    for number in range(SIMILAR_LIMIT + 5):
        recorder.record(about, WARNING, "FailedCreate", f"no pod-{number:02}")
    recorder.record(about, WARNING, "Other", "something else")
    found = events(store)
    assert len(found) == SIMILAR_LIMIT + 1
    assert (f"{COMBINED}no pod-14", 6) in found
    assert ("something else", 1) in found
    assert ("no pod-08", 1) in found


def test_an_event_that_went_is_begun_anew(store: ObjectStore, about: dict[str, Any]) -> None:
    recorder = EventRecorder(store, "tester")
    recorder.record(about, WARNING, "Failed", "no")
    (name,) = [item["metadata"]["name"] for item in store.list("events", "ns").items]
    store.delete("events", "ns", name)
    recorder.record(about, WARNING, "Failed", "no")
    assert events(store) == [("no", 1)]
