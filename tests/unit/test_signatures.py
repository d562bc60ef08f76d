"""Three ways to sign, each with vectors of our own: right, wrong in every part, and late."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import parse_qs

import pytest

from bridge.api.request import HttpRequest
from bridge.api.signatures import (
    SignatureGate,
    Signed,
    addresses_of,
    body_of,
    read_keys,
    verify,
)
from bridge.aws import AwsError
from bridge.deadline import Deadline
from bridge.errors import NotKept, Unsigned
from bridge.settings import Settings
from tests.conftest import MakeSettings
from tests.unit.signing import BODY, KEY, NOW, SECRET, URL, bird, jwt, standard


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock that PyJWT reads; it begins at NOW."""

    def set_to(seconds: float) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Clock:
                return cls.fromtimestamp(seconds, tz)

        monkeypatch.setattr("jwt.api_jwt.datetime", Clock)

    set_to(NOW)
    return set_to


Headers = dict[str, str]
SIGN: dict[str, Callable[..., Headers]] = {
    "messagebird-jwt": jwt,
    "bird": bird,
    "standard-webhooks": standard,
}
KEYS = {"messagebird-jwt": KEY, "bird": KEY, "standard-webhooks": SECRET}
OTHER_KEY = "whsec_" + base64.b64encode(b"another-secret-entirely!").decode()


def reason(
    scheme: str,
    headers: Headers,
    *,
    keys: tuple[str, ...] | None = None,
    body: bytes = BODY,
    urls: tuple[str, ...] = (URL,),
    now: float = NOW,
) -> str:
    """Why these headers are refused; empty where they are accepted."""
    used = (KEYS[scheme],) if keys is None else keys
    try:
        verify(scheme, Signed(headers, urls, body), keys=used, now=now)
    except Unsigned as refused:
        assert refused.reason
        return refused.reason
    return ""


every_scheme = pytest.mark.parametrize("scheme", SIGN)

# Every scheme


@every_scheme
def test_a_request_signed_by_one_of_the_keys_is_accepted(scheme: str) -> None:
    headers, key = SIGN[scheme](), KEYS[scheme]
    for keys in ((key,), (OTHER_KEY, key), (key, OTHER_KEY)):
        assert not reason(scheme, headers, keys=keys)
    assert reason(scheme, headers, keys=(OTHER_KEY,)) == "signature"
    assert reason(scheme, headers, keys=()) == "no_signing_key"
    assert reason("none", headers, keys=(key,)) == "no_scheme"


@every_scheme
@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b"a", b"b"),
        BODY + b" ",
        json.dumps(json.loads(BODY)).encode(),  # as re-serialised
        b"",
    ],
)
def test_one_changed_byte_of_the_body_is_noticed(scheme: str, body: bytes) -> None:
    assert reason(scheme, SIGN[scheme](), body=body)


def encoded(part: str) -> str:
    return base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode()


HEAD, CLAIMS, MAC = jwt()["messagebird-signature-jwt"].split(".")
SPOILT = (
    *("", " ", "x", "é", "....", "v1,", "v1,x", "a.b.c", "\x00", "\ud83d.\ud83d.\ud83d"),
    *(f"{HEAD}.{CLAIMS}.", f"{HEAD}.{CLAIMS}", f"{HEAD}.{encoded('7')}.{MAC}"),
    *(f"{encoded(part)}.{CLAIMS}.{MAC}" for part in ("[" * 100_000, '{"kid": 7}', "[]", "{")),
)


@every_scheme
@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda spoilt: spoilt[:20])
def test_a_spoilt_header_is_refused_and_never_an_error(scheme: str, spoilt: str) -> None:
    headers = SIGN[scheme]()
    for name in headers:
        assert reason(scheme, {**headers, name: spoilt})
        assert reason(scheme, {k: v for k, v in headers.items() if k != name})


@every_scheme
def test_how_long_a_comparison_takes_tells_nothing(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are made, in constant time, whichever key and whichever address fits."""
    compared: list[Any] = []
    constant_time = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append(other)
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    signatures, counts = [], set()
    for url in (URL, f"{URL}&x=1"):
        headers = standard() if scheme == "standard-webhooks" else SIGN[scheme](url=url)
        compared.clear()
        assert not reason(scheme, headers, keys=(KEYS[scheme], OTHER_KEY), urls=(URL, f"{URL}&x=1"))
        counts.add(len(compared))
        signatures.append(headers.get("messagebird-signature") or headers.get("webhook-signature"))
    assert len(counts) == 1 and counts != {0}
    if scheme != "messagebird-jwt":  # PyJWT compares the signature itself
        assert base64.b64decode(signatures[-1].rpartition(",")[2]) in compared


@pytest.mark.parametrize(
    ("scheme", "age", "refused"),
    [
        # Bird repeats a webhook for hours with its first time.
        *(("bird", age, "") for age in (0, 8 * 3600, 24 * 3600)),
        ("bird", 24 * 3600 + 1, "too_late"),
        ("bird", -301, "too_early"),
        *(("standard-webhooks", age, "") for age in (300, -300)),
        ("standard-webhooks", 301, "too_late"),
        ("standard-webhooks", -301, "too_early"),
    ],
)
def test_a_signature_is_good_for_a_time(scheme: str, age: int, refused: str) -> None:
    headers = SIGN[scheme](at=NOW - age)
    assert reason(scheme, headers) == refused
    (name,) = [name for name in headers if name.endswith("timestamp")]
    for no_plain_number in ("²", "9" * 5_000, "1e9", "-1", "+1", "٣", "1_0", " "):
        assert reason(scheme, {**headers, name: no_plain_number}) == "timestamp"


# MessageBird-Signature-JWT


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"iss": "Somebody"}, "claims"),
        ({"iss": None}, "claims"),
        ({"iss": ["MessageBird"]}, "claims"),
        ({"nbf": None}, "claims"),
        ({"exp": None}, "claims"),
        ({"nbf": "soon"}, "token"),
        ({"exp": {}}, "token"),
        ({"jti": None}, "claims"),
        ({"jti": ""}, "claims"),
        ({"jti": 7}, "claims"),
        ({"url_hash": None}, "claims"),
        ({"url_hash": ""}, "address"),
        ({"url_hash": hashlib.sha256(b"https://elsewhere.example").hexdigest()}, "address"),
        ({"url_hash": hashlib.sha256(URL.encode()).hexdigest().upper()}, "address"),
        ({"payload_hash": None}, "payload"),
        ({"payload_hash": ""}, "payload"),
        ({"payload_hash": hashlib.sha256(b"other").hexdigest()}, "payload"),
        ({"payload_hash": hashlib.sha256(BODY).hexdigest().upper()}, "payload"),
        # three algorithms are known
        *(({"alg": one}, "") for one in ("HS256", "HS384", "HS512")),
        *(({"alg": one}, "algorithm") for one in ("none", "None", "NONE", "HS1", "RS256", "ES256")),
        *(({"alg": one}, "algorithm") for one in ("", 7, [], None)),
        ({"key": "another-signing-key-entirely-000"}, "signature"),
        ({"nbf": int(NOW) + 2}, "too_early"),
        ({"exp": int(NOW) - 1}, "too_late"),
        ({"header": {"crit": ["x"]}}, "claims"),
        ({"header": {"crit": []}}, "claims"),
        ({"header": {"crit": ["b64"], "b64": False}}, "token"),
        # other claims do not matter
        ({"aud": "somebody", "iat": int(NOW) + 99, "sub": "x"}, ""),
    ],
)
def test_every_claim_counts_and_the_log_names_it(changed: dict[str, Any], refused: str) -> None:
    assert reason("messagebird-jwt", jwt(**changed)) == refused


def test_a_payload_hash_is_there_if_and_only_if_there_is_a_body() -> None:
    assert not reason("messagebird-jwt", jwt(body=b""), body=b"")
    assert reason("messagebird-jwt", jwt(body=b"")) == "payload"
    of_nothing = jwt(body=b"", payload_hash=hashlib.sha256(b"").hexdigest())
    assert reason("messagebird-jwt", of_nothing, body=b"") == "payload"


def test_a_public_key_is_no_shared_secret() -> None:
    """The confusion of algorithms: what everybody knows must not verify an HMAC."""
    key = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL3wZC"
    public = f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----"
    assert reason("messagebird-jwt", jwt(key=public), keys=(public,))


@pytest.mark.parametrize(
    ("seconds", "good"),
    [(-2, False), (-1, True), (0, True), (60, True), (61, False), (3600, False)],
)
def test_a_token_is_valid_from_nbf_to_exp_and_a_second(
    clock: Callable[[float], None], seconds: int, good: bool
) -> None:
    clock(NOW + seconds)
    assert (not reason("messagebird-jwt", jwt())) is good


# Bird's webhook subscriptions


def test_the_address_is_covered_with_its_query_and_the_hash_of_the_body_as_raw_bytes() -> None:
    assert reason("bird", bird(), urls=(URL + "&x=1",))
    assert not reason("bird", bird(), urls=("https://other.example", URL)), "any way to write it"
    assert reason("bird", bird(raw=False))


# Standard Webhooks


WRONG = "v1," + base64.b64encode(b"0" * 32).decode()


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        # Of several signatures one has to fit; other versions are ignored.
        ({"webhook-signature": f"{WRONG} FITS"}, True),
        ({"webhook-signature": "v1a,xx FITS"}, True),
        ({"webhook-signature": WRONG}, False),
        ({"webhook-signature": standard()["webhook-signature"].replace("v1,", "v2,")}, False),
        # Id and time are covered.
        ({"webhook-id": "msg_2"}, False),
        ({"webhook-timestamp": "1790236801"}, False),
    ],
)
def test_a_standard_webhook_is_signed_with_its_id_and_time(changed: Headers, good: bool) -> None:
    headers = standard()
    changed = {k: v.replace("FITS", headers["webhook-signature"]) for k, v in changed.items()}
    assert (not reason("standard-webhooks", {**headers, **changed})) is good


@pytest.mark.parametrize("body", [b"", b" \r\n\t", "\u2003\xa0".encode(), b"\xef\xbb\xbf "])
def test_where_the_address_is_not_signed_there_has_to_be_a_body(body: bytes) -> None:
    """An SMS may come in the query: a signature of nothing would be good for any words in it."""
    assert reason("standard-webhooks", standard(body=body), body=body) == "payload"
    for scheme, headers in (("messagebird-jwt", jwt(body=body)), ("bird", bird(body=body))):
        assert not reason(scheme, headers, body=body), "there the address is signed"


@pytest.mark.parametrize("length", range(20, 26))
def test_a_secret_may_have_lost_its_last_signs(length: int) -> None:
    """A double click copies `whsec_…` without the `=` at its end."""
    secret = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmnop"[:length]).decode()
    headers = standard(key=secret)
    assert not reason("standard-webhooks", headers, keys=(secret,))
    assert not reason("standard-webhooks", headers, keys=(secret.rstrip("="),))
    assert reason("standard-webhooks", headers, keys=("whsec_§§§",)) == "no_signing_key"


def test_the_vector_of_the_specification() -> None:
    # From the README of standard-webhooks, and every one of its libraries.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert not reason(
        "standard-webhooks",
        headers,
        keys=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
        body=b'{"test": 2432232314}',
        now=1614265330,
    )


# The address and the body


def event(query: dict[str, list[str]] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "resource": "/webhooks/bird",
        "path": "/webhooks/bird",
        "multiValueQueryStringParameters": query,
        "requestContext": {"path": "/v1/webhooks/bird", "domainName": "api.example.com"},
        **more,
    }


BASE = "https://api.example.com/v1/webhooks/bird"


@pytest.mark.parametrize(
    ("query", "most"),
    [
        ("", 1),
        *((one, 12) for one in ("?b=2&a=1", "?a=1&b=2", "?b=two+words&a=%26", "?b=two%20words")),
        # with many parameters not every order is tried
        ("?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1", 12),
    ],
)
def test_the_order_and_the_encoding_that_were_lost_are_tried(query: str, most: int) -> None:
    found = addresses_of(event(parse_qs(query[1:])), webhook_url="")
    assert BASE + query in found
    assert len(found) <= most


def test_a_configured_address_is_taken_as_it_stands() -> None:
    given = "https://hooks.example.org/in/webhooks/bird?z=1&a=%7e"
    assert addresses_of(event({"a": ["~"], "z": ["1"]}), webhook_url=given) == (given,)
    leads = event(resource="/leads", requestContext={"path": "/v1/leads", "domainName": "x"})
    assert addresses_of(leads, webhook_url=given) == ("https://hooks.example.org/in/leads",)
    assert addresses_of(leads, webhook_url="https://proxy.example/bird") == ("https://x/v1/leads",)


def test_the_body_is_taken_as_it_came() -> None:
    packed = base64.b64encode(b"\xff\x00").decode()
    assert body_of({"body": None}) == b""
    assert body_of({"body": "ü"}) == "ü".encode()
    assert body_of({"body": packed, "isBase64Encoded": True}) == b"\xff\x00"
    for spoilt in ({"body": 7}, {"body": "§", "isBase64Encoded": True}):
        with pytest.raises(Unsigned):
            body_of(spoilt)


# The keys and the gate


class Vault:
    """Answers GetSecretValue from a script: a text, None, or an error."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.reads = 0

    def get_secret(self, secret_id: str, *, deadline: Deadline) -> Any:
        self.reads += 1
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            raise response
        return response


DOWN = AwsError("ServiceUnavailable", "x", status=503)


def gate_of(vault: Vault, settings: Settings) -> SignatureGate:
    return SignatureGate(aws=vault, settings=settings)  # type: ignore[arg-type]


SOON = Deadline.after(60)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (f'{{"keys": ["{KEY}", " {SECRET} "]}}', (KEY, SECRET)),
        (f'{{"key": "{KEY}"}}', (KEY,)),
        (f'["{KEY}"]', (KEY,)),
        (KEY, (KEY,)),
        (f"{KEY}\n", (KEY,)),
        ('{"keys": ["", 7, null, "short"]}', ()),
        ('{"signing": "x"}', ()),
        ("{}", ()),
        ("", ()),
        ("1234567890", ("1234567890",)),
        (f"\ufeff{KEY}", (KEY,)),  # as some editors begin a file
    ],
)
def test_the_secret_may_be_written_in_several_ways(value: str, keys: tuple[str, ...]) -> None:
    assert read_keys(value) == keys


def check(gate: SignatureGate) -> str:
    """Why a request that KEY signed is refused; empty where it is accepted."""
    made = event(resource="/messages", body=BODY.decode())
    made["headers"] = bird(url=addresses_of(made, webhook_url="")[0], at=time.time())
    try:
        gate.check(made, HttpRequest.from_event(made), deadline=SOON)
    except Unsigned as refused:
        return refused.reason
    return ""


def test_keys_are_remembered_and_looked_for_while_there_are_none(settings: MakeSettings) -> None:
    vault = Vault(None, "", "{}", KEY)
    gate = gate_of(vault, settings(SIGNATURE_SCHEME="bird"))
    assert [check(gate) for _ in range(5)] == ["no_signing_key"] * 3 + ["", ""]
    assert vault.reads == 4


def test_old_keys_serve_on_while_new_ones_cannot_be_read(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotKept):
        check(gate_of(Vault(DOWN), settings(SIGNATURE_SCHEME="bird")))
    vault = Vault(KEY, DOWN)
    gate = gate_of(vault, settings(SIGNATURE_SCHEME="bird"))
    assert not check(gate)
    at = time.monotonic() + 301
    monkeypatch.setattr("time.monotonic", lambda: at)
    assert not check(gate)
    assert vault.reads == 2


@pytest.mark.parametrize(
    ("scheme", "resource", "opens"),
    [
        ("bird", "/webhooks/bird", False),
        # With no scheme only the route with a key is open.
        ("none", "/webhooks/bird", False),
        ("none", "/other", False),
        ("none", None, False),
        ("none", "/messages", True),
    ],
)
def test_a_request_without_a_signature_costs_no_call(
    settings: MakeSettings, scheme: str, resource: str | None, opens: bool
) -> None:
    vault = Vault(KEY)
    gate = gate_of(vault, settings(SIGNATURE_SCHEME=scheme))
    called = event(resource=resource)
    try:
        gate.check(called, HttpRequest.from_event(called), deadline=SOON)
    except Unsigned:
        assert not opens
    else:
        assert opens
    assert vault.reads == 0


# What counts of a webhook's request


WEBHOOK_URL = "https://hooks.example.org/webhooks/bird"
QUERY = {"object": "Case", "channel": "viber", "set.OwnerId": "005"}


def passed(
    settings: MakeSettings,
    scheme: str,
    *,
    webhook_url: str = "",
    resource: str = "/webhooks/bird",
) -> HttpRequest:
    """The request that the gate lets through, with every header that anybody may add."""
    made = event(
        {name: [value] for name, value in QUERY.items()},
        resource=resource,
        body=BODY.decode(),
        queryStringParameters=QUERY,
    )
    made["requestContext"]["path"] = f"/v1{resource}"
    url = addresses_of(made, webhook_url=webhook_url)[0]
    signed = {
        "messagebird-jwt": lambda: jwt(url=url),
        "bird": lambda: bird(url=url, at=time.time()),
        "standard-webhooks": lambda: standard(at=time.time()),
    }[scheme]()
    added = {"Idempotency-Key": "anybody", "Prefer": "respond-async", "webhook-id": "anybody"}
    made["headers"] = {**added, **signed}
    own = settings(SIGNATURE_SCHEME=scheme, WEBHOOK_URL=webhook_url)
    gate = gate_of(Vault(KEYS[scheme]), own)
    return gate.check(made, HttpRequest.from_event(made), deadline=SOON)


@every_scheme
@pytest.mark.parametrize("webhook_url", ["", WEBHOOK_URL])
def test_of_a_webhook_only_what_is_signed_counts(
    settings: MakeSettings, scheme: str, webhook_url: str
) -> None:
    request = passed(settings, scheme, webhook_url=webhook_url)
    is_standard = scheme == "standard-webhooks"
    assert request.query == ({} if is_standard else QUERY)
    assert request.headers.get("webhook-id") == ("msg_1" if is_standard else None)
    assert not request.respond_async


@every_scheme
def test_a_configured_query_counts_instead_of_the_called(
    settings: MakeSettings, scheme: str
) -> None:
    """The signature covers the configured address there, whatever was called (or no address)."""
    url = f"{WEBHOOK_URL}?object=Lead&set.Rating=Hot+stuff"
    request = passed(settings, scheme, webhook_url=url)
    assert request.query == {"object": "Lead", "set.Rating": "Hot stuff"}


@every_scheme
def test_beside_an_api_key_everything_counts(settings: MakeSettings, scheme: str) -> None:
    request = passed(settings, scheme, resource="/messages")
    assert (request.query, request.respond_async) == (QUERY, True)
    assert request.headers["idempotency-key"] == "anybody"
    assert "webhook-id" in request.headers
