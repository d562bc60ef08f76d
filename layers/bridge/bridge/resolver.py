"""Look-ups of host names that end in time (docs/adr/0077).

`getaddrinfo` heeds no timeout of a socket: glibc waits 5 s twice for a name server that drops
packets, and again with each search domain (resolv.conf(5)). So it runs in a thread, for which
nobody waits longer than there is time. The thread ends by itself, when glibc gives up.
"""

from __future__ import annotations

import socket
import threading
import time

from bridge.deadline import Deadline

SILENCE_SECONDS = 1.0
"""A look-up that fails for now and took so long failed because nobody responded; a name server that
has no answer says so at once. The template lets glibc wait one second for a response."""


Addresses = list[tuple[int, int, int, str, tuple[object, ...]]]
"""As `getaddrinfo` gives them."""


class NoNameServer(TimeoutError):
    """No name server responded in time."""


class _Lookup(threading.Thread):
    """One call of `getaddrinfo`."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(daemon=True)
        self._host = host
        self._port = port
        self.addresses: Addresses = []
        self.error: OSError | UnicodeError | None = None
        self.silent = False

    def run(self) -> None:
        started = time.monotonic()
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self.addresses = list(found)
        except (OSError, UnicodeError) as error:
            again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            self.silent = again and time.monotonic() - started >= SILENCE_SECONDS
            self.error = error


class Resolver:
    """Connects to hosts by their names. Of one host one look-up runs at a time."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], _Lookup] = {}

    def connect(
        self, address: tuple[str, int], timeout: float, source: tuple[str, int] | None = None
    ) -> socket.socket:
        """A connection, as `socket.create_connection` makes it, within `timeout` seconds in all.

        Of several addresses each has its share of the time. Raises NoNameServer, OSError.
        """
        deadline = Deadline.after(timeout)
        left = self.look_up(*address, seconds=timeout)
        while True:
            family, kind, protocol, _, target = left.pop(0)
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(max(deadline.remaining(), 0.001) / (len(left) + 1))
                connection.connect(target)
                connection.settimeout(timeout)  # what follows, a TLS handshake, is no share
                return connection
            except BaseException as error:
                connection.close()
                if not left or not isinstance(error, OSError):
                    raise

    def look_up(self, host: str, port: int, *, seconds: float) -> Addresses:
        """The addresses of a host, within this time. Raises NoNameServer, OSError, UnicodeError."""
        lookup = self._running.get((host, port))
        if lookup is None or not lookup.is_alive():
            lookup = self._running[host, port] = _Lookup(host, port)
            lookup.start()
        lookup.join(seconds)
        if lookup.is_alive() or lookup.silent:
            raise NoNameServer("no name server responded") from lookup.error
        del self._running[host, port]
        if lookup.error is not None:
            raise lookup.error
        return lookup.addresses
