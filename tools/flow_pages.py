"""Writes the pages of docs/flows.md that say what to type into the older Flow Builder.

    python -m tools.flow_pages

They are made from what `bird-salesforce flow` prints, so that page and command cannot disagree. A
test compares the file with `written`.
"""

from __future__ import annotations

import json

from bridge.records import ObjectName
from cli.deployment.flow_step import (
    QUALIFIED,
    QUESTIONS,
    Branch,
    branches,
    step_body,
    variables,
)
from tools.template import ROOT

PATH = ROOT / "docs" / "flows.md"
BEGIN = "<!-- made by python -m tools.flow_pages -->\n"
END = "<!-- end of what is made -->\n"

PAGES: tuple[tuple[str, ObjectName | None, str, str], ...] = (
    (
        "WhatsApp → Lead",
        "Lead",
        "whatsapp",
        "For a picture, a voice message or a file add "
        '`"media": ["{{messageImage}}", "{{messageAudio}}", "{{messageFile}}"]` before `text`.',
    ),
    (
        "Viber → Case",
        "Case",
        "viber",
        "A Case of Viber gets `Origin` = Viber and the first words as its `Subject`. For another "
        'priority add `"Priority": "High"` before `bird`.',
    ),
    (
        "SMS → Lead",
        "Lead",
        "sms",
        "An SMS has no profile name, so the Lead is called by its number until somebody knows "
        "better.",
    ),
    ("SMS → Case", "Case", "sms", ""),
    (
        "Any channel → what its channel becomes",
        None,
        "{{channel}}",
        "One step for all channels: a message goes to the conversation's open Case or Lead; where "
        "there is none, [the table](#the-table-of-channels) chooses between the two. `object` (one "
        "more variable) tells which it was. Type the channel's name instead of `{{channel}}` if "
        "your list has no such variable.",
    ),
)
"""Title, object (None: either), channel, remark."""


def page(title: str, object_name: ObjectName | None, channel: str, remark: str) -> str:
    """One page."""
    path = f"{object_name.lower()}s" if object_name else "messages"
    rows = {
        "URL": f"`https://YOUR-API-ADDRESS/v1/{path}?errors=inline`",
        "Method": "`POST`",
        "OAuth": "none",
        "Set Content-Type header": "`application/json`",
        "Headers, key": "`x-api-key`",
        "Headers, value": "`YOUR-API-KEY`",
        "Body": "below",
        **{
            f"{number}. variable": f"`{name}`"
            for number, name in enumerate(variables(object_name), start=1)
        },
    }
    return "\n".join(
        [
            f"### {title}\n",
            '**Step "Fetch variables"**\n',
            "| field | what to type |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "\n```json",
            json.dumps(step_body(channel), indent=2),
            "```\n",
            *([f"{remark}\n"] if remark else []),
            '**Step "Branch"**, the first line that fits\n',
            "| `{{outcome}}` is | `{{added}}` is | reply |",
            "|---|---|---|",
            *map(_row, branches(object_name)),
            "\n",
        ]
    )


def questions_page() -> str:
    """The page of the flow that qualifies a lead."""
    rows = [
        f"| {number} | {one.text} | `{json.dumps({one.field: '{{reply}}'})}` |"
        if not one.choices
        else f"| {number} | {one.text} | "
        + "; ".join(f"{words}: `{json.dumps({one.field: value})}`" for words, value in one.choices)
        + " |"
        for number, one in enumerate(QUESTIONS, start=1)
    ]
    return "\n".join(
        [
            "### Qualify a lead in three questions\n",
            "Begin with the page *WhatsApp → Lead*. Where its branch would reply to `created`, "
            "`exists`, `queued` or `rejected`, ask instead. Each question is a *Send message*, a "
            "step that waits for the customer's reply, and an *HTTP request* with the reply:\n",
            "| | question | body of the request |",
            "|---|---|---|",
            *rows,
            "",
            "| field | what to type |",
            "|---|---|",
            "| URL | `https://YOUR-API-ADDRESS/v1/leads/{{conversationId}}?errors=inline` |",
            "| Method | `PATCH` |",
            "| Set Content-Type header | `application/json` |",
            "| Headers, key | `x-api-key` |",
            "| Headers, value | `YOUR-API-KEY` |",
            "\nFor a choice, branch on the reply first. Who stops replying leaves what they told "
            "before in Salesforce. The last message:\n",
            f"> {QUALIFIED}\n",
            "How a step waits for a reply, and the name of its variable (`{{reply}}` above), are "
            "**not confirmed**: take them from your editor.\n\n",
        ]
    )


def _row(branch: Branch) -> str:
    outcomes = " or ".join(f"`{name}`" for name in branch.outcomes) or "anything else"
    reply = branch.reply.replace("{{number}}", "`{{number}}`") or "none"
    person = " **And hand over to a person.**" if branch.to_person else ""
    return f"| {outcomes} | {'`true`' if branch.added else ''} | {reply}{person} |"


def written(text: str) -> str:
    """docs/flows.md with its pages made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    pages = "".join(page(*one) for one in PAGES) + questions_page()
    return f"{before}{BEGIN}\n{pages}{END}{after}"


if __name__ == "__main__":
    PATH.write_text(written(PATH.read_text(encoding="utf-8")), encoding="utf-8")
