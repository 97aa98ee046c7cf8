"""What a session of aiohttp is asked for in an exchange, and what its responses and errors mean. The session is none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from http_service_client import (
    ClientClosedError,
    ConfigurationError,
    ConnectionLostError,
    DecodingError,
    EgressPolicy,
    HttpResponse,
    ProxyError,
    ReadTimeoutError,
    SentState,
    Timeout,
)
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import Failure
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.messages import HttpRequest
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.failures import Phase
from http_service_client.transports.over_aiohttp.hooked import exchanges as module
from http_service_client.transports.over_aiohttp.hooked.exchanges import AiohttpExchanges
from http_service_client.transports.over_aiohttp.hooked.timer import EXCHANGE, ExchangeTimer
from kit.front_ends import run_task
from kit.jumping_loop import run_jumping

HTTP, HTTPS = "http://a.test/x", "https://a.test/x"


class Connection(SimpleNamespace):
    """That of an exchange.   calls: what it was asked for."""

    def __init__(self, fatal_error: Exception | None = None) -> None:
        super().__init__(fatal_error=fatal_error, content=None, transport=None, calls=[])

    def force_close(self) -> None:
        self.calls.append("force_close")


class Response:
    """One of aiohttp's, whose body comes in these pieces."""

    def __init__(self, *pieces: bytes, status: int = 200, fields: tuple[tuple[str, str], ...] = ()) -> None:
        self.status, self.reason = status, "Because"
        self.headers = CIMultiDict(fields)
        self.raw_headers = tuple((name.encode(), value.encode()) for name, value in fields)
        self.pieces = list(pieces)
        self.content: Any = SimpleNamespace(total_bytes=0, at_eof=lambda: False, iter_any=self._iterate)
        self.closed = 0

    async def _iterate(self) -> AsyncIterator[bytes]:
        while self.pieces:
            yield self.pieces.pop(0)

    def close(self) -> None:
        self.closed += 1


class Session:
    """Calls the function, with the exchange, in each request.   options: of the last one."""

    def __init__(self, respond: Callable[[ExchangeTimer], Any]) -> None:
        self.respond = respond
        self.options: dict[str, Any] = {}
        self.closed = False
        self.distrusted: list[Any] = []
        self.connector: Any = SimpleNamespace(distrust=self.distrusted.append)

    async def request(self, method: str, url: Any, **options: Any) -> Any:
        exchange = EXCHANGE.get()
        assert exchange is not None
        self.options = {"method": method, "url": str(url), **options}
        result = self.respond(exchange)
        if isinstance(result, BaseException):
            raise result
        return result

    async def close(self) -> None:
        self.closed, self.connector = True, None


class Tls:
    """Makes a context of the peers that may see the certificate."""

    async def context_for_async(self, *peers: Any) -> Any:
        return ("context", *peers)


class Setup:
    """Exchanges over such a session."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        respond: Callable[[ExchangeTimer], Any] = lambda _: Response(),
        proxy: str | None = None,
        **settings: Any,
    ) -> None:
        self.session = Session(respond)
        patch.setattr(module, "_new_session", lambda settings: self.session)
        tls: Any = Tls()
        proxies = ProxySettings(http=proxy, https=proxy)
        self.made = AiohttpExchanges(TransportSettings(60.0, 100, None, True, tls, proxies, **settings))

    def send(self, request: HttpRequest, timeout: Timeout = Timeout(), **options: Any) -> Any:  # noqa: B008
        async def send() -> Any:
            outcome = await self.made.send(request, timeout, **options)
            assert EXCHANGE.get() is None
            return outcome

        return run_task(send())


ADDED = ["Accept", "Accept-Encoding", "User-Agent", "Content-Type"]
ALL = dict.fromkeys(ADDED[:3], "1")


@pytest.mark.parametrize(
    ("method", "headers", "content", "skipped"),
    [
        ("GET", {}, None, ADDED),
        ("GET", {"accept": "1"}, None, ADDED[1:]),
        ("GET", ALL, None, None),
        ("GET", ALL, b"a", ["Content-Type"]),
        ("POST", ALL, None, ["Content-Type"]),
        ("PUT", ALL, None, ["Content-Type"]),
        ("PATCH", ALL, None, ["Content-Type"]),
        ("POST", {**ALL, "Content-Type": "1"}, b"a", None),
        ("POST", {"Content-Type": "1"}, b"a", ADDED[:3]),
    ],
)
def test_aiohttp_adds_no_header_field(
    method: str, headers: Any, content: bytes | None, skipped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To skip one has a cost of its own, so only those are named that it would add."""
    setup = Setup(monkeypatch)
    setup.send(HttpRequest(method, HTTP, headers=headers, content=content))
    options = setup.session.options
    assert options.get("skip_auto_headers") == skipped
    assert options["headers"] == CIMultiDict(headers)
    assert (options["method"], options["url"], options["data"]) == (method, HTTP, content)
    assert options["allow_redirects"] is False


LOGIN = {"Proxy-Authorization": "Basic dTpw"}


@pytest.mark.parametrize(
    ("url", "proxy", "expected"),
    [
        (HTTP, None, {}),
        (HTTPS, None, {"ssl": ("context", ("a.test", 443))}),
        (HTTP, "http://u:p@proxy.test:3128", {"proxy": "http://proxy.test:3128", "headers": LOGIN}),
        (
            HTTPS, "http://u:p@proxy.test:3128",
            {"proxy": "http://proxy.test:3128", "ssl": ("context", ("a.test", 443)), "proxy_headers": LOGIN},
        ),
        (HTTP, "https://proxy.test", {"proxy": "https://proxy.test", "ssl": ("context", ("proxy.test", 443))}),
        (
            HTTPS, "https://proxy.test",
            {
                "proxy": "https://proxy.test", "proxy_headers": {},
                "ssl": ("context", ("a.test", 443), ("proxy.test", 443)),
            },
        ),
        (HTTP, "socks5://proxy.test", {}),
        (HTTPS, "socks5://proxy.test", {"ssl": ("context", ("a.test", 443))}),
        ("http://a.test./x", None, {"headers": {"Host": "a.test."}}),
        ("http+unix://%2Frun%2Fa.sock/x", None, {"headers": {"Host": "localhost"}}),
    ],
)  # fmt: skip
def test_the_way_of_a_request_is_that_of_the_settings(
    url: str, proxy: str | None, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's login goes to the proxy; the client's certificate is for all peers or for none."""
    monkeypatch.setattr(module, "sys", SimpleNamespace(version_info=(3, 11)))
    setup = Setup(monkeypatch, proxy=proxy)
    setup.send(HttpRequest("GET", url))
    options = setup.session.options
    found = {
        name: options[name]
        for name in ("ssl", "proxy", "headers", "proxy_headers")
        if options.get(name) is not None
    }
    if "proxy" in found:
        found["proxy"] = str(found["proxy"])
    assert found == {"headers": {}, **expected}


@pytest.mark.parametrize(
    ("version", "url", "proxy", "is_refused"),
    [
        ((3, 10), HTTPS, "https://proxy.test", True),
        ((3, 11), HTTPS, "https://proxy.test", False),
        ((3, 10), HTTP, "https://proxy.test", False),
        ((3, 10), HTTPS, "http://proxy.test", False),
        ((3, 10), HTTPS, "socks5://proxy.test", False),
        ((3, 10), HTTPS, None, False),
    ],
)
def test_tls_within_tls_needs_python_3_11(
    version: Any, url: str, proxy: str | None, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In asyncio."""
    monkeypatch.setattr(module, "sys", SimpleNamespace(version_info=version))
    outcome = Setup(monkeypatch, proxy=proxy).send(HttpRequest("GET", url))
    assert isinstance(outcome, Failure) is is_refused
    if is_refused:
        assert (outcome.error_type, outcome.sent_state) == (ProxyError, SentState.NEVER_SENT)
        assert outcome.message == (
            "https://a.test cannot be reached through an https:// proxy: asyncio supports TLS within TLS from Python "
            "3.11 on; use an http:// proxy"
        )


SOCKS = "a SOCKS proxy cannot be used in asyncio"
PATH = "a Unix socket cannot be used in asyncio"
OPTIONS = "socket_options and source_address cannot be used in asyncio"
EGRESS = "an egress policy cannot be kept in asyncio"
CUSTOM: Any = SimpleNamespace(are_default=False)


@pytest.mark.parametrize(
    ("sees", "makes", "settings", "refusal"),
    [
        (True, True, {"proxy": "socks5://proxy.test"}, None),
        (False, True, {"proxy": "socks5://proxy.test"}, SOCKS),
        (True, False, {"proxy": "socks5://proxy.test"}, SOCKS),
        (False, False, {"proxy": "http://proxy.test"}, None),
        (True, True, {"egress": EgressPolicy()}, None),
        (False, True, {"egress": EgressPolicy()}, EGRESS),
        (False, True, {"egress": EgressPolicy(), "proxy": "http://proxy.test"}, None),
        (False, True, {"uds": "/run/a.sock"}, None),
        (True, False, {"uds": "/run/a.sock"}, PATH),
        (False, True, {"sockets": CUSTOM}, None),
        (True, False, {"sockets": CUSTOM}, OPTIONS),
        (False, False, {}, None),
    ],
)
def test_what_cannot_be_done_safely_is_refused(
    sees: bool, makes: bool, settings: dict[str, Any], refusal: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a part of aiohttp is gone, before anything is sent."""
    monkeypatch.setattr(module, "SEES_CONNECTIONS", sees)
    monkeypatch.setattr(module, "MAKES_SOCKETS", makes)
    outcome = Setup(monkeypatch, **settings).send(HttpRequest("GET", HTTP))
    if refusal is None:
        assert isinstance(outcome, HttpResponse)
    else:
        assert (outcome.error_type, outcome.sent_state) == (ConfigurationError, SentState.NEVER_SENT)
        assert outcome.message.startswith(refusal + " with aiohttp ")


PHASES = Timeout(read=3.0, first_byte=2.0, between=1.0)


@pytest.mark.parametrize(
    ("error", "is_connected", "is_answered", "error_type", "is_distrusted"),
    [
        (ConnectionResetError(104, "x"), True, False, ConnectionLostError, True),
        (ConnectionResetError(104, "x"), False, False, ConnectionLostError, False),
        (ConnectionResetError(104, "x"), True, True, ConnectionLostError, False),
        (aiohttp.ClientPayloadError("x"), True, False, None, False),
        (TimeoutError(), True, True, ReadTimeoutError, False),
    ],
)
def test_connections_beside_one_without_a_response_are_distrusted(
    error: Exception,
    is_connected: bool,
    is_answered: bool,
    error_type: Any,
    is_distrusted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the connection was lost. After a response, the limit that was reached is that of its body."""
    connection = Connection()

    def respond(exchange: ExchangeTimer) -> Any:
        exchange.phase = Phase.RECEIVE
        if is_connected:
            exchange.connected(connection)
        if is_answered:
            exchange.answered()
        return error

    setup = Setup(monkeypatch, respond)
    failure = setup.send(HttpRequest("GET", HTTP), PHASES)
    assert isinstance(failure, Failure)
    if error_type is not None:
        assert failure.error_type is error_type
    if error_type is ReadTimeoutError:
        assert failure.message == f"timed out reading from {HTTP}: nothing arrived for 1 s"
    assert setup.session.distrusted == ([connection] if is_distrusted else [])


def answering(response: Any, connection: Any) -> Callable[[ExchangeTimer], Any]:
    def respond(exchange: ExchangeTimer) -> Any:
        exchange.connected(connection)
        return response

    return respond


def test_a_response_is_read_decoded_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its fields as they arrived."""
    body = gzip.compress(b"hello")
    response = Response(body[:9], body[9:], fields=(("Content-Encoding", "gzip"), ("X-A", "1")))
    connection = Connection()
    outcome = Setup(monkeypatch, answering(response, connection)).send(HttpRequest("GET", HTTP))
    assert (outcome.status_code, outcome.reason_phrase, outcome.content) == (200, "Because", b"hello")
    assert outcome.headers.multi_items() == [("Content-Encoding", "gzip"), ("X-A", "1")]
    assert (str(outcome.url), response.closed, connection.content) == (HTTP, 1, response.content)
    assert connection.calls == []


def test_a_request_that_ends_the_connection_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its Connection field."""
    connection = Connection()
    setup = Setup(monkeypatch, answering(Response(), connection))
    setup.send(HttpRequest("GET", HTTP, headers={"Connection": "close"}))
    assert connection.calls == ["force_close"]


def test_a_body_that_cannot_be_decoded_is_kept_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """To its end."""
    response = Response(b"no gzip", b" at all", fields=(("Content-Encoding", "gzip"),))
    failure = Setup(monkeypatch, answering(response, Connection())).send(HttpRequest("GET", HTTP))
    assert (failure.error_type, failure.sent_state) == (DecodingError, SentState.ANSWERED)
    assert failure.details["response"].content == b"no gzip at all"
    assert response.closed == 1


@pytest.mark.parametrize("status", [199, 200, 299, 300, 404])
def test_only_the_body_of_a_success_is_left_open(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where it is to be."""
    for leaves_open in (False, True):
        response = Response(b"ab", status=status)
        setup = Setup(monkeypatch, answering(response, Connection()))
        outcome = setup.send(HttpRequest("GET", HTTP), leaves_open=leaves_open)
        is_open = leaves_open and status in (200, 299)
        assert isinstance(outcome, OpenResponse) is is_open
        assert (outcome.status_code, response.closed) == (status, int(not is_open))


@pytest.mark.parametrize(
    ("fields", "is_read"), [((("Content-Length", "2"),), True), ((), False)], ids=["framed", "to the end"]
)
def test_a_redirect_that_may_have_no_end_is_not_read(
    fields: Any, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is followed without its content."""
    response = Response(b"ab", status=302, fields=(("Location", "/y"), *fields))
    request = HttpRequest("GET", HTTP)
    request.follows_redirects = True
    outcome = Setup(monkeypatch, answering(response, Connection())).send(request)
    assert outcome.content == (b"ab" if is_read else b"")
    assert response.closed == 1


@pytest.mark.parametrize(("total", "waited"), [(None, 1.0), (9.0, 1.0), (1.0, 0.5)])
def test_the_content_of_a_redirect_may_take_a_second(
    total: float | None, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the time that is left at most: the redirect has to be followed in it. Then it is followed without."""

    async def hang() -> AsyncIterator[bytes]:
        yield await asyncio.sleep(100.0, b"content")

    response = Response(status=302, fields=(("Location", "/y"), ("Content-Length", "7")))
    response.content.iter_any = hang
    request = HttpRequest("GET", HTTP)
    request.follows_redirects = True
    made = Setup(monkeypatch, answering(response, Connection())).made

    async def run() -> None:
        outcome: Any = await made.send(request, Timeout(total=total))
        assert (outcome.status_code, outcome.content) == (302, b"")
        assert asyncio.get_running_loop().time() == pytest.approx(waited, abs=0.01)

    run_jumping(run())


@pytest.mark.parametrize("error", [ConnectionResetError(104, "x"), aiohttp.ClientPayloadError("x")])
def test_the_content_of_a_redirect_may_be_lost(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is followed all the same; so is one whose content cannot be decoded."""

    async def fail() -> AsyncIterator[bytes]:
        raise error
        yield b""

    request = HttpRequest("GET", HTTP)
    request.follows_redirects = True
    fields = (("Location", "/y"), ("Content-Encoding", "gzip"), ("Content-Length", "7"))
    for response in (Response(status=302, fields=fields), Response(b"no gzip", status=302, fields=fields)):
        if not response.pieces:
            response.content.iter_any = fail
        outcome = Setup(monkeypatch, answering(response, Connection())).send(request)
        assert (outcome.status_code, outcome.content) == (302, b"")


@pytest.mark.parametrize(
    ("fields", "is_lost"), [((("Content-Length", "2"),), False), ((), True)], ids=["framed", "to the end"]
)
@pytest.mark.parametrize("coding", [(), (("Content-Encoding", "gzip"),)])
def test_a_lost_connection_is_no_end_of_a_body(
    fields: Any, is_lost: bool, coding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp takes a reset for the end of one that has no framing, also of one that cannot be decoded."""
    response = Response(b"ab", fields=fields + coding)
    connection = Connection(ConnectionResetError(104, "x"))
    outcome = Setup(monkeypatch, answering(response, connection)).send(HttpRequest("GET", HTTP))
    if is_lost:
        assert outcome.error_type is ConnectionLostError
    elif coding:
        assert outcome.error_type is DecodingError
    else:
        assert outcome.content == b"ab"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(None, ""), ("Because", "Because"), ("\u00fc", "\u00fc"), ("caf\udce9", "caf\u00e9")],
)
def test_a_mock_s_response_has_its_fields_by_name(
    reason: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no connection, and may have neither a reason nor the coding that it announces."""
    response: Any = Response(fields=(("Content-Encoding", "gzip"), ("X-A", "1")))
    response.raw_headers, response.reason = None, reason

    async def read() -> bytes:
        return b"decoded"

    response.read = read
    parser = ParserSettings(tolerated=frozenset({"unknown-version"}))
    outcome = Setup(monkeypatch, lambda _: response, parser=parser).send(
        HttpRequest("GET", HTTP, headers={"Connection": "close"})
    )
    assert (outcome.content, outcome.reason_phrase) == (b"decoded", expected)
    assert outcome.headers.multi_items() == [("X-A", "1")]


def test_an_exchange_knows_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector asks for it."""
    seen: list[Any] = []

    def respond(exchange: ExchangeTimer) -> Any:
        seen.extend([exchange.host, exchange.socket_path, exchange.method, exchange.way, exchange.phase])
        return Response()

    Setup(monkeypatch, respond, uds="/run/a.sock").send(HttpRequest("PUT", HTTPS))
    assert seen == ["a.test", "/run/a.sock", "PUT", ("https://a.test", None), Phase.RECEIVE]


@pytest.mark.parametrize(("is_closed", "source_error"), [(False, None), (True, None), (False, KeyError())])
def test_an_error_that_is_a_bug_is_raised(
    is_closed: bool, source_error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the session is closed at this very moment. What the source of the body raised is raised as it is."""
    stumble = RuntimeError("x") if source_error is None else ValueError("x")

    def respond(exchange: ExchangeTimer) -> Any:
        exchange.source_error, setup.session.closed = source_error, is_closed
        return stumble

    setup = Setup(monkeypatch, respond)
    if is_closed:
        assert setup.send(HttpRequest("GET", HTTP)).error_type is ClientClosedError
        return
    with pytest.raises(Exception) as caught:  # which one it is, is the law
        setup.send(HttpRequest("GET", HTTP))
    assert caught.value is (source_error or stumble)


def test_a_closed_client_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure says so."""
    setup = Setup(monkeypatch)
    setup.made.close()
    outcome = setup.send(HttpRequest("GET", HTTP))
    assert outcome.error_type is ClientClosedError
    assert setup.session.options == {}
