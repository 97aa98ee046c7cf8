"""What redirects mean for a call: its sent state, and whether its request may be sent again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConstantBackoff,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    ReadTimeoutError,
    ResponseTooLargeError,
    RetryPolicy,
    SentState,
    TransportError,
    UnsafeRedirectError,
)
from http_service_client.core.call import Call
from http_service_client.core.effects import Outcome, Plan
from http_service_client.core.layers.redirects import RedirectsLayer
from http_service_client.errors import Failure
from http_service_client.events import RedirectFollowed
from http_service_client.http.secret_names import SECRET_NAMES
from http_service_client.testing import ScriptedTransport
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, URL, Harness, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}


def to(status: int) -> tuple[int, dict[str, str]]:
    return status, {"Location": "/next"}


@each_row("status", [301, 302, 303])
@each_row("second_hop", [REFUSED, (429, {}), (503, {"Retry-After": "0"}), (500, {}), READ_TIMEOUT], ids=short)
def test_a_post_redirected_to_a_get_is_not_sent_again(
    front_end: FrontEnd, status: int, second_hop: Any
) -> None:
    """The server processed the POST, so a failure of the GET that follows must not repeat it."""
    harness = Harness(front_end, to(status), second_hop, **RETRIES)
    with suppress(TransportError):
        harness.request("POST")
    assert [request.method for request in harness.transport.sent] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("second_hop", "state"), [(REFUSED, "answered"), (READ_TIMEOUT, "maybe_processed")], ids=short
)
def test_an_error_after_a_redirect_has_the_worse_sent_state(
    front_end: FrontEnd, second_hop: Any, state: str
) -> None:
    """The sent state of the POST (from its redirect) or of the GET, whichever is worse."""
    error = Harness(front_end, to(303), second_hop).error(TransportError, "POST")
    assert error.sent_state.value == state


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_whose_redirect_keeps_the_method_is_sent_again(front_end: FrontEnd, status: int) -> None:
    """The server of a 307 did not process it and the next host never got it; the retry starts at hop 1."""
    harness = Harness(front_end, to(status), REFUSED, to(status), 201, **RETRIES)
    response = harness.request("POST", data=b"x")
    assert (response.status_code, response.attempts) == (201, 2)
    assert [request.url[-8:] for request in harness.transport.sent] == ["/charges", "com/next"] * 2


def test_a_request_redirected_by_307_does_not_count_as_never_sent(front_end: FrontEnd) -> None:
    """If the next host refuses the connection, the sent state is REFUSED: the first server saw the request."""
    harness = Harness(front_end, to(307), REFUSED)
    error = harness.error(ConnectionError, "POST", retry_policy=None)
    assert error.sent_state is SentState.REFUSED


def test_the_sent_state_of_an_attempt_ignores_earlier_redirects(front_end: FrontEnd) -> None:
    """A second attempt without a redirect has a sent state of its own."""
    harness = Harness(front_end, to(307), REFUSED, REFUSED, 201, **RETRIES)
    harness.request("POST")
    states = [event.sent_state.value for event in harness.events if type(event).__name__ == "AttemptFinished"]
    assert states == ["refused", "never_sent", "answered"]


def test_a_body_dropped_by_a_redirect_is_absent_from_the_request(front_end: FrontEnd) -> None:
    """`response.request` is the GET that was sent, and reading its body attributes does not add a body."""
    response = Harness(front_end, to(303), 200).request("POST", json={"amount": 5})
    assert response.request is not None
    assert (response.request.json, response.request.data, response.request.content) == (None, None, b"")


def test_two_different_locations_are_not_followed(front_end: FrontEnd) -> None:
    """Which of them is meant is unknown, and one may be injected; two equal values count as one."""
    other = [("Location", "/b"), ("Location", "https://evil.test/")]
    harness = Harness(front_end, (302, other), 200)
    error = harness.error(UnsafeRedirectError)
    assert (harness.sends, error.response.status_code) == (1, 302)
    assert Harness(front_end, (302, [("Location", "/b"), ("Location", "/b")]), 200).request().is_success


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (307, "POST")])
def test_each_hop_is_an_event(front_end: FrontEnd, status: int, method: str) -> None:
    """With where it leads, less its secrets, and with the method that is sent there."""
    harness = Harness(front_end, (status, {"Location": "https://b.test/x?token=s3cret"}), 200)
    harness.request("POST")
    event = harness.events[0]
    url = "https://b.test/x?token=***"
    assert event == RedirectFollowed(0.0, 1, ORIGIN, status, method, url, call_id=event.call_id)


def test_the_requests_of_hops_are_marked_once_they_have_left_the_origin(front_end: FrontEnd) -> None:
    """No credentials go there, and not to where the other origin sends them back."""
    calls: list[Any] = []
    there, back = (302, {"Location": "https://b.test/"}), (302, {"Location": URL})
    harness = Harness(
        front_end, to(302), there, back, 200, on_exchange=lambda request, outcome, call: calls.append(call)
    )
    harness.request()
    assert [request.left_origin for request in harness.transport.sent] == [False, False, True, True]
    assert [hop.url for hop in calls[0].hops] == [f"{ORIGIN}/next", "https://b.test/", URL]


@each_row(("count", "follows"), [(0, False), (1, True), (5, True)])
def test_a_request_knows_whether_a_redirect_of_it_is_followed(
    front_end: FrontEnd, count: int, follows: bool
) -> None:
    """Nobody reads the body of such a redirect, so that a broken one is no failure."""
    harness = Harness(front_end, allowed_redirect_count=count)
    harness.request()
    assert [request.follows_redirects for request in harness.transport.sent] == [follows]


def test_a_redirect_that_drops_the_body_may_follow_a_stream(front_end: FrontEnd) -> None:
    """The body is not needed again, unlike after a 307."""
    harness = Harness(front_end, to(303), 200)
    assert harness.request("POST", data=iter([b"a"])).status_code == 200
    error = Harness(front_end, to(307)).error(UnsafeRedirectError, "POST", data=iter([b"a"]))
    assert "it was a stream and is consumed" in str(error)


@each_row("location", ["ftp://b.test/", "http://[", "http://b.test:x/"])
def test_a_redirect_to_what_is_no_address_is_reported(front_end: FrontEnd, location: str) -> None:
    """By the error of all redirects that must not be followed, with the response."""
    harness = Harness(front_end, (302, {"Location": location}), 200)
    error = harness.error(UnsafeRedirectError)
    assert (harness.sends, error.response.status_code) == (1, 302)


def hops(content: bytes, last: bytes, padding: str = "", status: int = 200) -> ScriptedTransport:
    """Three redirects and the response to which they lead."""
    there = {"Location": "/next", "X-Padding": padding}
    hop = HttpResponse(302, headers=there, content=content)
    return ScriptedTransport([hop, hop, hop, HttpResponse(status, content=last)])


@each_row(
    ("content", "last", "padding", "exchanges"),
    [
        (bytes(900), bytes(1), "", 2),
        (bytes(1), bytes(1), "y" * 900, 2),
        (bytes(300), bytes(900), "", 4),
        (bytes(200), bytes(200), "", None),
        (b"", bytes(900), "", None),
        (bytes(478), b"", "", 3),
        (bytes(100), bytes(634), "", None),
        (bytes(100), bytes(635), "", 4),
    ],
    ids=[
        *("redirects", "their headers", "with the last", "all fit", "no redirect has a body"),
        *("two redirects of 500 bytes fit", "1000 bytes fit", "1001 bytes do not"),
    ],
)
def test_the_responses_of_a_call_share_the_limit_of_one(
    front_end: FrontEnd, content: bytes, last: bytes, padding: str, exchanges: int | None
) -> None:
    """The history is in memory as long as the response: ten redirects must not hold ten times the limit."""
    transport = hops(content, last, padding)
    client = front_end.client(transport=transport, max_response_size=1000)
    if exchanges is None:
        assert len(front_end.request(client, "GET", "http://h/").history) == 3
        return
    with pytest.raises(ResponseTooLargeError, match="with its redirects, the response is larger"):
        front_end.request(client, "GET", "http://h/")
    assert len(transport.sent) == exchanges


def test_a_response_without_redirects_is_not_limited_again() -> None:
    """The exchange has done that, and what comes from elsewhere may be larger."""
    response = HttpResponse(200, content=bytes(11))

    def proceed(request: HttpRequest, call: Call) -> Plan[Outcome]:
        return response
        yield

    call = HttpServiceClient()._call_builder.build("GET", URL)
    with pytest.raises(StopIteration) as ended:
        next(RedirectsLayer(SECRET_NAMES, 10)(proceed, call.request, call))
    assert ended.value.value is response


@each_row(
    ("before", "kind", "message"),
    [
        ([], AttemptTimeoutError, "GET: nothing arrived for 2 s"),
        ([to(307)], AttemptTimeoutError, "GET within 10 s"),
        ([to(307)], ReadTimeoutError, "GET: nothing arrived for 2 s"),
    ],
    ids=["no redirect", "redirect", "another limit"],
)
def test_a_timeout_after_a_redirect_names_the_limit_of_all_hops(
    front_end: FrontEnd, before: list[Any], kind: type[TransportError], message: str
) -> None:
    """What was left of it for the last hop is no setting of the caller's. That of a read is its own."""
    cut = Failure(kind, "GET: nothing arrived for 2 s", SentState.MAYBE_PROCESSED)
    error = Harness(front_end, *before, cut).error(kind, timeout=10.0, retry_policy=None)
    assert str(error).partition(";")[0] == message


def test_the_responses_before_a_stream_share_the_limit_of_one(front_end: FrontEnd) -> None:
    """The stream itself has a limit of its own; an error response is read whole, and has none."""
    config = {"max_response_size": 1000}
    client = front_end.client(transport=hops(bytes(200), bytes(900)), **config)
    with front_end.stream(client, "GET", "http://h/") as response:
        assert len(response.read()) == 900
    for transport in (hops(bytes(600), bytes(900)), hops(bytes(200), bytes(900), status=404)):
        client = front_end.client(transport=transport, **config)
        with (
            pytest.raises(ResponseTooLargeError, match="with its redirects"),
            front_end.stream(client, "GET", "http://h/"),
        ):
            pass
