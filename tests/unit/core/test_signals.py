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

from http_service_client.core.signals import is_of_signal_handler, raise_if_of_signal_handler
from kit.rows import each_row

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


@each_row("handler", HANDLERS)
def test_what_a_handler_raises_is_its_own(handler: Callable[..., None]) -> None:
    """A function, a method, or any other callable, with or without a signature of its own."""
    assert is_of_signal_handler(interrupted(handler))


def test_a_handler_that_was_given_more_is_one_too() -> None:
    """By `functools.partial`, before the two that Python gives it."""
    assert is_of_signal_handler(interrupted(any_arguments_after_a_name, "job"))


def of(function: Callable[..., object], *arguments: object) -> BaseException:
    """The error of a function that is called with these arguments, two functions further in."""

    def work(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        function(*arguments)

    try:
        work(function, arguments)
    except TimeLimitError as error:
        return error
    raise AssertionError("it did not raise")


@each_row(
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
@each_row("function", [any_arguments, any_arguments_and_settings])
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


@pytest.mark.parametrize("is_of_handler", [True, False])
def test_code_that_handles_any_error_leaves_a_handler_s_alone(is_of_handler: bool) -> None:
    """It is raised again as it is, and kept by nobody; the errors of other functions are handled."""
    made: list[weakref.ref[BaseException]] = []

    def fail() -> None:
        any_arguments(NUMBER, sys._getframe() if is_of_handler else None)

    def handle() -> None:
        try:
            fail()
        except Exception as error:
            made.append(weakref.ref(error))
            raise_if_of_signal_handler()

    gc.disable()
    try:
        if is_of_handler:
            try:
                handle()
            except TimeLimitError as error:
                assert error is made[0]()  # noqa: PT017  # `pytest.raises` would keep it
            else:
                raise AssertionError("it was not raised again")
        else:
            handle()
        assert made[0]() is None
    finally:
        gc.enable()


def test_without_an_error_there_is_nothing_to_raise() -> None:
    """Code may ask outside of an `except` block."""
    raise_if_of_signal_handler()
