"""HTTP/2: how many connections are made, which calls wait for them, and which are kept."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client import ConnectionPoolConfig, ConstantBackoff, HttpServiceClient, RetryPolicy, Timeout
from http_service_client.drivers.portal import WIRE
from http_service_client.events import CallFinished
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.pool import Http2Pool
from http_service_client.transports.over_h2.transport import _Http2
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from kit.threads import Held
from network.faults import Certificates, failing
from network.http2_calls import each_at_once, ok


def check_is_lost(front_end: FrontEnd, http2_server: Http2Server) -> None:
    """The client has closed its first connection, or does so soon."""
    if isinstance(front_end, AsyncioFrontEnd):  # its loop has to run
        lost = asyncio.to_thread(http2_server.connections[0].is_lost.wait, 5)
        assert front_end.loop.run_until_complete(lost)
    assert http2_server.connections[0].is_lost.wait(5)


def test_a_server_that_takes_no_streams_gets_no_further_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """MAX_CONCURRENT_STREAMS may be 0 for a while (RFC 9113, 6.5.2). The call was not sent; the connection is kept."""

    def allow(exchange: Exchange, streams: int) -> None:
        settings = {SettingCodes.MAX_CONCURRENT_STREAMS: streams}
        exchange.connection.do(lambda h2: h2.update_settings(settings))

    def pause(exchange: Exchange) -> None:
        allow(exchange, 0)
        ok(exchange)

    http2_server.on("/", pause, ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    caught = failing(front_end, http2_client, "POST", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ConnectionLostError", "refused")
    assert "takes no streams now" in caught.message
    allow(http2_server.exchanges[0], 1)
    # Until the client has read that frame.
    patient = RetryPolicy(max_attempts=50, backoff_strategy=ConstantBackoff(0.05))
    response = front_end.request(http2_client, "POST", http2_server.url + "/", retry_policy=patient)
    assert response.text == "ok"
    assert (len(http2_server.connections), len(http2_server.exchanges)) == (1, 2)


@pytest.mark.parametrize("ending", ["idle", "ended"])
def test_later_connections_resume_the_session_of_an_earlier_one(
    front_end: FrontEnd, certificates: Certificates, http2_server: Http2Server, ending: str, tmp_path: Path
) -> None:
    """From the third one on, as over HTTP/1.1; whoever ends the connection."""
    http2_server.on("/", *[(ok if ending == "idle" else ok_and_hang_up)] * 3)
    # A file of its own, so that the context is, too: the port may be that of an earlier server, whom the shared one knows.
    authority = shutil.copy(certificates.ca_file, tmp_path / "authority.pem")
    pool = ConnectionPoolConfig(ssl_ca_file=authority)
    client = front_end.client(http2=True, base_timeout=5.0, connection_pool=pool)
    for _ in range(3):
        assert front_end.request(client, "GET", http2_server.url + "/").text == "ok"
        client.drop_idle_connections()
    secured = [each.transport.get_extra_info("ssl_object") for each in http2_server.connections]
    assert [each.session_reused for each in secured] == [False, False, True]


def ok_and_hang_up(exchange: Exchange) -> None:
    ok(exchange)
    exchange.hang_up()


def test_where_no_idle_connection_is_kept_a_new_one_serves_its_call(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server
) -> None:
    """`max_idle_connections=0`: each call has its connection, which is closed after it."""
    http2_server.on("/", ok)
    client = new_client({"max_idle_connections": 0})
    for number in (1, 2):
        assert front_end.request(client, "POST", http2_server.url + "/", retry_policy=None).text == "ok"
        assert len(http2_server.connections) == number
        assert http2_server.connections[-1].is_lost.wait(5)


def test_a_connection_that_ends_before_it_is_used_fails_the_attempt(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a server must not get one connection after another within one attempt. Nothing was sent."""
    made: list[Http2Connection] = []
    connection_made = Http2Connection.connection_made

    def lose(self: Http2Connection, transport: Any) -> None:
        made.append(self)
        connection_made(self, transport)
        self.connection_lost(None)

    monkeypatch.setattr(Http2Connection, "connection_made", lose)
    caught = failing(front_end, http2_client, "POST", http2_server.url + "/", timeout=Timeout(connect=0.5))
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    assert len(made) == 1


def test_a_call_with_a_longer_connect_timeout_outlives_the_one_that_it_joined(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server
) -> None:
    """Both wait for one connection; each has its own time."""
    http2_server.on("/", ok)
    held = Held()
    http2_server.loop.call_soon_threadsafe(held)  # it does not respond before the first call has ended
    assert held.began.wait(5)
    http2_client = new_client(
        on_event=lambda event: held.may_end.set() if isinstance(event, CallFinished) else None
    )
    url = http2_server.url + "/"
    short, long = ((url, {"timeout": Timeout(connect=seconds), "retry_policy": None}) for seconds in (0.1, 5))
    first, second = each_at_once(http2_client, front_end, [short, long])
    assert type(first).__name__ == "ConnectTimeoutError"
    assert second.text == "ok"
    assert len(http2_server.connections) == 1


def test_a_connection_that_is_being_made_when_the_client_is_closed(
    http2_server: Http2Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves the call that waits for it, and is not kept after that."""
    http2_server.on("/", ok)
    begins, may_end = threading.Event(), threading.Event()

    def stall() -> None:
        begins.set()
        may_end.wait(5)

    with BlockingFrontEnd() as front_end:
        client = front_end.client(
            http2=True, connection_pool=certificates.pool(keep_alive_timeout=60.0), base_timeout=5.0
        )
        http2_server.loop.call_soon_threadsafe(stall)
        assert begins.wait(5)
        is_connecting = threading.Event()
        init = Http2Connection.__init__

        def begin(self: Http2Connection, *arguments: Any) -> None:
            init(self, *arguments)
            is_connecting.set()

        monkeypatch.setattr(Http2Connection, "__init__", begin)
        texts: list[str] = []
        thread = threading.Thread(target=lambda: texts.append(client.get(http2_server.url + "/").text))
        thread.start()
        assert is_connecting.wait(5)
        client.close()
        may_end.set()
        thread.join(5)
        assert texts == ["ok"]
        assert http2_server.connections[0].is_lost.wait(5)


def test_a_connection_that_is_drained_before_its_first_call_serves_it(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call has waited for it and is about to use it. The connection is closed after that."""
    http2_server.on("/", ok)
    connect = Http2Pool._connect

    async def connect_and_drain(self: Http2Pool, *arguments: Any) -> Any:
        connection = await connect(self, *arguments)
        self.drain()  # as if the client was closed at this instant
        return connection

    monkeypatch.setattr(Http2Pool, "_connect", connect_and_drain)
    assert front_end.request(http2_client, "GET", http2_server.url + "/").text == "ok"
    check_is_lost(front_end, http2_server)


def test_a_first_call_that_begins_as_the_client_is_closed_leaves_no_connection(
    front_end: FrontEnd,
    new_client: NewClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection is not even begun then, so nothing is there yet that could be drained."""
    http2_server.on("/", ok)
    begin = _Http2.begin

    def drain_and_begin(self: _Http2, *arguments: Any) -> Any:
        self.drain()  # as `close` does
        return begin(self, *arguments)

    monkeypatch.setattr(_Http2, "begin", drain_and_begin)
    client = new_client({"keep_alive_timeout": 60.0})
    assert front_end.request(client, "GET", http2_server.url + "/").text == "ok"
    check_is_lost(front_end, http2_server)


def test_an_event_loop_that_gets_no_file_fails_the_attempt(
    certificates: Certificates, http2_server: Http2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocking calls share one in the background, which the first of them starts. Nothing was sent."""
    http2_server.on("/", ok)
    new_loop, refused = asyncio.new_event_loop, list[None]()

    def refuse_once() -> asyncio.AbstractEventLoop:
        if not refused:
            refused.append(None)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return new_loop()

    WIRE.stop()
    monkeypatch.setattr(asyncio, "new_event_loop", refuse_once)
    with BlockingFrontEnd() as front_end:
        retries = {"initial_delay": 0.0}
        client = front_end.client(
            http2=True, connection_pool=certificates.pool(), retry_policy_config=retries
        )
        response = front_end.request(client, "POST", http2_server.url + "/", data=b"pay")
    assert (response.http_version, response.attempts) == ("HTTP/2", 2)
    assert "could not connect to" in response.explain()


def test_a_response_that_is_cut_short_ends_its_upload(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Or the stream would stay open for the server, and count as one of those that it allows."""
    http2_server.on(
        "/", lambda exchange: exchange.respond(200, [("content-length", "10")], b"half"), early=True
    )
    caught = failing(front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000)
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert http2_server.exchanges[0].was_cancelled.wait(5)


@pytest.mark.parametrize("after", [0.0, 0.2])
def test_an_idle_connection_is_closed_without_another_call(
    front_end: FrontEnd,
    new_client: NewClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
    after: float,
) -> None:
    """After `keep_alive_timeout`, whether its only call was short or longer than that."""
    monkeypatch.setattr("http_service_client.transports.over_h2.pool._UNUSED", 0.1)
    http2_server.on("/", lambda exchange: threading.Timer(after, ok, [exchange]).start())
    client = new_client({"keep_alive_timeout": 0.05})
    assert front_end.request(client, "GET", http2_server.url + "/").text == "ok"
    check_is_lost(front_end, http2_server)


def test_calls_leave_no_timers_behind(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection becomes idle after each of many calls; one timer watches it."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    timers: list[Any] = []
    call_later = asyncio.BaseEventLoop.call_later

    def count(loop: Any, delay: float, function: Any, *arguments: Any, **options: Any) -> Any:
        timers.append(function)
        return call_later(loop, delay, function, *arguments, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_later", count)
    for _ in range(20):
        front_end.request(http2_client, "GET", http2_server.url + "/")
    assert len(timers) < 10
    assert len(http2_server.connections) == 1
