"""Mails that no person wrote, by their headers (RFC 3834, RFC 3464): answering them makes loops."""

from __future__ import annotations

from bridge.bird.part import Part
from bridge.bird.texts import one_line

_NULL_SENDER = "<>"


def automatic(headers: Part, *, return_path: str = "") -> str:
    """Why a mail with these headers is no customer's message; empty if it may be one.

    Names are compared without case, a value may have parameters and comments after it. Which
    headers Bird passes on is not documented.
    """
    for name, values in headers.texts_by_name():
        name, value = name.lower(), one_line(" ".join(values))
        word = value.partition(";")[0].partition("(")[0].strip().lower()
        if name == "auto-submitted" and word not in ("no", ""):
            return f"an automatic mail (Auto-Submitted: {value[:60]})"
        if name == "return-path" and values and value in ("", _NULL_SENDER):
            return "a bounce or an automatic mail (Return-Path is empty)"
        if name == "content-type" and word == "multipart/report":
            return "a report of a mail system (Content-Type: multipart/report)"
    if return_path == _NULL_SENDER:
        return "a bounce or an automatic mail (Return-Path is empty)"
    return ""
