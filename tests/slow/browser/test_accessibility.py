"""Each page of the sandbox and of `connect` under axe-core: no violation, light and dark.

axe is Deque's own release from npm, with all of its rules: WCAG and best practices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.connect import callback
from cli.connect.callback import Page
from cli.connect.sign_in_failures import SignInFailed
from sandbox.org import Org, OrgServer
from sandbox.org.sample import INTEGRATION_PASSWORD, INTEGRATION_USER
from tests.cli.conftest import Local
from tests.cli.program import running
from tests.slow.browser.conftest import Tab
from tests.slow.browser.test_connect_in_a_browser import allow, connect, log_in
from tests.slow.browser.test_pages_of_the_org import long_records, message
from tests.slow.clients import npm

Check = Callable[[str], None]


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core."""
    try:
        folder = npm.install("axe")
    except npm.NotInstalled as reason:
        pytest.skip(f"Not run: axe on our pages ({reason})")
    return Path(folder, "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(params=["light", "dark"])
def clean(request: pytest.FixtureRequest, tab: Tab, axe: str) -> Check:
    """Fails for a page on which axe finds something; its argument is the page's name."""
    tab.emulate_media(color_scheme=request.param, reduced_motion="reduce")

    def check(name: str) -> None:
        # As the browser's own tools do: a script of the page itself would be against its policy.
        tab.evaluate(axe)
        result: dict[str, Any] = tab.evaluate("axe.run(document)")
        found = {
            one["id"]: [node["html"][:120] for node in one["nodes"]] for one in result["violations"]
        }
        assert found == {}, f"{name}: {json.dumps(found, indent=1)}"
        assert len(result["passes"]) > 10, "axe has checked next to nothing"

    return check


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as running_server:
        yield running_server


def test_axe_finds_what_is_wrong(tab: Tab, clean: Check) -> None:
    tab.set_content("<p style='color:#999;background:#fff'>Pale</p><img src='data:,'>")
    with pytest.raises(AssertionError) as caught:
        clean("made up")
    for rule in ("image-alt", "color-contrast", "html-has-lang", "landmark-one-main"):
        assert rule in str(caught.value)


def test_the_pages_of_the_org(server: OrgServer, tab: Tab, clean: Check) -> None:
    org = server.org
    tab.goto(server.url)
    clean("home, empty")
    lead, case = long_records(org)
    org.create("CaseComment", {"ParentId": case, "CommentBody": "Called the customer."})
    converted = org.create("Lead", {"LastName": "Okafor", "Company": "Shop"})
    message(org, "WhoId", converted, "SMS: Hello", "Hello")
    contact = org.convert(converted).contact_id
    gone = org.create("Case", {"Subject": "Gone"})
    org.delete("Case", gone)
    task = org.records("Task")[0]["Id"]
    for width in (1000, 360):
        tab.set_viewport_size({"width": width, "height": 760})
        for path in ("", lead, case, contact, gone, task, "nothing/here", "500aj0000000000AAA"):
            tab.goto(f"{server.url}/{path}")
            clean(f"/{path} in {width} pixels")
    tab.goto(server.url)
    org.settings.put(maintenance=True)
    tab.get_by_role("status").filter(has_text="maintenance").wait_for()
    clean("home in maintenance")


def test_the_pages_of_a_sign_in(local: Local, tab: Tab, clean: Check) -> None:
    with running(*connect(local)) as program:
        tab.goto(program.address())
        clean("login")
        log_in(tab, password="wrong")
        tab.get_by_role("alert").wait_for()
        clean("login after a wrong password")
        log_in(tab, INTEGRATION_USER, INTEGRATION_PASSWORD)
        clean("consent")
        allow(tab)
        tab.get_by_role("heading", name="Connected").wait_for()
        clean("connected")
        assert tab.get_by_role("main").count() == 1
        assert tab.get_by_role("status").count() == 1, "it is announced"
        program.result()


def test_an_address_that_the_org_does_not_accept(local: Local, tab: Tab, clean: Check) -> None:
    with running(*connect(local, "--wait", "5")) as program:
        address = program.address()
        tab.goto(address.replace("client_id=", "client_id=x"))
        assert tab.get_by_role("heading", level=1).count() == 1
        clean("an unknown app")
        tab.goto(local.callback.replace("/callback", "/nothing"))
        clean("nothing here")
        tab.goto(address)
        log_in(tab)
        tab.get_by_role("button", name="Deny").click()
        tab.get_by_role("heading", name="Not connected").wait_for()
        assert tab.get_by_role("main").count() == 1
        assert tab.get_by_role("alert").count() == 1, "it is announced"
        clean("denied")
        program.result()


PAGES = {
    **{name: page for name, page in vars(callback).items() if isinstance(page, Page)},
    "failed": Page.of(SignInFailed("denied"), title="Not connected"),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_other_pages_of_connect(tab: Tab, clean: Check, name: str) -> None:
    tab.set_content(PAGES[name].render().decode())
    clean(name)
