"""The Bespin API, ours or an original, and our own API beside it: whether the daemons' token opens them."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from lando import proxies
from lando.config import BespinApiSettings, LandoApiSettings
from lando.doctor import clocks, tls
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, failed, ok, unknown, warning
from lando.errors import NotFound, PeerError, Rejected
from lando.sources.http import JsonApi

ANSWER_S = 8.0
"""For one answer; a connection has its own limit."""


def examine_bespin(settings: BespinApiSettings, *, is_alone: bool) -> Iterator[Finding | Asking]:
    """The admin routes that the daemons use; ``is_alone`` where no ``lando_api`` is set beside it."""

    def ask(api: JsonApi) -> None:
        api.request("GET", "admin/job-errors/", query=[("job", "0")])

    found = yield from _examine("bespin_api", settings, "Bespin API", ask)
    if found is None:
        yield Asking("version")
        yield from _version(settings, is_alone=is_alone)


def examine_lando(settings: LandoApiSettings) -> Iterator[Finding | Asking]:
    """The routes for conditions and attempts."""

    def ask(api: JsonApi) -> None:
        api.request("GET", "runs", query=[("state", "Starting")])
        with contextlib.suppress(NotFound):  # no run has this number
            api.request("PUT", "runs/0/condition", {"step": "stage_data", "sentence": None})

    yield from _examine("lando_api", settings, "Lando API", ask)


def _examine(
    section: str,
    settings: BespinApiSettings | LandoApiSettings,
    peer: str,
    ask: Callable[[JsonApi], None],
) -> Generator[Finding | Asking, None, PeerError | None]:
    """Returns the refusal, if it is one."""
    yield Asking("reach")
    heard: list[Mapping[str, str]] = []
    api = JsonApi(
        peer,
        settings.url,
        settings.token,
        on_answer=heard.append,
        read_timeout_s=ANSWER_S,
        section=section,
        ca_file=settings.ssl_ca_cert,
        proxy=settings.proxy,
    )
    try:
        yield Asking("token")
        try:
            ask(api)
            refusal: PeerError | None = None
        except PeerError as error:
            refusal = error
        yield from judge(section, settings.url, refusal)
        if refusal is None or refusal.status is not None:
            yield from _transport(section, settings)
            yield Asking("clock")
            yield from clocks.judge(_date(heard), datetime.now(UTC), f"the {peer}'s")
        return refusal
    finally:
        api.close()


def judge(section: str, url: str, refusal: PeerError | None) -> Iterator[Finding]:
    """What the answer to the daemons' question means; None is a good one."""
    if refusal is None:
        yield ok("reach", f"{url} answers")
        yield ok("token", "is valid, and its user is staff")
        return
    said = str(refusal).removeprefix(f"{refusal.peer}: ")
    match refusal.status:
        case None:
            seen, _, advice = said.partition("; ")
            usual = f"check {section}.url, and that a firewall lets this machine connect there"
            yield failed("TLS" if "certificate" in seen else "reach", seen, advice or usual)
        case 401:
            yield ok("reach", f"{url} answers")
            yield failed("token", "is not valid", f"make one for a staff user, and put it into {section}.token(_file)")
        case 403:
            yield ok("reach", f"{url} answers")
            yield failed(
                "token", "is valid, but its user is not staff", "make that user staff, or take another's token"
            )
        case _ if isinstance(refusal, NotFound | Rejected):
            yield failed("reach", said, f"check {section}.url: nothing of the sort answers there")
        case _:
            yield failed("reach", said, "look at that server's log and its /readyz")


def _transport(section: str, settings: BespinApiSettings | LandoApiSettings) -> Iterator[Finding | Asking]:
    parts = urlsplit(settings.url)
    host = parts.hostname or ""
    if (proxy := proxies.proxy_for(settings.url, settings.proxy)) is not None:
        yield ok("proxy", f"asked through {proxies.split(proxy)[0]}")
    elif parts.scheme == "https":
        yield Asking("TLS")
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        yield from tls.examine(host, parts.port or 443, context, setting=f"{section}.url")
    else:
        yield tls.without(host, "the token", f"give {section}.url an https address")


def _date(heard: list[Mapping[str, str]]) -> datetime | None:
    try:
        return parsedate_to_datetime(heard[-1].get("Date", "")) if heard else None
    except (ValueError, TypeError):
        return None


def _version(settings: BespinApiSettings, *, is_alone: bool) -> Iterator[Finding]:
    """Ours tells its readiness at its root; an original knows no such route."""
    root = settings.url.rstrip("/").removesuffix("/api/v2")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = settings.ssl_ca_cert or True
        if (proxy := proxies.proxy_for(root, settings.proxy)) is not None:
            session.proxies = {urlsplit(root).scheme: proxy}
        try:
            answer = session.get(f"{root}/readyz", timeout=5)
            document: Any = answer.json()
        except (requests.RequestException, ValueError):
            document = None
    status = document.get("status") if isinstance(document, Mapping) else None
    if not isinstance(status, str):
        yield unknown("version", "an original bespin-api, or one of ours whose /readyz is not shown here")
        return
    if status == "ok":
        yield ok("version", "one of ours, and ready")
    else:
        said = document.get("waits_for") or document.get("broker") or status
        yield warning("version", f"one of ours; it says: {said}", "see docs/operations.md")
    if is_alone:
        advice = f"set lando_api.url to {root}/api/lando/v1, with the same token"
        yield warning("lando_api", "not set: users are not told why a step waits, nor of its attempts", advice)
