"""What tests of blocking connections share: time and waits, and the connections of a pool."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.over_requests import connection, exchange_timeouts
from http_service_client.transports.over_requests import pool as pools
from kit.blocking_sockets import World
from kit.connections import Waits
from kit.wired_pools import Wire


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An instant that a test sets."""
    made = SimpleNamespace(now=100.0)
    for module in (connection, exchange_timeouts):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waits of the connections that a test makes."""
    return Waits(monkeypatch)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The connections that the pools of a test make."""
    made = Wire()
    monkeypatch.setattr(pools, "connect", made.connect)
    yield made
    for wired in made.connections:
        wired.sock.close()
        wired.peer.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The time of blocking connections, which passes while they wait."""
    made = World()
    for module in (connection, exchange_timeouts):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(connection, "read_waiter", made.read_waiter)
    monkeypatch.setattr(connection, "wait_until_usable", made.wait_until_usable)
    monkeypatch.setattr(connection, "is_readable", lambda sock: bool(sock.incoming))
    return made
