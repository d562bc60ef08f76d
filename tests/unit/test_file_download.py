"""Downloads from hosts that are what they say, and from some that are not."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.deadline import Deadline
from bridge.errors import NotSetUp, Refused, Unavailable
from bridge.files.download import Downloads
from sandbox.http_server import Handler, Server
from sandbox.media.host import MediaHost
from sandbox.org.http.tls import make_certificate
from tests.conftest import MakeSettings

CONTENT = bytes(range(256)) * 300
MEGABYTE = 1024 * 1024


@pytest.fixture
def media() -> Iterator[MediaHost]:
    with MediaHost() as host:
        host.silence_seconds = 3
        yield host
        assert host.shown_the_key() <= {"bird"}


Fetch = Callable[..., bytes]


@pytest.fixture
def fetch(settings: MakeSettings) -> Fetch:
    """Downloads a link, from its own host if no other one is named."""

    def get(link: str, *, key: str = "k", seconds: float = 20, hosts: str = "") -> bytes:
        hosts = hosts or urlsplit(link).netloc
        made = settings(MEDIA_HOSTS=hosts, ALLOW_INSECURE_HOSTS=hosts, MEDIA_MAX_MEGABYTES="1")
        downloads = Downloads(settings=made)
        done = downloads.fetch(link, access_key=key, deadline=Deadline.after(seconds))
        with done.file as file:
            content = file.read()
        assert done.size == len(content)
        return content

    return get


def refusal(fetch: Fetch, link: str, **more: Any) -> str:
    """The code of the error that a download ends with."""
    with pytest.raises((Refused, Unavailable, NotSetUp)) as caught:
        fetch(link, **more)
    return caught.value.code


def test_the_key_goes_to_bird_and_not_to_the_store(media: MediaHost, fetch: Fetch) -> None:
    link, hosts = media.put(CONTENT), f"{media.names},{media.insecure}"
    assert fetch(link, key=media.access_key, hosts=hosts) == CONTENT
    assert [one.server for one in media.seen] == ["bird", "store"]
    assert media.shown_the_key() == {"bird"}
    signed = link.replace(media.host.url, media.store.url) + "?X-Amz-Signature=1"
    assert fetch(signed, key=media.access_key) == CONTENT, "a signed link is called without it"


@pytest.mark.parametrize(
    ("content", "trouble", "code"),
    [
        (CONTENT, "silence", "MEDIA_TOO_SLOW"),
        (CONTENT, "drip", "MEDIA_TOO_SLOW"),
        # half a file is none
        (CONTENT, "break off", "MEDIA_BROKE_OFF"),
        (CONTENT, "claim more", "MEDIA_BROKE_OFF"),
        (CONTENT, "close", "MEDIA_BROKE_OFF"),
        (bytes(MEGABYTE + 1), "", "MEDIA_TOO_LARGE"),
        (b"x", "endless", "MEDIA_TOO_LARGE"),
        (b"", "", "MEDIA_EMPTY"),
        (bytes(MEGABYTE), "", ""),
    ],
)
def test_a_host_in_trouble_is_given_up_in_time(
    media: MediaHost, fetch: Fetch, content: bytes, trouble: str, code: str
) -> None:
    begun = time.monotonic()
    link = media.put(content, trouble=(trouble,) if trouble else ())
    how = {"key": media.access_key, "hosts": f"{media.names},{media.insecure}"}
    if code:
        assert refusal(fetch, link, seconds=1, **how) == code
    else:
        assert fetch(link, **how) == content
    assert time.monotonic() - begun < 2.5


def test_without_a_key_a_401_is_for_a_person_and_with_one_it_is_for_good(
    media: MediaHost, fetch: Fetch
) -> None:
    link, hosts = media.put(CONTENT), f"{media.names},{media.insecure}"
    with pytest.raises(NotSetUp):
        fetch(link, key="", hosts=hosts)
    assert refusal(fetch, link, key="a-wrong-key", hosts=hosts) == "MEDIA_HTTP_401"


def serve(respond: Callable[[Handler], object], **options: object) -> Server:
    class Bare(Handler):
        def handle_any(self) -> None:
            respond(self)

        do_GET = handle_any

    return Server(Bare, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("packed", "content"),
    [
        (gzip.compress(CONTENT), CONTENT),
        (gzip.compress(bytes(50 * MEGABYTE)), None),
        # RFC 1952, 2.2: members follow one another, with no additional information between them.
        *(
            (gzip.compress(CONTENT) + gzip.compress(b"more") + after, CONTENT + b"more")
            for after in (b"", bytes(512), bytes(200_000), b"no member", b"\0\0x")
        ),
    ],
    ids=["small", "bomb", "members", "zeros", "many zeros", "rubbish", "zeros and rubbish"],
)
def test_a_compressed_file_is_unpacked_and_a_bomb_is_too_large(
    fetch: Fetch, packed: bytes, content: bytes | None
) -> None:
    def respond(handler: Handler) -> None:
        handler.reply(200, [("Content-Encoding", "gzip")], packed)

    with serve(respond) as server:
        if content is None:
            assert refusal(fetch, server.url) == "MEDIA_TOO_LARGE"
        else:
            assert fetch(server.url) == content


@pytest.mark.parametrize("status", [401, 403])
def test_a_401_after_a_redirect_is_not_blamed_on_the_key(fetch: Fetch, status: int) -> None:
    def respond(handler: Handler) -> None:
        if handler.path == "/first":
            handler.reply(302, [("Location", "/second")], b"")
        else:
            assert "Authorization" not in handler.headers
            handler.reply(status, [], b"")

    with serve(respond) as server, pytest.raises(Refused, match="a redirect led there") as caught:
        fetch(f"{server.url}/first")
    assert caught.value.code == f"MEDIA_HTTP_{status}"


# Names and addresses


def name_server(monkeypatch: pytest.MonkeyPatch, address_of: Callable[[str], str]) -> None:
    def look_up(host: str, port: int, **options: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address_of(host), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_the_address_that_was_checked_is_the_one_that_is_called(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that gives another address at each look-up (DNS rebinding)."""
    wanted: list[str] = []
    called: list[object] = []

    def rebinding(host: str) -> str:
        wanted.append(host)
        return "8.8.8.8" if len(wanted) == 1 else "127.0.0.1"

    def connect(self: socket.socket, address: object) -> None:
        called.append(address)
        raise ConnectionRefusedError

    name_server(monkeypatch, rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect, raising=False)
    assert refusal(fetch, "https://media.example/x") == "MEDIA_UNREACHABLE"
    assert (wanted, called) == (["media.example"], [("8.8.8.8", 443)])


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://inside.example/secret", "MEDIA_ADDRESS_NOT_PUBLIC"),
        ("http://inside.example/secret", "MEDIA_NOT_HTTPS"),
    ],
)
def test_a_redirect_leads_to_public_addresses_over_tls_only(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, location: str, code: str
) -> None:
    with serve(lambda handler: handler.reply(302, [("Location", location)], b"")) as server:
        name_server(monkeypatch, lambda host: host if host == "127.0.0.1" else "10.0.0.5")
        assert refusal(fetch, f"{server.url}/x") == code


def test_the_certificate_has_to_be_the_name_s(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    hosts: list[str | None] = []

    def respond(handler: Handler) -> None:
        hosts.append(handler.headers["Host"])
        handler.reply(200, [], CONTENT)

    with serve(respond, tls=certificate.context) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
        named = f"localhost:{server.port},localhost:443,other.example:{server.port}"
        for host in (f"localhost:{server.port}", "localhost"):
            assert fetch(f"https://{host}/x", hosts=named) == CONTENT
        # A default port is not in the header (RFC 9110, 7.2): a store's signature covers it as the
        # link was signed (AWS, SigV4).
        assert hosts == [f"localhost:{server.port}", "localhost"]
        code = refusal(fetch, f"https://other.example:{server.port}/x", hosts=named)
        assert code == "MEDIA_UNREACHABLE"
