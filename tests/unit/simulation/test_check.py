"""Contradictions between settings, each shown by a call of the real core."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
)
from http_service_client.events import AttemptFinished, CallFinished, CircuitRefused
from http_service_client.simulation import Finding, check

DOWN = {"failure_threshold": 30, "failure_duration": 10.0}  # the default test
ENDLESS = ConnectionPoolConfig(request_timeout=None)


def breaker(**settings: Any) -> HttpClientConfig:
    return HttpClientConfig(circuit_breaker_config=settings)


FOUND: dict[str, dict[str, Finding]] = {}  # several tests look at the same findings


def found(config: HttpClientConfig | None, rate: float = 5.0, **settings: Any) -> dict[str, Finding]:
    asked = f"{config!r} {rate} {settings}"
    if asked not in FOUND:
        FOUND[asked] = {finding.rule: finding for finding in check(config, rate=rate, **settings)}
    return FOUND[asked]


@pytest.mark.once
@pytest.mark.parametrize("rate", [0.1, 2, 20, 200])
def test_the_defaults_do_not_contradict_each_other(rate: float) -> None:
    """At any usual rate."""
    assert check(rate=rate) == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("config", "rules"),
    [
        (HttpClientConfig(base_timeout=30.0, total_timeout=20.0), ["attempt-over-total"]),
        (HttpClientConfig(base_timeout=20.0, total_timeout=20.0, enable_retry_policy=False), []),
        (HttpClientConfig(base_timeout=8.0, total_timeout=20.0), ["attempts-over-total"]),
        (HttpClientConfig(base_timeout=5.0, total_timeout=20.0), []),
        (HttpClientConfig(base_timeout=0.1, total_timeout=2.0), ["attempts-over-total", "waits-over-total"]),
        (HttpClientConfig(connection_pool=ENDLESS, total_timeout=90.0, enable_circuit_breaker=False), ["attempt-over-total"]),
        (HttpClientConfig(connection_pool=ENDLESS, enable_circuit_breaker=False), ["call-without-end"]),
        (breaker(failure_threshold=10_000), ["circuit-never-opens"]),
        (breaker(failure_threshold=1), ["circuit-opens-without-need"]),
        (breaker(trial_lease=20.0), ["lease-below-timeout"]),
        (HttpClientConfig(hedging={"delay": 29.0}), []),
        (HttpClientConfig(hedging={}), []),
        (HttpClientConfig(hedging={"delay": 30.0}), ["hedge-never-due"]),
        (HttpClientConfig(hedging={"delay": 6.0}, base_timeout=10, total_timeout=5.0, enable_retry_policy=False), ["attempt-over-total", "hedge-never-due"]),
        (HttpClientConfig(base_url="https://a.test", alternate_urls=["https://b.test"]), []),
        (
            HttpClientConfig(
                base_url="https://a.test", alternate_urls=["https://b.test"], enable_retry_policy=False
            ),
            ["hosts-out-of-reach"],
        ),
        (HttpClientConfig(deadline_check={}), []),
        (HttpClientConfig(deadline_check={"min_samples": 1000}), ["deadline-check-without-effect"]),
        (HttpClientConfig(bulkhead={"max_concurrent": 20}), []),
        (HttpClientConfig(bulkhead={"max_concurrent": 21}), ["bulkhead-over-connections"]),
        (HttpClientConfig(bulkhead={"max_concurrent": 9000}, max_connections=10), ["bulkhead-over-connections"]),
        (HttpClientConfig(adaptive_limit={}), []),
        (HttpClientConfig(adaptive_limit={"max_limit": 20}), []),
        (HttpClientConfig(adaptive_limit={"max_limit": 21}), ["adaptive-limit-over-connections"]),
        (HttpClientConfig(load_shedding={}), []),
        (HttpClientConfig(rate_limit={"rate": 100}), []),
        (HttpClientConfig(rate_limit={"rate": 0.9}), ["rate-over-limit"]),
        (HttpClientConfig(rate_limit={"rate": 100, "max_wait": 0.001}), ["turn-over-wait"]),
        (HttpClientConfig(rate_limit={"rate": 100, "max_wait": 0}), []),
        (HttpClientConfig(rate_limit={"adaptive": "cubic"}), []),
        (breaker(slow_call_rate=0.8, slow_call_duration=31.0, **DOWN), ["slow-call-over-timeout"]),
        (breaker(slow_call_rate=0.8, slow_call_duration=30.0, **DOWN), []),
        (HttpClientConfig(connection_pool=ENDLESS), ["call-without-end", "lease-below-timeout"]),
        (HttpClientConfig(enable_circuit_breaker=False, enable_retry_policy=False), []),
    ],
)  # fmt: skip
def test_each_contradiction_is_found(config: HttpClientConfig, rules: list[str]) -> None:
    """And nothing else."""
    assert list(found(config)) == rules


def test_a_caller_that_gives_up_is_outlasted() -> None:
    """By a call to a silent service, and by one whose service asks for a wait."""
    findings = found(None, caller_timeout=10.0)
    assert list(findings) == ["call-over-caller", "wait-over-caller"]
    assert all(finding.timeline[-1].at > 10.0 for finding in findings.values())
    assert found(HttpClientConfig(base_timeout=2.0, total_timeout=9.0), caller_timeout=10.0) == {}


@pytest.mark.parametrize("rate", [0.02, 5])
def test_the_rate_decides_whether_a_circuit_opens(rate: float) -> None:
    """The same threshold is reached in ten minutes by many calls, and not by a few."""
    once = HttpClientConfig(enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 100})
    assert ("circuit-never-opens" in found(once, rate)) is (rate < 1)


def test_each_finding_names_settings_and_has_a_timeline_that_shows_it() -> None:
    """A reader sees what happens, and what to change."""
    finding = found(HttpClientConfig(base_timeout=30.0, total_timeout=20.0))["attempt-over-total"]
    assert "total_timeout=20; lower base_timeout=30" in finding.message
    assert isinstance(finding.timeline[-1], CallFinished)
    assert finding.timeline[-1].error == "DeadlineExceededError"
    assert str(finding).splitlines()[0] == f"attempt-over-total: {finding.message}"
    assert "done: DeadlineExceededError after 1 attempt" in str(finding)


def test_the_timelines_show_what_the_rules_say() -> None:
    """A call that was sent though all fail, one that was refused though most succeed, a trial beyond its lease."""
    never = found(breaker(failure_threshold=10_000))["circuit-never-opens"].timeline
    assert any(isinstance(event, AttemptFinished) for event in never)
    always = found(breaker(failure_threshold=1))["circuit-opens-without-need"].timeline
    assert any(isinstance(event, CircuitRefused) for event in always)
    trial = found(breaker(trial_lease=20.0))["lease-below-timeout"].timeline
    assert 20.0 < trial[-1].at < 30.0
    slow = breaker(slow_call_rate=0.8, slow_call_duration=31.0, **DOWN)
    ends = [
        event
        for event in found(slow)["slow-call-over-timeout"].timeline
        if isinstance(event, AttemptFinished)
    ]
    assert [end.error for end in ends] == ["AttemptTimeoutError"] * 3
    assert all(end.duration < 31.0 for end in ends)
    assert found(HttpClientConfig(connection_pool=ENDLESS))["call-without-end"].timeline == ()


def test_waits_are_the_longest_that_jitter_allows() -> None:
    """What fits by luck does not fit."""
    backoff = ConstantBackoff(2.0)  # with jitter, a mean of 1 s
    config = HttpClientConfig(
        base_timeout=0.5, total_timeout=3.5, retry_policy_config=RetryPolicy(3, backoff), enable_circuit_breaker=False
    )  # fmt: skip
    assert "waits-over-total" in found(config)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"rate": 0}, "rate must be a positive"),
        ({"rate": 1, "caller_timeout": -1}, "caller_timeout must be a positive"),
        (
            {"rate": 1, "config": {}},
            r"config must be an HttpClientConfig, not \{\}; write HttpClientConfig\.from_mapping\(settings\)",
        ),
        ({"rate": 1, "config": HttpServiceClient()}, "not <HttpServiceClient>; pass its config"),
    ],
)
def test_wrong_arguments_are_errors(settings: dict[str, Any], part: str) -> None:
    """That name the argument and its value."""
    with pytest.raises(ConfigurationError, match=part):
        check(**settings)


def test_a_call_outlasts_its_caller_by_its_last_attempt() -> None:
    """The first one ends in time."""
    config = HttpClientConfig(base_timeout=4.0, enable_circuit_breaker=False)
    assert "call-over-caller" in found(config, caller_timeout=10.0)
    first = HttpClientConfig(base_timeout=4.0, enable_retry_policy=False, enable_circuit_breaker=False)
    assert found(first, caller_timeout=4.0) == {}  # at the very end is not too late
    assert "call-over-caller" in found(first, caller_timeout=3.99)


@pytest.mark.parametrize(("caller_timeout", "is_over"), [(10.0, False), (9.5, True)])
def test_a_wait_that_ends_with_the_caller_s_is_in_time(caller_timeout: float, is_over: bool) -> None:
    """The service asks for whole seconds: 10 in both cases."""
    config = HttpClientConfig(
        retry_policy_config=RetryPolicy(2, ConstantBackoff(0.0, jitter="none")), enable_circuit_breaker=False
    )
    assert ("wait-over-caller" in found(config, caller_timeout=caller_timeout)) is is_over


def test_a_service_that_is_nearly_well_answers_95_percent() -> None:
    """The message says so."""
    finding = found(breaker(failure_threshold=1))["circuit-opens-without-need"]
    assert "though 95% of the requests succeed" in finding.message
