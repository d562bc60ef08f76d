"""A function's first event in a fresh process: import, then one invocation.

cold.py RESULT EVENT EXPECTED
"""

import time

BEGAN = time.process_time()
STARTED = time.perf_counter()

import sys  # noqa: E402

BEFORE = len(sys.modules)

import app  # type: ignore[import-not-found]  # noqa: E402

IMPORTED = time.process_time()
MODULES = len(sys.modules) - BEFORE

import json  # noqa: E402


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As much as an HTTP function has at its start, and Deliver needs."""
        return 110_000


with open(sys.argv[2]) as file:
    event = json.load(file)
LOADED = time.process_time()
response = app.handler(event, Context())
ENDED = time.process_time()
WALL = time.perf_counter() - STARTED

# A failure that was measured would be no measurement.
assert sys.argv[3] in json.dumps(response), response
with open(sys.argv[1], "w") as file:
    json.dump(
        {
            "cpu": ENDED - LOADED + IMPORTED - BEGAN,
            "import": IMPORTED - BEGAN,
            "first": ENDED - LOADED,
            "process": ENDED,
            "wall": WALL,
            "modules": MODULES,
        },
        file,
    )
