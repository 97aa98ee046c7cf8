"""The protocol that reads responses itself in place of aiohttp's parser, without a network."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest

from http_service_client.core.effects import TIMED_OUT
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


class Exchanges:
    """Whole exchanges on one connection, in a loop whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = 100.0
        self.loop.time = lambda: self.now  # type: ignore[method-assign]
        self.protocol = StrictResponseHandler(self.loop, ParserSettings(), None, Mock(), Mock())
        transport = Mock(asyncio.Transport, get_extra_info=lambda name, default=None: default)
        self.protocol.connection_made(transport)

    def begin(self, seconds: float | None) -> asyncio.Future[Any]:
        ends_at = None if seconds is None else self.now + seconds
        return self.protocol.request_whole(b"GET / HTTP/1.1\r\n\r\n", ends_at)

    async def move(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    def timers(self) -> list[asyncio.TimerHandle]:
        found: list[Any] = [thing for thing in gc.get_objects() if type(thing) is asyncio.TimerHandle]
        return [handle for handle in found if getattr(handle._callback, "__self__", None) is self.protocol]


def test_each_exchange_ends_at_its_own_time() -> None:
    """A shorter time than that of the exchange before is kept, and so is a longer one."""

    async def run() -> None:
        exchanges = Exchanges()
        for seconds in (30.0, 1.0, None, 10.0):
            whole = exchanges.begin(seconds)
            exchanges.protocol.data_received(HEAD + b"ok")
            assert whole.result()[1] == b"ok"
        await exchanges.move(0.5)
        whole = exchanges.begin(10.0)
        await exchanges.move(0.6)  # the time of the second one
        await exchanges.move(9.3)
        assert not whole.done()
        await exchanges.move(0.2)
        assert whole.result() is TIMED_OUT

    run_task(run())


def test_an_exchange_without_a_limit_is_not_cut_by_the_timer_of_another() -> None:
    """The timer of an earlier exchange is still there."""

    async def run() -> None:
        exchanges = Exchanges()
        exchanges.begin(1.0)
        exchanges.protocol.data_received(HEAD + b"ok")
        whole = exchanges.begin(None)
        await exchanges.move(1000.0)
        assert not whole.done()

    run_task(run())


def test_the_exchanges_of_a_connection_share_a_timer() -> None:
    """Also those of one deadline, each of which has a little less time. A lost connection leaves none."""

    async def run() -> None:
        exchanges = Exchanges()
        seen = []
        for number in range(100):
            exchanges.begin(30.0 - number * 1e-6)
            exchanges.protocol.data_received(HEAD + b"ok")
            seen += exchanges.timers()
        assert len(seen) == 100
        assert len({id(timer) for timer in seen}) == 1
        exchanges.protocol.connection_lost(None)
        assert exchanges.timers() == []

    run_task(run())


@pytest.mark.parametrize("after", [b"", b"\r\n", b"junk"])
@pytest.mark.parametrize(
    "cuts", [[], [3], [len(HEAD)], [len(HEAD) + 1], [len(HEAD), len(HEAD) + 1]], ids=repr
)
def test_a_whole_response_is_the_same_in_pieces(cuts: list[int], after: bytes) -> None:
    """Its body is bytes, whatever the loop passes. A connection on which more follows is not used again."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        data = bytearray(HEAD + b"ok" + after)
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            exchanges.protocol.data_received(data[start:end])
        result = whole.result()
        if cuts == [3]:
            assert result is None  # an incomplete head is read in pieces
            return
        assert (result[1], type(result[1])) == (b"ok", bytes)
        assert exchanges.protocol.should_close is (after == b"junk")

    run_task(run())


def test_a_body_in_tiny_pieces_takes_the_memory_of_its_bytes() -> None:
    """As objects of their own, they would take fifty times as much."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        exchanges.protocol.data_received(HEAD.replace(b": 2", b": 40000"))
        tracemalloc.start()
        for _ in range(20_000):
            exchanges.protocol.data_received(bytes(bytearray(b"ab")))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert whole.result()[1] == b"ab" * 20_000
        assert peak < 150_000

    run_task(run())


def test_a_body_that_is_lost_on_the_way_is_read_as_far_as_it_came() -> None:
    """Its reader gets the head, what has arrived of the body, and then the error."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        for data in (HEAD.replace(b": 2", b": 9"), b"abc", b"def"):
            exchanges.protocol.data_received(data)
        exchanges.protocol.connection_lost(ConnectionResetError())
        assert whole.result() is None
        message, payload = await exchanges.protocol.read()
        assert (message.code, payload._read_nowait(-1)) == (200, b"abcdef")
        with pytest.raises(aiohttp.ClientPayloadError):
            await payload.read()

    run_task(run())
