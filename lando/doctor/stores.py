"""The archive, which the daemons write themselves, and the store of results, which only the pods of steps write."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from lando import proxies
from lando.archive import Archive
from lando.config import Config
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, failed, ok, unknown, warning
from lando.errors import LandoError, PeerError
from lando.stores.dukeds_api import DEFAULT_URL as DUKEDS_URL
from lando.stores.urls import masked

CONNECT_S = 5.0
_ENDPOINTS = {
    "gs": "https://storage.googleapis.com",
    "s3": "https://s3.amazonaws.com",
    "dds": DUKEDS_URL,
}
"""Where a store is that has no address of its own in its URL."""


def examine_archive(config: Config) -> Iterator[Finding | Asking]:
    """Writes a small file there, and removes it."""
    url = config.archive.url
    if url is None:
        yield warning("archive", "none: a step's log goes with its Job", "set archive.url, so that logs outlive Jobs")
        return
    yield Asking("archive")
    try:
        Archive(url, config.archive.max_bytes_per_container).try_out()
    except LandoError as error:
        said = str(error).removeprefix(f"{error.peer}: ") if isinstance(error, PeerError) else str(error)
        advice = "check archive.url, and the credentials that this process finds in its environment"
        yield failed("archive", f"{masked(url)}: {said}", advice)
    else:
        yield ok("archive", f"{masked(url)} can be written")


def examine_results(config: Config) -> Iterator[Finding | Asking]:
    """Only whether its address answers here: the pods write it, from their network and with their credential."""
    check, url = "results", config.data_store_settings.url
    if url is None:
        yield ok(check, "left to the image of the step that saves them (data_store_settings.url is not set)")
        return
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        yield ok(check, f"{masked(url)}, a folder in the pods of steps")
        return
    endpoint = _endpoint(parts.scheme, config)
    if endpoint is None:
        yield unknown(check, f"{masked(url)}: where that is, only the pods know")
        return
    if proxies.proxy_for(endpoint, None) is not None:
        yield unknown(check, f"{masked(url)}: from here only through a proxy, which is not how the pods go")
        return
    place = urlsplit(endpoint)
    port = place.port or (443 if place.scheme == "https" else 80)
    yield Asking(check)
    try:
        socket.create_connection((place.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        seen = f"{place.hostname}:{port}, where {masked(url)} is, can't be reached from here: {error.strerror or error}"
        yield warning(check, seen, "make sure that it can be reached from the cluster's nodes")
    else:
        yield ok(check, f"{place.hostname}:{port}, where {masked(url)} is, can be reached from here")


def _endpoint(scheme: str, config: Config) -> str | None:
    """The address of a store, as the pods are told it."""
    variable = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST"}.get(scheme, "")
    return config.pods.env.get(variable) or os.environ.get(variable) or _ENDPOINTS.get(scheme)
