"""Whatever a server sends, both front ends give the same response or the same error of ours, and at once.

The responses are those of the tables, mutated at random: bytes are removed, inserted, changed or repeated, or the end
is cut off. Bodies of stacked codings are mutated in the same way.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import HttpServiceClient
from http_service_client.errors import HttpClientError, ProtocolError, RequestTimeoutError
from http_service_client.http.content_codings.decoder import Decoder
from http_service_client.testing.server import LoopbackServer, raw
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.hooks import HookedFrontEnd
from wire.responses.table_contents import BROTLI, GZIP, RAW_DEFLATE, ZLIB, ZSTD, coded
from wire.responses.test_response_parity import TABLES

LIMIT = 3000
RESPONSES = sorted({b"".join(row.pieces) for rows in TABLES.values() for row in rows} - {b""})
RESPONSES = [response for response in RESPONSES if len(response) < 1000]

BYTES = st.binary(min_size=1, max_size=1) | st.sampled_from([bytes([byte]) for byte in b'\r\n\t :,;"0aH/'])


@st.composite
def mutated(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """One of these, with up to three mutations."""
    data = draw(sources)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 20)))
        kind = draw(st.sampled_from(["remove", "insert", "change", "repeat", "cut off"]))
        if kind == "remove":
            data = data[:at] + data[until:]
        elif kind == "insert":
            data = data[:at] + draw(BYTES) + data[at:]
        elif kind == "change":
            data = data[:at] + draw(BYTES) + data[at + 1 :]
        elif kind == "repeat":
            data = data[:until] + data[at:]
        else:
            data = data[:at]
    return data


def joined(responses: list[bytes]) -> bytes:
    """Several responses in a row."""
    return b"".join(responses)


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    """One server for all examples."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="module")
def callers() -> Iterator[list[tuple[FrontEnd, HttpServiceClient]]]:
    """Both front ends, and blocking calls through requests, each with a client that makes one attempt."""
    settings = {"enable_retry_policy": False, "enable_circuit_breaker": False, "base_timeout": 10.0}
    with BlockingFrontEnd() as blocking, AsyncioFrontEnd() as asynchronous, HookedFrontEnd() as hooked:
        yield [
            (front_end, front_end.client(max_response_size=LIMIT, **settings))
            for front_end in (blocking, asynchronous, hooked)
        ]


def outcome(front_end: FrontEnd, client: HttpServiceClient, method: str, url: str) -> tuple[object, ...]:
    """The response or the error that a caller gets. Any error but ours passes through."""
    try:
        response = front_end.request(client, method, url, allow_redirects=False)
    except HttpClientError as error:
        if isinstance(error, RequestTimeoutError):  # the server has closed: there is nothing to wait for
            raise AssertionError("the client hangs") from error
        rule = (error.rule, error.offset, error.excerpt) if isinstance(error, ProtocolError) else ()
        return (type(error), error.sent_state, *rule)
    fields = response.headers.multi_items()
    return (response.status_code, response.reason_phrase, fields, response.content, response.text)


@given(
    data=mutated(
        st.sampled_from(RESPONSES) | st.lists(st.sampled_from(RESPONSES), min_size=2, max_size=3).map(joined)
    ),
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
)
@settings(max_examples=150)
def test_both_front_ends_read_a_mutated_response_alike(
    server: LoopbackServer, callers: list[tuple[FrontEnd, HttpServiceClient]], data: bytes, method: str
) -> None:
    """A mutated response has the same outcome in both, and through requests."""
    server.script("/", raw(data))
    results = []
    for front_end, client in callers:
        results.append(outcome(front_end, client, method, server.url + "/"))
        # Otherwise the next request might use a connection that is being closed.
        assert server.wait_for(lambda: server.open_connections == 0)
    assert results[0] == results[1] == results[2]


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "identity": bytes,
}


@st.composite
def stacked(draw: st.DrawFn) -> tuple[str, bytes]:
    """Data with up to four codings, and a Content-Encoding that may be wrong; the result may be mutated."""
    names = draw(st.lists(st.sampled_from(sorted(CODERS)), min_size=1, max_size=4))
    data = draw(
        st.binary(max_size=50) | st.sampled_from([GZIP, ZLIB, RAW_DEFLATE, BROTLI, ZSTD, bytes(5000)])
    )
    data = reduce(lambda inner, name: CODERS[name](inner), names, data)
    wrong = draw(st.sampled_from([[]] * 5 + [["br"], ["zstd"], ["rot13"], ["gzip"]]))
    return ", ".join(names + wrong), draw(mutated(st.just(data)))


def decoded(coding: str, pieces: list[bytes], limit: int | None = None) -> bytes | type[HttpClientError]:
    decoder = Decoder(coding, limit)
    try:
        return b"".join([*map(decoder.feed, pieces), decoder.finish()])
    except HttpClientError as error:
        return type(error)


@given(body=stacked(), at=st.lists(st.integers(0, 100), max_size=5))
def test_where_a_coded_body_is_cut_makes_no_difference(body: tuple[str, bytes], at: list[int]) -> None:
    """The content or the error is the same in one piece, in several pieces and byte by byte."""
    coding, data = body
    edges = [0, *sorted(min(edge, len(data)) for edge in at), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    whole = decoded(coding, [data])
    assert decoded(coding, pieces) == whole
    assert decoded(coding, [data[index : index + 1] for index in range(len(data))]) == whole


@given(body=stacked())
@settings(max_examples=50)
def test_both_front_ends_decode_a_mutated_body_alike(
    server: LoopbackServer, callers: list[tuple[FrontEnd, HttpServiceClient]], body: tuple[str, bytes]
) -> None:
    """A mutated body in valid framing has the same content, or the same error with the same message."""
    coding, data = body
    server.script("/", raw(coded(coding, data), close=False))
    results = []
    for front_end, client in callers:
        try:
            results.append(front_end.request(client, "GET", server.url + "/").content)
        except HttpClientError as error:
            results.append((type(error), str(error), error.sent_state))
    assert results[0] == results[1]
    expected = decoded(coding, [data], LIMIT)
    assert expected in (results[0], results[0][0] if isinstance(results[0], tuple) else None)
