"""Every check between a flow and Salesforce, in the order in which one depends on the other.

Nothing is changed, except that an access token which Salesforce refuses is renewed, as the
functions would do at their next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bridge.http import Http
from cli.checks.api import ApiChecks, CreatedRecord
from cli.checks.connection import ConnectionChecks
from cli.checks.conversations import ConversationChecks
from cli.checks.files import FileChecks
from cli.checks.finding import Check, Finding, carry_out, good, note, unknown
from cli.checks.org import OrgChecks
from cli.connect.oauth import read_identity
from cli.deployment.stack import Stack
from cli.rejected.queue import Queue


@dataclass(kw_only=True)
class Doctor:
    """One examination of a stack."""

    stack: Stack
    sends: Iterable[str] = ()
    """Further fields that the flows send (`Lead.Region__c`)."""
    after_deploy: bool = False
    """Also send through the API what a flow would send; it may not be connected yet."""
    record: bool = False
    """After a deployment: create two leads, too."""
    wait_seconds: float = 0.0
    """How long to repeat what a new deployment may not serve yet."""
    report: Callable[[str], None] = lambda text: None
    """Is given the reason when a check has to wait."""
    created: list[CreatedRecord] = field(default_factory=list, init=False)
    connected: bool = field(default=False, init=False)

    def examine(self) -> Iterator[Finding]:
        """Every finding, as soon as it is there. Raises Problem for a field in `sends` that is
        written wrongly."""
        http = Http()
        connection = ConnectionChecks(stack=self.stack, http=http, just_deployed=self.after_deploy)
        yield carry_out(("stack", self._stack))
        yield from map(carry_out, connection.checks())
        self.connected = connection.credentials is not None
        if connection.org is not None:
            org = OrgChecks(stack=self.stack, org=connection.org, sends=self.sends)
            yield from map(carry_out, org.checks())
            identity = read_identity(connection.token.id) if connection.token else None
            conversations = ConversationChecks(
                stack=self.stack,
                org=connection.org,
                user_id=identity.user_id if identity else "",
            )
            yield from map(carry_out, conversations.checks())
            yield from map(carry_out, FileChecks(stack=self.stack, org=connection.org).checks())
        else:
            yield carry_out(("org", self._org_not_checked))
        yield from map(carry_out, self._queues())
        api = ApiChecks(
            stack=self.stack,
            http=http,
            stored=connection.stored,
            wait_seconds=self.wait_seconds,
            report=self.report,
        )
        self.created = api.created
        yield from map(carry_out, api.look_ups())
        if self.after_deploy:
            yield from map(carry_out, api.after_deploy(record=self.record))

    def _stack(self) -> Finding:
        where = "on this machine" if self.stack.is_local else f"in {self.stack.region}"
        return good(f"The stack {self.stack.name} is {where}.")

    def _org_not_checked(self) -> Finding:
        return unknown("The org was not checked: that needs access to its API.")

    def _queues(self) -> Iterator[Check]:
        yield "outbox", self._outbox
        if self.stack.settings.files_url:
            yield "files-queue", self._files
        yield "rejected", self._rejected

    def _outbox(self) -> Finding:
        count = Queue(self.stack.client("sqs"), self.stack.settings.outbox_url).counts().total
        if not count:
            return good("No record is waiting in the outbox.")
        records = "1 record is" if count == 1 else f"{count:,} records are"
        return note(
            f"{records} waiting and will be sent automatically.",
            "If the number does not fall: fix what is red here, and see Deliver's log: "
            + self.stack.log_of("deliver"),
        )

    def _files(self) -> Finding:
        count = Queue(self.stack.client("sqs"), self.stack.settings.files_url).counts().total
        if not count:
            return good("No file is waiting.")
        files = (
            "The files of 1 message are" if count == 1 else f"The files of {count:,} messages are"
        )
        return note(
            f"{files} waiting and will be attached automatically.",
            "If the number does not fall: fix what is red here, and see AttachFiles's log: "
            + self.stack.log_of("attach-files"),
        )

    def _rejected(self) -> Finding:
        count = Queue(self.stack.client("sqs"), self.stack.settings.rejected_url).counts().total
        if not count:
            return good("No record is rejected.")
        records = "1 record" if count == 1 else f"{count:,} records"
        return note(
            f"Salesforce refused {records}. Rejected records are kept for 14 days.",
            f"bird-salesforce rejected list {self.stack.options()}",
        )
