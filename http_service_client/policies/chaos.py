"""The chaos policy: faults that are injected on purpose."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from ..core.checks import check_function, suggests_keywords
from ..core.effects import Plan
from ..core.layers.chaos import disturbed
from ..core.machines.chaos import Chaos, ChaosSnapshot
from ..core.machines.chaos_settings import CHAOS_RENAMED, ChaosSettings, is_killed
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..drivers.randomness import unseeded_random
from ..errors import ConfigurationError
from .logs import log_chaos
from .strategy import StatefulStrategy

__all__ = ["ChaosPolicy", "new_chaos"]

_SWITCH = "HTTP_SERVICE_CLIENT_CHAOS"


@suggests_keywords(CHAOS_RENAMED)
class ChaosPolicy(StatefulStrategy[ChaosSettings]):
    """Inject delays, errors, statuses and responses that are cut short: to see how a program bears them.

        chaos = ChaosPolicy(errors=[ConnectError], error_rate=0.01, origins=["*.staging.example.com"], max_calls=100)
        client = HttpServiceClient(HttpClientConfig(chaos=chaos))
        chaos.disable()     # the delays end at once, and nothing more is injected

    For each exchange of a client, or each call of a function, two decisions are drawn: a delay, and one of the other faults.
    It is loud: a warning in the log when a client begins with it, and one for each fault; an event in the timeline of the
    call, a metric, and a line of `get_health_summary`. The environment variable HTTP_SERVICE_CLIENT_CHAOS=off, read when a
    policy is made, switches all of it off.

    latency, latency_rate: seconds by which a response comes later, or a pair of the least and the most; and the share of the
        exchanges, 0 to 1, that it meets. A delay above the timeout ends with the error of that timeout, when it is over.
    errors, error_rate: classes, or their names. For a client: `ConnectError`, `NameResolutionError`, `ConnectTimeoutError`,
        `TlsError`, `TlsVerificationError`, where nothing is sent; `ConnectionLostError`, `ReadTimeoutError`,
        `WriteTimeoutError`, `AttemptTimeoutError`, `ProtocolError`, where the request is sent, and its response dropped. Around
        a function, any class of exception that takes a message.
    statuses, status_rate: of responses that stand in for the service's, from 400 to 599; or a pair with headers, such as
        ``(429, {"Retry-After": "2"})``. The request is not sent.
    truncation_rate: of responses whose body ends early, at a byte by chance. One without a body stays as it is.
    origins: host names as in `EgressPolicy`, such as ``*.example.com`` or ``api.example.com:8443``; None for all.
    routes: such as ``POST /charges``, ``GET /orders/{order_id}`` or ``DELETE *``, compared with the end of the path, below any
        base URL; None for all.
    begins_after, ends_after: seconds since the policy was made; `ends_after` None for no end.
    max_calls: calls, in each process, that get any fault, however many attempts they make; None for any number.
    seed: the same exchanges in the same order meet the same faults; None for another sequence each time.
    enabled: False injects nothing.
    name: in events of guarded functions.   clock, random: for tests.

    In a client's configuration it is live, like a `CookieJar`: clients that share a policy share its switch and its bound,
    and another configuration with equal settings goes on with it. A pickle or a copy starts again. Around functions, `latency`
    and `errors` alone are possible.

    Raises ConfigurationError (a ValueError) that names the argument, its value and the remedy; also for a chaos that
    would inject nothing.
    """

    rank = 100  # innermost: it stands in for the function
    _live = ("_chaos", "_is_announced")

    def __init__(
        self,
        *,
        latency: float | tuple[float, float] | None = None,
        latency_rate: float = 0.0,
        errors: Sequence[type[BaseException] | str] = (),
        error_rate: float = 0.0,
        statuses: Sequence[int | tuple[int, Mapping[str, str]] | Mapping[str, Any]] = (),
        status_rate: float = 0.0,
        truncation_rate: float = 0.0,
        origins: Sequence[str] | None = None,
        routes: Sequence[str] | None = None,
        begins_after: float = 0.0,
        ends_after: float | None = None,
        max_calls: int | None = None,
        seed: int | None = None,
        enabled: bool = True,
        name: str = "",
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        if random is not None:
            check_function("random", random)
        self._random = random
        settings = ChaosSettings(
            latency=latency,
            latency_rate=latency_rate,
            errors=errors,
            error_rate=error_rate,
            statuses=statuses,
            status_rate=status_rate,
            truncation_rate=truncation_rate,
            origins=origins,
            routes=routes,
            begins_after=begins_after,
            ends_after=ends_after,
            max_calls=max_calls,
            seed=seed,
            enabled=enabled,
        )
        self._set_up(settings, name, clock or SystemClock())

    def _begin(self, settings: ChaosSettings) -> None:
        self._is_announced = False
        self._chaos = new_chaos(settings, self._clock.monotonic, self._random or unseeded_random)

    def _change(self, settings: ChaosSettings) -> None:
        self._chaos.reconfigure(settings)

    def _reset_after_fork(self) -> None:
        self._chaos.reset_after_fork()

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan around a function."""
        if not self._is_announced:
            settings = self._settings
            if settings.status_rate or settings.truncation_rate or settings.origins or settings.routes:
                raise ConfigurationError(
                    "statuses, truncation_rate, origins and routes are of HTTP calls, and a guarded function has none; "
                    "use latency and errors, or set the chaos for a client"
                )
            self.announce(f"guarded functions ({self.name})" if self.name else "guarded functions")
        return disturbed(self._chaos, self._name, proceed, operation)

    def announce(self, where: str) -> None:
        """Say once in the log that it is there.   where: what it disturbs."""
        if not self._is_announced:
            self._is_announced = True
            log_chaos(where, self._settings.words(), self._chaos.snapshot().reason)

    def disable(self) -> None:
        """Inject nothing from now on. Delays end at once, also of calls in flight. Any thread may call it."""
        self._chaos.disable()

    def enable(self) -> None:
        """Take back `disable`. The time and the count go on."""
        self._chaos.enable()

    def snapshot(self) -> ChaosSnapshot:
        """Whether it is on, and what it has done."""
        return self._chaos.snapshot()

    def health(self) -> dict[str, Any]:
        """The snapshot as plain values, and under ``what`` what it injects, in words."""
        return {**self.snapshot()._asdict(), "what": self._settings.words()}

    @property
    def chaos(self) -> Chaos:
        """The live machine."""
        return self._chaos

    def succeed(self, before: ChaosPolicy) -> None:
        """Go on with the switch, the time and the count of another policy, unless this one has injected something itself."""
        if self._is_announced:
            return
        self._chaos = before._chaos
        self._chaos.reconfigure(self._settings)
        self._is_announced = before._is_announced and self._settings == before._settings


def new_chaos(settings: ChaosSettings, clock: Callable[[], float], random: Callable[[], float]) -> Chaos:
    """The machine of these settings.   random: where they have no seed."""
    return Chaos(
        settings,
        clock=clock,
        random=random if settings.seed is None else Random(settings.seed).random,
        lock=ForkSafeLock(),
        is_killed=is_killed(os.environ.get(_SWITCH)),
    )
