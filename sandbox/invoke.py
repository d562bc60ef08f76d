"""`make invoke FN=create_lead EVENT=events/create_lead.json`: one function, one event, its result.

Uses the stack that `make start` runs; if none runs, one is started for this event alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.__main__ import LOCAL
from sandbox.stack import Stack
from tools.template import ROOT


def running() -> dict[str, Any] | None:
    """What the running stack wrote about itself, if one is there."""
    import urllib3

    try:
        found: dict[str, Any] = json.loads((LOCAL / "stack.json").read_text(encoding="utf-8"))
        urllib3.request("GET", found["aws_endpoint"], timeout=2.0, retries=False)
    except (OSError, ValueError, urllib3.exceptions.HTTPError):
        return None
    return found


def invoke(name: str, event: bytes) -> tuple[Any, bool, str]:
    """The result, whether the function failed, and what it logged if the stack is ours."""
    found = running()
    if found is not None:
        import boto3

        client = boto3.client(
            "lambda",
            endpoint_url=found["aws_endpoint"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        response = client.invoke(FunctionName=found["functions"][name], Payload=event)
        return json.loads(response["Payload"].read()), "FunctionError" in response, ""
    with Stack(poll=False) as stack:
        outcome = stack.functions[name].invoke(event)
        return outcome.json(), outcome.failed, stack.logs(name)


def main(arguments: list[str]) -> int:
    """The command line: a function's folder and an event's file."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    names = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
    if len(arguments) != 2 or arguments[0] not in names:
        console.print(f"Say which function ({', '.join(names)}) and which event (events/*.json).")
        return 2
    name, path = arguments[0], Path(arguments[1])
    try:
        event = path.read_bytes()
        json.loads(event)
    except (OSError, ValueError) as error:
        console.print(f"{path} cannot be read as JSON: {error}", style="red")
        return 2
    result, failed, logs = invoke(name, event)
    if logs:
        console.print(logs.rstrip(), style="dim")
    console.print_json(json.dumps(result))
    if isinstance(result, dict) and isinstance(result.get("body"), str):
        console.print_json(result["body"])
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
