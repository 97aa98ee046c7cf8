"""A finalizer, a signal handler or Ctrl-C between any two lines of a bulkhead: no permit is lost or granted twice."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from http_service_client import Priority
from http_service_client.core.machines.limits import bulkhead as module
from http_service_client.core.machines.limits import semaphore
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.drivers.locks import ForkSafeLock
from kit.bulkheads import held
from kit.reentry import interrupt_each_line

MODULES = [module, semaphore]

PARTITIONED = {"partitions": {"a": 0.5, "b": 0.25}}
KINDS = pytest.mark.parametrize("settings", [{}, PARTITIONED], ids=["plain", "partitioned"])


class Interrupt(BaseException):
    pass


def new(settings: dict[str, Any], max_concurrent: int = 2) -> Bulkhead:
    return Bulkhead(
        BulkheadSettings(max_concurrent=max_concurrent, max_waiting=9, **settings), lock=ForkSafeLock()
    )


@KINDS
@pytest.mark.parametrize("step", ["acquire", "wait", "release", "leave", "resize"])
def test_a_finalizer_may_release_a_permit_during(settings: dict[str, Any], step: str) -> None:
    """The collector closes an abandoned call. Nobody waits while a permit is free, and there are no more than there are."""
    abandoned: list[BulkheadPermit] = []

    def work() -> None:
        bulkhead = new(settings)
        other = held(bulkhead, "a")
        abandoned[:] = [held(bulkhead, "b")]
        waiting = [bulkhead.permit(name) for name in ("a", "b", "c")]
        for each in waiting:
            assert each.wait_later() is None
        late = bulkhead.permit("b")
        if step == "acquire":
            late.try_acquire()
        elif step == "wait":
            late.wait_later(Priority.HIGH)
        elif step == "release":
            other.release()
        elif step == "leave":
            waiting[0].release()
        else:
            bulkhead.reconfigure(BulkheadSettings(max_concurrent=3, **settings))
        action()  # it may have come too early
        size = bulkhead.settings.max_concurrent
        assert bulkhead.in_use <= size
        assert bulkhead.in_use == size or not bulkhead.waiting
        for each in (other, late, *waiting):
            each.release()
        assert bulkhead.is_idle

    def action() -> None:
        if abandoned:
            abandoned.pop().release()

    assert interrupt_each_line(work, action, MODULES) > 20


@KINDS
def test_a_signal_handler_may_call_in_the_midst_of_a_call(settings: dict[str, Any]) -> None:
    """On the same thread, which has the lock. It finds a permit, or it is refused; both calls end with their own."""
    current: list[Bulkhead] = []

    def call(bulkhead: Bulkhead, name: str) -> None:
        permit = bulkhead.permit(name)
        try:
            permit.try_acquire()
        finally:
            permit.release()

    def work() -> None:
        current[:] = [new(settings)]
        (bulkhead,) = current
        call(bulkhead, "a")
        call(bulkhead, "c")
        assert bulkhead.is_idle

    def handler() -> None:
        for bulkhead in current:
            call(bulkhead, "b")

    assert interrupt_each_line(work, handler, MODULES) > 20


@KINDS
def test_permits_add_up_after_ctrl_c(settings: dict[str, Any]) -> None:
    """Wherever it strikes: what the call had is released, and the next one works."""

    def work() -> None:
        bulkhead = new(settings, max_concurrent=1)
        permits = [bulkhead.permit(name) for name in ("a", "b", "c", "a")]
        try:
            with contextlib.suppress(Interrupt):
                for each in permits:
                    each.try_acquire() or each.wait_later()
                for each in permits:
                    each.release()
        finally:
            # An interrupt at the end of a `with` leaves the lock to the thread it ended.
            bulkhead._lock = ForkSafeLock()
            for each in permits:
                each.release()
        assert bulkhead.is_idle
        permit = held(bulkhead, "a")
        following = bulkhead.permit("b")
        assert following.wait_later() is None
        permit.release()
        assert following.is_granted

    def interrupt() -> None:
        raise Interrupt

    def work_to_the_end() -> None:
        with contextlib.suppress(Interrupt):  # while the bulkhead is made, or used again
            work()

    assert interrupt_each_line(work_to_the_end, interrupt, MODULES) > 100
