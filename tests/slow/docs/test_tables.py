"""The tables on the pages, row by row, against what they speak of."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from bridge.api import signatures
from bridge.bird.webhooks import read_shape
from bridge.errors import KeyFieldMissing
from bridge.salesforce import error_codes as catalogue
from bridge.salesforce.client import ABOUT_AN_ID, ABOUT_RIGHTS, NO_RIGHT, NO_RULE
from bridge.salesforce.error_codes import Kind
from sandbox import stack as sandbox_stack
from sandbox.org import sample
from sandbox.stack import Stack
from tests.slow.docs.pages import PAGES, Table, codes, fences, table, tables
from tests.unit import bodies
from tools.channel_table import check
from tools.template import ROOT, Attributes, Deployment, Template

Name = tuple[str, str, str]
"""A table: page, section, and its first two columns' heads."""

HELD: dict[Name, Callable[[Table], None]] = {}

ELSEWHERE: dict[Name, str] = {
    ("docs/cost.md", "What it costs", "customer, records a month | API Gateway"): (
        "tests/cli/test_cost.py"
    ),
    ("docs/flows.md", "Bird Flows: files to import", "file | trigger"): (
        "tests/functional/bird/test_flow_pages.py, tests/functional/bird/test_flows.py"
    ),
    (
        "docs/flows.md",
        "Bird Flows: files to import",
        " | by",
    ): "tests/functional/bird/test_flow_pages.py",
    **{
        ("docs/flows.md", page, head): "tests/functional/bird/test_flow_pages.py"
        for page in (
            "WhatsApp → Lead",
            "Viber → Case",
            "SMS → Lead",
            "SMS → Case",
            "Any channel → what its channel becomes",
        )
        for head in ("field | what to type", "`{{outcome}}` is | reply")
    },
    ("docs/flows.md", "The table of channels", "channel | becomes"): (
        "tests/unit/test_channel_table.py"
    ),
    ("docs/flows.md", "The table of channels", "source | is"): "tests/unit/test_channel_table.py",
    **{
        ("docs/messages.md", section, head): "tests/unit/test_messages_page.py"
        for section, head in (
            ("Channels", "channel | becomes"),
            ("Shapes", "Conversations v1 (legacy) | Description"),
            ("Shapes", "Channels API | Description"),
            ("Shapes", "Events of 2026 | Description"),
            ("What is ignored", "not a customer's message | reason"),
            ("Keys that are not shown", "keys that are not shown | where"),
        )
    },
    ("docs/api.md", "What comes back", "status | `outcome`"): "tests/slow/docs/test_answers.py",
    ("docs/operations.md", "After deploying", "it sends | which proves"): "tests/cli/test_smoke.py",
    ("docs/troubleshooting.md", "After a deployment", "it says | do"): "tests/cli/test_smoke.py",
    (
        "docs/connect.md",
        "Later",
        "you want to | do",
    ): "tests/slow/docs/test_commands.py: its commands",
    ("docs/index.md", "Documentation", "you are | and want to"): "tests/contract/test_docs.py",
    ("sandbox/org/README.md", "Control API", " | "): "tests/sandbox/test_control.py",
    ("sandbox/org/README.md", "Settings", " | "): "tests/sandbox/test_control.py",
    ("sandbox/org/README.md", "Faults", " | "): "tests/sandbox/test_trouble.py",
}
"""Tables that other tests hold."""

PROSE: dict[Name, str] = {
    ("docs/connect.md", "Words", "word | meaning"): "explains words",
    ("docs/connect.md", "1. The integration user", " | a normal licence"): (
        "what an administrator chooses in Salesforce"
    ),
    ("docs/connect.md", "Policies", "policy | choose"): (
        "what an administrator chooses in Salesforce"
    ),
    ("docs/cost.md", "What makes it dearer, and what does not", " | "): (
        "list prices of others, with their date"
    ),
    ("docs/flows.md", "Flows", "you have | take"): "links, which tests/contract/test_docs.py tries",
    (
        "docs/flows.md",
        "Handover → Case",
        "key | value",
    ): "tests/functional/bird/test_flows.py plays the file",
    ("docs/scale.md", "The limits", "limit | default"): "limits of others, with their date",
    ("docs/scale.md", "At 10, 100 and 1,000 records a second", " | 10"): "worked out from those",
    ("docs/troubleshooting.md", "Salesforce's own error pages", "on the page | means"): (
        "Salesforce's pages, which only a person sees"
    ),
    (
        "docs/troubleshooting.md",
        "The connection, while it runs",
        "RefreshToken or doctor says | do",
    ): ("words of Salesforce; tests/cli/test_doctor.py has each cause"),
}
"""Tables that no program can hold, with the reason."""


def name_of(one: Table) -> Name:
    return one.page, one.section, " | ".join(one.head[:2])


def holds(page: str, section: str, head: str) -> Callable[[Callable[[Table], None]], Any]:
    """Says which table a function holds."""

    def register(hold: Callable[[Table], None]) -> Callable[[Table], None]:
        HELD[page, section, head] = hold
        return hold

    return register


def paths(cell: str) -> Iterator[str]:
    for one in codes(cell):
        if not one.startswith(("make ", "bird-salesforce")):
            yield re.sub(r"<[^>]*>", "*", one)


def files_are_there(one: Table) -> None:
    for row in one.rows:
        for path in paths(row[0]):
            folder = (ROOT / one.page).parent
            assert list(folder.glob(path.rstrip("/"))), path


holds("README.md", "Where things are", " | ")(files_are_there)
holds("CONTRIBUTING.md", "Where things are", " | ")(files_are_there)
holds("sandbox/README.md", "The parts", "file | is")(files_are_there)
holds("tests/slow/chaos/README.md", "What is in it", "file | what it does")(files_are_there)


@holds("CONTRIBUTING.md", "Where a test goes", "folder | what is real")
def every_folder_of_tests_is_explained(one: Table) -> None:
    told = {path for row in one.rows for path in codes(row[0])}
    there = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert told == there


@holds("README.md", "What the flow gets back", "status | `outcome`")
def the_readme_says_what_the_api_says(one: Table) -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    full = {(status, codes(row[1])[0]) for row in rows for status in re.findall(r"\w+", row[0])}
    for row in one.rows:
        status = row[0] if row[0] in {known for known, _ in full} else f"{row[0][0]}xx"
        assert (status, codes(row[1])[0]) in full, row


def deployment(**parameters: str) -> Deployment:
    def make(logical_id: str, kind: str, properties: Any) -> Attributes:
        return defaultdict(lambda: logical_id)

    return Deployment(Template.load(), stack_name="stack", parameters=parameters, make=make)


@holds("docs/api.md", "The API", " | ")
def the_routes_are_those_that_are_deployed(one: Table) -> None:
    told = {tuple(path.split(" ")) for row in one.rows for path in codes(row[0])}
    told = {pair for pair in told if len(pair) == 2}
    deployed = {(route.method, route.path) for route in deployment().routes}
    # `?key=` beside `GET /leads/{key}` is the two routes that have the key in the query.
    assert told == deployed - {("GET", "/leads"), ("GET", "/cases")}
    assert any("`?key=`" in row[1] for row in one.rows)


@holds("docs/api.md", "What to send", "key of `bird` | ")
def the_keys_of_bird_are_those_that_are_read(one: Table) -> None:
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
    keys = set(described["components"]["schemas"]["Bird"]["properties"])
    assert {key for row in one.rows for key in codes(row[0])} == keys


BODIES: dict[str, list[Any]] = {
    "legacy Conversations v1 webhook": [bodies.v1()],
    "Bird Channels and Conversations webhooks": [bodies.channels(), bodies.conversation()],
    "events of 2026": [bodies.event_2026()],
    'SMS, "Forward to URL"': [bodies.sms_guide(), bodies.sms_2022()],
    "a v1 message alone": [bodies.v1()["message"]],
    "a Bird message alone": [bodies.channels()["payload"]],
}


@holds("docs/api.md", "Bird's own bodies", "shape | recognised by")
def each_shape_is_known_by_the_keys_that_are_named(one: Table) -> None:
    assert [row[0] for row in one.rows] == list(BODIES)
    for row in one.rows:
        named = {key.split(".")[0] for key in codes(row[1])}
        for body in BODIES[row[0]]:
            assert read_shape(body) is not None, row[0]
            needed = named & set(body)
            # Of `message` and `conversation` one is enough.
            alone = set(codes(row[1].rpartition("object ")[2])) & set(body)
            enough = alone if " or " in row[1].rpartition("object ")[2] else set()
            for key in needed - enough:
                assert read_shape(bodies.without(body, key)) is None, f"{row[0]}, without {key}"
            if enough:
                lacking = {name: value for name, value in body.items() if name not in enough}
                assert read_shape(lacking) is None, row[0]
            assert needed, row[0]


@holds("docs/api.md", "Signatures", "`SignatureScheme` | for")
def the_schemes_and_how_long_a_request_is_good(one: Table) -> None:
    rule = Template.load().source["Parameters"]["SignatureScheme"]
    assert [codes(row[0])[0] for row in one.rows] == rule["AllowedValues"]
    good_for = {codes(row[0])[0]: row[2] for row in one.rows}
    assert good_for["bird"].startswith(f"{signatures.BIRD_PAST_SECONDS // 3600} hours")
    minutes = int(signatures.STANDARD_TOLERANCE_SECONDS // 60)
    assert good_for["standard-webhooks"] == f"{minutes} minutes"
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert (
        signatures.KEYS_LIFETIME_SECONDS == 300 and "Wait five minutes: functions remember" in text
    )


@holds("docs/flows.md", "What comes back, and what to do with it", "`outcome` | what happened")
def flows_know_every_outcome(one: Table) -> None:
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    outcomes = {codes(row[1])[0] for row in rows} - {"unknown"}
    assert {codes(row[0])[0] for row in one.rows[:-1]} == outcomes


@holds("docs/flows.md", "The table of channels", "key | ")
def the_keys_of_the_table_of_channels(one: Table) -> None:
    told = {key for row in one.rows for cell in row for key in codes(cell)}
    said = json.loads(
        (ROOT / "layers" / "bridge" / "bridge" / "bird" / "channels.json").read_text(
            encoding="utf-8"
        )
    )
    keys = set(said) | {key for entry in said["channels"].values() for key in entry}
    assert {key for key in keys if not key.startswith("$")} <= told


@holds("docs/operations.md", "Watch", "alarm | who acts")
def every_alarm_has_a_row(one: Table) -> None:
    made = deployment(AccessLogs="on")
    declared = {
        made.resolve(alarm["Properties"]["AlarmName"]).removeprefix("stack-")
        for alarm in made.of_type("AWS::CloudWatch::Alarm").values()
    }
    assert {row[0] for row in one.rows} == declared


@holds("docs/operations.md", "Close the doors further", "parameter | what it does")
def the_parameters_do_what_is_said(one: Table) -> None:
    source = Template.load().source
    text = json.dumps(source)
    for row in one.rows:
        for name in codes(row[0]):
            assert name in source["Parameters"]
        for code in codes(row[1]):
            code = code.replace("<stack>", "${AWS::StackName}")
            assert code in text, code


@holds("docs/operations.md", "Taking it down", "what | how to remove it")
def what_stays_is_what_is_retained(one: Table) -> None:
    resources = Template.load().source["Resources"]
    kept = {name for name, made in resources.items() if made.get("DeletionPolicy") == "Retain"}
    secrets = {name for name in kept if resources[name]["Type"] == "AWS::SecretsManager::Secret"}
    assert secrets == set(codes(one.rows[0][0]))
    # Versions of functions go with their functions.
    assert all(resources[name]["Type"].startswith("AWS::Serverless") for name in kept - secrets)
    parameters = deployment().outputs
    for code, output in zip(
        codes(one.rows[1][0]), ("TokenParameter", "PendingParameter"), strict=True
    ):
        assert code.replace("<stack>", "stack") == parameters[output]


@holds("docs/privacy.md", "What is where", "place | holds")
def what_is_where_and_how_long(one: Table) -> None:
    source = Template.load().source
    resources, parameters = source["Resources"], source["Parameters"]
    rows = {name: row for row in one.rows for name in codes(row[0])}
    for queue in ("Outbox", "Rejected"):
        seconds = resources[queue]["Properties"]["MessageRetentionPeriod"]
        assert seconds == 14 * 86400 and "14 days" in rows[queue][2]
    assert f"{parameters['LogRetentionDays']['Default']} by default" in next(
        row[2] for row in one.rows if row[0].startswith("logs")
    )
    for secret in ("Credentials", "SigningKeys"):
        assert resources[secret]["DeletionPolicy"] == "Retain"
        assert "it outlives the stack" in rows[secret][2]
    assert "RefreshLease" in rows and "RefreshLease" in resources


RECORD = {
    Kind.REFUSED: "refused",
    Kind.DUPLICATE_RULE: "refused (409)",
    Kind.DUPLICATE_VALUE: "looked up by its key: there, or refused",
    Kind.SESSION: "the token is renewed",
    Kind.LOCKED: "waits (seconds)",
    Kind.UNAVAILABLE: "waits",
    Kind.LIMIT: "waits (long)",
    Kind.NOT_SET_UP: "set-up",
    Kind.TRIGGER: "refused, if it was sent alone",
}


@holds("docs/troubleshooting.md", "Records", "code | the record")
def every_code_means_what_the_page_says(one: Table) -> None:
    rows = {codes(row[0])[0]: row for row in one.rows}
    assert set(rows) == set(catalogue.MEANINGS)
    for code, meaning in catalogue.MEANINGS.items():
        assert rows[code][1] == RECORD[meaning.kind], code
        assert rows[code][2].lower() == meaning.hint.lower(), code


@holds("docs/troubleshooting.md", "Records", "code of ours | when")
def every_code_of_ours_is_looked_into_after_the_codes_that_are_named(one: Table) -> None:
    rows = {codes(row[0])[0]: codes(row[1]) for row in one.rows}
    assert set(rows) == {KeyFieldMissing.code, NO_RIGHT, NO_RULE}
    named = {code for code in rows[NO_RIGHT] if code.isupper()}
    assert named == set(ABOUT_RIGHTS)
    assert {code for code in rows[NO_RULE] if code.isupper()} == set(ABOUT_AN_ID)


@holds("docs/troubleshooting.md", "Flows", "the step gets | means")
def a_step_gets_what_the_api_answers(one: Table) -> None:
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
    answers = {
        status
        for methods in described["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    for row in one.rows:
        assert set(re.findall(r"\d{3}", row[0])) <= answers, row


@holds("sandbox/README.md", "In a test", " | ")
def the_stack_has_what_is_listed(one: Table) -> None:
    source = inspect.getsource(sandbox_stack)
    for row in one.rows:
        for code in codes(row[0]):
            name = re.match(r"stack\.(\w+)", code)
            assert name, code
            assert (
                hasattr(Stack, name[1])
                or f"self.{name[1]} " in source
                or (f"self.{name[1]}:" in source)
            ), code


@holds("sandbox/org/README.md", "A Salesforce org in memory", " | ")
def the_sample_org_has_these_credentials(one: Table) -> None:
    told = [code for row in one.rows for code in codes(row[1])]
    known = [
        sample.CLIENT_ID,
        sample.CLIENT_SECRET,
        "http://localhost:8788/callback",
        "https://login.salesforce.com/",
        sample.INTEGRATION_USER,
        sample.INTEGRATION_PASSWORD,
        sample.ADMIN_USER,
        sample.ADMIN_PASSWORD,
    ]
    assert told == known


ALL = [one for page in PAGES for one in tables(page)]


@pytest.mark.parametrize("name", sorted(HELD), ids=lambda name: f"{name[0]}: {name[1]}")
def test_a_table_says_what_is_so(name: Name) -> None:
    (one,) = (found for found in ALL if name_of(found) == name)
    HELD[name](one)


def test_every_table_is_held_or_it_is_said_why_not() -> None:
    known = {**HELD, **ELSEWHERE, **PROSE}
    assert {name_of(one) for one in ALL} == set(known)
    for where in ELSEWHERE.values():
        for path in re.findall(r"tests/\w+/\w+\.py", where):
            assert (ROOT / path).exists(), path


def test_the_example_of_a_table_of_channels_is_one() -> None:
    (fence,) = (one for one in fences("docs/flows.md") if one.language == "jsonc")
    said = json.loads("{" + fence.text + "}")
    whole = json.loads(
        (ROOT / "layers" / "bridge" / "bridge" / "bird" / "channels.json").read_text(
            encoding="utf-8"
        )
    )
    for name, fields in said["fields"].items():
        whole["fields"][name] |= fields
    whole["channels"] |= said["channels"]
    assert check(json.dumps(whole)) == []
