"""A function's exception is judged by what it stems from."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    HttpResponse,
    HttpStatusError,
    RetryCondition,
)
from kit.fakes import URL, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.guarded import PaymentError, policy_of
from kit.rows import each_row


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


@each_row("depth", [1, 2, 3, 50])
@each_row("link", ["__cause__", "__context__"])
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


@each_row(
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


class LookedAtForever(BaseException):
    """Ends a loop that would not end."""


class CountedError(ValueError):
    """An error that counts how often its members are looked at."""

    looks = 0

    @property
    def exceptions(self) -> tuple[()]:
        CountedError.looks += 1
        if CountedError.looks > 1000:
            raise LookedAtForever
        return ()


def test_a_chain_that_bites_its_own_tail_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a program can build hangs the judge."""
    monkeypatch.setattr(CountedError, "looks", 0)
    error, other = CountedError("a"), CountedError("b")
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
