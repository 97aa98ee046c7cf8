"""An injected fault is seen exactly as a real one, on real connections: error, words, sent-state, attempts, timeline."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ChaosPolicy,
    ConnectError,
    ConnectionLostError,
    HttpClientError,
    HttpServiceClient,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    Timeout,
)
from http_service_client.events import AttemptFinished, ChaosInjected, RetryScheduled, RetryStopped
from http_service_client.testing import LoopbackServer, hang_up, raw, reset, respond, stall
from http_service_client.testing.actions import Action
from kit.front_ends import FrontEnd

QUICK: dict[str, Any] = {
    "retry_policy_config": {"max_attempts": 2, "initial_delay": 0.001, "max_delay": 0.002},
    "enable_throttle_gate": False,
}
SHORT = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
WHOLE = respond(200, body=b"x" * 1000)


class Case(NamedTuple):
    """real: what the server does.   chaos: the settings that inject the same.   options: of both calls."""

    real: Action | None
    chaos: dict[str, Any]
    options: dict[str, Any] = {}


CASES = {
    "refused": Case(None, {"errors": [ConnectError], "error_rate": 1}),
    "reset": Case(reset(), {"errors": [ConnectionLostError], "error_rate": 1}),
    "read timeout": Case(
        stall(),
        {"errors": [ReadTimeoutError], "error_rate": 1},
        {"timeout": Timeout(total=9, read=0.06)},
    ),
    "no first byte": Case(
        stall(),
        {"errors": [ReadTimeoutError], "error_rate": 1},
        {"timeout": Timeout(total=9, first_byte=0.06)},
    ),
    "attempt timeout": Case(stall(), {"errors": [AttemptTimeoutError], "error_rate": 1}, {"timeout": 0.06}),
    "late": Case(stall(), {"latency": 9, "latency_rate": 1}, {"timeout": 0.06}),
    "late, read timeout": Case(
        stall(), {"latency": 9, "latency_rate": 1}, {"timeout": Timeout(total=9, read=0.06)}
    ),
    "503": Case(respond(503), {"statuses": [503], "status_rate": 1}),
    "500": Case(respond(500), {"statuses": [500], "status_rate": 1}),
    "429 with a pause": Case(
        respond(429, headers={"Retry-After": "9"}),
        {"statuses": [(429, {"Retry-After": "9"})], "status_rate": 1},
        {"timeout": 2},
    ),
    "cut short": Case(SHORT, {"truncation_rate": 1}),
    "nothing but a closed connection": Case(
        hang_up(b"HTTP/1.1 200 OK\r\nContent-Le"), {"errors": [ProtocolError], "error_rate": 1}
    ),
}


def in_general(text: str) -> str:
    """A message without what differs from server to server."""
    text = re.sub(r"127\.0\.0\.1:\d+/\w*", "HOST", re.sub(r"127\.0\.0\.1:\d+\b(?!/)", "HOST", text))
    return re.sub(r" after \d+ bytes", " after N bytes", text)


def told(call: Callable[[], Any]) -> tuple[object, ...]:
    """What the caller of a call learns."""
    try:
        result = call()
    except HttpClientError as error:
        result = error
    timeline = result.timeline
    words = in_general(str(result)) if isinstance(result, HttpClientError) else result.status_code
    cause = type(result.__cause__).__name__ if isinstance(result, HttpClientError) else None
    details = {
        name: getattr(result, name, None) for name in ("rule", "section") if isinstance(result, ProtocolError)
    }
    attempts = [
        (event.attempt, event.status_code, event.error, in_general(event.message), event.sent_state)
        for event in timeline
        if isinstance(event, AttemptFinished)
    ]
    further = [
        (type(event), getattr(event, "reason", None))
        for event in timeline
        if isinstance(event, (RetryScheduled, RetryStopped))
    ]
    return type(result), words, cause, details, getattr(result, "sent_state", None), attempts, further


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", CASES)
def test_an_injected_fault_is_as_a_real_one(
    front_end: FrontEnd, server: LoopbackServer, name: str, method: str
) -> None:
    """The caller cannot tell them apart, but for the events of the chaos."""
    case = CASES[name]
    url = server.url
    if case.real is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
    else:
        server.script("/x", *[case.real] * 3)
    real = front_end.client(**QUICK)
    found = told(lambda: front_end.request(real, method, f"{url}/x", **case.options))
    server.script("/x", *[WHOLE] * 3)
    disturbed = front_end.client(**QUICK, chaos=case.chaos)
    injected: list[object] = []

    def call() -> Any:
        try:
            response = front_end.request(disturbed, method, f"{server.url}/x", **case.options)
        except HttpClientError as error:
            injected.extend(event for event in error.timeline or () if isinstance(event, ChaosInjected))
            raise
        injected.extend(event for event in response.timeline or () if isinstance(event, ChaosInjected))
        return response

    assert told(call) == found
    assert injected


def test_the_server_has_the_requests_that_may_have_been_processed(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """And no other."""
    server.script("/x", *[WHOLE] * 9)
    for kind, sent in [
        (NameResolutionError, 0),
        (ConnectError, 0),
        (ReadTimeoutError, 1),
        (ConnectionLostError, 1),
    ]:
        client = front_end.client(chaos={"errors": [kind], "error_rate": 1}, enable_retry_policy=False)
        before = len(server.requests)
        with pytest.raises(kind):
            front_end.request(client, "POST", f"{server.url}/x")
        assert len(server.requests) - before == sent


def streamed(front_end: FrontEnd, client: HttpServiceClient, url: str) -> tuple[int, tuple[object, ...]]:
    """How many bytes of a stream arrive, and what its reader learns then."""
    received = 0

    def call() -> Any:
        nonlocal received
        with front_end.stream(client, "GET", url) as response:
            for piece in response.iter_bytes():
                received += len(piece)
        return response

    found = told(call)
    return received, found


@pytest.mark.parametrize("body", [b"x" * 200_000, b"some lines"], ids=["long", "short"])
def test_a_stream_is_cut_short_as_a_real_one(
    front_end: FrontEnd, server: LoopbackServer, body: bytes
) -> None:
    """The bytes before the cut arrive; then comes the error, and the connection and its slots are free."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    server.script("/x", raw(head + body[: len(body) // 2]))
    arrived, found = streamed(front_end, front_end.client(**QUICK), f"{server.url}/x")
    assert arrived == len(body) // 2
    server.script("/x", respond(200, body=body))
    client = front_end.client(**QUICK, chaos=ChaosPolicy(truncation_rate=1, random=lambda: 0.5))
    arrived, injected = streamed(front_end, client, f"{server.url}/x")
    assert (arrived, injected) == (len(body) // 2, found)
    assert [limit.in_use for limit in client._backends._limits()] == [0, 0]


def test_a_stream_of_unknown_length_ends_within_its_first_piece(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Server-sent events, say."""
    server.script("/x", raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100))
    client = front_end.client(**QUICK, chaos=ChaosPolicy(truncation_rate=1, random=lambda: 0.5))
    arrived, injected = streamed(front_end, client, f"{server.url}/x")
    assert 0 <= arrived <= 50
    assert injected[0] is ProtocolError


def test_a_stream_is_whole_once_the_chaos_is_off(front_end: FrontEnd, server: LoopbackServer) -> None:
    """What was decided at its head is not done any more."""
    server.script("/x", respond(200, body=b"x" * 1000))
    policy = ChaosPolicy(truncation_rate=1, random=lambda: 0.5)
    client = front_end.client(**QUICK, chaos=policy)
    with front_end.stream(client, "GET", f"{server.url}/x") as response:
        policy.disable()
        assert sum(map(len, response.iter_bytes())) == 1000


def test_a_download_goes_on_after_a_cut(front_end: FrontEnd, server: LoopbackServer, tmp_path: Path) -> None:
    """As after a real one: the next attempt asks for the rest."""
    server.script(
        "/x", respond(200, body=b"x" * 1000, headers={"ETag": '"1"', "Accept-Ranges": "bytes"}), WHOLE
    )
    client = front_end.client(**QUICK, chaos=ChaosPolicy(truncation_rate=1, random=lambda: 0.5, max_calls=1))
    policy = client.config.chaos
    assert isinstance(policy, ChaosPolicy)
    cut = front_end.client(**QUICK, chaos=policy, enable_retry_policy=False)
    with pytest.raises(ProtocolError):
        front_end.download(cut, f"{server.url}/x", tmp_path / "file")
    front_end.download(client, f"{server.url}/x", tmp_path / "file")
    assert (tmp_path / "file").stat().st_size == 1000
