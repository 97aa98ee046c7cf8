"""Whatever a server sends, both worlds make the same of it: a response or one of our errors, and at once.

The answers are those of the tables, bent by chance: bytes lost, put in, changed or said twice, the end cut off;
and bodies of stacked codings, bent alike. An answer with two faults may be told by either of them, for a parser
that reads bytes as they come finds another first than one that reads lines: all ProtocolErrors count as one.
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
from wire.responses.table_contents import BROTLI, GZIP, RAW_DEFLATE, ZLIB, ZSTD, coded
from wire.responses.test_response_parity import TABLES, pytestmark  # noqa: F401  # the same aiohttp is needed

LIMIT = 3000
ANSWERS = sorted({b"".join(row.pieces) for rows in TABLES.values() for row in rows} - {b""})
ANSWERS = [answer for answer in ANSWERS if len(answer) < 1000]

# No NUL: where it stands in the last trailer, which nobody reads, only one world refuses it.
TELLING = st.binary(min_size=1, max_size=1) | st.sampled_from([bytes([byte]) for byte in b'\r\n\t :,;"0aH/'])
BYTES = TELLING.filter(lambda byte: byte != b"\0")


@st.composite
def bent(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """One of these, with up to three things done to it."""
    data = draw(sources)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 20)))
        kind = draw(st.sampled_from(["lose", "put in", "change", "say twice", "cut off"]))
        if kind == "lose":
            data = data[:at] + data[until:]
        elif kind == "put in":
            data = data[:at] + draw(BYTES) + data[at:]
        elif kind == "change":
            data = data[:at] + draw(BYTES) + data[at + 1 :]
        elif kind == "say twice":
            data = data[:until] + data[at:]
        else:
            data = data[:at]
    return data


def joined(answers: list[bytes]) -> bytes:
    """Several in a row."""
    return b"".join(answers)


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="module")
def callers() -> Iterator[list[tuple[FrontEnd, HttpServiceClient]]]:
    """Both worlds, each with a client that tries once."""
    settings = {"enable_retry_policy": False, "enable_circuit_breaker": False, "base_timeout": 10.0}
    with BlockingFrontEnd() as blocking, AsyncioFrontEnd() as tasks:
        yield [
            (front_end, front_end.client(max_response_size=LIMIT, **settings))
            for front_end in (blocking, tasks)
        ]


def outcome(front_end: FrontEnd, client: HttpServiceClient, method: str, url: str) -> tuple[object, ...]:
    """What a caller is told. Anything but a response and our errors comes through."""
    try:
        response = front_end.request(client, method, url, allow_redirects=False)
    except HttpClientError as error:
        if isinstance(error, RequestTimeoutError):  # the server has hung up: there is nothing to wait for
            raise AssertionError("a hang") from error
        kind = ProtocolError if isinstance(error, ProtocolError) else type(error)
        return (kind, error.sent_state)
    fields = response.headers.multi_items()
    return (response.status_code, response.reason_phrase, fields, response.content, response.text)


@given(
    data=bent(
        st.sampled_from(ANSWERS) | st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=3).map(joined)
    ),
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
)
@settings(max_examples=300)
def test_both_worlds_make_the_same_of_it(
    server: LoopbackServer, callers: list[tuple[FrontEnd, HttpServiceClient]], data: bytes, method: str
) -> None:
    """Bent answers."""
    server.script("/", raw(data))
    told = []
    for front_end, client in callers:
        told.append(outcome(front_end, client, method, server.url + "/"))
        # Or else the next request might go out on a connection that is being closed.
        assert server.wait_for(lambda: server.open_connections == 0)
    assert told[0] == told[1]


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "identity": bytes,
}


@st.composite
def stacked(draw: st.DrawFn) -> tuple[str, bytes]:
    """Some data under up to four codings, each of which may be bent."""
    names = draw(st.lists(st.sampled_from(sorted(CODERS)), min_size=1, max_size=4))
    data = draw(
        st.binary(max_size=50) | st.sampled_from([GZIP, ZLIB, RAW_DEFLATE, BROTLI, ZSTD, bytes(5000)])
    )
    data = reduce(lambda inner, name: CODERS[name](inner), names, data)
    lie = draw(st.sampled_from([[]] * 5 + [["br"], ["zstd"], ["rot13"], ["gzip"]]))
    return ", ".join(names + lie), draw(bent(st.just(data)))


def decoded(coding: str, pieces: list[bytes], limit: int | None = None) -> bytes | type[HttpClientError]:
    decoder = Decoder(coding, limit)
    try:
        return b"".join([*map(decoder.feed, pieces), decoder.finish()])
    except HttpClientError as error:
        return type(error)


@given(body=stacked(), at=st.lists(st.integers(0, 100), max_size=5))
def test_where_a_coded_body_is_cut_makes_no_difference(body: tuple[str, bytes], at: list[int]) -> None:
    """The same content or the same error, in one piece, in several, and in bytes."""
    coding, data = body
    edges = [0, *sorted(min(edge, len(data)) for edge in at), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    whole = decoded(coding, [data])
    assert decoded(coding, pieces) == whole
    assert decoded(coding, [data[index : index + 1] for index in range(len(data))]) == whole


@given(body=stacked())
@settings(max_examples=50)
def test_both_worlds_decode_alike(
    server: LoopbackServer, callers: list[tuple[FrontEnd, HttpServiceClient]], body: tuple[str, bytes]
) -> None:
    """Bent codings in a sound frame; the words of the error are the same too."""
    coding, data = body
    server.script("/", raw(coded(coding, data), close=False))
    told = []
    for front_end, client in callers:
        try:
            told.append(front_end.request(client, "GET", server.url + "/").content)
        except HttpClientError as error:
            told.append((type(error), str(error), error.sent_state))
    assert told[0] == told[1]
    expected = decoded(coding, [data], LIMIT)
    assert expected in (told[0], told[0][0] if isinstance(told[0], tuple) else None)
