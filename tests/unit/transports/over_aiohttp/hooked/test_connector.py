"""The connector of a session of aiohttp: which connection an exchange gets, without a network."""

from __future__ import annotations

import errno
import os
import socket
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from http_service_client import EgressPolicy
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.transports.base import TlsSettings, TransportSettings
from http_service_client.transports.over_aiohttp.hooked import connector as module
from http_service_client.transports.over_aiohttp.hooked.connector import (
    WatchingConnector,
    WatchingProtocol,
    watch_body,
)
from http_service_client.transports.over_aiohttp.hooked.timer import EXCHANGE
from kit.front_ends import run_task
from kit.rows import each_row

KEY: Any = SimpleNamespace(ssl=False, host="a.test", port=80, is_ssl=False)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
WAY = ("http://a.test", None)
POLICY = EgressPolicy()


class Transport:
    """A connection, with aiohttp's protocol of it."""

    def __init__(self) -> None:
        self.protocol: Any = SimpleNamespace(
            should_close=False,
            force_close=lambda: None,
            data_received=lambda data: None,
            exception=lambda: None,
        )
        self.buffered = 0
        self.is_aborted = False

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_extra_info(self, name: str) -> Any:
        return SimpleNamespace(fileno=lambda: 0)

    def abort(self) -> None:
        self.is_aborted = True


class Connection:
    """One of aiohttp's."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.callbacks: list[Any] = []
        self.closed = 0

    def add_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def close(self) -> None:
        self.closed += 1


class Exchange:
    """That in which a connection is made.   steps: what the connector reported."""

    def __init__(self, proxy: str | None = None, path: str | None = None, method: str = "GET") -> None:
        self.proxy = None if proxy is None else read_proxy(proxy)
        self.socket_path, self.method, self.host, self.way = path, method, "a.test", WAY
        self.needs_socket = False
        self.ready_socket: Any = None
        self.steps: list[Any] = []

    def connecting(self) -> None:
        self.steps.append("connecting")

    def connected(self, connection: Any) -> None:
        self.steps.append(connection)


class Setup:
    """A connector whose connections are these, in this order; an error is raised. Made in a coroutine."""

    def __init__(self, patch: pytest.MonkeyPatch, *connections: Any, **settings: Any) -> None:
        self.left = list(connections)
        self.calls: list[Any] = []
        patch.setattr(aiohttp.TCPConnector, "connect", self._connect)
        patch.setattr(module, "is_readable", lambda sock: False)
        patch.setattr(module, "check_peer", self._check)
        patch.setattr(module, "keep_last_bytes", lambda transport: self.kept.append(transport))
        self.checked: list[Any] = []
        self.kept: list[Any] = []
        self.refusal: BaseException | None = None
        self.settings = TransportSettings(60.0, 100, None, True, TlsSettings(), ProxySettings(), **settings)
        self.made: Any = WatchingConnector(self.settings)

    async def _connect(self, *arguments: Any, **options: Any) -> Any:
        self.calls.append((arguments, options))
        connection = self.left.pop(0)
        if callable(connection):
            connection = connection()
        if isinstance(connection, BaseException):
            raise connection
        return connection

    def _check(self, egress: Any, host: str, transport: Any) -> None:
        self.checked.append((egress, host, transport))
        if self.refusal is not None:
            raise self.refusal

    async def connect(self, exchange: Any) -> Any:
        EXCHANGE.set(exchange)
        return await self.made.connect("request", traces=[])


@pytest.mark.parametrize(("method", "is_kept"), [("HEAD", True), ("GET", False), (None, False)])
def test_a_connection_is_watched_from_its_first_exchange_on(
    method: str | None, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end decides whether it is kept: a response to HEAD has no body."""

    async def test() -> None:
        connection = Connection(Transport())
        setup = Setup(monkeypatch, connection)
        exchange = None if method is None else Exchange(method=method)
        assert await setup.connect(exchange) is connection
        assert setup.calls == [(("request",), {"traces": []})]
        watching = connection.transport.protocol
        assert isinstance(watching, WatchingProtocol)
        assert setup.kept == [connection.transport]
        if exchange is not None:
            assert exchange.steps == ["connecting", watching]
            assert watching.way == WAY
        watching.data_received(HEAD)
        assert len(connection.callbacks) == 1
        connection.callbacks[0]()
        assert (len(setup.settings.idle), connection.transport.is_aborted) == (
            (1, False) if is_kept else (0, True)
        )
        await setup.made.close()

    run_task(test())


@pytest.mark.parametrize("served", [0, 1])
@pytest.mark.parametrize("is_reusable", [False, True])
def test_a_connection_that_has_become_useless_is_replaced(
    served: int, is_reusable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that has served before is in doubt. It is closed at once."""

    async def test() -> None:
        first, other = Connection(Transport()), Connection(Transport())
        setup = Setup(monkeypatch, first, first, other)
        await setup.connect(None)
        watching = first.transport.protocol
        watching.served = served
        watching.is_reusable = lambda: is_reusable
        is_replaced = bool(served and not is_reusable)
        assert await setup.connect(None) is (other if is_replaced else first)
        assert first.transport.protocol is watching
        assert (first.closed, first.transport.is_aborted) == (int(is_replaced), is_replaced)
        assert (other.closed, other.transport.is_aborted) == (0, False)
        await setup.made.close()

    run_task(test())


def test_a_connection_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was lost between two steps of the loop."""

    async def test() -> None:
        connection = Connection(None)
        setup = Setup(monkeypatch, connection)
        with pytest.raises(aiohttp.ClientOSError) as caught:
            await setup.connect(Exchange())
        assert caught.value.args == (errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        assert connection.closed == 1
        await setup.made.close()

    run_task(test())


@pytest.mark.parametrize(
    ("egress", "exchange", "served", "host"),
    [
        (POLICY, Exchange(), 0, "a.test"),
        (POLICY, None, 0, ""),
        (POLICY, Exchange(), 1, None),
        (POLICY, None, 1, None),
        (POLICY, Exchange("http://proxy.test"), 0, None),
        (POLICY, Exchange("http://proxy.test"), 1, None),
        (POLICY, Exchange("http://proxy.test", "/run/a.sock"), 0, None),
        (POLICY, Exchange(path="/run/a.sock"), 0, None),
        (None, Exchange(), 0, None),
        (None, Exchange(), 1, None),
        (None, None, 0, None),
    ],
)
@pytest.mark.parametrize("refusal", [None, KeyError(), KeyboardInterrupt()])
def test_the_address_of_a_new_connection_is_judged(
    egress: Any,
    exchange: Any,
    served: int,
    host: str | None,
    refusal: BaseException | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it leads to the origin. One that is refused is closed."""

    async def test() -> None:
        connection = Connection(Transport())
        setup = Setup(monkeypatch, connection, connection, egress=egress)
        if served:
            await setup.connect(exchange)
            connection.transport.protocol.served = served
            connection.transport.protocol.is_reusable = lambda: True
            setup.checked.clear()
        setup.refusal = refusal
        if host is not None and refusal is not None:
            with pytest.raises(type(refusal)) as caught:
                await setup.connect(exchange)
            assert caught.value is refusal
            assert connection.closed == 1
        else:
            assert await setup.connect(exchange) is connection
            assert connection.closed == 0
        assert setup.checked == ([] if host is None else [(egress, host, connection.transport)])
        await setup.made.close()

    run_task(test())


def failed_to_connect() -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(111, "x"))


@pytest.mark.parametrize("exchange", [None, Exchange(), Exchange("socks5://proxy.test")])
def test_a_connection_that_fails_is_not_made_again(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it needs a socket that is connected by a SOCKS proxy."""

    async def test() -> None:
        setup = Setup(monkeypatch, failed_to_connect(), Connection(Transport()))
        with pytest.raises(aiohttp.ClientConnectorError):
            await setup.connect(exchange)
        assert len(setup.calls) == 1
        await setup.made.close()

    run_task(test())


class Sock:
    """One that a SOCKS proxy has connected."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("uses_it", "fails"), [(True, False), (False, False), (False, True), (True, True)])
def test_a_socket_through_a_proxy_is_made_for_the_connection_that_needs_it(
    uses_it: bool, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed where another connection has become idle meanwhile, or where none could be made."""

    async def test() -> None:
        exchange: Any = Exchange("socks5://proxy.test")
        sock, connection = Sock(), Connection(Transport())
        seen: list[Any] = []

        def first() -> BaseException:
            exchange.needs_socket = True
            return failed_to_connect()

        def second() -> Any:
            seen.append((exchange.ready_socket, exchange.needs_socket))
            if uses_it:
                exchange.ready_socket = None
            return failed_to_connect() if fails else connection

        async def open_socket() -> Any:
            return sock

        exchange.open_socket = open_socket
        setup = Setup(monkeypatch, first, second)
        if fails:
            with pytest.raises(aiohttp.ClientConnectorError):
                await setup.connect(exchange)
        else:
            assert await setup.connect(exchange) is connection
        assert seen == [(sock, False)]
        assert setup.calls == [(("request",), {"traces": []})] * 2
        assert (sock.closed, exchange.ready_socket) == (0 if uses_it else 1, None)
        await setup.made.close()

    run_task(test())


class Options(dict[str, Any]):
    """What aiohttp's connector is made with."""

    def __init__(self, patch: pytest.MonkeyPatch, *, keeps: bool = True, makes: bool = True) -> None:
        super().__init__()
        self.made: list[Any] = []
        sockets: Any = SimpleNamespace(new=lambda *address: self.made.append(address) or "a new one")
        self.settings = TransportSettings(
            60.0, 100, None, True, TlsSettings(), ProxySettings(), POLICY, sockets=sockets
        )
        patch.setattr(module, "KEEPS_ALIVE", keeps)
        patch.setattr(module, "MAKES_SOCKETS", makes)
        patch.setattr(module, "SharedResolver", lambda egress: ("resolver", egress))
        with patch.context() as inner:
            inner.setattr(aiohttp.TCPConnector, "__init__", lambda _, **options: self.update(options))
            inner.setattr(aiohttp.TCPConnector, "__del__", lambda _: None)
            connector: Any = WatchingConnector(self.settings)
            connector._closed = True  # nothing was made that it could close


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("makes", [False, True])
def test_aiohttp_limits_and_caches_nothing(keeps: bool, makes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core limits the connections, and our resolver judges each name anew."""
    options = Options(monkeypatch, keeps=keeps, makes=makes)
    assert ("socket_factory" in options) is makes
    options.pop("socket_factory", None)
    assert options == {
        "limit": 0, "limit_per_host": 0, "use_dns_cache": False, "resolver": ("resolver", POLICY),
        **({"keepalive_timeout": 60.0} if keeps else {"force_close": True}),
    }  # fmt: skip


ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))


def new_socket(options: Options, exchange: Any) -> Any:
    async def make() -> Any:
        EXCHANGE.set(exchange)
        return options["socket_factory"](ADDRESS)

    return run_task(make())


@pytest.mark.parametrize("exchange", [None, Exchange(), Exchange("http://proxy.test")])
def test_a_socket_to_an_address_is_as_all_are(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the settings that both transports share."""
    options = Options(monkeypatch)
    assert new_socket(options, exchange) == "a new one"
    assert options.made == [ADDRESS[:3]]


def test_a_unix_socket_leads_to_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the address."""
    options = Options(monkeypatch)
    monkeypatch.setattr(module, "UnixSocket", lambda *given: given)
    assert new_socket(options, Exchange(path="/run/a.sock")) == ("/run/a.sock", options.settings.sockets)


def test_a_socket_through_a_proxy_is_there_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is connected already, whatever address it is given, and it sends small pieces at once."""
    options, exchange = Options(monkeypatch), Exchange("socks5://proxy.test")
    with pytest.raises(
        ConnectionError, match=r"^the connection through the SOCKS proxy is to be made first$"
    ):
        new_socket(options, exchange)
    assert exchange.needs_socket
    opened = socket.socket()
    exchange.needs_socket, exchange.ready_socket, number = False, opened, opened.fileno()
    with new_socket(options, exchange) as sock:
        assert (sock.fileno(), sock.family) == (number, socket.AF_UNIX)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.connect(("192.0.2.1", 80))
    assert (exchange.ready_socket, exchange.needs_socket, opened.fileno()) == (None, False, -1)


def test_without_the_end_of_an_exchange_none_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where aiohttp reports none: see `compatibility`."""

    async def test() -> None:
        connection = Connection(Transport())
        monkeypatch.setattr(module, "KEEPS_ALIVE", False)
        setup = Setup(monkeypatch, connection)
        await setup.connect(None)
        assert connection.callbacks == []
        await setup.made.close()

    run_task(test())


def test_a_stalled_upload_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp would flush it first. What has sent everything is aiohttp's to close."""

    async def test() -> None:
        connections = [Connection(Transport()), Connection(Transport())]
        setup = Setup(monkeypatch, *connections)
        for _ in connections:
            await setup.connect(None)
        connections[0].transport.buffered = 9
        await setup.made.close()
        assert setup.made.closed
        assert [each.transport.is_aborted for each in connections] == [True, False]

    run_task(test())


def test_without_its_loop_the_sockets_alone_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And aiohttp has nothing to warn of: its own end is run, as far as it needs no loop."""
    closed: list[Any] = []
    steps: list[None] = []
    monkeypatch.setattr(module, "close_socket", closed.append)

    async def close() -> Any:
        connection = Connection(Transport())
        setup = Setup(monkeypatch, connection)
        await setup.connect(None)
        connection.transport.protocol.transport = "its transport"
        return setup.made, connection

    def end() -> Any:
        for _ in range(3):
            steps.append((yield))

    made, connection = run_task(close())
    own_close = aiohttp.TCPConnector.close
    monkeypatch.setattr(aiohttp.TCPConnector, "close", lambda self: end())
    made.abandon()
    assert closed == ["its transport"]
    assert len(steps) == 3
    monkeypatch.setattr(aiohttp.TCPConnector, "close", own_close)
    made._closed = True
    assert not connection.transport.is_aborted


class Response:
    """The head of one."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.headers = CIMultiDict(fields)
        self.content = object()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


LENGTH, CHUNKED = ("Content-Length", "3"), ("Transfer-Encoding", "chunked")


@each_row(
    ("fields", "is_valid"),
    [
        ([], True),
        ([LENGTH], True),
        ([("Transfer-Encoding", "Chunked")], True),
        ([("Transfer-Encoding", "identity")], True),
        ([("Transfer-Encoding", "gzip")], False),
        ([LENGTH, LENGTH], False),
        ([LENGTH, CHUNKED], False),
        ([CHUNKED, CHUNKED], False),
    ],
)
def test_a_framing_that_aiohttp_alone_has_read_is_judged(
    fields: list[tuple[str, str]], is_valid: bool
) -> None:
    """Two of them have no single meaning. Where our parser has read it, its word holds."""
    response: Any = Response(*fields)
    if is_valid:
        watch_body(response, None)
    else:
        with pytest.raises(NotHttpError):
            watch_body(response, None)
    assert response.closed == int(not is_valid)
    other: Any = Response(*fields)
    connection: Any = SimpleNamespace(content=None)
    watch_body(other, connection)
    assert connection.content is other.content
    assert other.closed == 0
