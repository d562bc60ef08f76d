"""Whatever a generation of Bird calls a channel, it is one line of the table."""

from __future__ import annotations

import pytest

from bridge.bird.channels import (
    LENGTHS,
    UNKNOWN,
    Channel,
    channel_named,
    read_table,
    reported,
    table,
)


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


EVERY_LINE = sorted(set(table().values()), key=lambda channel: channel.name)


@pytest.mark.parametrize("channel", EVERY_LINE, ids=lambda c: c.name)
def test_every_line_of_the_table_can_be_used(channel: Channel) -> None:
    assert channel.object in ("Lead", "Case")
    assert channel.sender in ("phone", "email", "id")
    label = channel.label
    assert label.strip() == label
    assert 0 < len(label) <= min(40, LENGTHS["LeadSource"])


@pytest.mark.parametrize("name", ["instagram", "telegram", "line", "wechat", "messenger"])
def test_a_sender_without_a_number_is_never_taken_for_a_phone(name: str) -> None:
    assert channel_named(name).sender == "id"


def test_whatsapp_becomes_a_lead_and_viber_a_case() -> None:
    assert channel_named("whatsapp").object == "Lead"
    assert channel_named("viber").object == "Case"


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
