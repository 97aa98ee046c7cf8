"""The scenarios of the table, over HTTP/2: the same result, requests, waits and circuits as the table states.

Those of its scenarios that a script can show are played by a server of HTTP/2: responses, and connections that break.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from http_service_client import HttpResponse
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd
from kit.http2_server import Action, Exchange, Http2Server
from kit.parity import Row, seeded
from network.faults import Certificates
from parity.test_parity import TABLE


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that only these tests trust."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)


@pytest.fixture
def servers(certificates: Certificates) -> Iterator[tuple[Http2Server, Http2Server]]:
    """The server of the call's URL, and another one."""
    with (
        Http2Server(certificates.server_context()) as here,
        Http2Server(certificates.server_context()) as there,
    ):
        yield here, there


def can_be_played(row: Row) -> bool:
    """Whether it consists of responses and broken connections. Time is virtual, and the client has its own settings."""
    if not row.is_scripted or row.real_time:
        return False
    outcomes = [
        step.outcome(str) for steps in row.steps().values() for step in steps if step.outcome is not None
    ]
    return all(isinstance(outcome, (HttpResponse, ConnectionResetError)) for outcome in outcomes)


def action(outcome: Any) -> Action:
    """What the server does for an outcome of a script."""

    def act(exchange: Exchange) -> None:
        if isinstance(outcome, HttpResponse):
            fields = [(name.lower(), value) for name, value in outcome.headers.multi_items()]
            is_head = exchange.headers[":method"] == "HEAD"
            exchange.respond(outcome.status_code, fields, b"" if is_head else outcome.content)
        else:
            exchange.hang_up()

    return act


PLAYED = [row for row in TABLE if can_be_played(row)]


def test_most_of_the_table_is_played() -> None:
    """A change of the table must not empty this module."""
    assert len(PLAYED) >= 60


@pytest.mark.parametrize("row", PLAYED, ids=lambda row: row.name)
def test_a_scenario_over_http2(
    front_end: FrontEnd, servers: tuple[Http2Server, Http2Server], certificates: Certificates, row: Row
) -> None:
    """What a call does does not depend on the protocol."""
    here, there = servers

    def at(text: str) -> str:
        return text.replace("{here}", here.url).replace("{elsewhere}", there.url)

    for path, steps in row.steps().items():
        server = there if path.startswith("elsewhere") else here
        outcomes = [step.outcome(at) for step in steps if step.outcome is not None]
        server.on(path.removeprefix("elsewhere"), *map(action, outcomes))
    clock = VirtualClock()
    settings = {"http2": True, "connection_pool": certificates.pool(), "trust_env_proxy_settings": False}
    client = front_end.client(**{**settings, **row.config}, clock=clock, random=seeded())
    result: int | str = ""
    for number in range(row.calls):
        if number:
            clock.advance(row.pause)
        options = {"method": "GET", "path": "/", **row.call, **row.per_call()}
        method, path = options.pop("method"), options.pop("path")
        try:
            result = front_end.request(client, method, here.url + path, **options).status_code
        except Exception as error:
            result = type(error).__name__
    assert result == row.expected_result
    assert len(here.exchanges) + len(there.exchanges) == row.expected_requests
    assert clock.waits == pytest.approx(list(row.expected_waits))
