"""Download over http(s): resumed where it broke off, bounded in size and tries, and only to where it may go."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from lando.errors import StepError
from lando.runs import Category, Cause
from lando.steps import addresses
from lando.steps.guarded_session import REDIRECTS, GuardedSession
from lando.steps.http_checksums import told
from lando.stores.checksums import Checksum, begin
from lando.stores.urls import masked, without_query

CHUNK = 1 << 18  # bytes
ATTEMPTS = 6  # tries in a row that bring no new byte
ATTEMPTS_IN_ALL = 100  # of one file, however much each brings
FIRST_PAUSE_S = 1.0  # doubled after each fruitless try, up to
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0  # what a server may ask for
SLOWEST = 1024  # bytes a second, over as long as the time-out is

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a download may do."""

    schemes: frozenset[str]
    """``http``, ``https``, also after a redirect."""
    allow_local_addresses: bool
    max_bytes: int | None
    timeout_s: float
    """Seconds of silence, or without a connection."""
    attempts: int = ATTEMPTS
    """Tries in a row that bring no new byte."""


@dataclass(kw_only=True)
class Progress:
    """Told what has arrived so far; ``total`` is None while unknown."""

    tell: Callable[[int, int | None], None] = lambda _done, _total: None


@dataclass(kw_only=True)
class _Partial:
    """What one file's tries share: the bytes so far and what proves that the server still means the same file."""

    path: Path
    size: int = 0
    validator: str | None = None
    digest: Any = field(default_factory=hashlib.sha256)
    told: tuple[str, str] | None = None
    """What the server said of the whole content: algorithm and value, and"""
    checksum: Checksum | None = None
    """that of what has come so far."""

    def start_over(self) -> None:
        self.path.unlink(missing_ok=True)
        self.size, self.validator, self.digest = 0, None, hashlib.sha256()
        self.told, self.checksum = None, None

    def expect(self, told: tuple[str, str] | None) -> None:
        """Compare the content with this at its end."""
        self.told, self.checksum = told, begin(told[0]) if told else None

    def add(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        if self.checksum is not None:
            self.checksum.update(chunk)
        self.size += len(chunk)

    def is_damaged(self) -> bool:
        return self.told is not None and self.checksum is not None and self.checksum.digest().hex() != self.told[1]


class _TransientError(Exception):
    """This try failed in a way that may pass."""

    def __init__(
        self,
        why: str,
        *,
        after_s: float | None = None,
        category: Category = Category.INFRASTRUCTURE,
        fruitless: bool = False,
    ) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.category = category
        self.fruitless = fruitless
        """What it brought is too little to go on for ever."""


@dataclass(kw_only=True)
class _Pace:
    """Gives up on a server that sends next to nothing; silence alone is the time-out's matter."""

    window_s: float
    since: float = field(default_factory=time.monotonic)
    received: int = 0

    def add(self, size: int) -> None:
        self.received += size
        passed = time.monotonic() - self.since
        if passed < self.window_s:
            return
        if self.received < SLOWEST * passed:
            raise _TransientError(f"its server sent only {self.received} bytes in {passed:.0f} s", fruitless=True)
        self.since, self.received = time.monotonic(), 0


class Downloader:
    """One session for all downloads of a step."""

    def __init__(self, limits: Limits, log: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> None:
        self._limits = limits
        self._log = log
        self._sleep = sleep
        self._session = GuardedSession(
            limits.schemes & {"http", "https"},
            allow_local_addresses=limits.allow_local_addresses,
            timeout_s=limits.timeout_s,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._session.close()

    def fetch(self, url: str, part: Path, expected_size: int | None, progress: Progress) -> tuple[int, str]:
        """Download ``url`` to ``part``; its size in bytes and SHA-256 when it is complete.

        Raises:
            StepError: It can't be had; the cause names the URL without its signature.
        """
        partial = _Partial(path=part)
        partial.start_over()
        fruitless, pause = 0, FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS_IN_ALL + 1):
            before = partial.size
            try:
                self._try(url, partial, expected_size, progress)
                return partial.size, partial.digest.hexdigest()
            except _TransientError as error:
                if partial.size > before and not error.fruitless:
                    fruitless, pause = 0, FIRST_PAUSE_S
                fruitless += 1
                if fruitless == self._limits.attempts or attempt == ATTEMPTS_IN_ALL:
                    tries = "try" if attempt == 1 else "tries"
                    raise StepError(
                        Cause(
                            category=error.category,
                            sentence=f"{without_query(url)} could not be downloaded after {attempt} {tries}: {error}.",
                            advice="Check that the address is right and that its server is up, then restart.",
                        )
                    ) from error
                wait = max(pause * random.uniform(0.5, 1.5), error.after_s or 0)  # noqa: S311 - only spreads load
                self._log(f"  {error}; trying again in {wait:.0f} s (try {attempt + 1})")
            self._sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        raise AssertionError("unreachable")

    def _try(self, url: str, partial: _Partial, expected_size: int | None, progress: Progress) -> None:
        headers = {}
        if partial.size and partial.validator:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        else:
            partial.start_over()
        try:
            with self._session.fetch(url, headers) as response:
                self._receive(url, response, partial, expected_size, progress)
        except addresses.AddressError as error:
            raise _refused(url, f"it leads to the address {error}, where staging does not go") from error
        except requests.exceptions.InvalidSchema as error:
            allowed = ", ".join(sorted(self._limits.schemes))
            raise _refused(url, f"it was redirected to a scheme that is not allowed here ({allowed})") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise _refused(url, "it is not a valid URL, or was redirected to one that is not") from error
        except requests.exceptions.TooManyRedirects as error:
            raise _refused(url, f"it was redirected more than {REDIRECTS} times") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _why_not(url, error) from error
        except ValueError as error:
            raise _refused(url, "it is not a valid URL, or was redirected to one that is not") from error

    def _receive(
        self,
        url: str,
        response: requests.Response,
        partial: _Partial,
        expected_size: int | None,
        progress: Progress,
    ) -> None:
        total = _check_status(url, response, partial)
        # Decoding would store other bytes than the server's file has, except where only the transfer was packed.
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        decode = encoding != "identity" and not urlsplit(url).path.endswith((".gz", ".tgz", ".bgz"))
        if decode:
            partial.validator, total = None, None
        elif response.status_code == 200:
            partial.expect(told(response.headers))
        if total is not None:
            self._check_size(url, total, expected_size)
        pace = _Pace(window_s=self._limits.timeout_s)
        with partial.path.open("ab") as sink:
            while chunk := response.raw.read1(CHUNK, decode_content=decode):
                sink.write(chunk)
                partial.add(chunk)
                self._check_limit(url, partial.size)
                progress.tell(partial.size, total)
                pace.add(len(chunk))
        if partial.size == 0 and total is None and "Content-Encoding" not in response.headers:
            # Also what an answer looks like whose head was cut: http.client takes it for whole.
            raise _TransientError("its server sent nothing and did not say that the file is empty")
        if total is not None and partial.size > total:
            partial.start_over()
            raise _TransientError(f"its server sent more than the {total} bytes it announced")
        if total is not None and partial.size < total:
            raise _TransientError(f"the connection ended after {partial.size} of {total} bytes")
        self._check_size(url, partial.size, expected_size)
        if partial.is_damaged():
            algorithm = partial.told[0] if partial.told else ""
            partial.start_over()
            raise _TransientError(f"what came is damaged: its {algorithm} is not what its server says", fruitless=True)

    def _check_size(self, url: str, size: int, expected: int | None) -> None:
        self._check_limit(url, size)
        check_expected_size(url, size, expected)

    def _check_limit(self, url: str, size: int) -> None:
        check_size_limit(url, size, self._limits.max_bytes)


def check_size_limit(url: str, size: int, max_bytes: int | None) -> None:
    """Raises: StepError: ``size`` is more than this installation stages."""
    if max_bytes is not None and size > max_bytes:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"{without_query(url)} is larger ({size} bytes or more) than this installation stages "
                f"({max_bytes} bytes).",
                advice="Use a smaller file, or ask the operator to raise staging.max_bytes.",
            )
        )


def check_expected_size(url: str, size: int, expected: int | None) -> None:
    """Raises: StepError: the job said another size (0 and None say nothing)."""
    if expected and size != expected:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"{without_query(url)} is {size} bytes long, but the job says {expected} bytes.",
                advice="The file was changed or cut short: correct the size or the file, then restart.",
            )
        )


def _check_status(url: str, response: requests.Response, partial: _Partial) -> int | None:
    """Judge the answer's head; the size of the whole file, if it is known."""
    status = response.status_code
    if status in _RETRIED:
        raise _TransientError(f"its server answered {status}", after_s=_retry_after_s(response))
    if status == 416:  # the file is no longer as long as what we have of it
        partial.start_over()
        raise _TransientError("its server no longer has the part that is missing")
    if status not in (200, 206):
        raise _refused_by_server(url, status)
    if status == 200:
        partial.start_over()
        etag = response.headers.get("ETag", "")
        # If-Range takes strong validators only (RFC 9110, 13.1.5).
        partial.validator = etag if etag and not etag.startswith("W/") else None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    same = response.headers.get("ETag", partial.validator) == partial.validator  # If-Range is not always heeded
    plain = response.headers.get("Content-Encoding", "identity").lower() == "identity"
    if found is None or int(found[1]) != partial.size or not same or not plain:
        partial.start_over()
        raise _TransientError("its server sent another part than asked for")
    return None if found[2] == "*" else int(found[2])


def _refused_by_server(url: str, status: int) -> StepError:
    shown = without_query(url)
    sentence, advice = {
        401: (f"{shown} needs a login (401).", "Use a URL that can be read without one, such as a signed URL."),
        403: (f"{shown} may not be read (403).", "Check its permissions; a signed URL may have expired."),
        404: (f"{shown} does not exist (404).", "Correct the address and submit again."),
        410: (f"{shown} is gone (410).", "Correct the address and submit again."),
    }.get(status, (f"{shown} could not be downloaded: its server answered {status}.", "Check the address."))
    return StepError(Cause(category=Category.USER, sentence=sentence, advice=advice))


def _refused(url: str, why: str) -> StepError:
    return StepError(
        Cause(
            category=Category.USER,
            sentence=f"{without_query(url)} is refused: {why}.",
            advice="Use an address that this installation may fetch from.",
        )
    )


def _why_not(url: str, error: Exception) -> Exception:
    """What a failed request means for the next try, in few words."""
    chain = list(_causes(error))
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return _refused(url, "its server's certificate can't be verified")
    host = urlsplit(url).hostname or masked(url)
    for link in chain:
        if isinstance(link, socket.gaierror):
            category = Category.USER if link.errno == socket.EAI_NONAME else Category.INFRASTRUCTURE
            return _TransientError(f"the host name {host} can't be resolved", category=category)
        if isinstance(link, ConnectionRefusedError):
            return _TransientError(f"{host} refuses the connection")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return _TransientError(f"{host} is silent")
    return _TransientError(f"the connection to {host} broke ({type(error).__name__})")


def _causes(error: BaseException | None) -> Any:
    """The error, what caused it, and what libraries hid in ``args`` and ``reason``."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [*link.args, getattr(link, "reason", None), link.__cause__, link.__context__]


def _retry_after_s(response: requests.Response) -> float | None:
    """Retry-After, in seconds or as a date (RFC 9110, 10.2.3), bounded."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
