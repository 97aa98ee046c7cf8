"""The service config of gRPC, in its JSON form.

Sources: grpc.service_config.ServiceConfig (service_config.proto) and proposal A6 of gRPC; google.rpc.Code for the statuses.

What is not the same:

    codes        UNAVAILABLE is also a lost connection; several statuses of HTTP have no code, and some codes no status
    attempts     at most 5
    throttling   gRPC takes a token for each failure, and stops retrying at half of them; here a retry takes a token, and none
                 is made without one. So `maxTokens` is twice the capacity.
    timeout      of the call as a whole; an attempt has none
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import ConfigurationError
from .durations import parse_protobuf, protobuf_text
from .notes import Export, Import
from .reader import Reader
from .settings import BUDGET, RETRY, Exporting, Importing

__all__ = ["from_grpc_service_config", "to_grpc"]

_MOST_ATTEMPTS = 5
_MOST_TOKENS = 1000
# The mapping of google.rpc.Code. The first name is the one that an export writes.
_CODES = {
    409: ("ABORTED", "ALREADY_EXISTS"),
    429: ("RESOURCE_EXHAUSTED",),
    499: ("CANCELLED",),
    500: ("INTERNAL", "UNKNOWN", "DATA_LOSS"),
    501: ("UNIMPLEMENTED",),
    503: ("UNAVAILABLE",),
    504: ("DEADLINE_EXCEEDED",),
    400: ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"),
    401: ("UNAUTHENTICATED",),
    403: ("PERMISSION_DENIED",),
    404: ("NOT_FOUND",),
}
_STATUSES = {code: status for status, codes in _CODES.items() for code in codes}
# Their numbers in google.rpc.Code, which a service config may have as well.
_NUMBERS = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_WHY_NOT = {
    "base_timeout": "gRPC has a timeout of the call as a whole alone",
    "connection_timeout": "it is a matter of the channel, not of its service config",
    "max_connections": "a channel opens its connections by itself",
    RETRY: "a retry policy of gRPC has no field for it",
    RETRY + "retry_conditions": "only codes can be named",
    BUDGET: "the throttling of gRPC has tokens for failures, and nothing else",
    "circuit_breaker_config.": "gRPC has no circuit breaker; the outlier detection of a load balancer ejects single addresses",
    "hedging.": "a method of gRPC has retries or hedges, not both, and hedges after a fixed delay",
    "enable_throttle_gate": "gRPC heeds the pushback of a server for the call that got it alone",
}


def to_grpc(settings: Exporting) -> Export:
    """A service config for all methods of a service."""
    method: dict[str, Any] = {"name": [{}]}
    if (total := settings.say("total_timeout")) is not None:
        method["timeout"] = protobuf_text(total)
    if settings.get("max_response_size") is not None:
        method["maxResponseMessageBytes"] = settings.say("max_response_size")
    document: dict[str, Any] = {"methodConfig": [method]}
    if not settings.get("enable_retry_policy", True):
        settings.say("enable_retry_policy")
        if settings.get("hedging.delay") is not None:
            method["hedgingPolicy"] = _hedging_policy(settings)
    elif settings.get(RETRY + "max_attempts") == 1 or settings.get(RETRY + "initial_delay") is None:
        if settings.get(RETRY + "max_attempts") > 1:
            settings.note(
                RETRY + "backoff_strategy", "gRPC has an exponential backoff only, so that nothing is retried"
            )
        else:
            settings.leave_out(RETRY + "max_attempts")
    else:
        policy = _retry_policy(settings)
        if policy is not None:
            method["retryPolicy"] = policy
            throttling = _throttling(settings)
            if throttling is not None:
                document["retryThrottling"] = throttling
    return settings.finish(document, _WHY_NOT)


def _retry_policy(settings: Exporting) -> dict[str, Any] | None:
    statuses, lost = settings.get(RETRY + "statuses"), settings.get(RETRY + "lost_connections")
    sayable = [status for status in statuses if status in _CODES]
    if lost == "all" and 503 not in sayable:
        settings.note(RETRY + "lost_connections", "UNAVAILABLE is both a lost connection and 503")
        sayable.append(503)
    elif lost != "all" and 503 in sayable:
        settings.note(RETRY + "lost_connections", "UNAVAILABLE is a lost connection, too")
    if not sayable:
        settings.note(RETRY + "statuses", "none of them has a code, and gRPC needs one to retry")
        return None
    for status in statuses:
        if status not in _CODES:
            settings.note(f"{RETRY}statuses[{status}]", "it has no code in gRPC", status)
    settings.say(RETRY + "statuses", tuple(sorted(sayable)))
    if 503 in sayable:
        settings.say(RETRY + "lost_connections", "all")
    attempts, initial = settings.get(RETRY + "max_attempts"), settings.get(RETRY + "initial_delay")
    said = settings.say(RETRY + "max_attempts", min(attempts, _MOST_ATTEMPTS))
    if said != attempts:
        settings.note(RETRY + "max_attempts", f"gRPC makes {_MOST_ATTEMPTS} at most", attempts)
    least = settings.say(RETRY + "initial_delay", max(initial, 0.001))
    longest = settings.get(RETRY + "max_delay")
    most = settings.say(RETRY + "max_delay", max(longest, 0.001))
    for name, value, before in (("initial_delay", least, initial), ("max_delay", most, longest)):
        if value != before:
            settings.note(RETRY + name, "it must be above 0 in gRPC", before)
    if settings.get(RETRY + "jitter") == "full":
        settings.say(RETRY + "jitter")
    return {
        "maxAttempts": said,
        "initialBackoff": protobuf_text(least),
        "maxBackoff": protobuf_text(most),
        "backoffMultiplier": settings.say(RETRY + "backoff_factor"),
        "retryableStatusCodes": [_CODES[status][0] for status in sorted(sayable)],
    }


def _hedging_policy(settings: Exporting) -> dict[str, Any]:
    hedges = settings.get("hedging.max_hedges")
    said = settings.say("hedging.max_hedges", min(hedges, _MOST_ATTEMPTS - 1))
    if said != hedges:
        settings.note("hedging.max_hedges", f"gRPC makes {_MOST_ATTEMPTS} attempts at most", hedges)
    return {"maxAttempts": said + 1, "hedgingDelay": protobuf_text(settings.say("hedging.delay"))}


def _throttling(settings: Exporting) -> dict[str, Any] | None:
    """The quota as tokens for failures."""
    if settings.get(BUDGET + "cost") != 1:  # or it is a share of the calls, which has none
        return None
    earned, capacity = settings.get(BUDGET + "earned"), settings.get(BUDGET + "capacity")
    tokens = round(2 * (4.0 if capacity is None else capacity))
    ratio = round(earned, 3)
    if tokens > _MOST_TOKENS or ratio <= 0:
        return None
    if capacity is None or tokens != 2 * capacity:
        settings.note(
            BUDGET + "capacity", f"half of maxTokens, which is a whole number, is {tokens / 2:g}", capacity
        )
    if ratio != earned:
        settings.note(BUDGET + "earned", "gRPC knows three decimals", earned)
    settings.say(BUDGET + "cost")
    settings.say(BUDGET + "capacity", tokens / 2)
    return {"maxTokens": tokens, "tokenRatio": settings.say(BUDGET + "earned", ratio)}


def from_grpc_service_config(document: object, *, service: str = "", method: str = "") -> Import:
    """A configuration with the settings of a gRPC service config.

    document: a mapping, as JSON has it.   service, method: the entry of `methodConfig` that fits them best is read, as gRPC
        finds it; by default the entry for all methods, or the only one.
    Raises ConfigurationError that names the part of the document that cannot be read, or for no fitting entry.
    """
    reader = Reader(document, "", _camel_case)
    found = Importing()
    entries = reader.children("methodConfig")
    entry = _fitting(entries, service, method)
    for other in entries:
        if other is not entry:
            for name in ("timeout", "retryPolicy", "hedgingPolicy", "waitForReady"):
                other.note(name, "it is for other methods")
    if entry is not None:
        _read_method(entry, found)
    throttling = reader.child("retryThrottling")
    if throttling is not None:
        tokens = throttling.number("maxTokens")
        if tokens is not None:
            found.set(BUDGET + "capacity", tokens / 2)
        found.set(BUDGET + "earned", throttling.number("tokenRatio"))
        found.set(BUDGET + "cost", 1.0)
    elif entry is not None and "retryPolicy" in entry:
        found.set("enable_retry_budget", False)
    return found.finish(reader.all_notes())


def _fitting(entries: list[Reader], service: str, method: str) -> Reader | None:
    best: tuple[int, Reader] | None = None
    for entry in entries:
        for name in entry.children("name"):
            own = (name.text("service") or "", name.text("method") or "")
            if own in ((service, method), (service, ""), ("", "")):
                rank = bool(own[0]) + bool(own[1])
                if best is None or rank > best[0]:
                    best = (rank, entry)
    if best is not None:
        return best[1]
    if len(entries) == 1 and not service:
        return entries[0]
    if entries:
        raise ConfigurationError(
            f"methodConfig has no entry for service={service!r}, method={method!r}; name one that it has"
        )
    return None


def _read_method(entry: Reader, found: Importing) -> None:
    found.set("total_timeout", entry.seconds("timeout", parse_protobuf) or None)
    found.set("max_response_size", entry.count("maxResponseMessageBytes") or None)
    policy = entry.child("retryPolicy")
    if (hedging := entry.child("hedgingPolicy")) is not None:
        _read_hedging(hedging, found)
    if policy is None:
        found.set("enable_retry_policy", False)
        return
    attempts = policy.count("maxAttempts")
    if attempts is not None and attempts > _MOST_ATTEMPTS:
        policy.note("maxAttempts", f"gRPC makes {_MOST_ATTEMPTS} at most")
        attempts = _MOST_ATTEMPTS
    found.set(RETRY + "max_attempts", attempts)
    found.set(RETRY + "initial_delay", policy.seconds("initialBackoff", parse_protobuf))
    found.set(RETRY + "max_delay", policy.seconds("maxBackoff", parse_protobuf))
    factor = policy.number("backoffMultiplier")
    if factor is not None and factor < 1:
        policy.note("backoffMultiplier", "waits do not shrink here: it is taken for 1")
        factor = 1.0
    found.set(RETRY + "backoff_factor", factor)
    found.set(RETRY + "jitter", "full")
    statuses = set()
    for code in policy.items("retryableStatusCodes"):
        is_number = type(code) is int and code in range(len(_NUMBERS))
        name = _NUMBERS[code] if is_number else str(code).upper()
        if name in _STATUSES:
            statuses.add(_STATUSES[name])
        else:
            policy.note("retryableStatusCodes", f"{code} has no status of HTTP")
    found.set(RETRY + "statuses", tuple(sorted(statuses)))
    found.set(RETRY + "lost_connections", "all" if 503 in statuses else "none")


def _read_hedging(policy: Reader, found: Importing) -> None:
    attempts = policy.count("maxAttempts")
    found.set("hedging.max_hedges", 1 if attempts is None else max(1, min(attempts, _MOST_ATTEMPTS) - 1))
    delay = policy.seconds("hedgingDelay", parse_protobuf)
    if not delay:
        policy.note("hedgingDelay", "requests do not go out together here: it is taken for a millisecond")
    found.set("hedging.delay", delay or 0.001)


def _camel_case(key: str) -> str:
    """The JSON of protobuf may have a field's name in either form.

    >>> _camel_case("max_attempts"), _camel_case("maxAttempts")
    ('maxAttempts', 'maxAttempts')
    """
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), key)
