"""What can go wrong in a command: what happened, and what to do next.

Problem
├── StackNotFound       there is no such deployment, or no right to see it
├── Cancelled           the person chose no, or pressed Ctrl-C
├── SignInFailed        cli.connect.sign_in_failures
├── RefreshFailed       cli.connect.stored_connection
└── OrgProblem          cli.org.client
"""

from __future__ import annotations


class Problem(Exception):
    """Ends a command. `what` happened, and the `next_step` to take."""

    exit_status = 1

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    @property
    def is_outage(self) -> bool:
        """Whether Salesforce is down: then nothing is known of the connection."""
        return False

    @property
    def calls_for_connecting(self) -> bool:
        """Of what a stored connection met: whether to connect anew can help."""
        return True


class StackNotFound(Problem):
    """No deployment of that name, or no right to look at it."""


class Cancelled(Problem):
    exit_status = 130
