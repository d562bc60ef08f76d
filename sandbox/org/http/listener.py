"""One TCP port: it accepts, it can stop listening for a while, and it knows its connections.

``refuse`` makes clients see ECONNREFUSED: on Linux ``shutdown`` of the listening socket stops it
while the port stays ours, elsewhere the socket is closed and bound again. Connections that are
open at that moment are reset.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

_LINGER = struct.pack("ii", 1, 0)


def reset(connection: socket.socket) -> None:
    """End a connection with RST, so that the other side sees a reset and not an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    with contextlib.suppress(OSError):
        # A file made from the socket keeps it open; shutdown alone would send FIN.
        socket.close(connection.detach())


class Listener:
    """Accepts connections in a thread of its own and hands each to `serve` in a new thread.

    `admit` is asked first; where it says False the connection is reset before any byte.
    """

    def __init__(
        self,
        host: str,
        port: int,
        serve: Callable[[socket.socket, tuple[str, int]], None],
        *,
        admit: Callable[[], bool] = lambda: True,
    ) -> None:
        self._serve = serve
        self._admit = admit
        self._host = host
        self._port = port
        self._open: set[socket.socket] = set()
        self._dropped: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._closed = False
        self._socket = self._bind()
        self._listening.set()
        self._thread = threading.Thread(target=self._accept, name="org-accept", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._port

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        for attempt in range(20):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self._host, self._port))
                if self._port == 0:
                    # Bound by number, the kernel keeps the port ours while we do not listen.
                    self._port = listener.getsockname()[1]
                    listener.close()
                    continue
                listener.listen(1024)
                return listener
            except OSError:
                listener.close()
                if attempt == 19:
                    raise
                time.sleep(0.02)
        raise OSError(f"port {self._port} cannot be bound")

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
                reset(connection)
                continue
            with self._lock:
                self._open.add(connection)
            threading.Thread(
                target=self._run, args=(connection, address[:2]), name="org-serve", daemon=True
            ).start()

    def _run(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            self._serve(connection, address)
        finally:
            with self._lock:
                self._open = {c for c in self._open if c.fileno() >= 0 and c is not connection}
                self._dropped &= self._open
            with contextlib.suppress(OSError):
                connection.close()

    def adopt(self, connection: socket.socket, stream: socket.socket) -> None:
        """TLS wraps a connection: from now on `stream` is the open one."""
        with self._lock:
            self._open.discard(connection)
            self._open.add(stream)

    def dropped(self, connection: socket.socket) -> bool:
        """Whether a connection was dropped: what still comes in on it must not be answered.

        ``shutdown`` alone does not do: bytes that arrive before the reader wakes up are read.
        """
        return connection in self._dropped

    def drop_connections(self) -> int:
        """Reset every open connection; says how many there were."""
        with self._lock:
            known = list(self._open)
            self._dropped.update(known)
        for connection in known:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                connection.shutdown(socket.SHUT_RD)
        return len(known)

    def refuse(self) -> None:
        """Stop listening: from now on clients see ECONNREFUSED."""
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
            self._socket.listen(1024)
        else:
            self._socket = self._bind()
        self._listening.set()

    def close(self) -> None:
        self._closed = True
        self._listening.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.drop_connections()
        self._thread.join(timeout=5)
