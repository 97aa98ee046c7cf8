"""What telemetry sees of a call, and what it may do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConnectionLostError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
)
from http_service_client.core.layers import telemetry as layers
from http_service_client.testing import LoopbackServer, respond
from kit.caches import Cached, cached_for
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, RESET, URL, Harness
from kit.front_ends import FrontEnd
from kit.telemetry import Notes, settle


def test_it_sees_attempts_hops_and_events_in_order(front_end: FrontEnd) -> None:
    """Exchanges between their events; the end of the call after its plan."""
    notes = Notes()
    harness = Harness(front_end, 503, (307, {"Location": "/next"}), 200, telemetry=notes)
    harness.request()
    assert notes.lines == [
        "begin GET",
        "enter",
        "1 GET /charges",
        "1 ended: 503",
        "attempt_finished",
        "retry_scheduled",
        "2 GET /charges",
        "2 ended: 307",
        "redirect_followed",
        "3 GET /next",
        "3 ended: 200",
        "attempt_finished",
        "leave",
        "call_finished",
    ]


def test_listeners_are_notified_all_the_same(front_end: FrontEnd) -> None:
    """Metrics and `on_event` stay as they are without telemetry."""
    without, with_notes = Harness(front_end, 503, 200), Harness(front_end, 503, 200, telemetry=Notes())
    without.request()
    with_notes.request()
    assert with_notes.names() == without.names()
    assert with_notes.client.metrics.snapshot() == without.client.metrics.snapshot()


def test_headers_are_those_of_one_exchange(front_end: FrontEnd) -> None:
    """Each exchange has its own, a redirect, too, and neither the request nor its error keeps them."""
    harness = Harness(front_end, (307, {"Location": "/next"}), RESET, telemetry=Notes())
    error = harness.error(ConnectionLostError, "POST", headers={"X-Exchange": "old"})
    assert [request.headers.get_all("X-Exchange") for request in harness.transport.sent] == [["1"], ["2"]]
    assert error.request.headers["X-Exchange"] == "old"


def test_a_failed_exchange_and_a_refused_call(front_end: FrontEnd) -> None:
    """A circuit that opens is seen; a call that it refuses makes no exchange."""
    notes = Notes()
    harness = Harness(
        front_end,
        READ_TIMEOUT,
        telemetry=notes,
        enable_retry_policy=False,
        circuit_breaker_config={"failure_threshold": 1},
    )
    harness.error(Exception)
    harness.error(CircuitOpenError)
    assert notes.lines[2:] == [
        "1 GET /charges",
        "1 ended: ReadTimeoutError",
        "circuit open",
        "attempt_finished",
        "leave",
        "call_finished ReadTimeoutError",
        "begin GET",
        "enter",
        "circuit_refused",
        "leave",
        "call_finished CircuitOpenError",
    ]


class _Renewing:
    """An auth flow with a request of its own."""

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        response = yield HttpRequest("POST", f"{ORIGIN}/token")
        request.headers["Authorization"] = f"Bearer {response.status_code}"
        yield request


def test_requests_of_an_auth_flow_are_no_repetitions(front_end: FrontEnd) -> None:
    """They are exchanges, but not of the call's own request."""
    notes = Notes()
    Harness(front_end, 200, telemetry=notes).request(auth=_Renewing())
    assert [line for line in notes.lines if line[0].isdigit()] == [
        "1 POST /token of the flow",
        "1 ended: 200",
        "2 GET /charges",
        "2 ended: 200",
    ]


def test_an_old_value_is_not_signed(front_end: FrontEnd) -> None:
    """What an inbound request has left is removed before the signature, and the new value comes after it."""
    signed: list[list[str]] = []

    def sign(request: Any, context: object) -> None:
        signed.append(list(request.headers))

    harness = Harness(front_end, 200, telemetry=Notes(), request_signers=[sign])
    harness.request(headers={"X-Exchange": "old", "X-Other": "1"})
    assert "X-Other" in signed[0]
    assert "X-Exchange" not in signed[0]
    assert harness.transport.sent[0].headers["X-Exchange"] == "1"


def test_a_header_that_telemetry_leaves_alone_is_sent_as_it_was_given(front_end: FrontEnd) -> None:
    """Such as that of an outer trace, where nothing is recorded: without a signature, an old value does no harm."""
    notes = Notes()
    notes.header_names = ("X-Exchange", "X-Trace")  # type: ignore[assignment]
    harness = Harness(front_end, 200, telemetry=notes)
    harness.request(headers={"X-Exchange": "old", "X-Trace": "outer"})
    headers = harness.transport.sent[0].headers
    assert (headers["X-Exchange"], headers["X-Trace"]) == ("1", "outer")


def test_a_call_that_telemetry_ignores(front_end: FrontEnd) -> None:
    """It is made as without telemetry, and keeps its headers."""
    notes = Notes(ignores=True)
    harness = Harness(front_end, 503, 200, telemetry=notes, request_signers=[lambda request, context: None])
    harness.request(headers={"X-Exchange": "own"})
    assert notes.lines == []
    assert [request.headers["X-Exchange"] for request in harness.transport.sent] == ["own", "own"]


def test_without_telemetry_there_is_no_layer_of_it(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call pays nothing for what is switched off."""

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(layers.TelemetryLayer, "__init__", fail)
    monkeypatch.setattr(layers.UnsignedHeadersLayer, "__init__", fail)
    for telemetry in (None, False):
        harness = Harness(
            front_end, 200, telemetry=telemetry, request_signers=[lambda request, context: None]
        )
        assert harness.request().status_code == 200


def test_a_cancelled_call_is_ended() -> None:
    """The exchange ends with what was thrown, then the call; both before the plan is left."""
    notes = Notes()

    class Stalled:
        async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
            await asyncio.sleep(60)
            raise AssertionError

    async def main() -> None:
        async with HttpServiceClient(transport=Stalled(), telemetry=notes) as client:
            task = asyncio.ensure_future(client.get_async(URL))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert notes.lines[2:] == [
        "1 GET /charges",
        "1 ended: CancelledError",
        "call_finished CancelledError",
        "leave",
    ]


def test_a_stream_ends_with_its_body(front_end: FrontEnd) -> None:
    """Its exchange ends with the head, its plan as well, and the call with the body."""
    notes = Notes()
    with LoopbackServer() as server, front_end.client(telemetry=notes) as client:
        server.script("/", respond(body=b"body"))
        with front_end.stream(client, "GET", server.url + "/") as response:
            assert notes.lines[3:] == ["1 ended: 200", "attempt_finished", "leave"]
            response.read()
    assert notes.lines[6:] == ["call_finished"]


def test_a_download_is_one_call(front_end: FrontEnd, tmp_path: Path) -> None:
    """With an exchange for each attempt."""
    notes = Notes()
    with LoopbackServer() as server, front_end.client(telemetry=notes) as client:
        server.script("/", respond(503), respond(body=b"body"))
        front_end.download(client, server.url + "/", tmp_path / "file")
    assert [line for line in notes.lines if "ended" in line or line == "call_finished"] == [
        "1 ended: 503",
        "2 ended: 200",
        "call_finished",
    ]


def test_revalidation_beside_a_call_belongs_to_it(front_end: FrontEnd) -> None:
    """It is a call of its own, and telemetry learns for which one it is made."""
    notes = Notes()
    cached = Cached(front_end, cached_for(10, "old", "stale-while-revalidate=60"), telemetry=notes)
    cached.get()
    cached.clock.advance(20.0)
    cached.get()
    settle(front_end, lambda: notes.lines.count("call_finished") == 3)
    assert "begin GET for GET" in notes.lines
    assert notes.lines.count("attempt_finished") == 2
    assert notes.lines.count("enter") == notes.lines.count("leave") == 3


def test_an_unsent_request_is_no_reason_to_skip_the_end(front_end: FrontEnd) -> None:
    """An exchange that could not connect ends with its failure."""
    notes = Notes()
    Harness(front_end, REFUSED, 200, telemetry=notes).request("POST")
    assert "1 ended: ConnectError" in notes.lines
