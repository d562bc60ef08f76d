"""The whole bundle on this machine: a Salesforce org, AWS, API Gateway and the functions.

    with Stack() as stack:
        response = stack.request("POST", "/leads", {"LastName": "Okafor", "Company": "Individual"})
        assert response.status == 201

Everything is made from template.yaml. Nothing outside this machine is reached, and nothing is left
when it ends.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import urllib3

from sandbox.aws.endpoint import ACCOUNT, REGION, LocalAws
from sandbox.aws.event_source import Delivery, QueueMapping
from sandbox.aws.functions import Concurrency, Function, Outcome
from sandbox.aws.gateway import INTEGRATION_SECONDS, Gateway
from sandbox.aws.keys import Keys
from sandbox.aws.roles import Role
from sandbox.aws.schedule import Schedule
from tools.template import TEMPLATE, Attributes, Deployment, Template

if TYPE_CHECKING:
    from sandbox.media.host import MediaHost
    from sandbox.org.http.server import OrgServer
    from sandbox.org.org import Org


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Stack:
    """The local stack, from `start` to `stop` or in a `with` block.

    connected           fill the secret with the org's credentials, as `make connect` would
    parameters          template.yaml's parameters that differ from their defaults
    org                 an org of your own (default: a new sample org)
    login_url           another Salesforce, instead of an org of the stack's own
    processes           how many processes each function may have
    preloaded           fork function processes from an interpreter that has imported everything
                        (else, and where there is no Linux, each starts as cold as in Lambda)
    concurrency         how many invocations the account may have at once (default: any number,
                        and what finds no process waits for one)
    poll                deliver the outbox in the background (else by `deliver_once` or `drain`)
    window              seconds that the poller waits for a fuller batch
    folders             other code for a function: {"create_lead": folder with an app.py}
    host, advertise     the address to listen on, and the one in URLs
    ports               (API, AWS, org); 0 is any free one
    """

    def __init__(
        self,
        *,
        connected: bool = True,
        parameters: Mapping[str, str] | None = None,
        org: Org | None = None,
        login_url: str | None = None,
        stack_name: str | None = None,
        processes: int = 4,
        preloaded: bool = True,
        concurrency: int | None = None,
        poll: bool = True,
        window: float = 1.0,
        folders: Mapping[str, Path] | None = None,
        integration_seconds: float = INTEGRATION_SECONDS,
        host: str = "127.0.0.1",
        advertise: str | None = None,
        ports: tuple[int, int, int] = (0, 0, 0),
        template: Path = TEMPLATE,
    ) -> None:
        # A name of its own, since all stacks of a program share one moto.
        self.stack_name = stack_name or f"bird-{uuid.uuid4().hex[:8]}"
        self.api_key = f"local-{uuid.uuid4().hex}"
        self.lookup_key = f"lookup-{uuid.uuid4().hex}"
        """Of POST /customers/find, with the parameter CustomerLookup."""
        self._connected = connected
        self._parameters = dict(parameters or {})
        self._org = org
        self._login_url = login_url
        self._processes = processes
        self._preloaded = preloaded
        self._concurrency = concurrency
        self._poll = poll
        self._window = window
        self._folders = {name: Path(folder).resolve() for name, folder in (folders or {}).items()}
        self._integration_seconds = integration_seconds
        self._host = host
        self._advertise = advertise
        self._ports = ports
        self._template = template
        self._made: list[tuple[str, Attributes]] = []
        self._exit = contextlib.ExitStack()
        self._http = urllib3.PoolManager(maxsize=64, retries=False)
        self.functions: dict[str, Function] = {}
        """By the name of their folder."""

    # Beginning and end

    def start(self) -> Stack:
        """Start everything; on an error nothing is left running."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bird-salesforce-"))
        self._exit.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.org_server = self._start_org()
        self.media_host = self._start_media()
        self.aws = LocalAws(host=self._host, port=self._ports[1], advertise=self._advertise)
        self.aws.start()
        self._exit.callback(self.aws.stop)
        self.deployment = self._deploy()
        self._exit.callback(self._unmake)
        self._start_functions()
        if self._connected:
            self.connect()
        self.gateway = Gateway(
            self.deployment,
            keys=self._keys(),
            invoke=self._invoke_logical,
            host=self._host,
            port=self._ports[0],
            advertise=self._advertise,
            integration_seconds=self._integration_seconds,
            access_log=self.folder / "access.log",
        )
        self.gateway.server.start()
        self._exit.callback(self.gateway.server.stop)
        self.aws.serve_stack(self.stack_name, self._outputs, self._configurations)
        self.aws.serve_logs(self._log_files)
        self._start_pollers()

    def stop(self) -> None:
        """Stop everything, in the reverse order."""
        self._exit.close()
        self._http.clear()

    def __enter__(self) -> Stack:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_org(self) -> OrgServer | None:
        if self._login_url is not None:
            return None
        from sandbox.org.http.server import OrgServer
        from sandbox.org.org import Org

        port = self._ports[2]
        public_url = ""
        if self._advertise or self._host == "0.0.0.0":
            port = port or _free_port(self._host)
            public_url = f"http://{self._advertise or '127.0.0.1'}:{port}"
        server = OrgServer(
            self._org or Org.sample(),
            host=self._host,
            port=port,
            control_port=port and port + 1,
            public_url=public_url,
        )
        self._exit.callback(server.close)
        return server

    def _start_media(self) -> MediaHost | None:
        """Where the links of files lead, if files are attached."""
        if self._parameters.get("AttachMedia") != "on":
            return None
        from sandbox.media.host import MediaHost

        media = MediaHost(host=self._host, advertise=self._advertise).start()
        self._exit.callback(media.stop)
        return media

    def _deploy(self) -> Deployment:
        template = Template.load(self._template)
        given = {
            "LoginUrl": self.org_url,
            "AwsEndpointUrl": self.aws.url,
            "AllowInsecureHosts": self._advertise or "",
        }
        if self.media_host is not None:
            named = [given["AllowInsecureHosts"], self.media_host.insecure]
            given["AllowInsecureHosts"] = ",".join(filter(None, named))
            given["MediaHosts"] = self.media_host.names
        given |= self._parameters

        def make(logical_id: str, kind: str, properties: Mapping[str, Any]) -> Attributes:
            if kind == "AWS::ApiGateway::ApiKey":
                key = self.lookup_key if logical_id == "LookupKey" else self.api_key
                properties = {**properties, "Value": key}
            made = self.aws.make(self.stack_name, logical_id, kind, properties)
            self._made.append((kind, made))
            return made

        deployment = Deployment(
            template,
            stack_name=self.stack_name,
            parameters=given,
            make=make,
            stack_id=str(uuid.uuid4()),
        )
        deployment.make_all(
            "AWS::SQS::Queue",
            "AWS::SecretsManager::Secret",
            "AWS::DynamoDB::Table",
            "AWS::ApiGateway::UsagePlanKey",
            "AWS::Events::Rule",
        )
        return deployment

    def _unmake(self) -> None:
        for kind, made in reversed(self._made):
            with contextlib.suppress(Exception):
                self.aws.unmake(kind, made)
        for name in (self.token_parameter, self.pending_parameter):
            with contextlib.suppress(Exception):
                self.client("ssm").delete_parameter(Name=name)

    def _start_functions(self) -> None:
        specs = self.deployment.functions
        self.account = Concurrency(self._concurrency)
        self.aws.concurrency = self._concurrency or self.aws.concurrency
        self._by_logical_id: dict[str, Function] = {}
        for logical_id, spec in specs.items():
            key = spec.key
            if key in self._folders:
                spec = replace(spec, folder=self._folders[key])
            role = self.aws.roles[key] = Role.of(self.deployment, logical_id)
            function = Function(
                spec,
                key=key,
                arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{spec.name}",
                log_folder=self.folder,
                region=REGION,
                processes=self._processes,
                account=self.account,
                preloaded=self._preloaded,
                may_log=partial(role.may_log, spec.log_group, region=REGION, account=ACCOUNT),
            )
            self.functions[key] = self._by_logical_id[logical_id] = function
            self._exit.callback(function.close)
        by_name = {function.spec.name: function for function in self.functions.values()}
        self.aws.serve_functions(
            lambda name, event: by_name[name].invoke(event),
            {function.spec.name: key for key, function in self.functions.items()},
        )

    def _keys(self) -> Keys:
        (api,) = self.deployment.of_type("AWS::ApiGateway::RestApi")
        return Keys(
            account=ACCOUNT,
            region=REGION,
            api_id=self.deployment.resource(api)["Ref"],
            stage=self.deployment.stage,
        )

    def _start_pollers(self) -> None:
        pollers: dict[str, QueueMapping] = {}
        for source in self.deployment.event_sources:
            function = self._by_logical_id[source.function]
            queue_url = self.outbox_url if function.key == "deliver" else self.files_url
            pollers[function.key] = poller = QueueMapping(
                source,
                # Lambda polls under the function's own role.
                sqs=self.aws.client("sqs", function=function.key),
                queue_url=queue_url,
                invoke=function.invoke,
                window=self._window,
            )
            self._exit.callback(poller.stop)
            poller.begin()
            if self._poll:
                poller.start()
        self.poller = pollers["deliver"]
        self._files_poller = pollers.get("attach_files")

    def _outputs(self) -> dict[str, str]:
        """The stack's outputs, with the API where it really is."""
        deployed = f"https://{self.gateway.api_id}.execute-api.{REGION}.amazonaws.com/"
        here = self.gateway.server.url + "/"
        outputs = self.deployment.outputs
        return {name: value.replace(deployed, here) for name, value in outputs.items()}

    def _log_files(self) -> dict[str, Path]:
        """The functions' log files by the names of their log groups."""
        return {one.spec.log_group: one.log for one in self.functions.values()}

    def _configurations(self) -> dict[str, Mapping[str, str]]:
        return {one.spec.name: one.spec.environment for one in self.functions.values()}

    # URLs and names

    @property
    def url(self) -> str:
        """The API with its stage: POST {url}/leads."""
        return self.gateway.url

    @property
    def aws_endpoint(self) -> str:
        """The value of AWS_ENDPOINT_URL."""
        return self.aws.url

    @property
    def org(self) -> Org:
        """The Salesforce org itself, in this program."""
        return self._server().org

    @property
    def org_url(self) -> str:
        """The URL of the org's login, API and pages."""
        return self._login_url or str(self._server().url)

    @property
    def control_url(self) -> str:
        """The org's second port: its pages and its controls, which an outage does not reach."""
        return str(self._server().control_url)

    def _server(self) -> OrgServer:
        if self.org_server is None:
            raise LookupError("this stack uses another Salesforce")
        return self.org_server

    @property
    def outbox_url(self) -> str:
        return self.deployment.resource("Outbox")["Ref"]

    @property
    def rejected_url(self) -> str:
        return self.deployment.resource("Rejected")["Ref"]

    @property
    def files_url(self) -> str:
        return self.deployment.resource("Files")["Ref"]

    @property
    def media(self) -> MediaHost:
        """Bird's media host. Raises LookupError unless AttachMedia is on."""
        if self.media_host is None:
            raise LookupError("this stack attaches no files")
        return self.media_host

    @property
    def files_poller(self) -> QueueMapping:
        """What feeds AttachFiles. Raises LookupError unless AttachMedia is on."""
        if self._files_poller is None:
            raise LookupError("this stack attaches no files")
        return self._files_poller

    @property
    def secret_id(self) -> str:
        return self.deployment.resource("Credentials")["Ref"]

    @property
    def token_parameter(self) -> str:
        return self.deployment.functions["RefreshToken"].environment["TOKEN_PARAMETER"]

    @property
    def pending_parameter(self) -> str:
        return self.deployment.functions["RefreshToken"].environment["PENDING_PARAMETER"]

    def client(self, service: str, *, function: str = "") -> Any:
        """A boto3 client of this stack's AWS; with a function's name, under that one's role."""
        return self.aws.client(service, function=function)

    def function_environment(self, name: str) -> dict[str, str]:
        """Exactly what the function's processes see."""
        return dict(self.functions[name].environment)

    # For people and tests

    def connect(self, **more: str) -> None:
        """Fill the secret as `make connect` would; `more` replaces or adds keys."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.secret_id, SecretString=json.dumps({**self._credentials(), **more})
        )
        if self.media_host is not None:
            self.client("secretsmanager").put_secret_value(
                SecretId=self.deployment.resource("AccessKey")["Ref"],
                SecretString=json.dumps({"accessKey": self.media_host.access_key}),
            )

    def _credentials(self) -> dict[str, str]:
        from sandbox.org.sample import CLIENT_ID, CLIENT_SECRET, INTEGRATION_USER

        approved = self.org.oauth.approve(CLIENT_ID, INTEGRATION_USER, "api", "refresh_token")
        return {
            "login_url": self.org_url,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": approved["refresh_token"],
        }

    def credentials(self) -> dict[str, str]:
        """The content of the secret."""
        value = self.client("secretsmanager").get_secret_value(SecretId=self.secret_id)
        found: dict[str, str] = json.loads(value["SecretString"])
        return found

    def token(self) -> dict[str, Any] | None:
        """The content of the access-token parameter; None if it does not exist yet."""
        ssm = self.client("ssm")
        try:
            value = ssm.get_parameter(Name=self.token_parameter, WithDecryption=True)
        except ssm.exceptions.ParameterNotFound:
            return None
        found: dict[str, Any] = json.loads(value["Parameter"]["Value"])
        return found

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = "",
        timeout: float = 35.0,
    ) -> Response:
        """Call the API as a flow does. A body that is not bytes or text is sent as JSON.

        `api_key` is this stack's own by default; None sends none.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if api_key is not None:
            sent.setdefault("x-api-key", api_key or self.api_key)
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        response = self._http.request(
            method, self.url + path, body=body, headers=sent, timeout=timeout, redirect=False
        )
        return Response(status=response.status, headers=response.headers, body=response.data)

    def invoke(self, name: str, event: Any, *, patience: float | None = None) -> Outcome:
        """Run a function with an event, as Lambda's Invoke API would."""
        return self.functions[name].invoke(json.dumps(event).encode(), patience=patience)

    def _invoke_logical(self, logical_id: str, event: bytes, patience: float) -> Outcome:
        return self._by_logical_id[logical_id].invoke(event, patience=patience)

    @cached_property
    def schedule(self) -> Schedule:
        """The rule that fires RefreshToken; `aws events disable-rule` reaches it."""
        (name,) = self.deployment.of_type("AWS::Events::Rule")
        ((logical_id, seconds),) = self.deployment.schedules.items()
        made = self.deployment.resource(name)
        return Schedule(
            rule=made["Ref"],
            arn=made["Arn"],
            seconds=seconds,
            events=self.client("events"),
            invoke=self._by_logical_id[logical_id].invoke,
        )

    def tick(self) -> Outcome:
        """Let the schedule fire now. Raises LookupError if it is off, Throttled."""
        outcome = self.schedule.fire()
        if outcome is None:
            raise LookupError("the rule is disabled or deleted")
        return outcome

    def run_schedule(self) -> None:
        """Fire now, and from now on as often as the template says, until `stop`."""
        ended = threading.Event()
        self._exit.callback(ended.set)
        threading.Thread(
            target=self.schedule.run, args=(ended,), name="schedule", daemon=True
        ).start()

    def account_used_up(self, *, but: int = 0) -> AbstractContextManager[None]:
        """Inside the `with` block the account's other functions leave only `but` more to ours."""
        return self.account.used_up(but=but)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Inside the `with` block Salesforce cannot be reached."""
        with self._server().down():
            yield

    def deliver_once(self) -> Delivery:
        """Deliver one batch of what is visible in the outbox."""
        return self.poller.deliver_once()

    def let_time_pass(self) -> int:
        """Make what is hidden or delayed in the outbox visible now. Returns how many messages."""
        return self.aws.queues.let_time_pass(self.outbox_url)

    def age_outbox(self, seconds: float) -> int:
        """Make the outbox's messages look older."""
        return self.aws.queues.age(self.outbox_url, seconds)

    def drain(self, *, seconds: float = 30.0) -> None:
        """Deliver, letting time pass, until the outbox is empty. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while self.waiting():
            if time.monotonic() > until:
                raise TimeoutError(f"{self.waiting()} messages are still in the outbox")
            self.let_time_pass()
            self.deliver_once()
        self.poller.settle()  # for whom time has passed too, and who may have received it as well

    def drain_files(self, *, seconds: float = 30.0) -> None:
        """Attach, letting time pass, until no file waits. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while waiting := self._count(self.files_url):
            if time.monotonic() > until:
                raise TimeoutError(f"{waiting} messages are still in the queue of files")
            self.aws.queues.let_time_pass(self.files_url)
            self.files_poller.deliver_once()

    def files_waiting(self) -> int:
        """How many messages have files that are not attached yet."""
        return self._count(self.files_url)

    def _count(self, url: str) -> int:
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(attributes["Attributes"][name]) for name in names)

    def waiting(self) -> int:
        """How many messages are in the outbox, hidden ones included."""
        return self._count(self.outbox_url)

    def rejected(self) -> list[dict[str, Any]]:
        """The bodies of all that is in Rejected; it stays there."""
        return [json.loads(body) for body in self.aws.queues.bodies(self.rejected_url)]

    def access_log(self) -> str:
        """What API Gateway has logged; nothing unless the parameter AccessLogs is on."""
        return self.gateway.access_log()

    def logs(self, name: str) -> str:
        """Everything that a function's processes printed."""
        return self.functions[name].logs()

    def kill(self, name: str, *, busy_only: bool = True) -> int:
        """SIGKILL a function's processes, the busy ones or all."""
        return self.functions[name].kill(busy_only=busy_only)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
