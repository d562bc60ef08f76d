"""Every function in a real container by `sam local`, against the running local stack.

    python .ci/sam_local.py ADDRESS

ADDRESS is this machine's as the containers see it. Needs Docker, `sam` on the PATH and a finished
`sam build`. `sam local invoke` exits 0 whatever happens, so what it prints is what counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import urllib3  # noqa: E402

from sandbox.__main__ import LOCAL, write_files  # noqa: E402
from sandbox.stack import Stack  # noqa: E402

API_PORT = 3117
ENVIRONMENT = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
OPTIONS = ["--env-vars", str(LOCAL / "env.json"), "--region", "us-east-1"]


def last_json(text: str) -> Any:
    """The last line that is JSON: the response of the function."""
    for line in reversed(text.strip().splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return None


def invoke(function: str, event: str) -> Any:
    """One `sam local invoke`; the response of the function."""
    done = subprocess.run(
        ["sam", "local", "invoke", function, "--event", str(ROOT / "events" / event), *OPTIONS],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    response = last_json(done.stdout)
    if done.returncode or response is None:
        raise SystemExit(f"sam local invoke {function}: {done.stdout}\n{done.stderr[-3000:]}")
    return response


def check(what: str, response: Any, right: Callable[[Any], object]) -> None:
    """Say what was seen, or end with it."""
    try:
        good = right(response)
    except (KeyError, TypeError, ValueError, AttributeError):
        good = False
    if not good:
        raise SystemExit(f"not as it should be: {what}: {json.dumps(response)[:2000]}")
    print(f"  {what}", flush=True)


def body(response: Any) -> Any:
    return json.loads(response["body"])


def refuses(response: Any) -> object:
    return response["statusCode"] == 403 and body(response)["code"] == "KEY_NOT_FOR_THIS_ROUTE"


def leaves_one(response: Any) -> object:
    return len(response["batchItemFailures"]) == 1


def invoke_each(stack: Stack) -> None:
    """One event for each function."""
    response = invoke("RefreshToken", "refresh_token.json")
    check("RefreshToken got a token", response, lambda one: one["generation"] >= 1)
    check("and stored it", stack.token(), lambda one: one["access_token"])
    response = invoke("CreateLead", "create_lead.json")
    check("CreateLead returned 201", response, lambda one: one["statusCode"] == 201)
    lead = stack.org.get("Lead", body(response)["id"])
    check("and the lead is in Salesforce", lead, lambda one: one["LastName"])
    response = invoke("CreateLead", "create_lead.json")
    check("a repeated call returned 200", response, lambda one: body(one)["outcome"] == "exists")
    response = invoke("CreateCase", "create_case.json")
    check("CreateCase returned with a number", response, lambda one: body(one)["number"])
    response = invoke("ReceiveMessage", "receive_message.json")
    check("ReceiveMessage returned 201", response, lambda one: one["statusCode"] == 201)
    response = invoke("Deliver", "deliver.json")
    check("Deliver took its batch", response, lambda one: one["batchItemFailures"] == [])
    response = invoke("FindCustomer", "find_customer.json")
    check("FindCustomer refused an event without its key", response, refuses)
    response = invoke("AttachFiles", "attach_files.json")
    check("AttachFiles left files for later whose record is not there", response, leaves_one)


def wait_for_api(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{API_PORT}/", timeout=2, retries=False)
            return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.5)
    raise SystemExit("sam local start-api did not start")


def call_the_api() -> None:
    """The API by `sam local start-api`."""
    process = subprocess.Popen(
        # Started before the first request, whose budget would be spent on waiting for a container.
        [
            "sam",
            "local",
            "start-api",
            "--port",
            str(API_PORT),
            "--warm-containers",
            "EAGER",
            *OPTIONS,
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_api(process)
        for path, record in (
            ("/leads", {"LastName": "Container", "bird": {"messageId": "container-1"}}),
            ("/cases", {"Subject": "Container", "bird": {"messageId": "container-2"}}),
        ):
            response = urllib3.request(
                "POST",
                f"http://127.0.0.1:{API_PORT}{path}",
                json=record,
                headers={"x-api-key": "any"},
                timeout=120,
                retries=False,
            )
            check(f"POST {path} returned 201", response.json(), lambda one: one["id"])
        response = urllib3.request(
            "GET", f"http://127.0.0.1:{API_PORT}/leads/container-1", timeout=120, retries=False
        )
        check("GET /leads/{key} found it", response.json(), lambda one: one["outcome"] == "created")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def main(address: str) -> None:
    with Stack(
        host="0.0.0.0",
        advertise=address,
        stack_name="bird-containers",
        # A container starts slowly on a busy machine, and the budget counts from the request.
        parameters={
            "ResponseBudgetSeconds": "18",
            "CustomerLookup": "on",
            "AttachMedia": "on",
        },
    ) as stack:
        write_files(stack)
        try:
            invoke_each(stack)
            call_the_api()
        finally:
            (LOCAL / "env.json").unlink(missing_ok=True)
            (LOCAL / "stack.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
