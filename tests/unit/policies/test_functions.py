"""Which functions a policy accepts, and how arguments, results and errors pass through it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    HttpResponse,
    RetryCondition,
    RetryPolicy,
    circuit_breaker,
    deadline,
    retry_policy,
)
from http_service_client.errors import (
    ConnectError,
)
from kit.fakes import short
from kit.front_ends import FrontEnd, run_task
from kit.guarded import Failing, PaymentError, breaking, call, retrying
from kit.policies import MAKERS
from kit.rows import each_row

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


def kinds_of_functions() -> dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """The same body as each kind of callable with one argument."""

    def plain(body: Any) -> Any:
        return lambda argument: body(argument)

    def coroutine(body: Any) -> Any:
        async def function(argument: Any) -> Any:
            await asyncio.sleep(0)
            return body(argument)

        return function

    def callable_object(body: Any) -> Any:
        class Called:
            def __call__(self, argument: Any) -> Any:
                return body(argument)

        return Called()

    def async_callable_object(body: Any) -> Any:
        class Called:
            async def __call__(self, argument: Any) -> Any:
                return body(argument)

        return Called()

    def bound_method(body: Any) -> Any:
        class Owner:
            def method(self, argument: Any) -> Any:
                return body(argument)

        return Owner().method

    return {
        "plain": plain,
        "async": coroutine,
        "partial": lambda body: functools.partial(plain(body)),
        "partial of async": lambda body: functools.partial(coroutine(body)),
        "partial of async callable object": lambda body: functools.partial(async_callable_object(body)),
        "callable object": callable_object,
        "async callable object": async_callable_object,
        "bound method": bound_method,
        "mock": lambda body: Mock(side_effect=body),
        "async mock": lambda body: AsyncMock(side_effect=body),
        "builtin": lambda body: functools.partial(map_one, body),
    }


def map_one(body: Any, argument: Any) -> Any:
    return next(map(body, [argument]))


KINDS = kinds_of_functions()


@each_row("kind", KINDS)
def test_every_kind_of_function_is_retried(kind: str) -> None:
    """Two failures and a success make three calls, each with the same argument."""
    seen: list[Any] = []
    body = Failing(2, value="value")

    def recording(argument: Any) -> Any:
        seen.append(argument)
        return body()

    guarded = retrying().apply(KINDS[kind](recording))
    assert call(guarded, "argument") == "value"
    assert seen == ["argument"] * 3


@each_row("kind", KINDS)
def test_every_kind_of_function_trips_the_breaker(kind: str) -> None:
    """A failed call opens the circuit, also when an async function fails after it was called."""
    policy = breaking()
    guarded = policy.apply(KINDS[kind](Failing(9)))
    with pytest.raises(PaymentError):
        call(guarded, 1)
    assert policy.state is OPEN
    with pytest.raises(CircuitOpenError):
        call(guarded, 1)


@each_row("kind", KINDS)
@each_row("make", [retrying, breaking])
def test_only_an_async_function_stays_async(kind: str, make: Any) -> None:
    """The wrapped function is a coroutine function exactly if the original is one."""
    assert inspect.iscoroutinefunction(make().apply(KINDS[kind](Failing(0)))) is ("async" in kind)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_name_docstring_and_signature_are_kept(front_end: FrontEnd, make: Any) -> None:
    """They are kept as by functools.wraps, for frameworks that inspect them."""

    def charge(order: str, *, amount: float = 1.0) -> bool:
        """Charge the customer."""
        return True

    function = front_end.function(charge)
    guarded = make().apply(function)
    assert (guarded.__name__, guarded.__doc__) == ("charge", "Charge the customer.")
    assert guarded.__qualname__ == charge.__qualname__
    assert str(inspect.signature(guarded)) == str(inspect.signature(charge))
    assert guarded.__wrapped__ is function
    assert front_end.run(guarded, "order") is True


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


class GeneratorObject:
    def __call__(self) -> Any:
        yield 1


@each_row("function", [5, None, "name"], ids=short)
@each_row("make", [retrying, breaking, lambda: retry_policy, lambda: circuit_breaker])
def test_a_non_function_is_rejected(make: Any, function: Any) -> None:
    """At once."""
    with pytest.raises(ConfigurationError, match="a policy guards functions"):
        make().apply(function)


@each_row(
    "function",
    [
        generator,
        async_generator,
        functools.partial(generator),
        functools.partial(async_generator),
        GeneratorObject(),
    ],
    ids=short,
)
@each_row("decorator", [retry_policy, circuit_breaker], ids=["retry_policy", "circuit_breaker"])
def test_a_generator_needs_a_policy_of_its_own(decorator: Any, function: Any) -> None:
    """The decorators that look for a policy on `self` would cover none of its code: it runs after its call."""
    with pytest.raises(ConfigurationError, match="use a policy's own apply"):
        decorator.apply(function)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_a_plain_function_that_returns_an_awaitable_is_rejected(make: Any) -> None:
    """The awaitable would fail after the policy has finished, and a blocking policy cannot await it."""

    async def work() -> int:
        raise PaymentError

    policy = make()
    guarded = policy.apply(lambda: work())

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="async def"):
            guarded()

    run_task(main())
    if isinstance(policy, CircuitBreakerPolicy):
        assert policy.snapshot().successes == 0


@each_row("kind", MAKERS)
@each_row("how", ["future", "object", "value"])
def test_whatever_can_be_awaited_is_awaited(kind: str, how: str) -> None:
    """What a function under `call_async` returns need not be a coroutine, nor an awaitable at all."""

    class Later:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "done"

    returned: dict[str, Callable[[], Any]] = {
        "future": lambda: asyncio.ensure_future(Later()),
        "object": Later,
        "value": lambda: "done",
    }

    async def main() -> Any:
        return await MAKERS[kind]().call_async(returned[how])

    assert run_task(main()) == "done"


@each_row("kind", MAKERS)
def test_a_call_may_be_closed_in_another_context(kind: str) -> None:
    """As by a framework that drops it: nothing of the policy complains, and the caller's context stays as it is."""

    async def waits() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        call: Any = MAKERS[kind]().call_async(waits)
        contextvars.Context().run(call.send, None)
        before = list(contextvars.copy_context().items())
        call.close()
        assert list(contextvars.copy_context().items()) == before

    run_task(main())


class Methods:
    retry_policy = retrying(2, budget=None)
    circuit_breaker = breaking(2)
    body = Failing(99)

    @retry_policy.apply
    def method(self) -> Any:
        return self.body()

    @retry_policy.apply
    async def async_method(self) -> Any:
        return self.body()

    @classmethod
    @retry_policy.apply
    def class_method(cls) -> Any:
        return cls.body()

    @retry_policy.apply
    @classmethod
    def applied_to_class_method(cls) -> Any:
        return cls.body()

    @retry_policy.apply
    @classmethod
    async def applied_to_async_class_method(cls) -> Any:
        return cls.body()

    @staticmethod
    @retry_policy.apply
    def static_method() -> Any:
        return Methods.body()

    @retry_policy.apply
    @staticmethod
    def applied_to_static_method() -> Any:
        return Methods.body()

    @retry_policy.apply
    @staticmethod
    async def applied_to_async_static_method() -> Any:
        return Methods.body()


@pytest.mark.parametrize("name", [name for name in vars(Methods) if "method" in name])
@pytest.mark.parametrize("owner", ["the instance", "the class"])
def test_every_kind_of_method_is_retried(name: str, owner: str) -> None:
    """Above or below @classmethod and @staticmethod, a policy of two attempts calls the method twice."""
    if owner == "the class" and name in ("method", "async_method"):
        pytest.skip("a method needs an instance")
    Methods.body = Failing(99)
    with pytest.raises(PaymentError):
        call(getattr(Methods() if owner == "the instance" else Methods, name))
    assert Methods.body.calls == 2


@each_row("make", [retrying, breaking])
@each_row("value", [None, 0, False, [], HttpResponse(404), Exception("as a value")], ids=short)
def test_a_result_passes_through_a_policy(front_end: FrontEnd, make: Any, value: Any) -> None:
    """The caller gets the same object, whatever it is."""
    assert front_end.run(make().apply(front_end.function(lambda: value))) is value


@each_row("make", [retrying, breaking])
@each_row("kind", [PaymentError, KeyError, ConnectError, OSError])
def test_an_error_passes_through_a_policy(front_end: FrontEnd, make: Any, kind: type[BaseException]) -> None:
    """The caller gets the same error object with its cause."""
    cause, error = ValueError("why"), kind("what")

    def body() -> None:
        raise error from cause

    with pytest.raises(kind) as raised:
        front_end.run(make().apply(front_end.function(body)))
    assert raised.value is error
    assert error.__cause__ is cause


def test_of_several_errors_the_last_is_raised(front_end: FrontEnd) -> None:
    """The errors of earlier attempts are not chained to it."""
    errors = [PaymentError(str(number)) for number in range(3)]
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        raise errors[len(calls) - 1]

    with pytest.raises(PaymentError) as raised:
        front_end.run(retrying().apply(front_end.function(body)))
    assert raised.value is errors[2]
    assert raised.value.__context__ is None


def test_a_returned_value_may_be_retried(front_end: FrontEnd) -> None:
    """on_result judges the returned values, and the last one is returned."""
    body = Mock(side_effect=[None, None, "ready"])
    policy = retrying(retry_conditions=[RetryCondition.on_result(lambda value: value is None)])
    assert front_end.run(policy.apply(front_end.function(body))) == "ready"
    body = Mock(return_value=None)
    assert front_end.run(policy.apply(front_end.function(body))) is None
    assert body.call_count == 3


@each_row(
    ("misuse", "message"),
    [
        (lambda: RetryPolicy()(print), "write @policy.apply above the function, or call policy.call"),
        (
            lambda: CircuitBreakerPolicy()(print),
            "write @policy.apply above the function, or call policy.call",
        ),
        (lambda: circuit_breaker(print), "write @circuit_breaker.apply above the method"),
        (lambda: retry_policy(print), "write @retry_policy.apply above the method"),
        (lambda: deadline(print), "write `with deadline(2.0):` inside the function"),
        (lambda: deadline(2.0)(print), "write `with deadline(2.0):` inside the function"),
    ],
)
def test_a_decorator_without_apply_says_what_to_write(misuse: Any, message: str) -> None:
    """Instead of "object is not callable"."""
    with pytest.raises(TypeError, match=re.escape(message)):
        misuse()
