"""How a function speaks HTTP: events in, flat JSON out, every problem with its answer.

Answers are flat and scalar, because Flow Builder's "Fetch variables" step reads top-level keys
only. Errors are `application/problem+json` (RFC 9457). `?errors=inline` answers 200 whatever
happened, for flow steps that stop on anything else.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.api.request import HttpRequest, gateway_request_id, read_record
from bridge.deadline import Deadline, answer_by
from bridge.delivery.creation import Created, Outcome, Queued, RecordCreator, Rejected
from bridge.errors import (
    BadRequest,
    BridgeError,
    DuplicatesDetected,
    Ignored,
    NoSuchRoute,
    NotKept,
    NotSetUp,
    SalesforceProblem,
    Unavailable,
    Unsigned,
)
from bridge.records import ObjectName, Record
from bridge.settings import Settings
from bridge.telemetry import Telemetry

RETRY_AFTER_SECONDS = 30
PATHS: dict[ObjectName, str] = {"Lead": "/leads", "Case": "/cases"}
UNSIGNED = (
    "This address takes requests that Bird signed, with the key that is configured here and within "
    "the time that the scheme allows. Nothing was stored. Which check failed is in the function's "
    "log only."
)


class LambdaContext(Protocol):
    """What is used of the context object that Lambda passes."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds before Lambda ends the invocation."""


class Gate(Protocol):
    """What a request that makes a record has to pass; `signatures.SignatureGate` is one."""

    def check(self, event: Any, request: HttpRequest, *, deadline: Deadline) -> None:
        """Raises Unsigned, NotKept."""


@dataclass(frozen=True)
class Reply:
    """An answer before it is put into Lambda's proxy form."""

    status: int
    said: dict[str, Any]
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
            "body": json.dumps(self.said),
            "isBase64Encoded": False,
        }


class RecordApi:
    """POST makes a record, GET tells what became of one; for one object.

    With no object, each request chooses its own by its channel, and a GET makes a record too:
    "Forward to URL" may be set to that method.
    """

    def __init__(
        self,
        object_name: ObjectName | None,
        *,
        creator: RecordCreator,
        settings: Settings,
        telemetry: Telemetry,
        gate: Gate | None = None,
    ) -> None:
        self._object: ObjectName | None = object_name
        self._gate = gate
        self._creator = creator
        self._settings = settings
        self._telemetry = telemetry

    def answer(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Answer one proxy event; whatever goes wrong, the caller gets an answer in our shape."""
        self._telemetry.begin(
            getattr(context, "aws_request_id", ""), correlation_id=gateway_request_id(event)
        )
        inline = False
        try:
            request = HttpRequest.from_event(event)
            inline = request.errors_inline
            if request.method not in ("GET", "POST"):
                # No route leads here by another one: a HEAD or a DELETE must not make a record.
                raise NoSuchRoute("there is nothing at this method: GET and POST are taken")
            deadline = answer_by(
                requested_at_ms=request.requested_at_ms,
                budget_seconds=self._settings.response_budget_seconds,
                function_seconds=context.get_remaining_time_in_millis() / 1000,
            )
            if request.method == "GET" and self._object is not None:
                reply = self._find(request, self._object, deadline)
            else:
                if self._gate is not None:
                    self._gate.check(event, request, deadline=deadline)
                reply = self._create(request, deadline)
        except BadRequest as problem:
            self._telemetry.event("bad_request", object=self._object, code=problem.code)
            reply = problem_reply(problem, code=problem.code, detail=str(problem))
        except Ignored as nothing:
            self._telemetry.event("ignored", outcome="ignored", object=self._object)
            self._telemetry.count("MessagesIgnored")
            reply = ignored_reply(nothing)
        except Unsigned as problem:
            self._telemetry.warn("unsigned", object=self._object, code=problem.reason)
            self._telemetry.count("UnsignedRequests")
            inline = False  # who is not let in does not choose how it is said
            reply = problem_reply(problem, detail=UNSIGNED)
        except NotKept as problem:
            self._telemetry.alarm("not_kept", error=problem, object=self._object)
            reply = problem_reply(problem, detail="The record is not kept. Send it again.")
        except Exception as error:  # a fault of ours must not reach the caller as a stack trace
            self._telemetry.alarm("unexpected_error", error=error, object=self._object)
            self._telemetry.count("UnexpectedErrors")
            reply = problem_reply(
                NotKept(), detail="An unexpected error; the record is not kept. Send it again."
            )
        return reply.as_proxy(inline=inline)

    def _create(self, request: HttpRequest, deadline: Deadline) -> Reply:
        started = time.perf_counter()
        asked = read_record(request, self._object, settings=self._settings)
        record = asked.record
        if asked.unresolved_keys:
            self._telemetry.warn(
                "unresolved_key", object=record.object, key_source=asked.key_source
            )
            self._telemetry.count("UnresolvedKeys")
        for event, metric, paths in (
            ("unread_parts", "PartsUnread", asked.unread),
            ("texts_cut", "TextsCut", asked.cut),
            ("message_without_id", "MessagesWithoutId", ("id",) if asked.without_id else ()),
        ):
            if paths:
                self._telemetry.warn(event, object=record.object, fields=paths)
                self._telemetry.count(metric, len(paths))
        try:
            outcome = self._creator.create(
                record,
                request_id=request.gateway_request_id,
                deadline=deadline,
                at_once=not request.respond_async,
            )
        except NotKept as error:
            self._tell(record, "not_kept", error, started)
            return problem_reply(
                error,
                detail="Salesforce could not take the record and no queue could keep it. Send it "
                "again with this key as Idempotency-Key.",
                object=record.object,
                key=record.key,
            )
        try:
            self._tell(record, outcome_name(outcome), _problem_of(outcome), started)
        except Exception as error:  # what has happened has happened, told or not
            with contextlib.suppress(Exception):
                self._telemetry.alarm("telemetry_failed", error=error, object=record.object)
        return reply_to(outcome, record, can_be_asked=bool(self._settings.external_id_field))

    def _find(self, request: HttpRequest, object_name: ObjectName, deadline: Deadline) -> Reply:
        keys = request.asked_keys()
        if not self._settings.external_id_field:
            return unknown_reply(
                object_name, keys[0], "No external-id field is configured to look it up by."
            )
        try:
            found = self._creator.find(object_name, keys, deadline=deadline)
        except (Unavailable, NotSetUp) as problem:
            self._telemetry.warn("lookup_failed", object=object_name, code=problem.code)
            return problem_reply(
                NotKept(),
                title="Salesforce cannot be asked now",
                detail=_sentence(problem),
                code=problem.code,
                object=object_name,
                key=keys[0],
            )
        if found is None:
            return unknown_reply(
                object_name,
                keys[0],
                "Not in Salesforce, or not visible to the integration user: perhaps queued, "
                "rejected, merged or deleted.",
            )
        key, created = found
        return Reply(200, {"outcome": "created", **_record_said(created, object_name, key)})

    def _tell(
        self, record: Record, outcome: str, problem: BaseException | None, started: float
    ) -> None:
        """One line and the counters of one record."""
        measured = self._creator.take_measurements()
        self._telemetry.record(
            outcome,
            object_name=record.object,
            channel=record.channel,
            key=record.key,
            code=getattr(problem, "code", ""),
            fields=getattr(problem, "fields", ()),
            milliseconds=(time.perf_counter() - started) * 1000,
            salesforce_milliseconds=measured.milliseconds,
            api_calls=measured.calls,
            usage_percent=measured.usage_percent,
            salesforce_request_id=measured.request_id,
            duplicate=isinstance(problem, DuplicatesDetected),
        )
        if isinstance(problem, NotSetUp):
            self._telemetry.alarm("not_set_up", error=problem, object=record.object)
            self._telemetry.count("NotSetUp")


def unknown_reply(object_name: ObjectName, key: str, detail: str) -> Reply:
    """The answer to a GET for a key that no record has."""
    said = {
        "type": "about:blank",
        "title": "No such record is known",
        "status": 404,
        "detail": detail,
        "outcome": "unknown",
        "success": False,
        "object": object_name,
        "key": key,
    }
    return Reply(404, said)


def ignored_reply(nothing: Ignored) -> Reply:
    """The answer to what no customer sent: 200, or Bird would send it again for hours."""
    return Reply(
        200,
        {
            "outcome": "ignored",
            "event": nothing.event[:100],
            "message": f"Nothing was made of it: {nothing}.",
        },
    )


def outcome_name(outcome: Outcome) -> str:
    """What a flow branches on."""
    if isinstance(outcome, Created):
        return "created" if outcome.new else "exists"
    return "queued" if isinstance(outcome, Queued) else "rejected"


def _problem_of(outcome: Outcome) -> SalesforceProblem | None:
    if isinstance(outcome, Rejected):
        return outcome.problem
    return outcome.why if isinstance(outcome, Queued) else None


def reply_to(outcome: Outcome, record: Record, *, can_be_asked: bool = True) -> Reply:
    """The HTTP answer to what became of a record; `can_be_asked` where a key field is kept."""
    if isinstance(outcome, Created):
        said = {
            "outcome": outcome_name(outcome),
            **_record_said(outcome, record.object, record.key),
        }
        return Reply(201 if outcome.new else 200, said)
    if isinstance(outcome, Queued):
        return Reply(
            202,
            {
                "outcome": "queued",
                "object": record.object,
                "key": record.key,
                "message": _queued_message(outcome.why, record, can_be_asked=can_be_asked),
            },
        )
    problem = outcome.problem
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


def _record_said(created: Created, object_name: str, key: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "success": True,
        "id": created.found.id,
        "object": object_name,
        "key": key,
        "url": created.url,
    }
    if created.found.number is not None:
        said["number"] = created.found.number
    return said


def _queued_message(why: SalesforceProblem | None, record: Record, *, can_be_asked: bool) -> str:
    after = f" GET {PATHS[record.object]}/{record.key} tells when it is there."
    after = after if can_be_asked else ""
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


def problem_reply(error: BridgeError, *, title: str = "", kept: bool = False, **said: Any) -> Reply:
    """A problem answer (RFC 9457) of an error's status, with the keys that flows read."""
    status = error.status
    return Reply(
        status,
        {
            "type": "about:blank",
            "title": title or error.title,
            "status": status,
            "outcome": "rejected",
            "success": False,
            "kept": kept,
            "code": getattr(error, "code", "NOT_KEPT"),
            "fields": "",
            **said,
        },
        retry_after_seconds=RETRY_AFTER_SECONDS if status == 503 else None,
    )
