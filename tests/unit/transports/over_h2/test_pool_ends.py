"""How the connections of an HTTP/2 pool end, and what is left of them; how the pool ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client.errors import SentState
from http_service_client.transports.idle import IdleConnections
from kit.http2_frames import FrameServer, data, head, settings
from kit.http2_network import Http2Network


def is_open(server: FrameServer) -> bool:
    return not server.wire.is_aborted


def answer(network: Http2Network, stream_id: int) -> None:
    """A call that is answered soon, by the latest server."""
    network.at(0.1, head(stream_id), data(stream_id, b"ok", ends=True))
    assert network.send().content == b"ok"


def later(network: Http2Network, step: Any) -> None:
    """In the next step of the loop but one."""
    network.loop.call_soon(network.loop.call_soon, step)


def test_an_end_that_the_loop_has_not_read_yet_is_read_before_the_next_call(network: Http2Network) -> None:
    """A loop that was busy learns of it a step or two later. The call goes over another connection then."""
    answer(network, 1)
    ours, theirs = socket.socketpair()
    theirs.close()

    async def run() -> Any:
        network.server.wire.extra["socket"] = ours
        connection = network.server.connection
        later(network, lambda: connection.connection_lost(None))
        network.at(0.1, lambda: network.server.says(head(1, ends=True)))
        return await network.exchange()

    with ours:
        assert network.run(run()).status_code == 200
    assert len(network.servers) == 2


def test_an_answer_that_the_loop_has_not_read_yet_ends_the_doubt_about_a_silent_server(
    network: Http2Network,
) -> None:
    """The next call needs no other connection then."""
    answer(network, 1)
    ours, theirs = socket.socketpair()
    theirs.send(b"a frame")

    async def run() -> list[int]:
        await asyncio.sleep(1.0)
        first = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(30.0)
        network.server.wire.extra["socket"] = ours
        later(network, lambda: network.server.says(head(3, ends=True)))
        network.at(0.1, lambda: network.server.says(head(5 if len(network.servers) == 1 else 1, ends=True)))
        second = await network.exchange()
        return [(await first).status_code, second.status_code]

    with ours, theirs:
        assert network.run(run()) == [200, 200]
    assert len(network.servers) == 1


def test_a_connection_that_is_gone_leaves_a_timer_that_does_nothing(network: Http2Network) -> None:
    """Nothing else refers to it, the timer least of all."""
    answer(network, 1)
    network.run(asyncio.sleep(2.0))
    network.server.connection.close()
    network.servers.clear()
    gc.collect()
    network.run(asyncio.sleep(70.0))


def test_an_error_that_nobody_waits_for_any_more_is_not_logged(
    network: Http2Network, caplog: pytest.LogCaptureFixture
) -> None:
    """The last call has left in the step in which connecting failed."""
    network.connecting, network.refuses = 1.0, ConnectionRefusedError(111, "Connection refused")

    async def run() -> None:
        task = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(0.5)
        network.at(0.5, lambda: network.loop.call_soon(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.ERROR, "asyncio"):
        network.run(run())
        gc.collect()
    assert caplog.messages == []


def test_nothing_of_a_connection_that_could_not_be_made_is_left_in_the_loop(network: Http2Network) -> None:
    """asyncio had half of a transport for its socket."""
    half = SimpleNamespace(is_closing=lambda: False, get_protocol=SimpleNamespace, _sock=Mock())
    network.loop._transports = {-1: half}
    network.refuses = OSError(22, "Invalid argument")
    assert network.send().sent_state is SentState.NEVER_SENT
    assert network.loop._transports == {}


def test_a_connection_that_is_made_after_the_end_of_its_pool_is_closed(network: Http2Network) -> None:
    """A call had begun just before."""

    async def run() -> Any:
        pool = await network.transport._http2.sessions.get()
        await pool.close()
        return await network.exchange()

    assert network.run(run()).sent_state is SentState.NEVER_SENT
    assert not is_open(network.server)


def test_closing_ends_what_is_open_and_what_is_being_made(network: Http2Network) -> None:
    """Each call fails, and nothing is left."""

    async def run() -> None:
        first = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(1.0)
        network.connecting = 5.0
        network.server.says(settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1}))
        second = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(1.0)
        await network.transport.close_async()
        one, other = await first, await second
        assert (one.sent_state, other.sent_state) == (SentState.ABANDONED, SentState.NEVER_SENT)
        assert one.message == other.message == "this HttpServiceClient was closed during the call"
        await asyncio.sleep(9.0)

    network.run(run())
    assert [is_open(server) for server in network.servers] == [False]


def test_a_connection_that_is_drained_closes_after_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where it has none. It is not counted as idle."""
    idle = IdleConnections(5)
    network = Http2Network(monkeypatch, idle=idle)
    drain = network.transport._http2.drain

    async def run() -> None:
        task = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(1.0)
        drain()
        assert is_open(network.server)
        network.server.says(head(1, ends=True))
        assert (await task).status_code == 200

    network.run(run())
    assert not is_open(network.server)
    assert len(idle) == 0
    network.close()


def test_a_connection_that_is_made_after_the_drain_is_not_counted_as_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It serves the call that had begun before, and closes."""
    idle = IdleConnections(5)
    network = Http2Network(monkeypatch, idle=idle)
    network.connecting = 1.0
    network.at(0.5, network.transport._http2.drain)
    network.at(1.5, lambda: network.server.says(head(1, ends=True)))
    assert network.send().status_code == 200
    assert not is_open(network.server)
    assert len(idle) == 0
    network.close()


def test_an_idle_connection_that_is_drained_closes_at_once(network: Http2Network) -> None:
    answer(network, 1)
    network.transport._http2.drain()
    assert not is_open(network.server)


def test_a_pool_keeps_nothing_of_a_connection_that_has_ended(network: Http2Network) -> None:
    """Nor of its origin."""
    network.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}

    async def run() -> Any:
        tasks = [asyncio.ensure_future(network.exchange()) for _ in range(2)]
        await asyncio.sleep(1.0)
        for server in network.servers:
            server.says(head(1, ends=True))
        await asyncio.gather(*tasks)
        return await network.transport._http2.sessions.get()

    pool = network.run(run())
    first, second = (server.connection for server in network.servers)
    first.close()
    assert pool._connections == {"https://a.test": [second]}
    second.close()
    assert pool._connections == {}


def test_the_sockets_of_a_loop_that_has_ended_are_closed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can run nothing any more."""
    idle = IdleConnections(5)
    network = Http2Network(monkeypatch, idle=idle)
    answer(network, 1)
    pool = network.run(network.transport._http2.sessions.get())
    sock = network.server.wire._sock = Mock()  # type: ignore[attr-defined]  # as asyncio's has it
    pool.abandon()
    sock.close.assert_called_once_with()
    assert (len(idle), pool._connections, pool.closed) == (0, {}, True)
    network.close()
