"""The processes that functions run in: forked from a preloaded interpreter, or started anew.

A new function process needs up to half a second of CPU for its imports and clients. Importing does
nothing in this project, so an interpreter that has imported everything can be forked instead, for a
tenth of that. Each process still gets exactly its own environment, path and code. Forking needs
pidfds (Linux 5.3 or newer); elsewhere, and where a true cold start is wanted, each process is a new
Python. docs/adr/0055-forked-functions.md
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

from tools.template import ROOT, FunctionSpec

WORKER = Path(__file__).with_name("worker.py")
LAYER = ROOT / "layers" / "bridge"
INIT_SECONDS = 30.0
"""How long a process may take to load its code. Lambda allows 10 s; two busy cores need more."""
CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
READ_AT_START = ("COVERAGE_", "LANG", "PATH", "TZ")
"""How the names of the variables begin that an interpreter reads when it starts."""


class ProcessGone(Exception):
    """The process ended before it responded."""


class _Program(Protocol):
    """What can be done with a process from outside, however it was started."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> object: ...
    def kill(self) -> None: ...


class Process:
    """One execution environment: it takes one invocation at a time."""

    def __init__(
        self, spec: FunctionSpec, environ: Mapping[str, str], log: Path, *, preloaded: bool
    ) -> None:
        ours, theirs = socket.socketpair()
        start = _fork if preloaded and CAN_FORK else _start_anew
        with theirs, log.open("ab") as output:
            self._program = start(spec, environ, theirs, output)
        self._socket = ours
        self.ready = False

    def wait_until_ready(self) -> None:
        """Wait until its code is loaded. Raises ProcessGone, TimeoutError."""
        self._socket.settimeout(INIT_SECONDS)
        self._read_frame()
        self.ready = True

    def send(self, invocation: bytes, event: bytes) -> None:
        """Begin an invocation. Raises ProcessGone."""
        # A frame may be larger than the socket's buffer; the process reads it at once.
        self._socket.settimeout(60)
        try:
            self._socket.sendall(b"".join((_length(invocation), invocation, _length(event), event)))
        except OSError as error:
            raise ProcessGone from error

    def receive(self, until: float) -> tuple[bytes, bytes]:
        """The kind and the payload of the response. Raises TimeoutError at the time `until`."""
        self._socket.settimeout(max(until - time.time(), 0.001))
        frame = self._read_frame()
        return frame[:1], frame[1:]

    def _read_frame(self) -> bytes:
        (length,) = struct.unpack(">I", self._read_exactly(4))
        return self._read_exactly(length)

    def _read_exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                chunk = self._socket.recv(min(length - len(data), 1 << 20))
            except TimeoutError:
                # A frame that was begun is finished at once; only its beginning can be late.
                if data:
                    continue
                raise
            except OSError as error:
                raise ProcessGone from error
            if not chunk:
                raise ProcessGone
            data += chunk
        return bytes(data)

    @property
    def alive(self) -> bool:
        return self._program.poll() is None

    def kill(self) -> None:
        """SIGKILL it."""
        self._program.kill()

    def close(self) -> None:
        """Make it end in order."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end; kill it if that takes longer."""
        try:
            self._program.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._program.wait(5)


def _length(frame: bytes) -> bytes:
    return struct.pack(">I", len(frame))


def _path(spec: FunctionSpec) -> list[str]:
    """What is on the path of a function's process before the libraries."""
    return [str(spec.folder), str(LAYER)]


def _start_anew(
    spec: FunctionSpec, environ: Mapping[str, str], connection: socket.socket, log: BinaryIO
) -> _Program:
    arguments = ["run", str(connection.fileno()), spec.handler, *_path(spec)]
    return subprocess.Popen(
        # -P: nothing of the sandbox's own folder is on the function's path.
        [sys.executable, "-P", str(WORKER), *arguments],
        env=dict(environ),
        cwd=spec.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(connection.fileno(),),
        # Ctrl-C in a terminal is for the stack, which ends them in order.
        start_new_session=True,
    )


def _fork(
    spec: FunctionSpec, environ: Mapping[str, str], connection: socket.socket, log: BinaryIO
) -> _Program:
    request = {
        "handler": spec.handler,
        "path": _path(spec),
        "folder": str(spec.folder),
        "environ": dict(environ),
    }
    return preload(environ).fork(request, connection, log)


_servers: dict[frozenset[tuple[str, str]], ForkServer] = {}
_servers_lock = threading.Lock()


def preload(environ: Mapping[str, str]) -> ForkServer:
    """The interpreter that processes with these variables are forked from; started if need be."""
    at_start = {name: one for name, one in environ.items() if name.startswith(READ_AT_START)}
    key = frozenset(at_start.items())
    with _servers_lock:
        if key not in _servers:
            _servers[key] = ForkServer(at_start)
            atexit.register(_servers[key].close)
        return _servers[key]


class ForkServer:
    """A Python that has imported what functions import, and forks itself on request."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-P", str(WORKER), "serve", str(theirs.fileno()), str(LAYER)],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def fork(
        self, request: Mapping[str, object], connection: socket.socket, log: BinaryIO
    ) -> ForkedProgram:
        """A new process; `connection` and `log` become its own."""
        message = json.dumps(request).encode()
        with self._lock:
            if self._server.poll() is not None:
                self._control.close()
                self._start()
            socket.send_fds(self._control, [message], [connection.fileno(), log.fileno()])
            _, descriptors, _, _ = socket.recv_fds(self._control, 64, 1)
        if not descriptors:
            raise RuntimeError("the interpreter that function processes are forked from has ended")
        return ForkedProgram(descriptors[0])

    def close(self) -> None:
        """End it; what was forked goes on."""
        self._control.close()
        self._server.wait()


class ForkedProgram:
    """A forked process, held by its pidfd: unlike a number, that never means another process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        return 0 if self._ended(0) else None

    def wait(self, timeout: float) -> None:
        """Raises subprocess.TimeoutExpired."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired("function", timeout)
        # Ended is not gone: its parent, the fork server, collects it in a moment.
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                signal.pidfd_send_signal(self._descriptor, 0)
            except ProcessLookupError:
                return
            time.sleep(0.001)

    def _ended(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(1000 * seconds))

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
