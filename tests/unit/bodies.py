"""Bodies as Bird's three generations send them: real keys, own values."""

from __future__ import annotations

import copy
from typing import Any


def v1(
    content: dict[str, Any] | None = None,
    *,
    kind: str = "text",
    platform: str | None = "whatsapp",
    direction: str = "received",
    contact: dict[str, Any] | None = None,
    **message: Any,
) -> dict[str, Any]:
    """A legacy Conversations v1 webhook."""
    body: dict[str, Any] = {
        "type": "message.created",
        "contact": {
            "id": "0c5b7e2f4d1a4b6c9e8f7a6b5c4d3e2f",
            "href": "",
            "msisdn": 447700900142,
            "displayName": "447700900142",
            "firstName": "",
            "lastName": "",
            "customDetails": {},
            "attributes": {},
            "createdDatetime": "2026-09-01T10:00:00Z",
            "updatedDatetime": None,
            **(contact or {}),
        },
        "conversation": {
            "id": "9d8c7b6a5f4e4d3c2b1a0f9e8d7c6b5a",
            "contactId": "0c5b7e2f4d1a4b6c9e8f7a6b5c4d3e2f",
            "status": "active",
            "lastReceivedDatetime": "2026-09-24T07:59:59.123456789Z",
        },
        "message": {
            "id": "7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d",
            "conversationId": "9d8c7b6a5f4e4d3c2b1a0f9e8d7c6b5a",
            "platform": platform,
            "to": "+447700900900",
            "from": "+447700900142",
            "channelId": "3f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c",
            "type": kind,
            "content": content if content is not None else {"text": "Do you deliver?"},
            "direction": direction,
            "status": direction,
            "createdDatetime": "2026-09-24T07:59:59Z",
            **message,
        },
    }
    if platform is None:
        del body["message"]["platform"]
    return body


def channels(
    body: dict[str, Any] | None = None,
    *,
    event: str = "whatsapp.inbound",
    key: str = "phonenumber",
    value: str = "+447700900142",
    name: str | None = "Noor van Dijk",
    **payload: Any,
) -> dict[str, Any]:
    """A webhook of Bird's Channels API."""
    contact: dict[str, Any] = {
        "id": "a4d9f1c7-6e2b-4c18-b7a5-13f0e8d2c964",
        "identifierKey": key,
        "identifierValue": value,
    }
    if name is not None:
        contact["annotations"] = {"name": name}
    return {
        "service": "channels",
        "event": event,
        "payload": {
            "id": "5b0a8e0e-2f43-4a77-9d26-0c1f6a9b7e35",
            "channelId": "c1e7b6a4-7d0f-5b7a-8f2e-90a4d1e6b203",
            "sender": {"contact": contact},
            "receiver": {"connector": {"id": "e7a90b5d-0c5f-4b3f-9b8a-2d4c6f8e1a37"}},
            "body": body or {"type": "text", "text": {"text": "Do you deliver?"}},
            "meta": {"extraInformation": {"timestamp": "1790236798"}},
            "reference": "",
            "parts": [{"platformReference": "wamid.HBgLNDQ3NzAwOTAwMTQyFQIAEhgg"}],
            "status": "delivered",
            "reason": "",
            "direction": "incoming",
            "createdAt": "2026-09-24T07:59:58.301Z",
            "updatedAt": "2026-09-24T07:59:58.412Z",
            **payload,
        },
    }


def conversation(*, event: str = "conversation.created", **payload: Any) -> dict[str, Any]:
    """A webhook of Bird's Conversations API."""
    return {
        "service": "conversations",
        "event": event,
        "payload": {
            "id": "2e9f4b1c-7a3d-4e58-9c06-b5d81f3a7e24",
            "status": "active",
            "featuredParticipants": [
                {"id": "p-2", "type": "user", "status": "active", "displayName": "Sam Agent"},
                {
                    "id": "p-1",
                    "type": "contact",
                    "status": "active",
                    "displayName": "🌷",
                    "contact": {"identifierKey": "phonenumber", "identifierValue": "+447700900142"},
                },
            ],
            "lastMessage": {"preview": {"text": "Do you deliver?"}},
            **payload,
        },
    }


def event_2026(kind: str = "whatsapp.received", **data: Any) -> dict[str, Any]:
    """An event of the platform of 2026."""
    whole: dict[str, Any] = {
        "whatsapp_id": "wam_01aaaabbbbccccddddeeeeffff",
        "workspace_id": "ws_01aaaabbbbccccddddeeeeffff",
        "direction": "inbound",
        "from": {"phone_number": "+447700900142", "bsuid": "GB.1234", "display_name": "Noor"},
        "to": {"phone_number": "+447700900900"},
        "tags": None,
        "metadata": None,
        "text": {"body": "Do you deliver?"},
    }
    whole.update(data)
    return {
        "type": kind,
        "timestamp": "2026-09-24T08:00:00Z",
        "data": {name: value for name, value in whole.items() if value != ...},
    }


def sms_guide(text: str = "INFO", sender: str = "447700900142") -> dict[str, Any]:
    """The keys that MessageBird's own guide reads of "Forward to URL"."""
    return {"originator": sender, "payload": text}


def sms_2022(text: str = "INFO", sender: str = "447700900142") -> dict[str, Any]:
    """The keys that a consumer of 2022 reads."""
    return {
        "sender": sender,
        "receiver": "447700900900",
        "body": text,
        "date_utc": "2026-09-24 07:59:59",
    }


def sms_to_a_number(text: str = "INFO", sender: str = "447700900142") -> dict[str, Any]:
    """The keys of MessageBird's "Receive a message"; a query makes a blank of the time's plus."""
    return {
        "id": "e8077d803532c0b5937c639b60216938",
        "recipient": "447700900900",
        "originator": sender,
        "body": text,
        "createdDatetime": "2026-09-24T07:59:59 00:00",
    }


def sms_to_a_short_code(text: str = "INFO", sender: str = "447700900142") -> dict[str, Any]:
    """The same of a short code, whose text begins with the keyword."""
    return {
        "mid": 123456789,
        "shortcode": "1008",
        "keyword": "INFO",
        "originator": sender,
        "operator": 20401,
        "message": text,
        "receive_datetime": "20260924075959",
    }


def without(body: dict[str, Any], *paths: str) -> dict[str, Any]:
    """A copy without some parts, named with dots."""
    copied = copy.deepcopy(body)
    for path in paths:
        *above, last = path.split(".")
        inner = copied
        for name in above:
            inner = inner[name]
        del inner[last]
    return copied
