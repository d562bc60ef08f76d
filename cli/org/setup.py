"""`setup-org`: an administrator signs in, sees what would change, and has it done.

The administrator's token is asked for without a refresh token, lives in memory only, and is
revoked at the end. The integration user's stored token is never used for it, only the ids that came
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.http import Http
from bridge.oauth.grant import Grant
from cli.connect import oauth, sign_in
from cli.connect.callback import Page
from cli.connect.connection import revoke
from cli.connect.oauth import App, Identity, SignIn, SignInFailed
from cli.deployment.stack import Stack
from cli.org.client import Org, OrgProblem
from cli.org.plan import Plan, Planner, filled_fields, may_set_up, user_named
from cli.problem import Problem
from cli.terminal import Terminal


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found and what was done."""

    plan: Plan
    done: tuple[str, ...]
    """Targets of the steps that were carried out."""


def set_up(
    terminal: Terminal,
    stack: Stack,
    *,
    app: App,
    connected: Identity | None,
    username: str,
    more_fields: Iterable[str],
    plan_only: bool,
    agree: Callable[[], bool],
    way: sign_in.Way,
) -> Outcome:
    """Sign an administrator in, and do what lacks if `agree` says so. Raises Problem.

    `username` names the integration user where the stack is not connected (or another is meant).
    """
    terminal.say("Now an administrator of the org signs in, to set it up.")
    fields = filled_fields(stack.settings, more_fields)
    http = Http()
    request = SignIn(app=app, callback=way.callback, scopes=oauth.ADMIN_SCOPES)

    def use(code: str) -> Grant:
        return oauth.exchange(http, request, code)

    grant = sign_in.run(
        terminal, request, way, use=use, page=_page, failed_title="The org was not set up"
    )
    try:
        if not stack.settings.trusts(grant.token.instance_url):
            raise SignInFailed("untrusted_instance", detail=grant.token.instance_url)
        admin = oauth.read_identity(grant.token.id)
        if admin and connected and admin.org_id[:15] != connected.org_id[:15]:
            raise Problem(
                f"This administrator is of another org ({admin.org_id}) than the connected one "
                f"({connected.org_id}).",
                next_step="Sign in as an administrator of the connected org.",
            )
        org = Org(http=http, session=grant.token.session, api_version=stack.settings.api_version)
        try:
            user_id = connected.user_id if connected else None
            if username:
                user_id = user_named(org, username)
            planner = Planner(org=org, settings=stack.settings, user_id=user_id, fields=fields)
            return _carry_out(terminal, planner.plan(), plan_only=plan_only, agree=agree)
        except OrgProblem as problem:
            raise may_set_up(problem) from problem
    finally:
        for token in (grant.refresh_token, grant.token.access_token):
            if token and not revoke(http, app.login_url, token):
                terminal.note(
                    "The administrator's session could not be revoked; it ends by itself (Setup, "
                    "Session Management)."
                )


def _page(grant: Grant) -> Page:
    return Page(
        good=True,
        title="Signed in",
        text="What would be changed in the org is shown in the terminal now.",
    )


def _carry_out(
    terminal: Terminal, plan: Plan, *, plan_only: bool, agree: Callable[[], bool]
) -> Outcome:
    show(terminal, plan)
    if not plan.steps or plan_only or not agree():
        return Outcome(plan=plan, done=())
    done: list[str] = []
    with terminal.progress("Setting up", total=len(plan.steps)) as advance:
        for step in plan.steps:
            try:
                step.do()
            except OrgProblem as problem:
                raise OrgProblem(
                    f"{step.what}: {problem.what} (after {len(done)} of {len(plan.steps)} steps)",
                    next_step=(problem.next_step + " " if problem.next_step else "")
                    + "Then run setup-org again: it goes on where it stopped.",
                    code=problem.code,
                    status=problem.status,
                ) from problem
            done.append(step.target)
            advance(1)
    terminal.good(f"The org is set up: {len(done)} changes.")
    return Outcome(plan=plan, done=tuple(done))


def show(terminal: Terminal, plan: Plan) -> None:
    """The plan, for a person."""
    if plan.there:
        terminal.say("There already: " + ", ".join(plan.there) + ".")
    if plan.steps:
        terminal.say("To be done:")
        for number, step in enumerate(plan.steps, 1):
            terminal.say(f"  {number}. {step.what}")
    else:
        terminal.good("Nothing is to be done.")
    for note in plan.notes:
        terminal.note(note)
