"""How long a peer's certificate is still good, and for which names it is."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from lando.certificates import OTHER_NAME, other_name
from lando.doctor.findings import Finding, failed, ok, unknown, warning

CHECK = "TLS"
TIMEOUT_S = 5.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
SOON = timedelta(days=14)


def examine(host: str, port: int, context: ssl.SSLContext, *, setting: str) -> Iterator[Finding]:
    """A handshake of its own, in which nothing is sent; ``setting`` names what leads there."""
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            certificate: dict[str, Any] = dict(secured.getpeercert() or {})
            protocol = secured.version() or "TLS"
    except ssl.SSLError as error:
        yield failed(CHECK, " ".join(str(error.reason or error).split()), f"check {setting}")
    except OSError as error:
        yield unknown(CHECK, f"the certificate can't be had: {error.strerror or error}")
    else:
        yield from judge(certificate, protocol, datetime.now(UTC))


def without(host: str, what: str, advice: str) -> Finding:
    """Of a peer that is reached in clear."""
    if host.strip("[]") in _LOOPBACK:
        return ok(CHECK, "none, and none is needed on one machine")
    return warning(CHECK, f"none: {what} can be read on the way", advice)


def other_names(url: str, context: ssl.SSLContext, setting: str) -> str | None:
    """What to say where the certificate at ``url`` is for other names; None where that is not what is wrong."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        if not OTHER_NAME.search(error.verify_message):
            return None
    except OSError:
        return None
    return other_name(host, port, context, TIMEOUT_S, setting=setting, peer="it")


def judge(certificate: dict[str, Any], protocol: str, now: datetime) -> Iterator[Finding]:
    """``certificate`` as Python's ssl tells it; empty where it was not verified."""
    if "notAfter" not in certificate:
        yield warning(CHECK, f"{protocol}, the certificate is not verified", "give the CA certificate instead")
        return
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    seen = f"{protocol}, the certificate is trusted and valid until {until:%Y-%m-%d}"
    if until - now > SOON:
        yield ok(CHECK, seen)
    else:
        yield warning(CHECK, seen, "have it renewed: after that day no daemon connects any more")
