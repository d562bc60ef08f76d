"""Composite graphs: several composites in one call, each of which is done whole or not at all.

https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-graph-limits.md
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.org.errors import refused
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.composite import checked, halted, references, run

MAX_GRAPHS = 75
MAX_NODES = 500
MAX_DEPTH = 15
MAX_KINDS = 15
MAX_FAILED_GRAPHS = 14
_NODE = re.compile(r"/services/data/(v[\d.]+)/sobjects/(\w+)(?:/[^/?]+){0,2}/?(?:\?.*)?\Z")


def graph(call: Call) -> Response:
    """All graphs, one after the other; after 14 failures the rest is halted."""
    call.allow("POST")
    graphs = call.object().get("graphs")
    if not isinstance(graphs, list) or not all(isinstance(one, dict) for one in graphs):
        raise refused(400, "JSON_PARSER_ERROR", "graphs is required")
    requests = [checked(one.get("compositeRequest")) for one in graphs]
    names = [one.get("graphId") for one in graphs]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise refused(400, "JSON_PARSER_ERROR", "Each graph needs a graphId of its own")
    _check_limits(requests)
    failed = 0
    results = []
    for name, subrequests in zip(names, requests, strict=True):
        if failed > MAX_FAILED_GRAPHS:
            parts, good = [halted(item["referenceId"]) for item in subrequests], False
        else:
            parts, good = run(call, subrequests, all_or_none=True)
        failed += not good
        results.append(
            {
                "graphId": name,
                "graphResponse": {"compositeResponse": parts},
                "isSuccessful": good,
            }
        )
    return Response(200, {"graphs": results})


def _check_limits(requests: list[list[dict[str, Any]]]) -> None:
    """The limits are documented; the code and the words of a refusal are not confirmed."""
    nodes = [item for subrequests in requests for item in subrequests]
    kinds = set()
    for item in nodes:
        match = _NODE.match(item["url"])
        if match is None:
            raise refused(
                400, "INVALID_INPUT", f"The URL {item['url']} is not supported in a graph"
            )
        kinds.add((match[1], item["method"].upper(), match[2].lower()))
    for found, most, what in (
        (len(requests), MAX_GRAPHS, "graphs"),
        (len(nodes), MAX_NODES, "nodes"),
        (len(kinds), MAX_KINDS, "different nodes"),
        (max(map(_depth, requests), default=0), MAX_DEPTH, "levels"),
    ):
        if found > most:
            raise refused(400, "LIMIT_EXCEEDED", f"A payload has {most} {what} at most: {found}")


def _depth(subrequests: list[dict[str, Any]]) -> int:
    """The longest chain of nodes of which each refers to the one before."""
    depth: dict[str, int] = {}
    for item in subrequests:
        needed = references([item["url"], item.get("body")])
        depth[item["referenceId"]] = 1 + max((depth.get(name, 0) for name in needed), default=0)
    return max(depth.values())
