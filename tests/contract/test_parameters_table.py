"""docs/deploy.md has a row for each parameter of template.yaml, as CloudFormation would show it."""

from __future__ import annotations

import copy

import pytest

from tools import parameters_table
from tools.template import Template

PAGE = parameters_table.PATH.read_text(encoding="utf-8")


def test_the_page_is_made_from_the_template() -> None:
    assert parameters_table.written(PAGE) == PAGE, "run python -m tools.parameters_table"


def test_a_parameter_that_no_group_names_is_not_left_out() -> None:
    source = copy.deepcopy(Template.load().source)
    source["Parameters"]["Forgotten"] = {"Type": "String", "Default": "", "Description": "x"}
    with pytest.raises(KeyError, match="Forgotten"):
        parameters_table.tables(source)


def test_what_is_allowed_is_said_and_a_pipe_does_not_end_a_cell() -> None:
    source = copy.deepcopy(Template.load().source)
    source["Parameters"]["LogLevel"]["Description"] = "One | two."
    made = parameters_table.tables(source)
    assert "| `LogLevel` | `INFO` | One \\| two. Values: `DEBUG`, `INFO`," in made
    assert "| `ThrottleRate` | `50` |" in made and "From 1 to 10000." in made
