"""Compressed bodies, and the way back when a server does not take them (RFC 7694)."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import suppress
from typing import Any

import pytest

from http_service_client import ConnectionLostError, ConnectionPoolConfig, HttpResponse
from http_service_client.core.layers import compression as request_compression
from http_service_client.http.content_codings.compression import compress, may_compress
from http_service_client.http.messages import HttpRequest
from kit.fakes import RESET, Harness
from kit.front_ends import FrontEnd

LONG = b"order " * 500
NO_RETRIES = {"enable_retry_policy": False}


def harness(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    pool = ConnectionPoolConfig(compression_threshold=100)
    return Harness(front_end, *script, connection_pool=pool, enable_request_compression=True, **settings)


def takes_no_coding(request: HttpRequest) -> Any:
    return 415 if "Content-Encoding" in request.headers else 200


def sent(harness: Harness) -> list[tuple[str | None, str, int]]:
    """Coding, declared length and length of each body that went out."""
    return [
        (request.headers.get("Content-Encoding"), request.headers["Content-Length"], len(body or b""))
        for request, body in zip(harness.transport.sent, harness.transport.bodies, strict=True)
    ]


PLAIN = (None, "3000", 3000)
PACKED = ("gzip", str(len(gzip.compress(LONG, 6))), len(gzip.compress(LONG, 6)))


def test_a_415_is_followed_by_the_plain_body_within_the_attempt(front_end: FrontEnd) -> None:
    """One attempt, one outcome, told in the timeline."""
    it = harness(front_end, takes_no_coding)
    response = it.request("POST", data=LONG)
    assert (response.status_code, response.attempts) == (200, 1)
    assert sent(it) == [PACKED, PLAIN]
    assert "415 to a gzip body, sent again uncompressed" in response.explain()
    assert it.names() == ["coding_refused", "attempt_finished", "call_finished"]


def test_what_compressing_takes_is_of_the_attempts_time(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large body is not compressed at once."""
    it = harness(front_end)

    def slowly(*arguments: Any) -> Any:
        it.clock.now += 2.0
        return compress(*arguments)

    monkeypatch.setattr(request_compression, "compress", slowly)
    it.request("POST", data=LONG, timeout=5.0)
    assert [timeout.total for timeout in it.transport.timeouts] == [3.0]


@pytest.mark.parametrize(("size", "stops_the_loop"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_a_long_body_is_compressed_beside_the_loop(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, size: int, stops_the_loop: bool
) -> None:
    """In a thread of its own, where there is a loop that others need."""
    threads: list[threading.Thread] = []

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return compress(*arguments)

    monkeypatch.setattr(request_compression, "compress", noted)
    it = harness(front_end)
    it.request("POST", data=bytes(size))
    assert [encoding for encoding, _, _ in sent(it)] == ["gzip"]
    is_here = threads == [threading.current_thread()]
    assert is_here is (stops_the_loop or front_end.name == "blocking")


@pytest.mark.parametrize("status", [400, 406, 413, 422, 501])
def test_no_other_status_is_about_the_coding(front_end: FrontEnd, status: int) -> None:
    """It is the call's answer."""
    it = harness(front_end, status, **NO_RETRIES)
    assert it.request("POST", data=LONG).status_code == status
    assert sent(it) == [PACKED]


def test_it_is_remembered_for_the_origin(front_end: FrontEnd) -> None:
    """The next call to it does not try again; another origin is another matter."""
    it = harness(front_end, takes_no_coding)
    for url in ("https://a.test/", "https://a.test/x", "https://b.test/"):
        it.request("POST", url, data=LONG)
    assert sent(it) == [PACKED, PLAIN, PLAIN, PACKED, PLAIN]


def test_a_415_to_both_is_about_the_content(front_end: FrontEnd) -> None:
    """It is the call's answer, and nothing is remembered."""
    it = harness(front_end, 415, 415, 200)
    assert it.request("POST", data=LONG).status_code == 415
    assert it.request("POST", data=LONG).status_code == 200
    assert sent(it) == [PACKED, PLAIN, PACKED]


@pytest.mark.parametrize("failure", [RESET, 503, 429])
def test_a_failure_of_the_second_try_teaches_nothing(front_end: FrontEnd, failure: Any) -> None:
    """It is the attempt's outcome: an overloaded server has not looked at the plain body either."""
    it = harness(front_end, 415, failure, 200, **NO_RETRIES)
    with suppress(ConnectionLostError):
        assert it.request("POST", data=LONG).status_code == failure
    it.request("POST", data=LONG)
    assert sent(it) == [PACKED, PLAIN, PACKED]


@pytest.mark.parametrize(
    "call",
    [
        {"data": b"short"},
        {"data": gzip.compress(LONG), "headers": {"Content-Encoding": "gzip"}},
        {"data": [b"x" * 10, b"y"]},
        {"data": iter([LONG])},
        {},
    ],
    ids=["short", "encoded by the caller", "short list", "stream", "none"],
)
def test_a_415_to_a_plain_body_is_not_repeated(front_end: FrontEnd, call: dict[str, Any]) -> None:
    """There is nothing to take back."""
    it = harness(front_end, 415)
    assert it.request("POST", **call).status_code == 415
    assert it.sends == 1


def test_each_hop_is_coded_for_its_own_origin(front_end: FrontEnd) -> None:
    """What the first takes, the second need not; a body that is dropped leaves no coding behind."""
    moved = (307, {"Location": "https://b.test/"})
    it = harness(
        front_end, moved, takes_no_coding, takes_no_coding, (303, {"Location": "https://b.test/"}), 200
    )
    it.request("POST", "https://a.test/", data=LONG)
    assert sent(it) == [PACKED, PACKED, PLAIN]
    it.request("POST", "https://a.test/", data=LONG)
    assert "Content-Encoding" not in it.transport.sent[-1].headers
    assert it.transport.bodies[-1] == b""


def test_an_interceptor_signs_what_was_asked_and_not_what_is_packed(front_end: FrontEnd) -> None:
    """Coding is the last thing that happens to a body."""
    seen: list[bytes | None] = []

    class Signing:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            seen.append(request.content)
            return request

        def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
            return response

    it = harness(front_end, request_interceptors=[Signing])
    it.request("POST", json=["x" * 500])
    assert seen == [json.dumps(["x" * 500]).encode()]
    assert sent(it)[0][0] == "gzip"


@pytest.mark.skipif(not may_compress("zstd"), reason="needs Python 3.14 or zstandard")
def test_zstd_where_it_is_asked_for(front_end: FrontEnd) -> None:
    """Never by itself: few servers take it."""
    it = harness(front_end, request_coding="zstd")
    it.request("POST", data=LONG)
    assert it.transport.sent[0].headers["Content-Encoding"] == "zstd"
    assert (it.transport.bodies[0] or b"")[:4] == b"\x28\xb5\x2f\xfd"
