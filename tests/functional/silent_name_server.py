"""CreateLead beside a name server that drops every packet; run in namespaces of its own.

    unshare --map-root-user --net --mount python -m tests.functional.silent_name_server CASE

`CASE` is a JSON object: the `event` of two calls, the lines of `resolv_conf`, and whether AWS is
`aws_at_hand` (then only Salesforce's name is looked up). Prints a JSON object for each call:
`status`, `body`, `seconds`, and `queries`, by host, of type A.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.unit.doubles import INSTANCE
from tests.unit.test_record_api import Context
from tools.template import ROOT

SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
"""netdevice(7)"""
TYPE_A = 1


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def use(resolv_conf: list[str]) -> None:
    """Make this /etc/resolv.conf, in this mount namespace only."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write("".join(line + "\n" for line in resolv_conf))
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


class Silent(threading.Thread):
    """The name server: takes what comes on port 53 of every address, and responds to nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", 53))
        self.queries: Counter[str] = Counter()

    def run(self) -> None:
        while True:
            packet = self._socket.recv(4096)
            at, labels = 12, []  # behind the header (RFC 1035, section 4.1)
            while packet[at]:
                labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
                at += 1 + packet[at]
            if struct.unpack_from(">H", packet, at + 1)[0] == TYPE_A:
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


def main(case: Any) -> None:
    bring_loopback_up()
    use(case["resolv_conf"])
    server = Silent()
    server.start()
    if case["aws_at_hand"]:
        aws = HTTPServer(("127.0.0.1", 0), LocalAws)
        threading.Thread(target=aws.serve_forever, daemon=True).start()
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{aws.server_port}"
    sys.path.insert(0, str(ROOT / "functions" / "create_lead"))
    handler = importlib.import_module("app").handler
    for _ in range(2):
        event = case["event"]
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
    main(json.loads(sys.argv[1]))
