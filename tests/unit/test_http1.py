"""Responses as http.client reads them, which is somebody else's reading of RFC 9112."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.deadline import Deadline
from bridge.http1 import LONGEST_HEAD, BadResponse, Connection, request_head

Read = tuple[int, dict[str, str], bytes, bool]
"""Status, headers, body, and whether the connection may be used again."""


def arriving(raw: bytes, pieces: int = 1) -> socket.socket:
    """A socket on which these bytes arrive, in so many writes, and then the end."""
    mine, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    size = max(1, -(-len(raw) // pieces))

    def write() -> None:
        with closing(theirs):
            for start in range(0, len(raw), size):
                theirs.sendall(raw[start : start + size])

    threading.Thread(target=write, daemon=True).start()
    return mine


def ours(raw: bytes, pieces: int = 1) -> Read:
    with closing(Connection(arriving(raw, pieces))) as connection:
        deadline = Deadline.after(5)
        head = connection.read_head(deadline)
        body = b"".join(connection.pieces(head, deadline))
        return head.status, dict(head.headers), body, head.reusable


def theirs(raw: bytes) -> Read:
    with closing(arriving(raw)) as sock:
        response = http.client.HTTPResponse(sock, method="POST")
        response.begin()
        headers: dict[str, str] = {}
        for name, text in response.headers.items():
            value = text.strip()  # RFC 9112, 5.1: what follows a value is not of it
            joined = headers.get(name.lower())
            headers[name.lower()] = value if joined is None else f"{joined}, {value}"
        kept = not response.will_close
        return response.status, headers, response.read(), kept


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

SAME = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no reason": b"HTTP/1.1 201\r\nContent-Length: 0\r\n\r\n",
    "a long reason": b"HTTP/1.1 404 Not  Found, sorry\r\nContent-Length: 0\r\n\r\n",
    "spaces around values": b"HTTP/1.1 200 OK\r\nContent-Length:\t 2  \r\nX:y\r\n\r\nok",
    "a header twice": b"HTTP/1.1 200 OK\r\nVia: a\r\nvia: b\r\nContent-Length: 0\r\n\r\n",
    "Latin-1": b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 0\r\n\r\n",
    "lines that end with LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "100 first": b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "204": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nall of it",
    "close": b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
    "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "1.0 kept": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
    "chunks": CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    "the end in place of trailers": CHUNKED + b"1\r\na\r\n0\r\n",
    "no chunk": CHUNKED + b"0\r\n\r\n",
    "chunks and a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n"
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
    "an extension": CHUNKED + b"2;a=b\r\nok\r\n0\r\n\r\n",
    "chunked, said twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "no coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
    "trailers": CHUNKED + b"A\r\n0123456789\r\n0\r\nX: y\r\nZ: z\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nas it is",
}


@pytest.mark.parametrize("pieces", [1, 7, 10_000])
@pytest.mark.parametrize("raw", SAME.values(), ids=SAME)
def test_a_response_is_read_as_http_client_reads_it(raw: bytes, pieces: int) -> None:
    assert ours(raw, pieces) == theirs(raw)


NAMES = st.text("AZaz-09_", min_size=1, max_size=8).filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding", "connection")
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
CHUNKS = st.lists(st.binary(min_size=1, max_size=300), max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    body=CHUNKS,
    form=st.sampled_from(["length", "chunks", "end"]),
    pieces=st.integers(1, 40),
)
def test_whatever_the_headers_and_the_body_http_client_agrees(
    status: int, headers: list[tuple[str, str]], body: list[bytes], form: str, pieces: int
) -> None:
    lines = [f"HTTP/1.1 {status} Some reason", *(f"{name}: {value}" for name, value in headers)]
    sent = b"".join(body)
    if form == "length":
        lines.append(f"Content-Length: {len(sent)}")
    elif form == "chunks":
        lines.append("Transfer-Encoding: chunked")
        sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in body) + b"0\r\n\r\n"
    raw = "\r\n".join([*lines, "", ""]).encode() + sent
    assert ours(raw, pieces) == theirs(raw)


BAD = {
    "another protocol": b"220 smtp.example.com ESMTP\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "half a chunk": CHUNKED + b"5\r\nab",
    "no last chunk": CHUNKED + b"2\r\nab\r\n",
    "a size of letters": CHUNKED + b"xyz\r\nab\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3 * LONGEST_HEAD + b"\r\n\r\n",
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_what_is_no_whole_response_is_refused_as_by_http_client(raw: bytes) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError, ValueError)):
        theirs(raw)
    with pytest.raises(BadResponse):
        ours(raw)


STRICTER = {
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "a chunk longer than it says": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("raw", STRICTER.values(), ids=STRICTER)
def test_what_may_not_be_whole_is_refused(raw: bytes) -> None:
    """RFC 9112, 6.3, 7.1 and 8, where http.client guesses."""
    with pytest.raises(BadResponse):
        ours(raw)


def test_equal_lengths_are_one() -> None:
    """RFC 9110, 8.6."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"
    assert ours(raw)[2:] == (b"ok", True)


def test_a_folded_header_is_one_line() -> None:
    """RFC 9112, 5.2."""
    raw = b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 0\r\n\r\n"
    assert ours(raw)[1]["x"] == "a b"


@pytest.mark.parametrize(
    ("target", "value"),
    [("/a b", "x"), ("/a\r\nX: y", "x"), ("/caf\u00e9", "x"), ("/", "x\r\nY: z"), ("/", "x\ny")],
)
def test_a_request_cannot_become_another_one(target: str, value: str) -> None:
    with pytest.raises(ValueError, match="another"):
        request_head("GET", target, host="a.example", headers={"X": value})
