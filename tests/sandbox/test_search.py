"""SOSL: what it finds, and what it refuses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from sandbox.org import Org, sample

from .conftest import Caller, lead, problem


@pytest.fixture(autouse=True)
def people(org: Org) -> None:
    for name, fields in {
        "Jansen": {"Phone": "+31 20 555-1234", "Email": "anna@example.com", "Company": "Bakery"},
        "Janssens": {"MobilePhone": "(020) 555 9999", "Company": "Jansen & Co"},
        "de Vries": {"Description": "asked for Jansen, twice", "Company": "x"},
    }.items():
        org.create("Lead", lead(LastName=name, **fields))
    org.create("Contact", {"LastName": "Jansen", "Phone": "0205551234"})


def find(caller: Caller, text: str) -> list[dict[str, Any]]:
    response = caller.call("GET", f"/search?q={quote(text)}")
    assert response.status == 200, response.data
    rows: list[dict[str, Any]] = response.json()["searchRecords"]
    return rows


def names(caller: Caller, words: str, scope: str = "ALL", rest: str = "") -> list[str]:
    text = f"FIND {{{words}}} IN {scope} FIELDS RETURNING Lead(LastName{rest})"
    return [row["LastName"] for row in find(caller, text)]


@pytest.mark.parametrize(
    ("words", "scope", "found"),
    [
        ("jansen", "ALL", ["Jansen", "Janssens", "de Vries"]),
        ("jansen", "NAME", ["Jansen"]),
        ("jans", "NAME", []),
        ("jans*", "NAME", ["Jansen", "Janssens"]),
        ("jan?en", "NAME", ["Jansen"]),
        ("vries de", "NAME", ["de Vries"]),
        ('"vries de"', "NAME", []),
        ('"de vries"', "NAME", ["de Vries"]),
        ("jansen OR vries", "NAME", ["Jansen", "de Vries"]),
        ("jansen AND bakery", "ALL", ["Jansen"]),
        ("jansen AND NOT bakery", "ALL", ["Janssens", "de Vries"]),
        ("(bakery OR co) jansen", "ALL", ["Jansen", "Janssens"]),
        (r"anna\@example.com", "EMAIL", ["Jansen"]),
        ("anna@example.com", "PHONE", []),
        ("0205559999", "PHONE", ["Janssens"]),
        ("5551234", "PHONE", ["Jansen"]),
        (r"\+31 20 555\-1234", "PHONE", ["Jansen"]),
        (r"\+31205551234", "PHONE", ["Jansen"]),
        ("0205559999", "NAME", []),
        (r"Jansen \& Co", "ALL", ["Janssens"]),
    ],
)
def test_words_are_found_in_the_fields_that_were_named(
    admin: Caller, words: str, scope: str, found: list[str]
) -> None:
    """[O] SOSL: IN, OR, AND NOT, wildcards, phrases, escapes; words match whole words. [C] phone
    numbers are found however they are written."""
    assert names(admin, words, scope) == found


def test_each_object_has_its_own_fields_and_clauses(admin: Caller, org: Org) -> None:
    """[O] RETURNING Object(fields WHERE … ORDER BY … LIMIT …), and a LIMIT over all."""
    text = (
        "FIND {jansen} IN ALL FIELDS RETURNING Lead(Id, LastName WHERE Company IN ('x', 'Bakery') "
        "ORDER BY LastName LIMIT 1), Contact"
    )
    first, second = find(admin, text)
    assert (first["attributes"]["type"], first["LastName"]) == ("Lead", "de Vries")
    assert set(second) == {"attributes", "Id"}
    assert len(find(admin, text + " LIMIT 1")) == 1
    assert names(admin, "jansen", rest=" ORDER BY LastName DESC LIMIT 2") == ["Janssens", "Jansen"]
    assert names(admin, "jansen", rest=" WHERE LastName = 'Nobody'") == []


def test_sharing_hides_what_a_search_found(caller: Caller, org: Org) -> None:
    org.settings.private = ["Lead"]
    org.set_object_rights("Lead", "Create", "Read", user=sample.INTEGRATION_USER)
    assert find(caller, "FIND {jansen} RETURNING Lead") == []


def test_a_search_may_lag_behind(admin: Caller, org: Org) -> None:
    """[K] seconds to minutes."""
    org.settings.search_lag_seconds = 30.0
    assert names(admin, "jansen") == []
    org.clock.advance(31)
    assert len(names(admin, "jansen")) == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FIND jansen", "MALFORMED_SEARCH"),
        ("FIND {j}", "MALFORMED_SEARCH"),
        ("FIND {jansen} IN SOME FIELDS", "MALFORMED_SEARCH"),
        ("FIND {jansen} IN ALL FIELDS RETURNING Lead WITH NETWORK = 'x'", "MALFORMED_SEARCH"),
        ("FIND {(jansen} RETURNING Lead", "MALFORMED_SEARCH"),
        ("FIND {jansen OR} RETURNING Lead", "MALFORMED_SEARCH"),
        ("FIND {jansen} RETURNING Lead(Nope)", "INVALID_FIELD"),
        ("FIND {jansen} RETURNING Lead(Id WHERE)", "MALFORMED_QUERY"),
    ],
)
def test_what_cannot_be_searched_is_refused(admin: Caller, text: str, code: str) -> None:
    response = admin.call("GET", f"/search?q={quote(text)}")
    assert problem(response)[:2] == (400, code)


@pytest.mark.parametrize(
    "path",
    ["/limits/recordCount", "/search/scopeOrder", "/parameterizedSearch"],
)
def test_what_is_below_is_not_there(admin: Caller, path: str) -> None:
    assert admin.call("GET", path + "?q=jansen").status == 404
