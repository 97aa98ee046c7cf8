"""Each event of a call says when it happened and in which attempt, so that a timeline can be read as a story."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import pytest

from http_service_client import ConstantBackoff, HttpClientError, RetryPolicy
from http_service_client.events import (
    CircuitRefused,
    CodingRefused,
    Event,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    StopReason,
    TokenAwaited,
)
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}
NEXT = {"Location": "/next"}


def harness(front_end: FrontEnd, *script: tuple[float, Any], **settings: Any) -> Harness:
    """A client whose server takes so many seconds for each outcome of the script."""

    def late(seconds: float, outcome: Any) -> Callable[[Any], Any]:
        def answer(request: Any) -> Any:
            made.clock.now += seconds
            return outcome

        return answer

    made = Harness(front_end, *(late(*entry) for entry in script), **{**RETRIES, **settings})
    return made


def when(made: Harness, kind: type[Any]) -> list[tuple[float, int]]:
    """Time and attempt of the events of a kind, in order."""
    return [(round(event.at, 6), event.attempt) for event in made.events if isinstance(event, kind)]


def test_each_redirect_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Seconds since the call began, waits between attempts included, and the attempt that followed it."""
    made = harness(
        front_end, (0.25, (302, NEXT)), (0.5, 503), (1.0, (307, NEXT)), (2.0, (303, NEXT)), (4.0, 200)
    )
    made.request()
    assert when(made, RedirectFollowed) == [(0.25, 1), (1.85, 2), (3.85, 2)]
    first = next(event for event in made.events if isinstance(event, RedirectFollowed))
    assert first == RedirectFollowed(0.25, 1, ORIGIN, 302, "GET", f"{ORIGIN}/next", first.call_id)


def test_each_retry_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """That of the attempt that failed, and before the wait."""
    made = harness(front_end, (0.25, 503), (0.5, 503), (1.0, 200))
    made.request()
    assert when(made, RetryScheduled) == [(0.25, 1), (0.85, 2)]


def test_the_end_of_the_retries_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Whatever ended them: the last attempt, or an outcome that is not retryable."""
    made = harness(front_end, (0.25, 503), (0.5, 404), (0.5, 503), (0.5, 503), (0.5, 503))
    made.request()
    assert when(made, RetryStopped) == []  # a 404 is a response, and no reason to explain anything
    made.events.clear()
    made.request()
    assert when(made, RetryStopped) == [(1.7, 3)]


def test_a_circuit_that_stops_the_retries_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """The refusal and the end of the retries: those of the attempt that was refused."""
    made = harness(front_end, (0.25, 503), (0.5, 503))
    breaker = made.state.breaker

    def open_meanwhile(seconds: float) -> None:
        made.clock.now += seconds
        breaker.isolate()

    made.clock.sleep = open_meanwhile  # type: ignore[method-assign]
    with suppress(HttpClientError):
        made.request()
    assert when(made, CircuitRefused) == [(0.35, 2)]
    assert when(made, RetryStopped) == [(0.35, 2)]
    stopped = next(event for event in made.events if isinstance(event, RetryStopped))
    assert stopped.reason is StopReason.CIRCUIT_OPEN


def test_a_coding_that_is_refused_has_its_time_and_attempt(front_end: FrontEnd) -> None:
    """Once for each exchange that met with 415."""
    made = harness(
        front_end, (0.25, 415), (0.5, 503), (1.0, 415), (2.0, 200),
        enable_request_compression=True,
    )  # fmt: skip
    made.request("PUT", data=b"x" * 10_000)
    assert when(made, CodingRefused) == [(0.25, 1), (1.85, 2)]


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_the_last_fields_of_an_event_have_defaults(kind: type[Any]) -> None:
    """An event that is made by hand, in a test, belongs to no call; its name is that of its kind."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    optional = {"answered_by": None, "is_trial": False, "parent_id": None}
    if kind is TokenAwaited:
        optional["error"] = None
    expected = {field: value for field, value in optional.items() if field in kind._fields}
    assert kind._field_defaults == {**expected, "call_id": "", "call_name": None, "name": name}
