"""jsforce's own test suites: how many tests each has, and which cannot pass, with the reasons."""

from __future__ import annotations

SUITES = {"connection-crud": 11, "connection-meta": 15, "query": 16, "sobject": 27}
"""The suites on records, collections, queries and what describes them, with their tests."""

NO_PLANS = "MALFORMED_QUERY: A query string has to be specified"
EXPECTED: dict[str, dict[str, tuple[int, str]]] = {
    # By suite and a pattern of their names: how many tests fail, with what in the error of each.
    "connection-crud": {
        # The suite is older than the client: it wants no id from an upsert that updates. Since API
        # version 46.0 there is one, and jsforce's newest suite wants it.
        "upsert upsert already existing record": (1, "ERR_ASSERTION"),
    },
    "connection-meta": {
        # The org does not remember what a user has looked at.
        "recent records get recently accessed": (1, "NOT_FOUND"),
        # It has no replication: no list of what changed in a span of time.
        "recent records get (updated|deleted) account": (4, "NOT_FOUND"),
        # It has no tabs and no themes: they belong to pages that it does not have.
        "misc metadata get (tabs|theme)": (2, "NOT_FOUND"),
    },
    "query": {
        "explain query plan": (1, NO_PLANS),
        # The org has no Bulk API, which the client takes by itself for 300 records.
        "delete queried records .* allowBulk = false": (1, "ERROR_HTTP_404"),
    },
    "sobject": {
        # SOQL here has no child sub-selects, so describe names no child relationships.
        "select records including child": (1, "No child relationship found: Contacts"),
        # The org has no page layouts, no list views, and no query plans.
        "(list|get cached) .*layout": (12, "NOT_FOUND"),
        "(listup|describe|get result of) list view": (3, "NOT_FOUND"),
        "explain query plan of list view": (1, NO_PLANS),
    },
}
