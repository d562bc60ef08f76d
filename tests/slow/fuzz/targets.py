"""Bytes in, one function's handler called: what atheris fuzzes and every seed is tested with.

The bytes are text that a person can read and write, so that a crash's file says what happened and
a seed is written by hand. Parts are separated by a line of their own:

    POST /leads?errors=inline         a request: first line, headers, an empty line, the body
    content-type: application/json

    {"LastName": "Berg"}
    ====                              after it, an answer of Salesforce's: status, headers, body
    201
    Sforce-Limit-Info: api-usage=1/100

    {"id": "00Q8d0000000001AAA"}
    ----                              another answer, or another message

`python -m tests.slow.fuzz.atheris_run TARGET` fuzzes one of them; without atheris they are plain
functions that raise where something is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bridge.delivery.outbox import Envelope, UnreadableEnvelope
from bridge.errors import SalesforceProblem, Unavailable
from bridge.http import NoConnection, NoResponse, Response
from bridge.records import ObjectName, Record
from bridge.salesforce.responses import (
    derived_at_fault,
    read_api_usage,
    read_collection,
    read_created,
    read_created_case,
    read_faults,
    read_found,
    read_org_problem,
)
from bridge.untrusted import read_json
from cli.commands.rejected import _print_groups, _show, _wide
from cli.rejected.queue import Message
from cli.rejected.records import Rejection, export_line
from cli.terminal import Terminal
from tests.slow.fuzz.harness import (
    ID,
    Clock,
    Happening,
    MadeUp,
    Stand,
    ask_salesforce,
    deliver,
    refresh,
)
from tests.unit.doubles import KEY, SmallOrg

FOREVER = Happening(NoResponse("broke off"))
SECRET = {
    "login_url": "https://acme.my.salesforce.com",
    "client_id": "client",
    "client_secret": "",
    "refresh_token": "refresh-0",
}


def _text(data: bytes) -> str:
    """Half characters too: they can stand in any JSON, escaped."""
    return data.decode("utf-8", "surrogateescape")


def _parts(text: str, line: str) -> list[str]:
    return text.split(f"\n{line}\n")


def _head(text: str) -> tuple[str, dict[str, str], str]:
    """First line, headers and body of a request or of an answer."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.strip(): value.strip() for name, _, value in pairs if name.strip()}, body


def read_answer(text: str) -> Response:
    """An answer as it is written in a seed."""
    first, headers, body = _head(text)
    digits = first.strip()[:3]
    status = int(digits) if digits.isascii() and digits.isdigit() else 200
    # What urllib3 hands on has a status of three digits, and no line break in a header.
    return Response(min(max(status, 100), 599), headers, body.encode("utf-8", "surrogatepass"))


def read_happenings(text: str) -> list[Happening]:
    """What Salesforce does with each call, the last of it for ever."""
    happens = []
    for part in _parts(text, "----"):
        if part.startswith("!"):
            what: Response | Exception = NoConnection("cannot be reached")
            if part.startswith("!!"):
                what = NoResponse("broke off")
            happens.append(Happening(what, seconds=20.0 if part.startswith("!!!") else 0.0))
        else:
            happens.append(Happening(read_answer(part)))
    return happens


def _stand(path: str, org: Any) -> Stand:
    name: ObjectName | None = None
    if path.startswith("/leads"):
        name = "Lead"
    elif path.startswith("/cases"):
        name = "Case"
    return Stand(name, org)


def _event(text: str) -> dict[str, Any]:
    first, headers, body = _head(text)
    method, _, url = first.partition(" ")
    try:
        parts = urlsplit(url)
        path, query = parts.path, parts.query
    except ValueError:
        path, query = "/leads", url
    *_, key = path.rpartition("/")
    return {
        "httpMethod": method,
        "path": path,
        "headers": headers,
        "queryStringParameters": dict(parse_qsl(query, keep_blank_values=True)) or None,
        "pathParameters": {"key": key} if path.count("/") > 1 else None,
        "requestContext": {"requestId": "request-1"},
        "body": body or None,
        "isBase64Encoded": headers.get("x-base64") == "1",
    }


def api_event(data: bytes) -> None:
    """A request, or a whole event as JSON: an answer in our shape, and never a 5xx."""
    text = _text(data)
    event: Any = read_json(text.encode("utf-8", "surrogateescape")) if text[:1] == "{" else None
    if event is None:
        event = _event(text)
    path = event.get("path") if isinstance(event, dict) else None
    status, payload = _stand(path if isinstance(path, str) else "", SmallOrg()).answer(event)
    assert status < 500, payload


def form_body(data: bytes) -> None:
    """A body of a form, posted as one."""
    event = _event("POST /leads\ncontent-type: application/x-www-form-urlencoded\n\n")
    stand = Stand("Lead", SmallOrg())
    status, payload = stand.answer({**event, "body": _text(data)})
    assert status < 500, payload


def bird_context(data: bytes) -> None:
    """What Bird says of a message: as `bird`, and as the whole body in one of Bird's own shapes."""
    text = _text(data)
    for path, body in (("/leads", f'{{"bird": {text}}}'), ("/cases", text), ("/messages", text)):
        status, payload = _stand(path, SmallOrg()).answer(_event(f"POST {path}\n\n{body}"))
        assert status < 500, payload


def salesforce_answer(data: bytes) -> None:
    """Salesforce's answers to the calls of one create, and to each reader by itself."""
    first, _, rest = _text(data).partition("\n")
    name: ObjectName = "Case" if first.startswith("Case") else "Lead"
    happens = read_happenings(rest)
    for happening in happens:
        if isinstance(happening.what, Response):
            _read_in_every_way(happening.what, name)
    ask_salesforce("GET" if "find" in first else "POST", name, happens)


def _read_in_every_way(answer: Response, name: ObjectName) -> None:
    """Each reader answers or raises a SalesforceProblem, and invents no record."""
    record = Record(
        object=name,
        key="k",
        fields={"LastName": "Okafor", "Email": "x"},
        derived=frozenset({"Email"}),
    )
    read_api_usage(answer.headers)
    payload = read_json(answer.body)
    read_faults(payload, status=answer.status, object_name=name)
    for problem in (
        read_org_problem(answer, key_field=KEY),
        read_created(answer, key_field=KEY, record=record).problem,
        read_created_case(answer, key_field=KEY, record=record).problem,
    ):
        if problem is not None:
            assert derived_at_fault(problem, record) <= {"Email"}
            assert problem.existing_id is None or ID.fullmatch(problem.existing_id)
    with contextlib.suppress(SalesforceProblem):
        many = read_collection(answer, key_field=KEY, records=[record, record])
        assert len(many) == 2
        for attempt in many:
            assert attempt.created is None or ID.fullmatch(attempt.created.id)
    with contextlib.suppress(SalesforceProblem):
        found = read_found(answer, key_field=KEY)
        assert found is None or ID.fullmatch(found.id)


def sqs_batch(data: bytes) -> None:
    """Messages of the outbox, and what Salesforce answers when Deliver sends them."""
    bodies, _, answers = _text(data).partition("\n====\n")
    messages = []
    for number, body in enumerate(_parts(bodies, "----")[:30]):
        old = body.startswith("old ")
        messages.append(
            {
                "messageId": f"m-{number}",
                "receiptHandle": f"handle-{number}",
                "body": body.removeprefix("old "),
                "attributes": {
                    "ApproximateReceiveCount": "3",
                    "SentTimestamp": "1500000000000" if old else "9999999999999",
                },
            }
        )
    happens = read_happenings(answers) if answers else [FOREVER]
    # Of a text of an odd length every third body does not get into Rejected.
    fails = len(data) % 2 == 1
    deliver(
        {"Records": messages},
        MadeUp(happens),
        clock=Clock(),
        failing=lambda number: fails and number % 3 == 1,
    )


def token_answer(data: bytes) -> None:
    """What Salesforce's token endpoint says, the last of it for ever."""
    clock = Clock()
    refresh(
        {"refused_generation": None},
        secret=json.dumps(SECRET),
        stored=None,
        pending=None,
        org=MadeUp(read_happenings(_text(data)), clock=clock),
        clock=clock,
    )


def stored_values(data: bytes) -> None:
    """What may stand in the secret, in the token's parameter and in the second place."""
    secret, stored, pending, *_ = [*_parts(_text(data), "----"), "", ""]
    clock = Clock()
    token = {"access_token": "access-1", "refresh_token": "refresh-1"}
    refresh(
        {"source": "aws.events"},
        secret=secret or None,
        stored=stored or None,
        pending=pending or None,
        org=MadeUp([Happening(Response(200, {}, json.dumps(token).encode()))], clock=clock),
        clock=clock,
    )


def envelope(data: bytes) -> None:
    """A message of a queue, as Deliver and the console program read it."""
    body = _text(data)
    rejection = Rejection.read(
        Message(id="m-1", receipt="r", body=body, sent_ms=1_790_236_800_000, receives=1),
        keep_envelope=True,
    )
    assert json.loads(export_line(rejection).encode()) is not None
    screen = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(screen):
        terminal = Terminal(interactive=False)
        terminal.result_json(rejection.as_dict())
        _print_groups(terminal.out, [rejection])
        terminal.out.print(_wide(rejection), markup=False)
        _show(terminal, rejection)
    screen.flush()
    seen = screen.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", seen), "a terminal would obey this"
    try:
        read = Envelope.parse(body)
    except UnreadableEnvelope:
        assert rejection.envelope is None
        return
    assert read.key and read.object_name in ("Lead", "Case")
    again = Envelope.parse(read.again().dump())
    assert again.key == read.key
    assert json.dumps(dict(again.record.fields)) == json.dumps(dict(read.record.fields))
    assert again.replayed == read.replayed + 1
    problem = Unavailable("x" * 10_000, fields=("f" * 10_000,) * 1000)
    assert len(read.refused(problem, attempts=10**6).dump()) < len(read.dump()) + 30_000


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(api_event, bird_context, envelope, form_body, salesforce_answer, sqs_batch),
        *(stored_values, token_answer),
    )
}
