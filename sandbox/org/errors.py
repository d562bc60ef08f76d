"""Refusals, in the shapes of Salesforce's error bodies.

A *problem* is one entry of an error body. The same problem is printed with ``errorCode`` by the
single-record resources and with ``statusCode`` by collections and trees. `Refused` ends a whole
call: it carries the HTTP status and one or more problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why something was refused; `fields` is None where the body has no such key."""

    code: str
    message: str
    fields: tuple[str, ...] | None = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    status: int = 400
    """The HTTP status where it is the only record of a call."""

    def as_rest(self) -> dict[str, Any]:
        """As in the body of a single-record resource."""
        body: dict[str, Any] = {**self.extra, "message": self.message, "errorCode": self.code}
        if self.fields is not None:
            body["fields"] = list(self.fields)
        return body

    def as_collection(self) -> dict[str, Any]:
        """As in the ``errors`` of one record of a collection."""
        return {
            "statusCode": self.code,
            "message": self.message,
            "fields": list(self.fields or ()),
        }


class Refused(Exception):
    """A whole call is refused. `status` is HTTP's."""

    def __init__(self, status: int, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.code}: {p.message}" for p in problems))
        self.status = status
        self.problems = tuple(problems)


def refused(status: int, code: str, message: str, fields: tuple[str, ...] | None = None) -> Refused:
    """A `Refused` with one problem; auth, query and parser errors have no ``fields``."""
    return Refused(status, [Problem(code, message, fields)])


def not_found() -> Refused:
    return refused(404, "NOT_FOUND", "The requested resource does not exist")


def bad_session() -> Refused:
    return refused(401, "INVALID_SESSION_ID", "Session expired or invalid")


class OAuthRefused(Exception):
    """A refusal of the token endpoint: always ``error`` and ``error_description``."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


# HTTP status and message of an error code where a fault or a setting names the code alone. Those
# of RECORD_CODES refuse records one by one.
KNOWN: Mapping[str, tuple[int, str]] = {
    "INVALID_SESSION_ID": (401, "Session expired or invalid"),
    "REQUEST_LIMIT_EXCEEDED": (403, "TotalRequests Limit exceeded."),
    "API_DISABLED_FOR_ORG": (403, "The REST API is not enabled for this Organization."),
    "API_CURRENTLY_DISABLED": (403, "API is disabled for this User"),
    "INSUFFICIENT_ACCESS": (403, "insufficient access rights on object id"),
    "INSUFFICIENT_ACCESS_OR_READONLY": (403, "insufficient access rights on cross-reference id"),
    "NOT_FOUND": (404, "The requested resource does not exist"),
    "UNABLE_TO_LOCK_ROW": (
        400,
        "unable to obtain exclusive access to this record or 1 records: 00Qaj0000000000AAA",
    ),
    "STORAGE_LIMIT_EXCEEDED": (400, "storage limit exceeded"),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": (
        400,
        "LeadTrigger: System.LimitException: Apex CPU time limit exceeded",
    ),
    "CANNOT_EXECUTE_FLOW_TRIGGER": (
        400,
        "We can't save this record because the “New record” process failed.",
    ),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": (400, "This record was refused by a validation rule."),
    "QUERY_TIMEOUT": (400, "Your query request was running for too long."),
    "TXN_SECURITY_METERING_ERROR": (400, "The transaction security policy could not be evaluated"),
    "UNKNOWN_EXCEPTION": (
        500,
        "An unexpected error occurred. Please include this ErrorId if you contact support: "
        "918273645-20261 (1029384756)",
    ),
    "APEX_ERROR": (
        500,
        "System.LimitException: Too many SOQL queries: 101\n\nTrigger.LeadTrigger: line 7",
    ),
    "SERVER_UNAVAILABLE": (503, "Server Unavailable"),
    "ORG_IN_MAINTENANCE": (503, "The organization is in maintenance"),
}

RECORD_CODES = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "STORAGE_LIMIT_EXCEEDED",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "TXN_SECURITY_METERING_ERROR",
    }
)
