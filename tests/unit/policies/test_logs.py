"""The levels and the fields of records. Their text is in test_log_lines.py."""

from __future__ import annotations

import json
import logging
from typing import Any, get_args

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    HttpResponse,
    RateLimitExceededError,
    RateLimitPolicy,
    ResiliencePipeline,
    StateChange,
)
from http_service_client.events import Event, LimitRefused, ProxyRetried, why_not
from http_service_client.policies.logs import IS_LOGGED, log_change, log_chaos, log_event
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd

URL = "https://api.test/orders?token=hunter2"


def records(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


def failing_call(front_end: FrontEnd, *, metrics_only: bool = False, **options: Any) -> None:
    """A call of three attempts, each answered by 503."""
    clock = VirtualClock()
    transport = ScriptedTransport([HttpResponse(503)], clock=clock)
    client = front_end.client(
        clock=clock,
        random=lambda: 0.5,
        transport=transport,
        circuit_breaker_config={
            "failure_threshold": 3, "recovery_timeout": 60.0, "metrics_only": metrics_only,
        },
    )  # fmt: skip
    front_end.request(client, "GET", URL, **options)


def test_retries_are_info_and_a_circuit_that_opens_is_a_warning(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """One record each; all other events are DEBUG."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        failing_call(front_end)
    assert records(caplog, logging.WARNING) == [
        "https://api.test: the circuit is open: 3 consecutive failures; next trial in 60.000 s"
    ]
    info = records(caplog, logging.INFO)
    assert len(info) == 2
    assert info[0].startswith("https://api.test: retry in 0.500 s because of status 503")
    assert len(records(caplog, logging.DEBUG)) == 5


def test_a_circuit_that_only_measures_says_so(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody searches for calls that were refused: there are none."""
    with caplog.at_level(logging.INFO, "http_service_client"):
        failing_call(front_end, metrics_only=True)
    assert records(caplog, logging.WARNING) == [
        "https://api.test: the circuit is open, but refuses nothing (metrics_only): 3 consecutive failures; "
        "next trial in 60.000 s"
    ]


def test_a_circuit_that_only_measures_and_closes_is_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """A closed circuit refuses nothing in any case."""
    breaker = CircuitBreakerPolicy(metrics_only=True)
    breaker.isolate()
    with caplog.at_level(logging.INFO, "http_service_client"):
        breaker.reset()
    assert records(caplog, logging.INFO) == ["a guarded function: the circuit is closed: reset by hand"]


def test_a_record_has_the_fields_of_its_event(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """As attributes that a handler can write as JSON."""
    with caplog.at_level(logging.INFO, "http_service_client"):
        failing_call(front_end)
    retry = vars(caplog.records[0])
    fields = {name: value for name, value in retry.items() if name.startswith("http_")}
    assert {
        name: fields[name] for name in ("http_event", "http_key", "http_attempt", "http_delay", "http_cause")
    } == {
        "http_event": "retry_scheduled",
        "http_key": "https://api.test",
        "http_attempt": 1,
        "http_delay": 0.5,
        "http_cause": "status 503",
    }
    change = next(each for each in caplog.records if each.levelno == logging.WARNING)
    assert (vars(change)["http_event"], vars(change)["http_new"]) == ("circuit_state_changed", "open")
    assert json.dumps(fields)


def test_the_record_of_a_refusal_says_why(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """In words, in place of the numbers of the decision; other records have neither."""
    events: list[Any] = []
    pipeline = ResiliencePipeline(RateLimitPolicy(0.001, max_wait=0), on_event=events.append)
    guarded = pipeline.apply(front_end.function(dict))
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        front_end.run(guarded)
        with pytest.raises(RateLimitExceededError):
            front_end.run(guarded)
    records = {vars(each)["http_event"]: vars(each) for each in caplog.records}
    (refused,) = (event for event in events if isinstance(event, LimitRefused))
    assert records["limit_refused"]["http_why"] == why_not(refused)
    assert [name for name, record in records.items() if "http_why" in record] == ["limit_refused"]
    assert not any("http_decision" in record for record in records.values())


def test_no_secret_is_logged(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a header, nor a secret of the URL, nor the body."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        failing_call(front_end, headers={"Authorization": "Bearer hunter2"}, data="hunter2", idempotent=True)
    assert "hunter2" not in repr([vars(each) for each in caplog.records])


def test_a_circuit_that_a_call_brings_along_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Though each client that uses it hears of its changes."""
    from http_service_client import HttpServiceClient

    shared = CircuitBreakerPolicy(failure_threshold=1, name="partner")
    for _ in range(2):
        transport = ScriptedTransport([HttpResponse(503)], clock=VirtualClock())
        with HttpServiceClient(transport=transport) as client:
            try:
                client.get(URL, circuit_breaker=shared, retry_policy=None)
            except CircuitOpenError:
                pass
    assert len(records(caplog, logging.WARNING)) == 1


@pytest.mark.parametrize(("is_first", "level"), [(True, logging.WARNING), (False, logging.DEBUG)])
def test_a_proxy_that_retries_is_a_warning_once(
    caplog: pytest.LogCaptureFixture, is_first: bool, level: int
) -> None:
    """For each origin; the remedy is the same each time."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        log_event(ProxyRetried(1.0, 1, "https://api.test", 3, is_first))
    assert [record.levelno for record in caplog.records] == [level]


@pytest.mark.parametrize(
    ("new", "is_shadow", "line"),
    [
        (CircuitBreakerState.OPEN, False, "WARNING k: the circuit is open: why; next trial in 5.000 s"),
        (CircuitBreakerState.OPEN, True, "INFO k: the circuit is open: why; next trial in 5.000 s"),
        (
            CircuitBreakerState.HALF_OPEN,
            False,
            "INFO k: the circuit is half-open: why; next trial in 5.000 s",
        ),
    ],
)
def test_only_a_circuit_that_opens_and_refuses_is_a_warning(
    caplog: pytest.LogCaptureFixture, new: CircuitBreakerState, is_shadow: bool, line: str
) -> None:
    """Its shadow refuses nothing."""
    change = StateChange("k", CircuitBreakerState.CLOSED, new, "why", 0.0, 2, 5.0, is_shadow)
    with caplog.at_level(logging.INFO, "http_service_client"):
        log_change(change)
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == [line]


def test_the_record_of_a_chaos_has_fields(caplog: pytest.LogCaptureFixture) -> None:
    """As the record of an event."""
    with caplog.at_level(logging.WARNING, "http_service_client"):
        log_chaos("staging", "a delay", "it is disabled")
    (record,) = caplog.records
    assert (
        record.getMessage() == "staging: chaos is configured, but off now: it is disabled; it injects a delay"
    )
    fields = {name: value for name, value in vars(record).items() if name.startswith("http_")}
    assert fields == {
        "http_event": "chaos_configured",
        "http_key": "staging",
        "http_reason": "it is disabled",
    }


# As the documentation says; those left out are of the level DEBUG.
BRANCHES = {
    "call": "CallFinished OperationFinished",
    "attempt": "AttemptFinished CodingRefused ConnectionAwaited DeadlineRefused HostChanged",
    "retry": "RetryScheduled RetryStopped ProxyRetried",
    "redirect": "RedirectFollowed",
    "auth": "AuthContinued AuthStopped TokenAwaited",
    "circuit": "CircuitRefused",
    "throttle": "ThrottleWaited ThrottleRefused",
    "limit": "LimitWaited LimitRefused",
    "cache": "CacheUsed CacheFailed",
    "fallback": "FallbackUsed",
    "hedge": "HedgeStarted HedgeDenied HedgeFinished",
    "chaos": "ChaosInjected",
    "timeout": "OperationTimedOut",
}
LEVELS = {
    "CallFinished": logging.INFO,  # of a logger that has been given a level
    "RetryScheduled": logging.INFO,
    "ProxyRetried": logging.WARNING,
    "CacheFailed": logging.WARNING,
    "FallbackUsed": logging.INFO,
    "ChaosInjected": logging.WARNING,
    "OperationTimedOut": logging.INFO,
}


@pytest.mark.parametrize(
    ("branch", "name"), [(branch, name) for branch, names in BRANCHES.items() for name in names.split()]
)
def test_the_level_of_its_branch_decides_whether_an_event_is_logged(
    caplog: pytest.LogCaptureFixture, branch: str, name: str
) -> None:
    """Whatever the levels of the other branches."""
    (kind,) = [each for each in get_args(Event) if each.__name__ == name]
    level = LEVELS.get(name, logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "http_service_client")
    for at, is_logged in ((level, True), (level + 1, False)):
        caplog.set_level(at, f"http_service_client.{branch}")
        assert IS_LOGGED[kind]() is is_logged


def test_every_kind_of_event_has_a_documented_branch() -> None:
    """But the changes of a circuit, which are logged once for all clients."""
    named = [name for names in BRANCHES.values() for name in names.split()]
    assert sorted(named) == sorted({each.__name__ for each in get_args(Event)} - {"StateChange"})
