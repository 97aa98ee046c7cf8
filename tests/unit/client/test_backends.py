"""The drivers of a client: shared by its views, each with the connections through its proxies, and ended with it."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    SentState,
    Timeout,
)
from http_service_client.core.effects import Send
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.front_ends import run_task

ONE, OTHER = "http://one.example:3128", "http://other.example:3128"


def test_views_through_the_same_proxies_are_one_whatever_they_are_made_of() -> None:
    """So each connection is used by all calls that may use it. Those of the client are its own."""
    client = HttpServiceClient()
    view = client.with_options(proxy=ONE)
    inner = view.with_options(proxy=OTHER)
    assert len({id(each._backends) for each in (client, view, inner)}) == 3
    assert view.with_options(timeout=5)._backends is view._backends
    assert inner.with_options(proxy=ONE)._backends is view._backends
    assert client.with_options(proxy={"all": OTHER})._backends is inner._backends
    assert inner.with_options(proxy={})._backends is client._backends


def test_nothing_behind_a_unix_socket_leads_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", ONE)
    pool = ConnectionPoolConfig(uds="/run/service.sock")
    client = HttpServiceClient(HttpClientConfig(connection_pool=pool))
    assert client.with_options(proxy={})._backends is client._backends
    elsewhere = HttpServiceClient()
    assert elsewhere.with_options(proxy={})._backends is not elsewhere._backends


@pytest.mark.parametrize("name", ["blocking_apart", "foreign_blocking", "foreign_asyncio"])
def test_a_driver_that_is_made_while_the_client_ends_sends_nothing(name: str) -> None:
    """The call that needs it had begun before."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    backends: Any = client._backends
    client.close()

    def plan() -> Any:
        return (yield Send(HttpRequest("GET", URL), Timeout()))

    driver = getattr(backends, name)()
    result = driver.run(plan())
    outcome = run_task(result) if name == "foreign_asyncio" else result
    assert (outcome.error_type, outcome.sent_state) == (ClientClosedError, SentState.NEVER_SENT)
