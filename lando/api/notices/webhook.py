"""The webhook: one POST for each notice, signed, so that its receiver knows who sent it and when.

``Lando-Signature`` is ``sha256=`` and the hexadecimal HMAC-SHA256, by the shared secret, of ``Lando-Timestamp``
(seconds since 1970), a full stop and the body. ``Lando-Id`` is the same in every try.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import requests

from lando.api.secret_files import read_secret
from lando.errors import Unavailable

CONNECT_S, ANSWER_S = 5.0, 15.0
"""How long connecting, and then the head of the answer, may take."""
_PEER = "webhook"


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of ``Lando-Signature``."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook:
    """One receiver; the secret is read at each delivery, so that it can be changed while the server runs."""

    def __init__(
        self, url: str, secret_file: str, *, ca_file: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._secret_file = secret_file
        self._ca_file = ca_file
        self._clock = clock
        self._where = urlsplit(url).hostname or "?"  # the rest of a URL may be a secret

    def post(self, notice_id: str, body: str) -> None:
        """Deliver one notice; raises a LandoError that says why the receiver did not take it."""
        data = body.encode()
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lando",
            "Lando-Id": notice_id,
            "Lando-Timestamp": timestamp,
            "Lando-Signature": signature(read_secret(self._secret_file, "webhook_secret_file"), timestamp, data),
        }
        try:
            with (
                requests.Session() as session,
                session.post(
                    self._url,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                    verify=self._ca_file or True,
                    timeout=(CONNECT_S, ANSWER_S),
                    stream=True,  # the body of the answer is of no interest, however long
                ) as answer,
            ):
                self._judge(answer.status_code)
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unavailable(_PEER, f"{self._where} can't be reached ({_kind(error)})") from None

    def _judge(self, status: int) -> None:
        if 300 <= status < 400:
            told = f"{self._where} redirects ({status}), which is not followed: set webhook_url to where it leads"
            raise Unavailable(_PEER, told, status=status)
        if not 200 <= status < 300:
            raise Unavailable(_PEER, f"{self._where} answers {status}", status=status)


def _kind(error: Exception) -> str:
    """What kind of trouble it is; the error's own words hold the URL."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
