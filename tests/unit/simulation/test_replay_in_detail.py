"""What a recorded timeline says of its call, and how exactly a replay keeps to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from http_service_client import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    SentState,
)
from http_service_client.errors import Failure
from http_service_client.events import (
    AttemptFinished,
    CallFinished,
    LimitRefused,
    RetryScheduled,
    RetryStopped,
    Timeline,
)
from http_service_client.simulation import replay
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.replays import again, record, waiting

OK, BUSY = HttpResponse(200), HttpResponse(503)
REFUSED = Failure(ConnectError, "could not connect", SentState.NEVER_SENT)
UNREACHABLE = Failure(ConnectTimeoutError, "could not connect in time", SentState.NEVER_SENT)
LOST = Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED)
ASKED_TO_WAIT = HttpResponse(503, headers={"Retry-After": "2"})
ONCE = HttpClientConfig(enable_retry_policy=False)


def as_json(timeline: Timeline) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = json.loads(json.dumps([event._asdict() for event in timeline]))
    return kept


def changed(timeline: Timeline, name: str, **fields: Any) -> list[dict[str, Any]]:
    """As JSON, with other values for some fields of the events of this name."""
    return [event | fields if event["name"] == name else event for event in as_json(timeline)]


def test_without_a_configuration_the_defaults_hold() -> None:
    """They make three attempts."""
    call = again(record(ONCE, BUSY))
    assert "nobody knows what attempt 2 would have got" in call.why


def test_a_replayed_call_as_text_names_what_it_assumes() -> None:
    """All of it."""
    call = again(record(waiting(0.5), BUSY, BUSY, OK), waiting(2.0))
    assert str(call) == (
        "same       GET https://api.example.com/x?token=***: 200 after 3 attempts "
        "[if attempt 2 comes to the same 1.500 s later and attempt 3 comes to the same 3.000 s later]"
    )


def test_an_unknown_call_is_shown_as_far_as_it_is_known() -> None:
    """Up to the attempt of which nobody knows what it would have got."""
    call = again(record(waiting(0.5, attempts=2), BUSY, BUSY), waiting(0.5, attempts=5))
    assert call.why == "nobody knows what attempt 3 would have got: the recorded call made 2 attempts"
    assert [type(event) for event in call.replayed] == [AttemptFinished, RetryScheduled] * 2


def test_one_attempt_is_no_attempts() -> None:
    """In words, too."""
    call = again(record(ONCE, BUSY), waiting(0.5))
    assert call.why.endswith(": the recorded call made 1 attempt")


def test_a_replayed_call_has_the_names_of_the_recorded_one() -> None:
    """So that both can be found in a log."""
    timeline = record(ONCE, OK, name="charge")
    end = again(timeline, ONCE).replayed[-1]
    assert (end.call_id, end.call_name) == (timeline[-1].call_id, "charge")


@pytest.mark.parametrize(("moved", "is_same_instant"), [(0.001, True), (0.0011, False)])
def test_a_millisecond_is_the_same_instant(moved: float, is_same_instant: bool) -> None:
    """More is an assumption."""
    call = again(record(waiting(0.0), BUSY, OK), waiting(moved))
    assert (call.verdict, call.assumptions == ()) == ("same", is_same_instant)


@pytest.mark.parametrize(("timeout", "verdict"), [(2.0, "same"), (2.02, "same"), (2.03, "unknown")])
def test_a_timer_may_fire_a_little_early(timeout: float, verdict: str) -> None:
    """So an attempt that was given up after 2 s may have had 2.02 s."""
    recorded = record(HttpClientConfig(base_timeout=2.0, enable_retry_policy=False), late(9.0, OK))
    call = again(recorded, HttpClientConfig(base_timeout=timeout, enable_retry_policy=False))
    assert call.verdict == verdict


def test_a_response_that_came_at_the_limit_came_in_time() -> None:
    """The new one."""
    call = again(record(ONCE, late(3.0, OK)), HttpClientConfig(base_timeout=3.0, enable_retry_policy=False))
    assert (call.verdict, call.assumptions) == ("same", ())


@pytest.mark.parametrize(
    ("limit", "verdict", "ends_at"), [(2.0, "same", 2.0), (5.0, "same", 5.0), (9.0, "unknown", None)]
)
def test_a_connection_that_was_not_made_in_time(limit: float, verdict: str, ends_at: float | None) -> None:
    """Within less time it is not made, either; with more nobody knows."""
    recorded = record(ONCE, late(5.0, UNREACHABLE))
    call = again(recorded, HttpClientConfig(connection_timeout=limit, enable_retry_policy=False))
    assert call.verdict == verdict
    if ends_at is not None:
        assert call.replayed[-1].at == pytest.approx(ends_at)


@pytest.mark.parametrize(
    ("outcome", "error", "sent"),
    [
        (REFUSED, "ConnectTimeoutError", SentState.NEVER_SENT),
        (LOST, "AttemptTimeoutError", SentState.MAYBE_PROCESSED),
        (OK, "AttemptTimeoutError", SentState.MAYBE_PROCESSED),
    ],
    ids=repr,
)
def test_an_attempt_that_is_cut_short_was_sent_if_the_recorded_one_was(
    outcome: Any, error: str, sent: SentState
) -> None:
    """That decides whether it may be repeated."""
    config = HttpClientConfig(base_timeout=1.0, enable_retry_policy=False)
    end = again(record(ONCE, late(3.0, outcome), method="POST"), config).replayed[-1]
    assert isinstance(end, CallFinished)
    assert (end.error, end.sent_state, end.at) == (error, sent, pytest.approx(1.0))


def test_a_call_without_instants_does_not_depend_on_an_unknown_one() -> None:
    """Though it takes longer."""
    timelines = [record(ONCE, REFUSED), record(ONCE, late(5.0, OK))]
    assert [call.assumptions for call in replay(timelines, waiting(0.1)).calls] == [(), ()]
    later = replay(timelines, waiting(0.1), started_at=[0.0, 0.0]).calls[1]
    assert len(later.assumptions) == 1


STRICT = HttpClientConfig(
    circuit_breaker_config={"failure_threshold": 2, "recovery_timeout": 10.0}, enable_retry_policy=False
)


def test_calls_begin_at_their_instants_in_whatever_order_they_are_given() -> None:
    """The first of them need not be that of the first one."""
    timelines = [record(ONCE, REFUSED) for _ in range(4)]
    calls = replay(timelines, STRICT, started_at=[1011.5, 1002.0, 1001.0, 1000.0]).calls
    assert [call.verdict for call in calls] == ["same", "different", "same", "same"]


def test_instants_may_be_those_of_the_system_s_clock() -> None:
    """Seconds since 1970, of which a float has no more than microseconds: the first is where the replay begins."""
    (call,) = replay([record(ONCE, late(0.1, OK))], ONCE, started_at=[1_790_000_000.3]).calls
    assert call.replayed[-1].at == 0.1


def test_only_calls_with_the_same_key_share_a_circuit() -> None:
    """As in reality; a record of a function has none."""
    timelines = [record(ONCE, REFUSED, url=f"https://{host}.test/") for host in "aab"]
    together = replay(timelines, STRICT, started_at=[0.0, 1.0, 2.0])
    assert together.count("same") == 3
    alike = [*timelines[:2], record(ONCE, REFUSED, url="https://a.test/")]
    assert replay(alike, STRICT, started_at=[0.0, 1.0, 2.0]).count("different") == 1
    without = [changed(timeline, "call_finished", key="") for timeline in alike]
    assert replay(without, STRICT, started_at=[0.0, 1.0, 2.0]).count("different") == 1


@pytest.mark.parametrize(
    ("outcome", "delay", "is_unknown"),
    [
        (late(0.5, BUSY), 0.5, False),  # at that instant, it had ended
        (late(0.6, BUSY), 0.5, True),
        (late(1.0, HttpResponse(429)), 0.5, True),
        (late(1.0, HttpResponse(404)), 0.5, False),
        (late(1.0, LOST), 0.5, True),
    ],
)
def test_a_hedge_saves_attempts_that_fail_after_its_delay(
    outcome: Any, delay: float, is_unknown: bool
) -> None:
    """Perhaps; so nothing of what such an attempt came to is shown."""
    config = HttpClientConfig(enable_retry_policy=False, hedging={"delay": delay})
    call = again(record(ONCE, outcome), config)
    if not is_unknown:
        assert call.verdict == "same"
        return
    assert (call.verdict, call.why) == ("unknown", "nobody knows whether a hedge would have saved attempt 1")
    assert call.replayed == ()


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (ASKED_TO_WAIT, "nobody knows what attempt 2 would have got: the recorded call made 1 attempt"),
        (BUSY, "whether this POST may be sent twice is not in the timeline"),
        (HttpResponse(429), "nobody knows what attempt 2 would have got: the recorded call made 1 attempt"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("keep", [list, as_json])
def test_a_service_that_refused_a_request_may_get_it_again(outcome: Any, why: str, keep: Any) -> None:
    """As one that asks for a wait has; one that answers by a plain 503 may have acted on it."""
    call = again(keep(record(ONCE, outcome, method="POST")), waiting(0.5))
    assert (call.verdict, call.why) == ("unknown", why)


def test_a_wait_that_nobody_asked_for_is_that_of_the_new_configuration() -> None:
    """A 429 without a header is retried after the backoff."""
    call = again(record(ONCE, HttpResponse(429)), waiting(0.5))
    assert [event.delay for event in call.replayed if isinstance(event, RetryScheduled)] == [0.5]


@pytest.mark.parametrize("keep", [list, as_json])
def test_what_a_record_shows_of_repeating_holds(keep: Any) -> None:
    """A POST that was not safe to repeat is not repeated, one that was is; a service that said no is believed."""
    unsafe = again(keep(record(waiting(0.5), LOST, method="POST")), waiting(0.5, attempts=5))
    assert (unsafe.verdict, unsafe.why) == ("same", "ConnectionLostError after 1 attempt")
    safe = record(waiting(0.5), LOST, OK, method="POST", idempotent=True)
    assert again(keep(safe), waiting(0.5)).verdict == "same"
    never_sent = record(waiting(0.5, attempts=2), REFUSED, LOST, method="POST")
    call = again(keep(never_sent), waiting(0.5))
    assert call.why == "whether this POST may be sent twice is not in the timeline"
    said_no = HttpResponse(503, headers={"x-should-retry": "false"})
    call = again(keep(record(waiting(0.5), said_no)), waiting(0.5, attempts=5))
    assert (call.verdict, call.why) == ("same", "503 after 1 attempt")


def test_a_conflict_is_repeated_only_with_a_key() -> None:
    """With one, it means that the first request is still being worked on."""
    key = {"Idempotency-Key": "k"}
    keyed = record(waiting(0.5), LOST, HttpResponse(409), OK, method="POST", headers=key)
    assert again(keyed, waiting(0.5)).why == "200 after 3 attempts"
    plain = record(waiting(0.5), BUSY, HttpResponse(409))
    assert again(plain, waiting(0.5, attempts=5)).why == "409 after 2 attempts"


def test_a_recorded_deadline_is_that_of_the_whole_call() -> None:
    """What had passed, and what was left."""
    recorded = record(waiting(1.0), BUSY, OK, total_timeout=2.5)
    assert again(recorded, waiting(2.0)).verdict == "same"
    assert again(recorded, waiting(2.6)).why == "200 after 2 attempts becomes 503 after 1 attempt"


@pytest.mark.parametrize("error", ["ZeroDivisionError", "SentState", "chain", "Failure"])
def test_errors_of_code_are_not_replayed(error: str) -> None:
    """Whatever their names: only those of a client come from the network."""
    call = again(changed(record(ONCE, REFUSED), "attempt_finished", error=error), ONCE)
    assert call.verdict == "unknown"
    assert call.why == f"attempt 1 ended with {error}, an error of code that does not run here"


def test_how_many_connections_were_in_use_is_not_recorded() -> None:
    """So a call that got none is unknown."""
    call = again(changed(record(ONCE, REFUSED), "attempt_finished", error="PoolTimeoutError"), ONCE)
    assert (call.verdict, call.why) == ("unknown", "how many connections were in use is not in a timeline")


def test_decisions_are_those_of_their_limits_again() -> None:
    """JSON has lists in their place; what would have helped is found by the decision."""
    limit = HttpClientConfig(rate_limit={"rate": 0.1, "max_wait": 0}, enable_retry_policy=False)
    clock = VirtualClock()
    client = HttpServiceClient(limit, transport=ScriptedTransport([OK], clock=clock), clock=clock)
    client.get("https://a.test/")
    with pytest.raises(HttpClientError) as caught:
        client.get("https://a.test/")
    refused = caught.value.timeline
    assert refused is not None
    assert isinstance(refused[0], LimitRefused)
    for timeline in (refused, record(waiting(0.5), LOST, method="POST")):
        (kept,) = (call.recorded for call in replay([as_json(timeline)]).calls)
        assert kept == timeline
        for event, before in zip(kept, timeline, strict=True):
            assert type(getattr(event, "decision", None)) is type(getattr(before, "decision", None))
        assert kept.explain(why=True) == timeline.explain(why=True)


def test_an_error_of_the_user_s_code_ends_the_replay() -> None:
    """A backoff that raises is a bug."""

    class Broken:
        def delays(self, random: Any) -> Any:
            raise ZeroDivisionError

    config = HttpClientConfig(retry_policy_config=RetryPolicy(backoff_strategy=Broken()))
    with pytest.raises(ZeroDivisionError):
        replay([record(ONCE, BUSY)], config)


def test_a_stop_has_a_reason() -> None:
    """A text that is none is an error, as in whatever a record has."""
    recorded = changed(record(waiting(0.5), LOST, method="POST"), "retry_stopped", reason="because")
    with pytest.raises(ValueError, match=r"timelines\[0\] has 'because' is not a valid StopReason"):
        replay([recorded])
    assert any(isinstance(event, RetryStopped) for event in record(waiting(0.5), LOST, method="POST"))
