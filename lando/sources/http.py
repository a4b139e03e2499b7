"""JSON over HTTP to an API of ours or Bespin's: one warm session, a time-out on every call, one error mapping."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from lando import certificates, proxies
from lando.config import LandoApiSettings
from lando.config.secrets import Credential
from lando.errors import Conflict, NotFound, PeerError, Rejected, Unavailable
from lando.sources import json_array

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
LIST_TIMEOUT_S = 120.0  # of silence; the original writes a whole list before it sends its first byte
CONNECTIONS = 32  # kept warm; more are opened and dropped
MAX_BODY_QUOTED = 256  # characters of a foreign error body that go into a message

OnCall = Callable[[str, str], None]
"""Told the method and the resource of each request, for counting."""
OnAnswer = Callable[[Mapping[str, str]], None]
"""Told the headers of each answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The JSON of a 2xx answer."""

    document: Any
    etag: str | None = None


class JsonApi:
    """Requests below one base URL, with a token, over one session whose connections stay warm.

    A token from a file is read again when it is refused. Safe to use from several threads: all that
    requests change in a session are its cookies, and it takes none.
    """

    def __init__(
        self,
        peer: str,
        url: str,
        token: str,
        *,
        on_call: OnCall | None = None,
        on_answer: OnAnswer = lambda _: None,
        read_timeout_s: float = READ_TIMEOUT_S,
        section: str = "bespin_api",
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        """``read_timeout_s`` is how long an answer may take, a list of :meth:`items` apart; ``section`` names the
        settings in errors. ``ca_file`` and ``proxy`` as in those settings."""
        self._peer = peer
        self._url = url.rstrip("/")
        self._place = urlsplit(url).netloc.rpartition("@")[2]
        self._on_call = on_call
        self._on_answer = on_answer
        self._read_timeout_s = read_timeout_s
        self._token = Credential(token)
        self._session = requests.Session()
        self._section = section
        self._session.trust_env = False  # netrc would replace the token
        self._session.verify = ca_file or True
        if (chosen := proxies.proxy_for(url, proxy)) is not None:
            self._session.proxies = {urlsplit(url).scheme: chosen}
        self._session.headers["Accept"] = "application/json"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        if_match: str | None = None,
    ) -> Answer:
        """Send one request; ``path`` is below the base URL.

        Raises NotFound (404), Conflict (409, 412), Rejected (any other answer about the request itself) and
        Unavailable (no answer, 401, 403, 408, 429, 5xx, or an answer that is no JSON).
        """
        if self._on_call:
            self._on_call(method, path.split("/", 1)[0])
        headers = {"If-Match": if_match} if if_match is not None else {}
        try:
            response = self._send(method, path, body, query, headers)
        except requests.RequestException as error:
            raise Unavailable(self._peer, f"no answer to {method} {path}{self._why(error)}") from error
        if not response.ok:
            raise self._error(response, method, path)
        try:
            return Answer(document=response.json(), etag=response.headers.get("ETag"))
        except requests.JSONDecodeError as error:
            raise Unavailable(
                self._peer, f"answered {method} {path} with something that is no JSON", status=response.status_code
            ) from error

    def items(self, path: str, *, query: list[tuple[str, str]] | None = None) -> Iterator[Any]:
        """The elements of an array, one by one as they come: an API without filters may answer with 50,000.

        Raises as :meth:`request` does; Unavailable also when the answer breaks off or is no JSON array.
        """
        if self._on_call:
            self._on_call("GET", path.split("/", 1)[0])
        what = f"GET {path}"
        try:
            with self._send("GET", path, None, query, {}, read_timeout_s=LIST_TIMEOUT_S, stream=True) as response:
                if not response.ok:
                    raise self._error(response, "GET", path)
                yield from json_array.elements(response.iter_content(64 * 1024))
        except requests.RequestException as error:
            raise Unavailable(self._peer, f"no whole answer to {what}{self._why(error)}") from error
        except json_array.NoArray as error:
            raise Unavailable(self._peer, f"answered {what} with something that is no JSON array: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: list[tuple[str, str]] | None,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float | None = None,
        stream: bool = False,
    ) -> requests.Response:
        while True:
            token = self._token.value
            response = self._session.request(
                method,
                f"{self._url}/{path}",
                json=body,
                params=query,
                headers={**headers, "Authorization": f"Token {token}"},
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s or self._read_timeout_s),
                stream=stream,
            )
            self._on_answer(response.headers)
            if response.status_code != 401 or not self._token.renewed(token):
                return response

    def _why(self, error: BaseException) -> str:
        """Whom we asked, and what the system said of it, e.g. `` from lando.example.org: Connection refused``."""
        if isinstance(error, requests.exceptions.ProxyError):
            return f" from {self._place}: {proxies.told(error)}; check {self._section}.proxy, or HTTPS_PROXY"
        cause: BaseException | None = error
        while cause is not None and (isinstance(cause, requests.RequestException) or not isinstance(cause, OSError)):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f" from {self._place}: {certificates.untrusted(cause.verify_message, setting=self._section)}"
        said = (isinstance(cause, OSError) and cause.strerror) or str(cause or "") or type(error).__name__
        return f" from {self._place}: {said}"

    def _error(self, response: requests.Response, method: str, path: str) -> PeerError:
        status = response.status_code
        said = " ".join(response.text.split())[:MAX_BODY_QUOTED]
        message = f"{method} {path} was answered with {status}" + (f": {said}" if said and status < 500 else "")
        match status:
            case 404:
                return NotFound(self._peer, message, status=status)
            case 409 | 412:
                return Conflict(self._peer, message, status=status)
            case 401 | 403 | 408 | 425 | 429:
                return Unavailable(self._peer, message, status=status, retry_after_s=_seconds(response))
            case _ if status >= 500:
                return Unavailable(self._peer, message, status=status, retry_after_s=_seconds(response))
            case _:
                return Rejected(self._peer, message, status=status)


def lando_api(settings: LandoApiSettings, on_call: OnCall | None) -> JsonApi:
    """Our own API."""
    return JsonApi(
        "Lando API",
        settings.url,
        settings.token,
        on_call=on_call,
        section="lando_api",
        ca_file=settings.ssl_ca_cert,
        proxy=settings.proxy,
    )


def _seconds(response: requests.Response) -> float | None:
    """The Retry-After header when it gives seconds (not a date)."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
