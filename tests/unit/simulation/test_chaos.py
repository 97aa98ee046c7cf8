"""Chaos in simulations: what a configuration bears, and what `check` says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from http_service_client import ChaosPolicy, ConnectionPoolConfig, HttpClientConfig
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


@pytest.mark.once
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


def test_check_looks_at_each_route() -> None:
    """With its own times and attempts; the message names it."""
    config = HttpClientConfig(
        base_timeout=4.0,
        total_timeout=20.0,
        routes={
            "POST /charges": {"timeout": 10.0},
            "GET /a": {"timeout": 10.0, "retry_policy": False},
            "GET /b": {"total_timeout": 5.0},
            "GET /c": {"retry_policy": {"max_attempts": 9}},
            "GET /d": {"name": "d"},
        },
    )
    found = [(item.rule, item.message.partition(":")[0]) for item in check(config, rate=5)]
    assert found == [
        ("attempts-over-total", "routes['POST /charges']"),
        ("attempts-over-total", "routes['GET /b']"),
        ("attempts-over-total", "routes['GET /c']"),
        ("waits-over-total", "routes['GET /c']"),
    ]
    pool = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=4.0), total_timeout=20.0)
    assert check(replace(pool, routes={"GET /a": {"timeout": 5.0}}), rate=5) == []


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
