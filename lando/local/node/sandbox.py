"""How a container sees its volumes where its manifest says, without a container engine.

Bubblewrap gives each container a mount namespace of its own: a root in memory, everything of this machine bound into
it as it is, and the volumes on top. Where that is not to be had, :class:`Substitution` puts the real folders in place
of mount paths in arguments, environment, working directory and files written from ConfigMaps and Secrets.

Neither is isolation: containers run as this user, and reach what this user reaches.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from lando.errors import ConfigError, LandoError
from lando.local.node.short_paths import ShortPaths
from lando.local.node.substitution import PathSubstitution
from lando.local.node.volumes import Mount, container_path, replace_file

log = logging.getLogger(__name__)

SandboxMode = Literal["auto", "bwrap", "substitute"]
TERMINATION_LOG = "LANDO_TERMINATION_LOG"
"""The variable that tells a program where its termination message goes."""
PROBE_TIMEOUT_S = 10.0
_DEVICES = ("dri", "fuse", "infiniband", "kfd", "kvm", "shm")
"""What of ``/dev`` is bound besides the usual null, zero, random, tty and pts; and every ``nvidia*``."""


class StartError(LandoError):
    """The container's program can't be started; final for this container."""


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """What to run, in the container's own paths."""

    argv: Sequence[str]
    env: Mapping[str, str]
    working_dir: str | None
    mounts: Sequence[Mount]
    scratch: Path
    """A folder of this container alone: its working directory when it names none, and what else it needs."""
    termination_log: Path
    """The file for the termination message; exists."""
    termination_path: str
    """Where the container sees that file."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start on this machine."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    wrappers: int = 0
    """How many processes, from the started one down, only hold the container's program."""
    status_option: str | None = None
    """An option, to follow ``argv[0]``, that takes the number of a descriptor to which the wrapper writes lines of
    JSON: one with ``exit-code`` only if the container's program was started."""
    dies_whole: bool = False
    """Whether all of the container's processes end with the started one."""


class Sandbox(Protocol):
    """One way to show containers their volumes."""

    @property
    def name(self) -> str: ...

    def close(self) -> None:
        """Give up what was made outside of the node's home."""
        ...

    def prepare(self, spec: ContainerSpec) -> Launch:
        """Make ready what ``spec`` needs. Raises StartError when its program or working directory is not there."""
        ...


def choose_sandbox(mode: SandboxMode, home: Path) -> Sandbox:
    """The sandbox for ``mode``, for volumes below ``home``; ``auto`` takes bubblewrap where it works, ``bwrap`` raises
    ConfigError where not."""
    if mode == "substitute":
        log.info("mount paths are substituted, as asked for")
        return Substitution(ShortPaths(home))
    try:
        return probe_bubblewrap()
    except ConfigError as error:
        if mode == "bwrap":
            raise
        log.info("mount paths are substituted: %s", error)
        return Substitution(ShortPaths(home))


@functools.cache
def probe_bubblewrap() -> Bubblewrap:
    """A working bubblewrap, tried out once per process. Raises ConfigError saying what is in the way."""
    program = shutil.which("bwrap")
    if program is None:
        raise ConfigError("bubblewrap is not installed; install it with: apt install bubblewrap (or dnf, pacman, …)")
    failure = ""
    # A fresh /proc, which a process namespace needs, is often refused inside of containers.
    for own_processes in (True, False):
        candidate = Bubblewrap(program, own_processes=own_processes)
        tried = candidate.try_out()
        if tried is None:
            return candidate
        failure = tried
    raise ConfigError(f"bubblewrap does not work here: {failure}")


class Bubblewrap:
    """Mount namespaces by ``bwrap``; with ``own_processes`` also a process namespace, so that none outlives it."""

    def __init__(self, program: str, *, own_processes: bool) -> None:
        self._program = program
        self._own_processes = own_processes

    @property
    def name(self) -> str:
        return "bwrap"

    def close(self) -> None:
        """Nothing was made."""

    def try_out(self) -> str | None:
        """None when a program can be run this way, else what bwrap says."""
        # No environment: the program found is this machine's own.
        argv = [self._program, *self._arguments([], "/"), "--", "/bin/sh", "-c", "exit 0"]
        try:
            tried = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if tried.returncode == 0:
            return None
        return tried.stderr.decode("utf-8", "replace").strip() or f"it ended with {tried.returncode}"

    def prepare(self, spec: ContainerSpec) -> Launch:
        termination = Mount(path=container_path(spec.termination_path), source=spec.termination_log)
        mounts = sorted([*spec.mounts, termination], key=lambda mount: mount.path.count("/"))
        if any(mount.path == "/" for mount in mounts):
            raise StartError("a volume can't be mounted on /")
        mounts = [_canonical(mount) for mount in mounts]
        _make_nested_mount_points(mounts)
        working_dir = container_path(spec.working_dir) if spec.working_dir else str(spec.scratch)
        extra = []
        if not os.path.isdir(place := seen_at(working_dir, mounts)):
            if _covering(working_dir, mounts) is not None:
                _make_working_dir(place, working_dir)
            elif place.parents[-2:-1] and os.path.exists(place.parents[-2]):
                raise StartError(f"the working directory {working_dir} does not exist on this machine")
            else:
                extra = ["--dir", working_dir]
        env = {**spec.env, TERMINATION_LOG: spec.termination_path}
        check_program(spec.argv, env, working_dir, functools.partial(seen_at, mounts=mounts))
        arguments = [*self._arguments(mounts, working_dir, extra), "--", *spec.argv]
        return Launch(
            argv=[self._program, *arguments],
            env=env,
            cwd="/",
            wrappers=2 if self._own_processes else 1,
            status_option="--json-status-fd",
            dies_whole=self._own_processes,
        )

    def _arguments(self, mounts: Sequence[Mount], working_dir: str, extra: Sequence[str] = ()) -> list[str]:
        skipped = {"dev", "proc"} if self._own_processes else {"dev"}
        arguments = ["--die-with-parent", *_mirror(Path("/"), skipped=skipped), *_devices()]
        if self._own_processes:
            arguments += ["--unshare-pid", "--proc", "/proc"]
        for folder in _folders_to_mirror(mounts):
            arguments += _mirror(folder)
        for mount in mounts:
            arguments += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.path]
        return [*arguments, *extra, "--chdir", working_dir]


def _mirror(folder: Path, skipped: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """A folder in memory with everything of ``folder`` bound into it: new mount points can be made there."""
    arguments = ["--tmpfs", str(folder)]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in skipped:
            continue
        if entry.is_symlink():
            arguments += ["--symlink", os.readlink(entry.path), entry.path]
        else:
            arguments += ["--dev-bind-try", entry.path, entry.path]
    return arguments


def _devices() -> list[str]:
    arguments = ["--dev", "/dev"]
    for entry in sorted(os.listdir("/dev")):
        if entry in _DEVICES or entry.startswith("nvidia"):
            arguments += ["--dev-bind-try", f"/dev/{entry}", f"/dev/{entry}"]
    return arguments


def _canonical(mount: Mount) -> Mount:
    """``mount`` at the place that its path leads to once symbolic links of this machine are followed."""
    path = os.path.realpath(mount.path)
    return Mount(path=path, source=mount.source, read_only=mount.read_only, written_out=mount.written_out)


def _folders_to_mirror(mounts: Sequence[Mount]) -> list[Path]:
    """Folders of this machine below which a mount point is missing: bwrap would make it in the real folder."""
    found = set()
    for mount in mounts:
        path = Path(mount.path)
        if os.path.exists(path) or _covering(str(path.parent), mounts) is not None or path.is_relative_to("/dev"):
            continue
        existing = next(parent for parent in path.parents if os.path.exists(parent))
        if existing != Path("/"):
            found.add(existing)
    return sorted(found)


def _make_nested_mount_points(mounts: Sequence[Mount]) -> None:
    """Make the place of each mount that lies inside of another one's volume, as container runtimes do."""
    for mount in mounts:
        others = [other for other in mounts if other.path != mount.path]
        if _covering(mount.path, others) is None:
            continue
        place = seen_at(mount.path, others)
        if os.path.exists(place):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if mount.source.is_dir():
            place.mkdir()
        else:
            place.touch()


def _covering(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The innermost mount that ``path`` lies on."""
    fitting = [mount for mount in mounts if path == mount.path or path.startswith(f"{mount.path}/")]
    return max(fitting, key=lambda mount: len(mount.path), default=None)


def seen_at(path: str, mounts: Sequence[Mount]) -> Path:
    """The place on this machine of what a container sees at ``path``."""
    mount = _covering(path, mounts)
    if mount is None:
        return Path(path)
    return mount.source / path[len(mount.path) :].lstrip("/")


class Substitution:
    """No mounts: the real folders are named instead. A read-only claim is protected by nothing but good manners."""

    def __init__(self, short: ShortPaths) -> None:
        self._short = short

    @property
    def name(self) -> str:
        return "substitute"

    def close(self) -> None:
        """Remove the second name of the home, if it has one."""
        self._short.remove()

    def prepare(self, spec: ContainerSpec) -> Launch:
        folders = {mount.path: str(self._short.of(mount.source)) for mount in spec.mounts}
        termination_log = str(self._short.of(spec.termination_log))
        folders[container_path(spec.termination_path)] = termination_log
        scratch = self._short.of(spec.scratch)
        copies = {}
        for at, mount in enumerate(spec.mounts):
            if mount.written_out:
                copies[mount.path] = scratch.parent / "mounts" / str(at)
                folders[mount.path] = str(copies[mount.path])
        paths = PathSubstitution(folders)
        for mount in spec.mounts:
            if mount.written_out:
                _copy_rewritten(mount.source, copies[mount.path], paths)
        env = {name: paths.text(value) for name, value in spec.env.items()}
        env[TERMINATION_LOG] = termination_log
        argv = [paths.text(word) for word in spec.argv]
        cwd = str(scratch)
        if spec.working_dir:
            asked = container_path(spec.working_dir)
            cwd = paths.text(asked)
            if cwd != asked:
                _make_working_dir(Path(cwd), asked)
        if not os.path.isdir(cwd):
            raise StartError(f"the working directory {spec.working_dir} does not exist on this machine")
        check_program(argv, env, cwd, Path)
        return Launch(argv=argv, env=env, cwd=cwd)


def _copy_rewritten(source: Path, target: Path, paths: PathSubstitution) -> None:
    """Copy files written from objects of the cluster, their texts with the real folders in place."""
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, paths.content(source.name, source.read_bytes()), source.stat().st_mode)
        return
    target.mkdir(parents=True)
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            replace_file(copy, paths.content(file.name, file.read_bytes()), file.stat().st_mode)


def _make_working_dir(place: Path, asked: str) -> None:
    """Container runtimes make a working directory that is missing; so do we, on volumes."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"the working directory {asked} can't be made: {error.strerror}") from error


class _ToHost(Protocol):
    def __call__(self, path: str, /) -> Path: ...


def check_program(argv: Sequence[str], env: Mapping[str, str], working_dir: str, to_host: _ToHost) -> None:
    """StartError when ``argv[0]`` is nothing that could be started, in the words of container runtimes.

    A folder of the PATH that this user may not look into holds no program for it.
    """
    program = argv[0]
    if "/" in program:
        place = to_host(os.path.join(working_dir, program))
        if not os.path.exists(place):
            raise StartError(f'exec: "{program}": stat {program}: no such file or directory')
        if os.path.isdir(place) or not os.access(place, os.X_OK):
            raise StartError(f'exec: "{program}": permission denied')
        return
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        place = to_host(os.path.join(working_dir, folder, program))
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return
    raise StartError(f'exec: "{program}": executable file not found in $PATH')
