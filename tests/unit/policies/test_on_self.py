"""Decorators that take the policy from an attribute of `self`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerState,
    ConfigurationError,
    circuit_breaker,
    retry_policy,
)
from kit.fakes import short
from kit.front_ends import FrontEnd, run_task
from kit.guarded import Failing, PaymentError, breaking, call, retrying
from kit.rows import each_row

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


class Notifications:
    def __init__(self, policy: Any, breaker: Any, body: Callable[[], Any]) -> None:
        self.retry_policy = policy
        self.circuit_breaker = breaker
        self.body = body

    @retry_policy.apply
    def send(self, to: str, *, urgent: bool = False) -> Any:
        """Send it."""
        return (to, urgent, self.body())

    @retry_policy.apply
    async def send_async(self, to: str, *, urgent: bool = False) -> Any:
        return (to, urgent, self.body())

    @circuit_breaker.apply
    def guarded(self) -> Any:
        return self.body()

    @circuit_breaker.apply
    async def guarded_async(self) -> Any:
        return self.body()

    @retry_policy.apply
    @circuit_breaker.apply
    async def both(self) -> Any:
        return self.body()


def test_the_retry_policy_is_taken_from_self(front_end: FrontEnd) -> None:
    """It is looked up at call time, so `__init__` may make it, and each object has its own."""
    body = Failing(2)
    service = Notifications(retrying(3), None, body)
    send = service.send if front_end.name == "blocking" else service.send_async
    assert front_end.run(functools.partial(send, "a", urgent=True)) == ("a", True, "done")
    assert body.calls == 3

    once = Failing(2)
    other = Notifications(retrying(1), None, once)
    send = other.send if front_end.name == "blocking" else other.send_async
    with pytest.raises(PaymentError):
        front_end.run(functools.partial(send, "a"))
    assert once.calls == 1


def test_the_breaker_is_taken_from_self(front_end: FrontEnd) -> None:
    """Two objects with a breaker each have two circuits."""
    one, other = (Notifications(None, breaking(), Failing(1)) for _ in range(2))
    name = "guarded" if front_end.name == "blocking" else "guarded_async"
    with pytest.raises(PaymentError):
        front_end.run(getattr(one, name))
    assert (one.circuit_breaker.state, other.circuit_breaker.state) == (OPEN, CLOSED)


def test_a_method_may_have_a_retry_policy_and_a_breaker() -> None:
    """The inner breaker checks each attempt; its refusal ends the retries, and the error before it is raised."""
    body = Failing(99)
    service = Notifications(retrying(5), breaking(2), body)
    with pytest.raises(PaymentError):
        run_task(service.both())
    assert body.calls == 2


@each_row("policy", [None, 5, "policy", object()], ids=short)
@each_row(("method", "attribute"), [("send", "retry_policy"), ("guarded_async", "circuit_breaker")])
def test_a_missing_policy_is_named(method: str, attribute: str, policy: Any) -> None:
    """The error names the class, the attribute, its value and the fix, and the method is not called."""
    body = Failing(0)
    service = Notifications(policy, policy, body)
    with pytest.raises(
        ConfigurationError, match=rf"Notifications\.{attribute} must be .*set self\.{attribute}"
    ):
        call(getattr(service, method), *(["a"] if method == "send" else []))
    assert body.calls == 0


def test_a_policy_of_the_wrong_kind_is_rejected() -> None:
    """A breaker in the attribute `retry_policy` would do something else than the code says."""
    service = Notifications(breaking(), retrying(), Failing(0))
    with pytest.raises(ConfigurationError, match=r"retry_policy must be a RetryPolicy"):
        service.send("a")
    with pytest.raises(ConfigurationError, match=r"circuit_breaker must be a CircuitBreakerPolicy"):
        service.guarded()


def test_a_function_without_self_is_rejected() -> None:
    """A plain function has no `self` from which the policy could be taken, and the error says so."""

    @retry_policy.apply
    def function() -> None:
        pass

    with pytest.raises(ConfigurationError, match="no self"):
        function()
