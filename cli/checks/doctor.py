"""Every check between a flow and Salesforce, in the order in which one depends on the other.

Nothing is changed, except that an access token which Salesforce refuses is renewed, as the
functions would do at their next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from bridge.http import Http
from bridge.salesforce.session import Session
from cli.checks.api import ApiChecks, CreatedRecord
from cli.checks.connection import ConnectionChecks
from cli.checks.conversations import ConversationChecks
from cli.checks.files import FileChecks
from cli.checks.finding import Check, Finding, State, carry_out, good, note, skipped
from cli.checks.org import OrgChecks
from cli.connect.oauth import read_identity
from cli.deployment.stack import Stack
from cli.org.client import Org
from cli.outbox.times import counted
from cli.rejected.queue import Queue

FEW_AT_ONCE = 50
"""Concurrent executions of an account. One request takes one for a second or less, so this is what
the default ThrottleRate of 50 requests a second can use up."""

ESTIMATE = "an estimate of SQS"


def _carried_out(group: str, checks: Iterable[Check]) -> Iterator[Finding]:
    for check in checks:
        yield replace(carry_out(check), group=group)


@dataclass(kw_only=True)
class Doctor:
    stack: Stack
    sends: Iterable[str] = ()
    """Further fields that the flows send (`Lead.Region__c`)."""
    after_deploy: bool = False
    """Also send through the API what a flow would send; it may not be connected yet."""
    record: bool = False
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
        yield from _carried_out(
            "Connection", [("stack", self._stack), ("concurrency", self._concurrency)]
        )
        for finding in _carried_out("Connection", connection.checks()):
            yield connection.failed(finding.check, finding)
        self.connected = connection.credentials is not None
        identity = read_identity(connection.token.id) if connection.token else None
        # Without an org its checks are only counted.
        nowhere = Session(access_token="", instance_url="", generation=0)
        session_org = connection.org or Org(http=http, session=nowhere, api_version="")
        org = OrgChecks(stack=self.stack, org=session_org, sends=self.sends)
        conversations = ConversationChecks(
            stack=self.stack,
            org=session_org,
            user_id=identity.user_id if identity else "",
        )
        files = FileChecks(stack=self.stack, org=session_org)
        reds: set[str] = set()
        if connection.org is not None:
            for finding in (
                *_carried_out("Org", org.checks()),
                *_carried_out("Conversations", conversations.checks()),
                *_carried_out("Known people", org.people()),
                *_carried_out("Files", files.checks()),
            ):
                if finding.state is State.BAD:
                    reds.add(finding.check)
                yield finding
        else:
            count = len([*org.checks(), *conversations.checks()])
            not_checked = skipped(
                connection.cause,
                "The org was not checked: that needs access to its API.",
                count=count,
            )
            yield replace(not_checked, check="org", group="Org")
        yield from _carried_out("Queues", self._queues())
        api = ApiChecks(
            stack=self.stack,
            http=http,
            stored=connection.stored,
            wait_seconds=self.wait_seconds,
            report=self.report,
            cause=connection.cause,
            org_reds=frozenset(reds),
        )
        self.created = api.created
        yield from _carried_out("API", api.look_ups())
        if self.after_deploy:
            yield from _carried_out("Deployment", api.after_deploy(record=self.record))

    def _stack(self) -> Finding:
        where = "on this machine" if self.stack.is_local else f"in {self.stack.region}"
        return good(f"The stack {self.stack.name} is {where}.")

    def _concurrency(self) -> Finding:
        settings = self.stack.client("lambda").get_account_settings()
        limit = settings["AccountLimit"]["UnreservedConcurrentExecutions"]
        if limit > FEW_AT_ONCE:
            return good(f"Lambda runs up to {limit:,} functions at the same time in this account.")
        return note(
            f"Lambda runs only {limit} functions at the same time in this account and region, all "
            "programs together (new accounts have 10). Of a burst beyond that a flow gets 502, and "
            "its message is lost unless the flow repeats it; deliveries from the outbox count too.",
            "Request more, which is free: aws service-quotas request-service-quota-increase "
            "--service-code lambda --quota-code L-B99A9384 --desired-value 1000 "
            f"--region {self.stack.region}",
        )

    def _queues(self) -> Iterator[Check]:
        settings = self.stack.settings
        yield "outbox", partial(self._queue, settings.outbox_url, self._outbox)
        if settings.files_url:
            yield "files-queue", partial(self._queue, settings.files_url, self._files)
        yield "rejected", partial(self._queue, settings.rejected_url, self._rejected)

    def _queue(self, url: str, finding: Callable[[int], Finding]) -> Finding:
        return finding(Queue(self.stack.client("sqs"), url).counts().total)

    def _outbox(self, count: int) -> Finding:
        if not count:
            return good(f"No record is waiting in the outbox ({ESTIMATE}).")
        are = "is" if count == 1 else "are"
        return note(
            f"{counted(count)} {are} waiting and will be sent automatically ({ESTIMATE}).",
            self.stack.command("status"),
        )

    def _files(self, count: int) -> Finding:
        if not count:
            return good("No file is waiting.")
        are = "is" if count == 1 else "are"
        return note(
            f"{counted(count, 'message')} with files {are} waiting: they will be attached "
            "automatically.",
            "If the number does not fall: fix what is red here, and see AttachFiles's log: "
            + self.stack.log_of("attach-files"),
        )

    def _rejected(self, count: int) -> Finding:
        if not count:
            return good(f"No record is rejected ({ESTIMATE}).")
        return note(
            f"Salesforce refused {counted(count)} ({ESTIMATE}). Rejected records are kept for 14 "
            "days.",
            self.stack.command("rejected list"),
        )
