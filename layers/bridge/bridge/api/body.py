"""The body of a request as an object: JSON, a form, or the query that stands for it."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import parse_qsl

from bridge.api.fields import is_set
from bridge.api.request import HttpRequest
from bridge.bird.texts import cut, flat, is_absent
from bridge.errors import BadRequest

LONGEST_SHOWN = 80
"""UTF-16 units of a key that a response repeats."""

DEEPEST = 20
"""Levels of nesting in a body; a Salesforce field needs two (a relationship by external id)."""

SHAPE_MARKS = frozenset(
    {
        *("channelId", "conversation", "conversationId", "data", "message", "originator"),
        *("receiver", "service"),
    }
)
"""Keys of which each of Bird's own bodies has at least one (`webhooks.py`): no look without any."""

_TEXT_BEGINS = re.compile(r'"text"\s*:\s*"')
_MORE_KEYS = re.compile(r'"\s{0,9},\s{0,9}"\w{1,80}"\s{0,9}:')
_SURROGATE = "[\ud800-\udfff]"
"""No compiled pattern: that takes 4 ms, and next to no body needs it."""


def read_object(request: HttpRequest) -> dict[str, Any]:
    """The body as an object: JSON unless it says that it is a form. Raises BadRequest."""
    text = _whole_characters(request.body.removeprefix("\ufeff"))
    if not text.strip():
        if not SHAPE_MARKS.isdisjoint(request.query) or "payload" in request.query:
            # "Forward to URL" with the method GET says everything in the query.
            sms = {name: text for name, text in request.query.items() if not is_set(name)}
            return dict(_without_lone_surrogates(sms))
        if request.method == "GET":
            raise BadRequest("the address has no query; send the SMS in it, or a body with POST")
        raise BadRequest("the body is empty; send a JSON object")
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded" and not text.lstrip().startswith("{"):
        return _read_form(text)  # JSON under this type is what curl sends by default
    try:
        body = read_json_text(text)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error
    except ValueError as error:
        where = ""
        if isinstance(error, json.JSONDecodeError):
            where = f" (line {error.lineno}, column {error.colno})"
        raise BadRequest(f"the body is not JSON{where}; send a JSON object") from error
    if not isinstance(body, dict):
        raise BadRequest('the body is JSON but not an object; send {"LastName": …}')
    return body


def read_json_text(text: str) -> Any:
    """What a JSON text holds. Raises BadRequest, ValueError, RecursionError."""
    try:
        value = _DECODE(text)
    except json.JSONDecodeError:
        if (mended := _with_last_text_escaped(text)) is None:
            raise
        value = _DECODE(mended)
    depth_of(value)
    return _without_lone_surrogates(value) if "\\u" in text else value


def _with_last_text_escaped(text: str) -> str | None:
    """A broken body whose last value is `text`, with the quotes in that text escaped; else None.

    The body of a legacy Flow Builder step is free text: whether it escapes a variable's quotes is
    not documented. Where `text` comes last there is one way only to read them.
    """
    begin = _TEXT_BEGINS.search(text)
    rest = text.rstrip(" \t\r\n}")
    if begin is None or not rest.endswith('"') or len(rest) <= begin.end():
        return None
    words = rest[begin.end() : -1]
    if _MORE_KEYS.search(words):
        return None
    words = words.replace("\\", "\\\\").replace('"', '\\"')
    return text[: begin.end()] + words + text[len(rest) - 1 :]


def depth_of(value: Any, level: int = 1) -> None:
    """Raises BadRequest where a body is nested deeper than anything Salesforce takes."""
    if level > DEEPEST:
        raise BadRequest("the body is nested too deeply")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        if isinstance(part, (dict, list)):
            depth_of(part, level + 1)


def _no_constant(name: str) -> Any:
    raise BadRequest(f"{name} is no JSON number")


def _finite_number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadRequest("a number is larger than any that Salesforce takes")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys is there twice: the second may be a customer's (ADR 0078)."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the key {shown(twice)} is twice in one object of the body")
    return made


def shown(name: str) -> str:
    """A key as a response repeats it."""
    return cut(name, LONGEST_SHOWN)


# Not strict: a flow puts a customer's text, line breaks and all, between two quotes.
_DECODE = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite_number, strict=False
).decode


def _read_form(text: str) -> dict[str, Any]:
    """Form pairs; `bird.channel=whatsapp` is the key `channel` of the object `bird`."""
    body: dict[str, Any] = {}
    bird: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise BadRequest("the form has too many fields") from error
    if not pairs:
        raise BadRequest("the body holds no form fields")
    for name, value in pairs:
        into, key = (bird, name[5:]) if name.lower().startswith("bird.") else (body, name)
        if into is bird and key.lower() == "media" and key in into:
            into[key] = [*flat(into[key]), value]
            continue
        if key in into and not is_absent(into[key]):
            if is_absent(value) or value == into[key]:
                continue
            value = f"{into[key]}{';' if into is body else ','}{value}"
        into[key] = value
    if bird:
        body["bird"] = bird
    return body


def _whole_characters(text: str) -> str:
    """A text with its lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return re.sub(_SURROGATE, "\ufffd", text)
    return text


def _without_lone_surrogates(value: Any) -> Any:
    """The same with lone surrogates replaced: no system takes them as text."""
    if isinstance(value, str):
        return _whole_characters(value)
    if isinstance(value, dict):
        return {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_lone_surrogates(part) for part in value]
    return value
