"""What became of one message or one update, while its caller waited."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from bridge.delivery.outbox import What
from bridge.errors import NotKept, Refused, SalesforceProblem
from bridge.salesforce.client import NO_COST, Cost
from bridge.salesforce.responses import Found

NO_PROBLEMS: Mapping[str, SalesforceProblem] = MappingProxyType({})


class Created(NamedTuple):
    """The record is in Salesforce; `new` unless it was there before."""

    found: Found | None
    """None: the message was logged, and a person has deleted what it was logged on."""
    url: str
    new: bool
    cost: Cost = NO_COST
    object: str = ""
    """What the record is, where that need not be what was requested."""
    task_id: str = ""
    added: bool = False
    """Whether the message was logged just now."""
    not_written: tuple[str, ...] = ()
    """The caller's fields that the record did not get, since it was there."""
    opened: Literal["", "successor", "reopened"] = ""
    not_logged: SalesforceProblem | None = None
    """Why the message is not on the record's timeline: it has to be tried again."""
    problems: Mapping[str, SalesforceProblem] = NO_PROBLEMS
    """What could not be done beside the Task, by its name: touch, comment, reopen, text."""
    matches: int = 0
    """How many Contacts the sender of a new Case may be; it is linked to one only."""
    matched: bool = False
    """Whether a duplicate rule of the org named this record."""

    @property
    def name(self) -> str:
        """As logs and metrics have it. Each other outcome has one name."""
        return "created" if self.new else "added" if self.added else "exists"


class Queued(NamedTuple):
    """It has to be tried again; no problem: the caller did not want to wait."""

    problem: SalesforceProblem | None
    cost: Cost = NO_COST
    name: Literal["queued"] = "queued"


class Rejected(NamedTuple):
    """Salesforce refuses the record, or the message's Task."""

    problem: Refused
    cost: Cost = NO_COST
    what: What = "record"
    name: Literal["rejected"] = "rejected"


class Failed(NamedTuple):
    """Neither Salesforce nor a queue has the record."""

    problem: NotKept
    cost: Cost = NO_COST
    name: Literal["not_kept"] = "not_kept"


class Updated(NamedTuple):
    """The record has the values of an update."""

    found: Found
    url: str
    cost: Cost = NO_COST
    name: Literal["updated"] = "updated"


class Converted(NamedTuple):
    """The Lead that an update is for is a Contact now; nothing is kept."""

    contact_id: str | None
    cost: Cost = NO_COST
    name: Literal["converted"] = "converted"


Outcome = Created | Queued | Rejected | Failed
UpdateOutcome = Updated | Converted | Queued | Rejected | Failed


def metrics_of(created: Created) -> list[str]:
    """What is counted of a message on a timeline."""
    happened = {
        "MessagesLogged": created.added,
        "MessagesNotLogged": created.not_logged is not None,
        "Successors": created.opened == "successor",
        "CasesReopened": created.opened == "reopened",
        "MessagesMatched": created.matched,
    }
    return [name for name, so in happened.items() if so]
