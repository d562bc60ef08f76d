"""Somebody with a browser, without the browser: follows links, fills in the org's forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from sandbox.org.sample import ADMIN_PASSWORD, ADMIN_USER, INTEGRATION_PASSWORD, INTEGRATION_USER


@dataclass(frozen=True)
class Seen:
    """A page, and where it was."""

    url: str
    status: int
    text: str


@dataclass
class Person:
    """One browser window, with its cookies."""

    username: str = INTEGRATION_USER
    password: str = INTEGRATION_PASSWORD
    _cookies: dict[str, str] = field(default_factory=dict)
    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30)
    )

    def open(self, url: str, form: dict[str, str] | None = None, *, follow: bool = True) -> Seen:
        """Open an address, or send a form to it, and follow where it leads.

        An address of another host than the org's and ours is where the browser would get stuck.
        """
        for _ in range(6):
            if urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
                return Seen(url, 0, "")
            headers = {"Cookie": "; ".join(f"{n}={v}" for n, v in self._cookies.items())}
            body = None
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                body = urlencode(form)
            response = self._http.request(
                "POST" if body else "GET", url, headers=headers, body=body, redirect=False
            )
            for cookie in response.headers.getlist("Set-Cookie"):
                name, _, value = cookie.split(";")[0].partition("=")
                self._cookies[name] = value
            where = response.headers.get("Location")
            if response.status in (301, 302, 303) and where:
                url, form = urljoin(url, where), None
                if follow:
                    continue
            return Seen(url, response.status, response.data.decode("utf-8", "replace"))
        raise AssertionError(f"it goes round in circles at {url}")

    def sign_in(self, address: str, *, decision: str = "allow") -> Seen:
        """Log in and decide; the page at the end."""
        return self.decide(self.log_in(address), decision)

    def sign_in_without_following(self, address: str) -> str:
        """Log in and allow; the address that the browser is sent to at the end."""
        return self.decide(self.log_in(address), follow=False).url

    def log_in(self, address: str) -> Seen:
        """Log in; the page after it."""
        page = self.open(address)
        if "password" not in page.text:
            return page
        form = {
            "request": _hidden(page.text, "request"),
            "username": self.username,
            "password": self.password,
        }
        return self.open(urljoin(page.url, "/login"), form)

    def decide(self, consent: Seen, decision: str = "allow", *, follow: bool = True) -> Seen:
        """Press Allow or Deny."""
        if 'name="decision"' not in consent.text:
            return consent
        form = {"request": _hidden(consent.text, "request"), "decision": decision}
        url = urljoin(consent.url, "/services/oauth2/authorize/decide")
        return self.open(url, form, follow=follow)


def administrator() -> Person:
    """Somebody who may set the org up."""
    return Person(username=ADMIN_USER, password=ADMIN_PASSWORD)


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"\s+value="([^"]*)"', page)
    assert found, page[:500]
    return found[1]
