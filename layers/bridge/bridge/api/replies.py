"""HTTP responses of the API: pure functions from an outcome to status and body.

Bodies are flat and scalar, because Flow Builder's "Fetch variables" step reads top-level keys only.
Problems are `application/problem+json` (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.conversations.message import Message
from bridge.delivery.outcomes import Created, Failed, Outcome, Queued
from bridge.errors import BridgeError, Ignored, NotKept, NotSetUp, Refused, SalesforceProblem
from bridge.records import ObjectName

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


def found_reply(created: Created, object_name: ObjectName, key: str) -> Reply:
    """The response to a GET for a key that leads to a record."""
    return Reply(200, {"outcome": "created", **_record_keys(created, object_name, key)})


def unknown_reply(object_name: ObjectName, key: str, detail: str) -> Reply:
    """The response to a GET for a key that leads nowhere."""
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


def not_now_reply(problem: SalesforceProblem, **more: Any) -> Reply:
    """The response to a look-up while Salesforce cannot be asked."""
    return problem_reply(
        NotKept(),
        title="Salesforce cannot be asked now",
        detail=sentence(problem),
        code=problem.code,
        outcome="unknown",
        **more,
    )


def ignored_reply(ignored: Ignored) -> Reply:
    """The response to what no customer sent: 200, or Bird would send it again for hours."""
    body = {
        "outcome": "ignored",
        "event": ignored.event[:100],
        "message": f"Nothing was made of it: {ignored}.",
    }
    return Reply(200, body)


def outcome_reply(
    outcome: Outcome,
    message: Message,
    *,
    left_out: tuple[str, ...] = (),
    has_key: bool,
    warnings: str,
) -> Reply:
    """The response to a POST. `left_out`: fields that the body may not set. `has_key`: whether the
    record can be looked up by its key."""
    name = message.requested or message.channel_object
    more: dict[str, Any] = {"object": name, "key": message.key}
    if warnings:
        more["warnings"] = warnings
    not_written = [*left_out, *(outcome.not_written if isinstance(outcome, Created) else ())]
    if not_written:
        more["notWritten"] = ",".join(not_written)
    if isinstance(outcome, Created):
        body = {"outcome": "created" if outcome.new else "exists", **more}
        body |= _record_keys(outcome, name, message.key)
        if not outcome.new:
            body["added"] = outcome.added
        if outcome.found is None:
            body["deleted"] = True
        if outcome.matched:
            body["matched"] = True
        if outcome.matches > 1:
            body["matches"] = outcome.matches
        return Reply(201 if outcome.new else 200, body)
    if isinstance(outcome, Queued):
        text = queued_message(outcome.problem, message.requested, message.key, has_key=has_key)
        return Reply(202, {"outcome": "queued", **more, "message": text})
    if isinstance(outcome, Failed):
        return problem_reply(
            outcome.problem,
            detail="Salesforce could not take the record and no queue could keep it. Send it "
            "again with this key as Idempotency-Key.",
            **more,
        )
    return rejected_reply(outcome.problem, more)


def rejected_reply(problem: Refused, more: Mapping[str, Any]) -> Reply:
    """The response to what Salesforce refuses and Rejected keeps."""
    known = {"existingId": problem.existing_id} if problem.existing_id else {}
    return problem_reply(
        problem,
        code=problem.code,
        detail=problem.message,
        fields=",".join(problem.fields),
        kept=True,
        hint=problem.hint,
        **more,
        **known,
    )


def problem_reply(error: BridgeError, *, title: str = "", kept: bool = False, **more: Any) -> Reply:
    """A problem (RFC 9457) with an error's status, and the keys that flows read."""
    status = error.status
    body = {
        "type": "about:blank",
        "title": title or error.title,
        "status": status,
        "outcome": "rejected" if kept else "failed",
        "success": False,
        "kept": kept,
        "code": getattr(error, "code", "NOT_KEPT"),
        "fields": "",
        **more,
    }
    return Reply(status, body, RETRY_AFTER_SECONDS if status == 503 else None)


def _record_keys(created: Created, object_name: str, key: str) -> dict[str, Any]:
    body: dict[str, Any] = {"success": True, "object": created.object or object_name, "key": key}
    if created.found is not None:
        body |= {"id": created.found.id, "url": created.url}
        if created.found.number is not None:
            body["number"] = created.found.number
    if created.task_id:
        body["taskId"] = created.task_id
    return body


def queued_message(
    why: SalesforceProblem | None, object_name: ObjectName | None, key: str, *, has_key: bool
) -> str:
    """What a 202 says. `object_name` None: the conversation chooses. `has_key` as in
    `outcome_reply`."""
    paths = [PATHS[object_name]] if object_name else PATHS.values()
    where = " or ".join(f"{path}/{key}" for path in paths)
    after = f" GET {where} tells when it is there." if has_key else ""
    if why is None:
        return "The record is queued, as asked; Salesforce gets it shortly." + after
    if isinstance(why, NotSetUp):
        return (
            f"The record is safe in the outbox, but {why.subject} needs a person: {sentence(why)} "
            "It is delivered by itself after that."
        )
    return f"Salesforce cannot take the record now ({why.code}); it is delivered later." + after


def sentence(problem: SalesforceProblem) -> str:
    """A problem in words, with what can be done."""
    return " ".join(part for part in (problem.message.rstrip(".") + ".", problem.hint) if part)
