"""The local Lambda: processes of their own, the template's environment, timeouts, crashes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.functions import NoAnswerInTime, Throttled
from sandbox.stack import Stack

from .conftest import throwaway_stack, wait_for


def body(**what: Any) -> dict[str, Any]:
    return {"body": json.dumps(what)}


def seen(stack: Stack, name: str = "create_lead") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.invoke(name, {}).json()["body"])
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["forked", "started anew"])
def either(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack with each kind of function process."""
    with throwaway_stack(preloaded=request.param) as stack:
        yield stack


def test_a_function_sees_the_template_s_environment_and_what_lambda_sets(either: Stack) -> None:
    stack = either
    environ = seen(stack)["environ"]
    declared = stack.deployment.functions["CreateLead"].environment
    assert {name: environ[name] for name in declared} == dict(declared)
    assert environ["LOGIN_URL"] == stack.org_url
    assert environ["AWS_ENDPOINT_URL"] == stack.aws_endpoint
    assert environ["REFRESH_FUNCTION"] == f"{stack.stack_name}-refresh-token"
    assert environ["AWS_LAMBDA_FUNCTION_NAME"] == f"{stack.stack_name}-create-lead"
    assert environ["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/{stack.stack_name}/create-lead"
    from_lambda = {
        name for name in environ if name.startswith(("AWS_", "LAMBDA_", "COVERAGE_", "LC_"))
    }
    others = set(environ) - set(declared) - from_lambda
    assert others == {"_HANDLER", "LANG", "TZ", "PATH"}, "nothing of this machine's gets in"


def test_a_function_finds_its_code_and_the_layer_and_nothing_of_the_sandbox(either: Stack) -> None:
    path = seen(either)["path"]
    assert path[0].endswith("throwaway")
    assert path[1].endswith("layers/bridge")
    assert not [one for one in path if one.endswith("/sandbox")]


def test_the_context_is_lambda_s(stack: Stack) -> None:
    found = seen(stack)
    context = found["context"]
    name = f"{stack.stack_name}-create-lead"
    assert context["function_name"] == name
    assert context["invoked_function_arn"].endswith(f":function:{name}")
    assert context["memory_limit_in_mb"] == "512"
    assert context["function_version"] == "$LATEST"
    assert len(context["aws_request_id"]) == 36
    assert 18_000 < found["remaining"] <= 20_000


def test_what_lies_beside_a_handler_goes_before_the_layer_and_the_libraries(tmp_path: Path) -> None:
    (tmp_path / "bridge").mkdir()
    for name in ("bridge/__init__", "boto3"):
        (tmp_path / f"{name}.py").write_text("OWN = True\n")
    (tmp_path / "app.py").write_text(
        "import boto3, bridge\ndef handler(event, context):\n    return [boto3.OWN, bridge.OWN]\n"
    )
    for preloaded in (True, False):
        with throwaway_stack(folders={"create_lead": tmp_path}, preloaded=preloaded) as stack:
            assert stack.invoke("create_lead", {}).json() == [True, True]


def test_two_processes_of_a_function_draw_other_random_numbers(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import random, uuid\n"
        "def handler(event, context):\n    return [random.random(), uuid.uuid4().hex]\n"
    )
    with throwaway_stack(folders={"create_lead": tmp_path}) as stack:
        drawn = []
        for _ in range(2):
            drawn += stack.invoke("create_lead", {}).json()
            stack.functions["create_lead"].recycle()
    assert len(set(drawn)) == 4


def test_a_process_is_kept_for_the_next_event_until_it_is_recycled(stack: Stack) -> None:
    first = seen(stack)["pid"]
    assert seen(stack)["pid"] == first
    stack.functions["create_lead"].recycle()
    assert seen(stack)["pid"] != first


def test_an_exception_is_reported_as_lambda_reports_it(stack: Stack) -> None:
    outcome = stack.invoke("create_lead", body(**{"raise": "no such luck"}))
    assert outcome.failed
    error = outcome.json()
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "no such luck"
    assert "handler" in error["stackTrace"][0]
    assert "no such luck" in stack.logs("create_lead")


def test_a_process_that_ends_is_an_error_and_the_next_event_gets_a_new_one(stack: Stack) -> None:
    outcome = stack.invoke("create_lead", body(exit=7))
    assert outcome.failed
    assert outcome.json()["errorType"] == "Runtime.ExitError"
    assert seen(stack)["pid"]


def test_a_process_can_be_killed_in_the_middle(stack: Stack) -> None:
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(stack.invoke("create_lead", body(sleep=30)))
    )
    thread.start()
    wait_for(lambda: stack.functions["create_lead"].busy)
    time.sleep(0.2)
    assert stack.kill("create_lead") == 1
    thread.join(timeout=10)
    assert outcomes[0].failed
    assert outcomes[0].json()["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("def handler(event, context):\n    return {1, 2}\n", "Runtime.MarshalError", "marshal"),
        ("import nowhere_at_all\n", "Runtime.ImportModuleError", "nowhere_at_all"),
    ],
    ids=["a result that is no JSON", "code that cannot be loaded"],
)
def test_code_that_is_wrong_is_an_error_at_every_event(
    tmp_path: Path, code: str, kind: str, words: str
) -> None:
    (tmp_path / "app.py").write_text(code)
    with throwaway_stack(folders={"create_lead": tmp_path}) as stack:
        for _ in range(2):
            outcome = stack.invoke("create_lead", {})
            assert outcome.failed
            assert outcome.json()["errorType"] == kind
            assert words in outcome.json()["errorMessage"]


def test_a_function_is_killed_at_its_timeout(tmp_path: Any) -> None:
    import shutil

    from tools.template import TEMPLATE

    text = TEMPLATE.read_text(encoding="utf-8").replace("Timeout: 20", "Timeout: 1")
    changed = tmp_path / "template.yaml"
    changed.write_text(text, encoding="utf-8")
    shutil.copytree(TEMPLATE.parent / "functions", tmp_path / "functions")
    with throwaway_stack(template=changed) as stack:
        stack.invoke("create_lead", {})
        began = time.monotonic()
        outcome = stack.invoke("create_lead", body(sleep=20))
        assert 0.9 < time.monotonic() - began < 4
        assert outcome.failed
        assert outcome.json()["errorType"] == "Sandbox.Timedout"
        assert "timed out after 1.00 seconds" in outcome.json()["errorMessage"]
        assert not stack.invoke("create_lead", {}).failed


def test_only_so_many_run_at_once_and_the_others_wait_their_turn() -> None:
    with throwaway_stack(processes=2) as stack:
        stack.invoke("create_lead", {})
        pids: list[int] = []

        def one() -> None:
            outcome = stack.invoke("create_lead", {})
            pids.append(json.loads(outcome.json()["body"])["pid"])

        threads = [threading.Thread(target=one) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(pids) == 40
        assert len(set(pids)) <= 2


def test_more_than_the_account_may_run_at_once_is_refused_and_counted() -> None:
    with throwaway_stack(concurrency=1) as stack:
        busy = stack.functions["create_lead"]
        thread = threading.Thread(target=stack.invoke, args=("create_lead", body(sleep=30)))
        thread.start()
        wait_for(lambda: busy.busy)
        with pytest.raises(Throttled):
            stack.invoke("create_case", {})
        client = stack.client("lambda")
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName=stack.functions["create_case"].spec.name, Payload=b"{}")
        stack.kill("create_lead")
        thread.join()
        assert not stack.invoke("create_case", {}).failed
        counted = {name: (one.invocations, one.throttles) for name, one in stack.functions.items()}
        assert counted["create_lead"] == (1, 0)
        assert counted["create_case"][0] == 1
        assert counted["create_case"][1] >= 2, "boto3 repeats what was refused"


def test_who_no_longer_waits_for_a_function_has_not_ended_it() -> None:
    with throwaway_stack(concurrency=1) as stack:
        stack.invoke("create_lead", {})
        with pytest.raises(NoAnswerInTime):
            stack.invoke("create_lead", body(sleep=0.5), patience=0.1)
        with pytest.raises(Throttled):
            stack.invoke("create_case", {})
        wait_for(lambda: not stack.functions["create_lead"].busy)
        time.sleep(0.05)
        assert not stack.invoke("create_case", {}).failed


def test_lambda_s_invoke_api_runs_a_function_by_name_or_arn(stack: Stack) -> None:
    client = stack.client("lambda")
    function = stack.functions["refresh_token"]
    for name in (function.spec.name, function.arn):
        response = client.invoke(FunctionName=name, Payload=json.dumps(body(response={"n": 1})))
        assert response["StatusCode"] == 200
        assert "FunctionError" not in response
        assert json.loads(response["Payload"].read()) == {"n": 1}
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="somebody-else", Payload=b"{}")


@pytest.mark.parametrize("preloaded", [True, False])
def test_stopping_leaves_no_process_behind(preloaded: bool) -> None:
    with throwaway_stack(preloaded=preloaded) as stack:
        pids = [seen(stack, name)["pid"] for name in ("create_lead", "create_case")]
        folder = stack.folder
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not folder.exists()
