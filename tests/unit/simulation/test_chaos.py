"""Chaos in simulations: what a configuration bears, and what `check` says of it."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ChaosPolicy, HttpClientConfig
from http_service_client.events import ChaosInjected
from http_service_client.simulation import Service, check, simulate


def errors_of(**chaos: Any) -> float:
    report = simulate(
        HttpClientConfig(chaos={"seed": 5, **chaos}, enable_retry_policy=False, enable_circuit_breaker=False),
        Service(latency=0.05),
        rate=20,
        seconds=100,
        seed=1,
    )
    return 1 - report.success_share


def test_a_simulation_has_the_chaos_of_its_configuration() -> None:
    """By its rate, in virtual time, and without touching the live policy."""
    policy = ChaosPolicy(statuses=[503], status_rate=0.3)
    report = simulate(
        HttpClientConfig(chaos=policy, enable_retry_policy=False, enable_circuit_breaker=False),
        Service(latency=0.05),
        rate=20,
        seconds=100,
        seed=1,
    )
    assert 1 - report.success_share == pytest.approx(0.3, abs=0.04)
    assert policy.snapshot().injections == 0
    assert errors_of(statuses=[503], status_rate=0.3, begins_after=50) == pytest.approx(0.15, abs=0.03)
    assert errors_of(latency=31, latency_rate=0.5) == pytest.approx(0.5, abs=0.05)
    assert errors_of(errors=["ConnectError"], error_rate=0.3, max_calls=20) == pytest.approx(0.01, abs=0.003)


def found(chaos: Any, **settings: Any) -> dict[str, Any]:
    return {item.rule: item for item in check(HttpClientConfig(chaos=chaos, **settings), rate=5)}


@pytest.mark.parametrize(
    ("chaos", "rules"),
    [
        ({"statuses": [503], "status_rate": 1.0}, ["chaos-fails-all", "chaos-without-bound"]),
        ({"errors": ["ConnectError"], "error_rate": 0.5, "truncation_rate": 0.5, "origins": ["a.test"]}, ["chaos-fails-all"]),
        ({"statuses": [503], "status_rate": 1.0, "max_calls": 5}, []),
        ({"statuses": [503], "status_rate": 0.9, "ends_after": 60}, []),
        ({"statuses": [503], "status_rate": 0.01}, ["chaos-without-bound"]),
        ({"latency": (30, 40), "latency_rate": 0.1, "max_calls": 5}, ["chaos-latency-over-timeout"]),
        ({"latency": (1, 40), "latency_rate": 0.1, "max_calls": 5}, []),
        ({"statuses": [503], "status_rate": 1.0, "enabled": False}, []),
    ],
)  # fmt: skip
def test_check_finds_a_chaos_that_nobody_means(chaos: Any, rules: list[str]) -> None:
    """And only that: a chaos has no part in what it says of the other settings."""
    assert list(found(chaos)) == rules


def test_a_call_shows_it() -> None:
    """Its timeline has the faults that were injected."""
    for chaos, rule in [
        ({"statuses": [503], "status_rate": 1.0}, "chaos-fails-all"),
        (
            {"latency": 31, "latency_rate": 0.1, "routes": ["GET /a"], "begins_after": 60},
            "chaos-latency-over-timeout",
        ),
    ]:
        timeline = found(chaos)[rule].timeline
        assert any(isinstance(event, ChaosInjected) for event in timeline)
        assert timeline[-1].error is not None or timeline[-1].status_code == 503
