"""From the events of calls to metrics, and to the totals of a health summary.

Each call has two events or three, so they are counted together: those of the same labels take one look-up and one lock. The
series of `HttpMetrics` that a kind of event feeds are resolved when the first such event arrives, and cached.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..core.machines.circuit_breaker.states import StateChange
from ..core.origins import without_key
from ..drivers.forks import reset_in_forked_children
from ..drivers.loggers import log_hook
from ..errors import ConfigurationError
from ..events import (
    AttemptFinished,
    AuthContinued,
    CacheFailed,
    CacheUsed,
    CallFinished,
    ChaosInjected,
    CircuitRefused,
    CodingRefused,
    DeadlineRefused,
    Event,
    FallbackUsed,
    HedgeDenied,
    HedgeFinished,
    HedgeStarted,
    HostChanged,
    LimitRefused,
    LimitWaited,
    OperationFinished,
    OperationTimedOut,
    RedirectFollowed,
    RetryStopped,
    ThrottleRefused,
    ThrottleWaited,
)
from .metrics import HttpMetrics
from .series import LABEL_NAME, Distribution, Exemplar, Number, check_name, series_key

__all__ = ["MetricsCollector"]

# The labels of what the collector counts. `outcome` becomes status_code, or error with its class name.
_LABELS = {
    "http_requests_total": ("service", "method", "outcome"),
    "http_errors_total": ("service", "outcome"),
    "http_attempts_total": ("service", "outcome"),
    "http_retries_total": ("service",),
    "http_retries_stopped_total": ("service", "reason"),
    "http_redirects_total": ("service", "status_code"),
    "http_circuit_refusals_total": ("service", "reason"),
    "http_circuit_state_changes_total": ("service", "state"),
    "http_throttle_refusals_total": ("service",),
    "http_throttle_waits_total": ("service",),
    "http_limit_refusals_total": ("service", "limit"),
    "http_limit_waits_total": ("service", "limit"),
    "http_deadline_refusals_total": ("service",),
    "http_host_changes_total": ("service",),
    "http_circuit_trials_total": ("service",),
    "http_auth_exchanges_total": ("service",),
    "http_codings_refused_total": ("service",),
    "http_cache_requests_total": ("service", "result"),
    "http_cache_errors_total": ("service", "operation"),
    "http_fallbacks_total": ("service", "source"),
    "http_operation_timeouts_total": ("service", "result"),
    "http_hedges_total": ("service",),
    "http_hedges_denied_total": ("service",),
    "http_hedge_results_total": ("service", "result"),
    "http_operations_total": ("service", "error"),
    "http_chaos_injections_total": ("service", "kind"),
}
# What a call may send beyond its first request.
_FURTHER = {
    "retries": "http_retries_total",
    "redirects": "http_redirects_total",
    "auth": "http_auth_exchanges_total",
    "codings": "http_codings_refused_total",
    "hedges": "http_hedges_total",
}
_DURATION = "http_request_duration_seconds"
_OPERATION_DURATION = "http_operation_duration_seconds"
# They have the name of a call and its URL template as labels.
_NAMED = frozenset({"http_requests_total", "http_errors_total", _DURATION})
# Service, method, status or error, name, URL template.
_CallKey = tuple[str, str, object, str | None, str | None]
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_LONGEST_EXEMPLAR = 128  # characters of its labels (OpenMetrics 1.0, "Exemplars")

_Counting = Callable[["MetricsCollector", Any], None]


class MetricsCollector:
    """Turns the events of a client into metrics, and keeps their totals.

    metrics: the `HttpMetrics` to feed; None for a new one. Several clients may share one collector.

        name                                labels                               what
        http_requests_total                 service, method, status_code|error   finished calls
        http_request_duration_seconds       service, method                      how long they took, waits included
        http_errors_total                   service, status_code|error           those with an error or status >= 400
        http_attempts_total                 service, status_code|error           finished attempts
        http_retries_total                  service                              those after a call's first
        http_retries_stopped_total          service, reason                      failures not followed by a retry
        http_redirects_total                service, status_code                 redirects followed
        http_circuit_refusals_total         service, reason                      attempts that a circuit refused
        http_circuit_state_changes_total    service, state                       changes of a circuit to this state
        http_throttle_refusals_total        service                              attempts refused while a service wants a pause
        http_throttle_waits_total           service                              attempts that waited for its end
        http_limit_refusals_total           service, limit                       attempts that a limit of the client refused
        http_limit_waits_total              service, limit                       attempts that waited for one
        http_deadline_refusals_total        service                              attempts not begun: too little time left
        http_host_changes_total             service                              attempts that came from another base URL
        http_circuit_trials_total           service                              attempts that decided about a circuit
        http_auth_exchanges_total           service                              requests that auth flows added
        http_codings_refused_total          service                              bodies sent again without compression
        http_cache_requests_total           service, result                      calls that asked a cache: hit, stale, …
        http_cache_errors_total             service, operation                   failures of a cache's storage
        http_fallbacks_total                service, source                      calls whose failure a fallback stands in for
        http_operation_timeouts_total       service, result                      functions that took longer than a policy allows
        http_hedges_total                   service                              requests sent beside one in flight
        http_hedges_denied_total            service                              those that the quota or the share denied
        http_hedge_results_total            service, result                      how hedges ended: won, lost, failed, refused
        http_operations_total               service, error                       calls of functions under a pipeline
        http_operation_duration_seconds     service                              how long they took, waits included
        http_chaos_injections_total         service, kind                        faults that a chaos injected: latency, error, …

    `service` is the origin of the call, such as ``https://api.example.com``, without its `key`: tenants would be too
    many series. A call that has a name (`name=`) has it as a further label, `name`, in the first three; one with
    `path_params` has `url_template` there, such as ``/orders/{order_id}``. A call that a circuit refused counts as a call
    and as an error, with a very short duration.

    counts_at_once: each event has to be counted as it comes, on its thread or in its task.

    Raises ConfigurationError when `metrics` has one of these names with another kind.
    """

    def __init__(self, metrics: HttpMetrics | None = None) -> None:
        if metrics is not None and not isinstance(metrics, HttpMetrics):
            raise ConfigurationError(f"metrics must be an HttpMetrics or None, not {metrics!r}")
        self._metrics = metrics = HttpMetrics() if metrics is None else metrics
        # Resolved before: all that a further event of the same kind needs.
        self._calls: dict[_CallKey, tuple[Number, Distribution, Number | None]] = {}
        self._counters: dict[tuple[object, ...], Number] = {}
        self.counting: Mapping[type, _Counting] = _COUNT
        self.counts_at_once = False
        self._find_exemplar: Callable[[], Mapping[str, str] | None] | None = None
        self._reset_after_fork()
        reset_in_forked_children(self)
        with metrics._lock:
            metrics._declared.update(
                {name: _label_names(name) for name in (*_LABELS, _DURATION, _OPERATION_DURATION)}
            )
            metrics._histogram(_DURATION)
            metrics._histogram(_OPERATION_DURATION)
            for name in _LABELS:
                metrics._counter(name)

    def _reset_after_fork(self) -> None:
        # The collector's own totals: others may feed `metrics` as well.
        self._seconds = 0.0
        self._counted = dict.fromkeys(_LABELS, 0)

    @property
    def metrics(self) -> HttpMetrics:
        """The metrics that this collector feeds."""
        return self._metrics

    def collect(self, event: Event | StateChange) -> None:
        """Count an event. Events of an unknown kind are ignored."""
        count = self.counting.get(type(event))
        if count is not None:
            count(self, event)

    def collect_all(self, events: Sequence[Any]) -> None:
        """Count events: as `collect`, and many in less time."""
        if self.counts_at_once:
            for event in events:
                self.collect(event)
            return
        calls: defaultdict[_CallKey, list[float]] = defaultdict(list)
        attempts: defaultdict[tuple[Any, ...], int] = defaultdict(int)
        for event in events:
            kind = type(event)
            if kind is CallFinished:
                calls[_call_key(event)].append(event[0])  # by its number: a name is slow to look up
            elif kind is AttemptFinished and event[1] == 1 and not event[9]:  # neither a retry nor a trial
                attempts[_attempt_key(event)] += 1
            else:
                self.collect(event)
        for key, count in attempts.items():
            self._count(key, count)
        for call_key, seconds in calls.items():
            self._count_calls(call_key, seconds)

    def follow(self, follower: Callable[[Event | StateChange], object]) -> None:
        """Call a function with each event after it was counted. It must not raise."""

        def followed(count: _Counting) -> _Counting:
            def count_and_pass_on(collector: MetricsCollector, event: Any) -> None:
                count(collector, event)
                follower(event)

            return count_and_pass_on

        self._count_at_once()
        # Another table, so that a collector without followers pays nothing.
        self.counting = {kind: followed(count) for kind, count in self.counting.items()}

    def keep_exemplars(self, find: Callable[[], Mapping[str, str] | None]) -> None:
        """Keep exemplars of the durations and errors of calls.

        find: returns the labels of an exemplar when a call ends, on its thread or in its task, such as the ids of the
            trace that the call belongs to; None for no exemplar.
        """
        self._count_at_once()
        self._find_exemplar = find

    def _count_at_once(self) -> None:
        self.counts_at_once = True
        self._metrics.catch_up()

    def summary(self) -> dict[str, Any]:
        """Totals of this collector: calls, errors, the error rate, mean seconds of a call, retries, refusals.

        Refusals are attempts that a circuit, the throttle gate, a limit or the deadline check refused.
        """
        self._metrics.catch_up()
        with self._metrics._lock:
            counted, seconds = self._counted.copy(), self._seconds
        requests, errors = counted["http_requests_total"], counted["http_errors_total"]
        return {
            "total_requests": requests,
            "total_errors": errors,
            "error_rate": errors / requests if requests else 0.0,
            "average_response_time": seconds / requests if requests else 0.0,
            "retries": counted["http_retries_total"],
            "refusals": sum(
                counted[f"http_{kind}_refusals_total"]
                for kind in ("circuit", "throttle", "limit", "deadline")
            ),
        }

    def amplification(self) -> dict[str, dict[str, float]]:
        """For each origin, how many exchanges its calls cost: what the client adds to the load of a service.

        ``exchanges`` is the sum of the calls' attempts, ``redirects``, ``auth`` (requests that auth flows added), ``hedges`` and
        ``codings`` (bodies sent again without compression). Of the attempts, ``retries`` are those after a call's first, and
        ``trials`` those that decided about an open circuit. ``amplification`` is exchanges for each call: below 1 where
        calls are refused.

        The numbers are those of the metrics, which other collectors may feed as well.
        """
        calls, attempts = self._by_service("http_requests_total"), self._by_service("http_attempts_total")
        further = {word: self._by_service(name) for word, name in _FURTHER.items()}
        trials = self._by_service("http_circuit_trials_total")
        found: dict[str, dict[str, float]] = {}
        for service, count in calls.items():
            parts = {word: counts.get(service, 0) for word, counts in further.items()}
            exchanges = attempts.get(service, 0) + sum(parts.values()) - parts["retries"]
            found[service] = {
                "calls": count,
                "exchanges": exchanges,
                **parts,
                "trials": trials.get(service, 0),
                "amplification": exchanges / count if count else 0.0,
            }
        return found

    def errors(self) -> dict[str, dict[str, int]]:
        """For each origin, how many of its calls ended with which status of 400 or above, or with which class of error."""
        found: dict[str, dict[str, int]] = {}
        self._metrics.catch_up()
        with self._metrics._lock:
            for key, number in self._metrics._counter("http_errors_total").series.items():
                labels = dict(key)
                counts = found.setdefault(labels.get("service", ""), {})
                what = labels.get("status_code") or labels.get("error", "other")
                counts[what] = counts.get(what, 0) + int(number.value)
        return found

    def _by_service(self, name: str) -> dict[str, float]:
        sums: dict[str, float] = {}
        self._metrics.catch_up()
        with self._metrics._lock:
            for key, number in self._metrics._counter(name).series.items():
                service = dict(key).get("service", "")
                sums[service] = sums.get(service, 0) + number.value
        return sums

    # One method for each kind of event.

    def _call_finished(self, event: CallFinished) -> None:
        exemplar = None if self._find_exemplar is None else _exemplar(self._find_exemplar, event.at)
        self._count_calls(_call_key(event), (event.at,), exemplar)

    def _count_calls(self, key: _CallKey, seconds: Sequence[float], exemplar: Exemplar | None = None) -> None:
        """Count calls with the same labels.   seconds: how long each of them took."""
        requests, durations, errors = self._calls.get(key) or self._resolve_call(key)
        counted, count = self._counted, len(seconds)
        with self._metrics._lock:
            self._seconds += sum(seconds)
            counted["http_requests_total"] += count
            requests.value += count
            durations.observe(seconds)
            if errors is not None:
                counted["http_errors_total"] += count
                errors.value += count
            if exemplar is not None:
                durations.keep(exemplar)
                if errors is not None:
                    errors.exemplar = exemplar._replace(value=1.0)

    def _attempt_finished(self, event: AttemptFinished) -> None:
        self._count(_attempt_key(event))
        if event.attempt > 1:
            self._count(("http_retries_total", _service(event)))
        if event.is_trial:
            self._count(("http_circuit_trials_total", _service(event)))

    def _auth_continued(self, event: AuthContinued) -> None:
        self._count(("http_auth_exchanges_total", _service(event)))

    def _coding_refused(self, event: CodingRefused) -> None:
        self._count(("http_codings_refused_total", _service(event)))

    def _retry_stopped(self, event: RetryStopped) -> None:
        self._count(("http_retries_stopped_total", _service(event), event.reason.name.lower()))

    def _redirect_followed(self, event: RedirectFollowed) -> None:
        self._count(("http_redirects_total", _service(event), event.status_code))

    def _circuit_refused(self, event: CircuitRefused) -> None:
        self._count(("http_circuit_refusals_total", _service(event), event.reason))

    def _throttle_refused(self, event: ThrottleRefused) -> None:
        self._count(("http_throttle_refusals_total", _service(event)))

    def _deadline_refused(self, event: DeadlineRefused) -> None:
        self._count(("http_deadline_refusals_total", _service(event)))

    def _host_changed(self, event: HostChanged) -> None:
        self._count(("http_host_changes_total", _service(event)))

    def _throttle_waited(self, event: ThrottleWaited) -> None:
        self._count(("http_throttle_waits_total", _service(event)))

    def _limit_refused(self, event: LimitRefused) -> None:
        self._count(("http_limit_refusals_total", _service(event), event.limit))

    def _limit_waited(self, event: LimitWaited) -> None:
        self._count(("http_limit_waits_total", _service(event), event.limit))

    def _cache_used(self, event: CacheUsed) -> None:
        self._count(("http_cache_requests_total", _service(event), event.result.value))

    def _cache_failed(self, event: CacheFailed) -> None:
        self._count(("http_cache_errors_total", _service(event), event.operation))

    def _chaos_injected(self, event: ChaosInjected) -> None:
        self._count(("http_chaos_injections_total", _service(event), event.kind))

    def _fallback_used(self, event: FallbackUsed) -> None:
        self._count(("http_fallbacks_total", _service(event), event.source.value))

    def _hedge_started(self, event: HedgeStarted) -> None:
        self._count(("http_hedges_total", _service(event)))

    def _hedge_denied(self, event: HedgeDenied) -> None:
        self._count(("http_hedges_denied_total", _service(event)))

    def _hedge_finished(self, event: HedgeFinished) -> None:
        if event.hedge:
            self._count(("http_hedge_results_total", _service(event), event.result.value))

    def _operation_finished(self, event: OperationFinished) -> None:
        self._count(("http_operations_total", event.key, event.error or ""))
        with self._metrics._lock:
            durations = self._metrics._histogram(_OPERATION_DURATION).at(series_key({"service": event.key}))
            durations.observe((event.at,))

    def _timed_out(self, event: OperationTimedOut) -> None:
        self._count(("http_operation_timeouts_total", _service(event), event.outcome))

    def _state_change(self, event: StateChange) -> None:
        service = f"{_service(event)} (shadow)" if event.is_shadow else _service(event)
        self._count(("http_circuit_state_changes_total", service, event.new))

    def _count(self, key: tuple[Any, ...], count: int = 1) -> None:
        """Increase a counter. `key` is its name and the values of its labels."""
        counter = self._counters.get(key) or self._resolve_counter(key)
        with self._metrics._lock:
            self._counted[key[0]] += count
            counter.value += count

    def _resolve_counter(self, key: tuple[Any, ...]) -> Number:
        with self._metrics._lock:
            counter = self._resolve(key)
            if len(self._counters) < self._metrics._max_series:
                self._counters[key] = counter
        return counter

    def _resolve_call(self, key: _CallKey) -> tuple[Number, Distribution, Number | None]:
        service, method, outcome, call_name, url_template = key
        named = {} if call_name is None else {"name": call_name}
        if url_template is not None:
            named["url_template"] = url_template
        is_error = not isinstance(outcome, int) or outcome >= 400
        with self._metrics._lock:
            resolved = (
                self._resolve(("http_requests_total", service, method, outcome), named),
                self._metrics._histogram(_DURATION).at(
                    series_key({"service": service, "method": method, **named})
                ),
                self._resolve(("http_errors_total", service, outcome), named) if is_error else None,
            )
            if len(self._calls) < self._metrics._max_series:
                self._calls[key] = resolved
        return resolved

    def _resolve(self, key: tuple[Any, ...], further: Mapping[str, str] = _NO_LABELS) -> Number:
        name, *values = key
        labels = {
            ("status_code" if isinstance(value, int) else "error") if label == "outcome" else label: value
            for label, value in zip(_LABELS[name], values, strict=True)
        }
        return self._metrics._counter(name).at(series_key({**labels, **further}))

    def __repr__(self) -> str:
        self._metrics.catch_up()
        return f"<MetricsCollector {self._counted['http_requests_total']} requests>"


def _label_names(metric: str) -> frozenset[str]:
    names = set(_LABELS.get(metric, ("service",) if metric == _OPERATION_DURATION else ("service", "method")))
    if "outcome" in names:
        names = names - {"outcome"} | {"status_code", "error"}
    if metric in _NAMED:
        names |= {"name", "url_template"}
    return frozenset(names)


def _call_key(event: CallFinished) -> _CallKey:
    # All fields in one step: those of a named tuple are slow to read one by one.
    _, method, _, service, _, status, error, _, _, _, url_template, _, call_name, _ = event
    if service[-1:] == ")":
        service = without_key(service)
    return service, method, status if error is None else error, call_name, url_template


def _attempt_key(event: AttemptFinished) -> tuple[Any, ...]:
    _, _, service, _, status, error, _, _, _, _, _, _, _, _ = event
    if service[-1:] == ")":
        service = without_key(service)
    return "http_attempts_total", service, status if error is None else error


def _service(event: Any) -> str:
    return without_key(event.key)


def _exemplar(find: Callable[[], Mapping[str, str] | None], value: float) -> Exemplar | None:
    try:
        found = find()
        labels = () if found is None else series_key(found)
        for name, _ in labels:
            check_name("a label of an exemplar", name, LABEL_NAME)
    except Exception:  # a user's function: it must not fail the call
        log_hook("the function that finds exemplars failed")
        return None
    if not labels or sum(len(name) + len(text) for name, text in labels) > _LONGEST_EXEMPLAR:
        return None
    return Exemplar(labels, value, time.time())


# A retry is counted when its attempt finishes and not when it is scheduled: the circuit may still stop it.
_COUNT: dict[type, _Counting] = {
    CallFinished: MetricsCollector._call_finished,
    AttemptFinished: MetricsCollector._attempt_finished,
    RetryStopped: MetricsCollector._retry_stopped,
    AuthContinued: MetricsCollector._auth_continued,
    CodingRefused: MetricsCollector._coding_refused,
    RedirectFollowed: MetricsCollector._redirect_followed,
    CircuitRefused: MetricsCollector._circuit_refused,
    ThrottleRefused: MetricsCollector._throttle_refused,
    HostChanged: MetricsCollector._host_changed,
    DeadlineRefused: MetricsCollector._deadline_refused,
    ThrottleWaited: MetricsCollector._throttle_waited,
    LimitRefused: MetricsCollector._limit_refused,
    LimitWaited: MetricsCollector._limit_waited,
    CacheUsed: MetricsCollector._cache_used,
    CacheFailed: MetricsCollector._cache_failed,
    FallbackUsed: MetricsCollector._fallback_used,
    OperationTimedOut: MetricsCollector._timed_out,
    HedgeStarted: MetricsCollector._hedge_started,
    HedgeDenied: MetricsCollector._hedge_denied,
    HedgeFinished: MetricsCollector._hedge_finished,
    OperationFinished: MetricsCollector._operation_finished,
    ChaosInjected: MetricsCollector._chaos_injected,
    StateChange: MetricsCollector._state_change,
}
