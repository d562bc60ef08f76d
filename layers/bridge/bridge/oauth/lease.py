"""Leases: of the refresh, which runs one at a time (docs/adr/0002-one-refresh-at-a-time.md), and of
a message whose files are being attached (docs/adr/0089-files-once.md)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bridge.oauth.boto3_errors import BOTO3_ERRORS

if TYPE_CHECKING:
    from botocore.client import BaseClient

LEASE_MARGIN_SECONDS = 10
"""The lease outlives the function by this: nobody overtakes a killed run whose request is still on
its way."""

REFRESH = "refresh"


class Lease:
    """One item of a DynamoDB table, written on a condition. `name` is what it is for."""

    def __init__(self, *, dynamodb: BaseClient, table: str, name: str = REFRESH) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._name = name
        self._owner = {"S": uuid.uuid4().hex}

    def take(self, *, seconds: float) -> bool:
        """Take it if it is free, or expired, or ours already: boto3 repeats a request whose
        response was lost."""
        free = "attribute_not_exists(expires_at) OR expires_at < :now OR owner_id = :owner"
        return self._put_if(free, seconds, {":now": {"N": str(int(time.time()))}})

    def keep(self, *, seconds: float) -> bool:
        """Renew it; False if it is no longer ours."""
        return self._put_if("owner_id = :owner", seconds, {})

    def release(self) -> None:
        """Give it back; if that fails it expires."""
        with suppress(*BOTO3_ERRORS):
            self._dynamodb.delete_item(
                TableName=self._table,
                Key={"name": {"S": self._name}},
                ConditionExpression="owner_id = :owner",
                ExpressionAttributeValues={":owner": self._owner},
            )

    def _put_if(self, condition: str, seconds: float, values: Mapping[str, Any]) -> bool:
        expires_at = int(time.time()) + int(seconds) + LEASE_MARGIN_SECONDS
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "name": {"S": self._name},
                    "owner_id": self._owner,
                    "expires_at": {"N": str(expires_at)},
                },
                ConditionExpression=condition,
                ExpressionAttributeValues={":owner": self._owner, **values},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True
