"""The upload of an asyncio exchange, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from http_service_client import Timeout
from http_service_client.http.bodies.body import RequestBody, stream_body
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_aiohttp.connection import Connection
from http_service_client.transports.over_aiohttp.exchange_timeouts import Limits
from http_service_client.transports.over_aiohttp.upload import Upload
from kit.front_ends import run_task
from kit.rows import each_row

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"


class Draining:
    """A connection whose transport holds so many bytes, each time that it is looked at."""

    is_lost = has_unread = False
    drained = Mock()

    def __init__(self, *sizes: int) -> None:
        self._sizes = list(sizes)

    @property
    def unsent(self) -> int:
        return self._sizes.pop(0)


@pytest.mark.parametrize("size", [19_000, 400_000])
def test_any_change_of_what_is_unsent_is_progress_of_an_upload(size: int) -> None:
    """Where the transport below it has space again, TLS passes on what it has kept: there is more then, not less."""

    async def wait() -> bool:
        connection: Any = Draining(20_000, 20_000, size, 0)
        limits: Any = Mock(timeout=Timeout(write=1.0), wait=AsyncMock(return_value=False))
        limits.now.side_effect = [0.0, 1.0]  # it is asked once more where nothing was accepted
        upload = Upload(connection, limits)
        await upload.finish()
        return upload.is_stuck

    assert not run_task(wait())


def test_a_response_without_end_is_not_buffered_during_an_upload() -> None:
    """Its source may take its time, and the server as much of our memory as it likes."""

    async def upload() -> None:
        connection = Connection(asyncio.get_running_loop(), ParserSettings(), None, Mock(), Mock())
        connection.connection_made(
            Mock(asyncio.Transport, get_write_buffer_size=lambda: 0, is_closing=lambda: False)
        )
        transport = connection.transport

        async def source() -> AsyncIterator[bytes]:
            yield b"a"
            connection.data_received(HEAD)
            taken = 0
            while transport.pause_reading.call_count == transport.resume_reading.call_count:
                connection.data_received(b"x" * 65536)
                taken += 65536
                assert taken < 1_500_000
                for _ in range(3):
                    await asyncio.sleep(0)

        connection.begin("POST")
        sender = Upload(connection, Limits(Timeout(total=None)), 300_000)
        assert await sender.send(stream_body(source(), "data"), is_chunked=True)

    run_task(upload())


def test_nothing_is_written_after_a_write_that_failed() -> None:
    """The connection is lost only in the next step of the loop, and asyncio logs each write until then."""

    async def upload() -> None:
        transport = Mock(asyncio.Transport)
        transport.is_closing.side_effect = [False, True]
        connection: Any = Mock(is_lost=False, has_unread=False, is_full=False, transport=transport)
        assert not await Upload(connection, Mock()).send(RequestBody(bytes(300_000)), is_chunked=False)
        connection.write.assert_called_once()

    run_task(upload())


WHOLE = b"Content-Length: 0\r\n\r\n"
BEGUN = b"Content-Length: 9\r\n\r\nabc"


@each_row(
    ("arrived", "is_answered"),
    [
        (b"", False),
        (b"HTTP/1.1 200 O", False),
        (b"HTTP/1.1 200 OK\r\n" + BEGUN, False),
        (b"HTTP/1.1 299 OK\r\n" + BEGUN, False),
        (b"HTTP/1.1 200 OK\r\n" + WHOLE, True),
        (b"HTTP/1.1 300 Many\r\n" + BEGUN, True),
        (b"HTTP/1.1 413 Too Large\r\n" + BEGUN, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 413 Too Large\r\n" + BEGUN, True),
        (None, True),  # the end of the connection
    ],
)
def test_an_upload_goes_on_until_its_rest_no_longer_matters(arrived: bytes | None, is_answered: bool) -> None:
    """A success may begin while the request is read; a body that is cut off would count as received."""

    async def look() -> bool:
        connection = Connection(asyncio.get_running_loop(), ParserSettings(), None, Mock(), Mock())
        connection.connection_made(Mock(asyncio.Transport))
        connection.begin("POST")
        if arrived is None:
            connection.eof_received()
        elif arrived:
            connection.data_received(arrived)
        return Upload(connection, Limits(Timeout()))._is_answered()

    assert run_task(look()) is is_answered
