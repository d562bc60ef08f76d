"""Who a token belongs to, in the two bodies in which Salesforce tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.org.data.store import Record
    from sandbox.org.org import Org


def _urls(org: Org, user: Record) -> dict[str, str]:
    base = org.instance_url
    return {
        "enterprise": f"{base}/services/Soap/c/{{version}}/{org.org_id[:15]}",
        "metadata": f"{base}/services/Soap/m/{{version}}/{org.org_id[:15]}",
        "partner": f"{base}/services/Soap/u/{{version}}/{org.org_id[:15]}",
        "rest": f"{base}/services/data/v{{version}}/",
        "sobjects": f"{base}/services/data/v{{version}}/sobjects/",
        "search": f"{base}/services/data/v{{version}}/search/",
        "query": f"{base}/services/data/v{{version}}/query/",
        "recent": f"{base}/services/data/v{{version}}/recent/",
        "tooling_rest": f"{base}/services/data/v{{version}}/tooling/",
        "profile": f"{base}/{user['Id']}",
        "custom_domain": base,
    }


def identity(org: Org, user: Record) -> dict[str, Any]:
    """The body of the identity URL, ``/id/<org>/<user>``."""
    return {
        "id": f"{org.url}/id/{org.org_id}/{user['Id']}",
        "asserted_user": True,
        "user_id": user["Id"],
        "organization_id": org.org_id,
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
        "urls": _urls(org, user),
        "active": True,
        "user_type": "STANDARD",
        "language": user.get("LanguageLocaleKey"),
        "locale": user.get("LocaleSidKey"),
        "utcOffset": 3600000,
        "last_modified_date": user["SystemModstamp"],
        "is_app_installed": True,
    }


def userinfo(org: Org, user: Record) -> dict[str, Any]:
    """The body of ``/services/oauth2/userinfo``."""
    return {
        "sub": f"{org.url}/id/{org.org_id}/{user['Id']}",
        "user_id": user["Id"],
        "organization_id": org.org_id,
        "preferred_username": user["Username"],
        "nickname": user.get("Alias", ""),
        "name": user.get("Name", ""),
        "email": user.get("Email"),
        "email_verified": True,
        "given_name": user.get("FirstName"),
        "family_name": user.get("LastName"),
        "zoneinfo": user.get("TimeZoneSidKey"),
        "photos": {"picture": "", "thumbnail": ""},
        "profile": f"{org.instance_url}/{user['Id']}",
        "picture": "",
        "address": {"country": None},
        "is_salesforce_integration_user": False,
        "urls": _urls(org, user),
        "active": True,
        "user_type": "STANDARD",
        "language": user.get("LanguageLocaleKey"),
        "locale": user.get("LocaleSidKey"),
        "utcOffset": 3600000,
        "updated_at": user["SystemModstamp"],
        "is_app_installed": True,
    }
