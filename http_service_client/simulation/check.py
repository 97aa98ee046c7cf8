"""`check`: settings that contradict each other, each shown by a call.

Every rule simulates a service that brings the contradiction to light, and looks at what the real core does. So a rule
knows no formula of a breaker or a backoff, and holds for those of the future:

    service        what must not happen
    silent         fewer attempts than were set fit into the total timeout; a call never ends; it outlasts its caller
    refusing       the waits alone leave no time for the last attempt
    busy           a wait that the service asked for outlasts the caller
    dead           no circuit opens within ten minutes at this rate
    slow           attempts are given up before they count as slow
    nearly well    a circuit opens though 95 % of the requests succeed
    all down       not every base URL is asked
    too slow       the deadline check never refuses an attempt, though none can end in time
    slow, at once  a call that the bulkhead, or the adaptive limit at its largest, admits waits for a connection
    silent         no request is sent a second time, though hedging is set
    well, at once  the rate limit refuses a call that may wait; or calls come faster than it lets them pass
    well           all calls fail, or all late ones, by faults that are injected; faults are injected without a bound

Without the last one, a chaos is left out: what it injects says nothing about the other settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from ..client.config.client_config import HttpClientConfig
from ..core.call import Call
from ..core.checks import check_duration
from ..core.machines.chaos_settings import ChaosSettings
from ..core.machines.circuit_breaker.states import CircuitBreakerSettings
from ..core.machines.circuit_breaker.windows import ROUNDING
from ..errors import ConfigurationError, SentState
from ..events import (
    AttemptFinished,
    CircuitRefused,
    ConnectionAwaited,
    Event,
    HedgeDenied,
    HedgeStarted,
    LimitRefused,
    RetryStopped,
    StopReason,
    Timeline,
)
from .faults import Errors, Fault, Outage, Slowdown
from .fleet import Fleet
from .service import Service
from .tally import Tally

__all__ = ["Finding", "check"]

_LONG, _SHORT = 600.0, 60.0  # seconds in which a dead service must be noticed, at a low and at a high rate
_ENOUGH_CALLS = 5000  # for a high one
_SICK = 0.05  # of the requests of a service that is nearly well
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
_OF_TIME = ("timeout", "total_timeout", "retry_policy")  # of a route, as keywords of its calls


@dataclass(frozen=True)
class Finding:
    """A contradiction between settings.

    rule: its name.   message: the settings, their values, and what to change.
    timeline: of a call that shows it; empty if the call never ends.
    """

    rule: str
    message: str
    timeline: Timeline

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}\n{self.timeline.explain()}".rstrip()


def check(
    config: HttpClientConfig | None = None, *, rate: float, caller_timeout: float | None = None
) -> list[Finding]:
    """The contradictions in a configuration at this rate, each with the timeline of a call that shows it.

    config: None for the defaults.   rate: calls a second of one client, above 0.
    caller_timeout: seconds after which whoever waits for the calls gives up, such as a gateway; None if nobody does.

    Found are: an attempt timeout or waits that leave no time for all attempts within `total_timeout`; a call that nothing
    ends, or that outlasts its caller; a circuit that never opens at this rate, or opens for a service that answers
    95 % of its requests; a trial lease that is not above the attempt timeout; a `slow_call_duration` above it; alternate
    base URLs that a call has no attempts for; a deadline check that never knows enough; a bulkhead or an adaptive limit that
    admits more calls than there are connections; hedges that are never due; a rate limit that this rate exceeds, or whose waits are
    longer than calls may wait; chaos that fails all calls, delays them beyond their timeout, or has no bound.

    Raises ConfigurationError for a wrong argument.

    >>> for finding in check(HttpClientConfig(base_timeout=30.0, total_timeout=20.0), rate=5):
    ...     print(finding.message)
    a silent service gets 0 of 3 attempts in full: the call ends after total_timeout=20; lower base_timeout=30 or max_attempts=3
    """
    if not isinstance(config, (HttpClientConfig, type(None))):
        from ..client.config.remedies import config_remedy

        raise ConfigurationError(f"config must be an HttpClientConfig, not {config!r}{config_remedy(config)}")
    check_duration("rate", rate, optional=False)
    check_duration("caller_timeout", caller_timeout)
    rules = partial(_findings, config or HttpClientConfig(), rate, caller_timeout)
    return Context().run(rules)


def _findings(config: HttpClientConfig, rate: float, caller_timeout: float | None) -> list[Finding]:
    chaos = _about_chaos(config)
    config = replace(config, chaos=None, fallback=None)  # which would hide what is looked for
    limits = _about_rate_limits(config, rate)
    config = replace(config, rate_limit=None)  # its waits are none of the settings' below
    found = _about_time(config, caller_timeout) + _about_routes(config, caller_timeout)
    config = replace(config, routes={})
    if (breaker := config.resolved.circuit_breaker) is not None:
        found += _about_circuits(config, breaker, rate)
    found += [
        *_about_hosts(config),
        *_about_deadlines(config, rate),
        *_about_bulkheads(config),
        *_about_adaptive_limits(config),
    ]
    return [*found, *_about_hedges(config), *limits, *chaos]


def _about_rate_limits(config: HttpClientConfig, rate: float) -> list[Finding]:
    settings = config.resolved.rate_limit
    if settings is None or settings.per_second is None:
        return []
    witness = _calls_at_once(config, None, min(settings.burst, _ENOUGH_CALLS) + 1)
    found = []
    if rate > settings.per_second:
        message = (
            f"rate_limit lets {settings.per_second:g} calls a second pass, and {rate:g} are made, so that the others "
            "queue up until they are refused; raise its rate, or make fewer calls"
        )
        found.append(Finding("rate-over-limit", message, witness.last))
    if settings.max_wait != 0 and witness.limited:
        message = (
            f"one call more than burst={settings.burst} at once would wait {1 / settings.per_second:g} s for rate_limit, longer "
            f"than max_wait={settings.max_wait} and total_timeout={config.total_timeout} permit; raise them, or set max_wait=0 "
            "if no call should wait"
        )
        found.append(Finding("turn-over-wait", message, witness.limited))
    return found


def _about_routes(config: HttpClientConfig, caller_timeout: float | None) -> list[Finding]:
    """What holds for the calls of a route, whose times or attempts are not those of the client."""
    found = []
    for route, options in config.routes.items():
        own = {name: options[name] for name in _OF_TIME if name in options}
        if own:
            found += [
                replace(each, message=f"routes[{route!r}]: {each.message}")
                for each in _about_time(config, caller_timeout, own)
            ]
    return found


def _about_chaos(config: HttpClientConfig) -> list[Finding]:
    policy = config.resolved.chaos
    if policy is None or not policy.settings.enabled:
        return []
    settings, found = policy.settings, []
    all_at_once = replace(settings, begins_after=0.0, ends_after=None, origins=None, routes=None)
    disturbed = replace(config, chaos=all_at_once, total_timeout=None, fallback=None)
    share = settings.error_rate + settings.status_rate + settings.truncation_rate
    if 1 - share < ROUNDING and settings.max_calls is None:
        where = "the calls in its scope" if settings.origins or settings.routes else "all calls"
        message = (
            f"{where} fail by chaos, whose error_rate, status_rate and truncation_rate add up to 1; lower them, or set "
            "max_calls"
        )
        found.append(Finding("chaos-fails-all", message, _one_call(disturbed, None)))
    limit = config.resolved.timeout.total
    least = settings.latency[0] if isinstance(settings.latency, tuple) else 0.0
    if limit is not None and least >= limit:
        delayed = replace(disturbed, chaos=ChaosSettings(latency=least, latency_rate=1.0))
        message = (
            f"each call that chaos delays fails, since latency={least:g} is not below base_timeout={limit:g}; lower the "
            "latency, or inject AttemptTimeoutError, which takes no time"
        )
        found.append(Finding("chaos-latency-over-timeout", message, _one_call(delayed, None)))
    if settings.origins is None and settings.max_calls is None and settings.ends_after is None:
        message = "chaos goes on for ever and everywhere; set origins, max_calls or ends_after, or call disable() when it is over"
        found.append(Finding("chaos-without-bound", message, Timeline()))
    return found


def _about_time(
    config: HttpClientConfig, caller_timeout: float | None, own: Mapping[str, Any] = _NO_OPTIONS
) -> list[Finding]:
    """own: what the calls of a route set themselves."""
    found = []
    # The attempt timeout may be that of the circuit breaker, which would hide what is looked for.
    options, name = (
        {"timeout": config.resolved.timeout, **own},
        "timeout" if "timeout" in own else "base_timeout",
    )
    alone = replace(
        config, enable_circuit_breaker=False, enable_retry_budget=False, enable_throttle_gate=False
    )
    witness = _calls_at_once(alone, Outage(how="silent"), 1, options=options)
    silent, call = witness.last, witness.call
    if call is None:
        message = f"nothing ends a call to a service that falls silent; set {name} or total_timeout"
        return [Finding("call-without-end", message, silent)]
    limit, retry, total = (
        call.options.timeout.total,
        call.options.retry,
        options.get("total_timeout", config.total_timeout),
    )
    most = 1 if retry is None else retry.max_attempts
    ends = [event.sent_state for event in silent if isinstance(event, AttemptFinished)]
    made = len(ends) - ends.count(SentState.ABANDONED)  # by the deadline
    if SentState.ABANDONED in ends or any(map(_is_late, silent)):
        message = (
            f"a silent service gets {made} of {most} attempts in full: the call ends after total_timeout={total:g}; "
            f"lower {name}={limit if limit is None else f'{limit:g}'} or max_attempts={most}"
        )
        found.append(Finding("attempts-over-total" if made else "attempt-over-total", message, silent))
    refusing = _one_call(alone, Outage(how="refused"), options=options)
    if any(map(_is_late, refusing)):
        message = (
            f"the longest waits alone leave no time for all {most} attempts within total_timeout={total:g}; "
            f"shorten the backoff, or lower max_attempts={most}"
        )
        found.append(Finding("waits-over-total", message, refusing))
    if caller_timeout is not None:
        if silent[-1].at > caller_timeout:
            message = (
                f"a call to a silent service takes {silent[-1].at:.3g} s, and its caller waits {caller_timeout:g} s; "
                f"set total_timeout below {caller_timeout:g}"
            )
            found.append(Finding("call-over-caller", message, silent))
        asked = math.ceil(caller_timeout)
        busy = _one_call(alone, Outage(how=429, retry_after=asked), options=options)
        if busy[-1].at > caller_timeout:
            message = (
                f"a call waits {asked} s if its service asks for that, and its caller waits {caller_timeout:g} s; "
                f"set total_timeout below {caller_timeout:g}"
            )
            found.append(Finding("wait-over-caller", message, busy))
    return found


def _is_late(event: Event) -> bool:
    return isinstance(event, RetryStopped) and event.reason is StopReason.DEADLINE


def _about_circuits(config: HttpClientConfig, settings: CircuitBreakerSettings, rate: float) -> list[Finding]:
    found = []
    seconds = min(_LONG, max(_SHORT, _ENOUGH_CALLS / rate))
    dead = _many_calls(config, Outage(how="refused"), rate, seconds)
    if dead.last and not dead.openings:
        message = (
            f"at {rate:g} calls a second no circuit opens within {seconds:g} s, though every call fails; "
            "let fewer failures open it in circuit_breaker_config"
        )
        found.append(Finding("circuit-never-opens", message, dead.last))
    sick = _many_calls(config, Errors(rate=_SICK), rate, seconds)
    if sick.refused:
        message = (
            f"at {rate:g} calls a second a circuit opens after {sick.opened_at:.3g} s, though {1 - _SICK:.0%} of the requests "
            "succeed; let more failures open it in circuit_breaker_config"
        )
        found.append(Finding("circuit-opens-without-need", message, sick.refused))
    limit, lease = config.resolved.timeout.total, settings.trial_lease
    if limit is None or lease <= limit:
        slow = 1.5 * lease if limit is None else (lease + limit) / 2
        trial = _one_call(replace(config, total_timeout=None), Slowdown(factor=slow))
        message = (
            f"a trial that takes longer than trial_lease={lease:g} is not used, however it ends; raise it above the "
            f"attempt timeout of {'no limit' if limit is None else f'{limit:g} s'}"
        )
        found.append(Finding("lease-below-timeout", message, trial))
    slow_from = settings.slow_call_duration
    if slow_from is not None and limit is not None and slow_from > limit:
        call = _one_call(config, Slowdown(factor=slow_from))
        message = (
            f"no attempt takes as long as slow_call_duration={slow_from:g}, since it is given up after base_timeout={limit:g}, so "
            "that slow_call_rate counts nothing; set the duration below the timeout"
        )
        found.append(Finding("slow-call-over-timeout", message, call))
    return found


def _about_hosts(config: HttpClientConfig) -> list[Finding]:
    alternates = len(config.resolved.alternate_urls)
    if not alternates:
        return []
    count = 1 + alternates
    down = _one_call(replace(config, total_timeout=None), Outage(how="refused"), alternates)
    hosts = {event.key for event in down if isinstance(event, AttemptFinished)}
    if len(hosts) == count:
        return []
    message = (
        f"a call whose attempts fail asks {len(hosts)} of {count} base URLs; set max_attempts of its retry policy to "
        f"{count} or more"
    )
    return [Finding("hosts-out-of-reach", message, down)]


def _about_deadlines(config: HttpClientConfig, rate: float) -> list[Finding]:
    settings = config.resolved.deadline_check
    if settings is None:
        return []
    checked = replace(config, total_timeout=1.0, enable_circuit_breaker=False)
    seconds = min(_LONG, max(_SHORT, _ENOUGH_CALLS / rate))
    # Its deadline ends an attempt, however short the attempt timeout is: with that, each one could end in time.
    slow = _many_calls(checked, Slowdown(factor=60.0), rate, seconds, {"timeout": None})
    if not slow.last or slow.refusals:
        return []
    message = (
        f"at {rate:g} calls a second the deadline check never knows min_samples={settings.min_samples} attempts, since what is older "
        "than two minutes is forgotten; lower it, or set deadline_check=None"
    )
    return [Finding("deadline-check-without-effect", message, slow.last)]


def _about_bulkheads(config: HttpClientConfig) -> list[Finding]:
    settings, pool = config.resolved.bulkhead, config.pool
    if settings is None or config.http2:  # one connection of HTTP/2 takes many calls
        return []
    name = min(("max_connections_per_host", "max_connections"), key=lambda each: getattr(pool, each))
    slots: int = getattr(pool, name)
    witness = _calls_at_once(config, Slowdown(factor=2.0), min(settings.max_concurrent, slots + 1))
    if not any(isinstance(event, ConnectionAwaited) for event in witness.last):
        return []
    message = (
        f"the bulkhead admits max_concurrent={settings.max_concurrent} calls of an origin, of which {slots} have a connection and "
        f"the others hold a permit while they wait for one; lower it to {name}={slots}, or raise that"
    )
    return [Finding("bulkhead-over-connections", message, witness.last)]


def _about_adaptive_limits(config: HttpClientConfig) -> list[Finding]:
    settings, pool = config.resolved.adaptive_limit, config.pool
    if settings is None or settings.max_limit is None or config.http2:
        return []
    name = min(("max_connections_per_host", "max_connections"), key=lambda each: getattr(pool, each))
    slots: int = getattr(pool, name)
    largest = replace(settings, initial_limit=settings.max_limit)
    config = replace(config, adaptive_limit=largest)
    witness = _calls_at_once(config, Slowdown(factor=2.0), min(settings.max_limit, slots + 1))
    if not any(isinstance(event, ConnectionAwaited) for event in witness.last):
        return []
    message = (
        f"the adaptive limit may become max_limit={settings.max_limit}, and there are {slots} connections, so that these are the "
        f"limit; lower it to {name}={slots}, or raise that"
    )
    return [Finding("adaptive-limit-over-connections", message, witness.last)]


def _about_hedges(config: HttpClientConfig) -> list[Finding]:
    settings = config.resolved.hedging
    if settings is None or settings.delay is None:
        return []
    silent = _one_call(config, Outage(how="silent"))
    if not silent or any(isinstance(event, (HedgeStarted, HedgeDenied)) for event in silent):
        return []
    limit, total = config.resolved.timeout.total, config.total_timeout
    name = "total_timeout" if limit is None or (total is not None and total < limit) else "base_timeout"
    message = (
        f"no request is ever hedged: delay={settings.delay:g} of hedging is not below "
        f"{name}={total if name == 'total_timeout' else limit:g}; lower the delay, to about the latency that few responses exceed"
    )
    return [Finding("hedge-never-due", message, silent)]


class _Witness(Tally):
    """Keeps the last call that ended, and the timelines of the last ones that a circuit and a limit refused."""

    def __init__(self) -> None:
        super().__init__(1.0, trigger=0.0, relief=math.inf)
        self.call: Call | None = None
        self.last = self.refused = self.limited = Timeline()

    def count_call(
        self, now: float, began_at: float, outcome: Any, call: Call | None, exchanges: int
    ) -> None:
        """See `Tally.count_call`."""
        super().count_call(now, began_at, outcome, call, exchanges)
        assert call is not None
        call.finish(outcome)
        self.call, self.last = call, Timeline(call.events)
        if any(isinstance(event, CircuitRefused) for event in self.last):
            self.refused = self.last
        if any(isinstance(event, LimitRefused) for event in self.last):
            self.limited = self.last


def _fleet(
    config: HttpClientConfig,
    fault: Fault | None,
    rate: float,
    seconds: float,
    alternates: int = 0,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> tuple[Fleet, _Witness]:
    # A second of work, so that a factor of a slowdown is seconds.
    service = Service(
        latency=1.0 if isinstance(fault, Slowdown) else 0.05,
        network=0.0,
        faults=[] if fault is None else [fault],
    )
    witness = _Witness()
    fleet = Fleet(
        service,
        witness,
        clients=1,
        rate=rate,
        seconds=seconds,
        seed=0,
        method="GET",
        alternates=[service] * alternates,
    )
    fleet.jitter = _longest
    fleet.of_clients(config, options)
    return fleet, witness


def _longest() -> float:
    """The jitter of the longest waits."""
    return 1 - 1e-9


def _one_call(
    config: HttpClientConfig,
    fault: Fault | None,
    alternates: int = 0,
    *,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> Timeline:
    """The timeline of a call to a service with this fault or none, its waits as long as they may be; empty if it never ends.

    alternates: how many other base URLs there are, of services with the same fault.   options: of the call.
    """
    return _calls_at_once(config, fault, 1, alternates, options=options).last


def _calls_at_once(
    config: HttpClientConfig,
    fault: Fault | None,
    count: int,
    alternates: int = 0,
    *,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> _Witness:
    fleet, witness = _fleet(config, fault, 0.0, 1.0, alternates, options)
    for _ in range(count):
        fleet.call()
    fleet.run()
    return witness


def _many_calls(
    config: HttpClientConfig,
    fault: Fault,
    rate: float,
    seconds: float,
    options: Mapping[str, Any] = _NO_OPTIONS,
) -> _Witness:
    fleet, witness = _fleet(config, fault, rate, seconds, options=options)
    fleet.run()
    return witness
