"""Setting the org up: an administrator signs in, sees the plan, and it is carried out.

The administrator's token comes without a refresh token, is kept in memory only, and is revoked at
the end. Of the stored connection only the ids of org and user are used, never its token.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.http import Http
from bridge.oauth.grant import Credentials
from cli.connect import oauth, sign_in
from cli.connect.callback import Page
from cli.connect.oauth import Identity, SignIn
from cli.connect.sign_in import BrowserOptions
from cli.connect.stored_connection import org_of
from cli.deployment.stack import Stack
from cli.org.client import OrgProblem
from cli.org.plan import Plan, Planner, filled_fields, may_set_up, user_named
from cli.problem import Problem
from cli.terminal import Terminal

SIGNED_IN = Page(
    good=True,
    title="Signed in",
    text="Nothing was changed yet.",
    next_step="One step is left in the terminal: it shows what would be changed in the org, and "
    "asks whether to do it.",
)


def set_up_org(
    terminal: Terminal,
    stack: Stack,
    *,
    app: Credentials,
    connected: Identity | None,
    username: str = "",
    more_fields: Iterable[str] = (),
    yes: bool,
    plan_only: bool = False,
    browser: BrowserOptions,
) -> Plan:
    """Sign an administrator in, and carry the plan out, with `yes` unasked. Raises Problem.

    `username` names the integration user where the stack is not connected, or another one is
    meant.
    """
    terminal.say("An administrator of the org signs in now, to set it up.")
    sign_in.say_sandbox_user(terminal, stack, "administrator")
    fields = filled_fields(stack.settings, more_fields)
    http = Http()
    request = SignIn(app=app, callback=browser.callback, scopes=oauth.ADMIN_SCOPES)
    grant = sign_in.run(
        terminal,
        request,
        browser,
        use=lambda code: oauth.exchange(http, request, code),
        page=lambda grant: SIGNED_IN,
        failed_title="The org was not set up",
    )
    try:
        org = org_of(grant.token, stack, http)
        admin = oauth.read_identity(grant.token.id)
        if admin and connected and admin.org_id[:15] != connected.org_id[:15]:
            raise Problem(
                f"This administrator belongs to another org ({admin.org_id}) than the connected "
                f"one ({connected.org_id}).",
                next_step="Sign in as an administrator of the connected org.",
            )
        try:
            user_id = connected.user_id if connected else None
            if username:
                user_id = user_named(org, username)
            planner = Planner(org=org, settings=stack.settings, user_id=user_id, fields=fields)
            plan = planner.plan()
            _show(terminal, plan)
            if plan.steps and not plan_only and _agrees(terminal, yes=yes):
                _carry_out(terminal, plan)
            return plan
        except OrgProblem as problem:
            raise may_set_up(problem) from problem
    finally:
        for token in (grant.refresh_token, grant.token.access_token):
            if token and not oauth.revoke(http, app.login_url, token):
                terminal.note(
                    "The administrator's session could not be revoked. It ends by itself, or in "
                    "Setup, Session Management."
                )


def _agrees(terminal: Terminal, *, yes: bool) -> bool:
    if not yes and not terminal.interactive:
        raise Problem("Not interactive. Add --yes to carry the plan out.")
    return yes or terminal.confirm("Do this?", default=True)


def _carry_out(terminal: Terminal, plan: Plan) -> None:
    with terminal.progress("Setting up", total=len(plan.steps)) as advance:
        for step in plan.steps:
            try:
                step.do()
            except OrgProblem as problem:
                count = f"after {len(plan.done)} of {len(plan.steps)} steps"
                raise OrgProblem(
                    f"{step.what}: {problem.what} ({count})",
                    next_step=f"{problem.next_step} Run setup-org again: it continues where it "
                    "stopped.".lstrip(),
                    code=problem.code,
                    status=problem.status,
                ) from problem
            plan.done.append(step.target)
            advance(1)
    terminal.good(f"The org is set up: {len(plan.done)} changes.")


def _show(terminal: Terminal, plan: Plan) -> None:
    if plan.there:
        terminal.say("There already: " + ", ".join(plan.there) + ".")
    if plan.steps:
        terminal.say("To do:")
        for number, step in enumerate(plan.steps, 1):
            terminal.say(f"  {number}. {step.what}")
    else:
        terminal.good("Nothing to do.")
    for note in plan.notes:
        terminal.note(note)
