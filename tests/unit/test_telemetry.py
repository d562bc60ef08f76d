"""What an operator sees holds nothing but what is on the list."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import Refused
from bridge.telemetry import LOGGED, OUTCOME_METRICS, Telemetry

Heard = Callable[[Callable[[Telemetry], None]], list[dict[str, Any]]]
SECRETS = ("+447700900142", "Noor", "token-1", "Is it there?")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Heard:
    """Lets something be told, and answers the lines that come out."""
    # A logger of its own: Powertools keeps one for each service, with the stdout of its first test.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.name)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")

    def tell(say: Callable[[Telemetry], None]) -> list[dict[str, Any]]:
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            telemetry = Telemetry()
            telemetry.begin("request-1")
            say(telemetry)
        return [json.loads(line) for line in stream.getvalue().splitlines() if line]

    return tell


def test_a_value_under_another_name_is_dropped(heard: Heard) -> None:
    personal = {f"name_{i}": secret for i, secret in enumerate(SECRETS)}
    error = Refused(
        SECRETS[3], code="X", fields=("Phone",), hint=SECRETS[1], existing_id=SECRETS[2]
    )

    def say(telemetry: Telemetry) -> None:
        telemetry.event("e", code="C", **personal)
        telemetry.warn("w", count=2, message_text=SECRETS[3])
        telemetry.alarm("a", error=error, sender=SECRETS[0])

    said = heard(say)
    assert [line["message"] for line in said] == ["e", "w", "a"]
    assert not any(secret in json.dumps(said, ensure_ascii=False) for secret in SECRETS)
    assert said[0]["code"] == "C"
    assert said[1]["count"] == 2
    assert (said[2]["error_type"], said[2]["code"]) == ("Refused", "X")
    assert said[2]["fields"] == ["Phone"]
    assert all(line["function_request_id"] == "request-1" for line in said)


def test_of_a_foreign_error_only_the_type_is_told(heard: Heard) -> None:
    (line,) = heard(lambda telemetry: telemetry.alarm("a", error=ValueError(SECRETS[0])))
    assert line["error_type"] == "ValueError"
    assert SECRETS[0] not in json.dumps(line)


@pytest.mark.parametrize("outcome", sorted(set(OUTCOME_METRICS) - {"duplicate"}))
def test_a_record_is_one_line_with_its_metrics(heard: Heard, outcome: str) -> None:
    (line,) = heard(
        lambda telemetry: telemetry.record(
            outcome,
            object_name="Lead",
            channel="whatsapp",
            key="k-1",
            milliseconds=12.34,
            salesforce_milliseconds=10.0,
            api_calls=1,
            usage_percent=1.5,
            salesforce_request_id="r-1",
        )
    )
    metric = OUTCOME_METRICS[outcome]
    assert line[metric] == 1
    assert (line["ApiUsage"], line["SalesforceCalls"]) == (1.5, 1)
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == "BirdSalesforce"
        for names in directive["Dimensions"]:
            assert all(isinstance(line[name], str) for name in names)
        assert all(isinstance(line[m["Name"]], (int, float)) for m in directive["Metrics"])
    ours = {"level", "message", "timestamp", "service", "_aws", metric}
    measured = {"SalesforceLatency", "SalesforceCalls", "ApiUsage"}
    assert set(line) - ours - measured <= LOGGED


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_a_line_s_metrics_are_its_own_whatever_was_told_before(heard: Heard, turn: int) -> None:
    calls: list[dict[str, Any]] = [{}, {"api_calls": 2}, {"api_calls": 1, "usage_percent": 0.0}]

    def say(telemetry: Telemetry) -> None:
        for outcome in ("created", "exists"):
            for call in calls[turn:] + calls[:turn]:
                telemetry.record(
                    outcome, object_name="Case", channel="sms", key="k", milliseconds=1, **call
                )

    said = heard(say)
    assert len(said) == 6
    for line in said:
        declared = {
            metric["Name"]
            for directive in line["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        }
        metrics = {*OUTCOME_METRICS.values(), "SalesforceLatency", "SalesforceCalls", "ApiUsage"}
        assert declared == metrics & set(line)


def test_a_record_without_a_call_measures_no_salesforce(heard: Heard) -> None:
    (line,) = heard(
        lambda telemetry: telemetry.record(
            "rejected", object_name="Lead", channel="sms", key="k", milliseconds=1, duplicate=True
        )
    )
    assert line["RecordsDuplicate"] == 1 and line["outcome"] == "rejected"
    assert "SalesforceLatency" not in line and "ApiUsage" not in line


def test_counters_and_measures_are_metrics(heard: Heard) -> None:
    def say(telemetry: Telemetry) -> None:
        telemetry.count("TokenRefreshed")
        telemetry.count_records("created", object_name="Case", channel="viber", count=7)
        telemetry.measure_salesforce(milliseconds=3, usage_percent=None, calls=1)
        telemetry.measure_salesforce(milliseconds=3, usage_percent=50, calls=1)
        telemetry.measure_token_age(60)
        telemetry.measure_token_age(float("inf"))

    said = heard(say)
    assert len(said) == 5
    assert said[0]["TokenRefreshed"] == [1.0]
    assert said[1]["RecordsCreated"] == [7.0] and said[1]["channel"] == "viber"
    assert "ApiUsage" not in said[2] and said[3]["ApiUsage"] == [50.0]
    assert said[4]["TokenAge"] == [60.0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("STRING_TOO_LONG", "STRING_TOO_LONG"),
        ("Bird_Key__c", "Bird_Key__c"),
        ("r-1.2:3", "r-1.2:3"),
        ("Anna Berg is no e-mail", "other"),
        ("anna@example.com", "other"),
        ("Małgorzata", "other"),
        ("two\nlines", "other"),
        ("\ud83d", "other"),
        ("A" * 101, "other"),
    ],
)
def test_only_what_looks_like_a_name_is_told_as_one(heard: Heard, text: str, shown: str) -> None:
    problem = Refused("m", code=text or None, fields=(text,))

    def say(telemetry: Telemetry) -> None:
        telemetry.alarm("a", error=problem, key=text)
        telemetry.record(
            "rejected",
            object_name="Lead",
            channel="sms",
            key="k",
            code=text,
            fields=(text,),
            milliseconds=1,
            salesforce_request_id=text,
        )

    alarm, record = heard(say)
    assert alarm["fields"] == record["fields"] == [shown]
    assert alarm["key"] == record["code"] == record["salesforce_request_id"] == shown
