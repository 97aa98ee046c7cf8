"""A hedged call in OpenTelemetry: a span for each request, and the events and counts of hedges."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.front_ends import AsyncioFrontEnd
from kit.otel import Collected


def test_each_request_has_a_span_and_the_loser_is_no_error() -> None:
    """Both are children of the call's span, which shows the hedge in its events."""
    collected, clock = Collected(), VirtualClock()
    transport = ScriptedTransport([late(9.0, HttpResponse(200)), late(0.5, HttpResponse(200))], clock=clock)
    client = HttpServiceClient(
        HttpClientConfig(hedging={"delay": 1.0}),
        transport=transport,
        clock=clock,
        telemetry=collected.telemetry,
    )
    with AsyncioFrontEnd() as front_end:
        front_end.request(client, "GET", "https://api.example.com/")
    call, *requests = collected.spans
    assert [event.name.rpartition(".")[2] for event in call.events] == [
        *("hedge_started", "hedge_finished", "hedge_finished"),
    ]
    own: Any = call.context
    assert [span.parent is not None and span.parent.span_id == own.span_id for span in requests] == [
        True,
        True,
    ]
    assert [span.status.status_code.name for span in (call, *requests)] == ["UNSET"] * 3
    assert sorted("http.response.status_code" in (span.attributes or {}) for span in requests) == [
        False,
        True,
    ]
