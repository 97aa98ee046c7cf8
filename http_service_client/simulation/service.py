"""The modelled service: a number of workers with a queue before them, and the faults that it has.

Requests wait in the queue until a worker is free, in the order of arrival. Everything that will happen to a request is
known when it arrives, so an exchange costs the simulation a single event. The service works on each request to the end,
whether the client still waits or not, unless `stops_abandoned_work`: that is how retries can keep a service down after
the trigger is gone.
"""

from __future__ import annotations

import errno
import heapq
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from random import Random
from typing import NamedTuple

from ..core.checks import check_count, check_flag, check_number, remedies, suggests_keywords
from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..errors import ConfigurationError, Failure
from ..http.messages import HttpRequest, HttpResponse
from ..transports.failures import Phase, failure_of
from .faults import Effect, Fault, Treatment
from .latency import Latency, LogNormal, latency_of

__all__ = ["Exchange", "LiveService", "Service"]

_TYPICAL = LogNormal(median=0.05, p99=0.25)


@suggests_keywords(
    remedies(
        {
            "set workers; the capacity is workers / mean latency": "capacity concurrency",
            "write faults=[Errors(rate=…)]": "errors error_rate",
        }
    )
)
@dataclass(frozen=True, kw_only=True)
class Service:
    """A service to simulate calls to.

    latency: how long it works on a request: seconds, or a distribution such as `LogNormal`.
    workers: requests that it works on at once; None for any number.
    queue: how many requests may wait for a worker; any more get a 503 at once. None for any number.
    network: seconds that a message takes, one way; 0 to 10.
    stops_abandoned_work: whether it notices that a client has given up, and stops working for it. Most services do not.
    faults: what is wrong with it, and when; see `Outage`, `Errors`, `Slowdown` and the others.

    Raises ConfigurationError (a ValueError) that names the field, its value and what to write instead.
    """

    latency: Latency | float = _TYPICAL
    workers: int | None = None
    queue: int | None = None
    network: float = 0.001
    stops_abandoned_work: bool = False
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        latency_of("latency", self.latency)
        if self.workers is not None:
            check_count("workers", self.workers)
        if self.queue is not None:
            check_count("queue", self.queue, least=0)
            if self.workers is None:
                raise ConfigurationError(
                    "queue needs workers: with any number of workers nothing waits; set both"
                )
        check_number("network", self.network, most=10, unit="of seconds ")
        check_flag("stops_abandoned_work", self.stops_abandoned_work)
        faults = self.faults
        if isinstance(faults, (str, bytes)) or not isinstance(faults, Sequence):
            remedy = "; write it in a list" if isinstance(faults, Fault) else ""
            raise ConfigurationError(
                f"faults must be a list of faults such as Outage(…), not {faults!r}{remedy}"
            )
        for fault in faults:
            if not isinstance(fault, Fault):
                raise ConfigurationError(
                    f"faults has {fault!r}, which is no fault; write for example Outage(start=60)"
                )
        object.__setattr__(self, "faults", tuple(faults))

    @property
    def capacity(self) -> float:
        """Requests a second that it can work on in the long run; infinite without a number of workers."""
        return math.inf if self.workers is None else self.workers / latency_of("latency", self.latency).mean

    @property
    def trigger(self) -> float:
        """The instant at which the first fault begins; infinite without faults."""
        return min((fault.start for fault in self.faults), default=math.inf)

    @property
    def relief(self) -> float:
        """The instant at which the last fault ends; infinite if one stays, or without faults."""
        return max((fault.end for fault in self.faults), default=math.inf)


class Exchange(NamedTuple):
    """One exchange with the modelled service.

    seconds: after which the client has its outcome; infinite if it never has.
    work: seconds that the service works on it.   is_wasted: the client gives up before the response comes.
    has_acted: the service does what the request asks for, or may do it: a second such exchange is a duplicate.
    """

    seconds: float
    outcome: Outcome
    work: float = 0.0
    is_wasted: bool = False
    has_acted: bool = False


class LiveService:
    """A service in one simulation.   request: the one that all its clients send, again and again."""

    def __init__(self, service: Service, request: HttpRequest, random: Random) -> None:
        self._random = random
        self._draw: Callable[[Random], float] = latency_of("latency", service.latency).draw
        self._network = service.network
        self._stops = service.stops_abandoned_work
        self._queue = service.queue
        self._free_at = None if service.workers is None else [0.0] * service.workers  # a heap: of each worker
        self._waiting: list[float] = []  # a heap: when each request leaves the queue
        self._effects: list[tuple[float, float, Effect]] = [
            (fault.start, fault.end, fault.begin(random)) for fault in service.faults
        ]
        # Equal outcomes are one object: to make each one would take a tenth of the simulation's time.
        self._response = lru_cache(maxsize=1024)(_Responses(request))
        self._failure = lru_cache(maxsize=1024)(_Failures(request))

    def exchange(self, now: float, timeout: Timeout) -> Exchange:
        """What becomes of a request that is sent now."""
        treatment = _USUAL
        for start, end, effect in self._effects:
            if start <= now < end:
                if treatment is _USUAL:
                    treatment = Treatment()
                effect(now, treatment)
        if treatment.how is not None:
            return self._failed(treatment.how, treatment.retry_after, timeout)
        return self._worked_on(now, treatment, timeout)

    def _failed(self, how: str | int, retry_after: float | None, timeout: Timeout) -> Exchange:
        seconds = 2 * self._network
        if how == "unreachable":
            return self._timed_out(Phase.CONNECT, timeout.connect, timeout)
        if how == "silent":
            return self._timed_out(Phase.RECEIVE, timeout.read, timeout)._replace(has_acted=True)
        if timeout.total is not None and seconds > timeout.total:
            return self._timed_out(Phase.CONNECT, timeout.connect, timeout)
        if isinstance(how, int):
            return Exchange(seconds, self._response(how, retry_after))
        phase, error = _ERRORS[how]
        outcome = self._failure(phase, error, timeout, False)
        return Exchange(seconds, outcome, has_acted=phase is Phase.RECEIVE)

    def _worked_on(self, now: float, treatment: Treatment, timeout: Timeout) -> Exchange:
        work = self._draw(self._random) * treatment.factor + treatment.extra
        begins = arrives = now + self._network
        limit = timeout.total if timeout.read is None else _shortest(timeout.total, timeout.read)
        free_at, waiting = self._free_at, self._waiting
        if free_at is not None and free_at[0] > arrives:
            begins = free_at[0]
            while waiting and waiting[0] <= arrives:
                heapq.heappop(waiting)
            if self._queue is not None and len(waiting) >= self._queue:
                return self._failed(503, None, timeout)
            heapq.heappush(waiting, begins)
        seconds = begins + work + self._network - now
        is_late = limit is not None and seconds > limit
        if is_late and self._stops:  # when it learns, a network delay later, that the client has gone
            work = min(work, max(0.0, now + limit + self._network - begins))  # type: ignore[operator]  # not None
        if free_at is not None:
            heapq.heapreplace(free_at, begins + work)
        if not is_late:
            status = treatment.status
            return Exchange(seconds, self._response(status, treatment.retry_after), work, False, status < 400)
        # Nobody was there any longer when the service was done: all of its work was in vain.
        late = self._timed_out(Phase.RECEIVE, timeout.read, timeout)
        return late._replace(work=work, is_wasted=True, has_acted=work > 0)

    def _timed_out(self, phase: Phase, limit: float | None, timeout: Timeout) -> Exchange:
        """The client gives up: at the limit of this phase, or of the exchange as a whole if that is earlier."""
        seconds = _shortest(limit, timeout.total)
        failure = self._failure(phase, TimeoutError, timeout, seconds == timeout.total)
        return Exchange(math.inf if seconds is None else seconds, failure)


_USUAL = Treatment()  # of a request that meets no fault
_ERRORS = {
    "refused": (Phase.CONNECT, ConnectionRefusedError),
    "reset": (Phase.RECEIVE, ConnectionResetError),
}
_ERRNO: dict[type[OSError], int] = {
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
}


class _Responses:
    """Makes the responses to a request."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __call__(self, status: int, retry_after: float | None) -> HttpResponse:
        headers = () if retry_after is None else (("Retry-After", f"{math.ceil(retry_after)}"),)
        phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
        request = self._request
        return HttpResponse(status, headers=headers, reason_phrase=phrase, url=request.url, request=request)


_KNOWN = frozenset(HTTPStatus)


class _Failures:
    """Makes the failures of a request's exchange, as the transports report them."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __call__(self, phase: Phase, kind: type[OSError], timeout: Timeout, timed_out: bool) -> Failure:
        error = kind(number, os.strerror(number)) if (number := _ERRNO.get(kind)) else kind()
        return failure_of(phase, error, self._request, timeout, timed_out)


def _shortest(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)
