"""The rate limit policy as an object: its settings, its copies, its keys; threads, tasks and forks."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from typing import Any

import pytest
import requests

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    HttpResponse,
    HttpStatusError,
    OperationTimeoutError,
    RateLimitExceededError,
    RateLimitPolicy,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.events import RetryScheduled
from http_service_client.policies import RateLimitSettings, rate_limit
from http_service_client.testing import VirtualClock
from kit.fakes import Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.guarded import Failing, PaymentError, retrying
from kit.reentry import interrupt_each_line
from kit.rows import each_row
from kit.threads import run_threads, wait_until


def nothing(*args: object) -> str:
    return "done"


def test_a_refusal_says_when_and_why() -> None:
    """In its message and in its fields; nothing was sent."""
    policy = RateLimitPolicy(2, per=60, max_wait=0, name="reports")
    policy.call(nothing)
    with pytest.raises(RateLimitExceededError) as caught:
        policy.call(nothing)
    error = caught.value
    assert error.key == "reports"
    assert error.retry_after == pytest.approx(30, abs=1)
    assert "the rate limit of reports refused the call: its turn would come in 30 s" in str(error)
    assert "and max_wait=0 permits no wait; nothing was sent" in str(error)


@pytest.mark.parametrize(
    ("settings", "seconds", "why"),
    [({"max_wait": 5}, 60.0, "later than max_wait=5 s permits"), ({}, 2.0, "too late for the deadline")],
)
def test_a_refusal_names_the_limit_that_was_too_short(
    settings: dict[str, Any], seconds: float, why: str
) -> None:
    """That of the policy, or the deadline around it."""
    policy = RateLimitPolicy(1, per=30, **settings)
    policy.call(nothing)
    with deadline(seconds), pytest.raises(RateLimitExceededError, match=why):
        policy.call(nothing)


def test_a_copy_and_a_pickle_have_a_limit_of_their_own() -> None:
    """Of the same settings: they are equal, whatever tokens they have."""
    policy = RateLimitPolicy(1, per=1000, name="a")
    policy.call(nothing)
    for other in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert other == policy
        assert (other.snapshot().tokens, policy.snapshot().admitted) == (1.0, 1)
    assert policy != RateLimitPolicy(2, per=1000, name="a")
    assert policy != RateLimitPolicy(1, per=1000, name="b")


def test_settings_are_changed_by_reconfigure_alone() -> None:
    """A wrong value changes nothing; an assignment says what to write."""
    policy = RateLimitPolicy(1)
    policy.reconfigure(rate=2, burst=5)
    assert policy.settings == RateLimitSettings(rate=2, burst=5)
    with pytest.raises(ConfigurationError, match="burst must be a whole number of 1 or more, not 0"):
        policy.reconfigure(burst=0)
    assert policy.settings.burst == 5
    with pytest.raises(AttributeError, match=r"write policy.reconfigure\(rate=…\)"):
        policy.rate = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rate", "per"), [(1e-6, 1.0), (1e9, 1.0), (1.0, 1e6), (1e-3, 1e-12)])
def test_a_rate_may_be_at_its_bounds(rate: float, per: float) -> None:
    """A call in eleven days, or a thousand million in a second."""
    settings = RateLimitPolicy(rate, per=per).settings
    assert (settings.rate, settings.per) == (rate, per)


@each_row(
    ("settings", "message"),
    [
        ({}, "rate must be a number of calls, such as rate=10"),
        ({"rate": 0}, "must be from 1e-06 to 1e"),
        ({"rate": -1}, "rate must be a finite number of 0 or more, not -1"),
        ({"rate": "10/minute"}, "rate must .* not '10/minute'; write rate=10, per=60 for ten a minute"),
        ({"rate": True}, "rate must be a finite number"),
        ({"rate": 1e10}, "must be from 1e-06 to 1e"),
        ({"rate": 1, "per": 0}, "per must be a positive, finite number of seconds, not 0"),
        ({"rate": 1, "burst": 1.5}, "burst must be a whole number of 1 or more"),
        ({"rate": 1, "max_wait": -1}, "max_wait must be a finite number of seconds of 0 or more, not -1"),
        ({"rate": 1, "key": "tenant"}, "key must be a function, not 'tenant'"),
        ({"rate": 1, "max_keys": 0}, "max_keys must be a whole number of 1 or more, not 0"),
        ({"rate": 1, "adaptive": "bbr"}, "adaptive must be 'aimd', 'cubic' or None, not 'bbr'"),
        ({"rate": 1, "follow_headers": 1}, "follow_headers must be True or False, not 1"),
        ({"rate": 1, "name": 5}, "name must be a str, not 5"),
        ({"rate": 1, "clock": time.monotonic}, "clock must be a clock such as SystemClock"),
    ],
)
def test_a_wrong_setting_names_field_value_and_remedy(settings: dict[str, Any], message: str) -> None:
    """As a ConfigurationError, when the policy is made."""
    with pytest.raises(ConfigurationError, match=message):
        RateLimitPolicy(**settings)


def test_the_name_of_another_library_is_understood() -> None:
    """Not as the keyword, but in the error."""
    with pytest.raises(TypeError, match="takes no keyword 'max_rate'; it is called rate"):
        RateLimitPolicy(max_rate=10)  # type: ignore[call-arg]


def test_a_key_has_its_own_limit_in_bounded_memory() -> None:
    """Those with tokens left to earn stay; the key is in the error; one that cannot be hashed is a mistake."""
    policy = RateLimitPolicy(1, per=1000, max_wait=0, key=lambda tenant: tenant, max_keys=100, name="api")
    for tenant in range(500):
        policy.call(nothing, tenant)
    assert len(policy._limiters) == 100
    with pytest.raises(RateLimitExceededError) as caught:
        policy.call(nothing, 499)
    assert caught.value.key == "api (499)"
    assert (policy.snapshot(499).tokens, policy.snapshot("another").tokens) == (
        pytest.approx(0.0, abs=0.1),
        1.0,
    )
    with pytest.raises(ConfigurationError, match=r"key must return a value that can be hashed, such as text"):
        policy.call(nothing, ["a"])


def test_a_long_key_is_cut_in_errors() -> None:
    """Its first 100 characters say whose it is."""
    policy = RateLimitPolicy(1, per=1000, max_wait=0, key=lambda tenant: tenant)
    policy.call(nothing, "x" * 200)
    with pytest.raises(RateLimitExceededError) as caught:
        policy.call(nothing, "x" * 200)
    assert caught.value.key == f"({'x' * 100})"


def test_fewer_keys_may_be_kept_from_now_on() -> None:
    """Those that were not used lately go at once, where they have no tokens left to earn."""
    clock = VirtualClock()
    policy = RateLimitPolicy(1, key=lambda tenant: tenant, clock=clock)
    for tenant in range(10):
        policy.call(nothing, tenant)
    clock.advance(100.0)
    policy.reconfigure(max_keys=3)
    assert len(policy._limiters) == 3


def test_what_a_response_says_is_left_is_kept_to(front_end: FrontEnd) -> None:
    """It is returned as it is, and no call is begun until the service has calls left."""
    policy = RateLimitPolicy(follow_headers=True, max_wait=0)
    response = HttpResponse(200, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"})
    guarded = policy.apply(front_end.function(lambda: response))
    assert front_end.run(guarded) is response
    with pytest.raises(RateLimitExceededError):
        front_end.run(guarded)


def test_a_call_may_come_at_any_point_while_the_key_is_taken_away() -> None:
    """As in another thread: it has a limit of its own, or the new one."""
    policies: list[RateLimitPolicy] = []

    def work() -> None:
        policies.clear()
        policy = RateLimitPolicy(1000, burst=1000, key=lambda number: number)
        policies.append(policy)
        policy.reconfigure(key=None)

    def action() -> None:
        for policy in policies:
            assert policy.call(str, 1) == "1"

    assert interrupt_each_line(work, action, [rate_limit]) > 5


def test_a_limit_that_loses_its_key_has_the_new_rate() -> None:
    """Both change in one step."""
    policy = RateLimitPolicy(1, per=1000, key=lambda number: number)
    policy.reconfigure(key=None, rate=5, per=1)
    assert policy.snapshot().rate == 5


def test_the_limits_of_keys_that_were_taken_away_are_forgotten() -> None:
    """Also when the key comes back."""
    policy = RateLimitPolicy(1, per=1000, max_wait=0, key=lambda number: number)
    policy.call(nothing, 1)
    policy.reconfigure(key=None)
    policy.reconfigure(key=lambda number: number)
    policy.call(nothing, 1)


@each_row("settings", [{}, {"adaptive": "aimd"}, {"follow_headers": True}], ids=str)
def test_a_refusal_by_a_policy_inside_gives_the_token_back(
    front_end: FrontEnd, settings: dict[str, Any]
) -> None:
    """Whatever the limit learns otherwise."""
    breaker = CircuitBreakerPolicy()
    breaker.isolate()
    pipeline = ResiliencePipeline(RateLimitPolicy(0.001, max_wait=0, **settings), breaker)
    for _ in range(2):
        with pytest.raises(CircuitOpenError):
            front_end.run(pipeline.apply(front_end.function(lambda: None)))


def throttled() -> Exception:
    """As `raise_for_status` of requests makes it."""
    response = requests.Response()
    response.status_code = 429
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    "error",
    [HttpStatusError("x", response=HttpResponse(429)), throttled()],
    ids=["of this package", "of requests"],
)
def test_an_error_of_a_response_that_throttles_slows_the_limit_down(
    front_end: FrontEnd, error: Exception
) -> None:
    """As the response does where it is returned."""
    policy = RateLimitPolicy(100.0, burst=10, adaptive="aimd")
    before = policy.snapshot().rate
    with pytest.raises(type(error)):
        front_end.run(policy.apply(front_end.function(Failing(1, error))))
    after = policy.snapshot().rate
    assert before is not None
    assert after is not None
    assert after < before


def test_a_key_may_be_added_and_taken_away() -> None:
    """What the limits before knew is forgotten."""
    policy = RateLimitPolicy(1, per=1000, max_wait=0)
    policy.call(nothing, 1)
    policy.reconfigure(key=lambda number: number)
    policy.call(nothing, 1)
    policy.call(nothing, 2)
    policy.reconfigure(key=None)
    policy.call(nothing, 3)
    with pytest.raises(RateLimitExceededError):
        policy.call(nothing, 1)


def test_methods_and_async_functions_are_guarded() -> None:
    """By the same limit."""
    policy = RateLimitPolicy(1, per=1000, burst=3, max_wait=0)

    class Service:
        @policy.apply
        def method(self, number: int) -> int:
            return number

        @policy.apply
        async def asynchronous(self, number: int) -> int:
            return number

    assert Service().method(1) == 1
    assert asyncio.run(Service().asynchronous(2)) == 2
    assert policy.snapshot().tokens == pytest.approx(1.0, abs=0.1)


def test_64_threads_pass_at_the_rate_and_not_before() -> None:
    """No call begins before its instant of an ideal schedule, and all have begun."""
    policy = RateLimitPolicy(2000, burst=8)
    began = time.monotonic()
    instants: list[float] = []

    def work(number: int) -> None:
        for _ in range(8):
            policy.call(lambda: instants.append(time.monotonic() - began))

    run_threads(work, 64)
    assert len(instants) == 512
    for number, instant in enumerate(sorted(instants), start=1):
        assert number <= 8 + 2000 * instant + 1
    snapshot = policy.snapshot()
    assert (snapshot.admitted, snapshot.waiting, snapshot.refused) == (512, 0, 0)


def test_1000_tasks_pass_at_the_rate_and_not_before() -> None:
    """Within one token; a third of them is cancelled while it waits. (Their order: see the rows.)"""
    policy = RateLimitPolicy(4000)
    began = time.monotonic()
    instants: list[tuple[float, int]] = []

    async def call(number: int) -> None:
        async def work() -> None:
            instants.append((time.monotonic() - began, number))

        await policy.call_async(work)

    async def main() -> None:
        tasks = [asyncio.ensure_future(call(number)) for number in range(1000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks[1::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    for count, (instant, _) in enumerate(instants, start=1):
        assert count <= 1 + 4000 * instant + 1
    snapshot = policy.snapshot()
    assert (snapshot.admitted, snapshot.waiting) == (len(instants), 0)
    assert len(instants) >= 667


def test_a_waiting_thread_moves_to_a_faster_rate() -> None:
    """At once, and not when the timer of the old rate fires."""
    policy = RateLimitPolicy(1, per=1000, max_wait=None)
    policy.call(nothing)
    done = threading.Event()
    thread = threading.Thread(target=lambda: done.set() if policy.call(nothing) else None)
    thread.start()
    wait_until(lambda: policy.snapshot().waiting == 1)
    policy.reconfigure(rate=1000, per=1)
    assert done.wait(10)
    thread.join()


def test_threads_and_tasks_share_one_queue() -> None:
    """First come, first served, whoever waits: a thread leaves, and a task moves forward."""
    policy = RateLimitPolicy(1, per=1000, max_wait=None)
    policy.call(nothing)
    order: list[str] = []

    def thread() -> None:
        policy.call(lambda: order.append("thread"))

    async def main() -> None:
        waiting = threading.Thread(target=thread)
        waiting.start()
        while policy.snapshot().waiting < 1:
            await asyncio.sleep(0.001)

        async def work() -> None:
            order.append("task")

        task = asyncio.ensure_future(policy.call_async(work))
        while policy.snapshot().waiting < 2:
            await asyncio.sleep(0.001)
        policy.reconfigure(rate=100, per=1)
        await task
        waiting.join(10)

    asyncio.run(main())
    assert order == ["thread", "task"]


@needs_fork
def test_a_forked_child_waits_for_nobody_of_its_parent() -> None:
    """Its queue is empty, also where a thread of the parent held the lock; its tokens are the parent's."""
    policy = RateLimitPolicy(1, per=1000, max_wait=0)
    policy.call(nothing)
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with policy._lock:
            held.set()
            may_end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)

    def child() -> None:
        assert policy.snapshot()[2:5] == (0, 0, 0)
        with pytest.raises(RateLimitExceededError):
            policy.call(nothing)

    try:
        assert in_a_child(child) == 0
    finally:
        may_end.set()
        thread.join()


@pytest.mark.filterwarnings("ignore:RetryPolicy inside RateLimitPolicy is an unusual order")
def test_a_call_whose_retry_is_cancelled_in_a_wait_has_used_its_token() -> None:
    """The token was for all its attempts, and the first of them called the function."""
    limit = RateLimitPolicy(1, per=1000, burst=2)
    bulkhead = BulkheadPolicy(1, max_wait=None)
    retry = RetryPolicy(
        2, ConstantBackoff(0.0, jitter="none"), [RetryCondition.on_exceptions([KeyError])], budget=None
    )

    async def main() -> None:
        may_fail = asyncio.Event()

        async def fails() -> None:
            await may_fail.wait()
            raise KeyError

        async def holds() -> None:
            await asyncio.Event().wait()

        call = asyncio.ensure_future(ResiliencePipeline(limit, retry, bulkhead).call_async(fails))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(bulkhead.call_async(holds))
        await asyncio.sleep(0)
        assert bulkhead.snapshot().waiting == 1
        may_fail.set()  # the other call is next, and the second attempt waits
        while not (bulkhead.snapshot().granted and bulkhead.snapshot().waiting) and not call.done():
            await asyncio.sleep(0)
        call.cancel()
        other.cancel()
        await asyncio.wait([call, other])
        assert call.cancelled()
        assert int(limit.snapshot().tokens) == 1

    asyncio.run(main())


def test_keys_that_are_at_rest_make_room_first() -> None:
    """One that has spent its tokens would have all of them again."""
    clock = VirtualClock()
    policy = RateLimitPolicy(1, burst=10, max_wait=0, key=lambda key: key, max_keys=2, clock=clock)
    for _ in range(10):
        policy.call(nothing, "spent")
    clock.advance(1.0)
    policy.call(nothing, "at rest")
    clock.advance(2.0)
    policy.call(nothing, "new")
    assert policy.snapshot("spent").tokens == pytest.approx(3.0)


def test_a_token_is_spent_on_an_attempt_that_got_a_permit_at_once(front_end: FrontEnd) -> None:
    """Whatever the attempt before waited for. That one called nothing, and its token is given back."""
    limit = RateLimitPolicy(0.001, burst=3)
    bulkhead = BulkheadPolicy(1)
    permit = bulkhead._bulkhead.permit()
    assert permit.try_acquire()
    retry = retrying(2, OperationTimeoutError)
    pipeline = ResiliencePipeline(
        retry,
        limit,
        TimeoutPolicy(0.02),
        bulkhead,
        on_event=lambda event: permit.release() if isinstance(event, RetryScheduled) else None,
    )
    failing = Failing(1)
    with pytest.raises(PaymentError):
        front_end.run(pipeline.apply(front_end.function(failing)))
    assert (failing.calls, int(limit.snapshot().tokens)) == (1, 2)


def test_a_token_is_spent_on_a_function_that_was_called(front_end: FrontEnd) -> None:
    """Also if a client's call inside was refused. A refusal by a policy inside gives it back."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.state.breaker.isolate()
    guarded = RateLimitPolicy(0.001, max_wait=0).apply(harness.calling())
    for error in (CircuitOpenError, RateLimitExceededError):
        with pytest.raises(error):
            front_end.run(guarded)
    breaker = CircuitBreakerPolicy()
    breaker.isolate()
    pipeline = ResiliencePipeline(RateLimitPolicy(0.001, max_wait=0), breaker)
    for _ in range(2):
        with pytest.raises(CircuitOpenError):
            front_end.run(pipeline.apply(front_end.function(lambda: None)))
