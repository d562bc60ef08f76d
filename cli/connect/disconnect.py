"""`disconnect`: Salesforce forgets the tokens, AWS forgets the credentials."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.http import Http
from cli.connect.connection import revoke
from cli.connect.credentials import Connection
from cli.deployment.stack import Stack
from cli.org.plan import PERMISSION_SET
from cli.rejected.queue import Queue


@dataclass(frozen=True, kw_only=True)
class Disconnected:
    """What was done, and what remains (a sentence each)."""

    revoked: bool
    """Whether Salesforce confirmed it."""
    was_connected: bool
    remains: tuple[str, ...]


def disconnect(stack: Stack) -> Disconnected:
    """Revoke the tokens, empty the secret, delete the parameters.

    The secret is emptied first, so that no refresh can bring a token back; a token that Salesforce
    did not revoke ends by itself, and nobody has it any more.
    """
    connection = Connection(stack)
    credentials, token = connection.credentials(), connection.token()
    connection.empty()
    http = Http()
    revoked = True
    if credentials is not None and credentials.refresh_token:
        # With it go its access tokens.
        revoked = revoke(http, credentials.login_url, credentials.refresh_token)
    elif credentials is not None and token is not None:
        revoked = revoke(http, credentials.login_url, token.access_token)
    return Disconnected(
        revoked=revoked,
        was_connected=credentials is not None or token is not None,
        remains=_remains(stack),
    )


def _remains(stack: Stack) -> tuple[str, ...]:
    sqs = stack.client("sqs")
    waiting = Queue(sqs, stack.settings.outbox_url).counts().total
    rejected = Queue(sqs, stack.settings.rejected_url).counts().total
    return (
        f"{waiting:,} records wait in the outbox and {rejected:,} in Rejected. Both queues keep "
        "what they hold for 14 days; what flows still send is queued too. Switch the flows off.",
        "In Salesforce: the leads and cases, the app, the field "
        f"{stack.settings.external_id_field or '(none)'}, the permission set {PERMISSION_SET}, and "
        "the integration user. Remove them in Setup if nothing else uses them.",
        "In AWS: the stack itself. To remove it: sam delete --stack-name "
        f"{stack.name} (the empty secret stays and is deleted by hand)."
        if not stack.is_local
        else "On this machine: the local stack, until it is stopped.",
    )
