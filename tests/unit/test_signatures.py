"""Three ways to sign, each with vectors of our own: right, wrong in every part, and late."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

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


Sign = Callable[..., dict[str, str]]
SCHEMES: dict[str, tuple[Sign, str]] = {
    "messagebird-jwt": (jwt, KEY),
    "bird": (bird, KEY),
    "standard-webhooks": (standard, SECRET),
}


def accepts(
    scheme: str,
    headers: Mapping[str, str],
    *,
    keys: tuple[str, ...] | None = None,
    body: bytes = BODY,
    urls: tuple[str, ...] = (URL,),
    now: float = NOW,
) -> bool:
    used = (SCHEMES[scheme][1],) if keys is None else keys
    try:
        verify(scheme, Signed(headers, urls, body), keys=used, now=now)
    except Unsigned:
        return False
    return True


# Every scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signed_request_is_accepted(scheme: str) -> None:
    assert accepts(scheme, SCHEMES[scheme][0]())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signature_by_any_of_two_keys_is_good(scheme: str) -> None:
    sign, key = SCHEMES[scheme]
    other = "whsec_" + base64.b64encode(b"another-secret-entirely!").decode()
    assert accepts(scheme, sign(), keys=(other, key))
    assert accepts(scheme, sign(), keys=(key, other))
    assert not accepts(scheme, sign(), keys=(other,))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_changed_byte_of_the_body_is_noticed(scheme: str) -> None:
    headers = SCHEMES[scheme][0]()
    assert not accepts(scheme, headers, body=BODY.replace(b"a", b"b"))
    assert not accepts(scheme, headers, body=BODY + b" ")
    assert not accepts(scheme, headers, body=json.dumps(json.loads(BODY)).encode()), "re-serialised"
    assert not accepts(scheme, headers, body=b"")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_a_key_nothing_is_accepted(scheme: str) -> None:
    assert not accepts(scheme, SCHEMES[scheme][0](), keys=())
    empty = {"messagebird-jwt": jwt(key=""), "bird": bird(key=""), "standard-webhooks": {}}
    assert not accepts(scheme, empty[scheme])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("spoilt", ["", " ", "x", "é", "....", "v1,", "v1,x", "a.b.c", "\x00"])
def test_a_spoilt_header_is_refused_and_never_an_error(scheme: str, spoilt: str) -> None:
    headers = SCHEMES[scheme][0]()
    for name in headers:
        assert not accepts(scheme, {**headers, name: spoilt})
        assert not accepts(scheme, {k: v for k, v in headers.items() if k != name})


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was compared in constant time (`hmac.compare_digest`, also by PyJWT)."""
    compared: list[bytes] = []
    constant_time = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append(other)
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return compared


@pytest.mark.parametrize("scheme", ["bird", "standard-webhooks"])
def test_how_long_a_comparison_takes_tells_nothing(scheme: str, comparisons: list[bytes]) -> None:
    """All are made, whichever byte is wrong and whichever key fits."""
    sign, key = SCHEMES[scheme]
    other = "whsec_" + base64.b64encode(b"another-secret-entirely!").decode()
    header = {"bird": "messagebird-signature", "standard-webhooks": "webhook-signature"}[scheme]
    begin = "v1," if scheme == "standard-webhooks" else ""
    headers = sign()
    right = base64.b64decode(headers[header].removeprefix(begin))
    counts = set()
    for at in (None, 0, 15, 31):
        for keys in ((key, other), (other, key), (other, other)):
            given = bytearray(right)
            if at is not None:
                given[at] ^= 1
            comparisons.clear()
            whole = {**headers, header: begin + base64.b64encode(given).decode()}
            good = at is None and key in keys
            assert accepts(scheme, whole, keys=keys, urls=(URL, f"{URL}&x=1")) is good
            assert bytes(given) in comparisons
            counts.add(len(comparisons))
    assert len(counts) == 1


@pytest.mark.parametrize("claim", ["url_hash", "payload_hash"])
def test_the_hashes_of_a_token_are_compared_so_too(claim: str, comparisons: list[bytes]) -> None:
    right = {"url_hash": URL.encode(), "payload_hash": BODY}[claim]
    digest = hashlib.sha256(right).hexdigest()
    counts = set()
    for at in (0, 63):
        wrong = digest[:at] + ("0" if digest[at] != "0" else "1") + digest[at + 1 :]
        comparisons.clear()
        assert not accepts("messagebird-jwt", jwt(**{claim: wrong}), urls=(URL, f"{URL}&x=1"))
        assert wrong.encode() in comparisons
        counts.add(len(comparisons))
    assert len(counts) == 1


@pytest.mark.parametrize("stamp", ["²", "9" * 5_000, "1e9", "-1", "+1", " 1", "٣", "1_0"])
@pytest.mark.parametrize("scheme", ["bird", "standard-webhooks"])
def test_a_time_that_is_no_plain_number_is_refused(scheme: str, stamp: str) -> None:
    headers = SCHEMES[scheme][0]()
    for name in headers:
        if name.endswith("timestamp"):
            assert not accepts(scheme, {**headers, name: stamp})


def test_an_unknown_scheme_accepts_nothing() -> None:
    assert not accepts("none", jwt(), keys=(KEY,))


# MessageBird-Signature-JWT


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_three_algorithms_are_known(alg: str) -> None:
    assert accepts("messagebird-jwt", jwt(alg=alg))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS1", "RS256", "ES256", "", 7, [], None])
def test_no_other_algorithm_is(alg: Any) -> None:
    assert not accepts("messagebird-jwt", jwt(alg=alg))


@pytest.mark.parametrize("alg", ["none", "None", "HS256"])
def test_a_token_without_a_signature_is_refused(alg: str) -> None:
    covered, _, _ = jwt(alg=alg)["messagebird-signature-jwt"].rpartition(".")
    for token in (f"{covered}.", covered):
        assert not accepts("messagebird-jwt", {"messagebird-signature-jwt": token})


def test_a_public_key_is_no_shared_secret() -> None:
    """The confusion of algorithms: what everybody knows must not verify an HMAC."""
    public = (
        "-----BEGIN PUBLIC KEY-----\n"
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL3wZC\n"
        "-----END PUBLIC KEY-----"
    )
    assert not accepts("messagebird-jwt", jwt(key=public), keys=(public,))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_character_of_a_token_is_noticed(part: int) -> None:
    parts = jwt()["messagebird-signature-jwt"].split(".")
    for at in range(0, len(parts[part]) - 1, 7):
        changed = "A" if parts[part][at] != "A" else "B"
        spoilt = parts[part][:at] + changed + parts[part][at + 1 :]
        token = ".".join([*parts[:part], spoilt, *parts[part + 1 :]])
        assert not accepts("messagebird-jwt", {"messagebird-signature-jwt": token})


@pytest.mark.parametrize(
    "part", ["[" * 100_000, '{"alg": "HS256", "kid": 7}', "[]", "7", '"HS256"', "\ud83d", "{"]
)
def test_an_unreadable_part_of_a_token_is_refused_and_never_an_error(part: str) -> None:
    encoded = base64.urlsafe_b64encode(part.encode("utf-8", "surrogatepass")).rstrip(b"=").decode()
    parts = jwt()["messagebird-signature-jwt"].split(".")
    for at in (0, 1):
        token = ".".join([*parts[:at], encoded, *parts[at + 1 :]])
        assert not accepts("messagebird-jwt", {"messagebird-signature-jwt": token})
    covered = f"{parts[0]}.{encoded}"
    mac = base64.urlsafe_b64encode(hmac.digest(KEY.encode(), covered.encode(), "sha256"))
    token = f"{covered}.{mac.rstrip(b'=').decode()}"
    assert not accepts("messagebird-jwt", {"messagebird-signature-jwt": token})
    assert not accepts("messagebird-jwt", {"messagebird-signature-jwt": f"{part}.{part}.{part}"})


@pytest.mark.parametrize(
    ("changed", "reason"),
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
        ({"alg": "none"}, "algorithm"),
        ({"key": "another-signing-key-entirely-000"}, "signature"),
        ({"nbf": int(NOW) + 2}, "too_early"),
        ({"exp": int(NOW) - 1}, "too_late"),
    ],
)
def test_every_claim_counts_and_the_log_names_it(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsigned) as caught:
        verify("messagebird-jwt", Signed(jwt(**changed), (URL,), BODY), keys=(KEY,), now=NOW)
    assert caught.value.reason == reason


def test_a_payload_hash_is_there_if_and_only_if_there_is_a_body() -> None:
    assert accepts("messagebird-jwt", jwt(body=b""), body=b"")
    assert not accepts("messagebird-jwt", jwt(), body=b"")
    assert not accepts("messagebird-jwt", jwt(body=b""))


@pytest.mark.parametrize(
    ("seconds", "good"),
    [(-2, False), (-1, True), (0, True), (60, True), (61, False), (3600, False)],
)
def test_a_token_is_valid_from_nbf_to_exp_and_a_second(
    clock: Callable[[float], None], seconds: int, good: bool
) -> None:
    clock(NOW + seconds)
    assert accepts("messagebird-jwt", jwt()) is good


def test_a_critical_extension_is_refused() -> None:
    for header in ({"crit": ["x"]}, {"crit": []}, {"crit": ["b64"], "b64": False}):
        assert not accepts("messagebird-jwt", jwt(header=header))


def test_other_claims_do_not_matter() -> None:
    assert accepts("messagebird-jwt", jwt(aud="somebody", iat=int(NOW) + 99, sub="x"))


# Bird's webhook subscriptions


def test_the_hash_goes_in_as_raw_bytes_and_not_as_hex() -> None:
    assert not accepts("bird", bird(raw=False))


def test_the_address_is_covered_with_its_query() -> None:
    assert not accepts("bird", bird(), urls=(URL + "&x=1",))
    assert accepts("bird", bird(), urls=("https://other.example", URL)), "any way to write it"


@pytest.mark.parametrize(
    ("age", "good"),
    [(0, True), (8 * 3600, True), (24 * 3600, True), (24 * 3600 + 1, False), (-301, False)],
)
def test_a_webhook_repeated_for_hours_with_its_first_time_is_accepted(age: int, good: bool) -> None:
    assert accepts("bird", bird(at=NOW - age)) is good


# Standard Webhooks


def test_of_several_signatures_one_has_to_fit_and_other_versions_are_ignored() -> None:
    headers = standard()
    fits = headers["webhook-signature"]
    wrong = "v1," + base64.b64encode(b"0" * 32).decode()
    for entries, good in ((f"{wrong} {fits}", True), (f"v1a,xx {fits}", True), (wrong, False)):
        assert accepts("standard-webhooks", {**headers, "webhook-signature": entries}) is good
    assert not accepts(
        "standard-webhooks", {**headers, "webhook-signature": fits.replace("v1,", "v2,")}
    )


@pytest.mark.parametrize("changed", [{"webhook-id": "msg_2"}, {"webhook-timestamp": "1790236801"}])
def test_id_and_time_are_covered(changed: dict[str, str]) -> None:
    assert not accepts("standard-webhooks", {**standard(), **changed})


@pytest.mark.parametrize(("age", "good"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_five_minutes_either_way_are_tolerated(age: int, good: bool) -> None:
    assert accepts("standard-webhooks", standard(at=NOW - age)) is good


@pytest.mark.parametrize("body", [b"", b" \r\n\t", "\u2003\xa0".encode(), b"\xef\xbb\xbf "])
def test_where_the_address_is_not_signed_there_has_to_be_a_body(body: bytes) -> None:
    """An SMS may come in the query: a signature of nothing would be good for any words in it."""
    assert not accepts("standard-webhooks", standard(body=body), body=body)
    for scheme, headers in (("messagebird-jwt", jwt(body=body)), ("bird", bird(body=body))):
        assert accepts(scheme, headers, body=body), "there the address is signed"


def test_a_secret_that_is_no_base64_accepts_nothing() -> None:
    assert not accepts("standard-webhooks", standard(), keys=("whsec_§§§",))


@pytest.mark.parametrize("length", range(20, 26))
def test_a_secret_may_have_lost_its_last_signs(length: int) -> None:
    """A double click copies `whsec_…` without the `=` at its end."""
    secret = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmnop"[:length]).decode()
    headers = standard(key=secret)
    assert accepts("standard-webhooks", headers, keys=(secret,))
    assert accepts("standard-webhooks", headers, keys=(secret.rstrip("="),))


def test_the_vector_of_the_specification() -> None:
    # From the README of standard-webhooks, and every one of its libraries.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert accepts(
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


def test_without_a_query_there_is_one_way_to_write_the_address() -> None:
    assert addresses_of(event(), webhook_url="") == (BASE,)


@pytest.mark.parametrize(
    "query", ["b=2&a=1", "a=1&b=2", "b=two+words&a=%26", "b=two%20words&a=%26"]
)
def test_the_order_and_the_encoding_that_were_lost_are_tried(query: str) -> None:
    from urllib.parse import parse_qs

    found = addresses_of(event(parse_qs(query)), webhook_url="")
    assert f"{BASE}?{query}" in found
    assert len(found) <= 12


def test_with_many_parameters_not_every_order_is_tried() -> None:
    assert len(addresses_of(event({c: ["1"] for c in "abcdefgh"}), webhook_url="")) <= 12


def test_a_configured_address_is_taken_as_it_stands() -> None:
    given = "https://hooks.example.org/in/webhooks/bird?z=1&a=%7e"
    assert addresses_of(event({"a": ["~"], "z": ["1"]}), webhook_url=given) == (given,)
    leads = event(resource="/leads", requestContext={"path": "/v1/leads", "domainName": "x"})
    assert addresses_of(leads, webhook_url=given) == ("https://hooks.example.org/in/leads",)
    assert addresses_of(leads, webhook_url="https://proxy.example/bird") == ("https://x/v1/leads",)


def test_the_body_is_taken_as_it_came() -> None:
    assert body_of({"body": None}) == b""
    assert body_of({"body": "ü"}) == "ü".encode()
    assert body_of({"body": base64.b64encode(b"\xff\x00").decode(), "isBase64Encoded": True}) == (
        b"\xff\x00"
    )
    for spoilt in ({"body": 7}, {"body": "§", "isBase64Encoded": True}):
        with pytest.raises(Unsigned):
            body_of(spoilt)


# The keys and the gate


class Vault:
    """Answers GetSecretValue from a script: a text, None, or an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.reads = 0

    def get_secret(self, secret_id: str, *, deadline: Deadline) -> str | None:
        self.reads += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


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


def check_signed(gate: SignatureGate) -> None:
    """Check a request that KEY signed."""
    made = event(resource="/messages", body=BODY.decode())
    made["headers"] = bird(url=addresses_of(made, webhook_url="")[0], at=time.time())
    gate.check(made, HttpRequest.from_event(made), deadline=SOON)


def test_the_keys_are_read_once_and_remembered(settings: MakeSettings) -> None:
    vault = Vault(KEY)
    gate = gate_of(vault, settings(SIGNATURE_SCHEME="bird"))
    check_signed(gate)
    check_signed(gate)
    assert vault.reads == 1


@pytest.mark.parametrize("nothing", [None, "", "{}"])
def test_while_there_is_no_key_it_is_looked_for_each_time(
    settings: MakeSettings, nothing: str | None
) -> None:
    gate = gate_of(Vault(nothing, nothing, KEY), settings(SIGNATURE_SCHEME="bird"))
    for _ in range(2):
        with pytest.raises(Unsigned, match="no_signing_key"):
            check_signed(gate)
    check_signed(gate)


def test_keys_that_cannot_be_read_are_no_refusal(settings: MakeSettings) -> None:
    vault = Vault(AwsError("ServiceUnavailable", "x", status=503))
    with pytest.raises(NotKept):
        check_signed(gate_of(vault, settings(SIGNATURE_SCHEME="bird")))


def test_old_keys_serve_on_while_new_ones_cannot_be_read(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(KEY, AwsError("ServiceUnavailable", "x", status=503))
    gate = gate_of(vault, settings(SIGNATURE_SCHEME="bird"))
    check_signed(gate)
    at = time.monotonic() + 301
    monkeypatch.setattr("time.monotonic", lambda: at)
    check_signed(gate)
    assert vault.reads == 2


def test_a_request_without_a_signature_costs_no_call(settings: MakeSettings) -> None:
    vault = Vault(KEY)
    gate = gate_of(vault, settings(SIGNATURE_SCHEME="bird"))
    with pytest.raises(Unsigned):
        gate.check(event(), HttpRequest.from_event(event()), deadline=SOON)
    assert vault.reads == 0


@pytest.mark.parametrize("resource", ["/webhooks/bird", "/other", None])
def test_with_no_scheme_only_the_route_with_a_key_is_open(
    settings: MakeSettings, resource: str | None
) -> None:
    gate = gate_of(Vault(KEY), settings())
    open_event = event(resource="/messages")
    gate.check(open_event, HttpRequest.from_event(open_event), deadline=SOON)
    closed = event(resource=resource)
    with pytest.raises(Unsigned):
        gate.check(closed, HttpRequest.from_event(closed), deadline=SOON)


# What counts of a webhook's request


WEBHOOK_URL = "https://hooks.example.org/webhooks/bird"
UNSIGNED = {"errors": "inline", "object": "Case", "channel": "viber", "set.OwnerId": "005"}


def passed(
    settings: MakeSettings,
    scheme: str,
    *,
    webhook_url: str = "",
    query: dict[str, str] | None = None,
    resource: str = "/webhooks/bird",
) -> HttpRequest:
    """The request that the gate lets through, with every header that anybody may add."""
    query = query or {}
    made = event(
        {name: [value] for name, value in query.items()},
        resource=resource,
        body=BODY.decode(),
        queryStringParameters=query,
    )
    made["requestContext"]["path"] = f"/v1{resource}"
    now = time.time()
    url = addresses_of(made, webhook_url=webhook_url)[0]
    sign: dict[str, Callable[[], dict[str, str]]] = {
        "messagebird-jwt": lambda: jwt(url=url),
        "bird": lambda: bird(url=url, at=now),
        "standard-webhooks": lambda: standard(at=now),
    }
    added = {"Idempotency-Key": "anybody", "Prefer": "respond-async", "webhook-id": "anybody"}
    made["headers"] = {**added, **sign[scheme]()}
    own = settings(SIGNATURE_SCHEME=scheme, WEBHOOK_URL=webhook_url)
    gate = gate_of(Vault(SCHEMES[scheme][1]), own)
    return gate.check(made, HttpRequest.from_event(made), deadline=SOON)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("webhook_url", ["", WEBHOOK_URL])
def test_a_signed_query_counts(settings: MakeSettings, scheme: str, webhook_url: str) -> None:
    query = dict(list(UNSIGNED.items())[1:])
    request = passed(settings, scheme, webhook_url=webhook_url, query=query)
    assert request.query == ({} if scheme == "standard-webhooks" else query)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_configured_query_counts_instead_of_the_called(
    settings: MakeSettings, scheme: str
) -> None:
    """The signature covers the configured address there, whatever was called (or no address)."""
    url = f"{WEBHOOK_URL}?object=Lead&set.Rating=Hot+stuff"
    request = passed(settings, scheme, webhook_url=url, query=UNSIGNED)
    assert request.query == {"object": "Lead", "set.Rating": "Hot stuff"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_webhook_s_id_counts_only_where_it_is_signed(settings: MakeSettings, scheme: str) -> None:
    request = passed(settings, scheme)
    signed = {"standard-webhooks": standard()["webhook-id"]}
    assert request.headers.get("webhook-id") == signed.get(scheme)
    assert not request.respond_async


@pytest.mark.parametrize("scheme", SCHEMES)
def test_beside_an_api_key_everything_counts(settings: MakeSettings, scheme: str) -> None:
    query = {"object": "Case", "set.OwnerId": "005"}
    request = passed(settings, scheme, query=query, resource="/messages")
    assert (request.query, request.respond_async) == (query, True)
    assert request.headers["idempotency-key"] == "anybody"
    assert "webhook-id" in request.headers
