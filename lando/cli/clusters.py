"""``lando cluster``: the embedded cluster alone, for kubectl and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lando import home as homes
from lando import logs
from lando.cli import FAILED
from lando.errors import ConfigError, LandoError
from lando.stopping import told_to_stop

if TYPE_CHECKING:
    from lando.local.node.sandbox import SandboxMode
    from lando.local.presence import Presence

START_TIMEOUT_S = 30.0
COUNT_TIMEOUT_S = 10.0
_POLL_S = 0.05


def up(
    home: Path | None,
    port: int,
    namespace: str,
    sandbox: SandboxMode,
    users: Sequence[str],
    *,
    ephemeral: bool,
    detach: bool,
) -> None:
    """Run the cluster until a signal, or leave it running as a process of its own."""
    from lando.local.cluster import LocalCluster
    from lando.local.credentials import parse_users
    from lando.local.presence import find

    place = homes.find(home)
    place.prepare()
    parsed = parse_users(users)
    if detach:
        arguments = ["--port", str(port), "--namespace", namespace, "--sandbox", sandbox]
        arguments += [part for user in users for part in ("--user", user)]
        arguments += ["--ephemeral"] if ephemeral else []
        _say(_started(place, arguments))
        return
    logs.configure(level="INFO", stream=sys.stderr)
    cluster = LocalCluster(
        place.cluster, namespace=namespace, port=port, sandbox=sandbox, users=parsed, ephemeral=ephemeral
    )
    with told_to_stop() as stop, cluster:
        presence = find(place.cluster)
        if presence is None:
            raise LandoError(f"The cluster's folder {place.cluster} was changed while it started; start it again.")
        _say(presence)
        stop.wait()


def down(home: Path | None, timeout_s: float) -> None:
    """Stop the cluster and wait until it has; nothing to do when none runs."""
    from lando.local.presence import end, find

    place = homes.find(home)
    presence = find(place.cluster)
    if presence is None:
        typer.echo("No cluster runs.")
        return
    client = place.read_client()
    if client is not None and client.pid == presence.pid:
        raise ConfigError(f"The cluster is a part of `lando up` (process {presence.pid}): stop that, with Ctrl-C.")
    end(place.cluster, presence, timeout_s)
    typer.echo("The cluster has stopped.")


def status(home: Path | None, *, as_json: bool) -> int:
    """Say whether a cluster runs, where, and what is in it. Exit code 1 when none runs."""
    from lando.local.presence import find

    place = homes.find(home)
    presence = find(place.cluster)
    if presence is None:
        typer.echo(json.dumps({"running": False, "home": str(place.cluster)}) if as_json else "No cluster runs.")
        return FAILED
    report = _report(presence, place)
    typer.echo(json.dumps(report) if as_json else "\n".join(_lines(report)))
    return 0


def _report(presence: Presence, place: homes.Home) -> dict[str, Any]:
    import requests

    from lando.errors import Unavailable
    from lando.local.rules.kinds import KINDS

    counts: dict[str, int] = {}
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor other credentials stand between this machine and itself
        session.verify = str(place.cluster / "ca.crt")

        def get(path: str) -> dict[str, Any]:
            answer = session.get(presence.url + path, timeout=COUNT_TIMEOUT_S)
            answer.raise_for_status()
            return dict(answer.json())

        try:
            session.headers["Authorization"] = f"Bearer {(place.cluster / 'token').read_text().strip()}"
            version = str(get("/version")["gitVersion"])
            for kind in KINDS:
                group = f"apis/{kind.group}" if kind.group else "api"
                page = get(f"/{group}/{kind.version}/{kind.resource}?limit=1")
                counts[kind.resource] = len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))
        except (OSError, ValueError, KeyError) as error:  # errors of requests are OSErrors
            words = f"does not answer ({type(error).__name__})"
            raise Unavailable(f"cluster at {presence.url}", words) from error
    return {
        "running": True,
        "pid": presence.pid,
        "url": presence.url,
        "version": version,
        "home": str(place.cluster),
        "namespace": presence.namespace,
        "kubeconfig": presence.kubeconfig,
        "mounts": presence.mounts,
        "ephemeral": presence.ephemeral,
        "users": dict(presence.users),
        "objects": counts,
    }


def _lines(report: dict[str, Any]) -> list[str]:
    how = {"bwrap": "volumes mounted by bubblewrap", "substitute": "mount paths substituted"}[report["mounts"]]
    kept = "forgotten when it stops" if report["ephemeral"] else f"kept in {report['home']}"
    lines = [
        f"The cluster is up at {report['url']} (process {report['pid']}).",
        f"version     {report['version']}",
        f"namespace   {report['namespace']}",
        f"kubeconfig  {report['kubeconfig']}",
        f"pods        local processes, {how}",
        f"state       {kept}",
    ]
    for name, namespaces in sorted(report["users"].items()):
        lines.append(f"user        {name}: {'everything' if namespaces is None else ', '.join(namespaces)}")
    present = [f"{count} {resource}" for resource, count in report["objects"].items() if count]
    return [*lines, f"objects     {', '.join(present)}"]


def _say(presence: Presence) -> None:
    typer.echo(f"The cluster is up at {presence.url}; use it with: export KUBECONFIG={presence.kubeconfig}")
    for name, namespaces in sorted(presence.users.items()):
        where = "in all namespaces" if namespaces is None else f"in {', '.join(namespaces)}"
        file = Path(presence.kubeconfig).parent / "users" / name / "kubeconfig"
        typer.echo(f"As {name} ({where}): export KUBECONFIG={file}")


def _started(place: homes.Home, arguments: Sequence[str]) -> Presence:
    """The cluster as a process of its own, once it answers. Raises ConfigError with its last words when it ends."""
    from lando.local.presence import find

    log = place.path / "cluster.log"
    command = [sys.executable, "-m", "lando.local", "--home", str(place.cluster), *arguments]
    with log.open("ab") as stream:
        log.chmod(0o600)
        begun_at = stream.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
        )
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        presence = find(place.cluster)
        if presence is not None and presence.pid == process.pid:
            return presence
        time.sleep(_POLL_S)
    if process.poll() is None:
        process.terminate()
        raise LandoError(f"The cluster did not start within {START_TIMEOUT_S:g} s; {log} says more.")
    said = log.read_bytes()[begun_at:].decode(errors="replace").strip().splitlines()
    raise ConfigError(said[-1] if said else f"The cluster ended at once; {log} says more.")
