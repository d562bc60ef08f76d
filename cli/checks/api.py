"""Checks through the deployed API: requests that a flow would send, which create no record.

A look-up of a key that does not exist tests the gateway, the API key, the function, its role, the
access token, Salesforce and the key field. A body that cannot be read shows that a function runs,
and is stored nowhere. RefreshToken and Deliver are invoked with events that need no work. With
`record`, two leads are created as well.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bridge.api.replies import PATHS
from bridge.api.request import WEBHOOK_ROUTE
from bridge.api.signatures import KEYED_ROUTE
from bridge.bird.channels import OBJECTS
from bridge.deadline import Deadline
from bridge.errors import NotConnected
from bridge.http import Http, HttpError
from bridge.records import ObjectName
from bridge.untrusted import read_json
from cli.checks.finding import Check, Finding, bad, good, note, skipped, unknown
from cli.connect.stored_connection import StoredConnection
from cli.deployment.stack import Stack
from cli.outbox.reasons import NEEDS_A_PERSON

REQUEST_SECONDS = 31.0
"""For one response; API Gateway itself waits 29 s for a function."""

PAUSE_SECONDS = 2.0
"""Between two requests of the same kind."""

UNREADABLE = b'{"LastName": '
"""No function can read this, so none stores it."""

FUNCTIONS: dict[ObjectName, str] = {"Lead": "create-lead", "Case": "create-case"}
"""The last part of a function's name, as its log group has it."""

_TEST_KEY = re.compile(r"doctor-\d.*")

_NOT_FROM_HERE = (
    unknown,
    " was not checked: this address may not call the API ({}).",
    "Run this from an address that AllowedAddresses or the firewall allows.",
)
_TOO_MANY = (
    bad,
    ": too many requests ({}).",
    "Run this again in a minute, or raise ThrottleRate and ThrottleBurst.",
)
BY_GATEWAY: Mapping[str, tuple[Callable[[str, str], Finding], str, str]] = {
    "ADDRESS_NOT_ALLOWED": _NOT_FROM_HERE,
    "FIREWALL": _NOT_FROM_HERE,
    "THROTTLED": _TOO_MANY,
    "QUOTA_EXCEEDED": _TOO_MANY,
    "NO_SUCH_ROUTE": (bad, ": the API has no such route.", "Deploy this version: make deploy"),
    "INVALID_API_KEY": (
        bad,
        ": the API refuses its own API key.",
        "API Gateway, API keys: enable the key, and add it to the stack's usage plan. A new key "
        "may need a minute.",
    ),
}
"""What API Gateway's own responses mean, by code; `{}` is the code."""


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """One response of the API. Of a response to `?errors=inline`, `status` is the one in its
    body."""

    request: str
    """As messages name it: GET /leads/…"""
    status: int
    """0 if there was no response; then `trouble` has the reason."""
    body: Mapping[str, Any] = field(repr=False, default_factory=dict)
    trouble: str = ""

    @property
    def code(self) -> str:
        return str(self.body.get("code") or "")

    @property
    def outcome(self) -> str:
        return str(self.body.get("outcome") or "")

    @property
    def text(self) -> str:
        """What it says to people."""
        text = self.body.get("message") or self.body.get("detail") or self.trouble
        return str(text or f"HTTP {self.status}")[:400]

    @property
    def short(self) -> str:
        """Status and code: 503 KEY_FIELD_MISSING."""
        return " ".join(str(part) for part in (self.status, self.code or self.outcome) if part)

    @property
    def reached_a_function(self) -> bool:
        """Whether a function was invoked for it: API Gateway's own responses have no `fields`."""
        return (
            0 < self.status < 400
            or "fields" in self.body
            or self.outcome == "unknown"
            or self.code.startswith("NO_ANSWER")
        )

    def refuses(self, status: int, code: str) -> bool:
        """Whether it is this refusal, as flows read it, with nothing stored."""
        return (self.status, self.code, self.outcome) == (status, code, "failed") and (
            self.body.get("success") is False and self.body.get("kept") is False
        )


@dataclass(frozen=True, kw_only=True)
class CreatedRecord:
    """A record that `record` created or sent; `id` is empty as long as it is not known."""

    object: ObjectName
    key: str
    id: str = ""
    url: str = ""


@dataclass(kw_only=True)
class ApiChecks:
    """The checks. What may pass with time is repeated for `wait_seconds` in all."""

    stack: Stack
    http: Http
    stored: StoredConnection
    wait_seconds: float
    report: Callable[[str], None] = lambda text: None
    """Is given the reason when a check has to wait."""
    cause: str = ""
    """The check that shows why Salesforce cannot be used, if it cannot."""
    org_reds: frozenset[str] = frozenset()
    created: list[CreatedRecord] = field(default_factory=list, init=False)
    _connected: bool | None = field(default=None, init=False)
    """None until a look-up shows it."""
    _until: float = field(default=0.0, init=False)
    _reported: set[str] = field(default_factory=set, init=False)

    def look_ups(self) -> Iterator[Check]:
        """What a flow's request passes through, from the gateway to Salesforce."""
        self._until = time.monotonic() + self.wait_seconds
        for name in OBJECTS:
            yield f"{name.lower()}-lookup", partial(self._look_up, name)

    def after_deploy(self, *, record: bool) -> Iterator[Check]:
        """Whether every function runs, and what must be refused is refused."""
        for name in OBJECTS:
            yield f"{name.lower()}-function", partial(self._runs, PATHS[name], FUNCTIONS[name])
        yield "message-function", partial(self._runs, KEYED_ROUTE, "receive-message")
        yield "webhook", self._webhook
        yield "api-key", self._without_api_key
        yield "refresh-function", self._refresh
        yield "deliver-function", partial(self._takes_records, "deliver", "DeliverFunction")
        if self.stack.settings.attach_media:
            attach = partial(self._takes_records, "attach-files", "AttachFilesFunction")
            yield "attach-files-function", attach
        if record:
            yield "record", partial(self._where_possible, self._record)
            yield "record-queued", partial(self._where_possible, self._record_queued)

    # No record is created

    def _look_up(self, name: ObjectName) -> Finding:
        function, begin = FUNCTIONS[name], f"GET {PATHS[name]}/… "
        # Inline, because an HTTP error would raise the alarm server-errors.
        response, unknown_key = self._send(
            "GET",
            f"{PATHS[name]}/{_new_key()}?errors=inline",
            expected=lambda found: (found.status, found.outcome) == (404, "unknown"),
        )
        if response.code == NotConnected.code:
            self._connected = False
            return note(f"{begin}reaches {function}. It is not connected yet.")
        if not unknown_key:
            return self._explain(response, function, expected="404 unknown")
        if not self.stack.settings.external_id_field:
            return note(
                f"{begin}reaches {function}. Without a key field (ExternalIdField) it asks "
                "Salesforce nothing."
            )
        self._connected = True
        return good(f"{begin}goes through {function} to Salesforce and back.")

    def _runs(self, path: str, function: str) -> Finding:
        signed = self.stack.settings.signature_scheme != "none"
        status, code = (401, "INVALID_SIGNATURE") if signed else (400, "BAD_REQUEST")
        # API Gateway has a BAD_REQUEST of its own.
        response, refused = self._send(
            "POST",
            path,
            body=UNREADABLE,
            expected=lambda found: found.refuses(status, code) and found.reached_a_function,
        )
        if not refused:
            return self._explain(response, function, expected=f"{status} {code}")
        what = "an unsigned" if signed else "an unreadable"
        return good(f"POST {path} reaches {function}, which refuses {what} body.")

    def _webhook(self) -> Finding:
        closed = self.stack.settings.signature_scheme == "none"
        # A closed webhook is refused by API Gateway itself; the local one has no such policy.
        response, refused = self._send(
            "POST",
            WEBHOOK_ROUTE,
            body=UNREADABLE,
            with_key=False,
            expected=lambda found: (
                (closed and found.refuses(403, "ADDRESS_NOT_ALLOWED"))
                or found.refuses(401, "INVALID_SIGNATURE")
            ),
        )
        if not refused:
            return self._explain(response, "receive-message", expected="401 INVALID_SIGNATURE")
        if closed:
            return good(f"POST {WEBHOOK_ROUTE} is closed, since SignatureScheme is none.")
        return good(f"POST {WEBHOOK_ROUTE} refuses an unsigned body.")

    def _without_api_key(self) -> Finding:
        routes: list[tuple[str, str, bytes | None]] = [
            *(("POST", path, UNREADABLE) for path in (*PATHS.values(), KEYED_ROUTE)),
            *(("GET", f"{path}/{_new_key()}", None) for path in PATHS.values()),
        ]
        for method, path, body in routes:
            response, refused = self._send(
                method,
                path,
                body=body,
                with_key=False,
                expected=lambda found: found.refuses(403, "INVALID_API_KEY"),
            )
            if response.reached_a_function:
                return bad(
                    f"{response.request} works without an API key ({response.short}).",
                    "ApiKeyRequired in template.yaml was changed. Restore it and run: make deploy",
                )
            if not refused:
                return self._explain(response, "", expected="403 INVALID_API_KEY")
        return good(f"Requests without an API key are refused ({len(routes)} routes).")

    def _refresh(self) -> Finding:
        if self.stored.token() is not None:
            # No token was refused and there is one, so it has nothing to do.
            function = self.stack.settings.refresh_function
            event = {"refused_generation": None}
            return self._invoke("refresh-token", function, event, result="generation")
        if self._connected is False:
            # The look-up has invoked it already.
            return good("refresh-token runs. There is nothing to refresh yet.")
        return unknown("There is no access token; invoking refresh-token would fetch one.")

    def _takes_records(self, function: str, output: str) -> Finding:
        name = self.stack.output(output)
        return self._invoke(function, name, {"Records": []}, result="batchItemFailures")

    def _invoke(
        self, function: str, name: str, event: Mapping[str, Any], *, result: str
    ) -> Finding:
        """Whether the function returns this `result`. Raises what boto3 raises."""
        response = self.stack.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event).encode()
        )
        found = read_json(response["Payload"].read())
        found = found if isinstance(found, dict) else {}
        if result in found and not response.get("FunctionError"):
            return good(f"{function} runs.")
        kind = str(found.get("errorType") or "an unexpected result")
        message = str(found.get("errorMessage") or "")[:300]
        return bad(
            f"{function} fails: {kind}{': ' if message else ''}{message}", self._see_log(function)
        )

    # With `record`

    def _where_possible(self, create: Callable[[ObjectName, str], Finding]) -> Finding:
        if self.stack.settings.signature_scheme != "none":
            return note("No record was created: only Bird can sign the request.")
        if self._connected is False:
            return note("No record was created: the stack is not connected yet.")
        if self._connected is None and self.stack.settings.external_id_field:
            return unknown("No record was created, because the look-ups failed.")
        return create(OBJECTS[0], _new_key())

    def _record(self, name: ObjectName, key: str) -> Finding:
        """One record, sent twice and created once."""
        function = FUNCTIONS[name]
        response = self._post_record(name, key)
        if response.status not in (201, 202):
            return self._explain(response, function, expected="201 created or 202 queued")
        if not self.stack.settings.external_id_field:
            return note(f"A {name} was created or queued. Without a key field it cannot be found.")
        if response.status == 202:
            response = self._wait_for_record(name, key)
            if response.status != 200:
                return self._not_delivered(name, response)
        again = self._post_record(name, key)
        ids = [one.id for one in self.created if one.key == key]
        if len(ids) > 1:
            return bad(
                f"The same key created several records: {', '.join(ids)}.",
                f"{self.stack.settings.external_id_field} should be Unique: see above.",
            )
        if (again.status, again.outcome) != (200, "exists"):
            return self._explain(again, function, expected="200 exists for a repeated request")
        return good(f"{name} {ids[0]} was sent twice and created once.")

    def _record_queued(self, name: ObjectName, key: str) -> Finding:
        response = self._post_record(name, key, {"Prefer": "respond-async"})
        if (response.status, response.outcome) != (202, "queued"):
            return self._explain(response, FUNCTIONS[name], expected="202 queued")
        if not self.stack.settings.external_id_field:
            return note(f"A {name} was queued. Without a key field it cannot be found.")
        began = time.monotonic()
        response = self._wait_for_record(name, key)
        if response.status != 200:
            return self._not_delivered(name, response)
        seconds = time.monotonic() - began
        return good(
            f"{name} {response.body.get('id')} was queued and delivered within {seconds:.0f} s."
        )

    def _post_record(
        self, name: ObjectName, key: str, headers: Mapping[str, str] | None = None
    ) -> ApiResponse:
        """Send a record that says what it is; once, whatever the response."""
        record = {
            "LastName": f"Test {key}",
            "Company": f"Test {key}",
            "Description": "Created by `bird-salesforce doctor --after-deploy --record` to test a "
            "deployment. No customer wrote; it can be deleted.",
        }
        body = json.dumps(record).encode()
        more = {"Idempotency-Key": key, **(headers or {})}
        response = self._send_once("POST", PATHS[name], body=body, headers=more)
        if not 400 <= response.status < 500:
            self._note_created(name, key, response)
        return response

    def _note_created(self, name: ObjectName, key: str, response: ApiResponse) -> None:
        """Note what has to be deleted. A response that was lost may have created a record too."""
        record_id, url = (str(response.body.get(one) or "") for one in ("id", "url"))
        found = CreatedRecord(object=name, key=key, id=record_id, url=url)
        for at, one in enumerate(self.created):
            if one.key == key and (not found.id or one.id in ("", found.id)):
                self.created[at] = found if found.id else one
                return
        self.created.append(found)

    def _wait_for_record(self, name: ObjectName, key: str) -> ApiResponse:
        """The last response to look-ups of a record, until it is there or the time is over."""
        until = time.monotonic() + self.wait_seconds
        while True:
            response = self._send_once("GET", f"{PATHS[name]}/{key}")
            if response.status == 200:
                self._note_created(name, key, response)
                return response
            if time.monotonic() + PAUSE_SECONDS > until:
                return response
            time.sleep(PAUSE_SECONDS)

    def _not_delivered(self, name: ObjectName, response: ApiResponse) -> Finding:
        return bad(
            f"The {name} was queued, and was not in Salesforce {self.wait_seconds:.0f} s later "
            f"({response.short}).",
            f"It is in the outbox and will be retried. {self._see_log('deliver')}",
        )

    # Requests

    def _send(
        self, method: str, path: str, *, expected: Callable[[ApiResponse], bool], **request: Any
    ) -> tuple[ApiResponse, bool]:
        """Send until the response is the expected one, one that will not change, or the time is
        over; and whether it is the expected one. `request` is that of `_send_once`."""
        while True:
            response = self._send_once(method, path, **request)
            left = self._until - time.monotonic()
            if expected(response) or left <= 0 or not self._may_pass(response):
                return response, expected(response)
            if response.short not in self._reported:
                self._reported.add(response.short)
                self.report(
                    f"{response.request}: {response.short or response.trouble}. A new deployment "
                    "or API key may need a minute until it works everywhere. Trying again for up "
                    f"to {left:.0f} s."
                )
            time.sleep(min(PAUSE_SECONDS, left))

    def _send_once(
        self,
        method: str,
        path: str,
        *,
        with_key: bool = True,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Raises Problem, or what boto3 raises, if there is no API key to use."""
        request = f"{method} {_TEST_KEY.sub('…', path)}"
        try:
            response = self.http.send(
                method,
                self.stack.api_url + path,
                headers={
                    "Accept": "application/json",
                    "User-Agent": "bird-salesforce-doctor",
                    **({"Content-Type": "application/json"} if body is not None else {}),
                    **({"x-api-key": self._api_key} if with_key else {}),
                    **(headers or {}),
                },
                body=body,
                deadline=Deadline.after(REQUEST_SECONDS),
                repeatable=True,
            )
        except HttpError as error:
            return ApiResponse(request=request, status=0, trouble=str(error))
        value = read_json(response.body)
        found = value if isinstance(value, dict) else {}
        status = response.status
        if path.endswith("?errors=inline") and isinstance(found.get("status"), int):
            status = found["status"]
        return ApiResponse(request=request, status=status, body=found)

    @cached_property
    def _api_key(self) -> str:
        return self.stack.api_key()

    def _may_pass(self, response: ApiResponse) -> bool:
        """Whether a deployment, a key or a connection that is new may be the cause."""
        if response.code == NotConnected.code:
            # A function remembers for some seconds that it was not connected.
            with suppress(ClientError, BotoCoreError):
                return self.stored.token() is not None
            return False
        if response.code in NEEDS_A_PERSON:
            return False
        return response.status in (0, 403, 404, 429) or response.status >= 500

    # What an unexpected response means

    def _explained_by(self, response: ApiResponse) -> str:
        """The red check that explains this response; empty if none does."""
        if self.cause:
            return self.cause
        key = response.request.split("/")[1].rstrip("s") + "-key"
        return key if response.code == "KEY_FIELD_MISSING" and key in self.org_reds else ""

    def _see_log(self, function: str) -> str:
        return f"See its log: {self.stack.log_of(function)}"

    def _explain(self, response: ApiResponse, function: str, *, expected: str) -> Finding:
        request, code = response.request, response.code
        if not response.status:
            return bad(
                f"{request}: the API does not respond: {response.trouble}.",
                f"Check that this machine can reach {self.stack.api_url}. Else deploy again: make "
                "deploy",
            )
        if code in BY_GATEWAY:
            kind, what, step = BY_GATEWAY[code]
            return kind(f"{request}{what.format(code)}", step)
        # NO_ANSWER is the gateway's code for a function and ours for Salesforce.
        if code in ("NO_ANSWER", "NO_ANSWER_IN_TIME") and response.outcome != "unknown":
            return bad(
                f"{request}: {function} could not run, or stopped before it responded "
                f"({response.short}).",
                self._see_log(function),
            )
        if response.status == 503 and code and code != "NOT_KEPT":
            what = f"{request}: {function} runs, but cannot use Salesforce ({code})"
            if because := self._explained_by(response):
                return skipped(because, f"{what}, as “{because}” says.")
            return bad(
                f"{what}: {response.text}",
                f"First fix what is red above. {self._see_log(function)}",
            )
        if response.status in (409, 422):
            drop = self.stack.command(f"rejected drop {response.body.get('key')}")
            return note(
                f"{request}: Salesforce refuses the record ({code}): {response.text}",
                f"{response.body.get('hint') or ''} It is kept in Rejected. To delete it: {drop}",
            )
        return bad(
            f"{request}: {response.short} instead of {expected}: {response.text}",
            self._see_log(function)
            if function and response.reached_a_function
            else "Deploy again: make deploy",
        )


def _new_key() -> str:
    """A key that does not exist yet, and that is stored as it is (bridge.records)."""
    return f"doctor-{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{uuid.uuid4().hex[:8]}"
