"""What can go wrong at the terminal: what happened, and what to do next.

Problem
├── StackNotFound       there is no such deployment, or AWS does not let us see it
├── Cancelled           the person said no, or pressed Ctrl-C
└── (oauth.SignInFailed, org.OrgProblem: see there)
"""

from __future__ import annotations


class Problem(Exception):
    """Something that ends a command. `what` happened, and the `next_step` that mends it."""

    exit_status = 1

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class StackNotFound(Problem):
    """No deployment of that name, or no right to look at it."""


class Cancelled(Problem):
    """A person ended it."""

    exit_status = 130
