"""`connect` with a person's own tool: the pages are clicked through in Chromium.

SCREENSHOTS=folder keeps a picture of each last page.
"""

from __future__ import annotations

from cli.connect.sign_in_failures import EXPLANATIONS
from sandbox.org.sample import ADMIN_PASSWORD, ADMIN_USER, INTEGRATION_PASSWORD, INTEGRATION_USER
from tests.cli.conftest import Local
from tests.cli.program import running
from tests.slow.browser.conftest import Tab, picture


def connect(local: Local, *more: str) -> tuple[str, ...]:
    return ("connect", *local.options, "--callback", local.callback, *more)


def log_in(
    tab: Tab, username: str = INTEGRATION_USER, password: str = INTEGRATION_PASSWORD
) -> None:
    tab.get_by_label("User name").fill(username)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Log in").click()


def allow(tab: Tab) -> None:
    tab.get_by_role("button", name="Allow").click()


def test_log_in_and_allow_and_the_stack_is_connected(local: Local, tab: Tab) -> None:
    with running(*connect(local)) as program:
        tab.goto(program.address())
        picture(tab, "1-login")
        log_in(tab)
        picture(tab, "2-consent")
        allow(tab)
        tab.get_by_role("heading", name="Connected").wait_for()
        picture(tab, "3-connected")
        assert "code=" not in tab.url
        assert program.result().status == 0
    response = local.stack.request("POST", "/leads", {"LastName": "Okafor", "Company": "Shop"})
    assert response.status == 201


def test_the_pages_load_nothing_else_and_log_no_error(local: Local, tab: Tab) -> None:
    console: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: console.append(str(error)))
    with running(*connect(local)) as program:
        tab.goto(program.address())
        log_in(tab)
        tab.on("request", lambda request: requests.append(request.url))
        allow(tab)
        tab.get_by_role("heading", name="Connected").wait_for()
        program.result()
    # A browser may request the site's icon.
    assert [one for one in console if "favicon" not in one and "404" not in one] == []
    hosts = ("http://localhost:", "http://127.0.0.1:")
    assert all(one.startswith(hosts) for one in requests)


def test_connect_and_set_up_in_one_browser(bare: Local, tab: Tab) -> None:
    with running(*connect(bare, "--setup-org", "--yes", "--test-lead")) as program:
        tab.goto(program.address(1))
        log_in(tab)
        allow(tab)
        tab.get_by_role("heading", name="Connected").wait_for()
        # The browser knows the integration user by now, and asks for a name all the same.
        tab.goto(program.address(2))
        log_in(tab, ADMIN_USER, ADMIN_PASSWORD)
        allow(tab)
        tab.get_by_role("heading", name="Signed in").wait_for()
        picture(tab, "5-administrator")
        result = program.result()
    assert result.status == 0, result.err
    assert bare.org.schema["Lead"].field("Bird_Key__c") is not None


def test_denying_is_shown_in_the_terminal_and_on_a_small_dark_screen(
    local: Local, tab: Tab
) -> None:
    tab.set_viewport_size({"width": 360, "height": 640})
    tab.emulate_media(color_scheme="dark")
    with running(*connect(local)) as program:
        tab.goto(program.address())
        log_in(tab)
        tab.get_by_role("button", name="Deny").click()
        tab.get_by_role("heading", name="Not connected").wait_for()
        picture(tab, "4-denied")
        assert EXPLANATIONS["denied"].what in tab.inner_text("main")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        result = program.result()
    assert (result.status, EXPLANATIONS["denied"].what in result.err) == (1, True)
    assert not local.secret().get("refresh_token")
