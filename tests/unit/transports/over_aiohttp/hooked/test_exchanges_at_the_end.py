"""Exchanges through aiohttp whose client is closed meanwhile, and hosts that aiohttp would change."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from http_service_client import HttpRequest, SentState, Timeout
from http_service_client.transports.over_aiohttp.hooked.timer import ExchangeTimer
from kit.front_ends import run_task
from unit.transports.over_aiohttp.hooked.test_exchanges import HTTP, Connection, Response, Setup, answering


@pytest.mark.parametrize("is_framed", [True, False])
def test_a_body_that_is_complete_outlives_its_client(
    is_framed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends with the connection may have been cut by the close."""
    response = Response(b"ab", fields=(("Content-Length", "2"),) if is_framed else ())
    setup = Setup(monkeypatch, answering(response, Connection()))
    pieces = response.content.iter_any

    async def closed_meanwhile() -> AsyncIterator[bytes]:
        setup.made.close()
        async for piece in pieces():
            yield piece

    response.content.iter_any = closed_meanwhile
    outcome = setup.send(HttpRequest("GET", HTTP))
    if is_framed:
        assert outcome.content == b"ab"
    else:
        assert outcome.sent_state is SentState.ABANDONED


@pytest.mark.parametrize(("given", "sent"), [({}, "a.test."), ({"Host": "b.test"}, "b.test")])
def test_a_host_that_ends_with_a_dot_is_sent_as_it_is(
    given: dict[str, str], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp would remove the dot. The caller's own Host comes first."""
    setup = Setup(monkeypatch)
    setup.send(HttpRequest("GET", "http://a.test./x", headers=given))
    assert setup.session.options["headers"].getall("Host") == [sent]


def test_the_session_of_a_loop_that_has_ended_is_left_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp would warn of a session that nobody closed, and the sockets would stay open."""
    setup, done = Setup(monkeypatch), list[str]()

    async def abandoned() -> Any:
        session = await setup.made._sessions.get()
        made: Any = session.current()
        made.detach = lambda: done.append("detach")
        made.connector.abandon = lambda: done.append("abandon")
        session.abandon()
        return session.current()

    assert run_task(abandoned()) is None
    assert done == ["detach", "abandon"]


def test_a_loop_that_shut_down_has_no_session_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task that goes on asks for is refused, and nothing is made that nobody would close."""
    setup = Setup(monkeypatch)

    async def closed() -> Any:
        session = await setup.made._sessions.get()
        assert session.current() is setup.session
        await session.close()
        return session.current()

    assert run_task(closed()) is None
    assert setup.session.closed


@pytest.mark.parametrize(("leaves_open", "read"), [(False, 3.0), (True, None)])
def test_aiohttp_bounds_the_reads_of_a_body_that_is_not_left_open(
    leaves_open: bool, read: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would bound the pauses of the reader of another one, too."""
    setup = Setup(monkeypatch, answering(Response(b"ab", fields=(("Content-Length", "2"),)), Connection()))
    setup.send(HttpRequest("GET", HTTP), Timeout(read=3.0), leaves_open=leaves_open)
    assert setup.session.options["timeout"].sock_read == read


def lost() -> Exception:
    return ConnectionResetError()


def disconnected() -> Exception:
    return aiohttp.ServerDisconnectedError()


def of_another_error() -> Exception:
    error = aiohttp.ClientOSError()
    error.__cause__ = error.__context__ = TimeoutError()
    return error


@pytest.mark.parametrize("new_error", [lost, disconnected, of_another_error])
def test_a_failure_keeps_nothing_of_its_exchange(
    new_error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle collector is off, so only what nothing refers to is freed."""
    exchanges: list[weakref.ref[ExchangeTimer]] = []

    def lose(exchange: ExchangeTimer) -> Any:
        exchanges.append(weakref.ref(exchange))
        return new_error()

    setup = Setup(monkeypatch, lose)
    gc.collect()
    gc.disable()
    try:
        failure = setup.send(HttpRequest("GET", HTTP))
        assert failure.cause is not None
        assert exchanges[0]() is None
    finally:
        gc.enable()
