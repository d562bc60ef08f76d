"""`doctor` on what MatchContacts and CustomerLookup need, against the sample org."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.http import Http
from bridge.salesforce.session import Session
from cli.checks.finding import Finding
from cli.checks.people import PeopleChecks
from cli.org.client import Org as View
from sandbox.org import Org, OrgServer
from sandbox.org.sample import CLIENT_ID, INTEGRATION_USER


def findings(org: Org, **settings: Any) -> dict[str, Finding]:
    values = {"match_contacts": False, "match_email": False, "lookup_key_id": "", **settings}
    stack: Any = SimpleNamespace(
        settings=SimpleNamespace(**values), options=lambda: "--stack-name s"
    )
    with OrgServer(org) as server:
        token = org.oauth.approve(CLIENT_ID, INTEGRATION_USER, "api")["access_token"]
        view = View(http=Http(), session=Session(token, server.url), api_version="v68.0")
        return {name: check() for name, check in PeopleChecks(stack=stack, org=view).checks()}


def test_nothing_is_checked_that_nobody_asked_for() -> None:
    assert findings(Org.sample()) == {}


def test_an_org_that_is_set_up_is_good() -> None:
    found = findings(Org.sample(), match_contacts=True, match_email=True, lookup_key_id="k")
    assert {name: one.state for name, one in found.items()} == {
        "contact-search": "good",
        "lead-search": "good",
    }


def test_what_is_hidden_is_named() -> None:
    org = Org.sample()
    org.hide_field("Contact", "HomePhone", user=INTEGRATION_USER)
    org.hide_field("Lead", "MobilePhone", user=INTEGRATION_USER)
    found = findings(org, match_contacts=True, lookup_key_id="k")
    assert "HomePhone" in found["contact-search"].message
    assert "MobilePhone" in found["lead-search"].message
    assert {one.state for one in found.values()} == {"bad"}
    org.set_object_rights("Contact", user=INTEGRATION_USER)
    one = findings(org, match_contacts=True)["contact-search"]
    assert one.state == "bad" and "may not read a Contact" in one.message
