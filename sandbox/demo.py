"""`make demo`: what the bundle does, shown on a local stack, each claim checked as it is made.

Bird's side is played by HTTP calls as a flow makes them, Salesforce's by the org in memory. It ends
by itself, with exit code 0 only if everything that it claims really happened.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from rich.console import Console

from cli.rejected import records as rejected
from cli.rejected.queue import Queue
from sandbox import player
from sandbox.org.sample import SALES_USER
from sandbox.stack import Response, Stack
from tools.template import ROOT

console = Console(soft_wrap=True, highlight=False, markup=False)


class NotSo(Exception):
    """Something that the demo was about to claim did not happen."""


def heading(text: str) -> None:
    console.print()
    console.print(text, style="bold cyan")


def say(text: str) -> None:
    console.print(f"  {text}")


def check(what: object, claim: str) -> None:
    """Claim something that was seen to be true."""
    if not what:
        raise NotSo(claim)
    console.print(f"  ✓ {claim}", style="green")


def expect(response: Response, status: int, outcome: str) -> dict[str, Any]:
    """The body of a response that must be as the demo claims."""
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        body = {}
    if response.status != status or body.get("outcome") != outcome:
        raise NotSo(f"{status} {outcome}, but the API returned {response.status} {body}")
    return body


def wait_for(what: Callable[[], object], *, seconds: float, claim: str) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise NotSo(f"{claim}, not even after {seconds:.0f} seconds")
        time.sleep(0.1)


def message(
    message_id: str,
    text: str,
    *,
    channel: str = "whatsapp",
    name: str = "Ada Okafor",
    sender: str = "+31612345678",
    **more: Any,
) -> dict[str, Any]:
    """What a flow sends: only where the message came from; the bundle fills the rest."""
    return {
        "bird": {
            "channel": channel,
            "messageId": message_id,
            "conversationId": f"conversation-of-{name.lower().replace(' ', '-')}",
            "sender": sender,
            "displayName": name,
            "text": text,
            **more,
        }
    }


class Demo:
    """The scenes, in the order in which they are played."""

    def __init__(self, stack: Stack, *, links: bool = False) -> None:
        self.stack = stack
        self.links = links
        """Whether to print addresses of records: they live as long as the stack."""
        self.lead: dict[str, Any] = {}
        self.case: dict[str, Any] = {}

    def play(self) -> None:
        for scene in (
            self.a_message_becomes_a_lead,
            self.a_repeated_call_adds_nothing,
            self.a_later_step_adds_to_the_lead,
            self.a_conversation_becomes_one_case,
            self.a_closed_case_is_followed_up,
            self.a_converted_lead_is_followed_to_the_contact,
            self.a_flow_knows_who_cares_for_a_customer,
            self.a_shipped_flow_replies_to_a_customer,
            self.sms_becomes_a_lead,
            self.a_refused_token_is_renewed,
            self.a_refused_record_is_kept_mended_and_replayed,
            self.an_outage_loses_nothing,
            self.nothing_is_there_twice,
        ):
            heading((scene.__doc__ or "").strip())
            scene()

    def link(self, body: dict[str, Any]) -> None:
        if self.links:
            say(f"look: {body['url']}")

    def tasks(self, *, field: str, record_id: str) -> list[dict[str, Any]]:
        """The timeline of a record."""
        return [one for one in self.stack.org.records("Task") if one.get(field) == record_id]

    def person(self) -> str:
        """The id of somebody who works in Salesforce."""
        users = self.stack.org.records("User")
        return str(next(one["Id"] for one in users if one["Username"] == SALES_USER))

    def a_message_becomes_a_lead(self) -> None:
        """A WhatsApp message becomes a Lead"""
        request = message("wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQQ", "Is it in stock?")
        self.lead = expect(self.stack.request("POST", "/leads", request), 201, "created")
        check(self.lead["id"], f"Lead {self.lead['id']}")
        record = self.stack.org.get("Lead", self.lead["id"])
        check(
            record and record["LastName"] == "Okafor" and record["LeadSource"] == "WhatsApp",
            "in Salesforce: Ada Okafor, +31612345678, source WhatsApp, “Is it in stock?”",
        )
        self.link(self.lead)

    def a_repeated_call_adds_nothing(self) -> None:
        """The flow repeats its call (a retry, a double click)"""
        request = message("wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQQ", "Is it in stock?")
        body = expect(self.stack.request("POST", "/leads", request), 200, "exists")
        check(body["id"] == self.lead["id"] and not body["added"], f"the same id: {body['id']}")
        check(len(self.stack.org.records("Lead")) == 1, "and no second Lead")
        check(len(self.tasks(field="WhoId", record_id=body["id"])) == 1, "nor a second Task")

    def a_later_step_adds_to_the_lead(self) -> None:
        """The flow has asked for an e-mail address"""
        path = f"/leads/{self.lead['key']}"
        changes = {"Email": "ada@example.org", "Rating": "Hot"}
        body = expect(self.stack.request("PATCH", path, changes), 200, "updated")
        record = self.stack.org.get("Lead", body["id"]) or {}
        check(
            body["id"] == self.lead["id"] and record["Email"] == "ada@example.org",
            "PATCH: the same Lead has it now, and its rating is Hot",
        )

    def viber(self, message_id: str, text: str, **more: Any) -> Response:
        request = message(
            message_id,
            text,
            channel="viber",
            name="Boris Petrov",
            sender="+359888123456",
            **more,
        )
        return self.stack.request("POST", "/cases", request)

    def a_conversation_becomes_one_case(self) -> None:
        """A customer writes three times on Viber: one Case, and its timeline"""
        self.case = expect(self.viber("viber-1", "Hi"), 201, "created")
        number = self.case["number"]
        check(number, f"“Hi”: Case {number}")
        second = expect(self.viber("viber-2", "My parcel is broken"), 200, "exists")
        check(
            second["added"] and second["number"] == number,
            f"“My parcel is broken”: added to Case {number}",
        )
        picture = {"url": "https://media.nest.messagebird.com/parcel", "name": "parcel.jpg"}
        third = expect(self.viber("viber-3", "", media=[picture]), 200, "exists")
        check(third["added"] and third["number"] == number, f"a picture: added to Case {number}")
        timeline = self.tasks(field="WhatId", record_id=self.case["id"])
        check(len(self.stack.org.records("Case")) == 1 and len(timeline) == 3, "its timeline:")
        for task in timeline:
            say(f"    {task['Description'].splitlines()[0]}   {task['Subject']}")
        again = expect(self.viber("viber-2", "My parcel is broken"), 200, "exists")
        check(
            not again["added"] and again["taskId"] == second["taskId"],
            "the second message is delivered again: nothing is added",
        )
        check(self.tasks(field="WhatId", record_id=self.case["id"]) == timeline, "the same 3 Tasks")
        say(f"the flow can reply: “Your case is {number}.”")
        self.link(self.case)

    def close_case(self, **ago: float) -> None:
        """An agent closes the case; so much later the customer writes."""
        org = self.stack.org
        org.update("Case", self.case["id"], {"Status": "Closed"})
        if ago:
            closed_at = datetime.now(UTC) - timedelta(**ago)
            with org.lock:
                # Functions have this machine's time, so the closing is moved back instead.
                row = org.store["Case"].live[self.case["id"]]
                row["ClosedDate"] = f"{closed_at:%Y-%m-%dT%H:%M:%S}.000+0000"

    def status(self) -> str:
        return str((self.stack.org.get("Case", self.case["id"]) or {})["Status"])

    def a_closed_case_is_followed_up(self) -> None:
        """An agent closes the Case, and the customer writes again"""
        number = self.case["number"]
        self.close_case()
        body = expect(self.viber("viber-4", "Thank you!"), 200, "exists")
        check(
            body["added"] and body["number"] == number and self.status() == "Closed",
            f"“Thank you!” at once: added to Case {number}, which stays closed",
        )
        self.close_case(hours=1)
        body = expect(self.viber("viber-5", "It broke again"), 200, "exists")
        check(
            body["added"] and body["number"] == number and self.status() == "New",
            f"“It broke again” an hour later: Case {number} is open again",
        )
        self.close_case(days=7)
        body = expect(self.viber("viber-6", "I have another question"), 201, "created")
        successor = self.stack.org.get("Case", body["id"]) or {}
        check(
            body["number"] != number and successor.get("ParentId") == self.case["id"],
            f"“I have another question” a week later: Case {body['number']}, "
            f"whose parent is {number}",
        )
        check(self.status() == "Closed", f"and Case {number} stays closed")

    def a_converted_lead_is_followed_to_the_contact(self) -> None:
        """A colleague converts the Lead, and the customer writes again"""
        org = self.stack.org
        org.update("Lead", self.lead["id"], {"OwnerId": self.person()})
        contact_id = org.convert(self.lead["id"]).contact_id
        say(f"Lead {self.lead['id']} is now Contact {contact_id}")
        request = message("wamid.after-conversion", "When will it be here?")
        body = expect(self.stack.request("POST", "/leads", request), 200, "exists")
        check(
            body["added"] and body["object"] == "Contact" and body["id"] == contact_id,
            "the next message is on the Contact",
        )
        check(len(self.tasks(field="WhoId", record_id=contact_id)) == 2, "beside the one before")
        task = org.get("Task", body["taskId"]) or {}
        check(
            not task["IsClosed"] and task["OwnerId"] == self.person(),
            "as an open Task of the Contact's owner, so that somebody sees it",
        )
        check(len(org.records("Lead")) == 1, "and no second Lead was made")

    def a_flow_knows_who_cares_for_a_customer(self) -> None:
        """Another flow looks the customer up, with a key of its own"""
        who = {"bird": {"channel": "whatsapp", "sender": "+31612345678"}}
        key = self.stack.lookup_key
        found = self.stack.request("POST", "/customers/find", who, api_key=key)
        body = expect(found, 200, "known")
        check(body["object"] == "Contact", f"known: a Contact, whose owner is {body['ownerName']}")
        refused = self.stack.request("POST", "/leads", who, api_key=key)
        check(refused.status == 403, "the same key makes no Lead: 403")

    def a_shipped_flow_replies_to_a_customer(self) -> None:
        """A whole flow, flows/viber-to-case.json, played step by step as Bird would"""
        flow = player.load(
            ROOT / "flows" / "viber-to-case.json",
            {"https://YOUR-API-ADDRESS/v1": self.stack.url, "YOUR-API-KEY": self.stack.api_key},
        )
        customer = player.Customer("Mira Novak", ("phonenumber", "+385911234567"))
        first = player.Inbound("My order never came.", customer, message_id="viber-flow-1")
        run = player.play(flow, first)
        case = self.stack.org.records("Case")[-1]
        check(not run.failed_at and case["SuppliedName"] == "Mira Novak", "Case for Mira Novak")
        (reply,) = run.replies
        check(case["CaseNumber"] in reply.text, f"the customer reads: “{reply.text}”")
        second = replace(first, text="It is number 1042.", message_id="viber-flow-2")
        run = player.play(flow, second)
        (reply,) = run.replies
        check(
            len(self.tasks(field="WhatId", record_id=case["Id"])) == 2,
            "the second message is added to the Case",
        )
        check(case["CaseNumber"] in reply.text, f"the customer reads: “{reply.text}”")

    def sms_becomes_a_lead(self) -> None:
        """An SMS, sent as a form"""
        form = urlencode(
            {
                "bird.channel": "sms",
                "bird.messageId": "b2f0c6de-3e54-4a3f-9c11-7d4b8f1f2a10",
                "bird.sender": "+14155550123",
                "bird.text": "CALL ME",
            }
        )
        body = expect(
            self.stack.request(
                "POST",
                "/leads",
                form.encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            ),
            201,
            "created",
        )
        record = self.stack.org.get("Lead", body["id"]) or {}
        check(record.get("Phone") == "+14155550123", f"Lead {body['id']}, phone +14155550123")
        self.link(body)

    def a_refused_token_is_renewed(self) -> None:
        """Salesforce refuses the access token"""
        before = self.stack.token() or {}
        ended = self.stack.org.oauth.expire_sessions()
        say(f"Salesforce has ended {ended} session(s)")
        body = expect(
            self.stack.request("POST", "/leads", message("wamid.expired", "Hello?", name="Chi Wu")),
            201,
            "created",
        )
        after = self.stack.token() or {}
        check(body["id"], f"the flow gets its response all the same: Lead {body['id']}")
        check(
            after.get("generation", 0) > before.get("generation", 0)
            and after["access_token"] != before["access_token"],
            f"RefreshToken got a new token (generation {before.get('generation')} → "
            f"{after.get('generation')})",
        )

    def a_refused_record_is_kept_mended_and_replayed(self) -> None:
        """Salesforce refuses a record: a new validation rule wants an e-mail address"""
        rule = self.stack.org.add_validation_rule(
            "Lead", lambda record: not record.get("Email"), "Please enter an e-mail address."
        )
        request = message("wamid.refused", "Please send an offer", name="Dana Levi")
        body = expect(self.stack.request("POST", "/leads", request), 422, "rejected")
        check(body["code"], f"the response: {body['code']}: {body['detail']}")
        check(
            body["kept"] and len(self.stack.rejected()) == 1,
            "and the record is kept, with the reason, in the queue Rejected",
        )
        self.stack.org.rules.validation.remove(rule)
        say("the administrator corrects the rule, and replays what was rejected")
        replayed = replay(self.stack)
        check(replayed == 1 and not self.stack.rejected(), "1 record went back to the outbox")
        path = f"/leads/{body['key']}"
        wait_for(
            lambda: self.stack.request("GET", path).status == 200,
            seconds=20,
            claim="the replayed record is in Salesforce",
        )
        found = expect(self.stack.request("GET", path), 200, "created")
        check(found["id"], f"now it is in Salesforce: Lead {found['id']}")

    def an_outage_loses_nothing(self) -> None:
        """Salesforce is down while five customers write, one of them twice"""
        requests = [
            message(f"wamid.outage-{number}", "Hi", name=f"Eve {name}")
            for number, name in enumerate(("Stone", "Rivera", "Kim", "Haas", "Moreau"), start=1)
        ]
        requests.append(message("wamid.outage-6", "Is anybody there?", name="Eve Stone"))
        with self.stack.outage():
            slowest, keys = 0.0, []
            for request in requests:
                began = time.monotonic()
                response = self.stack.request("POST", "/leads", request)
                slowest = max(slowest, time.monotonic() - began)
                keys.append(expect(response, 202, "queued")["key"])
            check(slowest < 10, f"6 responses of 202, the slowest after {slowest * 1000:.0f} ms")
            # The record replayed before may be in Salesforce and not yet off the queue.
            wait_for(lambda: self.stack.waiting() == 6, seconds=10, claim="six messages wait")
            check(True, "6 messages wait in the outbox")
        say("Salesforce is back; the sandbox lets the waiting time pass")

        def all_there() -> bool:
            self.stack.let_time_pass()
            return all(self.stack.request("GET", f"/leads/{key}").status == 200 for key in keys)

        wait_for(all_there, seconds=40, claim="the six are in Salesforce")
        wait_for(lambda: not self.stack.waiting(), seconds=20, claim="the outbox is empty")
        found = [expect(self.stack.request("GET", f"/leads/{key}"), 200, "created") for key in keys]
        check(
            len({one["id"] for one in found}) == 5 and found[0]["id"] == found[5]["id"],
            "5 leads, and both messages of one customer on the same one; the outbox is empty",
        )

    def nothing_is_there_twice(self) -> None:
        """In the end"""
        org = self.stack.org
        leads, cases = org.records("Lead"), org.records("Case")
        tasks = org.records("Task")
        check(len(leads) == 9 and len(cases) == 3, f"{len(leads)} leads and {len(cases)} cases")
        check(len(tasks) == 19, f"{len(tasks)} messages, a Task each")
        check(not org.keys_twice(), "none of them twice")
        check(not self.stack.waiting() and not self.stack.rejected(), "nothing waits, nothing lost")


def replay(stack: Stack) -> int:
    """What `bird-salesforce rejected replay --all` does; returns how many records went back."""
    sqs = stack.client("sqs")
    moved = rejected.replay(
        Queue(sqs, stack.rejected_url, listen_seconds=0),
        Queue(sqs, stack.outbox_url, listen_seconds=0),
        rejected.Choice(every=True),
    )
    return moved.done


def main(arguments: list[str]) -> int:
    """Play it; 0 if all of it was true. With --stay everything runs on until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--stay", action="store_true", help="leave everything on until Ctrl-C")
    options = parser.parse_args(arguments)
    console.print("Bird → Salesforce, on this machine: no AWS account, no Salesforce org needed.")
    # A busy machine starts a function slowly; what is shown here does not hang on the usual budget.
    stack = Stack(window=0.2, parameters={"ResponseBudgetSeconds": "18", "CustomerLookup": "on"})
    try:
        stack.start()
        Demo(stack, links=options.stay).play()
        heading("All of this happened.")
        if options.stay:
            say(f"Salesforce's page: {stack.org_url}   Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
        else:
            say("To look at the leads and cases in a browser: make demo ARGS=--stay")
            say("To send messages of your own: make start")
    except NotSo as error:
        console.print(f"  ✗ Not so: {error}", style="bold red")
        for name in stack.functions:
            if logs := stack.logs(name)[-2000:]:
                console.print(f"\nThe end of the log of {name}:\n{logs}", style="dim")
        return 1
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
