"""From a message with files to Salesforce Files on its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.org.org import Org
from sandbox.org.sample import INTEGRATION_USER
from tests.functional.files.conftest import PICTURE, Files
from tests.stacks import empty_queues


@pytest.mark.parametrize("path", ["/leads", "/cases", "/messages"])
def test_a_picture_is_a_file_on_the_record(files: Files, path: str) -> None:
    link = files.media.put(PICTURE)
    made = files.send(link, path=path)
    assert made.status == 201
    assert files.stack.files_waiting() == 1, "queued before the response"

    files.attach()

    (file,) = files.on(made.json()["id"])
    assert file["Checksum"] == hashlib.md5(PICTURE).hexdigest()
    assert (file["Title"], file["PathOnClient"]) == ("image-1", "image-1.jpg")
    assert file["Bird_Key__c"]
    (task,) = files.org.records("Task")
    assert link in task["Description"], "the link stays in the text"
    assert files.media.shown_the_key() == {"bird"}


def test_a_repeated_message_attaches_nothing_again(files: Files) -> None:
    link = files.media.put(PICTURE)
    first = files.send(link, conversation="c-same", message="m-same")
    files.attach()
    again = files.send(link, conversation="c-same", message="m-same")
    assert again.json()["outcome"] == "exists"
    files.attach()
    assert len(files.on(first.json()["id"])) == 1
    assert len(files.org.records("ContentVersion")) == 1


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
def test_where_the_files_cannot_be_queued_the_message_stays_in_the_outbox(
    files: Files, later: bool
) -> None:
    link = files.media.put(PICTURE)
    if later:
        files.send(link, headers={"prefer": "respond-async"})
    files.stack.aws.fail("sqs", "SendMessage", times=1, status=403, code="AccessDenied")
    if later:
        files.stack.deliver_once()
    else:
        assert files.send(link).json()["outcome"] == "created"
    assert (files.stack.waiting(), files.stack.files_waiting()) == (1, 0)
    files.stack.drain()
    files.attach()
    (case,) = files.org.records("Case")
    assert len(files.on(case["Id"])) == 1


def merge(org: Org, lead: str) -> str:
    master = org.create("Lead", {"LastName": "Okafor", "Company": "Individual"})
    org.merge("Lead", master, lead)
    return master


@pytest.mark.parametrize("change", [lambda org, lead: org.convert(lead).contact_id, merge])
def test_files_follow_a_converted_or_merged_lead(
    files: Files, change: Callable[[Org, str], str]
) -> None:
    made = files.send(files.media.put(PICTURE), path="/leads")
    place = change(files.org, made.json()["id"])
    files.attach()
    assert len(files.on(place)) == 1
    assert len(files.org.records("ContentVersion")) == 1


def test_a_message_of_a_lead_and_a_case_has_one_file_on_both(files: Files) -> None:
    link = files.media.put(PICTURE)
    made = [
        files.send(link, path=path, conversation="c-both", message="m-both").json()["id"]
        for path in ("/leads", "/cases")
    ]
    files.attach()
    assert [len(files.on(one)) for one in made] == [1, 1]
    assert len(files.org.records("ContentVersion")) == 1


def test_a_file_that_a_person_deleted_is_not_brought_back(files: Files) -> None:
    link = files.media.put(PICTURE)
    made = files.send(link, conversation="c-gone", message="m-gone")
    files.attach()
    (file,) = files.on(made.json()["id"])
    files.org.delete("ContentDocument", file["ContentDocumentId"])
    files.send(link, conversation="c-gone", message="m-gone")
    files.attach()
    assert files.org.records("ContentVersion") == []
    assert files.rejected() == []


def test_an_upload_without_a_response_is_not_repeated(files: Files) -> None:
    made = files.send(files.media.put(PICTURE))
    files.org.trouble.add(path="/sobjects/ContentVersion", method="POST", reset="after", times=1)
    files.attach()
    assert len(files.org.records("ContentVersion")) == 1
    assert len(files.on(made.json()["id"])) == 1


def test_a_record_that_a_person_deleted_gets_no_file(files: Files) -> None:
    made = files.send(files.media.put(PICTURE))
    files.org.delete("Case", made.json()["id"])
    files.attach()
    assert files.org.records("ContentVersion") == []
    assert files.rejected() == []


def test_a_message_outside_conversations_has_its_files_on_its_record(files: Files) -> None:
    link = files.media.put(PICTURE)
    body = {"Bird_Key__c": "own-1", "LastName": "O", "Company": "I", "bird": {"media": link}}
    made = files.stack.request("POST", "/leads", body)
    assert made.status == 201
    assert files.org.records("Task") == []
    files.attach()
    assert len(files.on(made.json()["id"])) == 1


WRONG = {
    **{status: f"MEDIA_HTTP_{status}" for status in ("401", "403", "404", "410")},
    "private": "MEDIA_ADDRESS_NOT_PUBLIC",
    "plain http": "MEDIA_NOT_HTTPS",
    "redirects": "MEDIA_REDIRECTS",
    "nowhere": "MEDIA_REDIRECTS",
    "endless": "MEDIA_TOO_LARGE",
    "another host": "MEDIA_HOST_NOT_ALLOWED",
}


@pytest.mark.parametrize(("trouble", "code"), WRONG.items())
def test_what_is_wrong_for_good_is_rejected_with_its_reason(
    files: Files, trouble: str, code: str
) -> None:
    if trouble == "another host":
        link = files.media.put(PICTURE).replace(files.media.host.url, files.media.store.url)
    else:
        link = files.media.put(PICTURE, trouble=(trouble,) * 5)
    files.send(link)
    files.stack.files_poller.deliver_once()
    (rejected,) = files.rejected()
    assert (rejected["kind"], rejected["reason"]["code"]) == ("file", code)
    assert files.stack.files_waiting() == 0
    assert "http" not in rejected["reason"]["message"].replace("https", "")
    assert trouble != "another host" or files.media.seen == [], "it is not called"


@pytest.mark.parametrize("trouble", ["500", "503", "429", "break off", "claim more", "close"])
def test_what_may_pass_is_tried_again(files: Files, trouble: str) -> None:
    made = files.send(files.media.put(PICTURE, trouble=(trouble,)))
    files.stack.files_poller.deliver_once()
    assert files.stack.files_waiting() == 1
    assert (files.rejected(), files.org.records("ContentVersion")) == ([], [])
    files.attach()
    assert len(files.on(made.json()["id"])) == 1


def test_one_file_of_a_message_may_be_rejected_and_the_others_attached(files: Files) -> None:
    good, gone, slow = (files.media.put(PICTURE, trouble=t) for t in ((), ("404",) * 9, ("500",)))
    made = files.send(good, gone, slow)
    files.stack.files_poller.deliver_once()
    assert files.rejected() == [], "nothing is rejected while another one waits"
    files.attach()
    (rejected,) = files.rejected()
    assert [one["number"] for one in rejected["files"]] == [2]
    assert len(files.on(made.json()["id"])) == 2


def test_an_org_without_room_rejects_the_file(files: Files) -> None:
    made = files.send(files.media.put(PICTURE))
    files.org.settings.put(storage_full=True)
    files.stack.files_poller.deliver_once()
    files.org.settings.put(storage_full=False)
    (rejected,) = files.rejected()
    assert rejected["reason"]["code"] == "STORAGE_LIMIT_EXCEEDED"
    assert made.status == 201


def test_without_an_access_key_files_wait_and_somebody_notices(files: Files) -> None:
    secret = files.stack.deployment.resource("AccessKey")["Ref"]
    files.stack.client("secretsmanager").put_secret_value(
        SecretId=secret, SecretString='{"accessKey": ""}'
    )
    files.stack.functions["attach_files"].recycle()
    made = files.send(files.media.put(PICTURE))
    files.stack.files_poller.deliver_once()
    assert files.stack.files_waiting() == 1
    assert "NO_ACCESS_KEY" in files.stack.logs("attach_files")
    files.stack.connect()
    files.attach()
    assert len(files.on(made.json()["id"])) == 1


def test_a_key_that_was_replaced_is_read_anew(files: Files) -> None:
    files.send(files.media.put(PICTURE))
    files.attach()
    files.media.access_key = "another-key"
    files.stack.connect()
    made = files.send(files.media.put(PICTURE))
    files.attach()
    assert len(files.on(made.json()["id"])) == 1


def test_an_org_that_lacks_the_field_lets_files_wait(files: Files) -> None:
    files.send(files.media.put(PICTURE))
    where = ("ContentVersion", "Bird_Key__c")
    files.org.hide_field(*where, user=INTEGRATION_USER)
    files.stack.files_poller.deliver_once()
    files.org.show_field(*where, user=INTEGRATION_USER)
    assert files.stack.files_waiting() == 1
    assert "FILES_NOT_SET_UP" in files.stack.logs("attach_files")


def test_after_a_week_what_could_not_be_attached_is_rejected(files: Files) -> None:
    files.send(files.media.put(PICTURE, trouble=("500",) * 9))
    files.stack.aws.queues.age(files.stack.files_url, 8 * 24 * 3600)
    files.stack.files_poller.deliver_once()
    (rejected,) = files.rejected()
    assert rejected["reason"]["code"] == "MEDIA_HTTP_500"
    assert files.stack.files_waiting() == 0


def test_the_event_file_is_what_the_function_takes(
    files: Files, event: Callable[[str], Any]
) -> None:
    outcome = files.stack.invoke("attach_files", event("attach_files"))
    assert not outcome.failed, outcome.payload
    kept = [one["messageId"] for one in event("attach_files")["Records"]]
    assert [one["itemIdentifier"] for one in outcome.json()["batchItemFailures"]] in ([], kept)


def test_no_link_and_no_name_is_logged(files: Files) -> None:
    link = files.media.put(PICTURE)
    files.send({"url": link, "filename": "Passport of Ada Okafor.jpg"})
    files.attach()
    logs = "".join(files.stack.logs(name) for name in files.stack.functions)
    assert "FilesAttached" in logs
    for personal in (link, "Passport", files.media.access_key):
        assert personal not in logs


def test_two_workers_with_the_same_message_upload_it_once(files: Files) -> None:
    """SQS may hand out a message twice; both would look before either has uploaded."""
    made = files.send(files.media.put(PICTURE))
    (body,) = files.stack.aws.queues.bodies(files.stack.files_url)
    empty_queues(files.stack)
    record = {"messageId": "m", "receiptHandle": "h", "body": body, "attributes": {}}
    files.org.trouble.add(path="/sobjects/ContentVersion", method="POST", latency_before=1.0)

    def work(_: int) -> Any:
        return files.stack.invoke("attach_files", {"Records": [record]}).json()

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, range(2)))
    assert len(files.on(made.json()["id"])) == 1
    assert sorted(len(one["batchItemFailures"]) for one in results) == [0, 1]


def test_a_queue_of_files_that_is_down_costs_deliver_its_time_once(files: Files) -> None:
    links = [files.media.put(PICTURE + bytes([n])) for n in range(6)]
    for link in links:
        files.send(link, headers={"prefer": "respond-async"})
    fault = files.stack.aws.fail("sqs", "SendMessage")
    files.stack.deliver_once()
    assert (files.stack.waiting(), files.stack.files_waiting()) == (6, 0)
    assert 1 <= fault.seen < 30, "tried for one of the messages"
    assert len(files.org.records("Case")) == 6
    files.stack.aws.heal()
    files.stack.drain()
    files.attach()
    assert len(files.org.records("ContentVersion")) == 6
    assert len(files.org.records("Case")) == 6
