"""A fake network and a fake clock for the tests of the core, and a client that stands on both (`Harness`).

`FakeTransport` responds from a script and keeps the requests. `FakeClock` moves when the code under test sleeps.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.core.effects import Outcome
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    Failure,
    HttpClientError,
    ReadTimeoutError,
    SentState,
)
from http_service_client.http.messages import HttpRequest, HttpResponse
from kit.front_ends import FrontEnd

URL = "https://api.example.com/charges"
ORIGIN = "https://api.example.com"

REFUSED = Failure(ConnectError, "refused", SentState.NEVER_SENT, ConnectionRefusedError(111, "refused"))
READ_TIMEOUT = Failure(ReadTimeoutError, "no answer", SentState.MAYBE_PROCESSED, TimeoutError("timed out"))
RESET = Failure(ConnectionLostError, "reset", SentState.MAYBE_PROCESSED, ConnectionResetError(104, "reset"))
SLOW = Failure(AttemptTimeoutError, "took too long", SentState.MAYBE_PROCESSED)


def failure(error_type: type[HttpClientError], state: SentState = SentState.MAYBE_PROCESSED) -> Failure:
    return Failure(error_type, "it failed", state)


def short(value: object) -> str:
    """The id of a case. It is the same in every process, since pytest-xdist compares ids."""
    if isinstance(value, Failure):
        return value.error_type.__name__
    if isinstance(value, type):
        return value.__name__
    return re.sub(r"<function.*?>|<[\w.]+ object at \w+>| at 0x\w+", "...", ascii(value))[:70]


class FakeClock:
    """Time that moves when the code under test sleeps, and when a test moves it."""

    def __init__(self, now: float = 1000.0, wall: float = 784111717.0) -> None:
        self.now = now
        self._wall_offset = wall - now  # Sun, 06 Nov 1994 08:48:37 GMT at the start
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self._wall_offset

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


class FakeTransport:
    """Responds from a script, and repeats the script's last entry when it is used up.

    An entry is a status, a (status, headers) pair, an outcome, an exception to raise, or a function of
    the request that returns one of these.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script or [200])
        self.sent: list[HttpRequest] = []
        self.timeouts: list[Timeout] = []
        self.bodies: list[bytes | None] = []

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        entry = self._next(request, timeout)
        if entry is not REFUSED:  # without a connection nothing is read from the body
            self.bodies[-1] = b"".join(request.body.chunks())
        return self._outcome(request, entry)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        entry = self._next(request, timeout)
        await asyncio.sleep(0)
        if entry is not REFUSED:
            self.bodies[-1] = b"".join([chunk async for chunk in request.body.async_chunks()])
        return self._outcome(request, entry)

    def _next(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.sent.append(request)
        self.timeouts.append(timeout)
        self.bodies.append(None)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _outcome(self, request: HttpRequest, entry: Any) -> Outcome:
        if callable(entry) and not isinstance(entry, type):
            entry = entry(request)
        if isinstance(entry, BaseException):
            raise entry
        if isinstance(entry, int):
            entry = (entry, {})
        if isinstance(entry, tuple):
            status, headers = entry
            return HttpResponse(status, headers=headers, url=request.url, request=request)
        assert isinstance(entry, (HttpResponse, Failure))
        return entry


class Harness:
    """A client on a fake network and in fake time, and the record of what it did."""

    def __init__(
        self,
        front_end: FrontEnd,
        *script: Any,
        random: Callable[[], float] = lambda: 0.5,
        on_exchange: Callable[..., object] | None = None,
        telemetry: Any = None,
        **settings: Any,
    ) -> None:
        self.front_end = front_end
        self.clock = FakeClock()
        self.transport = FakeTransport(*script)
        self.events: list[Any] = []
        self.client = HttpServiceClient(
            HttpClientConfig(**settings),
            transport=self.transport,
            clock=self.clock,
            random=random,
            on_event=self.events.append,
            on_exchange=on_exchange,
            telemetry=telemetry,
        )

    def request(self, method: str = "GET", url: str = URL, **options: Any) -> HttpResponse:
        """Make a call and wait for it; in asyncio on a fresh event loop."""
        response: HttpResponse = self.front_end.run(self.calling(method, url, **options))
        return response

    def calling(self, method: str = "GET", url: str = URL, **options: Any) -> Callable[[], Any]:
        """A function that makes one call; an `async def` for asyncio."""
        return self.front_end.calling(self.client, method, url, **options)

    def error(self, kind: type[BaseException], method: str = "GET", **options: Any) -> Any:
        """The error that the call raises. Any other outcome fails the test."""
        try:
            response = self.request(method, **options)
        except kind as error:
            return error.with_traceback(None)
        raise AssertionError(f"expected {kind.__name__}, got {response!r}")

    @property
    def sends(self) -> int:
        """How many requests were sent."""
        return len(self.transport.sent)

    @property
    def sleeps(self) -> list[float]:
        return self.clock.sleeps

    @property
    def limits(self) -> list[FairSemaphore]:
        """The client's limit on connections, and each host's."""
        return self.client._backends._limits()

    @property
    def state(self) -> Any:
        """The client's state for the one origin of these tests."""
        return self.client._call_builder.origins.get(ORIGIN)

    def names(self) -> list[str]:
        """The names of the events so far, in order."""
        return [event.name for event in self.events]


class LockWithQueue:
    """A lock that another caller acquires first when the test says so: a race that happens every time."""

    def __init__(self) -> None:
        self.first: Callable[[], object] | None = None

    def __enter__(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            first()

    def __exit__(self, *_: object) -> None:
        pass


def isolate_while_sleeping(harness: Harness) -> None:
    """Open the circuit while a call waits before its retry."""
    sleep = harness.clock.sleep

    def sleep_and_isolate(seconds: float) -> None:
        sleep(seconds)
        harness.state.breaker.isolate()

    harness.clock.sleep = sleep_and_isolate  # type: ignore[method-assign]
    # The drivers keep the clock's method, so they are made again.
    harness.client._backends._blocking = harness.client._backends._asyncio = None
