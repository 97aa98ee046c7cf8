"""A permit of two semaphores at once, such as a host's connections and all of them."""

from __future__ import annotations

import threading
import time

import pytest

from http_service_client.core.machines.limits.semaphore import FairSemaphore, PermitPair
from http_service_client.drivers.locks import ForkSafeLock


def pair(host: int, all_hosts: int) -> tuple[FairSemaphore, FairSemaphore]:
    lock = ForkSafeLock()
    return FairSemaphore(host, lock=lock), FairSemaphore(all_hosts, lock=lock)


@pytest.mark.parametrize(("host_limit", "common_limit"), [(1, 2), (2, 1)])
def test_both_or_none_are_acquired(host_limit: int, common_limit: int) -> None:
    """When one of them has no free permit, the other one keeps its own."""
    host, common = pair(host_limit, common_limit)
    both = PermitPair(host, common)
    assert both.try_acquire()
    assert not PermitPair(host, common).try_acquire()
    assert (host.in_use, common.in_use) == (1, 1)
    both.release()
    assert (host.in_use, common.in_use) == (0, 0)


@pytest.mark.parametrize("waits_for", ["host", "common"])
def test_a_released_pair_goes_to_whoever_waits_for_either(waits_for: str) -> None:
    """The permit that somebody waits for passes on; the other one becomes free."""
    host, common = pair(1, 1)
    both = PermitPair(host, common)
    assert both.try_acquire()
    waited, other = (host, common) if waits_for == "host" else (common, host)
    told: list[str] = []
    waiter = waited.acquire_later(lambda: told.append("granted"))
    both.release()
    assert (waiter.is_granted, told) == (True, ["granted"])
    assert (waited.in_use, other.in_use) == (1, 0)


@pytest.mark.parametrize("somebody_waits", [False, True])
def test_a_second_release_does_nothing(somebody_waits: bool) -> None:
    """The permits may be others' by then. Nor does a release of a pair that was not acquired."""
    host, common = pair(2, 2)
    both, others = PermitPair(host, common), PermitPair(host, common)
    assert others.try_acquire()
    both.release()
    assert (host.in_use, common.in_use) == (1, 1)
    assert both.try_acquire()
    if somebody_waits:
        host.acquire_later()
    both.release()
    both.release()
    assert (host.in_use, common.in_use) == (1 + somebody_waits, 1)


def test_a_release_after_a_fork_adds_no_permit() -> None:
    """The child frees all permits; an object that it inherited may still release its pair."""
    host, common = pair(1, 1)
    both = PermitPair(host, common)
    assert both.try_acquire()
    for semaphore in (host, common):
        semaphore.reset_after_fork()
    both.release()
    assert (host.in_use, common.in_use) == (0, 0)


@pytest.mark.parametrize("used_again", ["host", "common"])
def test_a_release_after_a_fork_takes_no_permit_that_is_not_held(used_again: str) -> None:
    """The child may hold one of only one of them by then: the other has none to release."""
    host, common = pair(1, 1)
    both = PermitPair(host, common)
    assert both.try_acquire()
    for semaphore in (host, common):
        semaphore.reset_after_fork()
    assert (host if used_again == "host" else common).try_acquire()
    both.release()
    assert (host.in_use, common.in_use) == (0, 0)


def test_threads_never_hold_more_than_either_limit() -> None:
    """Two hosts of 3 and a common limit of 4, from eight threads."""
    lock = ForkSafeLock()
    hosts, common = [FairSemaphore(3, lock=lock) for _ in range(2)], FairSemaphore(4, lock=lock)
    held, most = [0, 0], [0, 0, 0]
    counting = threading.Lock()

    def work(number: int) -> None:
        host = hosts[number]
        for _ in range(500):
            both = PermitPair(host, common)
            if both.try_acquire():
                with counting:
                    held[number] += 1
                    most[:] = max(most[0], held[0]), max(most[1], held[1]), max(most[2], sum(held))
                time.sleep(0)
                with counting:
                    held[number] -= 1
                both.release()

    threads = [threading.Thread(target=work, args=(number % 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [most[0] <= 3, most[1] <= 3, most[2] <= 4] == [True, True, True]
    assert [semaphore.in_use for semaphore in (*hosts, common)] == [0, 0, 0]
