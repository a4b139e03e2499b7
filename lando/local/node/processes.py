"""One container's processes: started, their output stored, watched, ended, and found again after a crash."""

from __future__ import annotations

import contextlib
import json
import logging
import os
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
from lando.local.node.sandbox import Launch, StartError

log = logging.getLogger(__name__)

MEMORY_CHECK_S = 1.0
"""How often the memory of a container with a limit is summed up."""
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
    out_of_memory: bool = False


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
        memory_limit: int | None = None,
        memory_check_s: float = MEMORY_CHECK_S,
    ) -> None:
        self._launch = launch
        self._output = output
        self._marker = marker
        self._record = record
        self._status_file = record.with_name("wrapper.json")
        self._memory_limit = memory_limit
        self._memory_check_s = memory_check_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._kill_at: float | None = None
        self._out_of_memory = False
        self._wake_read = self._wake_write = -1

    def run(self, on_started: Callable[[], None]) -> Ended:
        """Start, call ``on_started``, and wait for the end. Raises StartError when it can't be started."""
        read_end, write_end = os.pipe()
        with self._lock:
            self._wake_read, self._wake_write = os.pipe()
            os.set_blocking(self._wake_write, False)
        try:
            try:
                process = self._start(write_end)
            finally:
                os.close(write_end)
            threading.Thread(target=self._wait, args=(process,), name=f"wait-{process.pid}", daemon=True).start()
            on_started()
            self._supervise(process, read_end)
        except BaseException:
            # Whatever went wrong on our side: nothing runs unwatched.
            if self._process is not None:
                self._kill(self._process.pid)
            raise
        finally:
            os.close(read_end)
            with self._lock:
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_write = -1
        self._record.unlink(missing_ok=True)
        code = process.returncode
        if self._out_of_memory:
            return Ended(exit_code=KILLED, out_of_memory=True)
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
        if first and grace_s > 0 and process is not None and process.returncode is None:
            self._ask_to_end(process.pid)

    def _start(self, write_end: int) -> subprocess.Popen[bytes]:
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
                )
            except (OSError, ValueError) as error:
                raise StartError(f'exec: "{self._launch.argv[0]}": {error}') from error
            self._process = process
        started = read_process(process.pid)
        write_record(self._record, process.pid, started.started if started is not None else 0)
        return process

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

    def _supervise(self, process: subprocess.Popen[bytes], output: int) -> None:
        """Store output and mind the limits until the program has ended and all of its output is stored."""
        os.set_blocking(output, False)
        next_check = time.monotonic() + self._memory_check_s
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while process.returncode is None:
                wait_s = self._next_moment(next_check)
                for key, _ in selector.select(wait_s):
                    if key.fd == self._wake_read:
                        os.read(self._wake_read, 64)
                    elif not self._store(output):
                        selector.unregister(output)
                now = time.monotonic()
                if self._kill_at is not None and now >= self._kill_at:
                    self._kill(process.pid)
                    self._kill_at = now + 1.0
                if self._memory_limit is not None and now >= next_check:
                    self._check_memory(process.pid, self._memory_limit)
                    next_check = now + self._memory_check_s
        self._end_stragglers(process.pid)
        self._drain(output)

    def _next_moment(self, next_check: float) -> float | None:
        moments = [] if self._memory_limit is None else [next_check]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return max(min(moments) - time.monotonic(), 0.0) if moments else None

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

    def _ask_to_end(self, leader: int) -> None:
        inside = [process for process in members(leader, all_processes()) if process.pid not in self._wrappers(leader)]
        for process in inside:
            send(process, signal.SIGTERM)
        if not inside:
            # Nothing of the container's own runs yet.
            self._kill(leader)

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

    def _kill(self, leader: int) -> None:
        for process in members(leader, all_processes()):
            send(process, signal.SIGKILL)

    def _check_memory(self, leader: int, limit: int) -> None:
        if sum(process.memory for process in members(leader, all_processes())) > limit:
            self._out_of_memory = True
            self._kill(leader)

    def _end_stragglers(self, leader: int) -> None:
        """What a container's program leaves behind ends with it."""
        if self._launch.dies_whole:
            return
        processes = all_processes()
        for process in {*members(leader, processes), *marked(self._marker, processes)}:
            send(process, signal.SIGKILL)


def _poke(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(descriptor, b".")


def write_record(path: Path, pid: int, started: int) -> None:
    """Write down which process a container is, so that a later life of the node can end it."""
    path.write_text(json.dumps({"pid": pid, "started": started}), encoding="utf-8")


def end_leftovers(records: list[Path], marker_prefixes: list[str]) -> int:
    """End processes of an earlier life of this node: those written down, their sessions, and those that carry a
    marker with one of ``marker_prefixes``. How many there were."""
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
    for process in found.values():
        send(process, signal.SIGKILL)
    until = time.monotonic() + LEFTOVERS_END_S
    while any(_is_alive(process) for process in found.values()):
        if time.monotonic() > until:
            log.error("processes that an earlier life of the node left running can't be ended: %s", sorted(found))
            break
        time.sleep(0.01)  # they are not our children: nothing tells when they are gone
    return len(found)


def _is_alive(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.started == process.started and not now.zombie
