"""`setup-org`: an administrator signs in, and the org gets what the bridge needs."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.org import Fault, Org
from sandbox.org.sample import ADMIN_USER, INTEGRATION_USER
from tests.cli.conftest import Local, local_stack
from tests.cli.person import Person, administrator
from tests.cli.program import Result, run, running
from tests.slow.docs.shell import Terminal

SECRET = {"BIRD_SALESFORCE_CLIENT_SECRET": "x"}


def set_up(local: Local, *more: str, person: Person | None = None) -> Result:
    arguments = ("setup-org", *local.options, "--callback", local.callback, *more)
    with running(*arguments) as program:
        (person or administrator()).sign_in(program.address())
        return program.result()


def connect(local: Local, *more: str) -> Result:
    with running("connect", *local.options, "--callback", local.callback, *more) as program:
        Person().sign_in(program.address())
        return program.result()


def rows(local: Local, soql: str) -> list[dict[str, Any]]:
    return local.org.query(soql)


# An org that was set up


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A bare org that was connected and then set up. Nothing else of the connection has changed."""
    for local in local_stack(Org.bare(), tmp_path_factory.mktemp("done")):
        connect(local)
        secret, token = local.secret(), local.stack.token()
        assert token is not None
        session = local.org.oauth.sessions[token["access_token"]]
        used_at = session.used_at
        assert set_up(local, "--yes").status == 0
        assert (local.secret(), local.stack.token()) == (secret, token)
        assert session.used_at == used_at
        yield local


def test_the_permission_set_is_small_and_bound_to_no_licence(done: Local) -> None:
    (made,) = rows(
        done,
        "SELECT Id, LicenseId, PermissionsActivitiesAccess, PermissionsEditTask, "
        "PermissionsViewAllData FROM PermissionSet WHERE Name = 'Bird_Bridge'",
    )
    flags = ("LicenseId", "ActivitiesAccess", "EditTask", "ViewAllData")
    found = [made.get(f"Permissions{name}", made.get(name)) for name in flags]
    assert found == [None, True, True, False]
    rights = ("Create", "Read", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
    granted = rows(
        done,
        f"SELECT SobjectType, {', '.join(f'Permissions{one}' for one in rights)} FROM "
        f"ObjectPermissions WHERE ParentId = '{made['Id']}'",
    )
    reads, writes = {"Read", "ViewAllRecords"}, {"Create", "Read", "Edit", "ViewAllRecords"}
    assert {
        one["SobjectType"]: {right for right in rights if one[f"Permissions{right}"]}
        for one in granted
    } == {
        **dict.fromkeys(("Account", "Contact", "Opportunity"), reads),
        **dict.fromkeys(("Lead", "Case"), writes),
    }


def test_fields_are_for_the_integration_user_only_and_contacts_only_to_read(done: Local) -> None:
    for object_name in ("Lead", "Case"):
        field = done.org.schema[object_name].field("Bird_Key__c")
        assert field is not None and field.case_sensitive
        assert (field.length, field.unique, field.external_id) == (100, True, True)
    (made,) = rows(done, "SELECT Id FROM PermissionSet WHERE Name = 'Bird_Bridge'")
    permissions = done.org.records("FieldPermissions")
    ours = [one["ParentId"] for one in permissions if ".Bird_" in one["Field"]]
    assert ours == [made["Id"]] * 8
    may_edit = {
        one["Field"]: one.get("PermissionsEdit", False)
        for one in permissions
        if one["ParentId"] == made["Id"] and one.get("PermissionsRead")
    }
    phones = ("Phone", "MobilePhone", "HomePhone", "OtherPhone", "Email", "AccountId")
    for name in (*(f"Contact.{phone}" for phone in phones), "Lead.MobilePhone"):
        assert may_edit[name] is False, name
    assert may_edit["Lead.Phone"] is True


def test_conversations_can_then_be_kept(done: Local) -> None:
    def send(path: str, conversation: str, number: int) -> Any:
        message = {"messageId": f"{conversation}-{number}", "conversationId": conversation}
        bird = {"channel": "viber", "sender": "+31612345678", "text": "Hi", **message}
        return done.stack.request("POST", path, {"bird": bird}).json()

    for path, name in (("/leads", "Lead"), ("/cases", "Case")):
        made, added = (send(path, f"of-{name}", number) for number in (1, 2))
        assert (made["outcome"], added["outcome"], added["added"]) == ("created", "exists", True)
        assert send(path, f"of-{name}", 2)["outcome"] == "exists"
        tasks = [one for one in done.org.records("Task") if made["id"] in one.values()]
        assert len(tasks) == 2, "a message that comes again is logged once"
    (case,) = done.org.records("Case")
    month_ago = time.strftime("%Y-%m-%dT00:00:00.000+0000", time.gmtime(time.time() - 30 * 86_400))
    done.org.store.update("Case", case["Id"], {"Status": "Closed", "IsClosed": True})
    done.org.store.update("Case", case["Id"], {"ClosedDate": month_ago})
    successor = send("/cases", "of-Case", 3)
    assert successor["outcome"] == "created" and successor["id"] != case["Id"]


def test_running_it_again_does_nothing(done: Local) -> None:
    before = Counter(done.org.journal.counts)
    result = set_up(done, "--yes", "--json")
    assert result.status == 0
    assert result.json()["steps"] == []
    assert "Nothing to do" in result.err
    requests = done.org.journal.counts - before
    writes = [one for one in requests if not one.startswith("GET ") and "/services/" not in one]
    assert [one for one in writes if "oauth2" not in one and "/login" not in one] == []


def test_the_administrators_session_is_ended(done: Local) -> None:
    admin = done.org.oauth.user(ADMIN_USER)
    assert admin is not None
    theirs = [one for one in done.org.oauth.sessions.values() if one.user_id == admin["Id"]]
    assert theirs
    assert all(one.ended for one in theirs)
    assert not [a for a in done.org.oauth.approvals.values() if a.user_id == admin["Id"]]


# Runs that end early


def test_the_plan_alone_changes_nothing(bare: Local) -> None:
    connect(bare)
    result = set_up(bare, "--plan", "--json")
    assert result.status == 0
    targets = [step["target"] for step in result.json()["steps"]]
    assert "Lead.Bird_Key__c" in targets
    assert f"Bird_Bridge>{INTEGRATION_USER}" in targets
    assert result.json()["done"] == []
    assert bare.org.schema["Lead"].field("Bird_Key__c") is None
    assert rows(bare, "SELECT Id FROM PermissionSet WHERE Name = 'Bird_Bridge'") == []


def test_without_a_yes_nothing_is_changed(bare: Local) -> None:
    connect(bare)
    result = set_up(bare)
    assert result.status == 1
    assert "--yes" in result.err
    assert bare.org.schema["Lead"].field("Bird_Key__c") is None


def test_it_goes_on_where_it_stopped(bare: Local) -> None:
    connect(bare)
    fault = bare.org.trouble.add(
        Fault(method="POST", path="/sobjects/FieldPermissions", status=503, body="down", times=99)
    )
    stopped = set_up(bare, "--yes")
    assert stopped.status == 1
    assert "continues where it stopped" in stopped.err
    bare.org.trouble.remove(fault.id)
    assert set_up(bare, "--yes").status == 0
    assert set_up(bare, "--yes", "--json").json()["steps"] == []


def test_the_administrators_session_is_ended_after_a_failure_too(ready: Local) -> None:
    connect(ready)
    assert set_up(ready, "--yes", "--user", "nobody@example.com").status == 1
    admin = ready.org.oauth.user(ADMIN_USER)
    assert admin is not None
    theirs = [one for one in ready.org.oauth.sessions.values() if one.user_id == admin["Id"]]
    assert all(one.ended for one in theirs)


def test_somebody_who_is_no_administrator_is_told_so(bare: Local) -> None:
    connect(bare)
    result = set_up(bare, "--yes", person=Person())
    assert result.status == 1
    assert "This user may not set the org up: that needs an administrator." in result.err
    assert "Sign in as an administrator" in result.err
    assert "SELECT" not in result.err and "sObject" not in result.err
    assert bare.org.schema["Lead"].field("Bird_Key__c") is None


def test_in_an_outage_no_browser_is_opened(ready: Local) -> None:
    connect(ready)
    with ready.stack.outage():
        result = run("setup-org", *ready.options, "--callback", ready.callback)
    assert result.status == 1 and "Salesforce is down" in result.err
    assert "authorize?" not in result.err and "status.salesforce.com" in result.err


def test_a_wrong_app_is_found_before_a_browser_is_opened(ready: Local) -> None:
    result = run("setup-org", *ready.options, "--client-id", "nobody", environ=SECRET)
    assert result.status == 1 and "authorize?" not in result.err


def test_without_a_connection_the_user_is_named(bare: Local) -> None:
    unnamed = set_up(bare, "--plan", "--json").json()
    assert any("assigned to nobody" in note for note in unnamed["notes"])
    named = set_up(bare, "--plan", "--json", "--user", INTEGRATION_USER).json()
    assert f"Bird_Bridge>{INTEGRATION_USER}" in [step["target"] for step in named["steps"]]


def test_fields_that_flows_set_are_granted_if_named(bare: Local) -> None:
    bare.org.add_field("Lead", "Region__c", length=40, visible_to=(ADMIN_USER,))
    connect(bare)
    assert set_up(bare, "--yes", "--field", "Lead.Region__c").status == 0
    response = bare.stack.request("POST", "/leads", {"LastName": "Okafor", "Region__c": "North"})
    assert response.status == 201


@pytest.mark.parametrize("field", ["Region__c", "Account.Region__c", "Lead."])
def test_a_field_without_its_object_is_refused(ready: Local, field: str) -> None:
    result = run("setup-org", *ready.options, "--field", field)
    assert result.status == 1
    assert "Lead.Field__c" in result.err


def test_an_administrator_of_another_org_is_refused(ready: Local) -> None:
    connect(ready)
    token = ready.stack.token()
    assert token is not None
    token["id"] = token["id"].replace(ready.org.org_id, "00D000000000001EAA")
    ready.stack.client("ssm").put_parameter(
        Name=ready.stack.token_parameter,
        Value=json.dumps(token),
        Type="SecureString",
        Overwrite=True,
    )
    result = set_up(ready, "--yes")
    assert result.status == 1
    assert "another org" in result.err


def test_connect_sets_the_org_up_in_one_go(bare: Local) -> None:
    body = {"LastName": "Okafor", "Company": "Individual", "Bird_Key__c": "k"}
    assert bare.stack.request("POST", "/leads", body).status == 202
    arguments = ("connect", *bare.options, "--callback", bare.callback)
    with running(*arguments, "--setup-org", "--test-lead", "--yes") as program:
        first = Person().sign_in(program.address(1))
        second = administrator().sign_in(program.address(2))
        result = program.result()
    assert result.status == 0, result.err
    assert "One step is left in the terminal: setting the org up" in first.text
    assert "One step is left in the terminal: it shows what would be changed" in second.text
    assert "The org is set up" in result.err
    assert "test Lead was created and rolled back" in result.err
    assert "1 waiting record is being delivered" in result.err
    bare.stack.drain()
    assert bare.org.find("Lead", "k") is not None
    with running(*arguments, "--anew") as program:
        assert "One step is left" not in Person().sign_in(program.address(1)).text
        assert program.result().status == 0


def test_connect_says_what_lacks(bare: Local) -> None:
    result = connect(bare)
    assert result.status == 0
    assert "The org is not set up. Missing: " in result.err
    assert "setup-org" in result.err


def test_setting_the_org_up_is_the_default_for_a_person(bare: Local, tmp_path: Path) -> None:
    """At a real terminal: Enter is all that is typed."""
    words = ["bird-salesforce", "connect", *bare.options, "--callback", bare.callback]
    with Terminal(shlex.join(words), folder=tmp_path, environ={}) as screen:
        address = r"\s(http\S+/authorize\?\S+)\s"
        Person().sign_in(screen.expect(address)[1])
        screen.expect(r"Set the org up now\? An administrator signs in for it\. \[y/n\] \(y\)")
        screen.type("")
        administrator().sign_in(screen.expect(address)[1])
        screen.expect(r"Do this\?")
        screen.type("")
        screen.expect("The org is set up")
        screen.expect("Create a test Lead and roll it back")
        screen.type("")
        assert screen.end() == 0, screen.seen
    assert bare.org.schema["Lead"].field("Bird_Key__c") is not None
