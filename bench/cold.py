"""What a cold start costs: import and first record, beside boto3, a client and a POST."""

from __future__ import annotations

import json
import statistics
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import child
from bench.layer import function_folder
from bench.other_side import OtherSide
from tools.template import ROOT

EVENTS = {
    "create_lead": ("create_lead", '"statusCode": 201'),
    "create_case": ("create_case", '"statusCode": 201'),
    "message of a conversation": ("create_lead", '"statusCode": 201'),
    "receive_message": ("receive_message", '"statusCode": 20'),
    "deliver": ("deliver", '"batchItemFailures": []'),
    "refresh_token": ("refresh_token", '"generation"'),
}
"""What is measured: the function, and what its response contains when all went well. The records
of `create_lead` and `create_case` are of no conversation."""

KEY = "00000000000000000000000000000000"
"""In an event, what stands for a key that was never used."""

FLOORS = ("urllib3-post", "boto3-post")


def fresh_event(name: str, folder: Path, number: int) -> Path:
    """The event file with a key that was never used."""
    path = folder / f"{name}-{number}.json"
    path.write_text(json.dumps(event_of(name)).replace(KEY, uuid.uuid4().hex), encoding="utf-8")
    return path


def event_of(name: str) -> Any:
    """The event of the function, with KEY in it."""
    file = ROOT / "events" / f"{EVENTS[name][0]}.json"
    event = json.loads(file.read_text(encoding="utf-8"))
    # Without its time a request is not taken for a late one.
    event.get("requestContext", {}).pop("requestTimeEpoch", None)
    for record in event.get("Records", ()):
        record["body"] = json.dumps({**json.loads(record["body"]), "key": KEY})
    if "headers" in event:
        body = json.loads(event["body"])
        if name == "receive_message":
            body["payload"]["id"] = KEY
        elif name in ("create_lead", "create_case"):
            body["Bird_Key__c"] = KEY
        else:
            body["bird"] |= {"messageId": KEY, "conversationId": KEY}
        event["body"] = json.dumps(body)
    return event


def _post_arguments(other: OtherSide) -> list[str]:
    """A floor's POST: a Lead as create_lead sends it."""
    session = other.call("session")
    lead = {
        "LastName": "Okafor",
        "FirstName": "Amara",
        "Company": "Individual",
        "LeadSource": "WhatsApp",
        "Phone": "+4915123456789",
        "Description": "Is the blue one back in stock?",
        "Bird_Key__c": uuid.uuid4().hex,
    }
    headers = {
        "Authorization": f"Bearer {session['access_token']}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    url = f"{session['instance_url']}/services/data/v68.0/sobjects/Lead"
    return [url, json.dumps(headers), json.dumps(lead)]


def measure(other: OtherSide, folder: Path, layer: Path, *, rounds: int) -> Any:
    """Medians of CPU milliseconds, by what was measured."""
    samples: dict[str, list[Mapping[str, float]]] = {}
    for number in range(rounds + 1):
        for name, sample in _one_round(other, folder, layer, number):
            # The first round fills the caches of the file system.
            if number:
                samples.setdefault(name, []).append(sample)
    result: dict[str, Any] = {}
    for name, taken in samples.items():
        result[name] = {
            key: statistics.median(one[key] for one in taken) * (1 if key == "modules" else 1000)
            for key in taken[0]
        }
        # Side by side: each round's pair is one ratio.
        result[name]["ratio"] = statistics.median(
            one["cpu"] / floor["cpu"]
            for one, floor in zip(taken, samples["boto3-post"], strict=True)
        )
    return result


def _one_round(
    other: OtherSide, folder: Path, layer: Path, number: int
) -> Iterator[tuple[str, Any]]:
    for name in FLOORS:
        arguments = [name, *_post_arguments(other)]
        environ = other.environments["create_lead"]
        yield name, child.run("floor", *arguments, environ=environ, packages=True)
    for name, (function, expected) in EVENTS.items():
        sample = child.run(
            "cold",
            str(fresh_event(name, folder, number)),
            expected,
            environ=other.environments[function],
            path=(function_folder(layer, function), layer),
            packages=function in ("deliver", "refresh_token"),
        )
        yield name, sample
