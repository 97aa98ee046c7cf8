"""Which calls of a client earn and spend the tokens of its retry quota."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConstantBackoff,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    RetryQuotaSettings,
)
from http_service_client.core.layers.retry import RetryLayer
from http_service_client.events import RetryScheduled
from http_service_client.http.messages import HttpRequest
from kit.fakes import ORIGIN, RESET, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.guarded import policy_of
from kit.rows import each_row

KEYED = {"Idempotency-Key": "order-42"}
KEPT = {"capacity": 10.0, "memory": 3600.0, "earned": 1.0, "cost": 1.0}


class Interrupt(BaseException):
    pass


class Answering:
    """An interceptor that answers some attempts without the network."""

    def __init__(self, *attempts: int) -> None:
        self.attempts = attempts

    def intercept_request(self, request: Any, context: Any) -> Any:
        return HttpResponse(200) if context.attempt in self.attempts else request


def with_quota(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    """A client that begins with ten tokens, and earns one by each success."""
    return Harness(
        front_end,
        *script,
        retry_policy_config=RetryPolicy(4, ConstantBackoff(1.0, jitter="none")),
        retry_budget_config={
            "capacity": 10.0,
            "memory": 3600.0,
            "earned": 1.0,
            "cost": 2.0,
            "throttled_cost": 1.0,
        },
        enable_circuit_breaker=False,
        **settings,
    )


def spend(policy: RetryPolicy) -> None:
    """Leave no token in the quota of its functions."""
    budget = policy._function_budget.up_to_date()
    assert budget is not None
    while budget.try_withdraw() is not None:
        pass


def tokens(harness: Harness) -> float:
    quota = harness.state.budget
    assert quota.balance is not None  # reading it enters the successes
    return float(quota._tokens)


@each_row(
    ("script", "expected"),
    [
        ((200,), 11.0),
        ((404,), 11.0),
        ((503, 200), 10.0),
        ((503, 404), 10.0),
        ((503, 503, 200), 8.0),
        ((500, 500, 500, 500), 4.0),
        (((429, {"Retry-After": "1"}), 200), 10.0),
        ((RESET, 409, 409, 200), 6.0),
    ],
)
def test_what_a_call_earns_and_spends(front_end: FrontEnd, script: Any, expected: float) -> None:
    """A success earns a token, or returns what the last retry took; all other retries are paid for.

    A 409 that says "still in progress" is no success yet, so the retry before it is paid for.
    """
    harness = with_quota(front_end, *script)
    harness.request("POST" if 409 in script else "GET", headers=KEYED)
    assert tokens(harness) == expected


@pytest.mark.parametrize(
    "policy", [False, RetryPolicy(retry_conditions=[])], ids=["no policy", "no conditions"]
)
def test_a_failure_that_nobody_repeats_earns_nothing(front_end: FrontEnd, policy: Any) -> None:
    """It is no success, though it is the outcome."""
    harness = with_quota(front_end, 503)
    harness.request(retry_policy=policy)
    assert tokens(harness) == 10.0


@each_row(("script", "expected"), [((200,), 11.0), ((202, 200), 10.0), ((202,) * 4, 4.0)])
def test_a_policy_that_repeats_some_successes_earns_by_the_others(
    front_end: FrontEnd, script: tuple[int, ...], expected: float
) -> None:
    """A 202 that it polls for is what it retries."""
    harness = with_quota(front_end, *script)
    polling = RetryPolicy(4, ConstantBackoff(1.0), retry_conditions=[RetryCondition.on_status_codes([202])])
    harness.request(retry_policy=polling)
    assert (harness.sends, tokens(harness)) == (len(script), expected)


def test_what_an_interceptor_answers_earns_nothing(front_end: FrontEnd) -> None:
    """A cache would pay for retries to a service that is down."""
    harness = with_quota(front_end, RESET, request_interceptors=[Answering(1)])
    harness.request()
    assert (harness.sends, tokens(harness)) == (0, 10.0)


def test_a_retry_that_an_interceptor_answers_is_refunded(front_end: FrontEnd) -> None:
    """It was not sent."""
    harness = with_quota(front_end, 503, request_interceptors=[Answering(2)])
    assert harness.request().attempts == 2
    assert (harness.sends, tokens(harness)) == (1, 10.0)


@each_row(
    ("is_nested", "attempt", "earned"),
    [(True, 1, 1), (True, 2, 0), (True, None, 1), (False, 2, 1)],
    ids=["a first attempt", "a repetition", "the function has ended", "a call beside it"],
)
@each_row("budget", [KEPT, {"ratio": 1.0, "min_per_second": 0.0}], ids=["quota", "share"])
def test_only_a_repetition_of_an_enclosing_policy_earns_nothing(
    is_nested: bool, attempt: int | None, earned: int, budget: dict[str, float]
) -> None:
    """A first attempt earns as any call does, and so does a call that the repetition does not wait for."""
    harness = Harness(BlockingFrontEnd(), retry_budget_config=budget)
    before = harness.state.budget.balance
    call: Any = harness.client._call_builder.build("GET", URL)
    operation = None if attempt is None else SimpleNamespace(attempt=attempt)
    call.scope = SimpleNamespace(in_charge=lambda: operation)
    call.options = call.options.but(is_nested=is_nested)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        return HttpResponse(200)

    layer = RetryLayer(lambda: 0.5, harness.clock.wall, lambda condition: None)
    with pytest.raises(StopIteration):
        next(layer(proceed, call.request, call))
    assert harness.state.budget.balance == before + earned


def test_a_repetition_that_retries_itself_returns_what_both_took(front_end: FrontEnd) -> None:
    """By `nested=True`; the retries that failed are paid for."""
    harness = with_quota(front_end, 503, 503, 503, 200)
    inner = RetryPolicy(2, ConstantBackoff(1.0), nested=True)
    front_end.run(policy_of(3).apply(harness.calling(retry_policy=inner)))
    assert (harness.sends, tokens(harness)) == (4, 8.0)


@pytest.mark.parametrize(("script", "expected"), [((200,), 11.0), ((503, 200), 10.0)])
def test_a_repetition_by_an_enclosing_policy_earns_nothing_of_its_own(
    front_end: FrontEnd, script: Any, expected: float
) -> None:
    """Its success returns what the repetition took, and that alone. A first attempt earns as any call does."""
    harness = with_quota(front_end, *script)
    assert front_end.run(policy_of(3).apply(harness.calling())).status_code == 200
    assert (harness.sends, tokens(harness)) == (len(script), expected)


def test_a_call_without_the_budget_neither_earns_nor_spends(front_end: FrontEnd) -> None:
    """`retry_budget=False`, in its success and in its retries."""
    harness = with_quota(front_end, 200, 503, 503, 200)
    harness.request(retry_budget=False)
    harness.request(retry_budget=False)
    assert (harness.sends, tokens(harness)) == (4, 10.0)


def test_an_interrupt_in_a_listener_refunds_the_retry(front_end: FrontEnd) -> None:
    """It comes between the withdrawal and the wait, and nothing was sent."""
    harness = with_quota(front_end, 503)

    def listen(event: object) -> None:
        if isinstance(event, RetryScheduled):
            raise Interrupt

    client = HttpServiceClient(
        harness.client.config, transport=harness.transport, clock=harness.clock, on_event=listen
    )
    with pytest.raises(Interrupt):
        front_end.run(front_end.calling(client, "GET", URL))
    budget = client._call_builder.origins.get(ORIGIN).budget
    assert budget is not None
    assert (harness.sends, budget.balance) == (1, 5)


def test_calls_of_a_guarded_function_that_have_not_ended_earn_nothing() -> None:
    """Fifty at the same time in a dead service have succeeded no more than one has."""
    policy = policy_of(2, budget=RetryQuotaSettings(capacity=1.0, earned=1.0))
    spend(policy)
    attempts = [0]

    async def failing() -> None:
        attempts[0] += 1
        await asyncio.sleep(0)
        raise ConnectionError

    async def main() -> None:
        guarded = policy.apply(failing)
        await asyncio.gather(*(guarded() for _ in range(50)), return_exceptions=True)

    run_task(main())
    assert attempts == [50]


def test_an_interrupted_call_of_a_guarded_function_earns_nothing(front_end: FrontEnd) -> None:
    """Nobody knows what became of it: in an outage, callers give up."""
    policy = policy_of(2, budget=RetryQuotaSettings(capacity=1.0, earned=1.0))
    spend(policy)

    def interrupted() -> None:
        raise Interrupt

    with pytest.raises(Interrupt):
        front_end.run(policy.apply(front_end.function(interrupted)))
    budget = policy._function_budget.up_to_date()
    assert budget is not None
    assert budget.balance == 0


def test_a_policy_of_a_call_may_make_its_attempts(front_end: FrontEnd) -> None:
    """Also where it allows more than the client's own: it was chosen for this call."""
    harness = Harness(front_end, 503, enable_circuit_breaker=False)
    policy = RetryPolicy(9, ConstantBackoff(0.1))
    assert harness.request(retry_policy=policy).attempts == 9
    assert harness.request(retry_policy=policy).attempts == 1  # the tokens are spent


def test_a_policy_makes_room_for_its_own_retries_and_no_more(front_end: FrontEnd) -> None:
    """When it is first used, though it repeats nothing: a reason that names the budget counts with that room."""
    harness = Harness(front_end, 500, enable_circuit_breaker=False)
    harness.request("POST", retry_policy=RetryPolicy(9, ConstantBackoff(0.1)))
    assert harness.state.budget.balance == 8


def test_a_policy_around_a_call_may_make_its_attempts(front_end: FrontEnd) -> None:
    """A function pays with the quota of the client whose call failed."""
    harness = Harness(front_end, 503, enable_circuit_breaker=False, enable_retry_policy=False)
    front_end.run(policy_of(9).apply(harness.calling()))
    assert harness.sends == 9
