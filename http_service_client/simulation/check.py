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
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..client.config.client_config import HttpClientConfig
from ..core.call import Call
from ..core.checks import check_duration
from ..core.machines.chaos_settings import ChaosSettings
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
from ..policies.retry import RetryPolicy
from .faults import Errors, Fault, Outage, Slowdown
from .fleet import Fleet
from .service import Service
from .tally import Tally

__all__ = ["Finding", "check"]

_LONG, _SHORT = 600.0, 60.0  # seconds in which a dead service must be noticed, at a low and at a high rate
_ENOUGH_CALLS = 5000  # for a high one
_SICK = 0.05  # of the requests of a service that is nearly well


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
    if config.resolved.circuit_breaker is not None:
        found += _about_circuits(config, rate)
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
    fleet, witness = _fleet(replace(config, enable_circuit_breaker=False), None, 0.0, 1.0)
    for _ in range(min(settings.burst, _ENOUGH_CALLS) + 1):
        fleet.call()
    fleet.run()
    found = []
    if rate > settings.per_second:
        message = (
            f"rate_limit lets {settings.per_second:g} calls a second pass, and {rate:g} are made, so that the others "
            "queue up until they are refused; raise its rate, or make fewer calls"
        )
        found.append(Finding("rate-over-limit", message, witness.last or Timeline()))
    if settings.max_wait != 0 and witness.limited is not None:
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
        own: dict[str, Any] = {}
        timeout, total = (
            options.get("timeout", config.base_timeout),
            options.get("total_timeout", config.total_timeout),
        )
        retry = options.get("retry_policy")
        if isinstance(timeout, float | int) and not isinstance(timeout, bool):
            own["base_timeout"] = timeout
        if isinstance(retry, RetryPolicy):
            own["retry_policy_config"] = retry
        elif "retry_policy" in options and retry is not True:
            own["enable_retry_policy"] = False
        if own or "total_timeout" in options:
            alone = replace(config, routes={}, total_timeout=total)
            pool = replace(config.pool, request_timeout=own.pop("base_timeout", config.pool.request_timeout))
            alone = replace(alone, connection_pool=pool, base_timeout=pool.request_timeout, **own)
            found += [
                replace(each, message=f"routes[{route!r}]: {each.message}")
                for each in _about_time(alone, caller_timeout)
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
    if share > 1 - ROUNDING and settings.max_calls is None:
        call = _one_call(disturbed, None)
        if call is not None:
            where = "the calls in its scope" if settings.origins or settings.routes else "all calls"
            message = (
                f"{where} fail by chaos, whose error_rate, status_rate and truncation_rate add up to 1; lower them, or set "
                "max_calls"
            )
            found.append(Finding("chaos-fails-all", message, call))
    limit = config.resolved.timeout.total
    least = settings.latency[0] if isinstance(settings.latency, tuple) else 0.0
    if limit is not None and least >= limit:
        call = _one_call(replace(disturbed, chaos=ChaosSettings(latency=least, latency_rate=1.0)), None)
        if call is not None:
            message = (
                f"each call that chaos delays fails, since latency={least:g} is not below base_timeout={limit:g}; lower the "
                "latency, or inject AttemptTimeoutError, which takes no time"
            )
            found.append(Finding("chaos-latency-over-timeout", message, call))
    if settings.origins is None and settings.max_calls is None and settings.ends_after is None:
        message = "chaos goes on for ever and everywhere; set origins, max_calls or ends_after, or call disable() when it is over"
        found.append(Finding("chaos-without-bound", message, Timeline()))
    return found


def _about_time(config: HttpClientConfig, caller_timeout: float | None) -> list[Finding]:
    found = []
    limit, total = config.resolved.timeout.total, config.total_timeout
    most = 1 if config.resolved.retry is None else config.resolved.retry.max_attempts
    alone = replace(
        config, enable_circuit_breaker=False, enable_retry_budget=False, enable_throttle_gate=False
    )
    silent = _one_call(alone, Outage(how="silent"))
    if silent is None:
        message = "nothing ends a call to a service that falls silent; set base_timeout or total_timeout"
        return [Finding("call-without-end", message, Timeline())]
    ends = [event.sent_state for event in silent if isinstance(event, AttemptFinished)]
    made = len(ends) - ends.count(SentState.ABANDONED)  # by the deadline
    if total is not None and made < most:
        message = (
            f"a silent service gets {made} of {most} attempts in full: the call ends after total_timeout={total:g}; "
            f"lower base_timeout={limit if limit is None else f'{limit:g}'} or max_attempts={most}"
        )
        found.append(Finding("attempts-over-total" if made else "attempt-over-total", message, silent))
    refusing = _one_call(alone, Outage(how="refused"))
    if refusing is not None and any(map(_is_late, refusing)):
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
        busy = _one_call(alone, Outage(how=429, retry_after=asked))
        if busy is not None and busy[-1].at > caller_timeout:
            message = (
                f"a call waits {asked} s if its service asks for that, and its caller waits {caller_timeout:g} s; "
                f"set total_timeout below {caller_timeout:g}"
            )
            found.append(Finding("wait-over-caller", message, busy))
    return found


def _is_late(event: Event) -> bool:
    return isinstance(event, RetryStopped) and event.reason is StopReason.DEADLINE


def _about_circuits(config: HttpClientConfig, rate: float) -> list[Finding]:
    found = []
    seconds = min(_LONG, max(_SHORT, _ENOUGH_CALLS / rate))
    dead = _many_calls(config, Outage(how="refused"), rate, seconds)
    if dead.last is not None and not dead.openings:
        message = (
            f"at {rate:g} calls a second no circuit opens within {seconds:g} s, though every call fails; "
            "let fewer failures open it in circuit_breaker_config"
        )
        found.append(Finding("circuit-never-opens", message, dead.last))
    sick = _many_calls(config, Errors(rate=_SICK), rate, seconds)
    if sick.openings and sick.refused is not None:
        message = (
            f"at {rate:g} calls a second a circuit opens after {sick.opened_at:.3g} s, though {1 - _SICK:.0%} of the requests "
            "succeed; let more failures open it in circuit_breaker_config"
        )
        found.append(Finding("circuit-opens-without-need", message, sick.refused))
    limit, settings = config.resolved.timeout.total, config.resolved.circuit_breaker
    lease = math.inf if settings is None else settings.trial_lease
    if limit is None or lease <= limit:
        slow = 1.5 * lease if limit is None else (lease + limit) / 2
        trial = _one_call(replace(config, total_timeout=None), Slowdown(factor=slow))
        if trial is not None:
            message = (
                f"a trial that takes longer than trial_lease={lease:g} is not used, however it ends; raise it above the "
                f"attempt timeout of {'no limit' if limit is None else f'{limit:g} s'}"
            )
            found.append(Finding("lease-below-timeout", message, trial))
    slow_from = None if settings is None or settings.slow_call_rate is None else settings.slow_call_duration
    if slow_from is not None and limit is not None and slow_from > limit:
        call = _one_call(config, Slowdown(factor=slow_from))
        if call is not None:
            message = (
                f"no attempt takes as long as slow_call_duration={slow_from:g}, since it is given up after base_timeout={limit:g}, so "
                "that slow_call_rate counts nothing; set the duration below the timeout"
            )
            found.append(Finding("slow-call-over-timeout", message, call))
    return found


def _about_hosts(config: HttpClientConfig) -> list[Finding]:
    urls = [config.base_url or "base_url", *config.resolved.alternate_urls]
    if len(urls) == 1:
        return []
    alone = replace(config, enable_circuit_breaker=False, enable_retry_budget=False, total_timeout=None)
    down = _one_call(alone, Outage(how="refused"), len(urls) - 1)
    hosts = set() if down is None else {event.key for event in down if isinstance(event, AttemptFinished)}
    if down is None or len(hosts) == len(urls):
        return []
    message = (
        f"a call whose attempts fail asks {len(hosts)} of {len(urls)} base URLs; set max_attempts of its retry policy to "
        f"{len(urls)} or more"
    )
    return [Finding("hosts-out-of-reach", message, down)]


def _about_deadlines(config: HttpClientConfig, rate: float) -> list[Finding]:
    settings = config.resolved.deadline_check
    if settings is None:
        return []
    checked = replace(config, total_timeout=1.0, enable_circuit_breaker=False)
    seconds = min(_LONG, max(_SHORT, _ENOUGH_CALLS / rate))
    slow = _many_calls(checked, Slowdown(factor=60.0), rate, seconds)
    if slow.last is None or slow.refusals:
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
    fleet, witness = _fleet(config, Slowdown(factor=2.0), 0.0, 1.0)
    for _ in range(min(settings.max_concurrent, slots + 1)):
        fleet.call()
    fleet.run()
    if witness.last is None or not any(isinstance(event, ConnectionAwaited) for event in witness.last):
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
    fleet, witness = _fleet(replace(config, adaptive_limit=largest), Slowdown(factor=2.0), 0.0, 1.0)
    for _ in range(min(settings.max_limit, slots + 1)):
        fleet.call()
    fleet.run()
    if witness.last is None or not any(isinstance(event, ConnectionAwaited) for event in witness.last):
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
    if silent is None or any(isinstance(event, (HedgeStarted, HedgeDenied)) for event in silent):
        return []
    limit, total = config.resolved.timeout.total, config.total_timeout
    name = "total_timeout" if limit is None or (total is not None and total < limit) else "base_timeout"
    message = (
        f"no request is ever hedged: delay={settings.delay:g} of hedging is not below "
        f"{name}={total if name == 'total_timeout' else limit:g}; lower the delay, to about the latency that few responses exceed"
    )
    return [Finding("hedge-never-due", message, silent)]


class _Witness(Tally):
    """Keeps the timelines of the last call, and of the first ones that a circuit and a limit refused."""

    def __init__(self) -> None:
        super().__init__(1.0, trigger=0.0, relief=math.inf)
        self.last: Timeline | None = None
        self.refused: Timeline | None = None
        self.limited: Timeline | None = None

    def count_call(
        self, now: float, began_at: float, outcome: Any, call: Call | None, exchanges: int
    ) -> None:
        """See `Tally.count_call`."""
        super().count_call(now, began_at, outcome, call, exchanges)
        assert call is not None
        call.finish(outcome)
        self.last = Timeline(call.events)
        if self.refused is None and any(isinstance(event, CircuitRefused) for event in self.last):
            self.refused = self.last
        if self.limited is None and any(isinstance(event, LimitRefused) for event in self.last):
            self.limited = self.last


def _fleet(
    config: HttpClientConfig, fault: Fault | None, rate: float, seconds: float, alternates: int = 0
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
    fleet.of_clients(config, {})
    return fleet, witness


def _longest() -> float:
    """The jitter of the longest waits."""
    return 1 - 1e-9


def _one_call(config: HttpClientConfig, fault: Fault | None, alternates: int = 0) -> Timeline | None:
    """The timeline of a call to a service with this fault or none, its waits as long as they may be; None if it never ends.

    alternates: how many other base URLs there are, of services with the same fault.
    """
    fleet, witness = _fleet(config, fault, 0.0, 1.0, alternates)
    fleet.call()
    fleet.run()
    return witness.last


def _many_calls(config: HttpClientConfig, fault: Fault, rate: float, seconds: float) -> _Witness:
    fleet, witness = _fleet(config, fault, rate, seconds)
    fleet.run()
    return witness
