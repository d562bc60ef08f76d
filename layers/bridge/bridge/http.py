"""HTTP client with kept connections and one TLS context, every call with a deadline.

It knows neither Salesforce nor AWS; their clients turn its errors into their own:

HttpError
├── NoConnection     no connection was made, so nothing was sent
│   └── NoName       because no name server responded
└── NoResponse       the request was sent and no whole response came: it may be done or not
    └── TooLarge     the response is larger than any that is read
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bridge.deadline import Deadline
from bridge.http1 import Connection, request_head, whole_request
from bridge.resolver import NoNameServer, Resolver

CONNECT_SECONDS = 3.0
"""A host whose name is not found, or that accepts no connection, within this is treated as down,
after a second try."""

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""More than any response that is expected, so that none fills the memory."""

# What is sent twice, and why it does no harm.
# - No connection was made: nothing was sent, so a second try is always safe. If no name server
#   responded it is no use: the resolver itself has tried twice.
# - A kept connection turns out to be dead. Lambda freezes between invocations, so this is common
#   (docs/adr/0023), but the request may have arrived: only the caller knows whether a key makes a
#   repetition harmless (`repeatable`).
# Nothing else: a slow response would make a slow Salesforce slower.
MAX_SENDS = 2


class HttpError(Exception):
    """A request without a whole response. The message names at most the host."""

    code = "NO_ANSWER"


class NoConnection(HttpError):
    """No connection was made, so nothing was sent."""

    code = "UNREACHABLE"


class NoName(NoConnection):
    """No name server responded. To find that out takes seconds, each time."""


class NoResponse(HttpError):
    """The request was sent and no whole response came: it may be done or not."""


class TooLarge(NoResponse):
    """The response is larger than MAX_RESPONSE_BYTES."""


@dataclass(frozen=True)
class Response:
    """An HTTP response. The body is not in `repr`: it may hold anything."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By names in lower case."""
    body: bytes = field(repr=False)


class Http:
    """Kept connections to a few hosts. Raises HttpError."""

    def __init__(self, resolver: Resolver | None = None) -> None:
        self._idle: dict[tuple[str, str], list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._resolver = resolver or Resolver()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline: Deadline,
        repeatable: bool = False,
    ) -> Response:
        """Send one request and read its whole response before the deadline.

        `repeatable`: the request may be sent again where it is not known whether it arrived.
        Raises NoConnection, NoResponse, TooLarge.
        """
        address, host, target = _parts_of(url)
        try:
            request = whole_request(method, target, host=host, headers=headers, body=body)
        except ValueError as error:
            raise NoConnection("the request cannot be written") from error
        for attempt in range(1, MAX_SENDS + 1):
            if not deadline.remaining() and attempt == 1:
                raise NoConnection("no time was left to send the request")
            connection = self._kept(address)
            kept = connection is not None
            try:
                connection = connection or self.open(*address, deadline=deadline)
                connection.write(request, deadline)
                response, reusable = _read(connection, deadline)
            except (OSError, UnicodeError) as error:
                connected = connection is not None
                if connection is not None:
                    connection.close()
                if isinstance(error, NoNameServer):
                    raise NoName(f"no name server responds for {host}") from error
                what = type(error).__name__
                if not deadline.remaining() or (connected and isinstance(error, TimeoutError)):
                    raise NoResponse(f"{host} did not answer in time") from error
                if not connected and attempt == MAX_SENDS:
                    raise NoConnection(f"{host} cannot be reached ({what})") from error
                if connected and (attempt == MAX_SENDS or not (kept and repeatable)):
                    raise NoResponse(f"{host} broke off ({what})") from error
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            else:
                if reusable:
                    self._idle.setdefault(address, []).append(connection)
                else:
                    connection.close()
                return response
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _kept(self, address: tuple[str, str]) -> Connection | None:
        """A connection that was used before."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if connection.is_alive:
                return connection
            connection.close()
        return None

    def upload(
        self, url: str, *, headers: Mapping[str, str], pieces: Iterable[bytes], deadline: Deadline
    ) -> Response:
        """POST a body in pieces, once, on a connection of its own; `headers` have its length.

        Raises NoConnection, NoResponse, TooLarge.
        """
        address, host, target = _parts_of(url)
        try:
            head = request_head("POST", target, host=host, headers=headers)
        except ValueError as error:
            raise NoConnection("the request cannot be written") from error
        connection = None
        try:
            connection = self.open(*address, deadline=deadline)
            connection.write(head, deadline)
            # What refuses a request may respond, and close, before it has read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    connection.write(piece, deadline)
            return _read(connection, deadline)[0]
        except (OSError, UnicodeError) as error:
            failed = NoResponse if connection else NoConnection
            raise failed(f"{host} took no file ({type(error).__name__})") from error
        finally:
            if connection:
                connection.close()

    def open(self, scheme: str, host: str, *, deadline: Deadline) -> Connection:
        """A new connection. Raises NoConnection, OSError."""
        try:
            parts = urlsplit(f"{scheme}://{host}")
            name, port = parts.hostname or "", parts.port or (443 if scheme == "https" else 80)
        except ValueError as error:
            raise NoConnection("the address cannot be read") from error
        seconds = min(CONNECT_SECONDS, deadline.timeout())
        sock = self._resolver.connect((name, port), seconds)
        # Else a request waits until what ended the TLS handshake is acknowledged (Nagle).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            if self._tls is None:
                # Loading the certificate authorities takes 21 ms: once per process.
                self._tls = ssl.create_default_context()
                self._tls.set_alpn_protocols(["http/1.1"])
            sock = self._tls.wrap_socket(sock, server_hostname=name)
        return Connection(sock)


def _parts_of(url: str) -> tuple[tuple[str, str], str, str]:
    """Scheme and host, the host as a request names it, and the target."""
    scheme, rest = url.split("://", 1)
    host, _, path = rest.partition("/")
    # In lower case: https in capitals must not become plain http.
    return (scheme.lower(), host.lower()), host, f"/{path}"


def _read(connection: Connection, deadline: Deadline) -> tuple[Response, bool]:
    """A response, and whether its connection may be used again.

    The body is read in pieces, so that an endless one is given up.
    """
    head = connection.read_head(deadline)
    pieces: list[bytes] = []
    size = 0
    for piece in connection.pieces(head, deadline):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise TooLarge("the response is too large")
    body = b"".join(pieces)
    if head.headers.get("content-encoding", "").lower() == "gzip":
        body = _unpack(body)
    return Response(head.status, head.headers, body), head.reusable and connection.is_spent


def _unpack(body: bytes) -> bytes:
    """A body that a proxy compressed; the request does not accept any compression."""
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            unpacked = packed.read(MAX_RESPONSE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NoResponse("the response cannot be unpacked") from error
    if len(unpacked) > MAX_RESPONSE_BYTES:
        raise TooLarge("the response is too large")
    return unpacked
