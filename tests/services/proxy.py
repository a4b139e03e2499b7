"""A TCP proxy that a test can cut, freeze and close: the network's ways to fail."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

_CHUNK = 64 * 1024


class Proxy:
    """Forwards connections from a free port of 127.0.0.1 to ``target``, one thread for all."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._waker, self._wakened = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._frozen = False
        self._refusing = False
        self._ended = False
        self._thread = threading.Thread(target=self._forward, name="proxy")
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Break every connection; new ones are let through."""
        with self._lock:
            for one in list(self._peers):
                self._drop(one)

    def freeze(self, frozen: bool = True) -> None:
        """Keep every connection but forward nothing, as a dead network does."""
        self._frozen = frozen
        self._waker.send(b".")

    def refuse(self, refusing: bool = True) -> None:
        """Break new connections at once."""
        self._refusing = refusing

    def close(self) -> None:
        self._ended = True
        self._waker.send(b".")
        self._thread.join(10)
        self.cut()
        for one in (self._listener, self._waker, self._wakened):
            one.close()
        self._selector.close()

    def _forward(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(timeout=0.05 if self._frozen else None):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._wakened:
                    one.recv(_CHUNK)
                elif one is self._listener:
                    self._accept()
                elif not self._frozen:
                    self._pass_on(one)
            if self._frozen:
                threading.Event().wait(0.02)  # readable sockets are left alone without spinning

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._refusing:
            near.close()
            return
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        with self._lock:
            for one, other in ((near, far), (far, near)):
                self._peers[one] = other
                self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        with self._lock:
            other = self._peers.get(one)
            if other is None:
                return
            try:
                data = one.recv(_CHUNK)
                if data:
                    other.sendall(data)
                    return
            except OSError:
                pass
            self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        """Close both ends; the lock is held."""
        other = self._peers.pop(one, None)
        for end in (one, other):
            if end is not None:
                self._peers.pop(end, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()


@contextlib.contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A proxy to ``host:port``, closed afterwards."""
    between = Proxy((host, port))
    try:
        yield between
    finally:
        between.close()
