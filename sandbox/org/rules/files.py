"""Salesforce Files: what becomes of a new version of a file.

A file is a ContentDocument, what is in it a ContentVersion, and each record or user that has it a
ContentDocumentLink. Clients insert versions; the document is made with the first one.
https://developer.salesforce.com/docs/platform/api-rest/guide/dome-sobject-insert-update-blob.html
"""

from __future__ import annotations

import hashlib

from sandbox.org.data.state import State
from sandbox.org.data.store import Record
from sandbox.org.errors import Problem


def publish(state: State, version: Record, touched: Record) -> Record:
    """The fields that Salesforce sets on a new version, whose document is made or changed here.

    `touched` are the system fields of a record changed now. The checksum is documented as MD5.
    """
    name = version["PathOnClient"].replace("\\", "/").rpartition("/")[2]
    content: bytes = version.get("VersionData") or b""
    fields: Record = {
        "Title": version.get("Title") or name,
        "FileExtension": name.rpartition(".")[2] if "." in name else None,
        "ContentSize": len(content),
        "Checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "IsLatest": True,
    }
    shown = {key: fields[key] for key in ("Title", "FileExtension", "ContentSize")}
    shown["LatestPublishedVersionId"] = version["Id"]
    document_id = version.get("ContentDocumentId")
    if document_id is None:
        shown["OwnerId"] = version["OwnerId"]
        document_id = state.insert_with("ContentDocument", shown, touched)
        _link(state, document_id, version["OwnerId"], "I", touched)
        place = version.get("FirstPublishLocationId")
        if place and place != version["OwnerId"]:
            _link(state, document_id, place, "V", touched)
        return {**fields, "ContentDocumentId": document_id, "VersionNumber": "1"}
    former = state.store["ContentDocument"].live[document_id]["LatestPublishedVersionId"]
    number = state.store["ContentVersion"].live[former]["VersionNumber"]
    state.store.update("ContentVersion", former, {"IsLatest": False})
    state.store.update("ContentDocument", document_id, {**shown, **touched})
    return {**fields, "VersionNumber": str(int(number) + 1)}


def _link(state: State, document_id: str, entity_id: str, share: str, touched: Record) -> None:
    """ShareType I (inferred) of the owner's link and V (viewer) of a record's are not confirmed."""
    fields = {
        "ContentDocumentId": document_id,
        "LinkedEntityId": entity_id,
        "ShareType": share,
        "Visibility": "AllUsers",
    }
    state.insert_with("ContentDocumentLink", fields, touched)


def linked_twice(state: State, link: Record) -> Problem | None:
    """A file is linked to a record once. The words are not confirmed; they name no id."""
    ends = ("ContentDocumentId", "LinkedEntityId")
    for other in state.store["ContentDocumentLink"].live.values():
        if all(other.get(name) == link.get(name) for name in ends):
            unknown = "<unknown> duplicates value on record with id: <unknown>"
            return Problem("DUPLICATE_VALUE", f"duplicate value found: {unknown}")
    return None
