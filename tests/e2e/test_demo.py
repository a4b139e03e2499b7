"""``lando demo`` on a machine where nothing runs: one command, from raw reads to saved results."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any


def test_the_demo_shows_every_step_and_saves_the_results(lando: Any) -> None:
    done = lando("demo")

    assert done.returncode == 0, done.stderr + done.stdout
    lines = done.stdout.splitlines()
    ends = ("stage data: Complete", "run workflow: Complete", "organize output: Complete", "save output: Complete")
    places = [next(number for number, line in enumerate(lines) if line.startswith(end)) for end in ends]
    assert places == sorted(places)
    assert lines.index("run 1: Finished") > places[-1]
    assert "# Summary" in lines
    assert lines[-1].startswith("results: ")

    results = Path(lines[-1].removeprefix("results: ")) / "results"
    assert results.is_relative_to(lando.home)
    numbers = json.loads((results / "summary.json").read_text())
    assert len(numbers["files"] if isinstance(numbers, dict) else numbers) == 4
    assert (results / "summary.tsv").read_text().count("lambda_") == 4
    assert "<svg" in (results / "quality.svg").read_text()
    for name in ("README.md", "README.html", "scripts/workflow.cwl", "scripts/job-order.json", "logs/job-data.json"):
        assert list(results.glob(f"docs/{name}")) or list(results.glob(f"docs/{Path(name).parent}/*")), name
    assert stat.S_IMODE((lando.home / "client.json").stat().st_mode) == 0o600


def test_the_demo_uses_a_stack_that_is_up(stack: Any) -> None:
    done = stack("demo")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("using the Lando that is up at http://127.0.0.1:")


def test_half_of_an_own_workflow_is_refused(lando: Any) -> None:
    done = lando("demo", "--workflow", "x.cwl")
    assert done.returncode == 2
    assert done.stderr == "lando: Give --workflow and --job-order together, or neither for the example.\n"
