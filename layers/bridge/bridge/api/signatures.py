"""Checks that a request was signed by Bird: three schemes, one response to every failure.

Optional beside the API key, and the only authentication of the webhook's own route. Only functions
that verify import this module, and only they may read the signing keys.

| parameter SignatureScheme | headers | signed with it |
|---|---|---|
| `messagebird-jwt` | `MessageBird-Signature-JWT` | address and body, as hashes in a JWT |
| `bird` | `messagebird-signature`, `messagebird-request-timestamp` | time, address, body |
| `standard-webhooks` | `webhook-id`, `webhook-timestamp`, `webhook-signature` | id, time, body |

What is not signed does not count (docs/adr/0079-only-what-is-signed-counts.md).

Sources: the SDKs of MessageBird (Go, Python, PHP, Node: the rules they share; three of the four
allow a clock to be 1 s off), docs.bird.com "Verifying a webhook subscription", the specification
of Standard Webhooks. Whether Flow Builder's HTTP steps are signed is documented nowhere: optional.

The JWT is verified by PyJWT (docs/adr/0035-pyjwt-for-messagebird-signatures.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, permutations
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from bridge.api.request import WEBHOOK_ROUTE, HttpRequest
from bridge.aws import Aws, AwsError, KeptSecret
from bridge.deadline import Deadline
from bridge.errors import NotKept, Unsigned
from bridge.settings import Settings

KEYED_ROUTE = "/messages"
"""The route of the same function for which API Gateway demands an API key."""

JWT_ALGORITHMS = ["HS256", "HS384", "HS512"]
JWT_LEEWAY_SECONDS = 1
BIRD_PAST_SECONDS = 24 * 3600
"""Bird repeats an unanswered webhook for 8 hours *with its first timestamp*; a shorter window has
lost real messages elsewhere. The idempotency key makes a replay harmless."""
BIRD_FUTURE_SECONDS = 300
STANDARD_TOLERANCE_SECONDS = 300

SHORTEST_KEY = 8
"""Characters; a shorter one is a mistake in the secret and counts as none."""

_JWT_REASONS = {
    "InvalidAlgorithmError": "algorithm",
    "ImmatureSignatureError": "too_early",
    "ExpiredSignatureError": "too_late",
    "DecodeError": "token",
    "UnicodeEncodeError": "token",
}
"""What is logged for an error of PyJWT's, by its class; `claims` for the others."""

_SIGNATURE_HEADERS = ("messagebird-signature-jwt", "messagebird-signature", "webhook-signature")


@dataclass(frozen=True)
class Signed:
    """What a signature covers. `addresses`: the same URL in every spelling Bird may have used."""

    headers: Mapping[str, str] = field(repr=False)
    addresses: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)


def verify(scheme: str, signed: Signed, *, keys: Sequence[str], now: float) -> None:
    """Raises Unsigned unless one of the keys signed exactly this, at an acceptable time.

    `now` is seconds since the epoch; PyJWT reads the clock itself.
    """
    if not keys:
        raise Unsigned("no_signing_key")
    if scheme not in _SCHEMES:
        raise Unsigned("no_scheme")
    _SCHEMES[scheme](signed, keys, now)


def _verify_jwt(signed: Signed, keys: Sequence[str], now: float) -> None:
    """MessageBird-Signature-JWT. Raises Unsigned.

    The account's signing key is used as it is written. `payload_hash` is there if and only if the
    body is not empty; the method is not covered.
    """
    token = signed.headers.get("messagebird-signature-jwt", "").strip()
    if not token:
        raise Unsigned("missing")
    claims = _read_jwt(token, keys=keys)
    if not claims["jti"]:
        raise Unsigned("claims")
    addresses = [_sha256(_bytes(url)) for url in signed.addresses]
    if not _any_equal(addresses, [_bytes(str(claims["url_hash"]))]):
        raise Unsigned("address")
    given = claims.get("payload_hash")
    if given is None and not signed.body:
        return
    if not signed.body or not _any_equal([_sha256(signed.body)], [_bytes(str(given))]):
        raise Unsigned("payload")


def _read_jwt(token: str, *, keys: Sequence[str]) -> Mapping[str, Any]:
    """The claims of a token that one of the keys signed and that is valid now. Raises Unsigned."""
    import jwt  # here, because the other schemes and requests without signatures do without it

    for key in keys:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=JWT_ALGORITHMS,
                issuer="MessageBird",
                leeway=JWT_LEEWAY_SECONDS,
                options={
                    "require": ["nbf", "exp", "jti", "url_hash"],
                    "verify_aud": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue  # perhaps it was signed by the other key
        except (jwt.PyJWTError, UnicodeEncodeError) as error:
            raise Unsigned(_JWT_REASONS.get(type(error).__name__, "claims")) from error
    raise Unsigned("signature")


def _verify_bird(signed: Signed, keys: Sequence[str], now: float) -> None:
    """The signature of Bird's webhook subscriptions. Raises Unsigned.

    The address is the one that was registered, query and all, and the body's hash goes in as its
    32 raw bytes.
    """
    given = _base64(signed.headers.get("messagebird-signature", "").strip())
    stamp = signed.headers.get("messagebird-request-timestamp", "").strip()
    if not given:
        raise Unsigned("missing")
    _check_time(stamp, now, past_seconds=BIRD_PAST_SECONDS, future_seconds=BIRD_FUTURE_SECONDS)
    body = hashlib.sha256(signed.body).digest()
    expected = [
        hmac.digest(key.encode(), _bytes(f"{stamp}\n{url}\n") + body, "sha256")
        for key in keys
        for url in signed.addresses
    ]
    if not _any_equal(expected, [given]):
        raise Unsigned("signature")


def _verify_standard_webhook(signed: Signed, keys: Sequence[str], now: float) -> None:
    """Standard Webhooks, as Bird's platform of 2026 signs. Raises Unsigned.

    While a secret is being changed there is a signature of each; other versions than v1 are
    ignored. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    webhook_id = signed.headers.get("webhook-id", "").strip()
    stamp = signed.headers.get("webhook-timestamp", "").strip()
    given = [
        _base64(entry[3:])
        for entry in signed.headers.get("webhook-signature", "").split()
        if entry.startswith("v1,")
    ]
    if not webhook_id or not any(given):
        raise Unsigned("missing")
    if not signed.body.decode("utf-8", "replace").removeprefix("\ufeff").strip():
        raise Unsigned("payload")  # what is to be written would come from the unsigned address
    tolerance = STANDARD_TOLERANCE_SECONDS
    _check_time(stamp, now, past_seconds=tolerance, future_seconds=tolerance)
    covered = _bytes(f"{webhook_id}.{stamp}.") + signed.body
    secrets = [secret for key in keys if (secret := _secret(key))]
    if not secrets:
        raise Unsigned("no_signing_key")
    expected = [hmac.digest(secret, covered, "sha256") for secret in secrets]
    if not _any_equal(expected, [one for one in given if one]):
        raise Unsigned("signature")


_SCHEMES = {
    "messagebird-jwt": _verify_jwt,
    "bird": _verify_bird,
    "standard-webhooks": _verify_standard_webhook,
}


def read_keys(value: str) -> tuple[str, ...]:
    """The keys in the second secret; none if nothing in it can be one.

    It holds `{"keys": ["…", "…"]}` (two while one is being replaced), `{"key": "…"}`, or the bare
    key. It is made without a value: until somebody writes one, no request is accepted.
    """
    value = value.removeprefix("\ufeff")  # some editors put it at the start of a file
    try:
        stored = json.loads(value)
    except ValueError:
        stored = value
    if not isinstance(stored, (dict, list, str)):
        stored = value  # a bare key of digits
    if isinstance(stored, dict):
        stored = stored.get("keys") or stored.get("key")
    found = stored if isinstance(stored, list) else [stored]
    return tuple(
        key.strip() for key in found if isinstance(key, str) and len(key.strip()) >= SHORTEST_KEY
    )


class SignatureGate:
    """Accepts a request, or raises Unsigned."""

    def __init__(self, *, aws: Aws, settings: Settings) -> None:
        self._scheme = settings.signature_scheme
        self._webhook_url = settings.webhook_url
        self._keys = KeptSecret(aws=aws, secret_id=settings.signing_secret, read=read_keys)

    def check(
        self, event: Mapping[str, Any], request: HttpRequest, *, deadline: Deadline
    ) -> HttpRequest:
        """The request, without what counts only where it is signed. Raises Unsigned, or NotKept
        where the keys cannot be read.

        With no scheme, only the routes that need an API key are open; every other one (the
        webhook's own) is closed.
        """
        if self._scheme == "none":
            if event.get("resource") != KEYED_ROUTE:
                raise Unsigned("no_scheme")
            return request
        signed = Signed(
            headers=request.headers,
            addresses=addresses_of(event, webhook_url=self._webhook_url),
            body=body_of(event),
        )
        # A request without any signature must not cost a call to AWS.
        if not any(name in request.headers for name in _SIGNATURE_HEADERS):
            raise Unsigned("missing")
        try:
            keys = self._keys.value(deadline=deadline)
        except AwsError as error:
            raise NotKept("the signing keys cannot be read") from error
        verify(self._scheme, signed, keys=keys, now=time.time())
        return self._signed_part(request) if event.get("resource") == WEBHOOK_ROUTE else request

    def _signed_part(self, request: HttpRequest) -> HttpRequest:
        """A webhook's request as far as its scheme signs it: there is no API key beside it.

        The address that was signed need not be the one that was called where it was configured with
        a query, or where the scheme signs none: then the configured query counts.
        """
        if self._scheme != "standard-webhooks":
            headers = {name: v for name, v in request.headers.items() if name != "webhook-id"}
            request = replace(request, headers=headers)
            if "?" not in self._webhook_url:
                return request
        configured = parse_qsl(self._webhook_url.partition("?")[2], keep_blank_values=True)
        return replace(request, query=dict(configured), repeated=frozenset())


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body's raw bytes. Raises Unsigned if they cannot be read."""
    body = event.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise Unsigned("payload")
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    decoded = _base64(body)
    if body and not decoded:
        raise Unsigned("payload")
    return decoded


def addresses_of(event: Mapping[str, Any], *, webhook_url: str) -> tuple[str, ...]:
    """The address that Bird called, in every spelling that it may have had.

    A REST API's event has lost the query's order and encoding, so up to three parameters are tried
    in every order and both usual encodings; with more, configure WebhookUrl with its query. A
    configured URL is used as it is for the webhook's route, and its beginning for the others.
    """
    found = event.get("requestContext")
    context = found if isinstance(found, dict) else {}
    resource = str(event.get("resource") or "")
    if resource == WEBHOOK_ROUTE and "?" in webhook_url:
        return (webhook_url,)
    path = str(context.get("path") or event.get("path") or "")
    base = f"https://{context.get('domainName') or ''}{path}"
    front = webhook_url.partition("?")[0]
    if resource == WEBHOOK_ROUTE and webhook_url:
        base = webhook_url
    elif front.endswith(WEBHOOK_ROUTE):
        base = front.removesuffix(WEBHOOK_ROUTE) + resource
    pairs = tuple(_query_pairs(event))
    if not pairs:
        return (base,)
    orders = permutations(pairs) if len(pairs) <= 3 else (pairs, tuple(sorted(pairs)))
    written = (
        urlencode(order, quote_via=how, errors="surrogatepass")
        for order in orders
        for how in (quote_plus, quote)
    )
    return tuple(dict.fromkeys(f"{base}?{query}" for query in islice(written, 12)))


def _query_pairs(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    many = event.get("multiValueQueryStringParameters")
    if not isinstance(many, dict):
        single = event.get("queryStringParameters")
        many = {k: [v] for k, v in single.items()} if isinstance(single, dict) else {}
    for name, values in many.items():
        for value in values if isinstance(values, list) else ():
            yield str(name), str(value)


def _bytes(text: str) -> bytes:
    """UTF-8 of any text: a lone surrogate in a request is a wrong signature, not an error."""
    return text.encode("utf-8", "surrogatepass")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Whether any of the given is an expected one, in a time that does not depend on the bytes."""
    return sum(hmac.compare_digest(one, other) for one in expected for other in given) > 0


def _check_time(stamp: str, now: float, *, past_seconds: int, future_seconds: int) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise Unsigned("timestamp")
    if int(stamp) < now - past_seconds:
        raise Unsigned("too_late")
    if int(stamp) > now + future_seconds:
        raise Unsigned("too_early")


def _secret(key: str) -> bytes:
    """The bytes of a `whsec_…`; a double click copies it without the `=` at its end."""
    plain = key.removeprefix("whsec_").rstrip("=")
    return _base64(plain + "=" * (-len(plain) % 4))


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
