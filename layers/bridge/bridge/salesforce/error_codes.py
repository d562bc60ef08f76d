"""Salesforce's error codes: what each means for the record, and who can mend it, and how.

The `errorCode` decides, never the HTTP status alone and never the words of the message, which come
in the user's language. Codes that are not listed here are judged by `kind_of`.

Sources: Salesforce's REST API guide (status codes and error responses), SOAP API guide (core data
types: StatusCode, ExceptionCode).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an error code means for the record that was sent."""

    REFUSED = "this record, as it is, will not be taken"
    DUPLICATE_RULE = "a duplicate rule matched"
    DUPLICATE_VALUE = "a unique field has this value already: perhaps our own key"
    SESSION = "the access token is not accepted"
    LOCKED = "try again in seconds"
    UNAVAILABLE = "try again later"
    LIMIT = "a limit is spent: try again much later"
    NOT_SET_UP = "a person has to change the org or the connection"
    TRIGGER = "an org's trigger or flow failed: a refusal if the record was alone"


@dataclass(frozen=True)
class Meaning:
    """One code's kind, and a hint for the person who can do something about it."""

    kind: Kind
    hint: str = ""


_FLOW_AUTHOR = "In the flow: "
_ADMIN = "Salesforce administrator: "

_HINTS: dict[Kind, dict[str, str]] = {
    Kind.SESSION: {
        "INVALID_SESSION_ID": _ADMIN
        + "if this stays, check that the integration user may use the REST API, that the app's "
        "session policies do not lock sessions to an IP address, and that the profile's login IP "
        "ranges are not enforced on every request.",
    },
    Kind.LIMIT: {
        "REQUEST_LIMIT_EXCEEDED": _ADMIN
        + "the org's API requests (Setup, Company Information) or its concurrent long requests are "
        "spent; find who spends them, or buy more. The record waits.",
        "LIMIT_EXCEEDED": _ADMIN + "a limit of the org is spent; it waits.",
        "EXCEEDED_QUOTA": _ADMIN + "a quota of the org is spent; it waits.",
        "TOO_MANY_REQUESTS": "Too many requests; the record waits.",
    },
    Kind.LOCKED: {
        "UNABLE_TO_LOCK_ROW": "Another process holds a lock on a parent record; it is tried again.",
    },
    Kind.UNAVAILABLE: {
        "QUERY_TIMEOUT": "A query inside the org took too long.",
        "REQUEST_RUNNING_TOO_LONG": "The org took too long.",
        "SERVER_UNAVAILABLE": "Salesforce is unavailable.",
        "SERVICE_UNAVAILABLE": "Salesforce is unavailable.",
        "UNKNOWN_EXCEPTION": "An internal error of Salesforce.",
        "APEX_ERROR": _ADMIN + "Apex code of the org failed (Setup, Apex Jobs and debug logs).",
        "ORG_IN_MAINTENANCE": "The org is in maintenance.",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": (
            "The org is read-only during maintenance."
        ),
        "TXN_SECURITY_METERING_ERROR": (
            "A transaction security policy could not be evaluated just now."
        ),
        "PROCESSING_HALTED": "Another part of the call failed.",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK": "The call was rolled back.",
    },
    Kind.NOT_SET_UP: {
        "API_DISABLED_FOR_ORG": _ADMIN
        + "give the integration user the API: Setup, Users, the user's profile or a permission "
        "set, Administrative Permissions, tick API Enabled. If that box is not there, the org's "
        "edition has no API (Enterprise, Unlimited, Performance and Developer have; Professional "
        "can buy it).",
        "API_CURRENTLY_DISABLED": _ADMIN
        + "the API is switched off for this user: profile or permission set, Administrative "
        "Permissions, API Enabled.",
        "INVALID_TYPE": _ADMIN
        + "the integration user cannot see this object: give Create and Read on Lead and Case by a "
        "permission set.",
        "NOT_FOUND": _ADMIN
        + "the integration user cannot see this object (give Create and Read on Lead and Case by a "
        "permission set), or the API version is one that the org does not have.",
        "METHOD_NOT_ALLOWED": (
            "The API version or URL does not fit: check the parameter ApiVersion."
        ),
        "UNSUPPORTED_API_VERSION": "This API version is retired: raise the parameter ApiVersion.",
        "UNSUPPORTED_MEDIA_TYPE": (
            "The API version or URL does not fit: check the parameter ApiVersion."
        ),
        "STORAGE_LIMIT_EXCEEDED": _ADMIN
        + "the org's data storage is full: Setup, Storage Usage; delete data or buy space.",
        "LOGIN_DURING_RESTRICTED_TIME": (
            _ADMIN + "lift the login hours on the integration user's profile."
        ),
        "LOGIN_DURING_RESTRICTED_DOMAIN": (
            _ADMIN + "the login IP ranges of the integration user's profile exclude this address."
        ),
        # A transaction security policy judges the integration user, not one record.
        **dict.fromkeys(
            (
                "TXN_SECURITY_NO_ACCESS",
                "TXN_SECURITY_END_A_SESSION",
                "TXN_SECURITY_FAIL_CLOSE",
                "TXN_SECURITY_TWO_FA_REQUIRED",
                "TXN_SECURITY_APEX_ERROR",
                "TXN_SECURITY_RUNTIME_ERROR",
            ),
            _ADMIN + "a transaction security policy blocks the integration user "
            "(Setup, Transaction Security Policies): exempt it.",
        ),
    },
    Kind.DUPLICATE_RULE: {
        "DUPLICATES_DETECTED": _ADMIN
        + "a duplicate rule matched another record (Setup, Duplicate Rules). Use the existing "
        "record, or let the deployer set DuplicateRecords=allow, which passes rules that alert "
        "but not rules that block.",
    },
    Kind.DUPLICATE_VALUE: {
        "DUPLICATE_VALUE": _ADMIN + "another record has this value in a field that is unique.",
        "DUPLICATE_EXTERNAL_ID": (
            _ADMIN + "several records share this external id: make the field Unique."
        ),
    },
    Kind.TRIGGER: {
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _ADMIN
        + "an Apex trigger of the org failed on this record, and its name is in the message; or "
        "the record type is missing.",
        "CANNOT_EXECUTE_FLOW_TRIGGER": (
            _ADMIN + "a record-triggered flow of the org failed on this record."
        ),
    },
    Kind.REFUSED: {
        "REQUIRED_FIELD_MISSING": _FLOW_AUTHOR
        + "send a value for these fields, or let the administrator give them a default value or "
        "make them optional.",
        "STRING_TOO_LONG": (
            _FLOW_AUTHOR + "shorten the value; the message tells the longest allowed."
        ),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _ADMIN
        + "add the value to the picklist (Object Manager, the field, Values), or take the "
        "restriction off; or send one of its values in the flow.",
        "INVALID_EMAIL_ADDRESS": _FLOW_AUTHOR + "send a valid e-mail address, or none.",
        "INVALID_FIELD": "No such field, or the integration user may not see it; or a link by key, "
        "like Account.Number__c, names a record that is not there. In the flow: check the field's "
        "API name (custom ones end in __c) or the link's key. Administrator: field-level security "
        "of that field.",
        "INVALID_FIELD_FOR_INSERT_UPDATE": _ADMIN
        + "give the integration user edit access to these fields (permission set, field "
        "permissions); formula and system fields cannot be set at all.",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION": _ADMIN
        + "a validation rule refuses the record; the message is the rule's own. Send what it wants "
        "from the flow, or exempt the integration user in the rule.",
        "FIELD_INTEGRITY_EXCEPTION": _FLOW_AUTHOR
        + "the values of these fields do not go together, or an id is that of another object. "
        "Where one is State or Country: State and Country picklists are on; send the list's own "
        "value, or CountryCode / StateCode.",
        "INVALID_TYPE_ON_FIELD_IN_RECORD": (
            _FLOW_AUTHOR + "the value has the wrong type for the field."
        ),
        "NUMBER_OUTSIDE_VALID_RANGE": (
            _FLOW_AUTHOR + "the number is too large or too small for the field."
        ),
        "INSUFFICIENT_ACCESS_OR_READONLY": _ADMIN
        + "the integration user may not set this: give Create on the object and edit access to the "
        "fields, and access to the records it refers to.",
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": (
            _ADMIN + "the integration user has no access to a record referred to."
        ),
        "INSUFFICIENT_ACCESS": (
            _ADMIN + "the integration user lacks access to the object or record."
        ),
        "INVALID_CROSS_REFERENCE_KEY": "An id in the record (OwnerId, RecordTypeId …) or the "
        "assignment rule's id does not exist in this org: check the flow, and the parameters "
        "LeadAssignmentRule, CaseAssignmentRule.",
        "MALFORMED_ID": _FLOW_AUTHOR + "an id field holds something that is no Salesforce id.",
        "JSON_PARSER_ERROR": _FLOW_AUTHOR
        + "a value cannot be read as the field's type (a date is 2026-01-31, a date and time "
        "2026-01-31T12:00:00Z, a checkbox true or false without quotes).",
        "INACTIVE_OWNER_OR_USER": (
            _ADMIN + "the owner is an inactive user: name another in flow or rule."
        ),
        "ENTITY_IS_DELETED": _FLOW_AUTHOR + "the record refers to one that is deleted.",
        "ENTITY_IS_LOCKED": _ADMIN
        + "an approval process has locked the record: unlock it, or let the integration user edit "
        "locked records.",
        "CANNOT_UPDATE_CONVERTED_LEAD": (
            _FLOW_AUTHOR + "the lead is converted: use its contact instead."
        ),
        "INVALID_OPERATION": _ADMIN
        + "most often the owner is a queue that does not serve this object: add the object to the "
        "queue (Setup, Queues), or name another owner.",
        "INVALID_QUERY_FILTER_OPERATOR": "The request to Salesforce was malformed.",
        "MALFORMED_QUERY": "The request to Salesforce was malformed.",
        "MALFORMED_SEARCH": "The request to Salesforce was malformed.",
    },
}

MEANINGS = {
    code: Meaning(kind, hint) for kind, some in _HINTS.items() for code, hint in some.items()
}

_UNLISTED_REFUSAL = Meaning(
    Kind.REFUSED, _ADMIN + "look the error code up in Salesforce's documentation."
)
_UNLISTED_TROUBLE = Meaning(Kind.UNAVAILABLE, "Salesforce answered with an error it did not name.")
_UNLISTED_SESSION = Meaning(Kind.SESSION)


def meaning_of(code: str, status: int) -> Meaning:
    """What a code means; for one that is not listed, the HTTP status is all there is to go by."""
    listed = MEANINGS.get(code)
    if listed is not None:
        return listed
    if status == 401:
        return _UNLISTED_SESSION
    if status >= 500 or status in (408, 420, 425, 429) or not code:
        return _UNLISTED_TROUBLE
    return _UNLISTED_REFUSAL
