"""Runs that fail, are canceled and restarted, as a person at the command line sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
FAILING = EXAMPLES / "failing"
SLEEP = EXAMPLES / "sleep"


def step_state(run: dict[str, Any], name: str) -> str:
    return next(str(step["state"]) for step in run["steps"] if step["name"] == name)


def order(folder: Path, text: str) -> Path:
    path = folder / "order.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_tool_that_exits_3_is_told_with_its_name_code_and_last_words(stack: Any) -> None:
    done = stack("submit", FAILING / "workflow.cwl", FAILING / "job-order.yaml", "--wait")
    assert done.returncode == 1
    [why] = [line for line in done.stdout.splitlines() if line.startswith("why: ")]
    assert "check exited with 3" in why
    assert "expected a FASTQ header" in why

    run_id = int(done.stdout.split()[1])
    shown = stack("status", run_id)
    assert shown.returncode == 0
    assert why in shown.stdout
    assert "✘ run workflow" in shown.stdout
    assert "expected a FASTQ header" in stack("logs", run_id, "--step", "run_workflow").stdout
    assert stack("outputs", run_id).stdout.startswith(f"run {run_id} has no results; ")

    explained = stack("explain", run_id)
    assert explained.returncode == 0, explained.stderr
    assert "rule: told-by-the-step" in explained.stdout
    assert "now terminated, Error, exit code 1" in explained.stdout
    [kept] = stack.json("explain", run_id)["evidence"]
    assert (kept["step"], kept["attempt"], kept["verdict"]) == ("run_workflow", 1, "Failed")
    assert "expected a FASTQ header" in kept["log_tail"]


def test_a_run_that_waits_says_for_what_and_how_that_is_known(stack: Any, tmp_path: Path) -> None:
    cluster = KubernetesApi.from_kubeconfig(stack.home / "cluster" / "kubeconfig", tmp_path, "lando")
    created = cluster.create("resourcequotas", {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    assert created.code == 201, created.body
    try:
        run_id = stack.submit(FAILING / "workflow.cwl", FAILING / "job-order.yaml")
        waiting = stack.until(run_id, lambda run: run["state"] == "Running" and run["condition"])
        assert "A quota of the namespace leaves no room" in waiting["condition"]["sentence"]
        [kept] = stack.json("explain", run_id)["evidence"]
    finally:
        cluster.delete("resourcequotas", "none")
    assert (kept["step"], kept["verdict"], kept["rule"]["name"]) == ("stage_data", "Waiting", "quota")
    assert "FailedCreate" in {event["reason"] for event in kept["events"]}
    after = stack.until(run_id, lambda run: run["state"] == "Error")
    assert after["condition"] is None


def test_a_failed_run_is_restarted_from_the_step_that_failed(stack: Any) -> None:
    run_id = stack.submit(FAILING / "workflow.cwl", FAILING / "job-order.yaml")
    before = stack.until(run_id, lambda run: run["state"] == "Error" and run["cause"])
    done = stack("restart", run_id, "--wait")
    assert done.returncode == 1  # its tool still exits with 3
    after = stack.json("status", run_id)
    staged = [next(step for step in run["steps"] if step["name"] == "stage_data") for run in (before, after)]
    assert staged[0]["ended"] == staged[1]["ended"]
    assert next(step for step in after["steps"] if step["name"] == "run_workflow")["attempt"] == 2


def test_a_canceled_run_leaves_nothing_at_work_and_can_be_restarted(stack: Any, tmp_path: Path) -> None:
    run_id = stack.submit(SLEEP / "workflow.cwl", order(tmp_path, "seconds: 300\n"))
    stack.until(run_id, lambda run: step_state(run, "run_workflow") == "Running")
    assert stack("cancel", run_id).stdout == f"run {run_id} is being canceled\n"
    stack.until(run_id, lambda run: run["state"] == "Canceled")
    again = stack("cancel", run_id)
    assert again.returncode in (0, 2)

    assert stack("restart", run_id).returncode == 0
    stack.until(run_id, lambda run: step_state(run, "run_workflow") == "Running")
    stack("cancel", run_id)
    stack.until(run_id, lambda run: run["state"] == "Canceled")


def test_a_finished_run_can_neither_be_canceled_nor_restarted(stack: Any, tmp_path: Path) -> None:
    done = stack("submit", SLEEP / "workflow.cwl", order(tmp_path, "seconds: 0\n"), "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    run_id = int(done.stdout.split()[1])
    for command in ("cancel", "restart"):
        refused = stack(command, run_id)
        assert refused.returncode == 2
        assert refused.stderr.startswith("lando: ")
        assert refused.stderr.count("\n") == 1


def test_results_are_downloaded(stack: Any, tmp_path: Path) -> None:
    done = stack("submit", SLEEP / "workflow.cwl", order(tmp_path, "seconds: 0\n"), "--wait")
    run_id = int(done.stdout.split()[1])
    saved = stack("outputs", run_id, "--download", tmp_path / "here")
    assert saved.returncode == 0, saved.stderr
    assert (tmp_path / "here" / "results" / "docs" / "README.md").is_file()


def test_logs_are_followed_while_the_tool_runs(stack: Any, tmp_path: Path) -> None:
    run_id = stack.submit(SLEEP / "workflow.cwl", order(tmp_path, "seconds: 2\n"))
    followed = stack("logs", run_id, "--follow", "--step", "run_workflow")
    assert followed.returncode == 0, followed.stderr
    assert "tool 1 of 1" in followed.stdout


def test_a_workflow_with_javascript_files_and_folders_runs(stack: Any, tmp_path: Path) -> None:
    (tmp_path / "ref").mkdir()
    (tmp_path / "ref" / "a b.txt").write_text("a")
    (tmp_path / "x.txt").write_text("hello\n")
    (tmp_path / "show.cwl").write_text(
        "cwlVersion: v1.2\n"
        "class: CommandLineTool\n"
        "requirements: {InlineJavascriptRequirement: {}}\n"
        "baseCommand: [ls]\n"
        "inputs:\n"
        "  folder: {type: Directory, inputBinding: {position: 1}}\n"
        "  text: {type: File, secondaryFiles: [.md5], inputBinding: {position: 2}}\n"
        "  note: {type: string, default: '', inputBinding: {valueFrom: '${ return null; }'}}\n"
        "outputs:\n"
        "  listing: stdout\n"
        "stdout: listing.txt\n"
    )
    (tmp_path / "x.txt.md5").write_text("0\n")
    inputs = order(tmp_path, "folder: {class: Directory, path: ref}\ntext: {class: File, path: x.txt}\n")
    done = stack("submit", tmp_path / "show.cwl", inputs, "--wait", "--name", "Ünï/code: näme")
    assert done.returncode == 0, done.stdout + done.stderr
    run_id = int(done.stdout.split()[1])
    stack("outputs", run_id, "--download", tmp_path / "here")
    assert "a b.txt" in (tmp_path / "here" / "results" / "listing.txt").read_text()


def test_an_image_that_is_required_is_refused_at_submit_where_no_engine_is(stack: Any, tmp_path: Path) -> None:
    import pytest
    from lando.steps.engines import find_engine

    if find_engine() is not None:
        pytest.skip("there is a container engine here")
    tool = tmp_path / "tool.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [samtools]\ninputs: []\noutputs: []\n"
        "requirements: {DockerRequirement: {dockerPull: 'samtools:1'}}\n"
    )
    before = len(stack.json("jobs"))
    done = stack("submit", tool, order(tmp_path, "{}\n"))
    assert done.returncode == 2
    assert "requires the container image samtools:1" in done.stderr
    assert len(stack.json("jobs")) == before


MODEL = """\
jobernetes:
  - phase_name: prepare
    jobs: [{name: schema, job_path: phased/schema.yaml}]
  - phase_name: load
    jobs:
      - {name: fetch, type: directory, job_path: phased/fetch}
      - {name: merge, job_path: phased/merge.yaml, depends_on: fetch}
"""
JOB = """\
{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {backoffLimit: 0, template: {spec:
  {restartPolicy: Never, containers: [{name: main, image: busybox, command: [sh, -c, "%s"]}]}}}}
"""
SCRIPTS = {
    "schema": "echo made the schema",
    "fetch/good": "echo fetched",
    "fetch/bad": "echo no such table >&2; exit 3",
    "merge": "echo merged",
}


def test_a_phased_run_says_which_job_failed_and_why_and_keeps_that_when_its_jobs_are_gone(
    stack: Any, tmp_path: Path
) -> None:
    (stack.home / "phased/fetch").mkdir(parents=True)
    (stack.home / "model.yaml").write_text(MODEL)
    for name, script in SCRIPTS.items():
        (stack.home / f"phased/{name}.yaml").write_text(JOB % (Path(name).name, script))

    done = stack("phases", "submit", "model.yaml", "--name", "nightly")
    assert done.returncode == 2, done.stderr + done.stdout
    run_id = int(done.stdout.split()[1])
    said = [line for line in done.stdout.splitlines() if line.startswith("bad: ")]
    assert "exit code 3" in " ".join(said)
    run = stack.json("status", run_id)
    assert (run["kind"], run["state"]) == ("phases", "Error")
    assert (
        "exit code 3" in run["cause"]["sentence"]
    )  # the run's own, where the other Job was at work when this one failed
    assert {step["name"]: step["state"] for step in run["steps"]} == {
        "schema": "Complete",
        "bad": "Failed",
        "good": "Complete",
        "merge": "Pending",
    }
    [error] = [one for one in run["errors"] if one["step"] == "bad"]
    assert "no such table" in error["text"]

    cluster = KubernetesApi.from_kubeconfig(stack.home / "cluster" / "kubeconfig", tmp_path, "lando")
    mine = f"lando-run-id={run_id}"
    assert f"bad-{run_id}" in str(cluster.list("jobs", labelSelector=mine).body)
    assert stack("cancel", run_id).returncode == 0  # which removes what a failure has kept
    stack.until(run_id, lambda run: run["state"] == "Canceled")
    wait_until(lambda: cluster.list("jobs", labelSelector=mine).body["items"] == [], what="the end of its Jobs")

    assert stack("logs", run_id, "--step", "bad").stdout == "no such table\n"
    assert stack("logs", run_id).stdout.startswith("==> schema <==\nmade the schema\n==> bad <==\nno such table\n")
    assert "exit code 3" in stack("status", run_id, "--history").stdout
    assert "exit code 3" in stack("explain", run_id, "--step", "bad").stdout
