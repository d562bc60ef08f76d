"""simple-salesforce as it comes from PyPI, which speaks https only, against the org."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce  # type: ignore[attr-defined]
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from sandbox.org import Org, OrgServer, sample


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrgServer]:
    with OrgServer(Org.sample(), tls=True, certificate_folder=tmp_path) as running:
        assert running.certificate is not None
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.certificate.path))
        yield running


def client(server: OrgServer, username: str = sample.ADMIN_USER, **more: Any) -> Any:
    response = server.org.oauth.approve(sample.CLIENT_ID, username, "api", "refresh_token")
    return Salesforce(
        instance_url=response["instance_url"], session_id=response["access_token"], **more
    )


def test_it_creates_reads_updates_and_deletes(server: OrgServer) -> None:
    sf = client(server)
    made = sf.Lead.create({"LastName": "Jansen", "Company": "x", "Bird_Key__c": "k"})
    assert made == {"id": made["id"], "success": True, "errors": []}
    assert sf.Lead.get(made["id"])["Name"] == "Jansen"
    assert sf.Lead.get_by_custom_id("Bird_Key__c", "k")["Id"] == made["id"]
    assert sf.Lead.update(made["id"], {"LastName": "de Vries"}) == 204
    assert sf.Lead.get(made["id"])["LastName"] == "de Vries"
    assert sf.Lead.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Lead.get(made["id"])


@pytest.mark.parametrize("version", ["59.0", "68.0"])
def test_it_works_with_its_own_version_and_ours(server: OrgServer, version: str) -> None:
    sf = client(server, version=version)
    assert sf.Case.create({"Subject": "x"})["success"] is True


def test_it_upserts_by_external_id(server: OrgServer) -> None:
    sf = client(server)
    assert sf.Lead.upsert("Bird_Key__c/k", {"LastName": "a", "Company": "x"}) == 201
    assert sf.Lead.upsert("Bird_Key__c/k", {"LastName": "b"}) == 200
    assert [r["LastName"] for r in server.org.records("Lead")] == ["b"]
    server.org.change_field("Lead", "Bird_Key__c", unique=False)
    server.org.create("Lead", {"LastName": "c", "Company": "x", "Bird_Key__c": "k"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Lead.upsert("Bird_Key__c/k", {"LastName": "d"})


def test_it_queries_page_after_page(server: OrgServer) -> None:
    for number in range(2100):
        server.org.create("Lead", {"LastName": f"L{number}", "Company": "x"})
    sf = client(server, username=sample.INTEGRATION_USER)
    found = sf.query_all("SELECT Id, LastName, Owner.Name FROM Lead WHERE Company = 'x'")
    assert found["totalSize"] == 2100
    assert len(found["records"]) == 2100
    assert found["records"][7]["Owner"]["Name"] == "Ada Admin"
    assert len(list(sf.query_all_iter("SELECT Id FROM Lead"))) == 2100


def test_it_describes(server: OrgServer) -> None:
    sf = client(server)
    names = [item["name"] for item in sf.describe()["sobjects"]]
    assert {"Lead", "Case", "Contact", "Account"} <= set(names)
    fields = {f["name"]: f for f in sf.Lead.describe()["fields"]}
    assert fields["Bird_Key__c"]["unique"] is True


def test_it_reads_limits_and_the_usage_header(server: OrgServer) -> None:
    sf = client(server)
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    assert sf.api_usage["api-usage"].total == 100_000
    server.org.settings.limit_info = "app"
    sf.limits()
    assert sf.api_usage["per-app-api-usage"].name == "Bird bridge"


def test_it_understands_a_refusal(server: OrgServer) -> None:
    sf = client(server)
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.Lead.create({"Company": "x"})
    content: Any = refused.value.content
    assert content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"


def test_it_notices_that_its_session_ended_and_takes_a_new_one(server: OrgServer) -> None:
    sf = client(server)
    server.org.oauth.expire_sessions()
    with pytest.raises(SalesforceExpiredSession):
        sf.Lead.create({"LastName": "x", "Company": "x"})
    assert client(server).Lead.create({"LastName": "x", "Company": "x"})["success"]


def test_it_logs_in_with_client_credentials_and_understands_a_refusal_of_them(
    server: OrgServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It builds https://<domain>.salesforce.com; a session that sends it here is all it needs.
    session = requests.Session()

    class Here(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *rest: Any, **more: Any) -> Any:
            request.url = server.url + request.path_url
            return super().send(request, *rest, **more)

    session.mount("https://x.my.salesforce.com", Here())
    login: dict[str, Any] = {"consumer_key": sample.CLIENT_ID, "domain": "x.my", "session": session}
    assert Salesforce(consumer_secret=sample.CLIENT_SECRET, **login).session_id.startswith("00D")
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid client credentials"):
        Salesforce(consumer_secret="wrong", **login)
