"""Which app in Salesforce a command signs in by: as given, as stored, or as typed in."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.oauth.grant import Credentials
from cli.connect import oauth
from cli.deployment.stack import Stack
from cli.problem import Problem
from cli.terminal import Terminal

CLIENT_ID_VARIABLE = "BIRD_SALESFORCE_CLIENT_ID"
CLIENT_SECRET_VARIABLE = "BIRD_SALESFORCE_CLIENT_SECRET"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given: by options, a file, or the environment; empty where nothing was."""

    login_url: str = ""
    client_id: str = ""
    client_secret: str = ""

    @classmethod
    def read(
        cls, *, login_url: str | None, client_id: str | None, credentials_file: Path | None
    ) -> Given:
        """What the options say, and what they name. Raises Problem for a file that cannot be
        used."""
        if credentials_file is not None:
            found = _read_file(credentials_file)
        else:
            found = {
                "client_id": os.environ.get(CLIENT_ID_VARIABLE, "").strip(),
                "client_secret": os.environ.get(CLIENT_SECRET_VARIABLE, "").strip(),
            }
        return cls(
            login_url=login_url or found.get("login_url", ""),
            client_id=client_id or found.get("client_id", ""),
            client_secret=found.get("client_secret", ""),
        )

    def agrees_with(self, stored: Credentials) -> bool:
        """Whether nothing that was given differs from what is stored. Raises Problem."""
        return (
            (not self.login_url or oauth.read_login_url(self.login_url) == stored.login_url)
            and self.client_id in ("", stored.client_id)
            and self.client_secret in ("", stored.client_secret)
        )


def _read_file(path: Path) -> dict[str, str]:
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Problem(f"{path} can be read by others.", next_step=f"Run: chmod 600 {path}")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(
            f"{path} cannot be read: {error.strerror}.",
            next_step="Name a file that you can read with --credentials-file.",
        ) from error
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Problem(
            f"{path} is not a JSON object.",
            next_step='It should be {"client_id": "…", "client_secret": "…"}.',
        )
    names = ("client_id", "client_secret", "login_url")
    return {name: value[name].strip() for name in names if isinstance(value.get(name), str)}


def choose_app(
    terminal: Terminal,
    stack: Stack,
    given: Given,
    secret: dict[str, Any],
    *,
    to_connect: bool = False,
    callback: str = "",
) -> Credentials:
    """The app: from what was given, then from the stored `secret`, then from a person.

    `to_connect`: a person can replace what is stored, since that may be what is wrong.
    `callback`: the URL that the app has to allow, for the person who is asked. Raises Problem.
    """
    stored = {
        name: str(secret.get(name) or "") for name in ("client_id", "client_secret", "login_url")
    }
    login_url = given.login_url or ("" if to_connect else stored["login_url"])
    if not login_url:
        login_url = stored["login_url"] or stack.settings.login_url
        if not stack.is_local:
            terminal.say(
                "Where does your org sign in? production, sandbox, or its My Domain "
                "(https://yourcompany.my.salesforce.com)."
            )
            login_url = terminal.ask("Login URL", default=login_url)
    login_url = oauth.read_login_url(login_url)
    local = dict(stack.local.get("app", {})) if stack.local else {}
    client_id = given.client_id or local.get("client_id", "")
    if not client_id:
        _say_where(terminal, callback)
        client_id = terminal.ask("Consumer key of the app", default=stored["client_id"])
    client_secret = given.client_secret
    if to_connect and terminal.interactive and stored["client_id"] == client_id and not local:
        client_secret = client_secret or terminal.ask_secret(
            "Consumer secret (hidden; Enter: the stored one)"
        )
    for source in (stored, local):
        if not client_secret and source.get("client_id") == client_id:
            client_secret = source.get("client_secret", "")
    if not client_secret:
        client_secret = terminal.ask_secret("Consumer secret (hidden)")
    if not client_id or not client_secret:
        raise Problem("Consumer key and consumer secret are both needed.")
    return Credentials(login_url=login_url, client_id=client_id, client_secret=client_secret)


def _say_where(terminal: Terminal, callback: str) -> None:
    if not terminal.interactive:
        return
    terminal.say(
        "Key and secret are in Salesforce: Setup, External Client App Manager, the app, Settings, "
        "OAuth Settings, Consumer Key and Secret. (An older Connected App: App Manager, the app, "
        "View, Manage Consumer Details.)"
    )
    if callback:
        terminal.say(f"The callback URL to enter in the same OAuth Settings: {callback}")
