"""Chaos: faults that are injected on purpose, to see how a program and its settings bear them.

For each exchange in scope, two independent decisions are drawn: whether its response comes later (`latency`), and
whether it meets a fault: an error, a status or a response that is cut short, by their rates, which add up to 1 at most.

A chaos is off unless somebody configures it, and bounded by what it is configured with:

    scope      origins, routes                 which exchanges
    time       begins_after, ends_after        seconds since it was made
    blast      max_calls                       calls that get any fault, in this process, however many attempts they make
    by hand    `disable`                       ends its waits, and what it has decided is not done any more

Five numbers are drawn for each exchange in scope, whatever comes of them: with a `seed`, the same exchanges in the same
order meet the same faults, and a change of one rate does not shift the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from ...http.egress import host_matcher
from ...http.messages import HttpRequest
from ...http.routes import Route, parse_route
from ...http.urls import split_url
from .chaos_settings import ChaosSettings, Status
from .limits.semaphore import Latch

__all__ = ["Chaos", "ChaosSnapshot", "Fault"]

_REMEMBERED = 1024  # calls that have been counted; a call that is forgotten is counted again


class Fault(NamedTuple):
    """What is decided for one exchange, or one call of a function.

    latency: seconds by which its response comes later; None for no delay.
    error, status: what it ends with; None for neither.   cut: the share of its body that arrives; None for all of it.
    ended: opens when the chaos is disabled.
    """

    latency: float | None
    error: type[BaseException] | None
    status: Status | None
    cut: float | None
    ended: Latch

    @property
    def is_due(self) -> bool:
        """Whether it is still to be injected: the chaos was not disabled since it was decided."""
        return not self.ended.is_open


class Subject(Protocol):
    """A call of a client or of a function."""

    @property
    def call_id(self) -> str:
        """The same for all that belongs to it, and for nothing else."""
        ...


class ChaosSnapshot(NamedTuple):
    """A chaos at one instant.

    is_on: it injects faults now.   reason: why not; None if it does.
    calls: that got a fault so far.   injections: exchanges that did.   max_calls: the bound, or None.
    """

    is_on: bool
    reason: str | None
    calls: int
    injections: int
    max_calls: int | None


class Chaos:
    """Decides about exchanges, for all that share it.

    clock: monotonic seconds.   random: uniform in [0, 1).   lock: makes it safe among threads.
    is_killed: it injects nothing, whatever its settings say.
    """

    def __init__(
        self,
        settings: ChaosSettings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        lock: AbstractContextManager[Any],
        is_killed: bool = False,
    ) -> None:
        self._clock, self._random, self._lock = clock, random, lock
        self._is_killed = is_killed
        self._began_at = clock()
        self._is_disabled = False
        self._calls = self._injections = 0
        self._counted: OrderedDict[str, None] = OrderedDict()
        self._ended = Latch(lock=lock)
        self._use(settings)

    @property
    def settings(self) -> ChaosSettings:
        """As they are now."""
        return self._settings

    @property
    def is_on(self) -> bool:
        """Whether it may inject a fault now."""
        return self._reason() is None

    def _reason(self) -> str | None:
        """Why it injects nothing; None if it does."""
        settings = self._settings
        if self._is_killed:
            return "HTTP_SERVICE_CLIENT_CHAOS switches it off"
        if self._is_disabled or not settings.enabled:
            return "it is disabled"
        elapsed = self._clock() - self._began_at
        if elapsed < settings.begins_after:
            return f"it begins in {settings.begins_after - elapsed:.3g} s"
        if settings.ends_after is not None and elapsed >= settings.ends_after:
            return "its time is over"
        if settings.max_calls is not None and self._calls >= settings.max_calls and not self._counted:
            return f"it has reached max_calls={settings.max_calls}"
        return None

    def snapshot(self) -> ChaosSnapshot:
        """Whether it is on, and what it has done."""
        with self._lock:
            most = self._settings.max_calls
            reason = self._reason()
            if reason is None and most is not None and self._calls >= most:
                reason = f"it has reached max_calls={most}"  # but for calls that have been counted
            return ChaosSnapshot(reason is None, reason, self._calls, self._injections, most)

    def covers(self, request: HttpRequest) -> bool:
        """Whether an exchange is in scope. A route is compared with the end of the path, below any base URL."""
        if self._is_host is not None:
            url = split_url(request.url)
            if not self._is_host(url.host, url.port):
                return False
        routes = self._routes
        return routes is None or any(route.matches_url(request.method, request.url) for route in routes)

    def draw(self, subject: Subject) -> Fault | None:
        """The decision about one exchange in scope; None for no fault.

        subject: what it belongs to. `max_calls` counts it once, by its id; without an id, at each exchange.
        """
        if self._reason() is not None:
            return None
        with self._lock:
            settings, random = self._settings, self._random
            if self._is_disabled or not settings.enabled:  # since the look above
                return None
            late, how_late, chance, choice, share = random(), random(), random(), random(), random()
            latency = None
            if late < settings.latency_rate:
                least, most = settings.latency  # type: ignore[misc]  # parsed
                latency = least + (most - least) * how_late
            error: Any = None
            status: Any = None
            cut = None
            if chance < settings.error_rate:
                error = settings.errors[int(choice * len(settings.errors))]
            elif chance < settings.error_rate + settings.status_rate:
                status = settings.statuses[int(choice * len(settings.statuses))]
            elif chance < settings.error_rate + settings.status_rate + settings.truncation_rate:
                cut = share
            if latency is None and error is status is cut is None:
                return None
            call_id = subject.call_id
            if call_id not in self._counted:
                if settings.max_calls is not None and self._calls >= settings.max_calls:
                    return None
                self._calls += 1
                if call_id:
                    self._counted[call_id] = None
                    if len(self._counted) > _REMEMBERED:
                        self._counted.popitem(last=False)
            self._injections += 1
            return Fault(latency, error, status, cut, self._ended)

    def disable(self) -> None:
        """Inject nothing from now on: delays end at once, and what was decided is not done any more."""
        with self._lock:
            self._is_disabled = True
        self._end()

    def enable(self) -> None:
        """Take back `disable`. The time and the count go on."""
        with self._lock:
            self._is_disabled = False

    def reconfigure(self, settings: ChaosSettings) -> None:
        """Go by other settings from the next exchange on. The time and the count go on, and `disable` still holds."""
        with self._lock:
            self._use(settings)
        if not settings.enabled:
            self._end()

    def _end(self) -> None:
        with self._lock:
            latch, self._ended = self._ended, Latch(lock=self._lock)
        latch.open()

    def _use(self, settings: ChaosSettings) -> None:
        self._settings = settings
        self._is_host = None if settings.origins is None else host_matcher("origins", settings.origins)
        self._routes: tuple[Route, ...] | None = (
            None
            if settings.routes is None
            else tuple(parse_route("routes", each) for each in settings.routes)
        )

    def reset_after_fork(self) -> None:
        """Forget the waiters, which are threads of the parent. What was counted stays: the bound is that of each process."""
        self._ended = Latch(lock=self._lock)
