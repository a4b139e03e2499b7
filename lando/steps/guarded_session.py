"""A requests session for addresses that somebody else names: it goes only where staging goes, and never waits for ever.

Every request's host is judged before it is connected to, redirects' too, and the peer once it is: see
:mod:`lando.steps.addresses`. A redirect's body is never read, however long, and an answer's head has a time limit,
however slowly it trickles in.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from lando.steps import addresses

REDIRECTS = 10


class GuardedSession(requests.Session):
    """Only for :meth:`fetch`."""

    def __init__(self, schemes: Iterable[str], *, allow_local_addresses: bool, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self.auth = _no_credentials  # else ~/.netrc would be sent to whoever is named
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "lando-stage-data"})
        self.adapters.clear()
        for scheme in schemes:
            self.mount(f"{scheme}://", _GuardedAdapter(allow_local_addresses))

    def fetch(self, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer to a GET, redirects followed, its body not yet read.

        The user and password of ``url`` are sent to its own host only.

        Raises:
            addresses.AddressError: It, or a redirect, leads where staging does not go.
            requests.RequestException: No answer; TooManyRedirects after :data:`REDIRECTS`.
            ValueError: It, or a redirect, is no URL.
        """
        user, password = get_auth_from_url(url)
        credentials = HTTPBasicAuth(user.encode(), password.encode()) if user or password else None
        origin = _origin(url)
        for _ in range(REDIRECTS + 1):
            auth = credentials if _origin(url) == origin else None
            response = self.get(url, headers=headers, auth=auth, stream=True, timeout=self._timeout_s)
            target = super().get_redirect_target(response)
            if target is None:
                return response
            response.close()
            url = urljoin(url, target)
        raise requests.TooManyRedirects(response=response)

    def get_redirect_target(self, _resp: requests.Response) -> None:
        """Tells requests that there is none: it would read all of the body first."""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _GuardedAdapter(HTTPAdapter):
    """Checks every request's host before it connects."""

    def __init__(self, allow_local_addresses: bool) -> None:
        self._allow_local_addresses = allow_local_addresses
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = (
            {"http": _PromptPool, "https": _PromptHTTPSPool}
            if self._allow_local_addresses
            else {"http": _GuardedPool, "https": _GuardedHTTPSPool}
        )

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        if addresses.is_loopback_name(parts.hostname or ""):
            kwargs["proxies"] = {}  # a site's proxy can't reach this machine's own services
        if not self._allow_local_addresses:
            try:
                addresses.check_host(str(parts.hostname or ""), parts.port or 0)
            except socket.gaierror as error:
                # Behind a proxy only the proxy can resolve; it is the site's and applies the site's own rules.
                if not kwargs.get("proxies"):
                    raise requests.ConnectionError(error, request=request) from error
        return super().send(request, *args, **kwargs)


class _Prompt(HTTPConnection):
    """Hangs up on a server whose answer's head isn't complete in twice the time-out.

    The time-out itself bounds only each silence, and a byte now and then would renew it for ever.
    """

    def getresponse(self) -> Any:
        timer = threading.Timer(2 * float(self.timeout or 0), _hang_up, [self.sock])
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()


class _Guarded(_Prompt):
    """Refuses a peer that is forbidden after all, before one byte is sent."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        try:
            addresses.check_address(connection.getpeername()[0])
        except addresses.AddressError:
            connection.close()
            raise
        return connection


class _PromptHTTPS(_Prompt, HTTPSConnection):
    pass


class _GuardedHTTPS(_Guarded, HTTPSConnection):
    pass


class _PromptPool(HTTPConnectionPool):
    ConnectionCls = _Prompt


class _PromptHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PromptHTTPS


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _GuardedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


def _hang_up(connection: socket.socket | None) -> None:
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
