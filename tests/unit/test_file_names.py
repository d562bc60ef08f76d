"""Names of files. Forms of Content-Disposition are those of RFC 6266's and RFC 5987's examples."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.files.names import LONGEST_NAME, file_name, plain_type


def name(given: str = "", *, disposition: str = "", kind: str = "", number: int = 2) -> str:
    return file_name(given, disposition=disposition, content_type=kind, number=number)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Invoice.pdf", "Invoice.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\scan.jpg", "scan.jpg"),
        ("/a/b/", "b"),
        ("a\x00b.jpg", "b.jpg"),
        ("a\r\nX-Header: 1.jpg", "aX-Header: 1.jpg"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("  two   spaces .txt ", "two spaces .txt"),
        ("Фото 1.jpg", "Фото 1.jpg"),
        ("🦜.png", "🦜.png"),
        ("\ud83d.png", ".png"),
    ],
)
def test_a_name_of_the_message_is_no_path_and_has_no_control(given: str, expected: str) -> None:
    assert name(given) == expected


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('Attachment; filename="example.html"', "example.html"),
        ('INLINE; FILENAME= "an example.html"', "an example.html"),
        ("attachment; filename*= UTF-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
        ("attachment; filename=\"EURO.pdf\"; filename*=utf-8''%e2%82%ac.pdf", "€.pdf"),
        ('attachment; filename="../../x.sh"', "x.sh"),
        ("attachment; filename*=UTF-8''..%2F..%2Fx.sh", "x.sh"),
        ("attachment; filename*=nothing''%e2.pdf", "file-2"),
        # Charsets that Python knows, and that decode no bytes or not with "replace".
        ("attachment; filename*=idna''a%ff.pdf", "file-2"),
        ("attachment; filename*=undefined''a.pdf", "file-2"),
        ("attachment; filename*=punycode''a%ff; filename=b.pdf", "b.pdf"),
        ("attachment; filename*=\x00''a.pdf", "file-2"),
        # RFC 2231: in pieces; and in quotes, as some servers write it
        ("attachment; filename*0*=UTF-8''a%20; filename*1=\"b.pdf\"", "a b.pdf"),
        ("attachment; filename*=\"UTF-8''a%20b.pdf\"", "a b.pdf"),
        # RFC 6266, 4.1: what stands in quotes is no parameter
        (
            "attachment; filename=\"a; filename*=UTF-8''evil.exe;.pdf\"",
            "a; filename*=UTF-8''evil.exe;.pdf",
        ),
        ('attachment; filename="Ã¤.pdf"', "ä.pdf"),
        ("attachment", "file-2"),
        ("\x00;;;=", "file-2"),
    ],
)
def test_a_name_of_the_download_is_read(disposition: str, expected: str) -> None:
    assert name(disposition=disposition) == expected


@pytest.mark.parametrize("given", ["", " ", ".", "..", "///", "\u202e", "{{messageFileName}}"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("image/jpeg", "image-2.jpg"),
        ("Image/PNG; q=1", "image-2.png"),
        ("audio/ogg; codecs=opus", "audio-2.ogg"),
        ("video/mp4", "video-2.mp4"),
        ("application/pdf", "file-2.pdf"),
        ("application/octet-stream", "file-2"),
        ("image", "file-2"),
        ("../../x/y", "file-2"),
        ("", "file-2"),
    ],
)
def test_what_is_no_name_is_made_up_with_the_ending_of_its_type(
    given: str, kind: str, expected: str
) -> None:
    assert name(given, kind=kind) == expected
    assert name("scan", kind="application/pdf") == "scan.pdf"
    assert name("scan.jpeg", kind="application/pdf") == "scan.jpeg"


@pytest.mark.parametrize("given", ["x" * 400 + ".jpg", "🦜" * 300 + ".jpg", "x" * 400])
def test_a_long_name_is_cut_and_keeps_its_ending(given: str) -> None:
    made = name(given, kind="image/jpeg")
    assert len(made.encode("utf-16-le")) // 2 <= LONGEST_NAME
    assert made.endswith(".jpg")


@given(st.text(max_size=400), st.text(max_size=80), st.text(max_size=40), st.integers(1, 999))
def test_whatever_comes_a_name_is_one_that_salesforce_takes(
    given_name: str, disposition: str, kind: str, number: int
) -> None:
    made = file_name(given_name, disposition=disposition, content_type=kind, number=number)
    assert 0 < len(made.encode("utf-16-le")) // 2 <= LONGEST_NAME
    assert not set(made) & set("/\\\0\r\n\t")
    assert made.strip(". ")
    assert all(unicodedata.category(one) not in ("Cc", "Cf", "Cs") for one in made)


def test_a_type_is_plain_or_nothing() -> None:
    assert plain_type("IMAGE/jpeg ; x=y") == "image/jpeg"
    assert plain_type("image") == plain_type("a/b/c") == plain_type("a/b\r\nX: y") == ""


@given(st.text("filename*0='utf-8;% é\\\r\n\0\"", max_size=40))
def test_no_disposition_is_an_error(disposition: str) -> None:
    assert name(disposition=f"attachment; filename{disposition}")
