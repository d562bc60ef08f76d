"""The way out: what is sent once, what twice, and that no answer outlasts the deadline."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import http as http_module
from bridge.deadline import Deadline
from bridge.http import MAX_RESPONSE_BYTES, Http, HttpError, NoConnection, NoResponse, TooLarge
from bridge.resolver import Resolver
from sandbox.org.http.tls import make_certificate

Behaviour = Callable[[socket.socket, int], bool]
"""Answers the n-th request on a connection; True: go on with the next one."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Sfdc-Request-Id: r-1\r\n\r\nok"


class Server:
    """A server of raw sockets that behaves as badly as a test wants, and counts what reaches it."""

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/path?q=1"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw:
            connection = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            with connection:
                while request := self._read(connection):
                    self.requests.append(request)
                    if not self._behave(connection, len(self.requests)):
                        return

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        request = b""
        while not request.endswith(b"hello"):
            piece = connection.recv(65536)
            if not piece:
                return b""
            request += piece
        return request


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(behave, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def reply(data: bytes) -> Behaviour:
    def behave(connection: socket.socket, number: int) -> bool:
        connection.sendall(data)
        return True

    return behave


def reset(connection: socket.socket, number: int) -> bool:
    """Close so that the other side sees a reset, as of a process that died."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def send(
    http: Http, url: str, *, seconds: float = 5, repeatable: bool = False
) -> http_module.Response:
    return http.send(
        "POST",
        url,
        headers={"A": "b"},
        body=b"hello",
        deadline=Deadline.after(seconds),
        repeatable=repeatable,
    )


def test_a_request_arrives_as_it_was_sent_and_the_answer_comes_back(serve: Serve) -> None:
    server = serve(reply(OK))
    got = send(Http(), server.url)
    assert (got.status, got.body, got.headers.get("x-sfdc-request-id")) == (200, b"ok", "r-1")
    assert server.requests[0].startswith(b"POST /path?q=1 HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"hello")


def test_a_connection_is_kept_for_the_next_request(serve: Serve) -> None:
    server = serve(reply(OK))
    http = Http()
    for _ in range(3):
        send(http, server.url)
    assert (len(server.requests), server.connections) == (3, 1)


def test_a_request_is_not_held_back_until_what_came_before_is_acknowledged(serve: Serve) -> None:
    class Watched(Resolver):
        def connect(self, *arguments: Any, **more: Any) -> socket.socket:
            self.made = super().connect(*arguments, **more)
            return self.made

    watched = Watched()
    send(Http(watched), serve(reply(OK)).url)
    assert watched.made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("status", [204, 301, 302, 307, 308, 404, 500, 503])
def test_any_status_is_an_answer_and_nothing_is_followed_or_repeated(
    serve: Serve, status: int
) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: http://localhost:1/\r\n"
    server = serve(reply((head + "Content-Length: 0\r\n\r\n").encode()))
    assert send(Http(), server.url, repeatable=True).status == status
    assert len(server.requests) == 1


LONG = bytes(range(256)) * 1_000


def whole(body: bytes, *headers: str) -> bytes:
    """A response that tells its length."""
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(LONG)


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (whole(LONG), LONG),
        (whole(ZIPPED, "Content-Encoding: gzip"), LONG),
        (whole(ZIPPED + ZIPPED, "Content-Encoding: gzip"), LONG + LONG),
    ],
    ids=["chunked", "with its length", "compressed", "compressed in two members"],
)
def test_a_response_is_read_to_its_end_and_the_connection_is_kept(
    serve: Serve, response: bytes, body: bytes
) -> None:
    server = serve(reply(response))
    http = Http()
    assert [send(http, server.url).body == body for _ in range(2)] == [True, True]
    assert server.connections == 1


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_refused_connection_is_unreachable(repeatable: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NoConnection) as caught:
        send(Http(), f"http://127.0.0.1:{port}/", repeatable=repeatable)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "url",
    [
        *("http://no-such-host.invalid/", "http://no..host/"),
        *("https://[::1/x", "https://acme.example:x/", "https://acme.example:99999/"),
    ],
)
def test_an_address_that_leads_nowhere_is_unreachable(url: str) -> None:
    with pytest.raises(NoConnection):
        send(Http(), url)


def test_without_time_nothing_is_sent(serve: Serve) -> None:
    server = serve(reply(OK))
    with pytest.raises(NoConnection, match="no time"):
        send(Http(), server.url, seconds=0)
    assert server.connections == 0


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_new_connection_that_is_reset_is_not_tried_again(serve: Serve, repeatable: bool) -> None:
    server = serve(reset)
    with pytest.raises(NoResponse):
        send(Http(), server.url, repeatable=repeatable)
    assert len(server.requests) == 1


def dies(*, after: float = 0) -> Behaviour:
    """Answers the first request, and resets the kept connection at the second."""

    def behave(connection: socket.socket, number: int) -> bool:
        if number != 2:
            connection.sendall(OK)
            return True
        time.sleep(after)
        return reset(connection, number)

    return behave


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_kept_connection_found_dead_is_replaced_once_for_what_may_be_repeated(
    serve: Serve, repeatable: bool
) -> None:
    server = serve(dies())
    http = Http()
    send(http, server.url)
    with contextlib.nullcontext() if repeatable else pytest.raises(NoResponse):
        send(http, server.url, repeatable=repeatable)
    assert (len(server.requests), server.connections) == ((3, 2) if repeatable else (2, 1))


def test_a_request_that_was_sent_is_never_said_to_be_unsent(serve: Serve) -> None:
    server = serve(dies(after=0.4))
    http = Http()
    send(http, server.url)
    with pytest.raises(NoResponse):
        send(http, server.url, seconds=0.39, repeatable=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{",
        CHUNKED + b"5\r\n{",
        CHUNKED + b"1\r\n{\r\n",
        b"220 smtp.example.com ESMTP\r\n\r\n",
    ],
    ids=["length", "in a chunk", "between chunks", "no HTTP"],
)
def test_an_answer_cut_off_is_no_answer(serve: Serve, part: bytes) -> None:
    def cut_off(connection: socket.socket, number: int) -> bool:
        connection.sendall(part)
        return False

    with pytest.raises(NoResponse):
        send(Http(), serve(cut_off).url)


def slow(*pieces: tuple[float, bytes]) -> Behaviour:
    """Sends pieces, each after a pause in seconds."""

    def behave(connection: socket.socket, number: int) -> bool:
        for pause, piece in pieces:
            time.sleep(pause)
            connection.sendall(piece)
        time.sleep(2)
        return False

    return behave


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CLOSING = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    "behave",
    [
        slow((2, OK)),
        slow((0.4, HEAD), (2, b"x" * 100)),
        slow((0.4, HEAD + b"x"), (2, b"x" * 99)),
        slow((0, HEAD), *[(0.05, b"x")] * 100),
        slow((0.4, CLOSING), (2, b"x" * 100)),
        slow((0.4, CLOSING + b"x"), (0.4, b"x"), (2, b"x" * 98)),
        slow((0.4, b"HTTP/1.0 200 OK\r\n\r\nx"), (2, b"x")),
        slow((0, b"HTTP/1.1 200 OK\r\nX-Slow: "), *[(0.05, b"x")] * 100),
        slow((0, CHUNKED + b"1;slow="), *[(0.05, b"x")] * 100),
    ],
    ids=[
        *("no answer", "late headers and no body", "late headers and half a body", "a drip"),
        *("late headers that close and no body", "late headers that close and half a body"),
        *("late headers of HTTP/1.0", "headers that drip", "a chunk's size that drips"),
    ],
)
def test_no_answer_outlasts_the_deadline(serve: Serve, behave: Behaviour) -> None:
    server = serve(behave)
    started = time.monotonic()
    with pytest.raises(NoResponse):
        send(Http(), server.url, seconds=0.6, repeatable=True)
    assert time.monotonic() - started < 0.95
    assert len(server.requests) == 1


def test_after_a_broken_answer_the_next_request_has_a_connection_of_its_own(serve: Serve) -> None:
    def behave(connection: socket.socket, number: int) -> bool:
        connection.sendall(HEAD if number == 1 else OK)
        return True

    server = serve(behave)
    http = Http()
    with pytest.raises(NoResponse):
        send(http, server.url, seconds=0.3)
    assert send(http, server.url).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("over", [0, 1])
def test_a_response_larger_than_the_largest_is_given_up(serve: Serve, over: int) -> None:
    server = serve(reply(whole(b"x" * (MAX_RESPONSE_BYTES + over))))
    if over:
        with pytest.raises(TooLarge):
            send(Http(), server.url, seconds=30)
    else:
        assert len(send(Http(), server.url, seconds=30).body) == MAX_RESPONSE_BYTES


def test_an_endless_response_is_given_up(serve: Serve) -> None:
    def flood(connection: socket.socket, number: int) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1_000_000)

    with pytest.raises(TooLarge):
        send(Http(), serve(flood).url, seconds=30)


# TLS


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate that this process trusts."""
    made = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made.context


def test_https_is_spoken_whatever_the_case_of_the_scheme(serve: Serve, tls: ssl.SSLContext) -> None:
    server = serve(reply(OK), tls=tls)
    http = Http()
    assert send(http, server.url).body == b"ok"
    assert send(http, server.url.replace("https", "HTTPS")).body == b"ok"
    assert send(http, server.url.replace("localhost", "LOCALHOST")).body == b"ok"
    assert server.connections == 1


def test_a_certificate_that_nobody_vouches_for_stops_the_request(
    serve: Serve, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    server = serve(reply(OK), tls=tls)
    with pytest.raises(HttpError):
        send(Http(), server.url)
    assert server.requests == []


def test_a_tls_fault_after_the_request_was_sent_repeats_nothing(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    def garble(connection: socket.socket, number: int) -> bool:
        raw = socket.socket(fileno=socket.dup(connection.fileno()))
        raw.sendall(b"this is no TLS record at all, and long enough to be looked at")
        raw.close()
        time.sleep(0.2)
        return False

    server = serve(garble, tls=tls)
    with pytest.raises(NoResponse):
        send(Http(), server.url)
    assert len(server.requests) == 1


def test_a_file_whose_request_cannot_be_written_is_not_sent(serve: Serve) -> None:
    server = serve(reply(OK))
    with pytest.raises(NoConnection, match="cannot be written"):
        Http().upload(
            server.url, headers={"A": "b\r\nC: d"}, pieces=[b"x"], deadline=Deadline.after(5)
        )
    assert server.connections == 0
