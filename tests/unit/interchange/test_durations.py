"""Durations as protobuf, the Gateway API and .NET write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.interchange.durations import (
    gateway_text,
    parse_gateway,
    parse_protobuf,
    parse_time_span,
    protobuf_text,
    time_span_text,
)
from kit.rows import each_row

# GEP-2257, as the CRDs of the Gateway API have it.
GATEWAY = re.compile(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        (protobuf_text, parse_protobuf),
        (gateway_text, parse_gateway),
        (time_span_text, parse_time_span),
    ],
)
@given(milliseconds=st.integers(0, 300_000_000))
@example(milliseconds=112_359)  # of 112 s, the sum of a minute and the rest is another float
def test_milliseconds_survive(
    text: Callable[[float], str], parse: Callable[[object], float], milliseconds: int
) -> None:
    """To the last bit, up to three days and a half."""
    seconds = milliseconds / 1000
    assert parse(text(seconds)) == seconds


@given(st.integers(0, 300_000_000))
def test_the_gateway_api_takes_what_is_written(milliseconds: int) -> None:
    """By the pattern of its schema."""
    assert GATEWAY.match(gateway_text(milliseconds / 1000))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(99.999, "99999ms"), (100.0, "1m40s"), (100.001, "1m40s1ms"), (59.0, "59s"), (0.001, "1ms")],
)
def test_milliseconds_of_up_to_five_digits_are_written_as_such(seconds: float, text: str) -> None:
    """A number may not have more of them."""
    assert gateway_text(seconds) == text


@given(st.integers(0, 10**12))
def test_a_time_span_is_that_of_timedelta(microseconds: int) -> None:
    """Python reads the parts in the same way."""
    days, hours, minutes, seconds = re.fullmatch(
        r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d(?:\.\d{7})?)", time_span_text(microseconds / 1e6)
    ).groups()  # type: ignore[union-attr]
    span = timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    assert span.total_seconds() == pytest.approx(microseconds / 1e6)


@pytest.mark.parametrize(
    ("parse", "wrong"),
    [
        (parse_protobuf, ["1", "-1s", "1.5", "s", "1m", "1e3s", 1, None, "1.1234567890s", "\u0661s"]),
        (parse_gateway, ["1", "", "1.5s", "-1s", "123456s", "1d", 1, None, "1s1s1s1s1s"]),
        (parse_time_span, ["-00:00:01", "24:00:00", "00:60:00", "00:00:60", "1s", 1, None, "1:2:3:4"]),
        (parse_time_span, ["", "-1", "\u0663", "\u00b2", "123456789", "123456789.00:00:00"]),
    ],
)
def test_anything_else_is_refused(parse: Callable[[object], float], wrong: list[object]) -> None:
    """A wait that was read wrongly is worse than an error."""
    for text in wrong:
        with pytest.raises(ValueError, match="such as"):
            parse(text)


@each_row(
    ("text", "seconds"),
    [
        *(("01:30", 5400.0), ("1:2:3", 3723.0), ("2.01:00", 176_400.0), ("23:59:59.9999999", 86399.9999999)),
        *(("2", 172_800.0), ("10675199", 10_675_199 * 86_400.0)),  # the most whole days of .NET
    ],
)
def test_parts_of_a_time_span_may_be_left_out(text: str, seconds: float) -> None:
    """The seconds, the days and leading zeros; or all but the days, as .NET reads them."""
    assert parse_time_span(text) == pytest.approx(seconds, abs=1e-9)
