"""The HTTP server of the sandbox: API Gateway, AWS and the org stand on it.

One thread a connection, HTTP/1.1 with keep-alive, TLS where needed. It can stop listening for a
while (clients see ECONNREFUSED) and reset the connections that are open.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NoReturn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Reply = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body of a response."""

_LINGER = struct.pack("ii", 1, 0)
# Thousands of callers may connect at the same moment; 5, the usual default, would refuse them.
_BACKLOG = 4096
_TLS_HANDSHAKE_SECONDS = 30
_OF_THE_BODY = frozenset({"content-length", "transfer-encoding"})
_SENT_ANYWAY = frozenset({"content-length", "connection", "transfer-encoding", "server", "date"})
_SHOWN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class Closed(Exception):
    """The connection is not to be used any more: no response is sent on it."""


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests. A subclass has `handle_any`."""

    protocol_version = "HTTP/1.1"
    # Headers and body go out in two writes; without this the second waits for an acknowledgement.
    disable_nagle_algorithm = True
    timeout: ClassVar[float | None] = 120
    server: Server  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, address: tuple[str, int], server: Server) -> None:
        super().__init__(connection, address, server)  # type: ignore[arg-type]

    def handle_any(self) -> None:
        """Respond to one request, whatever its method."""
        raise NotImplementedError

    def do_any(self) -> None:
        self.handle_any()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_any

    def handle(self) -> None:
        with contextlib.suppress(Closed, ConnectionError, ssl.SSLError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Nothing: what a request did is logged by those who handle it."""

    def version_string(self) -> str:
        return "sandbox"

    def read_body(self, *, limit: int) -> bytes | None:
        """The request's body, chunked or not; None if it is larger than `limit` bytes.

        Raises `Closed` where the client leaves before its end, or sends no length at all.
        """
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            try:
                return self._read_chunks(limit)
            except ValueError as error:
                raise Closed from error
        given = self.headers.get("Content-Length") or "0"
        if not given.isdigit():
            self.close_connection = True
            self.reply(400, [], b"")
            raise Closed
        length = int(given)
        if length > limit:
            self.close_connection = True
            # Read it off the connection, or the client sees a reset instead of the response.
            left = min(length, 4 * limit)
            while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
                left -= len(chunk)
            return None
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            raise Closed
        return body

    def _read_chunks(self, limit: int) -> bytes | None:
        body = bytearray()
        while size := int(self.rfile.readline(100).partition(b";")[0].strip() or b"0", 16):
            if len(body) + size > limit:
                self.close_connection = True
                return None
            body += self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(8192).strip():
            pass
        return bytes(body)

    def run_wsgi(self, app: WSGIApplication, body: bytes, **environ: object) -> Reply:
        """The response of a WSGI application to this request, whose body was read and unpacked."""
        from werkzeug.test import EnvironBuilder, run_wsgi_app

        path, _, query = self.path.partition("?")
        builder = EnvironBuilder(
            path=path,
            base_url=self.server.url,
            query_string=query,
            method=self.command,
            headers=[one for one in self.headers.items() if one[0].lower() not in _OF_THE_BODY],
            data=body,
            environ_overrides={"REMOTE_ADDR": self.client_address[0], **environ},
        )
        parts, status, headers = run_wsgi_app(app, builder.get_environ())
        kept = [one for one in headers if one[0].lower() not in _SENT_ANYWAY]
        return int(status.partition(" ")[0]), kept, b"".join(parts)

    def reply(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, lost: int = 0
    ) -> None:
        """Send a whole response, or one whose last `lost` bytes do not come."""
        self.close_connection |= lost > 0
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            # Without it the client's next request meets a connection that is being closed.
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body[: len(body) - lost])

    def hang_up(self) -> None:
        """End the connection without a response."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> NoReturn:
        """End the connection with RST, so that the client sees a reset and not an end."""
        _reset(self.connection)
        raise Closed


def handling(respond: Callable[[Handler], object]) -> type[Handler]:
    """Connections whose requests this function responds to."""

    class Responding(Handler):
        def handle_any(self) -> None:
            respond(self)

    return Responding


class Server:
    """Listens on one TCP port from `start` to `stop`; `url` is where.

    `host` is the address to listen on, `advertise` the one in `url` (a container, say, reaches
    this machine by another address than this machine itself). `admit` is called for each new
    connection; where it returns False the connection is reset before any byte.
    """

    def __init__(
        self,
        handler: Callable[[socket.socket, tuple[str, int], Server], object],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str | None = None,
        tls: ssl.SSLContext | None = None,
        admit: Callable[[], bool] = lambda: True,
    ) -> None:
        self._handler = handler
        self.host = host
        self.port = port
        self._advertise = advertise
        self._tls = tls
        self._admit = admit
        self._open: set[socket.socket] = set()
        self._dropped: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._closed = False
        self._socket = self._bind()
        self._listening.set()
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)

    @property
    def url(self) -> str:
        """Where to reach it."""
        name = self._advertise or _SHOWN.get(self.host, self.host)
        if self._tls is not None and name in ("127.0.0.1", "::1"):
            name = "localhost"
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{name}]' if ':' in name else name}:{self.port}"

    @property
    def refusing(self) -> bool:
        """Whether it refuses connections for now."""
        return not self._listening.is_set()

    def start(self) -> Server:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and reset the open connections."""
        self._closed = True
        self._listening.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.drop_connections()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- outages -------------------------------------------------------------------------

    def refuse(self) -> None:
        """Stop listening: clients see ECONNREFUSED, open connections are reset.

        On Linux ``shutdown`` of the listening socket does that while the port stays taken;
        elsewhere the socket is closed and bound again.
        """
        if not self._listening.is_set():
            return
        self._listening.clear()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if sys.platform != "linux":
            self._socket.close()
        self.drop_connections()

    def accept(self) -> None:
        """Listen again."""
        if self._listening.is_set() or self._closed:
            return
        if sys.platform == "linux":
            self._socket.listen(_BACKLOG)
        else:
            self._socket = self._bind()
        self._listening.set()

    def drop_connections(self) -> int:
        """Reset every open connection; returns how many there were."""
        with self._lock:
            known = list(self._open)
            self._dropped.update(known)
        for connection in known:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                connection.shutdown(socket.SHUT_RD)
        return len(known)

    def dropped(self, connection: socket.socket) -> bool:
        """Whether a connection was dropped: what still comes in on it must get no response.

        ``shutdown`` alone is not enough: bytes that arrive before the reader wakes up are read.
        """
        return connection in self._dropped

    # --- connections ---------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for attempt in range(20):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self.host, self.port))
                if self.port == 0:
                    # Bound by number, the kernel keeps the port while nobody listens on it.
                    self.port = listener.getsockname()[1]
                    listener.close()
                    continue
                listener.listen(_BACKLOG)
                return listener
            except OSError:
                listener.close()
                if attempt == 19:
                    raise
                time.sleep(0.02)
        raise OSError(f"port {self.port} cannot be bound")

    def _accept(self) -> None:
        while not self._closed:
            self._listening.wait()
            if self._closed:
                return
            try:
                connection, address = self._socket.accept()
            except OSError:
                time.sleep(0.001)
                continue
            if not self._admit():
                _reset(connection)
                continue
            with self._lock:
                self._open.add(connection)
            threading.Thread(
                target=self._serve, args=(connection, address[:2]), name="serve", daemon=True
            ).start()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        stream = connection
        try:
            if self._tls is not None:
                connection.settimeout(_TLS_HANDSHAKE_SECONDS)
                stream = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(stream)
                stream.settimeout(None)
            self._handler(stream, address, self)
        except OSError:
            # The client left, or does not trust the certificate.
            pass
        except Exception:
            traceback.print_exc()
        finally:
            with self._lock:
                gone = (connection, stream)
                self._open = {c for c in self._open if c.fileno() >= 0 and c not in gone}
                self._dropped &= self._open
            for ended in (stream, connection):
                with contextlib.suppress(OSError):
                    ended.close()


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    with contextlib.suppress(OSError):
        # A file made from the socket keeps it open; shutdown alone would send FIN.
        socket.close(connection.detach())
