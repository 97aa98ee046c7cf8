"""The connections of one event loop: which are kept, for how long, and how each of them ends.

The time is set, and the loop does not run, except where a task is made. A connection records what is asked of it.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports import lifetime
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.idle import IdleConnections
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_aiohttp import pool as module
from http_service_client.transports.over_aiohttp.pool import Pool

KEY = ("http://api.test", None)


class Loop(asyncio.SelectorEventLoop):
    """looks: in how many seconds a look at the pool is due, with its context and function."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[float, Context, Callable[[], object]]] = []

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        self.looks.append((delay, context, callback))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Used:
    """A connection in use, that may be used again.   calls: what was asked of it.   unsent: bytes."""

    def __init__(self, key: Any = KEY, max_idle: float = 60.0, max_requests: int = 1000) -> None:
        self.key = key
        self.lifetime = Lifetime(max_idle, max_requests, None)
        self.served = 0
        self.must_close = self.is_idle = False
        self.idle_since = 0.0
        self.unsent = 0
        self.calls: list[str] = []
        self.transport = self
        self.reusable = True

    def is_reusable(self) -> bool:
        return self.reusable

    def end_exchange(self) -> None:
        self.calls.append("end")

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.calls.append("write")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    monkeypatch.setattr(lifetime, "monotonic", made)
    return made


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def settings() -> TransportSettings:
    nothing: Any = None
    return TransportSettings(60.0, 1000, 500, True, nothing, nothing, idle=IdleConnections(10_000))


@pytest.fixture
def pool(loop: Loop, settings: TransportSettings, clock: Clock) -> Pool:
    async def make() -> Pool:
        return Pool(settings)

    return loop.run_until_complete(make())


def released(pool: Pool, *args: Any, **more: Any) -> Any:
    """A connection that is idle in the pool."""
    made: Any = Used(*args, **more)
    pool.release(made)
    return made


# New connections.


def test_a_new_connection_has_the_settings_of_its_client(loop: Loop, clock: Clock) -> None:
    async def make() -> Pool:
        nothing: Any = None
        parser = ParserSettings(fields=10)
        return Pool(TransportSettings(7.0, 3, 5, True, nothing, nothing, parser=parser))

    pool = loop.run_until_complete(make())
    assert isinstance(pool.timers, TimerWheel)
    connection = pool.new_connection()
    assert (connection.lifetime.max_idle, connection.lifetime.max_requests) == (7.0, 3)
    connection.connection_made(Used())  # type: ignore[arg-type]
    whole = connection.request_whole(b"")
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef")
    assert whole.result() is None  # too large to be taken in one step
    connection = pool.new_connection()
    connection.connection_made(Used())  # type: ignore[arg-type]
    connection.begin("GET")
    connection.data_received(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100 + b"\r\n")
    with pytest.raises(NotHttpError):  # it has too many fields
        connection.parser.read_head()


# Which one serves an exchange.


def test_the_connection_that_was_used_last_serves_the_next_exchange(pool: Pool) -> None:
    """Of this origin, and through this proxy."""
    first, last = released(pool), released(pool)
    others = [released(pool, key) for key in (("http://b.test", None), ("http://api.test", "http://p"))]
    assert pool.acquire("http://api.test") is last
    assert pool.acquire("http://api.test") is first
    assert pool.acquire("http://api.test") is None
    assert pool.acquire("http://b.test") is others[0]
    assert pool.acquire("http://api.test", "http://p") is others[1]
    assert pool.acquire("http://c.test") is None


def test_an_acquired_connection_is_idle_no_more(pool: Pool, settings: TransportSettings) -> None:
    """The client closes no connection in use as one that is too many."""
    connection = released(pool)
    assert (connection.is_idle, len(settings.idle)) == (True, 1)
    pool.acquire(*KEY)
    assert (connection.is_idle, len(settings.idle)) == (False, 0)


def test_a_connection_that_ended_while_idle_is_closed(pool: Pool, settings: TransportSettings) -> None:
    """The one below it is taken."""
    good, dead = released(pool), released(pool)
    dead.reusable = False
    assert pool.acquire(*KEY) is good
    assert (dead.calls, good.calls) == (["end", "abort"], ["end"])
    assert len(settings.idle) == 0


def test_a_connection_that_was_idle_for_too_long_is_closed(pool: Pool, clock: Clock) -> None:
    """Though nothing shows that it has ended."""
    connection = released(pool, max_idle=5.0)
    clock.now += 5.1
    assert pool.acquire(*KEY) is None
    assert connection.calls == ["end", "abort"]


# Which one is kept.


@pytest.mark.parametrize(
    ("name", "value", "is_kept"),
    [
        ("must_close", True, False),
        ("unsent", 1, False),
        ("served", 998, True),
        ("served", 999, False),
        ("served", 1000, False),
        ("retires_at", 1000.1, True),
        ("retires_at", 1000.0, False),
        ("retires_at", 999.0, False),
    ],
)
def test_a_connection_is_kept_while_it_may_serve(
    pool: Pool, settings: TransportSettings, name: str, value: Any, is_kept: bool
) -> None:
    """A thousand exchanges, until it retires, and with nothing left of a request that was answered early."""
    connection: Any = Used()
    setattr(connection.lifetime if name == "retires_at" else connection, name, value)
    pool.release(connection)
    assert connection.calls == (["end"] if is_kept else ["end", "abort"])
    assert connection.is_idle is is_kept
    assert len(settings.idle) == is_kept
    assert pool.acquire(*KEY) is (connection if is_kept else None)


def test_each_exchange_is_counted(pool: Pool, clock: Clock) -> None:
    """And the time from which on the connection is idle."""
    connection = released(pool)
    assert (connection.served, connection.idle_since) == (1, 1000.0)
    clock.now += 5
    pool.release(pool.acquire(*KEY))  # type: ignore[arg-type]
    assert (connection.served, connection.idle_since) == (2, 1005.0)


@pytest.mark.parametrize(("kept", "most"), [(0, 256), (10, 256), (256, 512)])
def test_hosts_without_a_connection_are_forgotten(pool: Pool, kept: int, most: int) -> None:
    """Now and then: when there are 256 hosts, or twice as many as had a connection at the last time."""
    connections = [released(pool, (f"http://kept{number}.test", None)) for number in range(kept)]
    sizes = []
    for number in range(1000):
        origin = f"http://{number}.test"
        pool.release(Used((origin, None)))  # type: ignore[arg-type]
        pool.acquire(origin)
        sizes.append(len(pool._idle))
    assert max(sizes) == most
    assert [pool.acquire(each.key[0]) for each in connections] == connections


# Idle for too long.


def test_a_pool_looks_for_connections_that_nobody_uses(pool: Pool, loop: Loop, clock: Clock) -> None:
    """When the first one will have been idle for too long, with one timer at a time, and in no call's context."""
    variable: ContextVar[int] = ContextVar("variable")
    variable.set(1)
    short, long = released(pool, max_idle=5.0), released(pool, max_idle=9.0)
    [(seconds, context, look)] = loop.looks
    assert (seconds, list(context)) == (5.0, [])
    clock.now += 5.0
    look()
    assert (short.calls, long.calls) == (["end", "abort"], ["end"])
    assert [each[0] for each in loop.looks] == [5.0, 4.0]
    clock.now += 4.0
    loop.looks[1][2]()
    assert long.calls == ["end", "abort"]
    assert len(loop.looks) == 2  # none is left
    released(pool, max_idle=7.0)
    assert loop.looks[2][0] == 7.0


def test_the_next_look_is_for_the_connection_that_ends_first(pool: Pool, loop: Loop, clock: Clock) -> None:
    """Of all hosts, but no sooner than in a second."""
    for key, max_idle in ((KEY, 9.0), (KEY, 8.0), (("http://b.test", None), 5.5)):
        released(pool, key, max_idle)
    clock.now += 1.0
    loop.looks[0][2]()
    clock.now += 4.0
    loop.looks[1][2]()
    assert [each[0] for each in loop.looks] == [9.0, 4.5, 1.0]


def test_a_pool_that_is_gone_is_not_kept_by_what_is_to_come(pool: Pool, loop: Loop) -> None:
    """A timer, and the loss of a connection, find nothing to do."""

    async def make() -> list[Any]:
        nothing: Any = None
        short_lived = Pool(TransportSettings(60.0, 1000, 500, True, nothing, nothing))
        released(short_lived)
        return [weakref.ref(short_lived), short_lived.new_connection()]

    reference, connection = loop.run_until_complete(make())
    gc.collect()
    assert reference() is None
    connection.connection_lost(None)
    loop.looks[-1][2]()


# One that is to be closed.


def test_only_an_idle_connection_is_closed_as_one_too_many(pool: Pool, settings: TransportSettings) -> None:
    """Another thread, or the client's limit, may ask for it when it has just been acquired."""
    idle, used = released(pool), released(pool)
    unknown: Any = Used(("http://b.test", None))
    pool.acquire(*KEY)
    for connection in (used, unknown, idle):
        pool.close_idle(connection)
    assert [each.calls for each in (idle, used, unknown)] == [["end", "abort"], ["end"], []]
    assert len(settings.idle) == 0
    assert pool.acquire(*KEY) is None


def test_the_limit_of_a_client_closes_the_connection_that_was_used_least(loop: Loop, clock: Clock) -> None:
    """By what the pool gave to it."""

    async def run() -> None:
        nothing: Any = None
        pool = Pool(TransportSettings(60.0, 1000, 500, True, nothing, nothing, idle=IdleConnections(1)))
        first, second = released(pool), released(pool)
        assert (first.calls, second.calls) == (["end", "abort"], ["end"])

    loop.run_until_complete(run())


@pytest.mark.parametrize("failed_at", [999.0, 1000.0, 1001.0])
def test_what_killed_a_connection_has_killed_those_that_waited_longer(
    pool: Pool, clock: Clock, failed_at: float
) -> None:
    """To the same origin. A connection that was used since then works."""
    connections = []
    for now in (999.0, 1000.0, 1001.0):
        clock.now = now
        connections.append(released(pool))
    other = released(pool, ("http://b.test", None))
    failed: Any = Used()
    failed.idle_since = failed_at
    pool.distrust(failed)
    assert [each.calls == ["end", "abort"] for each in connections] == [
        each.idle_since <= failed_at for each in connections
    ]
    assert other.calls == ["end"]
    failed.key = ("http://c.test", None)
    pool.distrust(failed)


def test_a_lost_connection_is_forgotten(pool: Pool, settings: TransportSettings) -> None:
    """It is not kept alive, and an idle one serves no other exchange."""
    idle, used = released(pool), Used()
    for connection in (idle, used):
        pool.forget(connection)  # type: ignore[arg-type]
    assert (idle.calls, used.calls) == (["end", "abort"], [])
    assert (pool.acquire(*KEY), len(settings.idle)) == (None, 0)
    lost = pool.new_connection()
    lost.connection_lost(None)
    reference = weakref.ref(lost)
    del lost
    gc.collect()
    assert reference() is None


# Its end.


def opened(pool: Pool, *, is_idle: bool) -> Any:
    """A connection that the pool has made."""
    connection: Any = pool.new_connection()
    connection.key, connection.transport = KEY, Used()
    if is_idle:
        pool.release(connection)
    return connection


def test_a_pool_that_is_closed_closes_all_connections(
    pool: Pool, loop: Loop, settings: TransportSettings
) -> None:
    """Once each, and those in use, too. One that is released later is not kept."""
    idle, used = opened(pool, is_idle=True), opened(pool, is_idle=False)
    steps: list[str] = []

    async def close() -> None:
        loop.call_soon(steps.append, "the sockets are closed")
        await pool.close()
        assert steps == ["the sockets are closed"]

    loop.run_until_complete(close())
    assert pool.closed
    for connection in (idle, used):
        connection.connection_lost(None)
        assert connection.transport.calls == ["abort", "close"]
    assert len(settings.idle) == 0
    assert pool.acquire(*KEY) is None
    late = released(pool)
    assert (late.calls, late.is_idle) == (["end", "abort"], False)


def test_a_pool_whose_loop_is_closed_closes_the_sockets_itself(
    pool: Pool, settings: TransportSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed loop runs nothing."""
    closed: list[Any] = []
    monkeypatch.setattr(module, "close_socket", closed.append)
    connections = [opened(pool, is_idle=is_idle) for is_idle in (True, False)]
    pool.abandon()
    pool.abandon()
    assert pool.closed
    assert {id(each) for each in closed} == {id(each.transport) for each in connections}
    assert len(closed) == 2
    assert all(each.transport.calls == [] for each in connections)
    references = [weakref.ref(each) for each in connections]
    del connections
    gc.collect()
    assert [reference() for reference in references] == [None, None]
    assert (len(settings.idle), pool.acquire(*KEY)) == (0, None)


# The making of a connection.


def test_a_connection_is_made_in_no_calls_context(pool: Pool, loop: Loop) -> None:
    """It would keep it alive. The task is forgotten when it has ended."""
    variable: ContextVar[int] = ContextVar("variable")
    made: Any = Used()

    async def make() -> Any:
        assert variable.get(None) is None
        return made

    async def run() -> None:
        variable.set(1)
        ended = loop.create_future()
        task = pool.begin(make, ended)
        assert pool._connecting == {task}
        assert await task is made
        await asyncio.sleep(0)
        assert ended.done()
        assert pool._connecting == set()

    loop.run_until_complete(run())


def test_a_connection_that_is_being_made_is_cancelled_with_its_pool(pool: Pool, loop: Loop) -> None:
    """Whoever waits for it is woken."""

    async def make() -> Any:
        await loop.create_future()

    async def run() -> None:
        ended = loop.create_future()
        task = pool.begin(make, ended)
        await asyncio.sleep(0)
        await pool.close()
        await ended
        await asyncio.wait([task])
        assert task.cancelled()

    loop.run_until_complete(run())


def test_a_connection_whose_loop_was_closed_ends_quietly(pool: Pool, loop: Loop) -> None:
    """It is garbage then, and nobody can be woken."""

    async def make() -> Any:
        await loop.create_future()

    async def run() -> Any:
        ended = loop.create_future()
        ended.add_done_callback(SimpleNamespace)
        task = pool.begin(make, ended)
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(run())
    loop.close()
    task.get_coro().close()
