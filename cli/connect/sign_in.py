"""A sign-in from the terminal: by a browser that comes back to this machine, or by a pasted
address."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from cli.connect.callback import CallbackServer, Page
from cli.connect.oauth import SignIn
from cli.deployment.stack import Stack
from cli.problem import Problem
from cli.terminal import Terminal

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class BrowserOptions:
    """How the code comes from the browser to this program."""

    callback: str
    browser: bool
    """False: the address is pasted, as over SSH."""
    seconds: float

    @property
    def can_listen(self) -> bool:
        """Whether the callback is an address of this machine that we can listen on."""
        parts = urlsplit(self.callback)
        return self.browser and parts.scheme == "http" and parts.hostname == "localhost"


def run(
    terminal: Terminal,
    sign_in: SignIn,
    options: BrowserOptions,
    *,
    use: Callable[[str], Result],
    page: Callable[[Result], Page],
    failed_title: str = "Not connected",
) -> Result:
    """Let a person sign in, and `use` the code; the browser shows the outcome.

    Raises SignInFailed, and whatever Problem `use` raises.
    """
    if not options.can_listen:
        return use(_pasted(terminal, sign_in))
    with CallbackServer(sign_in) as server:
        _open(terminal, sign_in.url)
        try:
            result = use(sign_in.read_callback(server.wait(options.seconds)))
        except Problem as problem:
            server.finish(Page.of(problem, title=failed_title))
            raise
        server.finish(page(result))
        return result


def say_sandbox_user(terminal: Terminal, stack: Stack, who: str) -> None:
    """The sandbox's user to sign in as; nothing for a deployed stack."""
    user = (stack.local or {}).get(who)
    if user:
        terminal.say(f"In the sandbox: {user['username']}, password {user['password']}")


def _open(terminal: Terminal, url: str) -> None:
    terminal.say("Opening Salesforce in your browser. If it does not open, go to:")
    terminal.err.print(f"\n  {url}\n", markup=False, soft_wrap=True)
    if _has_screen():
        webbrowser.open(url)
    terminal.say("Waiting until you have signed in and allowed access (Ctrl-C stops) …")


def _has_screen() -> bool:
    """Whether a browser window can be opened; a browser inside the terminal would be in the way."""
    if os.environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _pasted(terminal: Terminal, sign_in: SignIn) -> str:
    terminal.say("Open this address in any browser, sign in, and allow access:")
    terminal.err.print(f"\n  {sign_in.url}\n", markup=False, soft_wrap=True)
    terminal.say(
        f"The browser then goes to {sign_in.callback}?code=… . A page that cannot be reached is "
        "no error."
    )
    return sign_in.read_pasted(terminal.read_line("Paste that whole address here: "))
