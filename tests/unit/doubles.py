"""The other side, in a few lines: an org that answers as Salesforce does, and AWS that keeps.

They stand in for the network (`Http`) and for AWS, never for a module of `bridge`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bridge.api.message_request import MessageRequest, read_message
from bridge.api.request import HttpRequest
from bridge.aws import Aws, AwsError, AwsIdentity, FunctionError
from bridge.conversations.message import Message
from bridge.deadline import Deadline
from bridge.http import Http, NoResponse, Response
from bridge.oauth.access_token import AccessToken
from bridge.records import ObjectName, Record
from bridge.salesforce.composite import PartResponse
from bridge.salesforce.session import full_id
from bridge.settings import Settings
from tests.conftest import ENVIRON

INSTANCE = "https://acme.my.salesforce.com"
KEY = "Bird_Key__c"


def lead(key: str = "k-1", *, derived: tuple[str, ...] = (), **fields: Any) -> Record:
    fields = {"LastName": "Berg", **fields}
    return Record(object="Lead", key=key, fields=fields, derived=frozenset(derived))


def case(key: str = "k-1", **fields: Any) -> Record:
    return Record(object="Case", key=key, fields={"Subject": "Help", **fields})


def outside(record: Record) -> Message:
    """A message outside conversations that makes this record."""
    assert record.object != "Task"
    given = {name: v for name, v in record.fields.items() if name not in record.derived}
    filled = {name: v for name, v in record.fields.items() if name in record.derived}
    return Message(
        conversation="",
        key=record.key,
        requested=record.object,
        channel_object=record.object,
        fields=given,
        derived={record.object: filled},
        sent_at=datetime(2026, 9, 24, 8, tzinfo=UTC),
        channel=record.channel,
    )


@dataclass(frozen=True)
class Requested(MessageRequest):
    """What a request asks for, with the record that it makes where it makes one."""

    @property
    def record(self) -> Record:
        name = self.message.requested or self.message.channel_object
        return self.message.record(name, self.message.key)


def read_requested(
    request: HttpRequest, object_name: ObjectName | None, *, settings: Settings
) -> Requested:
    """`read_message` with the record."""
    made = read_message(request, object_name, settings=settings)
    return Requested(**{one.name: getattr(made, one.name) for one in fields(made)})


def posted(
    body: object,
    *,
    at: ObjectName | None = "Lead",
    configured: Mapping[str, str] | None = None,
    **event: Any,
) -> Requested:
    """What a POST of this body (text as it is, all else as JSON) to the route of this object asks
    for, with these settings changed."""
    text = body if isinstance(body, str) else json.dumps(body)
    request = HttpRequest.from_event({"httpMethod": "POST", "body": text, **event})
    settings = Settings.from_environ({**ENVIRON, **(configured or {})})
    return read_requested(request, at, settings=settings)


@dataclass(frozen=True)
class Call:
    """One request as it went out."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    repeatable: bool
    seconds: float

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def json(self) -> Any:
        return json.loads(self.body or b"null")


def json_response(status: int, body: object, **headers: str) -> Response:
    """An answer with this JSON."""
    return Response(status, headers, json.dumps(body).encode())


def fault(
    code: str, message: str = "", *, status: int = 400, fields: list[str] | None = None
) -> Response:
    """An error answer with one entry."""
    return json_response(
        status, [{"message": message or code, "errorCode": code, "fields": fields or []}]
    )


def composite(create: tuple[int, Any], find: tuple[int, Any] | None) -> Response:
    """The response to a composite of `create` and `find`: status and body of each."""
    parts = [("create", create), *([("find", find)] if find else [])]
    return json_response(
        200,
        {
            "compositeResponse": [
                {"referenceId": name, "httpStatusCode": part[0], "body": part[1], "httpHeaders": {}}
                for name, part in parts
            ]
        },
    )


def key_taken(record_id: str = "<unknown>") -> dict[str, Any]:
    """What the unique index says of our field."""
    message = f"duplicate value found: {KEY} duplicates value on record with id: {record_id}"
    return {"statusCode": "DUPLICATE_VALUE", "message": message, "fields": []}


def refusal(code: str, *fields: str, message: str = "") -> dict[str, Any]:
    """An entry of `errors` in a collection's answer."""
    return {"statusCode": code, "message": message or code, "fields": list(fields)}


class Scripted(Http):
    """Responds with what `respond` gives for each call, and remembers the calls."""

    def __init__(self, respond: Callable[[Call], Response]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._respond = respond

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline: Deadline,
        repeatable: bool = False,
    ) -> Response:
        call = Call(method, url, headers, body, repeatable, deadline.remaining())
        self.calls.append(call)
        return self._respond(call)


@dataclass
class Row:
    """A record in the small org."""

    id: str
    object: str
    fields: dict[str, Any]
    deleted: bool = False


Rule = Callable[[dict[str, Any], int], dict[str, Any] | None]
"""What the org has against a record in a call of so many: an entry of `errors`, or None."""


class SmallOrg(Scripted):
    """Creates, finds and refuses. Rules run before the unique index, as in Salesforce.

    `trouble` is what happens to the next calls instead of an answer: an Response, an exception, or
    None for nothing. `lost` counts down the creates that are done and then not answered.
    `key_field` None: nothing can be found by it. `createable` is what an object says of itself.
    """

    def __init__(self) -> None:
        super().__init__(self._handle)
        self.rows: list[Row] = []
        self.rules: list[Rule] = []
        self.whole_call: Callable[[list[dict[str, Any]]], Response | None] = lambda records: None
        self.trouble: list[Response | Exception | None] = []
        self.lost = 0
        self.key_field: str | None = KEY
        self.createable: dict[str, object] = {}
        self.tokens = {"token-1"}

    def creates(self) -> list[Call]:
        """The calls that make records."""
        return [call for call in self.calls if call.method == "POST"]

    def lookups(self) -> list[Call]:
        """The calls that look for records."""
        return [
            call for call in self.calls if call.method == "GET" and call not in self.describes()
        ]

    def describes(self) -> list[Call]:
        """The calls that ask what may be done with an object."""
        ends = ("/sobjects/Lead", "/sobjects/Case")
        return [c for c in self.calls if c.method == "GET" and c.path.endswith(ends)]

    def put(self, object_name: str, key: str, *, deleted: bool = False) -> Row:
        """A record that is there already."""
        row = Row(self._new_id(object_name), object_name, {KEY: key}, deleted)
        self.rows.append(row)
        return row

    def _new_id(self, object_name: str) -> str:
        prefix = {"Lead": "00Q", "Case": "500", "Task": "00T"}[object_name]
        return full_id(f"{prefix}8d00000{len(self.rows):05d}")

    def _handle(self, call: Call) -> Response:
        happens = self.trouble.pop(0) if self.trouble else None
        if isinstance(happens, Exception):
            raise happens
        if happens is not None:
            return happens
        if call.headers["Authorization"].removeprefix("Bearer ") not in self.tokens:
            return fault("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        response = self._route(call.method, call.url, call.json())
        if call.method == "POST" and self.lost:
            self.lost -= 1
            raise NoResponse("acme.my.salesforce.com broke off")
        return response

    def _route(self, method: str, url: str, body: Any) -> Response:
        path = urlsplit(url).path
        rest = path.split("/services/data/v68.0/")[1]
        if method == "POST" and rest.startswith("sobjects/"):
            entry = self._create(rest.split("/")[1], body, crowd=1)
            if entry["success"]:
                return json_response(201, entry)
            errors = [{"errorCode": e.pop("statusCode"), **e} for e in entry["errors"]]
            return json_response(400, errors)
        if rest == "composite/sobjects":
            records = body["records"]
            if (response := self.whole_call(records)) is not None:
                return response
            made = [
                self._create(r.pop("attributes")["type"], r, crowd=len(records)) for r in records
            ]
            return json_response(200, made)
        if rest == "composite":
            parts: list[dict[str, Any]] = []
            for part in body["compositeRequest"]:
                url, values = _resolved((part["url"], part.get("body")), parts)
                response = halted() if url is None else self._route(part["method"], url, values)
                parts.append(
                    {
                        "body": json.loads(response.body or b"null"),
                        "httpHeaders": {},
                        "httpStatusCode": response.status,
                        "referenceId": part["referenceId"],
                    }
                )
            return json_response(200, {"compositeResponse": parts})
        if rest in ("query", "queryAll"):
            return self._query(parse_qs(urlsplit(url).query)["q"][0], deleted=rest == "queryAll")
        if rest in ("sobjects/Lead", "sobjects/Case"):
            about = {"createable": self.createable.get(rest[9:], True)}
            return json_response(200, {"objectDescribe": about, "recentItems": []})
        _, object_name, wanted, *key_or_not = rest.split("/")
        if not key_or_not:
            return self._by_id(method, wanted, body)
        (key,) = key_or_not
        if wanted != self.key_field:
            text = f"Provided external ID field does not exist or is not accessible: {wanted}"
            return fault("NOT_FOUND", text, status=404)
        row = self._find(object_name, unquote(key))
        if row is None:
            return fault("NOT_FOUND", "The requested resource does not exist", status=404)
        return json_response(200, {"attributes": {"type": object_name}, **self._shown(row)})

    def _by_id(self, method: str, record_id: str, body: Any) -> Response:
        for row in self.rows:
            if row.id == record_id and not row.deleted:
                if method == "PATCH":
                    row.fields |= body
                    return Response(204, {}, b"")
                return json_response(200, {**row.fields, **self._shown(row)})
        return fault("NOT_FOUND", "The requested resource does not exist", status=404)

    def _create(self, object_name: str, fields: dict[str, Any], *, crowd: int) -> dict[str, Any]:
        for rule in self.rules:
            if error := rule(fields, crowd):
                return {"success": False, "errors": [dict(error)]}
        there = self._find(object_name, fields.get(KEY))
        if there is not None:
            return {"success": False, "errors": [key_taken(there.id[:15])]}
        row = Row(self._new_id(object_name), object_name, fields)
        self.rows.append(row)
        return {"id": row.id, "success": True, "errors": []}

    def _find(self, object_name: str, key: Any) -> Row | None:
        for row in self.rows:
            same = row.object == object_name and row.fields.get(KEY) == key
            if same and key is not None and not row.deleted:
                return row
        return None

    def _query(self, soql: str, *, deleted: bool) -> Response:
        object_name = soql.split(" FROM ")[1].split(" ")[0]
        if self.key_field is None:
            return fault("INVALID_FIELD", f"No such column '{KEY}' on entity '{object_name}'")
        rows = [
            {**row.fields, **self._shown(row), KEY: row.fields[KEY], "IsDeleted": row.deleted}
            for row in self.rows
            if row.object == object_name
            and f"'{row.fields.get(KEY)}'" in soql
            and (deleted or not row.deleted)
        ]
        return json_response(200, {"totalSize": len(rows), "done": True, "records": rows})

    @staticmethod
    def _shown(row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {"Id": row.id, "CreatedDate": "2026-09-24T08:00:00.000+0000"}
        if row.object == "Case":
            shown["CaseNumber"] = f"000010{row.id[13:15]}"
        return shown


def part_failure(
    code: str, message: str = "", *, status: int = 400, fields: list[str] | None = None
) -> PartResponse:
    """An error as the response of one part of a composite."""
    entry: dict[str, Any] = {"message": message or code, "errorCode": code}
    return PartResponse(status, [entry if fields is None else {**entry, "fields": fields}])


def halted() -> Response:
    """The response to a part whose reference leads nowhere."""
    return fault("PROCESSING_HALTED", "Invalid reference specified.")


def _resolved(value: Any, parts: list[dict[str, Any]]) -> Any:
    """A part's URL and body with `@{name.path}` replaced; no URL where one leads nowhere."""
    bodies = {part["referenceId"]: part["body"] for part in parts}
    text = json.dumps(value)
    for name, path in re.findall(r"@\{(\w+)\.([\w.\[\]]+)\}", text):
        body = bodies.get(name)
        found = body.get(path) if isinstance(body, dict) else None
        if not isinstance(found, str):
            return None, None
        text = text.replace(f"@{{{name}.{path}}}", found)
    return json.loads(text)


IDENTITY = AwsIdentity(
    region="eu-west-1",
    access_key_id="AKIAEXAMPLE",
    secret_access_key="secret",
    session_token="session",
    endpoint_url="",
)


class SmallAws(Aws):
    """Parameters, queues and one function, in memory. `broken` names what does not answer."""

    def __init__(self) -> None:
        super().__init__(http=Http(), identity=IDENTITY)
        self.parameters: dict[str, str] = {}
        self.queues: dict[str, list[str]] = {}
        self.broken: dict[str, AwsError] = {}
        self.invoked: list[Mapping[str, Any]] = []
        self.reads = 0
        self.refresh: Callable[[Mapping[str, Any]], Any] = lambda payload: {"busy": True}

    def get_parameter(self, name: str, *, deadline: Deadline) -> str | None:
        self.reads += 1
        if "ssm" in self.broken:
            raise self.broken["ssm"]
        return self.parameters.get(name)

    def send_message(self, queue_url: str, body: str, *, deadline: Deadline) -> str:
        if queue_url in self.broken:
            raise self.broken[queue_url]
        assert deadline.remaining() > 0
        self.queues.setdefault(queue_url, []).append(body)
        return "message-1"

    def invoke(self, function: str, payload: Mapping[str, Any], *, deadline: Deadline) -> Any:
        self.invoked.append(payload)
        if "lambda" in self.broken:
            raise self.broken["lambda"]
        response = self.refresh(payload)
        if isinstance(response, FunctionError):
            raise response
        return response

    def publish(
        self, text: str, generation: int, *, instance_url: str = INSTANCE, user_id: str = ""
    ) -> None:
        """Make this the stored access token."""
        token = AccessToken(
            access_token=text,
            instance_url=instance_url,
            id=f"{instance_url}/id/00D000000000001EAA/{user_id}",
            generation=generation,
        )
        self.parameters["/bird-salesforce/access-token"] = token.dump()

    def stored(self) -> str:
        """The stored access token, as RefreshToken returns it too."""
        return self.parameters["/bird-salesforce/access-token"]
