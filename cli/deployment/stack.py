"""The deployment that a command is for: by CloudFormation's outputs, or by the local stack's file.

The settings are read from RefreshToken's environment, so that the program uses what the functions
use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from bridge.errors import MisconfiguredEnvironment
from bridge.settings import Settings
from cli.deployment.aws_problem import explain
from cli.deployment.target import PROJECT, choose, read_stages
from cli.problem import Problem, StackNotFound

if TYPE_CHECKING:
    from botocore.client import BaseClient

LOCAL_FILE = PROJECT / ".local" / "stack.json"
"""Where `make start` writes the names of the local stack's parts."""

LOCAL_REGION = "us-east-1"

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    connect_timeout=10,
    # RefreshToken may run for 60 s.
    read_timeout=75,
    max_pool_connections=16,
)


_NOT_CONFIGURED: dict[type[BotoCoreError], tuple[str, str]] = {
    ProfileNotFound: (
        "There is no AWS profile “{profile}”.",
        "See `aws configure list-profiles`, then choose one with --profile or AWS_PROFILE.",
    ),
    NoRegionError: (
        "No AWS region is configured.",
        "Add --region, for example --region eu-west-1, or set AWS_REGION.",
    ),
    NoCredentialsError: (
        "There are no AWS credentials on this machine.",
        "Sign in (aws configure, or aws sso login). For the local stack add --local.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One deployment, and its parts."""

    name: str
    region: str
    outputs: Mapping[str, str]
    settings: Settings
    session: boto3.Session = field(repr=False)
    endpoint_url: str | None = None
    """The local stack's AWS; None for the real one."""
    local: Mapping[str, Any] | None = field(repr=False, default=None)
    """The local stack's file; None for a stack in AWS."""
    _clients: dict[str, BaseClient] = field(init=False, repr=False, default_factory=dict)

    def client(self, service: str) -> BaseClient:
        """A boto3 client for this stack's region and account."""
        if service not in self._clients:
            self._clients[service] = _client(
                self.session, service, self.region, endpoint_url=self.endpoint_url
            )
        return self._clients[service]

    def output(self, name: str) -> str:
        """An output of the stack. Raises StackNotFound if the stack has another version."""
        try:
            return self.outputs[name]
        except KeyError as error:
            raise StackNotFound(
                f"The stack {self.name} has no output {name}: it was deployed from another "
                "template, or its deployment has not finished.",
                next_step="Deploy this version: make deploy",
            ) from error

    @property
    def api_url(self) -> str:
        """The API with its stage: POST {api_url}/leads."""
        if self.local is not None:
            return str(self.local["url"])
        return self.output("LeadsUrl").removesuffix("/leads")

    def url(self, object_name: str) -> str:
        return f"{self.api_url}/{object_name.lower()}s"

    def api_key(self) -> str:
        """The value of the stack's own API key or, where that one is disabled or deleted because
        keys were changed, of another one in its usage plan. Raises what boto3 raises if it may not
        be read, Problem if no key is enabled."""
        if self.local is not None:
            return str(self.local["api_key"])
        client = self.client("apigateway")
        for key_id in self._api_key_ids(client):
            with suppress(client.exceptions.NotFoundException):
                found = client.get_api_key(apiKey=key_id, includeValue=True)
                if found["enabled"]:
                    return str(found["value"])
        raise Problem(
            "No API key of the stack is enabled.",
            next_step="Create one: docs/operations.md, The API key.",
        )

    def _api_key_ids(self, client: Any) -> Iterator[str]:
        own = self.output("ApiKeyId")
        yield own
        pages = client.get_paginator("get_usage_plan_keys")
        for page in pages.paginate(usagePlanId=self.output("UsagePlanId")):
            yield from (one["id"] for one in page["items"] if one["id"] != own)

    def log_of(self, function: str) -> str:
        """The command that shows the log of a function, like `create-lead`."""
        if self.is_local:
            return f"{function.replace('-', '_')}.log in the local stack's folder"
        return f"aws logs tail /{self.name}/{function} --region {self.region}"

    @property
    def is_local(self) -> bool:
        return self.local is not None

    def options(self) -> str:
        """The options that name this stack, for messages that contain commands."""
        if self.is_local:
            return "--local"  # the file has its default name, or is in the environment
        return f"--stack-name {self.name} --region {self.region}"

    def command(self, words: str) -> str:
        """A command for this stack, for messages."""
        return f"bird-salesforce {words} {self.options()}"


def _client(
    session: boto3.Session, service: str, region: str, *, endpoint_url: str | None = None
) -> BaseClient:
    return session.client(service, region_name=region, endpoint_url=endpoint_url, config=_CONFIG)


def find_stack(
    *,
    name: str | None,
    region: str | None,
    profile: str | None,
    local: Path | None,
    stage: str | None = None,
) -> Stack:
    """The stack that the options name; what they do not name is read from `samconfig.toml`.

    With `local`, the local stack's file, the others do not count. Raises StackNotFound, Problem.
    """
    if local is not None:
        return _local_stack(local)
    if not stage:
        name = name or os.environ.get("BIRD_SALESFORCE_STACK")
    stages = read_stages(Path.cwd()) or read_stages(PROJECT)
    target = choose(stages, stage=stage, name=name, region=region)
    name, profile = target.name, profile or target.profile
    try:
        session = boto3.Session(profile_name=profile)
        # boto3 reads AWS_DEFAULT_REGION only; the AWS CLI and these messages name the other one.
        region = region or os.environ.get("AWS_REGION") or session.region_name or target.region
        if not region:
            raise NoRegionError
        return _deployed_stack(session, name=name, region=region)
    except (ProfileNotFound, NoRegionError, NoCredentialsError) as error:
        what, next_step = _NOT_CONFIGURED[type(error)]
        raise Problem(what.format(**error.kwargs), next_step=next_step) from error
    except (ClientError, BotoCoreError) as error:
        what, next_step = explain(
            error, rights="that may read CloudFormation stacks and the functions' configuration"
        )
        raise StackNotFound(
            f"The stack {name} in {region} was not read: {what}", next_step=next_step
        ) from error


def _deployed_stack(session: boto3.Session, *, name: str, region: str) -> Stack:
    cloudformation = _client(session, "cloudformation", region)
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has one code for a missing stack and for an invalid name.
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackNotFound(
            f"There is no stack {name} in {region}.",
            next_step="Deploy it first (make deploy), or name another: --stack-name and --region. "
            "For the stack on this machine (make start) add --local.",
        ) from error
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    if "RefreshTokenFunction" not in outputs:
        raise StackNotFound(
            f"The stack {name} in {region} ({described.get('StackStatus', 'unknown')}) is not this "
            "bundle's, or its deployment has not finished.",
            next_step="Deploy it (make deploy), or name another with --stack-name.",
        )
    configuration = _client(session, "lambda", region).get_function_configuration(
        FunctionName=outputs["RefreshTokenFunction"]
    )
    environment = configuration.get("Environment", {}).get("Variables", {})
    return Stack(
        name=name,
        region=region,
        outputs=outputs,
        settings=_settings(environment),
        session=session,
    )


def _local_stack(path: Path) -> Stack:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Beside it is the functions' environment for `sam local`, by their logical ids.
        environment = json.loads(path.with_name("env.json").read_text(encoding="utf-8"))[
            "RefreshToken"
        ]
    except OSError as error:
        raise StackNotFound(
            f"There is no local stack: {path} does not exist.",
            next_step="Start it in another terminal: make start",
        ) from error
    except (ValueError, KeyError) as error:
        raise StackNotFound(
            f"{path} is not a file of the local stack.", next_step="Start it again: make start"
        ) from error
    region = found.get("region", LOCAL_REGION)
    return Stack(
        name=found["stack_name"],
        region=region,
        outputs=found["outputs"],
        settings=_settings(environment),
        session=_local_session(region),
        endpoint_url=found["aws_endpoint"],
        local=found,
    )


@cache
def _local_session(region: str) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name=region
    )


def _settings(environment: Mapping[str, str]) -> Settings:
    try:
        return Settings.from_environ(environment)
    except MisconfiguredEnvironment as error:
        raise StackNotFound(
            f"The deployed functions have another version than this program: {error}",
            next_step="Deploy this version: make deploy",
        ) from error
