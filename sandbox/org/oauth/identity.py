"""The identity of a token's user: the bodies of the identity URL and of userinfo."""

from __future__ import annotations

from typing import Any

from sandbox.org.data.state import State
from sandbox.org.data.store import Record


def _urls(state: State, user: Record) -> dict[str, str]:
    base = state.instance_url
    return {
        "enterprise": f"{base}/services/Soap/c/{{version}}/{state.org_id[:15]}",
        "metadata": f"{base}/services/Soap/m/{{version}}/{state.org_id[:15]}",
        "partner": f"{base}/services/Soap/u/{{version}}/{state.org_id[:15]}",
        "rest": f"{base}/services/data/v{{version}}/",
        "sobjects": f"{base}/services/data/v{{version}}/sobjects/",
        "search": f"{base}/services/data/v{{version}}/search/",
        "query": f"{base}/services/data/v{{version}}/query/",
        "recent": f"{base}/services/data/v{{version}}/recent/",
        "tooling_rest": f"{base}/services/data/v{{version}}/tooling/",
        "profile": f"{base}/{user['Id']}",
        "custom_domain": base,
    }


def identity(state: State, user: Record) -> dict[str, Any]:
    """The body of the identity URL, ``/id/<org>/<user>``."""
    return {
        "id": state.identity_url(user["Id"]),
        "asserted_user": True,
        "user_id": user["Id"],
        "organization_id": state.org_id,
        "username": user["Username"],
        "nick_name": user.get("Alias", ""),
        "display_name": user.get("Name", ""),
        "email": user.get("Email"),
        "email_verified": True,
        "first_name": user.get("FirstName"),
        "last_name": user.get("LastName"),
        "timezone": user.get("TimeZoneSidKey"),
        "photos": {"picture": "", "thumbnail": ""},
        "addr_street": None,
        "addr_city": None,
        "addr_state": None,
        "addr_country": None,
        "addr_zip": None,
        "mobile_phone": None,
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        "urls": _urls(state, user),
        "active": True,
        "user_type": "STANDARD",
        "language": user.get("LanguageLocaleKey"),
        "locale": user.get("LocaleSidKey"),
        "utcOffset": 3600000,
        "last_modified_date": user["SystemModstamp"],
        "is_app_installed": True,
    }


def userinfo(state: State, user: Record) -> dict[str, Any]:
    """The body of ``/services/oauth2/userinfo``."""
    return {
        "sub": state.identity_url(user["Id"]),
        "user_id": user["Id"],
        "organization_id": state.org_id,
        "preferred_username": user["Username"],
        "nickname": user.get("Alias", ""),
        "name": user.get("Name", ""),
        "email": user.get("Email"),
        "email_verified": True,
        "given_name": user.get("FirstName"),
        "family_name": user.get("LastName"),
        "zoneinfo": user.get("TimeZoneSidKey"),
        "photos": {"picture": "", "thumbnail": ""},
        "profile": f"{state.instance_url}/{user['Id']}",
        "picture": "",
        "address": {"country": None},
        "is_salesforce_integration_user": False,
        "urls": _urls(state, user),
        "active": True,
        "user_type": "STANDARD",
        "language": user.get("LanguageLocaleKey"),
        "locale": user.get("LocaleSidKey"),
        "utcOffset": 3600000,
        "updated_at": user["SystemModstamp"],
        "is_app_installed": True,
    }
