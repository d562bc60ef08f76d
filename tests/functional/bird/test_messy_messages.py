"""300 messy messages: whatever people are called and write, the record can be read and is saved."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest

from bridge.bird.channels import LENGTHS
from bridge.errors import Ignored
from bridge.records import ObjectName
from sandbox.stack import Stack
from tests.functional.bird.conftest import made
from tests.unit.doubles import posted
from tests.unit.examples import CHANNELS, SHAPES

NAMES = [
    *("🏁", "🌸 Ana 🌸", '"Malek&Sons"', "''", "…", "~*~ Lu ~*~", "447700900142", "=cmd()"),
    *("Sukarno", "Noor van Dijk", "María José García López", "'t Hooft", "’s-Gravesande"),
    *("山田 花子", "山田花子", "김 민수", "محمد العربي", "Дмитрий Орлов", "د. سارة"),
    *("a" * 200, "Ab " * 70, "😀" * 100, "𐐷" * 120, "x\u0000y", "tab\tname\nline", "\u202eevil"),
    *("{{contact.name}}", "{{first}} {{last}}", "Ms {{lastName}}", "{{", "}}", "{{a}}{{b"),
    *("", "   ", "null", "None", "undefined", "<b>Bold</b>", "Robert'); DROP TABLE", "-"),
    *("👩\u200d👩\u200d👧 Family", "José (Acme)", "Dr. Smith Jr.", "A", "Ω", "1234567"),
]
TEXTS = [
    *("hi", "", "   ", "STOP", "Do you deliver | to Utrecht?", '"quoted" and \\ back', "a\r\nb\tc"),
    *("مرحبا، هل لديكم طاولة؟", "שלום", "你好，请问多少钱？", "😀" * 500, "word " * 9000),
    *("{{order.id}}", "My order {{order.id}} is late", "{{", "{{name", "}} {{", "\u0000\u0001"),
    *("https://example.com/?a=1", "<script>alert(1)</script>", "𐐷" * 17_000, "\ud800", "\u2028"),
]
PHONES = [
    *("+447700900142", "447700900142", "0044 7700 900142", "+44 (0)7700 900142"),
    *("tel:+447700900142", "ACME", "12345", "", "+", "{{sender}}", "00", "٠١٢٣٤٥٦٧٨٩"),
]
IDS = ["17841400008460056", "urn:mbid:AQAA", "jane_doe", "GB.1234", "💬", "u" * 300, "{{id}}", ""]
ADDRESSES = ["a@example.org", "not an address", "a" * 90 + "@b.co", "Noor <n@example.org>"]
URLS = ["https://media.example.com/v1/media/1", "", "https://m.example/" + "a" * 3000]
SENDERS = PHONES + IDS + ADDRESSES
VALUES = {
    **dict.fromkeys(("text", "body", "caption", "title", "subject", "extracted_text"), TEXTS),
    **dict.fromkeys(("displayName", "display_name", "name", "firstName", "lastName"), NAMES),
    **dict.fromkeys(("from", "sender", "identifierValue", "phone_number"), SENDERS),
    **dict.fromkeys(("url", "mediaUrl", "URL"), URLS),
}
"""What people, and what they send, may be instead of an example's value, by its key."""
OWN = (
    "id",
    "messageId",
    "conversationId",
    "whatsapp_id",
    "sms_id",
    "message_id",
    "inbound_message_id",
)
"""The ids of a message and of a conversation: each has its own."""


def messy(value: Any, dice: random.Random) -> Any:
    """An example's body, as people could have sent it."""
    if isinstance(value, list):
        return [messy(one, dice) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, one in value.items():
        if key == "bird":
            one = {**one, "messageId": ""}
        if key in OWN:
            one = str(uuid.UUID(int=dice.getrandbits(128)))
        elif key in VALUES and isinstance(one, str):
            one = dice.choice(VALUES[key])
        found[key] = messy(one, dice)
    if "receiver" in value and "body" in value:
        # An SMS is told by its texts, and has no id but in them.
        return {**value, "body": found["body"] or "hi", "id": str(dice.random())}
    return found


def flow(dice: random.Random) -> dict[str, Any]:
    """What a flow sends in `bird`, with whatever variables did not resolve."""
    bird = {
        "channel": ["whatsapp", "Viber", "sms", "{{channel}}", "", "微信"],
        "messageId": [str(uuid.UUID(int=dice.getrandbits(128)))],
        "sender": [*PHONES, [], [PHONES[0]], None, 447700900142, 447700900142.0],
        "displayName": [*NAMES, ["{{x}}", "Noor"], None],
        "phone": [None, "{{x}}", PHONES[:2]],
        "email": [None, "{{x}}", *ADDRESSES],
        "text": [*TEXTS, 7, None],
        "tags": [None, "a,b", ["a", "{{t}}"]],
    }
    return {"bird": {key: dice.choice(values) for key, values in bird.items()}}


def messages(*, seed: int) -> list[Any]:
    dice = random.Random(seed)
    examples = [*CHANNELS.values(), *(body for some in SHAPES.values() for body in some.values())]
    return [messy(body, dice) for body in examples * 4] + [flow(dice) for _ in range(40)]


def read(body: Any, kind: ObjectName) -> dict[str, Any]:
    """The fields of the record that it makes."""
    return dict(posted(body, at=kind).record.fields)


def is_opt_out(body: Any) -> bool:
    """Whether it is nothing but STOP in an SMS."""
    try:
        read(body, "Lead")
    except Ignored:
        return True
    return False


BODIES = [body for body in messages(seed=20260924) if not is_opt_out(body)]


@pytest.mark.parametrize(
    ("kind", "never_empty"),
    [
        ("Lead", ("LastName", "Company", "LeadSource")),
        ("Case", ("Subject", "Origin", "SuppliedName")),
    ],
)
def test_what_has_to_be_there_is_and_nothing_is_invented(
    kind: ObjectName, never_empty: tuple[str, ...]
) -> None:
    for body in BODIES:
        fields = read(body, kind)
        for name in never_empty:
            value = fields[name]
            assert value.strip(), (name, body)
            assert "{{" not in value and "}}" not in value, (name, value)
            assert value.isprintable() or all(ord(c) >= 32 for c in value), (name, value)
        for name, value in fields.items():
            units = len(value.encode("utf-16-le", "surrogatepass")) // 2  # as Salesforce counts
            assert 0 < units <= LENGTHS[name], (name, units)
            value.encode("utf-8")  # no half characters
        sent = json.dumps(body, ensure_ascii=False)
        for name in ("Phone", "SuppliedPhone"):
            digits = "".join(c for c in fields.get(name, "") if c.isdigit())
            assert digits in "".join(c for c in sent if c.isdigit()) or "(0)" in sent
        for name in ("Email", "SuppliedEmail"):
            assert fields.get(name, "") in sent


def test_all_of_them_are_saved_once_each_and_again_never(stack: Stack) -> None:
    def post(body: Any) -> Any:
        return stack.request("POST", "/messages", json.dumps(body).encode())

    for number, body in enumerate(BODIES):
        response = post(body)
        assert response.status == 201 or response.json()["added"], (response.body, body)
        if number % 10 == 0:
            response = post(body)
            assert (response.status, response.json()["added"]) == (200, False), (
                response.body,
                body,
            )
    leads, cases = made(stack, "Lead"), made(stack, "Case")
    outside = [one for one in (*leads, *cases) if not one.get("Bird_Conversation__c")]
    assert len(stack.org.records("Task")) + len(outside) == len(BODIES)
    assert leads and cases
    assert not stack.rejected() and not stack.waiting()
