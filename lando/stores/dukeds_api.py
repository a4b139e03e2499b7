"""The REST API of the Duke Data Service, as far as staging and saving need it.

The service's own client library (DukeDSClient, up to 3.4.0; later ones are for Azure) pins tenacity to one old release,
waits for an unavailable service without an end, and asks for its token without a time-out; hence these few calls.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml

from lando.credentials import MOUNTED
from lando.errors import ConfigError, NotFound, Rejected, Unavailable
from lando.stores import CHUNK
from lando.stores.transfer import Sleep, with_retries
from lando.stores.urls import masked

PEER = "Duke Data Service"
DEFAULT_URL = "https://api.dataservice.duke.edu/api/v1"
TIMEOUT_S = (10.0, 60.0)  # for a connection; of silence
PER_PAGE = 100
RENEW_S = 300.0  # a token is renewed so long before it ends
_REFUSED = frozenset({429, 503})  # nothing was done
_TRANSIENT = frozenset({408, 425, 500, 502, 504}) | _REFUSED


@dataclass(frozen=True, kw_only=True)
class Credential:
    """The ``ddsclient.conf`` that the operator's Secret holds."""

    url: str
    agent_key: str = field(repr=False)
    user_key: str = field(repr=False)
    d4s2_url: str | None = None
    """Of the service that mails those with whom a project is shared."""
    storage_provider_id: str | None = None

    @classmethod
    def mounted(cls) -> Credential:
        """The file that :data:`~lando.stores.credentials.MOUNTED` names.

        Raises:
            ConfigError: There is none, or it lacks a key; the sentence shows nothing of what it holds.
        """
        name = os.environ.get(MOUNTED)
        how = (
            "data_store_settings.secret_name names a Secret whose key config holds url, agent_key and user_key as YAML"
        )
        if not name:
            raise ConfigError(f"The {PEER} needs a credential, and {MOUNTED} names none: {how}.")
        try:
            found = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise ConfigError(f"The credential of the {PEER} at {name} can't be read: {how}.") from None
        missing = [key for key in ("agent_key", "user_key") if not isinstance(found, dict) or not found.get(key)]
        if missing:
            raise ConfigError(f"The credential of the {PEER} at {name} lacks {' and '.join(missing)}: {how}.")
        url = str(found.get("url") or DEFAULT_URL).rstrip("/")
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"The credential of the {PEER} at {name} has a url that is not https://….")
        return cls(
            url=url,
            agent_key=str(found["agent_key"]),
            user_key=str(found["user_key"]),
            d4s2_url=str(found["d4s2_url"]).rstrip("/") if found.get("d4s2_url") else None,
            storage_provider_id=found.get("storage_provider_id"),
        )


class DukedsApi:
    """Calls of the service with one credential; used from several threads.

    Every call is bounded in time and tries. It raises :class:`NotFound`, :class:`Rejected` or :class:`Unavailable`; a
    POST whose answer was lost is not repeated here, as it may have been done.
    """

    def __init__(
        self, credential: Credential, sleep: Sleep = time.sleep, clock: Callable[[], float] = time.time
    ) -> None:
        self.credential = credential
        self._sleep = sleep
        self._clock = clock
        self._session = requests.Session()
        self._lock = threading.Lock()
        self._token, self._expires = "", 0.0

    def get(self, path: str, **parameters: Any) -> Any:
        """The document at ``path``."""
        return _document(self._call("GET", path, params=parameters))

    def collection(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a paged collection."""
        page, pages = 1, 1
        while page <= pages:
            answer = self._call("GET", path, params={**parameters, "page": page, "per_page": PER_PAGE})
            yield from _document(answer)["results"]
            pages = int(answer.headers.get("x-total-pages") or 1)
            page += 1

    def post(self, path: str, document: dict[str, Any]) -> Any:
        """What was made."""
        return _document(self._call("POST", path, json=document))

    def put(self, path: str, document: dict[str, Any] | None = None, *, form: dict[str, str] | None = None) -> Any:
        """What became of it; some calls want a form."""
        return _document(self._call("PUT", path, json=document, data=form))

    def delete(self, path: str) -> None:
        """None there is fine."""
        try:
            self._call("DELETE", path)
        except NotFound:
            return

    def send(self, signed: dict[str, Any], data: bytes) -> None:
        """Send a chunk to where the service said; no second try."""
        with self._external(signed, data=data) as answer:
            _check_external(answer)

    def receive(self, signed: dict[str, Any], start: int) -> Iterator[bytes]:
        """The content from byte ``start`` on, from where the service said; no second try."""
        more = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with self._external(signed, more=more, stream=True) as answer:
            _check_external(answer)
            skip = 0 if answer.status_code == 206 else start  # of what brings the whole all the same
            try:
                for chunk in answer.iter_content(CHUNK):
                    yield chunk[skip:]
                    skip = max(skip - len(chunk), 0)
            except requests.RequestException as error:
                raise Unavailable(PEER, f"the connection broke off ({type(error).__name__})") from error

    def mail(self, path: str, document: dict[str, Any]) -> Any:
        """POST to the service that mails, with the token that both share; where there is one."""
        url = f"{self.credential.d4s2_url}{path}"
        return _document(self._exchange("POST", url, {"X-DukeDS-Authorization": self._valid_token()}, json=document))

    def _call(self, method: str, path: str, **how: Any) -> requests.Response:
        def once() -> requests.Response:
            url = f"{self.credential.url}{path}"
            try:
                return self._exchange(method, url, {"Authorization": self._valid_token()}, **how)
            except Rejected as error:
                if error.status != 401:
                    raise
                self._expires = 0.0  # withdrawn before its time: once more, with a new one
                return self._exchange(method, url, {"Authorization": self._valid_token()}, **how)

        if method != "POST":
            return with_retries(once, self._sleep)
        lost: list[Unavailable] = []

        def unless_lost() -> requests.Response | None:
            try:
                return once()
            except Unavailable as error:
                if error.status in _REFUSED or error.reason == "resource_not_consistent":
                    raise
                lost.append(error)
                return None

        answer = with_retries(unless_lost, self._sleep)
        if answer is None:
            raise lost[0]
        return answer

    def _valid_token(self) -> str:
        with self._lock:
            if self._clock() < self._expires - RENEW_S:
                return self._token
            keys = {"agent_key": self.credential.agent_key, "user_key": self.credential.user_key}
            try:
                url = f"{self.credential.url}/software_agents/api_token"
                answer = _document(self._exchange("POST", url, {}, json=keys))
            except (NotFound, Rejected) as error:
                raise Rejected(
                    PEER, "the agent_key or the user_key of the credential is not valid", status=401
                ) from error
            self._token, self._expires = str(answer["api_token"]), float(answer["expires_on"])
            return self._token

    def _exchange(self, method: str, url: str, headers: dict[str, str], **how: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **how
            )
        except requests.RequestException as error:
            raise Unavailable(PEER, f"{method} {masked(url)}: {type(error).__name__}") from error
        _check(answer, f"{method} {masked(url)}")
        return answer

    def _external(self, signed: dict[str, Any], more: dict[str, str] | None = None, **how: Any) -> requests.Response:
        """A request to the service's object store; its URL is a secret, so no error shows its query."""
        url = f"{signed['host']}{signed['url']}"
        headers = {**(signed.get("http_headers") or {}), **(more or {})}
        try:
            return self._session.request(
                signed["http_verb"], url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **how
            )
        except requests.RequestException as error:
            raise Unavailable(PEER, f"{masked(url).partition('?')[0]}: {type(error).__name__}") from None


def _document(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        where = masked(answer.url).partition("?")[0]
        raise Unavailable(PEER, f"{where} answered no JSON; is something else in its place?") from None


def _check_external(answer: requests.Response) -> None:
    """Like :func:`_check`; an address that has expired is answered 403, and the next one will do."""
    what = masked(answer.url).partition("?")[0]
    if answer.status_code == 403:
        raise Unavailable(PEER, f"{what} was answered 403", status=403)
    _check(answer, what)


def _check(answer: requests.Response, what: str) -> None:
    """Raise what an answer other than 2xx means."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    try:
        told = answer.json()
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    reason = str(told.get("reason") or told.get("error") or "")[:500]
    sentence = f"{what.partition('?')[0]} was answered {status}" + (f" ({reason})" if reason else "")
    if status in _TRANSIENT or told.get("code") == "resource_not_consistent":
        raise Unavailable(PEER, sentence, status=status, reason=told.get("code"))
    if status == 404:
        raise NotFound(PEER, sentence, status=status)
    raise Rejected(PEER, sentence, status=status)
