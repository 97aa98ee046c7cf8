"""Policies on functions: any function, plain or async, guarded by the rules that hold for calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    ExponentialBackoff,
    HttpResponse,
    HttpStatusError,
    RetryCondition,
    RetryPolicy,
    StateChange,
    circuit_breaker,
    deadline,
    retry_policy,
)
from http_service_client.errors import (
    ConnectError,
    DeadlineExceededError,
    HttpClientError,
    InvalidRequestError,
    PoolTimeoutError,
    ReadTimeoutError,
    ResponseValidationError,
    SentState,
    TlsVerificationError,
)
from http_service_client.policies.circuit_breaker import CircuitBreakerScope
from kit.fakes import RESET, URL, Blocking, FakeClock, FrontEnd, Harness, Tasks, run_task, short

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


class PaymentError(Exception):
    pass


def retrying(attempts: int = 3, *errors: type[BaseException], **options: Any) -> RetryPolicy:
    """Retries at once, on the errors given (PaymentError by default)."""
    conditions = [RetryCondition.on_exceptions(errors or (PaymentError,))]
    return RetryPolicy(attempts, ConstantBackoff(0.0), **{"retry_conditions": conditions} | options)


def breaking(threshold: int = 1, **options: Any) -> CircuitBreakerPolicy:
    return CircuitBreakerPolicy(threshold, **options)


class Failing:
    """A body that fails so many times, then returns; it counts its calls."""

    def __init__(self, times: int, error: BaseException | None = None, value: Any = "done") -> None:
        self.times, self.error, self.value = times, error or PaymentError("no"), value
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.value


# What may be guarded.


def kinds_of_functions() -> dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """The same body as each kind of callable; to be called with one argument."""

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


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call it, on a loop where it is async."""
    if inspect.iscoroutinefunction(function):
        return run_task(function(*args))
    return function(*args)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_function_is_retried(kind: str) -> None:
    """Two failures and a success: three calls, each with the same argument."""
    seen: list[Any] = []
    body = Failing(2, value="value")

    def noting(argument: Any) -> Any:
        seen.append(argument)
        return body()

    guarded = retrying().apply(KINDS[kind](noting))
    assert call(guarded, "argument") == "value"
    assert seen == ["argument"] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_function_trips_the_breaker(kind: str) -> None:
    """A failure of an async function is seen when it fails, not when it is called."""
    policy = breaking()
    guarded = policy.apply(KINDS[kind](Failing(9)))
    with pytest.raises(PaymentError):
        call(guarded, 1)
    assert policy.state is OPEN
    with pytest.raises(CircuitOpenError):
        call(guarded, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [retrying, breaking])
def test_async_stays_async(kind: str, make: Any) -> None:
    """What was a coroutine function is one; what was not, is not."""
    assert inspect.iscoroutinefunction(make().apply(KINDS[kind](Failing(0)))) is ("async" in kind)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_name_docstring_and_signature_are_kept(front_end: FrontEnd, make: Any) -> None:
    """As by functools.wraps, for frameworks that look at them."""

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


@pytest.mark.parametrize(
    "function",
    [
        generator,
        async_generator,
        functools.partial(generator),
        functools.partial(async_generator),
        GeneratorObject(),
        5,
        None,
        "name",
    ],
    ids=short,
)
@pytest.mark.parametrize("make", [retrying, breaking, lambda: retry_policy, lambda: circuit_breaker])
def test_what_does_not_return_is_refused(make: Any, function: Any) -> None:
    """A generator's work begins after its call has ended: guarding it would guard nothing."""
    with pytest.raises(ConfigurationError, match="a policy guards functions"):
        make().apply(function)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_a_plain_function_that_returns_an_awaitable_is_refused(make: Any) -> None:
    """Its failure would come after the guard has gone, and a blocking policy cannot await it for you."""

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


class Methods:
    retry_policy = retrying(2)
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
def test_methods_of_all_kinds(name: str, owner: str) -> None:
    """Above or below @classmethod and @staticmethod: each fails twice and is called twice."""
    if owner == "the class" and name in ("method", "async_method"):
        pytest.skip("a method needs an instance")
    Methods.body = Failing(99)
    with pytest.raises(PaymentError):
        call(getattr(Methods() if owner == "the instance" else Methods, name))
    assert Methods.body.calls == 2


# The policy on self. (The names are imported: what is applied below is the package's.)


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


def test_the_policy_is_found_on_self(front_end: FrontEnd) -> None:
    """At call time, so `__init__` may make it; each object has its own."""
    body = Failing(2)
    service = Notifications(retrying(3), None, body)
    send = service.send if front_end.name == "blocking" else service.send_async
    assert front_end.run(functools.partial(send, "a", urgent=True)) == ("a", True, "done")
    assert body.calls == 3

    hasty = Notifications(retrying(1), None, Failing(2))
    send = hasty.send if front_end.name == "blocking" else hasty.send_async
    with pytest.raises(PaymentError):
        front_end.run(functools.partial(send, "a"))


def test_the_breaker_is_found_on_self(front_end: FrontEnd) -> None:
    """Two objects, two circuits."""
    one, other = (Notifications(None, breaking(), Failing(1)) for _ in range(2))
    name = "guarded" if front_end.name == "blocking" else "guarded_async"
    with pytest.raises(PaymentError):
        front_end.run(getattr(one, name))
    assert (one.circuit_breaker.state, other.circuit_breaker.state) == (OPEN, CLOSED)


def test_both_on_one_method() -> None:
    """The breaker inside is asked at each attempt, and its refusal ends the retries."""
    body = Failing(99)
    service = Notifications(retrying(5), breaking(2), body)
    with pytest.raises(CircuitOpenError):
        run_task(service.both())
    assert body.calls == 2


@pytest.mark.parametrize("policy", [None, 5, "policy", object()], ids=short)
@pytest.mark.parametrize(
    ("method", "attribute"), [("send", "retry_policy"), ("guarded_async", "circuit_breaker")]
)
def test_a_missing_policy_is_named(method: str, attribute: str, policy: Any) -> None:
    """Class, attribute, what is there instead, and what to do; the method is not called."""
    body = Failing(0)
    service = Notifications(policy, policy, body)
    with pytest.raises(
        ConfigurationError, match=rf"Notifications\.{attribute} must be .*set self\.{attribute}"
    ):
        call(getattr(service, method), *(["a"] if method == "send" else []))
    assert body.calls == 0


def test_a_policy_of_the_wrong_kind_is_named() -> None:
    """A breaker under the name of a retry policy would guard quite otherwise than it reads."""
    service = Notifications(breaking(), retrying(), Failing(0))
    with pytest.raises(ConfigurationError, match=r"retry_policy must be a RetryPolicy"):
        service.send("a")
    with pytest.raises(ConfigurationError, match=r"circuit_breaker must be a CircuitBreakerPolicy"):
        service.guarded()


def test_a_function_without_self_is_told_so() -> None:
    """Applied to a plain function there is no `self` to look at."""

    @retry_policy.apply
    def function() -> None:
        pass

    with pytest.raises(ConfigurationError, match="no self"):
        function()


# Results and errors pass through.


@pytest.mark.parametrize("make", [retrying, breaking])
@pytest.mark.parametrize("value", [None, 0, False, [], HttpResponse(404), Exception("as a value")], ids=short)
def test_results_pass_through(front_end: FrontEnd, make: Any, value: Any) -> None:
    """The same object, whatever it is."""
    assert front_end.run(make().apply(front_end.function(lambda: value))) is value


@pytest.mark.parametrize("make", [retrying, breaking])
@pytest.mark.parametrize("kind", [PaymentError, KeyError, ConnectError, OSError])
def test_errors_pass_through(front_end: FrontEnd, make: Any, kind: type[BaseException]) -> None:
    """The same object, with its own cause and context."""
    cause, error = ValueError("why"), kind("what")

    def body() -> None:
        raise error from cause

    with pytest.raises(kind) as raised:
        front_end.run(make().apply(front_end.function(body)))
    assert raised.value is error
    assert error.__cause__ is cause


def test_the_last_error_is_raised(front_end: FrontEnd) -> None:
    """Of several, the last; the earlier ones are not chained to it."""
    errors = [PaymentError(str(number)) for number in range(3)]
    raised_so_far: list[int] = []

    def body() -> None:
        raised_so_far.append(1)
        raise errors[len(raised_so_far) - 1]

    with pytest.raises(PaymentError) as raised:
        front_end.run(retrying().apply(front_end.function(body)))
    assert raised.value is errors[2]
    assert raised.value.__context__ is None


def test_a_value_may_be_worth_a_retry(front_end: FrontEnd) -> None:
    """on_result sees what is returned; the last value is what comes out."""
    body = Mock(side_effect=[None, None, "ready"])
    policy = retrying(retry_conditions=[RetryCondition.on_result(lambda value: value is None)])
    assert front_end.run(policy.apply(front_end.function(body))) == "ready"
    body = Mock(return_value=None)
    assert front_end.run(policy.apply(front_end.function(body))) is None
    assert body.call_count == 3


# Conditions.


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ConnectionError("x"), 3),
        (ConnectionResetError("x"), 3),
        (TimeoutError("x"), 3),
        (asyncio.TimeoutError(), 3),
        (ConnectError("x"), 3),
        (ReadTimeoutError("x"), 3),
        (TlsVerificationError("x"), 1),
        (PaymentError("x"), 1),
        (ValueError("x"), 1),
        (InvalidRequestError("x"), 1),
        (CircuitOpenError("x"), 1),
        (asyncio.CancelledError(), 1),
        (KeyboardInterrupt(), 1),
    ],
    ids=short,
)
def test_the_default_conditions_on_errors(front_end: FrontEnd, error: BaseException, calls: int) -> None:
    """Transport errors of ours and the builtins they derive from; nothing of the program's own."""
    if front_end.name == "blocking" and isinstance(error, asyncio.CancelledError):
        pytest.skip("of tasks")
    body = Failing(99, error)
    policy = RetryPolicy(3, ConstantBackoff(0.0))
    with pytest.raises(type(error)):
        front_end.run(policy.apply(front_end.function(body)))
    assert body.calls == calls


def test_an_error_caused_by_a_named_one_is_worth_it(front_end: FrontEnd) -> None:
    """`raise EmailError from error`: the cause counts, as it does inside the client."""
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        raise PaymentError from ConnectionResetError()

    with pytest.raises(PaymentError):
        front_end.run(retrying(3, ConnectionError).apply(front_end.function(body)))
    assert len(calls) == 3


def raising_on(status: int, bench: Harness, front_end: FrontEnd) -> Callable[[], Any]:
    """A function that makes a call and turns this status into an error of its own."""

    def judge(response: HttpResponse) -> HttpResponse:
        if response.status_code == status:
            raise PaymentError(status)
        return response

    calling = front_end.calling(bench.client, "POST")
    if front_end.name == "blocking":
        return lambda: judge(calling())

    async def function() -> HttpResponse:
        return judge(await calling())

    return function


def test_a_status_behind_the_function_s_own_error_is_seen(front_end: FrontEnd) -> None:
    """on_status_codes([503]) holds when the function turned a 503 into its own exception."""
    bench = Harness(front_end, 503, 503, 200, enable_retry_policy=False)
    policy = retrying(retry_conditions=[RetryCondition.on_status_codes([503])])
    assert front_end.run(policy.apply(raising_on(503, bench, front_end))).status_code == 200
    assert bench.sends == 3


def test_a_status_of_an_earlier_attempt_is_forgotten(front_end: FrontEnd) -> None:
    """An error of the second attempt, which made no call, is not blamed on the 503 of the first."""
    bench = Harness(front_end, 503, enable_retry_policy=False)
    policy = retrying(5, retry_conditions=[RetryCondition.on_status_codes([503])])
    calls: list[int] = []
    calling = raising_on(503, bench, front_end)

    if front_end.name == "blocking":

        def function() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise PaymentError("before any call")
            return calling()
    else:

        async def function() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise PaymentError("before any call")
            return await calling()

    with pytest.raises(PaymentError, match="before any call"):
        front_end.run(policy.apply(function))
    assert len(calls) == 2


def test_what_a_straggler_leaves_during_the_wait_is_forgotten() -> None:
    """A task of the first attempt gets its 503 while the second one is waited for: not the second one's."""
    bench = Harness(Tasks(), 503, enable_retry_policy=False)
    clock, calls, stragglers = FakeClock(), [], []

    async def sleep(seconds: float) -> None:
        await asyncio.gather(*stragglers)

    clock.sleep_async = sleep  # type: ignore[method-assign]

    async def function() -> None:
        calls.append(1)
        if len(calls) == 1:
            stragglers.append(asyncio.create_task(bench.client.get_async(URL)))
            raise ConnectionError
        raise PaymentError

    conditions = [RetryCondition.on_status_codes([503]), RetryCondition.on_exceptions([ConnectionError])]
    policy = RetryPolicy(5, ConstantBackoff(1.0), conditions, clock=clock)
    with pytest.raises(PaymentError):
        run_task(policy.apply(function)())
    assert (len(calls), bench.sends) == (2, 1)


@pytest.mark.parametrize("how", ["task", "gather", "to_thread"])
def test_a_call_made_elsewhere_is_seen(how: str) -> None:
    """In a child task, in several, or in a thread that carries the context."""
    bench = Harness(Tasks(), 503, enable_retry_policy=False)

    async def function() -> None:
        if how == "task":
            await asyncio.create_task(bench.client.get_async(URL))
        elif how == "gather":
            await asyncio.gather(*(bench.client.get_async(URL) for _ in range(2)))
        else:
            await asyncio.to_thread(bench.client.get, URL)
        raise PaymentError

    policy = retrying(retry_conditions=[RetryCondition.on_status_codes([503])])
    with pytest.raises(PaymentError):
        run_task(policy.apply(function)())
    assert bench.sends == (6 if how == "gather" else 3)


# What counts as a failure of the service.


def client_error(
    kind: type[HttpClientError], state: SentState = SentState.MAYBE_PROCESSED
) -> HttpClientError:
    return kind("it failed", sent_state=state)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (PaymentError(), (0, 1, 0)),
        (ConnectionError(), (0, 1, 0)),
        (client_error(ConnectError, SentState.NEVER_SENT), (0, 1, 0)),
        (client_error(ReadTimeoutError), (0, 1, 0)),
        (client_error(ReadTimeoutError, SentState.ABANDONED), (0, 0, 1)),
        (client_error(DeadlineExceededError), (0, 0, 1)),
        (client_error(PoolTimeoutError), (0, 0, 1)),
        (client_error(InvalidRequestError), (0, 0, 1)),
        (client_error(ResponseValidationError), (0, 0, 1)),
        (client_error(CircuitOpenError), (0, 0, 1)),
        (ConfigurationError("x"), (0, 0, 1)),
        (HttpStatusError("x", response=HttpResponse(404)), (1, 0, 0)),
        (HttpStatusError("x", response=HttpResponse(429)), (0, 1, 0)),
        (HttpStatusError("x", response=HttpResponse(500)), (0, 1, 0)),
        (KeyboardInterrupt(), (0, 0, 1)),
        (SystemExit(), (0, 0, 1)),
        (GeneratorExit(), (0, 0, 1)),
        (asyncio.CancelledError(), (0, 0, 1)),
        (concurrent.futures.CancelledError(), (0, 0, 1)),  # an Exception, of work in another thread
    ],
    ids=short,
)
@pytest.mark.parametrize("way", ["apply", "with"])
def test_what_an_error_tells_the_breaker(
    front_end: FrontEnd, way: str, error: BaseException, counts: tuple[int, int, int]
) -> None:
    """Failures of the service, and neither its caller's mistakes nor its caller's changes of mind."""
    policy = breaking(threshold=99)

    def body() -> None:
        raise error

    def with_block() -> None:
        with policy:
            raise error

    async def with_block_async() -> None:
        async with policy:
            raise error

    if way == "apply":
        function = policy.apply(front_end.function(body))
    else:
        function = with_block if front_end.name == "blocking" else with_block_async
    with pytest.raises(type(error)):
        if front_end.name == "blocking":
            function()
        else:
            # By hand: a loop has its own thoughts on KeyboardInterrupt.
            coroutine = function()
            while True:
                coroutine.send(None)
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


@pytest.mark.parametrize(
    ("status", "is_failure"),
    [(200, False), (402, False), (404, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_the_status_behind_an_error(front_end: FrontEnd, status: int, is_failure: bool) -> None:
    """A 402 turned into an exception is no failure of the service; a 503 is."""
    policy = breaking()
    bench = Harness(front_end, status, enable_retry_policy=False)
    with pytest.raises(PaymentError):
        front_end.run(policy.apply(raising_on(status, bench, front_end)))
    assert policy.state is (OPEN if is_failure else CLOSED)


@pytest.mark.parametrize(("status", "is_failure"), [(200, False), (404, False), (429, True), (503, True)])
def test_a_response_that_is_returned_speaks_by_its_status(
    front_end: FrontEnd, status: int, is_failure: bool
) -> None:
    """Returning a 503 is no success."""
    policy = breaking()
    front_end.run(policy.apply(front_end.function(lambda: HttpResponse(status))))
    assert policy.state is (OPEN if is_failure else CLOSED)


def test_a_transport_error_behind_an_error(front_end: FrontEnd) -> None:
    """The reset behind the function's own exception is a failure."""
    policy = breaking()
    bench = Harness(front_end, RESET, enable_retry_policy=False)
    calling = front_end.calling(bench.client)
    if front_end.name == "blocking":

        def function() -> None:
            try:
                calling()
            except ConnectionError:
                raise PaymentError from None
    else:

        async def function() -> None:
            try:
                await calling()
            except ConnectionError:
                raise PaymentError from None

    with pytest.raises(PaymentError):
        front_end.run(policy.apply(function))
    assert policy.state is OPEN


def test_a_cancelled_task_tells_the_breaker_nothing() -> None:
    """And its trial is free at once."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)

    async def main() -> None:
        started = asyncio.Event()

        @policy.apply
        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        with pytest.raises(PaymentError):
            await policy.apply(Tasks().function(Failing(1)))()
        clock.now += 5.0
        task = asyncio.create_task(hang())
        await started.wait()
        assert policy.state is HALF_OPEN
        with pytest.raises(CircuitOpenError):
            await hang()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await policy.apply(Tasks().function(lambda: "in"))() == "in"
        assert policy.state is CLOSED

    run_task(main())


@pytest.mark.parametrize("result", ["done", HttpResponse(200), HttpResponse(500), PaymentError()], ids=short)
def test_what_comes_after_the_circuit_has_opened_is_late(front_end: FrontEnd, result: Any) -> None:
    """Whatever it is: it says nothing about the time since."""
    policy = breaking()

    def body() -> Any:
        policy.isolate()
        policy.reset()
        if isinstance(result, Exception):
            raise result
        return result

    function = policy.apply(front_end.function(body))
    if isinstance(result, Exception):
        with pytest.raises(PaymentError):
            front_end.run(function)
    else:
        assert front_end.run(function) is result
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.late) == (0, 0, 1)
    assert policy.state is CLOSED


def test_trials_of_guarded_functions_close_the_circuit(front_end: FrontEnd) -> None:
    """One failed and two successful ones, each settled at once."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=2, clock=clock.monotonic)
    function = policy.apply(front_end.function(Failing(2)))
    states = []
    for _ in range(2):
        with pytest.raises(PaymentError):
            front_end.run(function)
        states.append(policy.state)
        clock.now += 5.0
    for _ in range(3):
        front_end.run(function)
        states.append(policy.state)
    assert states == [OPEN, OPEN, HALF_OPEN, CLOSED, CLOSED]
    assert (policy.snapshot().successes, policy.snapshot().failures) == (3, 2)


@pytest.mark.parametrize("make", [retrying, breaking])
def test_one_call_under_a_policy(front_end: FrontEnd, make: Any) -> None:
    """`call` and `call_async` are what `apply` makes, for once."""
    policy, body = make(), Mock(return_value="done")
    call = policy.call if front_end.name == "blocking" else policy.call_async
    assert front_end.run(call, front_end.function(body), 1) == "done"
    body.assert_called_once_with(1)
    if isinstance(policy, CircuitBreakerPolicy):
        assert policy.snapshot().successes == 1


# The timeout field.


def test_timeout_bounds_the_calls_inside(front_end: FrontEnd) -> None:
    """As a deadline: it nests by the minimum, and is over with the guarded call."""
    bench = Harness(front_end)
    policy = CircuitBreakerPolicy(timeout=2.0, clock=FakeClock().monotonic)
    front_end.run(policy.apply(front_end.calling(bench.client)))
    front_end.run(policy.apply(front_end.calling(bench.client, timeout=1.0)))
    front_end.run(front_end.calling(bench.client))
    with deadline(0.5, clock=FakeClock().monotonic):
        front_end.run(policy.apply(front_end.calling(bench.client)))
    assert [timeout.total for timeout in bench.transport.timeouts] == [2.0, 1.0, 30.0, 0.5]


@pytest.mark.parametrize(
    ("seconds", "error", "counts"),
    [
        (1.9, None, (1, 0, 0)),
        (2.0, None, (0, 1, 0)),
        (9.0, None, (0, 1, 0)),
        (9.0, HttpStatusError("x", response=HttpResponse(402)), (0, 1, 0)),
        (9.0, asyncio.CancelledError(), (0, 0, 1)),
        (9.0, KeyboardInterrupt(), (0, 0, 1)),
    ],
    ids=short,
)
def test_a_call_that_took_too_long_is_a_failure(
    seconds: float, error: BaseException | None, counts: tuple[int, int, int]
) -> None:
    """Even when it returned in the end; an interruption stays no evidence."""
    clock = FakeClock()
    policy = CircuitBreakerPolicy(9, timeout=2.0, clock=clock.monotonic)

    def body() -> str:
        clock.now += seconds
        if error is not None:
            raise error
        return "late but there"

    if error is None:
        assert policy.apply(body)() == "late but there"
    else:
        with pytest.raises(type(error)):
            policy.apply(body)()
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


def test_a_timeout_that_is_changed_holds_from_the_next_call_on() -> None:
    clock = FakeClock()
    policy = CircuitBreakerPolicy(9, timeout=2.0, clock=clock.monotonic)

    def slow(timeout: float | None) -> None:
        policy.timeout = timeout
        clock.now += 3.0

    guarded = policy.apply(slow)
    guarded(None)
    guarded(9.0)
    guarded(9.0)
    assert (policy.snapshot().successes, policy.snapshot().failures) == (2, 1)


# As context managers.


def test_a_block_is_guarded(front_end: FrontEnd) -> None:
    """Failures are counted, an open circuit refuses to enter, the block's error is its own."""
    policy = breaking()
    error = PaymentError()

    def block() -> None:
        with policy as entered:
            assert entered is policy
            raise error

    async def block_async() -> None:
        async with policy as entered:
            assert entered is policy
            await asyncio.sleep(0)
            raise error

    function = block if front_end.name == "blocking" else block_async
    with pytest.raises(PaymentError) as raised:
        front_end.run(function)
    assert raised.value is error
    with pytest.raises(CircuitOpenError):
        front_end.run(function)
    assert policy.snapshot().refused == 1


def test_blocks_nest() -> None:
    """The same policy within itself, and two policies in each other: each settles its own permit."""
    one, other = breaking(99), breaking(99)
    with one, other, one:
        assert one.snapshot().successes == 0
    assert (one.snapshot().successes, other.snapshot().successes) == (2, 1)
    with pytest.raises(PaymentError), one:
        with pytest.raises(KeyError), other:
            raise KeyError
        raise PaymentError
    assert (one.snapshot().failures, other.snapshot().failures) == (1, 1)


def test_blocks_in_concurrent_tasks_are_kept_apart() -> None:
    """Tasks enter and leave in any order, some inside a block of their parent."""
    policy = breaking(99)

    async def worker(number: int) -> None:
        async with policy:
            for _ in range(number % 3):
                await asyncio.sleep(0)
            if number % 2:
                raise PaymentError

    async def main() -> None:
        async with policy:
            await asyncio.gather(*map(worker, range(10)), return_exceptions=True)
        async with policy:
            pass

    run_task(main())
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (7, 5, 0)


def test_a_block_that_ends_in_another_context_settles_its_permit() -> None:
    """A fixture or lifespan may enter in one task and leave in another: no permit may stay behind."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0

    contextvars.copy_context().run(policy.__enter__)
    assert policy.state is HALF_OPEN
    contextvars.copy_context().run(policy.__exit__, None, None, None)
    assert policy.state is CLOSED


def test_leaving_what_was_not_entered_is_an_error() -> None:
    """And not a puzzle about unpacking."""
    policy = breaking()
    with policy:
        pass
    with pytest.raises(RuntimeError, match="not entered"):
        policy.__exit__(None, None, None)


# Side by side.


def test_one_policy_for_many_threads() -> None:
    """16 threads, one breaker and one retry policy: every call is settled, the counts add up."""
    breaker = breaking(10**6)
    policy = retrying(2)
    calls = [0] * 16

    def work(number: int) -> None:
        def body() -> None:
            calls[number] += 1
            if calls[number] % 2:
                raise PaymentError

        guarded = policy.apply(breaker.apply(body))
        for _ in range(200):
            guarded()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    snapshot = breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (3200, 3200)
    assert sum(calls) == 6400


def test_one_guarded_function_for_many_tasks() -> None:
    """Concurrent calls of one function do not count each other's attempts."""

    async def main() -> None:
        attempts: dict[int, int] = {}

        @retrying(3).apply
        async def work(number: int) -> int:
            attempts[number] = attempts.get(number, 0) + 1
            await asyncio.sleep(0)
            if attempts[number] < 3:
                raise PaymentError
            return number

        assert await asyncio.gather(*map(work, range(50))) == list(range(50))
        assert set(attempts.values()) == {3}

    run_task(main())


def test_exactly_one_trial_of_many_threads() -> None:
    """Whoever asks first gets the trial; all others are refused until it is settled."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, clock=clock.monotonic)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0
    gate, inside = threading.Event(), threading.Barrier(20, timeout=20)

    def attempt() -> str:
        inside.wait()
        try:
            with policy:
                gate.wait(timeout=20)
                return "trial"
        except CircuitOpenError:
            return "refused"

    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(attempt) for _ in range(20)]
        while sum(result.done() for result in results) < 19:
            pass
        gate.set()
        assert sorted(result.result() for result in results) == ["refused"] * 19 + ["trial"]


# The rest of their surface.


def test_a_breaker_policy_tells_of_itself() -> None:
    """State, isolation, snapshot and repr; changes are told."""
    changes: list[StateChange] = []
    policy = CircuitBreakerPolicy(name="payments", on_change=changes.append)
    assert repr(policy) == "<CircuitBreakerPolicy 'payments' closed>"
    policy.isolate()
    assert (policy.state, policy.is_isolated) == (OPEN, True)
    with pytest.raises(CircuitOpenError, match="payments"), policy:
        pass
    policy.reset()
    assert (policy.state, policy.is_isolated) == (CLOSED, False)
    assert [(change.old, change.new) for change in changes] == [(CLOSED, OPEN), (OPEN, CLOSED)]


def test_a_breaker_policy_shows_the_seed_s_fields() -> None:
    """`self.circuit_breaker.timeout`, as the delivery service reads it."""
    policy = CircuitBreakerPolicy(failure_threshold=5, recovery_timeout=60, success_threshold=3, timeout=10.0)
    assert (policy.failure_threshold, policy.recovery_timeout) == (5, 60)
    assert (policy.success_threshold, policy.timeout) == (3, 10.0)


def test_a_refusal_knows_when_to_come_back(front_end: FrontEnd) -> None:
    """key, retry_after, and a message for people."""
    clock = FakeClock()
    policy = breaking(name="mail", recovery_timeout=30.0, clock=clock.monotonic)
    guarded = policy.apply(front_end.function(Failing(9)))
    with pytest.raises(PaymentError):
        front_end.run(guarded)
    clock.now += 10.0
    with pytest.raises(CircuitOpenError, match=r"mail refused the call: open; .* 20\.000 s") as raised:
        front_end.run(guarded)
    assert (raised.value.key, raised.value.retry_after) == ("mail", 20.0)
    assert raised.value.sent_state is SentState.NEVER_SENT


BAD_POLICIES = [
    (CircuitBreakerPolicy, "failure_threshold", [0, -1, 1.5, "5", None, True]),
    (CircuitBreakerPolicy, "recovery_timeout", [0, -1, float("nan"), float("inf"), "60", None, True]),
    (CircuitBreakerPolicy, "success_threshold", [0, -1, 1.5, "3", None]),
    (CircuitBreakerPolicy, "timeout", [0, -1, float("nan"), float("inf"), "10", True]),
    (CircuitBreakerPolicy, "recovery_multiplier", [0.5, float("nan"), float("inf"), "2"]),
    (CircuitBreakerPolicy, "max_recovery_timeout", [0, -1, float("nan"), "600"]),
    (CircuitBreakerPolicy, "recovery_jitter", [-0.1, 1.1, float("nan"), "0"]),
    (CircuitBreakerPolicy, "trial_lease", [0, -1, float("nan"), float("inf"), None]),
    (CircuitBreakerPolicy, "metrics_only", [1, "yes", None]),
    (CircuitBreakerPolicy, "name", [5, None]),
    (CircuitBreakerPolicy, "clock", [5, None]),
    (CircuitBreakerPolicy, "on_change", [5, "print", asyncio.sleep]),
    (RetryPolicy, "max_attempts", [0, -1, 2.0, "3", None, True]),
    (RetryPolicy, "backoff_strategy", [None, 5, "exponential", {"initial_delay": 1}, ExponentialBackoff]),
    (RetryPolicy, "retry_conditions", ["503", 503, [503], [None], {503}, lambda response: True]),
    (RetryPolicy, "nested", [1, "yes", None]),
    (RetryPolicy, "random", [5, None]),
    (RetryPolicy, "clock", [5, None, lambda: 0.0]),
    (ExponentialBackoff, "initial_delay", [-1, float("nan"), float("inf"), "1", None]),
    (ExponentialBackoff, "max_delay", [-1, float("nan"), float("inf"), "1", None]),
    (ExponentialBackoff, "backoff_factor", [0.9, 0, -1, float("nan"), float("inf"), "2"]),
    (ExponentialBackoff, "jitter", ["some", 1, None, True]),
    (ConstantBackoff, "delay", [-1, float("nan"), "1"]),
]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [(kind, field, value) for kind, field, values in BAD_POLICIES for value in values],
    ids=short,
)
def test_a_wrong_setting_is_named(kind: Any, field: str, value: Any) -> None:
    """Field, value and what to write instead, when it is made and not when it is needed."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**{field: value})
    message = str(raised.value)
    assert field in message
    assert " must be " in message
    assert repr(value) in message or field == "retry_conditions"


@pytest.mark.parametrize("kind", [CircuitBreakerPolicy, RetryPolicy, ExponentialBackoff])
def test_an_unknown_argument_is_a_type_error(kind: Any) -> None:
    """As for any function."""
    with pytest.raises(TypeError, match="max_attemps"):
        kind(max_attemps=3)


def test_blocking_guards_never_touch_asyncio() -> None:
    """A plain function runs on the thread that called it."""
    threads: list[Any] = []
    guarded = retrying().apply(breaking(9).apply(lambda: threads.append(threading.current_thread())))
    guarded()
    assert threads == [threading.current_thread()]
    assert isinstance(Blocking(), FrontEnd)


@pytest.mark.parametrize("policy", [RetryPolicy(), CircuitBreakerPolicy()], ids=["retry", "circuit"])
def test_call_async_takes_a_function_that_need_not_be_awaited(policy: Any) -> None:
    """It is called once, and its value is the result: to fail would have it run again."""
    calls: list[int] = []

    def plain() -> str:
        calls.append(1)
        return "value"

    assert asyncio.run(policy.call_async(plain)) == "value"
    assert calls == [1]


class Block:
    """A `with policy:` block in a context of its own, as a thread or a task has it, left when the test says so."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self._context = contextvars.copy_context()
        self._context.run(policy.__enter__)

    def leave(self, error: BaseException | None = None) -> None:
        self._context.run(self._policy.__exit__, type(error) if error else None, error, None)


@pytest.mark.parametrize("first", ["the call from before", "the trial"])
@pytest.mark.parametrize("error", [None, PaymentError("no")], ids=["returns", "raises"])
def test_interleaved_blocks_each_settle_their_own_permit(first: str, error: PaymentError | None) -> None:
    """A call that began before the circuit opened decides nothing, whenever it ends; the trial does."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    before = Block(policy)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0
    trial = Block(policy)
    if first == "the call from before":
        before.leave(error)
        assert (policy.state, policy.snapshot().late) == (HALF_OPEN, 1)
        trial.leave()
        assert policy.state is CLOSED
    else:
        trial.leave(error)
        assert policy.state is (OPEN if error else CLOSED)
        assert policy.snapshot().late == 0
        before.leave()
        assert policy.state is (OPEN if error else CLOSED)
    assert policy.snapshot().late == 1


def test_interleaved_blocks_are_each_judged_by_what_happened_in_them() -> None:
    """The first of two that ends in time is a success, though the other has been running for too long."""
    clock = FakeClock()
    policy = breaking(99, timeout=5.0, clock=clock.monotonic)
    slow = Block(policy)
    clock.now += 4.0
    quick = Block(policy)
    clock.now += 2.0
    quick.leave()
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 0)
    slow.leave()
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 1)


def test_nested_blocks_are_each_judged_by_what_happened_in_them() -> None:
    """The inner one ends first, and is quick; the outer one has been running for too long."""
    clock = FakeClock()
    policy = breaking(99, timeout=5.0, clock=clock.monotonic)
    with policy:
        clock.now += 4.0
        with policy:
            clock.now += 2.0
        assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 0)
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 1)


def test_blocks_that_were_left_are_forgotten() -> None:
    """A thread that enters one after the other, for as long as it lives, keeps none of them."""
    policy = breaking(99)

    def scopes() -> int:
        return sum(type(thing) is CircuitBreakerScope for thing in gc.get_objects())

    before = scopes()
    for _ in range(20):
        with policy:
            pass
    assert scopes() == before


def test_interleaved_blocks_of_threads_and_tasks_settle_their_own_permits(front_end: FrontEnd) -> None:
    """A trial on one thread, or in one task, is not settled by a block that another one leaves."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    states: list[CircuitBreakerState] = []

    def fail_and_recover() -> None:
        with pytest.raises(PaymentError), policy:
            raise PaymentError
        clock.now += 5.0

    async def block(leave: asyncio.Event) -> None:
        async with policy:
            await leave.wait()

    async def tasks() -> None:
        leave_before, leave_trial = asyncio.Event(), asyncio.Event()
        before = asyncio.create_task(block(leave_before))
        await asyncio.sleep(0)
        fail_and_recover()
        trial = asyncio.create_task(block(leave_trial))
        await asyncio.sleep(0)
        for event, task in ((leave_before, before), (leave_trial, trial)):
            event.set()
            await task
            states.append(policy.state)

    def threads() -> None:
        with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as trial:
            before.submit(policy.__enter__).result()
            fail_and_recover()
            trial.submit(policy.__enter__).result()
            for thread in (before, trial):
                thread.submit(policy.__exit__, None, None, None).result()
                states.append(policy.state)

    front_end.run(threads if front_end.name == "blocking" else tasks)
    assert states == [HALF_OPEN, CLOSED]
