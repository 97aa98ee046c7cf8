"""The headers by which services share a deadline: how they are written, and what of them is believed."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from http_service_client import ConfigurationError, Propagation
from http_service_client.http.fields.propagation import Inbound
from kit.rows import each_row

NAMES = {
    "timeout": "x-request-timeout-ms",
    "attempt": "x-request-attempt",
    "above": "x-request-retried-above",
}
GRPC = Propagation(deadline="grpc-timeout")


def read(settings: Propagation, **headers: str) -> Inbound:
    fields = {NAMES.get(name, name.replace("_", "-")): value for name, value in headers.items()}
    return settings.inbound(fields.get)


@each_row(
    ("seconds", "written"),
    [
        (1.5, "1500"),
        (0.0129, "12"),  # never more than is left
        (0.0001, "1"),  # nothing would be no time at all
        (9_999_999.0, "9999999000"),
        (9_999_999.9995, "9999999999"),
        (10_000_000.0, None),
        (1e8, None),
        (math.inf, None),
        (None, None),
    ],
)
def test_the_time_left_is_written_in_whole_milliseconds(seconds: float | None, written: str | None) -> None:
    """Rounded down, and left out where there is no limit that means something."""
    assert dict(Propagation().outbound(seconds, 1, False)).get("X-Request-Timeout-Ms") == written


@each_row(
    ("seconds", "written"),
    [
        (1.5, "1500m"),
        (0.0001, "1m"),
        (99_999.9995, "99999999m"),
        (100_000.0, "100000S"),
        (200_000.7, "200000S"),
        (99_999_999.0, "99999999S"),
        (100_000_000.0, None),
        (1e9, None),
    ],
)
def test_grpc_timeout_has_at_most_eight_digits_and_a_unit(seconds: float, written: str | None) -> None:
    """As gRPC's specification has it; larger durations take a larger unit."""
    assert dict(GRPC.outbound(seconds, 1, False)).get("grpc-timeout") == written


@each_row("settings", [Propagation(), GRPC])
@each_row("seconds", [0.001, 0.25, 30.0, 86_400.0, 864_000.0])
def test_what_is_written_is_read_again(settings: Propagation, seconds: float) -> None:
    """By a service with the same settings, and never as more."""
    fields = {name.lower(): value for name, value in settings.outbound(seconds, 3, True)}
    said = settings.inbound(fields.get)
    assert said.seconds is not None
    assert said.seconds == pytest.approx(seconds)
    assert (said.attempt, said.is_retried_above, said.ignored) == (3, True, ())


@each_row(
    "value",
    ["", " ", "-1", "+5", "1.5", "1e3", "0x10", "inf", "nan", "12345678901", "5ms", "1500, 20", "٣", "1_000"],
)
def test_a_duration_that_is_not_exactly_one_counts_for_nothing(value: str) -> None:
    """Garbage, signs, other units, repeated headers and numbers beyond reason; the value is reported."""
    said = read(Propagation(), timeout=value)
    assert said.seconds is None
    assert said.ignored == (("X-Request-Timeout-Ms", value),)


@each_row(
    ("value", "seconds"),
    [("2H", 7200.0), ("3M", 180.0), ("4S", 4.0), ("5m", 0.005), ("6u", 6e-6), ("7n", 7e-9)],
)
def test_each_unit_of_grpc_is_read(value: str, seconds: float) -> None:
    """Hours, minutes, seconds, milli-, micro- and nanoseconds."""
    assert read(GRPC, grpc_timeout=value).seconds == pytest.approx(seconds)


@each_row("value", ["5", "5s", "123456789m", "-1S", "1.5S", "S"])
def test_a_malformed_grpc_timeout_counts_for_nothing(value: str) -> None:
    """One without a unit, say: nobody knows which was meant."""
    assert read(GRPC, grpc_timeout=value).seconds is None


@each_row("value", ["0", "-1", "1.0", "1000000", "two", "1, 2", "X2"])
def test_an_attempt_is_a_small_whole_number_from_one(value: str) -> None:
    """Anything else counts as the first attempt."""
    said = read(Propagation(), attempt=value)
    assert (said.attempt, len(said.ignored)) == (1, 1)


@pytest.mark.parametrize(
    ("value", "is_retried", "is_valid"),
    [("true", True, True), ("false", False, True), ("True", False, False), ("1", False, False)],
)
def test_only_true_announces_retries(value: str, is_retried: bool, is_valid: bool) -> None:
    """A service that gave up its own retries by mistake would have none."""
    said = read(Propagation(), above=value)
    assert said.is_retried_above is is_retried
    assert (said.ignored == ()) is is_valid


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    """RFC 9110, 5.5: a server may leave it."""
    assert read(Propagation(), timeout=" 1500\t", attempt=" 2 ") == Inbound(1.5, 2, False, ())


def test_a_request_says_what_there_is_to_say() -> None:
    """Its attempt always; the time only if it is limited, and retries above it only if there are some."""
    settings = Propagation(deadline="T", attempt="A", retried_above="R")
    assert settings.names == ("T", "A", "R")
    assert settings.outbound(None, 1, False) == [("A", "1")]
    assert settings.outbound(1.0, 1, False) == [("T", "1000"), ("A", "1")]
    assert settings.outbound(None, 2, True) == [("A", "2"), ("R", "true")]


def test_a_header_that_is_switched_off_is_neither_written_nor_read() -> None:
    """None for its name."""
    settings = Propagation(deadline=None, attempt=None, retried_above=None)
    assert (settings.names, settings.outbound(1.0, 2, True)) == ((), [])
    assert read(settings, timeout="1500", attempt="2", above="true") == Inbound(None, 1, False, ())


@each_row(
    ("field", "value"),
    [
        *[
            ("deadline", value)
            for value in ("", "X Timeout", "X:", 5, b"X", True, "Host", "content-length", "Cookie")
        ],
        ("attempt", "x-request-timeout-ms"),
        ("attempt", 1),
        ("retried_above", True),
        ("hosts", "*.internal"),
        ("hosts", "ab"),  # not the hosts a and b
        ("hosts", ["http://a.internal"]),
        ("hosts", [5]),
        ("hosts", 5),
    ],
)
def test_wrong_settings_are_refused_by_name(field: str, value: Any) -> None:
    """A name must be that of a header which nothing else uses."""
    with pytest.raises(ConfigurationError, match=rf"\b{field}\b"):
        Propagation(**{field: value})


@each_row(
    "name",
    [
        *("Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie"),
        *("Expect", "Host", "Idempotency-Key", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding"),
        "Upgrade",
    ],
)
def test_a_header_that_says_something_else_is_refused(name: str) -> None:
    """It would be lost, or change the meaning of the message."""
    remedy = f"attempt is '{name}', which has a meaning of its own; choose another header"
    with pytest.raises(ConfigurationError, match=f"^{remedy}$"):
        Propagation(attempt=name)


@pytest.mark.parametrize("field", ["deadline", "attempt", "retried_above"])
def test_a_header_that_is_switched_off_hides_no_mistake(field: str) -> None:
    """Each of the others is still checked."""
    others: dict[str, Any] = dict.fromkeys(("deadline", "attempt", "retried_above"))
    with pytest.raises(ConfigurationError, match=rf"^{field} must be the name of a header"):
        Propagation(**{**others, field: "X Header"})


def test_a_misspelt_setting_has_a_remedy() -> None:
    """Other tools call the header a timeout."""
    with pytest.raises(TypeError, match="it is called deadline"):
        Propagation(timeout="X-Timeout")  # type: ignore[call-arg]


def test_the_settings_are_a_value() -> None:
    """They compare, hash, pickle and copy, also with a list of hosts."""
    settings = Propagation(hosts=["*.internal", "10.0.0.0/8"])
    assert settings == pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings)
    assert hash(settings) == hash(Propagation(hosts=("*.internal", "10.0.0.0/8")))
