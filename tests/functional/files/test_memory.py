"""However large a file is, the function holds a piece of it at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from sandbox.stack import Stack
from tests.functional.files.conftest import Files
from tools.template import ROOT

MEGABYTE = 1024 * 1024
MOST_MORE = 20 * MEGABYTE

PROGRAM = """
import json, resource, sys, time
import app

class Context:
    aws_request_id = "request"
    def get_remaining_time_in_millis(self):
        return 300_000

peaks = []
for line in sys.stdin:
    result = app.handler(json.loads(line), Context())
    assert result == {"batchItemFailures": []}, result
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(json.dumps(peaks), file=sys.stderr)
"""


def event(stack: Stack) -> str:
    """What Lambda would hand to the function for the one message that waits."""
    (body,) = stack.aws.queues.bodies(stack.files_url)
    stack.client("sqs").purge_queue(QueueUrl=stack.files_url)
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))}
    record = {"messageId": "m", "receiptHandle": "h", "body": body, "attributes": attributes}
    return json.dumps({"Records": [record]})


def test_a_file_of_25_megabytes_takes_no_memory_to_speak_of(files: Files) -> None:
    events, links = [], []
    for size in (1000, 25 * MEGABYTE):
        links.append(files.send(files.media.put(os.urandom(size))).json()["id"])
        events.append(event(files.stack))
    environment = files.stack.function_environment("attach_files")
    path = [str(ROOT / "functions" / "attach_files"), str(ROOT / "layers" / "bridge")]
    done = subprocess.run(
        # Of a process that replaces another one the peak is the other's too, so a shell is between.
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", PROGRAM],
        input="\n".join(events),
        env={**environment, "PYTHONPATH": os.pathsep.join(path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    small, large = json.loads(done.stderr.splitlines()[-1])
    assert [len(files.on(one)) for one in links] == [1, 1]
    (version,) = files.on(links[1])
    assert version["ContentSize"] == 25 * MEGABYTE
    print(f"\npeak {small / MEGABYTE:.1f} MB, with 25 MB {large / MEGABYTE:.1f} MB")
    assert small < 150 * MEGABYTE, "else what is measured is not the function"
    assert large - small < MOST_MORE
