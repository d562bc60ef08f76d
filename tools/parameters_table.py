"""Writes the tables of all parameters in docs/deploy.md, from template.yaml.

    python -m tools.parameters_table

Groups, their order and the descriptions are those that the AWS console shows. A test compares
the page with `written`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.template import ROOT, Template

PATH = ROOT / "docs" / "deploy.md"
BEGIN = "<!-- made by python -m tools.parameters_table -->\n"
END = "<!-- end of what is made -->\n"


def _row(name: str, declared: Mapping[str, Any]) -> str:
    default = str(declared["Default"])
    text = " ".join(str(declared["Description"]).split()).rstrip(".")
    allowed = _allowed(declared)
    cells = (
        f"`{name}`",
        f"`{default}`" if default else "empty",
        f"{text}.{f' {allowed}' if allowed else ''}",
    )
    return "| " + " | ".join(one.replace("|", "\\|") for one in cells) + " |"


def _allowed(declared: Mapping[str, Any]) -> str:
    """A sentence on the values that CloudFormation accepts; empty: the description has them."""
    if values := declared.get("AllowedValues"):
        return f"Values: {', '.join(f'`{one}`' for one in values)}."
    if "MinValue" in declared:
        return f"From {declared['MinValue']} to {declared['MaxValue']}."
    return ""


def tables(source: Mapping[str, Any]) -> str:
    """A heading and a table for each group of parameters.

    Raises KeyError for a parameter that no group names, or that has no default.
    """
    interface = source["Metadata"]["AWS::CloudFormation::Interface"]
    parameters = dict(source["Parameters"])
    parts = []
    for group in interface["ParameterGroups"]:
        rows = [_row(name, parameters.pop(name)) for name in group["Parameters"]]
        heading = f"### {group['Label']['default']}\n"
        head = "| parameter | default | what it does |\n|---|---|---|"
        parts.append("\n".join([heading, head, *rows]) + "\n")
    if parameters:
        raise KeyError(f"no group has {', '.join(parameters)}")
    return "\n".join(parts)


def written(text: str) -> str:
    """docs/deploy.md with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(Template.load().source)}\n{END}{after}"


if __name__ == "__main__":
    PATH.write_text(written(PATH.read_text(encoding="utf-8")), encoding="utf-8")
