"""Reads template.yaml as CloudFormation would: translated by SAM's own translator, then resolved.

`Template.load()` is the file; `Deployment` is what comes out of it for one stack name and one set
of parameters: the functions with their environments, the API's routes, the schedule, the queue
that feeds a function. The names of a resource (`Ref`, `GetAtt`) come from the caller that makes it.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"


ADDRESSES = ("LoginUrl", "AwsEndpointUrl")
"""Parameters that are put into environments as they are, and change nothing else."""


class TemplateError(Exception):
    """The template, or a parameter given to it, is not what CloudFormation would accept."""


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms: !Ref x is {"Ref": x}, !Sub x is {"Fn::Sub": x}."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def read_yaml(text: str) -> Any:
    """A template's text as plain dicts and lists, intrinsic functions in their long form."""
    return yaml.load(text, _Loader)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method on one path of the API, and the function behind it."""

    method: str
    path: str
    """As declared, like /leads/{key}."""
    function: str
    """Logical id."""
    needs_api_key: bool


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A function as deployed. Times are seconds, memory is megabytes."""

    logical_id: str
    name: str
    folder: Path
    handler: str
    timeout: int
    memory: int
    log_group: str
    environment: Mapping[str, str]

    @property
    def key(self) -> str:
        """How people call it: the name of its folder."""
        return self.folder.name


@dataclass(frozen=True, kw_only=True)
class GatewayResponse:
    """What API Gateway answers by itself for one type of trouble."""

    status: int | None
    headers: Mapping[str, str]
    body: str | None


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """A queue that feeds a function. Times are seconds."""

    function: str
    queue: str
    """ARN."""
    batch_size: int
    window: int
    partial_failures: bool
    concurrency: int


@dataclass(frozen=True)
class Template:
    """The text of template.yaml, understood."""

    source: Mapping[str, Any]
    folder: Path

    @classmethod
    def load(cls, path: Path = TEMPLATE) -> Template:
        return _loaded(path, path.stat().st_mtime_ns)

    def parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """Every parameter's value, held against what the template allows. Raises TemplateError."""
        declared: Mapping[str, Any] = self.source.get("Parameters", {})
        if unknown := sorted(set(given) - set(declared)):
            raise TemplateError(f"template.yaml has no parameter {', '.join(unknown)}")
        values = {}
        for name, rule in declared.items():
            if name not in given and "Default" not in rule:
                raise TemplateError(f"parameter {name} has no default and was not given")
            values[name] = _checked(name, rule, str(given.get(name, rule.get("Default", ""))))
        return values

    @cached_property
    def _without_local_paths(self) -> dict[str, Any]:
        # The translator expects what `sam package` leaves: code that has been uploaded.
        source = copy.deepcopy(dict(self.source))
        for resource in source["Resources"].values():
            properties = resource.get("Properties", {})
            for key in ("CodeUri", "ContentUri"):
                if not properties.get(key, "s3://").startswith("s3://"):
                    properties[key] = "s3://local/local"
        return source

    def translate(self, parameters: Mapping[str, str], *, region: str) -> dict[str, Any]:
        """Plain CloudFormation, as AWS's transform would make it."""
        # Every local stack has addresses of its own, which make no other difference.
        marks = {f"<{name}>": parameters[name] for name in ADDRESSES if name in parameters}
        shared = {
            name: f"<{name}>" if name in ADDRESSES else one for name, one in parameters.items()
        }
        key = (region, *sorted(shared.items()))
        if key not in self._translations:
            self._translations[key] = self._translate(shared, region=region)
        filled: dict[str, Any] = _filled(self._translations[key], marks)
        return filled

    @cached_property
    def _translations(self) -> dict[tuple[object, ...], dict[str, Any]]:
        return {}

    def _translate(self, parameters: Mapping[str, str], *, region: str) -> dict[str, Any]:
        import boto3
        from samtranslator.parser.parser import Parser
        from samtranslator.translator.translator import Translator

        # It complains of feature toggles that only AWS has.
        logging.getLogger("samtranslator").setLevel(logging.ERROR)
        translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
        result: dict[str, Any] = translator.translate(
            copy.deepcopy(self._without_local_paths), dict(parameters)
        )
        return result


def _filled(value: Any, marks: Mapping[str, str]) -> Any:
    """A copy of a translation, with what the marks in its texts stand for."""
    if isinstance(value, dict):
        return {key: _filled(one, marks) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, marks) for one in value]
    if isinstance(value, str) and "<" in value:
        for mark, meant in marks.items():
            value = value.replace(mark, meant)
    return value


@lru_cache(maxsize=4)
def _loaded(path: Path, _changed_at: int) -> Template:
    # Reading it is half of what a stack costs to start. Nobody changes what was read.
    return Template(source=read_yaml(path.read_text(encoding="utf-8")), folder=path.parent)


def _checked(name: str, rule: Mapping[str, Any], value: str) -> str:
    allowed = [str(one) for one in rule.get("AllowedValues", [])]
    if allowed and value not in allowed:
        raise TemplateError(f"{name} is {value!r}, not one of {', '.join(allowed)}")
    pattern = rule.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        raise TemplateError(
            f"{name} is {value!r}; it {rule.get('ConstraintDescription', f'must match {pattern}')}"
        )
    if rule.get("Type") == "Number":
        try:
            number = float(value)
        except ValueError as error:
            raise TemplateError(f"{name} is {value!r}, not a number") from error
        if not rule.get("MinValue", number) <= number <= rule.get("MaxValue", number):
            raise TemplateError(
                f"{name} is {value}, not from {rule.get('MinValue')} to {rule.get('MaxValue')}"
            )
    if len(value) > rule.get("MaxLength", len(value)):
        raise TemplateError(f"{name} is longer than {rule['MaxLength']} characters")
    return value


Attributes = Mapping[str, str]
"""What a made resource answers to: its attributes by name, and "Ref"."""

_NOTHING = object()


class Deployment:
    """One stack: the template, its parameters, and the physical names that `make` gives resources.

    `make(logical_id, type, properties)` is called once for each resource that something refers to,
    the ones it refers to first.
    """

    def __init__(
        self,
        template: Template,
        *,
        stack_name: str,
        parameters: Mapping[str, str],
        make: Callable[[str, str, Mapping[str, Any]], Attributes],
        region: str = "us-east-1",
        account: str = "123456789012",
        stack_id: str = "local",
    ) -> None:
        self.template = template
        self.stack_name = stack_name
        self.region = region
        self.account = account
        self.parameters = template.parameters(parameters)
        self._make = make
        self._made: dict[str, Attributes] = {}
        self._pseudo: dict[str, Any] = {
            "AWS::StackName": stack_name,
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": _NOTHING,
            "AWS::StackId": (
                f"arn:aws:cloudformation:{region}:{account}:stack/{stack_name}/{stack_id}"
            ),
        }
        translated = template.translate(self.parameters, region=region)
        self._conditions: Mapping[str, Any] = translated.get("Conditions", {})
        self._outputs: Mapping[str, Any] = translated.get("Outputs", {})
        self._check_rules(translated.get("Rules", {}))
        self.resources: dict[str, Any] = {
            logical_id: resource
            for logical_id, resource in translated["Resources"].items()
            if "Condition" not in resource or self.resolve({"Condition": resource["Condition"]})
        }

    def _check_rules(self, rules: Mapping[str, Any]) -> None:
        for rule in rules.values():
            if "RuleCondition" not in rule or self.resolve(rule["RuleCondition"]):
                for one in rule["Assertions"]:
                    if not self.resolve(one["Assert"]):
                        raise TemplateError(one["AssertDescription"])

    # What things are called

    def resource(self, logical_id: str) -> Attributes:
        """Make a resource if it was not yet, and tell its attributes."""
        if logical_id not in self._made:
            declared = self.resources[logical_id]
            properties = self.resolve(declared.get("Properties", {}))
            self._made[logical_id] = self._make(logical_id, declared["Type"], properties)
        return self._made[logical_id]

    def of_type(self, kind: str) -> dict[str, Any]:
        """The declared resources of one type, by logical id."""
        return {
            logical_id: one for logical_id, one in self.resources.items() if one["Type"] == kind
        }

    def make_all(self, *kinds: str) -> None:
        """Make every resource of these types, referred to or not."""
        for logical_id, declared in self.resources.items():
            if declared["Type"] in kinds:
                self.resource(logical_id)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs, without those that their condition leaves out."""
        return {
            name: str(self.resolve(one["Value"]))
            for name, one in self._outputs.items()
            if "Condition" not in one or self.resolve({"Condition": one["Condition"]})
        }

    def resolve(self, value: Any) -> Any:
        """Work out the intrinsic functions in a value."""
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self.resolve(self._conditions[argument])
            if name.startswith("Fn::"):
                return self._function(name[4:], argument)
        resolved = ((key, self.resolve(one)) for key, one in value.items())
        return {key: one for key, one in resolved if one is not _NOTHING}

    def _ref(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        if name in self._pseudo:
            return self._pseudo[name]
        return self.resource(name)["Ref"]

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Sub":
                return self._sub(argument)
            case "GetAtt":
                logical_id, attribute = (
                    argument.split(".", 1) if isinstance(argument, str) else argument
                )
                return self.resource(logical_id)[attribute]
            case "If":
                condition, when_true, when_false = argument
                holds = self.resolve({"Condition": condition})
                return self.resolve(when_true if holds else when_false)
            case "Join":
                separator, parts = argument
                return separator.join(str(part) for part in self.resolve(parts))
            case "Select":
                index, choices = argument
                return self.resolve(choices)[int(self.resolve(index))]
            case "Split":
                separator, text = argument
                return str(self.resolve(text)).split(separator)
            case "Equals":
                left, right = self.resolve(argument)
                return str(left) == str(right)
            case "Not":
                return not self.resolve(argument[0])
            case "And":
                return all(self.resolve(one) for one in argument)
            case "Or":
                return any(self.resolve(one) for one in argument)
        raise TemplateError(f"the sandbox does not know Fn::{name}")

    def _sub(self, argument: Any) -> str:
        text, extra = argument if isinstance(argument, list) else (argument, {})

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in extra:
                return str(self.resolve(extra[name]))
            if "." in name:
                return str(self._function("GetAtt", name))
            return str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    # What was deployed

    @cached_property
    def functions(self) -> dict[str, FunctionSpec]:
        """The functions, by logical id."""
        specs = {}
        for logical_id, declared in self.of_type("AWS::Lambda::Function").items():
            properties = self.resolve(
                {
                    key: declared["Properties"][key]
                    for key in declared["Properties"]
                    # Not made here: the code is in the folder, and nobody enforces the role.
                    if key not in ("Role", "Layers", "Code")
                }
            )
            code = self.template.source["Resources"][logical_id]["Properties"]["CodeUri"]
            specs[logical_id] = FunctionSpec(
                logical_id=logical_id,
                name=properties["FunctionName"],
                folder=(self.template.folder / code).resolve(),
                handler=properties["Handler"],
                timeout=int(properties["Timeout"]),
                memory=int(properties["MemorySize"]),
                log_group=properties["LoggingConfig"]["LogGroup"],
                environment={
                    name: str(one) for name, one in properties["Environment"]["Variables"].items()
                },
            )
        return specs

    @cached_property
    def _api(self) -> Mapping[str, Any]:
        (declared,) = self.of_type("AWS::ApiGateway::RestApi").values()
        body: Mapping[str, Any] = declared["Properties"]["Body"]
        return body

    @cached_property
    def stage(self) -> str:
        """The name of the API's stage, the first part of a deployed path."""
        (declared,) = self.of_type("AWS::ApiGateway::Stage").values()
        return str(self.resolve(declared["Properties"]["StageName"]))

    @cached_property
    def domain(self) -> str:
        """The API's domain name of one's own; empty if it has none."""
        for declared in self.of_type("AWS::ApiGateway::DomainName").values():
            return str(self.resolve(declared["Properties"]["DomainName"]))
        return ""

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """What the API serves."""
        routes = []
        for path, methods in self._api["paths"].items():
            for method, operation in methods.items():
                uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
                found = re.search(r"\$\{(\w+)\.Arn\}/invocations", uri)
                if not found or found[1] not in self.of_type("AWS::Lambda::Function"):
                    raise TemplateError(f"{method} {path} leads to no function: {uri}")
                routes.append(
                    Route(
                        method=method.upper(),
                        path=path,
                        function=found[1],
                        needs_api_key=any(
                            "api_key" in rule for rule in operation.get("security", [])
                        ),
                    )
                )
        return tuple(routes)

    @cached_property
    def gateway_responses(self) -> dict[str, GatewayResponse]:
        """What the gateway says by itself, by type."""
        responses = {}
        for kind, declared in self._api.get("x-amazon-apigateway-gateway-responses", {}).items():
            declared = self.resolve(declared)
            status = declared.get("statusCode")
            responses[kind] = GatewayResponse(
                status=None if status is None else int(status),
                headers={
                    name.removeprefix("gatewayresponse.header."): str(value).strip("'")
                    for name, value in declared.get("responseParameters", {}).items()
                },
                body=declared.get("responseTemplates", {}).get("application/json"),
            )
        return responses

    @cached_property
    def access_log_format(self) -> str | None:
        """What the gateway logs of each request, with $context variables in it; None: nothing."""
        (declared,) = self.of_type("AWS::ApiGateway::Stage").values()
        setting = self.resolve(declared["Properties"].get("AccessLogSetting", {}))
        return setting["Format"] if isinstance(setting, dict) and "Format" in setting else None

    @cached_property
    def throttle(self) -> tuple[float, int]:
        """Requests a second, and requests in a burst, of the usage plan."""
        (declared,) = self.of_type("AWS::ApiGateway::UsagePlan").values()
        throttle = self.resolve(declared["Properties"]["Throttle"])
        return float(throttle["RateLimit"]), int(throttle["BurstLimit"])

    @cached_property
    def schedules(self) -> dict[str, float]:
        """Seconds between two scheduled runs, by the function's logical id."""
        found = {}
        for declared in self.of_type("AWS::Events::Rule").values():
            expression = str(self.resolve(declared["Properties"]["ScheduleExpression"]))
            rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
            if not rate:
                raise TemplateError(f"the sandbox does not know the schedule {expression}")
            seconds = int(rate[1]) * {"minute": 60, "hour": 3600, "day": 86400}[rate[2]]
            for target in declared["Properties"]["Targets"]:
                found[_logical_id(target["Arn"])] = float(seconds)
        return found

    @cached_property
    def event_sources(self) -> tuple[EventSource, ...]:
        """The queues that feed functions."""
        sources = []
        for declared in self.of_type("AWS::Lambda::EventSourceMapping").values():
            function = _logical_id(declared["Properties"]["FunctionName"])
            properties = self.resolve(
                {k: v for k, v in declared["Properties"].items() if k != "FunctionName"}
            )
            sources.append(
                EventSource(
                    function=function,
                    queue=properties["EventSourceArn"],
                    batch_size=int(properties["BatchSize"]),
                    window=int(properties.get("MaximumBatchingWindowInSeconds", 0)),
                    partial_failures="ReportBatchItemFailures"
                    in properties.get("FunctionResponseTypes", []),
                    concurrency=int(
                        properties.get("ScalingConfig", {}).get("MaximumConcurrency", 1)
                    ),
                )
            )
        return tuple(sources)


def _logical_id(reference: Mapping[str, Any]) -> str:
    """The resource that a Ref or GetAtt names, unresolved."""
    if "Ref" in reference:
        return str(reference["Ref"])
    argument = reference["Fn::GetAtt"]
    return str(argument[0] if isinstance(argument, list) else argument.split(".")[0])
