"""A client with a bulkhead, and other calls that hold its permits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from http_service_client import BulkheadPolicy
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.events import LimitRefused, LimitWaited
from kit.fakes import Harness
from kit.front_ends import FrontEnd

__all__ = ["harness_of", "limits", "once_a_call_waits", "once_a_call_waits_for", "reconfigure", "taken"]


def harness_of(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    given = {"max_concurrent": 1, "max_waiting": 0, **settings.pop("bulkhead", {})}
    return Harness(front_end, *script, bulkhead=BulkheadPolicy(**given), **settings)


def taken(harness: Harness) -> BulkheadPermit:
    """A permit that another call holds."""
    permit: BulkheadPermit = harness.state.bulkhead.permit()
    assert permit.try_acquire()
    return permit


def limits(harness: Harness) -> list[Any]:
    return [event for event in harness.events if isinstance(event, (LimitRefused, LimitWaited))]


@contextmanager
def once_a_call_waits(harness: Harness, action: Callable[[], object]) -> Iterator[None]:
    """The action happens on another thread while a call of the block waits for a permit."""
    with once_a_call_waits_for(harness.state.bulkhead, action):
        yield


@contextmanager
def once_a_call_waits_for(bulkhead: Bulkhead, action: Callable[[], object]) -> Iterator[None]:
    def act() -> None:
        while not bulkhead.waiting:
            threading.Event().wait(0.001)
        action()

    other = threading.Thread(target=act)
    other.start()
    yield
    other.join(20)


def reconfigure(harness: Harness, bulkhead: Any) -> None:
    harness.client.reconfigure(replace(harness.client.config, bulkhead=bulkhead))
