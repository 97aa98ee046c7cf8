"""The limits of an exchange over aiohttp, in virtual time: when each timer is armed, and what it cuts."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import Timeout
from http_service_client.transports.failures import Phase
from http_service_client.transports.over_aiohttp.hooked import timer as module
from http_service_client.transports.over_aiohttp.hooked.timer import (
    EXCHANGE,
    ExchangeTimer,
    Upload,
    leave_exchange,
)


class Loop:
    """A loop whose time a test sets. due: the timers, in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, instant: float, function: Any, *arguments: Any) -> Any:
        entry = (instant, function, arguments)
        self.due.append(entry)
        return SimpleNamespace(cancel=lambda: entry in self.due and self.due.remove(entry))

    def call_later(self, seconds: float, function: Any, *arguments: Any) -> Any:
        return self.call_at(self.now + seconds, function, *arguments)

    @property
    def timers(self) -> dict[str, float]:
        """The instant of each limit that would cut the exchange."""
        return {arguments[0]: at for at, _, arguments in self.due if isinstance(arguments[0], str)}

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due."""
        self.now += seconds
        for entry in [entry for entry in self.due if entry[0] <= self.now]:
            self.due.remove(entry)
            entry[1](*entry[2])


class Task:
    """Counts its cancellations."""

    def __init__(self) -> None:
        self.cancels = 0

    def cancel(self) -> None:
        self.cancels += 1

    def cancelling(self) -> int:
        return self.cancels

    def uncancel(self) -> int:
        self.cancels -= 1
        return self.cancels


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made, task = Loop(), Task()
    made.task = task  # type: ignore[attr-defined]
    stand_in = SimpleNamespace(
        get_running_loop=lambda: made, current_task=lambda: task, CancelledError=asyncio.CancelledError
    )
    monkeypatch.setattr(module, "asyncio", stand_in)
    return made


def timer(proxy: Any = None, **limits: float) -> ExchangeTimer:
    return ExchangeTimer(Timeout(**limits), proxy)


def test_the_whole_exchange_has_a_limit(loop: Loop) -> None:
    """From its beginning. Without a limit there is no timer."""
    exchange = timer(total=5.0)
    loop.advance(2.0)
    with exchange:
        assert loop.timers == {"total": 105.0}
        assert (exchange.seconds_left, exchange.elapsed()) == (3.0, 2.0)
        assert not exchange.timed_out
    assert loop.due == []
    with timer() as exchange:
        assert loop.due == []
        assert exchange.seconds_left == math.inf


def test_a_limit_that_is_reached_becomes_a_timeout(loop: Loop) -> None:
    """Once: what is reached later does not cancel again."""
    with pytest.raises(TimeoutError, match="total"), timer(total=5.0) as exchange:
        exchange.arm("head", 5.0)
        loop.advance(5.0)
        assert loop.task.cancels == 1  # type: ignore[attr-defined]
        assert exchange.timed_out
        raise asyncio.CancelledError
    assert loop.task.cancels == 0  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError, match="connect"), timer(total=5.0) as exchange:
        exchange.arm("connect", 1.0)
        loop.advance(1.0)
        assert not exchange.timed_out
        raise asyncio.CancelledError


def test_the_cancellation_of_others_passes_through(loop: Loop) -> None:
    """Also when a limit was reached at the same time."""
    with pytest.raises(asyncio.CancelledError), timer(total=5.0):
        raise asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError), timer(total=5.0):
        loop.advance(5.0)
        loop.task.cancel()  # type: ignore[attr-defined]
        raise asyncio.CancelledError
    loop.task.cancels = 1  # type: ignore[attr-defined]  # cancelled before the exchange began
    with pytest.raises(TimeoutError), timer(total=5.0):
        loop.advance(5.0)
        raise asyncio.CancelledError
    with pytest.raises(KeyError), timer(total=5.0):
        loop.advance(5.0)
        raise KeyError


@pytest.mark.parametrize(
    ("limits", "timers", "left"),
    [
        ({}, {}, None),
        ({"connect": 2.0}, {"connect": 102.0}, 1.0),
        ({"total": 5.0}, {"total": 105.0}, 4.0),
        ({"connect": 2.0, "total": 5.0}, {"connect": 102.0, "total": 105.0}, 1.0),
        ({"connect": 5.0, "total": 2.0}, {"total": 102.0}, 1.0),
        ({"connect": 2.0, "total": 2.0}, {"total": 102.0}, 1.0),
        ({"connect": 0.5}, {"connect": 101.0}, 0.0),
    ],
)
def test_a_new_connection_has_a_limit(
    loop: Loop, limits: dict[str, float], timers: dict[str, float], left: float | None
) -> None:
    """Of its own, if that comes before the end of the exchange. Time that passed before connecting does not count."""
    exchange = timer(**limits)
    loop.advance(1.0)
    with exchange:
        exchange.connecting()
        assert loop.timers == timers
        assert exchange.time_to_connect() == left
        assert exchange.phase is Phase.CONNECT
        exchange.connected("the connection")
        assert "connect" not in loop.timers
        assert (exchange.phase, exchange.connection) == (Phase.RECEIVE, "the connection")


def test_a_new_connection_through_a_proxy_is_another_phase(loop: Loop) -> None:
    """Its failure is that of the proxy."""
    exchange = timer(proxy="a proxy")
    assert exchange.phase is Phase.RECEIVE
    exchange.connecting()
    assert exchange.phase is Phase.PROXY


@pytest.mark.parametrize(
    ("limits", "head", "sock_read"),
    [
        ({"read": 3.0}, None, 3.0),
        ({"read": 3.0, "first_byte": 2.0}, 2.0, None),
        ({"read": 3.0, "between": 2.0}, 3.0, None),
        ({}, None, None),
    ],
)
def test_the_head_has_a_limit_of_its_own_where_the_body_has(
    loop: Loop, limits: dict[str, float], head: float | None, sock_read: float | None
) -> None:
    """aiohttp has one for both. It begins when the request was sent, and ends with the head."""
    with timer(**limits) as exchange:
        assert (exchange.head_within, exchange.client_timeout.sock_read) == (head, sock_read)
        assert exchange.client_timeout.total is exchange.client_timeout.connect is None
        loop.advance(1.0)
        assert exchange.waited() == 1.0
        exchange.connected(None)
        assert loop.timers == ({} if head is None else {"head": 101.0 + head})
        loop.advance(0.5)
        assert exchange.waited() == (1.5 if head is None else 0.5)
        exchange.answered()
        assert loop.timers == {}
        exchange.arm("write", 1.0)  # aiohttp sends the rest in the background
        assert loop.timers == {}


@pytest.mark.parametrize(
    ("sees", "leaves_open", "limits", "expected"),
    [
        (True, False, {"connect": 2.0, "read": 3.0}, (None, 3.0, None)),
        (False, False, {"connect": 2.0, "read": 3.0}, (2.0, 3.0, None)),
        (True, True, {"connect": 2.0, "read": 3.0}, (None, None, 3.0)),
        (True, False, {"read": 3.0, "between": 1.0}, (None, None, 3.0)),
        (True, True, {"read": 3.0, "first_byte": 1.0}, (None, None, 1.0)),
    ],
)
def test_aiohttp_bounds_what_is_not_seen(
    loop: Loop, sees: bool, leaves_open: bool, limits: dict[str, float], expected: tuple[Any, ...]
) -> None:
    """Connecting, where nothing reports it; reading, unless the body is left to a reader who may pause."""
    exchange = timer(**limits)
    exchange.share_bounds(sees, leaves_open)
    options = exchange.client_timeout
    assert (options.connect, options.sock_read, exchange.head_within) == expected
    assert options.total is None


class Transport:
    """With so many bytes in its write buffer."""

    def __init__(self, size: int) -> None:
        self.size = size

    def get_write_buffer_size(self) -> int:
        return self.size


def test_a_write_buffer_must_keep_shrinking(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at four times in the limit; what stays as it is for all of it is a stall."""
    sizes = [900, 800, 800, 800, 800, 800]
    monkeypatch.setattr(module, "write_buffer_size", lambda transport: sizes.pop(0))
    with pytest.raises(TimeoutError, match=r"^write$"), timer(write=4.0) as exchange:
        exchange.connected(SimpleNamespace(transport=None))
        for second in range(1, 6):
            assert [at for at, _, _ in loop.due] == [100.0 + second]
            assert loop.task.cancels == 0  # type: ignore[attr-defined]
            loop.advance(1.0)
        assert (loop.task.cancels, exchange.phase) == (1, Phase.SEND)  # type: ignore[attr-defined]
        assert loop.due == []
        raise asyncio.CancelledError


def test_it_is_the_write_buffer_of_the_connection_in_use(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its transport."""
    monkeypatch.setattr(module, "write_buffer_size", lambda transport: transport.size)
    with pytest.raises(TimeoutError, match=r"^write$"), timer(write=4.0) as exchange:
        exchange.connected(SimpleNamespace(transport=Transport(900)))
        for _ in range(4):
            loop.advance(1.0)
        assert loop.task.cancels == 1  # type: ignore[attr-defined]
        raise asyncio.CancelledError


def test_an_empty_write_buffer_is_no_stall(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it stays empty. Once the head has arrived, nobody looks any more."""
    monkeypatch.setattr(module, "write_buffer_size", lambda transport: 0)
    with timer(write=4.0) as exchange:
        exchange.connected(SimpleNamespace(transport=None))
        for _ in range(20):
            loop.advance(1.0)
        assert loop.task.cancels == 0  # type: ignore[attr-defined]
        exchange.answered()
        assert loop.due == []
        exchange.request_written()
        assert loop.due == []


def driven(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_an_upload_goes_out_in_small_pieces(loop: Loop) -> None:
    """Each has the limit of a write; the request is written when the last one is."""
    with timer(write=4.0, read=3.0, first_byte=2.0) as exchange:
        upload: Upload = exchange.upload(chunks_of(b"a" * 65536 + b"b", b"c"))
        exchange.connected(None)
        assert loop.timers == {}
        for expected in (b"a" * 65536, b"b", b"c"):
            loop.advance(1.0)
            assert bytes(driven(upload.__anext__())) == expected
            assert loop.timers == {"write": loop.now + 4.0}
            assert exchange.phase is Phase.SEND
        with pytest.raises(StopAsyncIteration):
            upload.__anext__().send(None)
        assert exchange.phase is Phase.RECEIVE
        assert loop.timers == {"head": loop.now + 2.0}


def test_an_upload_waits_for_a_closing_connection_for_a_few_steps_of_the_loop(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write is reported in so many. An orderly close may take as long as the peer likes."""
    monkeypatch.setattr(module.asyncio, "sleep", asyncio.sleep, raising=False)
    closing = SimpleNamespace(is_closing=lambda: True, get_extra_info=lambda name: None)
    exchange = timer()
    upload = exchange.upload(chunks_of(b"a"))
    connection = SimpleNamespace(transport=closing)
    exchange.connected(connection)
    assert steps_of(upload.__anext__()) == (10, b"a")
    reported = SimpleNamespace(is_closing=iter_of(True, True, False), get_extra_info=lambda name: None)
    for connection.transport, steps in ((reported, 2), (None, 0)):
        other = timer()
        upload = other.upload(chunks_of(b"a"))
        other.connected(connection)
        assert steps_of(upload.__anext__()) == (steps, b"a")


def iter_of(*values: bool) -> Any:
    """A function that returns these in turn, and then the last one."""
    left = list(values)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def steps_of(coroutine: Any) -> tuple[int, bytes]:
    """The steps of the loop that a coroutine waits for, and its result."""
    steps = 0
    with pytest.raises(StopIteration) as ended:
        while steps < 100:
            coroutine.send(None)
            steps += 1
    return steps, bytes(ended.value.value)


def test_an_error_of_the_source_is_kept(loop: Loop) -> None:
    """It is not the network's."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    exchange = timer()
    upload = exchange.upload(broken())
    assert bytes(driven(upload.__anext__())) == b"a"
    assert loop.timers == {}
    with pytest.raises(ZeroDivisionError) as raised:
        upload.__anext__().send(None)
    assert exchange.source_error is raised.value


@pytest.mark.parametrize(
    ("error", "cancels", "is_of_the_source"),
    [
        (asyncio.CancelledError, 1, False),
        (asyncio.CancelledError, 0, True),
        (asyncio.CancelledError, None, False),
        (ZeroDivisionError, 1, True),
        (ZeroDivisionError, 0, True),
        (ZeroDivisionError, None, True),
    ],
)
def test_a_cancellation_of_the_task_is_no_error_of_the_source(
    loop: Loop, error: type[BaseException], cancels: int | None, is_of_the_source: bool
) -> None:
    """aiohttp may have cancelled it. Python 3.10 cannot tell it from one that the source raised itself."""

    async def broken() -> AsyncIterator[bytes]:
        raise error
        yield b""

    exchange = timer()
    upload = exchange.upload(broken())
    if cancels is None:
        module.asyncio.current_task = lambda: None  # type: ignore[attr-defined]
    else:
        loop.task.cancels = cancels  # type: ignore[attr-defined]
    with pytest.raises(error) as raised:
        upload.__anext__().send(None)
    assert exchange.source_error is (raised.value if is_of_the_source else None)


@pytest.mark.parametrize(("late", "is_cut"), [(4.5, False), (5.0, True), (5.5, True)])
def test_a_source_that_takes_its_time_is_cut_at_its_next_piece(loop: Loop, late: float, is_cut: bool) -> None:
    """It has held up the loop, and with it the timer."""

    async def slow() -> AsyncIterator[bytes]:
        loop.now += late
        yield b"a"

    exchange = timer(total=5.0)
    upload = exchange.upload(slow())
    if not is_cut:
        assert bytes(driven(upload.__anext__())) == b"a"
    else:
        with pytest.raises(TimeoutError):
            upload.__anext__().send(None)
    assert (exchange.timed_out, loop.task.cancels) == (is_cut, int(is_cut))  # type: ignore[attr-defined]
    assert exchange.source_error is None


def test_a_task_that_counts_no_cancellations_is_cut_as_well(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of Python 3.10."""
    cancels: list[None] = []
    task = SimpleNamespace(cancel=lambda: cancels.append(None))
    monkeypatch.setattr(module.asyncio, "current_task", lambda: task)
    with pytest.raises(TimeoutError, match=r"^total$"), timer(total=5.0):
        loop.advance(5.0)
        assert len(cancels) == 1
        raise asyncio.CancelledError


def test_what_an_exchange_knows_before_it_begins(loop: Loop) -> None:
    """The connector may ask for it at any time."""
    exchange = timer()
    assert (exchange.way, exchange.host, exchange.method) == (("", None), "", "GET")
    assert exchange.socket_path is exchange.ready_socket is exchange.source_error is None
    assert exchange.connection is exchange.connection_error is None
    assert exchange.needs_socket is exchange.is_answered is False


def test_the_error_of_a_connection_is_that_of_the_exchange(loop: Loop) -> None:
    """Of the connection in use."""
    exchange, error = timer(), ConnectionResetError()
    exchange.connected(SimpleNamespace(fatal_error=error))
    assert exchange.connection_error is error


def test_an_exchange_is_left_in_the_context_in_which_it_began(loop: Loop) -> None:
    """From another one, where its coroutine is closed, there is nothing to leave."""
    exchange = timer()

    def check() -> None:
        token = EXCHANGE.set(exchange)
        contextvars.copy_context().run(leave_exchange, token)
        assert EXCHANGE.get() is exchange
        leave_exchange(token)
        assert EXCHANGE.get() is None

    contextvars.Context().run(check)


def test_bodies_are_iterated_over_as_they_are(loop: Loop) -> None:
    """By `async for`."""
    exchange = timer()
    for body in (exchange.upload(chunks_of(b"a")), exchange.pieces(chunks_of(b"a"), 1.0)):
        assert body.__aiter__() is body


def test_each_piece_of_a_body_has_its_limit(loop: Loop) -> None:
    """While it is waited for, and no longer."""
    exchange = timer(between=2.0)
    seen: list[dict[str, float]] = []

    async def body() -> AsyncIterator[bytes]:
        for piece in (b"a", b"b"):
            seen.append(loop.timers)
            yield piece

    pieces = exchange.pieces(body(), 2.0)
    for piece in (b"a", b"b"):
        assert driven(pieces.__anext__()) == piece
        assert loop.timers == {}
        loop.advance(1.0)
    assert seen == [{"between": 102.0}, {"between": 103.0}]
