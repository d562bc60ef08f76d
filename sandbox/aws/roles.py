"""What the functions' roles allow, enforced: the policies of template.yaml held against each call.

moto enforces policies by resource only for SQS and S3, and our queues and Lambda are not moto's at
all. So the sandbox's one endpoint asks here, for every service alike, before it does anything.

Understood is what template.yaml needs and nothing more: statements that allow, one or several
actions on one or several ARNs (`*` is any run of characters), and the condition `StringEquals`. Any
other shape is an error rather than a guess.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from tools.template import Deployment, TemplateError


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One `Allow` of a policy."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a key of the request has to be: one of these."""

    @classmethod
    def parse(cls, statement: Mapping[str, Any]) -> Statement:
        """Read a statement. Raises TemplateError for a shape that is not understood here."""
        unknown = set(statement) - {"Effect", "Action", "Resource", "Condition"}
        conditions = statement.get("Condition", {})
        if unknown or statement.get("Effect") != "Allow" or set(conditions) - {"StringEquals"}:
            raise TemplateError(
                f"the sandbox does not know such a statement: {json.dumps(statement)}"
            )
        return cls(
            actions=_several(statement["Action"]),
            resources=_several(statement["Resource"]),
            conditions={
                key: _several(value) for key, value in conditions.get("StringEquals", {}).items()
            },
        )

    def allows(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        return (
            any(one.lower() == action.lower() for one in self.actions)
            and any(_fits(one, resource) for one in self.resources)
            and all(context.get(key) in allowed for key, allowed in self.conditions.items())
        )


@dataclass
class Role:
    """What one function may do. `statements` may be changed while it runs."""

    name: str
    statements: list[Statement]

    @classmethod
    def of(cls, deployment: Deployment, logical_id: str) -> Role:
        """The role that a function has in the translated template. Raises TemplateError."""
        reference = deployment.resources[logical_id]["Properties"]["Role"]
        name = reference["Fn::GetAtt"][0]
        properties = deployment.resources[name]["Properties"]
        if properties.get("ManagedPolicyArns"):
            raise TemplateError(f"{name} has managed policies, which the sandbox does not know")
        statements = [
            Statement.parse(statement)
            for policy in deployment.resolve(properties["Policies"])
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        return cls(name=name, statements=statements)

    def allows(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
        """Whether one of its statements allows this."""
        return any(one.allows(action, resource, context or {}) for one in self.statements)

    def may_log(self, group: str, *, region: str, account: str) -> bool:
        """Whether a function under this role can write into a log group: both steps it takes."""
        stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:one"
        return all(
            self.allows(f"logs:{one}", stream) for one in ("CreateLogStream", "PutLogEvents")
        )

    @contextmanager
    def without(self, statement: Statement) -> Iterator[None]:
        """Inside the `with` block the role lacks a statement."""
        kept = self.statements
        self.statements = [one for one in kept if one is not statement]
        try:
            yield
        finally:
            self.statements = kept


_ACTIONS = {"lambda:Invoke": "lambda:InvokeFunction"}


def action_of(service: str, operation: str) -> str:
    """The action that a policy has to name: a batch is allowed by the action of its entries."""
    action = f"{service}:{operation}"
    if service == "sqs":
        action = action.removesuffix("Batch")
    return _ACTIONS.get(action, action)


def resource_of(service: str, body: bytes, *, function: str, region: str, account: str) -> str:
    """The ARN that a call is about; empty where it is about none, which no statement allows."""
    try:
        parameters = json.loads(body) if body else {}
    except ValueError:
        parameters = {}
    parameters = parameters if isinstance(parameters, dict) else {}
    place = f"{region}:{account}"
    match service:
        case "lambda":
            name = unquote(function)
            return name if name.startswith("arn:") else f"arn:aws:lambda:{place}:function:{name}"
        case "ssm" if name := str(parameters.get("Name", "")):
            return f"arn:aws:ssm:{place}:parameter/{name.lstrip('/')}"
        case "secretsmanager":
            return str(parameters.get("SecretId", ""))
        case "dynamodb" if name := str(parameters.get("TableName", "")):
            return name if name.startswith("arn:") else f"arn:aws:dynamodb:{place}:table/{name}"
        case "sqs" if url := str(parameters.get("QueueUrl", "")):
            return f"arn:aws:sqs:{place}:{url.rstrip('/').rsplit('/', 1)[-1]}"
    return ""


def _several(value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in several):
        raise TemplateError(f"neither a text nor a list of texts: {value!r}")
    return tuple(several)


def _fits(pattern: str, resource: str) -> bool:
    return bool(resource) and fnmatchcase(resource, pattern)
