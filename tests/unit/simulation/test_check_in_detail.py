"""What exactly the findings of `check` say, and where the bounds of its rules lie."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    ConstantBackoff,
    HttpClientConfig,
    RetryBudgetSettings,
    RetryCondition,
    RetryPolicy,
    Timeout,
)
from http_service_client.events import AttemptFinished, CallFinished
from http_service_client.simulation import Finding, check

pytestmark = pytest.mark.once

ENDLESS = ConnectionPoolConfig(request_timeout=None)
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}
ONCE: dict[str, Any] = {"enable_retry_policy": False, "enable_circuit_breaker": False}


def found(rate: float = 5.0, caller_timeout: float | None = None, **settings: Any) -> dict[str, Finding]:
    findings = check(HttpClientConfig(**settings), rate=rate, caller_timeout=caller_timeout)
    return {finding.rule: finding for finding in findings}


def end_of(finding: Finding) -> tuple[float, int | None, str | None]:
    """When the call ended, and how."""
    end = finding.timeline[-1]
    assert isinstance(end, CallFinished)
    return end.at, end.status_code, end.error


def test_a_finding_as_text_has_its_rule_its_message_and_its_timeline() -> None:
    """If there is one."""
    finding = found(base_timeout=30.0, total_timeout=20.0)["attempt-over-total"]
    assert str(finding) == f"attempt-over-total: {finding.message}\n{finding.timeline.explain()}"
    endless = found(connection_pool=ENDLESS, **ONCE)["call-without-end"]
    assert str(endless) == (
        "call-without-end: nothing ends a call to a service that falls silent; set base_timeout or total_timeout"
    )


def test_the_messages_of_times_name_the_settings() -> None:
    """And their values."""
    late = found(base_timeout=0.1, total_timeout=2.0, **NO_BREAKER)
    assert late["attempts-over-total"].message == (
        "a silent service gets 2 of 3 attempts in full: the call ends after total_timeout=2; "
        "lower base_timeout=0.1 or max_attempts=3"
    )
    assert late["waits-over-total"].message == (
        "the longest waits alone leave no time for all 3 attempts within total_timeout=2; "
        "shorten the backoff, or lower max_attempts=3"
    )
    for how in ("attempts-over-total", "waits-over-total"):
        assert any(isinstance(event, AttemptFinished) for event in late[how].timeline)
    outlasted = found(caller_timeout=9.5, **ONCE)["call-over-caller"]
    assert outlasted.message == (
        "a call to a silent service takes 30 s, and its caller waits 9.5 s; set total_timeout below 9.5"
    )
    assert end_of(outlasted) == (30.0, None, "AttemptTimeoutError")
    waited = found(caller_timeout=9.5, **NO_BREAKER)["wait-over-caller"]
    assert waited.message == (
        "a call waits 10 s if its service asks for that, and its caller waits 9.5 s; set total_timeout below 9.5"
    )
    assert end_of(waited)[1] == 429
    single = found(base_timeout=30.0, total_timeout=20.0, **ONCE)["attempt-over-total"]
    assert single.message.startswith("a silent service gets 0 of 1 attempts in full: ")
    endless = found(connection_pool=ENDLESS, total_timeout=90.0, **NO_BREAKER)["attempt-over-total"]
    assert endless.message.endswith("lower base_timeout=None or max_attempts=3")


@pytest.mark.parametrize("total_timeout", [None, 60.0])
def test_attempts_that_the_policy_does_not_repeat_are_not_missed(total_timeout: float | None) -> None:
    """A call that ends after the first one, since its failure is none to retry, is not cut short by a deadline."""
    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_status_codes([503])])
    assert (
        found(base_timeout=5.0, total_timeout=total_timeout, retry_policy_config=policy, **NO_BREAKER) == {}
    )


def test_a_call_is_looked_at_alone() -> None:
    """One that waits for another, as under a bulkhead of one, would take longer."""
    one: dict[str, Any] = {"bulkhead": {"max_concurrent": 1, "max_wait": 100.0}}
    assert found(caller_timeout=31.0, **one, **ONCE) == {}
    finding = found(circuit_breaker_config={"trial_lease": 20.0}, **one)["lease-below-timeout"]
    assert end_of(finding)[0] == pytest.approx(25.0)


def test_chaos_without_a_delay_delays_nothing() -> None:
    """However short the timeout."""
    assert (
        found(chaos={"statuses": [503], "status_rate": 0.1, "max_calls": 5}, base_timeout=0.5, **ONCE) == {}
    )


def test_neither_budgets_nor_circuits_hide_how_long_a_call_may_take() -> None:
    """They may let all attempts be made at another time."""
    settings: dict[str, Any] = {
        "base_timeout": 8.0,
        "total_timeout": 20.0,
        "retry_budget_config": RetryBudgetSettings(ratio=0.01, min_per_second=0.0),
    }
    assert "attempts-over-total" in found(**settings)
    opens_at_once = {"failure_threshold": 1, "recovery_timeout": 60.0}
    assert "attempts-over-total" in found(
        base_timeout=8.0, total_timeout=20.0, circuit_breaker_config=opens_at_once
    )


@pytest.mark.parametrize(("rate", "seconds"), [(0.5, 600), (20, 250), (100, 60)])
def test_a_circuit_must_open_in_ten_minutes_or_5000_calls(rate: float, seconds: int) -> None:
    """Or in a minute, if that has more calls."""
    finding = found(rate, circuit_breaker_config={"failure_threshold": 100_000})["circuit-never-opens"]
    assert finding.message == (
        f"at {rate:g} calls a second no circuit opens within {seconds} s, though every call fails; "
        "let fewer failures open it in circuit_breaker_config"
    )
    assert end_of(finding)[2] == "ConnectError"


def test_nothing_is_said_of_circuits_without_calls() -> None:
    """At a rate of which no call comes in ten minutes."""
    for settings in ({"failure_threshold": 1}, {"failure_threshold": 100_000}):
        assert found(1e-7, circuit_breaker_config=settings) == {}


@pytest.mark.parametrize("rate", [5, 100])
def test_a_circuit_that_opens_too_easily_is_shown_by_a_call_that_it_refuses(rate: float) -> None:
    """The message has the time until it opened: that of some twenty requests, of which one fails."""
    finding = found(rate, circuit_breaker_config={"failure_threshold": 1})["circuit-opens-without-need"]
    start, after, rest = finding.message.partition(" after ")
    assert start + after == f"at {rate} calls a second a circuit opens after "
    seconds, _, rest = rest.partition(" s, ")
    assert 1 < rate * float(seconds) < 200
    assert rest == ("though 95% of the requests succeed; let more failures open it in circuit_breaker_config")
    assert end_of(finding)[2] == "CircuitOpenError"


@pytest.mark.parametrize(
    ("settings", "lease", "limit", "ends_at"),
    [
        ({}, 20.0, "30 s", 25.0),
        ({}, 30.0, "30 s", 30.0),
        ({"total_timeout": 10.0, "base_timeout": 3.0}, 2.0, "3 s", 2.5),
        ({"connection_pool": ENDLESS}, 60.0, "no limit", 90.0),
        ({"total_timeout": 10.0, "base_timeout": 10.0, "enable_retry_policy": False}, 8.0, "10 s", 9.0),
    ],
)
def test_a_trial_lease_is_above_the_attempt_timeout(
    settings: dict[str, Any], lease: float, limit: str, ends_at: float
) -> None:
    """Shown is a trial that ends well, too late."""
    finding = found(circuit_breaker_config={"trial_lease": lease}, **settings)["lease-below-timeout"]
    assert finding.message == (
        f"a trial that takes longer than trial_lease={lease:g} is not used, however it ends; raise it above the "
        f"attempt timeout of {limit}"
    )
    assert end_of(finding) == (pytest.approx(ends_at), 200, None)


def test_a_trial_lease_just_above_the_attempt_timeout_is_enough() -> None:
    """However little it is."""
    assert found(circuit_breaker_config={"trial_lease": 30.1}) == {}


def test_slow_calls_must_end_to_be_counted() -> None:
    """The message has both settings."""
    slow = {
        "slow_call_rate": 0.8,
        "slow_call_duration": 31.0,
        "failure_threshold": 30,
        "failure_duration": 10.0,
    }
    finding = found(circuit_breaker_config=slow)["slow-call-over-timeout"]
    assert finding.message == (
        "no attempt takes as long as slow_call_duration=31, since it is given up after base_timeout=30, so that "
        "slow_call_rate counts nothing; set the duration below the timeout"
    )
    endless = found(circuit_breaker_config=slow, connection_pool=ENDLESS)
    assert list(endless) == ["call-without-end", "lease-below-timeout"]


def hosts(count: int) -> dict[str, Any]:
    return {
        "base_url": "https://a.test",
        "alternate_urls": [f"https://{number}.test" for number in range(1, count)],
    }


@pytest.mark.parametrize(("count", "attempts", "asked"), [(3, 3, 3), (3, 2, 2), (4, 2, 2), (2, 2, 2)])
def test_a_call_has_an_attempt_for_each_base_url(count: int, attempts: int, asked: int) -> None:
    """Or its last ones are there for nothing."""
    policy = RetryPolicy(attempts, ConstantBackoff(0.1))
    findings = found(retry_policy_config=policy, **hosts(count))
    if asked == count:
        assert findings == {}
        return
    (finding,) = findings.values()
    assert finding.message == (
        f"a call whose attempts fail asks {asked} of {count} base URLs; set max_attempts of its retry policy to {count} "
        "or more"
    )
    keys = {event.key for event in finding.timeline if isinstance(event, AttemptFinished)}
    assert len(keys) == asked


def test_a_circuit_that_opens_at_once_lets_a_call_ask_the_other_base_urls() -> None:
    """It is that of one of them."""
    policy = RetryPolicy(3, ConstantBackoff(0.1))
    findings = found(retry_policy_config=policy, circuit_breaker_config={"failure_threshold": 1}, **hosts(3))
    assert list(findings) == ["circuit-opens-without-need"]


@pytest.mark.parametrize(
    "settings",
    [
        {"base_timeout": 0.1, "total_timeout": 2.0, **NO_BREAKER},
        {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1)), **hosts(3)},
    ],
    ids=["times", "base URLs"],
)
def test_a_budget_that_pays_for_no_retry_now_changes_no_finding(settings: dict[str, Any]) -> None:
    """Other calls earn the retries, sooner or later."""
    budget = RetryBudgetSettings(ratio=0.1, min_per_second=0.0)
    assert found(retry_budget_config=budget, **settings) == found(**settings)


SLOW_CALLS = {"slow_call_duration": 0.2, "slow_call_rate": 0.5, "minimum_calls": 10, "window": 60.0}


@pytest.mark.parametrize("base_timeout", [30.0, 0.3])
@pytest.mark.parametrize(
    "breaker", [{"failure_threshold": 3, "failure_duration": 60}, SLOW_CALLS], ids=["failures", "slow calls"]
)
@pytest.mark.parametrize(
    ("rate", "samples", "is_found"), [(5, 300, False), (1, 300, True), (5, 1000, True), (1e-7, 10, False)]
)
def test_a_deadline_check_needs_calls_to_know_from(
    rate: float, samples: int, is_found: bool, breaker: dict[str, Any], base_timeout: float
) -> None:
    """In the two minutes that it remembers.

    Circuits have no part in that, nor have attempt timeouts, and without calls nothing is said.
    """
    findings = found(
        rate,
        deadline_check={"min_samples": samples},
        circuit_breaker_config=breaker,
        base_timeout=base_timeout,
    )
    finding = findings.get("deadline-check-without-effect")
    assert (finding is not None) is is_found
    if finding is not None:
        assert finding.message == (
            f"at {rate:g} calls a second the deadline check never knows min_samples={samples} attempts, since what is "
            "older than two minutes is forgotten; lower it, or set deadline_check=None"
        )
        assert end_of(finding)[2] == "DeadlineExceededError"


@pytest.mark.parametrize(
    ("settings", "delay", "limit"),
    [
        ({}, 30.0, "base_timeout=30"),
        ({"total_timeout": 5.0}, 6.0, "total_timeout=5"),
        ({"total_timeout": 40.0}, 35.0, "base_timeout=30"),
        ({"total_timeout": 30.0}, 35.0, "base_timeout=30"),
        ({"total_timeout": 5.0, "connection_pool": ENDLESS}, 6.0, "total_timeout=5"),
    ],
)
def test_a_hedge_is_due_before_the_first_limit(settings: dict[str, Any], delay: float, limit: str) -> None:
    """The message names that."""
    finding = found(hedging={"delay": delay}, **settings, **ONCE)["hedge-never-due"]
    assert finding.message == (
        f"no request is ever hedged: delay={delay:g} of hedging is not below {limit}; lower the delay, to about the "
        "latency that few responses exceed"
    )
    assert end_of(finding)[2] is not None


def test_nothing_is_said_of_the_hedges_of_a_call_that_never_ends() -> None:
    """But that it never ends."""
    assert list(found(hedging={"delay": 5.0}, connection_pool=ENDLESS, **ONCE)) == ["call-without-end"]


ALL = {"statuses": [503], "status_rate": 1.0}


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ({}, "all calls"),
        ({"origins": ["a.test"]}, "the calls in its scope"),
        ({"routes": ["GET /a"]}, "the calls in its scope"),
    ],
)
def test_chaos_that_fails_all_calls_is_a_mistake(where: dict[str, Any], calls: str) -> None:
    """If it ends, too."""
    finding = found(chaos={**ALL, "ends_after": 60, **where}, **NO_BREAKER)["chaos-fails-all"]
    assert finding.message == (
        f"{calls} fail by chaos, whose error_rate, status_rate and truncation_rate add up to 1; lower them, or set max_calls"
    )
    assert end_of(finding)[1] == 503


def test_rates_add_up_to_one_in_spite_of_rounding() -> None:
    """As 0.7, 0.2 and 0.1 do, whose sum is a little less in binary."""
    chaos = {
        "errors": ["ConnectError"], "error_rate": 0.7, "statuses": [503], "status_rate": 0.2, "truncation_rate": 0.1
    }  # fmt: skip
    assert "chaos-fails-all" in found(chaos={**chaos, "ends_after": 60}, **NO_BREAKER)
    assert found(chaos={**chaos, "error_rate": 0.699, "ends_after": 60}, **NO_BREAKER) == {}


def test_chaos_is_no_slower_than_the_attempt_timeout() -> None:
    """Whatever the deadline of the call, and whatever stands in for its response."""
    chaos = {"latency": 31, "latency_rate": 0.1, "max_calls": 5}
    finding = found(
        chaos=chaos,
        total_timeout=95.0,
        fallback={"value": 1},
        retry_policy_config=RetryPolicy(3),
        **NO_BREAKER,
    )["chaos-latency-over-timeout"]
    assert finding.message == (
        "each call that chaos delays fails, since latency=31 is not below base_timeout=30; lower the latency, or inject "
        "AttemptTimeoutError, which takes no time"
    )
    assert end_of(finding)[2] == "AttemptTimeoutError"
    assert list(found(chaos=chaos, connection_pool=ENDLESS, **ONCE)) == ["call-without-end"]


@pytest.mark.parametrize(
    ("bound", "is_found"),
    [
        ({}, True),
        ({"routes": ["GET /a"]}, True),
        ({"begins_after": 5}, True),
        ({"origins": ["a.test"]}, False),
        ({"max_calls": 5}, False),
        ({"ends_after": 60}, False),
        ({"enabled": False}, False),
    ],
)
def test_chaos_has_a_bound(bound: dict[str, Any], is_found: bool) -> None:
    """An origin, a number of calls or an end."""
    findings = found(chaos={"statuses": [503], "status_rate": 0.01, **bound}, **ONCE)
    assert list(findings) == ["chaos-without-bound"] * is_found
    if is_found:
        assert findings["chaos-without-bound"].message == (
            "chaos goes on for ever and everywhere; set origins, max_calls or ends_after, or call disable() when it is over"
        )
        assert findings["chaos-without-bound"].timeline == ()


def test_a_rate_must_be_given() -> None:
    """None is none."""
    with pytest.raises(ValueError, match="rate must be a positive, finite number"):
        check(rate=None)  # type: ignore[arg-type]


def test_a_timeout_of_a_part_of_an_attempt_ends_it() -> None:
    """As `read` does while a service is silent."""
    routes = {"GET /a": {"timeout": Timeout(read=3.0)}}
    (finding,) = check(HttpClientConfig(base_timeout=5.0, routes=routes, **ONCE), rate=5, caller_timeout=2.0)[
        1:
    ]
    assert end_of(finding) == (3.0, None, "ReadTimeoutError")
