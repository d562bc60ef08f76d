"""A flow that sends pictures, played as Bird would."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

from sandbox import player
from tests.functional.files.conftest import PICTURE, Files
from tools.template import ROOT

MEDIA = ["{{messageImage}}", "{{messageAudio}}", "{{messageFile}}"]
"""The line that docs/flows.md adds to a flow; of these variables at most one is there."""


def test_the_line_of_the_page_makes_a_flow_send_pictures(files: Files) -> None:
    page = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    assert f'"media": {json.dumps(MEDIA)}' in page
    flow = copy.deepcopy(
        player.load(
            ROOT / "flows" / "viber-to-case.json",
            {"https://YOUR-API-ADDRESS/v1": files.stack.url, "YOUR-API-KEY": files.stack.api_key},
        )
    )
    for step in flow["definition"]["steps"].values():
        body = step.get("parameters", {}).get("body")
        if isinstance(body, dict) and "bird" in body:
            body["bird"]["media"] = MEDIA
    link = files.media.put(PICTURE)
    first = player.Inbound("My parcel is broken", message_id="p1", picture=link)
    assert not player.play(flow, first).failed_at
    assert not player.play(flow, replace(first, message_id="p2", picture="")).failed_at
    files.attach()
    (case,) = files.org.records("Case")
    assert len(files.on(case["Id"])) == 1
    assert files.rejected() == []
