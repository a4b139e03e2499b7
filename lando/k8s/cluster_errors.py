"""What an answer of a Kubernetes API, or the lack of one, means to Lando: one place for every error below us.

Only the text of real ``Status`` objects (kind ``Status`` of the Kubernetes API conventions) is passed on, and
that cut; whatever else answered (a proxy, a log-in page) may hold what should not be logged and is not quoted.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from typing import Any

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException, OpenApiException
from kubernetes.config import ConfigException

from lando import certificates, proxies
from lando.errors import (
    ConfigError,
    Conflict,
    Expired,
    LandoError,
    NotFound,
    PeerError,
    QuotaExceeded,
    Rejected,
    Unavailable,
)

PEER = "cluster"
SECTION = "cluster_api_settings"
UNTRUSTED = "CertificateUntrusted"
"""``reason`` of an error: the certificate is of an authority we do not know, or for another name."""
TEXT_LIMIT = 1024  # characters of a Status message passed on
_VERIFY_WORDS = re.compile(r"certificate verify failed: (?P<words>[^()\n]+?)(?: \(_ssl|\)|$)")
_NO_RIGHT = re.compile(r"\bcannot [a-z]+ (resource|path)\b")
"""How RBAC words a refusal, in contrast to admission, which has looked at the object."""

_TOO_LARGE = re.compile(r"\brequest is too large\b|\btrying to send message larger than max\b")
"""How etcd, and the API's connection to it, word that an object is too large; the API passes that on as a 500."""

TRANSPORT_ERRORS = (
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OpenApiException,
    ConfigException,
    OSError,
    ValueError,
)
"""Everything that the transport below can raise; :func:`from_exception` has a place for each."""


_SETTINGS_ERRORS = (
    ConfigException,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.ProxySchemeUnknown,
    urllib3.exceptions.ProxySchemeUnsupported,
)


def from_answer(
    status: int, body: bytes, *, what: str, writes: bool = False, retry_after: str | None = None
) -> PeerError:
    """The error for an HTTP answer outside 200..299.

    ``what`` names the call ("create Job stage-data-42-ada"); ``writes`` is true for create and patch, where a 403
    may be admission's judgement of the object and a 404 the namespace's absence.
    """
    document = _status_object(body)
    if document is None and status == 413:  # a proxy's limit
        return Rejected(PEER, f"{what}: it is too large", status=status)
    if document is None:
        return Unavailable(
            PEER,
            f"{what}: answered {status} without a Kubernetes Status; is this the address of a Kubernetes API?",
            status=status,
            retry_after_s=_seconds(retry_after),
        )
    return from_status(document, code=status, what=what, writes=writes, retry_after=retry_after)


def from_status(
    document: Mapping[str, Any],
    *,
    code: int | None = None,
    what: str,
    writes: bool = False,
    retry_after: str | None = None,
) -> PeerError:
    """The error for a ``Status`` object, from an answer or from an ERROR event of a watch."""
    code = code or _integer(document.get("code")) or 500
    reason = str(document.get("reason") or "") or None
    said = str(document.get("message") or reason or f"status {code}")
    if len(said) > TEXT_LIMIT:
        said = said[:TEXT_LIMIT] + " […]"
    message = f"{what}: {said}"
    details = document.get("details")
    details = details if isinstance(details, Mapping) else {}
    wait_s = _seconds(retry_after) or _seconds(details.get("retryAfterSeconds"))

    def unavailable() -> Unavailable:
        return Unavailable(PEER, message, status=code, reason=reason, retry_after_s=wait_s)

    if code == 404:
        # A create into a namespace that is not there is the installation's fault, not the object's absence.
        if writes and details.get("kind") == "namespaces":
            return unavailable()
        return NotFound(PEER, message, status=code, reason=reason)
    if code in (409, 412):
        # The quota's own bookkeeping collided: the object was not created, nor does it exist.
        if details.get("kind") == "resourcequotas":
            return unavailable()
        return Conflict(PEER, message, status=code, reason=reason)
    if code == 410:
        return Expired(PEER, message, status=code, reason=reason)
    if code == 403 and "exceeded quota" in said:
        return QuotaExceeded(PEER, message, status=code, reason=reason)
    if code == 403 and writes and not _NO_RIGHT.search(said) and "is being terminated" not in said:
        return Rejected(PEER, message, status=code, reason=reason)
    if code == 500 and writes and _TOO_LARGE.search(said):
        return Rejected(PEER, message, status=code, reason=reason)
    if code in (401, 403, 408, 429) or not 400 <= code < 500:
        return unavailable()
    return Rejected(PEER, message, status=code, reason=reason)


def from_exception(error: BaseException, *, what: str) -> LandoError:
    """The error for an exception of the libraries below (see :data:`TRANSPORT_ERRORS`)."""
    if isinstance(error, _SETTINGS_ERRORS):
        return ConfigError(f"cluster_api_settings: {_one_line(error)}")
    if isinstance(error, ApiException) and error.status:
        body = error.body.encode() if isinstance(error.body, str) else error.body
        return from_answer(int(error.status), body or b"", what=what)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        found = _VERIFY_WORDS.search(str(error))
        words = found["words"] if found else _one_line(error)
        return Unavailable(PEER, f"{what}: {certificates.untrusted(words, setting=SECTION)}", reason=UNTRUSTED)
    if isinstance(error, urllib3.exceptions.ProxyError):
        said = proxies.told(error)
        return Unavailable(PEER, f"{what}: {said}; check {SECTION}.proxy, or HTTPS_PROXY in the environment")
    # A refused connection is a NewConnectionError, which urllib3 makes a kind of time-out.
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return Unavailable(PEER, f"{what}: no answer in time")
    return Unavailable(PEER, f"{what}: {_one_line(error)}")


def _status_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("kind") == "Status" else None


def _one_line(error: BaseException) -> str:
    """The error's own words without object addresses, cut."""
    text = re.sub(r"<[^<>]* at 0x[0-9a-f]+>:?\s*|\S+\([^()]*\): ", "", " ".join(str(error).split()))
    return (text or type(error).__name__)[:256]


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: object) -> float | None:
    """Seconds of a Retry-After (its date form is not used by Kubernetes and is ignored)."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
