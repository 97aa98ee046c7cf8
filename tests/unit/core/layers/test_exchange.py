"""The exchange: which effect sends a request, and with what time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    EgressPolicy,
    EgressRefusedError,
    HttpRequest,
    HttpResponse,
    Timeout,
)
from http_service_client.core.call import StreamOptions
from http_service_client.core.effects import Open, Send
from http_service_client.core.layers.exchange import Exchange
from http_service_client.core.origins import state_key
from http_service_client.errors import Failure
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import BlockingFrontEnd
from kit.rows import each_row

STREAM = StreamOptions(None, None, True)


def observe(request: HttpRequest, outcome: Any, call: Any) -> None:
    """An observer that does nothing."""


class Fixture:
    """An exchange without slots, and a call."""

    def __init__(self, stream: StreamOptions | None = None, **settings: Any) -> None:
        self.harness = Harness(BlockingFrontEnd())
        self.call = self.harness.client._call_builder.build("GET", URL)
        self.call.options = self.call.options.but(stream=stream)
        self.origins = self.harness.client._call_builder.origins
        self.exchange = Exchange(self.origins, None, **settings)

    def begin(self) -> Any:
        return self.exchange(self.call.request, self.call)


@each_row("observer", [None, observe], ids=["unobserved", "observed"])
@each_row(
    ("stream", "is_whole", "effect"),
    [(None, False, Send), (None, True, Send), (STREAM, False, Open), (STREAM, True, Send)],
)
def test_the_body_of_a_stream_is_left_open(
    observer: Callable[..., None] | None, stream: StreamOptions | None, is_whole: bool, effect: type
) -> None:
    """But in requests that a flow makes itself. Whether somebody observes makes no difference."""
    plan = Fixture(stream, is_whole=is_whole, observe=observer).begin()
    assert type(next(plan)) is effect
    plan.close()


@pytest.mark.parametrize("stream", [None, STREAM], ids=["whole", "stream"])
def test_an_observer_sees_each_exchange_once(stream: StreamOptions | None) -> None:
    """With its request and outcome."""
    seen: list[Any] = []
    fixture = Fixture(stream, observe=lambda *exchange: seen.append(exchange))
    plan, response = fixture.begin(), HttpResponse(200)
    next(plan)
    assert seen == []
    with pytest.raises(StopIteration):
        plan.send(response)
    assert seen == [(fixture.call.request, response, fixture.call)]


@pytest.mark.parametrize(("left", "total"), [(None, None), (3.0, 3.0), (1e-9, 1e-9)])
def test_an_exchange_has_what_is_left_of_the_attempt(left: float | None, total: float | None) -> None:
    """All the time in the world, if the attempt has."""
    fixture = Fixture()
    fixture.call.options = fixture.call.options.but(timeout=Timeout(total=None))
    fixture.call.current.expires_at = None if left is None else fixture.harness.clock.now + left
    plan = fixture.begin()
    assert next(plan).timeout.total == (None if total is None else pytest.approx(total, abs=1e-6))
    plan.close()


@pytest.mark.parametrize(("key", "other"), [(None, "tenant"), ("tenant", None)])
def test_the_slots_and_gates_of_a_key_are_its_own(key: str | None, other: str | None) -> None:
    """A tenant that is asked to pause stops no other."""
    fixture = Fixture(wall_clock=lambda: 0.0)
    fixture.call.options = fixture.call.options.but(key=key)
    plan = fixture.begin()
    next(plan)
    with pytest.raises(StopIteration):
        plan.send(HttpResponse(429, headers={"Retry-After": "7"}))
    gates = [fixture.origins.get(state_key(ORIGIN, each)).gate for each in (key, other)]
    assert [gate is not None for gate in gates] == [True, False]


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_an_attempt_without_time_sends_nothing(left: float) -> None:
    """Its outcome says so."""
    fixture = Fixture()
    fixture.call.current.expires_at = fixture.harness.clock.now + left
    with pytest.raises(StopIteration) as ended:
        next(fixture.begin())
    failure: Failure = ended.value.value
    assert (failure.error_type, failure.sent_state.value) == (AttemptTimeoutError, "never_sent")


@each_row(("size", "is_refused"), [(10, False), (11, True)])
@each_row("stream", [None, STREAM], ids=["whole", "stream"])
@each_row("status", [200, 500])
def test_a_body_may_be_as_large_as_the_limit(
    status: int, stream: StreamOptions | None, size: int, is_refused: bool
) -> None:
    """Also that of a transport that does not stop reading there. A stream that succeeds has a limit of its own."""
    plan = Fixture(stream, max_size=10).begin()
    next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.send(HttpResponse(status, content=b"x" * size))
    is_limited = stream is None or status == 500
    assert isinstance(ended.value.value, Failure) is (is_refused and is_limited)


@each_row(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "7"}, 7.0),
        (429, {}, None),
        (429, {"Retry-After": "0"}, None),
        (500, {"Retry-After": "7"}, None),
        (200, {"Retry-After": "7"}, None),
    ],
)
@each_row("has_gates", [True, False])
def test_a_service_that_asks_for_a_pause_closes_the_gate(
    status: int, headers: dict[str, str], pause: float | None, has_gates: bool
) -> None:
    """Where there are gates."""
    fixture = Fixture(wall_clock=(lambda: 0.0) if has_gates else None)
    plan = fixture.begin()
    next(plan)
    with pytest.raises(StopIteration):
        plan.send(HttpResponse(status, headers=headers))
    gate = fixture.harness.state.gate
    assert (gate is not None) is (pause is not None and has_gates)
    if gate is not None:
        assert gate.left == pytest.approx(pause)


def test_what_the_egress_policy_refuses_is_not_sent() -> None:
    """The error is the policy's, with all that it says."""
    fixture = Fixture(egress=EgressPolicy(allowed_hosts=["other.example.com"]))
    with pytest.raises(StopIteration) as ended:
        next(fixture.begin())
    failure: Failure = ended.value.value
    assert (failure.error_type, failure.sent_state.value) == (EgressRefusedError, "never_sent")
    assert "api.example.com" in failure.message
    assert failure.details == {"host": "api.example.com", "address": None}


def test_what_the_egress_policy_allows_is_sent() -> None:
    """By the same exchange."""
    plan = Fixture(egress=EgressPolicy(allowed_hosts=["api.example.com"])).begin()
    assert isinstance(next(plan), Send)
    plan.close()
