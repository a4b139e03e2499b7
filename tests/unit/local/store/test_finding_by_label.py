"""Lists by label look only where a match can be, and find what looking everywhere would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.local.rules.selectors import label_test
from lando.local.store.collection import Collection
from lando.local.store.history import Stored
from lando.local.store.objects import ObjectStore

NAMES = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["", "1", "2"]))
SELECTORS = ("x=1", "x=1,y=2", "x in (1, 2),y!=1", "x=", "x in (),y", "x=1,x=2", "!x", "")


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


@given(st.lists(st.tuples(NAMES, st.none() | LABELS)))
def test_every_list_at_every_version_is_the_one_of_a_full_search(
    changes: list[tuple[str, dict[str, str] | None]],
) -> None:
    store = ObjectStore(None)
    store.create("namespaces", "", {"metadata": {"name": "default"}})
    now: dict[str, dict[str, str]] = {}
    past = [(store.resource_version, dict(now))]
    for name, labels in changes:
        if labels is None and name in now:
            store.delete("configmaps", "default", name)
            del now[name]
        elif labels is not None:
            write = store.update if name in now else store.create
            write("configmaps", "default", config(name, **labels))
            now[name] = labels
        past.append((store.resource_version, dict(now)))
    for version, objects in past:
        for selector in SELECTORS:
            listing = store.list("configmaps", "default", label_selector=selector, resource_version=version, exact=True)
            expected = sorted(name for name, labels in objects.items() if label_test(selector)(labels))
            assert [item["metadata"]["name"] for item in listing.items] == expected
    store.close()


def stored(name: str, **labels: str) -> Stored:
    return Stored("configmaps", "default", name, 1, labels, {}, b"")


@pytest.mark.parametrize(
    ("pinned", "looked_at"),
    [
        ({"run": frozenset({"1"})}, {"one"}),
        ({"app": frozenset({"x"}), "run": frozenset({"2"})}, {"two"}),
        ({"run": frozenset({"1", "2"})}, {"one", "two"}),
        ({"run": frozenset({"7"}), "app": frozenset({"x"})}, set()),
        ({}, {"one", "two", "three"}),
    ],
)
def test_only_objects_with_the_rarest_label_are_looked_at(
    pinned: dict[str, frozenset[str]], looked_at: set[str]
) -> None:
    objects = Collection()
    objects.put(stored("one", app="x", run="3"))
    objects.put(stored("one", app="x", run="1"))  # a new version, labelled otherwise
    objects.put(stored("two", app="x", run="2"))
    objects.put(stored("three", app="x"))
    objects.put(stored("gone", app="x", run="1"))
    objects.remove(("default", "gone"))
    assert {name for _, name in objects.candidates(pinned)} == looked_at
