"""The org over HTTP: one thread per connection, HTTP/1.1 with keep-alive, TLS if asked for.

Requests are read whole, checked once for trouble, and handed to the REST API (`rest.serve`) or to
the Flask application with OAuth, pages and control. Answers go out in one piece.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import secrets
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import unquote_to_bytes

from sandbox.org.errors import Problem, Refused
from sandbox.org.http.listener import Listener, reset
from sandbox.org.http.tls import Certificate, make_certificate
from sandbox.org.http.web import make_app
from sandbox.org.org import Org
from sandbox.org.rest import rest
from sandbox.org.rest.call import Answer, refusal
from sandbox.org.trouble import Fault

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

MAX_BODY = 60_000_000
SILENCE_SECONDS = 900.0
MAINTENANCE_PAGE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We are down for "
    "maintenance.</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
)
# The body is read and unpacked before Flask sees the request.
_ALREADY_READ = frozenset({"CONTENT_LENGTH", "CONTENT_ENCODING", "TRANSFER_ENCODING"})
_QUIET_HEADERS = (
    ("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private"),
    ("Server", "sfdcedge"),
    ("Vary", "Accept-Encoding"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "none"),
)


class OrgServer:
    """Runs an org on a port of this machine: ``with OrgServer() as server: server.url``.

    A second port, `control_url`, serves the control API and the pages only. It stays reachable
    while the first one refuses connections, and no fault touches it.
    """

    def __init__(
        self,
        org: Org | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        tls: bool = False,
        certificate_folder: Path | None = None,
        public_url: str = "",
    ) -> None:
        self.org = org or Org.sample()
        self.certificate: Certificate | None = make_certificate(certificate_folder) if tls else None
        self.app: WSGIApplication = make_app(self.org, self)
        self._listener = Listener(host, port, self._serve, admit=self._admit)
        self._control = Listener(host, control_port, self._serve_control)
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        shown = "localhost" if tls and shown in ("127.0.0.1", "::1") else shown
        shown = f"[{shown}]" if ":" in shown else shown
        scheme = "https" if tls else "http"
        self.url = public_url.rstrip("/") or f"{scheme}://{shown}:{self._listener.port}"
        self.control_url = f"http://{shown}:{self._control.port}"
        self.org.url = self.url

    @property
    def port(self) -> int:
        return self._listener.port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and end all connections."""
        self.org.trouble.clear()
        self._listener.close()
        self._control.close()

    def refuse_connections(self) -> None:
        """An outage: clients see ECONNREFUSED, open connections are reset."""
        self._listener.refuse()

    def accept_connections(self) -> None:
        """The outage is over."""
        self._listener.accept()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuses connections inside the ``with`` block."""
        self.refuse_connections()
        try:
            yield
        finally:
            self.accept_connections()

    def drop_connections(self) -> int:
        """Reset the open connections, as after a long time idle; says how many there were."""
        return self._listener.drop_connections()

    def dropped(self, connection: socket.socket) -> bool:
        """Whether this connection was dropped by an outage or by `drop_connections`."""
        return self._listener.dropped(connection)

    # --- connections ---------------------------------------------------------------------

    def _admit(self) -> bool:
        journal = self.org.journal
        if self.org.trouble.pick_for_connection() is not None:
            journal.refused_connections += 1
            return False
        journal.connections += 1
        return True

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection
        try:
            if self.certificate is not None:
                connection.settimeout(30)
                stream = self.certificate.context.wrap_socket(connection, server_side=True)
                self._listener.adopt(connection, stream)
                stream.settimeout(None)
            _Handler(stream, address, self, control=False)
        except (OSError, ValueError):
            # The client went away, or does not trust the certificate.
            pass
        finally:
            with contextlib.suppress(OSError):
                stream.close()

    def _serve_control(self, connection: socket.socket, address: tuple[str, int]) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, ValueError):
            _Handler(connection, address, self, control=True)


class _Gone(Exception):
    """The connection is not to be used any more."""


class _Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection until it ends."""

    protocol_version = "HTTP/1.1"
    connection: socket.socket

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        server: OrgServer,
        *,
        control: bool,
    ) -> None:
        self._server = server
        self._org = server.org
        self._for_control = control
        super().__init__(connection, address, server)  # type: ignore[arg-type]

    def handle(self) -> None:
        with contextlib.suppress(_Gone, ConnectionError, ssl.SSLError, TimeoutError):
            super().handle()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if self.parse_request():
            self._answer_request()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """The journal has it all."""

    # --- one request ---------------------------------------------------------------------

    def _answer_request(self) -> None:
        begun = time.perf_counter()
        body = self._read_body()
        if body is None:
            return
        if self._server.dropped(self.connection):
            self._reset()
        if self._for_control or self.path.startswith("/_sandbox"):
            self._send(self._work(body, None))
            return
        fault = self._org.trouble.pick(self.command, self.path, body)

        def note(status: int) -> None:
            """Before the client can know how it ended, so that it may count at once."""
            self._org.journal.note(
                self.command,
                self.path,
                self.headers.items(),
                body,
                time=self._org.clock.now(),
                status=status,
                seconds=round(time.perf_counter() - begun, 6),
                fault=fault.id if fault is not None else "",
            )

        if fault is not None:
            self._answer_with(fault, body, note)
            return
        answer = self._work(body, None)
        note(answer.status)
        self._send(answer)

    def _read_body(self) -> bytes | None:
        """The whole body, so that nothing of it is taken for the next request."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = self._read_chunks()
        else:
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > MAX_BODY:
                self.close_connection = True
                self._send(Answer(413 if length.isdigit() else 400, "", content_type="text/plain"))
                return None
            body = self.rfile.read(int(length)) if length != "0" else b""
            if len(body) < int(length):
                raise _Gone
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            try:
                return gzip.decompress(body)
            except (OSError, EOFError):
                self._send(Answer(400, "", content_type="text/plain"))
                return None
        return body

    def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self.rfile.readline(100).partition(b";")[0].strip() or b"0", 16)
            if size == 0:
                while self.rfile.readline(65537).strip():
                    pass
                return b"".join(parts)
            parts.append(self.rfile.read(size))
            self.rfile.readline(10)
            if sum(map(len, parts)) > MAX_BODY:
                raise _Gone

    # --- the work ------------------------------------------------------------------------

    def _work(self, body: bytes, fault: Fault | None) -> Answer:
        """The honest answer to a request."""
        path = self.path
        salesforce = path.startswith(("/services/", "/id/"))
        if salesforce and not self._for_control:
            if self._org.settings.maintenance:
                return Answer(503, MAINTENANCE_PAGE, content_type="text/html;charset=UTF-8")
            if path.startswith("/services/data"):
                return self._rest(body, fault)
        return self._flask(body)

    def _rest(self, body: bytes, fault: Fault | None) -> Answer:
        host = self.headers.get("Host", "")
        if host in self._org.former_hosts:
            location = self._org.instance_url + self.path
            page = f'<html><body>Moved to <a href="{location}">a new address</a></body></html>'
            return Answer(302, page, {"Location": location}, content_type="text/html;charset=UTF-8")
        trouble = fault.record_problem if fault is not None and fault.for_records else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            with self._org.usage.running():
                return rest.serve(
                    self._org, self.command, self.path, headers, body, trouble=trouble
                )
        except Refused as error:
            return refusal(error)
        except Exception as error:
            # A defect of the org itself must look like Salesforce's own, and be seen here.
            self._server.org.journal.counts["defects"] += 1
            print(f"sandbox org: {self.command} {self.path}: {error!r}")
            problem = Problem("UNKNOWN_EXCEPTION", "An unexpected error occurred.", None)
            return Answer(500, [problem.as_rest()])

    def _flask(self, body: bytes) -> Answer:
        answer = Answer(500)

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            answer.status = int(status.partition(" ")[0])
            answer.content_type = ""
            answer.headers = {}
            for name, value in headers:
                if name.lower() == "content-type":
                    answer.content_type = value
                elif name.lower() not in ("content-length", "connection"):
                    answer.headers[name] = value
            return lambda data: None

        parts: Iterable[bytes] = self._server.app(self._environ(body), start_response)
        try:
            answer.body = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        return answer

    def _environ(self, body: bytes) -> WSGIEnvironment:
        path, _, query = self.path.partition("?")
        environ: WSGIEnvironment = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if self._server.certificate else "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "werkzeug.socket": self.connection,
            "sandbox.control": self._for_control,
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "REMOTE_ADDR": self.client_address[0],
            "SERVER_NAME": "localhost",
            "SERVER_PORT": str(self._server.port),
            "SERVER_PROTOCOL": self.request_version,
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key not in _ALREADY_READ and "_" not in name:
                environ[f"HTTP_{key}"] = value
        return environ

    # --- trouble -------------------------------------------------------------------------

    def _answer_with(self, fault: Fault, body: bytes, note: Callable[[int], None]) -> None:
        """Do what the fault says."""
        if fault.expire:
            token = self.headers.get("Authorization", "").partition(" ")[2]
            with self._org.lock:
                self._org.oauth.expire_sessions(None if fault.expire == "all" else token)
        if fault.latency_before:
            try:
                with self._org.usage.running() if self._counts() else contextlib.nullcontext():
                    time.sleep(fault.latency_before)
            except Refused as error:
                note(error.status)
                self._send(refusal(error))
                return
        if "before" in (fault.reset, fault.silence):
            note(0)
            self._end_without_answer(fault)
        instead = fault.answer()
        if instead is None or fault.commit:
            answer = self._work(body, fault)
        if instead is not None:
            status, content = instead
            answer = Answer(status, content, dict(fault.headers))
            if isinstance(content, str):
                answer.content_type = "text/html;charset=UTF-8"
        if fault.latency_after:
            time.sleep(fault.latency_after)
        if "after" in (fault.reset, fault.silence):
            note(0)
            self._end_without_answer(fault)
        note(answer.status)
        self._send(answer, mangle=fault.mangle, drip=fault.drip)

    def _counts(self) -> bool:
        return self.path.startswith("/services/data")

    def _end_without_answer(self, fault: Fault) -> NoReturn:
        """Reset the connection: now, or when the client gives up or faults are cleared."""
        if fault.silence:
            # Nobody sends before the answer: readable means that the client left. Not select():
            # thousands of connections may be open.
            client = select.poll()
            client.register(self.connection, select.POLLIN)
            ends = time.monotonic() + SILENCE_SECONDS
            while time.monotonic() < ends and self._org.trouble.holds(fault):
                if client.poll(50):
                    break
        self._reset()

    def _reset(self) -> NoReturn:
        reset(self.connection)
        raise _Gone

    # --- answers -------------------------------------------------------------------------

    def _send(self, answer: Answer, *, mangle: str = "", drip: float = 0.0) -> None:
        body = answer.encoded()
        if mangle:
            body = _mangled(body, mangle)
        head = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}\r\n"]
        head.append(f"Date: {formatdate(usegmt=True)}\r\n")
        request_id = secrets.token_hex(16)
        headers: list[tuple[str, str]] = [
            *_QUIET_HEADERS,
            ("X-Request-Id", request_id),
            ("X-Sfdc-Request-Id", request_id),
        ]
        own = {name.lower() for name in answer.headers}
        headers = [h for h in headers if h[0].lower() not in own]
        headers.extend(answer.headers.items())
        if (
            self._org.settings.gzip
            and len(body) > 500
            and "gzip" in self.headers.get("Accept-Encoding", "")
        ):
            body = gzip.compress(body, 5)
            headers.append(("Content-Encoding", "gzip"))
        if answer.status not in (204, 304):
            if answer.content_type:
                headers.append(("Content-Type", answer.content_type))
            headers.append(("Content-Length", str(len(body))))
        if mangle == "truncate":
            self.close_connection = True
        if self.close_connection:
            headers.append(("Connection", "close"))
        head.extend(f"{name}: {_one_line(value)}\r\n" for name, value in headers)
        head.append("\r\n")
        whole = "".join(head).encode("latin-1", "replace")
        if self.command != "HEAD" and answer.status not in (204, 304):
            if mangle == "truncate":
                body = body[: len(body) // 2]
            whole += body
        if drip:
            self._drip(whole, drip)
        else:
            self.wfile.write(whole)

    def _drip(self, whole: bytes, bytes_per_second: float) -> None:
        step = max(1, int(bytes_per_second / 20))
        for start in range(0, len(whole), step):
            self.wfile.write(whole[start : start + step])
            time.sleep(step / bytes_per_second)


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def _mangled(body: bytes, mangle: str) -> bytes:
    if mangle == "garbage":
        return b'{"id": "00Q' + secrets.token_bytes(12) + b'", success: tru'
    return b"" if mangle == "empty" else body
