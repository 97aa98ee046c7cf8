"""What is often written wrongly around functions at first: the error, or the warning, says what to write."""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ConfigurationError,
    ConstantBackoff,
    FallbackPolicy,
    HedgingPolicy,
    MetricsCollector,
    PipelineRegistry,
    RateLimitPolicy,
    ResiliencePipeline,
    ResultCachePolicy,
    RetryCondition,
    RetryPolicy,
    Timeout,
    TimeoutPolicy,
    deadline,
)
from http_service_client.policies.strategy import Strategy
from http_service_client.testing import VirtualClock
from kit.guarded import breaking, retrying
from kit.rows import each_row


def name_of(policy: object) -> str:
    return type(policy).__name__


POLICIES: list[Callable[[], Strategy]] = [
    RetryPolicy,
    CircuitBreakerPolicy,
    lambda: TimeoutPolicy(5.0),
    lambda: ResiliencePipeline(RetryPolicy()),
]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([RetryPolicy()], "write them one by one: ResiliencePipeline(*policies)"),
        (RetryPolicy, "write RetryPolicy(…)"),
        (Timeout(total=5), "write TimeoutPolicy(seconds)"),
        (print, "write @pipeline.apply above the function"),
        ([RetryPolicy(), TimeoutPolicy(5)], "…; write them one by one: ResiliencePipeline(*policies)"),
    ],
)
def test_what_is_no_policy_in_a_pipeline_has_a_remedy(given: Any, words: str) -> None:
    """A list of them, a class, the timeouts of a client's call, a function."""
    with pytest.raises(ConfigurationError, match=f"made of policies .*{re.escape(words)}$"):
        ResiliencePipeline(given)


class Shown:
    """What is no policy, with a `repr` of this length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __repr__(self) -> str:
        return "x" * self.length


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (5, "5"),
        (dict, "dict; write @pipeline.apply above the function"),
        (Shown(100), "x" * 100),
        (Shown(101), "x" * 99 + "…"),
    ],
)
def test_what_is_no_policy_is_shown_at_a_length_that_can_be_read(given: Any, shown: str) -> None:
    """With the remedy after it, if one is known."""
    with pytest.raises(ConfigurationError, match=rf"such as RetryPolicy\(\), not {re.escape(shown)}$"):
        ResiliencePipeline(given)


def test_a_listener_that_cannot_be_called_is_refused() -> None:
    """When the pipeline is made, and not at the first event."""
    with pytest.raises(ConfigurationError, match=r"^on_event must be a function, not 5$"):
        ResiliencePipeline(RetryPolicy(), on_event=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backoff_strategy": ConstantBackoff}, "such as ExponentialBackoff(), not ConstantBackoff; write ConstantBackoff(…)"),
        ({"retry_conditions": RetryCondition.on_status_codes([503])}, "not <RetryCondition status 503>; write it in a list"),
        ({"retry_conditions": [ValueError]}, "write for example [RetryCondition.on_status_codes([503]), "),
    ],
)  # fmt: skip
def test_a_wrong_part_of_a_retry_policy_has_a_remedy(settings: dict[str, Any], words: str) -> None:
    """The class of a backoff, a condition alone, the classes of exceptions."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        RetryPolicy(**settings)


@pytest.mark.parametrize("make", POLICIES)
def test_a_result_in_the_place_of_the_function_is_refused(make: Callable[[], Strategy]) -> None:
    """`policy.call(f(x))` in place of `policy.call(f, x)`."""
    given: Any = 3
    with pytest.raises(
        TypeError, match=r"call takes a function and its arguments, not 3; write policy\.call\("
    ):
        make().call(given)


@pytest.mark.parametrize("make", POLICIES)
def test_a_coroutine_in_the_place_of_the_function_is_refused_and_closed(make: Callable[[], Strategy]) -> None:
    """As for `asyncio.wait_for`. A coroutine can be awaited once, so it cannot be repeated."""

    async def main() -> None:
        coroutine: Any = asyncio.sleep(0)
        with pytest.raises(TypeError, match="call_async takes a function and its arguments, not <coroutine"):
            await make().call_async(coroutine)
        assert coroutine.cr_frame is None

    asyncio.run(main())


def test_a_policy_alone_has_a_loop_of_attempts() -> None:
    """As a pipeline of it has."""
    policy, numbers = retrying(3, RuntimeError), []
    for attempt in policy.attempts():
        with attempt:
            numbers.append(attempt.number)
            if attempt.number < 3:
                raise RuntimeError
    assert numbers == [1, 2, 3]


def test_a_loop_under_a_circuit_breaker_alone_counts() -> None:
    """It makes one attempt."""
    policy = breaking()
    with pytest.raises(ZeroDivisionError):
        for attempt in policy.attempts():
            with attempt:
                raise ZeroDivisionError
    assert policy.snapshot().consecutive_failures == 1


@pytest.mark.parametrize(
    "policy", [ResultCachePolicy(60), FallbackPolicy(value=1), HedgingPolicy(delay=1.0)], ids=name_of
)
def test_a_policy_that_replaces_results_has_no_loop(policy: Any) -> None:
    """Alone, as in a pipeline."""
    for guard in (policy, ResiliencePipeline(policy)):
        with pytest.raises(ConfigurationError, match=f"{name_of(policy)} cannot guard the block of a loop"):
            guard.attempts()


@pytest.mark.parametrize(
    "policy",
    [ResultCachePolicy(60), FallbackPolicy(value=1), HedgingPolicy(delay=1.0), RetryPolicy()],
    ids=name_of,
)
def test_a_policy_that_repeats_or_replaces_guards_no_block(policy: Any) -> None:
    """A `with` block runs once, and has no result."""
    with pytest.raises(ConfigurationError, match=name_of(policy)), ResiliencePipeline(policy):
        raise AssertionError("entered")


def test_a_key_that_does_not_take_the_arguments_is_named() -> None:
    """Of a call, of a block, which has none, and of `snapshot()` without those of a call."""
    limit = RateLimitPolicy(5, key=lambda tenant: tenant)
    cache = ResultCachePolicy(60, key=lambda tenant: tenant)
    words = "key must be a function of the arguments of the guarded function"
    for policy in (limit, cache):
        with pytest.raises(ConfigurationError, match=words):
            policy.call(lambda tenant, number: number, "a", 1)
    with pytest.raises(ConfigurationError, match=words), limit:
        pass
    with pytest.raises(ConfigurationError, match=words):
        limit.snapshot()


def test_a_type_error_inside_a_key_is_its_own() -> None:
    """It is not blamed on the arguments."""
    limit = RateLimitPolicy(5, key=lambda tenant: tenant + 1)
    with pytest.raises(TypeError, match="str"):
        limit.call(lambda tenant: tenant, "a")


def test_a_fallback_whose_value_is_a_function_is_refused() -> None:
    """Its callers would get the function."""
    with pytest.raises(ConfigurationError, match=r"value is <function .*; pass it as function="):
        FallbackPolicy(value=lambda error: 1)


def test_a_fallback_s_function_without_a_parameter_is_refused() -> None:
    """Before the first failure, whose error its own would hide."""
    with pytest.raises(ConfigurationError, match=r"function must take the error, .* takes no arguments"):
        FallbackPolicy(function=lambda: 1)
    FallbackPolicy(function=dict)
    FallbackPolicy(function=lambda *args: 1)


def test_a_collector_in_the_place_of_its_method_is_refused() -> None:
    """The error names the method."""
    with pytest.raises(ConfigurationError, match=r"on_event must be a function, .*; pass its collect$"):
        ResiliencePipeline(RetryPolicy(), on_event=MetricsCollector())  # type: ignore[arg-type]


def test_a_policy_in_a_registry_of_pipelines_has_a_remedy() -> None:
    """It has no name to be found by."""
    with pytest.raises(ConfigurationError, match=r"write ResiliencePipeline\(policy, name=…\)$"):
        PipelineRegistry().add(RetryPolicy())  # type: ignore[arg-type]


def test_a_clock_in_the_place_of_its_function_is_refused() -> None:
    """A circuit breaker and a deadline take monotonic seconds alone."""
    clock: Any = VirtualClock()
    for takes_a_function in (CircuitBreakerPolicy, partial(deadline, 5.0)):
        with pytest.raises(ConfigurationError, match=r"clock must be a function, .*; pass its monotonic$"):
            takes_a_function(clock=clock)
        with pytest.raises(ConfigurationError, match=r"clock must be a function, not 5$"):
            takes_a_function(clock=5)


TAKES_A_CLOCK = [
    (partial(RateLimitPolicy, 5), "a clock such as SystemClock()"),
    (partial(BulkheadPolicy, 5), "a clock such as SystemClock()"),
    (RetryPolicy, "a clock such as SystemClock()"),
    (partial(ResiliencePipeline, RetryPolicy()), "a clock such as SystemClock() or None"),
]


@each_row(("make", "wanted"), TAKES_A_CLOCK)
@each_row(
    ("given", "fault"),
    [
        (VirtualClock, "not VirtualClock; write VirtualClock(…)"),
        (VirtualClock().monotonic, "not {}; pass the clock itself"),
        (time.monotonic, "not <built-in function monotonic>"),
        (5, "not 5"),
    ],
)
def test_the_class_or_the_function_of_a_clock_is_refused(
    make: Callable[..., Any], wanted: str, given: Any, fault: str
) -> None:
    """When the policy is made, and not by its first call."""
    with pytest.raises(ConfigurationError) as raised:
        make(clock=given)
    assert str(raised.value) == f"clock must be {wanted}, {fault.format(given)}"


@pytest.mark.parametrize("make", [partial(RateLimitPolicy, 5), RetryPolicy])
def test_a_policy_that_waits_needs_a_clock(make: Callable[..., Any]) -> None:
    """A pipeline may go by that of its policies."""
    with pytest.raises(
        ConfigurationError, match=r"^clock must be a clock such as SystemClock\(\), not None$"
    ):
        make(clock=None)
    assert ResiliencePipeline(RetryPolicy(), clock=None)


@pytest.mark.parametrize("inner", [5.0, 10.0])
def test_a_timeout_that_never_expires_is_a_warning(inner: float) -> None:
    """All that it stands around ends with the outer one."""
    with pytest.warns(
        UserWarning, match=rf"TimeoutPolicy\({inner:g}\) inside TimeoutPolicy\(5\) never expires"
    ) as got:
        ResiliencePipeline(TimeoutPolicy(5.0), RetryPolicy(), TimeoutPolicy(inner))
    assert got[0].filename == __file__


def test_a_shorter_timeout_inside_is_quiet() -> None:
    """It bounds each attempt."""
    conditions = [RetryCondition.on_timeout()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ResiliencePipeline(
            TimeoutPolicy(5.0), RetryPolicy(3, ConstantBackoff(0.1), conditions), TimeoutPolicy(4.9)
        )


def test_a_policy_shows_the_settings_that_are_its_own() -> None:
    """In errors and in a debugger: numbers and texts; of data and functions the names alone."""
    assert repr(RateLimitPolicy(5, burst=2, name="partner")) == "<RateLimitPolicy 'partner' rate=5 burst=2>"
    assert repr(TimeoutPolicy(2.0)) == "<TimeoutPolicy seconds=2.0>"
    assert repr(BulkheadPolicy(3)) == "<BulkheadPolicy max_concurrent=3>"
    shown = repr(FallbackPolicy(value="a secret", failures=[503], key=lambda sku: sku))
    assert shown == "<FallbackPolicy value=… failures=… key=…>"


def test_policies_by_name_are_refused_and_so_are_settings_of_a_pipeline() -> None:
    """A pipeline takes policies in their order, and each policy its settings."""
    with pytest.raises(TypeError, match="takes no keyword 'retry'; policies are passed by position"):
        ResiliencePipeline(retry=RetryPolicy())  # type: ignore[call-arg]
    pipeline = ResiliencePipeline(RateLimitPolicy(5))
    with pytest.raises(
        TypeError, match=r"it exchanges policies; for a setting write policy\.reconfigure\(rate=…\)$"
    ):
        pipeline.reconfigure(rate=4)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [RetryPolicy, CircuitBreakerPolicy, TimeoutPolicy, ResiliencePipeline])
def test_a_class_that_is_applied_has_a_remedy(kind: Any) -> None:
    """`@RetryPolicy.apply` has no policy; Python's own error is about an argument that nobody would write."""
    with pytest.raises(
        TypeError, match=re.escape("write @policy.apply above the function; not @RetryPolicy.apply")
    ):

        @kind.apply
        def fetch() -> None:
            """Never guarded."""


@pytest.mark.parametrize("make", POLICIES)
def test_parentheses_after_apply_have_a_remedy(make: Callable[[], Any]) -> None:
    """Many decorators are written with them."""
    with pytest.raises(TypeError, match=re.escape("not @policy.apply()")):
        make().apply()
    assert make().apply(function=abs)(-2) == 2
