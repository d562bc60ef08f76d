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


Fetch = Callable[..., bytes]


@pytest.fixture
def media() -> Iterator[MediaHost]:
    with MediaHost() as host:
        host.silence_seconds = 3
        yield host
        assert host.shown_the_key() <= {"bird"}


@pytest.fixture
def fetch(media: MediaHost, settings: MakeSettings) -> Fetch:
    """Downloads a link with the host's own key."""
    made = settings(
        MEDIA_HOSTS=media.names, ALLOW_INSECURE_HOSTS=media.insecure, MEDIA_MAX_MEGABYTES="1"
    )

    def get(link: str, *, seconds: float = 20, key: str | None = None) -> bytes:
        downloads = Downloads(settings=made)
        key = media.access_key if key is None else key
        done = downloads.fetch(link, access_key=key, deadline=Deadline.after(seconds))
        with done.file as file:
            content = file.read()
        assert done.size == len(content)
        return content

    return get


def test_the_key_goes_to_bird_and_not_to_the_store(media: MediaHost, fetch: Fetch) -> None:
    assert fetch(media.put(CONTENT)) == CONTENT
    assert [one.server for one in media.seen] == ["bird", "store"]
    assert media.shown_the_key() == {"bird"}


def test_a_signed_link_is_called_without_the_key(media: MediaHost, settings: MakeSettings) -> None:
    made = settings(
        MEDIA_HOSTS=urlsplit(media.store.url).netloc, ALLOW_INSECURE_HOSTS=media.insecure
    )
    link = media.put(CONTENT).replace(media.host.url, media.store.url) + "?X-Amz-Signature=1"
    done = Downloads(settings=made).fetch(
        link, access_key=media.access_key, deadline=Deadline.after(20)
    )
    assert done.file.read() == CONTENT


@pytest.mark.parametrize("trouble", ["silence", "drip"])
def test_a_slow_host_is_given_up_in_time(media: MediaHost, fetch: Fetch, trouble: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        fetch(media.put(CONTENT, trouble=(trouble,)), seconds=1)
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("trouble", ["break off", "claim more", "close"])
def test_half_a_file_is_none(media: MediaHost, fetch: Fetch, trouble: str) -> None:
    with pytest.raises(Unavailable):
        fetch(media.put(CONTENT, trouble=(trouble,)))


def test_what_is_too_large_is_not_read_to_its_end(media: MediaHost, fetch: Fetch) -> None:
    for link in (media.put(bytes(1024 * 1024 + 1)), media.put(b"x", trouble=("endless",))):
        with pytest.raises(Refused) as caught:
            fetch(link)
        assert caught.value.code == "MEDIA_TOO_LARGE"
    assert fetch(media.put(bytes(1024 * 1024))) == bytes(1024 * 1024)


def test_an_empty_file_is_refused(media: MediaHost, fetch: Fetch) -> None:
    with pytest.raises(Refused) as caught:
        fetch(media.put(b""))
    assert caught.value.code == "MEDIA_EMPTY"


def test_without_a_key_a_401_is_for_a_person_and_with_one_it_is_for_good(
    media: MediaHost, fetch: Fetch
) -> None:
    link = media.put(CONTENT)
    with pytest.raises(NotSetUp):
        fetch(link, key="")
    with pytest.raises(Refused) as caught:
        fetch(link, key="a-wrong-key")
    assert caught.value.code == "MEDIA_HTTP_401"


def serve(respond: Callable[[Handler], object], **options: object) -> Server:
    class Bare(Handler):
        def handle_any(self) -> None:
            respond(self)

        do_GET = handle_any

    return Server(Bare, **options)  # type: ignore[arg-type]


def test_a_compressed_file_is_unpacked_and_a_bomb_is_too_large(settings: MakeSettings) -> None:
    packed = {"/small": gzip.compress(CONTENT), "/bomb": gzip.compress(bytes(50 * 1024 * 1024))}

    def respond(handler: Handler) -> None:
        handler.answer(200, [("Content-Encoding", "gzip")], packed[handler.path])

    with serve(respond) as server:
        netloc = urlsplit(server.url).netloc
        made = settings(MEDIA_HOSTS=netloc, ALLOW_INSECURE_HOSTS=netloc, MEDIA_MAX_MEGABYTES="1")
        downloads = Downloads(settings=made)
        done = downloads.fetch(f"{server.url}/small", access_key="", deadline=Deadline.after(20))
        assert done.file.read() == CONTENT
        with pytest.raises(Refused) as caught:
            downloads.fetch(f"{server.url}/bomb", access_key="", deadline=Deadline.after(20))
        assert caught.value.code == "MEDIA_TOO_LARGE"


@pytest.mark.parametrize("after", [b"", bytes(512), bytes(200_000), b"no member", b"\0\0x"])
def test_a_compressed_file_may_have_several_members(settings: MakeSettings, after: bytes) -> None:
    """RFC 1952, 2.2: they follow one another, with no additional information between them."""
    packed = gzip.compress(CONTENT) + gzip.compress(b"more") + after

    def respond(handler: Handler) -> None:
        handler.answer(200, [("Content-Encoding", "gzip")], packed)

    with serve(respond) as server:
        netloc = urlsplit(server.url).netloc
        made = settings(MEDIA_HOSTS=netloc, ALLOW_INSECURE_HOSTS=netloc)
        done = Downloads(settings=made).fetch(
            server.url, access_key="", deadline=Deadline.after(20)
        )
        assert done.file.read() == CONTENT + b"more"


@pytest.mark.parametrize("status", [401, 403])
def test_a_401_after_a_redirect_is_not_blamed_on_the_key(
    settings: MakeSettings, status: int
) -> None:
    def respond(handler: Handler) -> None:
        if handler.path == "/first":
            handler.answer(302, [("Location", "/second")], b"")
        else:
            assert "Authorization" not in handler.headers
            handler.answer(status, [], b"")

    with serve(respond) as server:
        netloc = urlsplit(server.url).netloc
        made = settings(MEDIA_HOSTS=netloc, ALLOW_INSECURE_HOSTS=netloc)
        with pytest.raises(Refused, match="a redirect led there") as caught:
            Downloads(settings=made).fetch(
                f"{server.url}/first", access_key="k", deadline=Deadline.after(20)
            )
        assert caught.value.code == f"MEDIA_HTTP_{status}"


# Names and addresses


class Names:
    """A name server that has these addresses; the last one stays. And the connections made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []
        self.called: list[object] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(socket.socket, "connect", self._connect, raising=False)

    def _look_up(self, host: str, port: int, **options: object) -> list[Any]:
        self.asked.append(host)
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    def _connect(self, address: object) -> None:
        self.called.append(address)
        raise ConnectionRefusedError


def test_the_address_that_was_checked_is_the_one_that_is_called(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that gives another address at each look-up (DNS rebinding)."""
    names = Names(monkeypatch, "8.8.8.8", "127.0.0.1")
    downloads = Downloads(settings=settings(MEDIA_HOSTS="media.example"))
    with pytest.raises(Unavailable) as caught:
        downloads.fetch("https://media.example/x", access_key="k", deadline=Deadline.after(5))
    assert caught.value.code == "MEDIA_UNREACHABLE"
    assert (names.asked, names.called) == (["media.example"], [("8.8.8.8", 443)])


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://inside.example/secret", "MEDIA_ADDRESS_NOT_PUBLIC"),
        ("http://inside.example/secret", "MEDIA_NOT_HTTPS"),
    ],
)
def test_a_redirect_leads_to_public_addresses_over_tls_only(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, location: str, code: str
) -> None:
    def look_up(host: str, port: int, **options: object) -> list[Any]:
        address = "127.0.0.1" if host == "127.0.0.1" else "10.0.0.5"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    with serve(lambda handler: handler.answer(302, [("Location", location)], b"")) as server:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        netloc = urlsplit(server.url).netloc
        made = settings(MEDIA_HOSTS=netloc, ALLOW_INSECURE_HOSTS=netloc)
        with pytest.raises(Refused) as caught:
            Downloads(settings=made).fetch(
                f"{server.url}/x", access_key="k", deadline=Deadline.after(10)
            )
    assert caught.value.code == code


def test_the_certificate_has_to_be_the_name_s(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    hosts: list[str | None] = []

    def respond(handler: Handler) -> None:
        hosts.append(handler.headers["Host"])
        handler.answer(200, [], CONTENT)

    with serve(respond, tls=certificate.context) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
        named = f"localhost:{server.port},localhost:443,other.example:{server.port}"
        made = settings(MEDIA_HOSTS=named, ALLOW_INSECURE_HOSTS=named)
        downloads = Downloads(settings=made)
        for host in (f"localhost:{server.port}", "localhost"):
            done = downloads.fetch(f"https://{host}/x", access_key="k", deadline=Deadline.after(10))
            assert done.file.read() == CONTENT
        # A default port is not in the header (RFC 9110, 7.2): a store's signature covers it as the
        # link was signed (AWS, SigV4).
        assert hosts == [f"localhost:{server.port}", "localhost"]
        with pytest.raises(Unavailable):
            downloads.fetch(
                f"https://other.example:{server.port}/x",
                access_key="k",
                deadline=Deadline.after(10),
            )
