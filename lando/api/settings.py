"""The API server's settings: a YAML file, then the environment, then options; the later wins.

The dataclass is the reference: the text under a field gives its meaning, unit and why the default is what it is.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from lando import home
from lando.api.fair_use import Limits
from lando.api.mail_addresses import is_address
from lando.errors import ConfigError

ENVIRONMENT_PREFIX = "LANDO_API_"
REQUIRE_JOB_TOKENS = "BESPIN_REQUIRE_JOB_TOKENS"
"""Name of the original's variable; any non-empty value switches job tokens on."""

_GIB = 1024**3
_LONGEST_S = 1e9
"""About 30 years: a moment so long ago can still be told."""
_ORIGIN = re.compile(r"https?://[^/\s?#@*]+")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a site decides about its API server."""

    database_url: str = field(repr=False)
    """``sqlite:////absolute/path.db`` or ``postgresql+psycopg://user:password@host/name``. With several hosts, of which
    one takes over from another: ``…://user:password@/name?host=a:5432&host=b:5432&target_session_attrs=read-write``."""
    key_file: str
    """File with the server's secret key, made at the first start (mode 0600); tokens and signed URLs derive from it."""
    files_dir: str
    """Folder for uploaded workflows and inputs."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """0 takes any free port."""
    trusted_proxies: list[str] = field(default_factory=lambda: ["127.0.0.1", "::1"])
    """Addresses or networks (``10.0.0.0/8``) of the proxies before this server, whose ``X-Forwarded-For`` and
    ``X-Forwarded-Proto`` tell who asks: sign-ins are slowed down by that address. Nobody else may send from there."""
    public_url: str | None = None
    """How pods and clients reach this server, e.g. ``https://bespin.example.org``; None is ``http://host:port``."""
    archive_url: str | None = None
    """Where the lando daemon archives logs (its ``archive.url``); None: only logs of live steps are shown."""
    daemons_config: str | None = None
    """The daemons' file, e.g. ``k8s.config``: with it the server shows logs of steps that run, read from the cluster
    that the file names, and knows its ``archive.url`` and ``data_store_settings.url``."""
    results_roots: list[str] = field(default_factory=list)
    """Paths or URLs below which output projects lie; results elsewhere are not served."""
    require_job_tokens: bool = False
    """New jobs start in state ``N`` and need a job token before they may run."""
    max_upload_bytes: int = 100 * _GIB
    """Largest file that may be uploaded."""
    max_body_bytes: int = 32 * 1024 * 1024
    """Largest JSON body; job errors of several MB are seen in practice, so not less than 8 MiB."""
    max_requests: int = 500
    """Requests that are worked on at a time, those that wait and those that follow logs included; more are answered
    503. Health and metrics always are answered."""
    job_error_bytes: int = 64 * 1024
    """Longer texts of job errors are cut in the middle."""
    signed_url_ttl_s: int = 7 * 24 * 3600
    """How long a signed download URL holds at least, in seconds; must outlast a pod's wait for its place."""
    unused_upload_ttl_s: float = 7 * 24 * 3600.0
    """How long an upload is kept that no workflow and no input names, or only inputs of deleted jobs, in seconds;
    submitting takes minutes."""
    mail_ttl_s: float = 90 * 24 * 3600.0
    """How long mails that were sent or given up are kept in ``admin/email-messages/``, in seconds since
    they were made."""
    check_types: bool = True
    """Also refuse job orders in which a value can never fit its input (the original checks no types)."""
    allow_system_overrides: bool = False
    """Let users overwrite any key of a configuration's system job order, as the original does."""
    session_ttl_s: int = 12 * 3600
    """How long a browser stays signed in, in seconds: a working day."""
    web_origins: list[str] = field(default_factory=list)
    """Origins of web front ends elsewhere, e.g. ``https://front.example.org``: their pages may call this server from
    a browser (CORS), and sign-ins may lead back to them."""
    oauth_client_id: str | None = None
    """This server's name at an OAuth 2 provider, through which people then sign in with their browsers
    (``/auth/authorize/``); ``<public_url>/auth/code_callback/`` is what the provider has to send them back to."""
    oauth_client_secret_file: str | None = None
    """File with the client secret, read at each sign-in."""
    oauth_issuer: str | None = None
    """The provider's issuer URL, where OpenID Connect Discovery finds its endpoints; or give the three URLs below."""
    oauth_authorize_url: str | None = None
    """Where browsers are sent to."""
    oauth_token_url: str | None = None
    """Where codes are exchanged."""
    oauth_userinfo_url: str | None = None
    """Where it is asked who has signed in."""
    oauth_scope: str = "openid profile email"
    """What is asked for, words with blanks between."""
    oauth_username_claim: str = "preferred_username"
    """What of the provider's userinfo is the user name here, which tells who somebody is at their first sign-in: must
    be something that people can't choose there."""
    oauth_groups_claim: str = "groups"
    """What of it holds somebody's groups."""
    oauth_required_group: str | None = None
    """Only members of this group may sign in; None: whoever the provider knows."""
    oauth_staff: bool = False
    """Let the provider also sign in staff; otherwise whoever controls it can become any user but those."""
    storage_rights: str = "none"
    """``dukeds``: before a job starts, the service credential is granted the download right on its inputs' projects in
    the Duke Data Service by the owner's own sign-in there. ``none``: whoever has files there shares them."""
    check_workflows: bool = True
    """Have cwltool check workflows when they are registered, where it is installed (the ``cwl`` extra)."""
    check_timeout_s: float = 60.0
    """How long fetching and checking a workflow may take, in seconds."""
    allow_local_addresses: bool = False
    """Fetch workflows from loopback and link-local addresses too: only where every user may
    reach what this machine can."""
    outbox_sweep_s: float = 5.0
    """How often unpublished commands are looked for besides at once after each commit, in seconds."""
    phases: str = "staff"
    """Who may hand in phased runs, which bring Kubernetes Jobs of their own: ``staff``; ``users``, whose pods are then
    held to what can't reach beyond them (see phases.md); or ``off``, nobody."""
    definitions: str | None = None
    """File of the job definitions that ``/k8s-jobs`` makes Jobs of (see definitions.md); None: there are none. The
    cluster is that of ``daemons_config``, unless ``definitions_kubeconfig`` names another; without both, the pod's own
    account logs in."""
    definitions_kubeconfig: str | None = None
    """A kubeconfig file, for definitions only."""
    definitions_namespace: str | None = None
    """Namespace of their Jobs; None: that of ``daemons_config``."""
    definitions_signature: str = "lando-definitions"
    """Label value by which their Jobs are known: those of other signatures are not touched, nor shown."""
    definitions_for: str = "staff"
    """Who may use them: ``staff`` or all ``users``; each of these has only their own Jobs, staff those of all."""
    definitions_per_user: int | None = 100
    """How many Jobs of a user who is not staff may be unfinished at a time, as far as one server sees; None is no
    limit."""
    definitions_retention_s: float = 3600.0
    """How long Jobs of definitions that have ended stay in the cluster, in seconds; the archive keeps what is to be
    known of them."""
    definitions_kept_s: float | None = 365 * 24 * 3600.0
    """How long the archive keeps that, in seconds; then the server removes it. None: for ever."""
    max_running: int | None = None
    """How many jobs each lando connection may have at work at a time; the others wait for their turn (see
    fair-use.md). 0 begins none, e.g. before maintenance; None is no limit."""
    max_running_per_user: int | None = None
    """How many of these may be one user's; None is no limit."""
    notify_states: list[str] = field(default_factory=lambda: ["Finished", "Error", "Canceled"])
    """States of jobs that are told by webhook, and by mail where no template of the site says how; ``Running``, too,
    can be told. See notices.md."""
    webhook_url: str | None = None
    """Where each notice is sent as a signed POST; None: nowhere."""
    webhook_secret_file: str = ""
    """File with the secret that the receiver knows the signature by, read at each delivery."""
    webhook_ca_file: str | None = None
    """Certificates that the receiver's is checked by, PEM; None: the usual ones."""
    smtp_host: str | None = None
    """The mail server; None: no mails are sent."""
    smtp_port: int = 587
    """Its port; 465 is usual with ``tls``."""
    smtp_security: str = "starttls"
    """``starttls``, ``tls`` from the first byte, or ``none``, for a relay on the same machine."""
    smtp_username: str | None = None
    """Login at the mail server; None: without."""
    smtp_password_file: str | None = None
    """File with its password, read at each mail."""
    smtp_ca_file: str | None = None
    """Certificates that the mail server's is checked by, PEM; None: the usual ones."""
    mail_from: str = ""
    """Sender of mails; needed with ``smtp_host``."""
    mail_by_exchange: bool = False
    """Tell a mailer of the site's own, on the broker's ``EmailExchange``, of each mail instead of sending it."""
    log_level: str = "INFO"
    """``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``."""
    log_format: str = "console"
    """``console`` for people, ``json`` for programs."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("log_level", _LOG_LEVELS),
            ("log_format", ("console", "json")),
            ("storage_rights", ("none", "dukeds")),
            ("phases", ("staff", "users", "off")),
            ("definitions_for", ("staff", "users")),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise ConfigError(f"public_url must begin with http:// or https://, not {self.public_url!r}.")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be between 0 and 65535, not {self.port}.")
        for origin in self.web_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(f"web_origins must hold origins as https://front.example.org, not {origin!r}.")
        for address in self.trusted_proxies:
            if not _is_network(address):
                text = "trusted_proxies must hold addresses or networks as 192.0.2.1 or 10.0.0.0/8"
                raise ConfigError(f"{text}, not {address!r}.")
        self._check_provider()
        for name in (
            "max_upload_bytes",
            "max_body_bytes",
            "max_requests",
            "job_error_bytes",
            "signed_url_ttl_s",
            "session_ttl_s",
            "outbox_sweep_s",
            "check_timeout_s",
            "unused_upload_ttl_s",
            "mail_ttl_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0, not {getattr(self, name)}.")
        self._check_notices()
        if not _LABEL_VALUE.fullmatch(self.definitions_signature):
            raise ConfigError(f"definitions_signature must be a label's value, not {self.definitions_signature!r}.")
        if self.definitions_retention_s < 0:
            raise ConfigError(f"definitions_retention_s must be 0 or more, not {self.definitions_retention_s}.")
        if self.definitions_kept_s is not None and not 0 < self.definitions_kept_s <= _LONGEST_S:
            wanted = f"more than 0 and at most {_LONGEST_S:g}, or null to keep for ever"
            raise ConfigError(f"definitions_kept_s must be {wanted}, not {self.definitions_kept_s}.")
        for name in ("max_running", "max_running_per_user", "definitions_per_user"):
            if (limit := getattr(self, name)) is not None and limit < 0:
                raise ConfigError(f"{name} must be 0 or more, or null for no limit, not {limit}.")

    def _check_notices(self) -> None:
        words = ("Running", "Finished", "Error", "Canceled")
        if unknown := [word for word in self.notify_states if word not in words]:
            raise ConfigError(f"notify_states may hold {', '.join(words)}, not {unknown[0]!r}.")
        if self.webhook_url is not None:
            if not self.webhook_url.startswith(("http://", "https://")):
                raise ConfigError("webhook_url must begin with https:// or http://.")
            if not self.webhook_secret_file:
                raise ConfigError("webhook_secret_file must name a file with a secret, by which webhooks are signed.")
        if self.smtp_security not in ("starttls", "tls", "none"):
            raise ConfigError(f"smtp_security must be one of starttls, tls, none, not {self.smtp_security!r}.")
        if self.smtp_host is not None and not is_address(self.mail_from):
            raise ConfigError(f"mail_from must be the mail address of the sender, not {self.mail_from!r}.")
        if bool(self.smtp_username) != bool(self.smtp_password_file):
            raise ConfigError("smtp_username and smtp_password_file are only of use together.")
        if self.smtp_username and self.smtp_security == "none":
            raise ConfigError("smtp_security none would send smtp_password_file's password in clear; use starttls.")

    @property
    def limits(self) -> Limits:
        """How many jobs may run at a time."""
        return Limits(running=self.max_running, per_user=self.max_running_per_user)

    def _check_provider(self) -> None:
        urls = ("oauth_issuer", "oauth_authorize_url", "oauth_token_url", "oauth_userinfo_url")
        for name in urls:
            if (url := getattr(self, name)) is not None and not url.startswith("https://"):
                raise ConfigError(f"{name} must begin with https://, not {url!r}.")
        missing = [name for name in urls[1:] if not getattr(self, name)]
        if self.oauth_client_id is not None and not self.oauth_issuer and missing:
            raise ConfigError(f"oauth_client_id needs also oauth_issuer, or {', '.join(missing)}.")

    @property
    def base_url(self) -> str:
        """The public URL without a slash at its end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    options: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of a file, of ``LANDO_API_<FIELD>`` variables and of ``options`` (None values are left out).

    Without any, everything lies below ``$LANDO_HOME``.
    Raises ConfigError with file, line and key.
    """
    base = home.find(environ=environment)
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{base.database}",
        "key_file": str(base.server_key),
        "files_dir": str(base.files),
    }
    if path is not None:
        values |= _from_file(Path(path))
    values |= _from_environment(environment)
    values |= {key: value for key, value in (options or {}).items() if value is not None}
    return Settings(**values)


def _types() -> dict[str, Any]:
    return typing.get_type_hints(Settings)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: is no YAML: {getattr(error, 'problem', None) or error}.") from error
    if document is None:
        return {}
    if not isinstance(root, yaml.MappingNode) or not isinstance(document, dict):
        raise ConfigError(f"{path}: must hold keys and values.")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}
    known = _types()
    values = {}
    for key, value in document.items():
        where = f"{path}:{lines.get(str(key), 1)}"
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            raise ConfigError(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        if not _fits(value, known[key]):
            raise ConfigError(f"{where}: {key} must be {_words(known[key])}, not {value!r}.")
        values[key] = value
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    _refuse_unknown(environment)
    values: dict[str, Any] = {}
    for name, kind in _types().items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if text := environment.get(variable):
            values[name] = _parsed(variable, text, kind)
    if environment.get(REQUIRE_JOB_TOKENS):
        values["require_job_tokens"] = True
    return values


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = [name.upper() for name in _types()]
    # Kubernetes puts variables for each Service into pods; of one named lando-api-… they have our prefix.
    services = tuple(name.removesuffix("SERVICE_HOST") for name in environment if name.endswith("_SERVICE_HOST"))
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if variable != name and name not in known and not variable.startswith(services):
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {ENVIRONMENT_PREFIX}{near[0]}?" if near else "unset it."
            raise ConfigError(f"No setting has the environment variable {variable}; {advice}")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _parsed(variable: str, text: str, kind: Any) -> Any:
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    if str in (kind, *typing.get_args(kind)):
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text  # fits none of the kinds that are left
    if not _fits(value, kind):
        raise ConfigError(f"{variable} must be {_words(kind)}, not {text!r}.")
    return value


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(part, str) for part in value)
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_words(part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "a list of texts"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}.get(
        kind, str(kind)
    )


def with_port(settings: Settings, port: int) -> Settings:
    """The same settings at the port that was really bound."""
    return dataclasses.replace(settings, port=port)
