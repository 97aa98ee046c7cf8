"""How long a connection may be kept."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.fields.keep_alive import announced_keep_alive
from http_service_client.transports import lifetime
from http_service_client.transports.lifetime import Lifetime
from kit.rows import each_row


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, and the chance, which a test sets."""
    now = [1000.0, 0.0]
    monkeypatch.setattr(lifetime, "monotonic", lambda: now[0])
    monkeypatch.setattr(lifetime, "unseeded_random", lambda: now[1])
    return now


@each_row(
    ("field", "expected"),
    [
        ("timeout=5", (5, None)),
        ("timeout=5, max=100", (5, 100)),
        ("max=0,timeout=15", (15, 0)),
        ("Timeout = 5; MAX=3", (5, 3)),
        ('timeout="5"', (5, None)),
        ("timeout=60, timeout=5", (5, None)),
        ("timeout=0", (0, None)),
        *((field, (None, None)) for field in ("", "5", "timeout", "timeout=", "timeout=-1", "timeout=soon", "timeout=1.5")),
        *((field, (None, None)) for field in ("mytimeout=5", "timeout=1234567890123")),
    ],
)  # fmt: skip
def test_what_a_keep_alive_field_announces(field: str, expected: Any) -> None:
    """Seconds and requests; what is not clear is not said."""
    assert announced_keep_alive(field) == expected


@pytest.mark.parametrize(
    ("announced", "usable"),
    [("timeout=60", 10.0), ("timeout=11", 10.0), ("timeout=5", 4.0), ("timeout=2", 1.0), ("timeout=1", 0.5)],
)
def test_an_announced_timeout_counts_less_a_margin(now: list[float], announced: str, usable: float) -> None:
    """One second, or half of a short one. It never makes the client's own limit longer."""
    life = Lifetime(10.0, 1000, None)
    life.announce(announced)
    assert life.allows(now[0] - usable)
    assert not life.allows(now[0] - usable - 0.001)


def test_the_latest_announcement_counts(now: list[float]) -> None:
    """A server that takes a longer time back gets it."""
    life = Lifetime(10.0, 1000, None)
    for announced in ("timeout=2", "timeout=6"):
        life.announce(announced)
    assert life.allows(now[0] - 5.0)


@pytest.mark.parametrize("announced", ["timeout=0", "max=0", "timeout=5, max=0"])
def test_a_server_that_keeps_nothing_is_believed(now: list[float], announced: str) -> None:
    """The connection serves no other request."""
    life = Lifetime(10.0, 1000, None)
    life.announce(announced)
    assert life.is_over(served=1)
    assert not life.allows(now[0])


@pytest.mark.parametrize(("chance", "age"), [(0.0, 100.0), (0.5, 95.0), (1.0, 90.0)])
def test_the_age_has_jitter_downwards(now: list[float], chance: float, age: float) -> None:
    """Connections that were made together do not all end together, and none is older than the setting."""
    now[1] = chance
    life, made = Lifetime(1000.0, 1000, 100.0), now[0]
    now[0] = made + age - 0.001
    assert life.allows(now[0])
    assert not life.is_over(served=1)
    now[0] = made + age
    assert not life.allows(now[0])
    assert life.is_over(served=1)


def test_a_connection_without_a_limit_of_age_stays(now: list[float]) -> None:
    """None is no limit; the number of requests still is one."""
    life = Lifetime(1000.0, 3, None)
    now[0] += 1e9
    assert life.allows(now[0])
    assert [life.is_over(served) for served in (2, 3)] == [False, True]
