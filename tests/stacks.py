"""What tests of every folder do with a running stack."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from sandbox.aws.functions import Outcome
from sandbox.org.org import Org
from sandbox.stack import Stack


def empty_queues(stack: Stack) -> None:
    """Nothing waits, and nothing is rejected."""
    for name in ("Outbox", "Rejected", "Files"):
        if name in stack.deployment.resources:
            url = stack.deployment.resource(name)["Ref"]
            stack.client("sqs").purge_queue(QueueUrl=url)


def renew_token(stack: Stack) -> Outcome:
    """Invoke RefreshToken as a function does whose token was refused."""
    token = stack.token()
    event = {"refused_generation": token["generation"] if token else None}
    return stack.invoke("refresh_token", event)


def has_live_token(stack: Stack) -> bool:
    """Whether the org honours the access token that is stored."""
    token = stack.token()
    return token is not None and stack.org.oauth.session(token["access_token"]) is not None


def replace_org(stack: Stack, org: Org) -> None:
    """Another org at the same address, to which nothing is connected."""
    server = stack.org_server
    assert server is not None
    org.url, server.org = server.url, org
    server.drop_connections()


@contextlib.contextmanager
def deployed_with(stack: Stack, **variables: str) -> Iterator[None]:
    """The functions as with other parameters: these variables differ in their environment."""
    before = {name: dict(one.environment) for name, one in stack.functions.items()}
    for function in stack.functions.values():
        function.environment.update(variables)
        function.recycle()
    try:
        yield
    finally:
        for name, function in stack.functions.items():
            function.environment = before[name]
            function.recycle()


def write_signing_keys(stack: Stack, *keys: str) -> None:
    """Store the keys by which signatures are verified."""
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.deployment.resource("SigningKeys")["Ref"],
        SecretString=json.dumps({"keys": list(keys)}),
    )


def public_address(stack: Stack, path: str) -> str:
    """The URL that API Gateway's event tells, for which Bird signs."""
    gateway = stack.gateway
    host = f"{gateway.api_id}.execute-api.{gateway.region}.amazonaws.com"
    return f"https://{host}/{gateway.stage}{path}"
