"""An error of this package that the user's code raises inside of a call, such as that of another call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import FallbackPolicy, HttpResponse, SentState
from http_service_client.errors import ConnectError, HttpClientError
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd
from kit.interceptors import on_request, on_response
from kit.rows import each_row

URL = "https://api.example.com/orders"
NEVER_SENT, REFUSED, ANSWERED, _, MAYBE_PROCESSED = SentState


def fail(*_: Any) -> Any:
    """As a call to a token service does that cannot be reached."""
    raise ConnectError("the other service is down", sent_state=NEVER_SENT)


async def fail_async(*_: Any) -> Any:
    fail()


def failing_body() -> Iterator[bytes]:
    yield b"a part"
    fail()


class Sign:
    """A signer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.sign_request = function


def intercept(*_: Any) -> Any:
    return HttpResponse(200)


Row = tuple[dict[str, Any], dict[str, Any], list[int], SentState]
TABLE: dict[str, Row] = {
    # what raises                       client, call, responses, what the error says of the call's own request
    "request interceptor": ({"request_interceptors": [on_request(fail)]}, {}, [200], NEVER_SENT),
    "async request interceptor": ({"request_interceptors": [on_request(fail_async)]}, {}, [200], NEVER_SENT),
    "response interceptor": ({"response_interceptors": [on_response(fail)]}, {}, [200], ANSWERED),
    "async response interceptor": ({"response_interceptors": [on_response(fail_async)]}, {}, [200], ANSWERED),
    "response interceptor after 429": ({"response_interceptors": [on_response(fail)]}, {}, [429], REFUSED),
    "response interceptor of an answer": (
        {"request_interceptors": [on_request(intercept)], "response_interceptors": [on_response(fail)]},
        {},
        [200],
        NEVER_SENT,
    ),
    "signer": ({"request_signers": [Sign(fail)]}, {}, [200], NEVER_SENT),
    "async signer": ({"request_signers": [Sign(fail_async)]}, {}, [200], NEVER_SENT),
    "body": ({}, {"data": failing_body}, [200], MAYBE_PROCESSED),
    "progress": ({}, {"data": lambda: b"x", "progress": fail}, [200], MAYBE_PROCESSED),
    "fallback": (
        {},
        {"fallback": FallbackPolicy(function=fail, failures=[404], unsafe_methods=True)},
        [404],
        ANSWERED,
    ),
    "async fallback": (
        {},
        {"fallback": FallbackPolicy(function=fail_async, failures=[404], unsafe_methods=True)},
        [404],
        ANSWERED,
    ),
}


@each_row("row", TABLE)
def test_it_says_what_became_of_the_request_of_the_call(front_end: FrontEnd, row: str) -> None:
    """Who sees `never_sent` sends a POST again, though the order may exist: it was only the other one that was not sent."""
    settings, options, statuses, expected = TABLE[row]
    options = {**options, **({"data": options["data"]()} if "data" in options else {})}
    transport = ScriptedTransport([HttpResponse(status) for status in statuses], clock=VirtualClock())
    client = front_end.client(transport=transport, **settings)
    with pytest.raises(ConnectError, match="the other service is down") as caught:
        front_end.request(client, "POST", URL, **options)
    assert caught.value.sent_state is expected


def test_an_error_in_a_later_attempt_knows_of_the_attempts_before(front_end: FrontEnd) -> None:
    """The first one was answered, and the second one was never sent."""
    clock = VirtualClock()

    def second_time(request: Any, context: Any) -> Any:
        return fail() if context.attempt == 2 else request

    client = front_end.client(
        transport=ScriptedTransport([HttpResponse(500), HttpResponse(200)], clock=clock),
        clock=clock,
        request_interceptors=[on_request(second_time)],
    )
    with pytest.raises(HttpClientError) as caught:
        front_end.request(client, "POST", URL, idempotent=True)
    assert caught.value.sent_state is ANSWERED
