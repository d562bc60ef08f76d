"""Whatever is stored and whatever Salesforce's token endpoint says: the connection stays.

Nothing is published but Salesforce's own token for Salesforce's own host; a new refresh token is
kept; the rest of the secret stays as it was; the lease is given back; what is raised is one of
`bridge.errors`, for the alarms go by its name.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.http import NoConnection, NoResponse, Response
from tests.slow.fuzz.harness import Happening, refresh
from tests.slow.fuzz.made_up import FUZZ, replies, texts, values

INSTANCE = "https://acme.my.salesforce.com"
tokens = st.sampled_from(
    [
        *("00D8d!AQ.token", "refresh-0", "refresh-1", "refresh-2"),
        *(" refresh-3 ", "two\r\nlines", "żeton"),
    ]
)
urls = st.sampled_from(
    [
        *(INSTANCE, *(INSTANCE + end for end in ("/", ":8443", ":x", ":99999", "?a="))),
        *("https://evil.example", "https:\n//acme.my.salesforce.com", "https://[::1"),
        *("http://127.0.0.1:9", "http://acme.my.salesforce.com"),
        "https://\ud83d.my.salesforce.com",
    ]
)
grants = st.fixed_dictionaries(
    {"access_token": tokens | values},
    optional={
        "refresh_token": tokens | values,
        "instance_url": urls | values,
        "issued_at": st.sampled_from(["1790236800000", "9" * 400]) | values,
        "id": texts | values,
        "scope": values,
        "signature": texts | values,
    },
)
refusals = st.fixed_dictionaries(
    {
        "error": st.sampled_from(
            [
                "invalid_grant",
                "invalid_client_id",
                "rate_limit_exceeded",
                "unknown_error",
                "Anna B.",
            ]
        )
        | values
    },
    optional={
        "error_description": st.sampled_from(
            [
                "expired access/refresh token",
                "token request is already being processed",
                "Anna Berg may not log in from Amsterdam",
            ]
        )
        | values
    },
)


def form(grant: dict[str, Any]) -> bytes:
    return urlencode({name: str(value) for name, value in grant.items()}, errors="replace").encode()


answered = st.builds(
    Response,
    st.sampled_from([200, 200, 200, 400, 403, 503]),
    st.just({}),
    grants.map(lambda value: json.dumps(value).encode())
    | refusals.map(lambda value: json.dumps(value).encode())
    | grants.map(form),
)
happenings = st.builds(
    Happening,
    answered | replies | st.sampled_from([NoResponse("broke off"), NoConnection("no connection")]),
    st.just(0.0) | st.floats(0, 20),
)

secrets = st.fixed_dictionaries(
    {"client_id": st.just("client"), "refresh_token": st.just("refresh-0")},
    optional={
        "login_url": urls,
        "client_secret": st.sampled_from(["", "s3cret", "\ud83d"]),
        "note": values,
    },
)
odd_secrets = st.dictionaries(
    st.sampled_from(["login_url", "client_id", "client_secret", "refresh_token", "grant"]),
    values | urls | st.just("client_credentials"),
)
stored_tokens = st.fixed_dictionaries(
    {},
    optional={
        "access_token": tokens | values,
        "instance_url": urls | values,
        "issued_at": st.sampled_from(["1", "9" * 400, "9" * 5000]) | values,
        "generation": st.integers() | st.just(int("9" * 4299)) | values,
        "scope": values,
    },
)
pendings = st.fixed_dictionaries(
    {},
    optional={
        "refresh_token": tokens | values,
        "trusted": st.just("refresh-0") | tokens | values,
        "secret_version": st.just("v1") | values,
        "replaces": texts,
    },
)
events = st.sampled_from([{"source": "aws.events"}, {"refused_generation": None}]) | (
    st.fixed_dictionaries({"refused_generation": st.integers() | values}) | values
)


def text(made: st.SearchStrategy[Any]) -> st.SearchStrategy[str | None]:
    return st.none() | made.map(json.dumps) | values.map(json.dumps) | texts | st.just("[" * 5000)


@hypothesis_settings(FUZZ, max_examples=400)
@given(
    event=events,
    secret=secrets.map(json.dumps) | odd_secrets.map(json.dumps) | text(values),
    stored=text(stored_tokens),
    pending=text(pendings),
    happens=st.lists(happenings, min_size=1, max_size=5),
    failing=st.just(set()) | st.sets(st.integers(1, 25), max_size=3),
)
def test_nothing_costs_the_connection(event: Any, happens: list[Happening], **there: Any) -> None:
    refresh(event, happens, **there)


SECRET = {"client_id": "client", "refresh_token": "refresh-0"}


@FUZZ
@given(
    happens=st.lists(st.builds(Happening, answered), min_size=1, max_size=4),
    failing=st.sets(st.integers(1, 25), max_size=6),
)
@example([Happening(Response(200, {}, b'{"access_token": "a", "refresh_token": {"b": 1}}'))], set())
def test_what_salesforce_rotated_is_kept_whatever_aws_refuses(
    happens: list[Happening], failing: set[int]
) -> None:
    refresh({"refused_generation": None}, happens, secret=json.dumps(SECRET), failing=failing)


@hypothesis_settings(FUZZ, max_examples=50)
@given(url=urls | texts)
def test_credentials_are_sent_where_the_secret_says_or_nowhere(url: str) -> None:
    grant = json.dumps({"access_token": "a", "instance_url": INSTANCE}).encode()
    secret = json.dumps({**SECRET, "login_url": url})
    for call in refresh(None, [Happening(Response(200, {}, grant))], secret=secret):
        assert call.url.startswith(("https://", "http://127.0.0.1:9/"))
