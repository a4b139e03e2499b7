"""Who may use an embedded cluster, and the files by which they do: tokens and kubeconfigs, mode 0600."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lando.errors import ConfigError
from lando.local.http.access import Grant, ensure_token
from lando.local.http.tls import write_private
from lando.local.rules.metadata import label_fault

ADMINISTRATOR = "lando-admin"


@dataclass(frozen=True, kw_only=True)
class User:
    """Someone besides the administrator."""

    name: str
    namespaces: frozenset[str] | None = None
    """Where they may do everything; None: everywhere."""


def parse_users(texts: Iterable[str]) -> tuple[User, ...]:
    """Users from ``NAME`` or ``NAME:NAMESPACE``; a name given again gets one namespace more.

    Raises ConfigError for what can't be a name, and for a user who is given both everything and a namespace.
    """
    found: dict[str, frozenset[str] | None] = {}
    for text in texts:
        name, colon, namespace = text.partition(":")
        for what, value in (("user's name", name), ("namespace", namespace if colon else "any")):
            if fault := label_fault(value):
                raise ConfigError(f"--user {text}: {value!r} can't be a {what}: {fault}")
        if name == ADMINISTRATOR:
            raise ConfigError(f"--user {text}: {ADMINISTRATOR} is there already; choose another name")
        given = frozenset({namespace}) if colon else None
        known = found.get(name, given)
        if (known is None) is not (given is None):
            raise ConfigError(f"--user {text}: {name} is given everything and single namespaces; choose one")
        found[name] = None if known is None or given is None else known | given
    return tuple(User(name=name, namespaces=namespaces) for name, namespaces in found.items())


def ensure_users(folder: Path, users: Iterable[User]) -> dict[str, Grant]:
    """The grant of each user by token. Tokens stay what they were; folders of users no longer named are removed."""
    users = tuple(users)
    folder.mkdir(mode=0o700, exist_ok=True)
    for entry in folder.iterdir():
        if entry.name not in {user.name for user in users}:
            shutil.rmtree(entry)
    grants = {}
    for user in users:
        own = folder / user.name
        own.mkdir(mode=0o700, exist_ok=True)
        grants[ensure_token(own / "token")] = Grant(user=user.name, namespaces=user.namespaces)
    return grants


def write_kubeconfig(file: Path, *, url: str, ca_file: Path, user: str, token: str, namespace: str) -> None:
    """A kubeconfig with one context, for one user."""
    name = "lando"
    document: Mapping[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}],
        "current-context": name,
    }
    write_private(file, yaml.safe_dump(document, sort_keys=False).encode())
