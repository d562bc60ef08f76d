"""template.yaml as it would be deployed: translated, and worked out for one set of parameters.

Nothing is made. A resource's name, ARN and other attributes are stand-ins that tell which resource
they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.template import Attributes, Deployment, Template

ACCOUNT = "123456789012"
REGION = "eu-west-1"
STACK = "bird-production"

FUNCTIONS = {
    "CreateLead": "create_lead",
    "CreateCase": "create_case",
    "ReceiveMessage": "receive_message",
    "FindCustomer": "find_customer",
    "RefreshToken": "refresh_token",
    "Deliver": "deliver",
    "AttachFiles": "attach_files",
}
"""Folder of each function, by logical id; AttachFiles is there only with AttachMedia."""

BY_DEFAULT = {name: FUNCTIONS[name] for name in FUNCTIONS if name != "AttachFiles"}
"""Those that are there without any parameter."""

TEXTS = {
    "AlarmEmail": "ops@example.com",
    "AllowInsecureHosts": "salesforce.example.com",
    "AllowedAddresses": "203.0.113.0/24,2001:db8::/32",
    "AllowedFields": "OwnerId, Region__r",
    "ApiVersion": "v67.0",
    "AwsEndpointUrl": "http://127.0.0.1:4566",
    "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0a1b2c3d",
    "CaseAssignmentRule": "off",
    "CaseStatusOnReply": "Customer replied",
    "ClosedLeadStatuses": "Done",
    "DefaultCompany": "Unknown",
    "DomainName": "bird.example.com",
    "ExternalIdField": "Key__c",
    "HostedZoneId": "Z0123456789ABCDEFGHIJ",
    "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-000000000000",
    "LeadAssignmentRule": "off",
    "PreviousKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-000000000001",
    "ReopenStatus": "Reopened",
    "MediaHosts": "media.example.com",
    "LoginUrl": "https://test.salesforce.com",
    "VpcSecurityGroups": "sg-0a1b2c3d4e5f60718",
    "VpcSubnets": "subnet-0a1b2c3d4e5f60718,subnet-0b1b2c3d4e5f60718",
    "WebhookUrl": "https://hooks.example.com/webhooks/bird",
}
"""Another value than the default, for the parameters whose values are free text."""


def _another(name: str, rule: Mapping[str, Any]) -> str:
    """A value that is allowed and is not the default."""
    allowed = rule.get("AllowedValues") or [rule.get("MinValue"), rule.get("MaxValue")]
    others = [str(one) for one in allowed if one not in (None, rule["Default"])]
    return others[-1] if others else TEXTS[name]


EVERYTHING: Mapping[str, str] = {
    name: _another(name, rule) for name, rule in Template.load().source["Parameters"].items()
}
"""For every parameter another value than its default, so that every condition is true."""


PARAMETERS: Mapping[str, Mapping[str, str]] = {"defaults": {}, "everything": EVERYTHING}
"""The sets of parameters that are tried."""


def deploy(*, stack_name: str = "stack", stack_id: str = "local", **parameters: str) -> Deployment:
    """The template's resources; `ref:Outbox` and `arn:Outbox` stand for the queue Outbox."""

    def make(logical_id: str, kind: str, properties: Mapping[str, Any]) -> Attributes:
        attributes = {"RootResourceId": "root", "QueueName": logical_id, "Version": "1"}
        attributes |= {"RegionalDomainName": "d-1.example", "RegionalHostedZoneId": "Z1"}
        return {"Ref": f"ref:{logical_id}", "Arn": f"arn:{logical_id}", **attributes}

    return Deployment(
        Template.load(),
        stack_name=stack_name,
        stack_id=stack_id,
        parameters=parameters,
        make=make,
    )


def properties(made: Deployment, logical_id: str) -> Any:
    """The properties of a resource, worked out."""
    return made.resolve(made.resources[logical_id]["Properties"])


def only(made: Deployment, kind: str) -> Any:
    """The properties of the one resource of that type."""
    (logical_id,) = made.of_type(kind)
    return properties(made, logical_id)


class _References(dict[str, str]):
    """A resource's attributes as references to them, in the syntax of Fn::Sub."""

    def __init__(self, logical_id: str) -> None:
        self._logical_id = logical_id

    def __missing__(self, attribute: str) -> str:
        if attribute == "Ref":
            return "${" + self._logical_id + "}"
        return "${" + f"{self._logical_id}.{attribute}" + "}"


def inlined(
    parameters: Mapping[str, str], *, stack_name: str = STACK, region: str = REGION
) -> dict[str, Any]:
    """The translated template with everything worked out but what resources are called.

    No parameters, conditions or mappings are left, so two of them differ in exactly what an update
    would change. All references are `Fn::Sub`, or in DependsOn.
    """
    made = Deployment(
        Template.load(),
        stack_name=stack_name,
        parameters=parameters,
        make=lambda logical_id, kind, properties: _References(logical_id),
        region=region,
        account=ACCOUNT,
    )
    resources = {}
    for logical_id, declared in made.resources.items():
        kept = {key: declared[key] for key in declared if key not in ("Condition", "Metadata")}
        resources[logical_id] = _as_sub(made.resolve(kept))
    outputs = {name: {"Value": _as_sub(value)} for name, value in made.outputs.items()}
    return {"Resources": resources, "Outputs": outputs}


def _as_sub(value: Any) -> Any:
    if isinstance(value, str) and "${" in value:
        return {"Fn::Sub": value}
    if isinstance(value, list):
        return [_as_sub(one) for one in value]
    if isinstance(value, dict):
        return {key: _as_sub(one) for key, one in value.items()}
    return value
