"""Salesforce Files: which of a message's files are there, and the upload of one that is not.

A file is a ContentVersion with its key in `Bird_Key__c`, of a ContentDocument that a
ContentDocumentLink puts on a record. That the key may be unique is not confirmed, so the
keys are looked for before each upload (docs/adr/0089).

Sources: REST API Developer Guide, Insert or Update Blob Data; Object Reference, ContentVersion and
ContentDocumentLink.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import IO, Any, NamedTuple

from bridge.delivery.calls import Calls
from bridge.errors import KeyFieldMissing, OrgNotReady, Refused
from bridge.files.place import not_set_up, rows_of
from bridge.http import Response
from bridge.http1 import PIECE_BYTES
from bridge.salesforce.client import Salesforce, Via, soql_text
from bridge.salesforce.composite import MOST_QUERIES, query_part
from bridge.salesforce.responses import read_org_problem, unreadable
from bridge.salesforce.session import read_id
from bridge.untrusted import read_json

KEY_FIELD = "Bird_Key__c"
DOCUMENTS = 200
"""Of a query, so that its URL stays short."""

NO_ROOM = "STORAGE_LIMIT_EXCEEDED"
"""The org takes no file until a person makes room. A record waits for that; a file is rejected,
since its link may end before."""


class There(NamedTuple):
    """A file that was uploaded, and whether it is on the record or was deleted by a person."""

    document_id: str
    linked: bool
    deleted: bool = False


def find(keys: Sequence[str], record_id: str, calls: Calls) -> dict[str, There]:
    """Those of these files that were uploaded before, by key. Raises Unavailable, NotSetUp.

    By the key, which also finds a file whose record was converted since; and through the record's
    links, where a file is seen that the integration user no longer owns.
    """
    wanted = ",".join(map(soql_text, keys))
    linked_to = f"WHERE LinkedEntityId = {soql_text(record_id)}"
    links = f"SELECT ContentDocumentId FROM ContentDocumentLink {linked_to}"
    columns = f"Id,ContentDocumentId,{KEY_FIELD},IsDeleted FROM ContentVersion"
    parts = [
        query_part("links", links, deleted=True),
        query_part("versions", f"SELECT {columns} WHERE {KEY_FIELD} IN ({wanted})", deleted=True),
    ]
    responses = calls.send_parts(parts)
    linked = [read_id(row.get("ContentDocumentId")) for row in rows_of(responses.get("links"))]
    documents = [one for one in dict.fromkeys(linked) if one]
    found = _by_key(rows_of(responses.get("versions")), set(documents))
    if found.keys() >= set(keys):
        return found
    parts = []
    for at in range(0, len(documents), DOCUMENTS)[:MOST_QUERIES]:
        some = ",".join(map(soql_text, documents[at : at + DOCUMENTS]))
        soql = f"SELECT {columns} WHERE ContentDocumentId IN ({some}) AND {KEY_FIELD} IN ({wanted})"
        parts.append(query_part(f"linked_{at}", soql, deleted=True))
    for response in calls.send_parts(parts).values() if parts else ():
        found |= _by_key(rows_of(response), set(documents))
    return found


def _by_key(rows: Iterable[Mapping[str, Any]], linked: set[str]) -> dict[str, There]:
    found: dict[str, There] = {}
    for row in rows:
        document = read_id(row.get("ContentDocumentId"))
        if document is None:
            raise unreadable()
        key = str(row.get(KEY_FIELD))
        if key not in found or not found[key].linked:
            found[key] = There(document, document in linked, row.get("IsDeleted") is True)
    return found


def link_fields(document_id: str, record_id: str) -> dict[str, Any]:
    """The fields of the link that puts a file on one more record."""
    return {"ContentDocumentId": document_id, "LinkedEntityId": record_id, "ShareType": "V"}


class NewFile(NamedTuple):
    """A file to upload."""

    key: str
    name: str
    record_id: str
    content: IO[bytes]
    size: int


def upload(salesforce: Salesforce, new: NewFile, *, via: Via) -> str:
    """Upload one file onto a record, in pieces, so that it is never in memory as a whole; gives
    the ContentVersion's id.

    Raises as `Salesforce` does. It is sent once: where no response comes, the file may be there
    or not.
    """
    head, tail, boundary = multipart(new)
    new.content.seek(0)
    return salesforce.upload(
        f"{salesforce.base}/sobjects/ContentVersion",
        chain((head,), iter(partial(new.content.read, PIECE_BYTES), b""), (tail,)),
        size=len(head) + new.size + len(tail),
        content_type=f'multipart/form-data; boundary="{boundary}"',
        read=read_uploaded,
        via=via,
    )


def multipart(new: NewFile) -> tuple[bytes, bytes, str]:
    """What comes before and after a file's bytes, and the boundary.

    The two parts are named as the documentation names them. The fields are JSON, so no name of a
    file can end a header; the boundary is random, so no file can hold it on purpose.
    """
    boundary = f"bird-{os.urandom(16).hex()}"
    fields = {
        "Title": _title(new.name),
        "PathOnClient": new.name,
        "FirstPublishLocationId": new.record_id,
        KEY_FIELD: new.key,
    }
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="entity_content"\r\n'
        "Content-Type: application/json\r\n\r\n"
        f"{json.dumps(fields)}\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="VersionData"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode(), boundary


def read_uploaded(response: Response) -> str:
    """The id of a new ContentVersion. Raises what kept it from being made: KeyTaken where the key
    is unique and taken."""
    problem = read_org_problem(response, key_field=KEY_FIELD)
    if isinstance(problem, KeyFieldMissing):
        raise not_set_up()
    if isinstance(problem, OrgNotReady) and problem.code == NO_ROOM:
        raise Refused(
            problem.message,
            code=problem.code,
            hint="Salesforce administrator: the org's file storage is full: Setup, Storage Usage; "
            "delete files or buy space, then replay.",
        )
    if problem is not None:
        raise problem
    body = read_json(response.body)
    version_id = read_id(body.get("id")) if isinstance(body, dict) else None
    if version_id is None:
        raise unreadable()
    return version_id


def _title(name: str) -> str:
    """As Salesforce's own pages make it: the name without its ending."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and " " not in ending else name
