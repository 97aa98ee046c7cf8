"""What stands in for the response to a call that failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    FallbackPolicy,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    HttpStatusError,
    ReadTimeoutError,
    SentState,
    TlsVerificationError,
    deadline,
)
from http_service_client.core.layers.fallback import _ask, set_context
from http_service_client.errors import Failure
from http_service_client.events import FallbackSource, FallbackUsed
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import READ_TIMEOUT, REFUSED, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

DOWN = 503


def _good(text: str = "good", **headers: str) -> Any:
    return lambda request: HttpResponse(200, headers=headers, content=text, url=request.url, request=request)


def _used(harness: Harness) -> list[FallbackUsed]:
    return [event for event in harness.events if isinstance(event, FallbackUsed)]


@each_row(
    ("outcome", "reason", "state"),
    [
        (DOWN, "status 503", SentState.ANSWERED),
        (429, "status 429", SentState.REFUSED),
        (REFUSED, "ConnectError", SentState.NEVER_SENT),
        (READ_TIMEOUT, "ReadTimeoutError", SentState.MAYBE_PROCESSED),
    ],
)
def test_a_value_stands_in_for_a_failure(
    front_end: FrontEnd, outcome: Any, reason: str, state: SentState
) -> None:
    """After all attempts. The response says so, and the event what it stands in for and what became of the request."""
    harness = Harness(front_end, outcome, fallback=FallbackPolicy(value={"items": []}))
    response = harness.request()
    assert (response.status_code, response.json(), response.is_fallback) == (200, {"items": []}, True)
    assert response.reason_phrase == "OK"
    assert response.attempts == harness.sends == 3
    assert response.timeline is not None
    (used,) = _used(harness)
    assert response.timeline.fallback_used == used
    assert (used.source, used.reason, used.sent_state) == (FallbackSource.VALUE, reason, state)
    assert f"the fallback stands in for {reason}" in response.explain()
    assert harness.client.metrics.total("http_fallbacks_total", {"source": "value"}) == 1


@each_row("status", [200, 304, 400, 404, 409])
def test_other_responses_are_returned(front_end: FrontEnd, status: int) -> None:
    """A 404 is a response, and no failure of the service."""
    harness = Harness(front_end, status, fallback={"value": None})
    response = harness.request(retry_policy=False)
    assert (response.status_code, response.is_fallback) == (status, False)
    assert _used(harness) == []


def test_a_certificate_that_is_not_trusted_is_reported(front_end: FrontEnd) -> None:
    """An attacker may be the cause."""
    failure = Failure(TlsVerificationError, "not trusted", SentState.NEVER_SENT)
    Harness(front_end, failure, fallback={"value": None}).error(TlsVerificationError)


def test_a_refusal_of_the_circuit_is_covered(front_end: FrontEnd) -> None:
    """Nothing was sent, and the caller has the value at once."""
    harness = Harness(front_end, 200, fallback={"value": []})
    policy = CircuitBreakerPolicy()
    policy.isolate()
    response = harness.request(circuit_breaker=policy)
    assert (response.json(), harness.sends) == ([], 0)
    assert _used(harness)[0].sent_state is SentState.NEVER_SENT
    harness.error(CircuitOpenError, circuit_breaker=policy, fallback=False)


def test_a_response_may_be_the_value(front_end: FrontEnd) -> None:
    """It is that of the call: with its URL and its request. The next call gets another one."""
    fallback = FallbackPolicy(value=HttpResponse(204, headers={"X-From": "fallback"}))
    harness = Harness(front_end, DOWN, fallback=fallback)
    one, other = harness.request(retry_policy=False), harness.request(retry_policy=False)
    assert (one.status_code, one.headers["X-From"], one.url) == (204, "fallback", URL)
    assert one.request is not other.request


def test_a_function_gets_the_error_and_the_request(front_end: FrontEnd) -> None:
    """The error is the one that the call would have raised: with its timeline, and with the response of a 503."""
    seen: list[Any] = []

    def stand_in(error: Any, request: Any) -> Any:
        seen.append((type(error), error.sent_state, request.url, len(error.timeline)))
        return {"error": type(error).__name__}

    harness = Harness(front_end, REFUSED, DOWN, fallback={"function": stand_in})
    assert harness.request(retry_policy=False).json() == {"error": "ConnectError"}
    assert harness.request(retry_policy=False).json() == {"error": "HttpStatusError"}
    assert [each[:3] for each in seen] == [
        (ConnectError, SentState.NEVER_SENT, URL),
        (HttpStatusError, SentState.ANSWERED, URL),
    ]
    assert all(each[3] for each in seen)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (DOWN, f"GET {URL} answered 503"),
        (202, "the response 202 counts as a failure"),
    ],
)
def test_the_error_of_a_response_says_what_it_was(front_end: FrontEnd, status: int, message: str) -> None:
    """That of `raise_for_status`, or if that raises none, what the policy thinks of it."""
    seen: list[Any] = []

    def stand_in(error: Any) -> Any:
        seen.append((str(error).partition(";")[0].strip(), error.status_code, error.response.status_code))
        return []

    fallback = {"function": stand_in, "failures": [DOWN, 202]}
    harness = Harness(front_end, status, fallback=fallback)
    harness.request(retry_policy=False)
    assert seen == [(message, status, status)]


def test_a_call_may_have_none(front_end: FrontEnd) -> None:
    """In place of the client's."""
    harness = Harness(front_end, DOWN, fallback={"value": []})
    view = harness.client.with_options(fallback=None)
    assert front_end.run(front_end.calling(view, "GET", URL, retry_policy=False)).status_code == 503


def _linked(
    error: BaseException, cause: BaseException | None, context: BaseException | None
) -> BaseException:
    error.__cause__, error.__context__ = cause, context
    return error


def test_an_error_of_a_fallback_shows_what_it_was_called_for() -> None:
    """At the end of what it stems from, once, and not in a circle."""
    original = KeyError("original")
    for linked in (_linked(ValueError(), original, None), _linked(ValueError(), None, original)):
        before = (linked.__cause__, linked.__context__)
        set_context(linked, original)
        assert (linked.__cause__, linked.__context__) == before
    for inner in (
        _linked(TypeError(), None, None),
        _linked(TypeError(), None, _linked(OSError(), None, None)),
    ):
        end = inner.__context__ or inner
        for outer in (_linked(ValueError(), inner, None), _linked(ValueError(), None, inner)):
            end.__context__ = None
            set_context(outer, original)
            assert end.__context__ is original
    set_context(original, original)
    assert original.__context__ is None


def test_an_error_that_shows_it_already_stays_as_it_is() -> None:
    """Including what the failure stems from in turn."""
    root = OSError()
    original = _linked(KeyError(), root, None)
    set_context(_linked(ValueError(), original, None), original)
    assert root.__context__ is None


def test_a_circle_of_errors_is_followed_once() -> None:
    """A program can make one, though Python itself does not."""
    original, raised, one, other = KeyError("original"), ValueError(), TypeError(), OSError()
    raised.__context__, one.__context__, other.__context__ = one, other, one
    set_context(raised, original)
    assert (raised.__context__, one.__context__, other.__context__) == (one, other, original)


def test_an_async_function_is_awaited(front_end: FrontEnd) -> None:
    """Also for a blocking call."""

    async def stand_in(error: BaseException) -> list[int]:
        return [1]

    assert Harness(front_end, DOWN, fallback={"function": stand_in}).request().json() == [1]


def test_a_function_that_raises_the_error_leaves_the_outcome(front_end: FrontEnd) -> None:
    """So it can decide; a 503 stays a response."""

    def stand_in(error: BaseException) -> None:
        raise error

    harness = Harness(front_end, DOWN, fallback={"function": stand_in}, enable_retry_policy=False)
    response = harness.request()
    assert (response.status_code, response.is_fallback) == (503, False)
    harness = Harness(front_end, REFUSED, fallback={"function": stand_in}, enable_retry_policy=False)
    error = harness.error(ConnectError)
    assert error.timeline is not None
    assert _used(harness) == []


def test_the_error_of_a_fallback_has_the_original_as_its_context(front_end: FrontEnd) -> None:
    """Python shows both."""

    def stand_in(error: BaseException) -> None:
        raise LookupError("no copy")

    error = Harness(front_end, REFUSED, fallback={"function": stand_in}).error(LookupError)
    assert isinstance(error.__context__, ConnectError)


@each_row("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_changes_something_has_none(front_end: FrontEnd, method: str) -> None:
    """The fallback would hide that money may have moved, unless the policy says that this is meant."""
    harness = Harness(front_end, READ_TIMEOUT, fallback={"value": None}, enable_retry_policy=False)
    error = harness.error(ReadTimeoutError, method)
    assert error.sent_state is SentState.MAYBE_PROCESSED
    with pytest.raises(ConfigurationError, match="unsafe_methods=True"):
        harness.request(method, fallback=FallbackPolicy(value=None))
    response = harness.request(method, fallback=FallbackPolicy(value=None, unsafe_methods=True))
    assert response.is_fallback
    assert _used(harness)[0].sent_state is SentState.MAYBE_PROCESSED


def test_a_call_may_have_one_of_its_own(front_end: FrontEnd) -> None:
    """Or none. A view may, too."""
    harness = Harness(front_end, DOWN, fallback={"value": "the client's"}, enable_retry_policy=False)
    own = FallbackPolicy(value="my own")
    assert harness.request().json() == "the client's"
    assert harness.request(fallback=own).json() == "my own"
    assert harness.request(fallback=True).json() == "the client's"
    assert harness.request(fallback=None).status_code == 503
    harness.client = harness.client.with_options(fallback=own)
    assert harness.request().json() == "my own"
    assert harness.request("POST").status_code == 503
    harness.client = harness.client.with_options(fallback=False)
    assert harness.request().status_code == 503


def test_a_call_may_have_one_where_its_client_has_none(front_end: FrontEnd) -> None:
    """Calls without one run no layer for it."""
    harness = Harness(front_end, DOWN, enable_retry_policy=False)
    assert harness.request(fallback=FallbackPolicy(value=1)).json() == 1
    assert harness.request(fallback=True).status_code == 503


@each_row("given", [5, "value", {"value": 1}])
def test_another_kind_of_fallback_is_refused(front_end: FrontEnd, given: Any) -> None:
    """A call takes a policy."""
    message = str(Harness(front_end, 200).error(ConfigurationError, fallback=given))
    assert message.startswith("fallback must be a FallbackPolicy, True, False or None")


def test_a_stream_takes_none(front_end: FrontEnd) -> None:
    """A body that is read as it comes has no ready stand-in; the client's fallback leaves streams as they are."""
    transport = ScriptedTransport([HttpResponse(503)])
    client = front_end.client(
        transport=transport, clock=VirtualClock(), fallback={"value": 1}, enable_retry_policy=False
    )
    with front_end.stream(client, "GET", URL) as response:
        assert response.status_code == 503
    with (
        pytest.raises(ConfigurationError, match="read whole"),
        front_end.stream(client, "GET", URL, fallback=FallbackPolicy(value=1)),
    ):
        pass


def test_cancellation_and_interceptors_pass(front_end: FrontEnd) -> None:
    """An exception that user code raises is the program's."""

    class Broken:
        def intercept_request(self, request: Any, context: Any) -> Any:
            raise ConnectionError("mine")

    harness = Harness(front_end, 200, fallback={"value": 1}, request_interceptors=[Broken])
    harness.error(ConnectionError)


def test_the_deadline_bounds_the_function(front_end: FrontEnd) -> None:
    """Once it has passed, an async function is not waited for, and the call ends with its own error."""
    harness = Harness(front_end, fallback={"function": _never}, total_timeout=5.0)

    def slow(request: Any) -> Any:
        harness.clock.now += 6.0
        return READ_TIMEOUT

    harness.transport.script = [slow]
    harness.error(DeadlineExceededError, retry_policy=False)


@pytest.mark.parametrize(("remaining", "timeout"), [(None, None), (3.0, 3.0), (0.5, 0.5), (-1.0, 0.0)])
def test_a_function_has_what_is_left_of_the_deadline(remaining: float | None, timeout: float | None) -> None:
    """And no time at all after it."""
    settings = FallbackPolicy(function=_never).settings
    call: Any = SimpleNamespace(remaining=lambda: remaining)
    plan = _ask(settings, ConnectError("down"), HttpRequest("GET", URL), call)
    effect: Any = next(plan)
    assert (effect.function, effect.timeout) == (_never, timeout)
    plan.close()


async def _never(error: BaseException) -> None:
    import asyncio

    await asyncio.sleep(60)


def test_a_call_after_its_deadline_is_not_begun(front_end: FrontEnd) -> None:
    """Nothing was tried, so nothing stands in."""
    harness = Harness(front_end, 200, fallback={"value": 1})
    with deadline(1.0, clock=harness.clock.monotonic):
        harness.clock.now += 2.0
        harness.error(DeadlineExceededError)
    assert harness.sends == 0


def test_reconfiguring_a_client_changes_its_fallback(front_end: FrontEnd) -> None:
    """The next call has the new one."""
    harness = Harness(front_end, DOWN, enable_retry_policy=False)
    assert harness.request().status_code == 503
    harness.client.reconfigure(HttpClientConfig(enable_retry_policy=False, fallback={"value": 2}))
    assert harness.request().json() == 2


def test_a_configuration_with_a_fallback_is_a_value() -> None:
    """A policy lends its settings; a mapping of its arguments means the same."""
    config = HttpClientConfig(fallback=FallbackPolicy(last_good=60))
    assert config == HttpClientConfig(fallback={"last_good": 60})
    assert hash(config) == hash(HttpClientConfig(fallback={"last_good": 60}))
    with pytest.raises(
        ConfigurationError, match="fallback has the unknown key 'last_god'; did you mean 'last_good'"
    ):
        HttpClientConfig(fallback={"last_god": 60})
    with pytest.raises(
        ConfigurationError,
        match=r"fallback must be a FallbackPolicy, .* not \d+; write FallbackPolicy\(value=…\)",
    ):
        HttpClientConfig(fallback=5)  # type: ignore[arg-type]


def test_the_client_is_exact_about_its_keyword() -> None:
    """It is a setting, and no keyword of the client itself."""
    with pytest.raises(TypeError, match="fallback"):
        HttpServiceClient(fallback=FallbackPolicy(value=1))  # type: ignore[call-arg]


def test_a_key_is_of_functions_alone() -> None:
    """It would do nothing: a client finds the last good response by the request and its user."""
    policy = FallbackPolicy(last_good=60, key=repr)
    with pytest.raises(ConfigurationError, match="fallback: key is for functions"):
        HttpClientConfig(fallback=policy)
    with pytest.raises(ConfigurationError, match="fallback: key is for functions"):
        HttpServiceClient().get(URL, fallback=policy)
    with pytest.raises(ConfigurationError, match="fallback: key is for functions"):
        HttpServiceClient().with_options(fallback=policy)
