"""``python -m bench``: measure a stack of processes on this machine and print what came out."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from typing import Any

from bench import handoff, phases, size, throughput
from bench.site import Client, site

PACKAGES = ("lando", "pika", "kubernetes", "fastapi", "sqlalchemy")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def main() -> int:
    """Exit status 0 when all was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="jobs queued at once (default: 50)")
    parser.add_argument("--hand-offs", type=int, default=20, metavar="JOBS", help="jobs run one by one (default: 20)")
    parser.add_argument("--kept", type=int, default=10_000, metavar="JOBS", help="Jobs kept at once (default: 10000)")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    with site() as (stack, user):
        client = Client(user)
        figures["hand_off"] = handoff.measure(stack, user, client, options.hand_offs)
        figures["throughput"] = throughput.measure(stack, user, client, options.jobs)
        for daemon in ("lando", "watcher"):
            stack.kill(daemon)  # what follows is about the cluster and a view of our own
        figures["phases"] = phases.measure(handoff.settings_of(stack))
        figures["size"] = size.measure(stack, options.kept)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


def as_text(figures: dict[str, Any]) -> str:
    """The figures for a reader."""
    where, hand, through = figures["machine"], figures["hand_off"], figures["throughput"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    lines = [
        f"Python {where['python']} on {where['system']}, {where['cores']} cores; {versions}",
        "",
        f"Hand-off from a Job's Complete condition to the next step's Job ({hand['hand_offs']} of them)",
        f"  hand-off    p50 {hand['hand_off']['p50_ms']:7.1f} ms   p99 {hand['hand_off']['p99_ms']:7.1f} ms",
        f"  raw calls   p50 {hand['raw_calls']['p50_ms']:7.1f} ms   p99 {hand['raw_calls']['p99_ms']:7.1f} ms",
        f"  ratio       p50 {hand['ratio_p50']:7.2f}      p99 {hand['ratio_p99']:7.2f}",
        "",
        f"{through['jobs']} jobs queued at once: {through['jobs_per_minute']:.0f} jobs per minute",
        "",
        "Calls per job",
    ]
    for daemon, calls in through["calls_per_job"].items():
        lines += [f"  {daemon:<8} {count:6.2f}  {what}" for what, count in calls.items()]
        lines.append(f"  {daemon:<8} {sum(calls.values()):6.2f}  in all")
    lines += ["", "Memory, MiB (now, peak)"]
    lines += [f"  {name:<8} {size['now']:6.1f} {size['peak']:6.1f}" for name, size in through["memory_mib"].items()]
    lines += ["", *phases.as_text(figures["phases"])]
    kept = figures["size"]
    lines += ["", f"The embedded cluster with {size.FEW} and with {kept['jobs']} Jobs"]
    lines += [
        f"  {call:<26} {took['few_ms']:6.1f} ms {took['many_ms']:6.1f} ms   ratio {took['ratio']:.2f}"
        for call, took in kept["calls"].items()
    ]
    room, view = kept["cluster_memory_mib"], kept["view"]
    lines.append(f"  {'memory':<26} {room['few']:6.1f} MiB {room['many']:5.1f} MiB")
    lines.append(f"A watcher's view of all: {view['first_list_s']:.2f} s for the first list, {view['memory_mib']} MiB")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
