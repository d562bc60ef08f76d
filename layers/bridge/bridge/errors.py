"""The tree of errors; each class has its HTTP status, and says what happens to the record.

BridgeError
├── BadRequest              400  the caller's request cannot be read; nothing is kept
│   ├── NoSuchRoute         404  a method that no route has
│   ├── ForbiddenField      400  `Id` or `attributes` came from the caller
│   └── RequestTooLarge     400  what could not be queued is not accepted
├── WrongKey                403  the API key is good for other routes only
├── Unsigned                401  the request's signature is missing, wrong or too old
├── Ignored                 200  a webhook's event that no customer caused; nothing is made
├── Refused                 422  Salesforce refuses this record; it is kept in Rejected
│   ├── DuplicatesDetected  409  a duplicate rule found another record
│   └── KeyTaken                 `DUPLICATE_VALUE` on our own field: the record is there
├── SessionRefused               the access token was refused; renewed, never shown to a caller
│   └── InstanceMoved            the instance URL redirects or shows a web page
├── Unavailable             202  Salesforce cannot take it now; it is queued
│   ├── RowLocked                another process holds a lock
│   ├── NoSuchRecord             an update's record is not there, or not yet
│   ├── LimitExceeded            API requests, concurrency or quota: waits long
│   └── TokenPending             a token is being renewed and was not ready in time
├── NotSetUp                202  the org or the connection needs a person; queued, and an alarm
│   ├── NotConnected             no credentials yet
│   ├── CredentialsRevoked       Salesforce no longer accepts the credentials
│   ├── CredentialsLost          a rotated refresh token could be stored nowhere
│   ├── FreshSessionRefused      a brand-new token is refused: configuration, not expiry
│   ├── KeyFieldMissing          the external-id field is missing or hidden
│   └── OrgNotReady              API disabled, object hidden, version retired, storage full …
├── NotKept                 503  neither Salesforce nor a queue could take it; retry, same key
└── MisconfiguredEnvironment     a function's environment is incomplete (a deployment fault)
"""

from __future__ import annotations


class BridgeError(Exception):
    status = 500
    title = "Something went wrong"


class BadRequest(BridgeError):
    status = 400
    title = "The request cannot be read"
    code = "BAD_REQUEST"


class NoSuchRoute(BadRequest):
    status = 404
    title = "Not Found"
    code = "NO_SUCH_ROUTE"


class ForbiddenField(BadRequest):
    title = "A field that a caller may not set"
    code = "FORBIDDEN_FIELD"


class RequestTooLarge(BadRequest):
    title = "The request is too large"
    code = "REQUEST_TOO_LARGE"


class WrongKey(BridgeError):
    status = 403
    title = "Forbidden"
    code = "KEY_NOT_FOR_THIS_ROUTE"
    detail = (
        "This API key is not for this address. The key for looking customers up is good for "
        "POST /customers/find only, which is closed unless CustomerLookup is on, and no other key "
        "is good there. Nothing was stored."
    )


class Unsigned(BridgeError):
    """The response is the same whatever is wrong; `reason` is for the log."""

    status = 401
    title = "The request is not signed as expected"
    code = "INVALID_SIGNATURE"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ignored(BridgeError):
    """`event` is the event's name, as Bird wrote it."""

    status = 200
    title = "Nothing to do"
    code = "IGNORED"

    def __init__(self, message: str, *, event: str) -> None:
        super().__init__(message)
        self.event = event


class SalesforceProblem(BridgeError):
    """An error of Salesforce's, with its own code, message and fields where it has them.

    `code` is Salesforce's errorCode (or ours, in the same style), `hint` says who can mend it,
    `existing_id` is a record that Salesforce named as being in the way; `matches` are the ids of
    all Leads and Contacts that a duplicate rule named.
    """

    code = "UNKNOWN"
    retry_after_seconds = 0
    """The response's `Retry-After`; 0 where it has none."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fields: tuple[str, ...] = (),
        hint: str = "",
        existing_id: str | None = None,
        matches: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.fields = fields
        self.hint = hint
        self.existing_id = existing_id
        self.matches = matches


class Refused(SalesforceProblem):
    status = 422
    title = "Salesforce refuses the record"
    code = "REFUSED"


class DuplicatesDetected(Refused):
    status = 409
    title = "Salesforce found a duplicate"
    code = "DUPLICATES_DETECTED"


class KeyTaken(Refused):
    """`existing_id` is the id that the message named, None for `<unknown>`."""

    code = "DUPLICATE_VALUE"


class SessionRefused(SalesforceProblem):
    code = "INVALID_SESSION_ID"


class InstanceMoved(SessionRefused):
    code = "INSTANCE_MOVED"


class Unavailable(SalesforceProblem):
    status = 202
    code = "UNAVAILABLE"


class RowLocked(Unavailable):
    code = "UNABLE_TO_LOCK_ROW"


class NoSuchRecord(Unavailable):
    code = "NO_SUCH_RECORD"


class LimitExceeded(Unavailable):
    code = "REQUEST_LIMIT_EXCEEDED"


class TokenPending(Unavailable):
    code = "TOKEN_PENDING"


class NotSetUp(SalesforceProblem):
    status = 202
    code = "NOT_SET_UP"
    subject = "the connection"
    """What needs the person."""


class NotConnected(NotSetUp):
    code = "NOT_CONNECTED"


class CredentialsRevoked(NotSetUp):
    code = "CREDENTIALS_REVOKED"


class CredentialsLost(NotSetUp):
    code = "CREDENTIALS_LOST"


class FreshSessionRefused(NotSetUp):
    code = "FRESH_SESSION_REFUSED"


class KeyFieldMissing(NotSetUp):
    code = "KEY_FIELD_MISSING"
    subject = "the external-id field"


class OrgNotReady(NotSetUp):
    code = "ORG_NOT_READY"
    subject = "the org"


class NotKept(BridgeError):
    status = 503
    title = "The record could not be kept; send it again"
    code = "NOT_KEPT"


class MisconfiguredEnvironment(BridgeError):
    """Environment variables that the template should give are missing or cannot be read."""


def named(name: str) -> type[NotSetUp] | None:
    """The NotSetUp class of that name, as it comes back in a Lambda error's `errorType`."""
    known: tuple[type[NotSetUp], ...] = (NotSetUp, *NotSetUp.__subclasses__())
    return next((problem for problem in known if problem.__name__ == name), None)
