"""HTTP handler for messages: POST brings one into Salesforce, GET tells what became of one.

Whatever goes wrong, the caller gets a response of the API's own shape. `?errors=inline` makes it a
200, for flow steps that stop on anything else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from bridge.api.message_request import MessageRequest, read_message
from bridge.api.replies import (
    UNSIGNED,
    Reply,
    found_reply,
    ignored_reply,
    not_now_reply,
    outcome_reply,
    problem_reply,
    unknown_reply,
)
from bridge.api.request import HttpRequest, gateway_request_id
from bridge.bird.channels import UNKNOWN
from bridge.conversations.keys import CONTENT, MADE_UP
from bridge.conversations.message import Message
from bridge.deadline import Deadline, respond_by
from bridge.delivery.creation import RecordCreator
from bridge.delivery.outcomes import (
    Created,
    Failed,
    Outcome,
    Queued,
    Rejected,
    UpdateOutcome,
    metrics_of,
)
from bridge.errors import (
    BadRequest,
    DuplicatesDetected,
    Ignored,
    NoSuchRoute,
    NotKept,
    NotSetUp,
    SalesforceProblem,
    Unavailable,
    Unsigned,
    WrongKey,
)
from bridge.records import ObjectName
from bridge.settings import Settings
from bridge.telemetry import OUTCOME_METRICS, Telemetry


class LambdaContext(Protocol):
    """What is used of the context object that Lambda passes."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds before Lambda ends the invocation."""


class Gate(Protocol):
    """What a request that makes a record has to pass; `signatures.SignatureGate` is one."""

    def check(self, event: Any, request: HttpRequest, *, deadline: Deadline) -> HttpRequest:
        """The request without what does not count unsigned. Raises Unsigned, NotKept."""


class HttpApi:
    """What every handler does: whatever goes wrong, the caller gets a response."""

    unexpected: ClassVar[Mapping[str, Any]]
    """What the body tells after a fault of ours."""

    def __init__(self, *, settings: Settings, telemetry: Telemetry, **about: Any) -> None:
        """`about`: what each line of a log has besides."""
        self._settings = settings
        self._telemetry = telemetry
        self._about = about

    def respond(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """The response to one proxy event."""
        self._telemetry.begin(
            getattr(context, "aws_request_id", ""), correlation_id=gateway_request_id(event)
        )
        inline = False
        try:
            request = HttpRequest.from_event(event)
            inline = request.errors_inline
            reply = self._reply(request, event, context)
        except BadRequest as problem:
            self._telemetry.event("bad_request", **self._about, code=problem.code)
            reply = problem_reply(problem, code=problem.code, detail=str(problem))
        except WrongKey as problem:
            self._telemetry.warn("wrong_key", **self._about, code=problem.code)
            self._telemetry.count("WrongKeys")
            inline = False  # as below
            reply = problem_reply(problem, detail=problem.detail)
        except Unsigned as problem:
            self._telemetry.warn("unsigned", **self._about, code=problem.reason)
            self._telemetry.count("UnsignedRequests")
            inline = False  # an unknown sender does not choose the form of the response
            reply = problem_reply(problem, detail=UNSIGNED)
        except Exception as error:  # a fault of ours must not reach the caller as a stack trace
            self._telemetry.alarm("unexpected_error", error=error, **self._about)
            self._telemetry.count("UnexpectedErrors")
            reply = problem_reply(NotKept(), **self.unexpected)
        return reply.as_proxy(inline=inline)

    def _deadline(self, request: HttpRequest, context: LambdaContext) -> Deadline:
        """When the caller must have its response."""
        return respond_by(
            requested_at_ms=request.requested_at_ms,
            budget_seconds=self._settings.response_budget_seconds,
            function_seconds=context.get_remaining_time_in_millis() / 1000,
        )

    def _reply(self, request: HttpRequest, event: Any, context: LambdaContext) -> Reply:
        """The reply to a request. Raises BadRequest, WrongKey, Unsigned."""
        raise NotImplementedError


class RecordApi(HttpApi):
    """The API of one object.

    With no object, each request chooses its own by its channel, and a GET makes a record too:
    "Forward to URL" may be set to that method.
    """

    unexpected: ClassVar[Mapping[str, Any]] = {
        "detail": "An unexpected error; the record is not kept. Send it again."
    }

    def __init__(
        self,
        object_name: ObjectName | None,
        *,
        creator: RecordCreator,
        settings: Settings,
        telemetry: Telemetry,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(settings=settings, telemetry=telemetry, object=object_name)
        self._object: ObjectName | None = object_name
        self._gate = gate
        self._creator = creator

    def _reply(self, request: HttpRequest, event: Any, context: LambdaContext) -> Reply:
        if request.api_key_id and request.api_key_id == self._settings.lookup_key_id:
            raise WrongKey("the key for looking customers up opens nothing else")
        updates = request.method == "PATCH" and self._object and request.path_key is not None
        if request.method not in ("GET", "POST") and not updates:
            # No route has another method: a HEAD or a DELETE must not make a record.
            raise NoSuchRoute("there is nothing at this method and address")
        deadline = self._deadline(request, context)
        if request.method == "GET" and self._object is not None:
            return self._find(request, self._object, deadline)
        try:
            if self._gate is not None:
                signed = self._gate.check(event, request, deadline=deadline)
                if signed.query != request.query and not request.query.keys() <= {"errors"}:
                    self._telemetry.warn("unsigned_query", object=self._object)
                request = signed
            do = self._update if updates else self._create
            return do(request, deadline)
        except Ignored as ignored:
            self._telemetry.event("ignored", outcome="ignored", object=self._object)
            self._telemetry.count("MessagesIgnored")
            return ignored_reply(ignored)
        except NotKept as problem:
            # The gate's: what the creator could not keep is an outcome, counted as a record.
            self._telemetry.alarm("not_kept", error=problem, object=self._object)
            self._telemetry.count(OUTCOME_METRICS["not_kept"])
            return problem_reply(problem, detail="The record is not kept. Send it again.")

    def _create(self, request: HttpRequest, deadline: Deadline) -> Reply:
        started = time.perf_counter()
        requested = read_message(request, self._object, settings=self._settings)
        message = requested.message
        name = message.requested or message.channel_object
        if requested.unresolved_keys:
            self._telemetry.warn("unresolved_key", object=name, key_source=requested.key_source)
            self._telemetry.count("UnresolvedKeys")
        for event, metric, paths in (
            ("unread_parts", "PartsUnread", requested.unread),
            ("texts_cut", "TextsCut", requested.cut),
            ("message_without_id", "MessagesWithoutId", ("id",) if requested.without_id else ()),
        ):
            if paths:
                self._telemetry.warn(event, object=name, fields=paths)
                self._telemetry.count(metric, len(paths))
        if requested.left_out:
            self._telemetry.warn("fields_left_out", object=name, fields=requested.left_out)
        outcome = self._creator.create(
            message,
            request_id=request.gateway_request_id,
            deadline=deadline,
            at_once=not request.respond_async,
        )
        self._record(message, outcome, started)
        return outcome_reply(
            outcome,
            message,
            left_out=requested.left_out,
            has_key=bool(self._settings.external_id_field),
            warnings=_warnings_of(requested),
        )

    def _update(self, request: HttpRequest, deadline: Deadline) -> Reply:
        # Most invocations make a record, and need not pay for the import.
        from bridge.api.updates import read_update, update_reply

        assert self._object is not None
        started = time.perf_counter()
        requested = read_update(request, self._object, settings=self._settings)
        message = requested.message
        outcome = self._creator.update(
            message,
            request_id=request.gateway_request_id,
            deadline=deadline,
            at_once=not request.respond_async,
        )
        self._record(message, outcome, started)
        return update_reply(outcome, requested)

    def _find(self, request: HttpRequest, object_name: ObjectName, deadline: Deadline) -> Reply:
        keys = request.requested_keys()
        if not self._settings.external_id_field:
            detail = "No external-id field is configured to look it up by."
            return unknown_reply(object_name, keys[0], detail)
        try:
            found = self._creator.find(object_name, keys, deadline=deadline)
        except (Unavailable, NotSetUp) as problem:
            self._telemetry.warn("lookup_failed", object=object_name, code=problem.code)
            return not_now_reply(problem, object=object_name, key=keys[0])
        if found is None:
            detail = (
                "Not in Salesforce, or not visible to the integration user: perhaps queued, "
                "rejected, merged or deleted."
            )
            return unknown_reply(object_name, keys[0], detail)
        key, outcome = found
        return found_reply(outcome, object_name, key)

    def _record(self, message: Message, outcome: Outcome | UpdateOutcome, started: float) -> None:
        """Log and count one message, or one update: the outcome stands, even if that fails."""
        name = message.requested or message.channel_object
        milliseconds = (time.perf_counter() - started) * 1000
        try:
            self._log(name, message, outcome, milliseconds)
        except Exception as error:
            with contextlib.suppress(Exception):
                self._telemetry.alarm("telemetry_failed", error=error, object=name)

    def _log(
        self,
        name: ObjectName,
        message: Message,
        outcome: Outcome | UpdateOutcome,
        milliseconds: float,
    ) -> None:
        problem: SalesforceProblem | NotKept | None = None
        if isinstance(outcome, Created):
            problem = outcome.not_logged
        elif isinstance(outcome, (Queued, Rejected, Failed)):
            problem = outcome.problem
        cost = outcome.cost
        self._telemetry.record(
            outcome.name,
            object_name=name,
            channel=message.channel,
            key=message.key,
            code=getattr(problem, "code", ""),
            fields=getattr(problem, "fields", ()),
            milliseconds=milliseconds,
            salesforce_milliseconds=cost.milliseconds,
            api_calls=cost.calls,
            usage_percent=cost.usage_percent,
            salesforce_request_id=cost.request_id,
            duplicate=isinstance(problem, DuplicatesDetected),
        )
        if isinstance(outcome, Created):
            for what, why in outcome.problems.items():
                self._telemetry.warn("not_done_beside", fields=(what,), code=why.code)
            for metric in metrics_of(outcome):
                self._telemetry.count(metric)
        if isinstance(problem, NotSetUp):
            self._telemetry.alarm("not_set_up", error=problem)
            self._telemetry.count("NotSetUp")


def _warnings_of(requested: MessageRequest) -> str:
    """What looks like a mistake. Most requests have none, and need not pay for the import."""
    suspicious = (
        requested.key_source in (MADE_UP, CONTENT)
        or requested.unread
        or requested.variables
        or requested.left_out
        or requested.unused
        or requested.misread
        or requested.hidden
    )
    unknown = requested.bird is not None and requested.bird.channel.name == UNKNOWN
    if not suspicious and not unknown:
        return ""
    from bridge.api.warnings import warnings_of

    return warnings_of(requested)
