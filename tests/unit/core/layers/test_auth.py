"""Auth flows in a call: what is sent again, how it ends, and what is known of its request afterwards."""

from __future__ import annotations

import io
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConnectError,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    InterceptorError,
    ReadTimeoutError,
    RetryPolicy,
    SentState,
    TransportError,
)
from http_service_client.core.call import Call
from http_service_client.core.effects import Outcome, Plan
from http_service_client.core.layers.redirects import RedirectsLayer
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure
from http_service_client.events import AuthContinued
from http_service_client.http.secret_names import SECRET_NAMES
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, URL, Harness
from kit.flows import RETRIES, TOKEN, TOKEN_URL, Refreshing, Requests, flow_of, sent
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row
from kit.streaming import StreamingTransport


def test_a_refused_request_is_sent_again_in_the_same_attempt(front_end: FrontEnd) -> None:
    """One attempt, the budget untouched, and one re-send with the fresh token."""
    harness = Harness(front_end, 401, TOKEN, 201)
    response = harness.request("POST", json={"amount": 5}, auth=Refreshing())
    assert (response.status_code, response.attempts) == (201, 1)
    assert sent(harness) == [("POST", URL), ("POST", TOKEN_URL), ("POST", URL)]
    assert [r.headers.get("Authorization") for r in harness.transport.sent] == [
        "Bearer old",
        None,
        "Bearer new",
    ]
    assert [body for body in harness.transport.bodies if body != b"grant_type=client_credentials"] == [
        b'{"amount":5}'
    ] * 2
    assert harness.names() == ["auth_continued", "auth_continued", "attempt_finished", "call_finished"]


def test_the_timeline_shows_each_exchange_of_a_flow(front_end: FrontEnd) -> None:
    """As it shows the hops of redirects."""
    story = Harness(front_end, 401, TOKEN, 201).request("POST", auth=Refreshing()).explain()
    assert f"attempt 1: 401 from {URL}, the auth flow continues with POST {TOKEN_URL}" in story
    assert f"attempt 1: 200 from {TOKEN_URL}, the auth flow continues with POST {URL}" in story


def test_an_error_of_a_flow_knows_of_the_attempts_before(front_end: FrontEnd) -> None:
    """The sent state is the worst over all of them."""
    harness = Harness(front_end, READ_TIMEOUT, 401, HttpResponse(400, url=TOKEN_URL), **RETRIES)
    error = harness.error(HttpClientError, "PUT", auth=Refreshing())
    assert ("answered 400" in str(error), error.sent_state) == (True, SentState.MAYBE_PROCESSED)


def test_events_of_flows_show_no_secrets(front_end: FrontEnd) -> None:
    """As all events."""
    token = HttpRequest("GET", f"{TOKEN_URL}?client_secret=s3cret")
    harness = Harness(front_end, 401, TOKEN, 200)
    harness.request("GET", auth=flow_of(None, token, None))
    first, second = harness.events[:2]
    redacted = f"{TOKEN_URL}?client_secret=***"
    call_id = first.call_id
    assert first == AuthContinued(0.0, 1, ORIGIN, 401, URL, "GET", redacted, call_id=call_id)
    assert second == AuthContinued(0.0, 1, ORIGIN, 200, TOKEN_URL, "GET", URL, call_id=call_id)


def test_a_flow_vouches_for_nothing_else(front_end: FrontEnd) -> None:
    """A POST that was sent again after a 401 is not sent a third time after a timeout."""
    harness = Harness(front_end, 401, TOKEN, READ_TIMEOUT, 201, **RETRIES)
    error = harness.error(TransportError, "POST", auth=Refreshing())
    assert (error.sent_state, harness.sends) == (SentState.MAYBE_PROCESSED, 3)


def test_a_post_that_was_refused_and_then_never_sent_is_retried(front_end: FrontEnd) -> None:
    """A 401 says that it was not applied."""
    harness = Harness(front_end, 401, TOKEN, REFUSED, 201, **RETRIES)
    response = harness.request("POST", auth=Refreshing())
    assert (response.status_code, response.attempts) == (201, 2)


def test_a_401_that_is_returned_was_answered(front_end: FrontEnd) -> None:
    """The sent state is the worst of all exchanges with the call's service."""
    harness = Harness(front_end, 401, TOKEN, 401)
    assert harness.request("POST", auth=Refreshing()).status_code == 401
    assert harness.events[-1].sent_state is SentState.ANSWERED


@each_row("status", [200, 404, 409, 500, 503])
def test_a_post_is_not_sent_again_after_a_status_that_may_mean_success(
    front_end: FrontEnd, status: int
) -> None:
    """Only 400, 401, 403 and 407 say that it was not applied."""
    harness = Harness(front_end, status, retry_policy_config=RetryPolicy(1))
    error = harness.error(InterceptorError, "POST", auth=flow_of(None, None))
    assert str(error).partition(";")[0] == (
        f"Scripted.auth_flow yielded the POST again after {status}, when it may have been processed"
    )
    assert (error.sent_state is SentState.NEVER_SENT, harness.sends) == (False, 1)


def test_the_error_names_the_response_with_its_reason(front_end: FrontEnd) -> None:
    """As far as there is one."""
    conflict = HttpResponse(409, reason_phrase="Conflict")
    error = Harness(front_end, conflict).error(
        InterceptorError, "POST", auth=flow_of(None, None), retry_policy=False
    )
    assert "yielded the POST again after 409 Conflict, when" in str(error)


@each_row(("status", "method"), [(400, "POST"), (403, "POST"), (407, "POST"), (500, "GET")])
def test_a_request_may_be_sent_again_where_that_is_safe(
    front_end: FrontEnd, status: int, method: str
) -> None:
    """By its status, or by its method."""
    harness = Harness(front_end, status, 200)
    assert harness.request(method, auth=flow_of(None, None)).status_code == 200


def test_a_request_without_a_token_is_never_sent(front_end: FrontEnd) -> None:
    """The token service fails: so does the call, by the flow's own error."""
    harness = Harness(front_end, HttpResponse(400, url=TOKEN_URL), **RETRIES)
    error = harness.error(HttpClientError, "POST", auth=Refreshing(token=None))
    assert "answered 400" in str(error)
    # The token endpoint has answered, but that was another request.
    assert error.sent_state is SentState.NEVER_SENT
    assert sent(harness) == [("POST", TOKEN_URL)]


def test_a_token_service_that_cannot_be_reached_fails_the_attempt(front_end: FrontEnd) -> None:
    """It is retried, since the request was never sent, and the circuit of the call's service is not charged."""
    harness = Harness(front_end, REFUSED, TOKEN, 201, **RETRIES)
    response = harness.request("POST", auth=Refreshing(token=None))
    assert (response.status_code, response.attempts) == (201, 2)
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.failures, snapshot.successes, snapshot.abandoned) == (0, 1, 1)


def test_the_error_of_a_token_service_names_the_flow(front_end: FrontEnd) -> None:
    """And keeps its type, so that conditions and callers understand it."""
    harness = Harness(front_end, REFUSED, retry_policy_config=RetryPolicy(1))
    error = harness.error(ConnectError, "POST", auth=Refreshing(token=None))
    assert str(error) == "a request of Refreshing.auth_flow failed: refused"
    assert error.sent_state is SentState.NEVER_SENT
    assert harness.events[0].answered_by == "Refreshing.auth_flow"


def test_a_redirect_to_another_origin_gets_no_credentials_of_a_flow(front_end: FrontEnd) -> None:
    """Nor does its 401 run the flow, nor a hop that it sends back: it chose the URL."""
    harness = Harness(
        front_end, (307, {"Location": "https://b.test/x"}), (307, {"Location": f"{ORIGIN}/pay"}), 401
    )
    assert harness.request("POST", auth=Refreshing()).status_code == 401
    assert [r.headers.get("Authorization") for r in harness.transport.sent] == ["Bearer old", None, None]


def test_a_download_that_begins_again_has_credentials_again() -> None:
    """It makes several requests in one attempt; that one of them was led away concerns no other."""
    moved = HttpResponse(307, headers={"Location": "https://b.test/"})
    responses = [moved, HttpResponse(416), HttpResponse(200)]
    were_away: list[bool] = []

    def proceed(request: HttpRequest, call: Call) -> Plan[Outcome]:
        were_away.append(call.current.has_left_origin)
        return responses[len(were_away) - 1]
        yield

    call = HttpServiceClient()._call_builder.build("GET", URL)
    layer = RedirectsLayer(SECRET_NAMES, None)
    for _ in range(2):
        assert list(layer(proceed, call.request, call)) == []
    assert were_away == [False, True, False]


def test_each_hop_within_the_origin_has_a_flow_of_its_own(front_end: FrontEnd) -> None:
    """The 401 to the GET after a 303 does not send the POST again."""
    harness = Harness(front_end, (303, {"Location": "/status"}), 401, TOKEN, 200)
    assert harness.request("POST", auth=Refreshing()).status_code == 200
    assert sent(harness) == [
        ("POST", URL), ("GET", f"{ORIGIN}/status"), ("POST", TOKEN_URL), ("GET", f"{ORIGIN}/status"),
    ]  # fmt: skip


def test_a_consumed_body_returns_the_401(front_end: FrontEnd) -> None:
    """It cannot be sent again; the timeline says what would help."""
    harness = Harness(front_end, 401, TOKEN, 200)
    response = harness.request("POST", data=iter([b"a", b"b"]), auth=Refreshing())
    assert response.status_code == 401
    assert "its body was a stream and is consumed; pass bytes or a file" in response.explain()


def test_a_file_is_rewound_for_the_second_request(front_end: FrontEnd) -> None:
    """All of it is sent twice."""
    harness = Harness(front_end, 401, TOKEN, 200)
    harness.request("POST", data=io.BytesIO(b"all of it"), auth=Refreshing())
    assert [harness.transport.bodies[0], harness.transport.bodies[2]] == [b"all of it"] * 2


def test_the_time_of_a_flow_s_code_is_the_attempt_s(front_end: FrontEnd) -> None:
    """The exchange has what is left."""

    def slowly(request: HttpRequest) -> HttpRequest:
        harness.clock.now += 2.0
        return request

    harness = Harness(front_end)
    harness.request(auth=flow_of(slowly), timeout=5.0)
    assert [timeout.total for timeout in harness.transport.timeouts] == [3.0]


def test_an_error_of_a_flow_ends_the_call_as_it_is(front_end: FrontEnd) -> None:
    """As that of an interceptor: not retried, and no evidence against the service."""

    class Broken:
        def auth_flow(self, request: HttpRequest) -> Requests:
            raise LookupError("no key")
            yield request

    harness = Harness(front_end, **RETRIES)
    assert harness.error(LookupError, auth=Broken()).args == ("no key",)
    assert harness.sends == 0
    assert harness.state.breaker.snapshot().failures == 0


def test_the_exchanges_of_a_flow_share_the_attempts_timeout(front_end: FrontEnd) -> None:
    """What one of them takes is not there for the next; the error names the limit that was set."""

    def slowly(request: HttpRequest) -> HttpResponse:
        harness.clock.now += 4.0
        return HttpResponse(401, url=request.url)

    cut = Failure(AttemptTimeoutError, f"no response from {URL} within 6 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, slowly, TOKEN, cut, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    error = harness.error(AttemptTimeoutError, "POST", auth=Refreshing())
    assert [timeout.total for timeout in harness.transport.timeouts] == [10.0, 6.0, 6.0]
    assert str(error).startswith(f"no response from {URL} within 10 s")


@pytest.mark.parametrize(
    ("kind", "message"), [(AttemptTimeoutError, "GET within 10 s"), (ReadTimeoutError, "GET within 6 s")]
)
def test_a_timeout_of_the_second_exchange_names_the_limit_of_both(
    front_end: FrontEnd, kind: type[HttpClientError], message: str
) -> None:
    """If it is the attempt's; that of a read is its own."""
    cut = Failure(kind, "GET within 6 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, 401, cut, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    assert str(harness.error(kind, auth=flow_of(None, None))).partition(";")[0] == message


def test_a_timeout_of_the_only_exchange_keeps_its_message(front_end: FrontEnd) -> None:
    """It says which limit expired, which need not be the attempt's."""
    idle = Failure(AttemptTimeoutError, f"{URL}: nothing arrived for 2 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, idle, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    error = harness.error(AttemptTimeoutError, "POST", auth=flow_of(None))
    assert str(error).startswith(f"{URL}: nothing arrived for 2 s")


def test_a_flow_is_closed_when_the_exchange_fails(front_end: FrontEnd) -> None:
    """Its `finally` runs, and it is asked for no further request."""
    auth = Refreshing()
    Harness(front_end, REFUSED, retry_policy_config=RetryPolicy(1)).error(ConnectError, auth=auth)
    assert auth.has_closed


def test_a_flow_is_closed_on_cancellation() -> None:
    """In an asyncio task that is cancelled while the token is on its way."""
    import asyncio

    from http_service_client import HttpClientConfig, HttpServiceClient

    auth = Refreshing(token=None)

    class Never:
        async def send_async(self, request: HttpRequest, timeout: Any) -> Any:
            await asyncio.sleep(3600)

    async def main() -> None:
        client = HttpServiceClient(HttpClientConfig(auth=auth), transport=Never())
        task = asyncio.ensure_future(client.get_async(URL))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert auth.has_closed

    run_task(main())


def test_a_stream_is_authenticated_too(front_end: FrontEnd) -> None:
    """The token is read whole; the body of the final response is streamed."""
    harness = Harness(front_end, 401, TOKEN, HttpResponse(200, content=b"body", url=URL))
    with front_end.stream(harness.client, "GET", URL, auth=Refreshing()) as response:
        assert (response.status_code, response.read()) == (200, b"body")


class Opening(StreamingTransport):
    """Leaves the bodies of calls open; a flow's own request gets a token.

    are_closed: at each exchange, whether the bodies before were closed.
    """

    def __init__(self, status: int) -> None:
        super().__init__(b"done")
        self._status = status
        self.are_closed: list[bool] = []

    def send(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.are_closed.append(all(source.is_closed for source in self.sources))
        return TOKEN

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Any:
        return self.send(request, timeout)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.are_closed.append(all(source.is_closed for source in self.sources))
        for _ in request.body.chunks():
            pass
        response = StreamingTransport.send(self, request, timeout)
        response.status_code = self._status
        return response

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Any:
        return self.open_response(request, timeout)


TOKEN_REQUEST = HttpRequest("POST", TOKEN_URL)


@each_row(
    ("status", "steps", "message", "state"),
    [
        (
            *(200, (None, TOKEN_REQUEST, None)),
            "yielded the POST again after 200, when it may have been processed",
            SentState.ANSWERED,
        ),
        (200, (None, TOKEN_REQUEST), "ended without the request", SentState.ANSWERED),
        (200, (None, None), "yielded the POST again after 200 OK, when", SentState.ANSWERED),
    ],
    ids=["sent again after a token", "ended after a token", "sent again"],
)
def test_a_flow_may_not_go_on_from_a_streamed_success(
    front_end: FrontEnd, status: int, steps: tuple[Any, ...], message: str, state: SentState
) -> None:
    """Not even if it fetches a token in between, for which the open response is discarded: there is no other."""
    transport = Opening(status)
    client = HttpServiceClient(transport=transport)
    with (
        pytest.raises(InterceptorError, match=message) as raised,
        front_end.stream(client, "POST", URL, auth=flow_of(*steps)),
    ):
        pass
    assert raised.value.sent_state is state
    assert len(transport.sources) == 1
    assert transport.sources[0].is_closed


def test_an_open_response_is_closed_before_the_flow_goes_on(front_end: FrontEnd) -> None:
    """Its connection may be the only one."""
    transport = Opening(401)
    client = HttpServiceClient(transport=transport)
    with front_end.stream(client, "POST", URL, auth=flow_of(None, TOKEN_REQUEST, None)) as response:
        assert response.status_code == 401
    assert transport.are_closed == [True, True, True]


def test_a_stream_that_was_sent_once_is_not_sent_again_after_a_discarded_response(
    front_end: FrontEnd,
) -> None:
    """There is no response to return any more, so that the call fails, and says why."""
    transport = Opening(401)
    client = HttpServiceClient(transport=transport)
    auth = flow_of(None, TOKEN_REQUEST, None)
    with (
        pytest.raises(HttpClientError) as raised,
        front_end.stream(client, "POST", URL, data=iter([b"a"]), auth=auth),
    ):
        pass
    assert "the body was sent before and cannot be replayed" in str(raised.value)


def test_each_attempt_runs_the_flow_from_its_start(front_end: FrontEnd) -> None:
    """A retry has the token of its time."""
    auth = Refreshing()
    harness = Harness(front_end, 401, TOKEN, 503, 200, **RETRIES)
    assert harness.request(auth=auth).attempts == 2
    assert [r.headers.get("Authorization") for r in harness.transport.sent][2:] == [
        "Bearer new",
        "Bearer new",
    ]
