"""`make check`: what Checkov has against the template, held against what we live with.

    python .ci/template_audit.py PATH/TO/checkov [TEMPLATE]

Checkov works neither SAM nor conditions out. Of template.yaml as it stands it judges a third of
what it could, lets every `!If` pass, and what it cannot parse it passes without a word. So it is
given plain CloudFormation: translated by SAM's own translator, with parameters, conditions and
references worked out, for two deployments: `default` (no parameter given) and `hardened` (every
condition true). There it finds all that it finds in the file as it stands, or in the translation
alone, and as much again.

It runs without any skip, and what it finds is compared with ACCEPTED, resource by resource. So a
skip is as narrow as it can be, and one that no longer hides anything is an error.

A third deployment, `broken`, is the hardened one with FAULTS in it, each of which Checkov has to
find: every run shows that its checks can fail.

Nothing leaves this machine: no policy, guideline or result is fetched or sent.

Exits 0 when all is well, 1 with a line for each complaint, 2 when Checkov could not be run.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.template import TEMPLATE, Deployment, Template, TemplateError  # noqa: E402

TIMEOUT_SECONDS = 300

# Every condition is true with these. What belongs to the deployer is made up.
HARDENED: Mapping[str, str] = {
    "AccessLogs": "on",
    "AlarmEmail": "operator@example.com",
    "AllowedAddresses": "203.0.113.0/24",
    "GradualDeployment": "Canary10Percent10Minutes",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000",
    "ReserveRefreshConcurrency": "on",
    "SignatureScheme": "bird",
    "VpcSecurityGroups": "sg-0a1b2c3d",
    "VpcSubnets": "subnet-0a1b2c3d",
    "WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/example/00000000",
}
PARAMETERS: Mapping[str, Mapping[str, str]] = {"default": {}, "hardened": HARDENED}

# Checkov has checks for these; a resource of theirs that it did not judge was not read.
JUDGED = frozenset(
    {
        "AWS::ApiGateway::Stage",
        "AWS::DynamoDB::Table",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }
)


@dataclass(frozen=True, order=True)
class Finding:
    """One check that one resource of one deployment does not pass."""

    deployment: str
    check: str
    """Checkov's id."""
    resource: str
    """Logical id."""

    def __str__(self) -> str:
        return f"{self.check} on {self.resource} ({self.deployment})"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What Checkov may go on finding, and why that is right."""

    check: str
    asks_for: str
    resources: tuple[str, ...]
    """Logical ids."""
    deployments: tuple[str, ...] = ("default", "hardened")
    """What a parameter mends is accepted in `default` alone."""
    reason: str

    @property
    def findings(self) -> set[Finding]:
        return {Finding(d, self.check, r) for d in self.deployments for r in self.resources}


FROM_THE_API = ("CreateLead", "CreateCase", "ReceiveMessage")
FUNCTIONS = (*FROM_THE_API, "RefreshToken", "Deliver")

ACCEPTED = (
    Accepted(
        check="CKV_AWS_26",
        asks_for="a topic that is encrypted",
        resources=("AlarmTopic",),
        reason=(
            "CloudWatch cannot publish to a topic under AWS's managed key, so the alarms would be "
            "lost; what is sent is an alarm's fixed text and numbers, nothing personal or secret."
        ),
    ),
    Accepted(
        check="CKV_AWS_27",
        asks_for="queues under a KMS key",
        resources=("Outbox", "Rejected"),
        deployments=("default",),
        reason=(
            "The queues are encrypted by SQS's own key (SSE-SQS), which this check does not count "
            "and a test of ours does; the parameter KmsKeyArn puts the deployer's in its place."
        ),
    ),
    Accepted(
        check="CKV_AWS_28",
        asks_for="point-in-time recovery of the table",
        resources=("RefreshLease",),
        reason=(
            "The table holds one lease that ends after seconds; an old one brought back could only "
            "delay a refresh."
        ),
    ),
    Accepted(
        check="CKV_AWS_73",
        asks_for="X-Ray tracing of the API",
        resources=("BirdApiv1Stage",),
        reason=(
            "A request is followed by the ids and times in the logs, whose fields are an "
            "allow-list; traces would be one more place that tells about people's messages."
        ),
    ),
    Accepted(
        check="CKV_AWS_76",
        asks_for="access logs of the API",
        resources=("BirdApiv1Stage",),
        deployments=("default",),
        reason=(
            "The parameter AccessLogs turns them on; they are off at first because a deployment "
            "with them fails in an account whose API Gateway has no role for CloudWatch."
        ),
    ),
    Accepted(
        check="CKV_AWS_111",
        asks_for="no action that writes without a resource or a condition",
        resources=tuple(f"{one}Role" for one in FUNCTIONS),
        deployments=("hardened",),
        reason=(
            "In a VPC Lambda makes and deletes network interfaces under the function's role, and "
            "nobody knows their names before; outside a VPC no role has this statement."
        ),
    ),
    Accepted(
        check="CKV_AWS_115",
        asks_for="reserved concurrency of each function",
        resources=(*FROM_THE_API, "Deliver"),
        reason=(
            "The API is limited by ThrottleRate and ThrottleBurst and Deliver by its queue's "
            "MaximumConcurrency; a reservation would come out of the account's limit, which may be "
            "10, and its throttles would turn requests away and use up receives of the queue."
        ),
    ),
    Accepted(
        check="CKV_AWS_115",
        asks_for="reserved concurrency of each function",
        resources=("RefreshToken",),
        deployments=("default",),
        reason=(
            "The parameter ReserveRefreshConcurrency reserves it; it is off at first because an "
            "account whose limit is 10 cannot reserve any, and a lease keeps two refreshes apart."
        ),
    ),
    Accepted(
        check="CKV_AWS_116",
        asks_for="a dead-letter queue of the function",
        resources=FROM_THE_API,
        reason=(
            "API Gateway calls these and waits for the answer, and Lambda uses a dead-letter queue "
            "for asynchronous calls only; what Salesforce does not take goes to Outbox or Rejected."
        ),
    ),
    Accepted(
        check="CKV_AWS_116",
        asks_for="a dead-letter queue of the function",
        resources=("Deliver",),
        reason=(
            "Its records come from a queue, where Lambda uses no dead-letter queue of the "
            "function's; the queue, Outbox, has its own, Rejected."
        ),
    ),
    Accepted(
        check="CKV_AWS_116",
        asks_for="a dead-letter queue of the function",
        resources=("RefreshToken",),
        reason=(
            "The schedule's event says nothing that could be lost: the next run does the same, and "
            "alarms tell of failed refreshes and of a schedule that stopped."
        ),
    ),
    Accepted(
        check="CKV_AWS_117",
        asks_for="functions in a VPC",
        resources=FUNCTIONS,
        deployments=("default",),
        reason=(
            "Everything that the functions call is reached by HTTPS on the internet; the parameter "
            "VpcSubnets puts them into a VPC for whoever wants a fixed address."
        ),
    ),
    Accepted(
        check="CKV_AWS_119",
        asks_for="a table under a KMS key of the deployer's",
        resources=("RefreshLease",),
        reason=(
            "The table says who refreshes the token now, nothing personal or secret, and DynamoDB "
            "encrypts it by its own key; another grant on a key would protect nothing."
        ),
    ),
    Accepted(
        check="CKV_AWS_120",
        asks_for="a cache of the API's answers",
        resources=("BirdApiv1Stage",),
        reason=(
            "Most requests make a record, and those that look for one must see what there is now; "
            "a cache would also keep answers about people."
        ),
    ),
    Accepted(
        check="CKV_AWS_149",
        asks_for="secrets under a KMS key of the deployer's",
        resources=("Credentials", "SigningKeys"),
        deployments=("default",),
        reason=(
            "Secrets Manager encrypts them by AWS's managed key; the parameter KmsKeyArn puts the "
            "deployer's in its place."
        ),
    ),
    Accepted(
        check="CKV_AWS_158",
        asks_for="logs under a KMS key of the deployer's",
        resources=tuple(f"{one}Logs" for one in FUNCTIONS),
        deployments=("default",),
        reason=(
            "CloudWatch Logs encrypts them by its own key, and nothing personal is logged; the "
            "parameter KmsKeyArn puts the deployer's key in its place."
        ),
    ),
    Accepted(
        check="CKV_AWS_173",
        asks_for="environment variables under a KMS key of the deployer's",
        resources=FUNCTIONS,
        reason=(
            "They hold settings and the names of things, no secret (those are in Secrets Manager "
            "and in SecureStrings), and Lambda encrypts them by AWS's managed key."
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A mistake that Checkov must not overlook."""

    check: str
    resource: str
    """Logical id."""
    properties: Mapping[str, Any]
    """What the resource's properties are overwritten with; None takes one away."""


def _allow(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


_EVERYTHING = _allow(Action="*", Resource="*")

FAULTS = (
    Fault(check="CKV_AWS_27", resource="Outbox", properties={"KmsMasterKeyId": None}),
    Fault(
        check="CKV_AWS_45",
        resource="CreateLead",
        properties={
            "Environment": {"Variables": {"KEY": "AKIAIOSFODNN7EXAMPLE"}},
        },
    ),
    Fault(
        check="CKV_AWS_60",
        resource="CreateLeadRole",
        properties={
            "AssumeRolePolicyDocument": _allow(Principal={"AWS": "*"}, Action="sts:AssumeRole"),
        },
    ),
    Fault(
        check="CKV_AWS_62",
        resource="DeliverRole",
        properties={
            "Policies": [{"PolicyName": "everything", "PolicyDocument": _EVERYTHING}],
        },
    ),
    Fault(check="CKV_AWS_66", resource="DeliverLogs", properties={"RetentionInDays": None}),
    Fault(check="CKV_AWS_76", resource="BirdApiv1Stage", properties={"AccessLogSetting": None}),
    Fault(check="CKV_AWS_117", resource="Deliver", properties={"VpcConfig": None}),
    Fault(check="CKV_AWS_149", resource="Credentials", properties={"KmsKeyId": None}),
    Fault(check="CKV_AWS_158", resource="DeliverLogs", properties={"KmsKeyId": None}),
    Fault(check="CKV_AWS_363", resource="Deliver", properties={"Runtime": "python3.7"}),
)

Rendered = Mapping[str, Mapping[str, Any]]
"""Resources by logical id, with everything worked out."""


class _Names(dict[str, str]):
    """Stands for what a made resource answers to: nothing is made, so each name is its own."""

    def __init__(self, logical_id: str) -> None:
        self._logical_id = logical_id

    def __missing__(self, attribute: str) -> str:
        return self._logical_id if attribute == "Ref" else f"{self._logical_id}.{attribute}"


def render(template: Template) -> dict[str, Rendered]:
    """Each deployment's resources. Raises TemplateError for a condition not seen both ways."""
    deployments = {
        name: Deployment(
            template,
            stack_name="audited",
            parameters=given,
            make=lambda logical_id, _kind, _properties: _Names(logical_id),
        )
        for name, given in PARAMETERS.items()
    }
    for condition in template.source.get("Conditions", {}):
        if [one.resolve({"Condition": condition}) for one in deployments.values()] != [False, True]:
            raise TemplateError(f"{condition} is not false by default and true in HARDENED")
    rendered: dict[str, Rendered] = {
        name: {
            logical_id: {"Type": one["Type"], "Properties": made.resolve(one.get("Properties", {}))}
            for logical_id, one in made.resources.items()
        }
        for name, made in deployments.items()
    }
    rendered["broken"] = with_faults(rendered["hardened"])
    return rendered


def with_faults(resources: Rendered) -> Rendered:
    """The resources with every one of FAULTS in them."""
    broken: dict[str, Any] = copy.deepcopy(dict(resources))
    for fault in FAULTS:
        if fault.resource not in broken:
            raise TemplateError(f"FAULTS names {fault.resource}, which is not in the template")
        properties = broken[fault.resource]["Properties"]
        for name, value in fault.properties.items():
            if value is None:
                properties.pop(name, None)  # not there is complained of for `hardened`
            else:
                properties[name] = value
    return broken


@dataclass(frozen=True, kw_only=True)
class Report:
    """What Checkov said."""

    version: str
    unread: int
    """Files that it could not parse."""
    resources: int
    passed: frozenset[Finding]
    """Checks that passed; as Finding, since they are told in the same words."""
    failed: frozenset[Finding]


class CheckovFailed(Exception):
    """Checkov could not be run, or said nothing that can be read."""


def read_report(text: str) -> Report:
    """Checkov's answer as JSON. Raises CheckovFailed when it judged nothing."""
    try:
        said = json.loads(text)
        results, summary = said["results"], said["summary"]

        def read(rows: Iterable[Mapping[str, Any]]) -> frozenset[Finding]:
            return frozenset(
                Finding(
                    Path(row["file_path"]).stem,
                    row["check_id"],
                    # AWS::SQS::Queue.Outbox
                    row["resource"].rsplit(".", 1)[-1],
                )
                for row in rows
            )

        return Report(
            version=summary["checkov_version"],
            unread=summary["parsing_errors"],
            resources=summary["resource_count"],
            passed=read(results["passed_checks"]),
            failed=read(results["failed_checks"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckovFailed(f"Checkov judged nothing; it said: {text[:300]!r}") from error


def complaints(
    rendered: Mapping[str, Rendered], report: Report, accepted: Iterable[Accepted] = ACCEPTED
) -> Iterator[str]:
    """Everything that has to be mended, one line each."""
    if report.unread:
        yield f"Checkov could not read {report.unread} of the deployments"
    expected = sum(map(len, rendered.values()))
    if report.resources != expected:
        yield f"Checkov read {report.resources} resources, not {expected}"
    judged = {(one.deployment, one.resource) for one in report.passed | report.failed}
    for name, resources in rendered.items():
        for logical_id, one in resources.items():
            if one["Type"] in JUDGED and (name, logical_id) not in judged:
                yield f"Checkov did not judge {logical_id} ({name})"
    for fault in FAULTS:
        if Finding("broken", fault.check, fault.resource) not in report.failed:
            yield f"Checkov overlooked a fault: {fault.check} on {fault.resource}"

    found = {one for one in report.failed if one.deployment != "broken"}
    lived_with = {one for entry in accepted for one in entry.findings}
    for finding in sorted(found - lived_with):
        yield f"{finding}: mend it, or add it to ACCEPTED with the reason"
    for finding in sorted(lived_with - found):
        yield f"{finding}: is not found any more; take it out of ACCEPTED"


def run_checkov(checkov: Path, rendered: Mapping[str, Rendered]) -> Report:
    """Checkov's judgement of all deployments in one run. Raises CheckovFailed."""
    with tempfile.TemporaryDirectory(prefix="checkov-") as folder:
        files = []
        for name, resources in rendered.items():
            file = Path(folder) / f"{name}.json"
            file.write_text(
                json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}),
                encoding="utf-8",
            )
            files += ["--file", file.name]
        options = ["--framework", "cloudformation", "--output", "json", "--compact"]
        # The exit code then tells of Checkov's own trouble alone, not of what it found.
        options += ["--soft-fail", "--skip-download"]
        try:
            done = subprocess.run(
                [str(checkov.absolute()), *files, *options],
                cwd=folder,
                # No settings, keys or .checkov.yaml of whoever runs this.
                env={"HOME": folder, "PATH": os.defpath, "PYTHONUTF8": "1"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CheckovFailed(f"Checkov could not be run: {error}") from error
    if done.returncode:
        raise CheckovFailed(f"Checkov ended with {done.returncode}: {done.stderr[-2000:]}")
    return read_report(done.stdout)


def main(checkov: str, template: str = str(TEMPLATE)) -> int:
    try:
        rendered = render(Template.load(Path(template)))
        report = run_checkov(Path(checkov), rendered)
    except (CheckovFailed, TemplateError) as error:
        print(error, file=sys.stderr)
        return 2
    said = list(complaints(rendered, report))
    for one in said:
        print(one, file=sys.stderr)
    if said:
        return 1
    accepted = sum(len(one.findings) for one in ACCEPTED)
    print(
        f"Checkov {report.version}: {report.resources} resources of {len(rendered)} deployments, "
        f"{len(report.passed | report.failed)} results, {len(FAULTS)} planted faults found, "
        f"{accepted} findings accepted, no other"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
