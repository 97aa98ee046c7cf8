"""Polly, by the options of Microsoft.Extensions.Http.Resilience, as appsettings.json has them.

Sources: HttpStandardResilienceOptions and its validator; RetryStrategyOptions, CircuitBreakerStrategyOptions and
TimeoutStrategyOptions of Polly.Core; HttpClientResiliencePredicates for what is transient.

What is not the same:

    retries      of every method, unless the code says `DisableForUnsafeHttpMethods()`; for 408, 429, 5xx and lost connections,
                 which only code can change
    jitter       of a kind of its own, around the delay
    defaults     a section that is left out has the standard handler's: 30 s in all, 10 s an attempt, 3 retries after 2 s, and a
                 circuit that opens when a tenth of 100 calls in 30 s fail
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.machines.retry.backoff import Jitter
from ..core.machines.retry.other_backoffs import ConstantBackoff, LinearBackoff
from .durations import parse_time_span, time_span_text
from .notes import Export, Import
from .reader import Reader
from .settings import CIRCUIT, RETRY, Exporting, Importing

__all__ = ["from_polly", "to_polly"]

_TRANSIENT = (408, 429, *range(500, 600))
_LEAST, _MOST = 0.01, 86400.0  # of a timeout
_ATTEMPT, _WINDOW = 10.0, 30.0  # the defaults of the standard handler
_MOST_HEDGES = 10
_LEAST_SPAN = 0.5  # of a circuit's durations
_SECTIONS = ("totalrequesttimeout", "retry", "circuitbreaker", "attempttimeout", "ratelimiter", "hedging")
_WHY_NOT = {
    "connection_timeout": "it is the ConnectTimeout of a SocketsHttpHandler, which is set in code",
    "max_connections": "it is the MaxConnectionsPerServer of a SocketsHttpHandler, which is set in code",
    RETRY: "the options of a retry have no field for it",
    RETRY + "statuses": "ShouldHandle is code; by default 408, 429 and 5xx are retried",
    RETRY + "lost_connections": "ShouldHandle is code; by default all of them are retried",
    RETRY + "retry_conditions": "ShouldHandle is code",
    "retry_budget_config.": "Polly has no retry budget",
    CIRCUIT: "the options of a circuit breaker have no field for it",
    CIRCUIT + "failure_threshold": "a circuit of Polly opens by its failure ratio alone",
    "hedging.": "a handler of Polly has retries or hedges, not both, and hedges after a fixed delay",
    "bulkhead.": "the limiter of the standard handler has permits and a queue, and nothing else",
    "rate_limit": "the limiter of the standard handler bounds what is in progress; another one is set in code",
    "enable_throttle_gate": "ShouldRetryAfterHeader prolongs the delay of the call that got it alone",
    "enable_circuit_breaker": "the standard handler has one; add the strategies in code for none",
}


def to_polly(settings: Exporting) -> Export:
    """The sections of HttpStandardResilienceOptions; or, without retries, those of HttpStandardHedgingResilienceOptions."""
    document: dict[str, Any] = {}
    retries = settings.get("enable_retry_policy", True)
    is_hedged = not retries and settings.get("hedging.delay") is not None
    endpoint: dict[str, Any] = {} if is_hedged else document
    total, limit = settings.get("total_timeout"), settings.get("base_timeout")
    if total is None:
        settings.note("total_timeout", "Polly always has a limit: here it is the longest, a day", None)
    else:
        total = _bounded(settings, "total_timeout", total, _LEAST)
    document["TotalRequestTimeout"] = {"Timeout": time_span_text(_MOST if total is None else total)}
    if limit is None:
        settings.note(
            "base_timeout", f"an attempt always has a limit in Polly: by default {_ATTEMPT:g} s", None
        )
    else:
        limit = _bounded(settings, "base_timeout", limit, _LEAST, _MOST / 2)
        if total is not None and limit > total:
            settings.note("base_timeout", "it may not be above the total timeout in Polly", limit)
            limit = settings.say("base_timeout", total)
        endpoint["Timeout" if is_hedged else "AttemptTimeout"] = {"Timeout": time_span_text(limit)}
    if is_hedged:
        settings.say("enable_retry_policy")
        document["Hedging"] = _hedging(settings)
        document["Endpoint"] = endpoint
    elif retries:
        document["Retry"] = _retry(settings)
    else:
        settings.note(
            "enable_retry_policy", "the standard handler always retries; add the strategies in code for none"
        )
    if settings.get(CIRCUIT + "failure_rate") is not None:
        endpoint["CircuitBreaker"] = _circuit_breaker(settings)
    else:
        why = "without one, the circuit of the standard handler has its defaults"
        settings.note(CIRCUIT + "failure_rate", why, None)
        settings.leave_out(CIRCUIT + "window", CIRCUIT + "minimum_calls")
    _keep_valid(settings, endpoint, _ATTEMPT if limit is None else limit)
    if settings.get("bulkhead.max_concurrent") is not None:
        permits, waiting = settings.say("bulkhead.max_concurrent"), settings.say("bulkhead.max_waiting")
        options = {"PermitLimit": permits, "QueueLimit": permits if waiting is None else waiting}
        endpoint["RateLimiter"] = {"DefaultRateLimiterOptions": options}
    return settings.finish(document, _WHY_NOT)


def _hedging(settings: Exporting) -> dict[str, Any]:
    hedges = settings.get("hedging.max_hedges")
    said = settings.say("hedging.max_hedges", min(hedges, _MOST_HEDGES))
    if said != hedges:
        settings.note("hedging.max_hedges", f"Polly makes {_MOST_HEDGES} at most", hedges)
    return {"Delay": time_span_text(settings.say("hedging.delay")), "MaxHedgedAttempts": said}


def _keep_valid(settings: Exporting, endpoint: dict[str, Any], attempt: float) -> None:
    """The handler does not start if the window of its circuit is shorter than two attempts may take."""
    window = settings.said.get(CIRCUIT + "window", _WINDOW)
    if window < 2 * attempt:
        settings.note(CIRCUIT + "window", "it must be twice the timeout of an attempt in Polly", window)
        endpoint.setdefault("CircuitBreaker", {})["SamplingDuration"] = time_span_text(2 * attempt)
        if CIRCUIT + "window" in settings.said:
            settings.say(CIRCUIT + "window", 2 * attempt)


def _bounded(settings: Exporting, name: str, seconds: float, least: float, most: float = _MOST) -> float:
    bounded = min(max(seconds, least), most)
    if bounded != seconds:
        settings.note(name, f"it is from {least:g} s to {most / 3600:g} hours in Polly", seconds)
    return float(settings.say(name, bounded))


def _retry(settings: Exporting) -> dict[str, Any]:
    attempts = settings.get(RETRY + "max_attempts")
    said = settings.say(RETRY + "max_attempts", max(2, attempts))
    if said != attempts:
        settings.note(RETRY + "max_attempts", "Polly makes one retry at least", attempts)
    found: dict[str, Any] = {"MaxRetryAttempts": said - 1}
    if settings.get(RETRY + "lost_connections") == "all":
        settings.say(RETRY + "lost_connections")
    backoff = settings.get(RETRY + "backoff_strategy")
    if isinstance(backoff, LinearBackoff) and backoff.initial_delay == backoff.increment:
        _say_backoff(settings, backoff)
        found |= _delays("Linear", backoff.increment, backoff.jitter, backoff.max_delay)
    elif isinstance(backoff, ConstantBackoff):
        _say_backoff(settings, backoff)
        found |= _delays("Constant", backoff.delay, backoff.jitter, None)
    elif backoff is None:
        initial, most = settings.say(RETRY + "initial_delay"), settings.say(RETRY + "max_delay")
        jitter = settings.get(RETRY + "jitter")
        if settings.get(RETRY + "backoff_factor") == 2:
            settings.say(RETRY + "backoff_factor")
        found |= _delays("Exponential", initial, jitter, most)
        if jitter != "equal":
            settings.say(RETRY + "jitter")
    found["ShouldRetryAfterHeader"] = True
    settings.note("idempotent", "a POST is repeated there; add DisableForUnsafeHttpMethods() in code", "")
    return found


def _say_backoff(settings: Exporting, backoff: ConstantBackoff | LinearBackoff) -> None:
    said = backoff if backoff.jitter is not Jitter.EQUAL else replace(backoff, jitter=Jitter.FULL)
    settings.say(RETRY + "backoff_strategy", said)
    if said is not backoff:
        settings.note(RETRY + "backoff_strategy", "Polly has one kind of jitter", backoff)


def _delays(kind: str, delay: float, jitter: object, most: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "BackoffType": kind,
        "Delay": time_span_text(delay),
        "UseJitter": str(getattr(jitter, "value", jitter)) != "none",
    }
    return found if most is None else {**found, "MaxDelay": time_span_text(most)}


def _circuit_breaker(settings: Exporting) -> dict[str, Any]:
    calls = settings.get(CIRCUIT + "minimum_calls")
    if calls < 2:
        settings.note(CIRCUIT + "minimum_calls", "it is 2 at least in Polly", calls)
    window = _bounded(settings, CIRCUIT + "window", settings.get(CIRCUIT + "window"), _LEAST_SPAN)
    broken = _bounded(
        settings, CIRCUIT + "recovery_timeout", settings.get(CIRCUIT + "recovery_timeout"), _LEAST_SPAN
    )
    return {
        "FailureRatio": settings.say(CIRCUIT + "failure_rate"),
        "MinimumThroughput": settings.say(CIRCUIT + "minimum_calls", max(2, calls)),
        "SamplingDuration": time_span_text(window),
        "BreakDuration": time_span_text(broken),
    }


def from_polly(document: object) -> Import:
    """A configuration with the settings of the standard resilience handler of .NET, or of its standard hedging handler.

    document: the sections `Retry`, `CircuitBreaker` and so on, as appsettings.json has them; or a mapping with them under one key.
        Names are read in any case, as .NET does. A section that is left out has the handler's defaults.
    Raises ConfigurationError that names the part of the document that cannot be read.
    """
    reader = whole = Reader(document, "", str.lower)
    if not any(name in whole for name in _SECTIONS):
        reader = whole.only_child() or whole
    found = Importing()
    hedging = reader.child("hedging")
    if hedging is None:
        endpoint, timeout = reader, "attempttimeout"
        _read_retry(_section(reader, "retry"), found)
    else:
        endpoint, timeout = _section(reader, "endpoint"), "timeout"
        found.set("enable_retry_policy", False)
        _read_hedging(hedging, found)
    _read_timeout(reader, "totalrequesttimeout", found, "total_timeout", 30.0)
    _read_timeout(endpoint, timeout, found, "base_timeout", 10.0)
    _read_circuit_breaker(_section(endpoint, "circuitbreaker"), found)
    if (limiter := endpoint.child("ratelimiter")) is not None:
        _read_limiter(limiter, found)
    return found.finish(whole.all_notes())


def _section(reader: Reader, name: str) -> Reader:
    """A section in it; one that is left out has nothing but defaults."""
    return reader.child(name) or Reader({}, name, str.lower)


def _read_timeout(reader: Reader, section: str, found: Importing, name: str, default: float) -> None:
    options = _section(reader, section)
    seconds = options.seconds("timeout", parse_time_span)
    options.get("name")
    found.set(name, default if seconds is None else seconds)


def _read_hedging(hedging: Reader, found: Importing) -> None:
    hedges, delay = hedging.count("maxhedgedattempts"), hedging.seconds("delay", parse_time_span)
    found.set("hedging.max_hedges", 1 if hedges is None else max(1, hedges))
    if delay == 0:
        hedging.note("delay", "requests do not go out together here: it is taken for a millisecond")
    found.set("hedging.delay", 2.0 if delay is None else max(delay, 0.001))
    hedging.get("name")


def _read_retry(retry: Reader, found: Importing) -> None:
    retries = retry.count("maxretryattempts")
    found.set(RETRY + "max_attempts", 1 + (3 if retries is None else retries))
    delay = retry.seconds("delay", parse_time_span)
    delay = 2.0 if delay is None else delay
    most = retry.seconds("maxdelay", parse_time_span)
    uses_jitter = retry.flag("usejitter")
    jitter = "none" if uses_jitter is False else "full"
    kind = str(retry.text("backofftype")).lower()
    if kind == "constant":
        found.set(RETRY + "backoff_strategy", ConstantBackoff(delay, jitter))
    elif kind == "linear":
        strategy = LinearBackoff(delay, increment=delay, jitter=jitter)
        if most is not None:
            strategy = LinearBackoff(delay, increment=delay, max_delay=most, jitter=jitter)
        found.set(RETRY + "backoff_strategy", strategy)
    else:
        if kind != "exponential":  # a note, if there is one
            retry.note("backofftype", "it is taken for Exponential")
        found.set(RETRY + "initial_delay", delay)
        found.set(RETRY + "max_delay", most)
        found.set(RETRY + "backoff_factor", 2.0)
        found.set(RETRY + "jitter", jitter)
    if retry.flag("shouldretryafterheader") is False:
        retry.note("shouldretryafterheader", "a Retry-After is always heeded here")
    retry.get("name")
    found.set(RETRY + "statuses", tuple(sorted(_TRANSIENT)))
    found.set(RETRY + "lost_connections", "all")


def _read_limiter(limiter: Reader, found: Importing) -> None:
    options = _section(limiter, "defaultratelimiteroptions")
    permits, waiting = options.count("permitlimit"), options.count("queuelimit")
    found.set("bulkhead.max_concurrent", 1000 if permits is None else permits)
    found.set("bulkhead.max_waiting", 0 if waiting is None else waiting)
    limiter.get("name")


def _read_circuit_breaker(circuit: Reader, found: Importing) -> None:
    ratio, calls = circuit.number("failureratio"), circuit.count("minimumthroughput")
    found.set(CIRCUIT + "failure_rate", 0.1 if ratio is None else ratio)
    found.set(CIRCUIT + "minimum_calls", 100 if calls is None else calls)
    for name, own, default in (
        ("samplingduration", "window", 30.0),
        ("breakduration", "recovery_timeout", 5.0),
    ):
        seconds = circuit.seconds(name, parse_time_span)
        found.set(CIRCUIT + own, default if seconds is None else seconds)
    circuit.get("name")
