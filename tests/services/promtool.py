"""promtool: Prometheus' own judge of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.providing import missing


def promtool(*arguments: str | Path, text: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; skips the test, or fails it, where there is none."""
    program = shutil.which("promtool") or missing("promtool", "apt-get install prometheus")
    done = subprocess.run([program, *map(str, arguments)], input=text, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
