"""What a boto3 call may raise, and the one error of ours that it becomes."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from bridge.aws import AwsError

BOTO3_ERRORS = (ClientError, BotoCoreError, AttributeError, LookupError, ValueError)
"""On a response that it cannot read boto3 raises whatever its parser does, and where a key is
missing our own code does. A rotated refresh token must survive that too."""


def as_aws_error(error: Exception) -> AwsError:
    """One of BOTO3_ERRORS as an AwsError: which call failed, and AWS's code for it."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code") or "Unknown")
        about = error.response.get("ResponseMetadata", {})
        status = int(about.get("HTTPStatusCode") or 400)
        return AwsError(code, f"AWS refused {error.operation_name}", status=status)
    if isinstance(error, BotoCoreError):
        return AwsError(type(error).__name__, "AWS could not be reached")
    return AwsError("UNREADABLE_ANSWER", "a response of AWS could not be read")
