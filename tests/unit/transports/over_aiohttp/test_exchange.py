"""One exchange of an event loop, in virtual time: what is returned, left open or followed, and its limits."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import errors
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import SentState
from http_service_client.http.http1.framing import ParserSettings
from kit.http1_network import OK, URL, Http1Network, about, told

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nX-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"GET /path?q=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"
MAYBE, NEVER = SentState.MAYBE_PROCESSED, SentState.NEVER_SENT
READ = f"timed out reading from {URL}"
TOTAL = f"no complete response from {URL} within"
WAYS = ["new", "idle"]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Http1Network]:
    made = Http1Network(monkeypatch)
    yield made
    made.close()


# Responses.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "timeout", [Timeout(), Timeout(total=9.0), Timeout(read=9.0)], ids=["none", "total", "read"]
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_response_is_what_the_server_sent(
    network: Http1Network, way: str, timeout: Timeout, is_chunked: bool
) -> None:
    """With its time since the exchange began. The connection serves the next exchange."""
    network.prepared(way)
    if is_chunked:
        network.at(0.25, b"HTTP/1.1 103 Hints\r\n\r\n")
        network.at(0.5, CHUNKED, b"1\r\no\r\n1")
        network.at(0.75, b"\r\nk\r\n0\r\n\r\n")
    else:
        network.at(0.75, OK)
    response = network.send(timeout=timeout)
    assert about(response) == (200, b"ok")
    assert (response.headers["x-id"], response.reason_phrase, response.elapsed) == ("1", "OK", 0.75)
    assert (response.url, response.request.url) == (URL, URL)
    assert network.wire.written == REQUEST
    network.warm()
    assert len(network.wires) == 1
    assert network.ways == [("http://a.test", None, timeout.total if way == "new" else None)]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("way", WAYS)
def test_a_response_without_a_body_ends_with_its_head(
    network: Http1Network, way: str, method: str, status: int
) -> None:
    network.prepared(way)
    network.at(0.5, HEAD.replace(b"200", b"%d" % status))
    assert about(network.send(method)) == (status, b"")
    network.warm()
    assert len(network.wires) == 1


CODED = gzip.compress(b"content", mtime=0)


def coded(content: bytes, codings: str = "gzip") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize("codings", ["gzip", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"])
def test_a_coded_body_is_decoded(network: Http1Network, way: str, timeout: Timeout, codings: str) -> None:
    """Of several fields that name codings, too; as it came where the request says so."""
    network.prepared(way)
    content = CODED if codings == "gzip" else gzip.compress(CODED, mtime=0)
    for decompress, expected in ((None, b"content"), (False, content)):
        network.at(0.5, coded(content, codings))
        assert about(network.send(timeout=timeout, decompress=decompress)) == (200, expected)
    assert len(network.wires) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk" * 5, "the response's gzip content is corrupt"),
        (CODED[:-4], "the response's gzip content is cut short"),
    ],
    ids=["corrupt", "cut short"],
)
def test_a_body_that_cannot_be_decoded_is_in_its_error(
    network: Http1Network, way: str, timeout: Timeout, content: bytes, message: str
) -> None:
    """As it arrived, with what came after the fault. The connection serves the next exchange."""
    network.prepared(way)
    response = coded(content)
    network.at(0.2, response[:-4])
    network.at(0.3, response[-4:])
    failure = network.send(timeout=timeout)
    assert (failure.error_type, failure.sent_state) == (errors.DecodingError, SentState.ANSWERED)
    assert failure.message.startswith(message)
    received = failure.details["response"]
    assert about(received) == (200, content)
    assert (received.headers["content-encoding"], received.elapsed) == ("gzip", pytest.approx(0.3))
    network.warm()
    assert len(network.wires) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize("is_coded", [False, True])
def test_a_body_has_a_limit(
    monkeypatch: pytest.MonkeyPatch, way: str, timeout: Timeout, is_coded: bool
) -> None:
    """Of its decoded bytes."""
    network = Http1Network(monkeypatch, max_response_size=10)
    network.prepared(way)
    for size in (10, 11):
        content = b"x" * size
        sent = (
            coded(gzip.compress(content)) if is_coded else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
        )
        network.at(0.1, sent if is_coded else sent % (size, content))
        outcome = network.send(timeout=timeout)
        if size == 10:
            assert about(outcome) == (200, content)
    assert (outcome.error_type, outcome.sent_state) == (errors.ResponseTooLargeError, SentState.ANSWERED)
    network.close()


@pytest.mark.parametrize(
    ("response", "fields", "is_kept"),
    [
        (OK, {}, True),
        (OK, {"Connection": "close"}, False),
        (OK, {"Connection": "x"}, True),
        (OK.replace(b"X-Id: 1", b"Connection: close"), {}, False),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), {}, False),
        (OK.replace(b"X-Id: 1", b"Keep-Alive: timeout=5"), {}, True),
        (OK.replace(b"X-Id: 1", b"Keep-Alive: timeout=5, max=0"), {}, False),
    ],
    ids=["kept", "asked to close", "an option", "closes", "HTTP/1.0", "a hint", "the last one"],
)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
def test_a_connection_is_kept_if_both_sides_keep_it(
    network: Http1Network, timeout: Timeout, response: bytes, fields: dict[str, str], is_kept: bool
) -> None:
    network.at(0.1, response)
    assert about(network.send(timeout=timeout, headers=fields)) == (200, b"ok")
    assert network.wire.is_aborted is not is_kept


@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
def test_the_session_of_tls_is_kept_with_the_first_head(network: Http1Network, timeout: Timeout) -> None:
    """Its body may have no end."""
    kept: list[float] = []
    resumption: Any = type("Resumption", (), {"keep": lambda self: kept.append(network.now)})()
    network.made = lambda: setattr(network.wire.connection, "resumption", resumption)
    network.at(0.1, CHUNKED)
    network.at(0.2, b"0\r\n\r\n")
    network.send(timeout=timeout)
    assert kept == [0.1]


def test_a_tolerated_fault_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the origin whose response it is of."""
    caplog.set_level("INFO")
    rule = "space-before-colon"
    network = Http1Network(monkeypatch, parser=ParserSettings(tolerated=frozenset({rule})))
    network.at(0.1, OK.replace(b"Id:", b"Id :"))
    assert about(network.send(timeout=Timeout(read=1.0))) == (200, b"ok")
    network.close()
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == ["http://a.test"]


# Limits.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("timeout", "acts", "error", "message", "at"),
    [
        (Timeout(total=2.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0), [(1.5, HEAD)], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0), [(1.5, CHUNKED)], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(read=2.0), [(1.5, HEAD[:9])], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.5),
        (Timeout(read=2.0), [(1.5, HEAD)], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.5),
        (
            Timeout(read=2.0), [(1.5, CHUNKED), (2.5, b"0"), (3.2, b"0")],
            "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.5,
        ),
        (Timeout(total=2.0, read=3.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=3.0, read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(first_byte=2.0), [], "ReadTimeoutError", f"{READ}: no first byte within 2 s", 2.0),
        (
            Timeout(first_byte=2.0), [(1.5, b"HTTP/1.1 103 Hints\r\n\r\n")],
            "ReadTimeoutError", f"{READ}: no first byte within 2 s", 2.0,
        ),
        (
            Timeout(first_byte=2.0, between=3.0), [(1.5, HEAD)],
            "ReadTimeoutError", f"{READ}: nothing arrived for 3 s", 4.5,
        ),
        (Timeout(read=9.0, between=3.0), [(1.5, HEAD)], "ReadTimeoutError", f"{READ}: nothing arrived for 3 s", 4.5),
    ],
)  # fmt: skip
def test_each_limit_ends_an_exchange_in_time(
    network: Http1Network, way: str, timeout: Timeout, acts: Any, error: str, message: str, at: float
) -> None:
    """And says so. The connection is closed."""
    network.connecting = 1.0
    began = network.prepared(way)
    network.connecting = waits = 0.0 if way == "idle" or timeout.total else 1.0
    for seconds, data in acts:
        network.at(waits + seconds, data)
    assert told(network.send(timeout=timeout)) == (error, message, MAYBE)
    assert network.now - began == pytest.approx(waits + at)
    assert network.wire.is_aborted


@pytest.mark.parametrize(
    ("timeout", "within", "message", "at"),
    [
        (Timeout(connect=2.0), 2.0, "could not connect to http://a.test within the connect timeout", 2.0),
        (Timeout(total=2.0), 2.0, "could not connect to http://a.test in time", 2.0),
        (Timeout(total=2.0, connect=3.0), 2.0, "could not connect to http://a.test in time", 2.0),
        (Timeout(total=3.0, connect=2.0), 2.0, "could not connect to http://a.test within the connect timeout", 2.0),
    ],
)  # fmt: skip
def test_connecting_has_its_limits(
    network: Http1Network, timeout: Timeout, within: float, message: str, at: float
) -> None:
    """Nothing was sent, and a connection that is made too late is closed."""
    network.connecting = 9.0
    assert told(network.send(timeout=timeout)) == ("ConnectTimeoutError", message, NEVER)
    assert network.now == pytest.approx(at)
    assert network.ways == [("http://a.test", None, within)]
    assert network.wires == []


# Responses that are left open.


@pytest.mark.parametrize(
    ("status", "is_open"), [(200, True), (299, True), (300, False), (404, False), (500, False)]
)
def test_the_body_of_a_success_is_left_open(network: Http1Network, status: int, is_open: bool) -> None:
    """That of any other response is read."""
    network.connecting = 1.0
    network.at(1.5, OK.replace(b"200", b"%d" % status)[:-2])
    network.at(2.0, b"ok")
    response = network.open()
    assert isinstance(response, OpenResponse) is is_open
    assert (response.status_code, response.headers["x-id"], response.elapsed) == (
        status,
        "1",
        1.5 if is_open else 2.0,
    )
    if is_open:
        assert response.waited == 0.5
        for piece in (b"ok", b"", b""):
            assert network.run(response.source.read_async(Timeout())) == piece
        response.source.close()
    assert not network.wire.is_aborted


def test_a_body_that_is_left_before_its_end_closes_its_connection(network: Http1Network) -> None:
    """A later read says so."""
    network.at(0.5, HEAD + b"o")
    response = network.open()
    assert network.run(response.source.read_async(Timeout())) == b"o"
    for _ in range(2):
        response.source.close()
    assert network.wire.is_aborted
    assert told(network.run(response.source.read_async(Timeout())))[0::2] == ("ConnectionLostError", MAYBE)


@pytest.mark.parametrize(
    ("timeout", "error", "message", "at"),
    [
        (Timeout(read=2.0), "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=3.0), "AttemptTimeoutError", f"{TOTAL} 3 s", 3.0),
        (Timeout(total=3.0, read=2.0), "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=2.0, read=3.0), "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0, read=2.0), "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
    ],
)
@pytest.mark.parametrize("waits", [0.0, 50.0])
def test_each_read_of_an_open_body_has_its_limits(
    network: Http1Network, timeout: Timeout, error: str, message: str, at: float, waits: float
) -> None:
    """From its own beginning: the time between two reads, and the exchange's own limits, do not count."""
    network.at(0.5, CHUNKED + b"3\r\nabc\r\n")
    response = network.open(timeout=Timeout(total=1.0))
    assert network.run(response.source.read_async(timeout)) == b"abc"
    network.run(asyncio.sleep(waits))
    began = network.now
    network.at(1.0, b"0")
    assert told(network.run(response.source.read_async(timeout))) == (error, message, MAYBE)
    assert network.now - began == pytest.approx(at)
    response.source.close()


# Redirects that are followed.


@pytest.mark.parametrize(
    ("timeout", "ends_at", "size", "content", "at"),
    [
        (Timeout(), 1.4, 5, b"xxxxx", 1.4),
        (Timeout(), 1.6, 5, b"", 1.5),
        (Timeout(), None, 5, b"", 1.5),
        (Timeout(total=2.0), 1.2, 5, b"xxxxx", 1.2),
        (Timeout(total=2.0), 1.3, 5, b"", 1.25),
        (Timeout(total=9.0), 1.6, 5, b"", 1.5),
        (Timeout(first_byte=1.0, between=0.1), 1.4, 5, b"xxxxx", 1.4),
        (Timeout(), 1.4, 64 * 1024, b"x" * 64 * 1024, 1.4),
        (Timeout(), 1.4, 64 * 1024 + 1, b"", 1.0),
    ],
    ids=[
        "in time", "too late", "never", "half of what is left", "more than half", "much is left", "other limits", "large", "too large",
    ],
)  # fmt: skip
def test_the_body_of_a_redirect_is_not_waited_for_long(
    network: Http1Network, timeout: Timeout, ends_at: float | None, size: int, content: bytes, at: float
) -> None:
    """A second, or half of what is left. Its Location counts; a connection with more of it is closed."""
    network.at(0.5, b"HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n")
    network.at(1.0, b"%x\r\n%b\r\n" % (size, b"x" * size))
    if ends_at is not None:
        network.at(ends_at, b"0\r\n\r\n")
    assert about(network.send(timeout=timeout, follows=True)) == (302, content)
    assert network.now == pytest.approx(at)
    assert network.wire.is_aborted is not content


def test_the_body_of_a_redirect_that_ends_with_its_connection_is_not_read(network: Http1Network) -> None:
    """It may have no end."""
    network.at(0.5, b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\nx")
    assert about(network.send(follows=True)) == (302, b"")
    assert (network.now, network.wire.is_aborted) == (0.5, True)
