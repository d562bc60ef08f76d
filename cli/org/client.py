"""Requests to the Salesforce org. An error is an OrgProblem with Salesforce's code and the hint
that the functions give for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from bridge.deadline import Deadline
from bridge.errors import SalesforceProblem
from bridge.http import Http, HttpError, NoConnection, NoResponse, Response
from bridge.salesforce.error_codes import MEANINGS, Kind
from bridge.salesforce.responses import read_api_usage, read_faults, read_org_problem
from bridge.salesforce.session import Session
from bridge.untrusted import read_json
from cli.problem import Problem

Result = TypeVar("Result")

CALL_SECONDS = 30.0

OUTAGE_STEP = (
    "Nothing: records wait in the outbox and are delivered by themselves. See "
    "https://status.salesforce.com. If only this computer cannot reach it, check its network."
)
"""What to do in an outage. To connect again would not help."""


class OrgProblem(Problem):
    """A request that the org refused, or that did not reach it."""

    def __init__(self, what: str, *, next_step: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(what, next_step=next_step)
        self.code = code
        self.status = status

    @property
    def is_outage(self) -> bool:
        """Whether Salesforce did not respond, or says that it is unavailable."""
        kind = MEANINGS[self.code].kind if self.code in MEANINGS else None
        return (
            kind is Kind.UNAVAILABLE
            or (kind is None and self.status >= 500)
            or self.code in (NoConnection.code, NoResponse.code)
        )

    @property
    def calls_for_connecting(self) -> bool:
        """Not where a limit of the org is used up: the session is accepted."""
        return self.code not in MEANINGS or MEANINGS[self.code].kind is not Kind.LIMIT

    @property
    def outage(self) -> str:
        """How it shows, after the name of a host."""
        if not self.status:
            return "does not respond"
        return f"responds with {' '.join(filter(None, (str(self.status), self.code)))}"

    @property
    def not_allowed(self) -> bool:
        """Whether this user lacks a right, rather than something being broken."""
        return self.status == 403 or self.code in (
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "INVALID_TYPE",
            "NOT_FOUND",
        )


@dataclass
class Org:
    """One org, under one session."""

    http: Http
    session: Session = field(repr=False)
    api_version: str
    usage_percent: float | None = None
    """Of the day's API requests, by the last response that had it; None before."""
    _described: dict[str, dict[str, Any] | None] = field(default_factory=dict, init=False)

    def get(self, path: str) -> Any:
        """GET under /services/data/<version>; the JSON."""
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any) -> None:
        self.call("PATCH", path, body)

    def delete(self, path: str) -> None:
        self.call("DELETE", path)

    def query(self, soql: str, *, tooling: bool = False) -> list[dict[str, Any]]:
        """The rows of a query that has few of them."""
        prefix = "/tooling" if tooling else ""
        return list(self.get(f"{prefix}/query?q={quote(soql)}")["records"])

    def describe(self, object_name: str) -> dict[str, Any]:
        """The object's description for this user, with its fields by lower-case name under
        `fields_by_name`."""
        described: dict[str, Any] = self.get(f"/sobjects/{object_name}/describe")
        fields = described.get("fields", [])
        return {**described, "fields_by_name": {one["name"].lower(): one for one in fields}}

    def described(self, object_name: str) -> dict[str, Any] | None:
        """The same, asked for once; None where the user has no access."""
        if object_name not in self._described:
            self._described[object_name] = None
            self._described[object_name] = _if_allowed(lambda: self.describe(object_name))
        return self._described[object_name]

    def rows(self, soql: str) -> list[dict[str, Any]] | None:
        """The rows of a query; None where the user may not ask it."""
        return _if_allowed(lambda: self.query(soql))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = self._send(method, f"/services/data/{self.api_version}{path}", body)
        problem = read_org_problem(response, key_field="")
        if problem is not None:
            raise _as_problem(problem, response)
        if not response.body.strip():
            return None
        value = read_json(response.body)
        if value is None:
            raise OrgProblem("Salesforce's response is not JSON.", status=response.status)
        return value

    def versions(self) -> list[str]:
        """The API versions that the org has, like v68.0; needs no session."""
        response = self._send("GET", "/services/data/", None, anonymous=True)
        found = read_json(response.body)
        if response.status != 200 or not isinstance(found, list):
            raise OrgProblem(
                f"{self.session.instance_url} responds with HTTP {response.status}, unlike "
                "Salesforce.",
                next_step="See https://status.salesforce.com. If the My Domain was renamed, run "
                "connect again.",
                status=response.status,
            )
        return [f"v{one['version']}" for one in found if isinstance(one, dict) and "version" in one]

    def _send(self, method: str, path: str, body: Any, *, anonymous: bool = False) -> Response:
        headers = {"Accept": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"Bearer {self.session.access_token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            response = self.http.send(
                method,
                self.session.instance_url + path,
                headers=headers,
                body=content,
                deadline=Deadline.after(CALL_SECONDS),
                repeatable=method == "GET",
            )
        except HttpError as error:
            raise OrgProblem(
                f"Salesforce cannot be reached: {error}.",
                next_step="See https://status.salesforce.com, and check this computer's network.",
                code=error.code,
            ) from error
        usage = read_api_usage(response.headers)
        if usage is not None:
            self.usage_percent = usage
        return response


def required_fields(described: Mapping[str, Any]) -> list[str]:
    """What a new record needs, by an object's description."""
    return [
        one["name"]
        for one in described["fields_by_name"].values()
        if one.get("createable")
        and not one.get("nillable")
        and not one.get("defaultedOnCreate")
        and one.get("type") != "boolean"
    ]


def picklist_values(item: Mapping[str, Any]) -> set[str] | None:
    """The values that a field's description allows; None where it allows any."""
    if not item.get("restrictedPicklist"):
        return None
    return {one["value"] for one in item.get("picklistValues", []) if one.get("active")}


def _if_allowed(ask: Callable[[], Result]) -> Result | None:
    try:
        return ask()
    except OrgProblem as problem:
        if not problem.not_allowed:
            raise
        return None


def _as_problem(problem: SalesforceProblem, response: Response) -> OrgProblem:
    faults = read_faults(read_json(response.body), status=response.status)
    code = faults[0].code if faults else problem.code
    reasons = "; ".join(f"{fault.code}: {fault.message}" for fault in faults) or problem.message
    return OrgProblem(
        f"Salesforce: {reasons}", next_step=problem.hint, code=code, status=response.status
    )


def try_lead(org: Org, *, key_field: str, key: str, values: Mapping[str, Any]) -> None:
    """Create a Lead and roll it back in one request, which needs no right to delete.

    The request has a second part that cannot succeed (a Lead without a name), so all of it is
    rolled back, after the org's rules and triggers have seen the first part. Raises OrgProblem if
    the first part was refused. Source: REST API Developer Guide, Composite, `allOrNone`.
    """
    url = f"/services/data/{org.api_version}/sobjects/Lead"
    record = {**values, **({key_field: key} if key_field else {})}
    result = org.post(
        "/composite",
        {
            "allOrNone": True,
            "collateSubrequests": False,
            "compositeRequest": [
                {"method": "POST", "url": url, "referenceId": "test", "body": record},
                {"method": "POST", "url": url, "referenceId": "undo", "body": {}},
            ],
        },
    )
    parts = result["compositeResponse"]
    first = parts[0]
    faults = read_faults(first["body"], status=first["httpStatusCode"])
    if first["httpStatusCode"] < 300:
        # A trigger of the org named the nameless Lead, so both were created.
        for part in parts:
            if part["httpStatusCode"] < 300:
                org.delete(f"/sobjects/Lead/{part['body']['id']}")
    elif any(fault.code != "PROCESSING_HALTED" for fault in faults):
        response = Response(first["httpStatusCode"], {}, json.dumps(first["body"]).encode())
        problem = read_org_problem(response, key_field=key_field)
        assert problem is not None
        raise _as_problem(problem, response)
