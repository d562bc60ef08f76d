"""Whatever a generation of Bird calls a channel, it is one line of the table."""

from __future__ import annotations

import pytest

from bridge.bird.channels import UNKNOWN, channel_named, read_table, reported


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("whatsapp", "whatsapp"),
        ("WhatsApp", "whatsapp"),
        ("whatsapp:1.0", "whatsapp"),
        ("whatsapp_sandbox", "whatsapp"),
        ("whatsapp.inbound", "whatsapp"),
        ("WhatsApp Business", "whatsapp"),
        ("sms", "sms"),
        (" SMS ", "sms"),
        ("viber", "viber"),
        ("facebook", "messenger"),
        ("Facebook Messenger", "messenger"),
        ("messenger", "messenger"),
        ("e-mail", "email"),
        ("live chat", "livechat"),
        ("live_chat", "livechat"),
        ("Google Business Messages", "gbm"),
        ("carrier pigeon", UNKNOWN),
        ("{{trigger.payload.channel}}", UNKNOWN),
        ("微信", UNKNOWN),
        ("...", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_a_channel_is_found_by_any_of_its_names(called: str, name: str) -> None:
    assert channel_named(called).name == name


def test_a_label_without_an_ascii_letter_is_nobody_s_channel() -> None:
    """The name of no channel at all would otherwise be this one's."""
    entry = {"object": "Lead", "sender": "id"}
    content = {
        "fields": {"Lead": {"LastName": "lastName"}, "Case": {}},
        "channels": {"viber": {**entry, "label": "Вайбер"}, "unknown": {**entry, "label": "Bird"}},
    }
    assert sorted(read_table(content)) == ["bird", "unknown", "viber"]


@pytest.mark.parametrize(
    ("name", "reported_as"),
    [
        ("whatsapp", "whatsapp"),
        ("unknown", "unknown"),
        ("none", "none"),
        ("WhatsApp", "other"),
        ("+4915112345678", "other"),
        ("", "other"),
    ],
)
def test_only_a_name_of_the_table_is_reported(name: str, reported_as: str) -> None:
    assert reported(name) == reported_as
