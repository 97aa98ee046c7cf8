"""Configurations for common cases, each with a reason for each number: ``HttpServiceClient(presets.gentle())``.

    preset         for                                              what it gives up
    standard()     calls that somebody waits for                    an attempt that takes longer than 8 s
    gentle()       a service that is weak, shared or not yours      calls that a retry would have saved
    aggressive()   reads that must succeed, of a service that can   load: up to half as many requests again
                   bear more of them
    llm()          model APIs: responses that take minutes, and     an early end of a call that hangs
                   many 429s
    batch()        one process that nobody waits for                load on a service that is down

Each takes changes: ``presets.llm(base_url=…, max_connections_per_host=50)``. A change replaces the preset's setting as a
whole. `pipeline` has the same for functions. docs/presets.md has what each does in simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from .client.config.client_config import SHARED, HttpClientConfig
from .client.config.pool import ConnectionPoolConfig, is_default
from .core.checks import did_you_mean
from .core.machines.retry.backoff import ExponentialBackoff
from .core.machines.retry.conditions import RetryCondition
from .core.machines.retry.quota import RetryQuotaSettings
from .drivers.clocks import Clock
from .errors import ConfigurationError
from .events import Event
from .policies.adaptive_limit import AdaptiveLimitPolicy
from .policies.circuit_breaker import CircuitBreakerPolicy
from .policies.pipeline import ResiliencePipeline
from .policies.rate_limit import RateLimitPolicy
from .policies.retry import RetryPolicy
from .policies.strategy import Strategy
from .policies.timeout import TimeoutPolicy

__all__ = ["aggressive", "batch", "gentle", "llm", "pipeline", "standard"]


def standard(**changes: Any) -> HttpClientConfig:
    """The defaults, within the time that a person waits.

    The defaults are proven to be no worse than no client at any share of failures, so they stay: 3 attempts, a budget for
    retries, a circuit for a service that is down, the throttle gate.

    base_timeout=8: an attempt that takes longer has failed, for somebody who waits.
    total_timeout=30: three attempts and the waits between them, 3 s at most, fit; many gateways give up after that.

    changes: fields of `HttpClientConfig`, in place of these. Raises what it raises.
    """
    return _made({"base_timeout": 8.0, "total_timeout": 30.0}, changes)


def gentle(**changes: Any) -> HttpClientConfig:
    """For a service that is weak, shared or not yours: when it fails, it gets hardly more requests than calls are made.

    max_attempts=2, initial_delay=2: one retry, a second later on average, when a short hitch is over.
    retry quota of 1, and 0.05 for each success: a retry of 20 calls in the long run, so that an outage costs the service next to
        nothing. A retry that succeeds is free, as always.
    adaptive limit: as many requests in progress as the service does without a queue, found by its latency. When it
        slows down, calls are refused here, and not queued there. A fixed number would be wrong for some service.
    base_timeout=10, total_timeout=30: two attempts fit, and a service that is slow gets a little more time.

    changes: fields of `HttpClientConfig`, in place of these. Raises what it raises.
    """
    return _made(
        {
            "base_timeout": 10.0,
            "total_timeout": 30.0,
            "retry_policy_config": RetryPolicy(
                max_attempts=2, backoff_strategy=ExponentialBackoff(initial_delay=2.0, max_delay=10.0)
            ),
            "retry_budget_config": RetryQuotaSettings(capacity=1.0, earned=0.05),
            "adaptive_limit": AdaptiveLimitPolicy(),
        },
        changes,
    )


def aggressive(**changes: Any) -> HttpClientConfig:
    """For calls that must succeed, of a service that can bear more requests.

    max_attempts=6: with 30 % of the attempts failing by chance, 1 call in 1,400 fails.
    initial_delay=0.1, max_delay=2: failures by chance are over at once, so waiting for them is waste.
    retry quota of 50, and 1 for each success: it pays for a retry of each call, while half of the attempts succeed. In an
        outage it is spent after 50 retries.
    hedging after the quantile 0.95, for at most 10 % of the calls: a slow response is beaten by a second request.
    base_timeout=4, total_timeout=30: an attempt that hangs leaves time for five others and all waits.

    Requests are repeated and hedged only if that is safe, as always.

    changes: fields of `HttpClientConfig`, in place of these. Raises what it raises.
    """
    return _made(
        {
            "base_timeout": 4.0,
            "total_timeout": 30.0,
            "retry_policy_config": RetryPolicy(
                max_attempts=6, backoff_strategy=ExponentialBackoff(initial_delay=0.1, max_delay=2.0)
            ),
            "retry_budget_config": RetryQuotaSettings(capacity=50.0, earned=1.0),
            "hedging": {"quantile": 0.95, "max_share": 0.1},
        },
        changes,
    )


def llm(**changes: Any) -> HttpClientConfig:
    """For model APIs: long responses, streams, and services that limit the rate.

    base_timeout=600: a long completion takes minutes. Of a stream, it bounds the wait for each piece: pass
        ``timeout=Timeout(total=600, first_byte=60, between=20)`` with the call to notice a stall sooner.
    auto_idempotency_key=True: a completion is a POST, and repeating it under one key does no harm.
    max_attempts=5, initial_delay=1, max_delay=30: an overloaded model is back after seconds, not milliseconds.
    rate_limit adaptive, by the response headers and by 429s: calls wait here for their turn, in order, at most 120 s, and do
        not come back to be refused once more.
    trial_lease=660: the trial of an open circuit may take as long as any attempt.
    max_connections_per_host=200: at 10 s a response, 20 would be two calls a second.
    max_response_size=64 MiB: images and audio in JSON are larger than 10 MiB.

    A pause that the service asks for holds for all calls, by the throttle gate. No total_timeout: set one, or a `deadline`,
    where somebody waits.

    changes: fields of `HttpClientConfig`, in place of these. Raises what it raises.
    """
    return _made(
        {
            "base_timeout": 600.0,
            "auto_idempotency_key": True,
            "max_connections": 400,
            "max_connections_per_host": 200,
            "max_response_size": 64 * 1024 * 1024,
            "retry_policy_config": RetryPolicy(
                max_attempts=5, backoff_strategy=ExponentialBackoff(initial_delay=1.0, max_delay=30.0)
            ),
            "circuit_breaker_config": {"trial_lease": 660.0},
            "rate_limit": RateLimitPolicy(follow_headers=True, adaptive="aimd", max_wait=120.0),
        },
        changes,
    )


def batch(**changes: Any) -> HttpClientConfig:
    """For one process that nobody waits for, such as a nightly job: it outlasts an outage of a minute.

    max_attempts=8, initial_delay=2, max_delay=60, jitter="equal": the waits are 91 s at least, and 136 s on average.
    base_timeout=60, total_timeout=900: a slow response is still a response; eight attempts and all waits fit.
    no retry budget, no circuit: they would end the calls of an outage that these waits are made to outlast. Thousands of such
        processes would be a retry storm: for many, take `standard`.

    changes: fields of `HttpClientConfig`, in place of these. Raises what it raises.
    """
    return _made(
        {
            "base_timeout": 60.0,
            "total_timeout": 900.0,
            "retry_policy_config": RetryPolicy(max_attempts=8, backoff_strategy=_PATIENT),
            "enable_retry_budget": False,
            "enable_circuit_breaker": False,
        },
        changes,
    )


_PATIENT = ExponentialBackoff(initial_delay=2.0, max_delay=60.0, jitter="equal")


def pipeline(
    preset: Literal["standard", "gentle", "aggressive", "batch"],
    *,
    name: str = "",
    retry_on: Iterable[type[BaseException]] | None = None,
    clock: Clock | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> ResiliencePipeline:
    """The policies of a preset around functions: ``presets.pipeline("gentle", name="stock", retry_on=[OSError])``.

    preset: "standard", "gentle", "aggressive" or "batch", with the same numbers as the configuration of that name. The time
        of a plain function cannot be cut: see `TimeoutPolicy`.
    retry_on: exceptions of the function that are worth a retry, beside those of HTTP; None for those alone.
    name, clock, on_event: as for `ResiliencePipeline`.

    Each call makes new policies, with circuits and permits of their own: keep the pipeline.

    Raises ConfigurationError for an unknown preset or a wrong argument.
    """
    make = _PIPELINES.get(preset) if isinstance(preset, str) else None
    if make is None:
        known = ", ".join(repr(each) for each in _PIPELINES)
        remedy = did_you_mean(preset, _PIPELINES) or "write one of these as text"
        if str(preset) == "llm":
            remedy = "llm() is for clients alone, since it is about streams"
        raise ConfigurationError(f"preset must be one of {known}, not {preset!r}; {remedy}")
    conditions = None
    if isinstance(retry_on, type):
        raise ConfigurationError(
            f"retry_on must be a list of exception classes, not {retry_on.__name__}; write [{retry_on.__name__}] for one"
        )
    if retry_on is not None:
        conditions = [*RetryCondition.defaults(), RetryCondition.on_exceptions(list(retry_on))]
    own: dict[str, Any] = {} if clock is None else {"clock": clock}
    strategies = make(conditions, own)
    return ResiliencePipeline(*strategies, name=name, clock=clock, on_event=on_event)


def _standard(conditions: Any, own: dict[str, Any]) -> list[Strategy]:
    return [
        TimeoutPolicy(30.0, **own),
        RetryPolicy(retry_conditions=conditions, **own),
        _breaker(own),
        TimeoutPolicy(8.0, **own),
    ]


def _gentle(conditions: Any, own: dict[str, Any]) -> list[Strategy]:
    backoff = ExponentialBackoff(initial_delay=2.0, max_delay=10.0)
    budget = RetryQuotaSettings(capacity=1.0, earned=0.05)
    return [
        TimeoutPolicy(30.0, **own),
        RetryPolicy(2, backoff, conditions, budget=budget, **own),
        _breaker(own),
        AdaptiveLimitPolicy(**own),
        TimeoutPolicy(10.0, **own),
    ]


def _aggressive(conditions: Any, own: dict[str, Any]) -> list[Strategy]:
    backoff = ExponentialBackoff(initial_delay=0.1, max_delay=2.0)
    budget = RetryQuotaSettings(capacity=50.0, earned=1.0)
    return [
        TimeoutPolicy(30.0, **own),
        RetryPolicy(6, backoff, conditions, budget=budget, **own),
        _breaker(own),
        TimeoutPolicy(4.0, **own),
    ]


def _batch(conditions: Any, own: dict[str, Any]) -> list[Strategy]:
    return [
        TimeoutPolicy(900.0, **own),
        RetryPolicy(8, _PATIENT, conditions, budget=None, **own),
        TimeoutPolicy(60.0, **own),
    ]


def _breaker(own: dict[str, Any]) -> CircuitBreakerPolicy:
    return (
        CircuitBreakerPolicy() if "clock" not in own else CircuitBreakerPolicy(clock=own["clock"].monotonic)
    )


_PIPELINES: dict[str, Callable[[Any, dict[str, Any]], list[Strategy]]] = {
    "standard": _standard,
    "gentle": _gentle,
    "aggressive": _aggressive,
    "batch": _batch,
}


def _made(preset: Mapping[str, Any], changes: Mapping[str, Any]) -> HttpClientConfig:
    """The configuration. What a `connection_pool` in the changes sets replaces the preset's setting of the same meaning."""
    settings = dict(preset)
    pool = changes.get("connection_pool")
    if isinstance(pool, ConnectionPoolConfig):
        for name, name_there in SHARED.items():
            if name in settings and not is_default(getattr(pool, name_there)):
                del settings[name]
    return HttpClientConfig(**{**settings, **changes})
