"""Jobs from the server's definitions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from lando.client.connection import FOLLOW_TRIES, PEER, Connection, pause
from lando.errors import Rejected, Unavailable
from lando.log_places import LogPlace

SILENCE_S = 120.0
"""On what is followed, after which it is asked for anew: the server gives a sign of life more often."""
WAIT_S = 12.0
"""How long the server may hold back an answer about a Job that goes on; it is known after ten what that waits for."""
PAUSES_S = (0.2, 2.0)
"""Between two looks at a Job where the server does not wait, the first and the longest."""
PAGE = 100
NAMES = 1000
"""Jobs that are asked for at a time: with all that is said of them, and their names alone."""
_ROOT = "/k8s-jobs"


class Definitions:
    """What the server makes Jobs of, and the Jobs; errors as of :class:`.connection.Connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def by_name(self) -> dict[str, dict[str, Any]]:
        """``arguments`` (a JSON Schema) of each definition, or None and the ``error`` why it can't be used."""
        return dict(self._connection.call("GET", f"{_ROOT}/definitions")["definitions"])

    def problems(self) -> list[str]:
        """What is wrong with them, by file and line; a file that can't be read leaves those of before."""
        return list(self._connection.call("GET", f"{_ROOT}/healthcheck").get("problems") or ())

    def make_job(
        self, definition: str, arguments: Mapping[str, Any], *, key: str | None = None, dry_run: bool = False
    ) -> str:
        """The name of the Job that is made, or was made before by a request with the same ``key``.

        With ``dry_run`` the cluster only says whether it would take it.
        """
        body = {**arguments, "job_definition_name": definition}
        headers = {"Idempotency-Key": key} if key is not None else {}
        params = {"dry_run": "true"} if dry_run else {}
        return str(
            self._connection.call("POST", f"{_ROOT}/jobs", json=body, headers=headers, params=params)["job_name"]
        )

    def jobs(self, definition: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Up to ``limit`` Jobs as the API gives them, the newest first, and whether there are more."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"details": "true"} | ({"job_definition_name": definition} if definition else {})
        while True:
            params["limit"] = min(PAGE, limit - len(found))
            page = self._connection.call("GET", f"{_ROOT}/jobs", params=params)
            found += page["jobs"].values()
            params["continue"] = page["continue"]
            if not page["continue"] or len(found) >= limit:
                return found, bool(page["continue"])

    def names(self) -> list[str]:
        """Of Jobs, those on the list's first page."""
        return list(self._connection.call("GET", f"{_ROOT}/jobs", params={"limit": NAMES})["jobs"])

    def delete_job(self, name: str) -> None:
        """Remove the Job and its pods, which takes a while longer."""
        self._connection.call("DELETE", _job(name))

    def job_events(self, name: str) -> dict[str, Any]:
        """What the cluster told of the Job and its pods, oldest first, and the containers' termination messages."""
        return dict(self._connection.call("GET", f"{_job(name)}/events"))

    def job(self, name: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """The Job as the API gives it, with the cause where it failed or waits; as soon as it has ended, or after
        ``wait_s``, unless the server is older or busy and answers at once."""
        params = {"wait_s": wait_s} if wait_s else {}
        timeout_s = self._connection.timeout_s + wait_s
        return dict(self._connection.call("GET", _job(name), params=params, timeout=timeout_s))

    def await_job(self, name: str) -> Iterator[dict[str, Any]]:
        """The Job as it is now, then whenever the server has answered anew, at last when it has ended or is gone.

        A server that can't be reached for a while is asked again.
        """
        failures, rest_s, wait_s = 0, PAUSES_S[0], 0.0
        while True:
            asked = time.monotonic()
            try:
                job = self.job(name, wait_s=wait_s)
            except Unavailable:
                failures += 1
                if failures >= FOLLOW_TRIES:
                    raise
                pause(failures)
                continue
            failures = 0
            yield job
            if is_over(job):
                return
            if wait_s and time.monotonic() - asked < PAUSES_S[1]:  # it did not wait
                time.sleep(rest_s)
                rest_s = min(rest_s * 1.5, PAUSES_S[1])
            wait_s = WAIT_S

    def job_logs(self, name: str, limit: int) -> dict[str, dict[str, list[str]]]:
        """By pod and container, the last lines."""
        return dict(self._connection.call("GET", f"{_job(name)}/logs", params={"limit": limit}))

    def follow_job(
        self, name: str, *, pod: str | None = None, container: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """What all containers of the Job write, as they write it, or those of that name: the API's entries, of which
        the last has the ``state``, None of a Job that is no more.

        A stream that breaks off is asked for anew, and what was given out already is left out; it is given up after
        ``FOLLOW_TRIES`` failures in a row.
        """
        picked = {key: value for key, value in (("pod", pod), ("container", container)) if value is not None}
        places: dict[tuple[str, str, int], LogPlace] = {}
        failures = 0
        while True:
            for place in places.values():
                place.begin()
            try:
                for entry in self._entries(name, picked):
                    failures = 0
                    if "line" in entry:
                        source = (str(entry["pod"]), str(entry["container"]), int(entry.get("restarts") or 0))
                        if not places.setdefault(source, LogPlace()).is_new(entry.get("time")):
                            continue
                    yield entry
                    if "state" in entry:
                        return
                raise Unavailable(PEER, f"{self._connection.url} broke off the log; ask again.")
            except Unavailable:
                failures += 1
                if failures >= FOLLOW_TRIES:
                    raise
                pause(failures)

    def _entries(self, name: str, picked: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        params = {"follow": "true", "all": "true", **picked}
        rest = ""
        for piece in self._connection.log(f"{_job(name)}/logs", params, silence_s=SILENCE_S):
            *lines, rest = (rest + piece).split("\n")
            for line in lines:
                if line:  # an empty one is a sign of life
                    try:
                        yield dict(json.loads(line))
                    except (ValueError, TypeError) as error:
                        sentence = f"{self._connection.url} does not follow Jobs as a whole; is it older than this?"
                        raise Rejected(PEER, sentence) from error


def is_over(job: Mapping[str, Any]) -> bool:
    """Whether nothing more will come of a Job: it has ended, or is gone and this is what was kept."""
    return bool(job["state"] != "Running" or job.get("kept"))


def _job(name: str) -> str:
    return f"{_ROOT}/jobs/{quote(name, safe='')}"
