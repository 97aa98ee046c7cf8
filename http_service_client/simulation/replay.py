"""`replay`: recorded calls under another configuration.

The real core makes each call again, in virtual time. In place of the network, the recorded attempts answer: the first
attempt of the core gets what the first one of the record got, and so on. What the record cannot show ends a call as
unknown, with the reason:

    another attempt than those that were recorded            nobody knows what it would have got
    more time than the recorded attempt had                  the response may have come, or not
    a hedge beside an attempt that failed                    it may have succeeded
    a fallback to the last good response                     there may have been one
    an attempt of a call that the recorded circuit refused   nothing was sent

An attempt that comes at another instant than the recorded one gets the same outcome, and the call says that this is
assumed. So does a call whose circuit depends on calls that are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, Literal

from ..client.call_builder import CallBuilder
from ..client.config.client_config import HttpClientConfig
from ..client.origin_parts import OriginParts
from ..client.wiring import Interceptors, LastGoodResponses, pipelines
from ..core.call import Call
from ..core.checks import check_number
from ..core.effects import Outcome, Plan, Send
from ..core.machines.hedging import HedgingSettings
from ..core.machines.limits.semaphore import FairSemaphore
from ..core.origins import OriginRegistry
from ..core.outcomes import FAILURE_STATUSES
from ..core.timeouts import TIMER_SLACK, Timeout
from ..drivers.locks import ForkSafeLock
from ..drivers.simulator import Run, Simulator
from ..errors import AttemptTimeoutError, ConfigurationError, ConnectTimeoutError, Failure, SentState
from ..events import CallFinished, FallbackUsed, RetryStopped, StopReason, Timeline
from .fleet import QuietCircuits, SimulatedClock, without_user_code
from .recordings import RecordedAttempt, RecordedCall, recorded_call

__all__ = ["Replay", "ReplayedCall", "Verdict", "replay"]

Verdict = Literal["same", "different", "unknown"]
_URL = "http://replay.test/"
_SAME_INSTANT = 0.001  # seconds


@dataclass(frozen=True)
class ReplayedCall:
    """One call under the other configuration.

    verdict: "same" if it comes to the same status or error by as many attempts, "different", or "unknown".
    why: what is different, or why it is unknown.   assumptions: what must hold for this to be true.
    recorded: the timeline that was given.   replayed: the new one, as far as it is known.
    """

    verdict: Verdict
    why: str
    assumptions: Sequence[str]
    recorded: Timeline
    replayed: Timeline

    def __str__(self) -> str:
        end = self.recorded[-1]
        assert isinstance(end, CallFinished)
        assumed = f" [if {' and '.join(self.assumptions)}]" if self.assumptions else ""
        return f"{self.verdict:<9}  {end.method} {end.url}: {self.why}{assumed}"


@dataclass(frozen=True)
class Replay:
    """Recorded calls under another configuration; as text, a line for each that is not the same.

    calls: in the order in which their timelines were given.
    """

    calls: Sequence[ReplayedCall]

    def count(self, verdict: Verdict) -> int:
        """How many calls have this verdict."""
        return sum(call.verdict == verdict for call in self.calls)

    def __str__(self) -> str:
        verdicts: tuple[Verdict, ...] = ("same", "different", "unknown")
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in verdicts)
        return "\n".join(
            [f"{len(self.calls)} calls: {counts}", *(str(c) for c in self.calls if c.verdict != "same")]
        )


def replay(
    timelines: Iterable[Any],
    config: HttpClientConfig | None = None,
    *,
    started_at: Sequence[float] | None = None,
    seed: int = 0,
) -> Replay:
    """Make recorded calls again under another configuration. What cannot be known is reported, not guessed.

    timelines: of calls that ended: `response.timeline`, `error.timeline`, or the fields of their events as JSON keeps
        them, `[event._asdict() for event in timeline]`.
    config: the other configuration; None for the defaults.
    started_at: the instants at which the calls began, in seconds, such as of `time.time()`. With them, the calls share
        circuits and budgets as those of one client. Without them, each call meets a closed circuit and a full budget.
    seed: decides the jitter of waits.

    The options of single calls are not in a timeline: each call is made with those of the configuration. If that has no
    `total_timeout`, the recorded deadline holds. Interceptors, logins and `routes` are left out.

    Raises ConfigurationError for a timeline that cannot be read.
    """
    if not isinstance(config, (HttpClientConfig, type(None))):
        from ..client.config.remedies import config_remedy

        raise ConfigurationError(f"config must be an HttpClientConfig, not {config!r}{config_remedy(config)}")
    if isinstance(timelines, (str, bytes)) or not isinstance(timelines, Iterable):
        raise ConfigurationError(
            f"timelines must be a list of timelines, not {timelines!r:.100}; parse JSON first"
        )
    records = [recorded_call(timeline, position) for position, timeline in enumerate(timelines)]
    if started_at is not None and len(started_at) != len(records):
        raise ConfigurationError(
            f"started_at must have an instant for each of the {len(records)} timelines, not {len(started_at)}"
        )
    for position, instant in enumerate(started_at or ()):
        check_number(f"started_at[{position}]", instant, unit="of seconds ")
    if type(seed) is not int:
        raise ConfigurationError(f"seed must be a whole number, not {seed!r}")
    run = partial(_replay, config or HttpClientConfig(), records, started_at, Random(seed).random)
    return Context().run(run)


def _replay(
    config: HttpClientConfig,
    records: Sequence[RecordedCall],
    started_at: Sequence[float] | None,
    random: Callable[[], float],
) -> Replay:
    hedging = config.resolved.hedging
    config = replace(without_user_code(config), hedging=None)  # nobody knows what a hedge would have got
    simulator = _Replayer()
    clock = SimulatedClock(simulator.clock)
    first = min(started_at or [0.0])
    shared = None if started_at is None else _origins(config, clock, random)
    for position, record in enumerate(records):
        origins = shared or _origins(config, clock, random)
        begins = 0.0 if started_at is None else started_at[position] - first
        replayed = _Replayed(record, hedging)
        plan = _plan(replayed, config, origins, clock, random, simulator.uncertain_keys)
        simulator.replayed[simulator.spawn(plan, begins)] = replayed
        if shared is None:
            simulator.run()
            simulator.uncertain_keys.clear()
    simulator.run()
    return Replay([replayed.result() for replayed in simulator.replayed.values()])


def _origins(config: HttpClientConfig, clock: SimulatedClock, random: Callable[[], float]) -> OriginRegistry:
    settings = config.resolved.circuit_breaker
    circuits = None if settings is None else QuietCircuits(settings, lambda change: None)
    return OriginParts(config, clock, random, circuits, [ForkSafeLock()]).registry


def _plan(
    replayed: _Replayed,
    config: HttpClientConfig,
    origins: OriginRegistry,
    clock: SimulatedClock,
    random: Callable[[], float],
    uncertain_keys: set[str],
) -> Plan[None]:
    """The call, built when it begins."""
    record = replayed.record
    # The key, and not the URL, is what circuits and budgets are kept by; and a recorded URL is redacted.
    call = CallBuilder(config, None, origins, clock, lambda event: None).build(
        record.end.method,
        _URL,
        key=record.end.key or None,
        idempotent=record.may_repeat,
        headers={"Idempotency-Key": "recorded"} if record.has_key else None,
        total_timeout=record.lifetime if config.total_timeout is None else config.total_timeout,
    )
    call.call_id, call.call_name = record.end.call_id, record.end.call_name
    replayed.call = call
    # Connections of its own: how many were in use is not recorded.
    slots, connections = FairSemaphore(1, lock=ForkSafeLock()), _origins(config, clock, random)
    parts = config, connections, slots, Interceptors(None), clock, random, None
    pipeline = pipelines(*parts, last_good=LastGoodResponses(config))(None, None).of(call)
    outcome = yield from pipeline(call.request, call)
    call.finish(outcome)
    if _may_have_a_last_good_response(call, outcome):
        replayed.unknown = "whether a last good response could have stood in is not in the timeline"
    if record.end.key in uncertain_keys:
        replayed.assumptions.append("the calls before it that are unknown leave circuit and budget alone")


def _may_have_a_last_good_response(call: Call, outcome: Outcome) -> bool:
    """Whether a fallback may have found what calls before the recorded ones had left."""
    fallback = call.options.fallback
    if fallback is None or fallback.last_good is None:
        return False
    if any(isinstance(event, FallbackUsed) for event in call.events):
        return True
    return fallback.covers(call.error(outcome) if isinstance(outcome, Failure) else outcome)


class _Replayed:
    """One call on its way.   unknown: why its further course is not known; None while it is.

    hedging: of the new configuration.
    """

    call: Call

    def __init__(self, record: RecordedCall, hedging: HedgingSettings | None) -> None:
        self.record = record
        self._hedging = hedging
        self.unknown: str | None = None
        self.assumptions: list[str] = []

    def outcome(self, timeout: Timeout) -> tuple[float, Outcome] | None:
        """What the attempt that is sent now comes to, and after how long; None if that is unknown."""
        number, attempts = self.call.attempt, self.record.attempts
        if number > len(attempts):
            made = f"{len(attempts)} attempt{'s' * (len(attempts) != 1)}"
            self.unknown = f"nobody knows what attempt {number} would have got: the recorded call made {made}"
            return None
        attempt = attempts[number - 1]
        moved = self.call.elapsed() - attempt.began_at
        if abs(moved) > _SAME_INSTANT:
            when = f"{abs(moved):.3f} s {'later' if moved > 0 else 'earlier'}"
            self.assumptions.append(f"attempt {number} comes to the same {when}")
        if attempt.outcome is None:
            self.unknown = attempt.why_not
            return None
        found = self._within(timeout, number, attempt, attempt.outcome)
        return None if found is None or self._depends_on_hedge(number, *found) else found

    def _depends_on_hedge(self, number: int, duration: float, outcome: Outcome) -> bool:
        """Whether another request beside the attempt might have saved it. One that succeeds can only succeed sooner."""
        hedging = self._hedging
        if hedging is None or not self.call.request.is_safe_to_repeat:
            return False
        if hedging.delay is not None and duration <= hedging.delay:
            return False
        if isinstance(outcome, Failure) or outcome.status_code in FAILURE_STATUSES:
            self.unknown = f"nobody knows whether a hedge would have saved attempt {number}"
            return True
        self.assumptions.append(f"no hedge ends attempt {number} sooner")
        return False

    def _within(
        self, timeout: Timeout, number: int, attempt: RecordedAttempt, outcome: Outcome
    ) -> tuple[float, Outcome] | None:
        """The recorded outcome, cut to the limits of the new attempt."""
        is_connecting = isinstance(outcome, Failure) and issubclass(outcome.error_type, ConnectTimeoutError)
        own = timeout.connect if is_connecting else None  # of a part, a configuration has no other limit
        limit = min((each for each in (own, timeout.total) if each is not None), default=math.inf)
        if attempt.is_timeout and limit > attempt.duration + TIMER_SLACK:
            given = "for ever" if limit == math.inf else f"{limit:g} s"
            self.unknown = (
                f"attempt {number} was given up after {attempt.duration:.3g} s; "
                f"whether it would have ended within {given} is not recorded"
            )
            return None
        if attempt.duration <= limit:
            return attempt.duration, outcome
        if is_connecting:
            return limit, outcome
        was_sent = outcome.sent_state is not SentState.NEVER_SENT
        state = SentState.MAYBE_PROCESSED if was_sent else SentState.NEVER_SENT
        error_type = AttemptTimeoutError if was_sent else ConnectTimeoutError
        return limit, Failure(error_type, f"no complete response within {limit:.3g} s", state)

    def result(self) -> ReplayedCall:
        """The call, when its run is over."""
        # Where the rest is unknown, the end is that of `cancel`.
        events = self.call.events if self.unknown is None else self.call.events[:-1]
        stops = [event.reason for event in events if isinstance(event, RetryStopped)]
        why, verdict = self.unknown, _UNKNOWN
        if StopReason.NOT_SAFE in stops and self.record.may_repeat is None:
            why = f"whether this {self.record.end.method} may be sent twice is not in the timeline"
        if why is None:
            end = events[-1]
            assert isinstance(end, CallFinished)
            old, new = _summary(self.record.end), _summary(end)
            verdict, why = (_SAME, old) if old == new else (_DIFFERENT, f"{old} becomes {new}")
        return ReplayedCall(verdict, why, tuple(self.assumptions), self.record.timeline, Timeline(events))


_NOTHING = Failure(ConfigurationError, "unknown", SentState.ABANDONED)
_SAME: Verdict = "same"
_DIFFERENT: Verdict = "different"
_UNKNOWN: Verdict = "unknown"


def _summary(end: CallFinished) -> str:
    what = end.error or f"{end.status_code}"
    return f"{what} after {end.attempts} attempt{'s' * (end.attempts != 1)}"


class _Replayer(Simulator):
    """Answers each `Send` with the recorded outcome.

    uncertain_keys: those of calls that are unknown, whose circuits and budgets may differ from then on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replayed: dict[Run[Any], _Replayed] = {}
        self.uncertain_keys: set[str] = set()

    def _exchange(self, run: Run[Any], effect: Send) -> tuple[float | None, Outcome]:
        replayed = self.replayed[run]
        found = replayed.outcome(effect.timeout)
        if found is not None:
            return found
        self.uncertain_keys.add(replayed.record.end.key)
        self.cancel(run)  # which is no evidence for its circuit
        return None, _NOTHING

    def _end(self, run: Run[Any]) -> None:
        super()._end(run)
        if run.error is not None:
            raise run.error
