"""A fair semaphore under a plain lock."""

from __future__ import annotations

import threading

from http_service_client.core.machines.limits.semaphore import FairSemaphore

__all__ = ["semaphore_of"]


def semaphore_of(capacity: int) -> FairSemaphore:
    return FairSemaphore(capacity, lock=threading.Lock())
