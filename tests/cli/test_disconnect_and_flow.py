"""`disconnect` and `flow`."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from bridge.bird.channels import table
from cli.deployment.flow_step import branches
from tests.cli.conftest import Local
from tests.cli.program import Result, run
from tools.template import ROOT


def disconnect(local: Local, *more: str) -> Result:
    return run("disconnect", *more, *local.options)


def test_disconnecting_revokes_and_forgets_and_says_what_remains(connected: Local) -> None:
    secret = connected.secret()
    result = disconnect(connected, "--yes")
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
    again = disconnect(connected, "--yes")
    assert again.status == 0 and "Nothing was connected" in again.err
    assert "Still connected" not in disconnect(connected, "--before-destroy").err


def test_nothing_is_disconnected_unasked(connected: Local) -> None:
    secret = connected.secret()
    result = disconnect(connected)
    assert result.status == 1 and "--yes" in result.err
    result = disconnect(connected, "--before-destroy")
    assert result.status == 0
    assert "Still connected" in result.err
    outputs = connected.stack.deployment.outputs
    for name in ("CredentialsSecret", "SigningKeysSecret", "TokenParameter", "PendingParameter"):
        assert outputs[name] in result.err, "it stays when the stack is deleted"
    assert connected.secret() == secret


def test_disconnecting_while_salesforce_is_down_forgets_all_the_same(connected: Local) -> None:
    with connected.stack.outage():
        result = disconnect(connected, "--yes")
    assert result.status == 0
    assert "did not confirm" in result.err
    assert connected.secret() == {}


def test_a_token_without_credentials_is_not_called_revoked(connected: Local) -> None:
    connected.stack.client("secretsmanager").put_secret_value(
        SecretId=connected.stack.secret_id, SecretString="{}"
    )
    assert "did not confirm" in disconnect(connected, "--yes").err
    assert connected.stack.token() is None


def test_client_credentials_are_disconnected_too(ready: Local) -> None:
    run("connect", *ready.options, "--grant", "client-credentials")
    token = ready.stack.token()
    assert token is not None
    assert disconnect(ready, "--yes").status == 0
    assert ready.org.oauth.session(token["access_token"]) is None


# flow


def test_the_flows_step_works_as_it_is_printed(connected: Local) -> None:
    step = run("flow", "whatsapp", "--show-key", "--json", *connected.options).json()
    assert step["method"] == "POST"
    assert step["url"].startswith(connected.stack.url)
    body = json.dumps(step["body"])
    values = {"messageId": "wamid.1", "contact.displayName": "Ada", "payload": "Hi"}
    for name, value in values.items():
        assert "{{" + name + "}}" in body
        body = body.replace("{{" + name + "}}", value)
    path = step["url"].removeprefix(connected.stack.url)
    headers = step["headers"]
    response = connected.stack.request("POST", path, body, headers=headers, api_key=None)
    assert response.status == 201
    assert set(response.json()) & set(step["variables"]) >= {"outcome", "id", "key"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_printed_curl_can_be_pasted(connected: Local) -> None:
    printed = run("flow", "whatsapp", "--show-key", *connected.options).out
    command = printed.split("Try it in a shell:\n")[1]
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["outcome"] in ("created", "exists")


def test_it_prints_what_to_reply_and_the_key_only_if_asked(ready: Local) -> None:
    hidden = run("flow", "viber", *ready.options)
    assert ready.stack.api_key not in hidden.out + hidden.err
    assert "--show-key" in hidden.err
    assert ready.stack.api_key in run("flow", "viber", "--show-key", *ready.options).out
    for branch in branches("Case"):
        assert branch.reply in hidden.out
        assert " or ".join(branch.outcomes) in hidden.out


def test_each_channel_has_its_own_object_unless_one_is_named(ready: Local) -> None:
    for channel in {one.name: one for one in table().values()}.values():
        step = run("flow", channel.name, "--json", *ready.options).json()
        assert step["object"] == channel.object
        assert step["url"].endswith(f"/{channel.object.lower()}s")
    named = run("flow", "whatsapp", "--object", "case", "--json", *ready.options).json()
    assert named["url"].endswith("/cases")


def test_a_channel_that_is_not_known_is_said(ready: Local) -> None:
    result = run("flow", "watsapp", *ready.options)
    assert result.status == 1
    assert "Did you mean whatsapp?" in result.err and "telegram" in result.err


def test_the_step_of_bird_flows_has_the_variables_of_real_exports(ready: Local) -> None:
    """The truth is the shipped flow, whose step is modelled on exported ones."""
    shipped = json.loads((ROOT / "flows" / "viber-to-case.json").read_text(encoding="utf-8"))
    (step,) = (s for s in shipped["definition"]["steps"].values() if s["type"] == "httpRequest")
    options = ("flow", "viber", "--builder", "flows", *ready.options)
    printed, found = run(*options).out, run(*options, "--json").json()
    body = json.dumps(found["body"]).replace("steps.getContact.", "steps.getContact_vt01.")
    assert json.loads(body) == step["parameters"]["body"]
    assert found["url"].endswith("/cases?errors=inline")
    assert found["file"] == "flows/viber-to-case.json" and found["file"] in printed
    assert "{{steps.httpRequest.body.outcome}}" in printed
    other = run("flow", "telegram", "--builder", "flows", "--json", *ready.options).json()
    assert (other["file"], other["body"]["bird"]["channel"]) == ("", "telegram")
    legacy = run("flow", "sms", "--json", *ready.options).json()
    assert legacy == run("flow", "sms", "--builder", "legacy", "--json", *ready.options).json()
    assert "{{payload}}" in json.dumps(legacy["body"])
    assert run("flow", "sms", "--builder", "flow", *ready.options).status == 2
