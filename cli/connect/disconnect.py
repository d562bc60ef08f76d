"""Disconnecting: the tokens are revoked at Salesforce, the credentials removed from AWS."""

from __future__ import annotations

from bridge.http import Http
from cli.connect.oauth import revoke
from cli.connect.stored_connection import StoredConnection
from cli.deployment.stack import Stack
from cli.org.definition import PERMISSION_SET
from cli.rejected.queue import Queue


def disconnect(stack: Stack) -> bool | None:
    """Empty the secret, delete the parameters, revoke the tokens.

    The secret is emptied first, so that no refresh can bring a token back. A token that Salesforce
    did not revoke is stored nowhere any more, and expires. Whether Salesforce confirmed it; None
    if nothing was connected.
    """
    connection = StoredConnection(stack)
    credentials, token = connection.credentials(), connection.token()
    connection.empty()
    # A refresh token ends its access tokens too.
    known = (credentials and credentials.refresh_token) or (token and token.access_token)
    if credentials is None:
        return None if token is None else False
    return not known or revoke(Http(), credentials.login_url, known)


def is_connected(stack: Stack) -> bool:
    """Whether credentials or an access token are stored."""
    connection = StoredConnection(stack)
    return connection.credentials() is not None or connection.token() is not None


def stays(stack: Stack) -> tuple[str, ...]:
    """What a deleted stack leaves, a sentence each, with the command that removes it."""
    where = f"--region {stack.region}"
    secrets = (stack.output("CredentialsSecret"), stack.output("SigningKeysSecret"))
    names = " ".join((stack.settings.token_parameter, stack.settings.pending_parameter))
    return (
        *(
            f"the secret {one} (aws secretsmanager delete-secret --secret-id {one} {where})"
            for one in secrets
        ),
        f"the parameters, unless it was disconnected (aws ssm delete-parameters --names {names} "
        f"{where})",
        "API keys that you created yourself, and SAM's bucket with the uploaded code",
        "in Salesforce: leads, cases, the app, the field, the permission set, the user",
    )


def remains(stack: Stack) -> tuple[str, ...]:
    """What disconnecting leaves, a sentence each."""
    sqs = stack.client("sqs")
    waiting = Queue(sqs, stack.settings.outbox_url).counts().total
    rejected = Queue(sqs, stack.settings.rejected_url).counts().total
    return (
        f"{waiting:,} records in the outbox and {rejected:,} in Rejected. Both queues keep a "
        "record for 14 days. What flows send from now on is queued too: switch the flows off.",
        "In Salesforce: the leads and cases, the app, the field "
        f"{stack.settings.external_id_field or '(none)'}, the permission set {PERMISSION_SET}, and "
        "the integration user. Remove them in Setup if nothing else uses them.",
        "On this machine: the local stack, until it is stopped."
        if stack.is_local
        else f"In AWS: the stack {stack.name} itself. docs/operations.md, Take the stack down, "
        "says how to delete it and what stays then.",
    )
