"""A key as it is stored, and a record on its way."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.records import Record, made_up_key, stored_key
from bridge.untrusted import CUT


@pytest.mark.parametrize(
    ("key", "is_plain"),
    [
        *((one, True) for one in ("a", "0f6b1a3e-5f0e-4c43", "m_1.2-3", "x" * 100)),
        *((one, False) for one in ("wamid.HBgL", "a b", "ключ", "x" * 101, "a/b", "", "\ud800")),
    ],
)
def test_a_plain_key_is_stored_as_it_is_and_any_other_as_its_hash(key: str, is_plain: bool) -> None:
    hashed = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    assert stored_key(f"  {key}\n") == (key if is_plain else hashed)


@given(st.text())
def test_a_stored_key_fits_the_field_and_is_stored_as_itself(raw: str) -> None:
    key = stored_key(raw)
    assert re.fullmatch(r"[a-z0-9._-]{1,100}", key)
    assert stored_key(key) == key


def test_made_up_keys_are_all_different() -> None:
    assert len({made_up_key() for _ in range(100)}) == 100


def test_a_record_tells_nothing_personal_in_its_repr() -> None:
    record = Record(object="Lead", key="k", fields={"LastName": "Okafor"})
    assert "Okafor" not in repr(record)


@pytest.mark.parametrize(
    ("fields", "owned"), [({"OWNERID": "005x"}, True), ({"OwnerId__c": "x"}, False), ({}, False)]
)
def test_an_owner_is_seen_in_any_case(fields: dict[str, str], owned: bool) -> None:
    assert Record(object="Case", key="k", fields=fields).has_owner is owned


@pytest.mark.parametrize(
    ("derived", "description"),
    [
        ({"Description", "Email", "LeadSource", "Vip__c"}, "Hi\nEmail: a@b.co\nLeadSource: Fax"),
        ({"Email", "LeadSource", "Vip__c"}, "Hi"),  # the caller's own Description stays as it is
    ],
)
def test_what_is_left_out_of_a_record_is_a_line_of_the_description_that_we_filled(
    derived: set[str], description: str
) -> None:
    fields = {"Description": "Hi", "Email": "a@b.co", "LeadSource": "Fax", "Vip__c": True}
    record = Record(object="Lead", key="k", fields=fields, derived=frozenset(derived))
    left = record.without(frozenset({"Email", "LeadSource", "Vip__c"}))
    assert left.fields == {"Description": description}
    assert left.derived == derived & {"Description"}


@pytest.mark.parametrize("text", ["x" * 32_000, "x" * 31_990, "😀" * 16_000, "x" + "😀" * 15_999])
def test_a_long_description_is_cut_for_what_is_left_out(text: str) -> None:
    """A Description holds 32,000 characters, which Salesforce counts as UTF-16 does."""
    fields = {"Description": text, "Email": "a@b.co"}
    record = Record(object="Lead", key="k", fields=fields, derived=frozenset(fields))
    description = record.without(frozenset({"Email"})).fields["Description"]
    assert description.endswith(f"{CUT}\nEmail: a@b.co")
    assert 31_998 <= len(description.encode("utf-16-le")) // 2 <= 32_000
    assert record.without(frozenset({"Vip__c"})).fields["Description"] == text
