"""Exchanges through aiohttp whose client is closed meanwhile, and hosts that aiohttp would change."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from http_service_client import HttpRequest, SentState
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
