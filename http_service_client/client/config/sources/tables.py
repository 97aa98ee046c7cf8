"""The tables that a configuration is made of: which keys each has, and what checks its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ....core.checks import keyword_remedy
from ....core.machines.hedging import HedgingSettings
from ....core.machines.retry.backoff import ExponentialBackoff
from ....core.machines.retry.budget import RetryBudgetSettings
from ....core.machines.retry.quota import RetryQuotaSettings
from ....http.egress import EgressPolicy
from ....http.fields.propagation import Propagation
from ....policies.adaptive_limit import AdaptiveLimitPolicy
from ....policies.bulkhead import BulkheadPolicy
from ....policies.chaos import ChaosPolicy
from ....policies.circuit_breaker import CircuitBreakerPolicy
from ....policies.deadline_check import DeadlineCheckPolicy
from ....policies.fallback import FallbackPolicy
from ....policies.load_shedding import LoadSheddingPolicy
from ....policies.rate_limit import RateLimitPolicy
from ....policies.retry import RetryPolicy
from ...routes import RouteOptions, parse_route_options
from ..pool import ConnectionPoolConfig
from ..resolved import (
    known_arguments,
    parse_adaptive_limit,
    parse_bulkhead,
    parse_chaos,
    parse_circuit_breaker,
    parse_deadline_check,
    parse_fallback,
    parse_hedging,
    parse_load_shedding,
    parse_propagation,
    parse_rate_limit,
    parse_retry_budget,
    parse_retry_policy,
)
from .values import annotations_of

__all__ = ["Table", "table_of"]


class Table(NamedTuple):
    """One table of a file, or the settings of one prefix.

    takers: the classes whose keywords are its keys.   tables: those within it, by their keys.
    make: checks the values, and returns what the configuration takes for them.
    """

    takers: tuple[Any, ...]
    make: Callable[[dict[str, Any]], Any]
    tables: Mapping[str, Table] = {}

    @property
    def annotations(self) -> dict[str, Any]:
        """The type of each key."""
        types = {name: hint for taker in self.takers for name, hint in annotations_of(taker).items()}
        return {name: types[name] for name in known_arguments(*self.takers)}

    def remedy(self, key: object) -> str:
        """What to write instead of an unknown key."""
        known = known_arguments(*self.takers)
        return keyword_remedy(key, known, *self.takers) or f"known are: {', '.join(known)}"


def table_of(kind: type) -> Table:
    """The settings of a configuration.   kind: its class."""
    return Table((kind,), lambda values: kind(**values), _TABLES)


def _checked(parse: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that checks values, and returns them as they are: a configuration shows what was set."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        parse(values)
        return values

    return check


class _Routes(Table):
    """A table whose keys are routes, and each value a table of settings."""

    @property
    def annotations(self) -> dict[str, Any]:
        """The type of each key, which may be any route."""
        return _AnyKey(Mapping[str, Any])


class _AnyKey(dict[str, Any]):
    """One value for all keys."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str)

    def __missing__(self, key: str) -> Any:
        return self._value


_ROUTE = Table(
    (RouteOptions,),
    _checked(parse_route_options),
    {
        "retry_policy": Table((RetryPolicy, ExponentialBackoff), _checked(parse_retry_policy)),
        "circuit_breaker": Table((CircuitBreakerPolicy,), _checked(parse_circuit_breaker)),
        "fallback": Table((FallbackPolicy,), _checked(parse_fallback)),
        "hedging": Table((HedgingSettings,), _checked(parse_hedging)),
    },
)

_TABLES = {
    "connection_pool": Table((ConnectionPoolConfig,), lambda values: ConnectionPoolConfig(**values)),
    "egress_policy": Table((EgressPolicy,), lambda values: EgressPolicy(**values)),
    "circuit_breaker_config": Table(
        (CircuitBreakerPolicy,),
        _checked(parse_circuit_breaker),
        {"shadow": Table((CircuitBreakerPolicy,), parse_circuit_breaker)},
    ),
    "retry_policy_config": Table((RetryPolicy, ExponentialBackoff), _checked(parse_retry_policy)),
    "retry_budget_config": Table((RetryQuotaSettings, RetryBudgetSettings), _checked(parse_retry_budget)),
    "fallback": Table((FallbackPolicy,), _checked(parse_fallback)),
    "bulkhead": Table((BulkheadPolicy,), _checked(parse_bulkhead)),
    "deadline_check": Table((DeadlineCheckPolicy,), _checked(parse_deadline_check)),
    "rate_limit": Table((RateLimitPolicy,), _checked(parse_rate_limit)),
    "hedging": Table((HedgingSettings,), _checked(parse_hedging)),
    "adaptive_limit": Table((AdaptiveLimitPolicy,), _checked(parse_adaptive_limit)),
    "load_shedding": Table((LoadSheddingPolicy,), _checked(parse_load_shedding)),
    "propagation": Table((Propagation,), _checked(parse_propagation)),
    "chaos": Table((ChaosPolicy,), _checked(parse_chaos)),
    "routes": _Routes((), dict, _AnyKey(_ROUTE)),
}
