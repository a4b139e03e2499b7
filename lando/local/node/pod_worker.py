"""One pod at work: its volumes, its init containers in order, its containers side by side, its end.

Each worker is a thread, with one more for each container beyond the first. What it waits for wakes it: an object it
misses, a process's end, its own deletion.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from lando.errors import ConfigError
from lando.local.controllers.event_recorder import NORMAL, WARNING, EventRecorder
from lando.local.node.container_logs import LogWriter
from lando.local.node.container_spec import container_spec, memory_limit, termination_message
from lando.local.node.environment import ContainerConfigError
from lando.local.node.images import Image, ImagePullError, ImageTable
from lando.local.node.pod_endings import never_seen, remove_for_good
from lando.local.node.pod_folder import PodFolder
from lando.local.node.pod_status import (
    NODE_ERROR,
    PAST_DEADLINE,
    ContainerState,
    PodFailure,
    pod_status,
    terminated,
    waiting,
)
from lando.local.node.process_tree import Snapshots
from lando.local.node.processes import PIDS_LIMIT, ContainerProcess
from lando.local.node.sandbox import ContainerSpec, Sandbox, StartError
from lando.local.node.volumes import (
    MountError,
    Volume,
    VolumeSources,
    prepare_volumes,
)
from lando.local.rules.lifecycle import timestamp
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

RETRY_BASE_S = 1.0
RETRY_LIMIT_S = 60.0
"""Waits between tries of what is missing (an image, a ConfigMap); they double."""
END_TRIES = 8
"""How often the record of a pod's end is tried: for some four minutes."""
CRASH_BASE_S = 10.0
CRASH_LIMIT_S = 300.0
"""Waits between restarts of a container; they double, and the first restart is at once."""
NOT_STARTED = 128
"""Exit code of a container whose program could not be started."""


@dataclass(frozen=True, kw_only=True)
class PodContext:
    """What every pod of the node shares."""

    store: ObjectStore
    events: EventRecorder
    images: ImageTable
    sandbox: Sandbox
    sources: Callable[[Manifest], VolumeSources]
    clock: Callable[[], datetime]
    crash_base_s: float = CRASH_BASE_S
    pids_limit: int = PIDS_LIMIT
    snapshots: Snapshots = field(default_factory=Snapshots)


class _Stopped(Exception):
    """The pod is to end; nothing more is started."""


class PodWorker:
    """Runs one pod. :meth:`start` once; the rest from any thread."""

    def __init__(
        self, context: PodContext, pod: Manifest, folder: PodFolder, on_done: Callable[[PodWorker], None]
    ) -> None:
        self._context = context
        self.pod = pod
        metadata = pod["metadata"]
        self.uid: str = metadata["uid"]
        self._namespace: str = metadata["namespace"]
        self._name: str = metadata["name"]
        self.folder = folder
        self._on_done = on_done
        spec = pod["spec"]
        self._init = {
            each["name"]: ContainerState(state=waiting("PodInitializing")) for each in spec.get("initContainers") or []
        }
        reason = "PodInitializing" if self._init else "ContainerCreating"
        self._main = {each["name"]: ContainerState(state=waiting(reason)) for each in spec["containers"]}
        self._states = {**self._init, **self._main}
        self._condition = threading.Condition(threading.RLock())
        self._pokes = 0
        self._grace_s: float | None = None
        self._failure: PodFailure | None = None
        self._abandoned = False
        self._processes: dict[str, ContainerProcess] = {}
        self._writers: dict[str, LogWriter] = {}
        self._thread = threading.Thread(target=self._run, name=f"pod-{self._name}", daemon=True)
        self._deadline: threading.Timer | None = None

    # -- from other threads ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Whether the worker has ended within ``timeout_s`` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def poke(self) -> None:
        """Something that the pod may miss has changed: try again now."""
        with self._condition:
            self._pokes += 1
            self._condition.notify_all()

    def terminate(self, grace_s: float, failure: PodFailure | None = None) -> None:
        """End the pod: SIGTERM, and SIGKILL after ``grace_s`` seconds; ``failure`` says why, if not for a deletion."""
        with self._condition:
            begun = self._grace_s is not None
            self._grace_s = grace_s if self._grace_s is None else min(grace_s, self._grace_s)
            self._failure = self._failure or failure
            processes = dict(self._processes)
            self._condition.notify_all()
        for name, process in processes.items():
            if not begun:
                self._say(NORMAL, "Killing", f"Stopping container {name}", name)
            process.terminate(grace_s)

    @property
    def ending(self) -> bool:
        """Whether the pod is told to end."""
        return self._grace_s is not None

    def evict(self, grace_s: float, failure: PodFailure) -> None:
        """End the pod for what it takes from its node."""
        self._say(WARNING, failure.reason, failure.message)
        self.terminate(grace_s, failure)

    def shut_down(self, grace_s: float, failure: PodFailure) -> None:
        """The node stops: a pod that has begun fails for ``failure``, one that has not is left for the next life."""
        with self._condition:
            if not any(state.started_once for state in self._states.values()):
                self._abandoned = True
        self.terminate(grace_s, failure)

    def writer(self, container: str) -> LogWriter | None:
        """What writes the container's log now, if it runs."""
        with self._condition:
            return self._writers.get(container)

    # -- the pod's life ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._live()
        except _Stopped:
            pass
        except Exception:
            log.exception("pod %s/%s failed inside the node", self._namespace, self._name)
            with self._condition:
                self._failure = self._failure or NODE_ERROR
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            if not self._abandoned:
                self._record_end()
            self.folder.release()
            self._on_done(self)

    def _record_end(self) -> None:
        """Conclude; where that can't be written down, again and again once the pod's disk is given back."""
        for tries in range(1, END_TRIES + 1):
            try:
                self._conclude()
                return
            except Exception:
                log.exception("the end of pod %s/%s could not be recorded", self._namespace, self._name)
            self.folder.release()
            with self._condition:
                self._condition.wait(min(RETRY_BASE_S * 2 ** (tries - 1), RETRY_LIMIT_S))
        log.error("the end of pod %s/%s is given up; the node's next start tells it", self._namespace, self._name)

    def _live(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self._publish()
        self._set_deadline()
        volumes = self._mount()
        spec = self.pod["spec"]
        for container in spec.get("initContainers") or []:
            if not self._run_container(container, volumes, init=True):
                return
        if self._init:
            for name in self._main:
                self._main[name].state = waiting("ContainerCreating")
            self._publish()
        first, *others = spec["containers"]
        threads = [
            threading.Thread(
                target=self._run_beside, args=(each, volumes), name=f"pod-{self._name}-{each['name']}", daemon=True
            )
            for each in others
        ]
        for thread in threads:
            thread.start()
        try:
            self._run_container(first, volumes, init=False)
        finally:
            for thread in threads:
                thread.join()

    def _run_beside(self, container: Manifest, volumes: dict[str, Volume]) -> None:
        try:
            self._run_container(container, volumes, init=False)
        except _Stopped:
            pass
        except Exception:
            log.exception(
                "container %s of pod %s/%s failed inside the node", container["name"], self._namespace, self._name
            )
            self.terminate(0, NODE_ERROR)

    def _set_deadline(self) -> None:
        deadline_s = self.pod["spec"].get("activeDeadlineSeconds")
        if deadline_s is None:
            return

        def end() -> None:
            self._say(NORMAL, PAST_DEADLINE.reason, PAST_DEADLINE.message)
            self.terminate(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)), PAST_DEADLINE)

        self._deadline = threading.Timer(float(deadline_s), end)
        self._deadline.daemon = True
        self._deadline.start()

    def _mount(self) -> dict[str, Volume]:
        """The pod's volumes, as soon as all of them can be had."""
        tries = 0
        while True:
            pokes = self._pokes
            try:
                return prepare_volumes(self.pod, self.folder.volumes, self._context.sources(self.pod))
            except MountError as error:
                self._say(WARNING, "FailedMount", str(error))
            tries += 1
            self._wait(tries, pokes)

    def _conclude(self) -> None:
        """Write down how the pod ended; a deleted one goes for good."""
        now = self._context.clock()
        with self._condition:
            for state in self._states.values():
                if state.exit_code is None and (self._grace_s is not None or self._failure is not None):
                    state.state = never_seen()
        status = self._publish(now, over=True)
        if status is not None and "deletionTimestamp" in status["metadata"]:
            remove_for_good(self._context.store, status)

    # -- one container -----------------------------------------------------------------------------------------------

    def _run_container(self, container: Manifest, volumes: dict[str, Volume], *, init: bool) -> bool:
        """Run a container, again and again if its pod's policy says so; whether it ended well."""
        state = self._states[container["name"]]
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if init and policy == "Always":
            policy = "OnFailure"
        crashes = 0
        while True:
            self._attempt(container, state, volumes)
            good = state.exit_code == 0
            if policy == "Never" or (good and policy == "OnFailure"):
                return good
            if self._grace_s is not None:
                raise _Stopped
            crashes = 0 if good else crashes + 1
            with self._condition:
                state.last, state.restarts = state.state, state.restarts + 1
                delay_s = 0.0
                if crashes > 1:
                    delay_s = min(self._context.crash_base_s * 2 ** min(crashes - 2, 20), CRASH_LIMIT_S)
                    text = (
                        f"back-off {delay_s:g}s restarting failed container={container['name']} "
                        f"pod={self._name}_{self._namespace}({self.uid})"
                    )
                    state.state = waiting("CrashLoopBackOff", text)
            if delay_s:
                self._publish()
                text = f"Back-off restarting failed container {container['name']}"
                self._say(WARNING, "BackOff", text, container["name"])
                self._sleep(delay_s)

    def _attempt(self, container: Manifest, state: ContainerState, volumes: dict[str, Volume]) -> None:
        """One incarnation, from start to end; leaves ``state`` terminated."""
        name = container["name"]
        image = self._image(container, state)
        spec = self._configured(container, state, volumes, image)
        output = LogWriter(self.folder.log(name, state.restarts), clock=self._context.clock)
        try:
            try:
                launch = self._context.sandbox.prepare(spec)
            except (OSError, ConfigError) as error:
                raise StartError(f"its volumes could not be made ready: {error}") from error
            process = ContainerProcess(
                launch,
                output,
                f"{self.uid}/{name}/{state.restarts}",
                self.folder.container(name) / "process.json",
                snapshots=self._context.snapshots,
                memory_limit=memory_limit(container),
                pids_limit=self._context.pids_limit,
            )
            with self._condition:
                if self._grace_s is not None:
                    raise _Stopped
                self._processes[name], self._writers[name] = process, output
            started = self._context.clock()
            ended = process.run(lambda: self._started(container, state, started))
            output.close()
            finished = self._context.clock()
            message = termination_message(container, spec, ended, output.path)
            ending = terminated(
                ended.exit_code,
                ended.reason or ("Completed" if ended.exit_code == 0 else "Error"),
                started=started,
                finished=finished,
                message=message,
                container_id=state.container_id,
            )
        except StartError as error:
            if self._grace_s is not None:
                raise _Stopped from error
            now = self._context.clock()
            state.container_id = self._container_id(name, state)
            message = f"failed to start container: {error}"
            ending = terminated(
                NOT_STARTED, "StartError", finished=now, message=message, container_id=state.container_id
            )
            self._say(WARNING, "Failed", f"Error: {message}", name)
        finally:
            output.close()
            with self._condition:
                self._processes.pop(name, None)
                self._writers.pop(name, None)
        with self._condition:
            state.state = ending
            last_word = self._no_more_to_come(container)
        if not last_word:
            self._publish()

    def _no_more_to_come(self, container: Manifest) -> bool:
        """Whether the pod's end follows at once, so that one write of its status will do."""
        return (
            self.pod["spec"].get("restartPolicy") == "Never"
            and container["name"] in self._main
            and all(state.exit_code is not None for state in self._main.values())
        )

    def _image(self, container: Manifest, state: ContainerState) -> Image:
        tries, name = 0, container.get("image", "")
        while True:
            try:
                has = {"has_command": bool(container.get("command")), "has_args": bool(container.get("args"))}
                return self._context.images.resolve(name, **has)
            except ImagePullError as error:
                self._change(state, waiting("ErrImagePull", str(error)))
                self._say(WARNING, "Failed", f'Failed to pull image "{name}": {error}', container["name"])
                self._say(WARNING, "Failed", "Error: ErrImagePull", container["name"])
            pokes = self._pokes
            tries += 1
            if tries > 1:
                self._change(state, waiting("ImagePullBackOff", f'Back-off pulling image "{name}"'))
                self._say(NORMAL, "BackOff", f'Back-off pulling image "{name}"', container["name"])
                self._say(WARNING, "Failed", "Error: ImagePullBackOff", container["name"])
            self._wait(tries, pokes)

    def _configured(
        self, container: Manifest, state: ContainerState, volumes: dict[str, Volume], image: Image
    ) -> ContainerSpec:
        """The container with everything filled in, as soon as all that it refers to is there."""
        tries = 0
        while True:
            pokes = self._pokes
            try:
                lookups = self._context.sources(self.pod).lookups
                return container_spec(self.pod, container, self.folder, lookups, volumes, image)
            except ContainerConfigError as error:
                self._change(state, waiting("CreateContainerConfigError", str(error)))
                self._say(WARNING, "Failed", f"Error: {error}", container["name"])
            tries += 1
            self._wait(tries, pokes)

    def _started(self, container: Manifest, state: ContainerState, started: datetime) -> None:
        name = container["name"]
        with self._condition:
            state.container_id = self._container_id(name, state)
            state.state = {"running": {"startedAt": timestamp(started)}}
        self._publish()
        self._say(NORMAL, "Pulled", f'Container image "{container.get("image", "")}" already present on machine', name)
        self._say(NORMAL, "Created", f"Created container {name}", name)
        self._say(NORMAL, "Started", f"Started container {name}", name)

    def _container_id(self, name: str, state: ContainerState) -> str:
        return f"lando-local://{self.uid}/{name}/{state.restarts}"

    # -- waiting and telling -----------------------------------------------------------------------------------------

    def _wait(self, tries: int, pokes: int) -> None:
        """Wait before a further try: until something changed since ``pokes``, or ever longer. Raises _Stopped."""
        with self._condition:
            delay_s = min(RETRY_BASE_S * 2 ** min(tries - 1, 20), RETRY_LIMIT_S)
            self._condition.wait_for(lambda: self._pokes != pokes or self._grace_s is not None, delay_s)
            if self._grace_s is not None:
                raise _Stopped

    def _sleep(self, delay_s: float) -> None:
        with self._condition:
            if self._condition.wait_for(lambda: self._grace_s is not None, delay_s):
                raise _Stopped

    def _change(self, state: ContainerState, new: Manifest) -> None:
        with self._condition:
            changed = state.state != new
            state.state = new
        if changed:
            self._publish()

    def _publish(self, now: datetime | None = None, *, over: bool = False) -> Manifest | None:
        """Write the pod's status; returns the pod, or None when it is gone."""
        moment = now or self._context.clock()

        def change(current: Manifest) -> None:
            with self._condition:
                current["status"] = pod_status(
                    current, self._init, self._main, moment, over=over, failure=self._failure
                )

        try:
            self.pod = self._context.store.modify(
                "pods", self._namespace, self._name, change, subresource="status", uid=self.uid
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return None
        return self.pod

    def _say(self, kind: str, reason: str, message: str, container: str | None = None) -> None:
        self._context.events.record(self.pod, kind, reason, message, container=container)
