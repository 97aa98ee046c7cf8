"""While something is hooked into requests, blocking calls read the same responses: they pass through requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, raw
from kit.hooks import HOOKS, HookedFrontEnd
from wire.responses.rows import Row
from wire.responses.test_response_parity import IN_CHUNKS, LOST, TABLES, WHOLE, Read, Rejected, result
from wire.responses.test_tolerated_faults import TOLERATED

ROWS = [row for table in TABLES.values() for row in table if len(row.pieces) == 1 and not row.needs]


@pytest.fixture(scope="module")
def front_end() -> Iterator[HookedFrontEnd]:
    """The blocking front end, through requests."""
    with HookedFrontEnd() as front_end:
        yield front_end


def test_calls_pass_through_requests(
    front_end: HookedFrontEnd, client: HttpServiceClient, server: LoopbackServer
) -> None:
    """Through each of the functions that may be hooked."""
    server.script("/", raw(WHOLE, close=False))
    front_end.request(client, "GET", server.url + "/")
    assert front_end.called == {*HOOKS}


@pytest.mark.parametrize("row", ROWS[1::3], ids=repr)
def test_responses_are_read_the_same(
    front_end: HookedFrontEnd, client: HttpServiceClient, server: LoopbackServer, row: Row
) -> None:
    """A third of the rows: each gives its outcome, and reuses the connection as the row says."""
    server.script("/", raw(*row.pieces, close=row.closes))
    assert result(front_end, client, row.method, server.url + "/") == row.outcome
    # Before the next request: one on a connection that is just being closed is lost.
    assert not row.closes or server.wait_for(lambda: server.open_connections == 0)
    server.script("/next", raw(b"HTTP/1.1 204 No Content\r\n\r\n", close=False))
    assert client.get(server.url + "/next").status_code == 204
    first, second = server.requests[-2:]
    assert row.is_reused in (None, first.connection == second.connection)


@pytest.mark.parametrize("length", range(0, len(WHOLE) + 1, 5))
def test_a_response_may_be_cut_anywhere(
    front_end: HookedFrontEnd, client: HttpServiceClient, server: LoopbackServer, length: int
) -> None:
    """The error is the same."""
    server.script("/", raw(WHOLE[:length]))
    expected: Read | Rejected = Rejected("ProtocolError", "", "maybe_processed", "cut-short", length)
    if length == len(WHOLE):
        expected = Read(200, "OK", IN_CHUNKS, b"hi", "hi")
    elif length in (0, WHOLE.index(b"HTTP/1.1 200")):
        expected = Rejected("ConnectionLostError", LOST, "maybe_processed")
    assert result(front_end, client, "GET", server.url + "/") == expected


@pytest.mark.parametrize("name", TOLERATED)
def test_faults_are_tolerated_the_same(front_end: HookedFrontEnd, server: LoopbackServer, name: str) -> None:
    """The response is read without the fault, and the connection serves no other request."""
    rule, data, fields = TOLERATED[name]
    server.script("/", raw(data, close=False))
    client = front_end.client(enable_retry_policy=False, tolerated_faults=[rule])
    for _ in range(2):
        response = front_end.request(client, "GET", server.url + "/")
        assert (response.content, tuple(response.headers.multi_items())) == (b"hi", fields)
    first, second = server.requests[-2:]
    assert first.connection != second.connection
