"""The tables on the pages, row by row, against what they speak of."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bridge.api import signatures
from bridge.aws import SECRET_KEPT_SECONDS
from bridge.bird.webhooks import read_shape
from bridge.delivery.verdict import ABOUT_AN_ID, ABOUT_RIGHTS, NO_RIGHT, NO_RULE
from bridge.errors import KeyFieldMissing
from bridge.salesforce import error_codes as catalogue
from bridge.salesforce.error_codes import Kind
from sandbox import stack as sandbox_stack
from sandbox.org import sample
from sandbox.stack import Stack
from tests.slow.docs.pages import codes, fences, table
from tests.unit import bodies
from tools.channel_table import check
from tools.template import ROOT, Attributes, Deployment, Template

CHANNELS = ROOT / "layers/bridge/bridge/bird/channels.json"


def paths(cell: str) -> Iterator[str]:
    for one in codes(cell):
        if not one.startswith(("make ", "bird-salesforce")):
            yield re.sub(r"<[^>]*>", "*", one)


@pytest.mark.parametrize(
    ("page", "section", "head"),
    [
        ("sandbox/README.md", "The parts", ("file", "is")),
        ("tests/slow/chaos/README.md", "What is in it", ("file", "what it does")),
    ],
)
def test_files_that_a_table_names_are_there(page: str, section: str, head: tuple[str, str]) -> None:
    for row in table(page, section, *head).rows:
        for path in paths(row[0]):
            assert list((ROOT / page).parent.glob(path.rstrip("/"))), path


def test_every_folder_of_tests_is_explained() -> None:
    one = table("CONTRIBUTING.md", "Where a test goes", "folder", "what is real")
    named = {path for row in one.rows for path in codes(row[0])}
    modules = (ROOT / "tests").rglob("test_*.py")
    assert named == {str(path.parent.relative_to(ROOT)) for path in modules}


def test_the_readme_says_what_the_api_says() -> None:
    one = table("README.md", "What the flow gets back", "status", "`outcome`")
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    full = {(status, codes(row[1])[0]) for row in rows for status in re.findall(r"\w+", row[0])}
    for row in one.rows:
        for status in re.findall(r"\w+", row[0]):
            assert (status, codes(row[1])[0]) in full, row


def deployment(**parameters: str) -> Deployment:
    def make(logical_id: str, kind: str, properties: Any) -> Attributes:
        return defaultdict(lambda: logical_id)

    return Deployment(Template.load(), stack_name="stack", parameters=parameters, make=make)


def test_the_routes_are_those_that_are_deployed() -> None:
    one = table("docs/api.md", "The API", "", "")
    pairs = {tuple(path.split(" ")) for row in one.rows for path in codes(row[0])}
    named = {pair for pair in pairs if len(pair) == 2}
    deployed = {(route.method, route.path) for route in deployment().routes}
    # `?key=` beside `GET /leads/{key}` is the two routes that have the key in the query.
    assert named == deployed - {("GET", "/leads"), ("GET", "/cases")}
    assert any("`?key=`" in row[1] for row in one.rows)


def test_the_keys_of_bird_are_those_that_are_read() -> None:
    one = table("docs/api.md", "What to send", "key of `bird`", "")
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
    keys = set(described["components"]["schemas"]["Bird"]["properties"])
    assert {key for row in one.rows for key in codes(row[0])} == keys


BODIES: dict[str, list[Any]] = {
    "legacy Conversations v1 webhook": [bodies.v1()],
    "Bird Channels and Conversations webhooks": [bodies.channels(), bodies.conversation()],
    "events of 2026": [bodies.event_2026()],
    'SMS, "Forward to URL"': [bodies.sms_guide(), bodies.sms_2022()],
    "SMS to a number or a short code": [bodies.sms_to_a_number(), bodies.sms_to_a_short_code()],
    "a v1 message alone": [bodies.v1()["message"]],
    "a Bird message alone": [bodies.channels()["payload"]],
}


def test_each_shape_is_known_by_the_keys_that_are_named() -> None:
    one = table("docs/api.md", "Bird's own bodies", "shape", "recognised by")
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


def test_the_schemes_and_how_long_a_request_is_good() -> None:
    one = table("docs/api.md", "Signatures", "`SignatureScheme`", "for")
    rule = Template.load().source["Parameters"]["SignatureScheme"]
    assert [codes(row[0])[0] for row in one.rows] == rule["AllowedValues"]
    good_for = {codes(row[0])[0]: row[2] for row in one.rows}
    assert good_for["bird"].startswith(f"{signatures.BIRD_PAST_SECONDS // 3600} hours")
    minutes = int(signatures.STANDARD_TOLERANCE_SECONDS // 60)
    assert good_for["standard-webhooks"] == f"{minutes} minutes"
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert SECRET_KEPT_SECONDS == 300 and "Wait five minutes: functions remember" in text


def test_flows_know_every_outcome() -> None:
    one = table(
        "docs/flows.md", "What comes back, and what to do with it", "`outcome`", "what happened"
    )
    rows = table("docs/api.md", "What comes back", "status", "`outcome`").rows
    outcomes = {codes(row[1])[0] for row in rows} - {"unknown"}
    assert {codes(row[0])[0] for row in one.rows[:-1]} == outcomes


def test_the_keys_of_the_table_of_channels() -> None:
    one = table("docs/flows.md", "The table of channels", "key", "")
    named = {key for row in one.rows for cell in row for key in codes(cell)}
    channels = json.loads(CHANNELS.read_text(encoding="utf-8"))
    keys = set(channels) | {key for entry in channels["channels"].values() for key in entry}
    assert {key for key in keys if not key.startswith("$")} <= named


def test_the_parameters_do_what_is_said() -> None:
    one = table("docs/operations.md", "Restrict access", "parameter", "what it does")
    source = Template.load().source
    text = json.dumps(source)
    for row in one.rows:
        for name in codes(row[0]):
            assert name in source["Parameters"]
        for code in codes(row[1]):
            code = code.replace("<stack>", "${AWS::StackName}")
            assert code in text, code


def test_what_is_where_and_how_long() -> None:
    one = table("docs/privacy.md", "What is where", "place", "holds")
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
        assert resources[secret]["DeletionPolicy"] == "RetainExceptOnCreate"
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


def test_every_code_means_what_the_page_says() -> None:
    one = table("docs/troubleshooting.md", "Records", "code", "the record")
    rows = {codes(row[0])[0]: row for row in one.rows}
    assert set(rows) == set(catalogue.MEANINGS)
    for code, meaning in catalogue.MEANINGS.items():
        assert rows[code][1] == RECORD[meaning.kind], code
        assert rows[code][2].lower() == meaning.hint.lower(), code


def test_every_code_of_ours_is_looked_into_after_the_codes_that_are_named() -> None:
    one = table("docs/troubleshooting.md", "Records", "code of ours", "when")
    rows = {codes(row[0])[0]: codes(row[1]) for row in one.rows}
    assert set(rows) == {KeyFieldMissing.code, NO_RIGHT, NO_RULE}
    named = {code for code in rows[NO_RIGHT] if code.isupper()}
    assert named == set(ABOUT_RIGHTS)
    assert {code for code in rows[NO_RULE] if code.isupper()} == set(ABOUT_AN_ID)


def test_a_step_gets_what_the_api_answers() -> None:
    one = table("docs/troubleshooting.md", "Flows", "the step gets", "means")
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
    statuses = {
        status
        for methods in described["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    for row in one.rows:
        assert set(re.findall(r"\d{3}", row[0])) <= statuses, row


def test_the_stack_has_what_is_listed() -> None:
    one = table("sandbox/README.md", "In a test", "", "")
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


def test_the_sample_org_has_these_credentials() -> None:
    one = table("sandbox/org/README.md", "A Salesforce org in memory", "", "")
    named = [code for row in one.rows for code in codes(row[1])]
    known = [
        *(sample.CLIENT_ID, sample.CLIENT_SECRET, "http://localhost:8788/callback"),
        *("https://login.salesforce.com/", sample.INTEGRATION_USER),
        *(sample.INTEGRATION_PASSWORD, sample.ADMIN_USER, sample.ADMIN_PASSWORD),
    ]
    assert named == known


def test_the_example_of_a_table_of_channels_is_one() -> None:
    (fence,) = (one for one in fences("docs/flows.md") if one.language == "jsonc")
    example = json.loads("{" + fence.text + "}")
    whole = json.loads(CHANNELS.read_text(encoding="utf-8"))
    for name, fields in example["fields"].items():
        whole["fields"][name] |= fields
    whole["channels"] |= example["channels"]
    assert check(json.dumps(whole)) == []
