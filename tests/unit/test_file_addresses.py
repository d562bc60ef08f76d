"""Where a download may lead.

The addresses are those of IANA's special-purpose registries (RFC 6890 and its updates), and of the
attacks on fetchers of links that OWASP's SSRF cheat sheet lists.
"""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Refused
from bridge.files.addresses import PublicResolver, follow, is_public, read_link

PRIVATE = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.9.1", "169.254.169.254"),
    *("169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001:db8::1", "2002:7f00:1::", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:0:4136:e378::1"),
    *("", "localhost", "0x7f.1", "2130706433", "127.1"),
]
PUBLIC = ["8.8.8.8", "52.216.1.1", "2600:1f18::1", "2a00:1450::1", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_internet_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_told(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "link",
    [
        *("", "file:///etc/passwd", "ftp://a.example/x", "gopher://a.example", "data:image/png,x"),
        *("https://", "https:///x", "https://user:secret@a.example/x", "https://a.example:0/x"),
        *("https://a.example:99999/x", "https://[::1/x", "//a.example/x", "a.example/x"),
        *("https://a.example\\@b.example/x", "https://a example/x", "{{messageImage}}"),
        "https://a.example/" + "x" * 9000,
    ],
)
def test_what_is_no_link_of_the_web_is_refused(link: str) -> None:
    with pytest.raises(Refused) as caught:
        read_link(link)
    assert caught.value.code == "MEDIA_LINK_UNREADABLE"


def test_a_link_is_read_without_what_could_end_a_header() -> None:
    target = read_link("HTTPS://Media.Example.com:8443/a b/ü.jpg?x=1\r\nHost: evil#part")
    assert (target.scheme, target.host, target.port) == ("https", "media.example.com", 8443)
    assert target.path.isascii()
    assert not set(target.path) & set(" \r\n#")


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_comes_as_a_link_is_read_or_refused(link: str, location: str) -> None:
    for one in (link, f"https://a.example/{link}", f"https://{link}"):
        with suppress(Refused):
            target = read_link(one)
            assert set(target.path) <= set(map(chr, range(0x21, 0x7F)))
            assert not set(target.host) & set("/?#@\\ ")
    for one in (location, "//["):
        with suppress(Refused):
            follow(read_link("https://a.example/one"), one)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x?y=1", "https://a.example:443/x?y=1"),
        ("https://b.example/z", "https://b.example:443/z"),
        ("//c.example/z", "https://c.example:443/z"),
        ("http://b.example/z", "http://b.example:80/z"),
        ("/caf\u00c3\u00a9", "https://a.example:443/caf%C3%A9"),  # UTF-8, as http.client reads it
        ("/caf\u00e9", "https://a.example:443/caf%C3%A9"),
    ],
)
def test_a_redirect_is_read_against_where_it_comes_from(location: str, expected: str) -> None:
    target = follow(read_link("https://a.example/one/two"), location)
    assert f"{target.scheme}://{target.host}:{target.port}{target.path}" == expected


@pytest.mark.parametrize(
    ("addresses", "exempt", "allowed"),
    [
        (["8.8.8.8"], "", True),
        (["8.8.8.8", "10.0.0.1"], "", False),
        (["::1"], "", False),
        (["2600:1f18::1", "fe80::1"], "", False),
        (["10.0.0.1"], "b.example", False),
        (["10.0.0.1"], "a.example:80", False),
        (["10.0.0.1"], "a.example:443", True),
        (["10.0.0.1"], "a.example", True),
    ],
)
def test_each_address_has_to_be_public_or_its_host_named_by_the_deployer(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], exempt: str, allowed: bool
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (one, 443)) for one in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
    resolver = PublicResolver(frozenset({exempt}))
    if allowed:
        assert resolver.look_up("a.example", 443, seconds=5) == found
    else:
        with pytest.raises(Refused) as caught:
            resolver.look_up("a.example", 443, seconds=5)
        assert caught.value.code == "MEDIA_ADDRESS_NOT_PUBLIC"
