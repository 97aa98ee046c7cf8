"""Envoy: the retry policy of a route, and the limits of a cluster.

Sources: envoy.config.route.v3.RouteAction, RetryPolicy and HedgePolicy; envoy.config.cluster.v3.Cluster, CircuitBreakers and
OutlierDetection; the page of the router filter for `retry_on`.

What is not the same:

    retries        Envoy repeats whatever `retry_on` says, a POST as well; the export names the methods that may be repeated
    backoff        random up to (2^n - 1) times the base interval; here up to 2^(n-1) times the initial delay
    Retry-After    prolonged by up to a half at random
    retry budget   a share of the requests in flight; here a share of the calls of a window
    ejection       of a host of the cluster, for the base time multiplied by how often it was ejected; here the circuit of a service
"""

from __future__ import annotations

import re
from typing import Any

from .durations import parse_protobuf, protobuf_text
from .notes import Export, Import
from .reader import Reader
from .settings import BUDGET, CIRCUIT, RETRY, Exporting, Importing

__all__ = ["from_envoy", "to_envoy"]

_LOST = "connect-failure,refused-stream,reset"
_UNSENT = "connect-failure,refused-stream"
_METHODS = "GET|HEAD|OPTIONS|QUERY|PUT|DELETE|TRACE"
_REPEATABLE = [{"name": ":method", "string_match": {"safe_regex": {"regex": _METHODS}}}]
_WHY_NOT = {
    "max_connections": "a cluster is one service, and its limit that of one host here",
    "connection_pool.": "it is a matter of the client's own connections to the proxy",
    RETRY: "a retry policy of Envoy has no field for it",
    RETRY + "retry_conditions": "only statuses and lost connections can be named",
    BUDGET: "Envoy bounds the retries in flight; it has no tokens that successes earn, and no rate",
    CIRCUIT: "outlier detection has no field for it",
    "hedging.": "Envoy hedges after a fixed delay, and bounds hedges as it does retries",
    "bulkhead.": "Envoy bounds the requests in progress and those that wait, and nothing else",
    "rate_limit": "it is a filter of its own in Envoy: local_ratelimit",
    "enable_throttle_gate": "each request of Envoy heeds Retry-After alone; it closes no gate for the others",
}


def to_envoy(settings: Exporting) -> Export:
    """`route` is (a part of) a RouteAction, and `cluster` of a Cluster."""
    total = settings.say("total_timeout")
    route: dict[str, Any] = {"timeout": "0s" if total is None else protobuf_text(total)}
    if settings.get("enable_retry_policy", True):
        route["retry_policy"] = _retry_policy(settings)
        if "hedging.delay" in settings.said:
            route["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    else:
        settings.say("enable_retry_policy")
        settings.note("base_timeout", "only a retry policy of Envoy has a timeout of each attempt")
    cluster: dict[str, Any] = {}
    if (connect := settings.say("connection_timeout")) is not None:
        cluster["connect_timeout"] = protobuf_text(connect)
    thresholds: dict[str, Any] = {}
    if (most := settings.say("max_connections_per_host")) is not None:
        thresholds["max_connections"] = most
    if settings.get("bulkhead.max_concurrent") is not None:
        thresholds["max_requests"] = settings.say("bulkhead.max_concurrent")
        waiting = settings.say("bulkhead.max_waiting")
        thresholds["max_pending_requests"] = thresholds["max_requests"] if waiting is None else waiting
    ratio = settings.get(BUDGET + "ratio")
    if ratio is not None and ratio <= 1:
        thresholds["retry_budget"] = {
            "budget_percent": {"value": _rounded(settings.say(BUDGET + "ratio") * 100)}
        }
    if thresholds:
        cluster["circuit_breakers"] = {"thresholds": [thresholds]}
    if settings.get("enable_circuit_breaker", True):
        cluster["outlier_detection"] = _outlier_detection(settings)
    else:
        settings.say("enable_circuit_breaker")
    return settings.finish({"route": route, "cluster": cluster}, _WHY_NOT)


def _retry_policy(settings: Exporting) -> dict[str, Any]:
    lost, statuses = settings.say(RETRY + "lost_connections"), settings.say(RETRY + "statuses")
    causes = {"all": [_LOST], "unsent": [_UNSENT], "none": []}[lost] + ["retriable-status-codes"] * bool(
        statuses
    )
    policy: dict[str, Any] = {
        "retry_on": ",".join(causes),
        "num_retries": settings.say(RETRY + "max_attempts") - 1,
        "retriable_request_headers": _REPEATABLE,
    }
    if statuses:
        policy["retriable_status_codes"] = list(statuses)
    settings.note(
        "idempotent",
        "a POST is repeated here when it was not sent or has a key; Envoy repeats by the method alone",
        "",
    )
    limit = settings.get("base_timeout")
    if settings.get("hedging.delay") is not None:
        policy["per_try_timeout"] = protobuf_text(settings.say("hedging.delay"))
        settings.note(
            "base_timeout",
            "Envoy sends a hedge when the timeout of an attempt is over, which is hedging.delay here",
        )
        settings.note("hedging.max_hedges", "a hedge is one of num_retries in Envoy")
    elif limit is not None:
        policy["per_try_timeout"] = protobuf_text(settings.say("base_timeout"))
    initial = settings.get(RETRY + "initial_delay")
    if initial is not None:
        longest = settings.get(RETRY + "max_delay")
        # Envoy's own defaults would be 25 ms, and ten times that.
        base = settings.say(RETRY + "initial_delay", max(initial, 0.001))
        if base != initial:
            settings.note(RETRY + "initial_delay", "the least base interval of Envoy is 1 ms", initial)
        most = settings.say(RETRY + "max_delay", max(longest, base))
        if most != longest:
            settings.note(RETRY + "max_delay", "it is at least the base interval in Envoy", longest)
        policy["retry_back_off"] = {"base_interval": protobuf_text(base), "max_interval": protobuf_text(most)}
        for name, only in (("backoff_factor", 2.0), ("jitter", "full")):
            if settings.get(RETRY + name) == only:
                settings.say(RETRY + name)
        bounds = [bound for bound in (limit, most) if bound is not None]
        policy["rate_limited_retry_back_off"] = {
            "reset_headers": [{"name": "Retry-After", "format": "SECONDS"}],
            "max_interval": protobuf_text(min(bounds)),
        }
    return policy


def _outlier_detection(settings: Exporting) -> dict[str, Any]:
    settings.note(
        "circuit_breaker_config",
        "it ejects one host of the cluster; here a circuit is that of the service",
        "",
    )
    found: dict[str, Any] = {"max_ejection_percent": 100}
    if (threshold := settings.get(CIRCUIT + "failure_threshold")) is None:
        found["enforcing_consecutive_5xx"] = 0
    else:
        settings.say(CIRCUIT + "failure_threshold")
        found["consecutive_5xx"] = threshold
    rate = settings.get(CIRCUIT + "failure_rate")
    if rate is not None:
        percent = max(1, round(rate * 100))
        if percent / 100 != rate:
            settings.note(CIRCUIT + "failure_rate", "it is a whole percentage in Envoy", rate)
        settings.say(CIRCUIT + "failure_rate", percent / 100)
        found |= {
            "failure_percentage_threshold": percent,
            "enforcing_failure_percentage": 100,
            "failure_percentage_minimum_hosts": 1,
            "failure_percentage_request_volume": settings.say(CIRCUIT + "minimum_calls"),
            "interval": protobuf_text(settings.say(CIRCUIT + "window")),
        }
    found["base_ejection_time"] = protobuf_text(settings.say(CIRCUIT + "recovery_timeout"))
    return found


def from_envoy(document: object) -> Import:
    """A configuration with the settings of a route and a cluster of Envoy.

    document: a mapping with `route`, a RouteAction, and `cluster`, a Cluster; or one of them, or a RetryPolicy. Fields may be in
        snake case or in camel case.
    Raises ConfigurationError that names the part of the document that cannot be read.
    """
    reader = Reader(document, "", _snake_case)
    found = Importing()
    if "route" in reader or reader.has_mapping("cluster"):  # of a RouteAction, `cluster` is a name
        route, cluster = reader.child("route"), reader.child("cluster")
        for name in ("match", "name"):
            reader.note(name, "settings for some requests only are `routes` here")
    elif any(name in reader for name in ("circuit_breakers", "outlier_detection", "connect_timeout")):
        route, cluster = None, reader
    else:
        route, cluster = reader, None
    if route is not None and any(name in route for name in ("retry_on", "num_retries")):
        _read_retry_policy(route, found)
    elif route is not None:
        _read_route(route, found)
    if cluster is not None:
        _read_cluster(cluster, found)
    return found.finish(reader.all_notes())


def _read_route(route: Reader, found: Importing) -> None:
    route.get("cluster")  # where to
    timeout = route.seconds("timeout", parse_protobuf)
    # Envoy's default is 15 s; "0s" is no limit.
    found.set("total_timeout", 15.0 if timeout is None else timeout or None)
    policy, hedge = route.child("retry_policy"), route.child("hedge_policy")
    is_hedged = hedge is not None and hedge.flag("hedge_on_per_try_timeout") is True
    if policy is not None:
        _read_retry_policy(policy, found, is_hedged=is_hedged)
    else:
        found.set("enable_retry_policy", False)


_CAUSES = {
    "5xx": ("all", range(500, 600)),
    "gateway-error": ("none", (502, 503, 504)),
    "reset": ("all", ()),
    "reset-before-request": ("unsent", ()),
    "connect-failure": ("unsent", ()),
    "refused-stream": ("unsent", ()),
    "http3-post-connect-failure": ("unsent", ()),
    "retriable-4xx": ("none", (409,)),
    "retriable-status-codes": ("none", ()),
}


def _read_retry_policy(policy: Reader, found: Importing, *, is_hedged: bool = False) -> None:
    causes = [cause.strip() for cause in (policy.text("retry_on") or "").split(",") if cause.strip()]
    listed = policy.counts("retriable_status_codes")
    statuses: set[int] = set(listed) if "retriable-status-codes" in causes else set()
    lost = "none"
    for cause in causes:
        if cause not in _CAUSES:
            policy.note("retry_on", f"{cause} has no equal here")
            continue
        how, those = _CAUSES[cause]
        statuses.update(those)
        lost = how if lost == "none" or how == "all" else lost
    if listed and "retriable-status-codes" not in causes:
        policy.note(
            "retriable_status_codes", "Envoy heeds them only where retry_on has retriable-status-codes"
        )
    found.set(RETRY + "statuses", tuple(sorted(statuses)))
    found.set(RETRY + "lost_connections", lost)
    retries = policy.count("num_retries")
    found.set(RETRY + "max_attempts", 1 + (1 if retries is None else retries))
    # "0s" is no limit, after which no hedge begins.
    limit = policy.seconds("per_try_timeout", parse_protobuf) or None
    found.set("hedging.delay" if is_hedged else "base_timeout", limit)
    backoff = policy.child("retry_back_off")
    base = 0.025 if backoff is None else backoff.seconds("base_interval", parse_protobuf) or 0.025
    most = None if backoff is None else backoff.seconds("max_interval", parse_protobuf)
    found.set(RETRY + "initial_delay", base)
    found.set(RETRY + "max_delay", _rounded(base * 10) if most is None else most)
    found.set(RETRY + "backoff_factor", 2.0)
    found.set(RETRY + "jitter", "full")
    limited = policy.child("rate_limited_retry_back_off")
    if limited is not None:
        if limited.seconds("max_interval", parse_protobuf) not in (most, found.found.get("base_timeout")):
            limited.note("max_interval", "a Retry-After counts up to base_timeout and max_delay here")
        if [header for header in limited.items("reset_headers") if not _is_retry_after(header)]:
            limited.note("reset_headers", "only Retry-After and its kin are read here")
    only_for = policy.get("retriable_request_headers")
    if not only_for:
        policy.note(
            "retry_on", "Envoy repeats a POST, too; here add idempotent=True or a key to a call that may be"
        )
    elif only_for != _REPEATABLE:
        policy.note("retriable_request_headers", "the method and idempotent= decide here")


def _is_retry_after(header: object) -> bool:
    return isinstance(header, dict) and str(header.get("name")).lower() == "retry-after"


def _read_cluster(cluster: Reader, found: Importing) -> None:
    found.set("connection_timeout", cluster.seconds("connect_timeout", parse_protobuf) or None)
    breakers = cluster.child("circuit_breakers")
    thresholds = [] if breakers is None else breakers.children("thresholds")
    is_read = False
    for threshold in thresholds:
        if is_read or str(threshold.get("priority") or "DEFAULT") != "DEFAULT":
            threshold.leave("only the first of the default priority is read")
            continue
        is_read = True
        found.set("max_connections_per_host", threshold.count("max_connections"))
        requests, pending = threshold.count("max_requests"), threshold.count("max_pending_requests")
        if requests is not None:
            found.set("bulkhead.max_concurrent", requests)
            found.set("bulkhead.max_waiting", 1024 if pending is None else pending)
        else:
            threshold.note("max_pending_requests", "only calls that wait for a bulkhead are bounded here")
        budget = threshold.child("retry_budget")
        if budget is not None:
            percent = budget.child("budget_percent")
            share = None if percent is None else percent.number("value")
            found.set(BUDGET + "ratio", _rounded((20.0 if share is None else share) / 100))
            budget.note("min_retry_concurrency", "the least is a rate here: min_per_second")
    detection = cluster.child("outlier_detection")
    if detection is None:
        found.set("enable_circuit_breaker", False)
    else:
        _read_outlier_detection(detection, found)


def _read_outlier_detection(detection: Reader, found: Importing) -> None:
    in_row = detection.count("consecutive_5xx")
    if detection.count("enforcing_consecutive_5xx") != 0:
        found.set(CIRCUIT + "failure_threshold", 5 if in_row is None else in_row)
    if detection.count("enforcing_failure_percentage"):
        percent = detection.count("failure_percentage_threshold")
        found.set(CIRCUIT + "failure_rate", (85 if percent is None else percent) / 100)
        volume = detection.count("failure_percentage_request_volume")
        found.set(CIRCUIT + "minimum_calls", 50 if volume is None else volume)
        found.set(CIRCUIT + "window", detection.seconds("interval", parse_protobuf) or 10.0)
        detection.get("failure_percentage_minimum_hosts")
    found.set(CIRCUIT + "recovery_timeout", detection.seconds("base_ejection_time", parse_protobuf) or 30.0)
    detection.get("max_ejection_percent")  # a circuit is that of the whole service


def _snake_case(key: str) -> str:
    """The JSON of protobuf may have a field's name in either form.

    >>> _snake_case("numRetries"), _snake_case("consecutive5xx"), _snake_case("consecutive_5xx")
    ('num_retries', 'consecutive_5xx', 'consecutive_5xx')
    """
    text = re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: "_" + found[0].lower(), key)
    return re.sub(r"(?<=[a-z])(5xx)", r"_\1", text)


def _rounded(number: float) -> float:
    return float(f"{number:.12g}")
