"""The table of circuits, by a blocking call, an asyncio call, and in virtual time by the simulator: one core, three drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import CircuitOpenError, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.core.timeouts import Timeout
from http_service_client.drivers.simulator import Simulator
from http_service_client.errors import Failure
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd
from unit.core.machines.circuit_breaker.table_circuits import ROWS, Row

URL = "http://service.test/"
STATUS = {"S": 200, "F": 500, "T": 429}


def play(
    row: Row, call: Callable[[int, float], bool], elapse: Callable[[float], Any], state: Callable[[], str]
) -> None:
    """Make the calls of a row.   call: with a status, after some seconds; returns whether the circuit let it through."""
    for position, step in enumerate(row.when.split()):
        where = f"at step {position + 1} of: {row.when[:200]}"
        if step.startswith("+"):
            elapse(float(step[1:]))
        elif step.startswith("="):
            assert state() == step[1:], where
        elif step == "x":
            assert not call(200, 0.0), f"not refused {where}"
        else:
            assert call(STATUS[step[0]], float(step[1:] or 0)), f"refused {where}"


def config(row: Row) -> HttpClientConfig:
    return HttpClientConfig(enable_retry_policy=False, circuit_breaker_config=row.given)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_circuit_in_a_client(front_end: FrontEnd, row: Row) -> None:
    """Blocking and asyncio calls move a circuit alike."""
    clock = VirtualClock()
    answer = [(200, 0.0)]

    def respond(request: HttpRequest) -> HttpResponse:
        status, seconds = answer[0]
        clock.elapse(seconds)
        return HttpResponse(status)

    client = HttpServiceClient(
        config(row), transport=ScriptedTransport([respond], clock=clock), clock=clock, random=lambda: 0.0
    )

    def call(status: int, seconds: float) -> bool:
        answer[0] = (status, seconds)
        try:
            front_end.request(client, "GET", URL)
        except CircuitOpenError:
            return False
        return True

    play(
        row,
        call,
        clock.advance,
        lambda: client.get_circuit_breaker_states().get("http://service.test", "closed"),
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_circuit_in_virtual_time(row: Row) -> None:
    """The simulator moves it as they do."""
    answer = [(200, 0.0)]

    def respond(request: HttpRequest, timeout: Timeout) -> tuple[float, HttpResponse]:
        status, seconds = answer[0]
        return seconds, HttpResponse(status, request=request)

    simulator = Simulator(respond)
    clock = VirtualClock()
    clock.monotonic = simulator.clock  # type: ignore[method-assign]
    client = HttpServiceClient(config(row), clock=clock, random=lambda: 0.0)

    def call(status: int, seconds: float) -> bool:
        answer[0] = (status, seconds)
        made = client._call_builder.build("GET", URL)
        run = simulator.spawn(client._call_builder.pipelines.call(made.request, made))
        simulator.run()
        assert run.error is None
        return not (isinstance(run.result, Failure) and run.result.error_type is CircuitOpenError)

    play(
        row,
        call,
        lambda seconds: simulator.run(simulator.clock() + seconds),
        lambda: client.get_circuit_breaker_states().get("http://service.test", "closed"),
    )


def test_the_table_is_large_enough() -> None:
    """At least forty rows, each with a name of its own."""
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40
