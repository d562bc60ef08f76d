"""API Gateway: the routes, keys, limits and responses that template.yaml declares.

A request becomes the event that a REST API's Lambda proxy integration sends
(https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html),
and the function's result becomes the response; the gateway's own responses come from the
template's GatewayResponses. Paths work with the stage in front, as deployed, and without.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.aws.functions import PAYLOAD_LIMIT, NoAnswerInTime, Outcome, Throttled
from sandbox.aws.keys import Holder, Keys
from sandbox.aws.throttling import TokenBucket
from sandbox.http_server import Handler, Reply, Server, handling
from tools.template import Deployment, Route

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a request's body: API Gateway's own limit."""
INTEGRATION_SECONDS = 29.0
"""How long API Gateway waits for a function."""

# API Gateway's responses if the template declares none.
_PLAIN = {
    "INVALID_API_KEY": (403, "Forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "THROTTLED": (429, "Too Many Requests"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "INTEGRATION_FAILURE": (502, "Internal server error"),
}

# Keys of an identity that only a caller with an account of AWS or Cognito has.
_NOBODY = (
    *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "principalOrgId"),
    *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId", "user", "userArn"),
)

_RESPONSE = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
"""The keys that a function's result may have."""

Invoke = Callable[[str, bytes, float], Outcome]
"""Function's logical id, event, seconds to wait at most. Raises Throttled, NoAnswerInTime."""


@dataclass
class _Visit:
    """One request, as it is written to the access log."""

    arrived: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    route: str = "-"
    key_id: str = "-"
    response_type: str = "-"
    """The type of the gateway's own response, if it sent one."""


class Gateway:
    """Serves one deployment, to the holders of its `keys`."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        keys: Keys,
        invoke: Invoke,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str | None = None,
        integration_seconds: float = INTEGRATION_SECONDS,
        access_log: Path | None = None,
    ) -> None:
        self.stage = deployment.stage
        self.api_id = deployment.resource(*deployment.of_type("AWS::ApiGateway::RestApi"))["Ref"]
        self.account = deployment.account
        self.region = deployment.region
        self.integration_seconds = integration_seconds
        self._domain = deployment.domain
        self._responses = deployment.gateway_responses
        self._routes = [(_pattern(route.path), route) for route in deployment.routes]
        # A literal path goes before one with a parameter.
        self._routes.sort(key=lambda one: "{" in one[1].path)
        self._keys = keys
        self._buckets: dict[Holder, TokenBucket] = {}
        self._invoke = invoke
        self._log_format = deployment.access_log_format
        self._log = access_log
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        """How often, by status."""
        self.server = Server(handling(self._handle), host=host, port=port, advertise=advertise)

    @property
    def url(self) -> str:
        """The API's address with its stage, like the deployed one."""
        return f"{self.server.url}/{self.stage}"

    def _handle(self, handler: Handler) -> None:
        visit = _Visit(arrived=time.time())
        status, headers, body = self._respond(handler, visit)
        with self._lock:
            self.statuses[status] += 1
            if self._log_format and self._log:
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(self._log_line(self._log_format, handler, visit, status) + "\n")
        handler.reply(status, [*headers, ("x-amzn-RequestId", visit.request_id)], body)

    def _respond(self, handler: Handler, visit: _Visit) -> Reply:
        body = handler.read_body(limit=BODY_LIMIT)
        parts = urlsplit(handler.path)
        path = parts.path
        staged = path == f"/{self.stage}" or path.startswith(f"/{self.stage}/")
        if staged and not self._is_through_the_domain(handler):
            path = path[len(self.stage) + 1 :] or "/"
        found = self._find(handler.command, path)
        if found is None:
            return self._own_response("MISSING_AUTHENTICATION_TOKEN", visit)
        route, raw_parameters = found
        visit.route = route.path
        key = (handler.headers.get("x-api-key") or "").strip()
        holder = self._keys.holder(key)
        visit.key_id = holder.key_id if holder else "-"
        if route.needs_api_key:
            if holder is None:
                return self._own_response("INVALID_API_KEY", visit)
            if not self._bucket(holder).take():
                return self._own_response("THROTTLED", visit)
        if body is None:
            return self._own_response("REQUEST_TOO_LARGE", visit)
        event = self._event(
            handler,
            route=route,
            path=path,
            query=parts.query,
            parameters={name: unquote(value) for name, value in raw_parameters.items()},
            body=body,
            arrived=visit.arrived,
            request_id=visit.request_id,
            key_id=holder.key_id if holder else None,
        )
        payload = json.dumps(event).encode()
        if len(payload) > PAYLOAD_LIMIT:
            return self._own_response("REQUEST_TOO_LARGE", visit)
        try:
            outcome = self._invoke(route.function, payload, self.integration_seconds)
        except NoAnswerInTime:
            return self._own_response("INTEGRATION_TIMEOUT", visit)
        except Throttled:
            # Lambda's 429 does not come through: a client sees a 5xx, as for any other failure.
            return self._own_response("INTEGRATION_FAILURE", visit)
        response = None if outcome.failed else _read_response(outcome.payload)
        return response or self._own_response("INTEGRATION_FAILURE", visit)

    def access_log(self) -> str:
        """What was logged of the requests so far."""
        return self._log.read_text(encoding="utf-8") if self._log and self._log.exists() else ""

    def _log_line(self, log_format: str, handler: Handler, visit: _Visit, status: int) -> str:
        """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html"""
        values = {
            "requestId": visit.request_id,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(visit.arrived)),
            "identity.sourceIp": handler.client_address[0],
            "identity.apiKeyId": visit.key_id,
            "httpMethod": handler.command,
            "resourcePath": visit.route,
            "status": status,
            "responseLatency": int(1000 * (time.time() - visit.arrived)),
            "error.responseType": visit.response_type,
        }
        return re.sub(
            r"\$context\.([A-Za-z.]*[A-Za-z])", lambda one: str(values[one[1]]), log_format
        )

    def _bucket(self, holder: Holder) -> TokenBucket:
        """Each holder has a bucket; one whose plan was changed gets a new, full one."""
        if holder not in self._buckets:
            fresh = TokenBucket(rate=holder.rate, burst=holder.burst)
            # Of two requests at the same moment both have to get the same.
            return self._buckets.setdefault(holder, fresh)
        return self._buckets[holder]

    def _is_through_the_domain(self, handler: Handler) -> bool:
        """Whether the request came by the domain name of one's own, which leads to the stage."""
        host = (handler.headers.get("host") or "").partition(":")[0].lower()
        return bool(self._domain) and host == self._domain

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        for pattern, route in self._routes:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None

    def _own_response(self, kind: str, visit: _Visit) -> Reply:
        """The gateway's own response, as the template declares it if it does."""
        visit.response_type = kind
        status, message = _PLAIN[kind]
        default = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
        declared = self._responses.get(kind) or self._responses.get(default)
        headers = {"Content-Type": "application/json"}
        text = json.dumps({"message": message})
        if declared:
            status = declared.status or status
            headers |= declared.headers
            text = declared.body or text
        return status, list(headers.items()), text.encode()

    def _event(
        self,
        handler: Handler,
        *,
        route: Route,
        path: str,
        query: str,
        parameters: Mapping[str, str],
        body: bytes,
        arrived: float,
        request_id: str,
        key_id: str | None,
    ) -> dict[str, Any]:
        host = f"{self.api_id}.execute-api.{self.region}.amazonaws.com"
        public_path = f"/{self.stage}{unquote(path)}"
        if self._is_through_the_domain(handler):
            # Its mapping names the stage, so the address has none: localstack/localstack#12295,
            # measured in AWS, and CodeGenieApp/serverless-express#216.
            host, public_path = self._domain, unquote(path)
        source_ip = str(handler.client_address[0])
        many: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for name, value in handler.headers.items():
            if name.lower() in ("connection", "transfer-encoding", "content-length", "expect"):
                continue
            many.setdefault(names.setdefault(name.lower(), name), []).append(value)
        for name, value in (
            ("X-Amzn-Trace-Id", f"Root=1-{int(arrived):08x}-{uuid.uuid4().hex[:24]}"),
            ("X-Forwarded-For", source_ip),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
        ):
            many.setdefault(names.setdefault(name.lower(), name), []).append(value)
        queries: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            queries.setdefault(name, []).append(value)
        key = (handler.headers.get("x-api-key") or "").strip()
        return {
            "resource": route.path,
            "path": unquote(path),
            "httpMethod": handler.command,
            "headers": {name: values[-1] for name, values in many.items()},
            "multiValueHeaders": many,
            "queryStringParameters": {name: values[-1] for name, values in queries.items()} or None,
            "multiValueQueryStringParameters": queries or None,
            "pathParameters": dict(parameters) or None,
            "stageVariables": None,
            "requestContext": {
                "accountId": self.account,
                "apiId": self.api_id,
                "domainName": host,
                "domainPrefix": host.partition(".")[0],
                "extendedRequestId": uuid.uuid4().hex[:15] + "=",
                "httpMethod": handler.command,
                "identity": {
                    **dict.fromkeys(_NOBODY),
                    "apiKey": key or None,
                    "apiKeyId": key_id,
                    "sourceIp": source_ip,
                    "userAgent": handler.headers.get("User-Agent"),
                },
                "path": public_path,
                "protocol": "HTTP/1.1",
                "requestId": request_id,
                "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(arrived)),
                "requestTimeEpoch": int(arrived * 1000),
                "resourceId": f"{abs(hash(route.path)) % 36**6:06x}"[:6],
                "resourcePath": route.path,
                "stage": self.stage,
            },
            # A REST API without binary media types sends every body as text.
            "body": body.decode("utf-8", "replace") if body else None,
            "isBase64Encoded": False,
        }


def _pattern(path: str) -> re.Pattern[str]:
    """The declared path as an expression: {key} is one segment, {rest+} the rest."""
    parts = re.split(r"(\{\w+\+?\})", path)
    return re.compile(
        "".join(
            (f"(?P<{part[1:-2]}>.+)" if part.endswith("+}") else f"(?P<{part[1:-1]}>[^/]+)")
            if part.startswith("{")
            else re.escape(part)
            for part in parts
        )
    )


def _read_response(payload: bytes) -> Reply | None:
    """The function's result as a response; None if API Gateway would call it malformed."""
    try:
        result = json.loads(payload)
        status = int(result.get("statusCode", 200))
        single, multiple = result.get("headers") or {}, result.get("multiValueHeaders") or {}
        flat = not any(isinstance(value, dict | list) for value in single.values())
        headers = [(name, str(value)) for name, value in single.items() if name not in multiple]
        headers += [(name, str(value)) for name, values in multiple.items() for value in values]
        content = (result.get("body") or "").encode("utf-8", "surrogatepass")
        if result.get("isBase64Encoded"):
            content = base64.b64decode(content, validate=True)
    except (AttributeError, TypeError, ValueError):
        # Something in it has another type than it has to have.
        return None
    if set(result) - _RESPONSE or not flat:
        return None
    if any("\r" in value or "\n" in value for _, value in headers):
        return None
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return status, headers, content
