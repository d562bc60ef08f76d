"""What AWS charges is reckoned from the template and from prices that anybody can replace."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.cost import TEMPLATE, Deployed, Prices, Use, bill, with_prices
from cli.main import app
from cli.problem import Problem

ROOT = Path(__file__).parents[2]
DEPLOYED = Deployed(memory_mb=512, secrets=2, alarms=11, dashboards=1)


def dollars(use: Use, prices: Prices | None = None) -> dict[str, float]:
    return {line.what: line.dollars for line in bill(use, prices or Prices(), DEPLOYED)}


def test_a_million_records_pay_the_gateway_s_price_for_a_million() -> None:
    assert dollars(Use(records=1_000_000))["API Gateway"] == pytest.approx(3.5)


def test_lambda_s_time_is_memory_times_seconds() -> None:
    still = Use(records=0)
    busy = Use(records=1_000_000, milliseconds=300, queued_share=0, cold_share=0)
    more = dollars(busy)["Lambda, time"] - dollars(still)["Lambda, time"]
    assert more == pytest.approx(1_000_000 * 0.3 * 0.5 * 0.0000166667)


def test_arm64_is_a_fifth_cheaper_in_time_and_nothing_else() -> None:
    intel = dollars(Use(records=100_000))
    arm = dollars(Use(records=100_000, architecture="arm64"))
    assert arm["Lambda, time"] == pytest.approx(intel["Lambda, time"] * 0.8, rel=0.001)
    del intel["Lambda, time"], arm["Lambda, time"]
    assert arm == intel


def test_nothing_sent_still_costs_what_stands_there() -> None:
    lines = dollars(Use(records=0))
    assert lines["CloudWatch, alarms"] == pytest.approx(1.1)
    assert lines["Secrets Manager"] > 0.8
    assert lines["API Gateway"] == 0


def test_the_dearest_line_comes_first() -> None:
    amounts = [line.dollars for line in bill(Use(records=3_000_000), Prices(), DEPLOYED)]
    assert amounts == sorted(amounts, reverse=True)


def test_a_price_can_be_replaced() -> None:
    prices = with_prices(Prices(), ["gateway_million_requests=7"])
    assert dollars(Use(records=1_000_000), prices)["API Gateway"] == pytest.approx(7)


@pytest.mark.parametrize("given", ["gateway=1", "secret_month", "secret_month=x", "logs_gb=-1"])
def test_what_is_no_price_is_told_with_the_names_that_are(given: str) -> None:
    with pytest.raises(Problem) as raised:
        with_prices(Prices(), [given])
    assert "gateway_million_requests" in raised.value.next_step


def test_the_template_is_counted_as_it_is() -> None:
    deployed = Deployed.read(TEMPLATE.read_text(encoding="utf-8"))
    assert (deployed.memory_mb, deployed.secrets) == (512, 2)


def test_another_template_is_no_template_of_this_bundle() -> None:
    with pytest.raises(Problem):
        Deployed.read("Resources: {}")


def test_the_command_says_it_in_json_too() -> None:
    done = CliRunner().invoke(app, ["cost", "--records", "100000", "--json"])
    said = json.loads(done.output)
    assert done.exit_code == 0
    assert said["dollars"] == pytest.approx(
        sum(line["dollars"] for line in said["lines"]), abs=0.01
    )


@pytest.mark.parametrize("records", [1_000, 100_000, 3_000_000])
def test_the_docs_show_what_the_command_says(records: int) -> None:
    text = (ROOT / "docs/cost.md").read_text(encoding="utf-8")
    shown = re.search(rf"^\| [^|]*{records:,} \|.*\| ([0-9.]+) \|$", text, re.MULTILINE)
    assert shown is not None
    deployed = Deployed.read(TEMPLATE.read_text(encoding="utf-8"))
    total = sum(line.dollars for line in bill(Use(records=records), Prices(), deployed))
    # Another alarm or two does not make the page wrong.
    assert float(shown[1]) == pytest.approx(total, abs=1.0)
