"""Files that were rejected: shown, and replayed into their own queue."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.stack import Stack
from tests.cli.program import options_for, run

PARAMETERS = {"AttachMedia": "on"}


def test_a_rejected_file_is_shown_and_replayed_onto_its_record(
    stack: Stack, options: list[str], tmp_path: Path
) -> None:
    link = stack.media.put(b"JFIF", trouble=("404", "404"))
    bird = {"channel": "whatsapp", "messageId": "m1", "conversationId": "c1", "sender": "+44770"}
    media = [stack.media.put(b"JFIF"), {"url": link, "filename": "parcel.jpg"}]
    made = stack.request("POST", "/cases", {"bird": {**bird, "text": "x", "media": media}})
    stack.files_poller.deliver_once()

    (listed,) = run("rejected", "list", "--json", *options).json()
    assert (listed["object"], listed["code"]) == ("File", "MEDIA_HTTP_404")
    assert link not in json.dumps(listed), "a list shows no values"
    (shown,) = run("rejected", "show", "--all", "--json", *options).json()
    assert shown["values"] == {"File 2": {"link": link, "name": "parcel.jpg", "type": ""}}
    assert "parcel.jpg" in run("rejected", "show", "m1", *options).out
    run("rejected", "export", str(tmp_path / "out.jsonl"), *options)
    assert json.loads((tmp_path / "out.jsonl").read_text())["values"] == shown["values"]

    stack.media.order(link)
    assert run("rejected", "replay", "m1", *options).status == 0
    assert (stack.waiting(), stack.files_waiting()) == (0, 1)
    stack.drain_files()
    names = {one["PathOnClient"] for one in stack.org.records("ContentVersion")}
    assert names == {"image-1.jpg", "parcel.jpg"}
    links = [one["LinkedEntityId"] for one in stack.org.records("ContentDocumentLink")]
    assert links.count(made.json()["id"]) == 2
    assert run("rejected", "list", "--json", *options).json() == []


def test_with_attach_media_off_a_rejected_file_stays(tmp_path: Path) -> None:
    body = json.dumps(
        {
            "v": 2,
            "kind": "file",
            "key": "k",
            "object": "Lead",
            "files": [{"number": 1, "link": "l"}],
        }
    )
    with Stack(login_url="http://127.0.0.1:9", connected=False, poll=False) as off:
        off.client("sqs").send_message(QueueUrl=off.rejected_url, MessageBody=body)
        result = run("rejected", "replay", "--all", *options_for(off, tmp_path))
        assert "AttachMedia is off" in result.out + result.err
        assert len(off.rejected()) == 1
