"""jsforce's own test suites: how many tests each has, and which cannot pass, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

SUITES = {"connection-crud": 11, "connection-meta": 15, "query": 16, "sobject": 27}
"""The suites on records, collections, queries and what describes them, with their tests."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Tests of one suite that fail for one reason."""

    suite: str
    reason: str
    error: str
    """Part of the error of each."""
    names: tuple[str, ...]


EXPECTED = (
    Expected(
        suite="connection-crud",
        reason="The suite is older than the client: it wants no id from an upsert that updates. "
        "Since API version 46.0 there is one, and jsforce's newest suite wants it.",
        error="ERR_ASSERTION",
        names=(
            "upsert upsert already existing record, get successfull result, and get updated record",
        ),
    ),
    Expected(
        suite="connection-meta",
        reason="The org does not remember what a user has looked at.",
        error="NOT_FOUND",
        names=(
            "recent records get recently accessed records in all objects and get successfull "
            "results",
        ),
    ),
    Expected(
        suite="connection-meta",
        reason="The org has no replication: no list of what changed in a span of time.",
        error="NOT_FOUND",
        names=(
            "recent records get updated accounts and return updated accounts",
            "recent records get updated account (with string input) and return updated accounts",
            "recent records get deleted account and return deleted account object",
            "recent records get deleted account (with string input) and return deleted account "
            "object",
        ),
    ),
    Expected(
        suite="connection-meta",
        reason="The org has no tabs and no themes: they belong to pages that it does not have.",
        error="NOT_FOUND",
        names=(
            "misc metadata get tabs list information and return tabs info in the org",
            "misc metadata get theme information and return theme info in the org",
        ),
    ),
    Expected(
        suite="query",
        reason="The org has no query plans.",
        error="MALFORMED_QUERY: A query string has to be specified",
        names=("explain query plan of soql query and get explain result",),
    ),
    Expected(
        suite="query",
        reason="The org has no Bulk API, which the client takes by itself for 300 records.",
        error="ERROR_HTTP_404",
        names=(
            "delete queried records using Query#destroy, with allowBulk = false, and return "
            "deleted status",
        ),
    ),
    Expected(
        suite="sobject",
        reason="SOQL here has no child sub-selects, so describe names no child relationships.",
        error="No child relationship found: Contacts",
        names=("select records including child objects and return records with child records",),
    ),
    Expected(
        suite="sobject",
        reason="The org has no page layouts.",
        error="NOT_FOUND",
        names=(
            "list layout for SObject and return Account layout information",
            "list layouts (cache-first) and return Account layout information",
            "get cached layouts and return Account layout information immediately",
            "list named layout for SObject and return User named layout information",
            "list named layouts (cache-first) and return User named layout information",
            "get cached named layouts and return User named layout information immediately",
            "list compact layout for SObject and return Account comact layout information",
            "list compact layouts (cache-first) and return Account comact layout information",
            "get cached compact layouts and return Account comapct layout information immediately",
            "list approval layout for SObject and return Account approval layout information",
            "list approval layouts (cache-first) and return Account approval layout information",
            "get cached approval layouts and return Account approval layout information "
            "immediately",
        ),
    ),
    Expected(
        suite="sobject",
        reason="The org has no list views.",
        error="NOT_FOUND",
        names=(
            "listup list views and return list views definitions on the sobject",
            "describe list view and return described list view info for given list view id",
            "get result of list view and return executed result of list view for given list view "
            "id",
        ),
    ),
    Expected(
        suite="sobject",
        reason="The org has no query plans.",
        error="MALFORMED_QUERY: A query string has to be specified",
        names=("explain query plan of list view and get explain result",),
    ),
)
