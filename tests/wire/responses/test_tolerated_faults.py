"""Faults of a server that the client tolerates: by name, with one way to go on, and on a connection that is closed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from http_service_client import ProtocolError
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import RULES, TOLERABLE
from http_service_client.testing.server import LoopbackServer, raw
from kit.front_ends import FRONT_ENDS, FrontEnd
from kit.rows import each_row
from wire.responses.rows import CHUNKED, LENGTH_2, OK, TWO

Fields = tuple[tuple[str, str], ...]

CHUNK_FIELDS = (("Transfer-Encoding", "chunked"),)
# The rule that the bytes break, and the fields that are read if it is tolerated. The content is "hi".
TOLERATED: dict[str, tuple[str, bytes, Fields]] = {
    "lower case": ("unknown-version", b"http/1.1 200 OK\r\n" + TWO, LENGTH_2),
    "a later version": ("unknown-version", b"HTTP/1.2 200 OK\r\n" + TWO, LENGTH_2),
    "half a version": ("unknown-version", b"HTTP/2 200\r\n" + TWO, LENGTH_2),
    "text for a header": ("invalid-header-name", OK + b"X-XSS-Protection=1;\r\n" + TWO, LENGTH_2),
    "a name alone": ("missing-colon", OK + b"Garbage\r\nX: y\r\n" + TWO, (("X", "y"), *LENGTH_2)),
    "words alone": ("missing-colon", OK + b"Some words\r\n" + TWO, LENGTH_2),
    "a skipped line that is folded": ("missing-colon", OK + b"A: b\r\nGarbage\r\n c\r\n" + TWO, (("A", "b"), *LENGTH_2)),
    "a space": ("space-before-colon", OK + b"X : y\r\n" + TWO, (("X", "y"), *LENGTH_2)),
    "spaces and tabs": ("space-before-colon", OK + b"X \t :y\r\n" + TWO, (("X", "y"), *LENGTH_2)),
    "a space within a name": ("invalid-header-name", OK + b"X Y: z\r\n" + TWO, LENGTH_2),
    "no name": ("invalid-header-name", OK + b": z\r\n" + TWO, LENGTH_2),
    "a bracket in a name": ("invalid-header-name", OK + b"X(: z\r\n y\r\n" + TWO, LENGTH_2),
    "a first line that is folded": ("space-before-first-header", OK + b" X: y\r\n\tZ: z\r\n" + TWO, LENGTH_2),
    "NUL": ("nul-in-value", OK + b"X: a\0b\0\r\n" + TWO, (("X", "a b"), *LENGTH_2)),
    "NUL in a folded line": ("nul-in-value", OK + b"X: a\r\n b\0c\r\n" + TWO, (("X", "a b c"), *LENGTH_2)),
    "a length twice": ("repeated-content-length", OK + b"Content-Length: 2\r\n" + TWO, LENGTH_2),
    "a length thrice": ("repeated-content-length", OK + b"content-length: 2\r\n" * 2 + TWO, (("content-length", "2"),)),
    "a list of lengths": ("repeated-content-length", OK + b"Content-Length: 2, 2 ,02\r\n\r\nhi", LENGTH_2),
    "a size that ends in LF": ("bare-lf-in-chunks", CHUNKED + b"2\nhi\r\n0\r\n\r\n", CHUNK_FIELDS),
    "chunks that end in LF": ("bare-lf-in-chunks", CHUNKED + b"1;a\nh\n1\ni\n0\n\n", CHUNK_FIELDS),
    "a trailer without a colon": ("missing-colon", CHUNKED + b"2\r\nhi\r\n0\r\nX\r\n\r\n", CHUNK_FIELDS),
}  # fmt: skip

# With every fault tolerated, still refused by this rule.
REFUSED = {
    "lengths that differ": ("conflicting-content-length", OK + b"Content-Length: 3\r\n" + TWO),
    "a list of lengths that differ": ("conflicting-content-length", OK + b"Content-Length: 2, 3\r\n\r\nhi"),
    "chunks and a length": ("length-and-transfer-encoding", CHUNKED[:-2] + TWO),
    "chunks and two lengths": ("length-and-transfer-encoding", CHUNKED[:-2] + b"Content-Length: 2\r\n" + TWO),
    "a length with a space": ("space-before-colon", OK + b"Content-Length : 2\r\n\r\nhi"),
    "a coding with a tab": ("space-before-colon", OK + b"Transfer-Encoding\t: chunked\r\n" + TWO),
    "a coding without a colon": ("missing-colon", OK + b"Transfer-Encoding chunked\r\n" + TWO),
    "a coding of bad characters": ("invalid-header-name", OK + b"Transfer(-Encoding: chunked\r\n" + TWO),
    "a coding of two words": ("invalid-header-name", OK + b"Transfer -Encoding: chunked\r\n" + TWO),
    "a coding that is folded": ("space-before-first-header", OK + b" Transfer-Encoding: chunked\r\n" + TWO),
    "NUL in a coding": ("nul-in-value", OK + b"Transfer-Encoding: chunked\0\r\n" + TWO),
    "a coding far to the right": ("space-before-first-header", OK + b"\t" * 300 + b"Transfer-Encoding: chunked\r\n" + TWO),
    "a coding after a skipped line": ("missing-colon", OK + b"A: b\r\nX\r\n Transfer-Encoding: chunked\r\n" + TWO),
    "a length that is skipped and folded": (
        "folded-framing-header", OK + b"Content-Length: 2\r\nX: y\r\nContent-Length: 2\r\n 3\r\n\r\nhi",
    ),
    "CR in a skipped line": ("bare-cr", OK + b"X Y: a\rContent-Length: 9\r\n" + TWO),
    "CR in a skipped line without a colon": ("bare-cr", OK + b"some words\rX\r\n" + TWO),
    "CR at the end of a skipped line": ("bare-cr", OK + b"X Y: a\r\r\n" + TWO),
    "CR in a first line that is folded": ("bare-cr", OK + b" a\rContent-Length: 9\r\n" + TWO),
    "CR in a folded line that is skipped": ("bare-cr", OK + b"X Y: a\r\n b\rContent-Length: 9\r\n" + TWO),
    "CR in a value": ("bare-cr", OK + b"X: a\rContent-Length: 9\r\n" + TWO),
    "a bad size after LF": ("invalid-chunk-size", CHUNKED + b"1\nh\nx\n"),
    "no HTTP": ("not-http", b"ICY 200 OK\r\n" + TWO),
    "a status of two digits in lower case": ("unknown-version", b"http/1.1 20 OK\r\n" + TWO),
}  # fmt: skip


@pytest.fixture(scope="module", params=FRONT_ENDS, ids=lambda kind: kind.name)
def front_end(request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    """Each front end."""
    with request.param() as front_end:
        yield front_end


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    """One server for all rows."""
    with LoopbackServer() as server:
        yield server


@pytest.mark.parametrize("name", TOLERATED)
def test_a_fault_is_tolerated_where_its_name_is_set(
    front_end: FrontEnd, server: LoopbackServer, name: str
) -> None:
    """The response is read, its connection serves no other request; without the name, the rule is in the error."""
    rule, data, fields = TOLERATED[name]
    server.script("/", raw(data, close=False))
    with pytest.raises(ProtocolError) as caught:
        front_end.request(front_end.client(enable_retry_policy=False), "GET", server.url + "/")
    assert caught.value.rule == rule
    client = front_end.client(enable_retry_policy=False, tolerated_faults=[rule])
    connections = []
    for _ in range(2):
        response = front_end.request(client, "GET", server.url + "/")
        assert (response.status_code, response.content) == (200, b"hi")
        assert tuple(response.headers.multi_items()) == fields
        connections.append(server.requests[-1].connection)
    assert len(set(connections)) == 2


def outcome(pieces: list[bytes], tolerated: frozenset[str]) -> tuple[object, ...]:
    parser = ResponseParser(ParserSettings(tolerated=tolerated))
    body = b""
    try:
        for piece in [*filter(None, pieces), b""]:
            parser.feed(piece)
            while parser.read_head() is not None and (part := parser.read_body()):
                body += part
    except NotHttpError as error:
        return (error.rule and error.rule.name, error.offset, error.excerpt)
    assert parser.head is not None
    return (list(parser.head), body, parser.head.is_last)


@each_row("name", TOLERATED)
def test_a_tolerated_fault_is_read_alike_wherever_the_bytes_are_cut(name: str) -> None:
    """At every byte."""
    rule, data, fields = TOLERATED[name]
    expected = (list(fields), b"hi", True)
    for cut in range(len(data)):
        assert outcome([data[:cut], data[cut:]], frozenset({rule})) == expected, cut


@each_row("name", REFUSED)
def test_a_fault_with_two_readings_is_never_tolerated(name: str) -> None:
    """With every name set, it is refused, and at the same byte wherever the network cuts."""
    rule, data = REFUSED[name]
    whole = outcome([data], frozenset(TOLERABLE))
    assert whole[0] == rule
    for cut in range(1, len(data)):
        assert outcome([data[:cut], data[cut:]], frozenset(TOLERABLE)) == whole, cut


def test_the_table_has_every_fault_that_may_be_tolerated() -> None:
    """A new one would be untested otherwise."""
    assert {rule for rule, _, _ in TOLERATED.values()} == set(TOLERABLE)


def test_a_tolerated_fault_is_logged_once_for_each_origin(
    front_end: FrontEnd, server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO, with its rule; a fault in the last bytes of the body, too."""
    faults = ["missing-colon", "bare-lf-in-chunks"]
    client = front_end.client(enable_retry_policy=False, tolerated_faults=faults)
    server.script("/", raw(OK + b"Garbage\r\n" + TWO, close=False))
    server.script("/chunks", raw(CHUNKED + b"2\r\nhi\r\n", b"0\n\n", close=False, every=0.01))
    with caplog.at_level(logging.INFO, "http_service_client"):
        for path in ("/", "/", "/chunks", "/chunks"):
            front_end.request(client, "GET", server.url + path)
        other = server.url.replace("127.0.0.1", "localhost")
        front_end.request(client, "GET", other + "/")
    logged = [
        (record.http_key, record.http_rule)  # type: ignore[attr-defined]  # set by the logger
        for record in caplog.records
        if getattr(record, "http_event", "") == "fault_tolerated"
    ]
    assert logged == [
        (server.url, "missing-colon"),
        (server.url, "bare-lf-in-chunks"),
        (other, "missing-colon"),
    ]
    assert RULES["missing-colon"].remedy in caplog.text
