"""What ends an exchange of an event loop, in virtual time: its connection, its client, its task; and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import errors
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure, SentState
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.transports.failures import Phase, PhaseError, ProxyRefusedError
from http_service_client.transports.over_aiohttp.exchange import Exchange
from http_service_client.transports.over_aiohttp.pool import Pool
from kit.http1_network import OK, URL, Http1Network, about, told

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nX-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
MAYBE, NEVER = SentState.MAYBE_PROCESSED, SentState.NEVER_SENT
LOST = f"the connection to {URL} was lost"
WAYS = ["new", "idle"]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Http1Network]:
    made = Http1Network(monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize("begun", [b"", HEAD, CHUNKED], ids=["nothing", "head", "chunked"])
def test_a_connection_that_is_lost_ends_its_exchange(
    network: Http1Network, way: str, timeout: Timeout, begun: bytes
) -> None:
    """With the error of the loss."""
    network.prepared(way)
    if begun:
        network.at(0.5, begun)
    network.at(1.0, lambda: network.wire.loses(ConnectionResetError(104, "x")))
    assert told(network.send(timeout=timeout)) == (
        "ConnectionLostError",
        f"{LOST} (ConnectionResetError: Connection reset by peer)",
        MAYBE,
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", "ConnectionLostError", f"{LOST} (ConnectionResetError)"),
        (HEAD + b"o", "ProtocolError", f"the response from {URL} was cut short after 1 bytes"),
        (CHUNKED + b"2\r\no", "ProtocolError", f"the response from {URL} was cut short after 1 bytes"),
    ],
)
def test_a_server_that_closes_in_mid_exchange_ends_it(
    network: Http1Network, way: str, data: bytes, error: str, message: str
) -> None:
    """Also without an error."""
    network.prepared(way)
    if data:
        network.at(0.5, data)
    network.at(1.0, lambda: network.wire.connection.eof_received())
    assert told(network.send())[0::2] == (error, MAYBE)
    assert network.wire.is_aborted


def test_a_body_without_a_length_ends_with_its_connection(network: Http1Network) -> None:
    network.at(0.5, b"HTTP/1.1 200 OK\r\n\r\nall")
    network.at(1.0, lambda: network.wire.connection.eof_received())
    assert about(network.send()) == (200, b"all")
    assert network.wire.is_aborted


@pytest.mark.parametrize(
    ("refusal", "proxy", "error", "state"),
    [
        (ConnectionRefusedError(111, "x"), None, "ConnectError", NEVER),
        (ConnectionRefusedError(111, "x"), "http://proxy.test", "ProxyError", NEVER),
        (PhaseError(Phase.CONNECT, OSError(113, "x")), "http://proxy.test", "ConnectError", NEVER),
        (ProxyRefusedError("407 No"), "http://proxy.test", "ProxyError", NEVER),
        (NotHttpError(detail="x"), "http://proxy.test", "ProxyError", NEVER),
        (errors.EgressRefusedError("x", host="a.test", address=None), None, "EgressRefusedError", NEVER),
        (UnicodeError("x"), None, "ConnectError", NEVER),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_connection_that_cannot_be_made_ends_the_exchange(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception, proxy: str | None, error: str, state: SentState
) -> None:
    """Whoever refused it."""
    network = Http1Network(monkeypatch, proxies=ProxySettings(http=proxy))
    network.refuses = refusal
    failure = network.send()
    assert told(failure)[0::2] == (error, state)
    if error == "ProxyError":
        assert proxy in failure.message
    assert network.ways == [("http://a.test", None if proxy is None else read_proxy(proxy), None)]
    network.close()


def test_a_proxy_that_cannot_be_used_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Http1Network(monkeypatch, proxies=ProxySettings(http="gopher://proxy.test"))
    assert told(network.send())[2] is NEVER
    assert network.ways == []
    network.close()


def test_connections_through_a_proxy_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forwarding proxy gets the whole URL, with or without a connection that waits for it."""
    network = Http1Network(monkeypatch, proxies=ProxySettings(http="http://proxy.test"))
    for timeout in (Timeout(), Timeout(read=1.0), Timeout()):
        network.at(0.1, OK)
        assert about(network.send(timeout=timeout)) == (200, b"ok")
    assert network.wire.written.count(f"GET {URL} HTTP/1.1\r\n".encode()) == 3
    assert len(network.wires) == 1
    network.close()


@pytest.mark.parametrize(
    ("data", "error", "timeout", "are_closed"),
    [
        (b"", ConnectionResetError(), Timeout(), True),
        (b"", None, Timeout(read=1.0), True),
        (b"", None, Timeout(total=1.0), True),
        (HEAD, ConnectionResetError(), Timeout(), False),
        (HEAD, None, Timeout(read=1.0), False),
        (HEAD, None, Timeout(total=1.0), False),
        (b"SSH-2.0\r\n", None, Timeout(), False),
    ],
    ids=[
        "lost",
        "read timeout",
        "timeout",
        "lost in the body",
        "read timeout in it",
        "timeout in it",
        "not HTTP",
    ],
)
def test_a_connection_without_a_response_makes_the_idle_ones_doubtful(
    network: Http1Network, data: bytes, error: Exception | None, timeout: Timeout, are_closed: bool
) -> None:
    """Those that have been idle for longer: the same may have become of them."""

    async def both() -> None:
        await asyncio.gather(network.exchange(), network.exchange())

    network.at(0.5, lambda: [wire.says(OK) for wire in network.wires])
    network.run(both())
    first, second = network.wires

    def used() -> Any:
        return second if first.connection.is_idle else first

    if data:
        network.at(0.5, lambda: used().says(data))
    if error is not None:
        network.at(1.0, lambda: used().loses(error))
    assert isinstance(network.send(timeout=timeout), Failure)
    assert not (first.connection.is_idle and second.connection.is_idle)
    assert [first.is_aborted, second.is_aborted].count(True) == (2 if are_closed else 1)


# The end of the client.


@pytest.mark.parametrize("leaves_open", [False, True])
def test_a_closed_client_begins_no_exchange(network: Http1Network, leaves_open: bool) -> None:
    network.run(network.transport.close_async())
    outcome = network.open() if leaves_open else network.send()
    assert told(outcome) == ("ClientClosedError", "this HttpServiceClient was closed; make a new one", NEVER)
    assert network.ways == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_client_that_is_closed_ends_its_exchanges(
    network: Http1Network, way: str, timeout: Timeout, seconds: float
) -> None:
    """While they connect, and while they wait."""
    began = network.prepared(way)
    network.connecting = 1.0

    async def run() -> Any:
        exchange = asyncio.ensure_future(network.exchange(timeout=timeout))
        await asyncio.sleep(seconds)
        await network.transport.close_async()
        return await exchange

    was_sent = way == "idle" or seconds > 1.0
    assert told(network.run(run())) == (
        "ClientClosedError",
        "this HttpServiceClient was closed during the call",
        SentState.ABANDONED if was_sent else NEVER,
    )
    assert network.now - began == pytest.approx(seconds)
    assert all(wire.is_aborted for wire in network.wires)


def test_a_client_that_is_closed_as_a_connection_is_made_does_not_use_it(network: Http1Network) -> None:
    network.made = network.transport.close
    assert told(network.send()) == (
        "ClientClosedError",
        "this HttpServiceClient was closed during the call",
        NEVER,
    )
    assert (network.wire.written, network.wire.is_aborted) == (b"", True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_task_that_is_cancelled_leaves_nothing(
    network: Http1Network, way: str, timeout: Timeout, seconds: float
) -> None:
    """While it connects, and while it waits: its connection is closed."""
    network.prepared(way)
    network.connecting = 1.0

    async def run() -> None:
        exchange = asyncio.ensure_future(network.exchange(timeout=timeout))
        await asyncio.sleep(seconds)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        await asyncio.sleep(1.0)

    network.run(run())
    assert [wire.is_aborted for wire in network.wires] == ([] if way == "new" and seconds < 1.0 else [True])


@pytest.mark.parametrize("total", [None, 2.0])
def test_a_connection_that_is_made_too_late_is_closed(network: Http1Network, total: float | None) -> None:
    """Its making is waited for, which may take a moment after it was cancelled."""
    network.connecting, network.resists = 9.0, 0.5
    assert told(network.send(timeout=Timeout(connect=2.0, total=total)))[0] == "ConnectTimeoutError"
    assert network.now == pytest.approx(2.5)
    assert network.wire.is_aborted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(read=9.0)], ids=["one step", "in pieces"])
def test_an_exchange_whose_coroutine_is_closed_leaves_nothing(
    network: Http1Network, way: str, timeout: Timeout
) -> None:
    """As when it is garbage-collected: it can wait for nothing any more."""
    network.prepared(way)
    network.connecting, network.resists = 1.0, 0.5

    async def run() -> None:
        exchange = network.exchange(timeout=timeout)
        exchange.send(None)
        await asyncio.sleep(0.5)
        exchange.close()
        await asyncio.sleep(2.0)

    network.run(run())
    assert network.wire.is_aborted


def test_a_client_that_is_closed_as_it_is_first_used_makes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a signal handler, say."""

    def make(settings: Any) -> Pool:
        network.transport.close()
        return Pool(settings)

    monkeypatch.setattr("http_service_client.transports.over_aiohttp.transport.Pool", make)
    network = Http1Network(monkeypatch)
    assert told(network.send()) == (
        "ClientClosedError",
        "this HttpServiceClient was closed; make a new one",
        NEVER,
    )
    assert network.ways == []
    network.close()


def test_a_failure_keeps_nothing_of_its_exchange(
    network: Http1Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle collector is off, so only what nothing refers to is freed."""
    exchanges: list[weakref.ref[Exchange]] = []

    class Watched(Exchange):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            exchanges.append(weakref.ref(self))

    monkeypatch.setattr("http_service_client.transports.over_aiohttp.transport.Exchange", Watched)
    gc.collect()
    gc.disable()
    try:
        failures = [network.send(timeout=Timeout(read=1.0))]
        network.at(1.0, lambda: network.wire.loses(ConnectionResetError()))
        failures.append(network.send())
        network.at(1.0, b"SSH-2.0\r\n")
        failures.append(network.send())
        network.at(1.0, CHUNKED + b"x\r\n")
        failures.append(network.run(network.open().source.read_async(Timeout())))
        for network.refuses in (ConnectionRefusedError(), NotHttpError()):
            failures.append(network.send())
        network.refuses = None
        network.run(asyncio.sleep(0))
        assert [each() for each in exchanges] == [None] * 6
    finally:
        gc.enable()
    assert [failure.error_type.__name__ for failure in failures] == [
        "ReadTimeoutError",
        "ConnectionLostError",
        "ProtocolError",
        "ProtocolError",
        "ConnectError",
        "ConnectError",
    ]


def test_a_wait_for_the_body_has_a_timeout_of_its_own(network: Http1Network) -> None:
    """Which the error names; that of the exchange ended with the head."""
    network.at(1.0, CHUNKED)
    opened = network.open(timeout=Timeout(read=7.0))
    failure = network.run(opened.source.read_async(Timeout(read=2.0)))
    assert told(failure)[:2] == (
        "ReadTimeoutError",
        f"timed out reading from {URL}: nothing arrived for 2 s",
    )
