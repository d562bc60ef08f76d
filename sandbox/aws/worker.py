"""The inside of a function's process: what Lambda's runtime does, over a socket instead of HTTP.

Nothing of the sandbox is imported, so that a function sees only its own code, the layer and the
libraries. Started by `processes` in one of two ways:

    worker.py run SOCKET HANDLER PATH…   a function's process
    worker.py serve SOCKET LAYER         what function processes are forked from

Every frame of a function's process is a length (4 bytes, big-endian) and so many bytes:

    in   a JSON object about the invocation, then the event's JSON
    out  b"+" and the result's JSON, or b"!" and Lambda's description of what was raised
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import sys
import time
import traceback
from types import FrameType
from typing import Any, NoReturn


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

    A step is a request sent or a response received: between two of them nothing
    changes that can be seen from outside. http.client carries boto3's calls, http1 our own.
    """
    reads = {
        "getresponse": os.path.join("http", "client.py"),
        "read_head": os.path.join("bridge", "http1.py"),
    }
    left = steps

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        code = frame.f_code
        if event not in ("call", "return") or code.co_name not in reads:
            return
        if code.co_filename.endswith(reads[code.co_name]):
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
            # The stack is gone or wants this process to end.
            end()
        data += chunk
    return bytes(data)


def end() -> NoReturn:
    """End this process in order."""
    if "coverage" in sys.modules:
        sys.exit(0)
    # Taking down every module costs a forked process more than all that it did.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _write(connection: socket.socket, kind: bytes, payload: bytes) -> None:
    connection.sendall(struct.pack(">I", len(payload) + 1) + kind + payload)


def run(connection: socket.socket, handler_name: str) -> None:
    """Load the handler, then handle one invocation after another until the socket is closed."""
    # A line is written whole, so that the processes of a function can share one log file.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
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
        if kill_after := invocation.get("kill_after"):
            _die_after(kill_after)
        try:
            result = handler(event, LambdaContext(invocation))
        except Exception as error:
            traceback.print_exc()
            _write(connection, b"!", _raised(error, invocation["request_id"]))
            continue
        finally:
            sys.setprofile(None)
        try:
            # As Lambda's runtime does it: no NaN, text as it is.
            payload = json.dumps(result, ensure_ascii=False, allow_nan=False).encode(
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


# The interpreter that function processes are forked from


def serve(control: socket.socket, layer: str) -> tuple[socket.socket, str]:
    """Fork at each request, until `control` is closed. Returns in the new processes only.

    A request is JSON, and with it come the process's own socket and its log; its pidfd is sent
    back. Returned are that socket and the handler's name.
    """
    sys.path.insert(0, layer)
    preload()
    sys.path.remove(layer)
    gc.collect()
    # A collection would write into the pages that all processes share.
    gc.freeze()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, int] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                os.waitpid(running.pop(descriptor), 0)
                os.close(descriptor)
                continue
            message, received, _, _ = socket.recv_fds(control, 1 << 20, 2)
            if not message:
                os._exit(0)
            connection, log = received
            process = os.fork()
            if process == 0:
                control.close()
                for pidfd in running:
                    os.close(pidfd)
                request = json.loads(message)
                become(request, log)
                return socket.socket(fileno=connection), request["handler"]
            os.close(connection)
            os.close(log)
            pidfd = os.pidfd_open(process)
            running[pidfd] = process
            poll.register(pidfd, select.POLLIN)
            socket.send_fds(control, [b"+"], [pidfd])


def preload() -> None:
    """Import what functions import, and read what boto3 reads from files to make its clients.

    Importing the bridge does nothing, so no process can see what another one did. What cannot be
    imported is left to the function that wants it.
    """
    with contextlib.suppress(Exception):
        import bridge

        for module in pkgutil.walk_packages(bridge.__path__, "bridge."):
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)
    with contextlib.suppress(Exception):
        import boto3
        import botocore.session

        # Each session has a loader of its own, and reads every file again.
        botocore.session.create_loader = functools.cache(botocore.session.create_loader)
        session = boto3.Session("nobody", "nothing", region_name="us-east-1")
        for service in ("dynamodb", "secretsmanager", "sqs", "ssm"):
            session.client(service)


def become(request: dict[str, Any], log: int) -> None:
    """Make this process what a new one is: its session, streams, folder, variables and path."""
    os.setsid()
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.path[:0] = request["path"]
    # What lies beside the handler comes before what is imported already, as on the path.
    beside = {entry.name.partition(".")[0] for entry in os.scandir(request["folder"])}
    for name in [name for name in sys.modules if name.partition(".")[0] in beside]:
        del sys.modules[name]


if __name__ == "__main__":
    how, descriptor, *more = sys.argv[1:]
    connection = socket.socket(fileno=int(descriptor))
    if how == "serve":
        connection, handler = serve(connection, more[0])
    else:
        handler, *path = more
        sys.path[:0] = path
    run(connection, handler)
