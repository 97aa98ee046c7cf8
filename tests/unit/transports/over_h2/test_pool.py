"""The HTTP/2 connections of a loop, in virtual time: which one a call gets, when one is made, and how long it is kept."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client import HttpRequest
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import ConnectError, ConnectionLostError, ConnectTimeoutError, SentState
from http_service_client.transports.idle import IdleConnections
from kit.http2_frames import FrameServer, data, go_away, head, reset, settings
from kit.http2_network import Http2Network


def is_open(server: FrameServer) -> bool:
    return not server.wire.is_aborted


def answer(network: Http2Network, stream_id: int, within: float = 0.1) -> None:
    """A call that is answered soon, by the latest server."""
    network.at(within, head(stream_id), data(stream_id, b"ok", ends=True))
    response = network.send()
    assert response.content == b"ok"


def test_calls_share_a_connection(network: Http2Network) -> None:
    """One after the other, and at the same time, also while it is being made."""
    network.connecting = 1.0

    async def run() -> list[Any]:
        tasks = [asyncio.ensure_future(network.exchange()) for _ in range(3)]
        await asyncio.sleep(1.5)
        network.server.says(*(head(stream_id, ends=True) for stream_id in (1, 3, 5)))
        return [(await task).status_code for task in tasks]

    assert network.run(run()) == [200, 200, 200]
    answer(network, 7)
    assert len(network.servers) == 1


def test_a_full_connection_gets_another_beside_it(network: Http2Network) -> None:
    """And is used again when a stream has ended."""
    network.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}

    async def run() -> None:
        one, other = (asyncio.ensure_future(network.exchange()) for _ in range(2))
        await asyncio.sleep(1.0)
        for server in network.servers:
            server.says(head(1, ends=True))
        assert [(await task).status_code for task in (one, other)] == [200, 200]

    network.run(run())
    assert len(network.servers) == 2
    network.at(0.1, lambda: network.servers[0].says(head(3, ends=True)))
    assert network.send().status_code == 200
    assert len(network.servers) == 2


def test_a_server_that_takes_no_streams_gets_no_second_connection(network: Http2Network) -> None:
    """It would not help. Later, it may take some."""
    network.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 0}
    failure = network.send()
    assert (failure.error_type, failure.sent_state) == (ConnectionLostError, SentState.REFUSED)
    assert failure.message == (
        "https://a.test/path?q=1: the server takes no streams now (MAX_CONCURRENT_STREAMS is 0)"
    )
    assert len(network.servers) == 1
    network.server.says(settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1}))
    answer(network, 1)
    assert len(network.servers) == 1


@pytest.mark.parametrize("how", ["GOAWAY", "closed", "reset by the server"])
def test_a_connection_that_has_ended_is_replaced(network: Http2Network, how: str) -> None:
    answer(network, 1)
    if how == "GOAWAY":
        network.server.says(go_away(1))
    elif how == "closed":
        network.server.connection.close()
    else:
        network.server.connection.connection_lost(ConnectionResetError())
    answer(network, 1)
    assert len(network.servers) == 2
    answer(network, 3)
    assert len(network.servers) == 2


@pytest.mark.parametrize(("after", "connections"), [(59.0, 1), (61.0, 2)])
def test_an_idle_connection_is_used_for_a_minute(
    network: Http2Network, after: float, connections: int
) -> None:
    """As the settings say; then it is closed, without another call."""
    answer(network, 1)
    network.run(asyncio.sleep(after))
    assert is_open(network.server) is (connections == 1)
    answer(network, 3 if connections == 1 else 1)
    assert len(network.servers) == connections


@pytest.mark.parametrize("uses", [0, 1, 5])
def test_the_minute_begins_with_the_latest_use(network: Http2Network, uses: int) -> None:
    """To the second, however often it was used."""
    answer(network, 1)
    for number in range(uses):
        network.run(asyncio.sleep(33.0))
        answer(network, 3 + 2 * number)
    ended = network.now
    network.run(asyncio.sleep(59.9))
    assert is_open(network.server)
    network.run(asyncio.sleep(0.2))
    assert not is_open(network.server)
    assert network.now == pytest.approx(ended + 60.1)


def test_a_connection_in_use_is_not_idle(network: Http2Network) -> None:
    """However long the call takes. The minute begins when it has ended."""
    answer(network, 1, within=150.0)
    network.run(asyncio.sleep(59.0))
    assert is_open(network.server)
    network.run(asyncio.sleep(62.0))
    assert not is_open(network.server)


def test_a_connection_serves_so_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is closed, and the next call gets another one."""
    network = Http2Network(monkeypatch, keep_alive_max_requests=2)
    for stream_id in (1, 3, 1, 3, 1):
        answer(network, stream_id)
    assert [is_open(server) for server in network.servers] == [False, False, True]
    network.close()


def test_a_connection_that_is_too_old_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the next call comes: it is looked up again."""
    network = Http2Network(monkeypatch, max_connection_age=30.0)
    answer(network, 1)
    network.run(asyncio.sleep(31.0))
    answer(network, 1)
    assert [is_open(server) for server in network.servers] == [False, True]
    network.close()


def test_idle_connections_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are too many are closed, also by other pools. One in use is none of them."""
    idle = IdleConnections(1)
    network = Http2Network(monkeypatch, idle=idle)
    answer(network, 1)
    assert len(idle) == 1

    async def run() -> None:
        task = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(1.0)
        assert len(idle) == 0
        network.server.says(head(3, ends=True))
        await task

    network.run(run())
    assert len(idle) == 1
    assert idle.drop_all() == 1
    network.run(asyncio.sleep(0.1))
    assert not is_open(network.server)
    answer(network, 1)
    network.server.connection.close()
    assert len(idle) == 0
    network.close()


def test_where_no_idle_connection_is_kept_a_new_one_serves_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not idle before that."""
    network = Http2Network(monkeypatch, idle=IdleConnections(0))
    answer(network, 1)
    assert not is_open(network.server)
    answer(network, 1)
    assert len(network.servers) == 2
    network.close()


@pytest.mark.parametrize(("limit", "closes_after"), [(0, 1.0), (1, 60.0)])
def test_a_connection_whose_calls_have_left_is_idle_after_a_second(
    monkeypatch: pytest.MonkeyPatch, limit: int, closes_after: float
) -> None:
    """At the very moment in which it was made. Another call may use it."""
    network = Http2Network(monkeypatch, idle=IdleConnections(limit))

    async def run() -> None:
        task = asyncio.ensure_future(network.exchange())
        network.made = lambda: network.loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        network.made = None
        await asyncio.sleep(0.5)

    network.run(run())
    assert network.server.sent() == []
    made = network.now
    network.run(asyncio.sleep(closes_after - 0.6))
    assert is_open(network.server)
    network.run(asyncio.sleep(0.2))
    assert not is_open(network.server)
    assert network.now - made < closes_after


def test_the_minute_is_not_cut_short_by_an_earlier_one(network: Http2Network) -> None:
    """The timer was set for the use before."""
    answer(network, 1)
    network.run(asyncio.sleep(0.92))
    answer(network, 3, within=0.03)
    network.run(asyncio.sleep(60.5 - network.now))
    assert is_open(network.server)
    network.run(asyncio.sleep(1.0))
    assert not is_open(network.server)


@pytest.mark.parametrize("keeps", [60.0, 0.01])
def test_a_connection_has_one_timer(monkeypatch: pytest.MonkeyPatch, keeps: float) -> None:
    """Which is not set again and again while it is used, nor after its end."""
    network = Http2Network(monkeypatch, keep_alive_timeout=keeps)
    timers: list[float] = []
    call_later = network.loop.call_later

    def counted(delay: float, *arguments: Any, **options: Any) -> Any:
        timers.append(delay)
        return call_later(delay, *arguments, **options)

    network.at(100.0, lambda: network.server.says(head(1, ends=True)))
    monkeypatch.setattr(network.loop, "call_later", counted)
    assert network.send().status_code == 200
    assert len(timers) <= (3 if keeps == 60.0 else 101)
    network.server.connection.close()
    timers.clear()
    network.run(asyncio.sleep(200.0))
    assert len(timers) <= 1  # the sleep's
    network.close()


def test_an_unused_connection_that_has_ended_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be counted."""
    idle = IdleConnections(5)
    network = Http2Network(monkeypatch, idle=idle)

    async def run() -> None:
        task = asyncio.ensure_future(network.exchange())
        network.made = lambda: network.loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        network.server.connection.connection_lost(None)
        await asyncio.sleep(2.0)

    network.run(run())
    assert len(idle) == 0
    network.close()


def test_a_silent_server_is_asked_before_the_next_call(network: Http2Network) -> None:
    """By a PING: after a failover, nothing says that a connection is dead."""

    answer(network, 1)
    network.server.sent()

    async def run() -> list[str]:
        await asyncio.sleep(1.0)
        tasks = [asyncio.ensure_future(network.exchange())]
        await asyncio.sleep(1.5)
        tasks.append(asyncio.ensure_future(network.exchange()))
        await asyncio.sleep(0.1)
        sent = network.server.sent()
        network.server.says(head(3, ends=True), head(5, ends=True))
        await asyncio.gather(*tasks)
        return sent

    assert network.run(run()) == ["HEADERS 3 end", "PING 0", "HEADERS 5 end"]


# Sessions of TLS.


def test_the_session_of_a_connection_is_kept(network: Http2Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: when it becomes idle, or ends before that. Not that of a handshake that failed."""
    sessions: list[Mock] = []
    monkeypatch.setattr(
        "http_service_client.transports.over_h2.pool.resumption_for",
        lambda context, peer: sessions.append(Mock(peer=peer)) or sessions[-1],
    )
    answer(network, 1)
    assert sessions[0].peer == ("a.test", 443, None, None)
    answer(network, 3)
    network.server.connection.close()
    network.at(1.0, lambda: network.server.connection.connection_lost(None))
    assert network.send().error_type is ConnectionLostError
    network.refuses = ConnectionResetError(104, "Connection reset by peer")
    assert network.send().error_type is ConnectError
    assert [len(each.keep.mock_calls) for each in sessions] == [1, 1, 0]
    assert [len(each.failed.mock_calls) for each in sessions] == [0, 0, 1]
    assert len(network.closed_sockets) == 1


# Connecting.


def test_a_connection_that_nobody_waits_for_is_not_made(network: Http2Network) -> None:
    """The last call has left. One that comes later connects again."""
    network.connecting = 2.0
    assert network.send(timeout=Timeout(total=0.5)).error_type is ConnectTimeoutError
    network.run(asyncio.sleep(5.0))
    assert network.servers == []
    answer(network, 1, within=2.5)
    assert len(network.servers) == 1


def test_each_call_waits_for_a_connection_within_its_own_time(network: Http2Network) -> None:
    """The one that leaves does not end it for the others."""
    network.connecting = 2.0

    async def run() -> None:
        one = asyncio.ensure_future(network.exchange(timeout=Timeout(connect=1.0)))
        other = asyncio.ensure_future(network.exchange(timeout=Timeout(connect=9.0)))
        failure = await one
        assert (failure.error_type, network.now) == (ConnectTimeoutError, 1.0)
        await asyncio.sleep(1.5)
        network.server.says(head(1, ends=True))
        assert (await other).status_code == 200

    network.run(run())
    assert len(network.servers) == 1


def test_a_connection_that_fails_fails_each_call_that_waits(network: Http2Network) -> None:
    """A later one connects again."""
    network.connecting, network.refuses = 1.0, ConnectionRefusedError(111, "Connection refused")

    async def run() -> list[Any]:
        return await asyncio.gather(*(network.exchange() for _ in range(3)))

    assert [failure.error_type for failure in network.run(run())] == [ConnectError] * 3
    assert network.now == 1.0
    network.refuses = None
    answer(network, 1, within=1.5)


def test_a_server_that_closes_each_new_connection_fails_the_call(
    network: Http2Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not get one after another."""
    network.closes = True
    failure = network.send()
    assert (failure.error_type, failure.sent_state) == (ConnectError, SentState.NEVER_SENT)
    assert len(network.servers) == 1


@pytest.mark.parametrize(("after", "asks"), [(599.0, 1), (600.0, 2), (601.0, 2)])
def test_a_server_without_http2_is_remembered(network: Http2Network, after: float, asks: int) -> None:
    """For ten minutes: its calls go over HTTP/1.1. The connection is closed unused."""
    network.protocol = "http/1.1"
    assert network.send(timeout=Timeout(total=9.0)).content == b"over HTTP/1.1"
    assert not is_open(network.server)
    network.run(asyncio.sleep(after))
    assert network.send().content == b"over HTTP/1.1"
    assert len(network.servers) == asks
    assert [(request.url, timeout.total) for request, timeout in network.http1] == [
        ("https://a.test/path?q=1", 9.0),
        ("https://a.test/path?q=1", None),
    ]


def test_so_many_servers_without_http2_are_remembered(network: Http2Network) -> None:
    """1024; the oldest is forgotten first."""
    network.protocol = "http/1.1"

    def asks(number: int) -> bool:
        before = len(network.servers)
        request = HttpRequest("GET", f"https://{number}.test/")
        network.run(network.transport.send_async(request, Timeout()))
        return len(network.servers) > before

    assert all(asks(number) for number in range(1024))
    assert not asks(0)
    assert asks(1024)
    assert not asks(1)
    assert asks(0)


def test_the_handshake_counts_in_the_time_of_the_exchange_over_http1(network: Http2Network) -> None:
    """At least a millisecond is left."""
    network.protocol, network.connecting = "http/1.1", 2.0
    network.send(timeout=Timeout(total=5.0, read=1.0))
    assert network.http1[0][1] == Timeout(total=3.0, read=1.0)


def test_each_origin_has_its_own_connection(network: Http2Network) -> None:
    for number, host in enumerate(("a.test", "b.test", "a.test:444")):
        network.at(0.1, head(1, ends=True))
        request = HttpRequest("GET", f"https://{host}/")
        assert network.run(network.transport.send_async(request, Timeout())).status_code == 200
        assert len(network.servers) == number + 1


def test_a_stream_that_is_lost_leaves_the_connection(network: Http2Network) -> None:
    network.at(0.1, reset(1))
    assert network.send().error_type is ConnectionLostError
    answer(network, 3)
    assert len(network.servers) == 1
