"""Telemetry for all clients: those that exist, their views and adapters, and those to come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from http_service_client import ConfigurationError, HttpResponse, HttpServiceClient
from http_service_client.integrations import ResilientAdapter
from http_service_client.observability.telemetry import ClientTelemetry, use_for_all_clients
from http_service_client.testing import LoopbackServer, ScriptedTransport
from kit.fakes import URL, Harness
from kit.front_ends import FrontEnd
from kit.telemetry import Notes


@pytest.fixture
def notes() -> Iterator[Notes]:
    yield Notes()
    use_for_all_clients(None)


def test_clients_that_exist_and_clients_to_come(front_end: FrontEnd, notes: Notes) -> None:
    """Both are seen from now on, and no longer once it is switched off."""
    before = Harness(front_end, 200)
    before.request()
    use_for_all_clients(notes)
    after = Harness(front_end, 200)
    before.request()
    after.request()
    assert notes.lines.count("begin GET") == 2
    use_for_all_clients(None)
    before.request()
    after.request()
    assert notes.lines.count("begin GET") == 2


def test_views_have_that_of_their_client(front_end: FrontEnd, notes: Notes) -> None:
    """Also a view with a jar of its own, and after a reconfiguration."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    views = [client.with_options(timeout=5), client.with_options(cookies=True)]
    use_for_all_clients(notes)
    for view in views:
        front_end.run(front_end.calling(view, "GET", URL))
    client.reconfigure(replace(client.config, base_timeout=7))
    for view in views:
        front_end.run(front_end.calling(view, "GET", URL))
    assert notes.lines.count("begin GET") == 4
    assert views[1].cookies is not None
    assert views[1].cookies is not client.cookies


class Seen(HttpServiceClient):
    """One that no other test has made."""


def test_it_sees_the_connections_of_each_client_once(notes: Notes) -> None:
    """Of those that exist and of those to come; views have those of their client."""
    before = Seen()
    clients = [before, before.with_options(timeout=5)]
    use_for_all_clients(notes)
    clients.append(Seen())
    assert notes.clients.count("Seen") == 2


def test_it_may_be_switched_on_while_a_client_is_made(
    front_end: FrontEnd, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread, after the client has looked and before it is told of changes."""
    follow = ClientTelemetry.follow

    def switch_on_first(self: ClientTelemetry, follower: Any) -> None:
        use_for_all_clients(notes)
        follow(self, follower)

    monkeypatch.setattr(ClientTelemetry, "follow", switch_on_first)
    Harness(front_end, 200).request()
    assert "begin GET" in notes.lines


def test_a_client_that_is_being_freed_is_left_alone(notes: Notes) -> None:
    """Another thread may drop it while the telemetry is switched on."""
    client = Seen()
    parts = client._assembly
    del client
    use_for_all_clients(notes)
    parts.renew_pipelines()
    assert "Seen" not in notes.clients


@pytest.mark.parametrize("own", [Notes(), False], ids=["own", "none"])
def test_a_client_with_a_choice_of_its_own_keeps_it(
    front_end: FrontEnd, notes: Notes, own: Notes | bool
) -> None:
    """The telemetry of all clients is for those that have none set."""
    use_for_all_clients(notes)
    Harness(front_end, 200, telemetry=own).request()
    assert notes.lines == []
    assert own is False or (isinstance(own, Notes) and "begin GET" in own.lines)


def test_adapters_that_are_in_use(notes: Notes) -> None:
    """A session is instrumented after its adapter was made, and used."""
    with LoopbackServer() as server, requests.Session() as session:
        session.mount("http://", ResilientAdapter())
        session.get(server.url)
        use_for_all_clients(notes)
        session.get(server.url)
        received = server.requests
    assert notes.lines[:3] == ["begin GET", "enter", f"1 GET {''}"]
    assert [dict(request.headers).get("X-Exchange") for request in received] == [None, "1"]


def test_the_netrc_file_is_not_read_again(front_end: FrontEnd, notes: Notes, tmp_path: Path) -> None:
    """It may be gone by now: that must neither raise, nor keep the telemetry from other clients."""
    file = tmp_path / "netrc"
    file.write_text("machine api.example.com login me password secret")
    file.chmod(0o600)
    harnesses = [Harness(front_end, 200, netrc=file), Harness(front_end, 200)]
    file.unlink()
    use_for_all_clients(notes)
    for harness in harnesses:
        harness.request()
    assert notes.lines.count("begin GET") == 2
    assert "Authorization" in harnesses[0].transport.sent[0].headers


def test_a_client_that_is_dropped_is_freed(notes: Notes) -> None:
    """Those that follow the telemetry are not kept alive by it."""
    import gc
    import weakref

    gc.disable()
    try:
        client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
        client.get(URL)
        gone = weakref.ref(client)
        del client
        assert gone() is None
    finally:
        gc.enable()
    use_for_all_clients(notes)


@pytest.mark.parametrize("wrong", [True, Notes, "otel", object()], ids=["true", "class", "text", "object"])
def test_something_else_is_an_error(wrong: object) -> None:
    """With the remedy."""
    with pytest.raises(ConfigurationError, match=r"write telemetry=OpenTelemetry\(\)"):
        HttpServiceClient(telemetry=wrong)  # type: ignore[arg-type]


def test_circuits_that_calls_bring_along_are_seen(front_end: FrontEnd, notes: Notes) -> None:
    """By the client that uses them, as those of its own are."""
    from http_service_client import CircuitBreakerPolicy

    policy = CircuitBreakerPolicy(failure_threshold=1)
    harness = Harness(front_end, 500, telemetry=notes)
    harness.request(circuit_breaker=policy, retry_policy=None)
    assert "circuit open" in notes.lines
