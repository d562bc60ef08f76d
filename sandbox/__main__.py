"""`make start`: the local stack in the foreground, for curl, a browser, and `sam local`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from rich.console import Console

from sandbox.org import Org, sample
from sandbox.stack import Stack
from tools.template import ROOT, TemplateError

LOCAL = Path(os.environ.get("BIRD_SALESFORCE_LOCAL_FILE") or ROOT / ".local" / "stack.json").parent
"""Where the running stack says what it is called; `bird-salesforce --local` reads it there."""
PORT = 8700
STACK_NAME = "bird-salesforce"
API_KEY = "local-key-of-this-machine"
"""Twenty characters or more, as API Gateway wants it."""
LOOKUP_KEY = "local-lookup-key-of-this-machine"
"""Of POST /customers/find, with --parameter CustomerLookup=on."""


def _first_of_four_ports(text: str) -> int:
    port = int(text)
    if not 0 < port <= 65_532:
        raise argparse.ArgumentTypeError(f"{port} is not a number from 1 to 65532")
    return port


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument(
        "--listen", default="127.0.0.1", metavar="ADDRESS", help="0.0.0.0 lets containers in"
    )
    parser.add_argument(
        "--advertise",
        metavar="ADDRESS",
        help="how others reach this machine, if not by the address it listens on",
    )
    parser.add_argument(
        "--port",
        type=_first_of_four_ports,
        default=PORT,
        help=f"of the API; AWS, Salesforce and its controls get the next three (default {PORT})",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of template.yaml; may be given several times",
    )
    parser.add_argument(
        "--not-connected", action="store_true", help="leave the secret empty, as after a deployment"
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="an org as Salesforce hands it over: without our fields and permission set",
    )
    return parser.parse_args(arguments)


def write_files(stack: Stack, folder: Path = LOCAL) -> None:
    """What `sam local`, `make invoke` and `bird-salesforce --local` need to find the stack."""
    folder.mkdir(exist_ok=True)
    environment = {
        logical_id: dict(spec.environment)
        for logical_id, spec in stack.deployment.functions.items()
    }
    (folder / "env.json").write_text(json.dumps(environment, indent=2), encoding="utf-8")
    where = {
        "url": stack.url,
        "api_key": stack.api_key,
        "aws_endpoint": stack.aws_endpoint,
        "org_url": stack.org_url,
        "functions": {name: one.spec.name for name, one in stack.functions.items()},
        "outputs": stack.deployment.outputs,
        "stack_name": stack.stack_name,
        "app": {"client_id": sample.CLIENT_ID, "client_secret": sample.CLIENT_SECRET},
        "integration_user": {
            "username": sample.INTEGRATION_USER,
            "password": sample.INTEGRATION_PASSWORD,
        },
        "administrator": {"username": sample.ADMIN_USER, "password": sample.ADMIN_PASSWORD},
    }
    (folder / "stack.json").write_text(json.dumps(where, indent=2), encoding="utf-8")


def _shown(folder: Path) -> Path:
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def describe(stack: Stack, console: Console, *, connected: bool, bare: bool) -> None:
    """Where everything is, what is not there, and something to try at once."""
    first, second = (
        json.dumps(
            {
                "bird": {
                    "channel": "whatsapp",
                    "messageId": message_id,
                    "conversationId": "first-conversation",
                    "sender": "+31612345678",
                    "displayName": "Ada Okafor",
                    "text": text,
                }
            }
        )
        for message_id, text in (
            ("wamid.first", "Do you deliver on Sundays?"),
            ("wamid.second", "To Utrecht, please."),
        )
    )
    looks_up = stack.function_environment("find_customer")["LOOKUP_KEY_ID"]
    lookup = f"\n  Look-up key  {stack.lookup_key}" if looks_up else ""
    curl = f"curl -s {stack.url}/leads -H 'x-api-key: {stack.api_key}' -d"
    lines = f"""
The local stack is running. Ctrl-C ends it.

  API          {stack.url}
  API key      {stack.api_key}{lookup}
  Salesforce   {stack.org_url}   its leads and cases, as they come in
               {sample.ADMIN_USER} / {sample.ADMIN_PASSWORD}   the administrator
               {sample.INTEGRATION_USER} / {sample.INTEGRATION_PASSWORD}   as whom records are made
  Controls     {stack.control_url}   outages, faults, what the org holds (sandbox/org/README.md)
  AWS          {stack.aws_endpoint}   AWS_ENDPOINT_URL for the AWS CLI and for boto3
  Logs         {stack.folder}/<function>.log
  sam local    --env-vars {_shown(LOCAL)}/env.json
{_lacking(connected=connected, bare=bare)}
Make a lead:

  {curl} '{first}'

Add the customer's next message to it:

  {curl} '{second}'
"""
    console.print(lines, highlight=False, soft_wrap=True, markup=False)


def _lacking(*, connected: bool, bare: bool) -> str:
    """What has to be done before records are made, as an administrator would do it."""
    if connected and not bare:
        return ""
    lines = []
    if not connected:
        lines += [
            "Not connected to Salesforce: what is sent waits in the outbox. To connect:",
            "  bird-salesforce connect --local",
        ]
    if bare:
        lines.append("The org is bare: our fields and permission set are missing.")
        lines.append(
            "connect sets it up, too."
            if not connected
            else "To set it up:\n  bird-salesforce setup-org --local"
        )
    return "\n" + "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run until somebody stops it."""
    options = parse(arguments)
    console = Console()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        parameters = dict(one.split("=", 1) for one in options.parameter)
    except ValueError:
        console.print("--parameter wants NAME=VALUE", style="red")
        return 2
    stack = Stack(
        connected=not options.not_connected,
        parameters=parameters,
        org=Org.bare() if options.bare else None,
        stack_name=STACK_NAME,
        host=options.listen,
        advertise=options.advertise,
        ports=(options.port, options.port + 1, options.port + 2),
    )
    stack.api_key = API_KEY
    stack.lookup_key = LOOKUP_KEY
    try:
        stack.start()
    except TemplateError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    except OSError as error:
        ports = f"{options.port} to {options.port + 3}"
        console.print(f"Ports {ports}: {error.strerror}. Try --port.", style="red", markup=False)
        return 1
    try:
        write_files(stack)
        stack.run_schedule()
        describe(stack, console, connected=not options.not_connected, bare=options.bare)
        ended.wait()
    finally:
        for name in ("env.json", "stack.json"):
            (LOCAL / name).unlink(missing_ok=True)
        stack.stop()
    console.print("Stopped.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
