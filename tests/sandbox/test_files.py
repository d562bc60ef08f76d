"""Salesforce Files: versions, documents, links, and the bytes themselves."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from urllib3.filepost import encode_multipart_formdata

from sandbox.org import Org, sample

from .conftest import Caller, lead

CONTENT = bytes(range(256)) * 5
FIELDS = b'{"Title": "Photo of a hand", "PathOnClient": "C:\\\\tmp\\\\hand.v2.jpg"%s}'


@pytest.fixture
def lead_id(org: Org) -> str:
    return org.create("Lead", lead())


def upload(caller: Caller, content: bytes = CONTENT, more: str = "", *, first: bool = True) -> Any:
    """A version as the CLI sends it, or with the fields first, as the documentation does."""
    parts = [
        ("entity_content", ("", FIELDS % more.encode(), "application/json")),
        ("VersionData", ("hand.v2.jpg", content, "application/octet-stream")),
    ]
    raw, kind = encode_multipart_formdata(parts if first else parts[::-1])
    return caller.call("POST", "/sobjects/ContentVersion", raw=raw, Content_Type=kind)


def rows(caller: Caller, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.query(query).json()["records"]
    return [{k: v for k, v in row.items() if k != "attributes"} for row in found]


@pytest.mark.parametrize("first", [True, False])
def test_a_multipart_upload_makes_version_document_and_links(
    admin: Caller, org: Org, lead_id: str, first: bool
) -> None:
    made = upload(admin, more=f', "FirstPublishLocationId": "{lead_id}"', first=first)
    assert (made.status, made.json()["success"]) == (201, True)
    version_id = made.json()["id"]
    version = admin.call("GET", f"/sobjects/ContentVersion/{version_id}").json()
    document_id = version["ContentDocumentId"]
    assert (version["Title"], version["FileExtension"]) == ("Photo of a hand", "jpg")
    assert (version["ContentSize"], version["VersionNumber"]) == (len(CONTENT), "1")
    assert version["Checksum"] == hashlib.md5(CONTENT).hexdigest()
    assert version["IsLatest"] is True
    assert admin.call("GET", version["VersionData"]).data == CONTENT
    assert rows(admin, "SELECT Title, LatestPublishedVersionId FROM ContentDocument") == [
        {"Title": "Photo of a hand", "LatestPublishedVersionId": version_id}
    ]
    links = rows(
        admin,
        "SELECT LinkedEntityId, ShareType FROM ContentDocumentLink "
        f"WHERE ContentDocumentId = '{document_id}'",
    )
    owner = org.oauth.user(sample.ADMIN_USER)
    assert owner is not None
    assert links == [
        {"LinkedEntityId": owner["Id"], "ShareType": "I"},
        {"LinkedEntityId": lead_id, "ShareType": "V"},
    ]


def test_a_title_is_the_files_name_where_none_is_given(admin: Caller) -> None:
    made = admin.create("ContentVersion", PathOnClient="/tmp/note", VersionData="aGVsbG8=")
    version = admin.call("GET", f"/sobjects/ContentVersion/{made.json()['id']}").json()
    assert (version["Title"], version["FileExtension"]) == ("note", None)
    assert version["ContentSize"] == 5


def test_a_file_is_linked_to_more_records_but_to_each_once(
    admin: Caller, org: Org, lead_id: str
) -> None:
    upload(admin)
    document_id = org.records("ContentDocument")[0]["Id"]
    link = {"ContentDocumentId": document_id, "LinkedEntityId": lead_id, "ShareType": "V"}
    assert admin.create("ContentDocumentLink", **link).status == 201
    again = admin.create("ContentDocumentLink", **link)
    assert (again.status, again.json()[0]["errorCode"]) == (400, "DUPLICATE_VALUE")
    bare = admin.create("ContentDocumentLink", ContentDocumentId=document_id)
    assert bare.json()[0]["errorCode"] == "REQUIRED_FIELD_MISSING"


def test_a_second_version_becomes_the_documents_latest(admin: Caller, org: Org) -> None:
    first = upload(admin).json()["id"]
    document_id = org.records("ContentDocument")[0]["Id"]
    second = upload(admin, b"new", f', "ContentDocumentId": "{document_id}"').json()["id"]
    numbers = rows(admin, "SELECT Id, VersionNumber, IsLatest FROM ContentVersion")
    assert numbers == [
        {"Id": first, "VersionNumber": "1", "IsLatest": False},
        {"Id": second, "VersionNumber": "2", "IsLatest": True},
    ]
    (document,) = org.records("ContentDocument")
    assert (document["LatestPublishedVersionId"], document["ContentSize"]) == (second, 3)
    unknown = upload(admin, b"new", ', "ContentDocumentId": "069000000000001AAA"')
    assert unknown.status == 400


def test_a_document_is_deleted_with_its_versions_and_links(admin: Caller, org: Org) -> None:
    upload(admin)
    document_id = org.records("ContentDocument")[0]["Id"]
    assert admin.call("DELETE", f"/sobjects/ContentDocument/{document_id}").status == 204
    assert org.records("ContentVersion") == org.records("ContentDocumentLink") == []


def test_what_is_not_base64_is_refused(admin: Caller) -> None:
    made = admin.create("ContentVersion", PathOnClient="a.txt", VersionData="not base64!")
    assert (made.status, made.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
