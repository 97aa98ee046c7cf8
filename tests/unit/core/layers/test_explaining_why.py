"""What `explain(why=True)` says of a refusal, and that a call with the change goes on."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConnectionPoolConfig,
    DeadlineExceededError,
    ExponentialBackoff,
    HttpClientError,
    HttpResponse,
    PoolTimeoutError,
    RetryCondition,
    RetryPolicy,
    SentState,
    ThrottledError,
    TransportError,
    deadline,
)
from http_service_client.core.layers.retry import _overrun
from http_service_client.errors import CallRefusedError, TlsVerificationError
from http_service_client.events import (
    AttemptFinished,
    ConnectionAwaited,
    LimitWaited,
    RetryStopped,
    ThrottleWaited,
    Timeline,
    TokenAwaited,
)
from http_service_client.simulation import replay
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, URL, Harness, failure
from kit.front_ends import FrontEnd
from kit.hedged_calls import OK, WORLDS, play
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NONE_LEFT = {"capacity": 1.0, "earned": 0.0, "cost": 1.0}
BUSY = (429, {"Retry-After": "30"})


def policy(**changes: Any) -> RetryPolicy:
    return RetryPolicy(**{"backoff_strategy": EXACT, **changes})


def reasons(harness: Harness, method: str, **options: Any) -> list[str]:
    """The lines that say what would have led to another attempt."""
    try:
        story = harness.request(method, **options).explain(why=True)
    except HttpClientError as error:
        story = error.explain(why=True)
    return [line.strip() for line in story.splitlines() if line.startswith(" " * 11)]


# The script, the client's settings and the call's, what is said, and the changed settings of client and call.
ROWS: list[tuple[list[Any], dict[str, Any], dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    (
        [500, 200],
        {},
        {"method": "POST"},
        "idempotent=True (or an Idempotency-Key)",
        {},
        {"idempotent": True},
    ),
    ([500, 500, 500, 200], {}, {}, "max_attempts=4", {}, {"retry_policy": policy(max_attempts=4)}),
    ([500], {}, {"total_timeout": 0.5}, "0.501 s more until the deadline", {}, {"total_timeout": 1.001}),
    (
        [500],
        {},
        {"method": "POST", "total_timeout": 0.5},
        "idempotent=True (or an Idempotency-Key) and 0.501 s more until the deadline",
        {},
        {"idempotent": True, "total_timeout": 1.001},
    ),
    (
        [BUSY],
        {},
        {"timeout": 20},
        "timeout=30, which is the longest Retry-After to wait for",
        {"enable_throttle_gate": False},
        {"timeout": 30},
    ),
    (
        [BUSY],
        {},
        {"timeout": 20, "retry_policy": policy(backoff_strategy=ExponentialBackoff(max_delay=10.0))},
        "timeout=30, which is the longest Retry-After to wait for and max_delay=30 in the backoff",
        {"enable_throttle_gate": False},
        {"timeout": 30, "retry_policy": policy(backoff_strategy=ExponentialBackoff(max_delay=30.0))},
    ),
    (
        [500],
        {"retry_budget_config": NONE_LEFT},
        {},
        "1 more in the retry budget",
        {"retry_budget_config": {**NONE_LEFT, "capacity": 2.0}},
        {},
    ),
    # No condition holds for a 409, but the server is still working on the first attempt.
    (
        [READ_TIMEOUT, 409, 200],
        {},
        {
            "method": "POST",
            "headers": {"Idempotency-Key": "k"},
            "retry_policy": policy(max_attempts=2),
        },
        "max_attempts=3",
        {},
        {"retry_policy": policy(max_attempts=3)},
    ),
    (
        [failure(TlsVerificationError)],
        {},
        {},
        "",
        {},
        {},
    ),
    # A retry that adds no load is not paid for.
    (
        [failure(PoolTimeoutError, SentState.NEVER_SENT)],
        {"retry_budget_config": {"ratio": 0.0, "min_per_second": 0.0}},
        {"retry_policy": policy(max_attempts=1)},
        "max_attempts=2",
        {},
        {"retry_policy": policy(max_attempts=2)},
    ),
    # The client was closed meanwhile, say.
    ([failure(TransportError, SentState.ABANDONED)], {}, {"method": "POST"}, "", {}, {}),
    (
        [READ_TIMEOUT],
        {},
        {"retry_policy": policy(retry_conditions=[])},
        "a retry condition that holds for it",
        {},
        {"retry_policy": policy(retry_conditions=RetryCondition.defaults())},
    ),
    (
        [(500, {"x-should-retry": "false"})],
        {},
        {},
        "a server that does not forbid it (x-should-retry: false)",
        {},
        {},
    ),
    (
        [(404, {"x-should-retry": "false"})],
        {},
        {},
        "a retry condition that holds for it and a server that does not forbid it (x-should-retry: false)",
        {},
        {},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[3][:20])
def test_the_change_is_named_and_does_it(
    front_end: FrontEnd,
    row: tuple[list[Any], dict[str, Any], dict[str, Any], str, dict[str, Any], dict[str, Any]],
) -> None:
    """A call with the change makes one attempt more than the same call without it."""
    script, of_client, of_call, expected, better_client, better_call = row
    common = {"retry_policy_config": policy(), "enable_circuit_breaker": False, **of_client}
    call = {"method": "GET", **of_call}

    def attempts_and_reasons(settings: dict[str, Any], options: dict[str, Any]) -> tuple[int, list[str]]:
        harness = Harness(front_end, *script, **settings)
        return ((found := reasons(harness, **options)) and harness.sends) or harness.sends, found

    made, said = attempts_and_reasons(common, call)
    if expected:
        assert said == [f"would have been retried with {expected}"]
    else:
        assert said == ["nothing that can be set would have had it retried"]
    if better_client or better_call:
        assert attempts_and_reasons({**common, **better_client}, {**call, **better_call})[0] > made


def test_a_refused_circuit_says_when_a_call_may_pass(front_end: FrontEnd) -> None:
    """In the timeline of the error, and in that of a call that it ended between two attempts."""
    harness = Harness(
        front_end,
        REFUSED,
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 5.0},
        retry_policy_config=policy(max_attempts=1),
    )
    assert reasons(harness, "GET") == [
        "would have been retried with max_attempts=2 and a backoff of 5 s, since the circuit lets a trial pass then"
    ]
    error = harness.error(CircuitOpenError)
    assert (
        error.explain(why=True).splitlines()[2]
        == " " * 11 + "would have been sent with a call 5 s later, as a trial"
    )


def test_a_pause_says_what_the_call_may_wait(front_end: FrontEnd) -> None:
    """Each of the ways by itself."""
    harness = Harness(front_end, BUSY, retry_policy_config=policy(max_attempts=1))
    harness.request()
    error = harness.error(ThrottledError, timeout=20)
    assert error.explain(why=True).splitlines()[2].strip() == (
        "would have been sent with timeout=60, half of which it may wait for the end of the pause, "
        "or with a call 20 s later, after the pause"
    )


@each_row(
    ("settings", "options", "said"),
    [
        ({"max_wait": 0.0}, {}, "max_wait=2 of the rate limit, or with a call 2 s later"),
        (
            {"max_wait": 9.0},
            {"total_timeout": 1.0},
            "1.01 s more until the deadline, or with a call 1.01 s later",
        ),
        ({"max_wait": 1.0}, {"total_timeout": 0.5}, "a call 1.51 s later"),
    ],
)
def test_a_rate_limit_says_when_the_turn_would_come(
    front_end: FrontEnd, settings: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    """And what the call may wait at most; a change for each of two limits is more than one later call."""
    harness = Harness(front_end, 200, rate_limit={"rate": 0.5, **settings})
    harness.request()
    (line,) = reasons(harness, "GET", **options)
    assert line == f"would have been sent with {said}"


@pytest.mark.parametrize("limit", ["max_connections_per_host", "max_connections"])
def test_a_call_without_a_connection_says_how_many_it_needed(front_end: FrontEnd, limit: str) -> None:
    """When one would have become free, nobody knows; with one for each call before it, it had not waited."""
    pool: dict[str, Any] = {limit: 1}
    harness = Harness(
        front_end,
        200,
        connection_pool=ConnectionPoolConfig(**pool, pool_timeout=0.01),
        retry_policy_config=policy(max_attempts=1),
    )
    harness.request()
    held = harness.limits[0] if limit == "max_connections" else harness.state.connections
    assert held.try_acquire()
    waiter = held.acquire_later()
    said = reasons(harness, "GET")
    waiter.release()
    held.release()
    assert f"would have been sent at once with {limit}=3" in said


def test_a_call_after_its_deadline_says_by_how_much(front_end: FrontEnd) -> None:
    """It was over before the call began."""
    clock = VirtualClock()
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200), clock=clock), clock=clock)
    with deadline(1.0), pytest.raises(DeadlineExceededError) as caught:
        clock.advance(1.5)
        front_end.request(client, "GET", URL)
    assert "would have been sent with 0.501 s more until the deadline" in caught.value.explain(why=True)


@pytest.mark.parametrize("world", WORLDS)
def test_a_hedge_that_was_denied_says_what_it_lacked(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token for it, or a share of the calls; nothing is said of one that was sent."""
    script = [(3.0, OK), (3.0, OK)]
    poor = play(
        world, monkeypatch, script, retry_budget_config={"capacity": 0.5, "cost": 0.5, "throttled_cost": 0.5}
    )
    assert "would have been" not in Timeline(poor.events).explain(why=True)
    played = play(
        world,
        monkeypatch,
        script,
        retry_budget_config=NONE_LEFT | {"capacity": 1.0},
        hedging={"delay": 1.0, "max_hedges": 2},
    )
    lines = Timeline(played.events).explain(why=True).splitlines()
    assert [line.strip() for line in lines if "would have been" in line] == [
        "would have been hedged with 1 more in the retry budget"
    ]


def test_an_attempt_that_the_deadline_cut_needed_its_own_timeout_at_most(front_end: FrontEnd) -> None:
    """What is left of the timeout is added to the deadline, and the wait before the next attempt."""
    harness = Harness(front_end, READ_TIMEOUT, retry_policy_config=policy())

    def send(request: Any) -> Any:
        harness.clock.now += 2.0
        return READ_TIMEOUT

    harness.transport.script = [send]
    (said,) = reasons(harness, "GET", total_timeout=2.0, timeout=5.0)
    assert said == "would have been retried with 4.01 s more until the deadline"


def test_the_reason_survives_a_pickle_json_and_a_replay(front_end: FrontEnd) -> None:
    """A timeline is explained where it is read, not where it was made."""
    harness = Harness(front_end, 500, retry_policy_config=policy(), enable_circuit_breaker=False)
    timeline = harness.request("POST").timeline
    assert timeline is not None
    story = timeline.explain(why=True)
    assert "idempotent=True" in story
    assert "idempotent=True" not in timeline.explain()
    assert pickle.loads(pickle.dumps(timeline)).explain(why=True) == story
    recorded = json.loads(json.dumps([event._asdict() for event in timeline]))
    (call,) = replay([recorded]).calls
    assert call.recorded.explain(why=True) == story
    assert "idempotent=True" in call.replayed.explain(why=True)


@pytest.mark.parametrize(
    ("script", "settings", "options"),
    [
        ([200], {"rate_limit": {"rate": 0.5, "max_wait": 0.0}}, {}),
        ([BUSY], {}, {"timeout": 20}),
        ([REFUSED], {"circuit_breaker_config": {"failure_threshold": 1}}, {}),
    ],
    ids=["rate limit", "pause", "circuit"],
)
def test_the_decision_of_a_refusal_is_read_from_json(
    front_end: FrontEnd, script: list[Any], settings: dict[str, Any], options: dict[str, Any]
) -> None:
    """Each kind of event knows what its own was."""
    harness = Harness(front_end, *script, retry_policy_config=policy(max_attempts=1), **settings)
    reasons(harness, "GET")
    error = harness.error(CallRefusedError, **options)
    recorded = json.loads(json.dumps([event._asdict() for event in error.timeline]))
    (call,) = replay([recorded]).calls
    story = error.timeline.explain(why=True)
    assert "would have been sent with" in story
    assert call.recorded.explain(why=True) == story


def test_a_record_without_its_decision_is_explained_as_before() -> None:
    """One that an earlier version kept."""
    from http_service_client.events import StopReason

    timeline = Timeline([RetryStopped(1.0, 2, "", StopReason.BUDGET, 0.0, None)])
    assert timeline.explain(why=True) == timeline.explain()


def test_nothing_is_said_of_a_call_that_nothing_refused(front_end: FrontEnd) -> None:
    """Its story is the same."""
    response = Harness(front_end, 200).request()
    assert response.explain(why=True) == response.explain()


def test_a_guarded_function_says_it_too(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """Its events go to the log, with the reason as a field, or to the listener of the client inside."""
    caplog.set_level("DEBUG", logger="http_service_client.retry")
    guard = policy(max_attempts=2, backoff_strategy=ExponentialBackoff(0.0))

    def fails() -> None:
        raise ConnectionError

    async def fails_async() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError), deadline(60.0):
        front_end.run(lambda: guard.apply(fails_async if front_end.name == "asyncio" else fails)())
    (record,) = [each for each in caplog.records if each.http_event == "retry_stopped"]  # type: ignore[attr-defined]
    assert record.http_why == "would have been retried with max_attempts=3"  # type: ignore[attr-defined]


def finished(duration: float) -> AttemptFinished:
    return AttemptFinished(9.0, 2, ORIGIN, duration, None, "DeadlineExceededError", "", SentState.ABANDONED)


WAITS: list[Any] = [
    LimitWaited(0.0, 1, ORIGIN, "rate limit", 5.0),
    ThrottleWaited(0.0, 1, ORIGIN, 5.0),
    LimitWaited(0.0, 2, ORIGIN, "rate limit", 1.0),
    ConnectionAwaited(0.0, 2, ORIGIN, 0.5),
    TokenAwaited(0.0, 2, ORIGIN, 0.25, "https://id.example.com"),
    ThrottleWaited(0.0, 2, ORIGIN, 2.0),
]


@pytest.mark.parametrize(
    ("timeout", "events", "overrun"),
    [
        (10.0, [finished(6.0)], 4.0),
        (10.0, [finished(11.0)], 0.0),
        (10.0, [*WAITS, finished(6.0)], 7.75),
        (None, [*WAITS, finished(6.0)], None),
        (10.0, WAITS, None),
    ],
)
def test_an_attempt_that_the_deadline_cut_may_have_needed_the_rest_of_its_timeout(
    timeout: float | None, events: list[Any], overrun: float | None
) -> None:
    """Its own waits for limits, tokens, connections and pauses are no part of it; those of earlier attempts are not in it."""
    options = SimpleNamespace(timeout=SimpleNamespace(total=timeout))
    assert _overrun(SimpleNamespace(options=options, events=events, attempt=2)) == overrun  # type: ignore[arg-type]
