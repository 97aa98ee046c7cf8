"""Recorded calls under another configuration: what would be different, and what nobody can know."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    SentState,
)
from http_service_client.errors import Failure
from http_service_client.events import CallFinished, RetryStopped, Timeline
from http_service_client.simulation import replay
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.replays import again, record, waiting
from kit.rows import each_row

OK, BUSY = HttpResponse(200), HttpResponse(503)
REFUSED = Failure(ConnectError, "could not connect", SentState.NEVER_SENT)
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}
ONCE = HttpClientConfig(enable_retry_policy=False)


@pytest.mark.parametrize(
    ("outcomes", "method"),
    [
        ((OK,), "GET"),
        ((BUSY, OK), "GET"),
        ((BUSY, BUSY, BUSY), "GET"),
        ((REFUSED, OK), "POST"),
        ((HttpResponse(500),), "POST"),
        ((HttpResponse(404),), "GET"),
        ((HttpResponse(503, headers={"x-should-retry": "false"}),), "GET"),
        ((HttpResponse(429, headers={"Retry-After": "3"}), OK), "POST"),
        ((HttpResponse(503, headers={"Retry-After": "2"}), OK), "POST"),
        ((late(2.0, OK), OK), "GET"),
        ((late(40.0, OK), late(40.0, OK), OK), "GET"),
    ],
)
def test_under_its_own_configuration_a_call_is_the_same(outcomes: Any, method: str) -> None:
    """The same events at the same instants, but for the message of a timeout."""
    config = waiting(0.5)
    recorded = record(config, *outcomes, method=method)
    call = again(recorded, config)
    assert (call.verdict, call.assumptions) == ("same", ())
    assert [(type(e), e.at, getattr(e, "delay", None)) for e in call.replayed] == [
        (type(e), pytest.approx(e.at), getattr(e, "delay", None)) for e in recorded
    ]


def test_fewer_attempts_are_known() -> None:
    """They are among those that were recorded."""
    call = again(record(waiting(0.5), BUSY, BUSY, OK), ONCE)
    assert (call.verdict, call.why) == ("different", "200 after 3 attempts becomes 503 after 1 attempt")
    assert str(call) == f"different  GET https://api.example.com/x?token=***: {call.why}"


def test_more_attempts_are_unknown() -> None:
    """Nobody knows what they would have got, and none of it is made up."""
    call = again(record(waiting(0.5), BUSY, BUSY, BUSY), waiting(0.5, attempts=5))
    assert call.verdict == "unknown"
    assert "what attempt 4 would have got: the recorded call made 3 attempts" in call.why
    assert not isinstance(call.replayed[-1], CallFinished)


def test_another_instant_is_an_assumption() -> None:
    """The service may have been well again by then."""
    call = again(record(waiting(0.5), BUSY, OK), waiting(2.0))
    assert call.verdict == "same"
    assert call.assumptions == ("attempt 2 comes to the same 1.500 s later",)


@pytest.mark.parametrize(
    ("timeout", "verdict", "part"),
    [
        (5.0, "same", "200 after 1 attempt"),
        (1.0, "different", "200 after 1 attempt becomes AttemptTimeoutError after 1 attempt"),
    ],
)
def test_a_shorter_timeout_is_known(timeout: float, verdict: str, part: str) -> None:
    """The recorded duration decides."""
    recorded = record(ONCE, late(3.0, OK))
    call = again(recorded, HttpClientConfig(base_timeout=timeout, enable_retry_policy=False))
    assert (call.verdict, call.why) == (verdict, part)
    assert call.replayed[-1].at == pytest.approx(min(timeout, 3.0))


def test_a_longer_timeout_is_unknown() -> None:
    """The response may have come a moment later, or never."""
    recorded = record(HttpClientConfig(base_timeout=2.0, enable_retry_policy=False), late(9.0, OK))
    call = again(recorded, HttpClientConfig(base_timeout=5.0, enable_retry_policy=False))
    assert call.verdict == "unknown"
    assert "given up after 2 s; whether it would have ended within 5 s is not recorded" in call.why
    shorter = again(recorded, HttpClientConfig(base_timeout=1.0, enable_retry_policy=False))
    assert shorter.verdict == "same"
    assert shorter.replayed[-1].at == pytest.approx(1.0)


def test_a_total_timeout_ends_a_call_that_had_none() -> None:
    """Its attempts are known until then."""
    call = again(record(waiting(1.0), BUSY, BUSY, OK), waiting(1.0, total_timeout=1.5))
    assert (call.verdict, call.why) == ("different", "200 after 3 attempts becomes 503 after 2 attempts")
    (stop,) = [event for event in call.replayed if isinstance(event, RetryStopped)]
    assert "deadline" in stop.reason.value


def test_a_recorded_deadline_holds() -> None:
    """Unless the configuration sets one: whose it was is not in a timeline."""
    recorded = record(waiting(1.0), BUSY, OK, total_timeout=1.5)
    assert again(recorded, waiting(2.0)).why == "200 after 2 attempts becomes 503 after 1 attempt"
    assert again(recorded, waiting(2.0, total_timeout=9.0)).verdict == "same"


def test_whether_a_post_may_be_repeated_is_not_always_recorded() -> None:
    """Where the record shows it, it holds; where it does not, the call is unknown."""
    lost = Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED)
    unsafe = record(waiting(0.5), lost, method="POST")
    assert again(unsafe, waiting(0.5, attempts=5)).verdict == "same"
    silent = record(ONCE, lost, method="POST")
    call = again(silent, waiting(0.5))
    assert (call.verdict, call.why) == (
        "unknown",
        "whether this POST may be sent twice is not in the timeline",
    )
    keyed = record(waiting(0.5), lost, HttpResponse(409), OK, method="POST", headers={"Idempotency-Key": "k"})
    assert again(keyed, waiting(0.5)).verdict == "same"


def test_what_a_circuit_refused_was_never_sent() -> None:
    """So nobody knows what a client without circuits would have got."""
    config = HttpClientConfig(
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 60.0}, enable_retry_policy=False
    )
    clock = VirtualClock()
    client = HttpServiceClient(config, transport=ScriptedTransport([REFUSED], clock=clock), clock=clock)
    timelines: list[Any] = []
    for _ in range(2):
        with pytest.raises(HttpClientError) as caught:
            client.get("https://api.example.com/")
        timelines.append(caught.value.timeline)
    first, second = replay(timelines, ONCE, started_at=[0.0, 0.0]).calls
    assert first.verdict == "same"
    assert (second.verdict, "made 0 attempts" in second.why) == ("unknown", True)
    assert [call.verdict for call in replay(timelines, config, started_at=[0.0, 1.0]).calls] == ["same"] * 2


def test_calls_with_instants_share_their_circuit() -> None:
    """As those of one client; without instants, each call meets a closed circuit."""
    timelines = [record(ONCE, REFUSED) for _ in range(4)]
    strict = HttpClientConfig(
        circuit_breaker_config={"failure_threshold": 2, "recovery_timeout": 10.0}, enable_retry_policy=False
    )
    alone = replay(timelines, strict)
    assert alone.count("same") == 4
    together = replay(timelines, strict, started_at=[100.0, 101.0, 102.0, 111.5])
    assert [call.why for call in together.calls] == [
        "ConnectError after 1 attempt",
        "ConnectError after 1 attempt",
        "ConnectError after 1 attempt becomes CircuitOpenError after 0 attempts",
        "ConnectError after 1 attempt",
    ]


def test_calls_after_an_unknown_one_say_that_they_depend_on_it() -> None:
    """Its outcome may have opened the circuit."""
    timelines = [record(ONCE, REFUSED), record(ONCE, OK)]
    calls = replay(timelines, waiting(0.1), started_at=[0.0, 5.0]).calls
    assert [call.verdict for call in calls] == ["unknown", "same"]
    assert calls[1].assumptions == ("the calls before it that are unknown leave circuit and budget alone",)


def test_errors_of_user_code_are_not_replayed() -> None:
    """Interceptors do not run."""

    class Answers:
        def intercept_request(self, request: Any, context: Any) -> Any:
            return HttpResponse(200)

    config = HttpClientConfig(request_interceptors=[Answers()])
    call = again(record(config, OK), config)
    assert call.verdict == "unknown"
    assert "answered by Answers.intercept_request, which does not run here" in call.why


def as_json(timelines: Sequence[Timeline]) -> Any:
    return json.loads(json.dumps([[event._asdict() for event in timeline] for timeline in timelines]))


@pytest.mark.parametrize("keep", [as_json, lambda timelines: pickle.loads(pickle.dumps(timelines))])
def test_timelines_may_be_kept_as_json_or_pickled(keep: Any) -> None:
    """They say the same."""
    timelines = [
        record(waiting(0.5), BUSY, OK),
        record(waiting(0.5), BUSY, BUSY, BUSY),
        record(ONCE, REFUSED),
    ]
    assert replay(keep(timelines), waiting(0.5, attempts=2)) == replay(timelines, waiting(0.5, attempts=2))


def test_a_replay_as_text_has_a_line_for_each_difference() -> None:
    """After a line with the counts."""
    timelines = [record(ONCE, OK), record(waiting(0.5), BUSY, OK), record(ONCE, BUSY)]
    assert str(replay(timelines, ONCE)).splitlines() == [
        "3 calls: 2 same, 1 different, 0 unknown",
        "different  GET https://api.example.com/x?token=***: 200 after 2 attempts becomes 503 after 1 attempt",
    ]
    assert str(replay([], ONCE)) == "0 calls: 0 same, 0 different, 0 unknown"


@each_row(
    ("timelines", "settings", "part"),
    [
        ("[]", {}, "timelines must be a list of timelines, not '\\[\\]'; parse JSON first"),
        (5, {}, "timelines must be a list of timelines"),
        ([()], {}, r"timelines\[0\] must be the events of a call that ended"),
        ([5], {}, r"timelines\[0\] must be the events of a call that ended"),
        ([["x"]], {}, r"timelines\[0\] has 'x', which is no event"),
        ([[{"name": "call_finishd"}]], {}, "unknown kind 'call_finishd'; did you mean 'call_finished'"),
        ([[{"name": "call_finished"}]], {}, r"timelines\[0\] has .*missing"),
        ([], {"started_at": [1.0]}, "an instant for each of the 0 timelines, not 1"),
        ([record(ONCE, OK)], {"started_at": ["now"]}, r"started_at\[0\] must be a finite number of seconds"),
        ([], {"seed": "x"}, "seed must be a whole number, not 'x'"),
        ([], {"config": 5}, "config must be an HttpClientConfig, not 5"),
    ],
)
def test_what_cannot_be_read_is_an_error(timelines: Any, settings: Any, part: str) -> None:
    """It names the timeline by its position."""
    with pytest.raises(ConfigurationError, match=part):
        replay(timelines, **settings)


@pytest.mark.parametrize("outcomes", [(BUSY,), (REFUSED,), (OK,)], ids=repr)
def test_a_fallback_stands_in_for_a_replayed_call(outcomes: tuple[Any, ...]) -> None:
    """As it stood in for the recorded one; without it, that one would have failed."""
    config = HttpClientConfig(enable_retry_policy=False, fallback={"value": 1})
    timeline = record(config, *outcomes)
    assert again(timeline, config).verdict == "same"
    without = again(timeline, ONCE)
    assert without.verdict == ("same" if outcomes == (OK,) else "different")


@pytest.mark.parametrize(
    ("outcome", "fallback", "verdict"),
    [
        (BUSY, {"last_good": 60}, "unknown"),
        (BUSY, {"last_good": 60, "value": 1}, "unknown"),
        (REFUSED, {"last_good": 60}, "unknown"),
        (OK, {"last_good": 60}, "same"),
        (HttpResponse(404), {"last_good": 60}, "same"),
    ],
    ids=repr,
)
def test_what_the_last_good_response_was_is_not_recorded(outcome: Any, fallback: Any, verdict: str) -> None:
    """So where it could have stood in, nobody knows."""
    call = again(record(ONCE, outcome), HttpClientConfig(enable_retry_policy=False, fallback=fallback))
    assert call.verdict == verdict
    assert ("last good" in call.why) is (verdict == "unknown")


@pytest.mark.parametrize(
    ("outcome", "delay", "method", "verdict", "assumed"),
    [
        (late(1.0, OK), 0.5, "GET", "same", ("no hedge ends attempt 1 sooner",)),
        (late(1.0, BUSY), 0.5, "GET", "unknown", ()),
        (late(1.0, BUSY), None, "GET", "unknown", ()),
        (late(0.1, BUSY), 0.5, "GET", "same", ()),
        (late(1.0, BUSY), 0.5, "POST", "same", ()),
    ],
)
def test_what_a_hedge_would_have_got_is_not_recorded(
    outcome: Any, delay: float | None, method: str, verdict: str, assumed: tuple[str, ...]
) -> None:
    """So an attempt that failed after the delay may have been saved. One that succeeded has at best ended sooner."""
    config = HttpClientConfig(enable_retry_policy=False, hedging={"delay": delay})
    call = again(record(ONCE, outcome, method=method), config)
    assert (call.verdict, tuple(call.assumptions)) == (verdict, assumed)
