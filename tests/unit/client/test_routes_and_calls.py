"""An option of a route: in the place of the client's setting, for calls that do not set it themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    HttpClientConfig,
    HttpResponse,
    RetryPolicy,
)
from kit.fakes import ORIGIN, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd


class Option(NamedTuple):
    """An option, and what can be seen of it by the client's setting, the route's and the call's.

    see: what can be seen of a call with these keywords.
    """

    of_route: Any
    of_call: Any
    see: Callable[[Harness, dict[str, Any]], object]
    by_client: object
    by_route: object
    by_call: object


def timeout(harness: Harness, options: dict[str, Any]) -> object:
    harness.request(url="/a", **options)
    return harness.transport.timeouts[0].total


def attempts(harness: Harness, options: dict[str, Any]) -> object:
    return harness.request(url="/a", **options).attempts


def attempts_of_a_post(harness: Harness, options: dict[str, Any]) -> object:
    return harness.request("POST", "/a", **options).attempts


def requests_until_open(harness: Harness, options: dict[str, Any]) -> object:
    """Of ten calls that fail."""
    for _ in range(10):
        with suppress(CircuitOpenError):
            harness.request(url="/a", retry_policy=False, **options)
    return harness.sends


def key(harness: Harness, options: dict[str, Any]) -> object:
    harness.request(url="/a", **options)
    return harness.events[-1].key


def name(harness: Harness, options: dict[str, Any]) -> object:
    harness.request(url="/a", **options)
    return harness.events[-1].call_name


def decompress(harness: Harness, options: dict[str, Any]) -> object:
    harness.request(url="/a", **options)
    return harness.transport.sent[-1].decompress


def data(harness: Harness, options: dict[str, Any]) -> object:
    return repr(harness.request(url="/a", retry_policy=False, **options).data)


OPTIONS = {
    "timeout": Option(7.0, 5.0, timeout, *(30.0, 7.0, 5.0)),
    "total_timeout": Option(7.0, 5.0, timeout, *(30.0, 7.0, 5.0)),
    "retry_policy": Option({"max_attempts": 4}, RetryPolicy(2), attempts, *(3, 4, 2)),
    "retry_budget": Option(False, True, attempts, *(2, 3, 2)),
    "circuit_breaker": Option(
        {"failure_threshold": 5}, CircuitBreakerPolicy(failure_threshold=2), requests_until_open, *(10, 5, 2)
    ),
    "idempotent": Option(True, False, attempts_of_a_post, *(1, 3, 1)),
    "key": Option("route", "call", key, *(ORIGIN, f"{ORIGIN} (route)", f"{ORIGIN} (call)")),
    "name": Option("of route", "of call", name, *(None, "of route", "of call")),
    "decompress": Option(False, True, decompress, *(None, False, True)),
    "error_type": Option(list[int], list[float], data, *("None", "[1]", "[1.0]")),
}


def harness_of(option: str, *, by_route: bool) -> Harness:
    """Of a service that fails. Its client has a budget for one retry, where that matters."""
    routes = {"* /a": {option: OPTIONS[option].of_route}} if by_route else {}
    settings: dict[str, Any] = {"routes": routes, "base_url": ORIGIN}
    if option == "retry_budget":
        settings["retry_budget_config"] = {"capacity": 5, "cost": 5}
    failure = HttpResponse(500, content=b"[1]", headers={"Content-Type": "application/json"})
    return Harness(BlockingFrontEnd(), failure, **settings)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_call_comes_before_its_route_and_the_route_before_the_client(option: str) -> None:
    """The nearer to the call, the stronger."""
    case = OPTIONS[option]
    own = {option: case.of_call}
    assert case.see(harness_of(option, by_route=False), {}) == case.by_client
    assert case.see(harness_of(option, by_route=True), {}) == case.by_route
    assert case.see(harness_of(option, by_route=True), own) == case.by_call


def test_routes_may_come_with_a_change_of_the_settings(front_end: FrontEnd) -> None:
    """A client that had none has them from then on, and one that had some has none."""
    harness = Harness(front_end, 200, base_url=ORIGIN)
    seen = []
    for routes in ({"* /a": {"name": "of route"}}, {}):
        harness.client.reconfigure(HttpClientConfig(base_url=ORIGIN, routes=routes))
        harness.request(url="/a")
        seen.append(harness.events[-1].call_name)
    assert seen == ["of route", None]
