"""Jobs and pods as they are kept, and what they are kept with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from lando.definitions.served.keeping import Keeper
from lando.definitions.served.view import JobsView
from lando.errors import Unavailable
from tests.unit.definitions.conftest import job, models

LIMIT_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class OneWatch:
    """Silent until it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._closed.wait(LIMIT_S)
        raise StopIteration

    def close(self) -> None:
        self._closed.set()


def idle_view() -> JobsView:
    """One that has not heard of the cluster yet."""
    nowhere: Any = None
    return JobsView(nowhere, "")


class OneView(JobsView):
    """Current, of one Job."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def is_current(self) -> bool:
        return True

    def get(self, name: str) -> Any:
        return self._found if name == self._found.metadata.name else None


def at_work(name: str = "one", *, created: int = 1, **metadata: Any) -> Any:
    """A Job with a pod that runs."""
    found = job(name, creation_timestamp=datetime(2024, 1, created, tzinfo=UTC), **metadata)
    found.status.active = 1
    return found


def pod(name: str, number: int = 1) -> Any:
    created = datetime(2024, 1, number, tzinfo=UTC)
    terminated = models.V1ContainerStateTerminated(exit_code=3, message="out of cheese")
    state = models.V1ContainerState(terminated=terminated)
    entry = models.V1ContainerStatus(name="main", image="i", image_id="i", ready=False, restart_count=0, state=state)
    return models.V1Pod(
        metadata=models.V1ObjectMeta(name=name, namespace="batch", uid=f"uid-{name}", creation_timestamp=created),
        spec=models.V1PodSpec(containers=[models.V1Container(name="main")]),
        status=models.V1PodStatus(phase="Failed", container_statuses=[entry]),
    )


def running(name: str, owner: str | None = None) -> Any:
    found = pod(name)
    found.status.phase = "Running"
    state = models.V1ContainerState(running=models.V1ContainerStateRunning())
    found.status.container_statuses[0].state = state
    if owner is not None:
        reference = models.V1OwnerReference(api_version="batch/v1", kind="Job", name="one", uid=owner, controller=True)
        found.metadata.owner_references = [reference]
    return found


def work(keeper: Keeper) -> None:
    """Keep what is gone, and end."""
    keeper.stop()
    keeper.run()


def away(*_: Any, **__: Any) -> Any:
    raise Unavailable("archive", "away")


def until(condition: Callable[[], Any]) -> None:
    waited = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError
