"""Log lines and metrics hold only what is on the list, and each metric is declared as it is."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import Refused
from bridge.telemetry import LOGGED, OUTCOME_METRICS, Telemetry, loggable

Written = Callable[[Callable[[Telemetry], None]], list[dict[str, Any]]]
SECRETS = ("+447700900142", "Noor", "token-1", "Is it there?")
INVOCATION = {"correlation_id", "function_request_id", "cold_start"}
LOGGER = {"level", "message", "timestamp", "service"}
MEASURED = {"SalesforceLatency", "ApiUsage"}
METRICS = {*OUTCOME_METRICS.values(), *MEASURED}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Written:
    """Runs a function with a Telemetry; returns the lines that it wrote."""
    # A logger of its own: Powertools keeps one for each service, with the stdout of its first test.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.name)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")

    def run(use: Callable[[Telemetry], None]) -> list[dict[str, Any]]:
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            telemetry = Telemetry()
            telemetry.begin("invocation-1", correlation_id="request-1")
            use(telemetry)
        return [json.loads(line) for line in stream.getvalue().splitlines() if line]

    return run


def everything(telemetry: Telemetry) -> None:
    """One line of each kind."""
    telemetry.event("e")
    telemetry.warn("w")
    telemetry.alarm("a", error=ValueError("x"))
    record(telemetry, "created", milliseconds=1)
    telemetry.count("TokenRefreshed")
    of_outbox = {"attempts": 2, "age_seconds": 90, "delay_seconds": 40}
    record(telemetry, "delayed", of_outbox=of_outbox)
    telemetry.measure_salesforce(milliseconds=3, usage_percent=50, calls=1)
    telemetry.measure_age("OutboxAge", 5)
    telemetry.measure_age("TokenAge", 60)


def record(telemetry: Telemetry, outcome: str, **more: Any) -> None:
    """A line of a record, with what every one has."""
    telemetry.record(outcome, **{"object_name": "Lead", "channel": "sms", "key": "k", **more})


def declared(line: dict[str, Any]) -> set[str]:
    """The names of a line's metrics."""
    return {
        metric["Name"]
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }


def dimensions(line: dict[str, Any]) -> list[list[str]]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    names: list[list[str]] = directive["Dimensions"]
    return names


# What may be logged


def test_a_value_under_another_name_is_dropped(written: Written) -> None:
    personal = {f"name_{i}": secret for i, secret in enumerate(SECRETS)}
    error = Refused(
        SECRETS[3], code="X", fields=("Phone",), hint=SECRETS[1], existing_id=SECRETS[2]
    )

    def use(telemetry: Telemetry) -> None:
        telemetry.event("e", code="C", **personal)
        telemetry.warn("w", count=2, message_text=SECRETS[3])
        telemetry.alarm("a", error=error, sender=SECRETS[0])

    lines = written(use)
    assert [line["message"] for line in lines] == ["e", "w", "a"]
    assert not any(secret in json.dumps(lines, ensure_ascii=False) for secret in SECRETS)
    assert lines[0]["code"] == "C"
    assert lines[1]["count"] == 2
    assert (lines[2]["error_type"], lines[2]["code"]) == ("Refused", "X")
    assert lines[2]["fields"] == ["Phone"]


def test_of_another_error_only_the_type_is_logged(written: Written) -> None:
    (line,) = written(lambda telemetry: telemetry.alarm("a", error=ValueError(SECRETS[0])))
    assert line["error_type"] == "ValueError"
    assert SECRETS[0] not in json.dumps(line)


def test_every_line_holds_names_of_the_list_only(written: Written) -> None:
    for line in written(everything):
        own = {"_aws"} | declared(line) if "_aws" in line else set()
        assert set(line) - LOGGER - own <= LOGGED


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
def test_only_what_looks_like_a_name_is_logged_as_one(
    written: Written, text: str, shown: str
) -> None:
    assert loggable(text) == shown
    problem = Refused("m", code=text or None, fields=(text,))

    def use(telemetry: Telemetry) -> None:
        telemetry.begin("i", correlation_id=text)
        telemetry.alarm("a", error=problem, key=text)
        record(
            telemetry,
            "rejected",
            code=text,
            fields=(text,),
            milliseconds=1,
            salesforce_request_id=text,
        )

    alarm, line = written(use)
    assert alarm["fields"] == line["fields"] == [shown]
    assert alarm["key"] == alarm["correlation_id"] == line["correlation_id"] == shown
    assert line.get("code", "") == line.get("salesforce_request_id", "") == shown


# Which request a line belongs to


def test_every_line_names_the_request_and_notes_a_cold_start(written: Written) -> None:
    def use(telemetry: Telemetry) -> None:
        everything(telemetry)
        telemetry.begin("invocation-2", correlation_id="request-2")
        everything(telemetry)
        telemetry.begin("invocation-3")
        everything(telemetry)

    lines = written(use)
    assert len(lines) == 3 * 9
    for number, line in enumerate(lines):
        invocation = number // 9 + 1
        assert line["function_request_id"] == f"invocation-{invocation}"
        assert line["correlation_id"] == ("" if invocation == 3 else f"request-{invocation}")
        assert line["cold_start"] is (invocation == 1)


# Metrics


@pytest.mark.parametrize("outcome", sorted(set(OUTCOME_METRICS) - {"duplicate"}))
def test_a_record_is_one_line_with_its_metrics(written: Written, outcome: str) -> None:
    measured = {"milliseconds": 12.34, "salesforce_milliseconds": 10.0, "usage_percent": 1.5}
    (line,) = written(
        lambda telemetry: record(telemetry, outcome, channel="whatsapp", api_calls=1, **measured)
    )
    metric = OUTCOME_METRICS[outcome]
    assert declared(line) == {metric, *MEASURED}
    assert (line[metric], line["ApiUsage"], line["SalesforceLatency"]) == ([1.0], [1.5], [10.0])
    assert dimensions(line) == [["service"], ["service", "object"]]
    assert line["object"] == "Lead" and isinstance(line["service"], str)
    assert (line["channel"], line["api_calls"], line["count"]) == ("whatsapp", 1, 1)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "BirdSalesforce"
    assert {"Name": metric, "Unit": "Count"} in directive["Metrics"]


def test_a_record_without_a_call_measures_no_salesforce_and_has_what_deliver_knows(
    written: Written,
) -> None:
    of_outbox = {"attempts": 2, "age_seconds": 90, "delay_seconds": 40, "phone": 31612345678}
    (line,) = written(
        lambda telemetry: record(telemetry, "rejected", duplicate=True, of_outbox=of_outbox)
    )
    assert {name: line.get(name) for name in of_outbox} == {**of_outbox, "phone": None}
    assert line["RecordsDuplicate"] == [1.0] and line["outcome"] == "rejected"
    assert not line.keys() & {"milliseconds", "api_calls", *MEASURED}


def test_a_line_s_metrics_are_its_own_whatever_came_before(written: Written) -> None:
    calls: list[dict[str, Any]] = [{}, {"api_calls": 2}, {"api_calls": 1, "usage_percent": 0.0}]

    def use(telemetry: Telemetry) -> None:
        for call in [*calls, *calls[::-1]]:
            record(telemetry, "created", milliseconds=1, **call)
            telemetry.count("TokenRefreshed")

    lines = written(use)
    assert len(lines) == 12
    for line, count in zip(lines[::2], lines[1::2], strict=True):
        assert declared(line) == METRICS & set(line)
        assert declared(count) == {"TokenRefreshed"} and not METRICS & set(count)
        assert dimensions(count) == [["service"]]
        assert "object" not in count and "channel" not in count


def test_a_record_s_metrics_do_not_depend_on_the_log_level(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "ERROR")
    lines = written(everything)
    assert [line.get("message") for line in lines[:2]] == ["a", "record"]


def test_counters_and_measures_are_metrics(written: Written) -> None:
    def use(telemetry: Telemetry) -> None:
        telemetry.count("TokenRefreshed")
        telemetry.count("TextsCut", 7)
        telemetry.measure_salesforce(milliseconds=3, usage_percent=None, calls=1)
        telemetry.measure_salesforce(milliseconds=3, usage_percent=50, calls=1)
        telemetry.measure_age("TokenAge", 60)
        telemetry.measure_age("TokenAge", float("inf"))

    lines = written(use)
    assert len(lines) == 5
    assert lines[0]["TokenRefreshed"] == [1.0]
    assert lines[1]["TextsCut"] == [7.0]
    assert "ApiUsage" not in lines[2] and lines[3]["ApiUsage"] == [50.0]
    assert lines[4]["TokenAge"] == [60.0]
