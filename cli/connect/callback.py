"""The callback server: the browser comes back to it after one sign-in, and sees the outcome.

The browser waits until everything is done (exchange, storing, first refresh). It is then redirected
to an address without the code, so that the code does not stay in the browser's history.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import queue
import socket
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cli.connect.oauth import SignIn
from cli.connect.sign_in_failures import SignInFailed
from cli.problem import Problem

FINISH_SECONDS = 120.0
"""How long the browser is kept waiting for the outcome."""

LINGER_SECONDS = 3.0
"""How long the last page can be fetched after everything is over."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the browser shows. Texts are plain."""

    good: bool
    title: str
    text: str
    next_step: str = ""

    @classmethod
    def of(cls, problem: Problem, *, title: str) -> Page:
        return cls(good=False, title=title, text=problem.what, next_step=problem.next_step)

    def render(self) -> bytes:
        kind = "good" if self.good else "bad"
        parts = [
            f'<p class="mark {kind}" aria-hidden="true">{"✓" if self.good else "✕"}</p>',
            f"<h1>{html.escape(self.title)}</h1>",
            f"<p>{html.escape(self.text)}</p>",
        ]
        if self.next_step:
            parts.append(f"<h2>Next</h2><p>{html.escape(self.next_step)}</p>")
        parts.append('<p class="foot">You can close this tab and go back to the terminal.</p>')
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)} · bird-salesforce</title>"
            f"<style>{STYLE}</style></head>"
            f'<body><main><div role="{"status" if self.good else "alert"}">{"".join(parts)}</div>'
            "</main></body></html>\n"
        ).encode()


STYLE = """
:root{color-scheme:light dark;--ground:#f3f4f6;--card:#fff;--ink:#1f2933;--soft:#52606d;
--good:#0b7a3b;--bad:#b42318;--line:#d9dee4}
@media (prefers-color-scheme:dark){:root{--ground:#14181d;--card:#1f252c;--ink:#eef1f4;
--soft:#a9b4bf;--good:#5fd08f;--bad:#ff8a7a;--line:#38424d}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}
main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);
border-radius:12px;padding:2rem 2.25rem}
.mark{margin:0 0 .75rem;width:3rem;height:3rem;border-radius:50%;display:grid;
place-items:center;font-size:1.5rem;font-weight:700;border:2px solid currentColor}
.good{color:var(--good)}.bad{color:var(--bad)}
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25}
h2{margin:1.25rem 0 .25rem;font-size:1rem}
p{margin:0 0 .5rem;overflow-wrap:anywhere}
.foot{margin-top:1.5rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);
font-size:.9375rem}
"""

_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

_FOREIGN = Page(
    good=False,
    title="Not this sign-in",
    text="This address does not belong to the sign-in that the terminal is waiting for, so it was "
    "ignored. Nothing was connected.",
    next_step="Open the address that the terminal shows.",
)
_AGAIN = Page(
    good=False,
    title="Already done",
    text="This sign-in was finished before. The terminal shows its outcome.",
)
_NOTHING = Page(
    good=False,
    title="Nothing here",
    text="Only Salesforce sends a browser here.",
    next_step="Open the address that the terminal shows.",
)
_SLOW = Page(
    good=False,
    title="Still working",
    text="It takes longer than expected. The terminal will show the outcome.",
)
_ENDED = Page(good=False, title="Not connected", text="The program in the terminal has ended.")


class CallbackServer:
    """Listens on both loopback addresses inside a `with` block. Raises SignInFailed (port taken).

    `localhost` may mean 127.0.0.1 or ::1, so both must be ours: another program on one of them
    could take the code.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        parts = urlsplit(sign_in.callback)
        self.path = parts.path or "/"
        self.port = parts.port or 80
        self._queries: queue.Queue[str] = queue.Queue(maxsize=1)
        self._taken = False
        self._lock = threading.Lock()
        self._outcome: Page | None = None
        self._finished = threading.Event()
        self.shown = threading.Event()
        """The last page was fetched."""
        self.foreign = 0
        """How many callbacks had a wrong state."""
        self._servers: list[ThreadingHTTPServer] = []

    def __enter__(self) -> CallbackServer:
        try:
            self._servers.append(_listen("127.0.0.1", self.port, self, socket.AF_INET))
            if _has_ipv6():
                self._servers.append(_listen("::1", self.port, self, socket.AF_INET6))
        except OSError as error:
            self._close()
            raise SignInFailed("port_taken", detail=f"port {self.port}") from error
        for server in self._servers:
            threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            ).start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished.is_set():
            self.finish(_ENDED)
        if self._taken:
            self.shown.wait(LINGER_SECONDS)
        for server in self._servers:
            server.shutdown()
        self._close()

    def _close(self) -> None:
        for server in self._servers:
            server.server_close()

    def wait(self, seconds: float) -> str:
        """The query of the callback. Raises SignInFailed if the browser does not come in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                return self._queries.get(timeout=0.2)
        if self.foreign:
            raise SignInFailed("wrong_state")
        raise SignInFailed("no_callback", detail=f"within {seconds:.0f} seconds")

    def finish(self, outcome: Page) -> None:
        """Set what the browser shows at the end."""
        self._outcome = outcome
        self._finished.set()

    # For the request handler

    def take(self, query: str, state: str) -> Page | None:
        """Take a callback: None if it is the one that is waited for, else the page to show."""
        if not self._sign_in.belongs(state):
            self.foreign += 1
            return _FOREIGN
        with self._lock:
            if self._taken:
                return _AGAIN
            self._taken = True
        self._queries.put(query)
        return None

    def outcome(self, *, wait: bool) -> Page:
        """The page to show at the end; with `wait`, as soon as it is known."""
        if wait:
            self._finished.wait(FINISH_SECONDS)
        return self._outcome or (_SLOW if self._taken else _NOTHING)


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def _listen(
    host: str, port: int, callback: CallbackServer, family: socket.AddressFamily
) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True
        block_on_close = False
        # Two programs must not share the port, as SO_REUSEADDR would allow on Windows.
        allow_reuse_address = not hasattr(socket, "SO_EXCLUSIVEADDRUSE")

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing is printed when a tab is closed."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            host = self.headers.get("Host", "")
            allowed = {f"{name}:{callback.port}" for name in ("localhost", "127.0.0.1", "[::1]")}
            parts = urlsplit(self.path)
            if host.lower() not in allowed:
                # A foreign name that resolves to this machine (DNS rebinding).
                self._show(400, _NOTHING)
            elif parts.path == callback.path:
                self._take(parts.query)
            elif parts.path == "/done":
                self._show(200, callback.outcome(wait=False))
                callback.shown.set()
            else:
                self._show(404, _NOTHING)

        def _take(self, query: str) -> None:
            state = parse_qs(query).get("state", [""])[0]
            refusal = callback.take(query, state)
            if refusal is not None:
                self._show(400, refusal)
                return
            callback.outcome(wait=True)
            self._send(303, b"", Location="/done")

        def _show(self, status: int, page: Page) -> None:
            self._send(status, page.render())

        def _send(self, status: int, body: bytes, **more: str) -> None:
            self.send_response(status)
            headers = {**_HEADERS, "Content-Length": str(len(body)), **more}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "bird-salesforce"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            """Nothing: the address holds the code."""

    return Server((host, port), Handler)
