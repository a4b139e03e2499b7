"""One warm HTTPS session with a cluster's API: logs in, sends, and hears the cluster's clock."""

from __future__ import annotations

import copy
import http.client
import json
import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import kubernetes.client
import urllib3

from lando.config import ClusterSettings
from lando.config.secrets import Credential
from lando.errors import ConfigError, Unavailable
from lando.k8s import cluster_errors, cluster_login
from lando.k8s.cluster_clock import ClusterClock

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
MAX_ANSWER = 128 * 1024 * 1024  # bytes; a page of 500 objects stays far below it

log = logging.getLogger(__name__)


class ClusterSession:
    """Sends requests; safe to use from several threads.

    Logs in with host and token, a kubeconfig, or the pod's own account (whose token is read again every minute,
    as it is rotated). What comes from a file is read again when it is refused.
    ``on_call`` is told verb and kind of each request, for counting.
    Raises ConfigError when the settings can't work.
    """

    def __init__(self, settings: ClusterSettings, *, on_call: Callable[[str, str], None] | None = None) -> None:
        self._configuration = cluster_login.configuration(settings)
        self._token = Credential(settings.token) if settings.token is not None else None
        self._settings = settings
        self._on_call = on_call or (lambda verb, kind: None)
        self._clock = ClusterClock()
        self._client = kubernetes.client.ApiClient(self._configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager

    @property
    def url(self) -> str:
        """Of the API, as the settings name it."""
        return str(self._configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """The address of the proxy on the way; None where there is none."""
        return self._configuration.proxy or None

    def bearer_token(self) -> str | None:
        """What it shows the cluster now; None where it logs in otherwise."""
        scheme, _, value = self._login().get("authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else None

    def client_configuration(self) -> Any:
        """How the official client logs in to the same cluster, for those who use that; the token is as current as
        here."""
        configuration = copy.deepcopy(self._configuration)

        def show(shown: Any) -> None:
            shown.api_key = dict(self._login())

        show(configuration)
        configuration.refresh_api_key_hook = show
        return configuration

    def login_instead(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """The headers of another login than those of ``refused``, to which the cluster answered 401, as the token's
        file, the kubeconfig or the pod's account has it by now; None where there is no other."""
        if self._token is not None:
            self._token.renewed(refused.get("authorization", "").removeprefix("Bearer "))
        else:
            self._log_in_again()
        login = self._login()
        return None if login.items() <= refused.items() else login

    def now(self) -> datetime:
        """The cluster's own time, as far as it has answered yet; else this machine's."""
        return self._clock.now()

    def close(self) -> None:
        """Drop the session's idle connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    # -- what is asked ------------------------------------------------------------------------------------------

    def ask(self, path: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET ``path`` of the API, or POST ``question`` to it: what only the doctor wants to know. Changes nothing but
        what the question does, such as a review or a dry run."""
        method, verb = ("GET", "get") if question is None else ("POST", "create")
        return self.document(verb, method, path, f"{self.url}{path}", f"{method} {path}", question)

    def tls_context(self) -> ssl.SSLContext:
        """How it verifies the cluster's certificate, for a handshake beside its own session."""
        context = ssl.create_default_context(cafile=self._configuration.ssl_ca_cert)
        if not self._configuration.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._configuration.cert_file:
            context.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)
        return context

    def document(
        self,
        verb: str,
        method: str,
        kind: str,
        url: str,
        what: str,
        body: dict[str, Any] | None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """The JSON object that was answered, all of it."""
        response = self.request(verb, method, kind, url, what, READ_TIMEOUT_S, body, content_type)
        try:
            document = json.loads(_whole(response))
        except cluster_errors.TRANSPORT_ERRORS as error:
            raise cluster_errors.from_exception(error, what=what) from error
        if not isinstance(document, dict):
            raise Unavailable(cluster_errors.PEER, f"{what}: the answer is no JSON object")
        return document

    def request(
        self,
        verb: str,
        method: str,
        kind: str,
        url: str,
        what: str,
        read_timeout_s: float,
        body: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> urllib3.BaseHTTPResponse:
        """Send it and return the open answer, or raise what its status means."""
        self._on_call(verb, kind)
        try:
            headers = {"Accept": "application/json, */*", "User-Agent": "lando"}
            if body is not None:
                headers["Content-Type"] = content_type
            response = self._send_signed(method, url, headers, body, read_timeout_s)
            self._clock.heard(response.headers.get("Date"))
            if 200 <= response.status < 300:
                return response
            answer = _whole(response)
        except cluster_errors.TRANSPORT_ERRORS as error:
            raise cluster_errors.from_exception(error, what=what) from error
        raise cluster_errors.from_answer(
            response.status,
            answer,
            what=what,
            writes=verb in ("create", "patch"),
            retry_after=response.headers.get("Retry-After"),
        )

    def _send_signed(
        self, method: str, url: str, headers: dict[str, str], body: dict[str, Any] | None, read_timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        login = self._login()
        while True:
            signed = {**headers, **login}
            response = self._send(method, url, signed, body, read_timeout_s)
            other = self.login_instead(signed) if response.status == 401 else None
            if other is None:
                return response
            login = other
            response.drain_conn()  # and with that its connection is free again

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: dict[str, Any] | None, read_timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

        def send() -> urllib3.BaseHTTPResponse:
            return self._pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
                preload_content=False,
                retries=False,
                redirect=False,
            )

        try:
            return send()
        except urllib3.exceptions.ProtocolError:
            # A kept connection that the server closed just as we used it; to read twice changes nothing.
            if method != "GET":
                raise
            return send()

    def _log_in_again(self) -> None:
        try:
            fresh = cluster_login.read_again(self._settings)
        except ConfigError as error:
            log.warning("%s", error)
            return
        if fresh is not None:
            self._configuration.api_key = fresh.api_key
            self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook

    def _login(self) -> Mapping[str, str]:
        """The headers that log in now."""
        if self._token is not None:
            return {"authorization": f"Bearer {self._token.value}"}
        return {
            str(entry["key"]): str(entry["value"]).strip()  # a token's file may end in a newline
            for entry in self._configuration.auth_settings().values()
            if entry["in"] == "header" and entry["value"]
        }


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    """The answer's whole body; its connection goes back to the pool."""
    try:
        body = response.read(MAX_ANSWER)
        if response.read(1):
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER} bytes")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return body
