"""What a client keeps for each origin follows its settings, which may change while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from kit.fakes import ORIGIN, Harness
from kit.front_ends import BlockingFrontEnd


class Part(NamedTuple):
    """What is kept under this name.   before, after: two settings."""

    name: str
    before: dict[str, Any]
    after: dict[str, Any]


PARTS = {
    "adaptive_limit": Part("adaptive_limit", {"max_limit": 5}, {"max_limit": 6}),
    "bulkhead": Part("bulkhead", {"max_concurrent": 5}, {"max_concurrent": 6}),
    "deadline_check": Part("deadline_check", {"min_samples": 50}, {"min_samples": 60}),
    "hedging": Part("hedging", {"delay": 5.0}, {"delay": 6.0}),
    "load_shedding": Part("load_shedder", {"multiplier": 3.0}, {"multiplier": 4.0}),
    "rate_limit": Part("rate_limiter", {"rate": 5.0}, {"rate": 6.0}),
}


@pytest.fixture(params=PARTS)
def setting(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def with_a_known_origin(**settings: Any) -> Harness:
    harness = Harness(BlockingFrontEnd(), 200, **settings)
    harness.request()
    return harness


def part_of(harness: Harness, setting: str, given: Any) -> Any:
    """What the known origin has once the client has another setting."""
    harness.client.reconfigure(replace(harness.client.config, **{setting: given}))
    return getattr(harness.state, PARTS[setting].name)


def test_what_is_switched_on_holds_for_known_origins(setting: str) -> None:
    """As for those to come, which have it from their first call."""
    harness = with_a_known_origin()
    assert getattr(harness.state, PARTS[setting].name) is None
    known = part_of(harness, setting, PARTS[setting].before)
    new = getattr(harness.client._call_builder.origins.get("https://new.example"), PARTS[setting].name)
    assert known.settings == new.settings
    assert known is not new


def test_other_settings_are_those_of_the_same_part(setting: str) -> None:
    """It keeps what it has counted and learned. Equal settings change nothing."""
    harness = with_a_known_origin(**{setting: PARTS[setting].before})
    part = getattr(harness.state, PARTS[setting].name)
    before = part.settings
    assert part_of(harness, setting, PARTS[setting].before) is part
    assert part.settings == before
    assert part_of(harness, setting, PARTS[setting].after) is part
    assert part.settings != before


def test_what_is_switched_off_is_forgotten(setting: str) -> None:
    """Switched on again, it begins anew: those that waited for the old one were let go."""
    harness = with_a_known_origin(**{setting: PARTS[setting].before})
    part = getattr(harness.state, PARTS[setting].name)
    assert part_of(harness, setting, None) is None
    assert part_of(harness, setting, PARTS[setting].before) not in (None, part)


@pytest.mark.parametrize("http2", [False, True])
def test_only_calls_with_a_connection_each_are_as_few_as_the_connections(http2: bool) -> None:
    """One connection of HTTP/2 takes many calls, so an adaptive limit may grow beyond them."""
    config = HttpClientConfig(adaptive_limit={}, max_connections_per_host=7, http2=http2)
    with HttpServiceClient(config) as client:
        limit = client._call_builder.origins.get(ORIGIN).adaptive_limit
    assert limit is not None
    assert (limit.settings.largest_limit > 7) is http2
