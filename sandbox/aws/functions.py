"""Lambda: every function in processes of its own, with exactly its environment as deployed.

A process serves one invocation at a time and is kept for the next, as in Lambda; up to `processes`
of them run at once, and further invocations wait for one, since this machine has no more. What is
over the concurrency of the account is refused, as Lambda does. A function that takes longer than
its timeout is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.aws.processes import Process, ProcessGone
from tools.template import FunctionSpec


class Throttled(Exception):
    """The account's concurrency is in use."""


class NoAnswerInTime(Exception):
    """The invoker's patience ended; the function itself goes on."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one invocation."""

    payload: bytes
    """The result's JSON, or the description of the error."""
    failed: bool
    """Whether the function raised, was killed or took too long (X-Amz-Function-Error)."""
    request_id: str

    def json(self) -> Any:
        """The payload, parsed."""
        return json.loads(self.payload)


class Concurrency:
    """How many invocations may run at once in an account. No `limit`: as many as come.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._running = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more invocation may run; then `give_back` has to follow."""
        with self._lock:
            if self.limit is not None and self._running >= self.limit:
                return False
            self._running += 1
            return True

    def give_back(self) -> None:
        """An invocation has ended."""
        with self._lock:
            self._running -= 1

    @contextlib.contextmanager
    def used_up(self, *, but: int = 0) -> Iterator[None]:
        """Inside the `with` block the account's other functions leave only `but` more to ours."""
        with self._lock:
            before, self.limit = self.limit, self._running + but
        try:
            yield
        finally:
            self.limit = before


class _Turn:
    """Somebody who waits for a process."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.process: Process | None = None


class Function:
    """One deployed function: invoke it, read its log, kill its processes."""

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        key: str,
        arn: str,
        log_folder: Path,
        region: str,
        processes: int,
        account: Concurrency | None = None,
        preloaded: bool = True,
        may_log: Callable[[], bool] = lambda: True,
    ) -> None:
        self.spec = spec
        self.key = key
        self.arn = arn
        self.log = log_folder / f"{key}.log"
        self._preloaded = preloaded
        self.may_log = may_log
        """Called when a process starts; if false, nothing that it prints is kept, as in Lambda."""
        self.environment = self._environment(region)
        self.processes = processes
        self.concurrency = account or Concurrency()
        self.invocations = 0
        self.errors = 0
        """How many of them failed."""
        self.throttles = 0
        """How many more were refused for want of concurrency."""
        self.crashes = 0
        """How many invocations ended because their process was gone."""
        self.kill_after: Callable[[], int] | None = None
        """Called at each invocation: after how many requests and responses over the network the
        process kills itself; 0 lets it live."""
        self._running: set[Process] = set()
        self._idle: list[Process] = []
        self._busy: set[Process] = set()
        self._waiting: deque[_Turn] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def _environment(self, region: str) -> dict[str, str]:
        """The template's variables and what Lambda sets, nothing of this machine's.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        spec = self.spec
        lambda_sets = {
            "_HANDLER": spec.handler,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": f"[{VERSION}]{uuid.uuid4().hex}",
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
            # The caller's name in the key tells the sandbox's AWS who calls.
            "AWS_ACCESS_KEY_ID": caller_key(self.key),
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_SESSION_TOKEN": "sandbox",
            "LAMBDA_TASK_ROOT": str(spec.folder),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": os.environ.get("PATH", os.defpath),
        }
        # Coverage measures the functions too, in whatever process they run.
        coverage = {name: one for name, one in os.environ.items() if name.startswith("COVERAGE_")}
        return {**coverage, **lambda_sets, **spec.environment}

    def invoke(
        self, event: bytes, *, patience: float | None = None, request_id: str | None = None
    ) -> Outcome:
        """Run it once. `patience` is how many seconds the invoker waits, at most.

        Raises Throttled (no concurrency is left) and NoAnswerInTime (patience ended).
        """
        if not self.concurrency.take():
            with self._lock:
                self.throttles += 1
            raise Throttled(self.spec.name)
        goes_on = False
        try:
            request_id = request_id or str(uuid.uuid4())
            until = None if patience is None else time.time() + patience
            process = self._take(until)
            with self._lock:
                self.invocations += 1
            try:
                if not process.ready:
                    process.wait_until_ready()
                deadline = time.time() + self.spec.timeout
                invocation: dict[str, Any] = {
                    "request_id": request_id,
                    "arn": self.arn,
                    "deadline": deadline,
                    "kill_after": self.kill_after() if self.kill_after else 0,
                }
                process.send(json.dumps(invocation).encode(), event)
            except (ProcessGone, TimeoutError):
                self._discard(process)
                return self._crashed(request_id)
            if until is not None and until < deadline:
                try:
                    reply = process.receive(until)
                except TimeoutError as error:
                    goes_on = True
                    # As Lambda does: nobody waits any more, and it goes on.
                    threading.Thread(
                        target=self._finish_alone, args=(process, deadline, request_id), daemon=True
                    ).start()
                    raise NoAnswerInTime(self.spec.name) from error
                except ProcessGone:
                    self._discard(process)
                    return self._crashed(request_id)
                return self._done(process, reply, request_id)
            return self._finish(process, deadline, request_id)
        finally:
            if not goes_on:
                self.concurrency.give_back()

    def _finish_alone(self, process: Process, deadline: float, request_id: str) -> None:
        try:
            self._finish(process, deadline, request_id)
        finally:
            self.concurrency.give_back()

    def _finish(self, process: Process, deadline: float, request_id: str) -> Outcome:
        try:
            reply = process.receive(deadline)
        except TimeoutError:
            process.kill()
            self._discard(process)
            message = f"{request_id} Task timed out after {self.spec.timeout:.2f} seconds"
            self._note(message)
            return self._failed("Sandbox.Timedout", f"RequestId: {message}", request_id)
        except ProcessGone:
            self._discard(process)
            return self._crashed(request_id)
        return self._done(process, reply, request_id)

    def _done(self, process: Process, reply: tuple[bytes, bytes], request_id: str) -> Outcome:
        kind, payload = reply
        self._give_back(process)
        if kind == b"+" and len(payload) > PAYLOAD_LIMIT:
            return self._failed(
                "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size "
                f"({PAYLOAD_LIMIT} bytes).",
                request_id,
            )
        if kind != b"+":
            with self._lock:
                self.errors += 1
        return Outcome(payload=payload, failed=kind != b"+", request_id=request_id)

    def _crashed(self, request_id: str) -> Outcome:
        with self._lock:
            self.crashes += 1
        message = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
        self._note(message)
        return self._failed("Runtime.ExitError", message, request_id)

    def _failed(self, kind: str, message: str, request_id: str) -> Outcome:
        with self._lock:
            self.errors += 1
        payload = json.dumps({"errorType": kind, "errorMessage": message}).encode()
        return Outcome(payload=payload, failed=True, request_id=request_id)

    def _note(self, message: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(message + "\n")

    # The pool

    def _take(self, until: float | None) -> Process:
        with self._lock:
            if self._closed:
                raise Throttled(f"{self.spec.name} is not running")
            if not self._waiting and (process := self._idle_or_new()):
                self._busy.add(process)
                return process
            # Who waits longest goes first.
            turn = _Turn()
            self._waiting.append(turn)
        turn.came.wait(None if until is None else max(until - time.time(), 0))
        with self._lock:
            if turn.process is not None:
                return turn.process
            if self._closed:
                raise Throttled(f"{self.spec.name} is not running")
            self._waiting.remove(turn)
            raise NoAnswerInTime(self.spec.name)

    def _idle_or_new(self) -> Process | None:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            self._running.discard(process)
            process.close()
        if len(self._running) < self.processes:
            log = self.log if self.may_log() else Path(os.devnull)
            process = Process(self.spec, self.environment, log, preloaded=self._preloaded)
            self._running.add(process)
            return process
        return None

    def _give_back(self, process: Process) -> None:
        with self._lock:
            self._busy.discard(process)
            if self._closed or process not in self._running:
                process.close()
                return
            self._idle.append(process)
            self._serve_waiting()

    def _discard(self, process: Process) -> None:
        process.close()
        process.wait(2)
        with self._lock:
            self._busy.discard(process)
            self._running.discard(process)
            if not self._closed:
                self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting and (process := self._idle_or_new()):
            turn = self._waiting.popleft()
            turn.process = process
            self._busy.add(process)
            turn.came.set()

    # What tests and people do to it

    def logs(self) -> str:
        """Everything its processes printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def kill(self, *, busy_only: bool = True) -> int:
        """SIGKILL its processes, those in the middle of something or all; tells how many."""
        with self._lock:
            victims = list(self._busy if busy_only else self._running)
        for process in victims:
            process.kill()
        return len(victims)

    @property
    def busy(self) -> int:
        """How many processes are in the middle of an invocation."""
        with self._lock:
            return len(self._busy)

    def recycle(self) -> None:
        """End the idle processes in order, so that the next invocations start cold."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._running.difference_update(idle)
        for process in idle:
            process.close()
        for process in idle:
            process.wait(5)

    def close(self) -> None:
        """End every process: the idle ones in order, the busy ones after a moment."""
        with self._lock:
            self._closed = True
            processes = list(self._running)
            idle, self._idle = self._idle, []
            waiting, self._waiting = list(self._waiting), deque()
        for turn in waiting:
            turn.came.set()
        for process in idle:
            process.close()
        for process in processes:
            process.wait(3)


VERSION = "$LATEST"
"""What runs: no version of a function is published."""

PAYLOAD_LIMIT = 6_291_556
"""Bytes that Lambda takes or gives in one synchronous invocation."""


def caller_key(name: str) -> str:
    """The access key id by which the sandbox's AWS recognises a function."""
    return "SANDBOX" + name.upper().replace("_", "")
