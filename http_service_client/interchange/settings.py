"""The settings of a configuration by name: as an export says them, and as an import finds them.

The names are those of `HttpClientConfig` and of its records, such as ``retry_policy_config.max_attempts``. The conditions of a
retry are two names, since that is what other systems know:

    retry_policy_config.statuses            the statuses that are repeated, as a sorted tuple
    retry_policy_config.lost_connections    "all" that end without a response, "unsent" for those without a connection, or "none"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..client.config.client_config import HttpClientConfig
from ..core.machines.circuit_breaker.states import CircuitBreakerSettings
from ..core.machines.retry.backoff import ExponentialBackoff
from ..core.machines.retry.conditions import DEFAULT_CONDITIONS, RetryCondition
from ..errors import ConfigurationError, ConnectError, ConnectTimeoutError
from ..http.urls import redact_url
from ..policies.retry import RetryPolicy
from .notes import Export, Import, Note
from .reader import shown

__all__ = ["BUDGET", "CIRCUIT", "RETRY", "Exporting", "Importing", "settings_of"]

RETRY, BUDGET, CIRCUIT = "retry_policy_config.", "retry_budget_config.", "circuit_breaker_config."

_ALL_LOST = DEFAULT_CONDITIONS[0]
_UNSENT = RetryCondition.on_exceptions([ConnectError, ConnectTimeoutError])
# Found by their parts, or without effect where there are no retries.
_READ_ELSEWHERE = frozenset(
    {
        *("circuit_breaker_config", "retry_policy_config", "retry_budget_config", "connection_pool"),
        *("bulkhead", "hedging", "enable_retry_budget"),
    }
)
_SECRET = frozenset({"auth", "default_headers", "proxy", "netrc"})


def settings_of(config: HttpClientConfig) -> dict[str, Any]:
    """What is in effect and concerns resilience, and each other setting that is not at its default."""
    pool = config.pool
    found: dict[str, Any] = {
        "total_timeout": config.total_timeout,
        "base_timeout": config.timeout.total,
        "connection_timeout": pool.connection_timeout,
        "max_connections": pool.max_connections,
        "max_connections_per_host": pool.max_connections_per_host,
    }
    if config.retry is not None:
        found |= {RETRY + name: value for name, value in _of_retry(config.retry).items()}
        if config.budget is None:
            found["enable_retry_budget"] = False
        else:
            found |= {BUDGET + item.name: getattr(config.budget, item.name) for item in fields(config.budget)}
    circuit = config.resolved.circuit_breaker
    if circuit is not None:
        found |= {CIRCUIT + name: value for name, value in _of_circuit(circuit).items()}
    found["enable_throttle_gate"] = config.enable_throttle_gate
    if config.hedging is not None:
        found |= _of_record("hedging", config.hedging, ("max_hedges",))
    if config.bulkhead is not None:
        found |= _of_record("bulkhead", config.bulkhead)
    for item in fields(config):
        value = getattr(config, item.name)
        default = {} if item.default is MISSING else item.default
        if item.name not in _READ_ELSEWHERE and value != default:
            found[item.name] = _redacted(item.name, value)
    for item in fields(pool):
        if item.name not in _OF_POOL and getattr(pool, item.name) != item.default:
            found[f"connection_pool.{item.name}"] = (
                "***" if "password" in item.name else getattr(pool, item.name)
            )
    return found


_OF_POOL = frozenset({"max_connections", "max_connections_per_host", "connection_timeout", "request_timeout"})


def _of_record(name: str, record: Any, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a record that have no default or are not at it, and some in any case."""
    return {
        f"{name}.{item.name}": getattr(record, item.name)
        for item in fields(record)
        if item.name in always
        or getattr(record, item.name)
        != (item.default_factory() if item.default_factory is not MISSING else item.default)
    }


def _redacted(name: str, value: Any) -> Any:
    if name in _SECRET:
        return "***"
    if name == "base_url":
        return redact_url(value)
    return tuple(map(redact_url, value)) if name == "alternate_urls" else value


def _of_retry(policy: RetryPolicy) -> dict[str, Any]:
    found: dict[str, Any] = {"max_attempts": policy.max_attempts}
    backoff = policy.backoff_strategy
    if isinstance(backoff, ExponentialBackoff):
        for name in ("initial_delay", "max_delay", "backoff_factor"):
            found[name] = float(getattr(backoff, name))
        found["jitter"] = str(getattr(backoff.jitter, "value", backoff.jitter))
    else:
        found["backoff_strategy"] = backoff
    statuses: set[int] = set()
    lost, others = "none", []
    for condition in policy.retry_conditions or ():
        if condition in (_ALL_LOST, _UNSENT):
            lost = "all" if condition == _ALL_LOST or lost == "all" else "unsent"
        elif condition == RetryCondition.on_status_codes(condition.statuses):
            statuses |= condition.statuses
        else:
            others.append(condition)
    found |= {"lost_connections": lost, "statuses": tuple(sorted(statuses))}
    if others:
        found["retry_conditions"] = others
    if policy.nested:
        found["nested"] = True
    if policy.throttled_backoff is not None:
        found["throttled_backoff"] = policy.throttled_backoff
    return found


def _of_circuit(settings: CircuitBreakerSettings) -> dict[str, Any]:
    """Those by which it opens and closes, and others that are not at their defaults."""
    hidden: set[str] = set()
    if settings.failure_rate is None and settings.slow_call_rate is None:
        hidden |= {"window", "minimum_calls"}
    if settings.recovery_multiplier == 1:
        hidden |= {"recovery_multiplier", "max_recovery_timeout"}
    if settings.trial_count == settings.success_threshold:
        hidden.add("trial_count")
    if not settings.failure_duration:
        hidden.add("failure_duration")
    if not settings.ramp:
        hidden.add("ramp_step")
    shown_always = {"window", "minimum_calls"}
    return {
        item.name: getattr(settings, item.name)
        for item in fields(settings)
        if item.name not in hidden
        and (item.name in shown_always or getattr(settings, item.name) != item.default)
    }


class Exporting:
    """An export on its way. Every setting is said, or has a note.   said: those that are."""

    def __init__(self, config: HttpClientConfig) -> None:
        self._left = settings_of(config)
        self._notes: list[Note] = []
        self.said: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting, said or not yet."""
        return self._left.get(name, default)

    def say(self, name: str, value: Any = ...) -> Any:
        """The document says the setting, unless it is None: no limit is said by leaving it out.

        value: another one that it says in its place; then add a note.
        """
        given = self._left.pop(name, None)
        said = given if value is ... else value
        if said is not None:
            self.said[name] = said
        return said

    def note(self, name: str, why: str, value: object = ...) -> None:
        """The document does not say a setting, or not exactly."""
        given = self._left.pop(name, None) if value is ... else value
        self._notes.append(Note(name, "" if given == "" else shown(given), why))

    def leave_out(self, *names: str) -> None:
        """Settings that mean nothing beside the others."""
        for name in names:
            self._left.pop(name, None)

    def finish(self, document: dict[str, Any], reasons: Mapping[str, str]) -> Export:
        """reasons: why the settings that begin so cannot be said."""
        for name in list(self._left):
            prefix = max((each for each in reasons if name.startswith(each)), key=len, default=None)
            value = self._left[name]
            if value is None or (name == "enable_throttle_gate" and not value):
                continue  # no limit needs no word
            self.note(name, _CLIENT if prefix is None else reasons[prefix])
        return Export(document, tuple(self._notes), self.said)


_CLIENT = "the client keeps it; it has no equal there"


class Importing:
    """An import on its way: the settings that were found, by name."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.notes: list[Note] = []

    def set(self, name: str, value: Any) -> None:
        """A setting that the document has; None for one that it does not."""
        if value is not None:
            self.found[name] = value

    def finish(self, notes: list[Note]) -> Import:
        """The configuration. Raises ConfigurationError for a document whose values cannot be."""
        settings: dict[str, Any] = {}
        conditions: dict[str, Any] = {}
        for name, value in self.found.items():
            group, _, own = name.rpartition(".")
            if name in (RETRY + "statuses", RETRY + "lost_connections"):
                conditions[own] = value
            elif group:
                settings.setdefault(group, {})[own] = value
            else:
                settings[name] = value
        if conditions:
            listed = {"all": [_ALL_LOST], "unsent": [_UNSENT], "none": []}[conditions["lost_connections"]]
            if conditions["statuses"]:
                listed.append(RetryCondition.on_status_codes(conditions["statuses"]))
            settings.setdefault(RETRY[:-1], {})["retry_conditions"] = listed
        try:
            config = HttpClientConfig(**settings)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the document has settings that this client cannot have: {error}"
            ) from None
        return Import(config, tuple(self.notes + notes), self.found)
