"""What a container is started with, by its manifest, and what it leaves as its last words."""

from __future__ import annotations

from pathlib import Path

from lando.local.node.container_logs import read_log
from lando.local.node.environment import Lookups, command_line, resolve_environment
from lando.local.node.images import Image, base_environment
from lando.local.node.pod_folder import PodFolder
from lando.local.node.processes import Ended
from lando.local.node.sandbox import ContainerSpec
from lando.local.node.volumes import Volume, resolve_mounts
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import Manifest

MESSAGE_LIMIT = 4096
FALLBACK_BYTES = 2048
FALLBACK_LINES = 80
TERMINATION_FILE = "termination-log"


def container_spec(
    pod: Manifest, container: Manifest, folder: PodFolder, lookups: Lookups, volumes: dict[str, Volume], image: Image
) -> ContainerSpec:
    """The container with everything filled in; ContainerConfigError where something that it refers to is not there."""
    name = container["name"]
    given = resolve_environment(container, pod, lookups)
    env = {**base_environment(image, pod["spec"].get("hostname") or pod["metadata"]["name"]), **given}
    scratch = folder.work(name)
    scratch.mkdir(parents=True, exist_ok=True)
    termination_log = folder.container(name) / TERMINATION_FILE
    termination_log.write_bytes(b"")
    return ContainerSpec(
        argv=command_line(container, image.command, given),
        env=env,
        working_dir=container.get("workingDir"),
        mounts=resolve_mounts(container, volumes, given),
        scratch=scratch,
        termination_log=termination_log,
        termination_path=container.get("terminationMessagePath") or "/dev/termination-log",
    )


def termination_message(container: Manifest, spec: ContainerSpec, ended: Ended, written: Path) -> str:
    """What the container left of why it ended, from its log where its policy says so; ``written`` is that log."""
    with spec.termination_log.open("rb") as file:
        file.seek(max(spec.termination_log.stat().st_size - MESSAGE_LIMIT, 0))
        message = file.read(MESSAGE_LIMIT)
    if ended.message:
        return ended.message
    fall_back = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if not message and fall_back and ended.exit_code != 0:
        message = b"".join(read_log(written, tail_lines=FALLBACK_LINES))[-FALLBACK_BYTES:]
    return message.decode("utf-8", "replace")


def memory_limit(container: Manifest) -> int | None:
    """The container's memory limit in bytes, if it has one."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if limit is None else int(parse_quantity(str(limit)))
