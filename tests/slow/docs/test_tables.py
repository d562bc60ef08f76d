"""The tables on the pages, row by row, against what they speak of."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
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
from tests.slow.docs.pages import codes, fences, rows_of, text_of
from tests.unit import bodies
from tools.channel_table import check
from tools.template import ROOT, Deployment, Template

CHANNELS = text_of("layers/bridge/bridge/bird/channels.json")
SOURCE = Template.load().source
OPENAPI = yaml.safe_load(text_of("docs/openapi.yaml"))
OUTCOMES = rows_of("docs/api.md", "What comes back", "status", "`outcome`")


def outcomes(rows: list[list[str]]) -> set[tuple[str, str]]:
    """Each status with its outcome."""
    return {(status, codes(row[1])[0]) for row in rows for status in re.findall(r"\w+", row[0])}


@pytest.mark.parametrize(
    ("page", "section"),
    [("sandbox/README.md", "The parts"), ("tests/slow/chaos/README.md", "What is in it")],
)
def test_files_that_a_table_names_are_there(page: str, section: str) -> None:
    for path in codes(*(row[0] for row in rows_of(page, section, "file"))):
        if not path.startswith(("make ", "bird-salesforce")):
            pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
            assert list((ROOT / page).parent.glob(pattern)), path


def test_every_folder_of_tests_is_explained() -> None:
    rows = rows_of("CONTRIBUTING.md", "Where a test goes", "folder", "what is real")
    modules = (ROOT / "tests").rglob("test_*.py")
    folders = {str(path.parent.relative_to(ROOT)) for path in modules}
    assert set(codes(*(row[0] for row in rows))) == folders


def test_the_readme_says_what_the_api_says() -> None:
    rows = rows_of("README.md", "What the flow gets back", "status", "`outcome`")
    assert outcomes(rows) <= outcomes(OUTCOMES)


def test_the_routes_are_those_that_are_deployed() -> None:
    def make(logical_id: str, kind: str, properties: Any) -> defaultdict[str, str]:
        return defaultdict(lambda: logical_id)

    rows = rows_of("docs/api.md", "The API", "", "")
    named = {path for path in codes(*(row[0] for row in rows)) if " " in path}
    deployment = Deployment(Template.load(), stack_name="stack", parameters={}, make=make)
    deployed = {f"{route.method} {route.path}" for route in deployment.routes}
    # `?key=` beside `GET /leads/{key}` is the two routes that have the key in the query.
    assert named == deployed - {"GET /leads", "GET /cases"}
    assert any("`?key=`" in row[1] for row in rows)


def test_the_keys_of_bird_are_those_that_are_read() -> None:
    rows = rows_of("docs/api.md", "What to send", "key of `bird`", "")
    described = OPENAPI["components"]["schemas"]["Bird"]["properties"]
    assert set(codes(*(row[0] for row in rows))) == set(described)


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
    rows = rows_of("docs/api.md", "Bird's own bodies", "shape", "recognised by")
    assert [row[0] for row in rows] == list(BODIES)
    for shape, by in ((row[0], row[1]) for row in rows):
        for body in BODIES[shape]:
            assert read_shape(body) is not None, shape
            needed = {key.split(".")[0] for key in codes(by)} & set(body)
            # Of `message` and `conversation` one is enough.
            objects = by.rpartition("object ")[2]
            enough = set(codes(objects)) & set(body) if " or " in objects else set()
            assert needed, shape
            for lacking in [{key} for key in needed - enough] + [enough] * bool(enough):
                less = {name: value for name, value in body.items() if name not in lacking}
                assert read_shape(less) is None, f"{shape}, without {lacking}"


def test_the_schemes_and_how_long_a_request_is_good() -> None:
    rows = rows_of("docs/api.md", "Signatures", "`SignatureScheme`", "for")
    good_for = {codes(row[0])[0]: row[2] for row in rows}
    assert list(good_for) == SOURCE["Parameters"]["SignatureScheme"]["AllowedValues"]
    assert good_for["bird"].startswith(f"{signatures.BIRD_PAST_SECONDS // 3600} hours")
    minutes = int(signatures.STANDARD_TOLERANCE_SECONDS // 60)
    assert good_for["standard-webhooks"] == f"{minutes} minutes"
    assert SECRET_KEPT_SECONDS == 300
    assert "Wait five minutes: functions remember" in text_of("docs/operations.md")


def test_flows_know_every_outcome() -> None:
    section = "What comes back, and what to do with it"
    rows = rows_of("docs/flows.md", section, "`outcome`", "what happened")
    known = {outcome for _, outcome in outcomes(OUTCOMES)} - {"unknown"}
    assert {codes(row[0])[0] for row in rows[:-1]} == known


def test_the_keys_of_the_table_of_channels() -> None:
    rows = rows_of("docs/flows.md", "The table of channels", "key", "")
    channels = json.loads(CHANNELS)
    keys = set(channels) | {key for entry in channels["channels"].values() for key in entry}
    named = codes(*(cell for row in rows for cell in row))
    assert {key for key in keys if not key.startswith("$")} <= set(named)


def test_the_parameters_do_what_is_said() -> None:
    rows = rows_of("docs/operations.md", "Restrict access", "parameter", "what it does")
    assert set(codes(*(row[0] for row in rows))) <= set(SOURCE["Parameters"])
    for code in codes(*(row[1] for row in rows)):
        assert code.replace("<stack>", "${AWS::StackName}") in json.dumps(SOURCE), code


def test_what_is_where_and_how_long() -> None:
    rows = rows_of("docs/privacy.md", "What is where", "place", "holds")
    resources, parameters = SOURCE["Resources"], SOURCE["Parameters"]
    how_long = {name: row[2] for row in rows for name in codes(row[0])}
    for queue in ("Outbox", "Rejected"):
        assert resources[queue]["Properties"]["MessageRetentionPeriod"] == 14 * 86400
        assert "14 days" in how_long[queue]
    (logs,) = (row[2] for row in rows if row[0].startswith("logs"))
    assert f"{parameters['LogRetentionDays']['Default']} by default" in logs
    for secret in ("Credentials", "SigningKeys"):
        assert resources[secret]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert "it outlives the stack" in how_long[secret]
    assert "RefreshLease" in how_long and "RefreshLease" in resources


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
    rows = rows_of("docs/troubleshooting.md", "Records", "code", "the record")
    given = {codes(row[0])[0]: (row[1], row[2].lower()) for row in rows}
    assert given == {
        code: (RECORD[meaning.kind], meaning.hint.lower())
        for code, meaning in catalogue.MEANINGS.items()
    }


def test_every_code_of_ours_is_looked_into_after_the_codes_that_are_named() -> None:
    rows = rows_of("docs/troubleshooting.md", "Records", "code of ours", "when")
    after = {codes(row[0])[0]: {code for code in codes(row[1]) if code.isupper()} for row in rows}
    assert after.keys() == {KeyFieldMissing.code, NO_RIGHT, NO_RULE}
    assert (after[NO_RIGHT], after[NO_RULE]) == (set(ABOUT_RIGHTS), set(ABOUT_AN_ID))


def test_a_step_gets_what_the_api_answers() -> None:
    rows = rows_of("docs/troubleshooting.md", "Flows", "the step gets", "means")
    operations = [one for methods in OPENAPI["paths"].values() for one in methods.values()]
    statuses = {status for operation in operations for status in operation["responses"]}
    assert {one for row in rows for one in re.findall(r"\d{3}", row[0])} <= statuses


def test_the_stack_has_what_is_listed() -> None:
    source = inspect.getsource(sandbox_stack)
    for code in codes(*(row[0] for row in rows_of("sandbox/README.md", "In a test", "", ""))):
        name = re.match(r"stack\.(\w+)", code)
        assert name, code
        assert hasattr(Stack, name[1]) or re.search(rf"self\.{name[1]}[ :]", source), code


def test_the_sample_org_has_these_credentials() -> None:
    rows = rows_of("sandbox/org/README.md", "A Salesforce org in memory", "", "")
    assert codes(*(row[1] for row in rows)) == [
        *(sample.CLIENT_ID, sample.CLIENT_SECRET, "http://localhost:8788/callback"),
        *("https://login.salesforce.com/", sample.INTEGRATION_USER),
        *(sample.INTEGRATION_PASSWORD, sample.ADMIN_USER, sample.ADMIN_PASSWORD),
    ]


def test_the_example_of_a_table_of_channels_is_one() -> None:
    (fence,) = (one for one in fences("docs/flows.md") if one.language == "jsonc")
    example = json.loads("{" + fence.text + "}")
    whole = json.loads(CHANNELS)
    for name, fields in example["fields"].items():
        whole["fields"][name] |= fields
    whole["channels"] |= example["channels"]
    assert check(json.dumps(whole)) == []
