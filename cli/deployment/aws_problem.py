"""What an error of AWS means for a person: to sign in, to get a right, or to wait."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    LoginError,
    NoAuthTokenError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from cli.problem import Problem

SIGN_IN = "Sign in to AWS again (aws sso login, or aws configure), then run this again."

_SIGN_IN_ERRORS = (
    *(CredentialRetrievalError, LoginError, NoAuthTokenError, PartialCredentialsError),
    *(SSOError, TokenRetrievalError),
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_NOT_ACCEPTED = frozenset(
    {
        *("AuthFailure", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId"),
        *("InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException"),
    }
)
_NO_RIGHT = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
"""How codes begin of what a role may not do (Common Error Types of each service's API)."""


def problem_of(error: ClientError | BotoCoreError) -> Problem:
    """The error of one call, with the call's name."""
    wanted = f"{error.operation_name}: " if isinstance(error, ClientError) else ""
    what, next_step = explain(error)
    return Problem(wanted + what, next_step=next_step)


def explain(
    error: ClientError | BotoCoreError, *, rights: str = "that may do this"
) -> tuple[str, str]:
    """What happened, to follow on a name of what was wanted, and the next step.

    `rights`: what a role has to be allowed.
    """
    if isinstance(error, _SIGN_IN_ERRORS):
        return f"the AWS sign-in of this computer does not work: {error}", SIGN_IN
    if isinstance(error, BotoCoreError):
        return (
            f"AWS cannot be reached: {error}",
            "Check the region's name, the network, and the AWS sign-in (aws sts "
            "get-caller-identity).",
        )
    code = str(error.response["Error"]["Code"])
    if code in _EXPIRED:
        return f"the AWS sign-in of this computer has expired ({code})", SIGN_IN
    if code in _NOT_ACCEPTED:
        return f"AWS does not accept the credentials of this computer ({code})", SIGN_IN
    if code.startswith(_NO_RIGHT):
        return (
            f"AWS refuses it ({code})",
            f"Sign in with a role {rights}, or choose another with --profile.",
        )
    return f"AWS responds with {code}", "Run this again in a minute."
