"""A peer's certificate that can't be used: what to say of it, and which names it has instead of ours."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import Any

OTHER_NAME = re.compile(r"mismatch, certificate is not valid for")
"""What OpenSSL says of a host name or an address that the certificate does not have."""
_NAMES_SHOWN = 10


def untrusted(words: str, *, setting: str) -> str:
    """What OpenSSL's ``words`` about a certificate mean, and what to do; ``setting`` is the peer's section."""
    if OTHER_NAME.search(words):
        why = re.sub(r"^.*(mismatch, )", "", words).removesuffix(".")
        return f"its {why}; name it in {setting} as its certificate does (lando doctor shows how)"
    if "expired" in words:
        return "its certificate has expired; have it renewed"
    return f"its certificate is not trusted ({words}); set {setting}.ssl_ca_cert to the CA that signed it"


def other_name(
    host: str,
    port: int,
    context: ssl.SSLContext,
    timeout_s: float,
    *,
    setting: str = "host in work_queue, or url",
    peer: str = "the broker",
) -> str:
    """That the peer's certificate is not for ``host``, for which names it is, and what to do, in a sentence.

    The handshake that was refused does not tell the names, so they are asked for once more.
    """
    names = _names(host, port, context, timeout_s)
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    found = f" but for {shown}" if names else ""
    use = f"connect to it by one of those names ({setting})" if names else "connect to it by its name"
    return f"its certificate is not for {host}{found}; {use}, or give {peer} a certificate for {host}"


def _names(host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> list[str]:
    """Those of a certificate that the authorities of ``context`` vouch for; none where they can't be had."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no login and no message goes over it
    asking.check_hostname = False
    with contextlib.suppress(OSError, ValueError):
        asking.load_verify_locations(cadata=b"".join(context.get_ca_certs(binary_form=True)))
        with (
            socket.create_connection((host, port), timeout=timeout_s) as connection,
            asking.wrap_socket(connection, server_hostname=host) as secured,
        ):
            certificate: dict[str, Any] = dict(secured.getpeercert() or {})
        names = [str(name) for _, name in certificate.get("subjectAltName", ())]
        common = [str(pair[1]) for part in certificate.get("subject", ()) for pair in part if pair[0] == "commonName"]
        return names or common
    return []
