"""The identity of a token's user: the bodies of the identity URL and of userinfo."""

from __future__ import annotations

from typing import Any

from sandbox.org.data.state import State
from sandbox.org.data.store import Record


def _urls(state: State, user: Record) -> dict[str, str]:
    base = state.instance_url
    soap = {"enterprise": "c", "metadata": "m", "partner": "u"}
    rest = {"rest": "", "tooling_rest": "tooling/"}
    rest |= {name: f"{name}/" for name in ("sobjects", "search", "query", "recent")}
    org_id = state.org_id[:15]
    return {
        **{n: f"{base}/services/Soap/{kind}/{{version}}/{org_id}" for n, kind in soap.items()},
        **{n: f"{base}/services/data/v{{version}}/{path}" for n, path in rest.items()},
        "profile": f"{base}/{user['Id']}",
        "custom_domain": base,
    }


def identity(state: State, user: Record) -> dict[str, Any]:
    """The body of the identity URL, ``/id/<org>/<user>``."""
    return {
        **_both(state, user),
        "id": state.identity_url(user["Id"]),
        "asserted_user": True,
        "username": user["Username"],
        "nick_name": user.get("Alias", ""),
        "display_name": user.get("Name", ""),
        "first_name": user.get("FirstName"),
        "last_name": user.get("LastName"),
        "timezone": user.get("TimeZoneSidKey"),
        "status": {"created_date": None, "body": None},
        "last_modified_date": user["SystemModstamp"],
    }


def userinfo(state: State, user: Record) -> dict[str, Any]:
    """The body of ``/services/oauth2/userinfo``."""
    return {
        **_both(state, user),
        "sub": state.identity_url(user["Id"]),
        "preferred_username": user["Username"],
        "nickname": user.get("Alias", ""),
        "name": user.get("Name", ""),
        "given_name": user.get("FirstName"),
        "family_name": user.get("LastName"),
        "zoneinfo": user.get("TimeZoneSidKey"),
        "profile": f"{state.instance_url}/{user['Id']}",
        "updated_at": user["SystemModstamp"],
    }


def _both(state: State, user: Record) -> dict[str, Any]:
    return {
        "user_id": user["Id"],
        "organization_id": state.org_id,
        "email": user.get("Email"),
        "email_verified": True,
        "photos": {"picture": "", "thumbnail": ""},
        "urls": _urls(state, user),
        "active": True,
        "user_type": "STANDARD",
        "language": user.get("LanguageLocaleKey"),
        "locale": user.get("LocaleSidKey"),
        "utcOffset": 3600000,
        "is_app_installed": True,
    }
