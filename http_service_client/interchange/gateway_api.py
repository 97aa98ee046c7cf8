"""The Gateway API of Kubernetes: timeouts and retries of an HTTPRoute's rule, and the retry budget of a backend.

Sources: HTTPRouteRetry and HTTPRouteTimeouts (GEP-1731, GEP-1742), XBackendTrafficPolicy with its retryConstraint (GEP-3388), and
GEP-2257 for durations.

What is not the same:

    backoff      the least wait between attempts; how it grows is the implementation's
    retries      a lost connection is retried by the implementation, as it sees fit, and a POST as well
    budget       a share of the requests of an interval, as here; its percentage is a whole number
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ..errors import ConfigurationError
from .durations import gateway_text, parse_gateway
from .notes import Export, Import
from .reader import Reader, shown
from .settings import BUDGET, RETRY, Exporting, Importing

__all__ = ["from_gateway_api", "to_gateway_api"]

_DEEPEST = 3
_ROUTE, _POLICY = "HTTPRoute", "XBackendTrafficPolicy"
_WHY_NOT = {
    "connection_timeout": "it is a matter of the implementation",
    "max_connections": "it is a matter of the implementation",
    RETRY: "a rule of an HTTPRoute has attempts, codes and the least wait, and nothing else",
    BUDGET: "its budget is a share of the requests; it has no tokens that successes earn",
    "circuit_breaker_config.": "the Gateway API has no circuit breaker",
    "hedging.": "the Gateway API has no hedging",
    "bulkhead.": "the Gateway API has no bulkhead",
    "enable_throttle_gate": "how Retry-After is heeded is the implementation's",
}


def to_gateway_api(settings: Exporting) -> Export:
    """The specs by kind: `HTTPRoute` with one rule, and `XBackendTrafficPolicy`."""
    rule: dict[str, Any] = {}
    timeouts: dict[str, str] = {}
    total, limit = (
        None if settings.get(name) is None else _in_milliseconds(settings, name)
        for name in ("total_timeout", "base_timeout")
    )
    if total is not None:
        timeouts["request"] = gateway_text(total)
    if limit is not None and total is not None and limit > total:
        settings.note("base_timeout", "backendRequest may not be above request", limit)
        limit = settings.say("base_timeout", total)
    if limit is not None:
        timeouts["backendRequest"] = gateway_text(limit)
    if timeouts:
        rule["timeouts"] = timeouts
    document: dict[str, Any] = {_ROUTE: {"rules": [rule]}}
    if settings.get("enable_retry_policy", True):
        rule["retry"] = _retry(settings)
        if settings.get(BUDGET + "ratio") is not None:
            document[_POLICY] = {"retryConstraint": _constraint(settings)}
    else:
        settings.say("enable_retry_policy")
    return settings.finish(document, _WHY_NOT)


def _in_milliseconds(settings: Exporting, name: str) -> float:
    """A duration as it can be said; "0s" would be no limit."""
    seconds = settings.get(name)
    whole = max(0.001, round(seconds, 3))
    if whole != seconds:
        settings.note(name, "durations are whole milliseconds", seconds)
    return float(settings.say(name, whole))


def _retry(settings: Exporting) -> dict[str, Any]:
    statuses = settings.get(RETRY + "statuses")
    sayable = [status for status in statuses if status >= 400]
    for status in statuses:
        if status not in sayable:
            settings.note(f"{RETRY}statuses[{status}]", "codes are from 400 to 599", status)
    settings.say(RETRY + "statuses", tuple(sayable))
    if settings.get(RETRY + "lost_connections") == "all":
        settings.say(RETRY + "lost_connections")
    settings.note("idempotent", "a POST is repeated like any other request there", "")
    retry: dict[str, Any] = {"attempts": settings.say(RETRY + "max_attempts") - 1}
    if sayable:
        retry["codes"] = sayable
    if settings.get(RETRY + "initial_delay"):
        retry["backoff"] = gateway_text(_in_milliseconds(settings, RETRY + "initial_delay"))
    return retry


def _constraint(settings: Exporting) -> dict[str, Any]:
    ratio = settings.get(BUDGET + "ratio")
    percent = min(100, round(ratio * 100))
    if percent / 100 != ratio:
        settings.note(BUDGET + "ratio", "it is a whole percentage, at most 100", ratio)
    settings.say(BUDGET + "ratio", percent / 100)
    interval = _in_milliseconds(settings, BUDGET + "window")
    constraint: dict[str, Any] = {"budget": {"percent": percent, "interval": gateway_text(interval)}}
    least = settings.get(BUDGET + "min_per_second")
    rate = Fraction(least).limit_denominator(3600)
    if rate.numerator < 1 or rate.numerator > 1_000_000:
        settings.note(
            BUDGET + "min_per_second",
            "a rate is from one an hour to a million a second; by default it is 10 a second",
        )
    else:
        if float(rate) != least:
            settings.note(BUDGET + "min_per_second", "a rate is a count in whole seconds there", least)
        settings.say(BUDGET + "min_per_second", float(rate))
        constraint["minRetryRate"] = {"count": rate.numerator, "interval": gateway_text(rate.denominator)}
    return constraint


def from_gateway_api(document: object, *, rule: int = 0) -> Import:
    """A configuration with the settings of resources of the Gateway API.

    document: an HTTPRoute, an XBackendTrafficPolicy, a list of both, or their specs by kind, as an export has them.
    rule: which rule of the HTTPRoute is read, from 0.
    Raises ConfigurationError that names the part of the document that cannot be read.
    """
    reader = Reader(_specs(document), "", str)
    found = Importing()
    route = reader.child(_ROUTE)
    if route is not None:
        rules = route.children("rules")
        if not 0 <= rule < len(rules):
            raise ConfigurationError(
                f"rule must be one of the {len(rules)} rules of the HTTPRoute, from 0, not {rule!r}"
            )
        route.get("parentRefs")
        route.get("hostnames")
        for number, other in enumerate(rules):
            if number != rule:
                for name in ("timeouts", "retry"):
                    other.note(name, "it is for other requests")
                _skip(other)
        _read_rule(rules[rule], found)
        _skip(rules[rule])
    policy = reader.child(_POLICY)
    if policy is not None:
        policy.get("targetRefs")
        constraint = policy.child("retryConstraint")
        if constraint is not None:
            _read_constraint(constraint, found)
    elif route is not None and "enable_retry_policy" not in found.found:
        found.set("enable_retry_budget", False)
    return found.finish(reader.all_notes())


def _specs(document: object, depth: int = 0) -> dict[str, Any]:
    """The specs by kind.   depth: of the lists around it: that of a file, and a `List` in it."""
    items = document
    if isinstance(document, Mapping) and isinstance(document.get("items"), Sequence):
        items = document["items"]
    if isinstance(items, Sequence) and not isinstance(items, (str, bytes)) and depth < _DEEPEST:
        found: dict[str, Any] = {}
        for item in items:
            found |= _specs(item, depth + 1)
        return found
    if not isinstance(document, Mapping):
        raise ConfigurationError(
            f"the document must be a mapping or a list of resources, not {shown(document)}"
        )
    kind = document.get("kind")
    if kind is None:
        return {str(key): value for key, value in document.items()}
    name = _POLICY if str(kind).endswith("BackendTrafficPolicy") else str(kind)
    if name not in (_ROUTE, _POLICY):
        raise ConfigurationError(f"kind must be {_ROUTE} or {_POLICY}, not {kind!r}")
    return {name: document.get("spec")}


def _skip(rule: Reader) -> None:
    for name in ("name", "matches", "filters", "backendRefs", "sessionPersistence"):
        rule.get(name)


def _read_rule(rule: Reader, found: Importing) -> None:
    timeouts = rule.child("timeouts")
    if timeouts is not None:
        found.set("total_timeout", timeouts.seconds("request", parse_gateway) or None)
        found.set("base_timeout", timeouts.seconds("backendRequest", parse_gateway) or None)
    retry = rule.child("retry")
    if retry is None:
        found.set("enable_retry_policy", False)
        return
    attempts = retry.count("attempts")
    if attempts is not None:
        found.set(RETRY + "max_attempts", attempts + 1)
    found.set(RETRY + "statuses", tuple(sorted(retry.counts("codes"))))
    found.set(RETRY + "lost_connections", "all")
    found.set(RETRY + "initial_delay", retry.seconds("backoff", parse_gateway) or None)


def _read_constraint(constraint: Reader, found: Importing) -> None:
    budget, least = constraint.child("budget"), constraint.child("minRetryRate")
    percent = None if budget is None else budget.count("percent")
    window = None if budget is None else budget.seconds("interval", parse_gateway)
    found.set(BUDGET + "ratio", (20 if percent is None else percent) / 100)
    found.set(BUDGET + "window", 10.0 if window is None else window)
    count = None if least is None else least.count("count")
    interval = None if least is None else least.seconds("interval", parse_gateway)
    found.set(BUDGET + "min_per_second", (10 if count is None else count) / (interval or 1.0))
