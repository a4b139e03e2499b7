"""One server, asked as one user: a warm session, a time-out on every call, and only errors of Lando coming out."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from lando.errors import Conflict, NotFound, PeerError, Rejected, Unavailable
from lando.phases.model import Finding

PEER = "Lando API"
TIMEOUT_S = 30.0
RETRY_S = 0.25
FOLLOW_TRIES = 7
"""Failures in a row after which what is followed is given up."""
_RUN = re.compile(r"/api/(?:v2/jobs|lando/v1/runs)/(\d+)\b")


class Connection:
    """Sends requests and answers with what came, or why not.

    Every call raises Unavailable where the server can't be reached or is at fault, NotFound, Conflict or Rejected
    where it refuses. Safe to call from several threads.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.closed = threading.Event()
        self._how_to_start = " ('lando up')" if urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1") else ""
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"Token {token}", "Accept": "application/json"})
        self._session.trust_env = False  # neither proxies nor .netrc may reroute a token

    def close(self) -> None:
        """Drop the connections; ``closed`` is set from then on."""
        self.closed.set()
        self._session.close()

    def call(self, method: str, route: str, **options: Any) -> Any:
        """The JSON that was answered."""
        with self.request(method, route, **options) as response:
            try:
                return response.json()
            except ValueError as error:
                message = f"{self.url} does not answer like a Lando server; is the URL right?"
                raise Unavailable(PEER, message, status=response.status_code) from error

    def request(self, method: str, route: str, **options: Any) -> requests.Response:
        """The answer itself, whose body may not have been read yet; close it."""
        options.setdefault("timeout", self.timeout_s)
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

    def log(self, route: str, params: Mapping[str, Any], *, silence_s: float) -> Iterator[str]:
        """A log piece by piece, as it comes; the first piece, as soon as the server answers, is empty.

        Unavailable also where it breaks off, or says nothing for ``silence_s``.
        """
        timeouts = (self.timeout_s, silence_s)
        with self.request("GET", route, params=params, stream=True, timeout=timeouts) as response:
            response.encoding = "utf-8"
            yield ""
            try:
                for piece in response.iter_content(chunk_size=None, decode_unicode=True):
                    yield piece if isinstance(piece, str) else piece.decode("utf-8", "replace")
            except requests.RequestException as error:
                raise Unavailable(PEER, f"{self.url} broke off the log; ask again.") from error


def pause(failures: int) -> None:
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
