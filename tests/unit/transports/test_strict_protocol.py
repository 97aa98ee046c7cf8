"""The protocol that reads responses itself in place of aiohttp's parser, without a network."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_aiohttp.protocol import StrictResponseHandler
from kit.front_ends import run_task

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("limit", [None, 5.0])
def test_each_piece_begins_the_time_until_the_next(limit: float | None) -> None:
    """Where there is such a limit: a body that arrives steadily is not cut."""

    async def run() -> list[None]:
        renewed: list[None] = []

        class Handler(StrictResponseHandler):
            def _reschedule_timeout(self) -> None:
                renewed.append(None)

        made = Handler(asyncio.get_running_loop(), ParserSettings(), None, Mock(), Mock())
        made.connection_made(Mock(asyncio.Transport, get_extra_info=lambda name, default=None: default))
        made.begin_parsing()
        made._read_timeout = limit
        made.data_received(HEAD)
        renewed.clear()
        made.data_received(b"a")
        return renewed

    assert len(run_task(run())) == (limit is not None)
