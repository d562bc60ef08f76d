"""Files through kills and faults: each once, on the record of its message.

Files are told apart by their content and messages by their links, never by the bundle's keys. The
workers are killed after steps that are drawn and at random moments, Bird's host, Salesforce and AWS
fail, messages come twice and in any order, and people convert and merge leads meanwhile.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from sandbox.stack import Stack
from tests.conftest import PATIENT
from tests.slow.chaos.conftest import LONG

TROUBLES = ("", "", "", "500", "503", "429", "break off", "claim more", "close")
ATTEMPTS = 30


@dataclass
class Plan:
    """What was sent: by message its files, as links and MD5 of their contents."""

    stack: Stack
    random: Random
    files: dict[str, str] = field(default_factory=dict)
    """MD5 by link."""
    counts: Counter[str] = field(default_factory=Counter)

    def send(self, number: int, files: int) -> None:
        """One message with so many files, repeated as a caller does until there is a response."""
        media = self.stack.media
        links = []
        for at in range(files):
            content = f"file {number}-{at} ".encode() * self.random.randint(1, 3_000)
            trouble = tuple(self.random.choice(TROUBLES) for _ in range(2))
            link = media.put(content, trouble=tuple(filter(None, trouble)))
            links.append(link)
            self.files[link] = hashlib.md5(content).hexdigest()
        bird = {
            "channel": "whatsapp",
            "messageId": f"message-{number}",
            "conversationId": f"conversation-{number % 40}",
            "sender": "+447700900142",
            "text": f"message {number}",
            "media": links,
        }
        path = "/leads" if number % 40 < 20 else "/cases"
        for _ in range(ATTEMPTS):
            if self.stack.request("POST", path, {"bird": bird}).status in (200, 201, 202):
                return
        raise AssertionError("no response in all attempts")

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
        leads = [one for one in org.records("Lead") if not one.get("IsConverted")]
        self.random.shuffle(leads)
        if leads and self.random.random() < 0.5:
            org.convert(leads.pop()["Id"])
            self.counts["converted"] += 1
        if len(leads) > 1 and self.random.random() < 0.3:
            org.merge("Lead", leads[0]["Id"], leads[1]["Id"])
            self.counts["merged"] += 1

    # What became of it

    def faults(self) -> list[str]:
        """What is wrong, in words."""
        org = self.stack.org
        versions: dict[str, list[dict[str, Any]]] = {}
        for version in org.records("ContentVersion"):
            versions.setdefault(version["Checksum"], []).append(version)
        links: dict[str, list[str]] = {}
        for link in org.records("ContentDocumentLink"):
            links.setdefault(link["ContentDocumentId"], []).append(link["LinkedEntityId"])
        leads = {one["Id"]: one.get("ConvertedContactId") for one in org.records("Lead")}
        owners = {user["Id"] for user in org.records("User")}
        tasks = org.records("Task")
        wrong = []
        for link, checksum in self.files.items():
            found = versions.get(checksum, [])
            (task,) = [one for one in tasks if link in one["Description"]]
            parent = task.get("WhatId") if str(task.get("WhatId")).startswith("500") else None
            parent = parent or task.get("WhoId")
            if len(found) != 1:
                wrong.append(f"{len(found)} files of {link}")
                continue
            places = [one for one in links[found[0]["ContentDocumentId"]] if one not in owners]
            # What was attached before a conversion may still be on the lead.
            now = {leads.get(place) or place for place in places}
            if now != {parent}:
                wrong.append(f"{link} is on {places}, its message on {parent}")
        if len(versions) != len(self.files):
            wrong.append(f"{len(versions)} contents of {len(self.files)}")
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
        lock = threading.Lock()
        draws = Random(random.random())

        def drawn(share: float, most_steps: int) -> Callable[[], int]:
            def kill_after() -> int:
                with lock:
                    return draws.randint(1, most_steps) if draws.random() < share else 0

            return kill_after

        for name in ("create_lead", "create_case"):
            stack.functions[name].kill_after = drawn(0.1, 8)
        number = 0
        while len(plan.files) < most:
            plan.send(number, min(random.choice([1, 1, 2, 3]), most - len(plan.files)))
            number += 1
        for name in ("create_lead", "create_case"):
            stack.functions[name].kill_after = None
        stack.drain(seconds=60)

        attach = stack.functions["attach_files"]
        attach.kill_after = drawn(0.4, 24)
        stack.aws.queues.misbehave(stack.files_url, twice=0.1, shuffled=True)
        # Then calmer, so that a slow machine gets through as well.
        begun, rounds, wild_rounds = time.monotonic(), 0, sized(60, 600)
        while stack.files_waiting() and time.monotonic() - begun < sized(200, 1_500):
            rounds += 1
            plan.disturb()
            stack.files_poller.start()
            for _ in range(3):
                time.sleep(random.uniform(0.1, 0.5))
                if rounds <= wild_rounds:
                    stack.kill("attach_files")
            stack.files_poller.pause()
            plan.people()
            plan.calm()
            if rounds == wild_rounds:
                attach.kill_after = drawn(0.05, 24)
        table = {
            "files": len(plan.files),
            "messages": number,
            "invocations": attach.invocations,
            "killed": attach.crashes,
            "rounds": rounds,
            **plan.counts,
        }
        print(f"\nFiles, seed {seed}: {table}")
        assert stack.files_waiting() == 0
        assert stack.rejected() == []
        assert plan.faults() == []
        assert attach.crashes >= 10
        assert stack.media.shown_the_key() == {"bird"}
