"""`smoke`: sends through the deployed API what a flow would send, and makes no record by that.

A look-up under a key that nobody has proves the gateway, the API key, the alias, the function, its
role, the access token, Salesforce and the key field in one request. A body that nobody can read
proves that a function runs, and is kept nowhere. Two functions that no flow reaches are invoked so
that they have nothing to do.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from bridge.api.replies import PATHS
from bridge.api.signatures import KEYED_ROUTE, WEBHOOK_ROUTE
from bridge.bird.channels import OBJECTS
from bridge.deadline import Deadline
from bridge.errors import NotConnected, NotSetUp
from bridge.http import Http, HttpError
from bridge.records import ObjectName
from bridge.salesforce.error_codes import MEANINGS, Kind
from bridge.untrusted import read_json
from cli.checks.doctor import judge_age
from cli.checks.finding import Finding, State, bad, good, guarded, note, unknown
from cli.connect.credentials import Connection
from cli.deployment.stack import ALIAS, Stack

SLACK_SECONDS = 2.0
"""On top of the response budget: the network both ways, TLS, API Gateway itself."""

PATIENCE_SECONDS = 31.0
"""For one answer; API Gateway itself waits 29 s for a function."""

PAUSE_SECONDS = 2.0
"""Between two questions of the same."""

UNREADABLE = b'{"LastName": '
"""No function can read this, so none keeps it."""

FUNCTIONS: dict[ObjectName, str] = {"Lead": "create-lead", "Case": "create-case"}
"""Names behind the stack's own, as their logs have them."""

_KEY = re.compile(r"smoke-\d.*")

FOR_A_PERSON = frozenset(
    [one.code for one in NotSetUp.__subclasses__()]
    + [code for code, one in MEANINGS.items() if one.kind is Kind.NOT_SET_UP]
)
"""Codes of what does not pass by waiting."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer of the API. `status` is 0 if there was none, and `trouble` says why; of an answer
    with `?errors=inline` it is the one in its body."""

    asked: str
    """The question, as messages name it: GET /leads/…"""
    status: int
    milliseconds: float
    body: Mapping[str, Any] = field(repr=False, default_factory=dict)
    is_problem: bool = False
    """Whether it calls itself `application/problem+json`, or plain JSON where that was asked."""
    trouble: str = ""

    @property
    def code(self) -> str:
        return str(self.body.get("code") or "")

    @property
    def outcome(self) -> str:
        return str(self.body.get("outcome") or "")

    @property
    def words(self) -> str:
        """What it says to people."""
        said = self.body.get("message") or self.body.get("detail") or self.trouble
        return str(said or f"HTTP {self.status}")[:400]

    @property
    def short(self) -> str:
        """Status and code: 503 KEY_FIELD_MISSING."""
        return " ".join(str(part) for part in (self.status, self.code or self.outcome) if part)

    @property
    def reached_a_function(self) -> bool:
        """Whether a function was run for it: API Gateway itself names no fields."""
        return (
            0 < self.status < 400
            or "fields" in self.body
            or self.outcome == "unknown"
            or self.code.startswith("NO_ANSWER")
        )

    def refuses(self, status: int, code: str) -> bool:
        """Whether it is this refusal, in the shape that flows read, and claims to keep nothing."""
        return (
            self.is_problem
            and (self.status, self.code) == (status, code)
            and self.body.get("status") == status
            and self.outcome == "rejected"
            and self.body.get("success") is False
            and self.body.get("kept") is False
            and all(isinstance(self.body.get(name), str) for name in ("title", "detail"))
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One check, and the answers on which it stands."""

    finding: Finding
    answers: tuple[Said, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        answers = [
            {"asked": one.asked, "status": one.status, "milliseconds": round(one.milliseconds)}
            for one in self.answers
        ]
        return {**self.finding.as_dict(), "answers": answers}

    @property
    def times(self) -> str:
        """Status and milliseconds of each answer; the first may have been a cold start."""
        if len(self.answers) > 3:
            slowest = max(one.milliseconds for one in self.answers)
            statuses = "/".join(sorted({str(one.status) for one in self.answers}))
            return f"{len(self.answers)} x {statuses} in {slowest:,.0f} ms at most"
        return ", then ".join(
            f"{one.status or 'nothing'} in {one.milliseconds:,.0f} ms" for one in self.answers
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """A record that `--record` made or sent. `id` is empty as long as nobody has told it."""

    object: ObjectName
    key: str
    id: str = ""
    url: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return {"object": self.object, "key": self.key, "id": self.id, "url": self.url}


@dataclass(kw_only=True)
class Smoke:
    """One try of a stack. What passes with time is asked again for `wait_seconds` in all."""

    stack: Stack
    wait_seconds: float
    deliver_seconds: float = 60.0
    """How long a record that was queued may take to be in Salesforce."""
    tell: Callable[[str], None] = lambda text: None
    """Hears why it takes longer."""
    connected: bool | None = None
    """Whether the functions said that they are connected; None if they did not get so far."""
    made: list[Made] = field(default_factory=list)
    _http: Http = field(default_factory=Http)
    _answers: list[Said] = field(default_factory=list)

    def run(self, *, record: bool) -> Iterator[Trial]:
        """Every check in turn. Raises Problem, or what boto3 raises, if there is no API key."""
        self._until = time.monotonic() + self.wait_seconds
        self._told: set[str] = set()
        self._key = self.stack.api_key()
        self._connection = Connection(self.stack)
        for check, look in self._checks(record=record):
            self._answers = []
            finding = guarded(check, look)
            if finding.state is State.GOOD:
                finding = self._judge_time(finding)
            yield Trial(finding=finding, answers=tuple(self._answers))

    def _checks(self, *, record: bool) -> Iterator[tuple[str, Callable[[], Finding]]]:
        for name in OBJECTS:
            yield f"{name.lower()}-lookup", partial(self._check_lookup, name)
        for name in OBJECTS:
            yield (
                f"{name.lower()}-create",
                partial(self._check_create, f"{name.lower()}-create", PATHS[name], FUNCTIONS[name]),
            )
        yield (
            "message-create",
            partial(self._check_create, "message-create", KEYED_ROUTE, "receive-message"),
        )
        yield "webhook", self._check_webhook
        yield "api-key", self._check_closed
        yield "no-route", self._check_no_route
        yield "refresh-token", self._check_refresh
        yield "deliver", self._check_deliver
        if record:
            yield "record", self._check_record
            yield "record-async", self._check_record_async

    # ── No record is made ────────────────────────────────────────────────────────────────────────

    def _check_lookup(self, name: ObjectName) -> Finding:
        check, function = f"{name.lower()}-lookup", FUNCTIONS[name]
        path = f"{PATHS[name]}/{_new_key()}"

        def is_unknown(said: Said) -> bool:
            return (said.status, said.outcome) == (404, "unknown") and said.is_problem

        # First without an HTTP error: a stack that is not connected must not raise server-errors.
        for number, asked in enumerate((f"{path}?errors=inline", path), start=1):
            said = self._ask("GET", asked, expected=is_unknown)
            if said.code == NotConnected.code:
                self.connected = False
                return note(
                    check,
                    f"GET {PATHS[name]}/… reaches {function}, which is not connected yet.",
                )
            if not is_unknown(said):
                return self._explain(check, said, function, expected="404 unknown")
            if number == 1 and not self.stack.settings.external_id_field:
                # Answered without asking Salesforce.
                return note(
                    check,
                    f"GET {PATHS[name]}/… reaches {function}, and no further: no key field is "
                    "configured (ExternalIdField).",
                    f"Is Salesforce reached? bird-salesforce doctor {self.stack.options()}",
                )
        self.connected = True
        return good(check, f"GET {PATHS[name]}/… goes through {function} to Salesforce and back.")

    def _check_create(self, check: str, path: str, function: str) -> Finding:
        signed = self.stack.settings.signature_scheme != "none"
        status, code = (401, "INVALID_SIGNATURE") if signed else (400, "BAD_REQUEST")

        def refused(said: Said) -> bool:
            # API Gateway has a BAD_REQUEST of its own.
            return said.refuses(status, code) and said.reached_a_function

        said = self._ask("POST", path, body=UNREADABLE, expected=refused)
        if not refused(said):
            return self._explain(check, said, function, expected=f"{status} {code}")
        what = "unsigned" if signed else "unreadable"
        return good(check, f"POST {path} reaches {function}: what is {what} is refused, not kept.")

    def _check_webhook(self) -> Finding:
        check, function = "webhook", "receive-message"

        def refused(said: Said) -> bool:
            return said.refuses(401, "INVALID_SIGNATURE")

        said = self._ask("POST", WEBHOOK_ROUTE, body=UNREADABLE, with_key=False, expected=refused)
        if not refused(said):
            return self._explain(check, said, function, expected="401 INVALID_SIGNATURE")
        return good(check, f"POST {WEBHOOK_ROUTE} refuses what is not signed.")

    def _check_closed(self) -> Finding:
        check = "api-key"

        def refused(said: Said) -> bool:
            return said.refuses(403, "INVALID_API_KEY")

        doors = [("POST", path) for path in (*PATHS.values(), KEYED_ROUTE)]
        doors += [("GET", f"{path}/{_new_key()}") for path in PATHS.values()]
        for method, path in doors:
            body = UNREADABLE if method == "POST" else None
            said = self._ask(method, path, body=body, with_key=False, expected=refused)
            if said.reached_a_function:
                return bad(
                    check,
                    f"{said.asked} lets in who has no API key (it answers {said.short}).",
                    "Is ApiKeyRequired in template.yaml as it was? Deploy again: make deploy",
                )
            if not refused(said):
                return self._explain(check, said, "", expected="403 INVALID_API_KEY")
        return good(check, f"Without an API key nobody is let in ({len(doors)} routes).")

    def _check_no_route(self) -> Finding:
        check, path = "no-route", "/bird-salesforce-smoke"

        def refused(said: Said) -> bool:
            return said.refuses(404, "NO_SUCH_ROUTE")

        said = self._ask("GET", path, expected=refused)
        if not refused(said):
            return self._explain(check, said, "", expected="404 NO_SUCH_ROUTE")
        return good(check, "An address that there is not is refused in words that flows can read.")

    # ── The two functions that no flow reaches ───────────────────────────────────────────────────

    def _check_refresh(self) -> Finding:
        check = "refresh-token"
        token = self._connection.token()
        if token is None and self.connected is False:
            # A look-up without a token has invoked it already.
            return good(check, "refresh-token runs, and has nothing to refresh yet.")
        if token is None:
            return unknown(
                check,
                "There is no access token, and to invoke refresh-token would get one.",
                f"Is it connected? bird-salesforce doctor {self.stack.options()}",
            )
        # Refused was none, and there is one: it has nothing to do (bridge.oauth.refresher).
        said, failed = self._invoke(
            self.stack.settings.refresh_function, {"refused_generation": None}
        )
        if failed or "generation" not in said:
            return self._broken(check, "refresh-token", said)
        age = judge_age(check, token, every_minutes=self.stack.settings.refresh_minutes)
        return replace(age, said=f"refresh-token runs. {age.said}")

    def _check_deliver(self) -> Finding:
        check = "deliver"
        name = f"{self.stack.output('DeliverFunction')}:{ALIAS}"
        said, failed = self._invoke(name, {"Records": []})
        if failed or said.get("batchItemFailures") != []:
            return self._broken(check, "deliver", said)
        return good(check, "deliver runs (with nothing to deliver).")

    def _invoke(self, name: str, event: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """What the function answered, and whether it failed. Raises what boto3 raises."""
        answer = self.stack.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event).encode()
        )
        said = read_json(answer["Payload"].read())
        return said if isinstance(said, dict) else {}, bool(answer.get("FunctionError"))

    def _broken(self, check: str, function: str, said: Mapping[str, Any]) -> Finding:
        kind = str(said.get("errorType") or "an answer that is none of its own")
        words = str(said.get("errorMessage") or "")[:300]
        return bad(
            check,
            f"{function} does not run as it should: {kind}{': ' if words else ''}{words}",
            self._look_at(function),
        )

    # ── With --record ────────────────────────────────────────────────────────────────────────────

    def _cannot_record(self, check: str) -> Finding | None:
        if self.stack.settings.signature_scheme != "none":
            return note(
                check,
                "No record is made: requests have to be signed, and only Bird has the key. That an "
                "unsigned one is refused was checked.",
            )
        if self.connected is False:
            return note(check, "No record is made: it would wait in the outbox until `connect`.")
        if self.connected is None and self.stack.settings.external_id_field:
            return unknown(check, "No record is made, since not even a look-up came through.")
        return None

    def _check_record(self) -> Finding:
        check, name, function = "record", OBJECTS[0], FUNCTIONS[OBJECTS[0]]
        if finding := self._cannot_record(check):
            return finding
        key = _new_key()
        at = self._remember(Made(object=name, key=key))
        said = self._send(name, key)
        if said.status not in (201, 202):
            return self._not_taken(check, said, at, expected="201 created or 202 queued")
        if not self.stack.settings.external_id_field:
            self._remember(_made(name, key, said), at)
            return note(
                check,
                f"A {name} was made (or queued). With no key field it cannot be looked up, and "
                "repeating it would make a second one.",
            )
        if said.status == 202:
            said = self._wait_until_there(name, key)
            if said.status != 200:
                return self._not_delivered(check, name, said)
        made = _made(name, key, said)
        self._remember(made, at)
        again = self._send(name, key)
        second = _made(name, key, again)
        if second.id not in ("", made.id):
            self._remember(second)
        if (again.status, again.outcome) != (200, "exists"):
            return self._explain(check, again, function, expected="200 exists for a repeated call")
        found = self._ask("GET", f"{PATHS[name]}/{key}", expected=lambda one: one.status == 200)
        if (found.status, found.outcome) != (200, "created"):
            return self._explain(check, found, function, expected="200 created")
        ids = {made.id, second.id, _made(name, key, found).id}
        if len(ids) != 1 or "" in ids:
            return bad(
                check,
                f"The same key leads to several ids: {', '.join(sorted(ids))}.",
                f"Is {self.stack.settings.external_id_field} Unique? bird-salesforce doctor "
                f"{self.stack.options()}",
            )
        return good(check, f"{name} {made.id} was made once, though sent twice, and is found.")

    def _check_record_async(self) -> Finding:
        check, name = "record-async", OBJECTS[0]
        if finding := self._cannot_record(check):
            return finding
        key = _new_key()
        at = self._remember(Made(object=name, key=key))
        said = self._send(name, key, {"Prefer": "respond-async"})
        if (said.status, said.outcome) != (202, "queued"):
            return self._not_taken(check, said, at, expected="202 queued")
        if not self.stack.settings.external_id_field:
            return note(check, f"A {name} was queued. With no key field it cannot be looked up.")
        began = time.monotonic()
        said = self._wait_until_there(name, key)
        if said.status != 200:
            return self._not_delivered(check, name, said)
        made = _made(name, key, said)
        self._remember(made, at)
        seconds = time.monotonic() - began
        return good(check, f"{name} {made.id} was queued, and delivered within {seconds:.0f} s.")

    def _remember(self, made: Made, at: int | None = None) -> int:
        """What has to be deleted, from before it is sent."""
        if at is None:
            self.made.append(made)
            return len(self.made) - 1
        self.made[at] = made
        return at

    def _send(self, name: ObjectName, key: str, headers: Mapping[str, str] | None = None) -> Said:
        """POST a record that says of itself what it is. Not repeated, whatever comes."""
        record = {
            "LastName": f"Smoke test {key}",
            "Company": f"Smoke test {key}",
            "Description": "Made by `bird-salesforce smoke --record` to try a deployment. No "
            "customer wrote; it may be deleted.",
        }
        return self._ask(
            "POST",
            PATHS[name],
            body=json.dumps(record).encode(),
            headers={"Idempotency-Key": key, **(headers or {})},
            expected=lambda said: True,
        )

    def _wait_until_there(self, name: ObjectName, key: str) -> Said:
        """Look it up until it is in Salesforce, or the time is over; the last answer."""
        until = time.monotonic() + self.deliver_seconds
        before = list(self._answers)
        while True:
            said = self._ask("GET", f"{PATHS[name]}/{key}", expected=lambda one: True)
            self._answers = [*before, said]
            if said.status == 200 or time.monotonic() + PAUSE_SECONDS > until:
                return said
            time.sleep(PAUSE_SECONDS)

    def _not_taken(self, check: str, said: Said, at: int, *, expected: str) -> Finding:
        if 400 <= said.status < 500:
            self.made.pop(at)
        return self._explain(check, said, FUNCTIONS[OBJECTS[0]], expected=expected)

    def _not_delivered(self, check: str, name: ObjectName, said: Said) -> Finding:
        return bad(
            check,
            f"The {name} was queued, and was not in Salesforce {self.deliver_seconds:.0f} s later "
            f"({said.short}).",
            f"It is safe in the outbox. {self._look_at('deliver', back=False)}",
        )

    # ── Asking ───────────────────────────────────────────────────────────────────────────────────

    def _ask(
        self,
        method: str,
        path: str,
        *,
        expected: Callable[[Said], bool],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        with_key: bool = True,
    ) -> Said:
        """Ask until the answer is the expected one, one that stays, or the wait is over."""
        while True:
            said = self._ask_once(method, path, body=body, headers=headers, with_key=with_key)
            left = self._until - time.monotonic()
            if expected(said) or not self._may_pass(said) or left <= 0:
                self._answers.append(said)
                return said
            if said.short not in self._told:
                self._told.add(said.short)
                self.tell(
                    f"{said.asked} answers {said.short or said.trouble}. What was deployed a "
                    "moment ago is not served everywhere at once, and a new API key may take a "
                    f"minute. Asking again for up to {left:.0f} s."
                )
            time.sleep(min(PAUSE_SECONDS, left))

    def _ask_once(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        with_key: bool,
    ) -> Said:
        sent = {
            "Accept": "application/json",
            "User-Agent": "bird-salesforce-smoke",
            **({"Content-Type": "application/json"} if body is not None else {}),
            **({"x-api-key": self._key} if with_key else {}),
            **(headers or {}),
        }
        asked = f"{method} {_KEY.sub('…', path)}"
        began = time.perf_counter()

        def milliseconds() -> float:
            return (time.perf_counter() - began) * 1000

        try:
            answer = self._http.send(
                method,
                self.stack.api_url + path,
                headers=sent,
                body=body,
                deadline=Deadline.after(PATIENCE_SECONDS),
                repeatable=True,
            )
        except HttpError as error:
            return Said(asked=asked, status=0, milliseconds=milliseconds(), trouble=str(error))
        took = milliseconds()
        said = read_json(answer.body)
        said = said if isinstance(said, dict) else {}
        status = answer.status
        kind = str(answer.headers.get("content-type") or "").split(";")[0].strip().lower()
        is_problem = kind == "application/problem+json"
        if (
            path.endswith("?errors=inline")
            and status == 200
            and isinstance(said.get("status"), int)
        ):
            status, is_problem = said["status"], kind == "application/json"
        return Said(asked=asked, status=status, milliseconds=took, body=said, is_problem=is_problem)

    def _may_pass(self, said: Said) -> bool:
        """Whether a deployment, a key or a connection of a moment ago may be the cause."""
        if said.code == NotConnected.code:
            # A function remembers for some seconds that it was not connected.
            return self._has_token()
        if said.code in FOR_A_PERSON:
            return False
        return said.status in (0, 403, 404, 429) or said.status >= 500

    def _has_token(self) -> bool:
        """Whether there is an access token; False as well where it may not be read."""
        try:
            return self._connection.token() is not None
        except (ClientError, BotoCoreError):
            return False

    # ── Judging ──────────────────────────────────────────────────────────────────────────────────

    def _judge_time(self, finding: Finding) -> Finding:
        budget = self.stack.settings.response_budget_seconds
        slowest = max((one.milliseconds for one in self._answers), default=0.0) / 1000
        if slowest <= budget + SLACK_SECONDS:
            return finding
        return bad(
            finding.check,
            f"{finding.said} But it took {slowest:.1f} s, which is more than ResponseBudgetSeconds "
            f"({budget:g}) and {SLACK_SECONDS:g} s for the network: a flow's step would have given "
            "up.",
            "Run this again. If it stays so: is this machine's network slow, or does a log show "
            f"time-outs? {self.stack.log_of('create-lead')}",
        )

    def _look_at(self, function: str, *, back: bool = True) -> str:
        said = f"Look at its log: {self.stack.log_of(function)}"
        if back and not self.stack.is_local:
            said += (
                ". To have the release before run again: bird-salesforce rollback "
                + self.stack.options()
            )
        return said

    def _explain(self, check: str, said: Said, function: str, *, expected: str) -> Finding:
        """What an unexpected answer means, and what to do."""
        doctor = f"bird-salesforce doctor {self.stack.options()}"
        if not said.status:
            return bad(
                check,
                f"{said.asked}: the API does not answer: {said.trouble}.",
                f"Can this machine reach {self.stack.api_url}? Else deploy again: make deploy",
            )
        code = said.code
        if code in ("ADDRESS_NOT_ALLOWED", "FIREWALL"):
            return unknown(
                check,
                f"{said.asked} was not tried: the API may not be called from here ({code}).",
                "Run it from an address that AllowedAddresses or the firewall lets in.",
            )
        if code == "INVALID_API_KEY":
            return bad(
                check,
                f"{said.asked}: the API does not take its own key.",
                "API Gateway, API keys: is the key enabled, and in the stack's usage plan? A new "
                "key may take a minute: run this again.",
            )
        if code in ("THROTTLED", "QUOTA_EXCEEDED"):
            return bad(
                check,
                f"{said.asked}: API Gateway lets no more through ({code}).",
                "Run this again in a minute, or raise the usage plan's limits (ThrottleRate, "
                "ThrottleBurst).",
            )
        if code == "NO_SUCH_ROUTE":
            return bad(
                check,
                f"{said.asked}: API Gateway knows no such route (HTTP {said.status}).",
                "The API was not deployed to its stage, or from another template. Deploy again: "
                "make deploy",
            )
        if code in ("NO_ANSWER", "NO_ANSWER_IN_TIME"):
            return bad(
                check,
                f"{said.asked}: {function or 'the function'} could not be run, or stopped before "
                f"it answered ({said.short}).",
                self._look_at(function or "create-lead"),
            )
        if said.status == 503 and code and code != "NOT_KEPT":
            return bad(
                check,
                f"{said.asked}: {function} runs, but cannot ask Salesforce ({code}): {said.words}",
                doctor,
            )
        if said.status in (409, 422):
            return bad(
                check,
                f"{said.asked}: Salesforce refuses the record ({code}): {said.words}",
                f"{said.body.get('hint') or 'See the message.'} It is kept in Rejected: "
                f"bird-salesforce rejected drop {said.body.get('key')} {self.stack.options()}",
            )
        if said.status == 202:
            return bad(
                check, f"{said.asked}: it was queued, not made at once: {said.words}", doctor
            )
        shape = "" if said.status < 400 or said.is_problem else ", not in the shape that flows read"
        return bad(
            check,
            f"{said.asked} answered {said.short}{shape}, where {expected} was expected: "
            f"{said.words}",
            self._look_at(function)
            if function and said.reached_a_function
            else "Deploy again: make deploy",
        )


def _new_key() -> str:
    """A key that nobody has, and that says what it is: stored as it is (bridge.records)."""
    return f"smoke-{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{uuid.uuid4().hex[:8]}"


def _made(name: ObjectName, key: str, said: Said) -> Made:
    return Made(
        object=name,
        key=key,
        id=str(said.body.get("id") or ""),
        url=str(said.body.get("url") or ""),
    )
