"""A server and clients for the tests of adapters; and tests of neuroglia do not share its services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from http_service_client.testing import LoopbackServer
from kit.httpx_clients import Clients


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A scripted server on loopback."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _own_services(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders share one collection; here each test has its own."""
    if not request.path.name.startswith("test_neuroglia"):
        return
    apps = pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)
    monkeypatch.setattr(apps.ApplicationBuilderBase, "services", apps.ServiceCollection())
    monkeypatch.setattr(apps.Interceptor, "made", 0)


@pytest.fixture(
    params=[(library, is_async) for library in ("httpx", "httpx2") for is_async in (False, True)],
    ids=lambda case: f"{case[0]}, {'async' if case[1] else 'blocking'}",
)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Both libraries, both ways."""
    with ExitStack() as stack:
        yield Clients(*request.param, stack)
