"""A peer that takes connections and then says nothing, as one that is frozen."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class SilentPeer:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self.asked = threading.Event()
        """Set once somebody has sent something."""
        self._thread = threading.Thread(target=self._listen, name="silent peer", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                if client.recv(1, socket.MSG_PEEK):
                    self.asked.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for client in self._clients:
            client.close()


@contextlib.contextmanager
def silent_peer() -> Iterator[SilentPeer]:
    """One such peer, closed afterwards."""
    peer = SilentPeer()
    try:
        yield peer
    finally:
        peer.close()
