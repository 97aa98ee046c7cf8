"""Response parity: the same bytes become the same response, or the same error, sync and async.

Each row of the tables (`table_*.py`) has the bytes of a response and its outcome for the caller: status, reason,
headers, content and text, or the type, message and sent-state of the error; and whether the connection is reused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from http_service_client import HttpServiceClient
from http_service_client.errors import HttpClientError, ProtocolError
from http_service_client.http.content_codings.codecs import accept_encoding
from http_service_client.testing.server import LoopbackServer, raw, respond
from kit.front_ends import FRONT_ENDS, FrontEnd
from wire.responses import table_bodies, table_connections, table_contents, table_heads
from wire.responses.rows import IN_CHUNKS, Read, Rejected, Row
from wire.responses.table_bodies import LOST

TABLES = {
    "status line": table_heads.STATUS_LINES,
    "field": table_heads.FIELDS,
    "size": table_heads.SIZES,
    "length": table_bodies.LENGTHS,
    "chunks": table_bodies.CHUNKS,
    "no body": table_bodies.BODILESS,
    "cut": table_bodies.TRUNCATIONS,
    "coding": table_contents.CODINGS,
    "bomb": table_contents.BOMBS,
    "charset": table_contents.CHARSETS,
    "interim": table_connections.INTERIM,
    "keep-alive": table_connections.KEEP_ALIVE,
    "surplus": table_connections.SURPLUS,
}
ROWS = [pytest.param(row, id=f"{table}: {row}") for table, rows in TABLES.items() for row in rows]


@pytest.fixture(scope="module", params=FRONT_ENDS, ids=lambda kind: kind.name)
def front_end(request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    """Each front end, once for the whole table."""
    with request.param() as front_end:
        yield front_end


def result(front_end: FrontEnd, client: HttpServiceClient, method: str, url: str) -> Read | Rejected:
    """The response or the error that a caller gets."""
    try:
        response = front_end.request(client, method, url, allow_redirects=False)
    except HttpClientError as error:
        name, sent = type(error).__name__, error.sent_state.value
        if isinstance(error, ProtocolError):
            return Rejected(name, "", sent, error.rule, error.offset)
        return Rejected(name, str(error).replace(url, "URL"), sent)
    return Read(
        response.status_code,
        response.reason_phrase,
        tuple(response.headers.multi_items()),
        response.content,
        response.text,
    )


@pytest.mark.parametrize("row", ROWS)
def test_both_front_ends_read_the_same(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, row: Row
) -> None:
    """Each gives the outcome of the row, and reuses the connection as the row says."""
    if row.needs and row.needs not in accept_encoding():
        pytest.skip(f"no library for {row.needs} is installed")
    server.script("/next", respond(204))
    for pause in (0.01, 0.5):  # a busy machine may deliver two pieces as one
        server.script("/", raw(*row.pieces, every=pause, close=row.closes))
        outcome = result(front_end, client, row.method, server.url + "/")
        if outcome == row.outcome or len(row.pieces) == 1:
            break
    assert outcome == row.outcome
    if row.closes:
        assert server.wait_for(lambda: server.open_connections == 0)
    elif len(row.pieces) > 1:  # the last piece arrives
        time.sleep(2 * pause if row.is_reused is not False else 0.2 + pause)
    assert result(front_end, client, "GET", server.url + "/next") == Read(204, "No Content", (), b"", "")
    first, second = server.requests[-2:]
    assert (first.path, second.path) == ("/", "/next")
    assert row.is_reused in (None, first.connection == second.connection)
    assert server.wait_for(lambda: server.open_connections == 1), (
        "the client keeps a connection that it will not use"
    )


WHOLE = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("length", range(len(WHOLE) + 1))
def test_a_response_may_be_cut_anywhere(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, length: int
) -> None:
    """A response that ends before its last byte is cut short; if it had not begun, the connection is lost."""
    server.script("/", raw(WHOLE[:length]))
    if length == len(WHOLE):
        expected: Read | Rejected = Read(200, "OK", IN_CHUNKS, b"hi", "hi")
    elif length in (0, WHOLE.index(b"HTTP/1.1 200")):
        expected = Rejected("ConnectionLostError", LOST, "maybe_processed")
    else:
        expected = Rejected("ProtocolError", "", "maybe_processed", "cut-short", length)
    assert result(front_end, client, "GET", server.url + "/") == expected
    assert server.wait_for(lambda: server.open_connections == 0)


def test_the_names_of_the_rows_are_unique() -> None:
    """And no table has been left out: there are at least 300 rows."""
    assert len(ROWS) >= 300
    assert len({parameter.id for parameter in ROWS}) == len(ROWS)
