"""The only place where objects are made: once per execution environment, at the first event."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from bridge.api.record_api import RecordApi
from bridge.aws import Aws, AwsIdentity
from bridge.deadline import Deadline
from bridge.delivery.creation import RecordCreator
from bridge.delivery.outbox import Envelope, Queues
from bridge.http import Http
from bridge.oauth.sessions import Sessions
from bridge.records import ObjectName
from bridge.salesforce.client import Salesforce
from bridge.settings import Settings
from bridge.telemetry import Telemetry

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from bridge.api.customers import CustomerApi
    from bridge.delivery.creation import Feed
    from bridge.delivery.deliver import Delivery
    from bridge.files.attaching import Attaching
    from bridge.oauth.refresher import TokenRefresher


@cache
def settings() -> Settings:
    return Settings.from_environ(os.environ)


@cache
def telemetry() -> Telemetry:
    return Telemetry()


@cache
def http() -> Http:
    return Http()


@cache
def aws() -> Aws:
    return Aws(http=http(), identity=AwsIdentity.from_environ(os.environ))


@cache
def salesforce() -> Salesforce:
    return Salesforce(http=http(), settings=settings())


@cache
def sessions() -> Sessions:
    return Sessions(aws=aws(), settings=settings())


@cache
def record_api(object_name: ObjectName | None) -> RecordApi:
    """The API of create_lead and create_case; None, of receive_message: the channel decides."""
    gate: SignatureGate | None = None
    if object_name is None or settings().signature_scheme != "none":
        from bridge.api.signatures import SignatureGate

        gate = SignatureGate(aws=aws(), settings=settings())
    creator = RecordCreator(
        salesforce=salesforce(),
        sessions=sessions(),
        queues=Queues(aws=aws(), settings=settings()),
        settings=settings(),
        telemetry=telemetry(),
        feed=_feed(),
    )
    return RecordApi(
        object_name, creator=creator, settings=settings(), telemetry=telemetry(), gate=gate
    )


@cache
def customer_api() -> CustomerApi:
    from bridge.api.customers import CustomerApi
    from bridge.delivery.customers import Customers

    customers = Customers(salesforce=salesforce(), sessions=sessions())
    return CustomerApi(customers=customers, settings=settings(), telemetry=telemetry())


@cache
def token_refresher() -> TokenRefresher:
    from bridge.oauth.refresher import TokenRefresher
    from bridge.oauth.vault import Vault

    # Short: if Secrets Manager hangs, a rotated refresh token has to be put elsewhere in time.
    secrets = client("secretsmanager", read_seconds=3, attempts=2)
    # The vault itself repeats what SSM throttles, sooner and more often than boto3 would.
    ssm = client("ssm", attempts=1)
    vault = Vault(secrets=secrets, ssm=ssm, settings=settings())
    return TokenRefresher(
        http=http(),
        vault=vault,
        dynamodb=client("dynamodb"),
        settings=settings(),
        telemetry=telemetry(),
    )


@cache
def delivery() -> Delivery:
    from bridge.delivery.deliver import Delivery

    return Delivery(
        salesforce=salesforce(),
        sessions=sessions(),
        sqs=client("sqs"),
        settings=settings(),
        telemetry=telemetry(),
        feed=_feed(),
    )


@cache
def attaching() -> Attaching:
    from bridge.files.attaching import Attaching

    return Attaching(
        salesforce=salesforce(),
        sessions=sessions(),
        aws=aws(),
        sqs=client("sqs"),
        dynamodb=client("dynamodb"),
        settings=settings(),
        telemetry=telemetry(),
    )


def _feed() -> Feed | None:
    """How a message's files get into their queue; None where no files are attached."""
    return _put_files if settings().attach_media else None


def _put_files(envelope: Envelope, *, deadline: Deadline) -> None:
    # Few messages bring files: the others need not pay for the import.
    from bridge.files.envelope import put_files

    put_files(envelope, aws=aws(), settings=settings(), deadline=deadline)


def client(service: str, *, read_seconds: float = 10, attempts: int = 3) -> BaseClient:
    """A boto3 client. Only functions off the callers' path come here: boto3 is slow to import."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=3,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return boto3.client(
        service,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None,
        config=config,
    )
