"""Many jobs at once: how many end in a minute, what they cost in calls, what the daemons take in memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.services.stack import Stack
from tests.services.user import User

from bench.site import Client

_CALLS = re.compile(r"^lando_api_calls_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def measure(stack: Stack, user: User, client: Client, jobs: int) -> dict[str, Any]:
    """Queue ``jobs`` at once and wait until each is finished."""
    before = {name: calls(stack, name) for name in ("lando", "watcher")}
    made = [client.create_job() for _ in range(jobs)]
    began = time.perf_counter()
    for job in made:
        client.start(job)
    for job in made:
        user.wait(job, lambda document: document["state"] == "F", timeout_s=600)
    took = time.perf_counter() - began
    return {
        "jobs": jobs,
        "jobs_per_minute": jobs / took * 60,
        "calls_per_job": {
            name: {what: round(count / jobs, 2) for what, count in sorted((calls(stack, name) - before[name]).items())}
            for name in before
        },
        "memory_mib": {name: memory(stack.pid(name)) for name in ("server", "lando", "watcher", "cluster")},
    }


def calls(stack: Stack, daemon: str) -> Counter[str]:
    """Requests a daemon has made so far, by peer, verb and resource."""
    counts: Counter[str] = Counter()
    for found in _CALLS.finditer(stack.metrics(daemon)):
        names = dict(_LABEL.findall(found["labels"]))
        counts[f"{names['peer']} {names['verb']} {names['resource']}"] += int(float(found["count"]))
    return counts


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at its highest, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {"now": round(int(kib["VmRSS"]) / 1024, 1), "peak": round(int(kib["VmHWM"]) / 1024, 1)}
