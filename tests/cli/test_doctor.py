"""`doctor`: what is red, and the next step, for each thing that can be wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sandbox.org import Org, OrgServer
from sandbox.org.sample import INTEGRATION_USER
from sandbox.stack import Stack
from tests.cli.conftest import Local, deployed_with
from tests.cli.program import options_for, run
from tests.conftest import PATIENT

Checks = dict[str, dict[str, Any]]
Change = Callable[[Local], object]
Finds = dict[str, tuple[str, ...] | None]
"""By check: its state and words of its message or next step; None where it is not carried out."""

CONVERSATIONS = {
    *("lead-conversation", "case-conversation", "task", "converted", "task-status"),
    *("lead-statuses", "reopen-status"),
}


def examine(options: list[str], *more: str) -> Checks:
    result = run("doctor", "--json", *options, *more)
    checks = {one["check"]: one for one in result.json()["checks"]}
    assert result.json()["healthy"] is (result.status == 0) is not bool(reds(checks))
    return checks


def reds(checks: Checks) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "bad"}


def assert_found(checks: Checks, finds: Finds) -> None:
    """A function that cannot do its work because of it is no fault of its own."""
    bad = {name for name, found in finds.items() if found and found[0] == "bad"}
    assert reds(checks) - {"lead-lookup", "case-lookup"} == bad
    for name, found in finds.items():
        if found is None:
            assert name not in checks
            continue
        one, (state, *words) = checks[name], found
        assert one["state"] == state, one
        for part in words:
            assert part in f"{one['message']} → {one['nextStep']}"


# Changes


def org(method: str, *given: Any, **more: Any) -> Change:
    return lambda local: getattr(local.org, method)(*given, **more)


def hide(object_name: str, *names: str) -> Change:
    """Hide fields from the integration user."""
    return lambda local: [
        local.org.hide_field(object_name, name, user=INTEGRATION_USER) for name in names
    ]


def rights(object_name: str, *given: str) -> Change:
    return org("set_object_rights", object_name, *given, user=INTEGRATION_USER)


def updated(object_name: str, label: str, value: str, **changes: Any) -> Change:
    """One record of the org's set-up, changed."""

    def change(local: Local) -> None:
        (found,) = [one for one in local.org.records(object_name) if one[label] == value]
        local.org.store.update(object_name, found["Id"], changes)

    return change


def permission_set(**changes: Any) -> Change:
    return updated("PermissionSet", "Name", "Bird_Bridge", **changes)


def token(**changes: str) -> Change:
    """The stored access token, changed."""

    def change(local: Local) -> None:
        value = json.dumps({**(local.stack.token() or {}), **changes})
        local.stack.client("ssm").put_parameter(
            Name=local.stack.token_parameter, Value=value, Type="SecureString", Overwrite=True
        )

    return change


def app(**changes: Any) -> Change:
    return lambda local: [setattr(local.app, name, value) for name, value in changes.items()]


def a_message_in_each_queue(local: Local) -> None:
    for url in (local.stack.outbox_url, local.stack.rejected_url):
        local.stack.client("sqs").send_message(QueueUrl=url, MessageBody="{}")


def row(*changes: Change, finds: Finds, **parameters: str) -> Any:
    return changes, parameters, finds


DAY = 86_400.0
NO_EDIT = ("Create", "Read", "ViewAllRecords")
PEOPLE = {"MATCH_CONTACTS": "on", "MATCH_EMAIL": "on", "LOOKUP_KEY_ID": "k"}
PAST = str(int((time.time() - 3 * 3600) * 1000))
SETUP = "bird-salesforce setup-org --local"
STATUSES = ("REOPEN_STATUS", "CASE_STATUS_ON_REPLY", "CLOSED_LEAD_STATUSES")


def statuses(values: str, *, reopen: str = "", reply: str = "", lead: str = "") -> Any:
    """The three parameters that name statuses; what is wrong with each, if anything is."""
    given = dict(zip(STATUSES, values.split(" | "), strict=True))
    names = {"reopen-status": reopen, "reply-status": reply, "lead-statuses": lead}
    found = {
        name: ("note", bad, "Deploy with") if bad else ("good",) for name, bad in names.items()
    }
    return row(finds=found, **given)


TROUBLES: dict[str, tuple[tuple[Change, ...], dict[str, str], Finds]] = {
    # The connection
    "the API is disabled": row(
        lambda local: setattr(local.org.settings, "api_enabled", False),
        finds={"api": ("bad", "API Enabled")},
    ),
    "the refresh token is revoked": row(
        lambda local: local.org.oauth.revoke_all(),
        finds={"refresh-token": ("bad", "connect"), "api": ("skipped",)},
    ),
    "the session has expired: it is renewed, as the functions would": row(
        lambda local: local.org.oauth.expire_sessions(), finds={"api": ("good", "renewed")}
    ),
    "nobody is at the login host": row(
        lambda local: local.stack.connect(login_url="http://127.0.0.1:9"),
        finds={"refresh-token": ("bad", "--login-url")},
    ),
    "the refresh token ends within a month": row(
        app(lifetime_seconds=20 * DAY), finds={"refresh-token": ("note", "connect")}
    ),
    "the refresh token ends later": row(
        app(lifetime_seconds=90 * DAY), finds={"refresh-token": ("good", "valid until")}
    ),
    "the access token is old": row(token(issued_at=PAST), finds={"access-token": ("bad",)}),
    "a foreign address gets no token": row(
        token(instance_url="https://example.org"),
        finds={"access-token": ("bad", "AllowInsecureHosts")},
    ),
    "the API version is retired": row(
        finds={"salesforce": ("bad", "ApiVersion=")}, SALESFORCE_API_VERSION="v20.0"
    ),
    "all API requests of the day are used": row(
        lambda local: local.org.usage.set_used(local.org.settings.daily_requests),
        finds={"api": ("bad", "REQUEST_LIMIT_EXCEEDED")},
    ),
    "few executions at once": row(
        lambda local: setattr(local.stack.aws, "concurrency", 10),
        finds={"concurrency": ("note", "10 functions", "502", "L-B99A9384")},
    ),
    "many executions at once": row(
        lambda local: setattr(local.stack.aws, "concurrency", 1000),
        finds={"concurrency": ("good", "1,000 functions")},
    ),
    # The org
    "the key field is missing": row(
        org("remove_field", "Lead", "Bird_Key__c"),
        finds={"lead-key": ("bad", "missing", SETUP), "case-key": ("good",)},
    ),
    "a hidden key field is not called missing for sure, and is said once": row(
        hide("Case", "Bird_Key__c"),
        finds={
            "case-key": ("bad", "may not see it", SETUP),
            "case-lookup": ("skipped", "KEY_FIELD_MISSING", "as “case-key” says"),
        },
    ),
    "key fields without a trait": row(
        org("change_field", "Lead", "Bird_Key__c", unique=False),
        org("change_field", "Case", "Bird_Key__c", external_id=False),
        finds={"lead-key": ("bad", "not Unique"), "case-key": ("bad", "no External ID")},
    ),
    "one object is hidden, one may not be created": row(
        rights("Lead"),
        rights("Case", "Read"),
        finds={
            "lead-create": ("bad", "no access to Lead", SETUP),
            "lead-key": ("unknown", "needs access to Lead"),
            "lead-conversation": ("unknown", "needs access to Lead"),
            "case-create": ("bad", "may not create a Case", SETUP),
            "case-conversation": ("bad",),
        },
    ),
    "a field is required that nobody fills": row(
        org("add_field", "Lead", "Region__c", length=40, required=True),
        finds={"lead-required": ("bad", "requires Region__c", "--sends Lead.Region__c")},
    ),
    "a restricted picklist lacks the channels": row(
        org("change_field", "Lead", "LeadSource", restricted=True),
        finds={"lead-channels": ("note", "WhatsApp")},
    ),
    "whether a rule exists is not shown to this user": row(
        finds={"assignment": ("unknown",), "duplicates": ("unknown",)},
        LEAD_ASSIGNMENT="01Q000000000001",
    ),
    # Conversations
    "conversations are off": row(
        org("remove_field", "Activity", "Bird_Conversation__c"),
        finds={"conversations": ("good",), **dict.fromkeys(CONVERSATIONS)},
        CONVERSATIONS="off",
    ),
    "without a key field there are none": row(
        finds={"conversations": ("note", "ExternalIdField")}, EXTERNAL_ID_FIELD=""
    ),
    "hidden fields of a lead": row(
        hide("Lead", "Bird_Conversation__c", "Bird_Last_Message__c"),
        finds={
            "lead-conversation": ("bad", ".Bird_Conversation__c", ".Bird_Last_Message__c", SETUP),
            **dict.fromkeys(CONVERSATIONS - {"lead-conversation"}, ("good",)),
        },
    ),
    "hidden fields of a case": row(
        hide("Case", "Bird_Conversation__c", "ParentId"),
        finds={"case-conversation": ("bad", ".Bird_Conversation__c", "Case.ParentId")},
    ),
    "hidden fields of a task": row(
        hide("Activity", "Bird_Key__c", "WhoId"), finds={"task": ("bad", ".Bird_Key__c", ".WhoId")}
    ),
    "fields of tasks and leads that are otherwise": row(
        org("change_field", "Activity", "Bird_Key__c", unique=False, external_id=False, length=40),
        org("change_field", "Lead", "Bird_Last_Message__c", type="string", length=40),
        finds={
            "task": ("bad", "is not Unique", "no External ID", "too short (40 characters)", SETUP),
            "lead-conversation": ("bad", "string instead of Date/Time", "rename or delete", SETUP),
        },
    ),
    "a conversation that is unique": row(
        org("change_field", "Case", "Bird_Conversation__c", unique=True),
        finds={"case-conversation": ("bad", "is Unique", "switch Unique off", SETUP)},
    ),
    "no access to activities": row(
        permission_set(PermissionsActivitiesAccess=False),
        finds={"task": ("bad", "Access Activities", SETUP)},
    ),
    "no right to edit tasks": row(
        permission_set(PermissionsEditTask=False), finds={"task": ("bad", "Edit Tasks", SETUP)}
    ),
    "no right to edit leads": row(
        rights("Lead", *NO_EDIT),
        finds={"lead-conversation": ("bad", "edit a Lead"), "case-conversation": ("good",)},
    ),
    "no access to what a lead becomes": row(
        *map(rights, ("Contact", "Account", "Opportunity")),
        finds={"converted": ("bad", "Contact", "Account", "Opportunity", SETUP)},
    ),
    "whether all records are seen, where the rights show it": row(
        permission_set(PermissionsViewSetup=True), finds={"view-all": ("good",)}
    ),
    "not all contacts are seen": row(
        permission_set(PermissionsViewSetup=True),
        rights("Contact", "Read"),
        finds={"view-all": ("bad", "see every Contact (")},
    ),
    "tasks are done under another name": row(
        updated("TaskStatus", "ApiName", "Completed", ApiName="Erledigt", MasterLabel="Erledigt"),
        finds={"task-status": ("note", "Completed is not there", "Erledigt", "channels.json")},
    ),
    "comments may be made": row(finds={"case-comments": ("good",)}, CASE_COMMENTS="on"),
    "comments may not be made": row(
        rights("Case", *NO_EDIT),
        finds={"case-comments": ("bad", "CaseComments=off"), "case-conversation": ("bad",)},
        CASE_COMMENTS="on",
    ),
    "statuses that are not there": statuses(
        "Reopened | Replied | Done",
        reopen="Reopened is not there",
        reply="Replied is not there",
        lead="no lead status Done",
    ),
    "statuses that are closed": statuses(
        "Closed | Closed | Closed - Not Converted,Done",
        reopen="Closed is not open",
        reply="Closed is not open",
        lead="no lead status Done",
    ),
    "the other kind of org's status alone": statuses(
        "Working | Escalated | Unqualified", lead="no lead status Unqualified"
    ),
    "statuses that are there": statuses("Working | Escalated | Closed - Not Converted"),
    "no status ends a lead": statuses("Working | Escalated | "),
    "nothing is reopened": row(
        finds={"reopen-status": None}, REOPEN_DAYS="0", REOPEN_STATUS="Nowhere"
    ),
    # Known people
    "people are searched": row(
        finds={"contact-search": ("good",), "lead-search": ("good",)}, **PEOPLE
    ),
    "phone numbers are hidden": row(
        hide("Contact", "HomePhone"),
        hide("Lead", "MobilePhone"),
        finds={
            "contact-search": ("bad", "HomePhone", SETUP),
            "lead-search": ("bad", "MobilePhone", SETUP),
        },
        **PEOPLE,
    ),
    "contacts are hidden": row(
        rights("Contact"),
        finds={"contact-search": ("bad", "may not read a Contact"), "converted": ("bad",)},
        MATCH_CONTACTS="on",
    ),
    # Queues
    "records wait and are rejected": row(
        a_message_in_each_queue,
        finds={
            "outbox": ("note", "1 record is waiting and will be sent automatically"),
            "rejected": ("note", "rejected list"),
        },
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_found_with_its_next_step(
    own_org: Local, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(own_org.stack.aws, "concurrency", own_org.stack.aws.concurrency)
    changes, parameters, finds = TROUBLES[trouble]
    with ExitStack() as stack:
        if parameters:
            stack.enter_context(deployed_with(own_org, **parameters))
        for change in changes:
            change(own_org)
        assert_found(examine(own_org.options), finds)


def test_a_healthy_stack_has_no_red_and_stays_as_it_is(connected: Local) -> None:
    before = connected.secret(), connected.stack.token(), connected.versions()
    checks = examine(connected.options)
    good = {
        *("secret", "refresh-token", "access-token", "salesforce", "api", "lead-lookup"),
        *("case-lookup", "lead-create", "lead-key", "case-create", "case-key", "api-usage"),
        *CONVERSATIONS,
    }
    unasked = ("reply-status", "case-comments", "contact-search", "lead-search", "files")
    unknown = {"duplicates": ("unknown",), "view-all": ("unknown",)}
    assert_found(checks, {**dict.fromkeys(good, ("good",)), **unknown, **dict.fromkeys(unasked)})
    assert (connected.secret(), connected.stack.token(), connected.versions()) == before
    assert connected.org.records("Lead") == []


def test_a_field_that_flows_send_is_not_missed(own_org: Local) -> None:
    own_org.org.add_field("Lead", "Region__c", length=40, required=True)
    checks = examine(own_org.options, "--sends", "Lead.Region__c")
    assert checks["lead-required"]["state"] == "good"


def test_a_stack_that_is_not_connected_raises_no_alarm_that_records_are_not_kept(
    ready: Local,
) -> None:
    before = dict(ready.stack.gateway.statuses)
    checks = examine(ready.options)
    assert_found(checks, {"secret": ("bad", "connect"), "lead-lookup": ("note",)})
    assert (checks["org"]["state"], checks["org"]["because"]) == ("skipped", "secret")
    assert "lead-create" not in checks
    statuses = {one for one, n in ready.stack.gateway.statuses.items() if n > before.get(one, 0)}
    assert statuses, "the API was called"
    assert not [status for status in statuses if status >= 500]


def test_a_login_host_that_does_not_know_the_app(connected: Local) -> None:
    other = Org.bare()
    other.oauth.apps.clear()
    with OrgServer(other) as server:
        connected.stack.connect(login_url=server.url)
        checks = examine(connected.options)
    assert_found(checks, {"refresh-token": ("bad", "test.salesforce.com", "connect")})


def test_salesforce_down(connected: Local) -> None:
    with connected.stack.outage():
        checks = examine(connected.options)
        result = run("doctor", "--verbose", *connected.options)
    assert reds(checks) == {"salesforce"}, "a cause is said once"
    skipped = {name: one["count"] for name, one in checks.items() if one["state"] == "skipped"}
    assert skipped.keys() == {"refresh-token", "api", "org", "lead-lookup", "case-lookup"}
    assert {checks[name]["because"] for name in skipped} == {"salesforce"}
    assert "cannot use Salesforce" in checks["lead-lookup"]["message"]
    assert result.out.startswith("Salesforce is down: ")
    words = " ".join(result.out.split())
    assert f"Skipped because of it: {sum(skipped.values())} checks." in words
    assert "salesforce connect" not in result.out + result.err, "reconnecting helps nobody"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "body": "<html>maintenance</html>"},
        {"error": "SERVER_UNAVAILABLE"},
        {"error": "ORG_IN_MAINTENANCE"},
        {"reset": "before"},
    ],
)
def test_nobody_is_told_to_reconnect_while_salesforce_has_trouble(
    connected: Local, fault: dict[str, Any]
) -> None:
    connected.org.trouble.add(**fault)
    checks = examine(connected.options)
    assert reds(checks) == {"salesforce"}
    assert not any("salesforce connect" in one["nextStep"] for one in checks.values())


def test_the_verdict_is_first_and_green_checks_are_counted_only(connected: Local) -> None:
    short, full = (run("doctor", *more, *connected.options) for more in ((), ("--verbose",)))
    assert short.out.startswith("Nothing is red.\n")
    assert short.status == full.status == 0
    access = connected.stack.token() or {}
    for result in (short, full):
        groups = [line.split()[0] for line in result.out.splitlines() if line[:1].isalpha()][1:]
        assert groups == ["Connection", "Org", "Conversations", "Queues", "API"]
        assert all(len(line) <= 80 for line in (result.out + result.err).splitlines())
        secret = connected.secret()
        for hidden in (secret["refresh_token"], secret["client_secret"], access["access_token"]):
            assert hidden not in result.out + result.err
        assert connected.stack.api_key not in result.out + result.err
    assert "The user may create a Lead." in full.out
    assert "The user may create a Lead." not in short.out
    connected.org.settings.api_enabled = False
    red = run("doctor", *connected.options)
    assert "✗" in red.out and "→ " in red.out and len(red.out.splitlines()) < 50


# Where files are attached


@pytest.fixture(scope="module")
def with_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with Stack(poll=False, parameters={**PATIENT, "AttachMedia": "on"}) as stack:
        stack.tick()
        yield Local(stack, options_for(stack, tmp_path_factory.mktemp("files")), "")


def access_key(value: str) -> Change:
    def store(local: Local) -> None:
        secret = local.stack.deployment.resource("AccessKey")["Ref"]
        local.stack.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)

    return store


FILES: dict[str, tuple[Change, Finds]] = {
    "all is well": (
        lambda local: None,
        {"files": ("good",), "access-key": ("good",), "files-queue": ("good",)},
    ),
    "a key that Bird does not know": (
        access_key('{"accessKey":"a-key-that-bird-does-not-know"}'),
        {"access-key": ("bad", "refused")},
    ),
    "no key": (access_key('{"accessKey":""}'), {"access-key": ("bad", "not stored")}),
    "something else": (access_key("two words"), {"access-key": ("bad", "something else")}),
    "a hidden field": (hide("ContentVersion", "Bird_Key__c"), {"files": ("bad", SETUP)}),
}


@pytest.mark.parametrize("trouble", FILES)
def test_what_files_need_is_checked(with_files: Local, trouble: str) -> None:
    change, finds = FILES[trouble]
    change(with_files)
    try:
        assert_found(examine(with_files.options), finds)
    finally:
        access_key(with_files.stack.media.access_key)(with_files)
        with_files.org.show_field("ContentVersion", "Bird_Key__c", user=INTEGRATION_USER)
