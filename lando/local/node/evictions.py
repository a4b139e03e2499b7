"""Pods that use more disk than they may, or than there is, are ended as a kubelet evicts them.

What counts for a pod is what lies in its folder: its emptyDirs, logs and working directories. Claims count only where
the disk itself runs full: then the pod that holds most goes first, one at a time, and no new pod is taken until there
is room again.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from lando.local.node.pod_folder import PodFolder
from lando.local.node.pod_status import PodFailure
from lando.local.rules.quantities import format_quantity, parse_quantity
from lando.local.rules.status import Manifest

log = logging.getLogger(__name__)

ROUND_S = 1.0
"""How often the free space is looked at."""
MEASURE_EVERY = 10
"""Rounds between two measurements of the pods that have limits; a whole tree of files is read for each."""
FLOOR_BYTES = 512 * 2**20
FLOOR_SHARE = 0.02
"""Free space below which the disk counts as full: the smaller of so many bytes and this share of the whole."""
ROOM_AGAIN = 1.5
"""How much more than the floor must be free for new pods to be taken again."""
GRACE_S = 1.0
"""What an evicted pod is given to end, as by kubelets for broken limits."""
STOP_S = 2.0
DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
"""The taint that keeps pods from a node whose disk is full."""


class EvictablePod(Protocol):
    """What there is to know of a pod at work, and how it is evicted."""

    @property
    def pod(self) -> Manifest: ...

    @property
    def folder(self) -> PodFolder: ...

    @property
    def ending(self) -> bool:
        """Whether it is told to end already."""
        ...

    def evict(self, grace_s: float, failure: PodFailure) -> None:
        """End it for ``failure``, and say so."""
        ...


@dataclass(frozen=True, kw_only=True)
class Space:
    """Room of a file system, in bytes."""

    total: int
    free: int


def space_at(folder: Path) -> Space:
    """The room that this user has left where ``folder`` lies."""
    usage = shutil.disk_usage(folder)
    return Space(total=usage.total, free=usage.free)


class EvictionManager:
    """Looks after the disk, in a thread of its own once started."""

    def __init__(
        self,
        folder: Path,
        pods: Callable[[], Iterable[EvictablePod]],
        claim_folders: Callable[[Manifest], Iterable[Path]],
        on_pressure: Callable[[], None],
        *,
        space: Callable[[Path], Space] = space_at,
    ) -> None:
        """``pods`` gives those at work; ``on_pressure`` is told when :attr:`under_pressure` changed."""
        self._folder = folder
        self._pods = pods
        self._claim_folders = claim_folders
        self._on_pressure = on_pressure
        self.space = space
        """Tells the room where a folder lies."""
        self.under_pressure = False
        """Whether the disk is too full for new pods."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evictions", daemon=True)

    def start(self) -> None:
        """Look at the disk, so that no pod begins on a full one, and go on doing so."""
        self.check_disk()
        self._thread.start()

    def stop(self) -> None:
        """Evict no more; a measurement under way is left to itself."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        rounds = 0
        while not self._stop.wait(ROUND_S):
            rounds += 1
            try:
                self.check_disk()
                if rounds % MEASURE_EVERY == 0:
                    self.check_limits()
            except Exception:
                log.exception("the disk could not be looked after; it is tried again")

    def check_limits(self) -> None:
        """Evict the pods that use more than their limits."""
        for worker in self._pods():
            message = None if worker.ending else broken_limit(worker.pod, worker.folder)
            if message is not None:
                worker.evict(GRACE_S, PodFailure(reason="Evicted", message=message))

    def check_disk(self) -> None:
        """Take no new pods while the disk is full, and evict the one that holds most of it."""
        space = self.space(self._folder)
        floor = int(min(FLOOR_BYTES, space.total * FLOOR_SHARE))
        before = self.under_pressure
        self.under_pressure = space.free < (floor * ROOM_AGAIN if before else floor)
        if self.under_pressure != before:
            words = "is too full for new pods" if self.under_pressure else "has room for new pods again"
            log.warning("the disk of %s %s: %d MiB are free", self._folder, words, space.free >> 20)
            self._on_pressure()
        if space.free < floor:
            self._evict_the_biggest(floor, space.free)

    def _evict_the_biggest(self, floor: int, free: int) -> None:
        def held(worker: EvictablePod) -> int:
            return sum(tree_size(place) for place in (worker.folder.path, *self._claim_folders(worker.pod)))

        pods = list(self._pods())
        if any(worker.ending for worker in pods):
            # Its end may make room enough.
            return
        sizes = [(held(worker), worker) for worker in pods]
        size, worker = max(sizes, key=lambda each: each[0], default=(0, None))
        if worker is None:
            return
        message = (
            "The node was low on resource: ephemeral-storage. "
            f"Threshold quantity: {floor}, available: {free >> 10}Ki. The pod was using {size >> 10}Ki. "
        )
        worker.evict(GRACE_S, PodFailure(reason="Evicted", message=message, disruption=True))


def broken_limit(pod: Manifest, folder: PodFolder) -> str | None:
    """Which of its limits of local storage the pod has broken, in a kubelet's words; None if it keeps to them."""
    spec = pod["spec"]
    volumes, limits = 0, _storage_limits(spec["containers"])
    for volume in spec.get("volumes") or []:
        source = volume.get("emptyDir")
        limit = (source or {}).get("sizeLimit")
        if source is None or (limit is None and not limits):
            continue
        size = tree_size(folder.volumes / volume["name"])
        if limit is not None and 0 < parse_quantity(str(limit)) < size:
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
        volumes += size
    if not limits:
        return None
    sizes = {each["name"]: tree_size(folder.container(each["name"])) for each in spec["containers"]}
    allowed = sum(limits.values(), Decimal(0))
    if volumes + sum(sizes.values()) > allowed:
        total = format_quantity(allowed, binary=True)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
    for name, limit in limits.items():
        if sizes[name] > limit:
            quantity = format_quantity(limit, binary=True)
            return f'Container {name} exceeded its local ephemeral storage limit "{quantity}". '
    return None


def _storage_limits(containers: Iterable[Manifest]) -> dict[str, Decimal]:
    """Bytes by container, for those that have a limit."""
    found = {}
    for container in containers:
        limit = ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        if limit is not None:
            found[container["name"]] = parse_quantity(str(limit))
    return found


def tree_size(folder: Path) -> int:
    """Bytes on disk of all that is in ``folder``; what vanishes meanwhile or can't be read counts nothing."""
    size, pending = 0, [str(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return size
