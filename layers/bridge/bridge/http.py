"""One way out to the network, for Salesforce and for AWS: a pool per host, one TLS context.

What may be sent twice is decided by the caller (`repeatable`), because only it knows whether the
request carries a key that makes a repetition harmless.
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
from bridge.errors import NoAnswer, Unreachable

CONNECT_SECONDS = 3.0
"""A host that does not accept a connection within this is treated as down (and asked once more)."""

NEVER_SENT = (NewConnectionError, ConnectTimeoutError)
"""What urllib3 raises before a byte of the request is out: repeating it is always safe."""

NEVER_AGAIN = urllib3.Retry.from_int(False)
"""Of itself urllib3 repeats nothing and follows nothing: what may be sent twice is decided here."""

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes: more than any answer we ask for, so that none fills the memory."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. The body is out of `repr`: it may hold anything."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _Incoming(io.RawIOBase):
    """What arrives on a socket before a deadline.

    A socket's own timeout begins anew with every byte, so that headers or a chunk's size that drip,
    or an answer of a connection that is closed after it, could outlast any deadline.
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
            raise TimeoutError("the answer is too slow")
        self._sock.settimeout(seconds)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Timed:
    """As much of a socket as an answer uses, read within the time that the socket has now."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        deadline = Deadline.after(self._sock.gettimeout() or 0)
        raw = self._sock.makefile(mode, buffering=0)
        return io.BufferedReader(_Incoming(raw, self._sock, deadline))


class _Response(http.client.HTTPResponse):
    """An answer that is read, from its first byte, within the time that the socket has now."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(cast(socket.socket, _Timed(sock)), *args, **options)


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class Http:
    """Kept connections to a few hosts. Raises Unreachable or NoAnswer, nothing of urllib3's."""

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
    ) -> Answer:
        """Send one request and read its whole answer before the deadline.

        Raises Unreachable if nothing was sent, NoAnswer if it was and no whole answer came. A
        connection that could not be made is tried twice. One that was kept from before and is
        found dead (Lambda freezes between invocations, so it often is) is replaced by a new one
        once if the request is `repeatable`.
        """
        scheme, rest = url.split("://", 1)
        host, _, path = rest.partition("/")
        # In lower case: https in capitals must not become plain http.
        try:
            pool = self._pool(scheme.lower(), host)
        except ValueError as error:
            raise Unreachable("the address cannot be read") from error
        for attempt in (1, 2):
            seconds = deadline.remaining()
            if seconds <= 0 and attempt == 1:
                raise Unreachable("no time was left to send the request")
            if seconds <= 0:
                raise NoAnswer(f"{host} did not answer in time")
            made_before = pool.num_connections
            try:
                response = pool.urlopen(
                    method,
                    "/" + path,
                    body=body,
                    headers=headers,
                    retries=NEVER_AGAIN,
                    redirect=False,
                    preload_content=False,
                    assert_same_host=False,
                    timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), total=seconds),
                )
                return _read(response, deadline)
            except NEVER_SENT as error:
                if attempt == 2:
                    raise Unreachable(
                        f"{host} cannot be reached ({type(error).__name__})"
                    ) from error
            except ReadTimeoutError as error:
                raise NoAnswer(f"{host} did not answer in time") from error
            except (ProtocolError, HTTPError, OSError) as error:
                kept = pool.num_connections == made_before
                if attempt == 2 or not (kept and repeatable):
                    raise NoAnswer(f"{host} broke off ({type(error).__name__})") from error
        raise AssertionError("unreachable: the second attempt returns or raises")

    def _pool(self, scheme: str, host: str) -> urllib3.HTTPConnectionPool:
        if (scheme, host) in self._as_written:
            return self._as_written[scheme, host]
        parts = urlsplit(f"{scheme}://{host}")
        key = (scheme, parts.hostname or "", parts.port)
        pool = self._pools.get(key)
        if pool is None:
            if scheme == "https":
                # Loading the certificate authorities is the dear part: once per process.
                self._tls = self._tls or ssl.create_default_context()
                pool = urllib3.HTTPSConnectionPool(key[1], key[2], maxsize=1, ssl_context=self._tls)
                pool.ConnectionCls = _TlsConnection
            else:
                pool = urllib3.HTTPConnectionPool(key[1], key[2], maxsize=1)
                pool.ConnectionCls = _Connection
            self._pools[key] = pool
        self._as_written[scheme, host] = pool
        return pool


def _read(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> Answer:
    """Read the body in pieces, so that an endless one is given up."""
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := response.read1():
            pieces.append(piece)
            size += len(piece)
            if size > LONGEST_ANSWER or not deadline.remaining():
                raise NoAnswer("the answer is too long or too slow")
            if response.length_remaining == 0:
                break  # what is whole need not be asked once more whether it has ended
        if getattr(response, "length_remaining", None):
            raise ProtocolError("the answer is cut off")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return Answer(response.status, response.headers, b"".join(pieces))
