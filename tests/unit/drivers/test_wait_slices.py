"""The waits on a lock that a wait for a slot consists of."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.core.effects import Acquire
from http_service_client.drivers import blocking
from http_service_client.drivers.blocking import wait_for_grant


def waits_for(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch, grant_at: int | None = None
) -> tuple[bool, list[float]]:
    """Whether the slot was granted, and how long each wait on the lock was.   grant_at: the wait in which it comes."""
    waits: list[float] = []
    waiter: Any = SimpleNamespace(notify=lambda release: None, is_granted=False)

    class Lock:
        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is None:  # it is made locked
                return True
            assert len(waits) < 9
            waits.append(timeout)
            waiter.is_granted = len(waits) == grant_at
            return bool(waiter.is_granted)

        def release(self) -> None:
            pass

    monkeypatch.setattr(blocking, "threading", SimpleNamespace(Lock=Lock))
    return wait_for_grant(Acquire(waiter, timeout)), waits


@pytest.mark.parametrize(
    ("timeout", "grant_at", "outcome"),
    [
        (2.5, None, (False, [1.0, 1.0, 0.5])),
        (2.5, 2, (True, [1.0, 1.0])),
        (2.5, 3, (True, [1.0, 1.0, 0.5])),
        (1.0, None, (False, [1.0])),
        (0.25, 1, (True, [0.25])),
        (-1.0, None, (False, [0.0])),
        (None, 4, (True, [1.0] * 4)),
    ],
)
def test_a_wait_is_cut_into_slices(
    timeout: float | None, grant_at: int | None, outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as long as the whole, and end with the grant; without a timeout there is no last one."""
    monkeypatch.setattr(blocking, "_SLICE", 1.0)
    assert waits_for(timeout, monkeypatch, grant_at) == outcome


@pytest.mark.skipif(os.name == "nt", reason="a wait on a lock cannot be interrupted there")
def test_an_ordinary_wait_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice costs the thread a wake-up, and only Windows needs them."""
    assert waits_for(60.0, monkeypatch) == (False, [60.0])
