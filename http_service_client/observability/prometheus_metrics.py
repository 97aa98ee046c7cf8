"""The metrics of a client as Prometheus shows them: their names, and what each one means.

Names. All start with ``http_client_``: a middleware of the server side counts in the same process, often under
``http_requests_total``. A finished call is a *call* here, as OpenTelemetry's ``http_client_request_duration_seconds`` measures
each request on the wire, and may be in the same registry. Seconds are the only unit; what has none is a number of things.

Gauges are read from a client when they are shown, and added up over the keys of a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .load import ClientLoad, ServiceLoad

__all__ = ["COUNTS", "GAUGES", "Count", "Gauge", "readings"]


class Count(NamedTuple):
    """A counter or histogram of `HttpMetrics`.

    source: its name there.   name: its name here, without the suffixes of samples.
    """

    source: str
    name: str
    help: str

    @property
    def is_histogram(self) -> bool:
        """Whether it is a distribution of seconds, and not a number of things."""
        return self.name.endswith("_seconds")


class Gauge(NamedTuple):
    """A gauge.

    labels: the names of its labels, without the client's.
    mode: how the numbers of several processes become one: their sum, the least or the largest.
    """

    name: str
    labels: tuple[str, ...]
    mode: str
    help: str

    @property
    def unit(self) -> str:
        """The unit, as the name says it; "" for a number of things."""
        return "seconds" if self.name.endswith("_seconds") else ""


COUNTS = (
    Count(
        "http_requests_total",
        "http_client_calls",
        "Finished calls, by method and status code, or by the class of the error that the caller got. "
        "A call may have cost several attempts, or none if it was refused.",
    ),
    Count(
        "http_request_duration_seconds",
        "http_client_call_duration_seconds",
        "Duration of calls as their callers saw it: retries, redirects and all waits included; "
        "of a stream, until its body was closed.",
    ),
    Count(
        "http_errors_total",
        "http_client_call_errors",
        "Those of the finished calls that raised an error, or returned a status of 400 or above.",
    ),
    Count(
        "http_attempts_total",
        "http_client_attempts",
        "Finished attempts, by status code or class of error. Divided by the calls it is the amplification: "
        "above 1 by retries, below 1 while calls are refused.",
    ),
    Count(
        "http_retries_total",
        "http_client_retries",
        "Attempts after the first one of their call: the load that retries add to a service.",
    ),
    Count(
        "http_retries_stopped_total",
        "http_client_retries_stopped",
        "Failed attempts that were not followed by another, by the reason: exhausted, budget, not_safe, deadline, ...",
    ),
    Count(
        "http_redirects_total",
        "http_client_redirects",
        "Redirects that were followed, by status code. Each is one more request within its attempt.",
    ),
    Count(
        "http_circuit_refusals_total",
        "http_client_circuit_refusals",
        "Attempts that a circuit refused, by the reason. Nothing was sent for them.",
    ),
    Count(
        "http_circuit_state_changes_total",
        "http_client_circuit_state_changes",
        "Changes of circuits to this state. One that opens again and again is trying a service that has not recovered.",
    ),
    Count(
        "http_circuit_trials_total",
        "http_client_circuit_trials",
        "Attempts that decided whether an open circuit closes.",
    ),
    Count(
        "http_throttle_refusals_total",
        "http_client_throttle_refusals",
        "Attempts refused because the service had asked for a longer pause, by 429 or 503, than the call may wait.",
    ),
    Count(
        "http_throttle_waits_total",
        "http_client_throttle_waits",
        "Attempts that waited for the end of a pause that the service had asked for.",
    ),
    Count(
        "http_operations_total",
        "http_client_operations",
        "Finished calls of functions under a pipeline, by the class of the exception that the caller got, if any.",
    ),
    Count(
        "http_operation_duration_seconds",
        "http_client_operation_duration_seconds",
        "Duration of such calls as their callers saw it: attempts and all waits included.",
    ),
    Count(
        "http_limit_refusals_total",
        "http_client_limit_refusals",
        "Attempts that one of the client's own limits refused, by the limit. Nothing was sent for them.",
    ),
    Count(
        "http_limit_waits_total",
        "http_client_limit_waits",
        "Attempts that waited for one of the client's own limits, by the limit.",
    ),
    Count(
        "http_deadline_refusals_total",
        "http_client_deadline_refusals",
        "Attempts that were not begun, since the service takes longer than the deadline left them: work that it was spared.",
    ),
    Count(
        "http_host_changes_total",
        "http_client_host_changes",
        "Attempts that went to this base URL in place of another one, which had failed or refused.",
    ),
    Count(
        "http_auth_exchanges_total",
        "http_client_auth_exchanges",
        "Requests that auth flows added, to answer a challenge for example.",
    ),
    Count(
        "http_codings_refused_total",
        "http_client_codings_refused",
        "Compressed bodies that a server refused by 415, and that were sent again without compression.",
    ),
    Count(
        "http_cache_requests_total",
        "http_client_cache_requests",
        "Calls that asked a cache, by the result: hit, stale, revalidated or miss.",
    ),
    Count(
        "http_cache_errors_total",
        "http_client_cache_errors",
        "Operations of a cache's storage that failed. The calls went on without the cache.",
    ),
    Count(
        "http_chaos_injections_total",
        "http_client_chaos_injections",
        "Faults that a chaos injected on purpose, by their kind: latency, error, status or truncation.",
    ),
    Count(
        "http_operation_timeouts_total",
        "http_client_operation_timeouts",
        "Guarded functions that took longer than their TimeoutPolicy allows: cancelled, late or abandoned.",
    ),
    Count(
        "http_fallbacks_total",
        "http_client_fallbacks",
        "Calls that failed, and whose outcome a fallback stands in for: the callers saw no failure.",
    ),
    Count(
        "http_hedges_total",
        "http_client_hedges",
        "Requests that were sent a second time, beside one in flight whose response took long.",
    ),
    Count(
        "http_hedges_denied_total",
        "http_client_hedges_denied",
        "Hedges that were not sent: the retry quota was spent, or too many calls had been hedged.",
    ),
    Count(
        "http_hedge_results_total",
        "http_client_hedge_results",
        "Hedges by what became of them: won, lost, failed, or refused by the circuit or a limit.",
    ),
)

_CIRCUITS = "http_client_circuits"
_IN_USE = "http_client_connections_in_use"
_WAITING = "http_client_calls_waiting_for_connection"
_RETRIES_LEFT = "http_client_retries_left"
_PAUSE = "http_client_throttle_pause_seconds"
_RATE = "http_client_rate_limit_per_second"
_WAITING_FOR_RATE = "http_client_calls_waiting_for_rate_limit"
_PERMITS = ("http_client_permits_in_use", "http_client_permits_limit", "http_client_calls_waiting_for_permit")

GAUGES = (
    Gauge(
        _CIRCUITS,
        ("service", "state", "mode"),
        "sum",
        "Circuits in this state now: closed, half_open, open, or isolated by hand. "
        "A service has one, and one more for each key. Those of mode metrics_only refuse nothing.",
    ),
    Gauge(
        _IN_USE,
        ("service",),
        "sum",
        "Connection slots that calls and open streams hold now.",
    ),
    Gauge(
        _WAITING,
        ("service",),
        "sum",
        "Calls that wait for a connection slot now. Above 0 for longer means that a limit is too low, or streams are not closed.",
    ),
    Gauge(
        _RETRIES_LEFT,
        ("service",),
        "min",
        "Retries that the quota pays for now; the least of all keys. At 0 failed attempts are not retried.",
    ),
    Gauge(
        _PAUSE,
        ("service",),
        "max",
        "Seconds that are left of the pause that the service asked for: its gate is closed. 0 while the gate is open.",
    ),
    Gauge(
        _PERMITS[0],
        ("service", "limit"),
        "sum",
        "Permits that calls and open streams hold now, of each limit on calls in progress: bulkhead, adaptive limit.",
    ),
    Gauge(
        _PERMITS[1],
        ("service", "limit"),
        "sum",
        "Permits that there are now, in all keys of a service. Those of an adaptive limit follow the service.",
    ),
    Gauge(
        _PERMITS[2],
        ("service", "limit"),
        "sum",
        "Calls that wait for a permit now. Their number is bounded: further ones are refused.",
    ),
    Gauge(
        _RATE,
        ("service",),
        "min",
        "Calls a second that the rate limit lets pass now; the least of all keys. An adaptive one follows the service.",
    ),
    Gauge(
        _WAITING_FOR_RATE,
        ("service",),
        "sum",
        "Calls that wait for the rate limit now. Above 0 for longer means that more calls are made than it lets pass.",
    ),
    Gauge(
        "http_client_calls_in_flight",
        (),
        "sum",
        "Calls that run now, with the waits between their attempts; of a stream, its head and each read of its body.",
    ),
    Gauge(
        "http_client_streams_open",
        (),
        "sum",
        "Streamed responses whose body is open. Each holds a connection. A number that only grows is a leak.",
    ),
    Gauge(
        "http_client_connections_idle",
        (),
        "sum",
        "Connections that are open and kept for later calls.",
    ),
    Gauge(
        "http_client_connections_limit",
        (),
        "sum",
        "Connections that may be in use at once (max_connections).",
    ),
    Gauge(
        "http_client_connections_limit_per_service",
        (),
        "sum",
        "Connections that may be in use at once for one service, or one key of it (max_connections_per_host).",
    ),
)

_STATES = ("closed", "half_open", "open", "isolated")

Reading = tuple[str, tuple[str, ...], float]


def readings(load: ClientLoad) -> Iterator[Reading]:
    """The gauges of a client: name, values of the labels, value."""
    for service, each in load.services.items():
        yield from _of_service(service, each)
    yield "http_client_calls_in_flight", (), load.calls_in_flight
    yield "http_client_streams_open", (), load.streams_open
    yield "http_client_connections_idle", (), load.connections_idle
    yield "http_client_connections_limit", (), load.connections_limit
    yield "http_client_connections_limit_per_service", (), load.connections_limit_per_service


def _of_service(service: str, load: ServiceLoad) -> Iterator[Reading]:
    # All states, so that an alert ends, and a line in a picture falls to 0, when a circuit closes.
    for mode in sorted({mode for _, mode in load.circuits}):
        for state in _STATES:
            yield _CIRCUITS, (service, state, mode), load.circuits[state, mode]
    yield _IN_USE, (service,), load.connections_in_use
    yield _WAITING, (service,), load.calls_waiting
    if load.retries_left is not None:
        yield _RETRIES_LEFT, (service,), load.retries_left
    yield _PAUSE, (service,), load.pause_left
    for limit, permits in load.permits.items():
        for name, number in zip(_PERMITS, permits, strict=True):
            yield name, (service, limit), number
    if load.rate is not None:
        yield _RATE, (service,), load.rate
    if load.waiting_for_rate is not None:
        yield _WAITING_FOR_RATE, (service,), load.waiting_for_rate
