"""HTTP/2: timeouts and sizes, of one stream among others on its connection."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from http_service_client import HttpServiceClient, Timeout, TimeoutPolicy
from http_service_client.errors import AttemptTimeoutError, HttpClientError, OperationTimeoutError
from http_service_client.transports.over_h2 import liveness
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from kit.threads import wait_until
from network.faults import Certificates, failing, served
from network.http2_calls import ok


def never(exchange: Exchange) -> None:
    """No response."""


def test_a_timeout_ends_its_own_call_alone(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """On time, while another call on the connection waits for longer; its stream is reset."""
    slow: list[Exchange] = []
    http2_server.on("/first", ok)
    http2_server.on("/slow", slow.append)
    http2_server.on("/stalled", never)
    front_end.request(http2_client, "GET", http2_server.url + "/first")

    def answer() -> None:
        stalled = next(each for each in http2_server.exchanges if each.path == "/stalled")
        assert stalled.was_cancelled.wait(5)
        slow[0].respond(body=b"in the end")

    results: dict[str, Any] = {}
    if isinstance(front_end, AsyncioFrontEnd):

        async def run() -> None:
            slow_call = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/slow", timeout=5))
            while not slow:
                await asyncio.sleep(0.001)
            try:
                await http2_client.get_async(http2_server.url + "/stalled", timeout=0.1, retry_policy=None)
            except HttpClientError as error:
                results["error"] = error
            await asyncio.get_running_loop().run_in_executor(None, answer)
            results["slow"] = await slow_call

        front_end.loop.run_until_complete(run())
    else:
        thread = threading.Thread(
            target=lambda: results.update(slow=http2_client.get(http2_server.url + "/slow", timeout=5))
        )
        thread.start()
        while not slow:
            time.sleep(0.001)
        caught = failing_while_busy(http2_client, http2_server.url + "/stalled", timeout=0.1)
        results["error"] = caught
        answer()
        thread.join(5)
    assert type(results["error"]).__name__ == "AttemptTimeoutError"
    assert results["error"].sent_state.value == "maybe_processed"
    assert results["slow"].content == b"in the end"
    stalled = next(each for each in http2_server.exchanges if each.path == "/stalled")
    assert stalled.cancelled == ErrorCodes.CANCEL
    assert len(http2_server.connections) == 1


def failing_while_busy(client: HttpServiceClient, url: str, **options: Any) -> HttpClientError:
    with pytest.raises(HttpClientError) as caught:
        client.get(url, retry_policy=None, **options)
    return caught.value


def test_a_connection_that_was_silent_gets_no_other_call(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Nothing arrived since the request: it may be dead, and each call on it would wait for its timeout."""

    def go_deaf(exchange: Exchange) -> None:
        exchange.connection.transport.pause_reading()

    http2_server.on("/", go_deaf, ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=0.1)
    assert (caught.type, caught.sent) == ("AttemptTimeoutError", "maybe_processed")
    assert front_end.request(http2_client, "GET", http2_server.url + "/").text == "ok"
    assert len(http2_server.connections) == 2


def test_a_dead_connection_is_not_kept_in_use_by_calls_that_are_cancelled(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller's patience may be shorter than all timeouts: each call would be lost on it until it is too old."""
    monkeypatch.setattr(liveness, "_SILENCE", 0.05)
    http2_server.on("/", ok, never, ok)
    url = http2_server.url + "/"
    front_end.request(http2_client, "GET", url)
    if isinstance(front_end, AsyncioFrontEnd):
        with pytest.raises(asyncio.TimeoutError):
            front_end.loop.run_until_complete(asyncio.wait_for(http2_client.get_async(url), 0.2))
    else:
        with pytest.raises(OperationTimeoutError):
            TimeoutPolicy(0.2).apply(lambda: http2_client.get(url))()
    assert front_end.request(http2_client, "GET", url).text == "ok"
    assert len(http2_server.connections) == 2


def test_a_slow_server_keeps_its_connection_when_calls_are_cancelled(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers the PING that goes with the cancellation. Else each call that is given up would cost a connection."""
    monkeypatch.setattr(liveness, "_SILENCE", 0.05)
    http2_server.on("/open", lambda exchange: exchange.head(200))
    http2_server.on("/slow", never)
    http2_server.on("/", ok)

    def goes_over_the_first_connection() -> bool:
        front_end.request(http2_client, "GET", http2_server.url + "/")
        return http2_server.exchanges[-1].connection is http2_server.connections[0]

    with front_end.stream(http2_client, "GET", http2_server.url + "/open"):
        with pytest.raises(AttemptTimeoutError):
            front_end.request(http2_client, "GET", http2_server.url + "/slow", timeout=0.2, retry_policy=None)
        wait_until(goes_over_the_first_connection)
    assert http2_server.connections[0].pings == 1


def test_an_answer_that_the_loop_has_not_read_yet_is_one(
    http2_client: HttpServiceClient, http2_server: Http2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's own code may hold its loop for longer than a PING takes. Its server is not to blame."""
    monkeypatch.setattr(liveness, "_SILENCE", 0.05)
    http2_server.on("/", ok)
    http2_server.on("/slow", never)

    async def run() -> None:
        async with http2_client:
            await http2_client.get_async(http2_server.url + "/")
            first = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/slow"))
            await asyncio.sleep(0.06)
            second = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/slow"))
            while not http2_server.connections[0].pings:
                await asyncio.sleep(0)
                time.sleep(0.02)
            time.sleep(0.06)
            assert (await http2_client.get_async(http2_server.url + "/")).text == "ok"
            for call in (first, second):
                call.cancel()

    asyncio.run(run())
    assert len(http2_server.connections) == 1


@pytest.mark.parametrize(("silence", "connections"), [(1e-9, 2), (60.0, 1)])
def test_new_calls_do_not_join_those_that_wait_on_a_dead_connection(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
    silence: float,
    connections: int,
) -> None:
    """They would be lost until the first of these times out. A server that is slow keeps its one connection."""
    monkeypatch.setattr(liveness, "_LONG_SILENCE", silence)
    waiting: list[Exchange] = []
    http2_server.on("/first", ok)
    http2_server.on("/waits", waiting.append)
    http2_server.on("/new", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/first")
    if isinstance(front_end, AsyncioFrontEnd):

        async def run() -> str:
            waits = asyncio.ensure_future(http2_client.get_async(http2_server.url + "/waits"))
            await asyncio.to_thread(wait_until, lambda: bool(waiting))
            found = await http2_client.get_async(http2_server.url + "/new")
            waiting[0].respond()
            await waits
            return found.text

        assert front_end.loop.run_until_complete(run()) == "ok"
    else:
        thread = threading.Thread(target=http2_client.get, args=(http2_server.url + "/waits",))
        thread.start()
        wait_until(lambda: bool(waiting))
        assert http2_client.get(http2_server.url + "/new").text == "ok"
        waiting[0].respond()
        thread.join(10)
    assert len(http2_server.connections) == connections


@pytest.mark.parametrize(
    ("timeout", "kind", "words"),
    [
        (Timeout(total=5, read=0.1), "ReadTimeoutError", "nothing arrived for 0.1 s"),
        (Timeout(total=5, first_byte=0.1), "ReadTimeoutError", "no first byte within 0.1 s"),
        (Timeout(total=0.1), "AttemptTimeoutError", "no complete response"),
    ],
)
def test_the_limits_of_a_response(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    timeout: Timeout,
    kind: str,
    words: str,
) -> None:
    """Each ends the exchange by its own error."""
    http2_server.on("/", never)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=timeout)
    assert (caught.type, caught.sent) == (kind, "maybe_processed")
    assert words in caught.message
    caught.check_took(0.1)


def test_the_wait_between_two_pieces_is_limited(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """`between` holds once the head has arrived."""

    def half(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.data(b"half")

    http2_server.on("/", half)
    timeout = Timeout(total=5, read=4, between=0.1)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/", timeout=timeout)
    assert (caught.type, caught.sent) == ("ReadTimeoutError", "maybe_processed")
    caught.check_took(0.1)


def test_an_upload_that_is_not_accepted_times_out(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """The server opens no window: `write` bounds that."""
    http2_server.on("/", never, early=True)  # such a path acknowledges no data
    timeout = Timeout(total=5, write=0.1)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
    caught.check_took(0.1)


def test_an_upload_that_is_not_accepted_times_out_on_a_busy_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """What the server accepts of other streams opens the window of the connection, and is no progress of this one."""

    def busy(exchange: Exchange) -> None:
        with suppress(H2Error):  # once the connection is closed
            exchange.connection.do(lambda h2: h2.increment_flow_control_window(1))
            http2_server.loop.call_later(0.02, busy, exchange)

    http2_server.on("/", busy, early=True)
    timeout = Timeout(total=15, write=0.2)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")


def test_an_upload_that_times_out_is_reset_and_never_complete(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A body of which a part was accepted must not look like a whole one, which would break the rules of HTTP/2."""

    def talking(exchange: Exchange) -> None:  # else the client would take the connection for a dead one
        with suppress(H2Error):  # once the connection is closed
            exchange.connection.do(lambda h2: h2.ping(b"are you?"))
            http2_server.loop.call_later(0.02, talking, exchange)

    http2_server.on("/", talking, early=True)
    http2_server.on("/next", ok)
    timeout = Timeout(total=15, write=0.2)
    caught = failing(
        front_end, http2_client, "POST", http2_server.url + "/", data=b"x" * 200_000, timeout=timeout
    )
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
    upload = http2_server.exchanges[0]
    assert upload.was_cancelled.wait(5)
    assert (upload.cancelled, upload.is_whole.is_set()) == (ErrorCodes.CANCEL, False)
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert http2_server.errors == []  # of the connection, with which other calls would be lost


def test_an_upload_ends_with_its_connection_whatever_its_window(
    front_end: FrontEnd, new_client: NewClient, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has gone, and its window would take all of it. asyncio logs each piece that it drops."""

    def leave(exchange: Exchange) -> None:
        exchange.connection.do(lambda h2: h2.increment_flow_control_window(2**30))
        exchange.hang_up()

    with Http2Server(
        certificates.server_context(), settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    ) as server:
        server.on("/", ok)
        server.on("/upload", leave, early=True)
        client = new_client(enable_circuit_breaker=False)
        for _ in range(5):
            front_end.request(client, "GET", server.url + "/")  # the window is known
            caught = failing(front_end, client, "POST", server.url + "/upload", data=b"x" * 20_000_000)
            assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_handshake_that_stalls_is_never_sent(front_end: FrontEnd, new_client: NewClient, mute: str) -> None:
    """The connect timeout covers TLS."""
    client = new_client()
    timeout = Timeout(total=5, connect=0.1)
    caught = failing(front_end, client, "POST", f"https://{mute}/", timeout=timeout)
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    assert "within the connect timeout" in caught.message
    caught.check_took(0.1)


def test_a_server_that_hangs_up_in_the_handshake_is_never_sent(
    front_end: FrontEnd, new_client: NewClient
) -> None:
    """Nothing of the request had left."""
    with served(lambda accepted, is_over: accepted.recv(1)) as address:
        caught = failing(front_end, new_client(), "POST", f"https://{address}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")


def test_a_port_that_refuses_is_never_sent(front_end: FrontEnd, new_client: NewClient) -> None:
    """The same error as over HTTP/1.1."""
    caught = failing(front_end, new_client(), "POST", "https://127.0.0.1:1/")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectError",
        "never_sent",
        "ConnectionRefusedError",
    )
