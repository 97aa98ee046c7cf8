"""What redirects mean for the rest of a call: what became of the request, and whether it is sent again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    ConstantBackoff,
    RetryPolicy,
    SentState,
    TransportError,
    UnsafeRedirectError,
)
from kit.fakes import READ_TIMEOUT, REFUSED, Harness, short
from kit.front_ends import FrontEnd

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}


def to(status: int) -> tuple[int, dict[str, str]]:
    return status, {"Location": "/next"}


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize(
    "last", [REFUSED, (429, {}), (503, {"Retry-After": "0"}), (500, {}), READ_TIMEOUT], ids=short
)
def test_a_post_that_was_answered_is_not_sent_again(front_end: FrontEnd, status: int, last: Any) -> None:
    """The charge was made, and its page is elsewhere: that the page cannot be had undoes nothing."""
    harness = Harness(front_end, to(status), last, **RETRIES)
    with suppress(TransportError):
        harness.request("POST")
    assert [request.method for request in harness.transport.sent] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("last", "state"), [(REFUSED, "answered"), (READ_TIMEOUT, "maybe_processed")], ids=short
)
def test_the_error_behind_a_redirect_says_the_worse(front_end: FrontEnd, last: Any, state: str) -> None:
    """What the redirect says of the POST, or what the last hop says of the GET."""
    error = Harness(front_end, to(303), last).error(TransportError, "POST")
    assert error.sent_state.value == state


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_that_was_only_passed_on_is_sent_again(front_end: FrontEnd, status: int) -> None:
    """Who says 307 has not acted on it, and the next host never got it: that is safe, from the first hop on."""
    harness = Harness(front_end, to(status), REFUSED, to(status), 201, **RETRIES)
    response = harness.request("POST", data=b"x")
    assert (response.status_code, response.attempts) == (201, 2)
    assert [request.url[-8:] for request in harness.transport.sent] == ["/charges", "com/next"] * 2


def test_bytes_that_left_are_not_said_to_be_never_sent(front_end: FrontEnd) -> None:
    """Passed on by 307 and then refused a connection: the first server did see the request."""
    harness = Harness(front_end, to(307), REFUSED)
    error = harness.error(ConnectionError, "POST", retry_policy=None)
    assert error.sent_state is SentState.REFUSED


def test_each_attempt_is_judged_by_its_own_redirects(front_end: FrontEnd) -> None:
    """A second attempt without a redirect is no longer the first one's."""
    harness = Harness(front_end, to(307), REFUSED, REFUSED, 201, **RETRIES)
    harness.request("POST")
    states = [event.sent_state.value for event in harness.events if type(event).__name__ == "AttemptFinished"]
    assert states == ["refused", "never_sent", "answered"]


def test_a_body_that_stayed_behind_is_no_longer_the_requests(front_end: FrontEnd) -> None:
    """The request of the response is the GET that was sent, and looking at it does not give it a body."""
    response = Harness(front_end, to(303), 200).request("POST", json={"amount": 5})
    assert response.request is not None
    assert (response.request.json, response.request.data, response.request.content) == (None, None, b"")


def test_two_locations_are_not_followed(front_end: FrontEnd) -> None:
    """Which one is meant, and who wrote the other? Twice the same is once."""
    other = [("Location", "/b"), ("Location", "https://evil.test/")]
    harness = Harness(front_end, (302, other), 200)
    error = harness.error(UnsafeRedirectError)
    assert (harness.sends, error.response.status_code) == (1, 302)
    assert Harness(front_end, (302, [("Location", "/b"), ("Location", "/b")]), 200).request().is_success
