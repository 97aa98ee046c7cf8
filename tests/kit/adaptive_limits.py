"""An adaptive limit, and calls that take its permits and report how they ended."""

from __future__ import annotations

import threading
from typing import Any

from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit, AdaptiveLimitSettings
from http_service_client.core.machines.limits.bulkhead import BulkheadPermit
from http_service_client.core.machines.limits.overload import Evidence
from kit.fakes import FakeClock

__all__ = [
    "ANSWERED",
    "CUT_SHORT",
    "LATE",
    "NONE",
    "OTHER",
    "REFUSED",
    "WALL",
    "acquire",
    "end",
    "limit_of",
    "results",
    "rounds",
]

ANSWERED, REFUSED, LATE, OTHER, CUT_SHORT, NONE = Evidence


WALL = 1_000_000_000.0  # a multiple of 20


def limit_of(clock: FakeClock, **settings: Any) -> AdaptiveLimit:
    return AdaptiveLimit(
        AdaptiveLimitSettings(**settings),
        key="payments",
        clock=clock.monotonic,
        wall_clock=clock.wall,
        lock=threading.RLock(),
    )


def acquire(limit: AdaptiveLimit) -> BulkheadPermit | None:
    """A permit that is free, or None, as the layer and the policy ask for it."""
    permit = limit.permits.permit()
    if permit.try_acquire():
        return permit
    limit.held_up()
    return None


def end(limit: AdaptiveLimit, permit: BulkheadPermit, began_at: float, evidence: Evidence = ANSWERED) -> None:
    limit.record(began_at, evidence)
    permit.release()


def rounds(
    limit: AdaptiveLimit, clock: FakeClock, count: int, *, seconds: float = 0.1, evidence: Evidence = ANSWERED
) -> list[int]:
    """So many rounds of as many calls as the limit allows, and one more; the limit after each."""
    limits = []
    for _ in range(count):
        began_at = clock.now
        permits = []
        while (permit := acquire(limit)) is not None:
            permits.append(permit)
        clock.now += seconds
        for permit in permits:
            end(limit, permit, began_at, evidence)
        limits.append(limit.limit)
    return limits


def results(limit: AdaptiveLimit, clock: FakeClock, seconds: float, count: int = 50, **given: Any) -> None:
    """So many results of calls, one after the other, that took so long and end now."""
    for _ in range(count):
        permit = limit.permits.permit()
        assert permit.try_acquire()
        end(limit, permit, clock.now - seconds, **given)
