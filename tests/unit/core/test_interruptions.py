"""The collector and signal handlers run between any two steps of other code: shared state must stay consistent.

The locks are reentrant, so they do not keep out what runs on the same thread.
"""

from __future__ import annotations

import pytest

from http_service_client.core import origins
from http_service_client.core.machines.limits import semaphore
from http_service_client.core.machines.limits.semaphore import FairSemaphore, Waiter
from http_service_client.core.origins import OriginRegistry, OriginState
from http_service_client.drivers.locks import ForkSafeLock
from kit.fakes import FakeClock
from kit.reentry import interrupt_each_line


@pytest.mark.parametrize("step", ["acquire_later", "release", "release a waiter"])
def test_a_finalizer_may_release_a_permit_during(step: str) -> None:
    """It closes an abandoned stream. No waiter misses its permit, and no permit is lost."""
    limits: list[FairSemaphore] = []
    abandoned: list[Waiter] = []
    waiting: list[Waiter] = []

    def work() -> None:
        limits[:] = [FairSemaphore(2, lock=ForkSafeLock())]
        (limit,) = limits
        other = limit.acquire_later()
        abandoned[:] = [limit.acquire_later()]
        waiting[:] = [limit.acquire_later()]
        if step == "acquire_later":
            waiting.append(other)
        elif step == "release":
            limit.release()
        else:
            other.release()

    def action() -> None:
        if abandoned:
            abandoned.pop().release()

    def work_and_check() -> None:
        abandoned.clear()
        work()
        action()  # it came too early or too late
        assert [waiter.is_granted for waiter in waiting] == [True] * len(waiting)
        for waiter in waiting:
            waiter.release()
        assert (limits[0].in_use, limits[0].waiting) == (0, 0)

    assert interrupt_each_line(work_and_check, action, [semaphore]) > 20


def test_a_signal_handler_may_add_an_origin_that_is_being_added() -> None:
    """Both get the same state, and it is examined and forgotten once."""

    def new_state(origin: str) -> OriginState:
        return OriginState(None, None, FairSemaphore(1, lock=ForkSafeLock()))

    registries: list[OriginRegistry] = []
    adding: list[str] = []
    handled: list[OriginState] = []

    def work() -> None:
        registry = OriginRegistry(new_state, ForkSafeLock(), FakeClock().monotonic, max_origins=5)
        registries[:] = [registry]
        for adding[:] in (["a"], ["b"], ["c"], ["d"], ["e"], ["f"]):
            state = registry.get(adding[0])
            assert not handled or handled.pop() is state
        queued = [name for queue in registry._queues for name in queue]
        assert sorted(queued) == sorted(registry._states)

    def action() -> None:
        if adding:
            for name in ("x", "y", adding[0]):
                state = registries[0].get(name)
            handled.append(state)

    def work_from_scratch() -> None:
        adding.clear()
        work()

    assert interrupt_each_line(work_from_scratch, action, [origins]) > 20


def test_a_signal_handler_may_wait_while_the_first_call_of_an_origin_begins_to() -> None:
    """Both count as waiting, and at this origin only."""
    states: list[OriginState] = []
    waiters: list[Waiter] = []

    def work() -> None:
        states[:] = [OriginState(None, None, FairSemaphore(1, lock=ForkSafeLock())) for _ in range(2)]
        waiters[:] = [states[0].connections.acquire_later() for _ in range(2)]
        states[0].queue(waiters[0])

    def action() -> None:
        if waiters:
            states[0].queue(waiters[1])

    def work_and_check() -> None:
        waiters.clear()
        work()
        action()  # it came too early or too late
        assert (set(states[0].queued), set(states[1].queued)) == (set(waiters), set())

    assert interrupt_each_line(work_and_check, action, [origins]) > 2
