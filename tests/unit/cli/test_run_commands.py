"""The commands about runs: what they ask the server, what they print, how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Document = Callable[..., dict[str, Any]]
RUN = "GET /api/lando/v1/runs/3"

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [cat]
inputs:
  text: {type: File, inputBinding: {position: 1}}
outputs: []
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    workflow, order = tmp_path / "show.cwl", tmp_path / "order.yml"
    workflow.write_text(TOOL)
    order.write_text("text: {class: File, path: a.txt}\n")
    (tmp_path / "a.txt").write_text("hello")
    return workflow, order


def prepare_submission(api: Any, document: Document) -> None:
    api.on("POST /api/lando/v1/files", (201, {"id": "f1", "url": "http://x/files/f1/a.txt", "size": 5}))
    api.on("POST /api/lando/v1/workflows", (201, {"tag": "show/1/private"}))
    api.on("POST /api/v2/job-file-stage-groups/", (201, {"id": 23}))
    api.on("POST /api/v2/url-job-input-files/", (201, {"id": 8}))
    api.on("POST /api/v2/job-templates/init", (201, {"tag": "show/1/private", "job_order": {}}))
    api.on("POST /api/v2/job-templates/create-job", (201, {"job": 3}))
    api.on("POST /api/v2/jobs/3/start/", {"id": 3})
    api.on(RUN, document(), document(state="Finished", version=2, ended="2026-03-04T15:07:07Z"))


def test_submit_goes_the_whole_way(api: Any, lando: Any, document: Document, files: tuple[Path, Path]) -> None:
    prepare_submission(api, document)
    outcome = lando("submit", *files, "--name", "batch 17")
    assert outcome.code == 0, outcome.err
    assert outcome.out == 'run 3 "batch 17" is submitted; follow it with: lando status 3 --watch\n'
    assert api.bodies("POST /api/lando/v1/files") == [b"hello"]
    assert api.bodies("POST /api/v2/url-job-input-files/") == [
        {
            "stage_group": 23,
            "url": "http://x/files/f1/a.txt",
            "destination_path": "text/a.txt",
            "size": 5,
            "sequence_group": 0,
            "sequence": 0,
        }
    ]
    [job] = api.bodies("POST /api/v2/job-templates/create-job")
    assert job["job_order"] == {"text": {"class": "File", "path": "text/a.txt"}}
    assert (job["tag"], job["name"], job["stage_group"]) == ("show/1/private", "batch 17", 23)
    assert api.bodies("POST /api/v2/jobs/3/start/") == [{}]


def test_submit_and_wait_tells_what_happens_line_by_line(
    api: Any, lando: Any, document: Document, files: tuple[Path, Path]
) -> None:
    prepare_submission(api, document)
    outcome = lando("submit", *files, "--wait")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1:] == [
        "run 3: Running",
        "stage data: Complete (2.5 s)",
        "run workflow: Running, attempt 2",
        "run 3: Finished",
    ]


def test_a_program_gets_the_run_as_json_alone(
    api: Any, lando: Any, document: Document, files: tuple[Path, Path]
) -> None:
    prepare_submission(api, document)
    outcome = lando("submit", *files, "--wait", "--json")
    assert json.loads(outcome.out)["state"] == "Finished"


def test_nothing_is_sent_when_the_job_order_is_wrong(
    api: Any, lando: Any, document: Document, files: tuple[Path, Path]
) -> None:
    prepare_submission(api, document)
    files[1].write_text("text: 3\n")
    outcome = lando("submit", *files)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "lando: order.yml: text: must be a File (class: File, path: …), not 3.\n"
    assert api.asked == []


def test_status_shows_steps_with_times_and_what_the_run_waits_for(api: Any, lando: Any, document: Document) -> None:
    api.on(RUN, document(condition={"step": "run_workflow", "sentence": "0/3 nodes are available."}))
    outcome = lando("status", 3)
    lines = outcome.out.splitlines()
    assert outcome.code == 0
    assert lines[0].startswith('run 3 "batch 17" (qc/1): Running, created ')
    assert lines[1] == "├─ ✔ stage data       Complete  2.5 s"
    assert lines[2].startswith("├─ ▶ run workflow     Running   ")
    assert lines[2].endswith(", attempt 2")
    assert lines[3] == "└─ · organize output  Pending"
    assert lines[4] == "waits for: 0/3 nodes are available."


def test_status_of_a_failed_run_says_why(api: Any, lando: Any, document: Document) -> None:
    cause = {"step": "run_workflow", "sentence": "Tool check exited with 3.", "text": "\nreading a\nno header\n"}
    api.on(RUN, document(state="Error", ended="2026-03-04T15:06:20Z", cause=cause))
    outcome = lando("status", 3)
    assert outcome.out.splitlines()[0] == 'run 3 "batch 17" (qc/1): Error after 13 s'
    assert outcome.out.splitlines()[-3:] == ["why: Tool check exited with 3.", "   | reading a", "   | no header"]


def test_watching_a_run_that_fails_exits_1(api: Any, lando: Any, document: Document) -> None:
    api.on(RUN, document(), document(version=2, state="Error", cause={"sentence": "It broke."}))
    outcome = lando("status", 3, "--watch")
    assert outcome.code == 1
    assert outcome.out.splitlines()[-2:] == ["run 3: Error", "why: It broke."]
    assert [query for route, query, _ in api.asked if route == RUN] == ["", "after=1&wait_s=5.0"]


def test_jobs_are_a_table_or_json(api: Any, lando: Any, document: Document) -> None:
    api.on("GET /api/lando/v1/runs", [document()])
    lines = lando("jobs", "--state", "Running").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "STEP", "CREATED", "NAME"]
    assert lines[1].split()[:4] == ["3", "Running", "run", "workflow"]
    assert api.asked[0][1] == "state=Running"
    assert json.loads(lando("jobs", "--json").out)[0]["id"] == 3


def test_no_runs_are_said_in_words(api: Any, lando: Any) -> None:
    api.on("GET /api/lando/v1/runs", [])
    assert lando("jobs").out == "no runs\n"


def test_logs_are_copied_as_they_are(api: Any, lando: Any) -> None:
    api.on("GET /api/lando/v1/runs/3/logs", "tool 1 of 2: align\nü\n")
    assert lando("logs", 3, "--step", "run_workflow").out == "tool 1 of 2: align\nü\n"
    assert api.asked[0][1] == "step=run_workflow"


def test_an_empty_log_is_said_beside_the_output(api: Any, lando: Any, document: Callable[..., dict[str, Any]]) -> None:
    api.on("GET /api/lando/v1/runs/3/logs", "")
    api.on("GET /api/lando/v1/runs/3", document(), document(state="Finished"))
    outcome = lando("logs", 3, "--step", "save_output")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "run 3 has no log of save_output yet\n")
    assert lando("logs", 3).err == "run 3 has no log: none was written or kept, or it was pruned\n"


def test_cancel_and_restart_ask_for_it(api: Any, lando: Any) -> None:
    api.on("POST /api/lando/v1/runs/3/cancel", {"id": 3})
    api.on("POST /api/lando/v1/runs/3/restart", {"id": 3})
    assert lando("cancel", 3).out == "run 3 is being canceled\n"
    assert lando("restart", 3).out == "run 3 is being restarted\n"


def test_a_refusal_is_told_in_the_servers_words(api: Any, lando: Any) -> None:
    api.on("POST /api/lando/v1/runs/3/restart", (400, ["Only a failed or canceled run can be restarted."]))
    outcome = lando("restart", 3)
    assert (outcome.code, outcome.err) == (2, "lando: Only a failed or canceled run can be restarted.\n")


def test_outputs_are_listed_and_downloaded(api: Any, lando: Any, tmp_path: Path) -> None:
    api.on("GET /api/lando/v1/runs/3/outputs", {"files": [{"path": "results/a b.txt", "size": 1500}]})
    api.on("GET /api/lando/v1/runs/3/outputs/results/a%20b.txt", "content")
    assert lando("outputs", 3).out.splitlines()[1].split(maxsplit=2) == ["1.5", "KB", "results/a b.txt"]
    outcome = lando("outputs", 3, "--download", tmp_path / "here")
    assert outcome.out == f"1 files saved in {tmp_path / 'here'}\n"
    assert (tmp_path / "here" / "results" / "a b.txt").read_text() == "content"


def test_a_server_that_names_a_path_outside_of_the_folder_is_not_obeyed(api: Any, lando: Any, tmp_path: Path) -> None:
    api.on("GET /api/lando/v1/runs/3/outputs", {"files": [{"path": "../evil", "size": 1}]})
    outcome = lando("outputs", 3, "--download", tmp_path / "here")
    assert outcome.code == 2
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("command", ["status", "logs", "cancel", "outputs"])
def test_an_unknown_run_is_bad_input(api: Any, lando: Any, command: str) -> None:
    outcome = lando(command, 99)
    assert (outcome.code, outcome.err) == (2, f"lando: {api.url} knows no run 99 of yours; 'lando jobs' lists them.\n")


def test_a_refused_token_is_said_without_showing_it(api: Any, lando: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDO_TOKEN", "wrong-s3cret")
    outcome = lando("jobs")
    assert outcome.code == 2
    assert outcome.err == f"lando: {api.url} does not accept the token; give another by --token or LANDO_TOKEN.\n"


def test_a_server_at_fault_exits_3(api: Any, lando: Any) -> None:
    api.on("GET /api/lando/v1/runs", (503, {"detail": "The database is away."}))
    outcome = lando("jobs")
    assert (outcome.code, outcome.err) == (3, f"lando: {api.url} answered 503: The database is away.\n")


def test_something_that_is_no_lando_server_exits_3(api: Any, lando: Any) -> None:
    api.on("GET /api/lando/v1/runs", "<html>")
    assert lando("jobs").code == 3


def test_a_folder_that_cant_be_written_is_one_sentence(api: Any, lando: Any, tmp_path: Path) -> None:
    api.on(f"{RUN}/outputs", {"files": [{"path": "a.txt", "size": 1}]})
    (tmp_path / "taken").write_text("")
    outcome = lando("outputs", 3, "--download", tmp_path / "taken" / "below")
    assert (outcome.code, outcome.err) == (2, f"lando: {tmp_path / 'taken' / 'below'}: Not a directory.\n")


def test_nothing_to_download_is_said(api: Any, lando: Any, tmp_path: Path) -> None:
    api.on(f"{RUN}/outputs", {"files": []})
    assert lando("outputs", 3, "--download", tmp_path / "new").out.startswith("run 3 has no results;")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["mq", "http://", "https://a b/", "http://host:port", "ftp://x"])
def test_an_address_that_is_none_is_bad_input(lando: Any, url: str) -> None:
    outcome = lando("jobs", "--url", url)
    assert (outcome.code, outcome.err) == (
        2,
        f"lando: The server's URL must look like https://lando.example.org, not {url!r}.\n",
    )


def test_a_token_with_a_line_end_is_refused_without_showing_it(lando: Any) -> None:
    outcome = lando("jobs", "--token", "secret\nword")
    assert outcome.code == 2
    assert "secret" not in outcome.err
