"""Projects of the Duke Data Service, against a small one that is strict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lando.errors import ConfigError, NotFound, Rejected, Unavailable
from lando.stores import CHUNK, dukeds
from lando.stores.dukeds import DukedsProject, file_record, read_file
from lando.stores.dukeds_api import Credential, DukedsApi
from lando.stores.transfer import ATTEMPTS, files_below, upload
from tests.services.dukeds import AGENT_KEY, USER_KEY, DukeDS, duke_data_service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DukeDS]:
    with duke_data_service() as service:
        (tmp_path / "config").write_text(service.config())
        monkeypatch.setenv("DDSCLIENT_CONF", str(tmp_path / "config"))
        monkeypatch.setattr("lando.stores.transfer.FIRST_PAUSE_S", 0.0)
        yield service


@pytest.fixture
def api(service: DukeDS) -> DukedsApi:
    return dukeds.open_api()


@pytest.fixture
def project(api: DukedsApi) -> DukedsProject:
    return DukedsProject.of_job(api, "Bespin Exome v1 batch 2026-03-04", "42-batch", None)


def times(count: int, fault: tuple[int, object] | str, method: str, path: str) -> Callable[[str, str], object]:
    """The fault for the first so many calls of a method whose path holds a text."""
    left = [fault] * count
    return lambda found, where: left.pop() if found == method and path in where and left else None


def test_a_tree_of_files_becomes_folders_and_files(
    service: DukeDS, project: DukedsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dukeds, "PART", 3)
    top = tmp_path / "results"
    contents = {"docs/README.md": b"# Report", "docs/logs/a b.log": b"", "ü+%.bam": b"0123456789"}
    for name, content in contents.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    saved = upload(project, list(files_below(top, "results", lambda _path: None)))
    assert all(file.sent for file in saved)
    there = service.paths(project.project_id)
    assert {path: service.content(file) for path, file in there.items()} == {
        f"results/{name}": content for name, content in contents.items()
    }
    assert len(service.folders) == 3
    assert project.id_of("results/docs/README.md") == there["results/docs/README.md"]["id"]


def test_what_is_there_is_not_sent_again_and_what_differs_is_a_new_version(
    service: DukeDS, api: DukedsApi, project: DukedsProject, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"one")
    files = list(files_below(tmp_path / "a", "results/a", lambda _path: None))
    assert upload(project, files)[0].sent
    again = DukedsProject(api, project.project_id)
    assert not upload(again, files)[0].sent
    version = again.version_of("results/a")
    (tmp_path / "a").write_bytes(b"two")
    assert upload(again, files)[0].sent
    [file] = service.paths(project.project_id).values()
    assert service.content(file) == b"two"
    assert again.version_of("results/a") == file["current_version"]["id"] != version
    assert len(service.folders) == 1


def test_a_job_finds_the_project_of_its_earlier_attempt_and_no_others(service: DukeDS, api: DukedsApi) -> None:
    first = DukedsProject.of_job(api, "title", "42-batch", None)
    assert DukedsProject.of_job(api, "title", "42-batch", None).project_id == first.project_id
    assert DukedsProject.of_job(api, "title", "43-batch", None).project_id != first.project_id
    assert DukedsProject.of_job(api, "title", "44-batch", "recorded").project_id == "recorded"
    assert len(service.projects) == 2


@pytest.mark.parametrize("path", ["/projects", "/folders", "/files/", "/uploads"])
@pytest.mark.parametrize("fault", ["lost", (503, {"error": "down"}), (404, {"code": "resource_not_consistent"})])
def test_a_post_whose_answer_is_lost_or_refused_leaves_nothing_twice(
    service: DukeDS, api: DukedsApi, tmp_path: Path, path: str, fault: tuple[int, object] | str
) -> None:
    service.fault = times(1, fault, "POST", path)  # type: ignore[assignment]
    (tmp_path / "a").write_bytes(b"one")
    project = DukedsProject.of_job(api, "title", "42-batch", None)
    upload(project, list(files_below(tmp_path / "a", "results/a", lambda _path: None)))
    assert (len(service.projects), len(service.folders), len(service.files)) == (1, 1, 1)


def test_a_service_that_stays_away_is_given_up(service: DukeDS, api: DukedsApi) -> None:
    service.fault = lambda _method, path: (503, {}) if path.endswith("/projects") else None
    with pytest.raises(Unavailable, match="503"):
        api.get("/projects")
    assert service.calls.count(("GET", "/api/v1/projects")) == ATTEMPTS


def test_a_token_that_was_withdrawn_is_claimed_anew(service: DukeDS, api: DukedsApi) -> None:
    api.get("/current_user")
    service.tokens.clear()
    assert api.get("/current_user") == {"id": "me"}
    assert len(service.tokens) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on_where_it_was(service: DukeDS, api: DukedsApi, ranges: bool) -> None:
    service.ranges = ranges
    content = bytes(range(256)) * 100
    file = service.add_file(content)
    service.fault = times(3, "lost", "GET", "/object/")  # type: ignore[assignment]
    assert b"".join(read_file(api, file["id"], len(content))) == content
    assert len([path for _method, path in service.calls if path.endswith("/url")]) == 4


def test_a_download_that_brings_nothing_ends(service: DukeDS, api: DukedsApi) -> None:
    file = service.add_file(b"abc")
    service.fault = lambda _method, path: (500, None) if path.startswith("/object/") else None
    with pytest.raises(Unavailable, match="500"):
        list(read_file(api, file["id"], 3))


@pytest.mark.parametrize("status", [500, 403])
def test_a_chunk_is_sent_again_to_a_fresh_address(service: DukeDS, project: DukedsProject, status: int) -> None:
    service.fault = times(2, (status, None), "PUT", "/object/")  # type: ignore[assignment]
    project.put_bytes(b"abc", "a")
    assert b"".join(project.read("a")) == b"abc"


def test_what_the_service_found_damaged_is_sent_again(service: DukeDS, project: DukedsProject, tmp_path: Path) -> None:
    found = (400, {"reason": "reported hash value does not match size computed by StorageProvider"})
    service.fault = times(1, found, "PUT", "/complete")  # type: ignore[assignment]
    (tmp_path / "a").write_bytes(b"one")
    upload(project, list(files_below(tmp_path / "a", "a", lambda _path: None)))
    assert len(service.uploads) == 2
    assert [service.content(file) for file in service.files.values()] == [b"one"]


def test_a_deleted_file_is_gone(project: DukedsProject) -> None:
    project.put_bytes(b"abc", "a/b")
    project.put_bytes(b"abc", "ab")
    assert [entry.path for entry in project.list("a")] == ["a/b"]
    project.delete("a/b")
    project.delete("a/b")
    assert project.entry("a/b") is None
    with pytest.raises(NotFound, match="a/b does not exist"):
        list(project.read("a/b"))


def test_users_get_their_role_and_are_told(service: DukeDS, project: DukedsProject, tmp_path: Path) -> None:
    log: list[str] = []
    project.share(["1c1c"], "project_admin", "ready", log.append)
    assert service.permissions == {(project.project_id, "1c1c"): "project_admin"}
    assert not service.mails
    (tmp_path / "config").write_text(service.config(d4s2_url=f"{service.url}/mail"))
    told = DukedsProject(dukeds.open_api(), project.project_id)
    told.share(["1c1c"], "file_downloader", "ready", log.append)
    assert [mail["path"] for mail in service.mails] == ["/mail/shares/", "/mail/shares/s1/send/"]
    assert service.mails[0]["to_user_id"] == "1c1c"
    service.fault = lambda _method, path: (500, None) if path.startswith("/mail") else None
    told.share(["1c1c"], "file_downloader", "ready", log.append)
    assert "could be told by mail" in log[0]
    with pytest.raises(Rejected, match="invalid auth_role"):
        project.share(["1c1c"], "king", "ready", log.append)


def test_an_activity_is_recorded_once_with_its_relations(service: DukeDS, project: DukedsProject) -> None:
    activity = {"name": "batch", "description": "Job 42", "started_on": "", "ended_on": ""}
    service.fault = times(1, "lost", "POST", "/relations/was_generated_by")  # type: ignore[assignment]
    made = project.record(activity, ["v1", "v2"], ["v3"])
    assert list(service.activities) == [made]
    assert sorted(service.relations) == [("used", made, "v1"), ("used", made, "v2"), ("was_generated_by", made, "v3")]


def test_a_page_in_the_services_place_is_no_answer(service: DukeDS, api: DukedsApi) -> None:
    api.get("/current_user")
    service.fault = lambda *_call: (200, None)
    with pytest.raises(Unavailable, match="answered no JSON"):
        api.get("/current_user")


def test_a_file_of_another_is_not_found(api: DukedsApi) -> None:
    with pytest.raises(NotFound, match="404"):
        file_record(api, "../projects")


def test_no_error_shows_a_key_a_token_or_a_signed_address(service: DukeDS, api: DukedsApi) -> None:
    file = service.add_file(b"abc")
    texts = [repr(Credential.mounted())]
    for fault in ((400, {"reason": "no"}), (403, {}), (500, {})):
        service.fault = lambda _method, path, fault=fault: fault if path.startswith("/object/") else None  # type: ignore[misc]
        with pytest.raises((Rejected, Unavailable)) as caught:
            list(read_file(api, file["id"], 3))
        texts.append(str(caught.value))
    service.fault = lambda *_call: (404, {})
    with pytest.raises(Rejected, match="agent_key") as refused:
        dukeds.open_api().get("/projects")
    texts.append(str(refused.value))
    for secret in (AGENT_KEY, USER_KEY, "s3cret", *service.tokens):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "can't be read"),
        ("a: [", "can't be read"),
        ("agent_key: s3cret", "lacks user_key"),
        ("just text", "lacks agent_key and user_key"),
        ("{agent_key: a, user_key: b, url: 'file:///x'}", "not https"),
    ],
)
def test_a_credential_that_will_not_do_is_told_without_what_it_holds(
    content: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "config").write_text(content)
    monkeypatch.setenv("DDSCLIENT_CONF", str(tmp_path / "config"))
    with pytest.raises(ConfigError, match=sentence) as caught:
        Credential.mounted()
    assert "s3cret" not in str(caught.value)


def test_chunks_of_very_large_files_are_larger(project: DukedsProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dukeds, "PART", 1)
    monkeypatch.setattr(dukeds, "MOST_PARTS", 4)
    moved: list[int] = []
    path = Path(__file__)
    project.put(path, "a", moved.append)
    assert len(moved) <= 4
    assert sum(moved) == path.stat().st_size < CHUNK
