"""Where a download may lead: the link as it is written, and the addresses behind its host.

A link comes from outside, and a host's name may stand for any address, also one inside AWS or the
deployer's network. So the addresses are looked up once, all of them are checked, and the connection
is made to one of those that were checked (docs/adr/0090).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from bridge.errors import Refused, Unavailable
from bridge.settings import Settings

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host. Raises OSError."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LINK = re.compile(r"[!-~]{1,8000}")
_HOST = re.compile(r"[a-z0-9._:-]+")


@dataclass(frozen=True)
class Target:
    """One request of a download. `path` has the query, which may hold a signature."""

    scheme: str
    host: str
    port: int
    path: str

    def is_named(self, names: frozenset[str]) -> bool:
        """Whether its host is among these, as `host` or as `host:port`."""
        if f"{self.host}:{self.port}" in names:
            return True
        return self.host in names


def read_link(link: str) -> Target:
    """A link as a target. Raises Refused."""
    # Spaces and letters outside ASCII have to be encoded in a request's line.
    encoded = "".join(c if "!" <= c <= "~" else _percent(c) for c in link.strip())
    try:
        parts = urlsplit(encoded)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as error:
        raise _refused("MEDIA_LINK_UNREADABLE", "the file's link cannot be read") from error
    scheme = parts.scheme.lower()
    if not _LINK.fullmatch(encoded) or scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise _refused("MEDIA_LINK_UNREADABLE", "the file's link is none of https")
    if parts.username is not None or parts.password is not None or port == 0:
        raise _refused("MEDIA_LINK_UNREADABLE", "the file's link holds a user or a port 0")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme, host, port or (443 if scheme == "https" else 80), path)


def follow(target: Target, location: str) -> Target:
    """Where a redirect leads. Raises Refused."""
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode()  # as http.client reads a header's UTF-8
    name = f"[{target.host}]" if ":" in target.host else target.host
    try:
        link = urljoin(f"{target.scheme}://{name}:{target.port}{target.path}", location)
    except ValueError as error:
        raise _refused("MEDIA_LINK_UNREADABLE", "a redirect's address cannot be read") from error
    return read_link(link)


def checked_addresses(target: Target, *, settings: Settings, resolve: Resolve) -> Sequence[str]:
    """The addresses to connect to, each of them public; and the scheme is https.

    Hosts that the deployer names in AllowInsecureHosts are exempt. Raises Refused, Unavailable
    where the name cannot be looked up now.
    """
    exempt = target.is_named(settings.allow_insecure_hosts)
    if target.scheme != "https" and not exempt:
        raise _refused("MEDIA_NOT_HTTPS", f"{target.host} would be called without TLS")
    try:
        addresses = resolve(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{target.host} cannot be looked up", code="MEDIA_UNREACHABLE") from error
    if not exempt and not all(map(is_public, addresses)):
        raise _refused("MEDIA_ADDRESS_NOT_PUBLIC", f"{target.host} leads to a private address")
    if not addresses:
        raise Unavailable(f"{target.host} has no address", code="MEDIA_UNREACHABLE")
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and none is hidden in it.

    Source: IANA's special-purpose registries, as Python's ipaddress has them; and the forms of IPv6
    that stand for an address of IPv4 (RFC 4291, 3056, 4380, 6052).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or "%" in address:
            return False
        if int(ip) >> 32 == 0 or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host by the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _refused(code: str, message: str) -> Refused:
    return Refused(message, code=code)
