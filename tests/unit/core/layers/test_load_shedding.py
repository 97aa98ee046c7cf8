"""Load shedding in a client's call: what is counted, what is shed, and what the caller gets."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    HttpClientConfig,
    HttpServiceClient,
    LoadSheddingPolicy,
    LoadShedError,
    RetryPolicy,
    priority,
)
from http_service_client.core.layers.load_shedding import count, shed
from http_service_client.core.machines.limits.overload import Evidence
from http_service_client.errors import InvalidRequestError, SentState
from http_service_client.events import LimitRefused, RetryStopped, StopReason
from http_service_client.http.messages import HttpRequest, HttpResponse
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, URL, Harness, failure
from kit.front_ends import FrontEnd
from kit.rows import each_row

SHEDDING = LoadSheddingPolicy(min_rate=0.0)
ONCE = {"retry_policy": None}


def harness_of(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    settings.setdefault("load_shedding", SHEDDING)
    return Harness(front_end, *script, random=lambda: 0.0, **settings)


def outcomes(harness: Harness, calls: int, **options: Any) -> list[Any]:
    """Of so many calls: a status, or the name of an error."""
    results: list[Any] = []
    for _ in range(calls):
        try:
            results.append(harness.request(**ONCE, **options).status_code)
        except Exception as error:
            results.append(type(error).__name__)
    return results


@each_row("rejection", [429, 503, 504, READ_TIMEOUT, REFUSED])
def test_after_a_rejection_a_call_is_shed(front_end: FrontEnd, rejection: Any) -> None:
    """Nothing is sent, and the error says so; the window forgets it."""
    harness = harness_of(front_end, rejection, 200)
    outcomes(harness, 1)
    error = harness.error(LoadShedError, **ONCE)
    assert (error.sent_state, error.key, error.share) == (
        SentState.NEVER_SENT,
        "https://api.example.com",
        pytest.approx(0.5),
    )
    assert str(error).startswith(
        "load shedding for https://api.example.com refused a call of normal priority"
    )
    event = error.timeline[0]
    assert (event.limit, event.reason) == ("load shedding", "normal priority")
    assert 'priority("high")' not in error.timeline.explain(why=True)
    assert harness.sends == 1
    harness.clock.now += 40
    assert outcomes(harness, 1) == [200]


@each_row("answer", [200, 404, 400, 500, 502, RESET])
def test_after_anything_else_nothing_is_shed(front_end: FrontEnd, answer: Any) -> None:
    """A 500 has been worked on; a lost connection says nothing."""
    harness = harness_of(front_end, answer, enable_circuit_breaker=False)
    assert "LoadShedError" not in outcomes(harness, 5)
    assert harness.sends == 5


ACCEPTED, REJECTED = ["accepted"], ["rejected"]


@each_row(
    ("evidence", "counted"),
    list(zip(Evidence, [ACCEPTED, REJECTED, REJECTED, ACCEPTED, [], []], strict=True)),
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_each_kind_of_result_counts_as(evidence: Evidence, counted: list[str]) -> None:
    """What says nothing about the service's load counts for nothing."""
    seen: list[str] = []
    shedder: Any = SimpleNamespace(
        record_accepted=lambda: seen.append("accepted"), record_rejected=lambda: seen.append("rejected")
    )
    count(shedder, evidence)
    assert seen == counted


def test_a_shed_retry_returns_the_last_outcome(front_end: FrontEnd) -> None:
    """The caller gets the response that came, not the refusal."""
    harness = harness_of(front_end, 503, 200, retry_policy_config=RetryPolicy(3))
    assert harness.request().status_code == 503
    assert harness.sends == 1
    assert [event.reason for event in harness.events if isinstance(event, RetryStopped)] == [
        StopReason.REFUSED
    ]
    assert [event.limit for event in harness.events if isinstance(event, LimitRefused)] == ["load shedding"]


def test_what_is_shed_is_no_evidence_for_the_circuit(front_end: FrontEnd) -> None:
    """It would open by failures that were none."""
    harness = harness_of(
        front_end, 504, circuit_breaker_config={"failure_threshold": 2, "recovery_timeout": 60}
    )
    assert outcomes(harness, 4) == [504, *["LoadShedError"] * 3]
    assert harness.state.breaker.snapshot().consecutive_failures == 1


def test_a_response_from_an_interceptor_counts_for_nothing(front_end: FrontEnd) -> None:
    """The service did not see the request."""

    class Answers:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
            return HttpResponse(503, request=request)

    harness = harness_of(front_end, 200, request_interceptors=[Answers()])
    assert outcomes(harness, 3) == [503] * 3


@pytest.mark.parametrize("elsewhere", [503, READ_TIMEOUT])
def test_a_redirect_to_an_overloaded_origin_sheds_nothing_here(front_end: FrontEnd, elsewhere: Any) -> None:
    """The origin of the call has accepted it: calls that it would serve itself are sent."""
    moved = (307, {"Location": "https://other.example.com/"})
    harness = harness_of(front_end, moved, elsewhere, moved, elsewhere, 200, enable_circuit_breaker=False)
    outcomes(harness, 2)
    shown = harness.state.load_shedder.snapshot()
    assert (shown.accepted, shown.rejected) == (2, 0)
    assert outcomes(harness, 1) == [200]


def test_each_origin_and_key_has_counts_of_its_own(front_end: FrontEnd) -> None:
    """An overloaded tenant costs the others nothing."""
    harness = harness_of(front_end, 503, 200, 200, 200)
    outcomes(harness, 1, key="tenant-a")
    assert outcomes(harness, 1, key="tenant-b") == [200]
    assert outcomes(harness, 1, url="https://other.example.com/") == [200]
    assert outcomes(harness, 1, key="tenant-a") == ["LoadShedError"]


def test_important_calls_are_shed_last(front_end: FrontEnd) -> None:
    """By `with priority(…):` around the call."""
    harness = harness_of(front_end, 200, 503, 503, 200)
    outcomes(harness, 3)
    with priority("critical"):
        assert outcomes(harness, 1) == [200]
    with priority("low"):
        assert outcomes(harness, 1) == ["LoadShedError"]


def test_a_stream_is_shed_like_any_call(front_end: FrontEnd) -> None:
    """When it is opened."""
    harness = harness_of(front_end, 503, 200)
    outcomes(harness, 1)
    with pytest.raises(LoadShedError), front_end.stream(harness.client, "GET", URL, **ONCE):
        raise AssertionError("opened")


def test_reconfiguring_the_client_keeps_the_counts(front_end: FrontEnd) -> None:
    """Other settings hold at once; switched off, nothing is shed."""
    harness = harness_of(front_end, 503, 200)
    outcomes(harness, 1)
    harness.client.reconfigure(
        replace(harness.client.config, load_shedding={"min_rate": 0.0, "multiplier": 3.0})
    )
    assert outcomes(harness, 1) == ["LoadShedError"]
    harness.client.reconfigure(replace(harness.client.config, load_shedding=None))
    assert outcomes(harness, 2) == [200, 200]


def test_a_policy_its_settings_and_a_mapping_are_the_same_setting() -> None:
    """The configuration has the settings: a value."""
    configs = [
        HttpClientConfig(load_shedding=given)
        for given in (LoadSheddingPolicy(3.0), LoadSheddingPolicy(3.0).settings, {"multiplier": 3.0})
    ]
    assert configs[0] == configs[1] == configs[2]


def test_a_client_without_it_has_no_such_layer() -> None:
    """A setting that is off costs nothing."""
    client = HttpServiceClient()
    assert client._call_builder.origins.get("https://api.example.com").load_shedder is None


def test_an_invalid_request_counts_for_nothing(front_end: FrontEnd) -> None:
    """Nor does what the client refuses itself."""
    harness = harness_of(front_end, failure(InvalidRequestError, SentState.NEVER_SENT))
    outcomes(harness, 3)
    shown = harness.state.load_shedder.snapshot()
    assert (shown.accepted, shown.rejected, shown.shed) == (0, 0, 0)


@pytest.mark.parametrize(
    ("key", "own", "whose"),
    [("orders", "", "orders"), ("", "the origin", "the origin"), ("", "", "this policy")],
)
def test_a_call_that_is_shed_says_how_much_the_service_rejected(key: str, own: str, whose: str) -> None:
    """Of how many calls, and whose calls they were."""
    shedder: Any = SimpleNamespace(
        admit=lambda level: SimpleNamespace(share=0.5), accepted=6, rejected=4, key=key
    )
    events: list[Any] = []
    subject: Any = SimpleNamespace(
        key=own, elapsed=lambda: 0.0, attempt=1, call_id="1", call_name=None, record=events.append
    )
    found = shed(shedder, subject)
    assert found is not None
    assert found.message == (
        f"load shedding for {whose} refused a call of normal priority: the service rejected 4 of the last 10 calls "
        "for overload, so 50% are not sent; nothing was sent"
    )
    assert (found.details, events[0].key) == ({"key": key or own, "share": 0.5}, key or own)
