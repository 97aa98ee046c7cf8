"""Results that are only begun: a guard around them would always succeed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import xmlrpc.client
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest import mock

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    HttpResponse,
    HttpServiceClient,
    ResiliencePipeline,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.policies.functions import UNFINISHED
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd
from kit.guarded import breaking, retrying
from kit.rows import each_row


@contextlib.contextmanager
def session() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def async_session() -> AsyncIterator[None]:
    yield


def pages() -> Iterator[int]:
    yield 1


async def async_pages() -> AsyncIterator[int]:
    yield 1


def in_a_pipeline() -> ResiliencePipeline:
    return ResiliencePipeline(retrying())


def client() -> HttpServiceClient:
    clock = VirtualClock()
    return HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)], clock=clock), clock=clock)


@each_row("make", [retrying, breaking, in_a_pipeline, lambda: TimeoutPolicy(60.0)])
@each_row(
    ("begin", "kind"),
    [
        (session, "a context manager"),
        (async_session, "a context manager"),
        (pages, "a generator"),
        (async_pages, "a generator"),
        (lambda: client().stream("GET", "https://h/"), "a stream that is not open yet"),
        (lambda: client().stream_async("GET", "https://h/"), "a stream that is not open yet"),
    ],
)
def test_a_result_that_is_only_begun_is_refused(
    front_end: FrontEnd, make: Any, begin: Any, kind: str
) -> None:
    """Its code would run, and fail, outside the policy. It is no evidence for a circuit."""
    policy = make()
    message = (
        f"returned {kind}; its code runs, and fails, outside the policy; guard the function that uses it"
    )
    with pytest.raises(ConfigurationError, match=message):
        front_end.run(policy.apply(front_end.function(lambda: begin())))
    if isinstance(policy, CircuitBreakerPolicy):
        assert (policy.snapshot().successes, policy.snapshot().failures) == (0, 0)


@each_row("make", [retrying, breaking, in_a_pipeline])
def test_the_result_of_a_call_is_not_lost_because_it_is_a_generator(front_end: FrontEnd, make: Any) -> None:
    """The function has made its call; the generator reads what came of it."""
    used = front_end.client(transport=ScriptedTransport([HttpResponse(201, content=b"[1, 2]")]))
    if front_end.name == "blocking":

        def pay() -> Iterator[int]:
            rows = used.post("https://h/").json()
            return (row for row in rows)

        assert list(make().apply(pay)()) == [1, 2]
    else:

        async def pay_async() -> Iterator[int]:
            rows = (await used.post_async("https://h/")).json()
            return (row for row in rows)

        assert list(front_end.run(make().apply(pay_async))) == [1, 2]


@pytest.mark.parametrize("make", [retrying, breaking, in_a_pipeline])
def test_an_awaitable_of_a_plain_function_is_refused_though_a_call_was_made(make: Any) -> None:
    """Nobody would await it: what is left to do would not be done."""
    coroutines: list[Any] = []

    async def rest() -> None:
        raise AssertionError

    with client() as used, pytest.raises(ConfigurationError, match="returned an awaitable; use call_async"):

        def pay() -> Any:
            used.post("https://h/")
            coroutines.append(rest())
            return coroutines[-1]

        make().call(pay)
    assert [each.cr_frame for each in coroutines] == [None]


def test_a_decorated_context_manager_is_refused() -> None:
    """When it is called, since a decorator below may have made a plain function of the generator."""
    with pytest.raises(ConfigurationError, match="returned a context manager"):
        breaking().apply(session)()
    assert breaking().apply(functools.wraps(pages)(lambda: list(pages())))() == [1]


class GeneratorContextManager:
    """Of an application's own. Only those of contextlib run a generator's code."""


@each_row("make", [retrying, breaking])
@each_row("value", [contextlib.nullcontext(), contextlib.ExitStack(), GeneratorContextManager()])
def test_a_context_manager_without_a_generator_is_a_result(
    front_end: FrontEnd, make: Any, value: object
) -> None:
    """Nothing of the function runs when it is entered."""
    assert front_end.run(make().apply(front_end.function(lambda: value))) is value


class Row(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self.get(name)


@each_row("make", [retrying, breaking])
@each_row(
    "value",
    [Row(id=1), mock.call.x, xmlrpc.client.ServerProxy("http://127.0.0.1:9/"), mock.MagicMock()],
    ids=type,
)
def test_a_result_with_every_attribute_is_no_awaitable(front_end: FrontEnd, make: Any, value: Any) -> None:
    """A catch-all `__getattr__` has an `__await__` too, but Python looks for it in the type."""
    assert front_end.run(make().apply(front_end.function(lambda: value))) is value


def test_a_partial_of_an_async_callable_object_is_async() -> None:
    """So frameworks that ask before they call await the guarded function."""

    class Called:
        async def __call__(self) -> int:
            return 1

    assert inspect.iscoroutinefunction(RetryPolicy().apply(functools.partial(Called())))


def test_what_is_known_of_the_types_of_results_is_bounded() -> None:
    """A program may make classes without end."""
    sizes = []
    for number in range(1500):
        assert UNFINISHED[type(f"Made{number}", (), {})] is None
        sizes.append(len(UNFINISHED))
    assert max(sizes) == 1024
