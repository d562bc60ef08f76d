"""The whole bundle with files: Bird's media host beside Salesforce and AWS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.media.host import MediaHost
from sandbox.org.org import Org
from sandbox.stack import Response, Stack
from tests.conftest import PATIENT
from tests.stacks import empty_queues, has_live_token, renew_token

PICTURE = bytes(range(256)) * 40


@dataclass
class Files:
    """What a test does with a stack that attaches files."""

    stack: Stack
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def media(self) -> MediaHost:
        return self.stack.media

    @property
    def org(self) -> Org:
        return self.stack.org

    def send(
        self,
        *media: Any,
        path: str = "/cases",
        conversation: str = "",
        message: str = "",
        **more: Any,
    ) -> Response:
        """A customer's message with files."""
        bird = {
            "channel": "whatsapp",
            "messageId": message or f"m-{next(self.numbers)}",
            "conversationId": conversation or f"c-{next(self.numbers)}",
            "sender": "+447700900142",
            "text": "My parcel is broken",
            "media": list(media),
        }
        return self.stack.request("POST", path, {"bird": bird}, **more)

    def attach(self) -> None:
        self.stack.drain_files()

    def on(self, record_id: str) -> list[dict[str, Any]]:
        """The files of a record: their latest versions."""
        links = self.org.records("ContentDocumentLink")
        documents = {
            one["ContentDocumentId"] for one in links if one["LinkedEntityId"] == record_id
        }
        versions = self.org.records("ContentVersion")
        return [one for one in versions if one["ContentDocumentId"] in documents]

    def rejected(self) -> list[dict[str, Any]]:
        return self.stack.rejected()


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with Stack(poll=False, parameters={**PATIENT, "AttachMedia": "on"}) as stack:
        stack.tick()
        yield stack


@pytest.fixture
def files(running: Stack) -> Iterator[Files]:
    """The module's stack, quiet and empty."""
    running.aws.heal()
    running.org.reset()
    empty_queues(running)
    running.media.seen.clear()
    if not has_live_token(running):
        assert not renew_token(running).failed
    made = Files(running)
    yield made
    assert running.media.shown_the_key() <= {"bird"}, "the key went to another host"
