"""A cluster in memory for direct runs, models whose Jobs end when the test says so, and runs of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from lando.direct import runner
from lando.direct.events import Ended, Event
from lando.direct.waiting import Waiting
from lando.errors import Unavailable
from lando.k8s.cluster import Manifest, Page
from lando.local.controllers.job_controller import controlling_job
from lando.phases.model import Entry, JobFile, Model, Phase, Settings
from tests.services.store_cluster import ENDED, StoreCluster, StoreWatch

IDLE_S = 0.02  # how long the news of the last step may take before the next one


def manifest(name: str, *, command: str = "true", **spec: Any) -> Manifest:
    """A Job as a file has it."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "tool:1", "command": [command]}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
    }


def entry(
    name: str,
    *jobs: str,
    phase: int = 0,
    needs: Sequence[str] = (),
    retries: int = 0,
    command: str = "true",
    **spec: Any,
) -> Entry:
    """An entry of one Job of its own name, or of those named, as of a directory."""
    files = tuple(
        JobFile(
            path=f"{job}.yaml",
            manifest=manifest(job, command=command, **spec),
            entry=name,
            phase=phase,
            exploded=bool(jobs),
        )
        for job in jobs or (name,)
    )
    return Entry(name=name, job_path=f"{name}.yaml", depends_on=tuple(needs), retries=retries, jobs=files)


def model(*phases: Sequence[Entry], **settings: Any) -> Model:
    """A model of these phases; the entries know their phase's index."""
    return Model(
        path="jobermodel.yaml",
        settings=Settings(kubernetes_namespace="lando", refresh_time=0.2, **settings),
        phases=tuple(
            Phase(index=index, name=f"phase-{index}", entries=tuple(entries)) for index, entries in enumerate(phases)
        ),
    )


class World(StoreCluster):
    """The cluster in memory, safe for several threads. Each call of a run is noted, and may be made to fail.

    Jobs end by :meth:`end`, or by themselves when the run has nothing to do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda call: None
        """Told each call before it is carried out; what it raises, the call meets."""
        self.after: Callable[[str], None] = lambda call: None
        """The same when it has been carried out."""
        self.outcomes: Callable[[str], int | None] = lambda job: 0
        """The exit code of each Job; None: it does not end by itself."""
        self.choose: Callable[[Sequence[str]], str] = lambda jobs: jobs[0]
        """Which of the Jobs at work ends next."""
        self.history: list[tuple[str, str]] = []
        """What became of Jobs: ``("made", name)``, ``("ended", name)``, ``("removed", name)``."""

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        call = f"create {kind} {name}"
        self._begin(call)
        with self.lock:
            made = super().create(manifest, dry_run=dry_run)
            if kind == "Job" and not dry_run:
                self.history.append(("made", name))
        self.after(call)
        return made

    def get(self, kind: str, name: str) -> Manifest:
        self._begin(f"get {kind} {name}")
        found = super().get(kind, name)
        self.after(f"get {kind} {name}")
        return found

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = 500,
        continue_token: str | None = None,
    ) -> Page:
        self._begin(f"list {kind}")
        page = super().list_page(
            kind, label_selector, field_selector=field_selector, limit=limit, continue_token=continue_token
        )
        self.after(f"list {kind}")
        return page

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> StoreWatch:
        self._begin(f"watch {kind}")
        with self.lock:
            return super().watch(
                kind, label_selector, resource_version, timeout_s=timeout_s, field_selector=field_selector
            )

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        self._begin(f"patch {kind} {name}")
        with self.lock:
            patched = super().patch(kind, name, patch)
            self._collect_garbage()
        self.after(f"patch {kind} {name}")
        return patched

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        self._begin(f"delete {kind} {name}")
        with self.lock:
            super().delete(kind, name, uid=uid)
            if kind == "Job":
                self.history.append(("removed", name))
        self.after(f"delete {kind} {name}")

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        self._begin(f"log {pod.rpartition('-')[0]}")
        return self.logs.get(pod, f"log of {pod.rpartition('-')[0]}\n")

    def _begin(self, call: str) -> None:
        with self.lock:
            self.calls.append(call)
        self.before(call)

    def unavailable(self, status: int | None = None) -> Unavailable:
        """What a call meets while the cluster is away."""
        return Unavailable("cluster", "no answer in time", status=status)

    # -- what happens in the cluster -------------------------------------------------------------------------------

    def end(self, job: str, exit_code: int = 0) -> None:
        """The pod of a Job ends."""
        with self.lock:
            self.history.append(("ended", job))
            self.finish(job, exit_code)

    def let_loose(self, job: str) -> None:
        """Somebody deletes a Job without its pods."""
        with self.lock:
            for pod in self.pods(job):
                name = pod["metadata"]["name"]
                self.store.patch("pods", self.namespace, name, {"metadata": {"ownerReferences": None}})
            self.store.delete("jobs", self.namespace, job, propagation="Background")

    def step(self) -> bool:
        """One Job that is at work ends; whether there was one."""
        with self.lock:
            pods = self.pods()
            if any("deletionTimestamp" in pod["metadata"] for pod in pods):
                self.let_go()
            going = [controlling_job(pod) for pod in pods if pod["status"].get("phase") not in ENDED]
            names = sorted({str(owner["name"]) for owner in going if owner})
            at_work = [job for job in names if self.pod(job) and self.outcomes(job) is not None]
            if at_work:
                job = self.choose(at_work)
                self.end(job, self.outcomes(job) or 0)
            return bool(at_work)

    # -- what is there ---------------------------------------------------------------------------------------------

    def job(self, name: str) -> Manifest:
        return self.store.get("jobs", self.namespace, name)

    def jobs(self) -> Sequence[str]:
        return sorted(job["metadata"]["name"] for job in self.store.list("jobs", self.namespace).items)

    def count(self, call: str) -> int:
        """How many calls began so."""
        with self.lock:
            return sum(one.startswith(call) for one in self.calls)

    def made(self) -> Sequence[str]:
        """Names of the Jobs that were made, in their order."""
        with self.lock:
            return [job for what, job in self.history if what == "made"]


class Idle(Waiting):
    """Where the run would sleep, the world goes on; when nothing is left that could happen, time flies."""

    def __init__(self, stop: threading.Event, world: World) -> None:
        super().__init__(stop)
        self._world = world
        self._flown = 0.0

    def now(self) -> float:
        return super().now() + self._flown

    def wait(self, seconds: float | None) -> None:
        if self._rung.is_set() or self._world.step():
            super().wait(seconds)
        elif self._rung.wait(IDLE_S):
            self._rung.clear()
        elif seconds is not None:
            self._flown += seconds


class Told:
    """A listener that keeps what it was told; ``on`` may act on each event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on: Callable[[Event], None] = lambda event: None

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.on(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def jobs(self, kind: type[Any]) -> list[str]:
        return [event.job for event in self.of(kind)]

    @property
    def ended(self) -> Ended:
        last = self.events[-1]
        assert isinstance(last, Ended), last
        return last


def run(
    world: World,
    one: Model,
    *,
    stop: threading.Event | None = None,
    told: Told | None = None,
    waiting: Waiting | None = None,
    **options: Any,
) -> Told:
    """Run a model to its end; what was told of it."""
    told, stop = told or Told(), stop or threading.Event()
    outcome = runner.run(one, world, listener=told, stop=stop, waiting=waiting or Idle(stop, world), **options)
    assert outcome is told.ended.outcome
    return told
