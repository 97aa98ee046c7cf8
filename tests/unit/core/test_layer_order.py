"""The pipeline: the order of its layers, and what the order means for a call."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitBreakerPolicy,
    CircuitOpenError,
    DeadlineExceededError,
    FallbackPolicy,
    HttpClientError,
    PoolTimeoutError,
    ReadTimeoutError,
    RetryPolicy,
    SentState,
    Timeout,
    TooManyRedirectsError,
    UnsafeRedirectError,
    deadline,
)
from http_service_client.core import layer_order
from http_service_client.core.effects import Acquire, Effect, Invoke, Send, Sleep
from http_service_client.core.layer import compose
from http_service_client.core.layers.whole_call import CallLayer
from http_service_client.http.messages import HttpContext, HttpRequest, HttpResponse
from kit.fakes import ORIGIN, RESET, SLOW, URL, FakeClock, Harness, failure, short
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row


def test_the_first_layer_is_the_outermost() -> None:
    """`compose` takes the layers from the outermost to the innermost."""
    steps: list[str] = []

    def layer(name: str) -> Any:
        def around(proceed: Any, request: Any, call: Any) -> Any:
            steps.append(f"into {name}")
            outcome = yield from proceed(request, call)
            steps.append(f"out of {name}")
            return outcome

        return around

    def handler(request: Any, call: Any) -> Any:
        steps.append("handler")
        return (yield from Sleep(0.0))

    plan = compose([layer("a"), layer("b")], handler)(HttpRequest("GET", URL), None)  # type: ignore[arg-type]
    assert isinstance(next(plan), Sleep)
    with pytest.raises(StopIteration) as end:
        plan.send("answer")
    assert end.value.value == "answer"
    assert steps == ["into a", "into b", "handler", "out of b", "out of a"]


def test_the_layers_of_a_call_are_in_the_documented_order() -> None:
    """The documentation draws this order, and the tests below depend on it."""
    source = inspect.getsource(layer_order.call_pipeline)
    names = [
        "CallLayer",
        "RetryLayer",
        "CircuitBreakerLayer",
        "DownloadLayer",
        "InterceptorsLayer",
        "AttemptTimeoutLayer",
        "RedirectsLayer",
        "CompressionLayer",
        "AuthLayer",
        "CookiesLayer",
        "SigningLayer",
    ]
    positions = [source.rindex(name) for name in names]
    assert positions == sorted(positions)


@pytest.mark.parametrize("kind", [Acquire, Invoke, Send, Sleep])
def test_an_effect_evaluates_to_the_answer_of_the_driver(kind: type[Effect[Any]]) -> None:
    """`yield from effect` yields the effect itself and evaluates to the value that the driver sends."""
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


def test_every_attempt_gets_its_own_permit(front_end: FrontEnd) -> None:
    """A call of three attempts acquires three permits, and each is settled by the outcome of its attempt."""
    harness = Harness(front_end, 503, RESET, 200)
    harness.request()
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.failures, snapshot.successes, snapshot.abandoned) == (2, 1, 0)


@each_row(
    ("outcome", "counts"),
    [
        (200, (1, 0, 0)),
        (304, (1, 0, 0)),
        (404, (1, 0, 0)),
        (402, (1, 0, 0)),
        (408, (0, 1, 0)),
        (429, (0, 0, 1)),
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
def test_an_outcome_is_a_success_a_failure_or_no_evidence_for_the_breaker(
    front_end: FrontEnd, outcome: Any, counts: tuple[int, int, int]
) -> None:
    """All layers use one table of outcomes."""
    harness = Harness(front_end, outcome, enable_retry_policy=False)
    if isinstance(outcome, int):
        assert harness.request().status_code == outcome
    else:
        harness.error(HttpClientError)
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == counts


def test_a_call_may_use_its_own_breaker(front_end: FrontEnd) -> None:
    """circuit_breaker= replaces the client's breaker for this call; False and None switch it off."""
    own = CircuitBreakerPolicy(failure_threshold=1, name="mine")
    harness = Harness(front_end, 500, enable_retry_policy=False)
    harness.request(circuit_breaker=own)
    assert own.state == "open"
    assert harness.state.breaker.snapshot().failures == 0
    error = harness.error(CircuitOpenError, circuit_breaker=own)
    assert (error.key, harness.sends) == ("mine", 1)
    for off in (False, None):
        harness.request(circuit_breaker=off)
    assert harness.state.breaker.snapshot().failures == 0
    harness.request(circuit_breaker=True)
    assert harness.state.breaker.snapshot().failures == 1


@each_row(
    ("options", "total"),
    [({}, 2.0), ({"timeout": 1.0}, 1.0), ({"timeout": 9.0}, 2.0), ({"timeout": None}, 2.0)],
    ids=short,
)
def test_the_timeout_of_a_call_s_own_breaker_applies(
    front_end: FrontEnd, options: dict[str, Any], total: float
) -> None:
    """`timeout` of a CircuitBreakerPolicy bounds the attempts of the calls that use it."""
    harness = Harness(front_end)
    harness.request(circuit_breaker=CircuitBreakerPolicy(timeout=2.0), **options)
    assert harness.transport.timeouts[0].total == total


# Attempt timeout and deadline.


@each_row(
    ("settings", "options", "total", "connect"),
    [
        ({}, {}, 30.0, 5.0),
        ({"base_timeout": 8.0}, {}, 8.0, 5.0),
        ({"connection_timeout": 1.5}, {}, 30.0, 1.5),
        ({}, {"timeout": 2.0}, 2.0, 5.0),  # the total bounds the connect timeout as well
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
def test_the_transport_gets_the_timeouts_of_the_call(
    front_end: FrontEnd,
    settings: dict[str, Any],
    options: dict[str, Any],
    total: float | None,
    connect: float | None,
) -> None:
    """Timeouts come from the call, else from the client, and never exceed the rest of the deadline."""
    harness = Harness(front_end, **settings)
    harness.request(**options)
    (timeout,) = harness.transport.timeouts
    assert (timeout.total, timeout.connect) == (total, connect)


def test_the_timeout_covers_all_hops_of_an_attempt(front_end: FrontEnd) -> None:
    """A redirect does not restart the timeout; a retry does."""

    def slowly(status: int, headers: dict[str, str]) -> Any:
        def respond(request: HttpRequest) -> Any:
            harness.clock.now += 4.0
            return status, headers

        return respond

    harness = Harness(front_end, slowly(302, {"Location": "/b"}), slowly(503, {}), slowly(200, {}))
    harness.request(timeout=10.0)
    assert [timeout.total for timeout in harness.transport.timeouts] == [10.0, 6.0, 10.0]


def test_a_hop_after_the_timeout_is_not_sent(front_end: FrontEnd) -> None:
    """If earlier hops used up the timeout, the next hop fails before it is sent."""

    def slowly(request: HttpRequest) -> Any:
        harness.clock.now += 10.0
        return 302, {"Location": "/b"}

    harness = Harness(front_end, slowly, enable_retry_policy=False)
    error = harness.error(AttemptTimeoutError, timeout=10.0)
    assert harness.sends == 1
    assert "before its request could be sent" in str(error)


def timing_out(harness: Harness, seconds: float) -> Any:
    def respond(request: HttpRequest) -> Any:
        harness.clock.now += seconds
        return SLOW

    return respond


def test_an_attempt_timeout_is_a_failure_and_a_deadline_is_not(front_end: FrontEnd) -> None:
    """A server that exceeds the attempt timeout failed; the caller's own deadline proves nothing."""
    harness = Harness(front_end, enable_retry_policy=False)
    harness.transport.script = [timing_out(harness, 2.0)]
    error = harness.error(AttemptTimeoutError, timeout=2.0, total_timeout=50.0)
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert harness.state.breaker.snapshot().failures == 1

    # Both at once: the server had its full time.
    harness.error(AttemptTimeoutError, timeout=2.0, total_timeout=2.0)
    assert harness.state.breaker.snapshot().failures == 2

    error = harness.error(DeadlineExceededError, timeout=50.0, total_timeout=2.0)
    assert error.sent_state is SentState.ABANDONED
    assert harness.state.breaker.snapshot().failures == 2
    assert harness.state.breaker.snapshot().abandoned == 1


def test_the_deadline_ends_a_slow_second_attempt(front_end: FrontEnd) -> None:
    """The rest of the deadline bounds each attempt; the error has the worst sent state of both attempts."""
    harness = Harness(front_end, RESET, retry_policy_config=RetryPolicy(3))
    harness.transport.script = [RESET, timing_out(harness, 4.5)]
    error = harness.error(DeadlineExceededError, total_timeout=5.0)
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert harness.transport.timeouts[1].total == 4.5


# Redirects.


def test_credentials_stay_with_their_origin(front_end: FrontEnd) -> None:
    """After a redirect, another host gets no Authorization, Cookie or key; the same host gets them all."""
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


def test_allowed_redirect_count_is_the_number_of_followed_redirects(front_end: FrontEnd) -> None:
    """A count of 3 follows three and rejects the fourth; 0 and allow_redirects=False follow none."""
    hop = (302, {"Location": "/next"})
    harness = Harness(front_end, hop, hop, hop, 200, allowed_redirect_count=3)
    assert harness.request().status_code == 200
    harness = Harness(front_end, hop, allowed_redirect_count=3)
    error = harness.error(TooManyRedirectsError)
    assert (harness.sends, error.response.status_code) == (4, 302)
    assert Harness(front_end, hop, allowed_redirect_count=0).request().status_code == 302
    assert Harness(front_end, hop).request(allow_redirects=False).status_code == 302


def test_a_redirect_that_needs_a_consumed_body_is_an_error(front_end: FrontEnd) -> None:
    """A 307 requires the body again, and a one-shot body is consumed."""
    harness = Harness(front_end, (307, {"Location": "/b"}), 200)
    harness.error(UnsafeRedirectError, "POST", data=(chunk for chunk in [b"x"]))
    assert harness.sends == 1


def test_a_redirect_to_another_host_counts_against_that_host(front_end: FrontEnd) -> None:
    """Each hop takes a slot of its own host, and all slots are free afterwards."""
    harness = Harness(front_end, (302, {"Location": "https://other.example.com/"}), 200)
    harness.request()
    origins = [origin for origin, _ in harness.client._call_builder.origins.items()]
    assert origins == [ORIGIN, "https://other.example.com"]
    assert [limit.in_use for limit in harness.limits] == [0, 0, 0]


# Fallback: outside the retries.


def test_a_fallback_stands_in_for_the_last_attempt(front_end: FrontEnd) -> None:
    """And not for one that is retried."""
    harness = Harness(front_end, 503, 200, fallback=FallbackPolicy(value="stand-in"))
    assert not harness.request().is_fallback
    harness = Harness(front_end, 503, fallback=FallbackPolicy(value="stand-in"))
    assert (harness.request().json(), harness.sends) == ("stand-in", 3)


# Deadline: outermost.


def test_after_the_deadline_no_layer_does_anything(front_end: FrontEnd) -> None:
    """No interceptor runs, nothing is sent, and breaker and budget count nothing."""
    intercepted: list[Any] = []

    class Interceptor:
        def intercept_request(self, request: Any, context: Any) -> Any:
            intercepted.append(request)
            return request

    clock = FakeClock()
    harness = Harness(front_end, request_interceptors=[Interceptor])
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 1.0
        harness.error(DeadlineExceededError)
    assert (intercepted, harness.sends) == ([], 0)
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 0)


def test_a_call_has_all_fields_of_a_context() -> None:
    """`Call` sets the fields of `HttpContext` itself and must not miss one."""
    call = Harness(BlockingFrontEnd()).client._call_builder.build("GET", URL)
    assert [name for name in HttpContext.__slots__ if not hasattr(call, name)] == []


def test_a_response_carries_its_attempts_history_and_timeline(front_end: FrontEnd) -> None:
    """The returned response has attempts, history, request and timeline of the call."""
    harness = Harness(front_end, 503, (301, {"Location": "/b"}), 200)
    response: HttpResponse = harness.request()
    assert (response.attempts, len(response.history), response.url) == (2, 1, f"{ORIGIN}/b")
    assert response.request is harness.transport.sent[-1]
    assert response.timeline is not None
    assert tuple(response.timeline) == tuple(harness.events)


@pytest.mark.parametrize(("now", "is_late"), [(4.999, False), (5.0, True), (5.25, True)])
def test_a_call_begins_before_its_deadline(now: float, is_late: bool) -> None:
    """At the very instant nothing is left of its time; the message says by how much it is late."""
    call: Any = SimpleNamespace(deadline_at=5.0, clock=lambda: now, call_id="c", scope=None)

    def proceed(request: Any, call: Any) -> Any:
        yield from ()
        return HttpResponse(200)

    with pytest.raises(StopIteration) as ended:
        next(CallLayer()(proceed, HttpRequest("GET", URL), call))
    outcome = ended.value.value
    if is_late:
        assert outcome.error_type is DeadlineExceededError
        assert f"had passed {now - 5.0:.3f} s before the call began; nothing was sent" in outcome.message
    else:
        assert outcome.status_code == 200
