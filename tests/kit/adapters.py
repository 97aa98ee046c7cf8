"""Runs one scenario of the parity table through a plain client and through an adapter under another library.

What is compared is what the core decides: attempts and what became of each, waits, refusals, the outcome, and the requests
that the server saw. Each library has a `Way`: how it makes a request of the keywords of a row.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar

import aiohttp
import requests

from http_service_client import CircuitBreakerPolicy, HttpClientConfig, HttpServiceClient
from http_service_client.events import (
    AttemptFinished,
    CallFinished,
    CircuitRefused,
    DeadlineRefused,
    LimitRefused,
    LimitWaited,
    RetryScheduled,
    RetryStopped,
    ThrottleRefused,
    ThrottleWaited,
)
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientAdapter,
    ResilientTransport,
    resilience_middleware,
)
from http_service_client.testing import LoopbackServer, VirtualClock
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.parity import Row, seeded, set_up, wait_for_requests

__all__ = ["WAYS", "Story", "Way", "by_adapter", "by_client", "is_adaptable", "leaving_bodies"]

# Keywords of a call that an adapter has from a view of its client.
_OF_VIEWS = ("timeout", "total_timeout", "retry_policy", "circuit_breaker", "retry_budget", "key")
# Settings of a client that hold under other libraries.
_OF_CLIENTS = frozenset(
    {
        *(
            "base_timeout",
            "total_timeout",
            "enable_circuit_breaker",
            "circuit_breaker_config",
            "enable_retry_policy",
        ),
        *("retry_policy_config", "enable_retry_budget", "retry_budget_config", "auto_idempotency_key"),
        "enable_throttle_gate",
    }
)
_OF_REQUESTS = frozenset({"method", "path", "params", "headers", "json", "data", "idempotent"})


@dataclass
class Story:
    """What happened, in plain values.

    result: the status, or the name of our error.   attempts: the number, status, error and sent state of each.
    decided: waits, refusals and reasons to stop, in order.   received: methods and bodies, as the server saw them.
    """

    result: int | str = ""
    sent_state: str = ""
    attempts: list[Any] = field(default_factory=list)
    decided: list[Any] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    circuits: list[str] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)

    def listen(self, event: Any) -> None:
        """Note an event of a call."""
        if isinstance(event, AttemptFinished):
            self.attempts.append((event.attempt, event.status_code, event.error, event.sent_state.value))
        elif isinstance(event, RetryScheduled):
            self.decided.append(("wait", round(event.delay, 6)))
        elif isinstance(event, RetryStopped):
            self.decided.append(("stop", event.reason.value))
        elif isinstance(
            event,
            (CircuitRefused, DeadlineRefused, LimitRefused, LimitWaited, ThrottleRefused, ThrottleWaited),
        ):
            self.decided.append(type(event).__name__)
        elif isinstance(event, CallFinished):
            result = event.status_code if event.error is None else event.error
            self.result, self.sent_state = result or "", event.sent_state.value


class Way(ABC):
    """How a library makes a request of a row, with an adapter of ours.

    plain: the front end of the client that it is compared with.   cannot: names of rows that differ, each for a reason.
    makes_cycles: the library leaves its own responses, or errors, to the cycle collector.
    reads_bodies: an attempt includes the body of its response.
    """

    name: ClassVar[str]
    plain: ClassVar[type[FrontEnd]]
    cannot: ClassVar[Mapping[str, str]] = {}
    makes_cycles: ClassVar[bool] = False
    reads_bodies: ClassVar[bool] = True

    @abstractmethod
    def __init__(self, client: HttpServiceClient, idempotent: bool | None, stack: ExitStack) -> None:
        """A session with an adapter that shares the client; it is closed by the stack."""

    @abstractmethod
    def request(self, method: str, url: str, **parts: Any) -> None:
        """Make the request, and read the response. It may raise what the library raises."""

    def __repr__(self) -> str:
        return self.name


class RequestsWay(Way):
    """A `requests.Session` with a `ResilientAdapter`."""

    name, plain = "requests", BlockingFrontEnd
    cannot = {
        "early hints before the response": "requests takes them for the response",
        "closed in the head": "http.client takes a head that was cut short for a whole one",
        "a length that is not a number": "http.client ignores it",
        "truncated gzip": "urllib3 returns what there is",
    }

    def __init__(self, client: HttpServiceClient, idempotent: bool | None, stack: ExitStack) -> None:
        self._session = stack.enter_context(requests.Session())
        self._session.trust_env = False
        self._session.mount("http://", ResilientAdapter(client=client, idempotent=idempotent))

    def request(self, method: str, url: str, **parts: Any) -> None:
        self._session.request(method, url, allow_redirects=False, **parts)


class AiohttpWay(Way):
    """An aiohttp `ClientSession` with a `resilience_middleware`."""

    name, plain = "aiohttp", AsyncioFrontEnd
    cannot = {
        "no response within the read timeout": "the session has the read timeout",
        "a body that stalls": "the session has the read timeout",
        "reset in the body, then 200": "aiohttp reports the end of the body alone",
        "truncated gzip": "aiohttp returns what there is",
        "an upload that stalls": "aiohttp closes its connection only when the server has read the rest",
    }

    def __init__(self, client: HttpServiceClient, idempotent: bool | None, stack: ExitStack) -> None:
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        self._wait = loop.run_until_complete
        middleware = resilience_middleware(
            client=client, idempotent=idempotent, read_bodies=self.reads_bodies
        )
        self._session = self._wait(self._opened(middleware))
        stack.callback(lambda: self._wait(self._session.close()))

    async def _opened(self, middleware: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(middlewares=[middleware])

    def request(self, method: str, url: str, **parts: Any) -> None:
        error = self._wait(self._requested(method, url, parts))
        if error is not None:
            try:
                raise error.with_traceback(None)  # here, since the loop's frames would be in a cycle with it
            finally:
                del error

    async def _requested(self, method: str, url: str, parts: dict[str, Any]) -> Exception | None:
        data = parts.get("data")
        if isinstance(data, Iterator) and not hasattr(data, "read"):
            parts["data"] = _asynchronous(data)
        try:
            async with self._session.request(method, url, allow_redirects=False, **parts) as response:
                await response.read()
        except Exception as error:
            return error
        return None


async def _asynchronous(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


_UNLIKE_HTTPX = {
    "closed in the head": "httpx has one error for that and for no response",
    "corrupt gzip": "httpx decodes after the call",
    "truncated gzip": "httpx decodes after the call",
}


class HttpxWay(Way):
    """A client of httpx, or of httpx2, with a `ResilientTransport`.   library: the module."""

    name, plain = "httpx", BlockingFrontEnd
    library = "httpx"
    makes_cycles = True  # a response and its stream; not in httpx2
    cannot = {
        **_UNLIKE_HTTPX,
        "a head that trickles beyond the timeout": "blocking httpx bounds each read of a head alone",
        "a file is rewound to its position before the call": "httpx 0.27 declares the length of the whole file",
    }

    def __init__(self, client: HttpServiceClient, idempotent: bool | None, stack: ExitStack) -> None:
        library = importlib.import_module(self.library)
        sends = library.HTTPTransport(verify=False)  # to read the authorities takes longer than a scenario
        transport = ResilientTransport(
            client=client, transport=sends, idempotent=idempotent, read_bodies=self.reads_bodies
        )
        self._client = stack.enter_context(library.Client(transport=transport, timeout=None))

    def request(self, method: str, url: str, **parts: Any) -> None:
        self._client.request(method, url, **_for_httpx(parts))


class AsyncHttpxWay(Way):
    """Likewise, an `AsyncClient` with an `AsyncResilientTransport`."""

    name, plain = "httpx, async", AsyncioFrontEnd
    library = "httpx"
    makes_cycles = True  # an error of anyio and its stream
    cannot = {
        **_UNLIKE_HTTPX,
        "a file is rewound to its position before the call": "an AsyncClient takes no plain file",
    }

    def __init__(self, client: HttpServiceClient, idempotent: bool | None, stack: ExitStack) -> None:
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        self._wait = loop.run_until_complete
        library = importlib.import_module(self.library)
        sends = library.AsyncHTTPTransport(verify=False)
        transport = AsyncResilientTransport(
            client=client, transport=sends, idempotent=idempotent, read_bodies=self.reads_bodies
        )
        self._client = library.AsyncClient(transport=transport, timeout=None)
        stack.callback(lambda: self._wait(self._client.aclose()))

    def request(self, method: str, url: str, **parts: Any) -> None:
        data = parts.get("data")
        if isinstance(data, Iterator) and not hasattr(data, "read"):
            parts["data"] = _asynchronous(data)
        error = self._wait(self._requested(method, url, _for_httpx(parts)))
        if error is not None:
            try:
                raise error
            finally:
                del error

    async def _requested(self, method: str, url: str, parts: dict[str, Any]) -> Exception | None:
        try:
            await self._client.request(method, url, **parts)
        except Exception as error:
            return error
        return None


def _for_httpx(parts: dict[str, Any]) -> dict[str, Any]:
    """The keywords in httpx's terms: a body that is no form is `content`."""
    if "data" in parts and not isinstance(parts["data"], Mapping):
        parts = {**parts, "content": parts["data"]}
        del parts["data"]
    return parts


def _of_httpx2(way: type[Way]) -> type[Way]:
    return type(
        f"{way.__name__}2", (way,), {"name": way.name.replace("httpx", "httpx2"), "library": "httpx2"}
    )


_OF_HTTPX = (HttpxWay, AsyncHttpxWay)

WAYS: tuple[type[Way], ...] = (
    RequestsWay,
    AiohttpWay,
    *(_OF_HTTPX if find_spec("httpx") else ()),
    *(map(_of_httpx2, _OF_HTTPX) if find_spec("httpx2") else ()),
)


def leaving_bodies(way: type[Way]) -> type[Way]:
    """The same way, but the user of the session reads the bodies."""
    return type(way.__name__, (way,), {"reads_bodies": False})


def is_adaptable(row: Row) -> bool:
    """Whether the row is about what an adapter does: not about redirects, interceptors, limits of sizes."""
    known = _OF_REQUESTS.union(_OF_VIEWS)
    return (
        set(row.config) <= _OF_CLIENTS
        and set({**row.call, **row.per_call()}) <= known
        and set(row.steps()) == {"/"}
        and not isinstance(row.call.get("params"), Mapping)
    )


def by_client(row: Row, plain: type[FrontEnd]) -> Story:
    """The scenario by the client itself."""
    with ExitStack() as stack:
        front_end = stack.enter_context(plain())

        def call(client: HttpServiceClient, method: str, url: str, options: dict[str, Any]) -> None:
            front_end.request(client, method, url, **options)

        return _run(row, stack, call)


def by_adapter(row: Row, way: type[Way]) -> Story:
    """The scenario by a session of the library, under whose requests is an adapter."""
    with ExitStack() as stack:
        sessions: list[Way] = []

        def call(client: HttpServiceClient, method: str, url: str, options: dict[str, Any]) -> None:
            idempotent = options.pop("idempotent", None)
            defaults = {name: options.pop(name) for name in _OF_VIEWS if name in options}
            if not sessions or isinstance(defaults.get("circuit_breaker"), CircuitBreakerPolicy):
                sessions.append(way(client.with_options(**defaults), idempotent, stack))
            sessions[-1].request(method, url, **options)

        return _run(row, stack, call)


def _run(row: Row, stack: ExitStack, call: Any) -> Story:
    story, clock = Story(), VirtualClock()
    here, elsewhere = (stack.enter_context(LoopbackServer()) for _ in range(2))
    refusals = set_up(row, here, elsewhere, lambda text: text)

    def listen(event: Any) -> None:
        story.listen(event)
        if isinstance(event, RetryScheduled) and event.attempt == refusals:
            here.accept()

    client = HttpServiceClient(
        HttpClientConfig(**{"trust_env_proxy_settings": False, **row.config}),
        clock=None if row.real_time else clock,
        random=seeded(),
        on_event=listen,
    )
    stack.callback(client.close)
    for number in range(row.calls):
        if number:
            clock.advance(row.pause)
        options = {"method": "GET", "path": "/", **row.call, **row.per_call()}
        method, path = options.pop("method"), options.pop("path")
        try:
            call(client, method, here.url + path, options)
        except Exception:
            pass  # the events say which error of ours it is
    story.waits = clock.waits
    story.circuits = sorted(client.get_circuit_breaker_states().values())
    wait_for_requests(row, here, elsewhere)
    story.received = [(request.method, _body(request.body)) for request in here.requests]
    return story


def _body(body: bytes) -> Any:
    """JSON by its value, since each library writes it with other spaces."""
    try:
        return json.loads(body)
    except ValueError:
        return body
