"""`bird-salesforce cost`: what AWS charges for so many records a month, line by line.

The prices are AWS's list prices for us-east-1 as they were known on the date of `PRICES_OF`, and
each can be replaced on the command line (`--price lambda_million_requests=0.2`). No free tier is
taken off: the truth is a little less. What a record takes is counted by tests and `make bench`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json
from cli.problem import Problem
from cli.terminal import Terminal

PRICES_OF = "November 2025"
"""When the prices below were AWS's. They were not looked up since: check those that matter."""

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
HOURS = 730
"""Hours in a month, as AWS reckons."""
MINUTES = HOURS * 60
GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Prices:
    """US dollars, us-east-1. Each name says for how much of what."""

    gateway_million_requests: float = 3.50
    """https://aws.amazon.com/api-gateway/pricing/ (REST APIs, first tier)"""
    lambda_million_requests: float = 0.20
    """https://aws.amazon.com/lambda/pricing/, as are the next two"""
    lambda_gb_second_x86_64: float = 0.0000166667
    lambda_gb_second_arm64: float = 0.0000133334
    sqs_million_requests: float = 0.40
    """https://aws.amazon.com/sqs/pricing/ (standard queues; every 64 KiB is one request)"""
    secret_month: float = 0.40
    """https://aws.amazon.com/secrets-manager/pricing/, as is the next"""
    secret_10000_calls: float = 0.05
    kms_10000_requests: float = 0.03
    """https://aws.amazon.com/kms/pricing/ (a SecureString is decrypted at each read)"""
    dynamodb_million_writes: float = 0.625
    """https://aws.amazon.com/dynamodb/pricing/on-demand/"""
    logs_gb: float = 0.50
    """https://aws.amazon.com/cloudwatch/pricing/ (ingestion), as are the next three"""
    metric_month: float = 0.30
    alarm_month: float = 0.10
    dashboard_month: float = 3.00
    traffic_gb: float = 0.09
    """https://aws.amazon.com/ec2/pricing/on-demand/ (data transfer out to the internet)"""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What of the template costs by the month, or says how dear a second is."""

    memory_mb: int
    secrets: int
    alarms: int
    dashboards: int

    @classmethod
    def read(cls, template: str) -> Deployed:
        """Count in the template's text. Raises Problem if it is not this bundle's."""
        memory = re.search(r"^ +MemorySize: (\d+)$", template, re.MULTILINE)
        if memory is None:
            raise Problem("The template says no MemorySize.")

        def count(kind: str) -> int:
            return len(re.findall(rf"^    Type: {kind}$", template, re.MULTILINE))

        return cls(
            memory_mb=int(memory[1]),
            secrets=count("AWS::SecretsManager::Secret"),
            alarms=count("AWS::CloudWatch::Alarm"),
            dashboards=count("AWS::CloudWatch::Dashboard"),
        )


@dataclass(frozen=True, kw_only=True)
class Use:
    """How much a customer sends, and what a record takes."""

    records: int
    """A month."""
    milliseconds: float = 400
    """Of a create: nearly all of it is Salesforce's time, so the org decides."""
    queued_share: float = 0.01
    """How many records are not made at once and go through the outbox."""
    cold_share: float = 0.01
    """How many records meet a cold start; with few records it is nearer to 1."""
    cold_milliseconds: float = 500
    """What a cold start takes more, INIT included: AWS bills it since August 2025."""
    channels: int = 3
    """In use: each has metrics of its own for each object and outcome."""
    log_bytes: int = 1_600
    """A record's line, 1.1 kB with its metrics, and Lambda's own three lines."""
    sent_bytes: int = 2_500
    """A request to Salesforce with its headers, and the answer to the flow."""
    refresh_minutes: int = 45
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Line:
    """One line of the bill."""

    what: str
    dollars: float
    how: str


def bill(use: Use, prices: Prices, deployed: Deployed) -> list[Line]:
    """The month's lines, dearest first."""
    lines = [Line(*line) for line in _lines(use, prices, deployed)]
    return sorted(lines, key=lambda line: -line.dollars)


def _lines(use: Use, prices: Prices, deployed: Deployed) -> Iterator[tuple[str, float, str]]:
    records = use.records
    queued = records * use.queued_share
    refreshes = MINUTES / use.refresh_minutes
    batches = min(queued, MINUTES * 3)  # the outbox's window is 20 s
    yield (
        "API Gateway",
        records * prices.gateway_million_requests / 1e6,
        f"{records:,} requests",
    )
    invocations = records + batches + refreshes
    yield (
        "Lambda, requests",
        invocations * prices.lambda_million_requests / 1e6,
        (f"{invocations:,.0f} invocations"),
    )
    seconds = (
        records * (use.milliseconds + use.cold_share * use.cold_milliseconds) / 1000
        + batches * 1.0
        + refreshes * 1.5
    )
    gb_seconds = seconds * deployed.memory_mb / 1024
    second = (
        prices.lambda_gb_second_arm64
        if use.architecture == "arm64"
        else prices.lambda_gb_second_x86_64
    )
    yield "Lambda, time", gb_seconds * second, f"{gb_seconds:,.0f} GB-seconds"
    # Lambda asks an empty queue with five pollers, each for 20 s at a time.
    sqs = MINUTES * 3 * 5 + queued * 1.2
    yield "SQS", sqs * prices.sqs_million_requests / 1e6, f"{sqs:,.0f} requests, mostly polling"
    yield (
        "Secrets Manager",
        (deployed.secrets * prices.secret_month + refreshes * prices.secret_10000_calls / 1e4),
        f"{deployed.secrets} secrets, {refreshes:,.0f} reads",
    )
    decrypted = records * use.cold_share + refreshes * 3
    yield (
        "KMS, for SSM's SecureString",
        decrypted * prices.kms_10000_requests / 1e4,
        (f"{decrypted:,.0f} requests"),
    )
    writes = refreshes * 2
    yield (
        "DynamoDB, the lease",
        writes * prices.dynamodb_million_writes / 1e6,
        (f"{writes:,.0f} writes"),
    )
    logs = records * use.log_bytes / GIB
    yield "CloudWatch, logs", logs * prices.logs_gb, f"{logs:,.2f} GB"
    # Two outcomes of an object for each channel, and ten in all.
    metrics = use.channels * 2 + 10
    yield "CloudWatch, metrics", metrics * prices.metric_month, f"{metrics} metrics"
    yield "CloudWatch, alarms", deployed.alarms * prices.alarm_month, f"{deployed.alarms} alarms"
    yield (
        "CloudWatch, dashboards",
        deployed.dashboards * prices.dashboard_month,
        (f"{deployed.dashboards} dashboards"),
    )
    traffic = records * use.sent_bytes / GIB
    yield "Data transfer", traffic * prices.traffic_gb, f"{traffic:,.2f} GB to Salesforce"


def with_prices(prices: Prices, given: list[str]) -> Prices:
    """Prices with those replaced that the command line names (`name=dollars`). Raises Problem."""
    known = {field.name for field in fields(Prices)}
    for one in given:
        name, _, value = one.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if name not in known or not 0 <= number < float("inf"):
            raise Problem(
                f"--price {one} is not a price.",
                next_step=f"Write name=dollars; the names are {', '.join(sorted(known))}.",
            )
        prices = replace(prices, **{name: number})
    return prices


def cost_command(
    records: Annotated[int, typer.Option(min=0, help="Records a month.")] = 100_000,
    milliseconds: Annotated[
        float, typer.Option(min=1, help="How long a create takes; look at the dashboard.")
    ] = Use.milliseconds,
    queued_percent: Annotated[
        float, typer.Option(min=0, max=100, help="Of all records, how many go by the outbox.")
    ] = Use.queued_share * 100,
    cold_percent: Annotated[
        float, typer.Option(min=0, max=100, help="Of all records, how many meet a cold start.")
    ] = Use.cold_share * 100,
    channels: Annotated[int, typer.Option(min=1, help="Channels in use.")] = Use.channels,
    arm64: Annotated[bool, typer.Option("--arm64", help="Deployed with Architecture=arm64.")] = (
        False
    ),
    price: Annotated[
        list[str] | None,
        typer.Option(help="Another price than the built-in one: name=dollars. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What AWS charges for so many records a month, by list prices that you should check."""
    use = Use(
        records=records,
        milliseconds=milliseconds,
        queued_share=queued_percent / 100,
        cold_share=cold_percent / 100,
        channels=channels,
        architecture="arm64" if arm64 else "x86_64",
    )
    prices = with_prices(Prices(), price or [])
    lines = bill(use, prices, Deployed.read(TEMPLATE.read_text(encoding="utf-8")))
    total = sum(line.dollars for line in lines)
    terminal = Terminal()
    if as_json:
        terminal.result_json(
            {
                "records": records,
                "prices_of": PRICES_OF,
                "dollars": round(total, 2),
                "lines": [
                    {"what": line.what, "dollars": round(line.dollars, 4), "how": line.how}
                    for line in lines
                ],
            }
        )
        return
    for line in lines:
        terminal.result(f"{line.dollars:10.2f}  {line.what:28} {line.how}")
    terminal.result(f"{total:10.2f}  US dollars a month for {records:,} records")
    terminal.note(
        f"List prices of us-east-1 as known in {PRICES_OF}, free tiers not taken off: check them "
        "on AWS's pages, and replace one by --price name=dollars."
    )
