"""The layer of chaos, and its guard around a function, step by step."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectError, HttpRequest, HttpResponse, ReadTimeoutError, SentState, Timeout
from http_service_client.core.effects import Send
from http_service_client.core.layers.chaos import ChaosLayer, disturbed
from http_service_client.core.machines.chaos import Chaos
from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.transports.injected import INJECTED_FAULTS
from kit.fakes import ORIGIN, URL, FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row


def test_a_chaos_that_is_off_costs_a_look(front_end: FrontEnd) -> None:
    """The exchange's own plan runs, and nothing around it."""

    class Source:
        chaos = type("Off", (), {"is_on": False})()

    plan = iter(())
    assert ChaosLayer(Source(), INJECTED_FAULTS)(lambda request, call: plan, None, None) is plan  # type: ignore[arg-type, return-value]


def _layer(has_bodies: bool = True, **settings: Any) -> ChaosLayer:
    clock = FakeClock()
    machine = Chaos(ChaosSettings(**settings), clock=clock.monotonic, random=lambda: 0.5, lock=nullcontext())
    return ChaosLayer(SimpleNamespace(chaos=machine), INJECTED_FAULTS, has_bodies)


REQUEST = HttpRequest("GET", URL)


CALL: Any = SimpleNamespace(
    call_id="1",
    attempt=1,
    key=ORIGIN,
    call_name=None,
    clock=lambda: 0.0,
    elapsed=lambda: 0.0,
    record=lambda event: None,
)


def _exchange(seen: list[Any]) -> Any:
    def exchange(request: HttpRequest, call: Any) -> Any:
        try:
            seen.append((yield Send(request, Timeout())))
        except BaseException as error:
            seen.append(error)
            raise
        return seen[0]

    return exchange


@pytest.mark.parametrize("fault", [{"statuses": [503], "status_rate": 1}, {"truncation_rate": 1}])
def test_responses_are_left_alone_where_another_library_makes_the_exchange(fault: dict[str, Any]) -> None:
    """It must have a response of its own."""
    whole = HttpResponse(200, content=b"x" * 1000)
    plan = _layer(has_bodies=False, **fault)(_exchange([]), REQUEST, CALL)
    assert isinstance(next(plan), Send)
    with pytest.raises(StopIteration) as ended:
        plan.send(whole)
    assert ended.value.value is whole


@pytest.mark.parametrize(
    ("missing", "lasts"), [(0.0, True), (TIMER_SLACK / 2, True), (TIMER_SLACK, True), (0.1, False)]
)
def test_a_latency_has_lasted_though_its_timer_was_early(missing: float, lasts: bool) -> None:
    """By a little. If the client was closed meanwhile, the request goes on to what says so."""
    now = [0.0]
    call: Any = SimpleNamespace(**{**vars(CALL), "clock": lambda: now[0]})
    plan = _layer(latency=1.0, latency_rate=1, statuses=[503], status_rate=1)(_exchange([]), REQUEST, call)
    sleep: Any = next(plan)
    now[0] = sleep.seconds - missing
    if lasts:
        with pytest.raises(StopIteration) as ended:
            plan.send(None)
        assert ended.value.value.status_code == 503
    else:
        assert isinstance(plan.send(None), Send)


def test_the_exchange_learns_how_it_was_ended() -> None:
    """Its own plan sees the error, and can release what it holds."""
    seen: list[Any] = []
    plan = _layer(latency=1.0, latency_rate=1)(_exchange(seen), REQUEST, CALL)
    next(plan)
    with pytest.raises(KeyboardInterrupt):
        plan.throw(KeyboardInterrupt())
    assert [type(each) for each in seen] == [KeyboardInterrupt]


def _operation(expires_at: float | None = None, remaining: float | None = None) -> tuple[Any, list[Any]]:
    """That of a function at second 100, and what is recorded of it."""
    events: list[Any] = []
    of = {**vars(CALL), "clock": lambda: 100.0, "record": events.append}
    return SimpleNamespace(**of, expires_at=expires_at, remaining=lambda: remaining), events


@each_row(
    ("expires_at", "remaining", "wait"),
    [(None, None, 5.0), (103.0, None, 3.0), (99.0, None, 0.0), (None, 2.0, 2.0), (None, -1.0, 0.0), (107.0, 9.0, 5.0)],
)  # fmt: skip
def test_a_function_s_latency_ends_with_its_timeout_or_deadline(
    expires_at: float | None, remaining: float | None, wait: float
) -> None:
    """The function is called all the same, and finds no time left."""
    settings = ChaosSettings(latency=5.0, latency_rate=1)
    chaos = Chaos(settings, clock=lambda: 100.0, random=lambda: 0.5, lock=nullcontext())
    operation, events = _operation(expires_at, remaining)

    def proceed(operation: Any) -> Any:
        yield from ()
        return "result"

    plan = disturbed(chaos, "", proceed, operation)
    sleep: Any = next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.send(None)
    assert (sleep.seconds, ended.value.value) == (wait, "result")
    assert [(event.kind, event.what) for event in events] == [("latency", f"{wait:.3f} s")]
    assert chaos._ended._waiting == {}


def test_an_error_that_comes_after_the_function_is_not_raised_once_chaos_is_off() -> None:
    """The function was called, and its result is there."""
    settings = ChaosSettings(errors=[ReadTimeoutError], error_rate=1)
    chaos = Chaos(settings, clock=lambda: 0.0, random=lambda: 0.5, lock=nullcontext())

    def proceed(operation: Any) -> Any:
        yield from ()
        chaos.disable()
        return "result"

    with pytest.raises(StopIteration) as ended:
        next(disturbed(chaos, "", proceed, CALL))
    assert ended.value.value == "result"


@pytest.mark.parametrize(
    ("kind", "is_called", "state"),
    [(ConnectError, False, SentState.NEVER_SENT), (ReadTimeoutError, True, SentState.MAYBE_PROCESSED)],
)
def test_an_error_of_a_function_says_what_became_of_the_call(
    kind: type[Exception], is_called: bool, state: SentState
) -> None:
    """The function is called only before an error that a service may cause; the event has its name."""
    settings = ChaosSettings(errors=[kind], error_rate=1)
    chaos = Chaos(settings, clock=lambda: 100.0, random=lambda: 0.5, lock=nullcontext())
    operation, events = _operation()
    called: list[Any] = []

    def proceed(operation: Any) -> Any:
        yield from ()
        called.append(operation)

    with pytest.raises(kind) as raised:
        next(disturbed(chaos, "", proceed, operation))
    assert (bool(called), getattr(raised.value, "sent_state", None)) == (is_called, state)
    assert [(event.kind, event.what) for event in events] == [("error", kind.__name__)]
