"""Functions of the user's that nobody would await, or iterate over: refused when given, or reported when called."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    Cache,
    CircuitBreakerPolicy,
    ConfigurationError,
    FallbackPolicy,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.events import CacheFailed
from http_service_client.policies import MemoryStorage
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/"


def generator(*_: Any) -> Any:
    yield True


async def async_generator(*_: Any) -> Any:
    yield True


async def async_function(*_: Any) -> Any:
    await asyncio.sleep(0)


class Calls:
    """An object that is called as a function, and is a generator."""

    def __call__(self, *_: Any) -> Any:
        yield True


WRONG: dict[str, Callable[..., Any]] = {
    "async": async_function,
    "async generator": async_generator,
    "generator": generator,
    "partial generator": functools.partial(generator, 1),
    "object that generates": Calls(),
}
TAKERS: dict[str, Callable[[Any], object]] = {
    "on_event": lambda it: HttpServiceClient(on_event=it),
    "on_exchange": lambda it: HttpServiceClient(on_exchange=it),
    "interceptor_factory": lambda it: HttpServiceClient(interceptor_factory=it),
    "random": lambda it: HttpServiceClient(random=it),
    "state_key": lambda it: HttpClientConfig(state_key=it),
    "on_change": lambda it: CircuitBreakerPolicy(on_change=it),
    "is_failure": lambda it: CircuitBreakerPolicy(is_failure=it),
    "is_failure of a fallback": lambda it: FallbackPolicy(value=1, is_failure=it),
    "predicate": lambda it: RetryCondition.on_result(it),
    "partition_by": lambda it: BulkheadPolicy(1, partitions={"a": 0.5}, partition_by=it),
    "is_done": lambda it: HttpServiceClient().poll(HttpResponse(202, url=URL), is_done=it),
    "next": lambda it: next(HttpServiceClient().paginate(URL, next=it)),
}


@each_row("kind", WRONG)
@each_row("taker", TAKERS)
def test_what_would_never_run_is_refused_when_it_is_given(taker: str, kind: str) -> None:
    """A generator, like a coroutine, is always true, and none of its code runs."""
    with pytest.raises(ConfigurationError, match=f"{taker.split()[0]} must be a plain function"):
        TAKERS[taker](WRONG[kind])


@pytest.mark.parametrize("delays", [async_function, async_generator], ids=["async", "async generator"])
@pytest.mark.parametrize("field", ["backoff_strategy", "throttled_backoff"])
def test_the_delays_of_a_backoff_are_plain(field: str, delays: Any) -> None:
    """They would raise at the first retry, in the place of what went wrong."""

    class Backoff:
        def __init__(self) -> None:
            self.delays = delays

        def __repr__(self) -> str:
            return "<Backoff>"

    with pytest.raises(
        ConfigurationError, match=f"delays of {field} must be a plain generator, not .*<Backoff>"
    ):
        RetryPolicy(**{field: Backoff()})


def test_listeners_that_return_an_awaitable_are_reported(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """As `lambda event: queue.put(event)` does. The call goes on, and Python has nothing to warn of."""
    client = front_end.client(
        transport=ScriptedTransport(HttpResponse(503)),
        on_event=lambda event: async_function(event),
        on_exchange=lambda *about: async_function(*about),
        circuit_breaker_config=CircuitBreakerPolicy(
            failure_threshold=1,
            on_change=lambda change: async_function(change),  # type: ignore[arg-type,return-value]
        ),
        enable_retry_policy=False,
    )
    with caplog.at_level(logging.ERROR, "http_service_client.hooks"):
        assert front_end.request(client, "GET", URL).status_code == 503
    reported = {record.getMessage().split(" failed")[0] for record in caplog.records}
    assert reported == {"on_event", "on_exchange", "a listener"}
    assert all(
        "which nobody awaits; it must be a plain function" in str(record.exc_info[1])
        for record in caplog.records
        if record.exc_info
    )


@pytest.mark.parametrize("blocks", [True, False])
def test_a_storage_that_returns_an_awaitable_has_failed(front_end: FrontEnd, blocks: bool) -> None:
    """It has stored nothing, and found nothing."""

    class Storage(MemoryStorage):
        def get(self, *place: Any) -> Any:
            return async_function(*place)

        def set(self, *place: Any) -> Any:
            return async_function(*place)

    storage = Storage()
    storage.blocks = blocks
    fresh = HttpResponse(200, headers={"Cache-Control": "max-age=60"})
    client = front_end.client(transport=ScriptedTransport(fresh), cache=Cache(storage=storage))
    timeline = front_end.request(client, "GET", URL).timeline
    failed = [event for event in timeline if isinstance(event, CacheFailed)]
    assert [(event.operation, event.error) for event in failed] == [
        ("get", "TypeError"),
        ("set", "TypeError"),
    ]
    assert all("which nobody awaits" in event.message for event in failed)


@pytest.mark.parametrize("made", [None, object()], ids=["nothing", "another object"])
def test_an_interceptor_factory_returns_interceptors(made: object) -> None:
    """The error names the class that was asked for, and the method that is missing."""

    class Signed:
        def intercept_request(self, request: Any, context: Any) -> Any:
            return request

    config = HttpClientConfig(request_interceptors=[Signed])
    message = "interceptor_factory must return a Signed, with the method intercept_request, not "
    with pytest.raises(ConfigurationError, match=message):
        HttpServiceClient(config, interceptor_factory=lambda kind: made)
    with pytest.raises(TypeError, match="which nobody awaits"):
        HttpServiceClient(config, interceptor_factory=lambda kind: async_function(kind))
