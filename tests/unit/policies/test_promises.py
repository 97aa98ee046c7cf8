"""A retry policy around a function keeps the promises of a client's own retries."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConnectError,
    ConnectionLostError,
    ConstantBackoff,
    HttpResponse,
    HttpStatusError,
    RetryBudgetSettings,
    RetryCondition,
    RetryPolicy,
    SentState,
)
from http_service_client.events import RetryScheduled, RetryStopped, StopReason
from kit.fakes import REFUSED, RESET, URL, FakeClock, Harness, LockWithQueue
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task

KEY = {"Idempotency-Key": "order-42"}


def policy_of(attempts: int = 3, *conditions: RetryCondition, **options: Any) -> RetryPolicy:
    """Retries at once."""
    options.setdefault("clock", FakeClock())
    return RetryPolicy(attempts, ConstantBackoff(0.0), list(conditions) or None, **options)


class PaymentError(Exception):
    pass


# What became of the request.


@pytest.mark.parametrize(
    ("script", "error", "state"),
    [
        ([RESET, REFUSED], ConnectError, SentState.MAYBE_PROCESSED),
        ([REFUSED, RESET], ConnectionLostError, SentState.MAYBE_PROCESSED),
        ([REFUSED, REFUSED], ConnectError, SentState.NEVER_SENT),
        ([503, REFUSED], ConnectError, SentState.ANSWERED),
    ],
)
def test_the_error_admits_the_worst_over_all_attempts(
    front_end: FrontEnd, script: list[Any], error: type[Exception], state: SentState
) -> None:
    """Refused at last, but perhaps processed before: to charge again would be a second charge."""
    harness = Harness(front_end, *script)
    guarded = policy_of(2).apply(harness.calling("POST", json={}, headers=KEY))
    with pytest.raises(error) as raised:
        front_end.run(guarded)
    assert (harness.sends, raised.value.sent_state) == (2, state)


def test_an_error_of_one_s_own_carries_it_in_its_cause(front_end: FrontEnd) -> None:
    """`raise PaymentError from error`: the cause admits it."""
    harness = Harness(front_end, RESET, REFUSED)

    calling = harness.calling("POST", json={}, headers=KEY)

    def body() -> None:
        try:
            front_end.run(calling)
        except ConnectionError as error:
            raise PaymentError from error

    policy = policy_of(2, RetryCondition.on_exceptions([ConnectionError]))
    with pytest.raises(PaymentError) as raised:
        policy.call(body)
    cause: Any = raised.value.__cause__
    assert (type(cause), cause.sent_state) == (ConnectError, SentState.MAYBE_PROCESSED)


@pytest.mark.parametrize("first", [RESET, 503], ids=["error", "response"])
def test_a_circuit_that_opens_does_not_hide_the_outcome_before(front_end: FrontEnd, first: Any) -> None:
    """The caller gets what became of the request that was sent, as from the client's own retries."""
    harness = Harness(front_end, first, circuit_breaker_config={"failure_threshold": 1})
    guarded = policy_of(3).apply(harness.calling("POST", json={}, headers=KEY))
    if first == 503:
        assert front_end.run(guarded).status_code == 503
    else:
        with pytest.raises(ConnectionLostError) as raised:
            front_end.run(guarded)
        assert raised.value.sent_state is SentState.MAYBE_PROCESSED
    assert harness.sends == 1


def test_a_circuit_that_is_open_from_the_start_is_reported(front_end: FrontEnd) -> None:
    """There is no outcome before it."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.state.breaker.isolate()
    with pytest.raises(CircuitOpenError):
        front_end.run(policy_of(3).apply(harness.calling()))


def test_a_refusal_after_a_request_that_was_sent_is_reported(front_end: FrontEnd) -> None:
    """The attempt has an outcome of its own: the charge was made, and the refusal of the audit must not hide it."""
    harness = Harness(front_end, 503, 201, enable_retry_policy=False)
    audit = CircuitBreakerPolicy()
    audit.isolate()

    def body() -> None:
        front_end.request(harness.client, "POST", URL).raise_for_status()
        front_end.request(harness.client, "POST", "https://audit.example.com/", circuit_breaker=audit)

    with pytest.raises(CircuitOpenError):
        policy_of(3).call(body)
    assert harness.sends == 2


def test_the_listener_learns_that_the_circuit_refused_the_repetition(front_end: FrontEnd) -> None:
    """As from the client's own retries."""
    harness = Harness(front_end, 503, circuit_breaker_config={"failure_threshold": 1})
    front_end.run(policy_of(3).apply(harness.calling()))
    assert [event.reason for event in harness.events if isinstance(event, RetryStopped)][-1] is (
        StopReason.CIRCUIT_OPEN
    )


# One key for the operation.


def keys_sent(harness: Harness) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in harness.transport.sent]


def test_the_automatic_key_is_the_same_in_each_attempt(front_end: FrontEnd) -> None:
    """A server that processed the first one recognises the second."""
    harness = Harness(front_end, RESET, RESET, 201, auto_idempotency_key=True)
    guarded = policy_of(3).apply(harness.calling("POST", json={"amount": 25}))
    assert front_end.run(guarded).status_code == 201
    assert len(set(keys_sent(harness))) == 1
    front_end.run(guarded)
    assert len(set(keys_sent(harness))) == 2  # another operation


def test_two_requests_of_one_attempt_have_two_keys(front_end: FrontEnd) -> None:
    """Other bodies, and equal ones as well: both are meant to happen. A repetition finds each its key again."""
    harness = Harness(
        front_end, 201, 201, RESET, 201, 201, 201, auto_idempotency_key=True, enable_circuit_breaker=False
    )

    def body() -> None:
        for amount in (1, 1, 2):
            front_end.request(harness.client, "POST", URL, json={"amount": amount})

    policy_of(2).call(body)
    first, second, third, *again = keys_sent(harness)
    assert len({first, second, third}) == 3
    assert again == [first, second, third]


def test_a_function_that_remembers_what_was_done_keeps_the_keys_apart(front_end: FrontEnd) -> None:
    """The second item never gets the key of the first, which would make the server answer for the first."""
    harness = Harness(front_end, 201, RESET, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    left = [1, 2]

    def body() -> None:
        while left:
            front_end.request(harness.client, "POST", URL, json={"item": left[0]})
            left.pop(0)

    policy_of(2).call(body)
    first, second, again = keys_sent(harness)
    assert first != second
    assert again == second


def test_a_streamed_body_never_gets_the_key_of_another(front_end: FrontEnd) -> None:
    """What it holds is not known until it is sent. The server would take the second item for the first."""
    harness = Harness(front_end, 201, REFUSED, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    left = [b"1", b"2"]

    def body() -> None:
        while left:
            front_end.request(harness.client, "POST", URL, data=iter([left[0]]))
            left.pop(0)

    policy_of(2).call(body)
    assert len(set(keys_sent(harness))) == 3


def test_a_form_with_files_has_the_same_key_in_each_attempt(front_end: FrontEnd) -> None:
    """Though its boundary is drawn for each request."""
    harness = Harness(front_end, RESET, 201, auto_idempotency_key=True, enable_circuit_breaker=False)
    files = {"scan": ("scan.png", b"pixels")}
    front_end.run(policy_of(2).apply(harness.calling("POST", files=files)))
    first, again = keys_sent(harness)
    assert first == again


# Budget, events and metrics.


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
    with pytest.raises(ValueError, match="budget must be RetryBudgetSettings"):
        RetryPolicy(budget=5)  # type: ignore[arg-type]


def test_old_calls_do_not_pay_for_the_retries_of_now() -> None:
    """An hour of success before an outage allows no more retries than the window's share of it."""
    clock = FakeClock()
    settings = RetryBudgetSettings(ratio=0.1, min_per_second=0.0, window=10.0)
    policy = policy_of(2, clock=clock, budget=settings)
    for _ in range(36_000):
        policy._function_budget.calls.__next__()
    clock.now += 3600.0
    budget = policy._function_budget.up_to_date()
    assert budget is not None
    assert budget.balance == 10  # 10 calls a second, 10 seconds, a tenth


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
        next(functions.calls)
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


def test_a_policy_is_pickled_without_its_live_budget() -> None:
    """And works in the other process."""
    policy = RetryPolicy(2, ConstantBackoff(0.0))
    policy.call(lambda: None)
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert twin.call(lambda: "done") == "done"


def test_processes_that_got_a_pickled_policy_draw_jitter_of_their_own() -> None:
    """With the same jitter, all of them would come back at the same instants."""
    twins = [pickle.loads(pickle.dumps(copy.copy(RetryPolicy()))) for _ in range(2)]
    assert twins[0].random() != twins[1].random()
    assert len(pickle.dumps(RetryPolicy())) < 1000  # the state of the generator would be 2,500 bytes


# What an exception stems from.


def paying(front_end: FrontEnd, harness: Harness, how: str) -> Callable[[], None]:
    """Pays, writes a failure down at a service that is well, and raises an error of its own."""

    def pay() -> None:
        try:
            front_end.request(harness.client, "POST", "https://pay.example.com/").raise_for_status()
        except HttpStatusError as error:
            front_end.request(harness.client, "POST", "https://audit.example.com/")
            if how == "cause":
                raise PaymentError from error
            raise PaymentError  # noqa: B904  # the context is what is tested

    return pay


@pytest.mark.parametrize("how", ["cause", "context"])
def test_an_exception_is_judged_by_what_it_stems_from(front_end: FrontEnd, how: str) -> None:
    """Not by the last call inside, which wrote the failure down and succeeded."""
    script = [HttpResponse(503), HttpResponse(200)] * 8
    harness = Harness(front_end, *script, enable_circuit_breaker=False, enable_retry_policy=False)
    breaker = CircuitBreakerPolicy(failure_threshold=3)
    guarded = policy_of(3, RetryCondition.on_status_codes([503])).apply(
        breaker.apply(paying(front_end, harness, how))
    )
    with pytest.raises(PaymentError):
        guarded()
    assert breaker.state is CircuitBreakerState.OPEN
    assert [request.url for request in harness.transport.sent].count("https://pay.example.com/") == 3


@pytest.mark.parametrize("status", [404, 503])
def test_two_calls_at_once_do_not_answer_for_each_other(status: int) -> None:
    """The one whose error is raised is judged, not the one that ended last."""
    harness = Harness(
        AsyncioFrontEnd(),
        *[lambda r: (status if "bad" in r.url else 200, {})],
        enable_retry_policy=False,
        enable_circuit_breaker=False,
    )
    breaker = CircuitBreakerPolicy(failure_threshold=99)

    async def bad() -> None:
        (await harness.client.get_async("https://bad.example.com/")).raise_for_status()

    async def good() -> None:
        for _ in range(5):
            await harness.client.get_async("https://good.example.com/")

    @breaker.apply
    async def both() -> None:
        failed, _ = await asyncio.gather(bad(), good(), return_exceptions=True)
        raise PaymentError from failed  # type: ignore[misc]  # it is an exception

    with pytest.raises(PaymentError):
        run_task(both())
    assert breaker.snapshot().failures == (1 if status == 503 else 0)


@pytest.mark.parametrize("depth", [1, 2, 3, 50])
@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_conditions_look_as_deep_as_the_chain_goes(depth: int, link: str) -> None:
    """A connection error behind any number of wrappers."""
    calls: list[int] = []

    def failing() -> None:
        calls.append(1)
        error: Exception = ConnectionError("low")
        for number in range(depth):
            wrapper = ValueError(number)
            setattr(wrapper, link, error)
            error = wrapper
        raise error

    with pytest.raises(ValueError, match=str(depth - 1)):
        policy_of(3, RetryCondition.on_exceptions([ConnectionError])).call(failing)
    assert len(calls) == 3


def test_a_context_that_was_suppressed_is_no_reason() -> None:
    """`from None` says that the error stands for itself."""
    calls: list[int] = []

    def failing() -> None:
        calls.append(1)
        try:
            raise ConnectionError
        except ConnectionError:
            raise ValueError from None

    with pytest.raises(ValueError):
        policy_of(3, RetryCondition.on_exceptions([ConnectionError])).call(failing)
    assert len(calls) == 1


def handling(error: Exception, body: Callable[[], Any]) -> Any:
    """What a fallback does: it is called while the error of the first choice is being handled."""
    try:
        raise error
    except type(error):
        return body()


@pytest.mark.parametrize(
    ("handled", "raised", "attempts"),
    [
        (ConnectionError(), ValueError, 1),
        (CircuitOpenError("of the first choice"), ConnectionError, 3),
        (TimeoutError(), ConnectionError, 3),
    ],
    ids=["no reason to retry", "no reason not to", "both"],
)
def test_a_fallback_is_not_judged_by_the_error_that_called_for_it(
    front_end: FrontEnd, handled: Exception, raised: type[Exception], attempts: int
) -> None:
    """Python makes it the context of all that the fallback raises. The fallback has no part in it."""
    calls: list[int] = []

    def failing() -> None:
        calls.append(1)
        raise raised

    guarded = policy_of(3).apply(failing)
    with pytest.raises(raised):
        front_end.run(front_end.function(lambda: handling(handled, guarded)))
    assert len(calls) == attempts


def test_a_breaker_judges_a_fallback_by_its_own_error() -> None:
    """A refusal of the first choice does not make the fallback's failure no evidence."""
    breaker = CircuitBreakerPolicy(failure_threshold=9)

    def failing() -> None:
        raise ValueError

    def block() -> None:
        with breaker:
            failing()

    for body in (breaker.apply(failing), block):
        with pytest.raises(ValueError):
            handling(CircuitOpenError("of the first choice"), body)
    assert breaker.snapshot().failures == 2


def test_a_chain_that_bites_its_own_tail_ends() -> None:
    """Nothing a program can build hangs the judge."""
    error, other = ValueError("a"), ValueError("b")
    error.__cause__, other.__cause__ = other, error

    def failing() -> None:
        raise error

    with pytest.raises(ValueError, match="a"):
        policy_of(2, RetryCondition.on_exceptions([ConnectionError])).call(failing)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
class TestGroups:
    """An ExceptionGroup is judged by its members."""

    @pytest.mark.parametrize(
        ("condition", "members"),
        [
            (RetryCondition.on_exceptions([ConnectionError]), [ValueError("x"), ConnectionResetError()]),
            (RetryCondition.on_timeout(), [TimeoutError()]),
            (None, [ConnectionError()]),
        ],
        ids=["one of two", "timeout", "defaults"],
    )
    def test_a_member_that_is_worth_it_makes_the_group_worth_it(
        self, condition: Any, members: list[Exception]
    ) -> None:
        """One is enough."""
        calls: list[int] = []

        def failing() -> None:
            calls.append(1)
            raise ExceptionGroup("both", members)  # noqa: F821  # of 3.11

        policy = policy_of(3, condition) if condition else policy_of(3)
        with pytest.raises(ExceptionGroup):  # noqa: F821
            policy.call(failing)
        assert len(calls) == 3

    @pytest.mark.parametrize(("status", "failures"), [(404, 0), (503, 1)])
    def test_the_breaker_learns_from_the_members(
        self, front_end: FrontEnd, status: int, failures: int
    ) -> None:
        """A 404 in a task group is no failure of the service."""
        harness = Harness(front_end, status, enable_retry_policy=False)
        breaker = CircuitBreakerPolicy(failure_threshold=9)

        def failing() -> None:
            try:
                front_end.request(harness.client, "GET", URL).raise_for_status()
            except HttpStatusError as error:
                raise ExceptionGroup("all", [error]) from None  # noqa: F821

        with pytest.raises(ExceptionGroup):  # noqa: F821
            breaker.call(failing)
        assert breaker.snapshot().failures == failures


# User code that only listens or judges.


def raising(*_: Any) -> Any:
    raise RuntimeError("the chat room is down")


def test_a_listener_of_a_circuit_that_raises_changes_nothing(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The success stays one, and a charge is made once."""
    charges: list[int] = []
    clock = FakeClock()
    breaker = CircuitBreakerPolicy(1, 5, 1, clock=clock.monotonic, on_change=raising)
    with pytest.raises(ConnectionError), breaker:
        raise ConnectionError
    clock.now += 5
    guarded = policy_of(3).apply(breaker.apply(front_end.function(lambda: charges.append(1))))
    with caplog.at_level(logging.ERROR):
        front_end.run(guarded)
    assert charges == [1]
    assert breaker.state is CircuitBreakerState.CLOSED
    assert "a listener failed on StateChange" in caplog.text


def test_a_listener_of_a_call_s_circuit_that_raises_changes_nothing(front_end: FrontEnd) -> None:
    """A POST that was answered by 503 returns the 503."""
    harness = Harness(front_end, 503)
    policy = CircuitBreakerPolicy(failure_threshold=1, on_change=raising)
    assert harness.request("POST", circuit_breaker=policy).status_code == 503


def test_a_slow_listener_does_not_delay_the_next_attempt(front_end: FrontEnd) -> None:
    """Its time is part of the wait, so a wait that fits into the deadline still does."""
    harness = Harness(front_end, 503, 200, retry_policy_config={"initial_delay": 0.4, "jitter": "none"})

    def listen(event: Any) -> None:
        if isinstance(event, RetryScheduled):
            harness.clock.now += 0.3

    harness.client._call_builder._listener = listen
    started = harness.clock.now
    assert harness.request(total_timeout=0.5).status_code == 200
    assert harness.clock.now - started == pytest.approx(0.4)


@pytest.mark.parametrize("where", ["call", "function"])
def test_a_predicate_that_raises_takes_nothing_away(
    front_end: FrontEnd, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A 201 that a condition cannot judge is returned, and the condition's error is logged."""
    harness = Harness(front_end, 201)
    condition = RetryCondition.on_result(raising)
    with caplog.at_level(logging.ERROR):
        if where == "call":
            response = harness.request("POST", retry_policy=policy_of(3, condition))
        else:
            response = front_end.run(policy_of(3, condition).apply(harness.calling("POST")))
    assert (response.status_code, harness.sends) == (201, 1)
    assert "raised an exception; it counts as not holding" in caplog.text


# A circuit that a call brings along.


def test_changes_of_a_circuit_that_a_call_brings_reach_the_client(front_end: FrontEnd) -> None:
    """`on_event`, the metrics and the list of states know it."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    policy = CircuitBreakerPolicy(failure_threshold=1, name="partner")
    for _ in range(2):  # the same client subscribes once
        if policy.state is CircuitBreakerState.CLOSED:
            harness.request(circuit_breaker=policy)
    changes = [event for event in harness.events if type(event).__name__ == "StateChange"]
    assert [(change.key, change.new) for change in changes] == [("partner", CircuitBreakerState.OPEN)]
    assert harness.client.get_circuit_breaker_states()["partner"] == "open"


def test_a_client_that_is_gone_gets_no_changes() -> None:
    """A policy may outlive the clients that used it, and does not keep them."""
    policy = CircuitBreakerPolicy(failure_threshold=1)
    owner, received = threading.Event(), []
    policy.listeners.subscribe(owner, received.append)
    policy.isolate()
    del owner
    policy.reset()
    assert [change.new for change in received] == [CircuitBreakerState.OPEN]
