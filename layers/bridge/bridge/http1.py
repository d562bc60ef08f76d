"""HTTP/1.1 over one connection: a request goes out, its response comes in, each before a deadline.

Our own, since http.client reads headers as if they were an e-mail's: a tenth of a warm record and
of a cold start (docs/adr/0094). `tests/unit/test_http1.py` holds it against http.client. Source:
RFC 9112.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from bridge.deadline import Deadline

PIECE_BYTES = 65_536
"""Read at once."""

LONGEST_HEAD = 65_536
"""Bytes of a response's status line and headers; likewise of a chunk's size, and of trailers."""

NO_BODY = (204, 304)

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.(\d) +([1-9]\d\d)(?: .*)?")
_NO_TARGET = re.compile(r"[^!-~]")


class BadResponse(ConnectionError):
    """What came is no whole HTTP response."""


class Head(NamedTuple):
    """What comes before a response's body."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case; of one that is there several times the values, with commas."""
    length: int | None = None
    """Bytes of the body; None: in chunks, or until the connection ends."""
    chunked: bool = False
    reusable: bool = False
    """Whether the connection may be used again after the body."""


def request_head(method: str, target: str, *, host: str, headers: Mapping[str, str]) -> bytes:
    """The request's line and headers. Raises ValueError for what would end one of them early."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    ends = len(lines) - 1
    if _NO_TARGET.search(target) or head.count("\n") != ends or head.count("\r") != ends:
        raise ValueError("the request would be another one")
    return f"{head}\r\n\r\n".encode("latin-1")


def whole_request(
    method: str, target: str, *, host: str, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    """A request with its body: one TLS record and one packet instead of two. Raises ValueError."""
    if body is None:
        return request_head(method, target, host=host, headers=headers)
    headers = {**headers, "Content-Length": str(len(body))}
    return request_head(method, target, host=host, headers=headers) + body


class Connection:
    """A connected socket, and what has arrived on it but is not read yet.

    A socket's own timeout begins anew with every byte, so it is set before each use: nothing that
    drips outlasts a deadline. Raises BadResponse, TimeoutError, OSError.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._arrived = b""

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    @property
    def is_alive(self) -> bool:
        """False if the other side has closed it, as far as that can be seen without sending."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all of `data`."""
        sent = 0
        while sent < len(data):
            self._sock.settimeout(deadline.timeout())
            sent += self._sock.send(memoryview(data)[sent:] if sent else data)

    def read_head(self, deadline: Deadline) -> Head:
        """The next response, up to its body; interim ones (100 Continue) are skipped."""
        while True:
            while (end := _END_OF_HEAD.search(self._arrived)) is None:
                if len(self._arrived) > LONGEST_HEAD:
                    raise BadResponse("the headers are too long")
                self._receive(deadline)
            head = self._arrived[: end.start()]
            self._arrived = self._arrived[end.end() :]
            read = _read_head(head.decode("latin-1"))
            if not 100 <= read.status < 200:
                return read

    def pieces(self, head: Head, deadline: Deadline) -> Iterator[bytes]:
        """The body, as it arrives."""
        if head.length is not None:
            yield from self._exactly(head.length, deadline)
        elif head.chunked:
            while size := _read_size(self._line(deadline)):
                yield from self._exactly(size, deadline)
                if self._line(deadline):
                    raise BadResponse("a chunk is longer than it says")
            with suppress(BadResponse):  # some end the connection in place of the trailers
                while self._line(deadline):
                    pass
        else:
            if self._arrived:
                yield self._arrived
            while piece := self._more(deadline):
                yield piece

    @property
    def is_spent(self) -> bool:
        """Whether everything that arrived was read: after a response nothing more may come."""
        return not self._arrived

    def _exactly(self, size: int, deadline: Deadline) -> Iterator[bytes]:
        while size:
            if not self._arrived:
                self._receive(deadline)
            piece, self._arrived = self._arrived[:size], self._arrived[size:]
            size -= len(piece)
            yield piece

    def _line(self, deadline: Deadline) -> bytes:
        """One line, without its end."""
        while b"\n" not in self._arrived:
            if len(self._arrived) > LONGEST_HEAD:
                raise BadResponse("a line is too long")
            self._receive(deadline)
        line, _, self._arrived = self._arrived.partition(b"\n")
        return line.removesuffix(b"\r")

    def _receive(self, deadline: Deadline) -> None:
        piece = self._more(deadline)
        if not piece:
            raise BadResponse("the connection ended within a response")
        self._arrived += piece

    def _more(self, deadline: Deadline) -> bytes:
        self._sock.settimeout(deadline.timeout())
        return self._sock.recv(PIECE_BYTES)


def _read_head(text: str) -> Head:
    """What status line and headers say. Raises BadResponse."""
    first, *lines = text.replace("\r\n", "\n").split("\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise BadResponse("this is no HTTP/1")
    status = int(status_line[2])
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t"):
            headers[name] = f"{headers.get(name, '')} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    codings = {one.strip() for one in headers.get("transfer-encoding", "").lower().split(",")}
    codings -= {"", "identity"}
    chunked = codings == {"chunked"}
    length = None if codings else _length_of(headers)
    if status in NO_BODY:
        length, chunked = 0, False
    connection = headers.get("connection", "").lower()
    kept = "close" not in connection if status_line[1] != "0" else "keep-alive" in connection
    return Head(status, headers, length, chunked, kept and (chunked or length is not None))


def _length_of(headers: Mapping[str, str]) -> int | None:
    """Content-Length. Several are one where they are equal (RFC 9110, 8.6). Raises BadResponse."""
    if (value := headers.get("content-length")) is None:
        return None
    lengths = {one.strip() for one in value.split(",")}
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise BadResponse("the response's length cannot be read")
    return int(length)


def _read_size(line: bytes) -> int:
    """A chunk's size; extensions after it mean nothing. Raises BadResponse."""
    digits = line.split(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits):
        raise BadResponse("a chunk's size cannot be read")
    return int(digits, 16)
