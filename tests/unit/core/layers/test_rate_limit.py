"""A client's rate limit: a token for each attempt, per origin and key."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    ConnectionPoolConfig,
    DeadlineExceededError,
    HttpClientConfig,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    PoolTimeoutError,
    RateLimitExceededError,
    RateLimitPolicy,
    SentState,
    Timeout,
)
from http_service_client.core.effects import Outcome, Send, Sleep
from http_service_client.core.layers.rate_limit import _was_not_sent, _was_queued, wait_for_turn
from http_service_client.core.machines.limits.rate_limiter import Turn
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import Failure
from http_service_client.events import LimitRefused, LimitWaited, RetryStopped, StopReason
from http_service_client.policies import RateLimitSettings
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, Harness, failure, short
from kit.forks import in_a_child, needs_fork
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row
from kit.threads import wait_until

ONCE: dict[str, Any] = {"retry_policy": False}
OTHER = "https://other.example.com/"


def test_an_attempt_waits_for_its_turn(front_end: FrontEnd) -> None:
    """The wait is in the timeline, and is no part of the attempt's time."""
    harness = Harness(front_end, 200, rate_limit=RateLimitPolicy(0.5), base_timeout=1.0)
    harness.request()
    response = harness.request()
    assert (response.status_code, harness.sleeps) == (200, [pytest.approx(2.0)])
    (waited,) = [event for event in response.timeline if isinstance(event, LimitWaited)]
    assert (waited.limit, waited.waited) == ("rate limit", pytest.approx(2.0))
    assert "waited 2.000 s for the rate limit of https://api.example.com" in response.explain()


def test_one_that_may_not_wait_is_refused_at_once(front_end: FrontEnd) -> None:
    """Nothing is sent; the error has the key, the time and the story."""
    harness = Harness(front_end, 200, rate_limit={"rate": 2, "per": 60, "max_wait": 5})
    harness.request()
    error = harness.error(RateLimitExceededError)
    assert (error.key, error.retry_after) == ("https://api.example.com", pytest.approx(30.0))
    assert (error.sent_state, harness.sends, harness.sleeps) == (SentState.NEVER_SENT, 1, [])
    assert isinstance(error.timeline[0], LimitRefused)
    assert harness.client.metrics.total("http_limit_refusals_total", {"limit": "rate limit"}) == 1


@pytest.mark.parametrize(("max_wait", "is_sent"), [(10.0, True), (9.9, False)])
def test_a_wait_may_be_as_long_as_max_wait(front_end: FrontEnd, max_wait: float, is_sent: bool) -> None:
    """And no longer."""
    harness = Harness(front_end, 200, rate_limit={"rate": 0.1, "max_wait": max_wait})
    harness.request()
    if is_sent:
        harness.request()
    else:
        harness.error(RateLimitExceededError)
    assert harness.sleeps == ([pytest.approx(10.0)] if is_sent else [])


@each_row(
    ("max_wait", "options", "words"),
    [
        (5, {}, "in 10 s, later than max_wait=5 s permits; nothing was sent"),
        (0, {}, "in 10 s, and max_wait=0 permits no wait; nothing was sent"),
        (5, {"total_timeout": 3.0}, "in 10 s, too late for the deadline; nothing was sent"),
        (5, {"total_timeout": 7.0}, "in 10 s, later than max_wait=5 s permits; nothing was sent"),
        (None, {"total_timeout": 7.0}, "in 10 s, too late for the deadline; nothing was sent"),
    ],
)
def test_a_refusal_names_the_limit_of_the_wait(
    front_end: FrontEnd, max_wait: float | None, options: dict[str, Any], words: str
) -> None:
    """The nearest one: its change would help first."""
    harness = Harness(front_end, 200, rate_limit={"rate": 0.1, "max_wait": max_wait})
    harness.request()
    assert words in str(harness.error(RateLimitExceededError, **options))


@each_row(("missing", "lasts"), [(0.0, True), (TIMER_SLACK / 2, True), (TIMER_SLACK, True), (0.1, False)])
def test_a_retry_after_a_wait_that_the_end_of_the_client_cut_short_waits_for_nothing_else(
    front_end: FrontEnd, missing: float, lasts: bool
) -> None:
    """One that lasted waits for its turn. A timer may be early by a little."""
    harness = Harness(front_end, rate_limit=RateLimitPolicy(0.1))
    call = harness.client._call_builder.build("GET", "https://api.example.com/")
    plan: Any = harness.client._call_builder.pipelines.call(call.request, call)
    assert isinstance(next(plan), Send)
    backoff = plan.send(HttpResponse(503, url=call.request.url, request=call.request))
    assert isinstance(backoff, Sleep)
    harness.clock.now = harness.clock.now + backoff.seconds - missing
    assert isinstance(plan.send(None), Sleep if lasts else Send)
    plan.close()


def test_a_wait_that_would_cross_the_deadline_is_not_begun(front_end: FrontEnd) -> None:
    """The refusal says so."""
    harness = Harness(front_end, 200, rate_limit=RateLimitPolicy(0.1))
    harness.request()
    assert "too late for the deadline" in str(harness.error(RateLimitExceededError, total_timeout=9.9))
    assert harness.request(total_timeout=10.1).status_code == 200


def test_each_attempt_takes_a_token(front_end: FrontEnd) -> None:
    """Also a retry, whose own wait counts: a service that limits the rate counts each request."""
    harness = Harness(
        front_end,
        503,
        503,
        200,
        rate_limit=RateLimitPolicy(0.1),
        retry_policy_config={"initial_delay": 4.0, "jitter": "none", "backoff_factor": 1.0},
    )
    assert harness.request().attempts == 3
    assert harness.sleeps == [pytest.approx(4.0), pytest.approx(6.0), pytest.approx(4.0), pytest.approx(6.0)]


def test_a_refused_retry_ends_the_call_with_its_last_real_outcome(front_end: FrontEnd) -> None:
    """A refusal would say that nothing was sent."""
    harness = Harness(front_end, 503, 200, rate_limit=RateLimitPolicy(0.01, max_wait=1))
    assert harness.request().status_code == 503
    (stopped,) = [event for event in harness.events if isinstance(event, RetryStopped)]
    assert stopped.reason is StopReason.REFUSED


def test_an_attempt_that_a_circuit_refuses_returns_its_token(front_end: FrontEnd) -> None:
    """It was not sent, so those that wait need not pay for it."""
    harness = Harness(
        front_end,
        500,
        rate_limit=RateLimitPolicy(0.01, burst=2, max_wait=0),
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 1000.0},
    )
    harness.request(**ONCE)
    for _ in range(5):
        harness.error(CircuitOpenError, **ONCE)
    assert harness.state.rate_limiter.snapshot().tokens == pytest.approx(1.0)


@each_row("learning", [{}, {"follow_headers": True}], ids=repr)
@each_row("outcome", [REFUSED, RESET, READ_TIMEOUT], ids=short)
def test_a_lost_attempt_keeps_its_token(
    front_end: FrontEnd, learning: dict[str, Any], outcome: Failure
) -> None:
    """The service, or what stands before it, may have counted it."""
    limit = RateLimitPolicy(0.01, burst=2, max_wait=0, **learning)
    harness = Harness(front_end, outcome, rate_limit=limit)
    harness.error(HttpClientError, **ONCE)
    assert harness.state.rate_limiter.snapshot().tokens == pytest.approx(1.0)


@each_row(
    ("outcome", "before", "returns"),
    [
        (failure(CircuitOpenError, SentState.NEVER_SENT), SentState.NEVER_SENT, True),
        (failure(PoolTimeoutError, SentState.NEVER_SENT), SentState.NEVER_SENT, True),
        (failure(PoolTimeoutError, SentState.NEVER_SENT), SentState.REFUSED, False),
        (failure(DeadlineExceededError, SentState.NEVER_SENT), SentState.NEVER_SENT, True),
        (failure(DeadlineExceededError, SentState.ABANDONED), SentState.NEVER_SENT, False),
        (REFUSED, SentState.NEVER_SENT, False),
    ],
    ids=short,
)
def test_an_attempt_that_got_no_further_than_this_client_returns_its_token(
    outcome: Failure, before: SentState, returns: bool
) -> None:
    """Not one whose request was redirected before, and not one that could not connect.   before: what became of its hops."""
    call: Any = SimpleNamespace(current=SimpleNamespace(sent_state=before))
    assert _was_not_sent(outcome, call) is returns


@pytest.mark.parametrize(
    ("is_queued", "before", "returns"),
    [
        (True, SentState.NEVER_SENT, True),
        (True, SentState.REFUSED, False),
        (False, SentState.NEVER_SENT, False),
    ],
)
def test_an_attempt_that_is_cancelled_in_a_wait_of_this_client_returns_its_token(
    is_queued: bool, before: SentState, returns: bool
) -> None:
    """Not one whose request was redirected before the wait, and not one that was on its way."""
    call: Any = SimpleNamespace(current=SimpleNamespace(sent_state=before, is_queued=is_queued))
    assert _was_queued(call) is returns


@pytest.mark.parametrize("learning", [{}, {"follow_headers": True}], ids=repr)
def test_an_attempt_that_waits_in_vain_returns_its_token(
    front_end: FrontEnd, learning: dict[str, Any]
) -> None:
    """For a permit, or for a connection: the service has seen nothing of it."""
    harness = Harness(
        front_end,
        200,
        rate_limit=RateLimitPolicy(0.01, burst=2, max_wait=0, **learning),
        bulkhead={"max_concurrent": 1, "max_waiting": 1, "max_wait": None},
    )
    assert harness.state.bulkhead.permit().try_acquire()
    for _ in range(3):
        harness.error(DeadlineExceededError, total_timeout=0.01, **ONCE)
    harness.client.reconfigure(replace(harness.client.config, bulkhead=None, max_connections_per_host=1))
    slot = harness.state.connections.acquire_later()
    timeout = Timeout(total=None, pool=0.01)
    for _ in range(3):
        harness.error(PoolTimeoutError, timeout=timeout, **ONCE)
    slot.release()
    assert harness.state.rate_limiter.snapshot().tokens == pytest.approx(2.0)


def test_each_origin_and_each_key_has_a_limit(front_end: FrontEnd) -> None:
    """One tenant's calls do not wait for another's."""
    harness = Harness(front_end, 200, rate_limit=RateLimitPolicy(0.01, max_wait=0))
    for options in ({}, {"url": OTHER}, {"key": "tenant-a"}, {"key": "tenant-b"}):
        harness.request(**options)
    assert harness.error(RateLimitExceededError, key="tenant-a").key == "https://api.example.com (tenant-a)"
    assert harness.sends == 4


def test_an_origin_with_a_queue_or_without_its_tokens_is_not_forgotten_first(front_end: FrontEnd) -> None:
    """A new limit in its place would have a full bucket."""
    harness = Harness(front_end, 200, rate_limit=RateLimitPolicy(0.01))
    state = harness.state
    assert state.rank(harness.clock.monotonic()) == 0
    harness.request()
    assert state.rank(harness.clock.monotonic()) == 1
    state.rate_limiter.acquire_later()
    assert state.rank(harness.clock.monotonic()) == 3


def test_the_limit_follows_a_reconfiguration(front_end: FrontEnd) -> None:
    """On, changed with its tokens kept, and off."""
    harness = Harness(front_end, 200)
    harness.request()
    assert harness.state.rate_limiter is None
    harness.client.reconfigure(HttpClientConfig(rate_limit={"rate": 0.01, "max_wait": 0}))
    harness.request()
    harness.error(RateLimitExceededError)
    harness.client.reconfigure(HttpClientConfig(rate_limit={"rate": 0.02, "max_wait": 60}))
    harness.request()
    assert harness.sleeps == [pytest.approx(50.0)]
    harness.client.reconfigure(HttpClientConfig())
    for _ in range(3):
        harness.request()
    assert harness.sleeps == [pytest.approx(50.0)]


def test_a_turn_that_gets_too_late_is_refused(front_end: FrontEnd) -> None:
    """When the limit becomes slower than a call may wait, it leaves the queue, and counts as refused."""
    harness = Harness(front_end, 200, rate_limit=RateLimitPolicy(0.1, max_wait=30))
    harness.request()
    limiter = harness.state.rate_limiter
    call = harness.client._call_builder.build("GET", "https://api.example.com/")
    plan = wait_for_turn(limiter, call, "the key")
    next(plan)
    limiter.reconfigure(RateLimitSettings(rate=0.01, max_wait=30))
    harness.clock.now += 10.0
    with pytest.raises(StopIteration) as ended:
        plan.send(False)
    assert ended.value.value.error_type is RateLimitExceededError
    assert (limiter.snapshot().waiting, limiter.snapshot().refused) == (0, 1)


@each_row(
    ("late_by", "is_refused"),
    [(-1.0, False), (0.0, False), (0.5e-6, False), (1e-6, False), (1.5e-6, True), (1.0, True)],
)
def test_a_turn_may_be_late_by_a_rounding_error(late_by: float, is_refused: bool) -> None:
    """The sum of the waits before it is one of floats."""
    harness = Harness(BlockingFrontEnd(), rate_limit=RateLimitPolicy(0.1, max_wait=30.0))
    limiter = harness.state.rate_limiter
    assert limiter.try_acquire()
    turn = limiter.acquire_later(None)

    class Late(Turn):
        def next_wait(self) -> Any:
            return SimpleNamespace(), 30.0 + late_by

    late = Late(limiter, turn._stage, 1, 1)
    stub: Any = SimpleNamespace(
        settings=limiter.settings, acquire_later=lambda longest: late, record_refusal=lambda: None
    )
    late.release = lambda: None  # type: ignore[method-assign]
    call = harness.client._call_builder.build("GET", "https://api.example.com/")
    plan = wait_for_turn(stub, call, "the key")
    if is_refused:
        with pytest.raises(StopIteration):
            next(plan)
    else:
        assert isinstance(next(plan), Sleep)
        plan.close()


@pytest.mark.parametrize("after", [RateLimitPolicy(1000), None], ids=["faster", "off"])
def test_a_call_that_waits_goes_on_when_the_limit_changes(after: RateLimitPolicy | None) -> None:
    """At once, and not when the timer of the old rate fires."""
    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1, per=1000, max_wait=None)),
        transport=ScriptedTransport(HttpResponse(200)),
    )
    with client:
        client.get("https://api.example.com/")
        thread = threading.Thread(target=client.get, args=("https://api.example.com/",))
        thread.start()
        limiter: Any = client._call_builder.origins.get("https://api.example.com").rate_limiter
        wait_until(lambda: limiter.waiting)
        client.reconfigure(HttpClientConfig(rate_limit=after))
        thread.join(10)
        assert not thread.is_alive()


def test_closing_the_client_ends_the_wait() -> None:
    """The call fails, as one that comes after the close does."""
    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1, per=1000, max_wait=None)),
        transport=ScriptedTransport(HttpResponse(200)),
    )
    client.get("https://api.example.com/")
    errors: list[BaseException] = []

    def call() -> None:
        try:
            client.get("https://api.example.com/")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    limiter: Any = client._call_builder.origins.get("https://api.example.com").rate_limiter
    wait_until(lambda: limiter.waiting)
    client.close()
    thread.join(10)
    assert [type(error) for error in errors] == [ClientClosedError]
    assert limiter.waiting == 0


def test_closing_the_client_ends_the_wait_of_a_task() -> None:
    """Likewise in asyncio."""
    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1, per=1000, max_wait=None)),
        transport=ScriptedTransport(HttpResponse(200)),
    )

    async def main() -> None:
        await client.get_async("https://api.example.com/")
        waiting = asyncio.ensure_future(client.get_async("https://api.example.com/"))
        await asyncio.sleep(0.01)
        await client.close_async()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def test_a_cancelled_task_returns_its_turn() -> None:
    """Those behind it move forward, in virtual time too."""
    clock = VirtualClock()
    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1)),
        transport=ScriptedTransport(HttpResponse(200)),
        clock=clock,
    )
    ended: list[tuple[int, float]] = []

    async def call(number: int) -> None:
        await client.get_async("https://api.example.com/")
        ended.append((number, clock.monotonic()))

    async def main() -> None:
        async with client:
            tasks = [asyncio.ensure_future(call(number)) for number in range(4)]
            await clock.sleep_async(0.5)
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert ended == [(0, 0.0), (2, pytest.approx(1.0)), (3, pytest.approx(2.0))]


@each_row(
    "limits",
    [
        {"bulkhead": BulkheadPolicy(1, max_wait=None)},
        {"adaptive_limit": AdaptiveLimitPolicy(initial_limit=1, min_limit=1, max_limit=1, max_wait=None)},
        {"connection_pool": ConnectionPoolConfig(max_connections=1)},
    ],
    ids=str,
)
@each_row("follows", [False, True])
def test_a_task_that_is_cancelled_in_another_wait_returns_its_token(
    limits: dict[str, Any], follows: bool
) -> None:
    """Nothing of it was sent: it waited for a permit or a connection."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    class Held(ScriptedTransport):
        async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
            begun.set()
            await may_end.wait()
            return await super().send_async(request, timeout)

    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1, per=1000, burst=3, follow_headers=follows), **limits),
        transport=Held(HttpResponse(200)),
    )
    limiter: Any = client._call_builder.origins.get("https://api.example.com").rate_limiter

    async def main() -> None:
        first = asyncio.ensure_future(client.get_async("https://api.example.com/"))
        await begun.wait()
        second = asyncio.ensure_future(client.get_async("https://api.example.com/"))
        while limiter.snapshot().tokens >= 2:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        assert int(limiter.snapshot().tokens) == 2
        first.cancel()  # it was sent
        await asyncio.wait([first])
        assert int(limiter.snapshot().tokens) == 2
        await client.close_async()

    asyncio.run(main())


@needs_fork
def test_a_forked_child_has_the_tokens_and_no_queue() -> None:
    """Threads of the parent wait in the parent; the child's calls take what tokens were left."""
    client = HttpServiceClient(
        HttpClientConfig(rate_limit=RateLimitPolicy(1, per=1000, burst=2, max_wait=0)),
        transport=ScriptedTransport(HttpResponse(200)),
    )
    client.get("https://api.example.com/")
    limiter: Any = client._call_builder.origins.get("https://api.example.com").rate_limiter
    limiter.try_acquire()
    waiting = limiter.acquire_later()

    def child() -> None:
        assert limiter.waiting == 0
        with pytest.raises(RateLimitExceededError):
            client.get("https://api.example.com/")

    assert in_a_child(child) == 0
    assert limiter.waiting == 1
    waiting.release()
    client.close()


@each_row(
    ("given", "message"),
    [
        (True, "rate_limit must be a RateLimitPolicy, such as RateLimitPolicy"),
        (10, "rate_limit must be a RateLimitPolicy"),
        ({"rate": 0}, "rate_limit: rate=0"),
        ({"rat": 5}, r"rate_limit has the unknown key 'rat'; did you mean 'rate'\?"),
        ({"max_rate": 5}, "rate_limit has the unknown key 'max_rate'; it is called rate"),
        (RateLimitPolicy(1, key=str), "rate_limit: key is for functions"),
    ],
)
def test_a_wrong_setting_is_named(given: Any, message: str) -> None:
    """With the field of the configuration first."""
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        HttpClientConfig(rate_limit=given)


def test_a_configuration_keeps_the_settings_of_a_policy() -> None:
    """As a value: a policy that is reconfigured later changes nothing. Files say it by a table."""
    policy = RateLimitPolicy(10)
    config = HttpClientConfig(rate_limit=policy)
    policy.reconfigure(rate=20)
    assert config.rate_limit == RateLimitSettings(rate=10)
    assert config == HttpClientConfig(rate_limit={"rate": 10})
    read = HttpClientConfig.from_mapping({"rate_limit": {"rate": "100", "per": "1m", "max_wait": "500ms"}})
    assert read.rate_limit == RateLimitSettings(rate=100, per=60, max_wait=0.5)
