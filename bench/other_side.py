"""Salesforce and AWS in one process that is not measured: the local stack behind TLS.

    with OtherSide() as other:
        environ = other.environments["create_lead"]
        other.call("counts")

The process, `python -m bench.other_side`, reads commands as lines of JSON and writes their results.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tools.template import ROOT

if TYPE_CHECKING:
    from sandbox.stack import Stack


class OtherSide:
    """The process, from the beginning to the end of a `with` block."""

    def __init__(self, *, round_trip_seconds: float = 0.0) -> None:
        self._round_trip = round_trip_seconds

    def __enter__(self) -> OtherSide:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.other_side", str(self._round_trip)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.environments: Mapping[str, dict[str, str]] = self._read()
        """Each function's variables, with which it finds this process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def call(self, command: str, **arguments: Any) -> Any:
        """Run one of the methods of `_Commands` there, and return its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the other side's process ended; its output is above")
        return json.loads(line)


class Forwarder:
    """Forwards a free port of this machine to `port`, behind TLS or with delay."""

    def __init__(
        self, port: int, *, tls: ssl.SSLContext | None = None, round_trip_seconds: float = 0.0
    ) -> None:
        self._target = port
        self._round_trip = round_trip_seconds
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, backlog=256)
        )
        self.port = int(server.sockets[0].getsockname()[1])
        threading.Thread(target=loop.run_forever, daemon=True).start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # TCP's handshake is one round trip.
        await asyncio.sleep(self._round_trip)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until one side ends, half a round trip later."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                await asyncio.sleep(self._round_trip / 2)
                writer.write(chunk)
                await writer.drain()
        writer.close()


class _Commands:
    """The commands of the process."""

    def __init__(self, stack: Stack, server: Any) -> None:
        self._stack = stack
        self._server = server
        self._org = server.org

    def forget(self) -> Any:
        """No records, empty queues, counts at zero; tokens and connections stay."""
        self._org.forget_records()
        self._org.journal.reset()
        for url in (self._stack.outbox_url, self._stack.rejected_url):
            self._stack.client("sqs").purge_queue(QueueUrl=url)
        self._stack.aws.calls.clear()
        return True

    def counts(self) -> Any:
        """Since `forget`: requests to Salesforce, AWS calls by function."""
        calls = self._stack.aws.calls
        return {
            "salesforce": dict(self._org.journal.counts),
            "aws": {f"{who} {what}": n for (who, what), n in calls.items() if who != "-"},
        }

    def session(self) -> Any:
        """The access token that the functions use now, and the org's address."""
        return self._stack.token()

    def expire(self) -> Any:
        """Salesforce accepts no access token that it gave until now."""
        with self._org.lock:
            return self._org.oauth.expire_sessions()

    def recycle(self, *, name: str) -> Any:
        """The function's next invocation starts cold."""
        self._stack.functions[name].recycle()
        return True

    def post(self, *, path: str, body: Any) -> Any:
        """Call the API as a flow does: status, outcome and milliseconds."""
        started = time.perf_counter()
        response = self._stack.request("POST", path, body)
        milliseconds = (time.perf_counter() - started) * 1000
        return [response.status, response.json().get("outcome"), milliseconds]

    def post_at_once(self, *, path: str, bodies: list[Any]) -> Any:
        """Call the API with all of these at the same time: the outcomes."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            responses = pool.map(lambda body: self._stack.request("POST", path, body), bodies)
            return [response.json().get("outcome") for response in responses]

    def renew(self) -> Any:
        """RefreshToken gets a new access token, as its schedule makes it."""
        refused = self._stack.token()
        generation = refused["generation"] if refused else None
        return not self._stack.invoke("refresh_token", {"refused_generation": generation}).failed

    def down(self, *, kind: str) -> Any:
        """An outage: Salesforce refuses connections, or takes them and does not respond."""
        if kind == "refused":
            self._server.refuse_connections()
        else:
            self._org.trouble.add(silence="before")
        return True

    def up(self) -> Any:
        """The outage is over."""
        self._org.trouble.clear()
        self._server.accept_connections()
        return True


def main(round_trip_seconds: float) -> None:
    """Serve until standard input ends."""
    from sandbox.org.http.server import OrgServer
    from sandbox.org.org import Org
    from sandbox.org.sample import CLIENT_ID, CLIENT_SECRET, INTEGRATION_USER
    from sandbox.stack import Stack

    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = exits.enter_context(OrgServer(Org.sample(), tls=True, certificate_folder=folder))
        assert server.certificate is not None
        if round_trip_seconds:
            distance = Forwarder(server.port, round_trip_seconds=round_trip_seconds)
            server.url = server.org.url = f"https://localhost:{distance.port}"
        # preloaded=False: a cold start here is as cold as in Lambda.
        stack = Stack(
            login_url=server.url, connected=False, poll=False, processes=4, preloaded=False
        )
        exits.enter_context(stack)
        aws = Forwarder(int(stack.aws.url.rsplit(":", 1)[1]), tls=server.certificate.context)
        bundle = trusted(server.certificate.path, folder)
        for function in stack.functions.values():
            function.environment.update(
                SSL_CERT_FILE=str(bundle),
                AWS_CA_BUNDLE=str(bundle),
                AWS_ENDPOINT_URL=f"https://localhost:{aws.port}",
            )
        approved = server.org.oauth.approve(CLIENT_ID, INTEGRATION_USER, "api", "refresh_token")
        secret = {
            "login_url": server.url,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": approved["refresh_token"],
        }
        stack.client("secretsmanager").put_secret_value(
            SecretId=stack.secret_id, SecretString=json.dumps(secret)
        )
        tick = stack.tick()
        if tick.failed:
            raise RuntimeError(tick.payload.decode() + stack.logs("refresh_token"))
        commands = _Commands(stack, server)
        environments = {name: stack.function_environment(name) for name in stack.functions}
        print(json.dumps(environments), flush=True)
        for line in sys.stdin:
            arguments = json.loads(line)
            result = getattr(commands, arguments.pop("command"))(**arguments)
            print(json.dumps(result), flush=True)


def trusted(certificate: Path, folder: Path) -> Path:
    """The authorities that a machine trusts by default, and the sandbox's own certificate.

    As many as in production, because loading them is a good part of a cold start.
    """
    import botocore

    assert botocore.__file__ is not None
    authorities = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
    bundle = folder / "trusted.pem"
    bundle.write_bytes(authorities + b"\n" + certificate.read_bytes())
    return bundle


if __name__ == "__main__":
    main(float(sys.argv[1]))
