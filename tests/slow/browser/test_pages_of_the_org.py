"""The org's pages for people, in Chromium: the timeline, long texts, new rows, 404, an outage.

SCREENSHOTS=folder keeps a picture of each page.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from sandbox.org import Org, OrgServer
from tests.slow.browser.conftest import Tab, picture

# One word without a place to break it, as long as the field is.
LONG_SUBJECT = "W" * 255
LONG_KEY = "k" * 100
LONG_EMAIL = f"{'e' * 59}@{'h' * 12}.example"

# What a reader cannot see without moving something: wider than its box or outside of the window.
# What only a screen reader reads is clipped on purpose.
CLIPPED = """() => [...document.querySelectorAll("body, body *")].filter(e => {
  for (let up = e; up; up = up.parentElement)
    if (getComputedStyle(up).clipPath === "inset(50%)") return false;
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  if (!box.width) return false;
  const hides = style.overflowX !== "visible" || style.textOverflow === "ellipsis"
    || style.webkitLineClamp !== "none";
  return (hides && (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight))
    || box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5
    || (style.display !== "inline" && e.scrollWidth > e.clientWidth + 1);
}).map(e => e.tagName + "." + e.className + " " + e.textContent.slice(0, 30))"""


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as running:
        yield running


def post(address: str, body: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", address, json=body, timeout=5, retries=False)


def message(org: Org, field: str, record_id: str, subject: str, text: str) -> str:
    """A Task as the bundle makes it: the message's time, then its text; a second after the last."""
    org.clock.advance(1)
    words = {"Subject": subject, "Description": f"2026-11-30 14:03:07 UTC\n{text}"}
    return org.create("Task", {field: record_id, "Status": "Completed", **words})


def timeline(tab: Tab) -> list[str]:
    entries: list[str] = tab.locator("#timeline > li").all_inner_texts()
    return entries


def long_records(org: Org) -> tuple[str, str]:
    person = {"LastName": "X" * 80, "Company": "M" * 255, "Email": LONG_EMAIL}
    more = {"Phone": "+" + "3" * 39, "LeadSource": "S" * 60, "Bird_Key__c": LONG_KEY}
    lead = org.create("Lead", {**person, **more})
    fields = {"Subject": LONG_SUBJECT, "SuppliedName": "Y" * 80, "SuppliedEmail": LONG_EMAIL}
    case = org.create("Case", {**fields, "Origin": "O" * 60, "Bird_Key__c": f"c{LONG_KEY[1:]}"})
    for field, record in (("WhoId", lead), ("WhatId", case)):
        message(org, field, record, LONG_SUBJECT, f"https://media.example/{'u' * 400}")
    return lead, case


# --- timeline -----------------------------------------------------------------------------


def test_a_conversation_reads_from_top_to_bottom_with_comment_and_file(
    server: OrgServer, tab: Tab
) -> None:
    org = server.org
    case = org.create("Case", {"Subject": "My parcel"})
    other = org.create("Case", {"Subject": "Another"})
    message(org, "WhatId", other, "WhatsApp: not of this case", "Not of this case")
    message(org, "WhatId", case, "WhatsApp: Hi", "Hi")
    message(org, "WhatId", case, "WhatsApp: my parcel is broken", "My parcel is broken.\nPlease.")
    org.clock.advance(1)
    org.create("CaseComment", {"ParentId": case, "CommentBody": "Called the customer."})
    org.clock.advance(1)
    data = base64.b64encode(b"x" * 3456).decode()
    file = {"Title": "parcel", "PathOnClient": "parcel.jpg", "VersionData": data}
    org.create("ContentVersion", {**file, "FirstPublishLocationId": case})
    message(org, "WhatId", case, "→ WhatsApp: On our way", "On our way")
    tab.goto(f"{server.url}/{case}")
    picture(tab, "org-1-case")
    texts = timeline(tab)
    expected = ("WhatsApp: Hi", "my parcel is broken", "Called the customer.", "parcel.jpg", "→")
    assert len(texts) == len(expected)
    assert all(part in text for part, text in zip(expected, texts, strict=True)), texts
    second = texts[1].splitlines()
    assert "My parcel is broken." in second
    assert "Please." in second
    assert all(" UTC" in text and "by Ada Admin" in text for text in texts)
    times = [e.get_attribute("datetime") for e in tab.locator("#timeline time").all()]
    assert times == sorted(times)
    assert "3,456 bytes" in texts[3]
    assert "internal" in texts[2]
    tab.get_by_role("link", name="WhatsApp: Hi").click()
    tab.get_by_role("heading", name="WhatsApp: Hi", level=1).wait_for()
    tab.get_by_role("link", name=org.records("Case")[0]["CaseNumber"]).click()
    tab.get_by_role("heading", name="Timeline").wait_for()
    assert tab.url == f"{server.url}/{case}"


def test_a_lead_and_the_contact_it_becomes_show_its_messages(server: OrgServer, tab: Tab) -> None:
    org = server.org
    lead = org.create("Lead", {"LastName": "Okafor", "Company": "Shop"})
    message(org, "WhoId", lead, "SMS: Hello", "Hello")
    tab.goto(f"{server.url}/{lead}")
    assert ["SMS: Hello" in text for text in timeline(tab)] == [True]
    converted = org.convert(lead)
    tab.goto(f"{server.url}/{converted.contact_id}")
    assert ["SMS: Hello" in text for text in timeline(tab)] == [True]
    tab.goto(f"{server.url}/{lead}")
    assert timeline(tab) == []
    assert "No task, comment or file yet." in tab.inner_text("main")


def test_a_successor_hangs_on_its_case_and_a_deleted_case_keeps_its_messages(
    server: OrgServer, tab: Tab
) -> None:
    org = server.org
    case = org.create("Case", {"Subject": "First"})
    org.create("Case", {"Subject": "Successor", "ParentId": case})
    tab.goto(f"{server.url}/{case}")
    assert ["Successor" in text for text in timeline(tab)] == [True]
    alone = org.create("Case", {"Subject": "Alone"})
    message(org, "WhatId", alone, "SMS: Hello", "Hello")
    org.delete("Case", alone)
    tab.goto(f"{server.url}/{alone}")
    assert ["SMS: Hello" in text for text in timeline(tab)] == [True]
    assert tab.get_by_text("deleted", exact=True).is_visible()


def test_markup_in_a_message_is_shown_and_not_run(server: OrgServer, tab: Tab) -> None:
    org = server.org
    evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    case = org.create("Case", {"Subject": "x"})
    message(org, "WhatId", case, evil, evil)
    tab.goto(f"{server.url}/{case}")
    assert timeline(tab)[0].count(evil) == 2
    assert tab.title() != "run"


# --- width --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1000, 360])
def test_nothing_is_clipped(server: OrgServer, tab: Tab, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 760})
    lead, case = long_records(server.org)
    task = server.org.records("Task")[0]["Id"]
    for name, path in (("home", ""), ("lead", lead), ("case", case), ("task", task), ("404", "no")):
        tab.goto(f"{server.url}/{path}")
        picture(tab, f"org-2-{name}-{width}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name
        assert tab.evaluate(CLIPPED) == [], name
    tab.goto(server.url)
    assert LONG_KEY in tab.inner_text("#leads")
    assert LONG_SUBJECT in tab.inner_text("#cases")


def test_the_check_finds_clipped_text(tab: Tab) -> None:
    tab.set_content(
        "<p style='width:9em;overflow:hidden;white-space:nowrap;text-overflow:ellipsis'>"
        f"{LONG_KEY}</p>"
    )
    assert len(tab.evaluate(CLIPPED)) == 1
    tab.set_content(f"<table><tr><td>{LONG_SUBJECT}</td></tr></table>")
    assert tab.evaluate(CLIPPED) != []


# --- announcements


def test_new_rows_are_announced_and_known_ones_are_not(server: OrgServer, tab: Tab) -> None:
    org = server.org
    org.create("Lead", {"LastName": "Known", "Company": "Shop"})
    tab.goto(server.url)
    news = tab.locator("#news")
    assert news.get_attribute("aria-live") == "polite"
    tab.wait_for_timeout(1500)
    assert news.inner_text() == ""
    org.create("Lead", {"LastName": "Okafor", "FirstName": "Ada", "Company": "Shop"})
    tab.get_by_role("status").filter(has_text="New lead: Ada Okafor").wait_for()
    assert tab.get_by_role("link", name="Ada Okafor").is_visible()
    org.create("Case", {"Subject": "Broken parcel"})
    tab.get_by_role("status").filter(has_text="Broken parcel").wait_for()
    with org.lock:
        for number in range(5):
            org.create("Lead", {"LastName": f"Many {number}", "Company": "Shop"})
    tab.get_by_role("status").filter(has_text="5 new leads and cases").wait_for()


# --- 404, outage --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["nothing/here", "nothing", "500aj0000000000AAA"])
def test_a_page_that_does_not_exist_has_a_style_and_a_link_to_the_start(
    server: OrgServer, tab: Tab, path: str
) -> None:
    response = tab.goto(f"{server.url}/{path}")
    picture(tab, "org-3-404")
    assert response.status == 404
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).borderRadius") == "12px"
    tab.get_by_role("link", name="Leads and cases").click()
    tab.get_by_role("heading", name="Leads").wait_for()


def test_the_page_of_the_other_port_says_that_there_is_an_outage(
    server: OrgServer, tab: Tab
) -> None:
    tab.goto(server.control_url)
    live = tab.locator("#live")
    assert live.inner_text() == "live"
    post(f"{server.control_url}/_sandbox/outage", {})
    tab.get_by_role("status").filter(has_text="outage").wait_for()
    picture(tab, "org-4-outage")
    assert "live" not in live.inner_text()
    html = urllib3.request("GET", server.control_url, timeout=5).data.decode()
    assert 'aria-live="polite">live<' not in html
    assert 'aria-live="polite">outage' in html
    server.accept_connections()
    tab.get_by_role("status").filter(has_text="live").wait_for()


def test_the_orgs_own_page_says_that_it_is_not_reachable_and_then_live_again(
    server: OrgServer, tab: Tab
) -> None:
    tab.goto(server.url)
    refused = post(f"{server.url}/_sandbox/outage", {})
    assert refused.status == 400
    assert f"{server.control_url}/_sandbox/outage" in json.loads(refused.data)["error"]
    assert post(f"{server.url}/_sandbox/outage", {"seconds": 4}).status == 200
    tab.get_by_role("status").filter(has_text="not reachable").wait_for()
    assert tab.locator("#live").inner_text() == "not reachable"
    tab.get_by_role("status").filter(has_text="live").wait_for()


def test_maintenance_is_not_called_live(server: OrgServer, tab: Tab) -> None:
    server.org.settings.put(maintenance=True)
    tab.goto(server.url)
    assert tab.locator("#live").inner_text().startswith("maintenance")
