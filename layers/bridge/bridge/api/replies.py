"""HTTP responses of the API: pure functions from an outcome to status and body.

Bodies are flat and scalar, because Flow Builder's "Fetch variables" step reads top-level keys only.
Problems are `application/problem+json` (RFC 9457).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bridge.delivery.creation import Outcome
from bridge.errors import BridgeError, Ignored, NotKept, NotSetUp, Refused, SalesforceProblem
from bridge.records import ObjectName, Record

RETRY_AFTER_SECONDS = 30
PATHS: dict[ObjectName, str] = {"Lead": "/leads", "Case": "/cases"}
UNSIGNED = (
    "This address takes requests that Bird signed, with the key that is configured here and within "
    "the time that the scheme allows. Nothing was stored. Which check failed is in the function's "
    "log only."
)


@dataclass(frozen=True)
class Reply:
    """A response before it is put into Lambda's proxy form."""

    status: int
    body: dict[str, Any]
    retry_after_seconds: int | None = None

    def as_proxy(self, *, inline: bool) -> dict[str, Any]:
        """The proxy integration's response."""
        problem = self.status >= 400 and not inline
        headers = {
            "Content-Type": "application/problem+json" if problem else "application/json",
            "Cache-Control": "no-store",
        }
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        return {
            "statusCode": 200 if inline else self.status,
            "headers": headers,
            "body": json.dumps(self.body),
            "isBase64Encoded": False,
        }


def found_reply(outcome: Outcome, object_name: ObjectName, key: str) -> Reply:
    """The response to a GET for a key that a record has."""
    return Reply(200, {"outcome": "created", **_record_keys(outcome, object_name, key)})


def unknown_reply(object_name: ObjectName, key: str, detail: str) -> Reply:
    """The response to a GET for a key that no record has."""
    body = {
        "type": "about:blank",
        "title": "No such record is known",
        "status": 404,
        "detail": detail,
        "outcome": "unknown",
        "success": False,
        "object": object_name,
        "key": key,
    }
    return Reply(404, body)


def not_now_reply(problem: SalesforceProblem, object_name: ObjectName, key: str) -> Reply:
    """The response to a GET while Salesforce cannot be asked."""
    return problem_reply(
        NotKept(),
        title="Salesforce cannot be asked now",
        detail=_sentence(problem),
        code=problem.code,
        object=object_name,
        key=key,
    )


def ignored_reply(ignored: Ignored) -> Reply:
    """The response to what no customer sent: 200, or Bird would send it again for hours."""
    body = {
        "outcome": "ignored",
        "event": ignored.event[:100],
        "message": f"Nothing was made of it: {ignored}.",
    }
    return Reply(200, body)


def outcome_reply(outcome: Outcome, record: Record, *, has_key: bool) -> Reply:
    """The response to a POST. `has_key`: whether the record can be looked up by its key."""
    if outcome.found is not None:
        body = {"outcome": outcome.name, **_record_keys(outcome, record.object, record.key)}
        return Reply(201 if outcome.name == "created" else 200, body)
    problem = outcome.problem
    if isinstance(problem, NotKept):
        return problem_reply(
            problem,
            detail="Salesforce could not take the record and no queue could keep it. Send it "
            "again with this key as Idempotency-Key.",
            object=record.object,
            key=record.key,
        )
    if not isinstance(problem, Refused):
        body = {
            "outcome": outcome.name,
            "object": record.object,
            "key": record.key,
            "message": _queued_message(problem, record, has_key=has_key),
        }
        return Reply(202, body)
    more: dict[str, Any] = {"existingId": problem.existing_id} if problem.existing_id else {}
    return problem_reply(
        problem,
        code=problem.code,
        detail=problem.message,
        fields=",".join(problem.fields),
        kept=True,
        hint=problem.hint,
        object=record.object,
        key=record.key,
        **more,
    )


def problem_reply(error: BridgeError, *, title: str = "", kept: bool = False, **more: Any) -> Reply:
    """A problem (RFC 9457) with an error's status, and the keys that flows read."""
    status = error.status
    body = {
        "type": "about:blank",
        "title": title or error.title,
        "status": status,
        "outcome": "rejected",
        "success": False,
        "kept": kept,
        "code": getattr(error, "code", "NOT_KEPT"),
        "fields": "",
        **more,
    }
    return Reply(status, body, RETRY_AFTER_SECONDS if status == 503 else None)


def _record_keys(outcome: Outcome, object_name: str, key: str) -> dict[str, Any]:
    assert outcome.found is not None
    number = outcome.found.number
    return {
        "success": True,
        "id": outcome.found.id,
        "object": object_name,
        "key": key,
        "url": outcome.url,
        **({} if number is None else {"number": number}),
    }


def _queued_message(why: SalesforceProblem | None, record: Record, *, has_key: bool) -> str:
    after = f" GET {PATHS[record.object]}/{record.key} tells when it is there." if has_key else ""
    if why is None:
        return "The record is queued, as asked; Salesforce gets it shortly." + after
    if isinstance(why, NotSetUp):
        return (
            f"The record is safe in the outbox, but {why.subject} needs a person: {_sentence(why)} "
            "It is delivered by itself after that."
        )
    return f"Salesforce cannot take the record now ({why.code}); it is delivered later." + after


def _sentence(problem: SalesforceProblem) -> str:
    return " ".join(part for part in (problem.message.rstrip(".") + ".", problem.hint) if part)
