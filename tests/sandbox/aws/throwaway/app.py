"""A function that does what its event's body says: for tests of the stack that runs functions."""

import json
import os
import sys
import time
from typing import Any


def handler(event: dict[str, Any], context: Any) -> Any:
    if "Records" in event:
        return _batch(event)
    body = event.get("body")
    try:
        request = json.loads(body) if body else {}
    except ValueError:
        request = {}
    if not isinstance(request, dict):
        request = {}
    if "raise" in request:
        raise ValueError(request["raise"])
    if "exit" in request:
        os._exit(request["exit"])
    if "sleep" in request:
        time.sleep(request["sleep"])
    if "print" in request:
        print(request["print"])
    if "response" in request:
        return request["response"]
    seen = {
        "event": event,
        "environ": dict(os.environ),
        "pid": os.getpid(),
        "path": sys.path,
        "remaining": context.get_remaining_time_in_millis(),
        "context": {
            name: getattr(context, name)
            for name in (
                "aws_request_id",
                "function_name",
                "function_version",
                "invoked_function_arn",
                "memory_limit_in_mb",
                "log_group_name",
            )
        },
    }
    return {"statusCode": 200, "headers": {"X-Seen": "yes"}, "body": json.dumps(seen)}


def _batch(event: dict[str, Any]) -> dict[str, Any]:
    failures = []
    for record in event["Records"]:
        if record["body"] == "raise":
            raise ValueError("the whole batch")
        if record["body"] == "sleep":
            time.sleep(30)
        if record["body"] == "show":
            print(json.dumps(record))
        if record["body"] in ("keep", "show"):
            failures.append({"itemIdentifier": record["messageId"]})
    print(len(event["Records"]), "records")
    return {"batchItemFailures": failures}
