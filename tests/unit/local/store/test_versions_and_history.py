"""One counter of versions, a bounded memory of changes, and a file that outlives the process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore


def config(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def refused(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def test_every_change_of_any_kind_gets_the_next_version(store: ObjectStore) -> None:
    first = int(store.create("configmaps", "ns", config("a"))["metadata"]["resourceVersion"])
    second = int(store.create("secrets", "ns", {"metadata": {"name": "a"}})["metadata"]["resourceVersion"])
    gone = store.delete("configmaps", "ns", "a").manifest
    assert (second, int(gone["metadata"]["resourceVersion"])) == (first + 1, first + 2)
    assert store.resource_version == str(first + 2)


def test_what_is_handed_out_is_the_callers_own(store: ObjectStore) -> None:
    given = config("a", x="1")
    created = store.create("configmaps", "ns", given)
    created["data"]["x"] = "changed"
    given["data"]["x"] = "changed"
    store.get("configmaps", "ns", "a")["data"]["x"] = "changed"
    assert store.get("configmaps", "ns", "a")["data"] == {"x": "1"}


def test_modify_from_many_threads_loses_nothing(store: ObjectStore) -> None:
    store.create("configmaps", "ns", config("counter", n="0"))

    def increase(item: dict[str, Any]) -> None:
        item["data"]["n"] = str(int(item["data"]["n"]) + 1)

    def count() -> None:
        for _ in range(50):
            store.modify("configmaps", "ns", "counter", increase)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("configmaps", "ns", "counter")["data"] == {"n": "200"}


def test_modify_with_a_uid_leaves_the_next_of_that_name_alone(store: ObjectStore) -> None:
    old = store.create("configmaps", "ns", config("a"))["metadata"]["uid"]
    store.delete("configmaps", "ns", "a")
    store.create("configmaps", "ns", config("a"))
    error = refused(lambda: store.modify("configmaps", "ns", "a", lambda item: None, uid=old))
    assert (error.code, error.reason) == (409, "Conflict")


def test_a_watch_from_before_the_remembered_changes_is_expired() -> None:
    store = ObjectStore(None, history_limit=3)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    version = store.create("configmaps", "ns", config("a"))["metadata"]["resourceVersion"]
    for name in "bcd":
        store.create("configmaps", "ns", config(name))
    resumed = store.watch("configmaps", resource_version=version)
    assert [event.name for event in iter(lambda: resumed.get(0), None)] == ["b", "c", "d"]
    store.create("configmaps", "ns", config("e"))
    error = refused(lambda: store.watch("configmaps", resource_version=version))
    assert (error.code, error.reason) == (410, "Expired")
    store.close()


def test_a_watch_from_a_version_yet_to_come_is_expired(store: ObjectStore) -> None:
    assert refused(lambda: store.watch("pods", resource_version="999999")).code == 410


def test_a_page_of_a_list_that_is_too_old_is_expired() -> None:
    store = ObjectStore(None, history_limit=3)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    for name in "ab":
        store.create("configmaps", "ns", config(name))
    token = store.list("configmaps", "ns", limit=1).continue_token
    assert token is not None
    for name in "cdef":
        store.create("configmaps", "ns", config(name))
    error = refused(lambda: store.list("configmaps", "ns", limit=1, continue_=token))
    assert (error.code, error.reason) == (410, "Expired")
    assert "start a new list without the continue parameter" in error.message
    store.close()


def test_pages_take_back_every_kind_of_change(store: ObjectStore) -> None:
    for name in ("a", "b", "c", "d"):
        store.create("configmaps", "ns", config(name, state="old"))
    page = store.list("configmaps", "ns", limit=1)
    store.delete("configmaps", "ns", "b")
    store.create("configmaps", "ns", config("b", state="again"))
    store.patch("configmaps", "ns", "c", {"data": {"state": "new"}})
    store.create("configmaps", "ns", config("cc"))
    rest = store.list("configmaps", "ns", continue_=page.continue_token or "")
    assert [(item["metadata"]["name"], item["data"]["state"]) for item in rest.items] == [
        ("b", "old"),
        ("c", "old"),
        ("d", "old"),
    ]
    assert rest.resource_version == page.resource_version


def test_big_objects_are_not_remembered_for_long(store: ObjectStore) -> None:
    version = store.create("configmaps", "ns", config("big", a="x" * 1_000_000))["metadata"]["resourceVersion"]
    for number in range(10):
        store.patch("configmaps", "ns", "big", {"data": {"n": str(number)}})
    assert refused(lambda: store.watch("configmaps", resource_version=version)).code == 410
    assert len(store._history) <= 8


@pytest.mark.parametrize("token", ["zzz", "WyJhIl0=", "e30="])
def test_a_continue_token_that_was_tampered_with_is_a_bad_request(store: ObjectStore, token: str) -> None:
    assert refused(lambda: store.list("configmaps", "ns", continue_=token)).code == 400


def test_objects_and_versions_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "objects.db"
    before = ObjectStore(file)
    before.create("namespaces", "", {"metadata": {"name": "ns"}})
    kept = before.create("configmaps", "ns", config("kept"))
    before.create("configmaps", "ns", config("gone"))
    before.delete("configmaps", "ns", "gone")
    version = before.resource_version
    before.close()

    after = ObjectStore(file)
    assert after.resource_version == version
    assert after.get("configmaps", "ns", "kept") == kept
    assert after.find("configmaps", "ns", "gone") is None
    after.watch("configmaps", resource_version=version).close()
    assert refused(lambda: after.watch("configmaps", resource_version=kept["metadata"]["resourceVersion"])).code == 410
    created = after.create("configmaps", "ns", config("new"))
    assert int(created["metadata"]["resourceVersion"]) > int(version)
    after.close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_write_that_does_not_reach_the_disk_did_not_happen(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = store.watch("configmaps", resource_version=store.resource_version)
    version = store.resource_version

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store._file, "write", full)
    error = refused(lambda: store.create("configmaps", "ns", config("a")))
    assert (error.code, error.reason) == (500, "InternalError")
    assert store.find("configmaps", "ns", "a") is None
    assert store.resource_version == version
    assert watching.get(0) is None
