"""What the tests of the core live on: a network, a clock and a caller that are all in their hands.

`FakeTransport` answers from a script and keeps what it was sent. `FakeClock` moves when somebody sleeps.
A `FrontEnd` makes the same call through one of the two front ends, so that each law is shown for both.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Coroutine
from typing import Any

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.core.effects import Outcome
from http_service_client.core.machines.semaphore import FairSemaphore
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

URL = "https://api.example.com/charges"
ORIGIN = "https://api.example.com"

REFUSED = Failure(ConnectError, "refused", SentState.NEVER_SENT, ConnectionRefusedError(111, "refused"))
READ_TIMEOUT = Failure(ReadTimeoutError, "no answer", SentState.MAYBE_PROCESSED, TimeoutError("timed out"))
RESET = Failure(ConnectionLostError, "reset", SentState.MAYBE_PROCESSED, ConnectionResetError(104, "reset"))
SLOW = Failure(AttemptTimeoutError, "took too long", SentState.MAYBE_PROCESSED)


def failure(error_type: type[HttpClientError], state: SentState = SentState.MAYBE_PROCESSED) -> Failure:
    return Failure(error_type, "it failed", state)


def short(value: object) -> str:
    """The name of a case: the same in every process, for pytest-xdist compares them."""
    if isinstance(value, Failure):
        return value.error_type.__name__
    if isinstance(value, type):
        return value.__name__
    return re.sub(r"<function.*?>|<[\w.]+ object at \w+>| at 0x\w+", "...", ascii(value))[:70]


class FakeClock:
    """Time that moves when somebody sleeps, and when a test says so."""

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
    """Answers from its script; the last answer is given again and again.

    An answer is a status, a (status, headers) pair, an outcome, an exception to raise, or a function of
    the request that gives one of these.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script or [200])
        self.sent: list[HttpRequest] = []
        self.timeouts: list[Timeout] = []
        self.bodies: list[bytes | None] = []

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        answer = self._next(request, timeout)
        if answer is not REFUSED:  # a connection that was never made draws nothing from the body
            self.bodies[-1] = b"".join(request.body.chunks())
        return self._outcome(request, answer)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        answer = self._next(request, timeout)
        await asyncio.sleep(0)
        if answer is not REFUSED:
            self.bodies[-1] = b"".join([chunk async for chunk in request.body.async_chunks()])
        return self._outcome(request, answer)

    def _next(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.sent.append(request)
        self.timeouts.append(timeout)
        self.bodies.append(None)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _outcome(self, request: HttpRequest, answer: Any) -> Outcome:
        if callable(answer) and not isinstance(answer, type):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, int):
            answer = (answer, {})
        if isinstance(answer, tuple):
            status, headers = answer
            return HttpResponse(status, headers=headers, url=request.url, request=request)
        assert isinstance(answer, (HttpResponse, Failure))
        return answer


class FrontEnd:
    """One of the two front ends, to be called from plain code."""

    name: str

    def request(self, client: HttpServiceClient, method: str, url: str = URL, **options: Any) -> HttpResponse:
        """A call from its beginning to its end."""
        raise NotImplementedError

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what `function` or `calling` made."""
        raise NotImplementedError

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """A function of this front end's kind, plain or `async def`, that does the same as the plain body."""
        raise NotImplementedError

    def calling(self, client: HttpServiceClient, method: str = "GET", **options: Any) -> Callable[[], Any]:
        """A function of this front end's kind that makes one call."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.name


class Blocking(FrontEnd):
    name = "blocking"

    def request(self, client: HttpServiceClient, method: str, url: str = URL, **options: Any) -> HttpResponse:
        return client.request(method, url, **options)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        return body

    def calling(self, client: HttpServiceClient, method: str = "GET", **options: Any) -> Callable[[], Any]:
        def calling() -> HttpResponse:
            return client.request(method, URL, **options)

        return calling


class Tasks(FrontEnd):
    name = "asyncio"

    def request(self, client: HttpServiceClient, method: str, url: str = URL, **options: Any) -> HttpResponse:
        return run_task(client.request_async(method, url, **options))

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return run_task(function(*args))

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        async def function(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return body(*args, **kwargs)

        return function

    def calling(self, client: HttpServiceClient, method: str = "GET", **options: Any) -> Callable[[], Any]:
        async def calling() -> HttpResponse:
            return await client.request_async(method, URL, **options)

        return calling


FRONT_ENDS = [Blocking(), Tasks()]


def run_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """asyncio.run, with a bound: a test that hangs says where."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, timeout=20)

    return asyncio.run(bounded())


class Harness:
    """A client on a fake network, in fake time, with everything that happened at hand."""

    def __init__(
        self, front_end: FrontEnd, *script: Any, random: Callable[[], float] = lambda: 0.5, **settings: Any
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
        )

    def request(self, method: str = "GET", url: str = URL, **options: Any) -> HttpResponse:
        return self.front_end.request(self.client, method, url, **options)

    def error(self, kind: type[BaseException], method: str = "GET", **options: Any) -> Any:
        """The error that the call raises; any other outcome fails the test."""
        try:
            response = self.request(method, **options)
        except kind as error:
            return error.with_traceback(None)
        raise AssertionError(f"no {kind.__name__} but {response!r}")

    @property
    def sends(self) -> int:
        return len(self.transport.sent)

    @property
    def sleeps(self) -> list[float]:
        return self.clock.sleeps

    @property
    def limits(self) -> list[FairSemaphore]:
        """The client's limit on connections, and that of each host."""
        return self.client._backends._limits()

    @property
    def state(self) -> Any:
        """What the client keeps for the one host of these tests."""
        return self.client._call_builder.origins.get(ORIGIN)

    def names(self) -> list[str]:
        """The names of the events so far, as a story."""
        return [getattr(event, "name", type(event).__name__) for event in self.events]


class LockWithQueue:
    """A lock that another caller gets first, when the test says so. Races without waiting for luck."""

    def __init__(self) -> None:
        self.first: Callable[[], object] | None = None

    def __enter__(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            first()

    def __exit__(self, *_: object) -> None:
        pass


def isolate_while_sleeping(bench: Harness) -> None:
    """Somebody opens the circuit while this call waits for its retry."""
    sleep = bench.clock.sleep

    def sleep_and_isolate(seconds: float) -> None:
        sleep(seconds)
        bench.state.breaker.isolate()

    bench.clock.sleep = sleep_and_isolate  # type: ignore[method-assign]
    bench.client._backends._blocking = bench.client._backends._asyncio = None
