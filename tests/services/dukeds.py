"""A small Duke Data Service: its documented calls as far as staging and saving use them, on files in memory.

It is strict where the real one is: tokens, hashes of chunks and files, sizes, parents, roles, one page at a time.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

AGENT_KEY, USER_KEY = "agent-7b1d", "user-93ac"
ROLES = frozenset({"project_admin", "project_viewer", "file_downloader", "file_uploader", "file_editor"})
PER_PAGE_AT_MOST = 2  # so that every listing of a test has pages

Answer = tuple[int, Any]
Document = dict[str, Any]


@dataclass
class DukeDS:
    """What the service holds, by id, and what was asked of it."""

    url: str = ""
    projects: dict[str, Document] = field(default_factory=dict)
    folders: dict[str, Document] = field(default_factory=dict)
    files: dict[str, Document] = field(default_factory=dict)
    uploads: dict[str, Document] = field(default_factory=dict)
    activities: dict[str, Document] = field(default_factory=dict)
    relations: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, activity, version."""
    permissions: dict[tuple[str, str], str] = field(default_factory=dict)
    """Roles by project and user."""
    mails: list[Document] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    ranges: bool = True
    """Whether its object store knows them."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], Answer | str | None] = lambda _method, _path: None
    """Asked before each call: an answer to give instead, or ``lost`` (done, but its answer is not sent)."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def config(self, **more: str) -> str:
        """The ``ddsclient.conf`` of its agent."""
        lines = {"url": f"{self.url}/api/v1", "agent_key": AGENT_KEY, "user_key": USER_KEY, **more}
        return "".join(f"{key}: {value}\n" for key, value in lines.items())

    def add_file(self, content: bytes, name: str = "a.fastq") -> Document:
        """A file that was there before, in a project of its own."""
        project = self._make(self.projects, {"name": "inputs", "description": "", "kind": "dds-project"})
        upload = self._upload(project["id"], {"name": name, "size": len(content)})
        self.uploads[upload["id"]] |= {"chunks": {1: content}, "done": True}
        return self._file({"parent": {"kind": "dds-project", "id": project["id"]}, "upload": {"id": upload["id"]}})

    def content(self, file: Document) -> bytes:
        """What a file's current version holds."""
        chunks = self.uploads[file["current_version"]["upload"]["id"]]["chunks"]
        return b"".join(chunks[number] for number in sorted(chunks))

    def paths(self, project_id: str) -> dict[str, Document]:
        """The files of a project."""
        return {
            "/".join([a["name"] for a in file["ancestors"] if a["kind"] == "dds-folder"] + [file["name"]]): file
            for file in self.files.values()
            if file["project"]["id"] == project_id
        }

    def answer(self, method: str, path: str, document: Document) -> Answer:
        """The answer to a call of the API that brought a valid token."""
        match [method, *path.strip("/").split("/")]:
            case ["GET", "current_user"]:
                return 200, {"id": "me"}
            case ["GET", "projects"]:
                return 200, list(self.projects.values())
            case ["POST", "projects"]:
                return 201, self._make(self.projects, {"kind": "dds-project", "is_deleted": False, **document})
            case ["GET", "projects", project, "files"] if project in self.projects:
                return 200, [self._listed(file) for file in self.paths(project).values()]
            case ["GET", "projects", project] if project in self.projects:
                return 200, self.projects[project]
            case ["GET", "projects" | "folders", parent, "children"]:
                found = [*self.folders.values(), *self.files.values()]
                part = document.get("name_contains", "")
                return 200, [item for item in found if item["parent"]["id"] == parent and part in item["name"]]
            case ["PUT", "projects", project, "permissions", user] if project in self.projects:
                if document["auth_role[id]"] not in ROLES:
                    return 400, {"reason": "invalid auth_role"}
                self.permissions[project, user] = document["auth_role[id]"]
                return 200, {"auth_role": {"id": document["auth_role[id]"]}}
            case ["POST", "projects", project, "uploads"] if project in self.projects:
                return 201, self._upload(project, document)
            case ["PUT", "uploads", upload, "chunks"]:
                self.uploads[upload]["told"][document["number"]] = (document["size"], document["hash"]["value"])
                return 200, self._signed("PUT", f"/object/{upload}/{document['number']}")
            case ["GET", "uploads", upload]:
                return 200, {key: self.uploads[upload][key] for key in ("id", "name", "size")}
            case ["PUT", "uploads", upload, "complete"]:
                return self._complete(upload, document)
            case ["POST", "folders"]:
                return 201, self._make(self.folders, {"kind": "dds-folder", "is_deleted": False, **document})
            case ["POST", "files"]:
                return 201, self._file(document)
            case ["GET", "files", file] if file in self.files:
                return 200, self.files[file]
            case ["PUT", "files", file] if file in self.files:
                self.files[file]["current_version"] = self._version(document["upload[id]"])
                return 200, self.files[file]
            case ["DELETE", "files", file] if file in self.files:
                del self.files[file]
                return 204, None
            case ["GET", "files", file, "url"] if file in self.files:
                upload = self.files[file]["current_version"]["upload"]["id"]
                return 200, self._signed("GET", f"/object/{upload}/all")
            case ["GET", "activities"]:
                return 200, list(self.activities.values())
            case ["POST", "activities"]:
                return 201, self._make(self.activities, document)
            case ["DELETE", "activities", activity]:
                self.relations = [relation for relation in self.relations if relation[1] != activity]
                del self.activities[activity]
                return 204, None
            case ["POST", "relations", ("used" | "was_generated_by") as kind]:
                self.relations.append((kind, document["activity"]["id"], document["entity"]["id"]))
                return 201, {"id": str(uuid.uuid4())}
        return 404, {"error": "404", "code": "not_provided", "reason": "resource not found"}

    def _listed(self, file: Document) -> Document:
        """A file in its project's listing, which has another form than the file alone."""
        upload = file["current_version"]["upload"]
        listed = {key: file[key] for key in ("id", "name", "ancestors")}
        url = self._signed("GET", f"/object/{upload['id']}/all")
        return {**listed, "size": upload["size"], "hashes": upload["hashes"], "file_url": url}

    def _make(self, where: dict[str, Document], document: Document) -> Document:
        made = {"id": str(uuid.uuid4()), **document}
        where[made["id"]] = made
        return made

    def _signed(self, verb: str, path: str) -> Document:
        host = self.url
        return {"http_verb": verb, "host": host, "url": f"{path}?signature=s3cret", "http_headers": {"X-Part": "1"}}

    def _upload(self, project: str, document: Document) -> Document:
        made = self._make(self.uploads, {"project": project, "chunks": {}, "told": {}, **document})
        answer = {"id": made["id"], "name": made["name"], "size": made["size"]}
        if made.get("chunked", True):
            return answer
        made["told"][1] = (made["size"], made["hash"]["value"])
        return {**answer, "signed_url": self._signed("PUT", f"/object/{made['id']}/1")}

    def _complete(self, upload_id: str, document: Document) -> Answer:
        upload = self.uploads[upload_id]
        data = b"".join(upload["chunks"].get(number, b"") for number in sorted(upload["told"]))
        if len(data) != upload["size"] or hashlib.md5(data).hexdigest() != document["hash[value]"]:
            return 400, {"reason": "reported hash value does not match size computed by StorageProvider"}
        upload["done"] = True
        return 200, {"id": upload_id}

    def _version(self, upload_id: str) -> Document:
        upload = self.uploads[upload_id]
        assert upload["done"]
        data = b"".join(upload["chunks"][number] for number in sorted(upload["chunks"]))
        hashes = [{"algorithm": "md5", "value": hashlib.md5(data).hexdigest()}]
        told = {"id": upload_id, "size": len(data), "hashes": hashes}
        return {"id": str(uuid.uuid4()), "version": 1, "upload": told}

    def _file(self, document: Document) -> Document:
        upload = self.uploads[document["upload"]["id"]]
        ancestors: list[Document] = []
        parent = document["parent"]
        while parent["kind"] == "dds-folder":
            folder = self.folders[parent["id"]]
            ancestors.insert(0, {"kind": "dds-folder", "id": folder["id"], "name": folder["name"]})
            parent = folder["parent"]
        project = self.projects[parent["id"]]
        ancestors.insert(0, {"kind": "dds-project", "id": project["id"], "name": project["name"]})
        made = {"kind": "dds-file", "name": upload["name"], "parent": document["parent"], "ancestors": ancestors}
        made |= {"project": {"id": project["id"]}, "is_deleted": False}
        return self._make(self.files, {**made, "current_version": self._version(upload["id"])})


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the service of its server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body does not wait until its head is acknowledged
    wbufsize = 1 << 16  # an answer in one piece
    service: DukeDS

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        service = self.service
        with service.lock:
            service.calls.append((self.command, path))
            fault = service.fault(self.command, path)
            if isinstance(fault, tuple):
                return self._send(*fault)
            if path.startswith("/object/"):
                return self._object(path, query, body, lost=fault == "lost")
            form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
            values = parse_qs(body.decode()) if body and form else query
            document = json.loads(body) if body and not form else {key: value[0] for key, value in values.items()}
            status, found = self._answer(path, document)
        headers = {}
        if isinstance(found, list):
            size = min(int(document["per_page"]), PER_PAGE_AT_MOST)
            headers = {"x-total": str(len(found)), "x-total-pages": str(max(1, -(-len(found) // size)))}
            start = (int(document["page"]) - 1) * size
            found = {"results": found[start : start + size]}
        if fault == "lost":
            self.close_connection = True
            return None
        return self._send(status, found, headers)

    def _answer(self, path: str, document: Document) -> Answer:
        service = self.service
        if path == "/api/v1/software_agents/api_token":
            if (document["agent_key"], document["user_key"]) != (AGENT_KEY, USER_KEY):
                return 404, {"reason": "invalid software_agent key"}
            token = str(uuid.uuid4())
            service.tokens.add(token)
            return 201, {"api_token": token, "expires_on": 4_000_000_000}
        if path.startswith("/mail/"):
            if self.headers.get("X-DukeDS-Authorization") not in service.tokens:
                return 401, {}
            service.mails.append({"path": path, **document})
            return 201, {"id": "s1"}
        if self.headers.get("Authorization") not in service.tokens:
            return 401, {"reason": "invalid api_token"}
        return service.answer(self.command, unquote(path.removeprefix("/api/v1")), document)

    def _object(self, path: str, query: dict[str, list[str]], body: bytes, *, lost: bool) -> None:
        _object, upload_id, number = path.strip("/").split("/")
        assert "Authorization" not in self.headers  # the token is for the service alone
        if query.get("signature") != ["s3cret"] or (self.command == "PUT" and self.headers.get("X-Part") != "1"):
            return self._send(403, None)
        upload = self.service.uploads[upload_id]
        if self.command == "PUT":
            if (len(body), hashlib.md5(body).hexdigest()) != upload["told"][int(number)]:
                return self._send(400, None)
            upload["chunks"][int(number)] = body
            return self._send(201, None)
        data = b"".join(upload["chunks"][number] for number in sorted(upload["chunks"]))
        wanted = self.headers.get("Range") if self.service.ranges else None
        start = int((wanted or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if lost:  # in the middle
            self.wfile.write(data[start : start + (len(data) - start) // 2])
            self.close_connection = True
            return None
        self.wfile.write(data[start:])
        return None

    def _send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815


@contextmanager
def duke_data_service() -> Iterator[DukeDS]:
    """One that listens on the loopback address."""
    service = DukeDS()
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        service.url = "http://{}:{}".format(*server.server_address[:2])
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        yield service
        server.shutdown()
        thread.join()
