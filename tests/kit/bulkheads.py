"""Bulkheads for tests, and calls that hold a permit, wait for one, or are refused."""

from __future__ import annotations

import threading
from typing import Any

from http_service_client import Priority
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings

__all__ = [
    "BACKGROUND", "CRITICAL", "HIGH", "LOW", "NORMAL",
    "bulkhead_of", "held", "is_refused", "waiter",
]  # fmt: skip

BACKGROUND, LOW, NORMAL, HIGH, CRITICAL = Priority


def bulkhead_of(max_concurrent: int = 1, **settings: Any) -> Bulkhead:
    return Bulkhead(
        BulkheadSettings(max_concurrent=max_concurrent, **settings), key="k", lock=threading.RLock()
    )


def held(bulkhead: Bulkhead, name: str | None = None) -> BulkheadPermit:
    permit = bulkhead.permit(name)
    assert permit.try_acquire()
    return permit


def waiter(bulkhead: Bulkhead, level: Priority = NORMAL, name: str | None = None) -> BulkheadPermit:
    permit = bulkhead.permit(name)
    assert not permit.try_acquire()
    assert permit.wait_later(level) is None
    return permit


def is_refused(bulkhead: Bulkhead, level: Priority = NORMAL, name: str | None = None) -> bool:
    permit = bulkhead.permit(name)
    return not permit.try_acquire() and permit.wait_later(level) is not None
