"""Watches: what they begin with, in which order changes come, and when they end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.known_differences import since
from tests.services.kubernetes_api import KubernetesApi

OURS = "mine=yes"
BEGINNING_S = 2
"""Long enough to be given what is there; a watch that ends by itself tells all it has."""


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


@pytest.fixture
def three(api: KubernetesApi) -> KubernetesApi:
    for name, colour in (("a", "red"), ("b", "green"), ("c", "red")):
        assert api.create("configmaps", config(name, mine="yes", colour=colour)).code == 201
    return api


def version(api: KubernetesApi) -> str:
    return str(api.list("configmaps").body["metadata"]["resourceVersion"])


def test_a_watch_from_a_version_gets_what_comes_after_it(three: KubernetesApi) -> None:
    start = three.list("configmaps").body["metadata"]["resourceVersion"]
    three.patch("configmaps", "a", {"data": {"x": "1"}})
    three.delete("configmaps", "b")
    with three.watch("configmaps", resourceVersion=start, labelSelector=OURS) as events:
        changed, deleted = next(events), next(events)
    assert (changed["type"], changed["object"]["data"]) == ("MODIFIED", {"x": "1"})
    assert changed["object"]["kind"] == "ConfigMap"
    assert (deleted["type"], deleted["object"]["metadata"]["name"]) == ("DELETED", "b")
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(changed["object"]["metadata"]["resourceVersion"])


def test_a_watch_without_version_begins_with_what_is_there(three: KubernetesApi) -> None:
    with three.watch("configmaps", labelSelector=OURS) as events:
        first = [next(events) for _ in range(3)]
        three.create("configmaps", config("d", mine="yes"))
        assert next(events)["object"]["metadata"]["name"] == "d"
    assert {(event["type"], event["object"]["metadata"]["name"]) for event in first} == {
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("ADDED", "c"),
    }


def test_an_object_that_stops_matching_is_deleted_for_the_watcher(three: KubernetesApi) -> None:
    start = three.list("configmaps").body["metadata"]["resourceVersion"]
    three.patch("configmaps", "a", {"metadata": {"labels": {"colour": "blue"}}})
    three.patch("configmaps", "b", {"metadata": {"labels": {"colour": "red"}}})
    with three.watch("configmaps", resourceVersion=start, labelSelector="colour=red") as events:
        left, came = next(events), next(events)
    assert (left["type"], left["object"]["metadata"]["name"]) == ("DELETED", "a")
    assert (came["type"], came["object"]["metadata"]["name"]) == ("ADDED", "b")


def test_a_watch_ends_when_its_time_is_up(api: KubernetesApi) -> None:
    start = api.list("pods").body["metadata"]["resourceVersion"]
    with api.watch("pods", resourceVersion=start, timeoutSeconds=1) as events:
        assert list(events) == []


def test_a_watch_from_a_version_that_can_not_be_read_is_refused(api: KubernetesApi) -> None:
    assert api.call("GET", api.path("pods"), watch="true", resourceVersion="soon").code in (400, 500)


def told(api: KubernetesApi, **query: Any) -> list[tuple[str, str]]:
    """Type and name of everything a watch of ours tells until it ends."""
    with api.watch("configmaps", labelSelector=OURS, timeoutSeconds=BEGINNING_S, **query) as events:
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def test_a_watch_from_version_0_begins_with_what_is_there(three: KubernetesApi) -> None:
    assert sorted(told(three, resourceVersion="0")) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


def test_changes_come_in_the_order_in_which_they_were_made(three: KubernetesApi) -> None:
    start = version(three)
    for number in range(5):
        three.patch("configmaps", "abc"[number % 3], {"data": {"n": str(number)}})
    three.delete("configmaps", "a")
    three.create("configmaps", config("a", mine="yes"))
    with three.watch("configmaps", resourceVersion=start, labelSelector=OURS) as events:
        seen = [next(events) for _ in range(7)]
    assert [event["type"] for event in seen] == ["MODIFIED"] * 5 + ["DELETED", "ADDED"]
    assert [event["object"]["data"]["n"] for event in seen[:5]] == ["0", "1", "2", "3", "4"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


def test_what_was_deleted_is_shown_as_it_was_last(three: KubernetesApi) -> None:
    start = version(three)
    three.patch("configmaps", "a", {"data": {"last": "words"}})
    three.delete("configmaps", "a")
    with three.watch("configmaps", resourceVersion=start, labelSelector=OURS) as events:
        changed, deleted = next(events), next(events)
    assert deleted["object"]["data"] == {"last": "words"}
    assert deleted["object"]["metadata"]["uid"] == changed["object"]["metadata"]["uid"]


def test_a_watch_of_one_object_hears_of_no_other(three: KubernetesApi) -> None:
    start = version(three)
    three.patch("configmaps", "b", {"data": {"x": "1"}})
    three.patch("configmaps", "a", {"data": {"x": "1"}})
    with three.watch("configmaps", resourceVersion=start, fieldSelector="metadata.name=a") as events:
        assert next(events)["object"]["metadata"]["name"] == "a"


def test_a_watch_of_all_namespaces_hears_of_this_one(three: KubernetesApi) -> None:
    query = {"watch": "true", "timeoutSeconds": "10", "resourceVersion": version(three), "labelSelector": OURS}
    three.delete("configmaps", "c")
    with three.session.get(three.url + "/api/v1/configmaps", params=query, stream=True, timeout=20) as answer:
        events = (json.loads(line) for line in answer.iter_lines() if line)
        # Namespaces of tests before may still be emptied.
        told_of = next(event for event in events if event["object"]["metadata"]["namespace"] == three.namespace)
    assert (told_of["type"], told_of["object"]["metadata"]["name"]) == ("DELETED", "c")


def test_bookmarks_tell_how_far_the_watcher_has_come(three: KubernetesApi) -> None:
    start = version(three)
    with three.watch("configmaps", resourceVersion=start, allowWatchBookmarks="true", timeoutSeconds=4) as events:
        three.patch("configmaps", "a", {"data": {"x": "1"}})
        changed = next(events)
        rest = list(events)
    assert changed["type"] == "MODIFIED"
    bookmarks = [event["object"] for event in rest if event["type"] == "BOOKMARK"]
    assert bookmarks
    assert bookmarks[0]["kind"] == "ConfigMap"
    assert int(bookmarks[-1]["metadata"]["resourceVersion"]) >= int(changed["object"]["metadata"]["resourceVersion"])
    assert "name" not in bookmarks[0]["metadata"]


def test_without_asking_there_are_no_bookmarks(three: KubernetesApi) -> None:
    with three.watch("configmaps", resourceVersion=version(three), labelSelector=OURS, timeoutSeconds=3) as events:
        three.patch("configmaps", "a", {"data": {"x": "1"}})
        assert {event["type"] for event in events} == {"MODIFIED"}


def test_initial_events_end_with_a_bookmark_that_says_so(three: KubernetesApi) -> None:
    since(three, "a watch that begins with what is there and marks its end")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with three.watch("configmaps", labelSelector=OURS, **query) as events:
        seen = [next(events) for _ in range(4)]
        three.patch("configmaps", "a", {"data": {"x": "1"}})
        after = next(events)
    assert [event["type"] for event in seen] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
    assert seen[3]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert after["type"] == "MODIFIED"


def test_a_watch_can_decline_initial_events(three: KubernetesApi) -> None:
    since(three, "a watch that begins with what is there and marks its end")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    assert told(three, **query) == []


def test_watches_do_not_disturb_each_other(three: KubernetesApi) -> None:
    start = version(three)
    with (
        three.watch("configmaps", resourceVersion=start, labelSelector="colour=red") as red,
        three.watch("configmaps", resourceVersion=start, labelSelector="colour=green") as green,
    ):
        three.patch("configmaps", "b", {"metadata": {"labels": {"colour": "red"}}})
        assert (next(red)["type"], next(green)["type"]) == ("ADDED", "DELETED")
