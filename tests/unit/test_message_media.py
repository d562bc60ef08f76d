"""Which files a message brings, by the generation of Bird that wrote it.

Shapes: the OpenAPI of Bird's Channels API, the legacy clients of the Conversations API, and the
models of `messagebird-sdk`, as in tests/unit/made_bodies.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.bird.message import Media
from bridge.conversations.message import Message
from bridge.delivery.outbox import Envelope, sealed
from bridge.errors import Refused
from bridge.files.addresses import read_link
from tests.unit import bodies
from tests.unit.doubles import posted

LINK, OTHER = "https://media.api.bird.com/1", "https://media.api.bird.com/2"


def channels(kind: str, **content: Any) -> dict[str, Any]:
    return bodies.channels({"type": kind, kind: content})


def event_2026(**data: Any) -> dict[str, Any]:
    return bodies.event_2026(text=..., **data)


def flow(**bird: Any) -> dict[str, Any]:
    return {"bird": {"channel": "sms", "conversationId": "c", **bird}}


def message_of(body: Any, **configured: str) -> Message:
    on = {"ATTACH_MEDIA": "on", "FILES_URL": "https://sqs.eu-west-1.amazonaws.com/1/Files"}
    return posted(body, at=None, configured={**on, **configured}).message


PNG = "image/png"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (channels("image", images=[{"mediaUrl": LINK, "altText": "A hand"}]), [Media(LINK)]),
        (
            channels(
                "file",
                files=[
                    {"mediaUrl": LINK, "contentType": "audio/ogg; codecs=opus"},
                    {"mediaUrl": OTHER, "contentType": "text/csv", "filename": "a.csv"},
                ],
            ),
            [Media(LINK, "", "audio/ogg; codecs=opus"), Media(OTHER, "a.csv", "text/csv")],
        ),
        (
            channels(
                "text",
                text="x",
                attachments=[
                    {"mediaUrl": LINK, "filename": "lamp.jpg"},
                    {"mediaUrl": OTHER, "filename": "logo.png", "inline": True},
                ],
            ),
            [Media(LINK, "lamp.jpg")],
        ),
        (channels("gif", mediaUrl=LINK, altText="cat"), [Media(LINK)]),
        (channels("text", text=LINK), []),
        (bodies.v1({"image": {"url": LINK, "caption": "x"}}), [Media(LINK)]),
        (bodies.v1({"file": {"url": LINK, "filename": "a.pdf"}}), [Media(LINK, "a.pdf")]),
        (event_2026(image={"url": LINK, "mime_type": PNG}), [Media(LINK, "", PNG)]),
        (
            event_2026(document={"url": LINK, "filename": "a.pdf", "mime_type": PNG}),
            [Media(LINK, "a.pdf", PNG)],
        ),
        (flow(media=LINK), [Media(LINK)]),
        (flow(media=[LINK, OTHER, LINK, "", "{{x}}"]), [Media(LINK), Media(OTHER)]),
        (flow(media={"url": LINK, "name": "a", "type": PNG}), [Media(LINK, "a", PNG)]),
    ],
)
def test_a_message_s_files_are_read(body: Any, expected: list[Media]) -> None:
    assert list(message_of(body).media) == expected
    for off in ({"ATTACH_MEDIA": "off"}, {"EXTERNAL_ID_FIELD": ""}):
        assert message_of(body, **off).media == ()


def test_what_our_own_side_sent_brings_no_file() -> None:
    assert message_of(flow(direction="outgoing", media=LINK), LOG_REPLIES="on").media == ()


@pytest.mark.parametrize(
    "file",
    [
        {"mediaUrl": "data:image/png;base64," + "A" * 2_000_000, "contentType": "image/png"},
        {"mediaUrl": LINK, "filename": "😀" * 100_000 + ".jpg", "contentType": "image/png"},
        {"mediaUrl": LINK, "contentType": "x" * 1_000_000},
    ],
    ids=["a picture in its link", "name", "type"],
)
def test_no_file_makes_a_message_too_large_to_queue(file: dict[str, str]) -> None:
    """The words beside it would be refused with it; the file ends in Rejected, with the reason."""
    message = message_of(channels("file", files=[file]))
    assert sealed(Envelope.of(message, request_id=""))
    (media,) = message.media
    if file["mediaUrl"] != LINK:
        with pytest.raises(Refused) as caught:
            read_link(media.link)
        assert caught.value.code == "MEDIA_LINK_UNREADABLE"
