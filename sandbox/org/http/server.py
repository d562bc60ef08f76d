"""The org over HTTP.

Requests are read whole, checked once for faults, and passed to the REST API (`rest.api.serve`) or
to the Flask application with OAuth, pages and control.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self

from sandbox.http_server import Handler, Server
from sandbox.org.errors import Problem
from sandbox.org.http.tls import Certificate, make_certificate
from sandbox.org.http.web import make_app
from sandbox.org.org import Org
from sandbox.org.rest import api
from sandbox.org.rest.call import Response
from sandbox.org.trouble import Fault

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAX_BODY = 60_000_000
SILENCE_SECONDS = 900.0
MAINTENANCE_PAGE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We are down for "
    "maintenance.</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
)
_QUIET_HEADERS = {
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "none",
}


class OrgServer:
    """Runs an org on a port of this machine: ``with OrgServer() as server: server.url``.

    A second port, `control_url`, serves the control API and the pages only. It stays reachable
    while the first one refuses connections, and no fault applies to it.
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
        self._app: tuple[Org, WSGIApplication | None] = (self.org, None)
        self._making_app = threading.Lock()
        self.certificate: Certificate | None = make_certificate(certificate_folder) if tls else None
        self._server = Server(
            partial(_Handler, owner=self, control=False),
            host=host,
            port=port,
            tls=self.certificate.context if self.certificate else None,
            admit=self._admit,
        )
        self._control = Server(
            partial(_Handler, owner=self, control=True), host=host, port=control_port
        )
        self.url = public_url.rstrip("/") or self._server.url
        self.control_url = self._control.url
        self.org.url = self.url
        self._end_of_outage = threading.Timer(0, self._server.accept)
        self._server.start()
        self._control.start()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def app(self) -> WSGIApplication:
        """OAuth, pages and control, made when first needed: it takes longer than all the rest."""
        with self._making_app:
            org, app = self._app
            if app is None or org is not self.org:
                app = make_app(self.org, self)
                self._app = self.org, app
            return app

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
        self._end_of_outage.cancel()
        self._server.stop()
        self._control.stop()

    @property
    def refusing(self) -> bool:
        """Whether an outage is going on."""
        return self._server.refusing

    def refuse_connections(self, *, seconds: float | None = None) -> None:
        """Begin an outage: clients see ECONNREFUSED, open connections are reset.

        It ends after `seconds`, or where there are none, with `accept_connections`. A second outage
        replaces the first one and its end.
        """
        self._end_of_outage.cancel()
        self._server.refuse()
        if seconds is not None:
            self._end_of_outage = threading.Timer(seconds, self._server.accept)
            self._end_of_outage.daemon = True
            self._end_of_outage.start()

    def accept_connections(self) -> None:
        """End the outage."""
        self._end_of_outage.cancel()
        self._server.accept()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuses connections inside the ``with`` block."""
        self.refuse_connections()
        try:
            yield
        finally:
            self.accept_connections()

    def drop_connections(self) -> int:
        """Reset the open connections, as after a long time idle; returns how many there were."""
        return self._server.drop_connections()

    def _admit(self) -> bool:
        journal = self.org.journal
        if self.org.trouble.pick_for_connection() is not None:
            journal.refused_connections += 1
            return False
        journal.connections += 1
        return True


class _Handler(Handler):
    """One connection to the org or to its control port."""

    timeout: ClassVar[float | None] = None
    connection: socket.socket

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        server: Server,
        *,
        owner: OrgServer,
        control: bool,
    ) -> None:
        self._owner = owner
        self._org = owner.org
        self._for_control = control
        super().__init__(connection, address, server)

    def handle_any(self) -> None:
        begun = time.perf_counter()
        body = self.read_body(limit=MAX_BODY)
        if body is None:
            self._send(Response(413, "", content_type="text/plain"))
            return
        if self.server.dropped(self.connection):
            self.reset()
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
            self._apply(fault, body, note)
            return
        response = self._work(body, None)
        note(response.status)
        self._send(response)

    # --- the work ------------------------------------------------------------------------

    def _work(self, body: bytes, fault: Fault | None) -> Response:
        """The response to a request without any fault."""
        path = self.path
        salesforce = path.startswith(("/services/", "/id/"))
        if salesforce and not self._for_control:
            if self._org.settings.maintenance:
                return Response(503, MAINTENANCE_PAGE, content_type="text/html;charset=UTF-8")
            if path.startswith("/services/data"):
                return self._rest(body, fault)
        return self._flask(body)

    def _rest(self, body: bytes, fault: Fault | None) -> Response:
        trouble = fault.record_problem if fault is not None and fault.for_records else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            return api.serve(self._org, self.command, self.path, headers, body, trouble=trouble)
        except Exception as error:
            # A defect of the org itself must look like Salesforce's own, and be seen here.
            self._org.journal.counts["defects"] += 1
            print(f"sandbox org: {self.command} {self.path}: {error!r}")
            problem = Problem("UNKNOWN_EXCEPTION", "An unexpected error occurred.", None)
            return Response(500, [problem.as_rest()])

    def _flask(self, body: bytes) -> Response:
        control = {"sandbox.control": self._for_control}
        status, headers, content = self.run_wsgi(self._owner.app, body, **control)
        own = {name: value for name, value in headers if name.lower() != "content-type"}
        kind = dict(headers).get("Content-Type", "")
        return Response(status, content, own, content_type=kind)

    # --- trouble -------------------------------------------------------------------------

    def _apply(self, fault: Fault, body: bytes, note: Callable[[int], None]) -> None:
        """Carry a fault out."""
        if fault.expire:
            token = self.headers.get("Authorization", "").partition(" ")[2]
            with self._org.lock:
                self._org.oauth.expire_sessions(None if fault.expire == "all" else token)
        if fault.latency_before:
            time.sleep(fault.latency_before)
        if "before" in (fault.reset, fault.silence):
            note(0)
            self._end_silently(fault)
        instead = fault.response()
        if instead is None or fault.commit:
            response = self._work(body, fault)
        if instead is not None:
            status, content = instead
            response = Response(status, content, dict(fault.headers))
            if isinstance(content, str):
                response.content_type = "text/html;charset=UTF-8"
        if fault.latency_after:
            time.sleep(fault.latency_after)
        if "after" in (fault.reset, fault.silence):
            note(0)
            self._end_silently(fault)
        note(response.status)
        self._send(response, mangle=fault.mangle)

    def _end_silently(self, fault: Fault) -> NoReturn:
        """Reset the connection: now, or when the client gives up or faults are cleared."""
        if fault.silence:
            # Nobody sends before the response: readable means that the client left. Not select():
            # thousands of connections may be open.
            client = select.poll()
            client.register(self.connection, select.POLLIN)
            ends = time.monotonic() + SILENCE_SECONDS
            while time.monotonic() < ends and self._org.trouble.holds(fault):
                if client.poll(50):
                    break
        self.reset()

    # --- responses -------------------------------------------------------------------------

    def version_string(self) -> str:
        return "sfdcedge"

    def _send(self, response: Response, *, mangle: str = "") -> None:
        body = response.encoded()
        if mangle == "garbage":
            body = b'{"id": "00Q' + secrets.token_bytes(12) + b'", success: tru'
        elif mangle == "empty":
            body = b""
        request_id = secrets.token_hex(16)
        headers = {"X-Request-Id": request_id, "X-Sfdc-Request-Id": request_id}
        headers |= {**_QUIET_HEADERS, **response.headers}
        if response.content_type and response.status not in (204, 304):
            headers["Content-Type"] = response.content_type
        lost = (len(body) + 1) // 2 if mangle == "truncate" else 0
        self.reply(response.status, list(headers.items()), body, lost=lost)
