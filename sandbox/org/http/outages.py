"""What the control API and the pages need from the server that runs the org."""

from __future__ import annotations

from typing import Protocol


class Outages(Protocol):
    """A server that can refuse connections for a while, and has a second port that stays open."""

    @property
    def control_url(self) -> str: ...

    @property
    def refusing(self) -> bool: ...

    def refuse_connections(self, *, seconds: float | None = None) -> None: ...

    def accept_connections(self) -> None: ...
