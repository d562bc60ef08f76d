"""What the org would do with a record: its description, and the look for what is there.

Only reads: a description, and the queries that the functions themselves begin with. The access
token is used as it is; one that is refused is not renewed, since that would be a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.bird.phones import as_email
from bridge.conversations.decide import Add, Create, Decision, Exists, Permit, Reopen
from bridge.conversations.look import Wanted
from bridge.deadline import Deadline
from bridge.delivery.calls import Calls
from bridge.delivery.conversation import Conversations
from bridge.errors import SalesforceProblem
from bridge.http import Http
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import Salesforce
from bridge.salesforce.session import Session
from bridge.telemetry import Telemetry
from cli.connect.stored_connection import StoredConnection, org_of
from cli.deployment.stack import Stack
from cli.org.client import Org, picklist_values, required_fields
from cli.preview.body import Preview
from cli.problem import Problem

Result = TypeVar("Result")

LOOK_SECONDS = 30.0

LEFT_OUT = " It was filled in, so the record is made without it."


@dataclass(frozen=True, kw_only=True)
class OrgView:
    """What would become of one message in the org."""

    decision: str
    """`create`, `successor`, `add`, `reopen`, `exists` or `nowhere`."""
    words: str
    record_id: str = ""
    problems: tuple[str, ...] = ()
    """What the org does not take, each a sentence. Rules and triggers cannot be foreseen."""
    refuses: bool = False
    """Whether it would refuse the record for one of them: what was filled in costs no record."""

    @property
    def creates(self) -> bool:
        return self.decision in ("create", "successor")


class _OneSession(Sessions):
    """The session that is there, never renewed."""

    def __init__(self, session: Session) -> None:
        self._only = session

    def call(self, attempt: Callable[[Session], Result], *, deadline: Deadline) -> Result:
        return attempt(self._only)


def view(stack: Stack, preview: Preview) -> OrgView:
    """What would become of a message in the org as it is now. Raises Problem."""
    token = StoredConnection(stack).token()
    if token is None:
        raise Problem(
            "There is no access token, so the org was not looked at.",
            next_step=f"See: {stack.command('doctor')}",
        )
    http = Http()
    org = org_of(token, stack, http)
    try:
        decision, words, record_id = _look(stack, preview, http, token.session)
    except SalesforceProblem as problem:
        raise Problem(
            f"The org was not looked at: {problem.message} ({problem.code})",
            next_step=problem.hint or f"See: {stack.command('doctor')}",
        ) from problem
    creates = decision in ("create", "successor")
    problems = tuple(_problems(org, preview)) if creates else ()
    return OrgView(
        decision=decision,
        words=words,
        record_id=record_id,
        problems=problems,
        refuses=any(not problem.endswith(LEFT_OUT) for problem in problems),
    )


def _look(stack: Stack, preview: Preview, http: Http, session: Session) -> tuple[str, str, str]:
    message, settings = preview.request.message, stack.settings
    salesforce = Salesforce(http=http, settings=settings)
    calls = Calls(salesforce, _OneSession(session), until=Deadline.after(LOOK_SECONDS))
    if not message.conversation:
        if not (preview.key and settings.external_id_field):
            return "create", f"A new {preview.object} is created.", ""
        found = calls.make(salesforce.find, preview.object, message.key)
        if found is None:
            return "create", f"A new {preview.object} is created.", ""
        return "exists", f"{preview.object} {found.id} has this key: nothing is done.", found.id
    conversations = Conversations(settings=settings, telemetry=Telemetry())
    wanted = Wanted(message.conversation, message.key)
    look = conversations.look(wanted, calls, requested=message.requested)
    return _words(conversations.decide(message, look, Permit.ANYTHING))


def _words(decision: Decision) -> tuple[str, str, str]:
    match decision:
        case Exists(deleted=True):
            return "exists", "It was logged, and a person has deleted the record.", ""
        case Exists(object=name, record_id=record_id, task_id=task_id):
            words = f"It is logged on {name or 'Task'} {record_id or task_id} already"
            return "exists", f"{words}: nothing is done.", record_id or ""
        case Add(record_object=name, record_id=record_id):
            return "add", f"It is logged as a Task on {name} {record_id}.", record_id
        case Reopen(record_id=record_id):
            words = f"Case {record_id} is opened again, and it is logged there."
            return "reopen", words, record_id
        case Create(object=name) if decision.is_successor:
            words = f"A new {name} is created after {decision.predecessor_id}."
            return "successor", words, ""
        case Create(object=name):
            return "create", f"A new {name} is created.", ""
    return "nowhere", "There is no record to log it on.", ""


def _problems(org: Org, preview: Preview) -> Iterator[str]:
    """What in the record does not fit the org's description. Raises OrgProblem."""
    name = preview.object
    described = org.described(name)
    if described is None:
        yield f"The integration user has no access to {name}."
        return
    fields: Mapping[str, Mapping[str, Any]] = described["fields_by_name"]
    sent = preview.fields()
    filled = preview.record.derived
    for field_name, value in sent.items():
        if isinstance(value, Mapping):
            continue  # a link by another record's key
        found = fields.get(field_name.lower())
        end = LEFT_OUT if field_name in filled else ""
        if found is None or not found.get("createable"):
            what = "does not exist or is hidden" if found is None else "may not be set"
            yield f"{name}.{field_name} {what} for the integration user.{end}"
            continue
        length = int(found.get("length") or 0)
        if isinstance(value, str) and 0 < length < len(value):
            yield f"{name}.{field_name} takes {length} characters, and this has {len(value)}.{end}"
        if found.get("type") == "email" and not as_email(str(value)):
            yield f"{name}.{field_name} does not look like an e-mail address.{end}"
        values = picklist_values(found)
        if values is not None and value not in values:
            yield f"{name}.{field_name} is a picklist without this value.{end}"
    there = {field_name.lower() for field_name in sent}
    for one in required_fields(described):
        if one.lower() not in there:
            yield f"{name} requires {one}, which is not sent."
