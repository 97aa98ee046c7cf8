"""The chaos machine: its rates, its scope, and which settings are refused."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import ConfigurationError, ConnectError, HttpRequest, ReadTimeoutError
from http_service_client.core.machines.chaos import Chaos
from http_service_client.core.machines.chaos_settings import ChaosSettings, is_killed
from kit.chaos import Of, chaos_of
from kit.rows import each_row


def test_each_fault_has_its_rate() -> None:
    """Of many exchanges, and a delay is independent of the other faults."""
    chaos = chaos_of(
        ChaosSettings(
            latency=(1, 3),
            latency_rate=0.5,
            errors=[ConnectError, ReadTimeoutError],
            error_rate=0.1,
            statuses=[503],
            status_rate=0.2,
            truncation_rate=0.3,
        )
    )
    faults = [fault for number in range(20_000) if (fault := chaos.draw(Of(str(number)))) is not None]
    late = [fault.latency for fault in faults if fault.latency is not None]
    assert len(late) == pytest.approx(10_000, rel=0.05)
    assert min(late) >= 1
    assert max(late) <= 3
    assert sum(late) / len(late) == pytest.approx(2, rel=0.02)
    for count, expected in [
        (sum(fault.error is ConnectError for fault in faults), 1000),
        (sum(fault.error is ReadTimeoutError for fault in faults), 1000),
        (sum(fault.status == (503, ()) for fault in faults), 4000),
        (sum(fault.cut is not None for fault in faults), 6000),
        (sum(fault.cut is not None and fault.latency is not None for fault in faults), 3000),
    ]:
        assert count == pytest.approx(expected, rel=0.12)
    assert all(sum(each is not None for each in fault[1:4]) <= 1 for fault in faults)


def test_a_rate_of_one_disturbs_all_and_one_of_zero_none() -> None:
    """Also at the largest number that the source of randomness returns."""
    for number in (0.0, 0.5, 1 - 2**-53):
        chaos = Chaos(
            ChaosSettings(errors=[ConnectError], error_rate=1.0),
            clock=lambda: 0.0,
            random=lambda number=number: number,  # type: ignore[misc]
            lock=nullcontext(),
        )
        fault = chaos.draw(Of(""))
        assert fault is not None
        assert fault.error is ConnectError
        assert fault.latency is None


@each_row(
    ("number", "expected"),
    [
        (0.0, (1.0, ConnectError, None, None)),
        (0.249, (1.498, ConnectError, None, None)),
        (0.25, (1.5, None, (400, (("Retry-After", "1"),)), None)),
        (0.499, (1.998, None, (400, (("Retry-After", "1"),)), None)),
        (0.5, (2.0, None, None, 0.5)),
        (0.624, (2.248, None, None, 0.624)),
        (0.625, (None, None, None, 0.625)),
        (0.749, (None, None, None, 0.749)),
        (0.75, None),
        (0.999, None),
    ],
)
def test_which_fault_a_number_means(number: float, expected: Any) -> None:
    """One of each rate in turn, from 0 on; a delay in proportion."""
    chaos = Chaos(
        ChaosSettings(
            latency=[1, 3],  # type: ignore[arg-type]  # a list may be read from a file
            latency_rate=0.625,
            errors=["ConnectError", ReadTimeoutError],
            error_rate=0.25,
            statuses=[{"status": 400, "headers": {"Retry-After": "1"}}, 599],
            status_rate=0.25,
            truncation_rate=0.25,
        ),
        clock=lambda: 0.0,
        random=lambda: number,
        lock=nullcontext(),
    )
    fault = chaos.draw(Of(""))
    assert (None if fault is None else fault[:4]) == (
        expected if expected is None else (pytest.approx(expected[0]), *expected[1:])
    )


@pytest.mark.parametrize(
    ("choice", "error", "status"), [(0.0, ConnectError, 500), (0.49, ConnectError, 500), (0.5, OSError, 501)]
)
def test_each_error_and_each_status_has_its_part(choice: float, error: Any, status: int) -> None:
    """Of those that are listed."""
    base = {"errors": [ConnectError, OSError], "statuses": [(500, {}), {"status": 501}]}
    for rates in ({"error_rate": 1.0, "status_rate": 0.0}, {"error_rate": 0.0, "status_rate": 1.0}):
        given = {
            name: base[name] for name in base if rates[{"errors": "error_rate"}.get(name, "status_rate")]
        }
        numbers = iter([0.9, 0.9, 0.9, choice, 0.9])
        chaos = Chaos(
            ChaosSettings(**given, **rates),  # type: ignore[arg-type]
            clock=lambda: 0.0,
            random=lambda numbers=numbers: next(numbers),  # type: ignore[misc]
            lock=nullcontext(),
        )
        fault = chaos.draw(Of(""))
        assert fault is not None
        assert (fault.error, fault.status) in [(error, None), (None, (status, ()))]


@each_row(
    ("given", "url", "is_covered"),
    [
        ({}, "https://a.test/", True),
        ({"origins": ["a.test", "b.test"]}, "https://b.test/", True),
        ({"origins": ["a.test", "b.test"]}, "https://c.test/", False),
        ({"origins": ["a.test:8443"]}, "https://a.test:8443/", True),
        ({"origins": ["a.test:8443"]}, "https://a.test/", False),
        ({"routes": ["GET /a", "GET /b"]}, "https://a.test/b", True),
        ({"routes": ["GET /a", "POST /b"]}, "https://a.test/b", False),
        ({"origins": ["a.test"], "routes": ["GET /a"]}, "https://a.test/a", True),
        ({"origins": ["a.test"], "routes": ["GET /a"]}, "https://b.test/a", False),
    ],
)
def test_what_is_in_scope(given: dict[str, Any], url: str, is_covered: bool) -> None:
    """An exchange with one of the origins, at one of the routes; also after other settings came."""
    chaos = chaos_of(ChaosSettings(truncation_rate=1.0, **given))
    assert chaos.covers(HttpRequest("GET", url)) is is_covered
    chaos.reconfigure(ChaosSettings(truncation_rate=1.0))
    assert chaos.covers(HttpRequest("GET", url))


def test_a_rate_of_zero_injects_nothing_at_the_smallest_number() -> None:
    """Zero is drawn, too."""
    chaos = Chaos(
        ChaosSettings(latency=1, latency_rate=1.0), clock=lambda: 0.0, random=lambda: 0.0, lock=nullcontext()
    )
    fault = chaos.draw(Of(""))
    assert fault is not None
    assert fault[:4] == (1.0, None, None, None)
    chaos = Chaos(
        ChaosSettings(truncation_rate=1.0), clock=lambda: 0.0, random=lambda: 0.0, lock=nullcontext()
    )
    fault = chaos.draw(Of(""))
    assert fault is not None
    assert fault[:4] == (None, None, None, 0.0)


LATE = {"latency": 2, "latency_rate": 0.5}


@each_row(
    ("given", "words"),
    [
        (LATE, "a delay of 2 s at a rate of 0.5"),
        ({**LATE, "latency": (1, 2.5)}, "a delay of 1 to 2.5 s at a rate of 0.5"),
        (
            {"errors": [ConnectError, ReadTimeoutError], "error_rate": 0.1},
            "ConnectError, ReadTimeoutError at a rate of 0.1",
        ),
        ({"statuses": [503, 429], "status_rate": 0.1}, "status 503, 429 at a rate of 0.1"),
        ({"truncation_rate": 0.01}, "responses cut short at a rate of 0.01"),
        ({**LATE, "max_calls": 1}, "a delay of 2 s at a rate of 0.5; in 1 call at most"),
        ({**LATE, "max_calls": 2}, "a delay of 2 s at a rate of 0.5; in 2 calls at most"),
        (
            {**LATE, "origins": ["a.test", "b.test"], "routes": ["GET /a"]},
            "a delay of 2 s at a rate of 0.5; for a.test, b.test at GET /a",
        ),
        ({**LATE, "routes": ["GET /a"], "max_calls": 2},
         "a delay of 2 s at a rate of 0.5; for GET /a; in 2 calls at most"),
        (
            {**LATE, "truncation_rate": 0.01},
            "a delay of 2 s at a rate of 0.5; responses cut short at a rate of 0.01",
        ),
    ],
)  # fmt: skip
def test_a_log_says_what_is_injected_where_and_how_often(given: dict[str, Any], words: str) -> None:
    """In one line."""
    assert ChaosSettings(**given).words() == words


def test_a_draw_takes_five_numbers_whatever_comes_of_it() -> None:
    """So the same seed meets the same exchanges when one rate changes."""
    one, other = random.Random(1), random.Random(1)
    base = ChaosSettings(statuses=[503], status_rate=0.1)
    for source, chaos in ((one, base), (other, replace(base, latency=1, latency_rate=1.0))):
        machine = Chaos(chaos, clock=lambda: 0.0, random=source.random, lock=nullcontext())
        for _ in range(10):
            machine.draw(Of(""))
    assert one.random() == other.random()


def test_a_route_is_compared_below_any_base_url() -> None:
    """With the end of the path, segment by segment."""
    chaos = chaos_of(ChaosSettings(latency=1, latency_rate=1, routes=["GET /orders/{id}"]))
    assert chaos.covers(HttpRequest("GET", "https://a.test/v1/orders/7?x=/y"))
    assert not chaos.covers(HttpRequest("GET", "https://a.test/v1/reorders/7/8"))
    assert not chaos.covers(HttpRequest("PUT", "https://a.test/v1/orders/7"))


@each_row("value", [None, "", "on", " On ", "1", "true", "yes"])
def test_the_switch_is_on(value: str | None) -> None:
    """Only by these words."""
    assert not is_killed(value)


@each_row("value", ["off", "0", "false", "no", "2", " stop "])
def test_the_switch_is_off(value: str) -> None:
    """By any other word: the person who sets it must not have to know the right one."""
    assert is_killed(value)


@each_row(
    ("given", "field", "expected"),
    [
        ({"latency": 0.5, "latency_rate": 1}, "latency", (0.5, 0.5)),
        ({"latency": (2, 2), "latency_rate": 1}, "latency", (2.0, 2.0)),
        ({"latency": [0, 3], "latency_rate": 1}, "latency", (0.0, 3.0)),
        ({"errors": ["ConnectError", OSError], "error_rate": 1}, "errors", (ConnectError, OSError)),
        ({"statuses": [400, 599], "status_rate": 1}, "statuses", ((400, ()), (599, ()))),
        ({"statuses": [(503, {"A": "b"})], "status_rate": 1}, "statuses", ((503, (("A", "b"),)),)),
        ({"statuses": [{"status": 503}], "status_rate": 1}, "statuses", ((503, ()),)),
        (
            {"statuses": [{"status": 503, "headers": [("A", "b"), ("A", "c")]}], "status_rate": 1},
            "statuses",
            ((503, (("A", "b"), ("A", "c"))),),
        ),
        ({"truncation_rate": 1, "origins": ["a.test"]}, "origins", ("a.test",)),
        ({"truncation_rate": 1, "routes": ["GET  /a"]}, "routes", ("GET /a",)),
        ({"truncation_rate": 1, "begins_after": 5, "ends_after": 5.1}, "ends_after", 5.1),
        ({"truncation_rate": 1, "seed": 0}, "seed", 0),
    ],
)
def test_what_may_be_set(given: dict[str, Any], field: str, expected: object) -> None:
    """In the forms that a file may have, and what is made of it."""
    assert getattr(ChaosSettings(**given), field) == expected


@pytest.mark.parametrize(
    ("rates", "is_valid"), [((0.5, 0.5), True), ((1.0, 5e-10), True), ((1.0, 1.5e-9), False)]
)
def test_rates_may_add_up_to_one_and_a_rounding_error(rates: tuple[float, float], is_valid: bool) -> None:
    """Of a billionth."""
    with nullcontext() if is_valid else pytest.raises(ConfigurationError, match="add up to 1;"):
        ChaosSettings(statuses=[500], status_rate=rates[0], truncation_rate=rates[1])


@each_row(
    ("given", "words"),
    [
        ({"errors": ["chain"], "error_rate": 1}, "'chain', which is no transport error"),
        ({"errors": [int], "error_rate": 1}, "exception classes"),
        ({"errors": {"ConnectError": 1}, "error_rate": 1}, "errors must be a list"),
        ({"errors": b"x", "error_rate": 1}, "errors must be a list"),
        ({"statuses": [399], "status_rate": 1}, "from 400 to 599, not 399"),
        ({"statuses": [600], "status_rate": 1}, "from 400 to 599, not 600"),
        ({"statuses": [(503, {"A": "b\r\nc"})], "status_rate": 1}, "statuses has"),
        ({"statuses": [(503, {}, 1)], "status_rate": 1}, "a pair of status and headers"),
        ({"truncation_rate": 1, "routes": []}, "routes must not be empty"),
        ({"truncation_rate": 1, "routes": "GET /a"}, "routes must be a list"),
        ({"truncation_rate": 1, "seed": True}, "seed must be"),
        ({}, "would inject nothing"),
        ({"latency": 1}, "latency_rate is 0, so that latency would never be injected"),
        ({"latency_rate": 0.1}, "latency must be set, since latency_rate is 0.1"),
        ({"errors": [ConnectError]}, "error_rate is 0"),
        ({"error_rate": 0.1}, "errors must be set"),
        ({"status_rate": 0.1}, "statuses must be set"),
        ({"truncation_rate": 1.5}, "truncation_rate must be"),
        ({"truncation_rate": True}, "truncation_rate must be"),
        ({"truncation_rate": -0.1}, "truncation_rate must be"),
        ({"truncation_rate": 0.7, "statuses": [500], "status_rate": 0.4}, "add up to 1.1"),
        ({"latency": 0, "latency_rate": 1}, "latency must be above 0"),
        ({"latency": (3, 1), "latency_rate": 1}, "the least first"),
        ({"latency": (1, 2, 3), "latency_rate": 1}, "a pair of the least and the most"),
        ({"latency": "1", "latency_rate": 1}, "latency must be"),
        ({"latency": float("nan"), "latency_rate": 1}, "latency must be"),
        ({"errors": ConnectError, "error_rate": 1}, "errors must be a list"),
        ({"errors": ["ConectError"], "error_rate": 1}, "did you mean 'ConnectError'"),
        ({"errors": ["ConfigurationError"], "error_rate": 1}, "no transport error"),
        ({"errors": [5], "error_rate": 1}, "exception classes"),
        ({"errors": [KeyboardInterrupt], "error_rate": 1}, "exception classes"),
        ({"statuses": 503, "status_rate": 1}, "statuses must be a list"),
        ({"statuses": [200], "status_rate": 1}, "from 400 to 599"),
        ({"statuses": [True], "status_rate": 1}, "from 400 to 599"),
        ({"statuses": [500.0], "status_rate": 1}, "from 400 to 599"),
        ({"statuses": [(503,)], "status_rate": 1}, "a pair of status and headers"),
        ({"statuses": [{"code": 503}], "status_rate": 1}, "its keys are status and headers"),
        ({"statuses": [(503, {"a b": "c"})], "status_rate": 1}, "statuses has"),
        ({"truncation_rate": 1, "origins": []}, "origins must not be empty"),
        ({"truncation_rate": 1, "origins": "a.test"}, "origins must be a list"),
        ({"truncation_rate": 1, "origins": ["a b"]}, "origins"),
        ({"truncation_rate": 1, "routes": ["orders"]}, "^routes .*which is no route"),
        ({"truncation_rate": 1, "begins_after": -1}, "begins_after must be"),
        (
            {"truncation_rate": 1, "begins_after": 5, "ends_after": 5},
            "ends_after must be above begins_after=5",
        ),
        ({"truncation_rate": 1, "ends_after": -1}, "^ends_after must be a finite number of seconds"),
        ({"truncation_rate": 1, "max_calls": 0}, "max_calls must be"),
        ({"truncation_rate": 1, "seed": 1.5}, "seed must be"),
        ({"truncation_rate": 1, "enabled": 1}, "enabled must be"),
    ],
)
def test_a_wrong_setting_is_refused(given: dict[str, Any], words: str) -> None:
    """By name, with its value and what to write."""
    with pytest.raises(ConfigurationError, match=words):
        ChaosSettings(**given)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_share_of_disturbed_exchanges_is_that_of_the_settings(rates: list[float], seed: int) -> None:
    """Whatever the rates are: within four standard deviations."""
    total = sum(rates) or 1.0
    error, status, cut = (rate / max(1.0, total) for rate in rates)
    if not (error or status or cut):
        return
    chaos = chaos_of(
        ChaosSettings(
            errors=[ConnectError] if error else [],
            error_rate=error,
            statuses=[500] if status else [],
            status_rate=status,
            truncation_rate=cut,
        ),
        seed=seed,
    )
    count = sum(chaos.draw(Of("")) is not None for _ in range(2000))
    expected = min(1.0, error + status + cut)
    assert abs(count - 2000 * expected) <= 4 * (2000 * expected * (1 - expected)) ** 0.5 + 1
