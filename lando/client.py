"""A small client of Lando's API: what the command line needs of the user flow and of ``/api/lando/v1``.

One warm session, a time-out on every call, and only :mod:`lando.errors` coming out: Unavailable when the server
can't be reached or is at fault, NotFound and Rejected when it answered.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal
from urllib.parse import quote, urlsplit

import requests

from lando.errors import Conflict, InputError, NotFound, PeerError, Rejected, Unavailable
from lando.phases.model import Finding

PEER = "Lando API"
TIMEOUT_S = 30.0
UPKEEP_TIMEOUT_S = 300.0
"""For what goes through all runs."""
KEEP_ALIVE_S = 20
"""Silence on a followed log after which the server is to send something: proxies commonly end it after 30 s."""
FOLLOW_SILENCE_S = 120.0
"""Silence on a followed log after which it is asked for anew: a connection may have died without a word."""
QUIET_PROGRAM_S = 3600.0
"""Silence on the followed log of a Job from a definition, which has no sign of life of its own."""
UPLOAD_TRIES = 5
FOLLOW_WAIT_S = 5.0
"""How long the server may hold back an answer about a run that has not changed."""
LASTING_S = 5.0
"""A followed log that broke off after this time did not fail: proxies end what is silent."""
RETRY_S = 0.25
FOLLOW_TRIES = 7
CAUSE_TRIES = 6
CAUSE_RETRY_S = 0.05
CHUNK_BYTES = 256 * 1024
_JOBS = "/k8s-jobs"
_RUN = re.compile(r"/api/(?:v2/jobs|lando/v1/runs)/(\d+)\b")


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """A file that the server keeps."""

    id: int | str
    url: str
    """Unsigned; what url-job-input-files takes."""
    size: int


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step of a run as its owner sees it."""

    name: str
    state: str
    """Pending, Running, Complete or Failed."""
    started: datetime | None = None
    ended: datetime | None = None
    attempt: int | None = None
    phase: str = ""
    """Of a phased run's step; otherwise empty, and so is the next."""
    entry: str = ""
    sentence: str = ""
    """Why it failed, where other steps may have failed as well."""


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One Job that a step was given to."""

    step: str
    number: int
    state: str
    """Running, Complete, Failed, Canceled or Unknown."""
    job: str
    began: datetime | None
    ended: datetime | None
    category: str
    sentence: str
    """Why it failed; empty otherwise."""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run as its owner sees it."""

    id: int
    name: str
    kind: str
    owner: str
    state: str
    """In words: Running, Finished, Error, …"""
    workflow: str
    created: datetime | None
    ended: datetime | None
    steps: tuple[StepView, ...]
    cause: str
    """Why it failed, one or two sentences; empty otherwise."""
    cause_details: str
    """The last lines of the failed step's log; may be empty."""
    condition: str
    """What it waits for; empty when nothing."""
    warnings: tuple[str, ...]
    attempts: tuple[AttemptView, ...]
    """Oldest first; of one run that was asked for, not of a list."""
    results: str
    """URL of the saved results; empty until they are saved."""
    document: Mapping[str, Any] = field(repr=False)
    """The answer itself, for ``--json``."""

    @property
    def over(self) -> bool:
        """Nothing more will happen unless someone asks for it."""
        return self.state in ("Finished", "Error", "Canceled", "Deleted")


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """One file among a run's results."""

    path: str
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
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._how_to_start = " ('lando up')" if urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1") else ""
        self._closed = threading.Event()
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"Token {token}", "Accept": "application/json"})
        self._session.trust_env = False  # neither proxies nor .netrc may reroute a token

    def __enter__(self) -> LandoClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections; uploads under way in other threads end."""
        self._closed.set()
        self._session.close()

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
                    return self._upload(_Upload(stream, size, self._closed), name or source.name)
            except OSError as error:
                raise InputError(f"{source} can't be read: {error.strerror}.") from error
            except Unavailable:
                failures += 1
                if failures >= UPLOAD_TRIES or self._closed.is_set():
                    raise
                _pause(failures)

    def _upload(self, content: _Upload, name: str) -> UploadedFile:
        # An empty file has to go as bytes: a stream of no length would be sent chunked.
        answer = self._call(
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
        return str(self._call("POST", "/api/lando/v1/workflows", json=body)["tag"])

    def create_stage_group(self) -> int:
        """An empty group of input files."""
        return int(self._call("POST", "/api/v2/job-file-stage-groups/", json={})["id"])

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
        self._call("POST", "/api/v2/url-job-input-files/", json=body)

    def create_job(self, *, tag: str, name: str, job_order: Mapping[str, Any], stage_group: int) -> int:
        """Make a job of a tag; returns its id."""
        template = self._call("POST", "/api/v2/job-templates/init", json={"tag": tag})
        body = {
            "tag": template["tag"],
            "name": name,
            "fund_code": "none",
            "stage_group": stage_group,
            "job_order": job_order,
        }
        return int(self._call("POST", "/api/v2/job-templates/create-job", json=body)["job"])

    def submit_phases(self, model: str, files: Mapping[str, str], *, name: str | None = None) -> RunView:
        """Hand in a phased run, which is started at once; Rejected with all that is wrong with it."""
        body = {"kind": "phases", "model": model, "files": files} | ({"name": name} if name else {})
        return run_view(self._call("POST", "/api/lando/v1/runs", json=body))

    def start(self, run_id: int) -> None:
        """Ask for a start."""
        self._call("POST", f"/api/v2/jobs/{run_id}/start/", json={})

    def set_priority(self, run_id: int, priority: int) -> None:
        """Put a run before or behind others that wait for their turn; Rejected where that is for staff only."""
        self._call("PUT", f"/api/lando/v1/runs/{run_id}/priority", json={"priority": priority})

    def cancel(self, run_id: int) -> None:
        """Ask for a cancel; Rejected when the run is over."""
        self._call("POST", f"/api/lando/v1/runs/{run_id}/cancel", json={})

    def restart(self, run_id: int) -> None:
        """Ask for a restart; Rejected when the run's state does not allow it."""
        self._call("POST", f"/api/lando/v1/runs/{run_id}/restart", json={})

    # --- reading ------------------------------------------------------------------------------------------------

    def current_user(self) -> str:
        """The name of the user that the token belongs to."""
        return str(self._call("GET", "/api/users/current-user/")["username"])

    def runs(self, states: tuple[str, ...] = ()) -> list[RunView]:
        """The user's runs, oldest first."""
        answer = self._call("GET", "/api/lando/v1/runs", params={"state": list(states)})
        return [run_view(document) for document in answer]

    def follow_runs(self) -> Iterator[list[RunView]]:
        """The user's runs now and whenever one has changed or ``FOLLOW_WAIT_S`` are over; ends when closed."""
        params: dict[str, Any] = {}
        while not self._closed.is_set():
            with self._request("GET", "/api/lando/v1/runs", params=params) as response:
                yield [run_view(document) for document in response.json()]
                params = {"after": response.headers.get("ETag", ""), "wait_s": FOLLOW_WAIT_S}

    def run(self, run_id: int) -> RunView:
        """One run with its steps."""
        return run_view(self._call("GET", f"/api/lando/v1/runs/{run_id}"))

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
                document = self._call("GET", f"/api/lando/v1/runs/{run_id}", params=after)
            except Unavailable:
                failures += 1
                if failures >= FOLLOW_TRIES:
                    raise
                _pause(failures)
                continue
            failures = 0
            if seen is None or document != seen.document:
                seen = run_view(document)
                yield seen
        if _lacks_a_cause(seen):
            yield from self._late_cause(run_id)

    def _late_cause(self, run_id: int) -> Iterator[RunView]:
        """A daemon writes the state first and the cause at once after it: wait a moment for that."""
        for tries in range(CAUSE_TRIES):
            time.sleep(CAUSE_RETRY_S * 2**tries)
            view = self.run(run_id)
            if not _lacks_a_cause(view):
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
            yield from self._log(run_id, picked, self._timeout_s)
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
                _pause(failures)

    def _log(self, run_id: int, params: Mapping[str, Any], silence_s: float) -> Iterator[str]:
        """One answer, piece by piece; the first, as soon as the server answers, is empty."""
        route = f"/api/lando/v1/runs/{run_id}/logs"
        with self._request("GET", route, params=params, stream=True, timeout=(self._timeout_s, silence_s)) as response:
            response.encoding = "utf-8"
            yield ""
            try:
                for piece in response.iter_content(chunk_size=None, decode_unicode=True):
                    text = piece if isinstance(piece, str) else piece.decode("utf-8", "replace")
                    yield text.replace("\0", "")  # of which the server sends one while a followed log is silent
            except requests.RequestException as error:
                raise Unavailable(PEER, f"{self.url} broke off the log; ask again.") from error

    def evidence(self, run_id: int, step: str | None = None) -> list[dict[str, Any]]:
        """What a run's failures and waits were read from, by step and attempt, as the API gives it."""
        params = {"step": step} if step else {}
        answer = self._call("GET", f"/api/lando/v1/runs/{run_id}/evidence", params=params)
        return [dict(one) for one in answer["evidence"]]

    def outputs(self, run_id: int) -> list[OutputFile]:
        """The files of the run's results."""
        answer = self._call("GET", f"/api/lando/v1/runs/{run_id}/outputs")
        return [OutputFile(path=one["path"], size=one["size"]) for one in answer["files"]]

    def output_text(self, run_id: int, path: str) -> str:
        """The content of one result as text."""
        with self._request("GET", self._output_route(run_id, path)) as response:
            return response.content.decode("utf-8", "replace")

    def download(self, run_id: int, path: str, destination: Path) -> None:
        """Save one result to ``destination``, which is replaced at the end only, when all has come."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".{destination.name}.partial")
        with self._request("GET", self._output_route(run_id, path), stream=True) as response:
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

    # --- Jobs from definitions ----------------------------------------------------------------------------------

    def definitions(self) -> dict[str, dict[str, Any]]:
        """By name, ``arguments`` (a JSON Schema) of each definition, or None and the ``error`` why it can't be used."""
        return dict(self._call("GET", f"{_JOBS}/definitions")["definitions"])

    def make_definition_job(self, definition: str, arguments: Mapping[str, Any], *, key: str | None = None) -> str:
        """The name of the Job that is made, or was made before by a request with the same ``key``."""
        body = {**arguments, "job_definition_name": definition}
        headers = {"Idempotency-Key": key} if key is not None else {}
        return str(self._call("POST", f"{_JOBS}/jobs", json=body, headers=headers)["job_name"])

    def definition_job(self, name: str) -> dict[str, Any]:
        """The Job as the API gives it, with the cause where it failed."""
        return dict(self._call("GET", f"{_JOBS}/jobs/{quote(name, safe='')}"))

    def definition_job_state(self, name: str) -> str:
        """Running, Complete or Failed; a server that can't be reached for a while is asked again."""
        for failures in range(FOLLOW_TRIES):
            try:
                status = self._call("GET", f"{_JOBS}/jobs/{quote(name, safe='')}/status")
                break
            except Unavailable:
                if failures + 1 == FOLLOW_TRIES:
                    raise
                _pause(failures)
        ends = (one["type"] for one in status["conditions"] or () if one["status"] == "True")
        return next((str(end) for end in ends if end in ("Complete", "Failed")), "Running")

    def definition_job_logs(self, name: str, limit: int) -> dict[str, dict[str, list[str]]]:
        """By pod and container, the last lines."""
        return dict(self._call("GET", f"{_JOBS}/jobs/{quote(name, safe='')}/logs", params={"limit": limit}))

    def follow_definition_job(self, name: str, pod: str) -> Iterator[str]:
        """What the pod's first container says, piece by piece, until it ends; Conflict before it has begun."""
        route, params = f"{_JOBS}/jobs/{quote(name, safe='')}/logs", {"follow": "true", "pod": pod}
        timeouts = (self._timeout_s, QUIET_PROGRAM_S)
        with self._request("GET", route, params=params, stream=True, timeout=timeouts) as response:
            response.encoding = "utf-8"
            try:
                for piece in response.iter_content(chunk_size=None, decode_unicode=True):
                    yield piece if isinstance(piece, str) else piece.decode("utf-8", "replace")
            except requests.RequestException as error:
                raise Unavailable(PEER, f"{self.url} broke off the log; ask again.") from error

    # --- for operators ------------------------------------------------------------------------------------------

    def dead_letters(self, *, limit: int, run: int | None = None, reason: str | None = None) -> list[dict[str, Any]]:
        """What lies in the dead-letter queues, by queue, as the API gives it; for staff."""
        given = {"limit": limit, "run": run, "reason": reason}
        params = {name: value for name, value in given.items() if value is not None}
        return [dict(one) for one in self._call("GET", "/api/lando/v1/dead-letters", params=params)["queues"]]

    def dead_letter(self, identity: str) -> dict[str, Any]:
        """The whole of one dead letter, as the API gives it."""
        return dict(self._call("GET", f"/api/lando/v1/dead-letters/{quote(identity, safe='')}"))

    def settle_dead_letters(self, what: Literal["retry", "drop"], identities: Sequence[str]) -> set[str]:
        """Try the named letters again, or drop them; the ids that were there."""
        answer = self._call("POST", f"/api/lando/v1/dead-letters/{what}", json={"ids": list(identities)})
        return set(answer["done"])

    def resync(self, *, dry_run: bool) -> list[dict[str, Any]]:
        """What does not fit between runs and objects, as the API gives it; the daemon is asked to mend it."""
        answer = self._call("GET" if dry_run else "POST", "/api/lando/v1/resync", timeout=UPKEEP_TIMEOUT_S)
        return [dict(one) for one in answer["findings"]]

    def prune(self, *, older_than: timedelta | None, logs: bool, unknown: Sequence[int], dry_run: bool) -> list[Any]:
        """What ended runs hold longer than they need to, as the API gives it; it goes."""
        params: dict[str, Any] = {"logs": str(logs).lower(), "unknown": list(unknown)}
        if older_than is not None:
            params["older_than_s"] = int(older_than.total_seconds())
        method = "GET" if dry_run else "POST"
        return list(self._call(method, "/api/lando/v1/prune", params=params, timeout=UPKEEP_TIMEOUT_S)["prunable"])

    # --- one call -----------------------------------------------------------------------------------------------

    def _call(self, method: str, route: str, **options: Any) -> Any:
        with self._request(method, route, **options) as response:
            try:
                return response.json()
            except ValueError as error:
                message = f"{self.url} does not answer like a Lando server; is the URL right?"
                raise Unavailable(PEER, message, status=response.status_code) from error

    def _request(self, method: str, route: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._timeout_s)
        try:
            response = self._session.request(method, self.url + route, allow_redirects=False, **options)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Unavailable(PEER, f"{self.url} can't be reached; is the server up{self._how_to_start}?") from error
        except requests.RequestException as error:
            raise Unavailable(PEER, f"{self.url} can't be asked: {error}") from error
        if response.ok and not response.is_redirect:
            return response
        with response:
            raise _error(response, self.url, route)


def _lacks_a_cause(run: RunView) -> bool:
    """Whether it failed, and it is not known why: the run, or a phased run's step, of which several may fail."""
    unknown = any(step.phase and step.state == "Failed" and not step.sentence for step in run.steps)
    return run.state == "Error" and (unknown or not run.cause)


def run_view(document: Mapping[str, Any]) -> RunView:
    """A run from the API's JSON."""
    cause, condition = document.get("cause") or {}, document.get("condition") or {}
    return RunView(
        id=int(document["id"]),
        name=str(document.get("name") or ""),
        kind=str(document.get("kind") or "cwl"),
        owner=str(document.get("owner") or ""),
        state=str(document["state"]),
        workflow=str(document.get("workflow") or ""),
        created=_time(document.get("created")),
        ended=_time(document.get("ended")),
        steps=tuple(
            StepView(
                name=str(step["name"]),
                state=str(step["state"]),
                started=_time(step.get("started")),
                ended=_time(step.get("ended")),
                attempt=step.get("attempt"),
                phase=str(step.get("phase") or ""),
                entry=str(step.get("entry") or ""),
                sentence=str(step.get("sentence") or ""),
            )
            for step in document.get("steps") or ()
        ),
        cause=str(cause.get("sentence") or ""),
        cause_details=str(cause.get("text") or ""),
        condition=str(condition.get("sentence") or ""),
        warnings=tuple(str(one) for one in document.get("warnings") or ()),
        attempts=tuple(
            AttemptView(
                step=str(one["step"]),
                number=int(one["attempt"]),
                state=str(one["state"]),
                job=str(one.get("job") or ""),
                began=_time(one.get("began")),
                ended=_time(one.get("ended")),
                category=str(one.get("category") or ""),
                sentence=str(one.get("sentence") or ""),
            )
            for one in document.get("attempts") or ()
        ),
        results=str(document.get("outputs") or ""),
        document=document,
    )


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None


def _pause(failures: int) -> None:
    """Wait before another try: twice as long each time, with jitter."""
    time.sleep(RETRY_S * 2**failures * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _error(response: requests.Response, url: str, route: str) -> PeerError:
    status = response.status_code
    text = _words(response)
    if status == 401:
        return Rejected(PEER, f"{url} does not accept the token; give another by --token or LANDO_TOKEN.", status=401)
    if status == 404:
        run = _RUN.match(route)
        sentence = f"{url} knows no run {run[1]} of yours; 'lando jobs' lists them." if run else text
        return NotFound(PEER, sentence if text == "Not found." else text, status=404)
    if status in (409, 412):
        return Conflict(PEER, text, status=status)
    if status in (408, 429) or status >= 500:
        return Unavailable(PEER, f"{url} answered {status}: {text}", status=status)
    return Rejected(PEER, text, status=status)


def _words(response: requests.Response) -> str:
    """The sentences in an error body of any of Bespin's shapes."""
    try:
        body = response.json()
    except (ValueError, requests.RequestException):
        return response.reason or f"status {response.status_code}"
    return _flat(body) or json.dumps(body)


def _flat(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return " ".join(_flat(one) for one in body)
    if isinstance(body, Mapping):
        if isinstance(findings := body.get("findings"), list):
            return "\n".join([str(body.get("detail") or ""), *map(_finding, findings)])
        if body.keys() >= {"error", "message"}:  # about Jobs from definitions
            return str(body["message"])
        plain = ("detail", "non_field_errors")
        return " ".join(_flat(value) if key in plain else f"{key}: {_flat(value)}" for key, value in body.items())
    return str(body)


def _finding(finding: Any) -> str:
    """One thing that is wrong with a model, with its place."""
    known = {key: finding.get(key) for key in ("file", "line", "phase", "entry")}
    warning = "" if finding.get("is_error", True) else "warning: "
    return warning + str(Finding(reason=str(finding.get("reason")), **known))
