"""Where a download may lead: the link as it is written, and the addresses behind its host.

A link comes from outside, and a host's name may stand for any address, also one inside AWS or the
deployer's network. So the addresses are looked up once, all of them are checked, and the connection
is made to one of those that were checked (docs/adr/0090).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from bridge.errors import Refused
from bridge.resolver import Addresses, Resolver

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LINK = re.compile(r"[!-~]{1,8000}")
_HOST = re.compile(r"[a-z0-9._:-]+")


class Target(NamedTuple):
    """One request of a download. `path` has the query, which may hold a signature."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """The host as it stands in an address, with its port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_named(host: str, port: int, names: frozenset[str]) -> bool:
    """Whether a host is among these, as `host` or as `host:port`."""
    return host in names or f"{host}:{port}" in names


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
    try:
        link = urljoin(f"{target.scheme}://{target.netloc}{target.path}", location)
    except ValueError as error:
        raise _refused("MEDIA_LINK_UNREADABLE", "a redirect's address cannot be read") from error
    return read_link(link)


class PublicResolver(Resolver):
    """Connects to public addresses only, and to hosts that the deployer exempts."""

    def __init__(self, exempt: frozenset[str]) -> None:
        super().__init__()
        self._exempt = exempt

    def look_up(self, host: str, port: int, *, seconds: float) -> Addresses:
        """As Resolver's; raises Refused too, where one of the addresses is not public."""
        found = super().look_up(host, port, seconds=seconds)
        public = all(is_public(str(entry[4][0])) for entry in found)
        if not public and not is_named(host, port, self._exempt):
            raise _refused("MEDIA_ADDRESS_NOT_PUBLIC", f"{host} leads to a private address")
        return found


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


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _refused(code: str, message: str) -> Refused:
    return Refused(message, code=code)
