"""Options that several commands share, and the client they lead to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from lando.local.node.sandbox import SandboxMode

if TYPE_CHECKING:
    from lando.client import LandoClient

Url = Annotated[str | None, typer.Option("--url", envvar="LANDO_URL", help="The server, e.g. http://127.0.0.1:8080.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="LANDO_TOKEN", help="Your token; better given by LANDO_TOKEN.")
]
HomeFolder = Annotated[
    Path | None,
    typer.Option("--home", envvar="LANDO_HOME", help="Folder for everything embedded. [default: ~/.local/share/lando]"),
]
MountMode = Annotated[
    SandboxMode,
    typer.Option("--sandbox", envvar="LANDO_SANDBOX", help="How steps see volumes; auto takes bwrap if it works."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RunId = Annotated[int, typer.Argument(metavar="ID", min=1, help="The run's number.")]


def connect(url: str | None, token: str | None, *, timeout_s: float | None = None) -> LandoClient:
    """A client by options, environment (typer reads it) or the home's ``client.json``, in this order.

    Raises:
        ConfigError: nothing says where the server is or who asks.
    """
    from lando import home
    from lando.client import LandoClient
    from lando.errors import ConfigError

    if not url or not token:
        known = home.find().read_client()
        if known is not None and (url is None or url.rstrip("/") == known.url.rstrip("/")):
            url, token = known.url, token or known.token
    if not url:
        raise ConfigError("No server is known: start one with 'lando up', or give --url (LANDO_URL) and LANDO_TOKEN.")
    if not token:
        raise ConfigError(f"No token for {url} is known: give it by LANDO_TOKEN or --token.")
    if not _is_url(url):
        raise ConfigError(f"The server's URL must look like https://lando.example.org, not {url!r}.")
    if not token.isprintable() or " " in token:
        raise ConfigError("The token holds blanks or line ends; give it as it was printed.")
    return LandoClient(url, token) if timeout_s is None else LandoClient(url, token, timeout_s=timeout_s)


@contextmanager
def asked_by(file: Path) -> Iterator[None]:
    """Around calls of what the daemons' ``file`` names: which of them is away is told by its name."""
    from lando.errors import Unavailable

    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it has to say comes as an error of ours
    try:
        yield
    except Unavailable as error:
        said = str(error).removeprefix(f"{error.peer}: ")
        raise Unavailable(error.peer, f"The {error.peer} of {file} can't be asked: {said}") from error


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text and (parts.port or 1) > 0
    except ValueError:
        return False


def is_embedded(client: LandoClient) -> bool:
    """Whether the server is the stack of this machine's home, so that workflows run here."""
    from lando import home

    known = home.find().read_client()
    return known is not None and known.pid is not None and known.url == client.url
