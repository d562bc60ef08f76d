"""The inside of a function's process: what Lambda's runtime does, over a socket instead of HTTP.

Started by `functions` with the file descriptor of a socket, a file name and a function's
name; nothing of the sandbox is imported, so that a function sees only its own code, the layer and
the libraries. Every frame is a length (4 bytes, big-endian) and so many bytes:

    in   a JSON object about the invocation, then the event's JSON
    out  b"+" and the answer's JSON, or b"!" and Lambda's description of what was raised
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import struct
import sys
import time
import traceback
from types import FrameType
from typing import Any


class LambdaContext:
    """What a handler is given beside its event: the attributes of Lambda's own context object.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self, invocation: dict[str, Any]) -> None:
        environ = os.environ
        self.aws_request_id: str = invocation["request_id"]
        self.invoked_function_arn: str = invocation["arn"]
        self.function_name = environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline: float = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped."""
        return max(int((self._deadline - time.time()) * 1000), 0)


def _die_after(steps: int) -> None:
    """SIGKILL this process once it has taken so many steps over the network.

    A step is a request that is out, or an answer that has come: between two of them nothing
    changes that anybody else could see. urllib3 carries our own calls and boto3's alike.
    """
    left = steps

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        code = frame.f_code
        if event not in ("call", "return") or code.co_name != "getresponse":
            return
        if code.co_filename.endswith(os.path.join("urllib3", "connection.py")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def _raised(error: BaseException, request_id: str) -> bytes:
    """What Lambda tells an invoker about an exception."""
    return json.dumps(
        {
            "errorMessage": str(error),
            "errorType": type(error).__name__,
            "requestId": request_id,
            "stackTrace": traceback.format_tb(error.__traceback__)[1:],
        }
    ).encode()


def _read(connection: socket.socket) -> bytes:
    head = _read_exactly(connection, 4)
    return _read_exactly(connection, struct.unpack(">I", head)[0])


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(min(length - len(data), 1 << 20))
        if not chunk:
            # The stack is gone or wants this process to end: an ordinary end, with its atexit.
            sys.exit(0)
        data += chunk
    return bytes(data)


def _write(connection: socket.socket, kind: bytes, payload: bytes) -> None:
    connection.sendall(struct.pack(">I", len(payload) + 1) + kind + payload)


def main(descriptor: int, handler_name: str) -> None:
    """Load the handler, then answer one invocation after another until the socket is closed."""
    # A line is written whole, so that the processes of a function can share one log file.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    connection = socket.socket(fileno=descriptor)
    module_name, _, function_name = handler_name.rpartition(".")
    broken: bytes | None = None
    try:
        handler = getattr(importlib.import_module(module_name.replace("/", ".")), function_name)
    except BaseException as error:
        traceback.print_exc()
        broken = json.dumps(
            {
                "errorMessage": f"Unable to import module '{module_name}': {error}",
                "errorType": "Runtime.ImportModuleError"
                if isinstance(error, ImportError)
                else type(error).__name__,
                "stackTrace": traceback.format_tb(error.__traceback__)[1:],
            }
        ).encode()
    _write(connection, b"r", b"")
    while True:
        invocation = json.loads(_read(connection))
        event = json.loads(_read(connection))
        if broken is not None:
            _write(connection, b"!", broken)
            continue
        if doom := invocation.get("doom"):
            _die_after(doom)
        try:
            answer = handler(event, LambdaContext(invocation))
        except Exception as error:
            traceback.print_exc()
            _write(connection, b"!", _raised(error, invocation["request_id"]))
            continue
        finally:
            sys.setprofile(None)
        try:
            # As Lambda's runtime does it: no NaN, text as it is.
            payload = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode(
                "utf-8", "surrogatepass"
            )
        except (TypeError, ValueError) as error:
            payload = json.dumps(
                {
                    "errorMessage": f"Unable to marshal response: {error}",
                    "errorType": "Runtime.MarshalError",
                    "requestId": invocation["request_id"],
                    "stackTrace": [],
                }
            ).encode()
            _write(connection, b"!", payload)
            continue
        _write(connection, b"+", payload)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[3].split(os.pathsep)
    main(int(sys.argv[1]), sys.argv[2])
