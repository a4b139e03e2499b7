"""Uploads, signed downloads, and registering workflows."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.api import setup
from lando.api.files import FileStore, FileUrls, TooLarge, safe_name
from lando.api.keys import ServerKey
from lando.api.models import Job, UploadedFile, now
from lando.api.server import Server
from lando.api.settings import Settings
from lando.api.unused_files import UnusedFiles
from sqlalchemy import update
from tests.unit.api.serving import PACKED, Api, FakeBroker, Serve

FILES = "/api/lando/v1/files"


def upload(api: Api, content: bytes = b"0123456789", name: str = "a.txt", user: str = "ada") -> dict[str, Any]:
    answer = api.call("POST", f"{FILES}?name={name}", user=user, content=content)
    assert answer.status_code == 201, answer.text
    result: dict[str, Any] = answer.json()
    return result


def test_an_upload_is_measured_and_kept(api: Api, settings: Settings) -> None:
    data = b"ACGT" * 1_000_000
    made = upload(api, data)
    assert (made["size"], made["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert made["url"] == f"http://testserver{FILES}/{made['id']}/a.txt"
    assert api.get(made["url"]).content == data
    assert not list(Path(settings.files_dir).rglob("*.part"))


def test_an_empty_file_is_a_file(api: Api) -> None:
    assert api.get(upload(api, b"")["url"]).content == b""


def test_an_upload_of_any_content_type_is_taken(api: Api) -> None:
    answer = api.call("POST", f"{FILES}/?name=x", content=b"x", headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 201


def test_too_large_an_upload_leaves_nothing(serve: Serve, settings: Settings) -> None:
    api = serve(max_upload_bytes=1000, max_body_bytes=100)
    assert upload(api, b"x" * 1000)["size"] == 1000
    assert api.call("POST", f"{FILES}?name=x", content=b"x" * 1001).status_code == 413
    assert api.call("POST", f"{FILES}?name=x", content=iter([b"x" * 600, b"x" * 600])).status_code == 413
    assert len([path for path in Path(settings.files_dir).rglob("*") if path.is_file()]) == 1


def test_ranges_and_heads_are_served(api: Api) -> None:
    url = upload(api)["url"]
    part = api.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert api.get(url, headers={"Range": "bytes=99-"}).status_code == 416
    head = api.call("HEAD", url)
    assert (head.content, head.headers["content-length"]) == (b"", "10")


def test_a_signed_url_needs_no_sign_in_and_any_other_does(api: Api) -> None:
    made = upload(api)
    urls = FileUrls(api.site.settings, api.site.key)
    signed = urls.for_daemon(urls.to_store(made["url"]))
    assert api.client.get(signed).content == b"0123456789"
    assert api.client.get(made["url"]).status_code == 401
    assert api.client.get(signed.replace("signature=", "signature=0")).status_code == 401
    assert api.client.get(signed.replace("a.txt", "b.txt")).status_code == 401
    assert api.get(made["url"], "eve").status_code == 404
    assert api.get(made["url"], "operator").status_code == 200
    assert api.get(f"{FILES}/{'0' * 32}/a.txt").status_code == 404
    assert api.get(f"{FILES}/{made['id']}/b.txt").status_code == 404


def test_a_signed_url_expires(api: Api, settings: Settings) -> None:
    stored = FileUrls(settings, api.site.key).to_store(upload(api)["url"])
    old = FileUrls(settings, api.site.key, clock=lambda: 0.0)
    assert api.client.get(old.for_daemon(stored)).status_code == 401


def test_the_same_signed_url_is_given_all_day(settings: Settings) -> None:
    clock = [86_400.0 * 20_000 + 10]
    urls = FileUrls(settings, ServerKey(b"k" * 32), clock=lambda: clock[0])
    stored = urls.stored("0" * 32, "a b.txt")
    first = urls.for_daemon(stored)
    clock[0] += 80_000
    assert urls.for_daemon(stored) == first
    assert "/a%20b.txt?expires=" in first


def test_a_name_with_odd_characters_becomes_a_plain_one(api: Api) -> None:
    made = upload(api, name="..%2F..%2Fé%20%00x.txt")
    assert made["url"].endswith("/_x.txt")
    assert api.get(made["url"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a.txt", "a.txt"), ("/etc/passwd", "passwd"), ("..", "file"), ("", "file"), ("a\\b", "b"),
     (".x", "x"), ("a;b", "a_b")],
)  # fmt: skip
def test_names_are_safe_in_urls_and_folders(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with store.begin(10) as pending:
        pending.write(b"x")
    with pytest.raises(TooLarge), store.begin(1) as pending:
        pending.write(b"xx")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_our_own_address_is_taken_for_ours(settings: Settings) -> None:
    urls = FileUrls(settings, ServerKey(b"k" * 32))
    path = urls.stored("0" * 32, "a.txt")
    assert urls.to_store(f"http://testserver{path}") == path
    for foreign in (f"http://elsewhere{path}", f"http://testserver.evil.org{path}", "https://x.org/a"):
        assert urls.to_store(foreign) == foreign
        assert urls.for_daemon(foreign) == foreign


def test_a_registered_workflow_is_private_and_registered_once(api: Api) -> None:
    tag = api.register("ada")
    assert tag == "ada-read-counts/1/default"
    assert api.register("ada") == tag
    assert api.register("eve") == "eve-read-counts/1/default"
    changed = {**PACKED, "cwlVersion": "v1.1"}
    answer = api.post("/api/lando/v1/workflows", {"name": "Read counts", "packed": changed})
    assert answer.json()["tag"] == "ada-read-counts/2/default"
    named = api.post("/api/lando/v1/workflows", {"name": "Read counts", "packed": changed, "version": "v9"})
    assert named.json()["tag"] == "ada-read-counts/v9/default"
    taken = api.post("/api/lando/v1/workflows", {"name": "Read counts", "packed": PACKED, "version": "v9"})
    assert (taken.status_code, list(taken.json())) == (400, ["version"])


def test_workflows_whose_names_look_alike_get_tags_of_their_own(api: Api) -> None:
    assert api.register("ada", "a b") != api.register("ada", "a-b")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"packed": {}}, "packed"), ({"packed": "x"}, "packed"), ({"packed": None}, "packed"), ({"name": ""}, "name"),
     ({"version": "a/b"}, "version")],
)  # fmt: skip
def test_what_is_no_workflow_is_refused(api: Api, changes: dict[str, object], field: str) -> None:
    answer = api.post("/api/lando/v1/workflows", {"name": "x", "packed": PACKED, **changes})
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert api.get("/api/v2/workflows/").json() == []


def stored(settings: Settings) -> set[str]:
    return {path.name for path in Path(settings.files_dir).rglob("*") if path.is_file()}


def age(api: Api, settings: Settings, seconds: float) -> None:
    """Let all uploads have been made that much earlier."""
    with api.site.database.write() as session:
        session.execute(update(UploadedFile).values(created=now() - timedelta(seconds=seconds)))
    for path in Path(settings.files_dir).rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds, time.time() - seconds))


def sweep(api: Api, keep_s: float = 1000) -> int:
    return UnusedFiles(api.site.database, api.site.files, keep_s=keep_s).sweep()


def test_uploads_that_nothing_names_are_forgotten_after_a_while(api: Api, settings: Settings) -> None:
    api.register()
    workflow = stored(settings)
    named, forgotten, young = (upload(api, name=f"{name}+1.txt") for name in ("named", "forgotten", "young"))
    body = {"stage_group": api.stage_group(), "destination_path": "a", "sequence_group": None, "sequence": None}
    assert api.post("/api/v2/url-job-input-files/", {**body, "url": named["url"]}).status_code == 201
    age(api, settings, 2000)
    with api.site.database.write() as session:
        session.execute(update(UploadedFile).filter_by(id=young["id"]).values(created=now()))
    assert sweep(api) == 1
    assert stored(settings) == workflow | {named["id"], young["id"]}
    assert api.get(forgotten["url"]).status_code == 404
    answer = api.post("/api/v2/url-job-input-files/", {**body, "destination_path": "b", "url": forgotten["url"]})
    assert list(answer.json()) == ["url"]


def test_inputs_of_a_deleted_job_are_forgotten_after_a_while(api: Api, settings: Settings) -> None:
    api.register()
    groups = [api.stage_group(), api.stage_group()]
    inputs = [upload(api, name=f"{number}.txt") for number in range(3)]
    for group, number in ((groups[0], 0), (groups[0], 1), (groups[1], 1), (groups[1], 2)):
        body = {"stage_group": group, "destination_path": f"in-{number}", "sequence_group": None, "sequence": None}
        assert api.post("/api/v2/url-job-input-files/", {**body, "url": inputs[number]["url"]}).status_code == 201
    deleted, failed = (api.new_job(stage_group=group) for group in groups)
    for job in (deleted, failed):
        api.write(job, "E/S")
    age(api, settings, 2000)
    assert sweep(api) == 0
    assert api.call("DELETE", f"/api/v2/jobs/{deleted}/").status_code == 204
    assert sweep(api) == 0, "it was deleted just now"
    with api.site.database.write() as session:
        session.execute(update(Job).filter_by(id=deleted).values(last_updated=now() - timedelta(seconds=2000)))
    assert sweep(api) == 1
    assert {inputs[1]["id"], inputs[2]["id"]} <= stored(settings), "another job has the one, and only it the other"
    assert inputs[0]["id"] not in stored(settings)


def test_what_a_crash_left_of_an_upload_is_removed(api: Api, settings: Settings) -> None:
    kept = upload(api)
    folder = Path(settings.files_dir) / "ab"
    folder.mkdir(exist_ok=True)
    (folder / ("ab" + "0" * 30)).write_bytes(b"whole, but never recorded")
    (folder / ("ab" + "1" * 30 + ".part")).write_bytes(b"begun")
    assert sweep(api) == 0, "it may be under way"
    age(api, settings, 500)
    assert sweep(api, keep_s=499) == 3
    assert stored(settings) == set()
    assert api.get(kept["url"]).status_code == 404


def test_a_sweep_takes_any_number_of_uploads(api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lando.api.unused_files.BATCH", 2)
    for _ in range(5):
        upload(api)
    age(api, settings, 2000)
    assert sweep(api) == 5
    assert stored(settings) == set()


def test_a_full_disk_is_said_and_leaves_nothing(api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lando.api.files.os.fsync", full)
    answer = api.call("POST", f"{FILES}?name=x", content=b"x")
    assert (answer.status_code, list(answer.json())) == (507, ["detail"])
    assert "no room" in answer.json()["detail"]
    assert stored(settings) == set()


def test_a_begun_file_goes_even_when_its_last_bytes_can_not_be_written(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    pending = FileStore(tmp_path).begin(10)
    pending._stream.close()
    pending._stream = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"), pending:
        pending.write(b"x")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_upload_with_fewer_bytes_than_it_says_leaves_nothing(settings: Settings) -> None:
    with Server(replace(settings, port=0, public_url=None), publishers=FakeBroker()) as server:
        with server.site.database.write() as session:
            token = setup.ensure_embedded_site(session, username="ada", key=server.site.key).user_token
        head = f"POST {FILES}?name=x HTTP/1.1\r\nHost: x\r\nAuthorization: Token {token}\r\nContent-Length: 100\r\n\r\n"
        with socket.create_connection((server.settings.host, server.settings.port), timeout=10) as connection:
            connection.sendall(head.encode() + b"only so many")
            wait_until(lambda: bool(stored(settings)))
        wait_until(lambda: not stored(settings))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


TRICKS = ["", "/", "/a.txt/", "//a.txt", "/./a.txt", "/../{id}/a.txt", "/a%2Etxt", "/a%252etxt", "/a.txt%00", "/A.TXT"]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_signature_opens_its_own_path_only(api: Api, trick: str) -> None:
    other = upload(api, b"secret", user="eve")
    made = upload(api)
    urls = FileUrls(api.site.settings, api.site.key)
    query = urls.for_daemon(urls.to_store(made["url"])).partition("?")[2]
    path = f"{FILES}/{other['id']}{trick.format(id=made['id'])}"
    answer = api.client.get(f"http://testserver{path}?{query}")
    assert answer.status_code in (401, 404) or answer.content == b"0123456789"


@pytest.mark.parametrize(
    "query", ["expires=0", "expires=-1", "expires=٣", "expires=1e99", "expires=999999999999999", ""]
)
def test_an_expiry_that_was_not_signed_opens_nothing(api: Api, query: str) -> None:
    made = upload(api)
    urls = FileUrls(api.site.settings, api.site.key)
    signature = urls.for_daemon(urls.to_store(made["url"])).rpartition("signature=")[2]
    for given in (signature, signature.upper(), "é" * 64, ""):
        answer = api.client.get(f"{made['url']}?{query}&signature={given}")
        assert answer.status_code == 401


def test_a_great_many_ranges_are_no_burden(api: Api) -> None:
    made = upload(api, b"x" * 1000)
    ranges = "bytes=" + ",".join(f"{number}-{number}" for number in range(0, 1000, 2))
    started = time.monotonic()
    answer = api.get(made["url"], headers={"Range": ranges})
    assert answer.status_code in (200, 206, 416)
    assert len(answer.content) < 200_000
    assert time.monotonic() - started < 5
