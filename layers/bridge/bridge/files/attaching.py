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

from bridge.bird.channels import reported
from bridge.bird.message import Media
from bridge.conversations.write import GONE
from bridge.deadline import Deadline
from bridge.delivery.batch import attempts_of, delay_seconds, sent_seconds_ago
from bridge.delivery.calls import Calls
from bridge.delivery.deliver import GIVE_UP_SECONDS
from bridge.delivery.outbox import UnknownEnvelope, UnreadableEnvelope
from bridge.delivery.queues import BatchQueues, unreadable_body
from bridge.errors import BadRequest, KeyTaken, NotSetUp, Refused, SalesforceProblem, Unavailable
from bridge.files.access_key import AccessKey
from bridge.files.download import Downloaded, Downloads
from bridge.files.envelope import FileEnvelope
from bridge.files.names import file_name, plain_type
from bridge.files.place import (
    MOST_MERGES,
    Merged,
    Place,
    merged_part,
    place_parts,
    read_place,
    read_record,
    rows_of,
)
from bridge.files.versions import NewFile, There, Uploads, find, link_fields
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
TRIES = 2
"""Looks for the record and uploads, where the record was merged or converted between the two."""


@dataclass
class _Work:
    """One message of the queue, and what became of its files by their numbers."""

    message: Mapping[str, Any]
    envelope: FileEnvelope
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

    @property
    def attempts(self) -> int:
        return attempts_of(self.message)


class Attaching:
    """The job of attach_files. One per execution environment."""

    def __init__(
        self,
        *,
        salesforce: Salesforce,
        sessions: Sessions,
        access_key: AccessKey,
        downloads: Downloads,
        sqs: BaseClient,
        dynamodb: BaseClient,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._salesforce = salesforce
        self._sessions = sessions
        self._access_key = access_key
        self._downloads = downloads
        self._uploads = Uploads(base=salesforce.base)
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
        messages = event.get("Records") if isinstance(event, dict) else None
        if not isinstance(messages, list) or not all(_has_id(one) for one in messages):
            raise BadRequest("the event is no SQS event")
        end = Deadline.after(seconds)
        calls = Calls(self._salesforce, self._sessions, until=end, seconds=CALL_SECONDS)
        kept: list[Mapping[str, Any]] = []
        for message in messages:
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
        try:
            work = _Work(message, FileEnvelope.parse(message.get("body")))
        except UnknownEnvelope:
            self._telemetry.warn("messages_of_another_version", count=1)
            self._queues.delay([(message, delay_seconds(None, attempts=attempts_of(message)))])
            return [message]
        except UnreadableEnvelope:
            self._telemetry.warn("unreadable_messages", count=1)
            return self._queues.reject([(unreadable_body(message), [message])])
        started = time.perf_counter()
        try:
            self._attach_claimed(work, calls, end)
        except SalesforceProblem as problem:
            work.waiting = problem
        kept = self._settle(work)
        self._tell(work, (time.perf_counter() - started) * 1000)
        return kept

    # Attach

    def _attach_claimed(self, work: _Work, calls: Calls, end: Deadline) -> None:
        """Attach the files while no other worker does. Raises Unavailable, NotSetUp."""
        claim = Lease(
            dynamodb=self._dynamodb,
            table=self._settings.lease_table,
            name=f"files-{work.envelope.key}",
        )
        try:
            taken = claim.take(seconds=end.remaining())
        except BOTO3_ERRORS as error:
            code = as_aws_error(error).code
            raise Unavailable("the claim could not be taken", code=code) from error
        if not taken:
            raise Unavailable("another worker has these files in hand", code="CLAIMED")
        try:
            for attempt in range(TRIES):
                try:
                    self._attach(work, calls, end)
                    return
                except _RecordGone as gone:
                    if attempt == TRIES - 1:
                        raise Unavailable(gone.problem.message, code=gone.problem.code) from gone
        finally:
            claim.release()

    def _attach(self, work: _Work, calls: Calls, end: Deadline) -> None:
        """Find the record, see what is there, and upload the rest. Raises Unavailable, NotSetUp,
        _RecordGone."""
        place = self._place(work.envelope, calls)
        if not place.record_id:
            work.done |= dict.fromkeys(work.left, "deleted")
            return
        keys = {work.envelope.file_key(number): number for number in work.left}
        there = find([*keys], place.record_id, calls)
        for key, found in there.items():
            if key in keys:
                self._link(found, place.record_id, calls)
                work.done[keys[key]] = "exists"
        for number, media in work.left.items():
            if end.remaining() < DOWNLOAD_SECONDS + UPLOAD_SECONDS + RESERVED_SECONDS:
                work.waiting = work.waiting or Unavailable("no time was left", code="NO_TIME")
                return
            try:
                work.done[number] = self._bring(work.envelope, number, media, place, calls)
            except _RecordGone:
                raise
            except Refused as problem:
                work.refused[number] = problem
            except Unavailable as problem:
                # The next file may be on another host; trouble with Salesforce shows there again.
                work.waiting = work.waiting or problem

    def _place(self, envelope: FileEnvelope, calls: Calls) -> Place:
        """Raises NotThereYet, Unavailable, NotSetUp."""
        parts = place_parts(envelope, key_field=self._settings.external_id_field)
        place = read_place(envelope, calls.send_parts(parts))
        for _ in range(MOST_MERGES):
            if isinstance(place, Place):
                return place
            part = merged_part(place)
            rows = rows_of(calls.send_parts([part]).get(part.name))
            place = read_record(place.object, rows[0]) if rows else Place("")
        return Place("") if isinstance(place, Merged) else place

    def _link(self, found: There, record_id: str, calls: Calls) -> None:
        """Put a file that is there on this record too. A file that a person deleted stays so."""
        if found.linked or found.deleted:
            return
        fields = link_fields(found.document_id, record_id)
        link = [("ContentDocumentLink", fields)]
        (problem,) = calls.make(self._salesforce.save_many, "POST", link)
        if problem is None or problem.code == "DUPLICATE_VALUE" or problem.code in GONE:
            return
        if isinstance(problem, Refused):
            problem = Unavailable(problem.message, code=problem.code, hint=problem.hint)
        raise problem

    def _bring(
        self, envelope: FileEnvelope, number: int, media: Media, place: Place, calls: Calls
    ) -> str:
        """Download one file and upload it. Raises Refused, Unavailable, NotSetUp, _RecordGone."""
        downloaded = self._download(media)
        with downloaded.file:
            kind = plain_type(media.type) or plain_type(downloaded.type)
            new = NewFile(
                key=envelope.file_key(number),
                name=file_name(
                    media.name,
                    disposition=downloaded.disposition,
                    content_type=kind,
                    number=number,
                ),
                record_id=place.record_id,
                content=downloaded.file,
                size=downloaded.size,
            )
            try:
                calls.make(self._uploads.create, new, by=Deadline.after(UPLOAD_SECONDS))
            except Refused as problem:
                if isinstance(problem, KeyTaken) or problem.code in GONE:
                    # Look again: of a key that is taken the file is there.
                    raise _RecordGone(problem) from problem
                raise
        return "attached"

    def _download(self, media: Media) -> Downloaded:
        """Raises Refused, Unavailable, NotSetUp."""
        deadline = Deadline.after(DOWNLOAD_SECONDS)
        key = self._access_key.get(deadline=deadline)
        try:
            return self._downloads.fetch(media.link, access_key=key, deadline=deadline)
        except Refused as refused:
            if refused.code not in ("MEDIA_HTTP_401", "MEDIA_HTTP_403"):
                raise
            self._access_key.forget()
            newer = self._access_key.get(deadline=deadline)
            if newer == key:
                raise
            return self._downloads.fetch(media.link, access_key=newer, deadline=deadline)

    # Afterwards

    def _settle(self, work: _Work) -> list[Mapping[str, Any]]:
        """Reject and delay; gives the message if SQS has to keep it.

        Nothing is rejected while a file of the same message waits, or it would be rejected again.
        """
        if work.waiting is None and work.left:
            work.waiting = Unavailable("it is undecided", code="UNDECIDED")
        too_old = sent_seconds_ago(work.message) > GIVE_UP_SECONDS
        if work.waiting is not None and not too_old:
            seconds = delay_seconds(work.waiting, attempts=work.attempts)
            if work.waiting.code == "NO_TIME":
                seconds = 1
            self._queues.delay([(work.message, seconds)])
            return [work.message]
        if work.waiting is not None:
            work.refused |= dict.fromkeys(work.left, work.waiting)
        bodies = [
            (work.envelope.refused(problem, n, attempts=work.attempts).dump(), [work.message])
            for n, problem in sorted(work.refused.items())
        ]
        return [work.message] if self._queues.reject(bodies) else []

    def _tell(self, work: _Work, milliseconds: float) -> None:
        """Log and count what became of the files."""
        envelope = work.envelope
        outcomes = {**work.done}
        final = work.waiting is None or sent_seconds_ago(work.message) > GIVE_UP_SECONDS
        for number in envelope.files:
            if number not in outcomes:
                refused = number in work.refused and final
                outcomes[number] = "rejected" if refused else "delayed"
        for outcome in sorted(set(outcomes.values())):
            numbers = [n for n, what in outcomes.items() if what == outcome]
            problem = next((work.refused[n] for n in numbers if n in work.refused), work.waiting)
            self._telemetry.event(
                "files",
                outcome=outcome,
                count=len(numbers),
                channel=reported(envelope.channel),
                key=envelope.key,
                code=getattr(problem, "code", "") if outcome in ("rejected", "delayed") else "",
                attempts=work.attempts,
                milliseconds=round(milliseconds, 1),
            )
            if metric := METRICS.get(outcome):
                self._telemetry.count(metric, len(numbers))
        if work.waiting is not None and final is False:
            self._telemetry.measure_age("FilesAge", sent_seconds_ago(work.message))
        if isinstance(work.waiting, NotSetUp):
            self._telemetry.alarm("not_set_up", error=work.waiting)
            self._telemetry.count("NotSetUp")


METRICS = {"attached": "FilesAttached", "rejected": "FilesRejected"}


class _RecordGone(Exception):
    """The record changed between the look and the upload: look once more."""

    def __init__(self, problem: SalesforceProblem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def _has_id(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("messageId"), str)
