"""The embedded cluster as a whole: store, controllers, node and API server, with what a client needs to reach them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from lando.errors import ConfigError
from lando.local.controllers.caretakers import ClaimProtection, EventExpiry, NamespaceController
from lando.local.controllers.garbage_collector import GarbageCollector
from lando.local.controllers.quota_controller import QuotaController
from lando.local.controllers.scheduler import NodeCapacity
from lando.local.credentials import ADMINISTRATOR, User, ensure_users, write_kubeconfig
from lando.local.http.access import Access, Grant, ensure_token
from lando.local.http.server import ApiServer
from lando.local.http.tls import ensure_certificates, write_private
from lando.local.node.images import ImageTable
from lando.local.node.local_node import LocalNode
from lando.local.node.sandbox import SandboxMode
from lando.local.presence import Presence, announce, held
from lando.local.rules.status import ApiError
from lando.local.store.objects import HISTORY_LIMIT, ObjectStore

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 15.0
_STOP_MARGIN_S = 5.0
"""Of the time for stopping, what is kept back for all but the pods."""
_OWN_NAMESPACES = ("default",)


class LocalCluster:
    """A cluster of one node, in this process, with its state below ``home``.

    ``home`` belongs to one process at a time: a second one gets ConfigError. After a stop, or the process's end, the
    next start goes on with the same objects, token and authority, and, where it is free, on the same port.
    """

    def __init__(
        self,
        home: Path,
        *,
        namespace: str = "lando",
        port: int = 0,
        images: ImageTable | None = None,
        sandbox: SandboxMode = "auto",
        capacity: NodeCapacity | None = None,
        users: Sequence[User] = (),
        ephemeral: bool = False,
        history_limit: int = HISTORY_LIMIT,
    ) -> None:
        """``port`` 0 takes the last one again, or else a free one; ``images`` None reads ``images.yaml`` in ``home``;
        ``capacity`` None offers the whole machine. ``users`` get a folder each in ``home/users``, with their token and
        kubeconfig. With ``ephemeral`` no object of an earlier start is kept, and ``home`` is emptied by a stop.
        ``history_limit`` changes are kept for watches that resume; who asks for older ones is answered 410."""
        self.home = home
        self.namespace = namespace
        self.kubeconfig_file = home / "kubeconfig"
        self.token_file = home / "token"
        self.ca_file = home / "ca.crt"
        self.url = ""
        """Of the API; known once started."""
        self.token = ""
        """Of the administrator, who may do everything; known once started."""
        self._port = port
        self._images = images
        self._sandbox: SandboxMode = sandbox
        self._capacity = capacity
        self._users = tuple(users)
        self._ephemeral = ephemeral
        self._history_limit = history_limit
        self._running = contextlib.ExitStack()
        self._started = False
        self._stop_grace_s = STOP_TIMEOUT_S - _STOP_MARGIN_S

    def start(self) -> None:
        """Take ``home``, begin every part, write the kubeconfig; returns when the API answers.

        Raises ConfigError when another process has ``home`` or the port is taken.
        """
        if self._started:
            raise RuntimeError("the cluster has been started already")
        self._started = True
        with contextlib.ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Take no more requests, end the pods within about ``timeout_s`` seconds, let ``home`` go."""
        self._stop_grace_s = max(timeout_s - _STOP_MARGIN_S, 0.0)
        self._running.close()

    def __enter__(self) -> LocalCluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, parts: contextlib.ExitStack) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        parts.enter_context(held(self.home))
        if self._ephemeral:
            # What still runs of an earlier life is ended by the node: it belongs to no object any more.
            _forget_objects(self.home)
            parts.callback(_empty, self.home)
        certificates = ensure_certificates(self.home)
        self.token = ensure_token(self.token_file)
        store = self._open_store()
        parts.callback(store.close)
        granted = [user.namespaces or frozenset() for user in self._users]
        _ensure_namespaces(store, {*_OWN_NAMESPACES, self.namespace}.union(*granted))
        grants = {self.token: Grant(user=ADMINISTRATOR), **ensure_users(self.home / "users", self._users)}
        access = Access(grants)
        server = self._bind(lambda port: ApiServer(store, access, certificates, port=port))
        parts.callback(server.stop)
        node = LocalNode(store, self.home, sandbox=self._sandbox, capacity=self._capacity, images=self._images)
        parts.callback(lambda: node.stop(self._stop_grace_s))
        node.start()
        caretakers = (
            GarbageCollector(store),
            NamespaceController(store),
            ClaimProtection(store),
            QuotaController(store),
            EventExpiry(store),
        )
        for controller in caretakers:
            controller.start()
            parts.callback(controller.stop)
        server.set_log_source(node.kubelet)
        parts.callback(server.stop)  # before all that it serves; the earlier one is for a start that fails
        server.start()
        self.url = server.url
        write_private(self.home / "port", str(server.port).encode())
        self._write_kubeconfigs(grants)
        announce(self.home, self._presence(node.mounts))
        log.info("the embedded cluster is at %s, its state in %s", self.url, self.home)

    def _open_store(self) -> ObjectStore:
        file = self.home / "objects.db"
        try:
            return ObjectStore(file, history_limit=self._history_limit)
        except (sqlite3.Error, ValueError, KeyError) as error:
            words = f"the embedded cluster's state in {file} can't be read ({error}); move the file away to begin anew"
            raise ConfigError(words) from error

    def _bind(self, make: Callable[[int], ApiServer]) -> ApiServer:
        if self._port:
            try:
                return make(self._port)
            except OSError as error:
                raise ConfigError(
                    f"port {self._port} for the embedded cluster can't be used ({error.strerror}); choose another"
                ) from error
        with contextlib.suppress(OSError, ValueError):
            return make(int((self.home / "port").read_text()))
        return make(0)

    def _write_kubeconfigs(self, grants: dict[str, Grant]) -> None:
        """One for each user; without a namespace of their own they begin in the cluster's."""
        for token, grant in grants.items():
            file = self.home / "users" / grant.user / "kubeconfig"
            write_kubeconfig(
                self.kubeconfig_file if grant.user == ADMINISTRATOR else file,
                url=self.url,
                ca_file=self.ca_file,
                user=grant.user,
                token=token,
                namespace=min(grant.namespaces or {self.namespace}),
            )

    def _presence(self, mounts: str) -> Presence:
        return Presence(
            pid=os.getpid(),
            url=self.url,
            namespace=self.namespace,
            mounts=mounts,
            ephemeral=self._ephemeral,
            kubeconfig=str(self.kubeconfig_file),
            users={user.name: None if user.namespaces is None else sorted(user.namespaces) for user in self._users},
        )


def _forget_objects(home: Path) -> None:
    for name in ("objects.db", "objects.db-wal", "objects.db-shm"):
        (home / name).unlink(missing_ok=True)


def _empty(home: Path) -> None:
    """Remove all but the lock, which is still held."""
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != "lock":
            entry.unlink(missing_ok=True)


def _ensure_namespaces(store: ObjectStore, names: set[str]) -> None:
    for name in sorted(names):
        try:
            store.create("namespaces", "", {"metadata": {"name": name}})
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise ConfigError(f"the embedded cluster can't have a namespace {name!r}: {error}") from error
