"""A view of one kind of object, kept true by list and watch for as long as the process lives.

Three loops, one job each: for ever (:meth:`Reflector.run`: every error is waited out with backoff), one list with
the watches that follow it, and one watch. The view is keyed by UID, as an object made anew under an old name is
another object. What a handler is told is the difference between two states of the view, so nothing is missed when
a watch position expires: the next list tells of everything that was added, changed or deleted meanwhile.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lando.errors import Expired, LandoError, Unavailable
from lando.k8s.cluster import Cluster, Manifest, Watch
from lando.k8s.metrics import RELISTS

log = logging.getLogger(__name__)

WATCH_S = (240, 300)  # seconds after which a watch is asked to end, drawn anew so that watchers don't come in step
BACKOFF_S = (0.5, 30.0)  # first and longest wait after an error; the actual one is drawn between half and all of it
QUICK_S = 1.0  # a watch that ended sooner and brought nothing counts as an error
SILENCE_S = 420.0  # no word from the cluster for longer is unhealthy: every watch ends and is renewed before
HANDLER_TRIES = 3  # before a change is set aside until the next watch begins
HANDLER_ROUNDS = 10  # watches over which a change that its handler can't take is offered again
HANDLER_PAUSE_S = 0.2  # between tries; grows with each


class ChangeType(Enum):
    """What happened to an object, as far as the view can tell."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    """``object`` is its last known state."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between two states of the view."""

    type: ChangeType
    object: Manifest
    is_seen: bool = True
    """False where only a list showed that it was deleted: it may have changed more since it was last seen."""

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])


Handler = Callable[[Change], None]
OnWord = Callable[[LandoError | None], None]


class Reflector:
    """Keeps :meth:`objects` true and tells ``handler`` of each change, in order, from the thread that runs it.

    The handler should only take note. When it raises, that is logged and the change offered again: a few times
    at once, then whenever a new watch begins; the view does not depend on it. ``on_word`` is told each error that a
    second try has not mended, and None whenever the cluster has answered.

    With ``relist_s``, an account that may list but not watch gets a list every so many seconds instead.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        handler: Handler,
        *,
        label_selector: str = "",
        field_selector: str = "",
        clock: Callable[[], float] = time.monotonic,
        backoff_s: tuple[float, float] = BACKOFF_S,
        relist_s: float | None = None,
        on_word: OnWord = lambda error: None,
    ) -> None:
        self.kind = kind
        self.label_selector = label_selector
        self.synced = threading.Event()
        """Set once a list is in the view; not while :meth:`list_again` has its list to come."""
        self.version = ""
        """The resourceVersion up to which the handler has been told everything; grows."""
        self._cluster = cluster
        self._handler = handler
        self._field_selector = field_selector
        self._clock = clock
        self._backoff_s = backoff_s
        self._lock = threading.Lock()
        self._view: dict[str, Manifest] = {}
        self._refused: dict[str, tuple[Change, int]] = {}
        self._heard = clock()
        self._stop = threading.Event()
        self._again = False
        self._watch: Watch | None = None
        self._unknown_types: set[str] = set()
        self.last_error: LandoError | None = None
        """Why the cluster could not be heard, while that lasts; None when all is well."""
        self.may_watch = True
        """False once the cluster has refused a watch, where lists take its place."""
        self._relist_s = relist_s
        self._on_word = on_word

    def objects(self) -> list[Manifest]:
        """The view as it is now; the manifests are shared and must not be changed."""
        with self._lock:
            return list(self._view.values())

    def get(self, uid: str) -> Manifest | None:
        """The object of this UID, if it is in the view."""
        with self._lock:
            return self._view.get(uid)

    def age_s(self) -> float:
        """Seconds since the cluster was last heard of this kind: an event, a bookmark, an answer."""
        return max(self._clock() - self._heard, 0.0)

    def healthy(self, limit_s: float = SILENCE_S) -> bool:
        """Whether the view can be trusted: filled once, and heard of not longer than ``limit_s`` ago."""
        return self.synced.is_set() and self.age_s() <= limit_s

    def list_again(self) -> None:
        """Have the view listed anew; it can't be trusted until that list, which begins after this call, is in it."""
        with self._lock:
            self._again = True
            self.synced.clear()
            if self._watch is not None:
                self._watch.close()

    def stop(self) -> None:
        """End :meth:`run` promptly, from any thread; it can't be run again."""
        self._stop.set()
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def run(self) -> None:
        """List, watch, and do so again, until :meth:`stop`."""
        failures = 0
        while not self._stop.is_set():
            heard = self._heard
            try:
                self._list_then_watch()
            except Expired as error:
                # The usual reason to list again; only a list or watch that never gets on is worth a wait.
                log.info("%s: the watch position has expired, listing again", self.kind)
                failures = 0 if self._heard > heard else failures + 1
                self._wait(failures, error)
            except LandoError as error:
                failures = 1 if self._heard > heard else failures + 1
                self._report(error, failures)
                self._wait(failures, error)
            except Exception:
                failures = 1 if self._heard > heard else failures + 1
                log.exception("%s: following the cluster failed unexpectedly, beginning again", self.kind)
                self._wait(failures, None)

    def _list_then_watch(self) -> None:
        """Bring the view up to date, then follow it until the position expires or a list is needed."""
        version = self._list()
        failures = 0
        while not self._stop.is_set():
            if self._again:
                return
            if not self.may_watch:
                self._stop.wait(self._relist_s)
                return
            self._offer_again()
            began, before = self._clock(), version
            try:
                version = self._watch_once(version)
                quick = version == before and self._clock() - began < QUICK_S
                failures = failures + 1 if quick else 0
                self._wait(failures, None)
            except _WatchBrokenError as broken:
                if self._relist_s is not None and _is_forbidden(broken.error):
                    log.warning("%s: no right to watch, listing every %g s instead", self.kind, self._relist_s)
                    self.may_watch = False
                    continue
                failures = 1 if broken.version != version else failures + 1
                version = broken.version
                self._report(broken.error, failures)
                self._wait(failures, broken.error)

    def _list(self) -> str:
        """One paged list, compared with the view; the resourceVersion to watch from."""
        found: dict[str, Manifest] = {}
        token: str | None = None
        self._again = False
        while True:
            page = self._cluster.list_page(
                self.kind, self.label_selector, field_selector=self._field_selector, continue_token=token
            )
            self._heard = self._clock()
            found.update((str(item["metadata"]["uid"]), _slim(item)) for item in page.items)
            token = page.continue_token
            if token is None or self._stop.is_set():
                break
        if self.synced.is_set():
            RELISTS.labels(self.kind).inc()
        with self._lock:
            old, self._view = self._view, found
        self._well()
        for uid in old.keys() - found.keys():
            self._tell(Change(type=ChangeType.DELETED, object=old[uid], is_seen=False))
        for uid, item in found.items():
            if uid not in old:
                self._tell(Change(type=ChangeType.ADDED, object=item))
            elif _version(old[uid]) != _version(item):
                self._tell(Change(type=ChangeType.MODIFIED, object=item))
        self.version = page.resource_version
        with self._lock:
            if not self._again:
                self.synced.set()
        self._on_word(None)
        return page.resource_version

    def _watch_once(self, version: str) -> str:
        """One watch from ``version`` to its end; the version to go on from. Raises Expired or _WatchBrokenError."""
        timeout_s = random.randint(*WATCH_S)  # noqa: S311 - spreads load, hides nothing
        try:
            watch = self._cluster.watch(
                self.kind, self.label_selector, version, timeout_s=timeout_s, field_selector=self._field_selector
            )
            with self._lock:
                self._watch = watch
                if self._stop.is_set() or self._again:
                    watch.close()
            self._heard = self._clock()
            self._well()
            try:
                for event in watch:
                    self._heard = self._clock()
                    if not _is_old(event, version):
                        self.version = version = self._apply(event) or version
            finally:
                with self._lock:
                    self._watch = None
                watch.close()
        except Expired:
            raise
        except LandoError as error:
            raise _WatchBrokenError(version, error) from error
        return version

    def _apply(self, event: Manifest) -> str | None:
        """Bring one event into the view and tell of it; the version it carries."""
        item = event["object"]
        metadata = item.get("metadata") or {}
        version = metadata.get("resourceVersion")
        if event["type"] == "BOOKMARK":
            return str(version) if version else None
        try:
            kind = ChangeType(event["type"])
            uid = str(metadata["uid"])
        except (ValueError, KeyError):
            if event["type"] not in self._unknown_types:
                self._unknown_types.add(event["type"])
                log.warning("%s: watch events of type %.40r are not known and skipped", self.kind, event["type"])
            return None
        item = _slim(item)
        with self._lock:
            known = self._view.get(uid)
            if kind is ChangeType.DELETED:
                self._view.pop(uid, None)
            else:
                self._view[uid] = item
        if kind is ChangeType.DELETED:
            self._tell(Change(type=kind, object=item))
        elif known is None:
            self._tell(Change(type=ChangeType.ADDED, object=item))
        elif _version(known) != _version(item):
            self._tell(Change(type=ChangeType.MODIFIED, object=item))
        return str(version) if version else None

    def _tell(self, change: Change, round_: int = 1) -> None:
        """Hand ``change`` to the handler; set it aside when the handler keeps raising."""
        for attempt in range(1, HANDLER_TRIES + 1):
            try:
                self._handler(change)
            except Exception:
                log.exception("%s: the handler failed on %s (try %d)", self.kind, _name(change), attempt)
                if attempt < HANDLER_TRIES and self._stop.wait(HANDLER_PAUSE_S * attempt):
                    break
            else:
                self._refused.pop(change.uid, None)
                return
        if round_ < HANDLER_ROUNDS:
            self._refused[change.uid] = (change, round_)
        else:
            self._refused.pop(change.uid, None)
            log.error("%s: gave up telling the handler of %s", self.kind, _name(change))

    def _offer_again(self) -> None:
        for change, round_ in list(self._refused.values()):
            self._tell(change, round_ + 1)

    def _report(self, error: LandoError, failures: int) -> None:
        self.last_error = error
        # One line when trouble begins; while it lasts, it shows in age_s and last_error.
        log.log(logging.WARNING if failures == 1 else logging.DEBUG, "%s: %s (try %d)", self.kind, error, failures)
        if failures > 1:
            self._on_word(error)

    def _well(self) -> None:
        if self.last_error is not None:
            log.warning("%s: the cluster is heard again", self.kind)
        self.last_error = None
        self._on_word(None)

    def _wait(self, failures: int, error: LandoError | None) -> None:
        """Pause before the next try: twice as long each time, jittered, and no shorter than the server asked."""
        if failures == 0 or self._again:
            return
        first, longest = self._backoff_s
        seconds = min(first * 2.0 ** min(failures - 1, 16), longest) * random.uniform(0.5, 1.0)  # noqa: S311
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            seconds = max(seconds, min(error.retry_after_s, longest))
        self._stop.wait(seconds)


class _WatchBrokenError(Exception):
    """A watch broke off after it had come to ``version``."""

    def __init__(self, version: str, error: LandoError) -> None:
        super().__init__(str(error))
        self.version = version
        self.error = error


def _is_forbidden(error: LandoError) -> bool:
    return isinstance(error, Unavailable) and error.status == 403


def _slim(item: Manifest) -> Manifest:
    """``item`` without what nobody here reads and what is often half of it."""
    item["metadata"].pop("managedFields", None)
    return item


def _is_old(event: Manifest, version: str) -> bool:
    """Whether the watch has told of ``event`` before: it begins after ``version``, and versions of a kind only grow."""
    told = str((event["object"].get("metadata") or {}).get("resourceVersion", ""))
    return told.isdecimal() and version.isdecimal() and int(told) <= int(version)


def _version(item: Manifest) -> object:
    return item["metadata"].get("resourceVersion")


def _name(change: Change) -> str:
    metadata = change.object["metadata"]
    return f"{change.type.value} {metadata.get('name')} ({metadata['uid']})"
