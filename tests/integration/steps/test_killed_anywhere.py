"""A step's program that is killed at any of its writes: the next attempt ends as if nothing had been."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.steps.killing import Killer

LONG = "0123456789" * 2000
"""More than the interpreter keeps back before it writes."""
POINTS_LEAST = 12
POINTS_MOST = 1000
TIMED = re.compile(r'"(start_time|finish_time|elapsed_\w+)": [^,}]+')


@dataclass(frozen=True)
class Step:
    """One program on its volumes."""

    program: str
    argv: list[str]
    atomic: tuple[str, ...] = ()
    """Folders below the volumes in which a file is whole whenever it is there."""


def _json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tools/sort.cwl", LONG)
        archive.writestr("flow.cwl", "class: Workflow\ndoc: Sorts.\ninputs: []\noutputs: []\nsteps: []\n")
    return path


def stage_data(volumes: Path, site: Path) -> Step:
    def fetched(name: str) -> dict[str, str]:
        return {"type": "url", "source": (site / name).as_uri(), "dest": str(volumes / "job-data" / name)}

    _file(site / "reads.fq", LONG)
    _zip(site / "flow.zip")
    items = [
        {**fetched("flow.zip"), "unzip_to": str(volumes / "job-data/workflow")},
        {"type": "write", "source": LONG[1:], "dest": str(volumes / "job-data/job-order.json")},
        fetched("reads.fq"),
    ]
    command = _json(site / "stagedata.json", {"items": items, "policy": {"file_roots": [str(site)]}})
    return Step("stage_data", [str(command), str(volumes / "job-data/inputs.json")], atomic=("job-data",))


def run_workflow(volumes: Path, site: Path) -> Step:
    flow = {"cwlVersion": "v1.2", "class": "Workflow", "inputs": {}, "outputs": {}, "steps": {}}
    _file(volumes / "output-data/results/left/by/nobody.txt", "of a workflow before")
    return Step(
        "run_workflow",
        [
            *("--outdir", f"{volumes}/output-data/results/", "--usage-report", f"{volumes}/output-data/usage.json"),
            *("--stdout", f"{volumes}/output-data/out.json", "--stderr", f"{volumes}/output-data/out.log"),
            *(str(_json(site / "flow.cwl", flow)), str(_json(site / "job-order.json", {}))),
        ],
    )


def organize_output(volumes: Path, site: Path) -> Step:
    results = volumes / "output-data/results"
    outputs = {
        name: {"class": "File", "path": str(_file(results / path, LONG)), "size": len(LONG)}
        for name, path in (("bam", "a.bam"), ("readme", "docs/README.md"), ("log", "docs/logs"))
    }
    command = {
        "bespin_job_id": 42,
        "destination_dir": str(results),
        "downloaded_workflow_path": str(_zip(site / "flow.zip")),
        "workflow_to_read": str(_json(site / "flow.cwl", {"class": "Workflow", "doc": "Sorts."})),
        "workflow_type": "zipped",
        "job_order_path": str(_json(site / "job-order.json", {"threads": 4})),
        "bespin_workflow_stdout_path": str(_json(site / "out.json", outputs)),
        "bespin_workflow_stderr_path": str(_file(site / "out.log", LONG)),
        "write_methods": True,
        "methods_template": "# Methods",
        "additional_log_files": [],
    }
    return Step("organize_output", [str(_json(site / "organizeoutput.json", command))])


def save_output(volumes: Path, site: Path) -> Step:
    results = site / "results"
    for name in ("docs/README.md", "a.bam", "b.bam"):
        _file(results / name, LONG + name)
    # An earlier attempt saved another workflow's outputs, one of them by the same name, and was killed at the last.
    _file(volumes / "store/42/results/a.bam", "of another size")
    _file(volumes / "store/42/results/gone.bam", LONG)
    _file(volumes / "store/42/results" / f".lando-part-{hashlib.sha256(b'late.bam').hexdigest()[:16]}", "half")
    _json(
        volumes / "store/42/activity.json",
        {"project": "Sorting", "files": ["results/a.bam", "results/gone.bam", "results/late.bam"], "complete": False},
    )
    command = {
        "destination": "Sorting",
        "readme_file_path": "results/docs/README.md",
        "paths": [str(results)],
        "share": {"dds_user_ids": ["ada"]},
        "activity": {"started_on": "2026-03-04T10:00:00Z", "ended_on": "2026-03-04T11:00:00Z"},
        "store": {"url": (volumes / "store").as_uri(), "project": "42"},
    }
    return Step("save_output", [str(_json(site / "saveoutput.json", command)), str(volumes / "annotate.sh")])


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    with Killer(tmp_path / "steps.log") as running:
        yield running


def tree(folder: Path) -> dict[str, str]:
    """Everything below ``folder``: files with mode and content, links with where they lead, folders."""

    def content(path: Path) -> str:
        if path.is_symlink():
            return f"-> {path.readlink()}"
        if path.is_dir():
            return "folder"
        text = path.read_bytes().decode("latin-1")
        return f"{path.stat().st_mode:o} {TIMED.sub('', text) if path.name == 'usage.json' else text}"

    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("made", [stage_data, run_workflow, organize_output, save_output], ids=lambda it: it.__name__)
def test_the_next_attempt_ends_as_if_nothing_had_been(
    made: Callable[[Path, Path], Step], killer: Killer, tmp_path: Path
) -> None:
    volumes, site, before = tmp_path / "volumes", tmp_path / "site", tmp_path / "before"
    volumes.mkdir()
    site.mkdir()
    step = made(volumes, site)
    shutil.copytree(volumes, before, symlinks=True)

    def anew() -> None:
        shutil.rmtree(volumes)
        shutil.copytree(before, volumes, symlinks=True)

    assert killer.run(step.program, step.argv)
    whole = tree(volumes)
    assert not [path for path in whole if ".lando-part" in path]
    seen: list[dict[str, str]] = []
    for point in range(1, POINTS_MOST):
        anew()
        if killer.run(step.program, step.argv, die_at=point):
            break
        broken = tree(volumes)
        if broken in seen:
            continue
        seen.append(broken)
        halves = [path for path in broken if path.startswith(step.atomic) and ".lando-part" not in path]
        assert not step.atomic or {path: broken[path] for path in halves}.items() <= whole.items()
        assert killer.run(step.program, step.argv)
        assert tree(volumes) == whole, f"killed at point {point}"
    else:
        pytest.fail("it never came to its end")
    assert len(seen) >= POINTS_LEAST
