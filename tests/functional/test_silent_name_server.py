"""A name server that drops packets does not outlast the caller's budget.

glibc's own resolver, unchanged, against a socket that never responds: in a network namespace of its
own, which nothing leaves, with its own /etc/resolv.conf. CreateLead runs there in this module's
`main`.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENVIRON
from tests.unit.doubles import INSTANCE
from tests.unit.test_record_api import Context
from tools.template import ROOT, Template

BUDGET_SECONDS = float(ENVIRON["RESPONSE_BUDGET_SECONDS"])
ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
WITH_RESOLV_CONF = ["sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"']

ONE = "nameserver 127.0.0.1\n"
TWO_AND_A_DOMAIN = f"{ONE}nameserver 127.0.0.2\nsearch a.internal b.internal\n"

SSM, SQS = "ssm.eu-west-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com"
SALESFORCE = "acme.my.salesforce.com"


def cannot_be_alone() -> str:
    """Why no namespaces can be made here; empty if they can."""
    if not shutil.which(ALONE[0]):
        return "there is no unshare (Linux only)"
    made = subprocess.run([*ALONE, "true"], capture_output=True, text=True)
    return f"no namespaces: {made.stderr.strip()}" if made.returncode else ""


pytestmark = pytest.mark.skipif(bool(cannot_be_alone()), reason=cannot_be_alone())

Call = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def create_lead(event: Callable[[str], Any], tmp_path: Path) -> Call:
    """Calls CreateLead twice in one execution environment beside such a name server."""

    def call(resolv_conf: str, *, options: bool = True, aws_at_hand: bool = False) -> list[Any]:
        variables = Template.load().source["Globals"]["Function"]["Environment"]["Variables"]
        environ = {
            **ENVIRON,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/bridge'}",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "POWERTOOLS_SERVICE_NAME": "bird-salesforce",
            "POWERTOOLS_METRICS_NAMESPACE": "BirdSalesforce",
            # glibc reads it when the process begins, as it does in Lambda.
            "RES_OPTIONS": variables["RES_OPTIONS"] if options else "",
        }
        conf = tmp_path / "resolv.conf"
        conf.write_text(resolv_conf)
        case = json.dumps({"event": event("create_lead"), "aws_at_hand": aws_at_hand})
        program = [sys.executable, "-m", "tests.functional.test_silent_name_server", case]
        done = subprocess.run(
            [*ALONE, *WITH_RESOLV_CONF, str(conf), *program],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert len(lines) == 2, done.stdout + done.stderr
        return [json.loads(line.removeprefix("RESULT ")) for line in lines]

    return call


@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [True, False], ids=["the template's options", "glibc's"])
@pytest.mark.parametrize("resolv_conf", [ONE, TWO_AND_A_DOMAIN], ids=["one server", "two"])
def test_where_no_name_is_found_the_caller_is_told_in_time(
    create_lead: Call, resolv_conf: str, options: bool
) -> None:
    called = create_lead(resolv_conf, options=options)
    for result in called:
        assert result["status"] == 503 and result["body"]["kept"] is False
        assert result["seconds"] < BUDGET_SECONDS - 0.5
    # A look-up that the first call gave up may run still, and the second one waits for that.
    assert {SSM, SQS} <= {host for result in called for host in result["queries"]}
    if resolv_conf == ONE:
        # One look-up of each host: two queries, as the template says, and as glibc does by itself.
        assert max(called[0]["queries"].values()) <= 2


@pytest.mark.timeout(60)
def test_where_only_salesforce_s_name_is_not_found_the_record_is_queued(create_lead: Call) -> None:
    first, second = create_lead(ONE, aws_at_hand=True)
    for result in (first, second):
        assert (result["status"], result["body"]["outcome"]) == (202, "queued")
        assert result["seconds"] < BUDGET_SECONDS / 2
    assert first["queries"] == {SALESFORCE: 2}


# What runs in the namespaces


class Silent(threading.Thread):
    """The name server: takes what comes on port 53 of every address, and responds to nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        up = struct.pack("16sh14x", b"lo", 0x41)  # netdevice(7): SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
        fcntl.ioctl(self._socket, 0x8914, up)
        self._socket.bind(("0.0.0.0", 53))
        self.queries: Counter[str] = Counter()
        """Of type A, by host."""

    def run(self) -> None:
        while True:
            packet = self._socket.recv(4096)
            at, labels = 12, []  # behind the header (RFC 1035, section 4.1)
            while packet[at]:
                labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
                at += 1 + packet[at]
            if struct.unpack_from(">H", packet, at + 1)[0] == 1:
                self.queries[".".join(labels)] += 1


class LocalAws(BaseHTTPRequestHandler):
    """An access token, and a queue that takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        token = {"access_token": "token-1", "instance_url": INSTANCE, "generation": 1}
        body = {"MessageId": "m", "Parameter": {"Value": json.dumps(token)}}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def main(event: Any, *, aws_at_hand: bool) -> None:
    """Print what came of two calls; with AWS at hand only Salesforce's name is looked up."""
    server = Silent()
    server.start()
    if aws_at_hand:
        aws = HTTPServer(("127.0.0.1", 0), LocalAws)
        threading.Thread(target=aws.serve_forever, daemon=True).start()
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{aws.server_port}"
    sys.path.insert(0, str(ROOT / "functions" / "create_lead"))
    handler = importlib.import_module("app").handler
    for _ in range(2):
        event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
        server.queries.clear()
        started = time.monotonic()
        response = handler(event, Context())
        result = {
            "status": response["statusCode"],
            "body": json.loads(response["body"]),
            "seconds": time.monotonic() - started,
            "queries": dict(server.queries),
        }
        print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)  # a look-up may be running still


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
