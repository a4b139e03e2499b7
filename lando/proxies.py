"""Which HTTP proxy lies on the way to a peer, and what to say when it does not let us through."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

from urllib3.util import make_headers

_LOGIN_WANTED = re.compile(r"\b407\b")
_REFUSAL = re.compile(r"Tunnel connection failed: (?P<words>[^'\")]+)")


def proxy_for(url: str, setting: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """The proxy for ``url``: the setting's, else that of ``HTTPS_PROXY``; None goes there directly.

    The environment's counts for https alone, where a proxy sees nothing of what passes, and neither for this machine
    nor for what ``NO_PROXY`` names: ``*``, hosts, domains and networks, separated by commas.
    """
    if setting:
        return setting
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    chosen = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not chosen or not host or _is_here(host):
        return None
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_covers(one.strip().lower(), host, parts.port or 443) for one in exempt.split(",")):
        return None
    return chosen if "://" in chosen else f"http://{chosen}"


def split(proxy: str) -> tuple[str, dict[str, str]]:
    """The proxy's address without the login, and the headers that log in."""
    parts = urlsplit(proxy)
    login, at, place = parts.netloc.rpartition("@")
    address = urlunsplit((parts.scheme, place, parts.path, "", ""))
    return address, make_headers(proxy_basic_auth=unquote(login)) if at else {}


def told(error: BaseException) -> str:
    """Why a proxy did not let us through, from urllib3's or requests' error, without its login."""
    text = " ".join(str(error).split())
    if _LOGIN_WANTED.search(text):
        return "the proxy wants a login, or another one than it was given"
    if (refusal := _REFUSAL.search(text)) is not None:
        return f"the proxy refused to connect ({refusal['words'].strip()})"
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__cause__ or cause.__context__
    why = f" ({cause.strerror})" if isinstance(cause, OSError) and cause.strerror else ""
    return f"the proxy can't be reached{why}"


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether one entry of ``NO_PROXY`` names the host."""
    if entry in ("", "*"):
        return entry == "*"
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        name = entry.lstrip("*.")
        return any(place == name or place.endswith(f".{name}") for place in (host, f"{host}:{port}"))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
