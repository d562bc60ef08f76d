"""Runs `bird-salesforce` in this process, as a script does: no terminal, nobody to ask."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cli.main import main
from sandbox.stack import Stack


@dataclass(frozen=True)
class Result:
    """What a run of the program left on the terminal."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


def run(*arguments: str, environ: Mapping[str, str] | None = None, typed: str = "") -> Result:
    """Run the program with these arguments; `typed` is what its standard input holds."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        mock.patch.object(sys, "argv", ["bird-salesforce", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO(typed)),
        mock.patch.dict("os.environ", {"COLUMNS": "200", **(environ or {})}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Result(status, out.getvalue(), err.getvalue())


def write_stack_file(path: Path, stack: Stack, **more: Any) -> Path:
    """What `make start` writes about its stack, for a stack that a test made."""
    said = {
        "stack_name": stack.stack_name,
        "region": "us-east-1",
        "aws_url": stack.aws_endpoint,
        "api_url": stack.url,
        "api_key": stack.api_key,
        "outputs": dict(stack.deployment.outputs),
        "environment": stack.function_environment("refresh_token"),
        **more,
    }
    path.write_text(json.dumps(said), encoding="utf-8")
    return path
