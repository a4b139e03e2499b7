"""Which addresses a staging step may connect to.

A user names the URLs, the cluster's inside opens the connections: without this, ``http://169.254.169.254/…`` would
hand a user the node's cloud credentials. Names are judged by what they resolve to, and connections by their peer, so
neither redirects nor a name server that changes its mind get around it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_SERVICES = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
"""Cloud metadata services outside the link-local range."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215; sites use the /96 form in it


class AddressError(Exception):
    """The host lies where staging does not go; ``args[0]`` is the address."""


def is_forbidden(text: str) -> bool:
    """Whether an address (as text, scope allowed) is loopback, link-local, a metadata service or no unicast address.

    Private networks are allowed: a site's own file servers live there.
    """
    return any(_is_forbidden(address) for address in _meanings(ipaddress.ip_address(text.partition("%")[0])))


def is_loopback_name(host: str) -> bool:
    """Whether ``host`` is this machine by its very name: ``localhost`` or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def check_host(host: str, port: int) -> None:
    """Refuse ``host`` if any address it resolves to is forbidden.

    Raises:
        AddressError: It is.
        socket.gaierror: The name can't be resolved.
    """
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        check_address(str(address[0]))


def check_address(address: str) -> None:
    """Raises: AddressError: ``address`` is one."""
    if is_forbidden(address):
        raise AddressError(address)


def _meanings(address: Address) -> Iterator[Address]:
    """The address and the IPv4 address it carries inside, if it is one of the transition forms."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        for inner in (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1]):
            if inner:
                yield inner
        if address in _NAT64 or address in _LOCAL_NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_forbidden(address: Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (address.is_reserved and address not in _NAT64)
        or address in _METADATA_SERVICES
        or (isinstance(address, ipaddress.IPv4Address) and address.packed[0] == 0)
    )
