"""``python -m sandbox.org``: run an org by itself."""

from __future__ import annotations

import argparse
import signal
import threading

from sandbox.org import Org, OrgServer, sample


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.org", description="A Salesforce org in memory, on this machine."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port, 0 for any (%(default)s)")
    parser.add_argument("--control-port", type=int, default=0, help="port of the control API")
    parser.add_argument("--tls", action="store_true", help="https with a self-signed certificate")
    parser.add_argument(
        "--bare", action="store_true", help="without Bird_Key__c and the permission set"
    )
    options = parser.parse_args()
    org = Org.bare() if options.bare else Org.sample()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with OrgServer(
        org,
        host=options.host,
        port=options.port,
        control_port=options.control_port,
        tls=options.tls,
    ) as server:
        print(f"Org           {server.url}", flush=True)
        print(f"Control       {server.control_url}/_sandbox/state", flush=True)
        if server.certificate is not None:
            print(f"Certificate   {server.certificate.path}")
        print(f"Client id     {sample.CLIENT_ID}")
        print(f"Client secret {sample.CLIENT_SECRET}")
        print(f"Callback      {sample.CALLBACKS[0]}")
        print(f"Integration   {sample.INTEGRATION_USER} / {sample.INTEGRATION_PASSWORD}")
        print(f"Administrator {sample.ADMIN_USER} / {sample.ADMIN_PASSWORD}", flush=True)
        try:
            stop.wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
