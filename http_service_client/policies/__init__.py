"""Policies: for a client, for one call, and around any function. Also what they are made of: backoffs, conditions."""

from ..core.machines.backoff import (
    BackoffStrategy,
    ConstantBackoff,
    DecorrelatedBackoff,
    ExponentialBackoff,
    FibonacciBackoff,
    Jitter,
    LinearBackoff,
)
from ..core.machines.circuit_states import CircuitBreakerSnapshot, CircuitBreakerState, StateChange
from ..core.machines.retry_budget import RetryBudgetSettings
from ..core.machines.retry_conditions import RetryCondition
from .circuit_breaker import CircuitBreakerPolicy
from .retry import RetryPolicy

__all__ = [
    "BackoffStrategy",
    "CircuitBreakerPolicy",
    "CircuitBreakerSnapshot",
    "CircuitBreakerState",
    "ConstantBackoff",
    "DecorrelatedBackoff",
    "ExponentialBackoff",
    "FibonacciBackoff",
    "Jitter",
    "LinearBackoff",
    "RetryBudgetSettings",
    "RetryCondition",
    "RetryPolicy",
    "StateChange",
]
