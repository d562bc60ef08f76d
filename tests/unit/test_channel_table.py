"""The table of channels: what a deployer may write, what is said of a mistake, and the names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.bird import channels
from bridge.bird.channels import PATH, UNKNOWN, channel_named, read_table, reported
from bridge.bird.mapping import SOURCES
from bridge.conversations.message import Message
from tests.unit.doubles import posted
from tools.channel_table import check
from tools.template import ROOT

TEXT = PATH.read_text(encoding="utf-8")


def line_of(part: str, text: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_table_that_is_shipped_is_right() -> None:
    assert check(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "given"),
    [
        ('"sender": "phone"}', '"sender": "telephone"}', "sender is 'telephone'"),
        ('"object": "Case"', '"object": "Contact"', "object is 'Contact'"),
        ('"label": "Viber"', '"label": ""', "label"),
        ('"label": "Viber"', '"label": " Viber"', "label"),
        ('"label": "Viber"', '"label": "{{channel}}"', "label"),
        ('"label": "Viber"', '"label": "WhatsApp"', "is a name of whatsapp already"),
        ('"label": "Viber"', '"name": "Viber"', "'name' is none of"),
        ('"aliases": ["facebook"', '"aliases": ["sms"', "is a name of sms already"),
        ('"aliases": ["facebook"', '"aliases": [7', "aliases is a list of texts"),
        ('"aliases": ["facebook"', '"aliases": ["微信"', "no ASCII letter"),
        ('"ignore": ["STOP"', '"ignore": [""', "ignore is a list of texts"),
        ('"telegram"', '"line"', "was given before"),
        ('"unknown"', '"others"', "there is no channel 'unknown'"),
        ('"Phone": "phone"', '"Phone": "telephone"', "'telephone', not one of"),
        ('"Phone": "phone"', '"Phone": {"from": "phone", "length": 0}', "length is a number"),
        ('"Phone": "phone"', '"Phone": {"from": "phone", "cut": 9}', '"from" and "length"'),
        ('"Phone": "phone"', '"Id": "phone"', "no field that may be filled"),
        ('"Phone": "phone"', '"Mobile Phone": "phone"', "no field that may be filled"),
        ('"Phone": "phone"', '"Phone": null', "None"),
        ('"LastName": "lastName",', "", "a Lead needs LastName"),
        ('"Lead": {', '"Leads": {', "is not Lead, Case or Task"),
        ('"channels": {', '"channel": {', "neither"),
        ('"Phone": "phone"', '"Phone": "attributes."', "attributes.<name>"),
        ('"label": "Viber",', '"label": "Viber"', "not JSON"),
        ('"label": "Viber"', '"label": "Viber", "values": {"Case": {"X__c": null}}', "a value is"),
        ('"label": "Viber"', '"label": "Viber", "values": {"Case": {"X__c": "{{x}}"}}', "resolves"),
        (
            '"label": "Viber"',
            '"label": "Viber", "values": {"Account": {}}',
            "for Lead, Case or Task",
        ),
        ('"label": "Viber"', '"label": "Viber", "fields": {"Lead": {"LastName": null}}', "needs"),
        ('"label": "Viber"', '"label": "Viber", "fields": []', "fields is an object"),
        ('"label": "Viber"', '"label": "Viber", "conversations": "no"', "is true or false"),
        (
            '"label": "Viber"',
            '"label": "Viber", "fields": {"Task": {"Description": null}}',
            "a Task needs Description",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, given: str) -> None:
    spoilt = TEXT.replace(old, new, 1)
    assert spoilt != TEXT
    faults = check(spoilt)
    assert any(given in fault.text for fault in faults), faults
    elsewhere = ("a Lead needs LastName", "not JSON", "there is no", "neither", "was given")
    if not given.startswith(elsewhere):
        assert line_of(old, TEXT) in {fault.line for fault in faults}, faults


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "null", '{"fields": [], "channels": 7}'])
def test_what_is_no_table_at_all_is_told_so(text: str) -> None:
    assert check(text)


def test_tabs_do_not_confuse_the_lines() -> None:
    spoilt = TEXT.replace("  ", "\t").replace('"object": "Case"', '"object": "X"', 1)
    assert {fault.line for fault in check(spoilt)} == {line_of('"object": "Case"', TEXT)}


def test_the_check_fails_with_file_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "channels.json"
    path.write_text(TEXT.replace('"object": "Case"', '"object": "X"', 1), encoding="utf-8")
    command = [sys.executable, "-m", "tools.channel_table", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = line_of('"object": "Case"', TEXT)
    assert re.search(rf"channels\.json:{line}: viber: object is 'X'", done.stderr), done.stderr


def test_a_deployer_chooses_fields_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = json.loads(TEXT)
    given["fields"]["Lead"]["Bird_Conversation__c"] = "conversationId"
    given["fields"]["Lead"]["Bird_Tags__c"] = {"from": "tags", "length": 5}
    viber, sms = given["channels"]["viber"], given["channels"]["sms"]
    viber["fields"] = {"Lead": {"MobilePhone": "phone", "Phone": None}}
    viber["values"] = {"Lead": {"Rating": "Hot", "Vip__c": True}}
    viber["conversations"] = False
    sms["values"] = {"Task": {"Status": "Done"}}
    sms["fields"] = {"Task": {"Subject": "label"}}
    assert check(json.dumps(given)) == []
    monkeypatch.setattr(channels, "table", lambda: read_table(given))

    def message(channel: str) -> Message:
        ids = {"messageId": "m", "conversationId": "c-1", "sender": "+447700900142"}
        bird = {"channel": channel, **ids, "tags": ["a", "b", "cd"], "text": "Hi"}
        return posted({"bird": bird}).message

    found = message("viber")
    assert found.record("Lead", "k").fields == {
        "LastName": "+447700900142",
        "MobilePhone": "+447700900142",
        "Company": "Individual",
        "Description": "Hi",
        "LeadSource": "Viber",
        "Bird_Conversation__c": "c-1",
        "Bird_Tags__c": "a;b;c",
        "Rating": "Hot",
        "Vip__c": True,
    }
    assert found.conversation == ""
    found = message("sms")
    fields = found.record("Lead", "k").fields
    assert "Phone" in fields and "Rating" not in fields
    assert found.conversation == "c-1"
    assert found.task == {"Subject": "SMS", "Description": "Hi", "Status": "Done"}


def test_the_page_for_deployers_names_every_source_and_channel() -> None:
    page = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    for source in SOURCES:
        assert f"`{source}`" in page
    for name, entry in json.loads(TEXT)["channels"].items():
        if name != "unknown":
            row = f"| {entry['label']} | {entry['object']} | {entry['sender']} |"
            assert row in page


# Names: whatever a generation of Bird calls a channel, it is one line of the table


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
