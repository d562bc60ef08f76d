"""Org and user as people know them: by their names, where the session may read these."""

from __future__ import annotations

from bridge.oauth.access_token import AccessToken
from bridge.salesforce.client import soql_text
from cli.connect.oauth import read_identity
from cli.org.client import Org, OrgProblem


def describe_identity(org: Org, token: AccessToken) -> str:
    """`bird@example.com in the org Acme`; the ids where the names may not be read, and `Salesforce`
    where the token names nobody."""
    identity = read_identity(token.id)
    if identity is None:
        return "Salesforce"
    user = _one(org, "SELECT Username FROM User WHERE Id = " + soql_text(identity.user_id))
    name = _one(org, "SELECT Name FROM Organization")
    return f"{user or f'user {identity.user_id}'} in the org {name or identity.org_id}"


def _one(org: Org, soql: str) -> str:
    """The one value of a query; empty where this user may not ask it."""
    try:
        rows = org.query(soql)
    except OrgProblem:
        return ""
    values = (value for row in rows for name, value in row.items() if name != "attributes")
    return str(next(values, "") or "")
