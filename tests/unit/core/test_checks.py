"""One sentence for each kind of mistake in the value of a setting."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpResponse, Timeout
from http_service_client.core.checks import (
    check_call_name,
    check_count,
    check_duration,
    check_flag,
    check_function,
    check_no_line_break,
    check_number,
    class_remedy,
    is_generator,
    is_plain,
    refuse_awaitable,
    verdict_of,
    warn_of_milliseconds,
)
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.functions import AsyncCallable, GeneratorCallable, coroutine, iterating, iterating_async
from kit.rows import each_row

DURATION = "f must be a positive, finite number of seconds, not "


SHARE = "f must be a finite number from 0.001 to 1, not "


check_share = partial(check_number, least=0.001, most=1)


def nested() -> list[Any]:
    """A list that is nested too deeply to be shown."""
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


CONTROL = "f has a line break, or another control character, in it; strip it, by value.strip() say"


@each_row(
    ("check", "value", "message"),
    [
        (check_duration, 1e-300, None),
        (check_duration, 5, None),
        (check_duration, None, None),
        (check_duration, 0, DURATION + "0; use None for no limit"),
        (check_duration, -1.5, DURATION + "-1.5; use None for no limit"),
        (check_duration, math.inf, DURATION + "inf; use None for no limit"),
        (check_duration, math.nan, DURATION + "nan; use None for no limit"),
        (check_duration, True, DURATION + "True; use None for no limit"),
        (
            check_duration,
            "5s",
            DURATION
            + "'5s'; write a number; files and environment variables may have text such as '250ms', '1.5s', '2m' or '1h'",
        ),
        (check_duration, Timeout(total=5), DURATION + repr(Timeout(total=5)) + "; write its total"),
        (
            check_duration,
            Timeout(read=5),
            DURATION
            + repr(Timeout(read=5))
            + "; write a number, or for a call the Timeout of http_service_client",
        ),
        (check_count, Timeout, "f must be a whole number of 1 or more, not Timeout"),
        (
            lambda f, v: check_count(f, v, unit="of bytes "),
            "10MB",
            "f must be a whole number of bytes of 1 or more, not '10MB'",
        ),
        (lambda f, v: check_duration(f, v, optional=False), None, DURATION + "None"),
        (lambda f, v: check_duration(f, v, optional=False), 0, DURATION + "0"),
        (lambda f, v: check_duration(f, v, no_limit="leave it out"), 0, DURATION + "0; leave it out"),
        (check_number, 0, None),
        (check_number, -1e-9, "f must be a finite number of 0 or more, not -1e-09"),
        (check_number, math.inf, "f must be a finite number of 0 or more, not inf"),
        (check_number, "1", "f must be a finite number of 0 or more, not '1'"),
        (check_number, False, "f must be a finite number of 0 or more, not False"),
        (lambda f, v: check_number(f, v, least=1, most=2), 1, None),
        (lambda f, v: check_number(f, v, least=1, most=2), 2, None),
        (
            lambda f, v: check_number(f, v, least=1, most=2),
            2.1,
            "f must be a finite number from 1 to 2, not 2.1",
        ),
        (
            lambda f, v: check_number(f, v, least=1, unit="of seconds "),
            0.9,
            "f must be a finite number of seconds of 1 or more, not 0.9",
        ),
        (
            lambda f, v: check_number(f, v, unit="of seconds "),
            timedelta(seconds=5),
            f"f must be a finite number of seconds of 0 or more, not {timedelta(seconds=5)!r}; write its total_seconds()",
        ),
        (check_duration, Decimal("5"), DURATION + "Decimal('5'); write float(…) of it"),
        (check_share, 50, "f must be a finite number from 0.001 to 1, not 50; write 0.5 for 50 %"),
        (check_share, "2.5%", "f must be a finite number from 0.001 to 1, not '2.5%'; write 0.025 for 2.5 %"),
        (check_share, "half%", "f must be a finite number from 0.001 to 1, not 'half%'"),
        (check_share, 101, "f must be a finite number from 0.001 to 1, not 101"),
        (check_share, 0, "f must be a finite number from 0.001 to 1, not 0"),
        (check_share, None, "f must be a finite number from 0.001 to 1, not None"),
        (check_share, "25", SHARE + "'25'"),
        (check_share, "0.1%", SHARE + "'0.1%'; write 0.001 for 0.1 %"),
        (check_share, "100%", SHARE + "'100%'; write 1 for 100 %"),
        (check_share, "0.09%", SHARE + "'0.09%'"),
        (check_share, 1.5, SHARE + "1.5"),
        (check_share, 4.9, SHARE + "4.9"),
        (check_share, 5, SHARE + "5; write 0.05 for 5 %"),
        (lambda f, v: check_number(f, v, most=2), "50%", "f must be a finite number from 0 to 2, not '50%'"),
        (check_number, "50%", "f must be a finite number of 0 or more, not '50%'"),
        (check_number, sys.float_info.max, None),
        (lambda f, v: check_number(f, v, least=-math.inf), -sys.float_info.max, None),
        (check_number, 10**309, f"f must be a finite number of 0 or more, not {10**309}"),
        (check_count, 1, None),
        (check_count, 0, "f must be a whole number of 1 or more, not 0"),
        (check_count, 1.0, "f must be a whole number of 1 or more, not 1.0"),
        (check_count, True, "f must be a whole number of 1 or more, not True"),
        (lambda f, v: check_count(f, v, least=0), 0, None),
        (lambda f, v: check_count(f, v, least=2), 1, "f must be a whole number of 2 or more, not 1"),
        (check_count, sys.maxsize, None),
        (check_count, sys.maxsize + 1, f"f must be at most {sys.maxsize}, not {sys.maxsize + 1}"),
        (check_flag, False, None),
        (check_flag, 1, "f must be True or False, not 1"),
        (check_flag, None, "f must be True or False, not None"),
        (check_function, len, None),
        (check_function, int, None),
        (check_function, 5, "f must be a function, not 5"),
        (
            check_function,
            GeneratorCallable(),
            "f must be a plain function, not <generator>, whose yield makes it a generator, which nobody would iterate over",
        ),
        (check_no_line_break, "a key of 1 ~", None),
        (check_no_line_break, "", None),
        (check_no_line_break, 5, None),
        (check_no_line_break, None, None),
        (check_no_line_break, b"key\n", None),
        (check_no_line_break, "key\n", CONTROL),
        (check_no_line_break, "\tkey", CONTROL),
        (check_no_line_break, "k\x00ey", CONTROL),
        (check_no_line_break, "key\x1f", CONTROL),
        (check_no_line_break, "key\x7f", CONTROL),
        (
            check_function,
            AsyncCallable(),
            "f must be a plain function, not the async <async>, which nobody would await",
        ),
    ],
)
def test_a_check_says_what_is_wrong(
    check: Callable[[str, Any], None], value: Any, message: str | None
) -> None:
    """With the field, the value and what to write instead; the edges of the range are in it."""
    if message is None:
        check("f", value)
        return
    with pytest.raises(ConfigurationError) as caught:
        check("f", value)
    assert str(caught.value) == message


def test_a_value_that_python_refuses_to_show_is_named_by_its_type() -> None:
    """It is nested too deeply, or has too many digits."""
    for value, name in ((nested(), "list"), (10**5000, "int")):
        with pytest.raises(ConfigurationError) as caught:
            check_share("f", value)
        assert str(caught.value) == f"{SHARE}a value of the type {name} that is too large to be shown"


def test_a_class_in_the_place_of_an_object_is_to_be_called() -> None:
    """Its arguments are the user's."""
    assert class_remedy(Timeout) == "; write Timeout(…)"
    assert class_remedy(Timeout()) == ""


@each_row("seconds", [5000, 10_000, 30_000.0, 60_000, 120_000, 600_000])
def test_the_limit_of_an_attempt_that_is_surely_in_milliseconds_warns(seconds: float) -> None:
    """It would end after hours. Where it was written is where it says so; the value is taken as it is."""
    message = (
        f"={seconds:g} is {seconds / 3600:.1f} hours, .* write {seconds / 1000:g} if milliseconds are meant"
    )
    with pytest.warns(UserWarning, match=f"base_timeout{message}") as caught:
        config = HttpClientConfig(base_timeout=seconds)
    assert config.base_timeout == seconds
    assert [each.filename for each in caught] == [__file__]
    with pytest.warns(UserWarning, match=f"connection_timeout{message}") as caught:
        dataclasses.replace(HttpClientConfig(), connection_timeout=seconds)
    assert [each.filename for each in caught] == [__file__]


@each_row(
    "seconds",
    [0.5, 3600, 4500, 4999.5, 5400, 7200, 7300, 9000, 18_000, 36_000, 86_400, 601_000, 604_800, 1_000_000],
)
def test_one_that_may_be_meant_does_not(seconds: float) -> None:
    """Hours, half hours, and what stands for "no limit"."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HttpClientConfig(base_timeout=seconds, connection_timeout=seconds)
        warn_of_milliseconds("timeout", None)


@pytest.mark.filterwarnings("default::UserWarning")
def test_the_timeout_of_a_call_warns_too(front_end: FrontEnd) -> None:
    """As that of the configuration."""
    transport = ScriptedTransport([HttpResponse(200)])
    client = front_end.client(transport=transport)
    with pytest.warns(UserWarning, match="^timeout=5000 is 1.4 hours"):
        front_end.request(client, "GET", "https://api.example.com/", timeout=5000)


def test_an_async_function_is_no_plain_one() -> None:
    """Nobody would await it."""
    with pytest.raises(
        ConfigurationError, match="f must be a plain function, not the async <function coroutine"
    ):
        check_function("f", coroutine)


@each_row(
    ("function", "plain", "generator"),
    [
        (len, True, False),
        (int, True, False),
        (partial(int, base=2), True, False),
        (coroutine, False, False),
        (AsyncCallable(), False, False),
        (iterating, False, True),
        (iterating_async, False, True),
        (GeneratorCallable(), False, True),
        (5, False, False),
    ],
)
def test_a_plain_function_has_its_result_when_it_returns(function: Any, plain: bool, generator: bool) -> None:
    """One that would have to be awaited, or iterated over, has not."""
    assert (is_plain(function), is_generator(function)) == (plain, generator)


class Later:
    def __await__(self) -> Iterator[None]:
        yield

    def __repr__(self) -> str:
        return "<later>"


@each_row(
    ("value", "verdict"),
    [(True, True), (False, False), (1, True), (0, False), ("", False), (None, False), ([0], True)],
)
def test_a_verdict_is_what_python_takes_for_true(value: object, verdict: bool) -> None:
    """Of whatever a user's function returns."""
    assert verdict_of(value) is verdict
    refuse_awaitable(value)


@pytest.mark.parametrize("check", [verdict_of, refuse_awaitable])
def test_what_would_have_to_be_awaited_is_no_verdict(check: Callable[[object], object]) -> None:
    """It would always be true. A coroutine is closed, since nobody will await it."""
    with pytest.raises(TypeError) as caught:
        check(Later())
    assert str(caught.value) == "it returned <later>, which nobody awaits; it must be a plain function"
    begun = coroutine()
    with pytest.raises(
        TypeError, match=r"^it returned <coroutine object coroutine at .*>, which nobody awaits; "
    ):
        check(begun)
    assert inspect.getcoroutinestate(begun) == inspect.CORO_CLOSED


@each_row(
    ("name", "is_fine"), [("charge card", True), ("x", True), ("x" * 100, True), ("x" * 101, False), ("", False), ("a\nb", False), (5, False)]
)  # fmt: skip
def test_a_call_has_a_short_printable_name(name: Any, is_fine: bool) -> None:
    """It is a label of metrics. A long one is not shown whole."""
    if is_fine:
        check_call_name(name)
        return
    with pytest.raises(
        ConfigurationError, match="name must be a short text in one line, such as 'charge card', of at"
    ) as caught:
        check_call_name(name)
    assert len(str(caught.value)) < 220


def test_a_timedelta_is_no_number_of_seconds_and_the_error_says_how_to_make_one() -> None:
    """Other libraries take one."""
    with pytest.raises(ConfigurationError, match=r"write its total_seconds\(\)$"):
        check_duration("timeout", timedelta(seconds=5))
