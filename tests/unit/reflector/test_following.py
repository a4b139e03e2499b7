"""The view stays true whatever the stream does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from lando.errors import Expired, LandoError, NotFound, Unavailable
from lando.k8s import reflector as reflector_module
from lando.k8s.cluster import Manifest, Page
from lando.k8s.reflector import Change, ChangeType, Reflector

Step = Manifest | LandoError | Callable[[], None]


def thing(name: str, version: int, uid: str | None = None) -> Manifest:
    metadata = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version), "managedFields": [{}]}
    return {"kind": "Job", "metadata": metadata}


def event(kind: str, item: Manifest) -> Manifest:
    return {"type": kind, "object": item}


def bookmark(version: int) -> Manifest:
    return event("BOOKMARK", {"kind": "Job", "metadata": {"resourceVersion": str(version)}})


class ScriptedWatch:
    """Events and errors in turn, then the end; or, when told to hang, silence until it is closed."""

    def __init__(self, steps: list[Step], hang: bool) -> None:
        self._steps = iter(steps)
        self._hang = hang
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Manifest]:
        return self

    def __next__(self) -> Manifest:
        for step in self._steps:
            if isinstance(step, LandoError):
                raise step
            if not callable(step):
                return step
            step()
        if self._hang:
            assert self.closed.wait(10)
        raise StopIteration

    def close(self) -> None:
        self.closed.set()


class ScriptedCluster:
    """Lists and watches in turn; after the last watch, one that hangs."""

    def __init__(self, lists: Sequence[list[Page] | LandoError], watches: Sequence[list[Step] | LandoError]) -> None:
        self._lists = list(lists)
        self._watches = list(watches)
        self._pages: list[Page] = []
        self.watched_from: list[str] = []
        self.selectors: list[tuple[str, str]] = []
        self.hanging = threading.Event()

    namespace = "jobs"

    def list_page(self, kind: str, label_selector: str = "", **more: Any) -> Page:
        if not more["continue_token"]:
            step = self._lists.pop(0)
            if isinstance(step, LandoError):
                raise step
            self._pages = list(step)
        self.selectors.append((label_selector, more["field_selector"]))
        return self._pages.pop(0)

    def watch(self, kind: str, label_selector: str, resource_version: str, **more: Any) -> ScriptedWatch:
        self.watched_from.append(resource_version)
        if not self._watches:
            self.hanging.set()
            return ScriptedWatch([], hang=True)
        step = self._watches.pop(0)
        if isinstance(step, LandoError):
            raise step
        return ScriptedWatch(step, hang=False)


def page(*items: Manifest, version: int, token: str | None = None) -> Page:
    return Page(items=list(items), resource_version=str(version), continue_token=token)


class Following:
    """A reflector at work on a script, until the script has come to its end."""

    def __init__(
        self, cluster: ScriptedCluster, handler: Callable[[Change], None] | None = None, relist_s: float | None = None
    ) -> None:
        self.cluster = cluster
        self.words: list[str | None] = []
        self.changes: list[tuple[str, str, str]] = []
        self.reflector = Reflector(
            cluster,  # type: ignore[arg-type]
            "Job",
            handler or self._note,
            label_selector="bespin-job=true",
            backoff_s=(0.001, 0.002),
            relist_s=relist_s,
            on_word=lambda error: self.words.append(None if error is None else str(error)),
        )
        self.thread = threading.Thread(target=self.reflector.run, daemon=True)

    def _note(self, change: Change) -> None:
        metadata = change.object["metadata"]
        self.changes.append((change.type.value, metadata["name"], metadata["resourceVersion"]))

    def to_its_end(self) -> Following:
        self.thread.start()
        assert self.cluster.hanging.wait(10)
        self.stop()
        return self

    def stop(self) -> None:
        self.reflector.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    @property
    def view(self) -> dict[str, str]:
        return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in self.reflector.objects()}


def test_a_list_of_several_pages_is_followed_by_a_watch_from_where_it_ended() -> None:
    cluster = ScriptedCluster(
        [[page(thing("a", 1), version=5, token="more"), page(thing("b", 2), version=5)]],
        [[event("MODIFIED", thing("a", 6)), event("ADDED", thing("c", 7)), event("DELETED", thing("b", 8))]],
    )
    following = Following(cluster).to_its_end()

    assert following.changes == [
        ("ADDED", "a", "1"),
        ("ADDED", "b", "2"),
        ("MODIFIED", "a", "6"),
        ("ADDED", "c", "7"),
        ("DELETED", "b", "8"),
    ]
    assert following.view == {"a": "6", "c": "7"}
    assert cluster.watched_from == ["5", "8"]
    assert cluster.selectors == [("bespin-job=true", "")] * 2


def test_a_bookmark_moves_the_position_and_nothing_else() -> None:
    cluster = ScriptedCluster([[page(version=5)], [page(version=99)]], [[bookmark(40)]])
    following = Following(cluster).to_its_end()

    assert cluster.watched_from == ["5", "40"]
    assert following.changes == []


def test_a_broken_watch_is_resumed_where_it_was_without_a_new_list() -> None:
    broken = Unavailable("cluster", "reset")
    cluster = ScriptedCluster(
        [[page(version=5)]], [[event("ADDED", thing("a", 6)), broken], broken, NotFound("cluster", "odd"), []]
    )
    following = Following(cluster).to_its_end()

    assert cluster.watched_from == ["5", "6", "6", "6", "6"]
    assert following.view == {"a": "6"}


def test_an_expired_position_leads_to_a_list_whose_differences_are_told() -> None:
    cluster = ScriptedCluster(
        [
            [page(thing("stays", 1), thing("changes", 2), thing("goes", 3), version=5)],
            [page(thing("stays", 1), thing("changes", 9), thing("comes", 8), version=10)],
        ],
        [[event("MODIFIED", thing("changes", 6)), Expired("cluster", "too old")]],
    )
    following = Following(cluster).to_its_end()

    assert following.changes[4:] == [("DELETED", "goes", "3"), ("MODIFIED", "changes", "9"), ("ADDED", "comes", "8")]
    assert cluster.watched_from == ["5", "10"]


def test_an_object_made_anew_under_its_name_is_another_object() -> None:
    cluster = ScriptedCluster(
        [[page(thing("a", 1, uid="old"), version=5)], [page(thing("a", 9, uid="new"), version=10)]],
        [Expired("cluster", "too old")],
    )

    assert Following(cluster).to_its_end().changes[1:] == [("DELETED", "a", "1"), ("ADDED", "a", "9")]


def test_what_is_seen_twice_is_told_once() -> None:
    cluster = ScriptedCluster(
        [[page(thing("a", 1), version=5)]],
        [[event("ADDED", thing("a", 1)), event("MODIFIED", thing("a", 6)), event("MODIFIED", thing("a", 6))]],
    )

    assert Following(cluster).to_its_end().changes == [("ADDED", "a", "1"), ("MODIFIED", "a", "6")]


def test_lists_that_fail_are_tried_until_one_succeeds() -> None:
    away = Unavailable("cluster", "refused")
    cluster = ScriptedCluster([away, away, Expired("cluster", "gone"), [page(thing("a", 1), version=5)]], [])
    following = Following(cluster).to_its_end()

    assert following.view == {"a": "1"}
    assert following.reflector.last_error is None


def test_an_error_nobody_foresaw_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    odd = Page(items=[{"kind": "Job"}], resource_version="1", continue_token=None)
    cluster = ScriptedCluster([[odd], [page(thing("a", 1), version=5)]], [])

    assert Following(cluster).to_its_end().view == {"a": "1"}
    assert "failed unexpectedly" in caplog.text


def test_event_types_nobody_knows_are_skipped_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = ScriptedCluster(
        [[page(version=5)]],
        [[event("SHOUTED", thing("a", 6)), event("SHOUTED", thing("a", 7)), event("ADDED", thing("b", 8))]],
    )

    assert Following(cluster).to_its_end().view == {"b": "8"}
    assert caplog.text.count("SHOUTED") == 1


def test_watches_that_end_at_once_are_not_renewed_in_a_hot_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    original = Reflector._wait

    def counted(self: Reflector, failures: int, error: LandoError | None) -> None:
        waits.append(failures)
        original(self, failures, error)

    monkeypatch.setattr(Reflector, "_wait", counted)
    Following(ScriptedCluster([[page(version=5)]], [[], [], []])).to_its_end()
    assert waits[:3] == [1, 2, 3]


def test_the_server_is_given_the_pause_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Unavailable("cluster", "busy", retry_after_s=7)
    reflector = Reflector(ScriptedCluster([], []), "Job", lambda change: None, backoff_s=(0.1, 30))  # type: ignore[arg-type]
    waited: list[float] = []
    monkeypatch.setattr(reflector._stop, "wait", waited.append)

    for failures in (1, 2, 3, 40):
        reflector._wait(failures, Unavailable("cluster", "away"))
    reflector._wait(1, slow)

    for seconds, longest in zip(waited[:4], (0.1, 0.2, 0.4, 30), strict=True):
        assert longest / 2 <= seconds <= longest
    assert waited[4] == 7


def test_a_handler_that_fails_is_logged_and_asked_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "HANDLER_PAUSE_S", 0.0)
    asked: list[str] = []

    def handler(change: Change) -> None:
        asked.append(change.object["metadata"]["name"])
        if asked.count("a") < 2 and asked[-1] == "a":
            raise RuntimeError("first time")

    cluster = ScriptedCluster([[page(thing("a", 1), thing("b", 2), version=5)]], [])
    Following(cluster, handler).to_its_end()

    assert asked == ["a", "a", "b"]
    assert "RuntimeError: first time" in caplog.text


def test_a_change_its_handler_cannot_take_stops_nothing_and_is_offered_again_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "HANDLER_PAUSE_S", 0.0)
    asked: list[str] = []

    def handler(change: Change) -> None:
        asked.append(change.object["metadata"]["name"])
        if asked[-1] == "poison":
            raise RuntimeError("never")

    watches: list[list[Step] | LandoError] = [[bookmark(10 + n)] for n in range(12)]
    cluster = ScriptedCluster([[page(thing("poison", 1), thing("good", 2), version=5)]], watches)
    following = Following(cluster, handler).to_its_end()

    assert "good" in asked
    assert following.view == {"poison": "1", "good": "2"}
    assert asked.count("poison") == reflector_module.HANDLER_TRIES * reflector_module.HANDLER_ROUNDS
    assert "gave up telling the handler of ADDED poison" in caplog.text


def test_stopping_ends_a_silent_watch_at_once() -> None:
    cluster = ScriptedCluster([[page(version=5)]], [])
    following = Following(cluster)
    following.thread.start()
    assert cluster.hanging.wait(10)

    following.stop()  # asserts that the thread ends
    assert following.reflector.get("uid-a") is None


def test_stopping_ends_a_pause_at_once() -> None:
    cluster = ScriptedCluster([Unavailable("cluster", "away")] * 100, [])
    reflector = Reflector(cluster, "Job", lambda change: None, backoff_s=(60, 60))  # type: ignore[arg-type]
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    reflector.stop()
    thread.join(10)

    assert not thread.is_alive()


def test_silence_makes_it_unhealthy_and_any_word_healthy_again() -> None:
    now = [100.0]
    seen: list[tuple[float, bool]] = []

    def look() -> None:
        seen.append((reflector.age_s(), reflector.healthy(60)))

    def pass_time(seconds: float) -> Callable[[], None]:
        def step() -> None:
            now[0] += seconds

        return step

    cluster = ScriptedCluster(
        [[page(version=5)]], [[look, pass_time(50), look, pass_time(50), look, bookmark(6), look]]
    )
    reflector = Reflector(cluster, "Job", lambda change: None, clock=lambda: now[0])  # type: ignore[arg-type]
    assert not reflector.healthy(60)  # nothing was listed yet
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    assert cluster.hanging.wait(10)
    reflector.stop()
    thread.join(10)

    assert seen == [(0, True), (50, True), (100, False), (0, True)]


def test_trouble_is_logged_when_it_begins_and_not_at_every_try(caplog: pytest.LogCaptureFixture) -> None:
    away = Unavailable("cluster", "connection refused")
    cluster = ScriptedCluster([away] * 5 + [[page(version=5)]], [])
    with caplog.at_level(logging.INFO):
        Following(cluster).to_its_end()

    assert caplog.text.count("connection refused") == 1
    assert caplog.text.count("heard again") == 1


def test_what_nobody_reads_is_not_kept() -> None:
    cluster = ScriptedCluster([[page(thing("a", 1), version=5)]], [[event("ADDED", thing("b", 6))]])
    following = Following(cluster).to_its_end()

    assert all("managedFields" not in item["metadata"] for item in following.reflector.objects())


def test_without_the_right_to_watch_a_list_now_and_then_takes_its_place() -> None:
    seen = threading.Event()

    def note(change: Change) -> None:
        if change.type is ChangeType.DELETED:
            seen.set()

    forbidden = Unavailable("cluster", "watch Job: cannot watch resource", status=403)
    lists = [[page(thing("a", 1), version=1)], [page(thing("a", 1), version=1)], *[[page(version=2)]] * 1000]
    following = Following(ScriptedCluster(lists, [forbidden]), note, relist_s=0.001)
    following.thread.start()
    assert seen.wait(10)
    following.stop()
    assert not following.reflector.may_watch
    assert len(following.cluster.watched_from) == 1


def test_a_right_that_is_missing_only_now_is_waited_for_where_lists_are_not_wanted() -> None:
    forbidden = Unavailable("cluster", "watch Job: cannot watch resource", status=403)
    following = Following(ScriptedCluster([[page(version=1)]], [forbidden])).to_its_end()
    assert following.reflector.may_watch


def test_trouble_is_told_when_a_second_try_has_not_mended_it_and_when_it_is_over() -> None:
    away = Unavailable("cluster", "no answer in time")
    following = Following(ScriptedCluster([away, away, [page(version=1)]], [])).to_its_end()
    assert following.words[:2] == ["cluster: no answer in time", None]
    assert set(following.words[1:]) == {None}
