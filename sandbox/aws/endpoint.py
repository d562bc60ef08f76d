"""AWS on this machine, behind one endpoint: moto's server, our own queues and our own Lambda.

moto keeps parameters, secrets and tables, `queues` the queues; Lambda's Invoke API leads to
the stack's function processes, and `logs` reads what they print. The resources are those that
template.yaml declares, and a function may do what its role there allows (`roles`). SSM throttles
reads as in AWS (`throttling`). On request the endpoint misbehaves (`fail`), and it counts who
called what (`calls`).
"""

from __future__ import annotations

import json
import re
import secrets
import string
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from sandbox.aws.functions import PAYLOAD_LIMIT, VERSION, Outcome, Throttled, caller_key
from sandbox.aws.logs import Logs, LogsError
from sandbox.aws.queues import Queues
from sandbox.aws.roles import Role, action_of, resource_of
from sandbox.aws.throttling import SSM_READS, ssm_reads
from sandbox.http_server import Handler, Reply, Server, handling
from tools.template import Attributes

ACCOUNT = "123456789012"
REGION = "us-east-1"

_MOTO = threading.Lock()
"""moto's state is one per program and knows no threads: two callers could both win one conditional
write."""

_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)/configuration")
_ACCOUNT_SETTINGS = "/2016-08-19/account-settings"
_INVOCATIONS = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")

Invoke = Callable[[str, bytes], Outcome]
"""Function name and event. Raises LookupError for an unknown function, Throttled."""


@cache
def _moto_server() -> Any:
    """moto's WSGI application: one a program, like its state."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    class Dispatcher(DomainDispatcherApplication):
        @cache  # noqa: B019 - it lives as long as the program
        def get_backend_for_host(self, host: str | None) -> Any:
            # moto lists its own folders to find it, at every call.
            return super().get_backend_for_host(host)

    return Dispatcher(create_backend_app)


@dataclass
class Fault:
    """What the endpoint does wrong, for the next `times` calls that fit."""

    service: str
    operation: str | None
    times: int
    status: int
    code: str
    effect: str
    seconds: float
    seen: int = 0

    def fits(self, service: str, operation: str) -> bool:
        return (
            self.seen < self.times
            and self.service == service
            and self.operation in (None, operation)
        )


class LocalAws:
    """The endpoint. `url` is what AWS_ENDPOINT_URL has to be."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, advertise: str | None = None
    ) -> None:
        self._app = _moto_server()
        self._invoke: Invoke | None = None
        self._faults: list[Fault] = []
        self._faults_lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        """How often, by (who, service.Operation): a function by its folder's name, else "-"."""
        self.ssm_reads = ssm_reads()
        """What the account may read of SSM now."""
        self._log_files: Callable[[], Mapping[str, Path]] = dict
        self.logs = Logs(lambda: self._log_files())
        self.queues = Queues(region=REGION, account=ACCOUNT, base_url=lambda: self.url)
        self.concurrency = 1000
        """The limit of the account that Lambda tells."""
        self.server = Server(handling(self._handle), host=host, port=port, advertise=advertise)
        self._callers: dict[str, str] = {}
        self._stack_name = ""
        self._outputs: Callable[[], Mapping[str, str]] = dict
        self._environments: Callable[[], Mapping[str, Mapping[str, str]]] = dict
        self.roles: dict[str, Role] = {}
        """What each function may do, by its folder's name; who is not in it may do anything."""
        self.denied: Counter[tuple[str, str, str]] = Counter()
        """How often something was not allowed, by (who, action, ARN)."""

    @property
    def url(self) -> str:
        return self.server.url

    def start(self) -> LocalAws:
        self.server.start()
        return self

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        self.server.stop()

    def serve_functions(self, invoke: Invoke, names: Mapping[str, str]) -> None:
        """Answer Lambda's Invoke API by `invoke`. `names` are folders' names, by function name."""
        self._invoke = invoke
        self._callers = {caller_key(name): name for name in names.values()}

    def serve_stack(
        self,
        name: str,
        outputs: Callable[[], Mapping[str, str]],
        environments: Callable[[], Mapping[str, Mapping[str, str]]],
    ) -> None:
        """Answer DescribeStacks and GetFunctionConfiguration, for the stack's name, its
        outputs and its functions' environments."""
        self._stack_name, self._outputs, self._environments = name, outputs, environments

    def serve_logs(self, files: Callable[[], Mapping[str, Path]]) -> None:
        """Serve FilterLogEvents from the functions' log files, by the names of their groups."""
        self._log_files = files

    def client(self, service: str, *, function: str = "") -> Any:
        """A boto3 client of this endpoint; with a function's name, under that function's role."""
        if (service, function) not in self._clients:
            import boto3
            from botocore.config import Config

            self._clients[service, function] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=caller_key(function),
                aws_secret_access_key="sandbox",
                config=Config(max_pool_connections=32, retries={"max_attempts": 2}),
            )
        return self._clients[service, function]

    # Trouble

    def fail(
        self,
        service: str,
        operation: str | None = None,
        *,
        times: int = 1_000_000_000,
        status: int = 503,
        code: str = "ServiceUnavailable",
        effect: str = "refuse",
        seconds: float = 0.0,
    ) -> Fault:
        """Make the next `times` calls go wrong, until `heal`.

        `effect` is "refuse" (respond with `status` and `code`), "drop" (close the connection and do
        nothing), "drop_after" (do it, then close the connection without a response), "delay"
        (do it `seconds` late) or "partial" (every other entry of an SQS batch fails).
        """
        if effect not in ("refuse", "drop", "drop_after", "delay", "partial"):
            raise ValueError(f"no such effect: {effect}")
        fault = Fault(service, operation, times, status, code, effect, seconds)
        with self._faults_lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """End all trouble."""
        with self._faults_lock:
            self._faults.clear()

    def _fault_for(self, service: str, operation: str) -> Fault | None:
        if not self._faults:
            return None
        with self._faults_lock:
            for fault in self._faults:
                if fault.fits(service, operation):
                    fault.seen += 1
                    return fault
        return None

    # Serving

    def _allowed(
        self, who: str, service: str, operation: str, body: bytes, *, function: str
    ) -> bool:
        role = self.roles.get(who)
        if role is None:
            return True
        action = action_of(service, operation)
        resource = resource_of(service, body, function=function, region=REGION, account=ACCOUNT)
        if role.allows(action, resource):
            return True
        self.denied[who, action, resource] += 1
        return False

    def _handle(self, handler: Handler) -> None:
        body = handler.read_body(limit=64 * 1024 * 1024) or b""
        caller, service = _signer(handler.headers.get("Authorization", ""))
        path = urlsplit(handler.path).path
        found = _INVOCATIONS.fullmatch(path)
        if found:
            service, operation = "lambda", "Invoke"
        else:
            operation = _operation(handler, body)
        who = self._callers.get(caller, "-")
        self.calls[who, f"{service}.{operation}"] += 1
        if not self._allowed(who, service, operation, body, function=found[1] if found else ""):
            return handler.reply(
                *_error(400, "AccessDeniedException", f"{who} may not {service}:{operation}")
            )
        fault = self._fault_for(service, operation)
        if fault and fault.effect == "delay":
            time.sleep(fault.seconds)
        elif fault and fault.effect == "drop":
            return handler.hang_up()
        elif fault and fault.effect == "refuse":
            return handler.reply(*_error(fault.status, fault.code, "a fault set in the sandbox"))
        if service == "ssm" and operation in SSM_READS and not self.ssm_reads.take():
            return handler.reply(*_error(400, "ThrottlingException", "Rate exceeded"))
        if found:
            response = self._invoke_function(unquote(found[1]), handler, body)
        elif named := _FUNCTION.fullmatch(path):
            response = self._function(unquote(named[1]))
        elif path.rstrip("/") == _ACCOUNT_SETTINGS:
            response = self._account_settings()
        elif service == "cloudformation" and operation == "DescribeStacks":
            response = self._describe_stack(parse_qs(body.decode()).get("StackName", [""])[0])
        elif service == "sqs":
            partial = fault is not None and fault.effect == "partial"
            response = self._sqs(operation, body, partial=partial)
        elif service == "logs" and operation == "FilterLogEvents":
            response = self._filter_log_events(body)
        else:
            response = self._moto(handler, body)
        if fault and fault.effect == "drop_after":
            return handler.hang_up()
        return handler.reply(*response)

    def _moto(self, handler: Handler, body: bytes) -> Reply:
        with _MOTO:
            return handler.run_wsgi(self._app, body)

    def _sqs(self, operation: str, body: bytes, *, partial: bool) -> Reply:
        try:
            parameters = json.loads(body)
        except ValueError:
            return _error(400, "SerializationException", "The body is not JSON.")
        status, response = self.queues.handle(operation, parameters, partial=partial)
        headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("x-amzn-RequestId", str(uuid.uuid4())),
        ]
        return status, headers, json.dumps(response).encode()

    def _filter_log_events(self, body: bytes) -> Reply:
        try:
            found = self.logs.filter_log_events(json.loads(body))
        except LogsError as error:
            return _error(400, error.code, str(error))
        headers = [("Content-Type", "application/x-amz-json-1.1")]
        return 200, headers, json.dumps(found).encode()

    def _describe_stack(self, name: str) -> Reply:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html"""
        headers = [("Content-Type", "text/xml")]
        if name != self._stack_name:
            message = escape(f"Stack with id {name} does not exist")
            error = f"<Type>Sender</Type><Code>ValidationError</Code><Message>{message}</Message>"
            text = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
            return 400, headers, text.encode()
        outputs = "".join(
            f"<member><OutputKey>{key}</OutputKey><OutputValue>{escape(one)}</OutputValue></member>"
            for key, one in self._outputs().items()
        )
        stack = (
            f"<StackName>{escape(name)}</StackName><StackStatus>CREATE_COMPLETE</StackStatus>"
            f"<CreationTime>2026-01-01T00:00:00Z</CreationTime><Outputs>{outputs}</Outputs>"
        )
        text = (
            "<DescribeStacksResponse><DescribeStacksResult>"
            f"<Stacks><member>{stack}</member></Stacks>"
            "</DescribeStacksResult></DescribeStacksResponse>"
        )
        return 200, headers, text.encode()

    def _function(self, name: str) -> Reply:
        """https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html"""
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        environment = self._environments().get(name)
        if environment is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {arn}")
        configuration: dict[str, Any] = {
            "FunctionName": name,
            "FunctionArn": arn,
            "Environment": {"Variables": dict(environment)},
        }
        return 200, [("Content-Type", "application/json")], json.dumps(configuration).encode()

    def _account_settings(self) -> Reply:
        """https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html"""
        limit = {"ConcurrentExecutions": self.concurrency}
        body = {"AccountLimit": {**limit, "UnreservedConcurrentExecutions": self.concurrency}}
        return 200, [("Content-Type", "application/json")], json.dumps(body).encode()

    def _invoke_function(self, name: str, handler: Handler, body: bytes) -> Reply:
        """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""
        name = name.rpartition(":function:")[2]
        how = handler.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if how not in ("RequestResponse", "Event") or "Qualifier=" in handler.path:
            return _error(400, "InvalidParameterValueException", "not in the sandbox")
        if len(body) > PAYLOAD_LIMIT:
            return _error(413, "RequestTooLargeException", "The request payload is too large.")
        try:
            json.loads(body or b"{}")
        except ValueError:
            return _error(
                400, "InvalidRequestContentException", "Could not parse request body into json"
            )
        if self._invoke is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {name}")
        headers = [
            ("Content-Type", "application/json"),
            ("X-Amz-Executed-Version", VERSION),
            ("x-amzn-RequestId", str(uuid.uuid4())),
        ]
        try:
            if how == "Event":
                threading.Thread(
                    target=self._invoke, args=(name, body or b"{}"), daemon=True
                ).start()
                return 202, headers, b""
            outcome = self._invoke(name, body or b"{}")
        except LookupError:
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
            return _error(404, "ResourceNotFoundException", f"Function not found: {arn}")
        except Throttled:
            return _error(429, "TooManyRequestsException", "Rate Exceeded.")
        if outcome.failed:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        return 200, headers, outcome.payload

    # Resources

    def make(
        self, stack_name: str, logical_id: str, kind: str, given: Mapping[str, Any]
    ) -> Attributes:
        """Make what template.yaml declares; tells what Ref and GetAtt give for it."""
        name = f"{stack_name}-{logical_id}-{_random(12)}"
        match kind:
            case "AWS::SQS::Queue":
                return self._make_queue(name, given)
            case "AWS::SecretsManager::Secret":
                return self._make_secret(f"{logical_id}-{_random(12)}", given)
            case "AWS::DynamoDB::Table":
                return self._make_table(name, given)
            case "AWS::Events::Rule":
                return self._make_rule(str(given.get("Name", name)), given)
            case "AWS::Logs::LogGroup":
                group = str(given.get("LogGroupName", name))
                arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"
                return {"Ref": group, "Arn": arn}
            case "AWS::Lambda::Function":
                function = str(given.get("FunctionName", name))
                arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
                return {"Ref": function, "Arn": arn}
            case "AWS::IAM::Role":
                return {"Ref": name, "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}
            case "AWS::ApiGateway::Stage":
                return {"Ref": str(given["StageName"])}
            case "AWS::ApiGateway::DomainName":
                regional = f"d-{_random(10).lower()}.execute-api.{REGION}.amazonaws.com"
                return {"Ref": str(given["DomainName"]), "RegionalDomainName": regional}
            case "AWS::ApiGateway::RestApi":
                return {"Ref": _random(10).lower()}
            case "AWS::ApiGateway::ApiKey":
                wanted = {_camel(key): one for key, one in given.items()}
                return {"Ref": self.client("apigateway").create_api_key(name=name, **wanted)["id"]}
            case "AWS::ApiGateway::UsagePlan":
                return self._make_usage_plan(name, given)
            case "AWS::ApiGateway::UsagePlanKey":
                made = self.client("apigateway").create_usage_plan_key(
                    usagePlanId=given["UsagePlanId"],
                    keyId=given["KeyId"],
                    keyType=given["KeyType"],
                )
                return {"Ref": made["id"]}
            case "AWS::SNS::Topic":
                arn = self.client("sns").create_topic(Name=name)["TopicArn"]
                return {"Ref": arn, "TopicName": name, "TopicArn": arn}
            case _:
                return {"Ref": name, "Arn": f"arn:aws:{kind.split('::')[1].lower()}:::{name}"}

    def _make_queue(self, name: str, given: Mapping[str, Any]) -> Attributes:
        attributes = {
            key: json.dumps(value) if isinstance(value, dict) else str(value)
            for key, value in given.items()
            if key not in ("Tags", "QueueName", "SqsManagedSseEnabled")
        }
        sqs = self.client("sqs")
        name = str(given.get("QueueName", name))
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return {
            "Ref": url,
            "QueueName": name,
            "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        }

    def _make_secret(self, name: str, given: Mapping[str, Any]) -> Attributes:
        value = {key: given[key] for key in ("SecretString", "Description") if key in given}
        arn = self.client("secretsmanager").create_secret(Name=name, **value)["ARN"]
        return {"Ref": arn, "Id": arn, "Arn": arn}

    def _make_table(self, name: str, given: Mapping[str, Any]) -> Attributes:
        dynamodb = self.client("dynamodb")
        wanted = ("AttributeDefinitions", "KeySchema", "BillingMode")
        dynamodb.create_table(TableName=name, **{key: given[key] for key in wanted if key in given})
        if ttl := given.get("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
        return {"Ref": name, "Arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"}

    def _make_rule(self, name: str, given: Mapping[str, Any]) -> Attributes:
        events = self.client("events")
        arn = events.put_rule(Name=name, ScheduleExpression=given["ScheduleExpression"])["RuleArn"]
        events.put_targets(Rule=name, Targets=given["Targets"])
        return {"Ref": name, "Arn": arn}

    def _make_usage_plan(self, name: str, given: Mapping[str, Any]) -> Attributes:
        plan = self.client("apigateway").create_usage_plan(
            name=name,
            description=given["Description"],
            apiStages=[{_camel(key): one for key, one in a.items()} for a in given["ApiStages"]],
            throttle={
                "rateLimit": float(given["Throttle"]["RateLimit"]),
                "burstLimit": int(given["Throttle"]["BurstLimit"]),
            },
        )
        return {"Ref": plan["id"], "Id": plan["id"]}

    def unmake(self, kind: str, attributes: Attributes) -> None:
        """Take a resource away again: moto's state outlives the endpoint."""
        match kind:
            case "AWS::SQS::Queue":
                self.client("sqs").delete_queue(QueueUrl=attributes["Ref"])
            case "AWS::SecretsManager::Secret":
                self.client("secretsmanager").delete_secret(
                    SecretId=attributes["Ref"], ForceDeleteWithoutRecovery=True
                )
            case "AWS::DynamoDB::Table":
                self.client("dynamodb").delete_table(TableName=attributes["Ref"])
            case "AWS::Events::Rule":
                self._unmake_rule(attributes["Ref"])
            case "AWS::ApiGateway::ApiKey":
                self.client("apigateway").delete_api_key(apiKey=attributes["Ref"])
            case "AWS::ApiGateway::UsagePlan":
                self.client("apigateway").delete_usage_plan(usagePlanId=attributes["Ref"])
            case "AWS::SNS::Topic":
                self.client("sns").delete_topic(TopicArn=attributes["Ref"])

    def _unmake_rule(self, name: str) -> None:
        events = self.client("events")
        targets = events.list_targets_by_rule(Rule=name)["Targets"]
        events.remove_targets(Rule=name, Ids=[one["Id"] for one in targets])
        events.delete_rule(Name=name)


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _camel(name: str) -> str:
    """A property's name in CloudFormation as API Gateway's own API spells it."""
    return name[0].lower() + name[1:]


def _signer(authorization: str) -> tuple[str, str]:
    """The access key id and the service of a signed request."""
    found = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", authorization)
    return (found[1], found[2]) if found else ("", "")


def _operation(handler: Handler, body: bytes) -> str:
    target = handler.headers.get("X-Amz-Target", "")
    if target:
        return target.rsplit(".", 1)[-1]
    if b"Action=" in body:
        return parse_qs(body.decode("latin-1")).get("Action", [""])[0]
    return f"{handler.command} {urlsplit(handler.path).path}"


def _error(status: int, code: str, message: str) -> Reply:
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    body = {"__type": code, "message": message, "Message": message, "Type": "User"}
    return status, headers, json.dumps(body).encode()


__all__ = ["ACCOUNT", "REGION", "Fault", "LocalAws"]
