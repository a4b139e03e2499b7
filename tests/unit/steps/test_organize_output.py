"""The program organize_output, from its command file to docs/."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from lando.steps.organize_output import USAGE, _work
from lando.steps.program import run_program
from tests.services.step_surroundings import Termination


class Volumes:
    """Both volumes after a workflow has run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "output-data/results"
        self.docs = self.results / "docs"
        self.workflow = root / "job-data/workflow/flow.cwl"
        self.usage = root / "output-data/job-42-ada-resource-usage.json"
        self.results.mkdir(parents=True)
        self.workflow.parent.mkdir(parents=True)
        self.workflow.write_text("class: Workflow\ndoc: Aligns reads.\ninputs: []\noutputs: []\nsteps: []\n")
        (root / "job-data/job-order.json").write_text('{"threads": 4}')
        (self.results / "a.bam").write_bytes(bytes(1020))
        self.write_outputs({"bam": {"class": "File", "path": str(self.results / "a.bam"), "size": 1020}})
        (root / "output-data/bespin-workflow-output.log").write_text("INFO done\n")
        usage = {
            "start_time": "2026-03-04T10:00:00+00:00",
            "finish_time": "2026-03-04T10:00:30+00:00",
            "warnings": ["w x"],
        }
        self.usage.write_text(json.dumps(usage))
        self.command: dict[str, Any] = {
            "bespin_job_id": 42,
            "destination_dir": str(self.results),
            "downloaded_workflow_path": str(self.workflow),
            "workflow_to_read": str(self.workflow),
            "workflow_type": "packed",
            "job_order_path": str(root / "job-data/job-order.json"),
            "bespin_workflow_stdout_path": str(root / "output-data/bespin-workflow-output.json"),
            "bespin_workflow_stderr_path": str(root / "output-data/bespin-workflow-output.log"),
            "methods_template": "# Methods",
            "additional_log_files": [str(self.usage)],
        }

    def write_outputs(self, outputs: Any) -> None:
        (self.root / "output-data/bespin-workflow-output.json").write_text(json.dumps(outputs))

    def organize(self) -> int:
        path = self.root / "organizeoutput.json"
        path.write_text(json.dumps(self.command))
        return run_program("organize_output", USAGE, _work, [str(path)])

    def job_data(self) -> Any:
        return json.loads((self.docs / "logs/job-data.json").read_text())


@pytest.fixture
def volumes(tmp_path: Path, termination: Termination) -> Volumes:
    return Volumes(tmp_path)


def test_everything_has_its_place(volumes: Volumes) -> None:
    assert volumes.organize() == 0
    assert sorted(
        path.relative_to(volumes.results).as_posix() for path in volumes.results.rglob("*") if path.is_file()
    ) == [
        "a.bam",
        "docs/README.html",
        "docs/README.md",
        "docs/logs/bespin-workflow-output.json",
        "docs/logs/bespin-workflow-output.log",
        "docs/logs/job-42-ada-resource-usage.json",
        "docs/logs/job-data.json",
        "docs/scripts/flow.cwl",
        "docs/scripts/job-order.json",
    ]
    assert "Aligns reads." in (volumes.docs / "README.md").read_text()
    assert "<h1>Summary</h1>" in (volumes.docs / "README.html").read_text()


def test_times_and_warnings_come_from_the_usage_report(volumes: Volumes) -> None:
    assert volumes.organize() == 0
    assert volumes.job_data() == {
        "id": 42,
        "started": "2026-03-04T10:00:00+00:00",
        "finished": "2026-03-04T10:00:30+00:00",
        "run_time": "0.5 minutes",
        "num_output_files": 1,
        "total_file_size_str": "1.02 KB",
    }
    assert "- w x" in (volumes.docs / "README.md").read_text()


def test_times_of_the_command_file_come_first(volumes: Volumes) -> None:
    volumes.command |= {
        "bespin_workflow_started": "2026-03-04T10:00:00Z",
        "bespin_workflow_finished": "2026-03-04T11:30:00Z",
    }
    assert volumes.organize() == 0
    assert volumes.job_data()["run_time"] == "90.0 minutes"


def test_organizing_again_writes_the_report_anew_and_leaves_outputs_alone(volumes: Volumes) -> None:
    assert volumes.organize() == 0
    readme = (volumes.docs / "README.md").read_text()
    (volumes.docs / "README.md").write_text(readme[:20])
    (volumes.docs / "scripts/flow.cwl").unlink()
    assert volumes.organize() == 0
    assert (volumes.docs / "README.md").read_text() == readme
    assert (volumes.docs / "scripts/flow.cwl").exists()
    assert (volumes.results / "a.bam").stat().st_size == 1020


def test_a_zipped_workflow_becomes_a_folder_of_its_archives_name(volumes: Volumes) -> None:
    archive = volumes.workflow.with_name("flow.zip")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("flow-1/main.cwl", volumes.workflow.read_text())
    main = volumes.workflow.parent / "flow-1/main.cwl"
    main.parent.mkdir()
    main.write_text(volumes.workflow.read_text())
    volumes.command |= {
        "workflow_type": "zipped",
        "downloaded_workflow_path": str(archive),
        "workflow_to_read": str(main),
    }
    assert volumes.organize() == 0
    assert (volumes.docs / "scripts/flow.zip/flow-1/main.cwl").is_file()


def test_a_zipped_workflow_may_name_one_process_of_its_file(volumes: Volumes) -> None:
    volumes.workflow.write_text("$graph: [{id: count, class: Workflow, doc: Counts words.}]")
    volumes.command |= {"workflow_to_read": f"{volumes.workflow}#count"}
    assert volumes.organize() == 0
    assert "**Job:** Counts words." in (volumes.docs / "README.md").read_text()


def test_a_missing_additional_log_is_a_warning(volumes: Volumes, capsys: pytest.CaptureFixture[str]) -> None:
    volumes.usage.unlink()
    assert volumes.organize() == 0
    assert "warning: the log file job-42-ada-resource-usage.json is not there" in capsys.readouterr().out
    assert volumes.job_data()["run_time"] == "0 minutes"


def test_a_usage_report_that_is_no_json_does_no_harm(volumes: Volumes) -> None:
    volumes.usage.write_text("half a rep")
    assert volumes.organize() == 0
    assert volumes.job_data()["started"] == ""


def test_methods_are_written_only_behind_their_switch(volumes: Volumes) -> None:
    assert volumes.organize() == 0
    assert not (volumes.docs / "methods.md").exists()
    volumes.command["write_methods"] = True
    assert volumes.organize() == 0
    assert (volumes.docs / "methods.md").read_text() == "# Methods"


@pytest.mark.parametrize("outputs", [{}, None, {"n": 1, "s": "x", "b": None, "l": ["a", 2]}])
def test_outputs_that_are_no_files_do_not_count(volumes: Volumes, outputs: Any) -> None:
    volumes.write_outputs(outputs)
    assert volumes.organize() == 0
    assert (volumes.job_data()["num_output_files"], volumes.job_data()["total_file_size_str"]) == (0, "0 bytes")


def test_an_output_called_docs_that_is_a_link_is_not_followed(volumes: Volumes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("x")
    volumes.docs.symlink_to(outside)
    assert volumes.organize() == 0
    assert [path.name for path in outside.iterdir()] == ["keep"]
    assert not volumes.docs.is_symlink()


@pytest.mark.parametrize("name", ["docs/index.html", "docs/logs/sample 1.log", "docs/README.md", "docs"])
def test_an_output_below_docs_is_kept_however_often_the_step_runs(volumes: Volumes, name: str) -> None:
    output = volumes.results / name
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("the workflow's own")
    volumes.write_outputs({"page": {"class": "File", "path": str(output), "size": 18}})
    for _ in range(2):
        assert volumes.organize() == 0
        assert (volumes.docs / "README.md").read_text().startswith("# Summary")
        assert "the workflow's own" in [path.read_text() for path in volumes.results.rglob("*") if path.is_file()]


def test_an_output_that_made_room_for_the_report_is_told(volumes: Volumes) -> None:
    volumes.docs.mkdir()
    (volumes.docs / "README.md").write_text("the workflow's own")
    volumes.write_outputs({"page": {"class": "File", "path": str(volumes.docs / "README.md"), "size": 18}})
    assert volumes.organize() == 0
    assert (volumes.docs / "README.workflow.md").read_text() == "the workflow's own"
    assert "it is docs/README.workflow.md now" in (volumes.docs / "README.md").read_text()


def test_no_output_is_lost_to_another_that_makes_room(volumes: Volumes) -> None:
    volumes.docs.mkdir()
    outputs = {}
    for name in ("README.md", "README.workflow.md"):
        (volumes.docs / name).write_text(f"the workflow's {name}")
        outputs[name] = {"class": "File", "path": str(volumes.docs / name), "size": 18}
    volumes.write_outputs(outputs)
    for _ in range(2):
        assert volumes.organize() == 0
    assert (volumes.docs / "README.workflow.md").read_text() == "the workflow's README.workflow.md"
    assert (volumes.docs / "README.workflow.workflow.md").read_text() == "the workflow's README.md"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"workflow_type": "odd"}, "workflow_type 'odd' is neither packed nor zipped"),
        ({"bespin_job_id": "x"}, "'bespin_job_id' has the wrong type (str)"),
        ({"job_order_path": "/nowhere/order.json"}, "/nowhere/order.json is missing"),
        ({"workflow_to_read": "/nowhere/flow.cwl"}, "/nowhere/flow.cwl does not exist"),
    ],
)
def test_a_wrong_command_is_named(
    volumes: Volumes, change: dict[str, Any], sentence: str, termination: Termination
) -> None:
    volumes.command |= change
    assert volumes.organize() == 1
    assert sentence in termination.cause()["sentence"]
