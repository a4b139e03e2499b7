"""One container's processes: started, their output stored, watched, ended, and found again after a crash."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lando.local.node.container_logs import READ_SIZE, LogWriter
from lando.local.node.process_table import MARKER, Process, all_processes, marked, members, read_process, send
from lando.local.node.process_tree import ROUND_S, ProcessTree, Snapshots, Usage, kill
from lando.local.node.sandbox import Launch, StartError

log = logging.getLogger(__name__)

CHECK_S = 1.0
"""How often it is summed up what a container takes."""
CLOSE_CHECK_S = 0.1
"""The same for one that takes more than half of what it may."""
PIDS_LIMIT = 4096
"""Processes and threads of a container at a time; more is taken for one that starts them without end."""
NICENESS = 5
"""Containers leave the processor to the stack that looks after them."""
OOM_SCORE = 500
"""Where memory runs out, the kernel ends a container's process rather than one of the stack (-1000 to 1000)."""
DRAIN_S = 2.0
"""How long output is still read after the program's end, where a process beyond our reach holds it open."""
LEFTOVERS_END_S = 10.0
"""How long the node's start waits for killed processes of its earlier life to be gone."""
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container's program ended."""

    exit_code: int
    """128 + the signal's number where a signal ended it."""
    reason: str | None = None
    """``OOMKilled`` or ``PidsLimit``, where it was ended for what it took."""
    message: str = ""


def next_look_s(usage: Usage, *, memory_limit: int | None, pids_limit: int) -> float:
    """Seconds until it is looked again at a container that takes this much: near a limit ten times as often."""
    is_close = 2 * usage.tasks > pids_limit or (memory_limit is not None and 2 * usage.memory > memory_limit)
    return CLOSE_CHECK_S if is_close else CHECK_S


class ContainerProcess:
    """Runs one :class:`Launch` to its end.

    :meth:`run` blocks its thread for the container's life: bubblewrap ends its program when the *thread* that started
    it ends. :meth:`terminate` may be called from any thread, before, during and after it.
    """

    def __init__(
        self,
        launch: Launch,
        output: LogWriter,
        marker: str,
        record: Path,
        *,
        snapshots: Snapshots,
        memory_limit: int | None = None,
        pids_limit: int = PIDS_LIMIT,
    ) -> None:
        self._launch = launch
        self._output = output
        self._marker = marker
        self._record = record
        self._status_file = record.with_name("wrapper.json")
        self._snapshots = snapshots
        self._memory_limit = memory_limit
        self._pids_limit = pids_limit
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._tree: ProcessTree | None = None
        self._kill_at: float | None = None
        self._ended_for: Ended | None = None
        self._wake_read = self._wake_write = -1

    def run(self, on_started: Callable[[], None]) -> Ended:
        """Start, call ``on_started``, and wait for the end. Raises StartError when it can't be started."""
        read_end, write_end = os.pipe()
        with self._lock:
            self._wake_read, self._wake_write = os.pipe()
            os.set_blocking(self._wake_write, False)
        try:
            try:
                process, tree = self._start(write_end)
            finally:
                os.close(write_end)
            threading.Thread(target=self._wait, args=(process,), name=f"wait-{process.pid}", daemon=True).start()
            on_started()
            self._supervise(process, tree, read_end)
        except BaseException:
            # Whatever went wrong on our side: nothing runs unwatched.
            if self._tree is not None:
                self._tree.kill()
            raise
        finally:
            os.close(read_end)
            with self._lock:
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_write = -1
        self._record.unlink(missing_ok=True)
        code = process.returncode
        if self._ended_for is not None:
            return self._ended_for
        if code > 0 and self._kill_at is None and not self._was_started():
            raise StartError("its volumes could not be mounted; its log says more")
        return Ended(exit_code=128 - code if code < 0 else code)

    def terminate(self, grace_s: float) -> None:
        """Ask the container's processes to end (SIGTERM), and end them when ``grace_s`` seconds have passed."""
        with self._lock:
            kill_at = time.monotonic() + grace_s
            first = self._kill_at is None
            if self._kill_at is None or kill_at < self._kill_at:
                self._kill_at = kill_at
            if self._wake_write >= 0:
                _poke(self._wake_write)
            process = self._process
            tree = self._tree
        if first and grace_s > 0 and process is not None and tree is not None and process.returncode is None:
            self._ask_to_end(process.pid, tree)

    def _start(self, write_end: int) -> tuple[subprocess.Popen[bytes], ProcessTree]:
        argv, passed = list(self._launch.argv), contextlib.ExitStack()
        with passed, self._lock:
            if self._kill_at is not None:
                raise StartError("the pod was deleted before the container started")
            descriptors = []
            if self._launch.status_option is not None:
                status = passed.enter_context(self._status_file.open("wb"))
                descriptors.append(status.fileno())
                argv[1:1] = [self._launch.status_option, str(status.fileno())]
            try:
                process = subprocess.Popen(
                    argv,
                    pass_fds=descriptors,
                    env={**self._launch.env, MARKER: self._marker},
                    cwd=self._launch.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    start_new_session=True,
                    umask=0o022,
                )
            except (OSError, ValueError) as error:
                raise StartError(f'exec: "{self._launch.argv[0]}": {error}') from error
            _tame(process.pid)
            found = read_process(process.pid)
            started = found.started if found is not None else 0
            tree = ProcessTree(process.pid, started, self._marker, self._snapshots)
            self._process, self._tree = process, tree
        write_record(self._record, process.pid, started)
        return process, tree

    def _was_started(self) -> bool:
        """Whether the wrapper, if there is one, got as far as to start the container's program."""
        if self._launch.status_option is None:
            return True
        return b'"exit-code"' in self._status_file.read_bytes()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._lock:
            if self._wake_write >= 0:
                _poke(self._wake_write)

    def _supervise(self, process: subprocess.Popen[bytes], tree: ProcessTree, output: int) -> None:
        """Store output and mind the limits until the program has ended and all of its output is stored."""
        os.set_blocking(output, False)
        check_s = CLOSE_CHECK_S
        next_check = time.monotonic() + check_s
        all_tame = False
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while process.returncode is None:
                moment = next_check if self._kill_at is None else min(next_check, self._kill_at)
                for key, _ in selector.select(max(moment - time.monotonic(), 0.0)):
                    if key.fd == self._wake_read:
                        os.read(self._wake_read, 64)
                    elif not self._store(output):
                        selector.unregister(output)
                now = time.monotonic()
                if self._kill_at is not None and now >= self._kill_at:
                    tree.kill()
                    self._kill_at = now + 1.0
                if now >= next_check:
                    if not all_tame:
                        # Those that were started before the first one was tamed.
                        for each in tree.members():
                            _tame(each.pid)
                        all_tame = True
                    check_s = self._check_usage(tree, check_s / 2)
                    next_check = now + check_s
        if not self._launch.dies_whole:
            # What a container's program leaves behind ends with it.
            tree.kill()
        self._drain(output)

    def _check_usage(self, tree: ProcessTree, max_age_s: float) -> float:
        """End a container that takes more than it may, as seen at most ``max_age_s`` seconds ago; the seconds until the
        next look at it."""
        usage = tree.usage(max_age_s)
        limit = self._memory_limit
        if usage.tasks > self._pids_limit:
            message = (
                f"The container ran {usage.tasks} processes and threads at a time; this node allows {self._pids_limit}."
            )
            self._end_for(tree, "PidsLimit", message)
        elif limit is not None and usage.memory > limit:
            if tree.charged_memory() > limit:
                self._end_for(tree, "OOMKilled", "")
            return CHECK_S
        return next_look_s(usage, memory_limit=limit, pids_limit=self._pids_limit)

    def _end_for(self, tree: ProcessTree, reason: str, message: str) -> None:
        self._ended_for = self._ended_for or Ended(exit_code=KILLED, reason=reason, message=message)
        tree.kill()

    def _store(self, output: int) -> bool:
        """Store what can be read now; False once nothing more will come."""
        try:
            data = os.read(output, READ_SIZE)
        except BlockingIOError:
            return True
        if data:
            self._output.write(data)
        return bool(data)

    def _drain(self, output: int) -> None:
        until = time.monotonic() + DRAIN_S
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while (left_s := until - time.monotonic()) > 0:
                if selector.select(left_s) and not self._store(output):
                    return

    def _ask_to_end(self, leader: int, tree: ProcessTree) -> None:
        wrappers = self._wrappers(leader)
        inside = [process for process in tree.members() if process.pid not in wrappers]
        for process in inside:
            send(process, signal.SIGTERM)
        if not inside:
            # Nothing of the container's own runs yet.
            tree.kill()

    def _wrappers(self, leader: int) -> set[int]:
        """The processes that bubblewrap puts around the program; signalled, they would take it down at once."""
        if self._launch.wrappers == 0:
            return set()
        found, level = {leader}, {leader}
        processes = all_processes()
        for _ in range(self._launch.wrappers - 1):
            level = {process.pid for process in processes if process.parent in level}
            found |= level
        return found


def _tame(pid: int) -> None:
    """See that a container neither writes core dumps nor gets in the way of the stack; what it starts inherits it."""
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        with open(f"/proc/{pid}/oom_score_adj", "wb") as file:
            file.write(str(OOM_SCORE).encode())
        niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
        os.setpriority(os.PRIO_PROCESS, pid, max(niceness, os.getpriority(os.PRIO_PROCESS, pid)))


def _poke(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(descriptor, b".")


def write_record(path: Path, pid: int, started: int) -> None:
    """Write down which process a container is, so that a later life of the node can end it."""
    path.write_text(json.dumps({"pid": pid, "started": started}), encoding="utf-8")


def end_leftovers(records: list[Path], marker_prefixes: list[str]) -> int:
    """End processes of an earlier life of this node: those written down, their sessions, and those that carry a
    marker with one of ``marker_prefixes``. How many there were."""
    ended: set[tuple[int, int]] = set()
    until = time.monotonic() + LEFTOVERS_END_S
    while found := _leftovers(records, marker_prefixes):
        ended.update((process.pid, process.started) for process in found)
        kill(found)
        if time.monotonic() > until:
            pids = sorted(process.pid for process in found)
            log.error("processes that an earlier life of the node left running can't be ended: %s", pids)
            break
        time.sleep(ROUND_S)  # they are not our children: nothing tells when they are gone
    return len(ended)


def _leftovers(records: list[Path], marker_prefixes: list[str]) -> list[Process]:
    processes = all_processes()
    by_pid = {process.pid: process for process in processes}
    found: dict[int, Process] = {}
    for record in records:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(record.read_text(encoding="utf-8"))
            leader = by_pid.get(known["pid"])
            if leader is not None and leader.started == known["started"]:
                found.update((process.pid, process) for process in members(leader.pid, processes))
    for prefix in marker_prefixes:
        found.update((process.pid, process) for process in marked(prefix, processes))
    found.pop(os.getpid(), None)
    return list(found.values())
