"""Projects and files of the Duke Data Service (``dds:``), which knows them by id and not by URL."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from lando.errors import NotFound, PeerError, Rejected, Unavailable
from lando.stores import CHUNK, Entry, Progress, no_progress, put_each, relative_path
from lando.stores.checksums import of_file
from lando.stores.dukeds_api import PEER, Credential, DukedsApi
from lando.stores.transfer import ATTEMPTS, Sleep, pause_s, with_retries

PART = 16 * CHUNK  # bytes of a chunk, in memory while it is sent
MOST_PARTS = 1_000  # of one file; larger files have larger chunks
WORKERS = 4  # threads that upload
_OTHER_HASH = "reported hash value does not match"  # the service's words when a file is not what was announced
FILE, FOLDER, PROJECT = "dds-file", "dds-folder", "dds-project"


def open_api() -> DukedsApi:
    """The service with the mounted credential. Raises :class:`lando.errors.ConfigError` where there is none."""
    return DukedsApi(Credential.mounted())


def file_record(api: DukedsApi, file_id: str) -> dict[str, Any]:
    """What the service knows of a file; ``current_version`` names its content."""
    record: dict[str, Any] = api.get(f"/files/{quote(file_id, safe='')}")
    return record


def content_of(record: dict[str, Any]) -> Entry:
    """Size and checksum of a file's current version; a project's listing has them at the record's top."""
    upload = record["current_version"]["upload"] if "current_version" in record else record
    hashes = upload.get("hashes") or ([upload["hash"]] if upload.get("hash") else [])  # the older form has one
    told = {str(item["algorithm"]).lower(): str(item["value"]).lower() for item in hashes}
    known = next((name for name in ("sha256", "md5", "sha1") if name in told), None)
    return Entry(
        path=str(record["name"]), size=int(upload["size"]), checksum=(known, told[known]) if known is not None else None
    )


def read_file(api: DukedsApi, file_id: str, size: int, sleep: Sleep = time.sleep) -> Iterator[bytes]:
    """A file's content; where the connection breaks off it goes on, with a fresh address.

    Raises:
        Unavailable: Several tries in a row brought nothing.
    """
    done, fruitless = 0, 0
    while done < size:
        before = done
        try:
            for chunk in api.receive(api.get(f"/files/{quote(file_id, safe='')}/url"), done):
                done += len(chunk)
                yield chunk
            if done < size:
                raise Unavailable(PEER, f"file {file_id} ended after {done} of {size} bytes")
        except Unavailable:
            fruitless = fruitless + 1 if done == before else 0
            if fruitless == ATTEMPTS:
                raise
            sleep(pause_s(max(fruitless, 1)))


class DukedsProject:
    """The files of one project. Each becomes visible when its upload is complete and the service has its hash."""

    def __init__(self, api: DukedsApi, project_id: str) -> None:
        self._api = api
        self.project_id = project_id
        self._lock = threading.RLock()
        self._known: dict[str, dict[str, Any]] | None = None  # records of files by path; None: to be asked for
        self._folders: dict[str, str] = {}  # ids by path

    @classmethod
    def of_job(cls, api: DukedsApi, title: str, mark: str, recorded: str | None) -> DukedsProject:
        """The project ``recorded`` for a job, or the one that an earlier attempt made, or a new one.

        ``mark`` is the job's own; it stands in the project's description, so that no other job's project of the same
        title is taken.
        """
        if recorded:
            return cls(api, recorded)
        description = f"{title} ({mark})"

        def find_or_make() -> str:
            for project in api.collection("/projects"):
                if (project["name"], project.get("description")) == (title, description) and not project.get(
                    "is_deleted"
                ):
                    return str(project["id"])
            return str(api.post("/projects", {"name": title, "description": description})["id"])

        return cls(api, with_retries(find_or_make))

    @property
    def url(self) -> str:
        return f"dds:{self.project_id}"

    def url_of(self, path: str) -> str:
        return f"{self.url}/{relative_path(path)}"

    def id_of(self, path: str) -> str:
        """The id of a file that is there."""
        return str(self._record(path)["id"])

    def version_of(self, path: str) -> str:
        """The id of the current version of a file that is there."""
        record = self._record(path)
        if "current_version" not in record:
            record = file_record(self._api, record["id"])
        return str(record["current_version"]["id"])

    def entry(self, path: str) -> Entry | None:
        known = self._files().get(relative_path(path))
        if known is None:
            return None
        try:
            record = file_record(self._api, known["id"])
        except NotFound:
            return None
        with self._lock:
            self._files()[path] = record
        return _entry(path, record)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        below = f"{relative_path(prefix)}/" if prefix else ""
        for path, record in sorted(self._files().items()):
            if path.startswith(below):
                yield _entry(path, record)

    def read(self, path: str) -> Iterator[bytes]:
        record = self._record(path)
        return read_file(self._api, record["id"], content_of(record).size)

    def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
        with local.open("rb") as source:
            self._put(source, local.stat().st_size, of_file(local, "md5"), path, progress)

    def put_many(
        self, files: Sequence[tuple[Path, str]], progress: Progress = no_progress
    ) -> Sequence[PeerError | None]:
        return put_each(self.put, files, progress, WORKERS)

    def put_bytes(self, data: bytes, path: str) -> None:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._put(io.BytesIO(data), len(data), md5, path, no_progress)

    def delete(self, path: str) -> None:
        with self._lock:
            known = self._files().pop(relative_path(path), None)
        if known is not None:
            self._api.delete(f"/files/{known['id']}")

    def share(self, user_ids: Sequence[str], role: str, message: str, log: Callable[[str], None]) -> None:
        """Give each user the role in the project, and have them told, where the credential names the service for it."""
        for user in user_ids:
            path = f"/projects/{self.project_id}/permissions/{quote(user, safe='')}"
            self._api.put(path, form={"auth_role[id]": role})
        if not user_ids or not self._api.credential.d4s2_url:
            return
        try:
            me = self._api.get("/current_user")["id"]
            for user in user_ids:
                share = {"project_id": self.project_id, "from_user_id": me, "to_user_id": user}
                made = self._api.mail("/shares/", {**share, "role": role, "user_message": message})
                self._api.mail(f"/shares/{made['id']}/send/", {"force": True})
        except PeerError as error:  # the results are there, and shared
            log(f"warning: not all who share the project could be told by mail: {error}")

    def record(self, activity: dict[str, str], used: Sequence[str], generated: Sequence[str]) -> str:
        """The activity that made the project's files, with the versions it used and made; its id.

        An activity of this name and description that an earlier attempt left goes, as it may be without relations.
        """
        wanted = (activity["name"], activity["description"])

        def make() -> str:
            for found in self._api.collection("/activities"):
                if (found.get("name"), found.get("description")) == wanted and not found.get("is_deleted"):
                    self._api.delete(f"/activities/{found['id']}")
            made = str(self._api.post("/activities", dict(activity))["id"])
            for kind, versions in (("used", used), ("was_generated_by", generated)):
                for version in versions:
                    relation = {"activity": {"id": made}, "entity": {"id": version, "kind": FILE}}
                    self._api.post(f"/relations/{kind}", relation)
            return made

        return with_retries(make)

    def _record(self, path: str) -> dict[str, Any]:
        try:
            return self._files()[relative_path(path)]
        except KeyError as error:
            raise NotFound(PEER, f"{self.url_of(path)} does not exist", status=404) from error

    def _files(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            if self._known is None:
                found = self._api.collection(f"/projects/{self.project_id}/files")
                self._known = {_path(record): record for record in found if not record.get("is_deleted")}
            return self._known

    def _put(self, source: BinaryIO, size: int, md5: str, path: str, progress: Progress) -> None:
        folder, _slash, name = relative_path(path).rpartition("/")
        known = self._files().get(path)
        kind, parent = (FOLDER, self._folder(folder)) if folder else (PROJECT, self.project_id)
        try:
            upload_id = self._upload(source, size, md5, name, progress)
            if known is not None:
                record = self._api.put(f"/files/{known['id']}", form={"upload[id]": upload_id})
            else:
                document = {"parent": {"kind": kind, "id": parent}, "upload": {"id": upload_id}}
                record = self._api.post("/files/", document)
        except Unavailable:
            with self._lock:
                self._known = None  # the answer may be lost, and the file be there
            raise
        with self._lock:
            self._files()[path] = record

    def _upload(self, source: BinaryIO, size: int, md5: str, name: str, progress: Progress) -> str:
        """Send the content in chunks; the id under which a file takes it. An empty file has one empty chunk."""
        document: dict[str, Any] = {
            "name": name,
            "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "size": size,
            "hash": {"value": md5, "algorithm": "md5"},
            "chunked": True,
        }
        if self._api.credential.storage_provider_id:
            document["storage_provider"] = {"id": self._api.credential.storage_provider_id}
        upload_id = str(self._api.post(f"/projects/{self.project_id}/uploads", document)["id"])
        part = max(PART, -(-size // MOST_PARTS))
        for number in range(1, max(1, -(-size // part)) + 1):
            data = source.read(part)
            digest = {"value": hashlib.md5(data, usedforsecurity=False).hexdigest(), "algorithm": "md5"}
            chunk = {"number": number, "size": len(data), "hash": digest}
            self._send(upload_id, chunk, data)
            progress(len(data))
        try:
            self._api.put(f"/uploads/{upload_id}/complete", form={"hash[value]": md5, "hash[algorithm]": "md5"})
        except Rejected as error:
            if _OTHER_HASH not in str(error):
                raise
            raise Unavailable(PEER, f"{name} was damaged on its way: {error}") from error
        return upload_id

    def _send(self, upload_id: str, chunk: dict[str, Any], data: bytes) -> None:
        """One chunk; each try has a fresh address, as addresses expire."""
        with_retries(lambda: self._api.send(self._api.put(f"/uploads/{upload_id}/chunks", chunk), data))

    def _folder(self, path: str) -> str:
        """The id of a folder, made with those above it where they are not there."""
        with self._lock:
            if path in self._folders:
                return self._folders[path]
            above, _slash, name = path.rpartition("/")
            kind, parent = (FOLDER, self._folder(above)) if above else (PROJECT, self.project_id)

            def find_or_make() -> str:
                where = "folders" if above else "projects"
                for child in self._api.collection(f"/{where}/{parent}/children", name_contains=name):
                    if (child["kind"], child["name"]) == (FOLDER, name) and not child.get("is_deleted"):
                        return str(child["id"])
                return str(self._api.post("/folders", {"name": name, "parent": {"kind": kind, "id": parent}})["id"])

            self._folders[path] = with_retries(find_or_make)
            return self._folders[path]


def _entry(path: str, record: dict[str, Any]) -> Entry:
    content = content_of(record)
    return Entry(path=path, size=content.size, checksum=content.checksum)


def _path(record: dict[str, Any]) -> str:
    """The folders above a file, and its name."""
    folders = [str(above["name"]) for above in record.get("ancestors") or () if above["kind"] == FOLDER]
    return "/".join([*folders, str(record["name"])])
