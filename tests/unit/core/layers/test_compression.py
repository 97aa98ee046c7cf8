"""Compressed request bodies, and the fallback when a server rejects the coding (RFC 7694)."""

from __future__ import annotations

import gzip
import json
import random
import threading
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConnectionLostError,
    ConnectionPoolConfig,
    HttpResponse,
    SentState,
)
from http_service_client.core.effects import TIMED_OUT, Work
from http_service_client.core.layers import compression as request_compression
from http_service_client.http.content_codings.compression import compress, may_compress
from http_service_client.http.messages import HttpRequest
from kit.fakes import RESET, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row

LONG = b"order " * 500
NO_RETRIES = {"enable_retry_policy": False}


def harness(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    pool = ConnectionPoolConfig(compression_threshold=100)
    return Harness(front_end, *script, connection_pool=pool, enable_request_compression=True, **settings)


def rejects_codings(request: HttpRequest) -> Any:
    return 415 if "Content-Encoding" in request.headers else 200


def sent(harness: Harness) -> list[tuple[str | None, str, int]]:
    """Coding, declared length and actual length of each body that was sent."""
    return [
        (request.headers.get("Content-Encoding"), request.headers["Content-Length"], len(body or b""))
        for request, body in zip(harness.transport.sent, harness.transport.bodies, strict=True)
    ]


PLAIN = (None, "3000", 3000)
PACKED = ("gzip", str(len(gzip.compress(LONG, 6))), len(gzip.compress(LONG, 6)))


def test_after_a_415_the_uncompressed_body_is_sent_in_the_same_attempt(front_end: FrontEnd) -> None:
    """The fallback is part of one attempt with one outcome, and the timeline names it."""
    it = harness(front_end, rejects_codings)
    response = it.request("POST", data=LONG)
    assert (response.status_code, response.attempts) == (200, 1)
    assert sent(it) == [PACKED, PLAIN]
    assert "415 to a gzip body, sent again uncompressed" in response.explain()
    assert it.names() == ["coding_refused", "attempt_finished", "call_finished"]


def test_the_time_spent_compressing_counts_against_the_attempt(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressing a large body takes time, and the transport gets only what is left of the timeout."""
    it = harness(front_end)

    def slowly(*arguments: Any) -> Any:
        it.clock.now += 2.0
        return compress(*arguments)

    monkeypatch.setattr(request_compression, "compress", slowly)
    it.request("POST", data=LONG, timeout=5.0)
    assert [timeout.total for timeout in it.transport.timeouts] == [3.0]


@pytest.mark.parametrize(("size", "is_in_the_loop"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_a_long_body_is_compressed_outside_the_event_loop(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, size: int, is_in_the_loop: bool
) -> None:
    """The asyncio client compresses bodies above 64 KiB in a worker thread, so that the loop stays free."""
    threads: list[threading.Thread] = []

    def recording(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return compress(*arguments)

    monkeypatch.setattr(request_compression, "compress", recording)
    it = harness(front_end)
    it.request("POST", data=bytes(size))
    assert [encoding for encoding, _, _ in sent(it)] == ["gzip"]
    is_here = threads == [threading.current_thread()]
    assert is_here is (is_in_the_loop or front_end.name == "blocking")


@pytest.mark.parametrize(("left", "limit"), [(None, None), (3.0, 3.0)])
def test_compressing_a_long_body_ends_with_the_attempt(left: float | None, limit: float | None) -> None:
    """A thread may take longer than the attempt has. Nothing is sent then."""
    it = harness(BlockingFrontEnd())
    call = it.client._call_builder.build("POST", URL, data=bytes(64 * 1024 + 1))
    call.current.expires_at = None if left is None else it.clock.now + left
    layer = request_compression.CompressionLayer(it.client._call_builder.origins, 1, "gzip")
    plan: Any = layer(lambda request, call: iter(()), call.request, call)
    effect = next(plan)
    assert (type(effect), effect.timeout) == (Work, limit)
    with pytest.raises(StopIteration) as ended:
        plan.send(TIMED_OUT)
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (AttemptTimeoutError, SentState.NEVER_SENT)


@pytest.mark.parametrize(("size", "coding"), [(99, None), (100, "gzip")])
def test_a_short_body_is_sent_as_it_is(front_end: FrontEnd, size: int, coding: str | None) -> None:
    """Also if it would become shorter: that is not worth the work."""
    it = harness(front_end)
    it.request("POST", data=bytes(size))
    assert [given for given, _, _ in sent(it)] == [coding]


@each_row(
    "name", ["Content-Digest", "content-encoding", "Content-MD5", "Content-Range", "Digest", "Repr-Digest"]
)
def test_a_body_with_a_header_about_its_bytes_is_sent_as_it_is(front_end: FrontEnd, name: str) -> None:
    """A digest of other bytes would be wrong (RFC 9530), and a part of a file would be another part (RFC 9110, 14.4)."""
    it = harness(front_end)
    it.request("PUT", data=LONG, headers={name: "given"})
    assert it.transport.bodies == [LONG]
    assert it.transport.sent[0].headers[name] == "given"


def test_a_failure_causes_no_fallback(front_end: FrontEnd) -> None:
    """It says nothing about the coding: it is the outcome, and the next body is compressed."""
    it = harness(front_end, RESET, 200, **NO_RETRIES)
    it.error(ConnectionLostError, "POST", data=LONG)
    it.request("POST", data=LONG)
    assert sent(it) == [PACKED, PACKED]


@each_row("status", [400, 406, 413, 422, 501])
def test_no_other_status_than_415_causes_a_fallback(front_end: FrontEnd, status: int) -> None:
    """The response is returned, and the uncompressed body is not sent."""
    it = harness(front_end, status, **NO_RETRIES)
    assert it.request("POST", data=LONG).status_code == status
    assert sent(it) == [PACKED]


def test_the_rejection_is_remembered_for_the_origin(front_end: FrontEnd) -> None:
    """Later calls to the origin are not compressed; calls to other origins are."""
    it = harness(front_end, rejects_codings)
    for url in ("https://a.test/", "https://a.test/x", "https://b.test/"):
        it.request("POST", url, data=LONG)
    assert sent(it) == [PACKED, PLAIN, PLAIN, PACKED, PLAIN]


def test_a_415_to_the_uncompressed_body_too_is_not_remembered(front_end: FrontEnd) -> None:
    """Then the content type is at fault: the 415 is returned, and the next body is compressed."""
    it = harness(front_end, 415, 415, 200)
    assert it.request("POST", data=LONG).status_code == 415
    assert it.request("POST", data=LONG).status_code == 200
    assert sent(it) == [PACKED, PLAIN, PACKED]


@each_row("failure", [RESET, 503, 429])
def test_a_failed_fallback_is_not_remembered(front_end: FrontEnd, failure: Any) -> None:
    """It is the outcome of the attempt; an overloaded server has not judged the uncompressed body."""
    it = harness(front_end, 415, failure, 200, **NO_RETRIES)
    if failure is RESET:
        it.error(ConnectionLostError, "POST", data=LONG)
    else:
        assert it.request("POST", data=LONG).status_code == failure
    it.request("POST", data=LONG)
    assert sent(it) == [PACKED, PLAIN, PACKED]


@each_row(
    "call",
    [
        {"data": b"short"},
        {"data": gzip.compress(LONG), "headers": {"Content-Encoding": "gzip"}},
        {"data": [b"x" * 10, b"y"]},
        {"data": iter([LONG])},
        {},
    ],
    ids=["short body", "encoded by the caller", "short list", "stream", "no body"],
)
def test_a_415_to_an_uncompressed_body_is_not_repeated(front_end: FrontEnd, call: dict[str, Any]) -> None:
    """The client did not compress the body, so there is no other form to send."""
    it = harness(front_end, 415)
    assert it.request("POST", **call).status_code == 415
    assert it.sends == 1


def test_a_body_that_the_caller_encoded_is_sent_as_it_is(front_end: FrontEnd) -> None:
    """Also if it could be made smaller: two codings would need two names in the header."""
    it = harness(front_end)
    it.request("POST", data=LONG, headers={"content-encoding": "x-own"})
    assert sent(it) == [("x-own", "3000", 3000)]


def test_each_hop_is_compressed_for_its_own_origin(front_end: FrontEnd) -> None:
    """Each origin may accept or reject the coding; a dropped body leaves no Content-Encoding behind."""
    moved = (307, {"Location": "https://b.test/"})
    it = harness(
        front_end, moved, rejects_codings, rejects_codings, (303, {"Location": "https://b.test/"}), 200
    )
    it.request("POST", "https://a.test/", data=LONG)
    assert sent(it) == [PACKED, PACKED, PLAIN]
    it.request("POST", "https://a.test/", data=LONG)
    assert "Content-Encoding" not in it.transport.sent[-1].headers
    assert it.transport.bodies[-1] == b""


def test_an_interceptor_sees_the_uncompressed_body(front_end: FrontEnd) -> None:
    """A body is compressed after the interceptors, so a signature covers the caller's bytes."""
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
def test_zstd_is_used_only_on_request(front_end: FrontEnd) -> None:
    """`request_coding="zstd"` selects it; it is not the default, since few servers accept it."""
    it = harness(front_end, request_coding="zstd")
    it.request("POST", data=LONG)
    assert it.transport.sent[0].headers["Content-Encoding"] == "zstd"
    assert (it.transport.bodies[0] or b"")[:4] == b"\x28\xb5\x2f\xfd"


def test_a_body_that_does_not_get_smaller_is_sent_as_it_is(front_end: FrontEnd) -> None:
    """Random bytes do not, nor does a file that is compressed already."""
    it = harness(front_end)
    body = random.Random(1).randbytes(3000)
    it.request("POST", data=body)
    assert (sent(it), it.transport.bodies) == ([PLAIN], [body])
