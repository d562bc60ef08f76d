"""Files through kills and faults: each once, on the record of its message.

Files are told apart by their content and messages by their links, never by the bundle's keys. The
workers are killed after steps that are drawn and at random moments, Bird's host, Salesforce and AWS
fail, messages come twice and in any order, and people convert and merge leads meanwhile.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.slow.chaos.conftest import LONG

TROUBLES = ("", "", "", "500", "503", "429", "break off", "claim more", "close")
ATTEMPTS = 30


class Plan:
    """What was sent: the MD5 of each file by its link."""

    def __init__(self, stack: Stack, random: Random) -> None:
        self.stack = stack
        self.random = random
        self.files: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def kill(self, share: float, most_steps: int, *names: str) -> None:
        """From now on kill this share of some functions' invocations after a few steps."""
        draws = Random(self.random.random())

        def kill_after() -> int:
            return draws.randint(1, most_steps) if draws.random() < share else 0

        for name in names:
            self.stack.functions[name].kill_after = kill_after

    def send(self, number: int, files: int) -> None:
        """One message with so many files, repeated as a caller does until there is a response."""
        links = []
        for at in range(files):
            content = f"file {number}-{at} ".encode() * self.random.randint(1, 3_000)
            trouble = filter(None, (self.random.choice(TROUBLES) for _ in range(2)))
            links.append(self.stack.media.put(content, trouble=tuple(trouble)))
            self.files[links[-1]] = hashlib.md5(content).hexdigest()
        ids = {"messageId": f"message-{number}", "conversationId": f"conversation-{number % 40}"}
        who = {"channel": "whatsapp", "sender": "+447700900142"}
        body = {"bird": {**ids, **who, "text": f"message {number}", "media": links}}
        send = partial(self.stack.request, "POST", "/leads" if number % 40 < 20 else "/cases", body)
        assert any(send().status in (200, 201, 202) for _ in range(ATTEMPTS)), "no response"

    def disturb(self) -> None:
        """Faults for the next moments."""
        trouble, aws, random = self.stack.org.trouble, self.stack.aws, self.random
        upload = {"path": "/sobjects/ContentVersion", "method": "POST"}
        trouble.add(**upload, reset=random.choice(["before", "after"]), times=2)
        trouble.add(**upload, status=503, body="maintenance", commit=True, times=1)
        trouble.add(area="rest", status=503, body="maintenance", times=1, skip=random.randint(0, 9))
        trouble.add(area="rest", expire="all", times=1, skip=random.randint(0, 20))
        for service, operation in (
            ("dynamodb", "PutItem"),
            ("dynamodb", "DeleteItem"),
            ("sqs", "ChangeMessageVisibilityBatch"),
            ("secretsmanager", "GetSecretValue"),
        ):
            effect = random.choice(["refuse", "drop", "drop_after"])
            aws.fail(service, operation, times=random.randint(0, 2), effect=effect)

    def calm(self) -> None:
        """The end of all faults, and time passes: nobody works, so no claim holds any more."""
        self.stack.org.trouble.clear()
        self.stack.aws.heal()
        dynamodb = self.stack.client("dynamodb")
        table = self.stack.deployment.resource("RefreshLease")["Ref"]
        for item in dynamodb.scan(TableName=table)["Items"]:
            if item["name"]["S"].startswith("files-"):
                dynamodb.delete_item(TableName=table, Key={"name": item["name"]})
                self.counts["claims of killed workers"] += 1
        self.stack.aws.queues.let_time_pass(self.stack.files_url)

    def people(self) -> None:
        """Somebody converts a lead, and merges one into another."""
        org = self.stack.org
        leads = [one["Id"] for one in org.records("Lead") if not one.get("IsConverted")]
        self.random.shuffle(leads)
        if leads and self.random.random() < 0.5:
            org.convert(leads.pop())
            self.counts["converted"] += 1
        if len(leads) > 1 and self.random.random() < 0.3:
            org.merge("Lead", leads[0], leads[1])
            self.counts["merged"] += 1

    def wrong(self) -> list[str]:
        """What became of it otherwise than it should, in words."""
        org = self.stack.org
        versions = [
            (one["Checksum"], one["ContentDocumentId"]) for one in org.records("ContentVersion")
        ]
        owners = {user["Id"] for user in org.records("User")}
        # What was attached before a conversion may still be on the lead.
        now = {one["Id"]: one.get("ConvertedContactId") or one["Id"] for one in org.records("Lead")}
        links = [
            (one["ContentDocumentId"], now.get(one["LinkedEntityId"], one["LinkedEntityId"]))
            for one in org.records("ContentDocumentLink")
            if one["LinkedEntityId"] not in owners
        ]
        wrong = []
        for link, checksum in self.files.items():
            documents = [document for found, document in versions if found == checksum]
            (task,) = [one for one in org.records("Task") if link in one["Description"]]
            case = str(task.get("WhatId")).startswith("500")
            parent = task["WhatId"] if case else task["WhoId"]
            places = {place for document, place in links if document in documents}
            if len(documents) != 1 or places != {parent}:
                wrong.append(f"{link}: {len(documents)} files on {places}, its message on {parent}")
        if len(versions) != len(self.files):
            wrong.append(f"{len(versions)} files of {len(self.files)}")
        return wrong


@pytest.mark.slow
@pytest.mark.timeout(1800 if LONG else 300)
def test_each_file_is_attached_once_on_the_record_of_its_message(
    seed: int, sized: Callable[[int, int], int]
) -> None:
    most, random = sized(100, 1_000), Random(seed)
    parameters = {**PATIENT, "AttachMedia": "on", "DeliverConcurrency": "3"}
    with Stack(poll=False, window=0.1, parameters=parameters) as stack:
        stack.tick()
        plan = Plan(stack, random)
        plan.kill(0.1, 8, "create_lead", "create_case")
        while len(plan.files) < most:
            plan.counts["messages"] += 1
            files = min(random.choice([1, 1, 2, 3]), most - len(plan.files))
            plan.send(plan.counts["messages"], files)
        plan.kill(0, 1, "create_lead", "create_case")
        stack.drain(seconds=60)

        attach = stack.functions["attach_files"]
        plan.kill(0.4, 24, "attach_files")
        stack.aws.queues.misbehave(stack.files_url, twice=0.1, shuffled=True)
        # Then calmer, so that a slow machine gets through as well.
        begun, wild_rounds = time.monotonic(), sized(60, 600)
        while stack.files_waiting() and time.monotonic() - begun < sized(200, 1_500):
            plan.counts["rounds"] += 1
            plan.disturb()
            stack.files_poller.start()
            for _ in range(3):
                time.sleep(random.uniform(0.1, 0.5))
                if plan.counts["rounds"] <= wild_rounds:
                    stack.kill("attach_files")
            stack.files_poller.pause()
            plan.people()
            plan.calm()
            if plan.counts["rounds"] == wild_rounds:
                plan.kill(0.05, 24, "attach_files")
        print(f"\nFiles, seed {seed}: {attach.crashes} killed, {dict(plan.counts)}")
        assert stack.files_waiting() == 0
        assert stack.rejected() == []
        assert plan.wrong() == []
        assert attach.crashes >= 10
        assert stack.media.shown_the_key() == {"bird"}
