"""An HTTP proxy that knows CONNECT alone, open or with a login, and remembers where it was asked to go."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator


class HttpProxy:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, login: str | None = None) -> None:
        """``login`` is ``USER:PASSWORD``, which everybody must then show."""
        self._wanted = None if login is None else f"Basic {base64.b64encode(login.encode()).decode()}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.connected: list[str] = []
        """``HOST:PORT`` of each tunnel that was opened."""
        self._thread = threading.Thread(target=self._listen, name="http proxy", daemon=True)
        self._thread.start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(10)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(4096)):
                    return
                head += more
            lines = head.decode("latin-1").split("\r\n")
            method, place, _ = lines[0].split(" ", 2)
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
            if self._wanted not in (None, headers.get("proxy-authorization")):
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            else:
                host, _, port = place.rpartition(":")
                far = socket.create_connection((host, int(port)), timeout=10)
                self._sockets.append(far)
                self.connected.append(place)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=_pump, args=(far, client), daemon=True).start()
                _pump(client, far)
                return
        client.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def http_proxy(login: str | None = None) -> Iterator[HttpProxy]:
    """One such proxy, closed afterwards."""
    proxy = HttpProxy(login)
    try:
        yield proxy
    finally:
        proxy.close()
