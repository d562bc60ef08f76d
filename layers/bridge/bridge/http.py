"""HTTP client with kept connections: one pool a host, one TLS context, every call with a deadline.

It knows neither Salesforce nor AWS; their clients turn its errors into their own:

HttpError
├── NoConnection     no connection was made, so nothing was sent
└── NoResponse       the request was sent and no whole response came: it may be done or not
    └── TooLarge     the response is larger than any that is read
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from bridge.deadline import Deadline

CONNECT_SECONDS = 3.0
"""A host that accepts no connection within this is treated as down, after a second try."""

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""More than any response that is expected, so that none fills the memory."""

# What is sent twice, and why it does no harm. urllib3 itself repeats and follows nothing.
# - No connection was made: nothing was sent, so a second try is always safe.
# - A kept connection turns out to be dead. Lambda freezes between invocations, so this is common
#   (docs/adr/0023), but the request may have arrived: only the caller knows whether a key makes a
#   repetition harmless (`repeatable`).
# Nothing else: a slow response would make a slow Salesforce slower.
MAX_SENDS = 2
NOTHING_WAS_SENT = (NewConnectionError, ConnectTimeoutError)
NO_RETRIES_OF_URLLIB3 = urllib3.Retry.from_int(False)


class HttpError(Exception):
    """A request without a whole response. The message names at most the host."""

    code = "NO_ANSWER"


class NoConnection(HttpError):
    """No connection was made, so nothing was sent."""

    code = "UNREACHABLE"


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
        seconds = self._deadline.remaining()
        if not seconds:
            raise TimeoutError("the response is too slow")
        self._sock.settimeout(seconds)
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


class _TimedResponse(http.client.HTTPResponse):
    """A response that is read, from its first byte, within the time that the socket has now."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(cast(socket.socket, _Timed(sock)), *args, **options)


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _TimedResponse


class Http:
    """Kept connections to a few hosts. Raises HttpError, nothing of urllib3's."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str, int | None], urllib3.HTTPConnectionPool] = {}
        self._as_written: dict[tuple[str, str], urllib3.HTTPConnectionPool] = {}
        self._tls: ssl.SSLContext | None = None

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
        try:
            pool = self._pool(scheme.lower(), host)
        except ValueError as error:
            raise NoConnection("the address cannot be read") from error
        for attempt in range(1, MAX_SENDS + 1):
            seconds = deadline.remaining()
            if seconds <= 0 and attempt == 1:
                raise NoConnection("no time was left to send the request")
            if seconds <= 0:
                raise NoResponse(f"{host} did not answer in time")
            made_before = pool.num_connections
            try:
                response = pool.urlopen(
                    method,
                    "/" + path,
                    body=body,
                    headers=headers,
                    retries=NO_RETRIES_OF_URLLIB3,
                    redirect=False,
                    preload_content=False,
                    assert_same_host=False,
                    timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), total=seconds),
                )
                return _read(response, deadline)
            except NOTHING_WAS_SENT as error:
                if attempt == MAX_SENDS:
                    message = f"{host} cannot be reached ({type(error).__name__})"
                    raise NoConnection(message) from error
            except ReadTimeoutError as error:
                raise NoResponse(f"{host} did not answer in time") from error
            except (ProtocolError, HTTPError, OSError) as error:
                kept = pool.num_connections == made_before
                if attempt == MAX_SENDS or not (kept and repeatable):
                    raise NoResponse(f"{host} broke off ({type(error).__name__})") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pool(self, scheme: str, host: str) -> urllib3.HTTPConnectionPool:
        if (scheme, host) in self._as_written:
            return self._as_written[scheme, host]
        parts = urlsplit(f"{scheme}://{host}")
        key = (scheme, parts.hostname or "", parts.port)
        pool = self._pools.get(key)
        if pool is None:
            if scheme == "https":
                # Loading the certificate authorities takes 21 ms: once per process.
                self._tls = self._tls or ssl.create_default_context()
                pool = urllib3.HTTPSConnectionPool(key[1], key[2], maxsize=1, ssl_context=self._tls)
                pool.ConnectionCls = _TlsConnection
            else:
                pool = urllib3.HTTPConnectionPool(key[1], key[2], maxsize=1)
                pool.ConnectionCls = _Connection
            self._pools[key] = pool
        self._as_written[scheme, host] = pool
        return pool


def _read(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> Response:
    """Read the body in pieces, so that an endless one is given up."""
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := response.read1():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_RESPONSE_BYTES:
                raise TooLarge("the response is too large")
            if not deadline.remaining():
                raise NoResponse("the response is too slow")
            if response.length_remaining == 0:
                break  # the body is whole; another read would only find its end
        if getattr(response, "length_remaining", None):
            raise ProtocolError("the response is cut off")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return Response(response.status, response.headers, b"".join(pieces))
