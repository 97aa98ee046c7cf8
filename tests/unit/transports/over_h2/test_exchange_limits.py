"""The limits of one exchange over HTTP/2, in virtual time: which of them ended it, and when."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from http_service_client.core.timeouts import Timeout
from kit.http2_exchanges import MAYBE, NEVER, READ, TOTAL, WINDOW, WRITE, about, told
from kit.http2_frames import data, head, ping, window
from kit.http2_network import Http2Network


@pytest.mark.parametrize(
    ("timeout", "acts", "error", "message", "at"),
    [
        (Timeout(read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(read=2.0), [(1.5, head(1, 103))], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(first_byte=1.0, read=2.0), [], "ReadTimeoutError", f"{READ}: no first byte within 1 s", 1.0),
        (Timeout(first_byte=3.0, read=2.0), [], "ReadTimeoutError", f"{READ}: no first byte within 3 s", 3.0),
        (Timeout(total=3.0), [], "AttemptTimeoutError", f"{TOTAL} 3 s", 3.0),
        (Timeout(total=3.0, read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=2.0, read=3.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0, read=2.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(read=2.0), [(1.0, head(1))], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.0),
        (
            Timeout(read=2.0),
            [(1.0, head(1)), (2.5, data(1, b"x")), (4.0, data(1, b"x"))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 2 s",
            6.0,
        ),
        (
            Timeout(first_byte=3.0, read=2.0),
            [(2.5, head(1))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 2 s",
            4.5,
        ),
        (
            Timeout(between=1.0, read=2.0),
            [(1.5, head(1))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 1 s",
            2.5,
        ),
        (
            Timeout(total=3.0, read=2.0),
            [(0.5, head(1)), (1.0, data(1, b"x")), (2.0, data(1, b"x"))],
            "AttemptTimeoutError",
            f"{TOTAL} 3 s",
            3.0,
        ),
        (Timeout(read=2.0), [(1.0, head(1)), (2.0, ping())], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.0),
    ],
)  # fmt: skip
def test_the_limits_of_a_response(
    network: Http2Network, timeout: Timeout, acts: list[Any], error: str, message: str, at: float
) -> None:
    """Each wait has its own, and `total` is over all of them. The stream is reset."""
    for when, frame in acts:
        network.at(when, frame)
    assert told(network.send(timeout=timeout)) == (error, message, MAYBE)
    assert network.now == pytest.approx(at)
    assert "RST_STREAM 1 CANCEL" in network.server.sent()


@pytest.mark.parametrize(
    ("timeout", "message", "at"),
    [
        (Timeout(connect=2.0), "could not connect to https://a.test within the connect timeout", 2.0),
        (Timeout(total=2.0), "could not connect to https://a.test in time", 2.0),
        (
            Timeout(total=3.0, connect=2.0),
            "could not connect to https://a.test within the connect timeout",
            2.0,
        ),
        (Timeout(total=2.0, connect=3.0), "could not connect to https://a.test in time", 2.0),
    ],
)
def test_the_limits_of_connecting(network: Http2Network, timeout: Timeout, message: str, at: float) -> None:
    """Nothing was sent."""
    network.connecting = 9.0
    assert told(network.send(timeout=timeout)) == ("ConnectTimeoutError", message, NEVER)
    assert network.now == pytest.approx(at)


def test_the_time_of_connecting_counts(network: Http2Network) -> None:
    """In the whole, not in the wait for the first byte."""
    network.connecting = 3.0
    network.at(4.0, head(1))
    network.at(4.75, data(1, b"ok", ends=True))
    response = network.send(timeout=Timeout(first_byte=2.0, total=5.0))
    assert (about(response), response.elapsed) == ((200, b"ok"), 4.75)
    assert told(network.send(timeout=Timeout(first_byte=0.5)))[1] == f"{READ}: no first byte within 0.5 s"
    assert network.now == pytest.approx(5.25)


@pytest.mark.parametrize(
    ("timeout", "acts", "error", "message", "at"),
    [
        (Timeout(write=2.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, read=1.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, total=3.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, total=1.0), [], "AttemptTimeoutError", f"{TOTAL} 1 s", 1.0),
        (Timeout(total=1.0), [], "AttemptTimeoutError", f"{TOTAL} 1 s", 1.0),
        (Timeout(write=2.0), [(1.0, window(0, 1) + window(1, 1))], "WriteTimeoutError", f"{WRITE} 2 s", 3.0),
        (Timeout(write=2.0), [(1.5, window(0, 5))], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0), [(1.0, head(1))], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
    ],
)  # fmt: skip
def test_the_limits_of_an_upload(
    network: Http2Network, timeout: Timeout, acts: list[Any], error: str, message: str, at: float
) -> None:
    """The longest time in which nothing more is accepted. What happens else is no progress."""
    for when, frames in acts:
        network.at(when, frames)
    assert told(network.send("POST", timeout, data=b"x" * 100_000)) == (error, message, MAYBE)
    assert network.now == pytest.approx(at)
    assert network.server.sent()[-1] in ("RST_STREAM 1 CANCEL", "GOAWAY 0 NO_ERROR")


def test_the_wait_for_the_first_byte_begins_when_the_request_was_sent(network: Http2Network) -> None:
    """An upload may take longer."""
    network.at(3.0, window(0, 99), window(1, 10))
    network.at(4.5, head(1))
    response = network.open("POST", Timeout(first_byte=2.0), data=b"x" * (WINDOW + 10))
    assert response.waited == 1.5
    response.source.close()
    failure = network.send("POST", Timeout(first_byte=2.0), data=b"x")
    assert told(failure)[1] == f"{READ}: no first byte within 2 s"
    assert network.now == pytest.approx(6.5)
