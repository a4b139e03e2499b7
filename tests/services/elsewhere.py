"""Another network: a namespace of its own behind a link that can be cut, and TLS with an authority of its own in front.

``python -m tests.services.elsewhere PORT CERTIFICATE KEY TARGET_PORT TARGET_CA`` is that front: it listens on all
addresses, prints its port, and passes what it decrypts on to the TLS server on this machine's loopback address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.services.providing import missing

HOW_TO_GET_IT = "run the tests as root, with iproute2 installed"


@dataclass(frozen=True)
class Elsewhere:
    """A network namespace, and the link to it."""

    name: str
    link: str
    """Our end's name."""
    here: str
    """Our address on the link."""
    there: str
    """The namespace's."""

    @property
    def within(self) -> list[str]:
        """What comes before a command that is to run there."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        _ip("link", "set", self.link, "down")

    def heal(self) -> None:
        _ip("link", "set", self.link, "up")


@contextlib.contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """One such network; skips where this user may not make any."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("netns", HOW_TO_GET_IT)
    unique = uuid.uuid4().hex[:8]
    # Of the range that is set aside for such trials (RFC 2544), so that it is nobody's here.
    net = f"198.18.{random.randrange(256)}.{4 * random.randrange(64)}"
    base = net.rpartition(".")[0]
    first = int(net.rpartition(".")[2])
    place = Elsewhere(f"lando-{unique}", f"ln{unique}", f"{base}.{first + 1}", f"{base}.{first + 2}")
    try:
        _ip("netns", "add", place.name)
    except subprocess.CalledProcessError as error:
        missing("netns", f"{HOW_TO_GET_IT} ({error.stderr.strip()})")
    try:
        _ip("link", "add", place.link, "type", "veth", "peer", "name", "there", "netns", place.name)
        _ip("addr", "add", f"{place.here}/30", "dev", place.link)
        _ip("-n", place.name, "addr", "add", f"{place.there}/30", "dev", "there")
        for where, device in (([], place.link), (["-n", place.name], "there"), (["-n", place.name], "lo")):
            _ip(*where, "link", "set", device, "up")
        yield place
    finally:
        _ip("netns", "del", place.name)  # and with it the link


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


async def _front(port: int, certificate: str, key: str, target_port: int, target_ca: str) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    theirs = ssl.create_default_context(cafile=target_ca)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port, ssl=theirs)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(serve, "0.0.0.0", port, ssl=ours)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(_front(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
