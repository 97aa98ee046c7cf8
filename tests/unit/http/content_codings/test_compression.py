"""Compression of request bodies: reversible, deterministic, and left out where it gains nothing."""

from __future__ import annotations

import io
import os

import pytest

from http_service_client.http.bodies.body import EMPTY, RequestBody
from http_service_client.http.bodies.encoding import encode_body
from http_service_client.http.content_codings.compression import compress, may_compress
from http_service_client.http.content_codings.decoder import Decoder


@pytest.mark.parametrize(
    "coding",
    [
        "gzip",
        pytest.param("zstd", marks=pytest.mark.skipif(not may_compress("zstd"), reason="needs zstandard")),
    ],
)
def test_compression_is_deterministic_and_reversible(coding: str) -> None:
    """The same body gives the same bytes, so that retries and signatures match."""
    body = RequestBody(b"abc" * 1000, "text/x")
    packed = compress(body, coding)
    assert packed is not None
    assert packed.content is not None
    assert Decoder(coding, None).feed(packed.content) == body.content
    assert (packed.length, packed.content_type) == (len(packed.content), "text/x")
    again = compress(body, coding)
    assert again is not None
    assert again.content == packed.content


def test_gzip_has_no_time_stamp() -> None:
    """The field MTIME of its header is zero (RFC 1952 2.3.1)."""
    packed = compress(RequestBody(b"abc" * 1000), "gzip")
    assert packed is not None
    assert (packed.content or b"")[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize(
    "body",
    [RequestBody(b"ab"), RequestBody(os.urandom(1000)), EMPTY, encode_body(data=io.BytesIO(b"abc" * 1000))],
)
def test_a_body_that_would_not_get_smaller_is_not_compressed(body: RequestBody) -> None:
    """Short, dense, empty and streamed bodies are sent unchanged."""
    assert compress(body, "gzip") is None
