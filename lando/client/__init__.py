"""A small client of Lando's API: what the command line needs of the user flow and of ``/api/lando/v1``.

Here is what is about runs; the rest is apart by what it is about (:mod:`.definitions`, :mod:`.upkeep`), over one
:mod:`.connection`, which says what errors there are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import requests

from lando.client.connection import FOLLOW_TRIES, PEER, TIMEOUT_S, Connection, pause
from lando.client.definitions import Definitions
from lando.client.upkeep import Upkeep
from lando.client.views import OutputFile, RunView, run_view
from lando.errors import InputError, Unavailable

KEEP_ALIVE_S = 20
"""Silence on a followed log after which the server is to send something: proxies commonly end it after 30 s."""
FOLLOW_SILENCE_S = 120.0
"""Silence on a followed log after which it is asked for anew: a connection may have died without a word."""
UPLOAD_TRIES = 5
FOLLOW_WAIT_S = 5.0
"""How long the server may hold back an answer about a run that has not changed."""
LASTING_S = 5.0
"""A followed log that broke off after this time did not fail: proxies end what is silent."""
CAUSE_TRIES = 6
CAUSE_RETRY_S = 0.05
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """A file that the server keeps."""

    id: int | str
    url: str
    """Unsigned; what url-job-input-files takes."""
    size: int


class _Upload:
    """A file as the body of a request, which breaks off when ``closed`` is set."""

    def __init__(self, stream: BinaryIO, size: int, closed: threading.Event) -> None:
        self._stream = stream
        self._size = size
        self._closed = closed

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        if self._closed.is_set():
            raise Unavailable(PEER, "The upload was broken off.")
        return self._stream.read(size)


class LandoClient:
    """Calls one server as one user; close it, or use it as a context manager."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._connection = Connection(url, token, timeout_s=timeout_s)
        self.url = self._connection.url
        self.definitions = Definitions(self._connection)
        self.upkeep = Upkeep(self._connection)

    def __enter__(self) -> LandoClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections; uploads under way in other threads end."""
        self._connection.close()

    # --- handing in ---------------------------------------------------------------------------------------------

    def upload(self, source: Path, name: str | None = None) -> UploadedFile:
        """Send one file, streamed; where the server goes away, again from the start, ``UPLOAD_TRIES`` times at most.

        Safe to call from several threads.

        Raises:
            InputError: the file can't be read.
        """
        failures = 0
        while True:
            try:
                with source.open("rb") as stream:
                    size = os.fstat(stream.fileno()).st_size
                    return self._upload(_Upload(stream, size, self._connection.closed), name or source.name)
            except OSError as error:
                raise InputError(f"{source} can't be read: {error.strerror}.") from error
            except Unavailable:
                failures += 1
                if failures >= UPLOAD_TRIES or self._connection.closed.is_set():
                    raise
                pause(failures)

    def _upload(self, content: _Upload, name: str) -> UploadedFile:
        # An empty file has to go as bytes: a stream of no length would be sent chunked.
        answer = self._connection.call(
            "POST",
            "/api/lando/v1/files",
            params={"name": name},
            data=content if len(content) else b"",
            headers={"Content-Type": "application/octet-stream"},
        )
        return UploadedFile(id=answer["id"], url=answer["url"], size=answer["size"])

    def add_workflow(self, name: str, packed: Mapping[str, Any], version: str | None = None) -> str:
        """Register a packed workflow as a private version of its owner; returns its tag ``workflow/version/config``.

        cwltool has had its say when it was packed.
        """
        body: dict[str, Any] = {"name": name, "packed": packed, "checked": True}
        if version is not None:
            body["version"] = version
        return str(self._connection.call("POST", "/api/lando/v1/workflows", json=body)["tag"])

    def create_stage_group(self) -> int:
        """An empty group of input files."""
        return int(self._connection.call("POST", "/api/v2/job-file-stage-groups/", json={})["id"])

    def add_input_file(self, stage_group: int, url: str, destination: str, *, size: int = 0, sequence: int) -> None:
        """Add one file to a stage group; ``sequence`` counts within the group."""
        body = {
            "stage_group": stage_group,
            "url": url,
            "destination_path": destination,
            "size": size,
            "sequence_group": 0,
            "sequence": sequence,
        }
        self._connection.call("POST", "/api/v2/url-job-input-files/", json=body)

    def create_job(self, *, tag: str, name: str, job_order: Mapping[str, Any], stage_group: int) -> int:
        """Make a job of a tag; returns its id."""
        template = self._connection.call("POST", "/api/v2/job-templates/init", json={"tag": tag})
        body = {
            "tag": template["tag"],
            "name": name,
            "fund_code": "none",
            "stage_group": stage_group,
            "job_order": job_order,
        }
        return int(self._connection.call("POST", "/api/v2/job-templates/create-job", json=body)["job"])

    def submit_phases(self, model: str, files: Mapping[str, str], *, name: str | None = None) -> RunView:
        """Hand in a phased run, which is started at once; Rejected with all that is wrong with it."""
        body = {"kind": "phases", "model": model, "files": files} | ({"name": name} if name else {})
        return run_view(self._connection.call("POST", "/api/lando/v1/runs", json=body))

    def start(self, run_id: int) -> None:
        """Ask for a start."""
        self._connection.call("POST", f"/api/v2/jobs/{run_id}/start/", json={})

    def set_priority(self, run_id: int, priority: int) -> None:
        """Put a run before or behind others that wait for their turn; Rejected where that is for staff only."""
        self._connection.call("PUT", f"/api/lando/v1/runs/{run_id}/priority", json={"priority": priority})

    def cancel(self, run_id: int) -> None:
        """Ask for a cancel; Rejected when the run is over."""
        self._connection.call("POST", f"/api/lando/v1/runs/{run_id}/cancel", json={})

    def restart(self, run_id: int) -> None:
        """Ask for a restart; Rejected when the run's state does not allow it."""
        self._connection.call("POST", f"/api/lando/v1/runs/{run_id}/restart", json={})

    # --- reading ------------------------------------------------------------------------------------------------

    def current_user(self) -> str:
        """The name of the user that the token belongs to."""
        return str(self._connection.call("GET", "/api/users/current-user/")["username"])

    def runs(self, states: tuple[str, ...] = ()) -> list[RunView]:
        """The user's runs, oldest first."""
        answer = self._connection.call("GET", "/api/lando/v1/runs", params={"state": list(states)})
        return [run_view(document) for document in answer]

    def follow_runs(self) -> Iterator[list[RunView]]:
        """The user's runs now and whenever one has changed or ``FOLLOW_WAIT_S`` are over; ends when closed."""
        params: dict[str, Any] = {}
        while not self._connection.closed.is_set():
            with self._connection.request("GET", "/api/lando/v1/runs", params=params) as response:
                yield [run_view(document) for document in response.json()]
                params = {"after": response.headers.get("ETag", ""), "wait_s": FOLLOW_WAIT_S}

    def run(self, run_id: int) -> RunView:
        """One run with its steps."""
        return run_view(self._connection.call("GET", f"/api/lando/v1/runs/{run_id}"))

    def follow(self, run_id: int) -> Iterator[RunView]:
        """The run now and after each change, until it is over.

        The server answers when something has changed, so nothing is polled. One that can't be reached for a while
        (a restart) is asked again, at most ``FOLLOW_TRIES`` times in a row.
        """
        failures = 0
        seen: RunView | None = None
        while seen is None or not seen.over:
            after = {"after": seen.document["version"], "wait_s": FOLLOW_WAIT_S} if seen else {}
            try:
                document = self._connection.call("GET", f"/api/lando/v1/runs/{run_id}", params=after)
            except Unavailable:
                failures += 1
                if failures >= FOLLOW_TRIES:
                    raise
                pause(failures)
                continue
            failures = 0
            if seen is None or document != seen.document:
                seen = run_view(document)
                yield seen
        if seen.lacks_a_cause:
            yield from self._late_cause(run_id)

    def _late_cause(self, run_id: int) -> Iterator[RunView]:
        """A daemon writes the state first and the cause at once after it: wait a moment for that."""
        for tries in range(CAUSE_TRIES):
            time.sleep(CAUSE_RETRY_S * 2**tries)
            view = self.run(run_id)
            if not view.lacks_a_cause:
                yield view
                return

    def logs(
        self, run_id: int, *, step: str | None = None, attempt: int | None = None, follow: bool = False
    ) -> Iterator[str]:
        """Pieces of the log of a step (of all steps so far if none is named) or of one attempt, as they come.

        A followed log that breaks off or falls silent is asked for anew, and what was given out already is left out;
        it is given up after ``FOLLOW_TRIES`` failures in a row.
        """
        picked = {key: value for key, value in (("step", step), ("attempt", attempt)) if value is not None}
        if not follow:
            yield from self._log(run_id, picked, self._connection.timeout_s)
            return
        given, failures = 0, 0
        while True:
            known, answered = given, None
            try:
                params = {**picked, "follow": "true", "keep_alive_s": KEEP_ALIVE_S}
                for piece in self._log(run_id, params, FOLLOW_SILENCE_S):
                    answered = answered or time.monotonic()
                    new, known = piece[known:], max(known - len(piece), 0)
                    if new:
                        given, failures = given + len(new), 0
                        yield new
                return
            except Unavailable:
                was_followed = answered is not None and time.monotonic() - answered > LASTING_S
                failures = 1 if was_followed else failures + 1
                if failures >= FOLLOW_TRIES:
                    raise
                pause(failures)

    def _log(self, run_id: int, params: Mapping[str, Any], silence_s: float) -> Iterator[str]:
        for piece in self._connection.log(f"/api/lando/v1/runs/{run_id}/logs", params, silence_s=silence_s):
            yield piece.replace("\0", "")  # of which the server sends one while a followed log is silent

    def evidence(self, run_id: int, step: str | None = None) -> list[dict[str, Any]]:
        """What a run's failures and waits were read from, by step and attempt, as the API gives it."""
        params = {"step": step} if step else {}
        answer = self._connection.call("GET", f"/api/lando/v1/runs/{run_id}/evidence", params=params)
        return [dict(one) for one in answer["evidence"]]

    def outputs(self, run_id: int) -> list[OutputFile]:
        """The files of the run's results."""
        answer = self._connection.call("GET", f"/api/lando/v1/runs/{run_id}/outputs")
        return [OutputFile(path=one["path"], size=one["size"]) for one in answer["files"]]

    def output_text(self, run_id: int, path: str) -> str:
        """The content of one result as text."""
        with self._connection.request("GET", self._output_route(run_id, path)) as response:
            return response.content.decode("utf-8", "replace")

    def download(self, run_id: int, path: str, destination: Path) -> None:
        """Save one result to ``destination``, which is replaced at the end only, when all has come."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".{destination.name}.partial")
        with self._connection.request("GET", self._output_route(run_id, path), stream=True) as response:
            try:
                with partial.open("wb") as stream:
                    for piece in response.iter_content(chunk_size=CHUNK_BYTES):
                        stream.write(piece)
                partial.replace(destination)
            except requests.RequestException as error:
                raise Unavailable(PEER, f"{self.url} broke off while sending {path}; ask again.") from error
            finally:
                partial.unlink(missing_ok=True)

    @staticmethod
    def _output_route(run_id: int, path: str) -> str:
        return f"/api/lando/v1/runs/{run_id}/outputs/{quote(path)}"
