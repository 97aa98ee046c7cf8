"""The Huffman code of heads: the same octets as hpack's, and sooner."""

from __future__ import annotations

import math
import time
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from hpack import NeverIndexedHeaderTuple
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.huffman import HeadEncoder, HuffmanCoder


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        (b"no-cache", "a8eb10649cbf"),
        (b"custom-value", "25a849e95bb8e8b4bf"),
        (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
    ],
)
def test_the_code_is_that_of_the_rfc(text: bytes, octets: str) -> None:
    """RFC 7541, C.4 and C.6."""
    assert HuffmanCoder().encode(text).hex() == octets


@given(st.binary(max_size=300))
def test_the_code_is_that_of_hpack(data: bytes) -> None:
    """Of any bytes, empty ones too."""
    assert HuffmanCoder().encode(data) == HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(data)


@pytest.mark.parametrize("data", [None, b""])
def test_nothing_is_nothing(data: bytes | None) -> None:
    """As in hpack."""
    assert HuffmanCoder().encode(data) == b""


def test_a_head_is_encoded_in_linear_time() -> None:
    """Four times the value takes less than ten times as long, the best of several runs of each; in quadratic time, 16 times."""
    encoder = Http2Connection(Mock(), ParserSettings(), Mock(), Mock(), Mock())._h2.encoder
    assert isinstance(encoder, HeadEncoder)

    def seconds(size: int) -> float:
        started = time.thread_time()
        encoder.encode([NeverIndexedHeaderTuple(b"authorization", b"eyJhbGci" * (size // 8))])
        return time.thread_time() - started

    once = four_times = math.inf
    for run in range(20):
        once, four_times = min(once, seconds(25_000)), min(four_times, seconds(100_000))
        if run >= 2 and four_times < 10 * once + 0.002:  # a clock of low resolution
            return
    pytest.fail(f"it took {once:.4f} s, and {four_times:.4f} s for four times as much")
