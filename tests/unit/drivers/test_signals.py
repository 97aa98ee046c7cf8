"""Which errors a signal's handler raised: by how it was called, whatever its signature, and whatever the error's type.

What that means for calls and policies is in `tests/network/test_signals.py`.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from http_service_client.core.effects import Invoke
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.drivers.signals import is_of_signal_handler
from kit.threads import in_time

NUMBER = 14  # SIGALRM; Windows has none


class TimeLimitError(TimeoutError):
    """Of a job."""


def plain(number: int, frame: FrameType | None) -> None:
    raise TimeLimitError


def with_settings(
    number: int, frame: FrameType | None, text: str = "too long", *, retry: bool = False
) -> None:
    raise TimeLimitError(text, retry)


def any_arguments(*arguments: Any) -> None:
    raise TimeLimitError


def any_arguments_after_a_name(name: str, *arguments: Any) -> None:
    raise TimeLimitError(name)


def any_arguments_and_settings(*arguments: Any, text: str = "too long", retry: bool = False) -> None:
    raise TimeLimitError(text, retry)


def changes_its_arguments(number: int, frame: FrameType | None) -> None:
    plain(number, frame)


class Job:
    def method(self, number: int, frame: FrameType | None) -> None:
        raise TimeLimitError

    @staticmethod
    def by_a_lambda(number: int, frame: FrameType | None) -> None:
        Job.later(lambda: plain(number, frame))

    @staticmethod
    def later(raises: Callable[[], None]) -> None:
        raises()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise TimeLimitError


HANDLERS: list[Callable[..., None]] = [
    plain,
    with_settings,
    any_arguments,
    any_arguments_and_settings,
    changes_its_arguments,
    Job().method,
    Job.by_a_lambda,
    Job(),
]


def interrupted(handler: Callable[..., None], *more: object) -> BaseException:
    """The error of a handler that Python calls in some work, as it comes out of that work."""

    def work(depth: int) -> None:
        if depth:
            work(depth - 1)
        handler(*more, NUMBER, sys._getframe())

    try:
        work(2)
    except TimeLimitError as error:
        return error
    raise AssertionError("it did not raise")


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_raises_is_its_own(handler: Callable[..., None]) -> None:
    """A function, a method, or any other callable, with or without a signature of its own."""
    assert is_of_signal_handler(interrupted(handler))


def test_a_handler_that_was_given_more_is_one_too() -> None:
    """By `functools.partial`, before the two that Python gives it."""
    assert is_of_signal_handler(interrupted(any_arguments_after_a_name, "job"))


def test_on_another_thread_no_handler_runs() -> None:
    """What looks like one there is a function that happens to take a number and a frame."""
    assert in_time(lambda: is_of_signal_handler(interrupted(plain))) is False


def of(function: Callable[..., object], *arguments: object) -> BaseException:
    """The error of a function that is called with these arguments, two functions further in."""

    def work(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        function(*arguments)

    try:
        work(function, arguments)
    except TimeLimitError as error:
        return error
    raise AssertionError("it did not raise")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (NUMBER, None),
        (NUMBER, "frame"),
        ("name", sys._getframe()),
        (sys._getframe(), NUMBER),
        (NUMBER, 15),
    ],
    ids=["none", "no frame", "text", "no number", "the other way round", "numbers"],
)
@pytest.mark.parametrize("function", [any_arguments, any_arguments_and_settings])
def test_other_arguments_are_not_a_handler_s(
    function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    """Only a number, and then a frame that the error has passed."""
    assert not is_of_signal_handler(of(function, *arguments))


@pytest.mark.parametrize("first", ["name", sys._getframe()], ids=["text", "frame"])
def test_a_frame_that_the_error_has_passed_needs_a_number_before_it(first: object) -> None:
    """A function that prints the frames of its caller has no other argument of a handler."""

    def work() -> None:
        any_arguments(first, sys._getframe())

    with pytest.raises(TimeLimitError) as raised:
        work()
    assert not is_of_signal_handler(raised.value)


def test_a_number_needs_a_frame_that_the_error_has_passed() -> None:
    """Not one of some other code, which is kept to be looked at."""
    other = (lambda: sys._getframe())()
    assert not is_of_signal_handler(of(plain, NUMBER, other))


def test_an_error_that_passed_no_function_is_no_handler_s() -> None:
    """Nor one that was never raised."""
    with pytest.raises(TimeLimitError) as raised:
        raise TimeLimitError
    assert not is_of_signal_handler(raised.value)
    assert not is_of_signal_handler(TimeLimitError())


def test_the_first_function_of_a_traceback_was_called_by_nobody_in_it() -> None:
    """It may take two numbers, or a number and whatever else: what it was called with interrupts nothing."""

    def first(number: int, frame: object) -> BaseException:
        try:
            raise TimeLimitError
        except TimeLimitError as error:
            return error

    assert not is_of_signal_handler(first(NUMBER, "frame"))


def test_the_look_leaves_no_reference_cycle() -> None:
    """Up to Python 3.12 a frame keeps the variables that it was asked for, and the error with them."""

    class Failed(Exception):
        pass

    kept: list[weakref.ref[BaseException]] = []

    def fail() -> None:
        error = Failed()
        kept.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    def plan() -> Any:
        try:
            yield Invoke(fail)
        except Failed:
            pass
        yield Invoke(abs, -1)

    gc.disable()
    try:
        BlockingDriver(None).run(plan())  # type: ignore[arg-type]
        assert kept[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("is_of_handler", [True, False])
def test_a_plan_goes_on_after_an_error_that_it_handles_but_not_after_a_handler_s(is_of_handler: bool) -> None:
    """An error of a cache's storage costs no call, say. A time limit does, though it comes out of the storage."""
    log: list[str] = []

    def fail() -> None:
        arguments = (NUMBER, sys._getframe()) if is_of_handler else (NUMBER, None)
        any_arguments(*arguments)

    def plan() -> Any:
        try:
            yield Invoke(fail)
        except TimeLimitError:
            yield Invoke(log.append, "went on")
        return "done"

    driver = BlockingDriver(None)  # type: ignore[arg-type]
    if is_of_handler:
        with pytest.raises(TimeLimitError):
            driver.run(plan())
    else:
        assert driver.run(plan()) == "done"
    assert log == ([] if is_of_handler else ["went on"])
