"""A connection of the asyncio transport, without a network."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client.core.effects import TIMED_OUT
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_aiohttp import connection as module
from http_service_client.transports.over_aiohttp.asyncio_transports import LONG_READ, SHORT_READ
from http_service_client.transports.over_aiohttp.connection import Connection
from kit.front_ends import run_task
from kit.rows import each_row

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def connection_on(loop: asyncio.AbstractEventLoop, on_lost: Any = None) -> Connection:
    """A connection over a transport that does nothing."""
    made = Connection(loop, ParserSettings(), None, Mock(), on_lost or Mock())
    made.connection_made(
        Mock(asyncio.Transport, get_extra_info=lambda name, default=None: default, is_closing=lambda: False)
    )
    return made


class Exchanges:
    """Whole exchanges on one connection, in a loop whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = 100.0
        self.loop.time = lambda: self.now  # type: ignore[method-assign]
        self.connection = connection_on(self.loop)

    def begin(self, seconds: float | None) -> asyncio.Future[Any]:
        ends_at = None if seconds is None else self.now + seconds
        return self.connection.request_whole(b"GET / HTTP/1.1\r\n\r\n", ends_at)

    async def move(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    def timers(self) -> list[asyncio.TimerHandle]:
        found: list[Any] = [thing for thing in gc.get_objects() if type(thing) is asyncio.TimerHandle]
        return [handle for handle in found if getattr(handle._callback, "__self__", None) is self.connection]


def test_each_exchange_ends_at_its_own_time() -> None:
    """A shorter time than that of the exchange before is kept, and so is a longer one."""

    async def run() -> None:
        exchanges = Exchanges()
        for seconds in (30.0, 1.0, None, 10.0):
            whole = exchanges.begin(seconds)
            exchanges.connection.data_received(HEAD + b"ok")
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
        exchanges.connection.data_received(HEAD + b"ok")
        whole = exchanges.begin(None)
        await exchanges.move(1000.0)
        assert not whole.done()

    run_task(run())


def test_a_timer_that_was_replaced_ends_no_later_exchange() -> None:
    """A shorter time replaces the timer of a longer one, which would go off during an exchange that has its own."""

    async def run() -> None:
        exchanges = Exchanges()
        for seconds in (30.0, 1.0):
            exchanges.begin(seconds)
            exchanges.connection.data_received(HEAD + b"ok")
        await exchanges.move(2.0)
        whole = exchanges.begin(60.0)
        await exchanges.move(29.0)
        assert not whole.done()
        await exchanges.move(32.0)
        assert whole.result() is TIMED_OUT

    run_task(run())


def test_the_timer_of_a_cancelled_exchange_does_nothing() -> None:
    """It may go off before the loop has closed the connection."""
    reported: list[Any] = []

    async def run() -> None:
        exchanges = Exchanges()
        exchanges.loop.set_exception_handler(lambda loop, context: reported.append(context))
        exchanges.begin(1.0).cancel()
        await exchanges.move(2.0)

    run_task(run())
    assert reported == []


def test_the_exchanges_of_a_connection_share_a_timer() -> None:
    """Also those of one deadline, each of which has a little less time. A lost connection leaves none."""

    async def run() -> None:
        exchanges = Exchanges()
        seen = []
        for number in range(100):
            exchanges.begin(30.0 - number * 1e-6)
            exchanges.connection.data_received(HEAD + b"ok")
            seen += exchanges.timers()
        assert len(seen) == 100
        assert len({id(timer) for timer in seen}) == 1
        exchanges.connection.connection_lost(None)
        assert exchanges.timers() == []

    run_task(run())


@each_row("after", [b"", b"\r\n", b"junk"])
@each_row("cuts", [[], [3], [len(HEAD)], [len(HEAD) + 1], [len(HEAD), len(HEAD) + 1]], ids=repr)
def test_a_whole_response_is_the_same_in_pieces(cuts: list[int], after: bytes) -> None:
    """Its body is bytes, whatever the loop passes. A connection on which more follows is not used again."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        data = bytearray(HEAD + b"ok" + after)
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            exchanges.connection.data_received(data[start:end])
        result = whole.result()
        if cuts == [3]:
            assert result is None  # an incomplete head is read in pieces
            return
        assert (result[1], type(result[1])) == (b"ok", bytes)
        assert exchanges.connection.must_close is (after == b"junk")

    run_task(run())


def test_a_response_that_nobody_requested_is_never_that_of_the_next_request() -> None:
    """It arrives before the task that awaits the first one runs, as with two TLS records on Python 3.10."""

    async def run() -> None:
        connection = connection_on(asyncio.get_running_loop())
        connection.request_whole(b"GET / HTTP/1.1\r\n\r\n")
        connection.data_received(HEAD + b"ok")
        connection.data_received(HEAD + b"no")
        connection.end_exchange()
        assert connection.must_close

    run_task(run())


def test_a_connection_keeps_no_context_of_its_readers() -> None:
    """A transport that reads on keeps the context of that step as long as it lives."""
    variable: ContextVar[int] = ContextVar("variable")

    async def run() -> None:
        connection = connection_on(asyncio.get_running_loop())
        seen: list[int | None] = []
        connection.transport.resume_reading.side_effect = lambda: seen.append(variable.get(None))
        variable.set(1)
        connection.begin("GET")
        connection.data_received(bytes(1_000_000))
        connection.changed()
        assert seen == [None]

    run_task(run())


def test_a_lost_connection_has_nothing_to_send() -> None:
    """Its transport raises where it is asked then, that of TLS from Python 3.11 on."""

    async def run() -> None:
        connection = connection_on(asyncio.get_running_loop())
        connection.transport.get_write_buffer_size.side_effect = AttributeError
        connection.connection_lost(None)
        assert connection.unsent == 0

    run_task(run())


def test_a_body_in_tiny_pieces_takes_the_memory_of_its_bytes() -> None:
    """As objects of their own, they would take fifty times as much."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        exchanges.connection.data_received(HEAD.replace(b": 2", b": 40000"))
        tracemalloc.start()
        for _ in range(20_000):
            exchanges.connection.data_received(bytes(bytearray(b"ab")))
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
            exchanges.connection.data_received(data)
        exchanges.connection.connection_lost(ConnectionResetError())
        assert whole.result() is None
        parser = exchanges.connection.parser
        head = parser.read_head()
        assert head is not None
        assert (head.status, parser.read_body(), parser.read_body()) == (200, b"abcdef", None)
        assert isinstance(exchanges.connection.error, ConnectionResetError)

    run_task(run())


def test_an_error_of_this_side_is_not_the_end_of_a_body() -> None:
    """asyncio closes a connection whose `data_received` has raised, such as MemoryError: half a body is not the whole."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        exchanges.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        exchanges.connection.connection_lost(MemoryError())
        assert whole.result() is None
        parser = exchanges.connection.parser
        assert parser.read_head() is not None
        assert (parser.read_body(), parser.read_body()) == (b"half", None)
        assert isinstance(exchanges.connection.error, ConnectionResetError)

    run_task(run())


def test_an_error_after_the_end_does_not_change_the_response() -> None:
    """Such as that of a close_notify which the server, gone by then, does not accept."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        exchanges.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        exchanges.connection.eof_received()
        exchanges.connection.connection_lost(BrokenPipeError())
        assert whole.result() is None
        parser = exchanges.connection.parser
        assert parser.read_head() is not None
        assert (parser.read_body(), parser.read_body()) == (b"until the end", b"")
        assert exchanges.connection.error is None

    run_task(run())


def test_bytes_before_the_end_of_an_exchange_are_no_later_response() -> None:
    """A loop may pass them on before the task that gets the response has run, as uvloop does after a long one."""

    async def run() -> None:
        exchanges = Exchanges()
        whole = exchanges.begin(None)
        exchanges.connection.data_received(HEAD + b"ok")
        exchanges.connection.data_received(HEAD + b"no")
        assert (await whole)[1] == b"ok"
        exchanges.connection.end_exchange()
        assert exchanges.connection.must_close

    run_task(run())


@pytest.mark.parametrize("first", [1, 100_000, 1_000_000], ids=["little", "more", "too much at once"])
def test_a_body_that_arrives_faster_than_it_is_read_is_complete(first: int) -> None:
    """The transport pauses where too much waits for the reader, goes on when the reader does, and no byte is lost."""
    body = random.Random(1).randbytes(3_000_000)

    async def read_slowly() -> bytes:
        connection = connection_on(asyncio.get_running_loop())
        connection.begin("GET")
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body[:first])
        assert connection.parser.read_head() is not None
        pieces = []
        for at in range(first, len(body), 200_000):
            while piece := connection.parser.read_body():
                pieces.append(piece)
            changed = connection.changed()
            connection.data_received(body[at : at + 200_000])
            await changed
        while piece := connection.parser.read_body():
            pieces.append(piece)
        is_paused = connection.transport.pause_reading.called
        assert is_paused == connection.transport.resume_reading.called == (first == 1_000_000)
        return b"".join(pieces)

    assert run_task(read_slowly()) == body


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in pieces"])
def test_reads_are_long_for_a_long_response_only(is_whole: bool) -> None:
    """For the short one that follows it on the same connection, they are short again."""

    async def sizes() -> list[int]:
        connection = connection_on(asyncio.get_running_loop())
        transport = connection.transport
        transport.max_size = 0
        connection.connection_made(transport)
        seen = [transport.max_size]
        if is_whole:
            connection.request_whole(b"GET / HTTP/1.1\r\n\r\n")
        else:
            connection.begin("GET")
        connection.data_received(HEAD.replace(b": 2", b": 65537") + b"a")
        seen.append(transport.max_size)
        connection.data_received(bytes(65536))
        seen.append(transport.max_size)
        connection.end_exchange()
        return [*seen, transport.max_size]

    assert run_task(sizes()) == [SHORT_READ, SHORT_READ, LONG_READ, SHORT_READ]


@pytest.mark.parametrize("reads_on", [True, False], ids=["reads on", "reads once an iteration"])
@pytest.mark.parametrize("is_awaited", [True, False], ids=["awaited", "not awaited"])
def test_a_loop_that_reads_on_pauses_until_its_reader_has_read(reads_on: bool, is_awaited: bool) -> None:
    """It does not while nobody reads, since the request is still being sent."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        other = Mock(asyncio.AbstractEventLoop, create_future=loop.create_future)
        connection = connection_on(other if reads_on else loop)
        transport = connection.transport
        connection.begin("GET")
        if is_awaited:
            connection.changed()
        connection.data_received(bytes(SHORT_READ))
        assert not transport.pause_reading.called
        connection.data_received(b"a")
        assert transport.pause_reading.called is (reads_on and is_awaited)
        connection.changed()
        assert transport.resume_reading.called is (reads_on and is_awaited)

    run_task(run())


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail.example ESMTP\r\n"])
def test_a_server_that_speaks_first_is_no_http_server(banner: bytes) -> None:
    """Its greeting arrives before the request is written, and is no response to it: no other will follow."""

    async def exchange() -> None:
        connection = connection_on(asyncio.get_running_loop())
        connection.data_received(banner)
        assert connection.request_whole(b"GET / HTTP/1.1\r\n\r\n").result() is None
        with pytest.raises(NotHttpError, match="not-http"):
            connection.parser.read_head()

    run_task(exchange())


def test_an_exchange_that_timed_out_is_not_read_to_its_end() -> None:
    """When its connection goes, what has arrived of the response is no fault of the server."""

    async def run() -> Connection:
        lost: list[Any] = []
        made = connection_on(asyncio.get_running_loop(), lost.append)
        whole = made.request_whole(b"GET / HTTP/1.1\r\n\r\n")
        made.data_received(HEAD + b"o")
        whole.set_result("timed out")
        made.connection_lost(None)
        assert lost == [made]
        return made

    assert run_task(run()).error is None


def test_an_abort_keeps_the_first_error() -> None:
    """The one that ended the exchange. Outside of an exchange there is none."""

    async def run() -> list[Any]:
        idle, reading, failed = (connection_on(asyncio.get_running_loop()) for _ in range(3))
        for connection in (reading, failed):
            connection.begin("GET")
        failed.error = NotHttpError()
        for connection in (idle, reading, failed):
            connection.abort()
            assert connection.must_close
            connection.transport.abort.assert_called_once()
        return [idle.error, type(reading.error), failed.error]

    none, lost, first = run_task(run())
    assert (none, lost, type(first)) == (None, ConnectionResetError, NotHttpError)


@pytest.mark.parametrize("why", ["a closed loop", "a forked child"])
def test_an_abort_where_the_loop_cannot_be_used_closes_the_socket(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that is closed runs nothing, and that of a parent would take the connection from it."""
    closed: list[Any] = []
    monkeypatch.setattr(module, "close_socket", closed.append)
    loop = asyncio.new_event_loop()
    connection = connection_on(loop)
    if why == "a closed loop":
        loop.close()
    else:
        connection._pid += 1
    connection.abort()
    assert closed == [connection.transport]
    connection.transport.abort.assert_not_called()
    loop.close()


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_an_upload_goes_on_when_there_is_room(is_cancelled: bool) -> None:
    """One that was cancelled meanwhile, or waits for something else, is left alone."""

    async def run() -> None:
        connection = connection_on(asyncio.get_running_loop())
        connection.pause_writing()
        assert connection.is_full
        connection.resume_writing()
        assert not connection.is_full
        waiter = connection.drained()
        if is_cancelled:
            waiter.cancel()
        connection.resume_writing()
        assert waiter.done()
        connection.wake()

    run_task(run())


@each_row(
    ("status", "is_encoded", "max_size", "length", "is_whole"),
    [
        (200, False, None, 10**9, True),
        (200, True, None, 65536, True),
        (200, True, None, 65537, False),
        (200, False, 100, 100, True),
        (200, False, 100, 101, False),
        (302, False, None, 1, False),
        (304, False, None, 0, True),
    ],
)
def test_a_plain_body_of_a_usual_size_is_read_whole(
    status: int, is_encoded: bool, max_size: int | None, length: int, is_whole: bool
) -> None:
    """Not one that is too large, that takes long to decode, or that belongs to a redirect."""
    handler: Any = SimpleNamespace(_max_size=max_size)
    head: Any = SimpleNamespace(status=status, is_encoded=is_encoded)
    assert Connection._may_read_whole(handler, head, length) is is_whole
