"""`make demo`: the whole story, played on a local stack, each claim checked as it is made.

Bird's side is played by HTTP calls as a flow makes them, Salesforce's by the org in memory. It ends
by itself, with exit code 0 only if everything that it says really happened.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from rich.console import Console

from cli.rejected import records as rejected
from cli.rejected.queue import Queue
from sandbox import player
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
    """The body of a response that must be as the demo says."""
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        body = {}
    if response.status != status or body.get("outcome") != outcome:
        raise NotSo(f"{status} {outcome}, but the response is {response.status} {body}")
    return body


def wait_for(what: Callable[[], object], *, seconds: float, claim: str) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise NotSo(f"{claim}, not even after {seconds:.0f} seconds")
        time.sleep(0.1)


def whatsapp(message_id: str, name: str, text: str) -> dict[str, Any]:
    """What a WhatsApp flow sends: only where the message came from; the bundle fills the rest."""
    return {
        "bird": {
            "channel": "whatsapp",
            "messageId": message_id,
            "conversationId": "5f0c2d1e-6f0a-4b7e-9a51-0d8f3c2b1a90",
            "contactId": "0b7f5a2c-1d3e-4f60-8a9b-c0d1e2f3a4b5",
            "sender": "+31612345678",
            "displayName": name,
            "text": text,
        }
    }


class Demo:
    """The scenes, in the order in which they are played."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.lead: dict[str, Any] = {}

    def play(self) -> None:
        for scene in (
            self.whatsapp_becomes_a_lead,
            self.a_repeated_call_makes_nothing,
            self.viber_becomes_a_case,
            self.a_shipped_flow_answers_a_customer,
            self.sms_becomes_a_lead,
            self.a_refused_token_is_renewed,
            self.a_refused_record_is_kept_mended_and_replayed,
            self.an_outage_loses_nothing,
            self.the_books_are_right,
        ):
            heading((scene.__doc__ or "").strip())
            scene()

    def whatsapp_becomes_a_lead(self) -> None:
        """A WhatsApp message becomes a Lead"""
        message = whatsapp("wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQQ", "Ada Okafor", "Is it in stock?")
        self.lead = expect(self.stack.request("POST", "/leads", message), 201, "created")
        check(self.lead["id"], f"Lead {self.lead['id']}")
        record = self.stack.org.get("Lead", self.lead["id"])
        check(
            record and record["LastName"] == "Okafor" and record["LeadSource"] == "WhatsApp",
            "in Salesforce: Ada Okafor, +31612345678, source WhatsApp, “Is it in stock?”",
        )
        say(f"look: {self.lead['url']}")

    def a_repeated_call_makes_nothing(self) -> None:
        """The flow repeats its call (a retry, a double click)"""
        before = len(self.stack.org.records("Lead"))
        message = whatsapp("wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQQ", "Ada Okafor", "Is it in stock?")
        body = expect(self.stack.request("POST", "/leads", message), 200, "exists")
        check(body["id"] == self.lead["id"], f"the same id again: {body['id']}")
        check(len(self.stack.org.records("Lead")) == before, "and no second Lead")

    def viber_becomes_a_case(self) -> None:
        """A Viber message becomes a Case"""
        body = expect(
            self.stack.request(
                "POST",
                "/cases",
                {
                    "Priority": "High",
                    "bird": {
                        "channel": "viber",
                        "messageId": "5741311803571721087",
                        "sender": "+359888123456",
                        "displayName": "Boris Petrov",
                        "text": "The parcel came open, half of it is missing.",
                    },
                },
            ),
            201,
            "created",
        )
        check(body["number"], f"Case {body['number']}, id {body['id']}")
        say(f"the flow can reply: “Your case is {body['number']}.”")
        say(f"look: {body['url']}")

    def a_shipped_flow_answers_a_customer(self) -> None:
        """A whole flow, flows/viber-to-case.json, played step by step as Bird would"""
        flow = player.load(
            ROOT / "flows" / "viber-to-case.json",
            {"https://YOUR-API-ADDRESS/v1": self.stack.url, "YOUR-API-KEY": self.stack.api_key},
        )
        customer = player.Customer("Mira Novak", ("phonenumber", "+385911234567"))
        run = player.play(flow, player.Inbound("My order never came.", customer))
        case = self.stack.org.records("Case")[-1]
        check(not run.failed_at and case["SuppliedName"] == "Mira Novak", "Case for Mira Novak")
        (reply,) = run.replies
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
        say(f"look: {body['url']}")

    def a_refused_token_is_renewed(self) -> None:
        """Salesforce refuses the access token"""
        before = self.stack.token() or {}
        ended = self.stack.org.oauth.expire_sessions()
        say(f"Salesforce has ended {ended} session(s)")
        body = expect(
            self.stack.request("POST", "/leads", whatsapp("wamid.expired", "Chi Wu", "Hello?")),
            201,
            "created",
        )
        after = self.stack.token() or {}
        check(body["id"], f"the flow noticed nothing: Lead {body['id']}")
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
        response = self.stack.request(
            "POST", "/leads", whatsapp("wamid.refused", "Dana Levi", "Please send an offer")
        )
        body = expect(response, 422, "rejected")
        check(body["code"], f"the flow gets {body['code']}: {body['detail']}")
        check(
            body["kept"] and len(self.stack.rejected()) == 1,
            "and the record is kept, with the reason, in the queue Rejected",
        )
        self.stack.org.rules.validation.remove(rule)
        say("the administrator corrects the rule, and replays what was rejected")
        replayed = replay(self.stack)
        check(replayed == 1 and not self.stack.rejected(), "1 record went back to the outbox")
        key = body.get("key") or "wamid.refused"
        wait_for(
            lambda: self.stack.org.find("Lead", "wamid.refused"),
            seconds=20,
            claim="the replayed record is in Salesforce",
        )
        found = expect(self.stack.request("GET", f"/leads/{key}"), 200, "created")
        check(found["id"], f"now it is in Salesforce: Lead {found['id']}")

    def an_outage_loses_nothing(self) -> None:
        """Salesforce is down while five customers write"""
        keys = [f"wamid.outage-{number}" for number in range(1, 6)]
        with self.stack.outage():
            slowest = 0.0
            for key in keys:
                began = time.monotonic()
                response = self.stack.request("POST", "/leads", whatsapp(key, "Eve Stone", "Hi"))
                slowest = max(slowest, time.monotonic() - began)
                expect(response, 202, "queued")
            check(slowest < 10, f"5 responses 202, the slowest after {slowest * 1000:.0f} ms")
            # The record replayed before may be in Salesforce and not yet off the queue.
            wait_for(lambda: self.stack.waiting() == 5, seconds=10, claim="five records wait")
            check(True, "5 records wait in the outbox")
        say("Salesforce is back; the sandbox lets the waiting time pass")

        def all_there() -> bool:
            self.stack.let_time_pass()
            return all(self.stack.org.find("Lead", key) for key in keys)

        wait_for(all_there, seconds=40, claim="the five are in Salesforce")
        wait_for(lambda: not self.stack.waiting(), seconds=20, claim="the outbox is empty")
        for key in keys:
            expect(self.stack.request("GET", f"/leads/{key}"), 200, "created")
        check(True, "all 5 are in Salesforce, each once, and the outbox is empty")

    def the_books_are_right(self) -> None:
        """The books"""
        leads, cases = self.stack.org.records("Lead"), self.stack.org.records("Case")
        check(len(leads) == 9 and len(cases) == 2, f"{len(leads)} leads and {len(cases)} cases")
        check(not self.stack.org.keys_twice(), "none of them twice")
        check(not self.stack.waiting() and not self.stack.rejected(), "nothing waits, nothing lost")


def replay(stack: Stack) -> int:
    """What `bird-salesforce rejected replay --all` does; tells how many records went back."""
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
    stack = Stack(window=0.2, parameters={"ResponseBudgetSeconds": "18"})
    try:
        stack.start()
        Demo(stack).play()
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
                console.print(f"\nThe last words of {name}:\n{logs}", style="dim")
        return 1
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
