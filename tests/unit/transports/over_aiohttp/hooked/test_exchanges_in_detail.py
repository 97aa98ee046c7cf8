"""Exchanges through aiohttp: which are refused before they are sent, and how the body of each response is read."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from http_service_client import (
    ClientClosedError,
    ConnectionLostError,
    DecodingError,
    HttpRequest,
    ProxyError,
    ReadTimeoutError,
    Timeout,
)
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.over_aiohttp.hooked import exchanges as module
from http_service_client.transports.over_aiohttp.hooked.mocks import BufferedResponse
from http_service_client.transports.over_aiohttp.hooked.timer import ExchangeTimer
from kit.front_ends import run_task
from kit.jumping_loop import run_jumping
from unit.transports.over_aiohttp.hooked.test_exchanges import HTTP, Connection, Response, Setup, answering

GET = HttpRequest("GET", HTTP)


def test_a_proxy_that_is_none_refuses_what_would_go_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent past it."""
    setup = Setup(monkeypatch, proxy="ftp://proxy.test")
    failure = setup.send(GET)
    assert failure.error_type is ProxyError
    assert "has an unknown scheme" in failure.message
    assert setup.session.options == {}


def test_nothing_is_sent_on_a_loop_that_has_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is closed, and another one would never be."""
    setup = Setup(monkeypatch)

    async def send() -> Any:
        session = await setup.made._sessions.get()
        await session.close()
        return await setup.made.send(GET, Timeout())

    assert run_task(send()).error_type is ClientClosedError
    assert setup.session.options == {}


def test_an_error_at_the_close_of_the_client_is_that_of_its_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp may raise a RuntimeError then, before it knows that its own session is closed."""

    def close(exchange: ExchangeTimer) -> Any:
        setup.made._sessions.is_closed = True
        return RuntimeError("Session is closed")

    setup = Setup(monkeypatch, close)
    assert setup.send(GET).error_type is ClientClosedError


def test_a_tolerated_fault_is_reported_by_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the origin that it came from. Without a tolerated rule nothing is asked of the connection."""
    for tolerated, times in ((frozenset({"unknown-version"}), 1), (frozenset[str](), 0)):
        reports: list[Any] = []
        connection: Any = Connection()
        connection.report_faults = reports.append
        parser = ParserSettings(tolerated=tolerated)
        assert (
            Setup(monkeypatch, answering(Response(), connection), parser=parser).send(GET).status_code == 200
        )
        assert len(reports) == times


def test_a_response_whose_connection_nobody_saw_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no mock's, whose body is decoded already, where no connection is ever seen."""
    monkeypatch.setattr(module, "SEES_CONNECTIONS", False)
    response = Response(gzip.compress(b"hello"), fields=(("Content-Encoding", "gzip"),))
    assert Setup(monkeypatch, lambda _: response).send(GET).content == b"hello"


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [((), ConnectionLostError), ((("Content-Length", "2"),), None)],
    ids=["to the end", "framed"],
)
def test_a_body_that_a_hook_has_read_may_have_been_cut(
    fields: Any, error_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp took a reset for its end. One that was left open says so as well."""
    response: Any = Response(b"ab", fields=fields)

    async def read_by_a_hook(given: Any) -> BufferedResponse:
        return BufferedResponse(given, given.headers, b"ab", given.raw_headers)

    monkeypatch.setattr(module, "as_unread", read_by_a_hook)
    connection = Connection(ConnectionResetError(104, "x"))
    outcome = Setup(monkeypatch, answering(response, connection)).send(GET, leaves_open=True)
    assert getattr(outcome, "error_type", None) is error_type


def test_the_body_of_an_error_is_waited_for_no_longer_than_a_read_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where that of a success would be left to its reader, and aiohttp bounds nothing."""
    response = Response(status=404, fields=(("Content-Length", "2"),))

    async def hang() -> AsyncIterator[bytes]:
        await asyncio.sleep(100.0)
        yield b""

    response.content.iter_any = hang
    setup = Setup(monkeypatch, answering(response, Connection()))

    async def send() -> Any:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await setup.made.send(GET, Timeout(read=3.0), leaves_open=True), loop.time() - began

    failure, seconds = run_jumping(send())
    assert failure.error_type is ReadTimeoutError
    assert seconds == pytest.approx(3.0)


def test_the_codings_of_several_fields_are_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one was applied last."""
    fields = (("Content-Encoding", "deflate"), ("Content-Encoding", "gzip"))
    response = Response(gzip.compress(zlib.compress(b"hello")), fields=fields)
    assert Setup(monkeypatch, answering(response, Connection())).send(GET).content == b"hello"


def test_a_coding_that_has_no_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is complete, its content is not."""
    response = Response(gzip.compress(b"hello")[:-1], fields=(("Content-Encoding", "gzip"),))
    failure = Setup(monkeypatch, answering(response, Connection())).send(GET)
    assert failure.error_type is DecodingError


def test_aiohttp_s_own_session_leaves_all_to_the_client() -> None:
    """The proxy, the decoding, the cookies and the judgement of a status."""

    async def settings() -> tuple[Any, ...]:
        session = module._new_session(TransportSettings(60.0, 100, None, True, Any, Any))  # type: ignore[arg-type]
        async with session:
            return (
                session.trust_env,
                session.auto_decompress,
                session.raise_for_status,
                type(session.cookie_jar),
            )

    assert run_task(settings()) == (False, False, False, aiohttp.DummyCookieJar)
