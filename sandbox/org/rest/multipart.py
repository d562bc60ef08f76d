"""Bodies with a file: a JSON part with the fields, and a part with the file."""

from __future__ import annotations

import io
from typing import Any

from werkzeug.formparser import parse_form_data

from sandbox.org.rest.call import Call, read_json


def is_multipart(call: Call) -> bool:
    return call.headers.get("content-type", "").startswith("multipart/form-data")


def read_multipart(call: Call) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The fields of all JSON parts together, and the files by the names of their parts.

    Raises `Refused` with JSON_PARSER_ERROR.
    """
    environ = {
        "wsgi.input": io.BytesIO(call.raw),
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(call.raw)),
        "REQUEST_METHOD": "POST",
    }
    _, form, parts = parse_form_data(environ, silent=False)
    texts = [text.encode() for text in form.values()]
    files = {}
    for name, part in parts.items():
        content = part.stream.read()
        if (part.content_type or "").startswith("application/json"):
            texts.append(content)
        else:
            files[name] = content
    body: dict[str, Any] = {}
    for text in texts:
        fields = read_json(text)
        if isinstance(fields, dict):
            body.update(fields)
    return body, files
