"""A wire that is longer than loopback, or safer: forwards a port, with delay or with TLS in front.

Every answer and every request takes half a round trip more. The first bytes of a connection take a
whole one more, which is what TCP's handshake costs.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time


class Wire:
    """Listens on a free port of this machine and forwards to `port`."""

    def __init__(
        self, port: int, *, tls: ssl.SSLContext | None = None, round_trip_seconds: float = 0.0
    ) -> None:
        self._target = port
        self._tls = tls
        self._round_trip = round_trip_seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        """How many were opened."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(("127.0.0.1", self._target))
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            near.close()
            return
        threading.Thread(target=self._pump, args=(far, near, 0.0), daemon=True).start()
        self._pump(near, far, self._round_trip)

    def _pump(self, source: socket.socket, sink: socket.socket, first_seconds: float) -> None:
        """Forward until one side ends; `first_seconds` is what the first bytes take more.

        What follows closely arrives closely: bytes are on their way at the same time.
        """
        on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def arrive() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, chunk = on_the_way.get()
                    if not chunk:
                        break
                    time.sleep(max(due - time.monotonic(), 0))
                    sink.sendall(chunk)
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=arrive, daemon=True).start()
        late = first_seconds
        chunk = b"."
        while chunk:
            try:
                chunk = source.recv(65536)
            except OSError:
                chunk = b""
            on_the_way.put((time.monotonic() + self._round_trip / 2 + late, chunk))
            late = 0.0
