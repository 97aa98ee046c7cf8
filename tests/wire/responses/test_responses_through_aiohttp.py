"""Asyncio calls that go through aiohttp read the same responses: our parser stands before aiohttp's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, raw
from kit.front_ends import AsyncioFrontEnd
from network.hooked_path import go_through_aiohttp
from wire.responses.rows import Row
from wire.responses.test_response_parity import TABLES, result
from wire.responses.test_tolerated_faults import TOLERATED

ROWS = [row for table in TABLES.values() for row in table if len(row.pieces) == 1 and not row.needs]


@pytest.fixture(scope="module")
def front_end() -> Iterator[AsyncioFrontEnd]:
    """The asyncio front end, through aiohttp."""
    with pytest.MonkeyPatch.context() as patch:
        go_through_aiohttp(patch)
        with AsyncioFrontEnd() as front_end:
            yield front_end


@pytest.mark.parametrize("row", ROWS[::3], ids=repr)
def test_calls_through_aiohttp_read_the_same(
    front_end: AsyncioFrontEnd, client: HttpServiceClient, server: LoopbackServer, row: Row
) -> None:
    """A third of the rows: each gives its outcome."""
    server.script("/", raw(*row.pieces, close=row.closes))
    assert result(front_end, client, row.method, server.url + "/") == row.outcome


@pytest.mark.parametrize("name", TOLERATED)
def test_calls_through_aiohttp_tolerate_the_same(
    front_end: AsyncioFrontEnd, server: LoopbackServer, name: str
) -> None:
    """aiohttp's parser gets the response without the fault, and the connection serves no other request."""
    rule, data, fields = TOLERATED[name]
    server.script("/", raw(data, close=False))
    client = front_end.client(enable_retry_policy=False, tolerated_faults=[rule])
    for _ in range(2):
        response = front_end.request(client, "GET", server.url + "/")
        assert (response.content, tuple(response.headers.multi_items())) == (b"hi", fields)
    first, second = server.requests[-2:]
    assert first.connection != second.connection
