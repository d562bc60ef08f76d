"""`disconnect` and `flow`."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from bridge.bird.channels import table
from cli.deployment.flow_step import branches
from tests.cli.conftest import Local
from tests.cli.program import run
from tools.template import ROOT


def test_disconnecting_revokes_and_forgets_and_says_what_remains(connected: Local) -> None:
    secret = connected.secret()
    result = run("disconnect", "--yes", *connected.options)
    assert result.status == 0
    for word in ("revoked", "outbox", "Rejected", "Bird_Key__c", "Bird_Bridge", "14 days"):
        assert word in result.err
    assert not connected.org.connected(secret["refresh_token"])
    assert connected.secret() == {}
    assert connected.stack.token() is None
    client = connected.stack.client("secretsmanager")
    for stage in ("AWSCURRENT", "AWSPREVIOUS"):
        version = client.get_secret_value(SecretId=connected.stack.secret_id, VersionStage=stage)
        assert secret["client_secret"] not in version["SecretString"]


def test_disconnecting_asks_first(connected: Local) -> None:
    secret = connected.secret()
    result = run("disconnect", *connected.options)
    assert result.status == 1
    assert "--yes" in result.err
    assert connected.secret() == secret


def test_disconnecting_twice_is_no_error(connected: Local) -> None:
    run("disconnect", "--yes", *connected.options)
    result = run("disconnect", "--yes", *connected.options)
    assert result.status == 0
    assert "Nothing was connected" in result.err


def test_disconnecting_while_salesforce_is_down_forgets_all_the_same(connected: Local) -> None:
    with connected.stack.outage():
        result = run("disconnect", "--yes", *connected.options)
    assert result.status == 0
    assert "did not confirm" in result.err
    assert connected.secret() == {}


def test_client_credentials_are_disconnected_too(ready: Local) -> None:
    run("connect", *ready.options, "--grant", "client-credentials")
    token = ready.stack.token()
    assert token is not None
    assert run("disconnect", "--yes", *ready.options).status == 0
    assert ready.org.oauth.session(token["access_token"]) is None


def test_the_flows_step_works_as_it_is_printed(connected: Local) -> None:
    step = run("flow", "whatsapp", "--show-key", "--json", *connected.options).json()
    assert step["method"] == "POST"
    assert step["url"].startswith(connected.stack.url)
    body = json.dumps(step["body"])
    values = {"messageId": "wamid.1", "contact.displayName": "Ada", "payload": "Hi"}
    for name, value in values.items():
        assert "{{" + name + "}}" in body
        body = body.replace("{{" + name + "}}", value)
    response = connected.stack.request(
        "POST",
        step["url"].removeprefix(connected.stack.url),
        body,
        headers=step["headers"],
        api_key=None,
    )
    assert response.status == 201
    assert set(response.json()) & set(step["variables"]) >= {"outcome", "id", "key"}


def test_the_key_is_shown_only_if_asked_for(ready: Local) -> None:
    hidden = run("flow", "sms", *ready.options)
    assert ready.stack.api_key not in hidden.out + hidden.err
    assert "--show-key" in hidden.err
    assert ready.stack.api_key in run("flow", "sms", "--show-key", *ready.options).out


def test_it_prints_what_to_reply_for_each_outcome(ready: Local) -> None:
    printed = run("flow", "viber", *ready.options).out
    for branch in branches("Case"):
        assert branch.reply in printed
        assert " or ".join(branch.outcomes) in printed
    assert "failed" in printed


def test_each_channel_has_its_own_object_unless_one_is_named(ready: Local) -> None:
    for channel in {one.name: one for one in table().values()}.values():
        step = run("flow", channel.name, "--json", *ready.options).json()
        assert step["object"] == channel.object
        assert step["url"].endswith(f"/{channel.object.lower()}s")
    named = run("flow", "whatsapp", "--object", "case", "--json", *ready.options).json()
    assert named["url"].endswith("/cases")


def test_a_channel_that_is_not_known_is_said(ready: Local) -> None:
    result = run("flow", "pigeon", *ready.options)
    assert result.status == 1
    assert "whatsapp" in result.err


def test_before_a_stack_is_deleted_it_says_what_stays_and_changes_nothing_unasked(
    connected: Local,
) -> None:
    secret = connected.secret()
    result = run("disconnect", "--before-destroy", *connected.options)
    assert result.status == 0
    assert connected.secret() == secret, "nobody was there to say yes"
    assert "Still connected" in result.err
    outputs = connected.stack.deployment.outputs
    for name in ("CredentialsSecret", "SigningKeysSecret", "TokenParameter", "PendingParameter"):
        assert outputs[name] in result.err, result.err
    run("disconnect", "--yes", *connected.options)
    assert "Still connected" not in run("disconnect", "--before-destroy", *connected.options).err


def test_the_step_of_bird_flows_has_the_variables_of_real_exports(connected: Local) -> None:
    """The truth is the shipped flow, whose step is modelled on exported ones."""
    shipped = json.loads((ROOT / "flows" / "viber-to-case.json").read_text(encoding="utf-8"))
    (step,) = (s for s in shipped["definition"]["steps"].values() if s["type"] == "httpRequest")
    options = ("flow", "viber", "--builder", "flows", *connected.options)
    printed, found = run(*options).out, run(*options, "--json").json()
    body = json.dumps(found["body"]).replace("steps.getContact.", "steps.getContact_vt01.")
    assert json.loads(body) == step["parameters"]["body"]
    assert found["url"].endswith("/cases?errors=inline")
    assert found["file"] == "flows/viber-to-case.json" and found["file"] in printed
    assert "{{steps.httpRequest.body.outcome}}" in printed
    other = run("flow", "telegram", "--builder", "flows", "--json", *connected.options).json()
    assert (other["file"], other["body"]["bird"]["channel"]) == ("", "telegram")


def test_the_two_builders_differ_and_another_one_is_refused(ready: Local) -> None:
    legacy = run("flow", "sms", "--json", *ready.options).json()
    assert legacy == run("flow", "sms", "--builder", "legacy", "--json", *ready.options).json()
    assert "{{payload}}" in json.dumps(legacy["body"])
    assert run("flow", "sms", "--builder", "flow", *ready.options).status == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_printed_curl_can_be_pasted(connected: Local) -> None:
    printed = run("flow", "whatsapp", "--show-key", *connected.options).out
    command = printed.split("Try it in a shell:\n")[1]
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["outcome"] in ("created", "exists")
