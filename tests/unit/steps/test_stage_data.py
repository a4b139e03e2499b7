"""The program stage_data, from its command file to the staged files."""

from __future__ import annotations

import errno
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from lando.steps.program import run_program
from lando.steps.stage_data import USAGE, _work
from lando.stores import Entry
from lando.stores.fsspec_store import FsspecStore
from tests.services.dukeds import duke_data_service
from tests.services.step_surroundings import Answer, Termination, Web


class Volume:
    """The job's volume, and a way to run the step on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.job_data = root / "job-data"
        self.metadata = self.job_data / "workflow-input-files-metadata.json"
        self.policy: dict[str, Any] = {"schemes": ["http"], "allow_local_addresses": True, "timeout_s": 5}

    def stage(self, *items: dict[str, Any]) -> int:
        command = self.root / "stagedata.json"
        command.write_text(json.dumps({"items": items, "policy": self.policy}))
        return run_program("stage_data", USAGE, _work, [str(command), str(self.metadata)])

    def dest(self, name: str) -> str:
        return str(self.job_data / name)


@pytest.fixture
def volume(tmp_path: Path, termination: Termination) -> Volume:
    return Volume(tmp_path)


@pytest.fixture
def bucket() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


def test_a_job_is_staged_in_order(volume: Volume, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    web.answer = lambda path, _headers: Answer(body=path.encode())
    code = volume.stage(
        {"type": "url", "source": f"{web.url}/flow.cwl?signature=geheim", "dest": volume.dest("workflow/flow.cwl")},
        {"type": "write", "source": '{"threads": 4, "name": "ä"}', "dest": volume.dest("job-order.json")},
        {"type": "url", "source": f"{web.url}/r.fq", "dest": volume.dest("in/r.fq"), "size": 5},
    )
    assert code == 0
    assert (volume.job_data / "workflow/flow.cwl").read_bytes() == b"/flow.cwl?signature=geheim"
    assert json.loads((volume.job_data / "job-order.json").read_text()) == {"threads": 4, "name": "ä"}
    assert (volume.job_data / "in/r.fq").read_bytes() == b"/r.fq"
    output = capsys.readouterr().out
    assert output.index("[1/3]") < output.index("[2/3]") < output.index("[3/3]")
    assert "signature=***" in output
    assert "geheim" not in output


def test_the_metadata_file_tells_what_came_from_where(volume: Volume, web: Web) -> None:
    web.serve(Answer(body=b"ACGT"))
    volume.stage({"type": "url", "source": f"{web.url}/r.fq?token=geheim", "dest": volume.dest("r.fq")})
    assert json.loads(volume.metadata.read_text()) == {
        "items": [],
        "files": [
            {
                "source": f"{web.url}/r.fq",
                "dest": volume.dest("r.fq"),
                "size": 4,
                "sha256": hashlib.sha256(b"ACGT").hexdigest(),
            }
        ],
    }


def test_a_job_without_files_is_staged_too(volume: Volume) -> None:
    volume.job_data.mkdir()
    assert volume.stage() == 0
    assert json.loads(volume.metadata.read_text()) == {"items": [], "files": []}


def test_staging_again_overwrites_and_leaves_no_parts(volume: Volume, web: Web) -> None:
    item = {"type": "url", "source": f"{web.url}/a", "dest": volume.dest("a")}
    web.serve(Answer(body=b"a long first version"))
    volume.stage(item)
    (volume.job_data / ".lando-part").write_bytes(b"left by a killed attempt")
    web.serve(Answer(body=b"second"))
    assert volume.stage(item) == 0
    assert {path.name for path in volume.job_data.iterdir()} == {"a", volume.metadata.name}
    assert (volume.job_data / "a").read_bytes() == b"second"


def test_a_url_that_answers_404_is_the_users_and_named_without_its_signature(
    volume: Volume, web: Web, termination: Termination
) -> None:
    url = f"{web.url}/flow.cwl?expires=1&signature=geheim"
    assert volume.stage({"type": "url", "source": url, "dest": volume.dest("flow.cwl")}) == 1
    cause = termination.cause()
    assert cause["category"] == "user"
    assert cause["sentence"] == f"{web.url}/flow.cwl does not exist (404)."
    assert not (volume.job_data / "flow.cwl").exists()


def test_a_failed_download_leaves_the_old_file_whole(volume: Volume, web: Web) -> None:
    volume.job_data.mkdir()
    (volume.job_data / "a").write_bytes(b"old")
    web.serve(Answer(body=b"new but too long"))
    item = {"type": "url", "source": f"{web.url}/a", "dest": volume.dest("a"), "size": 3}
    assert volume.stage(item) == 1
    assert (volume.job_data / "a").read_bytes() == b"old"
    assert [path.name for path in volume.job_data.iterdir()] == ["a"]


def archive(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(name, b"cwlVersion: v1.2")
    return path


def test_a_zipped_workflow_is_unpacked(volume: Volume, web: Web, tmp_path: Path) -> None:
    web.serve(Answer(body=archive(tmp_path / "f.zip", "flow/main.cwl").read_bytes()))
    folder = volume.dest("workflow")
    item = {"type": "url", "source": f"{web.url}/f.zip", "dest": f"{folder}/f.zip", "unzip_to": folder}
    assert volume.stage(item) == 0
    assert (volume.job_data / "workflow/flow/main.cwl").is_file()
    assert (volume.job_data / "workflow/f.zip").is_file()


def test_a_zip_that_leads_outside_fails_the_step(
    volume: Volume, web: Web, tmp_path: Path, termination: Termination
) -> None:
    web.serve(Answer(body=archive(tmp_path / "f.zip", "../evil").read_bytes()))
    folder = volume.dest("workflow")
    item = {"type": "url", "source": f"{web.url}/f.zip", "dest": f"{folder}/f.zip", "unzip_to": folder}
    assert volume.stage(item) == 1
    assert termination.cause()["sentence"] == "f.zip is refused: its entry '../evil' would lie outside its folder."


def test_local_files_come_only_from_the_allowed_folders(
    volume: Volume, tmp_path: Path, termination: Termination
) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "reads 1.fq").write_bytes(b"ACGT")
    (allowed / "link").symlink_to(other / "reads 1.fq")
    volume.policy["file_roots"] = [str(allowed)]
    good = (allowed / "reads 1.fq").as_uri()
    assert volume.stage({"type": "url", "source": good, "dest": volume.dest("r.fq"), "size": 4}) == 0
    assert (volume.job_data / "r.fq").read_bytes() == b"ACGT"
    for bad in (
        (other / "reads 1.fq").as_uri(),
        f"file://{allowed}/../other/reads%201.fq",
        (allowed / "link").as_uri(),
        f"file://elsewhere{allowed}/reads%201.fq",
    ):
        assert volume.stage({"type": "url", "source": bad, "dest": volume.dest("x")}) == 1
        assert "lies outside the folders that this installation stages from" in termination.cause()["sentence"]
    assert not (volume.job_data / "x").exists()


@pytest.mark.parametrize("source", ["file:///etc/passwd", "ftp://example.org/a", "gs://bucket/a", "/etc/passwd"])
def test_other_schemes_are_refused(volume: Volume, source: str, termination: Termination) -> None:
    assert volume.stage({"type": "url", "source": source, "dest": volume.dest("a")}) == 1
    assert "not one of the schemes that this installation stages from (http)" in termination.cause()["sentence"]


def test_without_a_policy_loopback_is_refused(volume: Volume, web: Web, termination: Termination) -> None:
    volume.policy = {}
    assert volume.stage({"type": "url", "source": f"{web.url}/a", "dest": volume.dest("a")}) == 1
    assert "where staging does not go" in termination.cause()["sentence"]


def test_files_come_from_stores(volume: Volume, bucket: Any, termination: Termination) -> None:
    bucket.pipe_file("/bucket/in/r.fq", b"ACGT")
    volume.policy |= {"schemes": ["memory"], "store_roots": ["memory://bucket/in"]}
    item = {"type": "url", "source": "memory://bucket/in/r.fq", "dest": volume.dest("r.fq")}
    assert volume.stage(item) == 0
    assert (volume.job_data / "r.fq").read_bytes() == b"ACGT"
    assert volume.stage({**item, "size": 9}) == 1
    assert "is 4 bytes long, but the job says 9 bytes" in termination.cause()["sentence"]
    assert volume.stage({**item, "source": "memory://bucket/in/none"}) == 1
    assert termination.cause()["sentence"] == "memory://bucket/in/none does not exist."


@pytest.mark.parametrize("source", ["bucket/inner/x", "bucket/in/../x", "bucket/in/%2e%2e/x", "other/in/x"])
def test_what_lies_in_a_store_outside_the_allowed_roots_is_refused(
    volume: Volume, bucket: Any, termination: Termination, source: str
) -> None:
    for name in ("/bucket/inner/x", "/bucket/x", "/other/in/x"):
        bucket.pipe_file(name, b"somebody else's")
    for roots in ([], ["memory://bucket/in"]):
        volume.policy |= {"schemes": ["memory"], "store_roots": roots}
        assert volume.stage({"type": "url", "source": f"memory://{source}", "dest": volume.dest("x")}) == 1
        assert "outside the stores" in termination.cause()["sentence"]
        assert not (volume.job_data / "x").exists()


def test_the_largest_file_is_bounded(volume: Volume, tmp_path: Path, termination: Termination) -> None:
    (tmp_path / "big").write_bytes(bytes(2000))
    volume.policy |= {"file_roots": [str(tmp_path)], "max_bytes": 1000}
    assert volume.stage({"type": "url", "source": (tmp_path / "big").as_uri(), "dest": volume.dest("a")}) == 1
    assert "larger (2000 bytes or more) than this installation stages (1000 bytes)" in termination.cause()["sentence"]


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"type": "DukeDS", "source": "5b0f", "dest": "a"}, "dds is not one of the schemes"),
        ({"type": "carrier pigeon", "source": "x", "dest": "a"}, "unknown type 'carrier pigeon'"),
        ({"type": "write", "source": {"a": 1}, "dest": "a"}, "'source' has the wrong type (dict)"),
        ({"type": "url", "source": "http://[broken", "dest": "a"}, "The source of a is not a valid URL"),
        ({"type": "url", "source": "http://x", "dest": "a", "size": "3"}, "'size' has the wrong type (str)"),
        ({"type": "write", "dest": "a"}, "item 1 lacks the key 'source'"),
        ({"type": "write", "source": "x", "dest": "/data/../etc/x"}, "may not contain '..'"),
    ],
)
def test_an_item_that_makes_no_sense_is_named(
    volume: Volume, item: dict[str, Any], sentence: str, termination: Termination
) -> None:
    if "dest" in item and not item["dest"].startswith("/"):
        item = {**item, "dest": volume.dest(item["dest"])}
    assert volume.stage(item) == 1
    assert termination.cause()["category"] == "user"
    assert sentence in termination.cause()["sentence"]


def test_two_sources_for_one_place_are_refused_before_anything_is_done(
    volume: Volume, termination: Termination
) -> None:
    items = [{"type": "write", "source": text, "dest": volume.dest("a//b")} for text in ("one", "two")]
    assert volume.stage(items[0], items[1]) == 1
    assert "item 2: another item has the same dest" in termination.cause()["sentence"]
    assert not volume.job_data.exists()
    assert volume.stage(items[0], items[0]) == 0  # the same file named twice is there once


@pytest.mark.parametrize(("dest", "sentence"), [("a/b", "a file stands where"), ("folder", "a folder stands there")])
def test_a_place_that_is_taken_is_named(volume: Volume, dest: str, sentence: str, termination: Termination) -> None:
    first = {"type": "write", "source": "x", "dest": volume.dest("a")}
    inside = {"type": "write", "source": "x", "dest": volume.dest("folder/c")}
    assert volume.stage(first, inside, {"type": "write", "source": "x", "dest": volume.dest(dest)}) == 1
    assert sentence in termination.cause()["sentence"]
    assert termination.cause()["category"] == "user"


@pytest.mark.parametrize(
    "name", ["x" * 255, "a b'\"$(c).txt", "ä\u0301日本.fq", "new\nline", "-rf", ".lando", "a%20b#c?d"]
)
def test_any_name_that_a_file_can_have_is_staged(volume: Volume, web: Web, name: str) -> None:
    web.serve(Answer(body=b"abc"))
    assert volume.stage({"type": "url", "source": f"{web.url}/x", "dest": volume.dest(name)}) == 0
    assert (volume.job_data / name).read_bytes() == b"abc"


def test_a_local_path_with_a_nul_is_refused(volume: Volume, termination: Termination) -> None:
    volume.policy["file_roots"] = ["/tmp"]
    assert volume.stage({"type": "url", "source": "file:///tmp/a%00b", "dest": volume.dest("a")}) == 1
    assert termination.cause()["category"] == "user"


def test_a_full_volume_is_a_matter_of_resources_and_leaves_no_part(
    volume: Volume, termination: Termination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_part: Path, _dest: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert volume.stage({"type": "write", "source": "x", "dest": volume.dest("a")}) == 1
    assert termination.cause()["category"] == "resources"
    assert list(volume.job_data.iterdir()) == []


def test_ten_thousand_items_are_staged(volume: Volume) -> None:
    items = [{"type": "write", "source": str(n), "dest": volume.dest(f"in/{n}")} for n in range(10_000)]
    assert volume.stage(*items) == 0
    assert sum(1 for _ in (volume.job_data / "in").iterdir()) == 10_000


def test_arguments_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("stage_data", USAGE, _work, []) == 2
    assert USAGE in capsys.readouterr().out


def test_files_of_the_duke_data_service_are_staged_by_their_ids(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with duke_data_service() as service:
        (volume.root / "config").write_text(service.config())
        monkeypatch.setenv("DDSCLIENT_CONF", str(volume.root / "config"))
        volume.policy["schemes"] = ["dds"]
        files = [service.add_file(content, f"{content.decode()}.fastq") for content in (b"ACGT", b"TTTT")]
        items = [
            {"type": "DukeDS", "source": file["id"], "dest": volume.dest(f"dds_{number}.fastq")}
            for number, file in enumerate(files)
        ]
        assert volume.stage(*items) == 0
        fetched = [path for _method, path in service.calls if path.startswith("/object/")]
        (volume.job_data / "dds_1.fastq").write_bytes(b"GGGG")
        assert volume.stage(*items) == 0  # only what differs is fetched again
        assert len([path for _method, path in service.calls if path.startswith("/object/")]) == len(fetched) + 1
    assert [(volume.job_data / f"dds_{number}.fastq").read_bytes() for number in (0, 1)] == [b"ACGT", b"TTTT"]
    assert json.loads(volume.metadata.read_text())["items"] == files
    assert "there already" in capsys.readouterr().out


def test_a_damaged_file_of_the_duke_data_service_is_fetched_again(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, termination: Termination
) -> None:
    monkeypatch.setattr("lando.stores.transfer.FIRST_PAUSE_S", 0.0)
    with duke_data_service() as service:
        (volume.root / "config").write_text(service.config())
        monkeypatch.setenv("DDSCLIENT_CONF", str(volume.root / "config"))
        volume.policy["schemes"] = ["dds"]
        file = service.add_file(b"ACGT")
        chunks = service.uploads[file["current_version"]["upload"]["id"]]["chunks"]
        chunks[1] = b"ACGA"
        item = {"type": "DukeDS", "source": file["id"], "dest": volume.dest("a.fastq")}
        assert volume.stage(item) == 1
        assert "its md5 is not what the store tells" in termination.cause()["sentence"]
        assert not list(volume.job_data.glob("*a.fastq*"))
        chunks[1] = b"ACGT"
        assert volume.stage(item) == 0
        assert volume.stage({**item, "source": "0000"}) == 1
        assert "File 0000 can't be staged" in termination.cause()["sentence"]


@pytest.mark.parametrize("told", ["md5", "sha256"])
def test_what_a_store_tells_of_its_file_is_compared(
    volume: Volume, bucket: Any, termination: Termination, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr("lando.stores.transfer.FIRST_PAUSE_S", 0.0)
    bucket.pipe_file("/bucket/a", b"ACGT")
    checksum = hashlib.new(told, b"ACGT").hexdigest()
    monkeypatch.setattr(
        FsspecStore, "_entry", lambda _self, path, _info: Entry(path=path, size=4, checksum=(told, checksum))
    )
    volume.policy |= {"schemes": ["memory"], "store_roots": ["memory://bucket"]}
    item = {"type": "url", "source": "memory://bucket/a", "dest": volume.dest("a")}
    assert volume.stage(item) == 0
    bucket.pipe_file("/bucket/a", b"ACGA")
    assert volume.stage(item) == 1
    assert f"its {told} is not what the store tells" in termination.cause()["sentence"]
    assert (volume.job_data / "a").read_bytes() == b"ACGT"
