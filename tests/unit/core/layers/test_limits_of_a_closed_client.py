"""A call whose wait was cut short by the end of its client: the limits do not stop it, and its exchange says what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.core.layers.adaptive_limit import AdaptiveLimitLayer
from http_service_client.core.layers.bulkhead import BulkheadLayer
from http_service_client.core.layers.load_shedding import LoadSheddingLayer
from http_service_client.core.layers.rate_limit import RateLimitLayer
from http_service_client.core.layers.throttle_gate import ThrottleGateLayer
from http_service_client.http.messages import HttpRequest
from kit.fakes import URL, Harness
from kit.front_ends import BlockingFrontEnd


def take_permits(harness: Harness) -> None:
    for limit in (harness.state.bulkhead, harness.state.adaptive_limit.permits):
        assert limit.permit().try_acquire()


def nothing(harness: Harness) -> None:
    pass


# The layer, and what else must happen so that it stops a call: the first one has got a 429 and a pause of 5 s.
LIMITS: list[tuple[Any, Callable[[Harness], None]]] = [
    (RateLimitLayer(lambda: 0.0), nothing),
    (ThrottleGateLayer(lambda: 0.5), nothing),
    (LoadSheddingLayer(), nothing),
    (BulkheadLayer(), take_permits),
    (AdaptiveLimitLayer(), take_permits),
]


@pytest.mark.parametrize(("layer", "prepare"), LIMITS, ids=[type(layer).__name__ for layer, _ in LIMITS])
def test_a_call_whose_client_was_closed_waits_for_nothing_else(
    layer: Any, prepare: Callable[[Harness], None]
) -> None:
    """And is not refused. Any other call has to wait, or is."""
    harness = Harness(
        BlockingFrontEnd(),
        (429, {"Retry-After": "5"}),
        random=lambda: 0.0,
        rate_limit={"rate": 0.1},
        bulkhead={"max_concurrent": 1},
        adaptive_limit={"initial_limit": 1, "max_limit": 1},
        load_shedding={"min_rate": 0.0},
    )
    harness.request(retry_policy=False)
    prepare(harness)
    call = harness.client._call_builder.build("GET", URL, timeout=60.0)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        return "begun"

    def is_stopped() -> bool:
        plan = layer(proceed, call.request, call)
        try:
            next(plan)
        except StopIteration as ended:
            return bool(ended.value != "begun")
        plan.close()
        return True

    assert is_stopped()
    call.current.passes_gate = True
    assert not is_stopped()


@pytest.mark.parametrize("layer", [layer for layer, _ in LIMITS], ids=lambda layer: type(layer).__name__)
def test_an_origin_without_the_limit_lets_each_call_through(layer: Any) -> None:
    """It was switched off while the call was on its way to it."""
    harness = Harness(BlockingFrontEnd(), enable_throttle_gate=False)
    call = harness.client._call_builder.build("GET", URL)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        return "begun"

    with pytest.raises(StopIteration) as ended:
        next(layer(proceed, call.request, call))
    assert ended.value.value == "begun"
