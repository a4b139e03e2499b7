"""The program save_output: results, record and ids."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from lando.errors import Unavailable
from lando.steps.program import run_program
from lando.steps.save_output import USAGE, _work
from lando.stores import transfer
from lando.stores.files import FileStore
from tests.services.dukeds import AGENT_KEY, USER_KEY, duke_data_service
from tests.services.step_surroundings import Termination


class Volumes:
    """What is on the volumes when the results are to be saved."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "output-data/results"
        (self.results / "docs").mkdir(parents=True)
        (self.results / "docs/README.md").write_text("# Summary")
        (self.results / "a b.bam").write_bytes(b"bam")
        (root / "job-data").mkdir()
        self.store = root / "store"
        self.project = self.store / "42-batch-17"
        outputs = {"bam": {"class": "File", "path": str(self.results / "a b.bam"), "size": 3}}
        (root / "output-data/out.json").write_text(json.dumps(outputs))
        inputs = {
            "items": [{"name": "a.fastq", "current_version": {"id": "77f0"}}],
            "files": [{"source": "https://example.org/b.fastq", "dest": "/b", "size": 1, "sha256": "ab"}],
        }
        (root / "job-data/inputs.json").write_text(json.dumps(inputs))
        self.command: dict[str, Any] = {
            "destination": "Bespin Exome v4.1.0 batch 17 2026-03-04",
            "readme_file_path": "results/docs/README.md",
            "paths": [str(self.results)],
            "share": {"dds_user_ids": []},
            "activity": {
                "name": "batch 17 - Bespin Job 42",
                "description": "Bespin Job 42",
                "started_on": "2026-03-04T10:00:00Z",
                "ended_on": "2026-03-04T11:00:00Z",
                "input_file_versions_json_path": str(root / "job-data/inputs.json"),
                "workflow_output_json_path": str(root / "output-data/out.json"),
            },
            "store": {"url": self.store.as_uri() + "/", "project": "42-batch-17"},
        }
        self.outfile = root / "output-data/annotate_project_details.sh"

    def save(self, *more: str) -> int:
        path = self.root / "saveoutput.json"
        path.write_text(json.dumps(self.command))
        return run_program("save_output", USAGE, _work, [str(path), str(self.outfile), *more])

    def record(self) -> Any:
        return json.loads((self.project / "activity.json").read_text())


@pytest.fixture
def volumes(tmp_path: Path, termination: Termination) -> Volumes:
    return Volumes(tmp_path)


def test_results_are_saved_and_the_ids_reported(volumes: Volumes, termination: Termination) -> None:
    assert volumes.save() == 0
    assert (volumes.project / "results/a b.bam").read_bytes() == b"bam"
    assert termination.read() == {
        "project_id": volumes.project.as_uri(),
        "readme_file_id": (volumes.project / "results/docs/README.md").as_uri(),
    }


def test_the_record_says_what_was_used_and_generated(volumes: Volumes) -> None:
    assert volumes.save() == 0
    record = volumes.record()
    assert record["complete"] is True
    assert record["name"] == "batch 17 - Bespin Job 42"
    assert (record["started_on"], record["ended_on"]) == ("2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z")
    assert record["used"] == [
        {"file": "a.fastq", "version_id": "77f0"},
        {"source": "https://example.org/b.fastq", "dest": "/b", "size": 1, "sha256": "ab"},
    ]
    assert {
        "path": "results/a b.bam",
        "url": (volumes.project / "results/a b.bam").as_uri(),
        "size": 3,
        "sha256": hashlib.sha256(b"bam").hexdigest(),
        "output": "bam",
    } in record["generated"]


def test_times_that_the_command_does_not_say_are_the_reports(volumes: Volumes) -> None:
    volumes.command["activity"] |= {"started_on": "", "ended_on": ""}
    assert volumes.save() == 0
    assert volumes.record()["started_on"] == ""
    numbers = volumes.results / "docs/logs/job-data.json"
    numbers.parent.mkdir()
    numbers.write_text('{"started": "2026-03-04T10:00:00+00:00", "finished": "2026-03-04T11:30:00+00:00"}')
    assert volumes.save() == 0
    record = volumes.record()
    assert (record["started_on"], record["ended_on"]) == ("2026-03-04T10:00:00+00:00", "2026-03-04T11:30:00+00:00")


def test_saving_again_sends_only_what_differs(volumes: Volumes, capsys: pytest.CaptureFixture[str]) -> None:
    assert volumes.save() == 0
    (volumes.results / "a b.bam").write_bytes(b"BAM")
    assert volumes.save() == 0
    assert "Saved: 1 files sent, 1 were there already." in capsys.readouterr().out
    assert (volumes.project / "results/a b.bam").read_bytes() == b"BAM"


def test_what_an_earlier_attempt_left_is_removed_but_nothing_of_the_owners(volumes: Volumes) -> None:
    (volumes.results / "old.txt").write_text("old")
    assert volumes.save() == 0
    (volumes.project / "results/notes-of-mine.txt").write_text("mine")
    (volumes.results / "old.txt").unlink()
    assert volumes.save() == 0
    assert not (volumes.project / "results/old.txt").exists()
    assert (volumes.project / "results/notes-of-mine.txt").exists()


def test_an_attempt_that_broke_off_is_known_to_the_next(volumes: Volumes, monkeypatch: pytest.MonkeyPatch) -> None:
    (volumes.results / "partial.txt").write_text("partial")
    monkeypatch.setattr("lando.steps.save_output.upload", _break_off_after_partial(transfer.upload))
    assert volumes.save() == 1
    monkeypatch.undo()
    monkeypatch.setenv("LANDO_TERMINATION_LOG", str(volumes.root / "termination-log"))
    assert volumes.record()["complete"] is False
    (volumes.results / "partial.txt").unlink()
    assert volumes.save() == 0
    assert not (volumes.project / "results/partial.txt").exists()


def _break_off_after_partial(upload: Any) -> Any:
    def uploading(store: Any, files: Any, progress: Any) -> Any:
        upload(store, [file for file in files if file.path.endswith("partial.txt")], progress)
        raise Unavailable("store", "gone")

    return uploading


def test_a_recorded_project_is_used_again(volumes: Volumes, termination: Termination) -> None:
    volumes.command["project_id"] = (volumes.store / "42-the-first-name").as_uri()
    assert volumes.save() == 0
    assert termination.read()["project_id"].endswith("/42-the-first-name")
    assert not volumes.project.exists()


def test_a_project_of_another_job_is_not_touched(volumes: Volumes, termination: Termination) -> None:
    assert volumes.save() == 0
    saved = {path: path.read_bytes() for path in volumes.project.rglob("*") if path.is_file()}
    volumes.command["destination"] = "Bespin Other v1 x 2026-03-05"
    (volumes.results / "a b.bam").write_bytes(b"another job's")
    assert volumes.save() == 1
    assert "holds the results of another job ('Bespin Exome v4.1.0 batch 17" in termination.cause()["sentence"]
    assert {path: path.read_bytes() for path in volumes.project.rglob("*") if path.is_file()} == saved


@pytest.mark.parametrize("record", ["[]", "{", '{"files": 3}', '{"files": ["../../x", "activity.json", 7, ""]}'])
def test_a_record_that_somebody_broke_does_no_harm(volumes: Volumes, record: str) -> None:
    volumes.project.mkdir(parents=True)
    (volumes.project / "activity.json").write_text(record)
    assert volumes.save() == 0
    assert volumes.record()["complete"] is True


@pytest.mark.parametrize(
    "name", ["a b'\"$(c).txt", "ä日本.fq", "new\nline", "-rf", "a%20b#c?d", "caf\udce9.txt", "x" * 255]
)
def test_a_file_of_any_name_is_saved(volumes: Volumes, name: str) -> None:
    (volumes.results / name).write_bytes(b"abc")
    assert volumes.save() == 0
    assert (volumes.project / "results" / name).read_bytes() == b"abc"
    assert f"results/{name}" in volumes.record()["files"]


def test_links_that_lead_nowhere_are_told_and_the_rest_is_saved(
    volumes: Volumes, capsys: pytest.CaptureFixture[str]
) -> None:
    (volumes.results / "loop").symlink_to("loop")
    (volumes.results / "latest").symlink_to("docs")
    (volumes.results / "same.bam").symlink_to("a b.bam")
    os.mkfifo(volumes.results / "pipe")
    assert volumes.save() == 0
    out = capsys.readouterr().out
    assert all(f"warning: {volumes.results / name} is" in out for name in ("loop", "latest", "pipe"))
    assert (volumes.project / "results/same.bam").read_bytes() == b"bam"


def test_a_large_file_is_saved_in_little_memory(volumes: Volumes) -> None:
    with (volumes.results / "sparse").open("wb") as big:
        big.truncate(1 << 28)
    tracemalloc.start()
    try:
        assert volumes.save() == 0
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_people_to_share_with_are_recorded(volumes: Volumes) -> None:
    volumes.command["share"] = {"dds_user_ids": ["1c1c"], "auth_role": "file_downloader"}
    assert volumes.save() == 0
    share = json.loads((volumes.project / "share.json").read_text())
    assert (share["users"], share["auth_role"]) == (["1c1c"], "file_downloader")


def test_nobody_to_share_with_leaves_no_file(volumes: Volumes) -> None:
    assert volumes.save() == 0
    assert not (volumes.project / "share.json").exists()


def test_the_script_annotates_its_pod(volumes: Volumes, tmp_path: Path) -> None:
    volumes.command["store"]["project"] = "42-$(touch evil)"
    assert volumes.save() == 0
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{kubectl.parent}:/bin:/usr/bin", "MY_POD_NAME": "pod-1"}
    said = subprocess.run(["sh", volumes.outfile], env=environment, cwd=tmp_path, capture_output=True, text=True)
    arguments = said.stdout.splitlines()
    assert arguments[:4] == ["annotate", "--overwrite", "pod", "pod-1"]
    assert arguments[4].startswith("project_id=file:///")
    assert arguments[5].endswith("results/docs/README.md")
    assert not (tmp_path / "evil").exists()


def test_the_outfile_can_be_json(volumes: Volumes, termination: Termination) -> None:
    assert volumes.save("--outfile-format", "json") == 0
    assert json.loads(volumes.outfile.read_text()) == termination.read()


def test_links_out_of_the_results_are_not_saved(
    volumes: Volumes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "credential").write_text("geheim")
    (volumes.results / "innocent.txt").symlink_to(tmp_path / "credential")
    (volumes.results / "again.bam").symlink_to("a b.bam")
    assert volumes.save() == 0
    assert not (volumes.project / "results/innocent.txt").exists()
    assert (volumes.project / "results/again.bam").read_bytes() == b"bam"
    assert "innocent.txt is a link to a folder, out of the results" in capsys.readouterr().out


def test_missing_provenance_is_a_warning(volumes: Volumes, capsys: pytest.CaptureFixture[str]) -> None:
    (volumes.root / "job-data/inputs.json").unlink()
    assert volumes.save() == 0
    assert volumes.record()["used"] == []
    assert "warning: inputs.json can't be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"store": None}, "No store is configured"),
        ({"store": {"url": "file:///x"}}, "lacks the key 'project'"),
        ({"store": {"url": "results", "project": "p"}}, "is no URL"),
        ({"store": {"url": "carrier://x", "project": "p"}}, "Nothing here can speak carrier://"),
        ({"store": {"url": "dds:", "project": "p"}}, "The Duke Data Service needs a credential"),
        ({"store": {"url": "file:///x", "project": "../y"}}, "'../y' is not a path inside a store"),
        ({"paths": ["/nowhere"]}, "/nowhere does not exist"),
        ({"readme_file_path": "results/none.md"}, "results/none.md is not among the results"),
    ],
)
def test_a_wrong_command_is_named(
    volumes: Volumes, change: dict[str, Any], sentence: str, termination: Termination
) -> None:
    volumes.command |= change
    assert volumes.save() == 1
    assert termination.cause()["category"] == "user"
    assert sentence in termination.cause()["sentence"]


@pytest.mark.parametrize("more", [["--outfile-format"], ["--outfile-format", "xml"], ["more"]])
def test_wrong_arguments_are_an_error_of_usage(volumes: Volumes, more: list[str]) -> None:
    assert volumes.save(*more) == 2


def test_a_store_that_does_not_answer_is_infrastructure(
    volumes: Volumes, termination: Termination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_args: Any) -> None:
        raise Unavailable("store", "silent")

    monkeypatch.setattr(FileStore, "put", silent)
    monkeypatch.setattr("lando.stores.transfer.FIRST_PAUSE_S", 0.0)
    assert volumes.save() == 1
    assert termination.cause()["category"] == "infrastructure"


def test_results_go_into_a_project_of_the_duke_data_service(
    volumes: Volumes, termination: Termination, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with duke_data_service() as service:
        (volumes.root / "config").write_text(service.config())
        monkeypatch.setenv("DDSCLIENT_CONF", str(volumes.root / "config"))
        volumes.command["store"]["url"] = "dds:"
        volumes.command["share"] = {"dds_user_ids": ["1c1c", "2d2d"]}
        assert volumes.save() == 0
        ids = termination.read()
        volumes.command["project_id"] = ids["project_id"]
        assert volumes.save() == 0
        assert termination.read() == ids
    [project] = service.projects.values()
    there = service.paths(project["id"])
    assert ids == {"project_id": project["id"], "readme_file_id": there["results/docs/README.md"]["id"]}
    assert project["name"] == volumes.command["destination"]
    assert sorted(there) == ["activity.json", "results/a b.bam", "results/docs/README.md", "share.json"]
    assert service.permissions == {(project["id"], user): "project_admin" for user in ("1c1c", "2d2d")}
    [activity] = service.activities.values()
    assert (activity["name"], activity["started_on"]) == ("batch 17 - Bespin Job 42", "2026-03-04T10:00:00Z")
    bam = there["results/a b.bam"]["current_version"]["id"]
    assert sorted(service.relations) == [("used", activity["id"], "77f0"), ("was_generated_by", activity["id"], bam)]
    printed = capsys.readouterr().out
    assert AGENT_KEY not in printed
    assert USER_KEY not in printed
