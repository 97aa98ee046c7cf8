"""Who pays for the retries of functions, and who learns of them."""

from __future__ import annotations

import logging
import pickle
import sys
import threading
from typing import Any

import pytest

from http_service_client import (
    ConnectError,
    ConnectionLostError,
    ConstantBackoff,
    HttpRequest,
    HttpResponse,
    ReadTimeoutError,
    ResiliencePipeline,
    RetryBudgetSettings,
    RetryPolicy,
    RetryQuotaSettings,
    SentState,
    deadline,
)
from http_service_client.core.machines.retry.quota import RetryQuota
from http_service_client.core.nesting import EndedCall, current_scope
from http_service_client.events import RetryScheduled, RetryStopped, StopReason
from http_service_client.policies.retry_attempts import FunctionBudget
from kit.fakes import ORIGIN, RESET, URL, FakeClock, Harness, LockWithQueue
from kit.front_ends import FrontEnd
from kit.guarded import Failing, PaymentError, policy_of
from kit.rows import each_row


def test_retries_of_functions_have_a_budget(front_end: FrontEnd) -> None:
    """A thousand failing calls make at most 100 free retries and 20 %: 300, not 2,000."""
    calls = [0]

    def failing() -> None:
        calls[0] += 1
        raise ConnectionError

    guarded = policy_of(3).apply(failing)  # plain in both: a thousand loops would take their time
    for _ in range(1000):
        with pytest.raises(ConnectionError):
            guarded()
    assert 1000 < calls[0] <= 1300


def test_the_budget_of_functions_may_be_set_or_switched_off() -> None:
    """And a wrong one is named."""
    for budget, expected in [(RetryBudgetSettings(ratio=0.0, min_per_second=0.0), 1), (None, 3)]:
        calls: list[int] = []

        def failing(calls: list[int] = calls) -> None:
            calls.append(1)
            raise ConnectionError

        with pytest.raises(ConnectionError):
            policy_of(3, budget=budget).call(failing)
        assert len(calls) == expected
    with pytest.raises(ValueError, match="budget must be RetryQuotaSettings"):
        RetryPolicy(budget=5)  # type: ignore[arg-type]


def test_old_calls_do_not_pay_for_the_retries_of_now() -> None:
    """An hour of success before an outage allows no more retries than the window's share of it."""
    clock = FakeClock()
    settings = RetryBudgetSettings(ratio=0.1, min_per_second=0.0, window=10.0)
    policy = policy_of(2, clock=clock, budget=settings)
    for _ in range(36_000):
        next(policy._function_budget.successes)
    clock.now += 3600.0
    budget = policy._function_budget.up_to_date()
    assert budget is not None
    assert budget.balance == 10  # 10 calls a second, 10 seconds, a tenth


@each_row("is_piped", [False, True], ids=["alone", "in a pipeline"])
@each_row(
    ("outcome", "left"),
    [
        (ConnectionError(), 9),
        (HttpResponse(503), 9),
        (HttpResponse(429), 7),
        (HttpResponse(500, headers={"Retry-After": "0"}), 7),
    ],
    ids=str,
)
def test_a_retry_after_a_response_that_asks_for_a_pause_has_its_own_cost(
    front_end: FrontEnd, outcome: Any, left: int, is_piped: bool
) -> None:
    """Any other costs what a retry costs."""
    quota = RetryQuotaSettings(capacity=10.0, cost=1.0, throttled_cost=3.0, earned=0.0)
    policy = policy_of(2, budget=quota)
    balances: list[int] = []

    def function() -> Any:
        budget = policy._function_budget.up_to_date()
        assert budget is not None
        balances.append(budget.balance)
        if len(balances) == 1 and isinstance(outcome, Exception):
            raise outcome
        return outcome if len(balances) == 1 else "done"

    guard: Any = ResiliencePipeline(policy) if is_piped else policy
    assert front_end.run(guard.apply(front_end.function(function))) == "done"
    assert balances == [10, left]


def test_a_quota_has_room_for_the_retries_of_one_call() -> None:
    """And for no more, however often the policy asks."""
    failing, policy = Failing(99, ConnectionError()), policy_of(8, budget=RetryQuotaSettings(earned=0.0))
    for calls in (8, 9, 10):
        with pytest.raises(ConnectionError):
            policy.call(failing)
        assert failing.calls == calls


def test_without_a_limit_nothing_is_missing(front_end: FrontEnd) -> None:
    """The event says so: it was the number of attempts that ended it."""
    events: list[Any] = []
    pipeline = ResiliencePipeline(policy_of(2, budget=None), on_event=events.append)
    with pytest.raises(ConnectionError):
        front_end.run(pipeline.apply(front_end.function(Failing(9, ConnectionError()))))
    (stop,) = [event for event in events if isinstance(event, RetryStopped)]
    assert stop.decision is not None
    assert (stop.reason, stop.budget_left, stop.decision.shortfall) == (StopReason.EXHAUSTED, None, 0.0)
    assert stop.decision.is_worth_it
    assert stop.decision.changes()  # something would have helped


def test_attempts_that_are_used_up_are_the_reason_whatever_is_left_of_the_budget(front_end: FrontEnd) -> None:
    """With more tokens, there would be no retry either."""
    events: list[Any] = []
    quota = RetryQuotaSettings(capacity=1.0, throttled_cost=1.0, earned=0.0)
    pipeline = ResiliencePipeline(policy_of(2, budget=quota), on_event=events.append)
    with pytest.raises(ConnectionError):
        front_end.run(pipeline.apply(front_end.function(Failing(9, ConnectionError()))))
    (stop,) = [event for event in events if isinstance(event, RetryStopped)]
    assert (stop.reason, stop.budget_left) == (StopReason.EXHAUSTED, 0)


def test_what_a_budget_lacks_is_told_of_one_with_room_for_the_policy_s_retries(front_end: FrontEnd) -> None:
    """It would have grown, had the deadline allowed a retry: it is not the tokens that were missing."""
    events: list[Any] = []
    clock = FakeClock()
    quota = RetryQuota(RetryQuotaSettings(earned=0.0), clock=clock.monotonic, lock=threading.Lock())
    for _ in range(4):
        assert quota.try_withdraw()
    call = EndedCall(
        RESET, SentState.MAYBE_PROCESSED, ORIGIN, "c1", None, HttpRequest("GET", URL), quota, events.append
    )

    def failing() -> None:
        scope = current_scope()
        assert scope is not None
        scope.record(call)
        raise PaymentError

    policy = RetryPolicy(6, ConstantBackoff(5.0, jitter="none"), clock=clock)
    with pytest.raises(PaymentError), deadline(1.0, clock=clock.monotonic):
        front_end.run(policy.apply(front_end.function(failing)))
    (stop,) = events
    assert (stop.reason, stop.decision.shortfall) == (StopReason.DEADLINE, 0.0)


def test_the_events_of_retries_say_when_they_happened(front_end: FrontEnd) -> None:
    """In seconds since the first attempt ended, by the clock of the policy."""
    events: list[Any] = []
    retry = RetryPolicy(3, ConstantBackoff(5.0, jitter="none"), clock=FakeClock())
    pipeline = ResiliencePipeline(retry, on_event=events.append)
    with pytest.raises(ConnectionError):
        front_end.run(pipeline.apply(front_end.function(Failing(9, ConnectionError()))))
    of_retries = [event for event in events if isinstance(event, (RetryScheduled, RetryStopped))]
    assert [(event.name, event.at) for event in of_retries] == [
        ("retry_scheduled", 0.0),
        ("retry_scheduled", 5.0),
        ("retry_stopped", 10.0),
    ]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of Python 3.11")
def test_of_a_group_the_event_names_the_first(front_end: FrontEnd) -> None:
    """One cause is enough for a line."""
    events: list[Any] = []
    error = ExceptionGroup("both", [ConnectError("refused"), ReadTimeoutError("slow")])  # noqa: F821  # see above
    pipeline = ResiliencePipeline(policy_of(2), on_event=events.append)
    front_end.run(pipeline.apply(front_end.function(Failing(1, error))))
    assert [event.cause for event in events if isinstance(event, RetryScheduled)] == ["ConnectError"]


def test_the_record_of_a_retry_without_a_call_has_no_id(caplog: pytest.LogCaptureFixture) -> None:
    """There is none that it could be found by."""
    with caplog.at_level(logging.INFO, "http_service_client.retry"):
        policy_of(2).call(Failing(1, ConnectionError()))
    (record,) = caplog.records
    fields = vars(record)
    assert (fields["http_key"], fields["http_call_id"], fields["http_call_name"]) == ("", "", None)


def test_a_forked_child_has_earned_nothing() -> None:
    """Nor has a policy that was just made. Both earn from their first call on."""
    clock = FakeClock()
    functions = FunctionBudget(RetryBudgetSettings(ratio=1.0, min_per_second=0.0), clock.monotonic)

    def balances() -> list[float]:
        found = []
        for calls in (0, 2):
            for _ in range(calls):
                next(functions.successes)
            clock.now += 1.0
            budget = functions.up_to_date()
            assert budget is not None
            found.append(budget.balance)
        return found

    assert balances() == [0, 2]
    next(functions.successes)
    functions.record_failure()
    functions._reset_after_fork()
    assert balances() == [0, 2]


def test_calls_that_fail_count_for_the_ratio_as_well() -> None:
    """Half of the first attempts may be repeated: ten of twenty, though none succeeds."""
    clock, calls = FakeClock(), []
    policy = policy_of(2, clock=clock, budget=RetryBudgetSettings(ratio=0.5, min_per_second=0.0))

    def failing() -> None:
        calls.append(1)
        raise ConnectionError

    for _ in range(20):
        with pytest.raises(ConnectionError):
            policy.call(failing)
        clock.now += 0.1
    assert len(calls) == 30


def test_the_budget_of_the_client_inside_is_the_one_that_pays(front_end: FrontEnd) -> None:
    """So retries stay bounded for the origin, whichever level makes them."""
    harness = Harness(
        front_end,
        RESET,
        retry_budget_config={"ratio": 0.0, "min_per_second": 0.1},
        enable_circuit_breaker=False,
    )
    guarded = policy_of(5).apply(harness.calling())
    with pytest.raises(ConnectionLostError):
        front_end.run(guarded)
    assert harness.sends == 2
    assert harness.state.budget.balance == 0


def test_the_client_whose_call_failed_pays_and_learns(front_end: FrontEnd) -> None:
    """Not the one that wrote the failure down."""
    budget = {"ratio": 0.0, "min_per_second": 0.1}
    failing = Harness(front_end, RESET, retry_budget_config=budget, enable_circuit_breaker=False)
    audit = Harness(front_end, 200)

    def body() -> None:
        try:
            failing.request()
        except ConnectionError:
            audit.request("POST")
            raise

    with pytest.raises(ConnectionLostError):
        policy_of(9).call(body)
    assert failing.sends == 2
    assert sum(isinstance(event, RetryScheduled) for event in failing.events) == 1
    assert not any(isinstance(event, (RetryScheduled, RetryStopped)) for event in audit.events)


def test_a_repeated_call_pays_for_no_retry(front_end: FrontEnd) -> None:
    """Or with a ratio of 1 each retry would pay for the next one, for ever."""
    harness = Harness(
        front_end,
        RESET,
        retry_budget_config={"ratio": 1.0, "min_per_second": 0.0},
        enable_circuit_breaker=False,
    )
    with pytest.raises(ConnectionLostError):
        front_end.run(policy_of(20).apply(harness.calling()))
    assert harness.sends == 2


@each_row("is_piped", [False, True], ids=["alone", "in a pipeline"])
@each_row("result", ["done", HttpResponse(200)], ids=["any result", "a response"])
def test_calls_that_succeed_at_once_pay_for_retries(
    front_end: FrontEnd, is_piped: bool, result: object
) -> None:
    """One for two calls here. The quickest way to a result counts them as the others do."""
    clock = FakeClock()
    policy = policy_of(2, clock=clock, budget=RetryBudgetSettings(ratio=0.5, min_per_second=0.0))
    guard = ResiliencePipeline(policy) if is_piped else policy
    guarded = guard.apply(front_end.function(lambda: result))
    for _ in range(10):
        front_end.run(guarded)
        clock.now += 0.1
    budget = policy._function_budget.up_to_date()
    assert budget is not None
    assert budget.balance == 5


@pytest.mark.parametrize("is_piped", [False, True], ids=["alone", "in a pipeline"])
def test_a_retry_that_succeeds_costs_nothing(front_end: FrontEnd, is_piped: bool) -> None:
    """A quota is for what fails again and again. One token mends any number of calls, one after the other."""
    quota = RetryQuotaSettings(capacity=1.0, throttled_cost=1.0, earned=0.0)
    policy: RetryPolicy | ResiliencePipeline = policy_of(3, budget=quota)
    if is_piped:
        policy = ResiliencePipeline(policy)
    for _ in range(3):
        mended = Failing(1, ConnectionError())
        assert front_end.run(policy.apply(front_end.function(mended))) == "done"
    failing = Failing(9, ConnectionError())
    with pytest.raises(ConnectionError):
        front_end.run(policy.apply(front_end.function(failing)))
    assert failing.calls == 2


def test_a_refused_repetition_is_refunded(front_end: FrontEnd) -> None:
    """It was never made."""
    harness = Harness(front_end, 503, circuit_breaker_config={"failure_threshold": 1})
    harness.request()
    before = harness.state.budget.balance
    harness.client.get_circuit_breaker("https://api.example.com").reset()  # type: ignore[union-attr]
    front_end.run(policy_of(3).apply(harness.calling()))
    assert harness.state.budget.balance >= before


def test_a_repetition_that_was_interrupted_is_paid_for(front_end: FrontEnd) -> None:
    """It was sent. Only a retry that was interrupted in its wait is refunded."""
    budget = RetryBudgetSettings(ratio=0.0, min_per_second=1.0, window=10.0)
    policy = policy_of(3, budget=budget)
    outcomes: list[BaseException] = [ConnectionError(), KeyboardInterrupt()]

    def failing() -> None:
        raise outcomes.pop(0)

    with pytest.raises(KeyboardInterrupt):
        front_end.run(policy.apply(front_end.function(failing)))
    left = policy._function_budget.up_to_date()
    assert left is not None
    assert left.balance == 9


def test_threads_that_fail_at_the_same_time_enter_each_call_once() -> None:
    """Or a thousand calls would pay for the retries of many thousands."""
    policy = policy_of(2, budget=RetryBudgetSettings(ratio=0.1, min_per_second=0.0))
    functions = policy._function_budget
    for _ in range(1000):
        next(functions.successes)
    budget: Any = functions._budget
    budget._lock = queue = LockWithQueue()
    queue.first = functions.up_to_date
    functions.up_to_date()
    assert budget.balance == 100


def test_the_client_s_listener_and_metrics_see_the_retries(front_end: FrontEnd) -> None:
    """With the key of the call that failed, and the cause."""
    harness = Harness(front_end, RESET, 503, 503, enable_circuit_breaker=False)
    front_end.run(policy_of(3).apply(harness.calling()))
    of_the_policy = [
        event
        for event in harness.events
        if isinstance(event, (RetryScheduled, RetryStopped)) and event.attempt > 0
    ]
    scheduled = [event for event in of_the_policy if isinstance(event, RetryScheduled)]
    assert [(event.attempt, event.key, event.cause) for event in scheduled] == [
        (1, "https://api.example.com", "ConnectionLostError"),
        (2, "https://api.example.com", "status 503"),
    ]
    assert of_the_policy[-1].reason is StopReason.EXHAUSTED  # type: ignore[union-attr]


def test_the_log_has_the_retries_of_a_call_that_nobody_listens_to(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key is theirs, as if its client had a listener."""
    caplog.set_level(logging.INFO, "http_service_client.retry")
    request = HttpRequest("GET", URL)
    call = EndedCall(RESET, SentState.MAYBE_PROCESSED, ORIGIN, "c1", "look up", request, None, None)

    def failing() -> None:
        scope = current_scope()
        assert scope is not None
        scope.record(call)
        raise PaymentError

    with pytest.raises(PaymentError):
        front_end.run(policy_of(2).apply(front_end.function(failing)))
    assert [record.getMessage() for record in caplog.records] == [
        f"{ORIGIN} (look up): retry in 0.000 s because of PaymentError"
    ]


def test_a_policy_is_pickled_without_its_live_budget() -> None:
    """And works in the other process."""
    policy = RetryPolicy(2, ConstantBackoff(0.0))
    policy.call(lambda: None)
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert twin.call(lambda: "done") == "done"


def test_without_a_budget_in_the_client_its_calls_have_no_limit(front_end: FrontEnd) -> None:
    """The budget of the policy is for functions without a call; the client's owner switched theirs off."""
    harness = Harness(front_end, RESET, enable_retry_budget=False, enable_circuit_breaker=False)
    policy = policy_of(4, budget=RetryBudgetSettings(ratio=0.0, min_per_second=0.0))
    with pytest.raises(ConnectionLostError):
        front_end.run(policy.apply(harness.calling()))
    assert harness.sends == 4
    scheduled = [event for event in harness.events if isinstance(event, RetryScheduled)]
    assert [event.budget_left for event in scheduled] == [None] * 3
