"""What comes in: made-up names, and quotas that two creators never overdraw."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from lando.local.rules import lifecycle
from lando.local.rules.status import ApiError
from lando.local.store.objects import NAME_TRIES, ObjectStore


def quota(store: ObjectStore, **hard: str) -> None:
    made = store.create("resourcequotas", "ns", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    store.update_status("resourcequotas", "ns", {**made, "status": {"hard": hard, "used": {}}})


def used(store: ObjectStore) -> dict[str, str]:
    return dict(store.get("resourcequotas", "ns", "q")["status"]["used"])


def test_a_made_up_name_that_is_taken_is_made_up_again(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["run-aaaaa", "run-aaaaa", "run-bbbbb"])
    monkeypatch.setattr(lifecycle, "generated_name", lambda _prefix: next(names))
    made = [store.create("configmaps", "ns", {"metadata": {"generateName": "run-"}}) for _ in range(2)]
    assert [each["metadata"]["name"] for each in made] == ["run-aaaaa", "run-bbbbb"]


def test_where_no_name_is_free_the_client_may_try_again(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unlucky(prefix: str) -> str:
        asked.append(prefix)
        return f"{prefix}aaaaa"

    monkeypatch.setattr(lifecycle, "generated_name", unlucky)
    store.create("configmaps", "ns", {"metadata": {"generateName": "run-"}})
    with pytest.raises(ApiError) as caught:
        store.create("configmaps", "ns", {"metadata": {"generateName": "run-"}})
    assert len(asked) == 1 + NAME_TRIES
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")
    assert caught.value.message == (
        'configmaps "run-aaaaa" already exists, the server was not able to generate a unique name for the object'
    )
    assert caught.value.details == {"name": "run-aaaaa", "kind": "configmaps", "retryAfterSeconds": 1}


def test_creators_at_the_same_time_do_not_overdraw_a_quota(store: ObjectStore) -> None:
    quota(store, configmaps="10")
    refused: list[ApiError] = []

    def create(first: int) -> None:
        for number in range(first, first + 5):
            try:
                store.create("configmaps", "ns", {"metadata": {"name": f"c{number}"}})
            except ApiError as error:
                refused.append(error)

    threads = [threading.Thread(target=create, args=(first,)) for first in range(0, 20, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used(store) == {"configmaps": "10"}
    assert len(store.list("configmaps", "ns").items) == len(refused) == 10
    assert {error.code for error in refused} == {403}


def test_a_claim_that_grows_takes_the_difference(store: ObjectStore) -> None:
    quota(store, **{"requests.storage": "5Gi"})
    spec: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "2Gi"}}}
    store.create("persistentvolumeclaims", "ns", {"metadata": {"name": "c"}, "spec": spec})

    def grow(size: str) -> None:
        change = {"spec": {"resources": {"requests": {"storage": size}}}}
        store.patch("persistentvolumeclaims", "ns", "c", change)

    grow("4Gi")
    assert used(store) == {"requests.storage": "4Gi"}
    with pytest.raises(ApiError, match=r"exceeded quota: q, requested: requests\.storage=4Gi"):
        grow("8Gi")


def test_a_taken_name_takes_no_room(store: ObjectStore) -> None:
    quota(store, configmaps="10")
    store.create("configmaps", "ns", {"metadata": {"name": "c"}})
    with pytest.raises(ApiError, match="already exists"):
        store.create("configmaps", "ns", {"metadata": {"name": "c"}})
    assert used(store) == {"configmaps": "1"}
