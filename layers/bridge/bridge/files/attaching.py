"""The job of attach_files: the files of one message after the other onto their records.

What is done is acknowledged, what is refused for good goes to Rejected, and all else goes back to
the queue. A message is acknowledged only when each of its files is on the record or in Rejected, so
a crash at any moment only means that it comes again; the files' keys make that harmless.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.aws import Aws, AwsError, KeptSecret
from bridge.bird.channels import reported
from bridge.bird.message import Media
from bridge.conversations.write import GONE
from bridge.deadline import Deadline
from bridge.delivery.batch import attempts_of, delay_seconds, messages_of, sent_seconds_ago
from bridge.delivery.calls import Calls
from bridge.delivery.deliver import GIVE_UP_SECONDS
from bridge.delivery.outbox import UnknownEnvelope, UnreadableEnvelope
from bridge.delivery.queues import BatchQueues, unreadable_body
from bridge.errors import KeyTaken, NotSetUp, Refused, SalesforceProblem, Unavailable
from bridge.files.download import Downloaded, Downloads, read_key
from bridge.files.envelope import FileEnvelope
from bridge.files.names import file_name, plain_type
from bridge.files.place import find_place
from bridge.files.versions import NewFile, There, find, link_fields, upload
from bridge.oauth.boto3_errors import BOTO3_ERRORS, as_aws_error
from bridge.oauth.lease import Lease
from bridge.oauth.sessions import Sessions
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

DOWNLOAD_SECONDS = 60.0
UPLOAD_SECONDS = 90.0
RESERVED_SECONDS = 15.0
"""For what comes after a file: another look, and the queues. With less than a download, an upload
and this left no further file is begun."""

CALL_SECONDS = 30.0

METRICS = {"attached": "FilesAttached", "rejected": "FilesRejected"}


@dataclass
class _Work:
    """One message of the queue, and what became of its files by their numbers."""

    message: Mapping[str, Any]
    envelope: FileEnvelope
    attempts: int
    done: dict[int, str] = field(default_factory=dict)
    """`attached`, `exists` or `deleted`."""
    refused: dict[int, SalesforceProblem] = field(default_factory=dict)
    waiting: SalesforceProblem | None = None
    """Why at least one of them has to be tried again."""

    @property
    def left(self) -> dict[int, Media]:
        """The files that are undecided, another one first at each attempt: none that takes all
        the time of an invocation keeps the others back."""
        decided = {*self.done, *self.refused}
        left = [one for one in self.envelope.files.items() if one[0] not in decided]
        first = self.attempts % len(left) if left else 0
        return dict(left[first:] + left[:first])


class Attaching:
    """The job of attach_files. One per execution environment."""

    def __init__(
        self,
        *,
        salesforce: Salesforce,
        sessions: Sessions,
        aws: Aws,
        sqs: BaseClient,
        dynamodb: BaseClient,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._salesforce = salesforce
        self._sessions = sessions
        self._access_key = KeptSecret(aws=aws, secret_id=settings.access_key_secret, read=read_key)
        self._downloads = Downloads(settings=settings)
        self._queues = BatchQueues(
            sqs=sqs, settings=settings, telemetry=telemetry, source=settings.files_url
        )
        self._dynamodb = dynamodb
        self._settings = settings
        self._telemetry = telemetry

    def run(self, event: Any, *, seconds: float) -> dict[str, Any]:
        """Attach the files of an SQS event's messages; returns those that SQS has to keep.

        `seconds` is what is left of the invocation. Raises BadRequest for what is no SQS event.
        """
        end = Deadline.after(seconds)
        calls = Calls(self._salesforce, self._sessions, until=end, seconds=CALL_SECONDS)
        kept: list[Mapping[str, Any]] = []
        for message in messages_of(event):
            kept += self._handle(message, calls, end)
        cost = calls.cost
        if cost.calls:
            self._telemetry.measure_salesforce(
                milliseconds=cost.milliseconds, usage_percent=cost.usage_percent, calls=cost.calls
            )
        return {"batchItemFailures": [{"itemIdentifier": m["messageId"]} for m in kept]}

    def _handle(
        self, message: Mapping[str, Any], calls: Calls, end: Deadline
    ) -> list[Mapping[str, Any]]:
        """One message; gives it back if SQS has to keep it."""
        attempts = attempts_of(message)
        try:
            work = _Work(message, FileEnvelope.parse(message.get("body")), attempts)
        except UnknownEnvelope:
            self._telemetry.warn("messages_of_another_version", count=1)
            self._queues.delay([(message, delay_seconds(None, attempts=attempts))])
            return [message]
        except UnreadableEnvelope:
            self._telemetry.warn("unreadable_messages", count=1)
            return self._queues.reject([(unreadable_body(message), [message])])
        started = time.perf_counter()
        try:
            self._attach_claimed(work, calls, end)
        except SalesforceProblem as problem:
            work.waiting = problem
        return self._settle(work, (time.perf_counter() - started) * 1000)

    # Attach

    def _attach_claimed(self, work: _Work, calls: Calls, end: Deadline) -> None:
        """Attach the files while no other worker does. Raises Unavailable, NotSetUp."""
        name = f"files-{work.envelope.key}"
        claim = Lease(dynamodb=self._dynamodb, table=self._settings.lease_table, name=name)
        try:
            taken = claim.take(seconds=end.remaining())
        except BOTO3_ERRORS as error:
            code = as_aws_error(error).code
            raise Unavailable("the claim could not be taken", code=code) from error
        if not taken:
            raise Unavailable("another worker has these files in hand", code="CLAIMED")
        try:
            # Once more where the record was merged or converted between the look and an upload.
            if self._attach(work, calls, end) and (changed := self._attach(work, calls, end)):
                raise Unavailable(changed.message, code=changed.code) from changed
        finally:
            claim.release()

    def _attach(self, work: _Work, calls: Calls, end: Deadline) -> Refused | None:
        """Find the record, see what is there, and upload the rest. Raises Unavailable, NotSetUp.

        Gives the refusal of an upload that tells that something has changed since the look: the
        record is gone, or of a key that is taken the file is there.
        """
        envelope = work.envelope
        record_id = find_place(envelope, calls, key_field=self._settings.external_id_field)
        if not record_id:
            work.done |= dict.fromkeys(work.left, "deleted")
            return None
        keys = {envelope.file_key(number): number for number in work.left}
        for key, found in find([*keys], record_id, calls).items():
            if key in keys:
                self._link(found, record_id, calls)
                work.done[keys[key]] = "exists"
        for number, media in work.left.items():
            if end.remaining() < DOWNLOAD_SECONDS + UPLOAD_SECONDS + RESERVED_SECONDS:
                work.waiting = work.waiting or Unavailable("no time was left", code="NO_TIME")
                break
            try:
                self._bring(envelope, number, media, record_id, calls)
                work.done[number] = "attached"
            except Refused as problem:
                if isinstance(problem, KeyTaken) or problem.code in GONE:
                    return problem
                work.refused[number] = problem
            except Unavailable as problem:
                # The next file may be on another host; trouble with Salesforce shows there again.
                work.waiting = work.waiting or problem
        return None

    def _link(self, found: There, record_id: str, calls: Calls) -> None:
        """Put a file that is there on this record too. A file that a person deleted stays so."""
        if found.linked or found.deleted:
            return
        link = [("ContentDocumentLink", link_fields(found.document_id, record_id))]
        (problem,) = calls.make(self._salesforce.save_many, "POST", link)
        if problem is None or problem.code == "DUPLICATE_VALUE" or problem.code in GONE:
            return
        if isinstance(problem, Refused):
            problem = Unavailable(problem.message, code=problem.code, hint=problem.hint)
        raise problem

    def _bring(
        self, envelope: FileEnvelope, number: int, media: Media, record_id: str, calls: Calls
    ) -> None:
        """Download one file and upload it. Raises Refused, Unavailable, NotSetUp."""
        downloaded = self._download(media.link)
        with downloaded.file as content:
            name = file_name(
                media.name,
                disposition=downloaded.disposition,
                content_type=plain_type(media.type) or plain_type(downloaded.type),
                number=number,
            )
            key = envelope.file_key(number)
            new = NewFile(key, name, record_id, content, downloaded.size)
            calls.make(upload, self._salesforce, new, by=Deadline.after(UPLOAD_SECONDS))

    def _download(self, link: str) -> Downloaded:
        """Raises Refused, Unavailable, NotSetUp."""
        deadline = Deadline.after(DOWNLOAD_SECONDS)
        key = self._read_key(deadline)
        try:
            return self._downloads.fetch(link, access_key=key, deadline=deadline)
        except Refused as refused:
            if refused.code not in ("MEDIA_HTTP_401", "MEDIA_HTTP_403"):
                raise
            self._access_key.forget()
            newer = self._read_key(deadline)
            if newer == key:
                raise
            return self._downloads.fetch(link, access_key=newer, deadline=deadline)

    def _read_key(self, deadline: Deadline) -> str:
        try:
            return self._access_key.value(deadline=deadline)
        except AwsError as error:
            raise Unavailable("the access key cannot be read just now", code=error.code) from error

    # Afterwards

    def _settle(self, work: _Work, milliseconds: float) -> list[Mapping[str, Any]]:
        """Reject and delay, log and count; gives the message if SQS has to keep it.

        Nothing is rejected while a file of the same message waits, or it would be rejected again.
        """
        age = sent_seconds_ago(work.message)
        kept = [work.message]
        undecided = "rejected" if work.waiting is None or age > GIVE_UP_SECONDS else "delayed"
        if work.waiting is not None and undecided == "delayed":
            soon = work.waiting.code == "NO_TIME"
            seconds = 1 if soon else delay_seconds(work.waiting, attempts=work.attempts)
            self._queues.delay([(work.message, seconds)])
            self._telemetry.measure_age("FilesAge", age)
        else:
            if work.waiting is not None:
                work.refused |= dict.fromkeys(work.left, work.waiting)
            bodies = [
                (work.envelope.refused(problem, n, attempts=work.attempts).dump(), kept)
                for n, problem in sorted(work.refused.items())
            ]
            kept = kept if self._queues.reject(bodies) else []
        outcomes: dict[str, list[int]] = {}
        for number in work.envelope.files:
            outcomes.setdefault(work.done.get(number, undecided), []).append(number)
        for outcome, numbers in sorted(outcomes.items()):
            problem = next((work.refused[n] for n in numbers if n in work.refused), work.waiting)
            self._telemetry.event(
                "files",
                outcome=outcome,
                count=len(numbers),
                channel=reported(work.envelope.channel),
                key=work.envelope.key,
                code=problem.code if problem and outcome == undecided else "",
                attempts=work.attempts,
                milliseconds=round(milliseconds, 1),
            )
            if metric := METRICS.get(outcome):
                self._telemetry.count(metric, len(numbers))
        if isinstance(work.waiting, NotSetUp):
            self._telemetry.alarm("not_set_up", error=work.waiting)
            self._telemetry.count("NotSetUp")
        return kept
