"""The adaptive limit policy: its errors, copies and settings, and calls inside calls."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    ConcurrencyLimitError,
    ConfigurationError,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    ResiliencePipeline,
)
from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit
from http_service_client.core.machines.limits.overload import Evidence
from http_service_client.errors import CallRefusedError, SentState
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import FakeClock
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd, run_task


class Interrupt(BaseException):
    pass


class Overloaded(Exception):
    """A library's own error."""


def filled(**settings: Any) -> AdaptiveLimitPolicy:
    """A policy whose only permit is held."""
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=0, **settings)
    permit = policy._limit.permits.permit()
    assert permit.try_acquire()
    return policy


def test_the_error_says_why_and_that_nothing_was_sent(front_end: FrontEnd) -> None:
    """With the numbers, and what a caller may read from it."""
    policy = filled(name="rates")
    called: list[int] = []
    guarded = policy.apply(front_end.function(lambda: called.append(1)))
    with pytest.raises(ConcurrencyLimitError) as raised:
        front_end.run(guarded)
    error = raised.value
    assert str(error) == (
        "the adaptive limit for rates refused a call of normal priority: there is no room in the queue "
        "(1 of 1 permits in use, 0 waiting); nothing was sent"
    )
    assert isinstance(error, CallRefusedError)
    assert (error.key, error.retry_after, error.reason) == ("rates", None, "full")
    assert error.sent_state is SentState.NEVER_SENT
    assert called == []


def test_a_refusal_of_an_inner_policy_says_nothing(front_end: FrontEnd) -> None:
    """Nor does an interrupt: the limit and the latency stay unknown."""
    outer = AdaptiveLimitPolicy()
    guarded = outer.apply(filled().apply(front_end.function(lambda: None)))
    for _ in range(30):
        with pytest.raises(ConcurrencyLimitError):
            front_end.run(guarded)
    assert (outer.limit, outer.snapshot().latency, outer.snapshot().in_use) == (20, None, 0)


@pytest.mark.parametrize("overloads", [None, [529, Overloaded]], ids=["default", "listed"])
@pytest.mark.parametrize(
    ("result", "by_default", "if_listed"),
    [
        ("text", Evidence.ANSWERED, Evidence.ANSWERED),
        (ValueError(), Evidence.ANSWERED, Evidence.ANSWERED),
        (Overloaded(), Evidence.ANSWERED, Evidence.REFUSED),
        (HttpResponse(200), Evidence.ANSWERED, Evidence.ANSWERED),
        (HttpResponse(529), Evidence.OTHER, Evidence.REFUSED),
        (HttpResponse(503), Evidence.REFUSED, Evidence.REFUSED),
    ],
    ids=repr,
)
def test_a_result_says_what_the_user_lists(
    front_end: FrontEnd,
    monkeypatch: pytest.MonkeyPatch,
    overloads: Any,
    result: object,
    by_default: Evidence,
    if_listed: Evidence,
) -> None:
    """A status, or an exception that the function returns; else the status alone tells."""
    recorded: list[Evidence] = []
    monkeypatch.setattr(AdaptiveLimit, "record", lambda limit, began_at, evidence: recorded.append(evidence))
    policy = AdaptiveLimitPolicy(overloads=overloads)
    assert front_end.run(policy.apply(front_end.function(lambda: result))) is result
    assert recorded == [if_listed if overloads else by_default]


def test_a_call_inside_a_call_goes_on_with_its_permit(front_end: FrontEnd) -> None:
    """It would wait for its own caller for ever."""
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_wait=None)
    inner = policy.apply(lambda: "inner")
    assert front_end.run(policy.apply(front_end.function(lambda: inner()))) == "inner"
    assert policy.snapshot().in_use == 0


def test_a_call_inside_a_call_is_no_latency_of_its_own() -> None:
    """It is part of that of the call around it: ten late ones inside count as the one that is late."""
    clock = VirtualClock()
    policy = AdaptiveLimitPolicy(initial_limit=2, slow_call_duration=0.5, clock=clock)
    inner = policy.apply(lambda: clock.sleep(1.0))

    def outer() -> None:
        for _ in range(20):
            inner()

    policy.call(outer)
    assert policy.limit == 2


def test_a_copy_has_the_settings_and_a_limit_of_its_own() -> None:
    """So has a pickle. Policies with the same settings and name are equal."""
    policy = filled(name="rates", algorithm="vegas")
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert (twin.snapshot().in_use, policy.snapshot().in_use) == (0, 1)
        assert twin.call(lambda: "ok") == "ok"
    assert policy != AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=0)
    assert (
        repr(policy)
        == "<AdaptiveLimitPolicy 'rates' algorithm='vegas' initial_limit=1 max_limit=1 max_waiting=0>"
    )


def test_wrong_settings_are_refused_and_change_nothing() -> None:
    """When it is made, and when it is reconfigured."""
    policy = AdaptiveLimitPolicy(initial_limit=20)
    before = policy.settings
    with pytest.raises(
        ConfigurationError, match="initial_limit must be from min_limit=1 to max_limit=10, not 20"
    ):
        policy.reconfigure(max_limit=10)
    with pytest.raises(TypeError, match="it is called initial_limit"):
        AdaptiveLimitPolicy(limit=3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(AttributeError, match="max_limit of a AdaptiveLimitPolicy cannot be assigned"):
        policy.max_limit = 3  # type: ignore[attr-defined]  # on purpose
    assert policy.settings == before
    assert policy.limit == 20


@needs_fork
def test_a_forked_child_has_all_permits() -> None:
    """Those of its parent's calls are not in it."""
    policy = filled()
    assert in_a_child(lambda: policy.call(lambda: None)) == 0
    with pytest.raises(ConcurrencyLimitError):
        policy.call(lambda: None)


def test_threads_and_their_queue_lose_nothing() -> None:
    """Sixteen threads share two permits, which become more and fewer meanwhile."""
    policy = AdaptiveLimitPolicy("aimd", initial_limit=2, max_limit=4, max_waiting=20, max_wait=None)
    done = []

    def work() -> None:
        for number in range(60):
            policy.call(done.append, number)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    shown = policy.snapshot()
    assert (len(done), shown.in_use, shown.waiting) == (960, 0, 0)


def test_the_limit_is_followed_in_virtual_time() -> None:
    """It grows while it is reached, and nobody is slower."""
    clock = FakeClock(wall=1_000_000_000.0)
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=8, clock=clock)
    for _ in range(60):
        policy.call(clock.sleep, 0.1)
    assert 2 <= policy.limit <= 8
    assert policy.snapshot().latency == pytest.approx(0.1)


def test_ctrl_c_while_a_call_is_recorded_costs_no_permit(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a function or of a client's call: the next one finds it free."""
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=0)
    config = HttpClientConfig(adaptive_limit=policy)
    client = HttpServiceClient(config, transport=ScriptedTransport([HttpResponse(200)]))

    def interrupt(*_: object) -> None:
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(AdaptiveLimit, "record", interrupt)
        with pytest.raises(Interrupt):
            front_end.run(policy.apply(front_end.function(lambda: None)))
        with pytest.raises(Interrupt):
            front_end.request(client, "GET", "https://api.example.com/")
    assert policy.snapshot().in_use == 0
    limit = client._call_builder.origins.get("https://api.example.com").adaptive_limit
    assert limit is not None
    assert limit.snapshot().in_use == 0


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_function_under_two_limits_may_call_itself(is_plain: bool) -> None:
    """The permit of one is found behind that of the other, however deep: it would wait for its own caller."""
    bulkhead = BulkheadPolicy(max_concurrent=1, max_waiting=0)
    limit = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=0)
    pipeline = ResiliencePipeline(bulkhead, limit)

    def plain(number: int) -> int:
        return number + guarded_plain(number - 1) if number else 0

    async def asynchronous(number: int) -> int:
        return number + await guarded_async(number - 1) if number else 0

    guarded_plain, guarded_async = pipeline.apply(plain), pipeline.apply(asynchronous)
    assert (guarded_plain(4) if is_plain else run_task(guarded_async(4))) == 10
    assert (bulkhead.snapshot().in_use, limit.snapshot().in_use) == (0, 0)
