"""From settings to the parameters of connections, one set per broker."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

import pika

from lando.config import TlsSettings, WorkQueueSettings
from lando.config.secrets import current
from lando.errors import ConfigError

CONNECT_TIMEOUT_S = 5.0
"""For TCP alone."""
HANDSHAKE_TIMEOUT_S = 10.0
"""For TCP, TLS and AMQP together, per host."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Login:
    host: str | None
    port: int | None
    username: str
    password: str = field(repr=False)
    virtual_host: str
    tls: TlsSettings | None


class Brokers:
    """The brokers of ``settings``, whose files (password, certificates) are read again for each connection.

    Raises :class:`ConfigError` when they can't work at first; files that become unusable later leave the last good
    ones in use.
    """

    def __init__(self, settings: WorkQueueSettings) -> None:
        self._settings = settings
        self._known = parameters(settings)

    def now(self) -> list[pika.ConnectionParameters]:
        """In the order in which they are tried."""
        url, password = self._settings.url, self._settings.password
        fresh = replace(self._settings, url=url and current(url), password=password and current(password))
        try:
            self._known = parameters(fresh)
        except ConfigError as error:
            log.warning("the last settings that worked stay in use: %s", error)
        else:
            self._settings = fresh
        return self._known


def parameters(settings: WorkQueueSettings) -> list[pika.ConnectionParameters]:
    """The brokers of ``settings`` in the order in which they are tried; raises :class:`ConfigError`."""
    login = _login(settings)
    hosts = [name for name in (login.host, *settings.hosts) if name]
    if not hosts:
        raise ConfigError("work_queue names no broker; give url, or host with username and password.")
    context = _tls_context(login.tls) if login.tls is not None else None
    brokers = []
    for name in dict.fromkeys(hosts):
        host, port = _host_and_port(name)
        brokers.append(
            pika.ConnectionParameters(
                host=host,
                port=port or login.port or (5671 if context else 5672),
                virtual_host=login.virtual_host,
                credentials=pika.PlainCredentials(login.username, login.password),
                ssl_options=pika.SSLOptions(context, host) if context else None,
                heartbeat=settings.heartbeat_s,
                socket_timeout=CONNECT_TIMEOUT_S,
                stack_timeout=HANDSHAKE_TIMEOUT_S,
                connection_attempts=1,
            )
        )
    return brokers


def _login(settings: WorkQueueSettings) -> _Login:
    """Where to log in and as whom; what the URL leaves open comes from the other keys."""
    username, password = settings.username or "guest", settings.password or "guest"
    if settings.url is None:
        return _Login(
            host=settings.host,
            port=settings.port,
            username=username,
            password=password,
            virtual_host=settings.virtual_host,
            tls=settings.tls,
        )
    try:
        url = urlsplit(settings.url)
        port = url.port
    except ValueError:
        raise ConfigError("work_queue.url is no URL; write amqp://USER:PASSWORD@HOST:PORT/VHOST.") from None
    if url.scheme not in ("amqp", "amqps") or url.query or url.fragment:
        raise ConfigError("work_queue.url has to begin with amqp://, amqps:// or memory:// and to have no query.")
    return _Login(
        host=f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname,
        port=port or settings.port,
        username=unquote(url.username) if url.username else username,
        password=unquote(url.password) if url.password else password,
        virtual_host=unquote(url.path[1:]) or settings.virtual_host,
        tls=settings.tls or (TlsSettings() if url.scheme == "amqps" else None),
    )


def _host_and_port(name: str) -> tuple[str, int | None]:
    try:
        url = urlsplit(f"//{name}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if host is None or name.rpartition("]")[2].count(":") > 1 or set(name) & set("/@?#"):
        raise ConfigError(f"work_queue: {name[:80]!r} is no broker; write HOST or HOST:PORT.")
    return host, port


def _tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Verifies certificate and host name always."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"work_queue.tls.ca_file {tls.ca_file} can't be used: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except OSError as error:
            raise ConfigError(
                f"work_queue.tls: cert_file {tls.cert_file} with key_file {tls.key_file} can't be used: "
                f"{error.strerror or error}"
            ) from None
    return context
