"""Look-ups that end in time, and connections to the first address that takes one.

`socket.getaddrinfo` stands for the name server here; tests/functional/test_silent_name_server.py
has glibc's own look for one that is silent.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bridge.aws import Aws, AwsError
from bridge.deadline import Deadline
from bridge.http import Http, NoConnection, NoName
from bridge.resolver import SILENCE_SECONDS, NoNameServer, Resolver
from tests.unit.doubles import IDENTITY

LOOKUP_FAILED = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Names:
    """What `getaddrinfo` does: `seconds` of silence, then `happens`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.happens: Any = []
        self.wanted: list[str] = []
        self.goes_on = threading.Event()

    def __call__(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        self.wanted.append(host)
        self.goes_on.wait(self.seconds)
        if isinstance(self.happens, Exception):
            raise self.happens
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", to) for to in self.happens]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.goes_on.set()


def get(http: Http, *, seconds: float = 8) -> None:
    http.send("GET", "http://host.example/", headers={}, deadline=Deadline.after(seconds))


def test_nobody_waits_longer_for_a_name_than_there_is_time(names: Names) -> None:
    names.seconds = 60
    started = time.monotonic()
    with pytest.raises(NoName, match=r"host\.example"):
        get(Http(), seconds=0.3)
    assert time.monotonic() - started < 0.8


def test_of_one_host_one_look_up_runs_at_a_time(names: Names) -> None:
    names.seconds = 60
    http = Http()
    for _ in range(3):
        with pytest.raises(NoName):
            get(http, seconds=0.1)
    assert names.wanted == ["host.example"]
    # What it finds later is old then: the next one looks up again.
    names.goes_on.set()
    while threading.active_count() > 1 and any(
        type(one).__name__ == "_Lookup" for one in threading.enumerate()
    ):
        time.sleep(0.01)
    names.happens = LOOKUP_FAILED
    with pytest.raises(NoConnection):
        get(http)
    assert len(names.wanted) > 1


@pytest.mark.parametrize(
    ("seconds", "error", "looked_up"), [(0.0, NoConnection, 2), (SILENCE_SECONDS, NoName, 1)]
)
def test_a_failure_for_now_is_tried_again_unless_it_took_long(
    names: Names, seconds: float, error: type[Exception], looked_up: int
) -> None:
    names.seconds, names.happens = seconds, LOOKUP_FAILED
    with pytest.raises(NoConnection) as caught:
        get(Http())
    assert type(caught.value) is error
    assert len(names.wanted) == looked_up


@pytest.mark.parametrize(("silent", "least", "most"), [(True, 1, 1), (False, 4, 99)])
def test_aws_is_not_called_again_while_no_name_server_responds(
    names: Names, silent: bool, least: int, most: int
) -> None:
    names.seconds, names.happens = (60 if silent else 0), LOOKUP_FAILED
    aws = Aws(http=Http(), identity=IDENTITY)
    with pytest.raises(AwsError) as caught:
        aws.send_message("https://q", "body", deadline=Deadline.after(1.2))
    assert least <= len(names.wanted) <= most
    assert caught.value.code == "UNREACHABLE" and caught.value.is_temporary


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """An address that drops who wants to connect, as a host behind a firewall does."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()


def test_addresses_that_do_not_respond_leave_time_for_the_one_that_does(
    names: Names, full: tuple[str, int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        names.happens = [full, full, server.getsockname()]
        started = time.monotonic()
        with Resolver().connect(("host.example", 80), 1.2) as connection:
            assert connection.getpeername() == server.getsockname()
            assert connection.gettimeout() == 1.2
        assert time.monotonic() - started < 1.2


def test_the_time_is_that_of_all_addresses_together(names: Names, full: tuple[str, int]) -> None:
    names.happens = [full] * 4
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        Resolver().connect(("host.example", 80), 0.6)
    assert not isinstance(caught.value, NoNameServer)
    assert time.monotonic() - started < 0.9
