"""HTTP client with kept connections and one TLS context, every call with a deadline.

By http.client: urllib3 costs a quarter of a cold start (docs/adr/0036-http-client-not-urllib3.md).
It knows neither Salesforce nor AWS; their clients turn its errors into their own:

HttpError
├── NoConnection     no connection was made, so nothing was sent
│   └── NoName       because no name server responded
└── NoResponse       the request was sent and no whole response came: it may be done or not
    └── TooLarge     the response is larger than any that is read
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from bridge.deadline import Deadline
from bridge.resolver import NoNameServer, Resolver

CONNECT_SECONDS = 3.0
"""A host whose name is not found, or that accepts no connection, within this is treated as down,
after a second try."""

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""More than any response that is expected, so that none fills the memory."""

PIECE_BYTES = 65536
"""Read at once."""

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
    body: bytes = field(repr=False)


class _Incoming(io.RawIOBase):
    """What arrives on a socket before a deadline.

    A socket's own timeout begins anew with every byte: headers or a chunk's size that arrive byte
    by byte, or a body that ends with the connection, could outlast any deadline.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.timeout())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Timed:
    """The part of a socket that a response uses, read within the time that the socket has now."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        deadline = Deadline.after(self._sock.gettimeout() or 0)
        raw = self._sock.makefile(mode, buffering=0)
        return io.BufferedReader(_Incoming(raw, self._sock, deadline))


class TimedResponse(http.client.HTTPResponse):
    """A response that is read, from its first byte, within the time that the socket has now."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(cast(socket.socket, _Timed(sock)), *args, **options)


class _Pieces(http.client.HTTPConnection):
    response_class = TimedResponse


class _TlsPieces(_Pieces, http.client.HTTPSConnection):
    pass


class _Connection(_Pieces):
    """Sends headers and body together: one TLS record and one packet instead of two of each."""

    def __init__(self, host: str, port: int | None, **options: Any) -> None:
        super().__init__(host, port, **options)
        self._parts: list[Any] = []

    def request(self, *arguments: Any, **options: Any) -> None:
        self._parts.clear()
        super().request(*arguments, **options)
        super().send(b"".join(self._parts))

    def send(self, data: Any) -> None:
        self._parts.append(data)

    @property
    def is_alive(self) -> bool:
        """False if the other side has closed it, as far as that can be seen without sending."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    pass


Kind = TypeVar("Kind", bound=_Pieces)


class Http:
    """Kept connections to a few hosts. Raises HttpError, nothing of http.client's."""

    def __init__(self, resolver: Resolver | None = None) -> None:
        self._idle: dict[tuple[str, str], list[_Connection]] = {}
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
        scheme, rest = url.split("://", 1)
        host, _, path = rest.partition("/")
        # In lower case: https in capitals must not become plain http.
        address = (scheme.lower(), host.lower())
        for attempt in range(1, MAX_SENDS + 1):
            if not deadline.remaining() and attempt == 1:
                raise NoConnection("no time was left to send the request")
            connection = self._take(address)
            kept = connected = connection.sock is not None
            try:
                if not kept:
                    connection.timeout = min(CONNECT_SECONDS, deadline.timeout())
                    try:
                        connection.connect()
                    finally:
                        connected = connection.sock is not None  # even if the handshake failed
                connection.sock.settimeout(deadline.timeout())
                connection.request(method, "/" + path, body=body, headers=headers)
                connection.sock.settimeout(deadline.timeout())
                with contextlib.closing(connection.getresponse()) as response:
                    whole = _read(response, deadline)
                    reusable = not response.will_close
            except (http.client.HTTPException, OSError) as error:
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
                connection.close()
                raise
            else:
                if reusable:
                    self._idle.setdefault(address, []).append(connection)
                else:
                    connection.close()
                return whole
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _take(self, address: tuple[str, str]) -> _Connection:
        """A kept connection, or a new one that is not connected yet."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if connection.is_alive:
                return connection
            connection.close()
        return self._make(address, _Connection, _TlsConnection)

    def open(self, scheme: str, host: str, *, deadline: Deadline) -> http.client.HTTPConnection:
        """A connection of its own, for a body that is sent or read in pieces. Raises OSError."""
        connection = self._make((scheme, host), _Pieces, _TlsPieces)
        connection.timeout = min(CONNECT_SECONDS, deadline.timeout())
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, address: tuple[str, str], plain: type[Kind], tls: type[Kind]) -> Kind:
        """A connection that is not connected yet."""
        scheme, host = address
        try:
            parts = urlsplit(f"{scheme}://{host}")
            name, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise NoConnection("the address cannot be read") from error
        if scheme != "https":
            connection = plain(name, port)
        else:
            if self._tls is None:
                # Loading the certificate authorities takes 21 ms: once per process.
                self._tls = ssl.create_default_context()
                self._tls.set_alpn_protocols(["http/1.1"])
            options: dict[str, Any] = {"context": self._tls}
            connection = tls(name, port, **options)
        # What http.client connects by: the only place where a look-up can be given a deadline.
        connection._create_connection = self._resolver.connect  # type: ignore[attr-defined]
        return connection


def _read(response: http.client.HTTPResponse, deadline: Deadline) -> Response:
    """Read the body in pieces, so that an endless one is given up."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise TooLarge("the response is too large")
        if not deadline.remaining():
            raise NoResponse("the response is too slow")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    body = b"".join(pieces)
    if response.headers.get("content-encoding", "").lower() == "gzip":
        body = _unpack(body)
    return Response(response.status, cast(Mapping[str, str], response.headers), body)


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
