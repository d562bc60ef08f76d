"""(1) What a cold start costs: import and the first record, beside boto3's floor."""

from __future__ import annotations

import json
import statistics
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import child
from bench.layer import copy_layer, function_folder
from bench.other_side import OtherSide
from tools.template import ROOT

EVENTS = {
    "create_lead": ("create_lead.json", '"statusCode": 201'),
    "create_case": ("create_case.json", '"statusCode": 201'),
    "receive_message": ("receive_message.json", '"statusCode": 201'),
    "deliver": ("deliver.json", '"batchItemFailures": []'),
    "refresh_token": ("refresh_token.json", '"generation"'),
}
"""The event of each function, and what its answer says when all went well."""

FLOORS = ("urllib3", "urllib3-post", "boto3", "boto3-post")


def fresh_event(name: str, folder: Path, number: int) -> Path:
    """The event file with a message id that nobody used before."""
    event = json.loads((ROOT / "events" / EVENTS[name][0]).read_text(encoding="utf-8"))
    event = json.loads(json.dumps(event).replace("requestTimeEpoch", "requestTimeEpochThen"))
    if isinstance(event.get("headers"), dict):
        event["headers"]["Idempotency-Key"] = uuid.uuid4().hex
    for record in event.get("Records") or ():
        body = json.loads(record["body"])
        record["body"] = json.dumps({**body, "key": uuid.uuid4().hex})
    path = folder / f"{name}-{number}.json"
    path.write_text(json.dumps(event), encoding="utf-8")
    return path


def a_post(other: OtherSide) -> list[str]:
    """The arguments of a floor's POST: a Lead as create_lead sends it."""
    session = other.ask("session")
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


def measure(other: OtherSide, folder: Path, *, rounds: int, rounds_without: int) -> Any:
    """Medians of CPU milliseconds, by what was measured, with and without bytecode."""
    told: dict[str, Any] = {}
    for label, bytecode, times in (
        ("with bytecode", True, rounds),
        ("without bytecode", False, rounds_without),
    ):
        layer = copy_layer(
            folder / label.replace(" ", "-"), python=sys.executable, bytecode=bytecode
        )
        samples: dict[str, list[Mapping[str, float]]] = {}
        for number in range(times + 1):
            for name, said in _one_round(other, layer, folder, bytecode, number):
                # The first round fills the caches of file system and bytecode.
                if number:
                    samples.setdefault(name, []).append(said)
        told[label] = {
            name: {
                key: statistics.median(one[key] for one in said) * (1 if key == "modules" else 1000)
                for key in said[0]
            }
            for name, said in samples.items()
        }
        for name in told[label]:
            # Side by side: each round's pair is one ratio.
            told[label][name]["ratio"] = statistics.median(
                mine["cpu"] / beside["cpu"]
                for mine, beside in zip(samples[name], samples["boto3-post"], strict=True)
            )
    return told


def _one_round(
    other: OtherSide, layer: Path, folder: Path, bytecode: bool, number: int
) -> Iterator[tuple[str, Any]]:
    environ = other.environments["create_lead"]
    yield "bare", child.run("bare", environ=environ)
    for name in FLOORS:
        arguments = a_post(other) if name.endswith("post") else []
        # boto3's own bytecode is the runtime's and always there.
        yield name, child.run("floor", name, *arguments, environ=environ, packages=True)
    for name in EVENTS:
        if not bytecode and name in ("receive_message", "refresh_token"):
            continue
        event = fresh_event(name, folder, number)
        yield (
            name,
            child.run(
                "cold",
                str(event),
                EVENTS[name][1],
                environ=other.environments[name],
                path=(function_folder(layer, name), layer),
                bytecode=bytecode,
                packages=name in ("deliver", "refresh_token"),
            ),
        )
