"""The pipeline: its layers in their order, and what the order means for a call."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitBreakerPolicy,
    CircuitOpenError,
    DeadlineExceededError,
    PoolTimeoutError,
    ReadTimeoutError,
    RetryPolicy,
    SentState,
    Timeout,
    TooManyRedirectsError,
    UnsafeRedirectError,
    deadline,
)
from http_service_client.core import pipeline
from http_service_client.core.effects import Acquire, Effect, Invoke, Send, Sleep
from http_service_client.core.layer import compose
from http_service_client.http.messages import HttpContext, HttpRequest, HttpResponse
from kit.fakes import ORIGIN, RESET, SLOW, URL, FakeClock, Harness, failure, short
from kit.front_ends import BlockingFrontEnd, FrontEnd


def test_the_first_layer_is_the_outermost() -> None:
    """`compose` reads from the outside in, as the page is read."""
    story: list[str] = []

    def layer(name: str) -> Any:
        def around(proceed: Any, request: Any, call: Any) -> Any:
            story.append(f"into {name}")
            outcome = yield from proceed(request, call)
            story.append(f"out of {name}")
            return outcome

        return around

    def handler(request: Any, call: Any) -> Any:
        story.append("handler")
        return (yield from Sleep(0.0))

    plan = compose([layer("a"), layer("b")], handler)(HttpRequest("GET", URL), None)  # type: ignore[arg-type]
    assert isinstance(next(plan), Sleep)
    with pytest.raises(StopIteration) as end:
        plan.send("answer")
    assert end.value.value == "answer"
    assert story == ["into a", "into b", "handler", "out of b", "out of a"]


def test_the_layers_of_a_call_in_their_order() -> None:
    """The order is a promise: the documentation draws it, and each of the tests below rests on it."""
    source = inspect.getsource(pipeline.call_pipeline)
    names = [
        "CallLayer",
        "RetryLayer",
        "CircuitBreakerLayer",
        "DownloadLayer",
        "InterceptorsLayer",
        "AttemptTimeoutLayer",
        "RedirectsLayer",
        "CompressionLayer",
        "CookiesLayer",
    ]
    places = [source.rindex(name) for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", [Acquire, Invoke, Send, Sleep])
def test_an_effect_evaluates_to_its_answer(kind: type[Effect[Any]]) -> None:
    """`yield from effect` hands the effect out, and gives back what it is sent."""
    effect: Any = {Acquire: lambda: Acquire(None, 1.0), Invoke: lambda: Invoke(print)}.get(
        kind, lambda: None
    )()  # type: ignore[arg-type]
    effect = effect or (Sleep(1.0) if kind is Sleep else Send(HttpRequest("GET", URL), Timeout()))
    steps = iter(effect)
    assert next(steps) is effect
    with pytest.raises(StopIteration) as end:
        steps.send(42)
    assert end.value.value == 42


# Circuit breaker: outside the interceptors, inside the retries.


def test_every_attempt_asks_the_breaker_anew(front_end: FrontEnd) -> None:
    """A call of three attempts has three permits, each settled by its own outcome."""
    harness = Harness(front_end, 503, RESET, 200)
    harness.request()
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.failures, snapshot.successes, snapshot.abandoned) == (2, 1, 0)


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (200, (1, 0, 0)),
        (304, (1, 0, 0)),
        (404, (1, 0, 0)),
        (402, (1, 0, 0)),
        (408, (0, 1, 0)),
        (429, (0, 1, 0)),
        (500, (0, 1, 0)),
        (599, (0, 1, 0)),
        (RESET, (0, 1, 0)),
        (SLOW, (0, 1, 0)),
        (failure(PoolTimeoutError, SentState.NEVER_SENT), (0, 0, 1)),
        (failure(AttemptTimeoutError, SentState.NEVER_SENT), (0, 0, 1)),
        (failure(DeadlineExceededError, SentState.ABANDONED), (0, 0, 1)),
        (failure(ReadTimeoutError, SentState.ABANDONED), (0, 0, 1)),
        ((302, {"Location": "ftp://elsewhere/"}), (0, 0, 1)),
    ],
    ids=short,
)
def test_what_an_outcome_tells_the_breaker(
    front_end: FrontEnd, outcome: Any, counts: tuple[int, int, int]
) -> None:
    """Success, failure or no evidence: one table for all layers."""
    harness = Harness(front_end, outcome, enable_retry_policy=False)
    try:
        harness.request()
    except Exception:
        assert not isinstance(outcome, int)
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


def test_a_breaker_for_one_call(front_end: FrontEnd) -> None:
    """circuit_breaker= takes the place of the client's for this call; False and None are none."""
    own = CircuitBreakerPolicy(failure_threshold=1, name="mine")
    harness = Harness(front_end, 500, enable_retry_policy=False)
    harness.request(circuit_breaker=own)
    assert own.state == "open"
    assert harness.state.breaker.snapshot().failures == 0
    error = harness.error(CircuitOpenError, circuit_breaker=own)
    assert (error.key, harness.sends) == ("mine", 1)
    for none in (False, None):
        harness.request(circuit_breaker=none)
    assert harness.state.breaker.snapshot().failures == 0
    harness.request(circuit_breaker=True)
    assert harness.state.breaker.snapshot().failures == 1


@pytest.mark.parametrize(
    ("options", "total"),
    [({}, 2.0), ({"timeout": 1.0}, 1.0), ({"timeout": 9.0}, 2.0), ({"timeout": None}, 2.0)],
    ids=short,
)
def test_the_timeout_of_a_breaker_for_one_call_holds(
    front_end: FrontEnd, options: dict[str, Any], total: float
) -> None:
    """No setting is for decoration: `timeout` of a CircuitBreakerPolicy bounds the attempts it guards."""
    harness = Harness(front_end)
    harness.request(circuit_breaker=CircuitBreakerPolicy(timeout=2.0), **options)
    assert harness.transport.timeouts[0].total == total


# Attempt timeout and deadline.


@pytest.mark.parametrize(
    ("settings", "options", "total", "connect"),
    [
        ({}, {}, 30.0, 5.0),
        ({"base_timeout": 8.0}, {}, 8.0, 5.0),
        ({"connection_timeout": 1.5}, {}, 30.0, 1.5),
        ({}, {"timeout": 2.0}, 2.0, 2.0),
        ({}, {"timeout": 15}, 15, 5.0),
        ({}, {"timeout": None}, None, 5.0),
        ({}, {"timeout": Timeout(read=3.0)}, None, None),
        ({}, {"total_timeout": 4.0}, 4.0, 4.0),
        ({"total_timeout": 3.0}, {}, 3.0, 3.0),
        ({"total_timeout": 3.0}, {"total_timeout": None}, 30.0, 5.0),
        ({"total_timeout": 3.0}, {"total_timeout": 50.0}, 30.0, 5.0),
        ({"circuit_breaker_config": {"timeout": 10.0}}, {}, 10.0, 5.0),
        ({"circuit_breaker_config": {"timeout": 10.0}}, {"timeout": 12.0}, 12.0, 5.0),
        ({"circuit_breaker_config": {"timeout": 10.0}, "base_timeout": 7.0}, {}, 7.0, 5.0),
    ],
    ids=short,
)
def test_what_the_transport_is_allowed(
    front_end: FrontEnd,
    settings: dict[str, Any],
    options: dict[str, Any],
    total: float | None,
    connect: float | None,
) -> None:
    """The call's own word, else the client's; never more than the deadline leaves."""
    harness = Harness(front_end, **settings)
    harness.request(**options)
    (timeout,) = harness.transport.timeouts
    assert timeout.total == total
    assert connect is None or timeout.connect is not None
    assert min(timeout.connect or 99, timeout.total or 99) == min(connect or 99, total or 99)


def test_the_timeout_covers_all_hops_of_an_attempt(front_end: FrontEnd) -> None:
    """A redirect does not start the clock anew; a retry does."""

    def slowly(status: int, headers: dict[str, str]) -> Any:
        def answer(request: HttpRequest) -> Any:
            harness.clock.now += 4.0
            return status, headers

        return answer

    harness = Harness(front_end, slowly(302, {"Location": "/b"}), slowly(503, {}), slowly(200, {}))
    harness.request(timeout=10.0)
    assert [timeout.total for timeout in harness.transport.timeouts] == [10.0, 6.0, 10.0]


def test_an_attempt_whose_time_is_over_is_not_sent(front_end: FrontEnd) -> None:
    """Hops that took the whole timeout leave nothing for the next."""

    def slowly(request: HttpRequest) -> Any:
        harness.clock.now += 10.0
        return 302, {"Location": "/b"}

    harness = Harness(front_end, slowly, enable_retry_policy=False)
    error = harness.error(AttemptTimeoutError, timeout=10.0)
    assert harness.sends == 1
    assert "before its request could be sent" in str(error)


def timing_out(harness: Harness, seconds: float) -> Any:
    def answer(request: HttpRequest) -> Any:
        harness.clock.now += seconds
        return SLOW

    return answer


def test_whose_limit_it_was(front_end: FrontEnd) -> None:
    """The attempt's timeout is the server's fault; the deadline is the caller's own, and no evidence."""
    harness = Harness(front_end, enable_retry_policy=False)
    harness.transport.script = [timing_out(harness, 2.0)]
    error = harness.error(AttemptTimeoutError, timeout=2.0, total_timeout=50.0)
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert harness.state.breaker.snapshot().failures == 1

    harness.error(AttemptTimeoutError, timeout=2.0, total_timeout=2.0)  # both at once: it had its full time
    assert harness.state.breaker.snapshot().failures == 2

    error = harness.error(DeadlineExceededError, timeout=50.0, total_timeout=2.0)
    assert error.sent_state is SentState.ABANDONED
    assert harness.state.breaker.snapshot().failures == 2
    assert harness.state.breaker.snapshot().abandoned == 1


def test_a_slow_second_attempt_is_cut_by_the_deadline(front_end: FrontEnd) -> None:
    """What is left of the call bounds each attempt, and the error admits to the first attempt."""
    harness = Harness(front_end, RESET, retry_policy_config=RetryPolicy(3))
    harness.transport.script = [RESET, timing_out(harness, 4.5)]
    error = harness.error(DeadlineExceededError, total_timeout=5.0)
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert harness.transport.timeouts[1].total == 4.5


# Redirects.


def test_credentials_stay_with_their_origin(front_end: FrontEnd) -> None:
    """Another host sees no Authorization, no Cookie, no key; the same host sees all."""
    secret = {
        "Authorization": "Bearer s",
        "Cookie": "a=b",
        "X-API-Key": "k",
        "X-My-Secret": "m",
        "X-Plain": "p",
    }
    script = [(307, {"Location": "/same"}), (307, {"Location": "https://other.example.com/"}), 200]
    harness = Harness(front_end, *script, sensitive_headers=["X-My-Secret"])
    response = harness.request("POST", headers=secret, json={"a": 1})
    same, other = harness.transport.sent[1:]
    assert all(same.headers[name] == value for name, value in secret.items())
    assert [name for name in secret if name in other.headers] == ["X-Plain"]
    assert harness.transport.bodies == [b'{"a":1}'] * 3
    assert [hop.status_code for hop in response.history] == [307, 307]


def test_redirects_are_counted_by_follows(front_end: FrontEnd) -> None:
    """allowed_redirect_count=3 follows three and refuses the fourth; 0 and allow_redirects=False follow none."""
    hop = (302, {"Location": "/next"})
    harness = Harness(front_end, hop, hop, hop, 200, allowed_redirect_count=3)
    assert harness.request().status_code == 200
    harness = Harness(front_end, hop, allowed_redirect_count=3)
    error = harness.error(TooManyRedirectsError)
    assert (harness.sends, error.response.status_code) == (4, 302)
    assert Harness(front_end, hop, allowed_redirect_count=0).request().status_code == 302
    assert Harness(front_end, hop).request(allow_redirects=False).status_code == 302


def test_a_consumed_body_does_not_follow(front_end: FrontEnd) -> None:
    """307 asks for the body again; a stream is gone."""
    harness = Harness(front_end, (307, {"Location": "/b"}), 200)
    harness.error(UnsafeRedirectError, "POST", data=(chunk for chunk in [b"x"]))
    assert harness.sends == 1


def test_a_redirect_to_another_host_takes_its_place_there(front_end: FrontEnd) -> None:
    """Limits are by the host that is spoken to; all places are back afterwards."""
    harness = Harness(front_end, (302, {"Location": "https://other.example.com/"}), 200)
    harness.request()
    keys = [key for key, _ in harness.client._call_builder.origins.items()]
    assert keys == [ORIGIN, "https://other.example.com"]
    assert [limit.in_use for limit in harness.limits] == [0, 0, 0]


# Deadline: outermost.


def test_nothing_happens_after_the_deadline(front_end: FrontEnd) -> None:
    """No interceptor runs, the breaker is not asked, no budget is counted."""
    asked: list[Any] = []

    class Interceptor:
        def intercept_request(self, request: Any, context: Any) -> Any:
            asked.append(request)
            return request

    clock = FakeClock()
    harness = Harness(front_end, request_interceptors=[Interceptor])
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 1.0
        harness.error(DeadlineExceededError)
    assert asked == []
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 0)


def test_a_call_has_what_every_context_has() -> None:
    """It sets the fields of `HttpContext` itself, and must not forget one."""
    call = Harness(BlockingFrontEnd()).client._call_builder.build("GET", URL)
    assert [name for name in HttpContext.__slots__ if not hasattr(call, name)] == []


def test_a_response_knows_its_story(front_end: FrontEnd) -> None:
    """Attempts, history, request and timeline are on the response that is returned."""
    harness = Harness(front_end, 503, (301, {"Location": "/b"}), 200)
    response: HttpResponse = harness.request()
    assert (response.attempts, len(response.history), response.url) == (2, 1, f"{ORIGIN}/b")
    assert response.request is harness.transport.sent[-1]
    assert response.timeline is not None
    assert tuple(response.timeline) == tuple(harness.events)
