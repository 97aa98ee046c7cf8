"""`gather` and `gather_in_threads`: many calls, some of them at a time. The laws that both keep."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    HttpResponse,
    deadline,
    gather,
    gather_in_threads,
)
from http_service_client.testing import ScriptedTransport
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.rows import each_row
from kit.threads import in_time, wait_until

URL = "https://api.example.com/"
NAME: ContextVar[str] = ContextVar("name", default="unset")


def gathered(front_end: FrontEnd, functions: Iterable[Callable[[], Any]], **options: Any) -> list[Any]:
    def call() -> list[Any]:
        if isinstance(front_end, BlockingFrontEnd):
            return gather_in_threads(functions, **options)

        async def main() -> list[Any]:
            return await gather(functions, **options)

        result: list[Any] = run_task(main())
        return result

    results: list[Any] = in_time(call)
    return results


def of(front_end: FrontEnd, body: Callable[..., Any], values: Iterable[Any]) -> Iterator[Callable[[], Any]]:
    """Functions that apply `body` to each value, made one by one."""
    function = front_end.function(body)
    return (partial(function, value) for value in values)


def fail(value: Any) -> Any:
    raise ValueError(value)


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_results_are_in_the_order_of_the_calls(front_end: FrontEnd, at_once: int) -> None:
    """Whichever ends first."""
    assert gathered(front_end, of(front_end, str, range(20)), at_once=at_once) == [str(n) for n in range(20)]


@pytest.mark.parametrize("function", [gather, gather_in_threads])
def test_twenty_run_at_once_by_default(function: Any) -> None:
    """As the documentation says."""
    assert inspect.signature(function).parameters["at_once"].default == 20


def test_nothing_gives_nothing(front_end: FrontEnd) -> None:
    """An empty iterable is no error."""
    assert gathered(front_end, []) == []


def test_the_next_one_is_taken_when_it_can_start(front_end: FrontEnd) -> None:
    """So a generator may be as long as it likes: never more than `at_once` are taken and not done."""
    taken, done = [], []

    def source() -> Iterator[Callable[[], Any]]:
        for function in of(front_end, done.append, range(100)):
            assert len(taken) - len(done) < 3
            taken.append(function)
            yield function

    gathered(front_end, source(), at_once=3)
    assert sorted(done) == list(range(100))


def test_the_first_exception_is_raised_and_nothing_more_starts(front_end: FrontEnd) -> None:
    """What has not started never does; a generator of it is closed."""
    started: list[int] = []
    is_closed = []

    def work(number: int) -> None:
        started.append(number)
        if number == 1:
            fail(number)

    def source() -> Iterator[Callable[[], Any]]:
        try:
            yield from of(front_end, work, range(10))
        finally:
            is_closed.append(True)

    with pytest.raises(ValueError, match="1"):
        gathered(front_end, source(), at_once=1)
    assert started == [0, 1]
    gc.collect()
    assert is_closed == [True]


def test_exceptions_may_be_results(front_end: FrontEnd) -> None:
    """Each in its place, and the others go on."""
    functions = [*of(front_end, str, [1]), *of(front_end, fail, ["no"]), *of(front_end, str, [3])]
    one, error, three = gathered(front_end, functions, return_exceptions=True)
    assert (one, three) == ("1", "3")
    assert type(error) is ValueError


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_an_exception_of_the_iterable_is_raised(front_end: FrontEnd, return_exceptions: bool) -> None:
    """It belongs to no call, so no result can stand for it."""
    done: list[int] = []

    def source() -> Iterator[Callable[[], Any]]:
        yield from of(front_end, done.append, [1])
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        gathered(front_end, source(), return_exceptions=return_exceptions)


def test_each_call_has_the_callers_context_and_its_own(front_end: FrontEnd) -> None:
    """It sees the caller's variables; what it sets is seen by no other call."""

    def work(value: str) -> str:
        before = NAME.get()
        NAME.set(value)
        return before

    token = NAME.set("caller's")
    try:
        assert gathered(front_end, of(front_end, work, "abc"), at_once=1) == ["caller's"] * 3
        assert NAME.get() == "caller's"
    finally:
        NAME.reset(token)


def test_a_deadline_holds_inside(front_end: FrontEnd) -> None:
    """Each call has what is left of it."""
    transport = ScriptedTransport(HttpResponse(200))
    client = front_end.client(transport=transport, base_timeout=30.0)
    with deadline(5.0):
        gathered(front_end, [front_end.calling(client, "GET", URL)] * 3)
    totals = [sent.timeout.total for sent in transport.sent]
    assert len(totals) == 3
    assert all(total is not None and total <= 5.0 for total in totals)


@each_row(
    ("options", "message"),
    [
        ({"at_once": 0}, "at_once"),
        ({"at_once": 2.5}, "at_once"),
        ({"return_exceptions": 1}, "return_exceptions"),
    ],
)
def test_wrong_settings_are_refused(front_end: FrontEnd, options: dict[str, Any], message: str) -> None:
    """Before anything starts."""
    started: list[int] = []
    with pytest.raises(ConfigurationError, match=f"^{message} must be "):
        gathered(front_end, of(front_end, started.append, [1]), **options)
    assert started == []


@each_row("item", [5, None, "text"])
def test_what_cannot_be_called_is_refused(front_end: FrontEnd, item: Any) -> None:
    """The message says what to pass instead. What comes after it does not start."""
    started: list[int] = []
    with pytest.raises(TypeError, match=r"gather\w* takes .*functions"):
        gathered(front_end, [item, *of(front_end, started.append, [1])])
    assert started == []


def test_an_error_leaves_no_reference_cycle(front_end: FrontEnd) -> None:
    """What the failed call held is freed at once."""

    class Marker:
        pass

    markers: list[weakref.ref[Marker]] = []

    def work(_: int) -> None:
        marker = Marker()
        markers.append(weakref.ref(marker))
        raise ValueError("no")

    def call() -> Any:
        if isinstance(front_end, BlockingFrontEnd):
            return gather_in_threads(of(front_end, work, [1]))
        return gather(of(front_end, work, [1]))

    async def main() -> None:
        try:  # not pytest.raises, which keeps the error on Python 3.10
            called = call()
            if not isinstance(front_end, BlockingFrontEnd):
                await called
        except ValueError:
            pass
        wait_until(lambda: before.issuperset(threading.enumerate()))
        assert [marker() for marker in markers] == [None]

    before = set(threading.enumerate())
    gc.collect()
    gc.disable()
    try:
        run_task(main())
    finally:
        gc.enable()


def several(front_end: FrontEnd, functions: list[Callable[[], Any]]) -> list[Any]:
    """As `asyncio.gather` takes them."""
    function: Any = gather_in_threads if isinstance(front_end, BlockingFrontEnd) else gather
    result: list[Any] = front_end.run(function, *functions)
    return result


def test_several_arguments_are_told_to_be_one(front_end: FrontEnd) -> None:
    """`asyncio.gather` takes them one by one."""
    with pytest.raises(
        TypeError, match=r"takes 1 argument by position, and 2 were given; write gather.*\(\[…\]\)"
    ):
        several(front_end, [front_end.function(fail)] * 2)


@each_row(
    ("name", "remedy"),
    [
        ("limit", "it is called at_once"),
        ("timeout", "write 'with deadline(…)' around it"),
        ("x", "see its docstring"),
    ],
)
def test_an_unknown_keyword_has_a_remedy(front_end: FrontEnd, name: str, remedy: str) -> None:
    """In the error."""
    with pytest.raises(TypeError) as caught:
        gathered(front_end, [], **{name: 5})
    assert str(caught.value).endswith(f"takes no keyword {name!r}; {remedy}")
