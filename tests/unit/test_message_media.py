"""Which files a message brings, by the generation of Bird that wrote it.

Shapes: the OpenAPI of Bird's Channels API, the legacy clients of the Conversations API, and the
models of `messagebird-sdk`, as in tests/unit/made_bodies.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.api.request import HttpRequest, read_message
from bridge.bird.message import Media
from bridge.settings import Settings
from tests.conftest import MakeSettings

LINK, OTHER = "https://media.api.bird.com/1", "https://media.api.bird.com/2"


def channels(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    contact = {"identifierKey": "phonenumber", "identifierValue": "+447700900142", "id": "c"}
    return {
        "service": "channels",
        "event": "whatsapp.inbound",
        "payload": {
            "id": "m",
            "channelId": "ch",
            "conversationId": "conv",
            "direction": "incoming",
            "sender": {"contact": contact},
            "body": {"type": kind, kind: content},
        },
    }


def legacy(content: dict[str, Any]) -> dict[str, Any]:
    message = {
        "id": "m",
        "conversationId": "conv",
        "platform": "whatsapp",
        "direction": "received",
        "from": "+447700900142",
        "type": "image",
        "content": content,
    }
    return {"type": "message.created", "message": message, "contact": {}, "conversation": {}}


def event_2026(**data: Any) -> dict[str, Any]:
    return {
        "type": "whatsapp.received",
        "timestamp": "2026-11-30T14:03:07Z",
        "data": {"whatsapp_id": "m", "conversation_id": "conv", "from": "+447700900142", **data},
    }


def media_of(body: Any, settings: Settings) -> tuple[Media, ...]:
    event = {"httpMethod": "POST", "body": json.dumps(body), "resource": "/messages"}
    return read_message(HttpRequest.from_event(event), None, settings=settings).message.media


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (channels("image", {"images": [{"mediaUrl": LINK, "altText": "A hand"}]}), [Media(LINK)]),
        (
            channels(
                "file",
                {
                    "files": [
                        {"mediaUrl": LINK, "contentType": "audio/ogg; codecs=opus"},
                        {"mediaUrl": OTHER, "contentType": "text/csv", "filename": "a.csv"},
                    ]
                },
            ),
            [Media(LINK, "", "audio/ogg; codecs=opus"), Media(OTHER, "a.csv", "text/csv")],
        ),
        (
            channels(
                "text",
                {
                    "text": "x",
                    "attachments": [
                        {"mediaUrl": LINK, "filename": "lamp.jpg"},
                        {"mediaUrl": OTHER, "filename": "logo.png", "inline": True},
                    ],
                },
            ),
            [Media(LINK, "lamp.jpg")],
        ),
        (channels("gif", {"mediaUrl": LINK, "altText": "cat"}), [Media(LINK)]),
        (channels("text", {"text": LINK}), []),
        (legacy({"image": {"url": LINK, "caption": "x"}}), [Media(LINK)]),
        (legacy({"file": {"url": LINK, "filename": "a.pdf"}}), [Media(LINK, "a.pdf")]),
        (event_2026(image={"url": LINK, "mime_type": "image/png"}), [Media(LINK, "", "image/png")]),
        (
            event_2026(document={"url": LINK, "filename": "a.pdf", "mime_type": "application/pdf"}),
            [Media(LINK, "a.pdf", "application/pdf")],
        ),
        ({"bird": {"channel": "sms", "media": f"{LINK}"}}, [Media(LINK)]),
        (
            {"bird": {"channel": "sms", "media": [LINK, OTHER, LINK, "", "{{x}}"]}},
            [Media(LINK), Media(OTHER)],
        ),
        (
            {"bird": {"channel": "sms", "media": {"url": LINK, "name": "a", "type": "image/png"}}},
            [Media(LINK, "a", "image/png")],
        ),
    ],
)
def test_a_message_s_files_are_read(
    body: Any, expected: list[Media], settings: MakeSettings
) -> None:
    on = settings(ATTACH_MEDIA="on", FILES_URL="https://sqs.eu-west-1.amazonaws.com/1/Files")
    assert list(media_of(body, on)) == expected
    assert media_of(body, settings()) == (), "AttachMedia is off"
    without_key = settings(ATTACH_MEDIA="on", FILES_URL="x", EXTERNAL_ID_FIELD="")
    assert media_of(body, without_key) == ()


def test_what_our_own_side_sent_brings_no_file(settings: MakeSettings) -> None:
    body = {
        "bird": {"channel": "sms", "direction": "outgoing", "conversationId": "c", "media": LINK}
    }
    on = settings(ATTACH_MEDIA="on", FILES_URL="x", LOG_REPLIES="on")
    assert media_of(body, on) == ()
