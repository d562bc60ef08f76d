"""Messages as people send them, in the shapes that Bird uses; seeded, so repeatable."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from tests.unit import bodies

NAMES = [
    *(
        *("🏁", "🌸 Ana 🌸", '"Malek&Sons"', "''", "…", "~*~ Lu ~*~", "447700900142"),
        "+44 7700 900142",
    ),
    *("Sukarno", "Noor van Dijk", "María José García López", "'t Hooft", "’s-Gravesande"),
    "O'Neil",
    *(
        "山田 花子",
        "山田花子",
        "김 민수",
        "محمد العربي",
        "Дмитрий Орлов",
        "د. سارة",
        "Nguyễn Văn An",
    ),
    *(
        "a" * 200,
        "Ab " * 70,
        "😀" * 100,
        "𐐷" * 120,
        *("x\u0000y", "tab\tname\nline", "\u202eevil", "Zoë\u200d"),
    ),
    *(
        *("{{contact.name}}", "{{first}} {{last}}", "Ms {{lastName}}", "{{", "}}", "{{a}}{{b"),
        "a{{b}}c",
    ),
    *("", "   ", "null", "None", "undefined", "=cmd()", "<b>Bold</b>"),
    *("Robert'); DROP TABLE", "-", "👩\u200d👩\u200d👧 Family", "José (Acme)"),
    *("Dr. Smith Jr.", "A", "Ω", "1234567", "Max🏁Mustermann"),
]
TEXTS = [
    *("hi", "", "   ", "STOP", "Do you deliver | to Utrecht?", '"quoted" and \\ back'),
    "a\r\nb\tc",
    *(
        "مرحبا، هل لديكم طاولة؟",
        "שלום",
        "你好，请问多少钱？",
        "😀" * 500,
        "word " * 9000,
        "x" * 40_000,
    ),
    *(
        *("{{order.id}}", "My order {{order.id}} is late", "{{", "{{name", "}} {{", "null"),
        "\u0000\u0001",
    ),
    *(
        "https://example.com/?a=1&b=2",
        "<script>alert(1)</script>",
        "𐐷" * 17_000,
        "\ud800",
        "\u2028",
    ),
]
PHONES = [
    *(
        *("+447700900142", "447700900142", "0044 7700 900142", "+44 (0)7700 900142"),
        "tel:+447700900142",
    ),
    *("ACME", "12345", "", "+", "{{sender}}", "00", "+447700900142447700900142"),
    "٠١٢٣٤٥٦٧٨٩",
]
IDS = ["17841400008460056", "urn:mbid:AQAA", "jane_doe", "GB.1234", "💬", "u" * 300, "{{id}}", ""]
URLS = ["https://media.example.com/v1/media/1", "", "https://m.example/" + "a" * 3000]


def messages(count: int, *, seed: int) -> list[dict[str, Any]]:
    """So many bodies. Each is one that Bird could send, with values that people could give."""
    dice = random.Random(seed)
    makers: list[Callable[[random.Random], dict[str, Any]]] = [
        _v1,
        _channels,
        _conversation,
        _event,
        _sms,
        _flow,
    ]
    return [makers[at % len(makers)](dice) for at in range(count)]


def _id(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128)))


def _v1(dice: random.Random) -> dict[str, Any]:
    media = {"url": dice.choice(URLS), "caption": dice.choice(TEXTS)}
    kind, content = dice.choice(
        [
            ("text", {"text": dice.choice(TEXTS)}),
            ("image", {"image": media}),
            ("audio", {"audio": {"url": dice.choice(URLS)}}),
            ("location", {"location": {"latitude": 52.1, "longitude": None}}),
            ("interactive", {"interactive": {"reply": {"id": dice.choice(IDS)}}}),
            ("hsm", {"hsm": {}}),
            ("text", {}),
        ]
    )
    body = bodies.v1(
        content,
        kind=kind,
        platform=dice.choice(["whatsapp", "sms", "telegram", "line", "facebook", "wechat", None]),
        contact={
            "displayName": dice.choice(NAMES),
            "firstName": dice.choice(["", *NAMES]),
            "lastName": dice.choice(["", "", *NAMES]),
            "msisdn": dice.choice([447700900142, None, 0]),
            "customDetails": dice.choice([{}, {"userId": 12345678, "firstName": "Foo"}]),
        },
        id=_id(dice),
    )
    body["message"]["from"] = dice.choice(PHONES)
    for name in ("contact", "conversation"):
        if dice.random() < 0.2:
            del body[name]
    return body


def _channels(dice: random.Random) -> dict[str, Any]:
    text = dice.choice(TEXTS)
    content = dice.choice(
        [
            {"type": "text", "text": {"text": text}},
            {"type": "image", "image": {"images": [{"mediaUrl": dice.choice(URLS)}]}},
            {"type": "file", "file": {"files": [{"contentType": "audio/ogg", "mediaUrl": "x"}]}},
            {"type": "location", "location": {"coordinates": {}}},
            {"type": "list", "list": {}},
            {"type": "text"},
        ]
    )
    platform, key, values = dice.choice(
        [
            ("whatsapp", "phonenumber", PHONES),
            ("viber", "phonenumber", PHONES),
            ("instagram", "instagramid", IDS),
            ("facebook", "facebookid-1648", IDS),
            ("email", "emailaddress", ["a@example.org", "not an address", "a" * 90 + "@b.co"]),
            ("line", "lineid", IDS),
            ("carrier-pigeon", "ring", IDS),
        ]
    )
    return bodies.channels(
        content,
        event=f"{platform}.inbound",
        key=key,
        value=dice.choice(values),
        name=dice.choice([None, *NAMES]),
        id=_id(dice),
    )


def _conversation(dice: random.Random) -> dict[str, Any]:
    body = bodies.conversation(
        id=_id(dice), lastMessage=dice.choice([{"preview": {"text": dice.choice(TEXTS)}}, {}])
    )
    customer = body["payload"]["featuredParticipants"][1]
    customer["displayName"] = dice.choice(NAMES)
    customer["contact"]["identifierValue"] = dice.choice([*PHONES, *IDS])
    if dice.random() < 0.3:
        del customer["contact"]["identifierKey"]
    return body


def _event(dice: random.Random) -> dict[str, Any]:
    who = {
        "phone_number": dice.choice([*PHONES, None]),
        "username": dice.choice([*IDS, None]),
        "bsuid": dice.choice(IDS),
        "display_name": dice.choice([*NAMES, None]),
    }
    return dice.choice(
        [
            bodies.event_2026(
                whatsapp_id=_id(dice), text={"body": dice.choice(TEXTS)}, **{"from": who}
            ),
            bodies.event_2026(
                whatsapp_id=_id(dice), text=..., video={"link": dice.choice(URLS)}, **{"from": who}
            ),
            bodies.event_2026(
                "sms.received",
                sms_id=_id(dice),
                text=dice.choice(TEXTS),
                **{"from": dice.choice(PHONES)},
            ),
            bodies.event_2026(
                "email.received",
                inbound_message_id=_id(dice),
                text=...,
                subject=dice.choice([*TEXTS, None]),
                **{"from": "a@example.org"},
            ),
        ]
    )


def _sms(dice: random.Random) -> dict[str, Any]:
    text, sender = dice.choice(TEXTS) or "hi", dice.choice(PHONES) or "447700900142"
    make = dice.choice([bodies.sms_guide, bodies.sms_2022])
    return {**make(text, sender), "id": _id(dice)}


def _flow(dice: random.Random) -> dict[str, Any]:
    """What a flow sends in `bird`, with whatever variables did not resolve."""
    return {
        "bird": {
            "channel": dice.choice(["whatsapp", "Viber", "sms", "{{channel}}", "", "微信"]),
            "messageId": _id(dice),
            "sender": dice.choice([*PHONES, [], [PHONES[0]], None, 447700900142, 447700900142.0]),
            "displayName": dice.choice([*NAMES, ["{{x}}", "Noor"], None]),
            "phone": dice.choice([None, "{{x}}", PHONES[:2]]),
            "email": dice.choice([None, "{{x}}", "a@example.org", "nonsense"]),
            "text": dice.choice([*TEXTS, 7, None]),
            "tags": dice.choice([None, "a,b", ["a", "{{t}}"]]),
        }
    }
