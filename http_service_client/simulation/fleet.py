"""Runs the calls of many clients against one modelled service, in virtual time.

Each client is the real core: state per origin and the pipeline of layers as a `HttpServiceClient` has them. Only the
driver differs, which answers each `Send` with the modelled service, and the clock.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, NamedTuple

from ..client.call_builder import CallBuilder
from ..client.config.client_config import HttpClientConfig
from ..client.origin_parts import Circuits, OriginParts
from ..client.wiring import Interceptors, LastGoodResponses, pipelines
from ..core.call import Call
from ..core.effects import Effect, Outcome, Plan, Send
from ..core.layer import Handler
from ..core.machines.chaos import Chaos
from ..core.machines.circuit_breaker.states import StateChange
from ..core.machines.fallback import FallbackSettings
from ..core.timeouts import Timeout
from ..drivers.clocks import Clock
from ..drivers.locks import ForkSafeLock
from ..drivers.simulated_functions import Awaited, SimulatedClock
from ..drivers.simulator import Run, Simulator
from ..errors import ConfigurationError, Failure
from ..http.messages import HttpRequest, HttpResponse
from ..policies.chaos import new_chaos
from .service import LiveService, Service
from .tally import Tally

__all__ = ["Environment", "Fleet", "QuietCircuits", "SimulatedClock", "without_user_code"]

_URL = "http://service.test/"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "PUT", "DELETE"})  # to repeat

Caller = Callable[[], tuple[Plan[object], "Call | None"]]
"""Makes the plan of one call, which returns its outcome; and the `Call`, or None for a guarded function."""


class Environment:
    """What a guarded function is made with: the service that it calls, and what its policies need.

    clock: for a `RetryPolicy`; its `monotonic` for a `CircuitBreakerPolicy`.   random: for a `RetryPolicy`.
    on_change: for a `CircuitBreakerPolicy`, so that the report knows of its circuit. Its `recovery_jitter` is drawn from
        Python's own generator, and not by the seed of the simulation.
    """

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        on_change: Callable[[StateChange], None],
        method: str,
    ) -> None:
        self.clock = clock
        self.random = random
        self.on_change = on_change
        self._request = HttpRequest(method, _URL)

    async def send(self, *, timeout: float | None = None) -> HttpResponse:
        """One exchange with the service, within `timeout` seconds; None for no limit.

        Returns the response, whatever its status. Raises a TransportError, as a client does.
        """
        outcome: Outcome = await Awaited(Send(self._request, Timeout(total=timeout)))
        if isinstance(outcome, Failure):
            error = outcome.error_type(outcome.message, sent_state=outcome.sent_state, **outcome.details)
            raise error from outcome.cause
        return copy.copy(outcome)  # equal responses are one object


class _Simulator(Simulator):
    """Answers each `Send` with the modelled service, and counts what happens."""

    def __init__(
        self, services: Mapping[str, Service], tally: Tally, method: str, random: Callable[[int], Random]
    ) -> None:
        super().__init__()
        self._services = {
            url: LiveService(service, HttpRequest(method, url), random(number))
            for number, (url, service) in enumerate(services.items())
        }
        self._tally = tally
        self._is_harmless = method in _HARMLESS
        self._acted: dict[Run[Any], int] = {}  # how often the service acted on the request of each call

    def _exchange(self, run: Run[Any], effect: Send) -> tuple[float | None, Outcome]:
        now, tally = self._now, self._tally
        if run.owner is not None:  # a branch, such as a hedge
            run = run.owner
            run.exchanges += 1
        exchange = self._services[effect.request.url].exchange(now, effect.timeout)
        tally.at(now).exchanges += 1
        tally.work += exchange.work
        if exchange.is_wasted:
            tally.wasted += exchange.work
        if exchange.has_acted and not (self._is_harmless or "Idempotency-Key" in effect.request.headers):
            self._acted[run] = times = self._acted.get(run, 0) + 1
            tally.duplicates += times == 2
        return None if exchange.seconds == math.inf else exchange.seconds, exchange.outcome

    def _end(self, run: Run[Any]) -> None:
        super()._end(run)
        if run.owner is not None:
            return
        if run.error is not None:
            raise run.error
        self._tally.count_call(self._now, run.started_at, run.result, run.subject, run.exchanges)
        if self._acted:
            self._acted.pop(run, None)


_REAL = (
    "the guarded function awaits real I/O ({}), which a simulation cannot do; "
    "await environment.send() and environment.clock.sleep_async() instead"
)


def without_user_code(config: HttpClientConfig) -> HttpClientConfig:
    """Without code, files and logins of the user, which are not for a simulation to run, read or use.

    And without what depends on the URL of a call or on the headers of responses.
    """
    return replace(
        config,
        fallback=_without_function(config.resolved.fallback),
        request_interceptors=(),
        response_interceptors=(),
        request_signers=(),
        auth=None,
        netrc=False,
        egress_policy=None,
        cookies=False,
        routes={},
        chaos=None,
        state_key=None,
        base_url=None,
        alternate_urls=(),
    )


def _without_function(fallback: FallbackSettings | None) -> FallbackSettings | None:
    """A value in the place of a fallback's function: that something stands in is what matters here."""
    if fallback is None or fallback.function is None:
        return fallback
    return replace(fallback, function=None, value=None)


class _Chaos(NamedTuple):
    """The chaos of one client."""

    chaos: Chaos


class QuietCircuits(Circuits):
    """Neither the log nor the user's listener hears of circuits that open in a simulation."""

    def report(self, change: StateChange) -> None:
        self._listener(change)


class Fleet:
    """One simulation: the clients, the service, and the calls as they come.

    alternates: the services at the clients' alternate base URLs.
    rate: calls a second of all clients together, at random and independent of each other (a Poisson process).
    jitter: uniform in [0, 1), for the waits of the clients that are made from then on.
    """

    def __init__(
        self,
        service: Service,
        tally: Tally,
        *,
        clients: int,
        rate: float,
        seconds: float,
        seed: int,
        method: str,
        alternates: Sequence[Service] = (),
    ) -> None:
        # Each has a source of its own: another number of retries must not change when calls come.
        self._arrivals = Random(f"arrivals {seed}")
        self.jitter = Random(f"jitter {seed}").random
        self._chance = Random(f"chaos {seed}").random
        self._alternate_urls = [
            f"http://alternate-{number}.test/" for number in range(1, len(alternates) + 1)
        ]
        services = {_URL: service, **dict(zip(self._alternate_urls, alternates, strict=True))}

        def random(number: int) -> Random:
            return Random(f"service {seed}" if number == 0 else f"alternate {number} {seed}")

        self._simulator = _Simulator(services, tally, method, random)
        self._tally = tally
        self._clock = SimulatedClock(self._simulator.clock)
        self._clients = clients
        self._rate = rate
        self._seconds = seconds
        self._method = method
        self._callers: list[Caller] = []

    def of_clients(self, config: HttpClientConfig, options: Mapping[str, Any]) -> None:
        """Let each client be a core with this configuration, whose calls have these options."""
        faults = config.resolved.chaos
        config, url = without_user_code(config), _URL
        if self._alternate_urls:
            config, url = replace(config, base_url=_URL, alternate_urls=self._alternate_urls), ""
        settings, clock, random = config.resolved.circuit_breaker, self._clock, self.jitter
        circuits = None if settings is None else QuietCircuits(settings, self._tally.count_change)
        lock = ForkSafeLock()
        for _ in range(self._clients):
            parts = OriginParts(config, clock, random, circuits, [lock])
            origins = parts.registry
            first = CallBuilder(config, config.base_url, origins, clock, _ignore).build(
                self._method, url, **options
            )
            chaos = (
                None if faults is None else _Chaos(new_chaos(faults.settings, clock.monotonic, self._chance))
            )
            make = pipelines(
                config,
                origins,
                parts.connections,
                Interceptors(None),
                clock,
                random,
                None,
                last_good=LastGoodResponses(config),
                chaos=chaos,
            )
            pipeline = make(None, None).of(first)
            self._callers.append(_caller(first, pipeline, clock.monotonic))

    def of_functions(self, make: Callable[[Environment], Callable[[], Coroutine[Any, Any, object]]]) -> None:
        """Let each client be a guarded function."""
        for _ in range(self._clients):
            function = make(Environment(self._clock, self.jitter, self._tally.count_change, self._method))
            if not callable(function):
                raise ConfigurationError(f"config must return an async function, not {function!r}")
            self._callers.append(partial(_call_of_function, function))

    def call(self) -> None:
        """Let the first client make a call now, beside those that come at random."""
        self._call(self._callers[0])

    def _call(self, caller: Caller) -> None:
        self._tally.at(self._simulator.clock()).calls += 1
        self._simulator.start(*caller())

    def run(self) -> float:
        """Simulate. Returns the instant of the end: calls that are under way at the end of the time are finished."""
        simulator, callers = self._simulator, self._callers
        wait, choose = partial(self._arrivals.expovariate, self._rate), self._arrivals.random
        at = wait() if self._rate > 0 else math.inf
        while at < self._seconds:
            simulator.run(at)
            self._call(callers[int(choose() * len(callers))])
            at += wait()
        simulator.run(self._seconds)
        simulator.run()
        self._tally.at(simulator.clock())
        return simulator.clock()


def _ignore(event: object) -> None:
    """Nobody listens: the tally reads the timelines."""


def _caller(first: Call, pipeline: Handler, now: Callable[[], float]) -> Caller:
    """Makes calls like the first one. What a configuration says about a call is the same for all calls of a client."""
    lifetime = None if first.deadline_at is None else first.deadline_at - first.started_at
    request, key, state, breaker, options, hosts = (
        first.request,
        first.key,
        first.origin_state,
        first.breaker,
        first.options,
        first.hosts,
    )

    def caller() -> tuple[Plan[object], Call]:
        deadline_at = None if lifetime is None else now() + lifetime
        call = Call(request, key, state, breaker, options, now, deadline_at)
        call.hosts = None if hosts is None else hosts.afresh()
        return pipeline(request, call), call

    return caller


def _call_of_function(function: Callable[[], Any]) -> tuple[Plan[object], None]:
    return _driven(function), None


def _driven(function: Callable[[], Any]) -> Plan[object]:
    """A coroutine yields what it awaits, as a plan yields its effects."""
    answer: Any = None
    try:
        coroutine = function()
        if not inspect.isawaitable(coroutine):
            raise ConfigurationError(f"config must return an async function; {function!r} is a plain one")
        steps = coroutine.__await__()
        while True:
            effect = steps.send(answer)
            if not isinstance(effect, Effect):
                raise ConfigurationError(_REAL.format(repr(effect)))
            answer = yield effect
    except StopIteration as stop:
        return stop.value
    except ConfigurationError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and "no running event loop" in str(error):
            raise ConfigurationError(_REAL.format(error)) from error
        return error
