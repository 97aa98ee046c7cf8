"""Ninety minutes of two real clients, in virtual time, with all that a dashboard is for: the same minutes each time.

The pictures in docs/prometheus.md are drawn from them, and the tests of the dashboard and of the alert rules evaluate each
expression against them. The clients are whole `HttpServiceClient`s; only the network is a function here, and time jumps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from http_service_client import (
    Cache,
    ConnectError,
    HttpClientConfig,
    HttpMetrics,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    MetricsCollector,
    SentState,
)
from http_service_client.client.results import finish
from http_service_client.core.effects import Outcome
from http_service_client.core.timeouts import Timeout
from http_service_client.drivers.simulator import Run, Simulator
from http_service_client.errors import AttemptTimeoutError, Failure
from http_service_client.events import (
    ChaosInjected,
    DeadlineRefused,
    FallbackSource,
    FallbackUsed,
    HedgeDenied,
    HedgeFinished,
    HedgeResult,
    HedgeStarted,
    HostChanged,
    LimitRefused,
    LimitWaited,
    OperationFinished,
    OperationTimedOut,
)
from http_service_client.simulation.fleet import SimulatedClock

__all__ = ["MINUTES", "STEP", "Story"]

MINUTES = 90
STEP = 30.0  # seconds between two scrapes

PAYMENTS, SEARCH = "https://payments.example.com", "https://search.example.com"
FLAPPING, ARCHIVE, FILES = (
    "https://flapping.example.com",
    "https://archive.example.com",
    "https://files.example.com",
)


# What policies do that these clients do not have.
_OF_POLICIES = (
    LimitWaited(0.0, 1, SEARCH, "rate limit", 0.3),
    LimitRefused(0.0, 1, SEARCH, "bulkhead", None),
    DeadlineRefused(0.0, 1, SEARCH, 0.1, 0.4, 0.9),
    FallbackUsed(0.0, 1, SEARCH, FallbackSource.VALUE, "status 503"),
    HedgeStarted(0.0, 1, SEARCH, 1, 0.3),
    HostChanged(0.0, 1, SEARCH, ARCHIVE),
    ChaosInjected(0.0, 1, SEARCH, "latency", "0.5 s"),
    OperationTimedOut(2.0, 1, "exchange rates", 2.0, "cancelled"),
    HedgeDenied(0.0, 1, SEARCH, "the quota is spent"),
    HedgeFinished(0.4, 1, SEARCH, 1, HedgeResult.WON, 0.1, 200, None, SentState.ANSWERED),
)


class _BrokenStorage:
    """A cache's storage that is down."""

    blocks = False

    def get(self, *_: object) -> bytes | None:
        raise OSError("the storage is down")

    set = delete = get


class _TwoSteps:
    """An auth flow that sends a request a second time."""

    def auth_flow(self, request: HttpRequest) -> Iterator[HttpRequest]:
        yield request
        yield request


class Story:
    """clients: by their names, for a `PrometheusCollector`.   run: calls a function at each scrape, with the seconds so far."""

    def __init__(self) -> None:
        self._simulator = Simulator(self._respond)
        self._random = Random(1)
        clock = SimulatedClock(self._simulator.clock)
        limits = {  # which nothing reaches
            "bulkhead": {"max_concurrent": 500},
            "adaptive_limit": {"initial_limit": 400, "min_limit": 400, "max_limit": 400},
            "rate_limit": {"rate": 1000},
        }
        shop = HttpServiceClient(HttpClientConfig(**limits), clock=clock, random=Random(2).random)
        batch = HttpServiceClient(
            HttpClientConfig(
                circuit_breaker_config={"failure_threshold": 3, "recovery_timeout": 5.0},
                enable_request_compression=True,
            ),
            clock=clock,
            random=Random(3).random,
            metrics=HttpMetrics(max_series=20),
        )
        self.clients = {"shop": shop, "batch": batch}
        self._events = MetricsCollector(shop.metrics)  # what is no call of these clients
        self._cached = batch.with_options(cache=Cache(storage=_BrokenStorage()))

    def run(self, scrape: Callable[[float], object]) -> None:
        """Run all of it. Nothing is logged."""
        logger = logging.getLogger("http_service_client")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            self._run(scrape)
        finally:
            logger.setLevel(level)
            for client in self.clients.values():
                client.close()

    def _run(self, scrape: Callable[[float], object]) -> None:
        arrivals = Random(4)
        shop, batch = self.clients["shop"], self.clients["batch"]
        sources: list[tuple[float, Callable[[], None]]] = [
            (
                4.0,
                lambda: self._call(shop, "POST", PAYMENTS + "/charges", idempotent=True, name="charge card"),
            ),
            (2.0, lambda: self._call(shop, "GET", SEARCH + "/items/{kind}", path_params={"kind": "pizza"})),
            (0.5, lambda: self._call(batch, "GET", FLAPPING + "/", retry_policy=None)),
            (0.2, lambda: self._call(batch, "GET", ARCHIVE + "/old", allow_redirects=True)),
            (0.2, lambda: self._call(self._cached, "GET", FILES + "/list")),
            (0.1, lambda: self._call(batch, "GET", FILES + "/secret", auth=_TwoSteps())),
            (0.1, lambda: self._call(batch, "POST", FILES + "/upload", data=b"x" * 2000, idempotent=True)),
        ]
        due = [(arrivals.expovariate(rate), rate, call) for rate, call in sources]
        next_scrape, hosts = STEP, 0
        while next_scrape <= MINUTES * 60:
            at, rate, call = min(due, key=lambda each: each[0])
            if at >= next_scrape:
                self._simulator.run(next_scrape)
                self._at(next_scrape)
                if next_scrape > 60 * 60 and hosts < 60:  # the users of the shop have hosts of their own
                    hosts += 1
                    self._call(batch, "GET", f"https://user-{hosts}.example.com/")
                scrape(next_scrape)
                next_scrape += STEP
                continue
            self._simulator.run(at)
            call()
            due[due.index((at, rate, call))] = (at + arrivals.expovariate(rate), rate, call)

    def _at(self, seconds: float) -> None:
        """A function fails now and then. Somebody isolates the archive's circuit, and forgets it."""
        error = "OSError" if seconds % 300 == 0 else None
        self._events.collect(OperationFinished(0.2, "exchange rates", 1 if error is None else 3, error))
        for event in _OF_POLICIES:
            self._events.collect(event)
        if seconds == 300.0:
            circuit = self.clients["batch"].get_circuit_breaker(ARCHIVE)
            assert circuit is not None
            circuit.isolate()

    def _call(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> None:
        """Begin a call as `HttpServiceClient.request` does, and leave its waits to the simulator."""
        builder = client._call_builder
        call = builder.build(method, url, None, **options)
        running = builder.backends.foreign_blocking().running
        run: Run[Any] = self._simulator.spawn(builder.pipelines.of(call)(call.request, call))
        running.add(id(run))

        def on_end() -> None:
            running.discard(id(run))
            if run.error is not None:
                raise run.error
            try:
                finish(call, run.result, None)
            except Exception:
                pass  # it is counted

        run.on_end = on_end

    def _respond(self, request: HttpRequest, timeout: Timeout) -> tuple[float, Outcome]:
        """The network: how long an exchange takes, and its outcome."""
        minute, random = self._simulator.clock() / 60, self._random
        seconds = random.lognormvariate(-2.5, 0.5)  # 80 ms, mostly
        url, status, headers = request.url, 200, {}
        if url.startswith(PAYMENTS):
            if 20 <= minute < 27:
                return 0.001, Failure(ConnectError, "refused", SentState.NEVER_SENT)
            if 4 <= minute < 19 and random.random() < 0.15:
                status = 503
            if 50 <= minute < 63:
                seconds += 5.2
        elif url.startswith(SEARCH):
            if 35 <= minute < 45:
                status, headers = 429, {"Retry-After": "30"}
        elif url.startswith(FLAPPING):
            status = 500 if 60 <= minute < 85 and minute % 1.0 < 0.4 else 200
        elif url.endswith("/old"):
            status, headers = 302, {"Location": "/new"}
        elif url.endswith("/upload"):
            status = 415 if "Content-Encoding" in request.headers else 201
        most = timeout.total
        if most is not None and seconds > most:
            return most, Failure(AttemptTimeoutError, "too slow", SentState.MAYBE_PROCESSED)
        return seconds, HttpResponse(status, headers=headers, url=url, request=request)
