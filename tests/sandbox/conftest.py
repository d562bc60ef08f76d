"""An org on a port of its own for each test, and a plain HTTP caller for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import urllib3

from sandbox.org import Org, OrgServer, sample

DATA = "/services/data/v68.0"


class Caller:
    """Calls one org as one user, on kept connections, with no retries of its own."""

    def __init__(self, server: OrgServer, token: str = "") -> None:
        self.server = server
        self.org = server.org
        self.token = token
        self.http = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(10))

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: Any
    ) -> urllib3.BaseHTTPResponse:
        """`path` is below the API version unless it starts with /services; header names are
        written with underscores."""
        target = path if path.startswith(("/services", "/id/", "/_sandbox")) else DATA + path
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        return self.http.request(method, self.server.url + target, body=data, headers=sent)

    def create(self, name: str, **fields: Any) -> urllib3.BaseHTTPResponse:
        return self.call("POST", f"/sobjects/{name}", fields)

    def query(self, text: str, *, resource: str = "query") -> urllib3.BaseHTTPResponse:
        return self.call("GET", f"/{resource}?q={quote(text)}")

    def collection(self, *records: dict[str, Any], **headers: Any) -> list[dict[str, Any]]:
        """Create leads unless a record says another type; the results in order."""
        body = {"records": typed(*records)}
        response = self.call("POST", "/composite/sobjects", body, **headers)
        assert response.status == 200, response.data
        results: list[dict[str, Any]] = response.json()
        return results

    def token_call(self, **form: str) -> tuple[int, dict[str, Any]]:
        """POST to the token endpoint, with the sample app's credentials unless others are given."""
        fields = {"client_id": sample.CLIENT_ID, "client_secret": sample.CLIENT_SECRET, **form}
        response = self.http.request(
            "POST",
            self.server.url + "/services/oauth2/token",
            body=urlencode({k: v for k, v in fields.items() if v}),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        return response.status, response.json()


def lead(**fields: Any) -> dict[str, Any]:
    return {"LastName": "Jansen", "Company": "Individual", **fields}


def typed(*records: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of a collection: leads unless one says another type."""
    return [
        {"attributes": {"type": one.get("type", "Lead")}}
        | {name: value for name, value in one.items() if name != "type"}
        for one in records
    ]


def sub(reference: str, method: str, path: str, body: Any = None, **headers: Any) -> dict[str, Any]:
    """One subrequest of a composite; header names are written with underscores."""
    made: dict[str, Any] = {"referenceId": reference, "method": method, "url": DATA + path}
    if body is not None:
        made["body"] = body
    if headers:
        made["httpHeaders"] = {name.replace("_", "-"): one for name, one in headers.items()}
    return made


def composite(
    caller: Caller, *subs: dict[str, Any], all_or_none: bool = False, **headers: Any
) -> list[dict[str, Any]]:
    """The responses of a composite's parts."""
    body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": list(subs)}
    response = caller.call("POST", "/composite", body, **headers)
    assert response.status == 200, response.data
    parts: list[dict[str, Any]] = response.json()["compositeResponse"]
    return parts


def problem(response: Any) -> tuple[int, str, str, list[str] | None]:
    """Status, code, message, fields of the only problem in an answer."""
    body = response.json()
    assert isinstance(body, list)
    assert len(body) == 1, body
    return response.status, body[0]["errorCode"], body[0]["message"], body[0].get("fields")


def refusal(response: Any) -> str:
    """The only problem in an answer as a line: ``400 CODE: message [fields]``."""
    status, code, message, fields = problem(response)
    return f"{status} {code}: {message}" + ("" if fields is None else f" [{', '.join(fields)}]")


def user_id(org: Org, username: str) -> str:
    user = org.oauth.user(username)
    assert user is not None
    return str(user["Id"])


@pytest.fixture
def server() -> Iterator[OrgServer]:
    with OrgServer(Org.sample()) as running:
        running.org.settings.refresh_seconds = 0.0
        yield running


@pytest.fixture
def org(server: OrgServer) -> Org:
    return server.org


@pytest.fixture
def as_user(server: OrgServer) -> Callable[[str], Caller]:
    """A caller with a fresh session of a user."""

    def make(username: str) -> Caller:
        response = server.org.oauth.approve(sample.CLIENT_ID, username, "api", "refresh_token")
        return Caller(server, response["access_token"])

    return make


@pytest.fixture
def caller(as_user: Callable[[str], Caller]) -> Caller:
    """The integration user: may create and read leads and cases, and see all of them."""
    return as_user(sample.INTEGRATION_USER)


@pytest.fixture
def admin(as_user: Callable[[str], Caller]) -> Caller:
    return as_user(sample.ADMIN_USER)


@pytest.fixture
def anonymous(server: OrgServer) -> Caller:
    return Caller(server)
