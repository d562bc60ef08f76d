"""The pictures of the documentation, in the order in which somebody sees the pages.

`make pictures` makes them anew, into docs/pictures. Without it this test shows that each page still
has what its picture shows.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.org import Org
from tests.cli.conftest import Local
from tests.cli.program import running
from tests.slow.browser.conftest import Tab, picture
from tests.slow.browser.test_connect_in_a_browser import allow, connect, log_in
from tools.template import ROOT

FOLDER = ROOT / "docs" / "pictures"
LARGEST_BYTES = 90_000
NAMES = ("login", "consent", "connected", "org", "record")

WHATSAPP = {
    "channel": "whatsapp",
    "conversationId": "5f0c2d1e",
    "sender": "+31612345678",
    "displayName": "Ada Okafor",
}


def shown(tab: Tab, name: str, height: int) -> None:
    assert name in NAMES
    tab.set_viewport_size({"width": 900, "height": height})
    picture(tab, name)


def write(local: Local, path: str, number: int, text: str, **bird: Any) -> dict[str, Any]:
    local.org.clock.advance(1)
    message = {**WHATSAPP, "messageId": f"wamid.HBgM{number}", "text": text, **bird}
    body: dict[str, Any] = local.stack.request("POST", path, {"bird": message}).json()
    assert body["success"], body
    return body


@pytest.fixture
def own_org(local: Local) -> Org:
    local.org.reset()
    return local.org


def test_the_pages_of_the_pictures(local: Local, own_org: Org, tab: Tab) -> None:
    with running(*connect(local)) as program:
        tab.goto(program.address())
        tab.get_by_role("heading", name="Log in").wait_for()
        shown(tab, "login", 520)
        log_in(tab)
        tab.get_by_role("button", name="Allow").wait_for()
        shown(tab, "consent", 520)
        allow(tab)
        tab.get_by_role("heading", name="Connected").wait_for()
        shown(tab, "connected", 420)
        assert program.result().status == 0
    other = {"conversationId": "77aa", "sender": "+447700900142", "displayName": "Noor van Dijk"}
    write(local, "/leads", 1, "Do you deliver to Leeds?", **other)
    case = write(local, "/cases", 2, "My parcel arrived, but the lamp in it is broken.")
    write(local, "/cases", 3, "Can I have another one before Friday?")
    write(local, "/cases", 4, "The order is 10443.")
    tab.goto(local.stack.org_url)
    assert tab.locator("#leads tr").count() == 1
    assert tab.locator("#cases tr").count() == 1, "one conversation, one case"
    shown(tab, "org", 460)
    tab.goto(f"{local.stack.org_url}/{case['id']}")
    entries = tab.locator("#timeline > li").all_inner_texts()
    assert ["lamp" in entries[0], "Friday" in entries[1], "10443" in entries[2]] == [True] * 3
    shown(tab, "record", 560)


def test_each_picture_is_there_small_and_on_a_page_with_words() -> None:
    files = {path.stem: path for path in FOLDER.glob("*.png")}
    assert set(files) == set(NAMES)
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    for name, path in files.items():
        assert path.stat().st_size < LARGEST_BYTES, name
        texts = re.findall(rf"!\[([^\]]*)\]\(pictures/{name}\.png\)", pages)
        assert texts and all(len(text) > 20 for text in texts), name
