"""A media host that does as Bird's does, and misbehaves on order.

A link of the host needs the access key and answers with a redirect to a signed address of a store,
which is another server; the store refuses a request that brings an authorization besides [public
captures of clients; Bird's documentation does not describe it]. Both note every request with its
headers, so that a test can see who was shown the key.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from sandbox.http_server import Handler, Server, handling

SIGNATURE = "X-Amz-Signature"
EXTRA_BYTES = 64 * 1024

TROUBLES = (
    "break off",
    "claim more",
    "close",
    "drip",
    "endless",
    "no redirect",
    "nowhere",
    "private",
    "plain http",
    "redirects",
    "silence",
)
"""What a file can do instead of coming, besides any HTTP status as a number:

break off    half of it, then the connection is reset
claim more   a Content-Length that is twice as long as what comes
close        the connection is closed without a response
drip         a byte every now and then
endless      more and more, without a length
no redirect  the host itself sends the file
nowhere      a redirect without a Location
private      a redirect to an address that no one else can reach
plain http   a redirect to a public host without TLS
redirects    one redirect after the other, without an end
silence      no response at all
"""


@dataclass(frozen=True)
class Seen:
    """One request."""

    server: str
    """`bird` or `store`."""
    path: str
    headers: Mapping[str, str] = field(repr=False)
    """With names in lower case."""


@dataclass
class _File:
    content: bytes
    type: str
    disposition: str
    troubles: deque[str] = field(default_factory=deque)


class MediaHost:
    """The host and its store, from `start` to `stop` or in a `with` block.

    `names` is what MediaHosts has to be, `insecure` what AllowInsecureHosts needs in addition.
    """

    def __init__(self, *, host: str = "127.0.0.1", advertise: str | None = None) -> None:
        self.access_key = f"key-{uuid.uuid4().hex}"
        self.seen: list[Seen] = []
        self.silence_seconds = 30.0
        """How long a silent or dripping file keeps its connection."""
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()
        self.host = Server(handling(self._serve_host), host=host, advertise=advertise)
        self.store = Server(handling(self._serve_store), host=host, advertise=advertise)

    def start(self) -> MediaHost:
        self.host.start()
        self.store.start()
        return self

    def stop(self) -> None:
        self.host.stop()
        self.store.stop()

    def __enter__(self) -> MediaHost:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def names(self) -> str:
        return urlsplit(self.host.url).netloc

    @property
    def insecure(self) -> str:
        return ",".join(urlsplit(one.url).netloc for one in (self.host, self.store))

    # For people and tests

    def put(
        self,
        content: bytes,
        *,
        content_type: str = "image/jpeg",
        disposition: str = "",
        trouble: tuple[str, ...] = (),
    ) -> str:
        """Keep a file; returns its link. `trouble` comes first, one at each request."""
        file_id = uuid.uuid4().hex
        with self._lock:
            self._files[file_id] = _File(content, content_type, disposition, deque(trouble))
        return f"{self.host.url}/workspaces/w1/messages/m1/media/{file_id}"

    def order(self, link: str, *troubles: str) -> None:
        """Let these come at the next requests for a file, in place of what was ordered before."""
        with self._lock:
            self._files[link.rpartition("/")[2]].troubles = deque(troubles)

    def remove(self, link: str) -> None:
        """Delete a file: from now on 404."""
        with self._lock:
            self._files.pop(link.rpartition("/")[2], None)

    def shown_the_key(self) -> set[str]:
        """The servers that a request brought the access key to, in whatever part of it."""
        with self._lock:
            return {
                one.server
                for one in self.seen
                if self.access_key in one.path
                or any(self.access_key in value for value in one.headers.values())
            }

    # Serving

    def _serve_host(self, handler: Handler) -> None:
        path = urlsplit(handler.path).path
        file_id = path.rpartition("/")[2]
        file, trouble = self._begin("bird", handler, file_id)
        again = f"/again/{uuid.uuid4().hex}/{file_id}"
        if path.startswith("/again/"):
            return handler.reply(302, [("Location", again)], b"")
        if handler.headers.get("Authorization") != f"AccessKey {self.access_key}":
            return handler.reply(401, [], b'{"code":"Unauthorized"}')
        if file is None:
            return handler.reply(404, [], b'{"code":"NotFound"}')
        where = f"{self.store.url}/{file_id}?X-Amz-Algorithm=AWS4-HMAC-SHA256&{SIGNATURE}="
        if trouble.isdigit():
            return handler.reply(int(trouble), [], b'{"code":"Trouble"}')
        match trouble:
            case "private":
                location = "https://169.254.169.254/latest/meta-data/"
            case "plain http":
                location = "http://example.com/file"
            case "redirects":
                location = again
            case "no redirect":
                return self._send(handler, file)
            case "nowhere":
                return handler.reply(302, [], b"")
            case "silence" | "close":
                return self._fail(handler, file, trouble)
            case "":
                location = where + uuid.uuid4().hex
            case _:
                location = f"{where}{uuid.uuid4().hex}&trouble={trouble.replace(' ', '+')}"
        handler.reply(302, [("Location", location)], b"")
        return None

    def _serve_store(self, handler: Handler) -> None:
        parts = urlsplit(handler.path)
        query = parse_qs(parts.query)
        with self._lock:
            self._note("store", handler)
            file = self._files.get(parts.path.rpartition("/")[2])
        if handler.headers.get("Authorization"):
            # As S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
            return handler.reply(400, [], b"<Code>InvalidArgument</Code>")
        if SIGNATURE not in query:
            return handler.reply(403, [], b"<Code>AccessDenied</Code>")
        if file is None:
            return handler.reply(404, [], b"<Code>NoSuchKey</Code>")
        trouble = query.get("trouble", [""])[0]
        if trouble:
            return self._fail(handler, file, trouble)
        return self._send(handler, file)

    def _begin(self, server: str, handler: Handler, file_id: str) -> tuple[_File | None, str]:
        with self._lock:
            self._note(server, handler)
            file = self._files.get(file_id)
            return file, file.troubles.popleft() if file and file.troubles else ""

    def _note(self, server: str, handler: Handler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append(Seen(server, handler.path, headers))

    def _send(self, handler: Handler, file: _File) -> None:
        headers = [("Content-Type", file.type)]
        if file.disposition:
            headers.append(("Content-Disposition", file.disposition))
        handler.reply(200, headers, file.content)

    def _fail(self, handler: Handler, file: _File, trouble: str) -> None:
        handler.close_connection = True
        if trouble == "close":
            return handler.hang_up()
        if trouble == "silence":
            time.sleep(self.silence_seconds)
            return handler.hang_up()
        length = len(file.content)
        handler.send_response(200)
        handler.send_header("Content-Type", file.type)
        if trouble == "claim more":
            handler.send_header("Content-Length", str(2 * length))
        elif trouble != "endless":
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for piece in self._pieces(file.content, trouble):
                handler.wfile.write(piece)
                handler.wfile.flush()
        if trouble == "break off":
            handler.reset()
        return None

    def _pieces(self, content: bytes, trouble: str) -> Iterator[bytes]:
        match trouble:
            case "break off":
                yield content[: len(content) // 2]
            case "drip":
                until = time.monotonic() + self.silence_seconds
                for at in range(len(content)):
                    yield content[at : at + 1]
                    if time.monotonic() > until:
                        return
                    time.sleep(0.2)
            case "endless":
                for _ in range(10_000):
                    yield bytes(EXTRA_BYTES)
            case _:
                yield content
