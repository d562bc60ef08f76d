"""Writes docs/postman.json, a collection for Postman or Bruno, from docs/openapi.yaml.

    python -m tools.postman

Each operation is a request for each of its examples. The address and the key are variables, set to
those of `make start`. A test compares the file with `written`, and sends each request.

Source of the format: Postman Collection Format v2.1.0 (schema.postman.com).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from tools.template import ROOT

DESCRIPTION = ROOT / "docs" / "openapi.yaml"
PATH = ROOT / "docs" / "postman.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
LOCAL_KEY = "local-key-of-this-machine"
LOCAL_LOOKUP_KEY = "local-lookup-key-of-this-machine"
LOOK_UP = "/customers/find"
"""The path that has an API key of its own."""

METHODS = ("get", "post", "put", "patch", "delete")


def collection(described: Mapping[str, Any]) -> dict[str, Any]:
    """The collection of an OpenAPI document. Raises StopIteration without a local server."""
    local = next(
        one["url"] for one in described["servers"] if urlsplit(one["url"]).hostname == "127.0.0.1"
    )
    folders: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in described["tags"]}
    for path, operations in described["paths"].items():
        for method in METHODS:
            if method in operations:
                (tag,) = operations[method]["tags"]
                folders[tag] += _requests(described, path, method, operations[method])
    return {
        "info": {
            "name": described["info"]["title"],
            "description": described["info"]["summary"],
            "schema": SCHEMA,
        },
        "auth": _api_key("apiKey"),
        "variable": [
            {"key": "baseUrl", "value": local},
            {"key": "apiKey", "value": LOCAL_KEY},
            {"key": "lookupKey", "value": LOCAL_LOOKUP_KEY},
        ],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def _api_key(variable: str) -> dict[str, Any]:
    values = {"key": "x-api-key", "value": f"{{{{{variable}}}}}", "in": "header"}
    entries = [{"key": name, "value": value, "type": "string"} for name, value in values.items()]
    return {"type": "apikey", "apikey": entries}


def _requests(
    described: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    parameters = [_followed(described, one) for one in operation.get("parameters", ())]
    body = _followed(described, operation.get("requestBody", {}))
    auth = {"auth": _api_key("lookupKey")} if path == LOOK_UP else {}
    if "security" in operation:
        auth = {"auth": {"type": "noauth"}}
    examples = body.get("content", {}).get("application/json", {}).get("examples", {})
    for example in examples.values() or [None]:
        name = operation["summary"].rstrip(".")
        yield {
            "name": f"{name}: {example['summary']}" if example else name,
            "request": {
                "method": method.upper(),
                **auth,
                "url": _url(path, parameters),
                "header": [
                    *([{"key": "Content-Type", "value": "application/json"}] if example else []),
                    *(
                        {
                            "key": one["name"],
                            "value": "",
                            "description": one["description"],
                            "disabled": True,
                        }
                        for one in parameters
                        if one["in"] == "header"
                    ),
                ],
                **({"body": _body(example["value"])} if example else {}),
            },
        }


def _url(path: str, parameters: list[Any]) -> dict[str, Any]:
    parts = [
        f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")
    ]
    query = [
        {
            "key": one["name"],
            "value": str(one["schema"].get("enum", [""])[0]) or _VALUES.get(one["name"], ""),
            "description": one["description"],
            "disabled": not one.get("required") and one["name"] not in _VALUES,
        }
        for one in parameters
        if one["in"] == "query"
    ]
    variables = [
        {"key": one["name"], "value": _VALUES["key"], "description": one["description"]}
        for one in parameters
        if one["in"] == "path"
    ]
    shown = "&".join(f"{one['key']}={one['value']}" for one in query if not one["disabled"])
    return {
        "raw": "{{baseUrl}}/" + "/".join(parts) + (f"?{shown}" if shown else ""),
        "host": ["{{baseUrl}}"],
        "path": parts,
        **({"query": query} if query else {}),
        **({"variable": variables} if variables else {}),
    }


_VALUES = {
    "key": "wamid.HBgLNDQ3NzAwOTAwMTQyFQIAEhgg",
    "originator": "447700900142",
    "payload": "INFO",
}
"""Values of parameters without which a request makes no sense: those of the examples."""


def _body(value: Any) -> dict[str, Any]:
    return {
        "mode": "raw",
        "raw": json.dumps(value, indent=2, ensure_ascii=False),
        "options": {"raw": {"language": "json"}},
    }


def _followed(described: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    """What a reference leads to."""
    if "$ref" not in value:
        return value
    found: Any = described
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def written() -> str:
    """The file's content."""
    described = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
    return json.dumps(collection(described), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file."""
    PATH.write_text(written(), encoding="utf-8")
    print(PATH.relative_to(ROOT))


if __name__ == "__main__":
    main()
