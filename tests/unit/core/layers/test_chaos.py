"""Chaos in a client's calls: what is injected is seen as the real fault is."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ChaosPolicy,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    ThrottledError,
    Timeout,
)
from http_service_client.auth import AuthFlow
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import Failure
from http_service_client.events import ChaosInjected
from http_service_client.transports.injected import _FAULTS, INJECTED_FAULTS
from kit.chaos import ONCE, harness_of, injected
from kit.fakes import ORIGIN, RESET, URL, FakeClock, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import ScriptedSource, StreamingTransport


@each_row("kind", _FAULTS, ids=lambda kind: kind.__name__)
def test_an_error_is_that_of_the_wire(front_end: FrontEnd, kind: Any) -> None:
    """Its class, sent-state and sentence; the request is sent exactly where a real one would have been."""
    harness = harness_of(front_end, errors=[kind], error_rate=1)
    error = harness.error(kind, method="POST", timeout=Timeout(total=9, read=4))
    real = INJECTED_FAULTS.failure(kind, error.request, Timeout(total=9, read=4))
    assert (type(error), str(error), error.sent_state) == (kind, real.message, real.sent_state)
    assert harness.sends == (0 if error.sent_state is SentState.NEVER_SENT else 1)
    assert injected(harness)[0] == ("error", kind.__name__)


def test_what_was_never_sent_is_repeated_and_what_may_be_processed_is_not(front_end: FrontEnd) -> None:
    """The retries decide about an injected error as about a real one."""
    harness = harness_of(front_end, errors=["ConnectError"], error_rate=1)
    harness.error(ConnectError, method="POST")
    assert (len(injected(harness)), harness.sends) == (3, 0)
    harness = harness_of(front_end, errors=["ReadTimeoutError"], error_rate=1)
    harness.error(ReadTimeoutError, method="POST")
    assert (len(injected(harness)), harness.sends) == (1, 1)


def test_a_status_stands_in_for_the_response(front_end: FrontEnd) -> None:
    """Nothing is sent, and headers count: a 429 closes the throttle gate."""
    harness = harness_of(front_end, statuses=[(429, {"Retry-After": "300"})], status_rate=1)
    response = harness.request(**ONCE)
    assert (response.status_code, response.reason_phrase) == (429, "Too Many Requests")
    assert response.headers["Retry-After"] == "300"
    assert response.url == URL
    assert harness.error(ThrottledError).retry_after == pytest.approx(300)
    assert harness.sends == 0


def test_what_is_injected_into_a_stream_is_seen_as_that_of_the_wire(front_end: FrontEnd) -> None:
    """The latency is part of the time to the first byte, and the body breaks off; the events say both."""
    limits: list[float | None] = []

    class Source(ScriptedSource):
        def read(self, timeout: Timeout) -> bytes | Failure:
            limits.append(timeout.read)
            return super().read(timeout)

    class Streaming(StreamingTransport):
        def open_response(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
            source = Source((b"x" * 500, b"x" * 500))
            return OpenResponse(200, source=source, headers={"Content-Length": "1000"}, url=request.url)

        async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
            return self.open_response(request, timeout)

    events: list[Any] = []
    client = front_end.client(
        chaos=ChaosPolicy(latency=2.0, latency_rate=1, truncation_rate=1, seed=7),
        transport=Streaming(),
        clock=FakeClock(),
        on_event=events.append,
    )
    with (
        front_end.stream(client, "GET", URL, timeout=Timeout(first_byte=5.0)) as response,
        pytest.raises(ProtocolError, match="was cut short after"),
    ):
        list(response.iter_bytes())
    assert limits[0] == 3.0
    latency, truncation = [event for event in events if isinstance(event, ChaosInjected)]
    assert (latency.kind, latency.what, truncation.kind) == ("latency", "2.000 s", "truncation")
    assert re.fullmatch(r"after \d+ bytes", truncation.what)


@each_row(
    ("headers", "what"),
    [
        ({}, "within the first piece"),
        ({"Content-Length": "\u0661\u0660"}, "within the first piece"),
        ({"Content-Length": "ten"}, "within the first piece"),
        ({"Content-Length": "0"}, None),
    ],
)
def test_a_stream_is_cut_where_there_is_something_to_cut(
    front_end: FrontEnd, headers: dict[str, str], what: str | None
) -> None:
    """Without a length that can be read, soon; and an empty body is complete."""
    events: list[Any] = []
    client = front_end.client(
        chaos=ChaosPolicy(truncation_rate=1, seed=7),
        transport=StreamingTransport(*([] if what is None else [b"x" * 100]), headers=headers),
        on_event=events.append,
    )
    with front_end.stream(client, "GET", URL) as response, suppress(ProtocolError):
        list(response.iter_bytes())
    cut = [event.what for event in events if isinstance(event, ChaosInjected)]
    assert cut == ([] if what is None else [what])


def test_a_real_failure_comes_first(front_end: FrontEnd) -> None:
    """An exchange that fails by itself is not disturbed further."""
    harness = harness_of(front_end, RESET, errors=[ReadTimeoutError], error_rate=1, latency=5, latency_rate=1)
    harness.error(ConnectionLostError, **ONCE)
    assert (injected(harness), harness.sleeps) == ([], [])


def test_a_response_is_cut_short(front_end: FrontEnd) -> None:
    """It is the protocol error of a real one; a response without a body has nothing to cut."""
    body = HttpResponse(200, content=b"x" * 1000, headers={"Content-Length": "1000"}, url=URL)
    harness = Harness(front_end, body, chaos=ChaosPolicy(truncation_rate=1, seed=7))
    error = harness.error(ProtocolError, method="POST")
    received = int(str(error).split()[-2])
    assert 0 <= received < 1000
    assert str(error) == f"the response from {URL} was cut short after {received} bytes"
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert injected(harness) == [("truncation", f"after {received} bytes")]
    for status in (200, 204, 302):
        harness.transport.script[:] = [HttpResponse(status, headers={"Content-Length": "0"}, url=URL)]
        assert harness.request(allow_redirects=False).status_code == status


@each_row(
    ("method", "status", "is_cut"),
    [
        ("GET", 299, True),
        ("GET", 300, False),
        ("GET", 399, False),
        ("GET", 400, True),
        ("HEAD", 200, False),
        ("GET", 204, False),
    ],
)
def test_only_a_body_that_is_read_is_cut(front_end: FrontEnd, method: str, status: int, is_cut: bool) -> None:
    """That of a redirect is not; and a HEAD or a 204 has none, whatever its headers say."""
    outcome = HttpResponse(status, content=b"x" * 1000, headers={"Content-Length": "1000"}, url=URL)
    harness = Harness(front_end, outcome, chaos=ChaosPolicy(truncation_rate=1, seed=7))
    if is_cut:
        harness.error(ProtocolError, method, retry_policy=False)
    else:
        assert harness.request(method, allow_redirects=False).status_code == status
    assert bool(injected(harness)) is is_cut


def test_an_open_slot_and_permits_are_released(front_end: FrontEnd) -> None:
    """Whatever is injected, nothing is held afterwards."""
    harness = harness_of(
        front_end,
        errors=[ConnectError, ReadTimeoutError],
        error_rate=0.5,
        statuses=[500],
        status_rate=0.3,
        latency=100,
        latency_rate=0.5,
        truncation_rate=0.2,
        seed=3,
    )
    for _ in range(60):
        try:
            harness.request(timeout=1)
        except Exception:
            pass
    assert [limit.in_use for limit in harness.limits] == [0, 0]
    policy = harness.client.config.chaos
    assert isinstance(policy, ChaosPolicy)
    assert policy.chaos._ended._waiting == {}


def test_requests_of_auth_flows_meet_it_too(front_end: FrontEnd) -> None:
    """By their own URLs, as all that goes over the wire."""

    class Login(AuthFlow):
        def auth_flow(self, request: HttpRequest) -> Any:
            response = yield HttpRequest("POST", f"{ORIGIN}/login")
            request.headers["X-Login"] = str(response.status_code)
            yield request

    harness = harness_of(front_end, statuses=[503], status_rate=1, routes=["POST /login"])
    harness.request(auth=Login(), **ONCE)
    assert [(sent.method, sent.headers.get("X-Login")) for sent in harness.transport.sent] == [("GET", "503")]


def test_an_error_that_no_exchange_ends_with_is_refused() -> None:
    """When the configuration is made; the message lists those that can be injected."""
    with pytest.raises(
        ConfigurationError, match=r"chaos: errors has ValueError, which no exchange ends with; .*ConnectError"
    ):
        HttpClientConfig(chaos=ChaosPolicy(errors=[ValueError], error_rate=1))


@each_row(("headers", "length"), [({}, "0"), ({"Retry-After": "1"}, "0"), ({"content-length": "3"}, "3")])
def test_an_injected_response_has_one_length(
    front_end: FrontEnd, headers: dict[str, str], length: str
) -> None:
    """The one that was given, or that of an empty body."""
    harness = harness_of(front_end, statuses=[(503, headers)], status_rate=1)
    response = harness.request(retry_policy=False)
    assert response.headers.get_all("Content-Length") == [length]


def test_an_injected_status_that_has_no_phrase_has_none(front_end: FrontEnd) -> None:
    """As one that comes from a server."""
    harness = harness_of(front_end, statuses=[599], status_rate=1)
    assert harness.request(**ONCE).reason_phrase == ""


@pytest.mark.parametrize(
    ("came", "headers"), [(1000, {}), (100_000, {"Content-Length": "1000"})], ids=["unknown", "decoded"]
)
def test_a_body_is_cut_by_the_length_of_what_was_sent(
    front_end: FrontEnd, came: int, headers: dict[str, str]
) -> None:
    """Where it is not in the head, by that of what came. Decoded, a body is longer than it was on the wire."""
    harness = Harness(
        front_end,
        HttpResponse(200, content=b"x" * came, headers=headers, url=URL),
        chaos=ChaosPolicy(truncation_rate=1, seed=7),
    )
    assert 0 < int(str(harness.error(ProtocolError, **ONCE)).split()[-2]) < 1000


@pytest.mark.parametrize(
    ("chaos", "error"),
    [
        ({"latency": 5.0, "latency_rate": 1}, AttemptTimeoutError),
        ({"errors": [ConnectionLostError], "error_rate": 1}, ConnectionLostError),
    ],
)
def test_a_stream_that_a_fault_ended_before_its_head_is_closed(
    front_end: FrontEnd, chaos: dict[str, Any], error: Any
) -> None:
    """Its connection is not left behind."""
    transport = StreamingTransport(b"x")
    client = front_end.client(chaos=ChaosPolicy(**chaos), transport=transport, clock=FakeClock())
    with (
        pytest.raises(error),
        front_end.stream(client, "GET", URL, timeout=Timeout(total=3.0), retry_policy=False),
    ):
        raise AssertionError("it has no head")
    assert [source.is_closed for source in transport.sources] == [True]
