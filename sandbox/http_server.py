"""An HTTP server in threads of its own, good for bursts: API Gateway and AWS stand on it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    # Thousands of callers may knock at the same moment; the default of 5 would turn them away.
    request_queue_size = 4096

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up is no news; anything else is, as always."""
        if isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            return
        super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests, as AWS keeps them."""

    protocol_version = "HTTP/1.1"
    # Headers and body go out in two writes; without this the second waits for an acknowledgement.
    disable_nagle_algorithm = True
    timeout = 120

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Nothing: the functions' own logs are what matters."""

    def version_string(self) -> str:
        return "sandbox"

    def read_body(self, *, limit: int) -> bytes | None:
        """The request's body, chunked or not; None if it is larger than `limit` bytes."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks(limit)
        length = int(self.headers.get("Content-Length") or 0)
        if length > limit:
            self.close_connection = True
            # Take it off the wire, or the caller sees a reset instead of the answer.
            left = min(length, 4 * limit)
            while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
                left -= len(chunk)
            return None
        return self.rfile.read(length) if length else b""

    def _read_chunks(self, limit: int) -> bytes | None:
        body = bytearray()
        while size := int(self.rfile.readline(64).split(b";")[0].strip() or b"0", 16):
            if len(body) + size > limit:
                self.close_connection = True
                return None
            body += self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(8192).strip():
            pass
        return bytes(body)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send a whole response."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            # Said, or the caller's next request meets a connection that is being closed.
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Server:
    """Listens from `start` to `stop`; `url` is where.

    `host` is the address to listen on, `advertise` the one that others are told (a container, say,
    reaches this machine by another address than this machine itself).
    """

    def __init__(
        self,
        handler: type[Handler],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str | None = None,
    ) -> None:
        self._server = _Server((host, port), handler)
        self.host = host
        self._advertise = advertise or ("127.0.0.1" if host in ("0.0.0.0", "") else host)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"http://{self._advertise}:{self.port}"

    def start(self) -> Server:
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
