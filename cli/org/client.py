"""The Salesforce org as the program sees it: a few calls, and refusals with the step that mends.

Raises OrgProblem, with Salesforce's own code, and the hint that the functions would give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from bridge.deadline import Deadline
from bridge.errors import SalesforceProblem
from bridge.http import Answer, Http, HttpError
from bridge.salesforce.responses import read_api_usage, read_faults, read_org_problem
from bridge.salesforce.session import Session
from bridge.untrusted import read_json
from cli.problem import Problem

CALL_SECONDS = 30.0


class OrgProblem(Problem):
    """A call that the org refused, or that did not reach it."""

    def __init__(self, what: str, *, next_step: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(what, next_step=next_step)
        self.code = code
        self.status = status

    @property
    def not_allowed(self) -> bool:
        """Whether it is this user's rights that do not reach so far, rather than a fault."""
        return self.status == 403 or self.code in (
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "INVALID_TYPE",
            "NOT_FOUND",
        )


@dataclass
class Org:
    """One org, seen by one session."""

    http: Http
    session: Session = field(repr=False)
    api_version: str
    usage_percent: float | None = None
    """Of the day's API requests, as the last answer said; None if none did."""

    def get(self, path: str) -> Any:
        """GET under /services/data/<version>; gives the JSON."""
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """POST; gives the JSON."""
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any) -> None:
        """PATCH."""
        self.call("PATCH", path, body)

    def delete(self, path: str) -> None:
        """DELETE."""
        self.call("DELETE", path)

    def query(self, soql: str, *, tooling: bool = False) -> list[dict[str, Any]]:
        """All rows of a query that has few of them."""
        prefix = "/tooling" if tooling else ""
        said = self.get(f"{prefix}/query?q={quote(soql)}")
        return list(said["records"])

    def describe(self, object_name: str) -> dict[str, Any]:
        """What an object is to this user, its fields by lower-case name under `fields_by_name`."""
        said: dict[str, Any] = self.get(f"/sobjects/{object_name}/describe")
        said["fields_by_name"] = {one["name"].lower(): one for one in said.get("fields", [])}
        return said

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call. Raises OrgProblem."""
        answer = self._send(method, f"/services/data/{self.api_version}{path}", body)
        problem = read_org_problem(answer, key_field="")
        if problem is not None:
            raise _as_problem(problem, answer)
        if not answer.body.strip():
            return None
        said = read_json(answer.body)
        if said is None:
            raise OrgProblem(
                "Salesforce answers with something that is not JSON.", status=answer.status
            )
        return said

    def versions(self) -> list[str]:
        """The API versions that the org has, like v68.0; asked without the session."""
        answer = self._send("GET", "/services/data/", None, anonymous=True)
        said = read_json(answer.body)
        if answer.status != 200 or not isinstance(said, list):
            raise OrgProblem(
                f"{self.session.instance_url} answers with HTTP {answer.status}, not as "
                "Salesforce does.",
                next_step="Look at https://status.salesforce.com. If the My Domain was renamed, "
                "run connect again.",
                status=answer.status,
            )
        return [f"v{one['version']}" for one in said if isinstance(one, dict) and "version" in one]

    def _send(self, method: str, path: str, body: Any, *, anonymous: bool = False) -> Answer:
        headers = {"Accept": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"Bearer {self.session.access_token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            answer = self.http.send(
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
                next_step="Look at https://status.salesforce.com, and at this computer's network.",
                code=error.code,
            ) from error
        usage = read_api_usage(answer.headers)
        if usage is not None:
            self.usage_percent = usage
        return answer


def _as_problem(problem: SalesforceProblem, answer: Answer) -> OrgProblem:
    faults = read_faults(read_json(answer.body), status=answer.status)
    code = faults[0].code if faults else problem.code
    said = "; ".join(f"{fault.code}: {fault.message}" for fault in faults) or problem.message
    return OrgProblem(
        f"Salesforce says {said}", next_step=problem.hint, code=code, status=answer.status
    )


def try_lead(org: Org, *, key_field: str, key: str, values: Mapping[str, Any]) -> None:
    """Have a Lead made and taken back in one call, so that not even a right to delete is needed.

    The second part of the call cannot succeed (a Lead without a name), so all of it is rolled back;
    what the org's rules and triggers say to the first part is known then. Raises OrgProblem if the
    first part was refused. Source: REST API Developer Guide, Composite, `allOrNone`.
    """
    url = f"/services/data/{org.api_version}/sobjects/Lead"
    record = {**values, **({key_field: key} if key_field else {})}
    said = org.post(
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
    first, second = said["compositeResponse"]
    if first["httpStatusCode"] < 300:
        # Somebody's trigger named the nameless Lead: then there are two to delete.
        for part in (first, second):
            if part["httpStatusCode"] < 300:
                org.delete(f"/sobjects/Lead/{part['body']['id']}")
        return
    faults = read_faults(first["body"], status=first["httpStatusCode"])
    if any(fault.code != "PROCESSING_HALTED" for fault in faults):
        answer = Answer(first["httpStatusCode"], {}, json.dumps(first["body"]).encode())
        problem = read_org_problem(answer, key_field=key_field)
        assert problem is not None
        raise _as_problem(problem, answer)
