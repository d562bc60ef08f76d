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
    "create_lead": ("create_lead.json", '"statusCode": 201'),
    "create_case": ("create_case.json", '"statusCode": 201'),
    "receive_message": ("receive_message.json", '"statusCode": 201'),
    "deliver": ("deliver.json", '"batchItemFailures": []'),
    "refresh_token": ("refresh_token.json", '"generation"'),
}
"""The event of each function, and what its response contains when all went well."""

FLOORS = ("urllib3-post", "boto3-post")


def fresh_event(name: str, folder: Path, number: int) -> Path:
    """The event file with a key that was never used."""
    event = json.loads((ROOT / "events" / EVENTS[name][0]).read_text(encoding="utf-8"))
    # Without its time a request is not taken for a late one.
    event.get("requestContext", {}).pop("requestTimeEpoch", None)
    if "headers" in event:
        event["headers"]["Idempotency-Key"] = uuid.uuid4().hex
    for record in event.get("Records", ()):
        body = json.loads(record["body"])
        record["body"] = json.dumps({**body, "key": uuid.uuid4().hex})
    path = folder / f"{name}-{number}.json"
    path.write_text(json.dumps(event), encoding="utf-8")
    return path


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
    for name, (_, expected) in EVENTS.items():
        sample = child.run(
            "cold",
            str(fresh_event(name, folder, number)),
            expected,
            environ=other.environments[name],
            path=(function_folder(layer, name), layer),
            packages=name in ("deliver", "refresh_token"),
        )
        yield name, sample
